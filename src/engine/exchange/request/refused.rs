//! A request that is refused, and the payment that it names all the same.

use std::rc::Rc;

use super::head::RequestHead;
use super::rights::may_speak;
use crate::engine::codec::json::{Extractor, Scalar};
use crate::engine::config::Policy;
use crate::engine::event::{Request, Subject};
use crate::engine::payment::{ClaimKey, parse_idempotency_key};
use crate::engine::protocol::{Class, Compiled, Identity, Operation, RequestError};

/// A request that was refused, with its operation as far as it was known.
pub(in crate::engine::exchange) struct RefusedRequest {
    pub(in crate::engine::exchange) refusal: RequestError,
    pub(in crate::engine::exchange) operation: Option<Rc<Compiled>>,
    /// Whose request it is, and what it says of itself.
    pub(in crate::engine::exchange) subject: Rc<Subject>,
    /// The payment that it names all the same, where the client may speak for its partner.
    pub(in crate::engine::exchange) named: Option<Named>,
}

/// The payment that a refused request names.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine::exchange) struct Named {
    pub(in crate::engine::exchange) key: ClaimKey,
    /// Its body may name another one: that there is no record proves nothing.
    pub(in crate::engine::exchange) in_part: bool,
}

/// The payment that a request names which was refused. Nothing is made of it: it is only looked up.
pub(in crate::engine::exchange) fn named(
    head: &RequestHead<'_>,
    request: &Request<'_>,
    operation: &Compiled,
    policy: &Policy,
) -> Option<Named> {
    let Operation { class, namespace, identity, .. } = &operation.operation;
    let partner = head.partner.filter(|partner| !partner.is_empty())?;
    let too_long = request.body.len() > policy.config.request_body_bytes_max;
    let pays = matches!(class, Class::Charge | Class::FollowUp);
    if !pays || too_long || !may_speak(request.peer, Some(partner), policy) {
        return None;
    }
    let is_key = |(name, _): &&(&[u8], &[u8])| *name == b"idempotency-key";
    let by_key = |in_part| {
        // One that stands twice names nothing.
        let header_key =
            head.idempotency_key.filter(|_| request.headers.iter().filter(is_key).count() == 1);
        let header_key = parse_idempotency_key(header_key?).ok()?;
        let namespace = format!("{namespace} by key");
        let key = ClaimKey::derive(partner, &namespace, [header_key.as_str()]);
        Some(Named { key, in_part })
    };
    let Identity::Body(pointers) = identity else {
        return by_key(false);
    };
    // Whatever stands twice, or in another form, beside the identity.
    let members = Extractor::new(pointers).extract(request.body).ok()?;
    let is_absent = |member: &Option<Scalar<'_>>| match member {
        None | Some(Scalar::Null) => true,
        Some(scalar) => scalar.as_text() == Some(""),
    };
    if members.iter().all(is_absent) {
        return by_key(true);
    }
    let texts = members.iter().map(|member| member.as_ref().and_then(Scalar::as_text));
    let texts: Vec<&str> = texts.collect::<Option<_>>()?;
    Some(Named { key: ClaimKey::derive(partner, namespace, texts), in_part: false })
}

/// A refusal that waits for what is known of its payment.
#[derive(Debug)]
pub(in crate::engine::exchange) struct Refusing {
    pub(in crate::engine::exchange) refusal: RequestError,
    pub(in crate::engine::exchange) operation: Option<Rc<Compiled>>,
    pub(in crate::engine::exchange) subject: Rc<Subject>,
    pub(in crate::engine::exchange) named: Named,
}
