//! A request that is refused, of a payment that may have been made before. Its refusal must not read
//! as if that payment had failed, so its record is looked up where the request still names it.

use super::request::head::RequestHead;
use super::request::{ParsedRequest, may_speak};
use super::{Context, Next, Stage};
use crate::engine::config::Policy;
use crate::engine::event::{Cell, Decision, Effect, Event, Request};
use crate::engine::gateway::Gateways;
use crate::engine::json::{Extractor, Scalar};
use crate::engine::payment::{ClaimKey, ClaimState, Closed, parse_idempotency_key};
use crate::engine::protocol::{
    Class, Compiled, Identity, LocalReply, Operation, RequestError, Standing,
};
use crate::engine::store::{Bucket, Entry};

use std::rc::Rc;

/// A request that was refused, with its operation as far as it was known.
pub(super) struct RefusedRequest {
    pub(super) refusal: RequestError,
    pub(super) operation: Option<Rc<Compiled>>,
    /// Envoy's id of the request.
    pub(super) request_id: String,
    /// The payment that it names all the same, where the client may speak for its partner.
    pub(super) named: Option<Named>,
}

/// The payment that a refused request names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    key: ClaimKey,
    /// Its body may name another one: that there is no record proves nothing.
    in_part: bool,
}

/// The payment that a request names which was refused. Nothing is made of it: it is only looked up.
pub(super) fn named(
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
pub(super) struct Refusing {
    refusal: RequestError,
    operation: Option<Rc<Compiled>>,
    request_id: String,
    named: Named,
}

impl Context<'_> {
    pub(super) fn refuse(mut self, refused: RefusedRequest) -> Next {
        let RefusedRequest { refusal, operation, request_id, named } = refused;
        if self.policy.observes(operation.as_deref()) {
            let parsed = ParsedRequest::passed(request_id.clone());
            let local_reply =
                LocalReply::Refused { refusal: refusal.clone(), standing: Standing::Unasked };
            let (reply, note) =
                self.reply(&local_reply, operation.as_deref(), &request_id, Gateways::NONE);
            if let Some(send) = self.unclaimed(&parsed, reply.reason) {
                let note = Decision { decision: send.decision, would: send.would, ..note };
                let (stage, mut effects) = self.let_go(parsed, Box::new(send), self.now);
                effects.insert(0, Effect::Decided(note));
                return (stage, effects);
            }
        }
        match named {
            Some(named) => {
                let bucket = self.policy.placement.bucket(named.key.reference());
                let load = Effect::Load(Cell::Claims(bucket));
                let refusing = Refusing { refusal, operation, request_id, named };
                (Stage::Refusing(Box::new(refusing)), vec![load])
            }
            None => {
                let class = operation.as_ref().map(|compiled| compiled.operation.class);
                let pays = matches!(class, Some(Class::Charge | Class::FollowUp));
                let standing = if pays { Standing::Unasked } else { Standing::NotExecuted };
                let effects = self.refused(
                    refusal,
                    standing,
                    operation.as_deref(),
                    &request_id,
                    Gateways::NONE,
                );
                (Stage::Ended, effects)
            }
        }
    }

    /// What is known of the payment was read.
    pub(super) fn go_on_refusing(self, refusing: Refusing, event: &Event<'_>) -> Next {
        let Refusing { refusal, operation, request_id, named: Named { key, in_part } } = refusing;
        let found = match event {
            Event::Loaded(Cell::Claims(_), loaded) => Bucket::decode(loaded.bytes.clone())
                .map_or(Entry::Unreadable, |bucket| bucket.find(&key.prefix())),
            Event::Loaded(..)
            | Event::Stored(_)
            | Event::Conflict(_)
            | Event::StoreFailed(_)
            | Event::Request(_)
            | Event::Answered(_) => Entry::Unreadable,
        };
        let (standing, gateways) = match found {
            Entry::Absent if in_part => (Standing::Unasked, Gateways::NONE),
            Entry::Absent => (Standing::NotExecuted, Gateways::NONE),
            Entry::Unreadable | Entry::Alias(_) => (Standing::Unknown, Gateways::NONE),
            Entry::Claim(claim) => {
                let claim = claim.enforced(&self.policy.claims).at(self.now);
                let standing = match claim.state {
                    ClaimState::InFlight { .. } | ClaimState::InDoubt { .. } => Standing::Unknown,
                    ClaimState::Settled { .. }
                    | ClaimState::Closed { how: Closed::Refunded, .. } => Standing::Executed,
                    ClaimState::Rejected { .. }
                    | ClaimState::Closed { how: Closed::Failed | Closed::Cancelled, .. } => {
                        Standing::NotExecuted
                    }
                };
                (standing, claim.holders())
            }
        };
        let mut effects =
            self.refused(refusal, standing, operation.as_deref(), &request_id, gateways);
        for effect in &mut effects {
            if let Effect::Decided(note) = effect {
                note.key = key.reference().to_string();
            }
        }
        (Stage::Ended, effects)
    }

    fn refused(
        &self,
        refusal: RequestError,
        standing: Standing,
        operation: Option<&Compiled>,
        request_id: &str,
        gateways: Gateways,
    ) -> Vec<Effect> {
        let local_reply = LocalReply::Refused { refusal, standing };
        let (reply, note) = self.reply(&local_reply, operation, request_id, gateways);
        vec![Effect::Decided(note), Effect::Reply(reply)]
    }
}
