//! What a request wants: its operation, and the payment it is or concerns. Parsed once; whatever
//! is malformed is refused here and nothing is sent.

use std::borrow::Cow;
use std::rc::Rc;

mod amount;
pub(super) mod head;
pub(super) mod refused;
mod rights;

use crate::engine::config::{Ledger, Policy};
use crate::engine::event::Request;
use crate::engine::health::Source;
use crate::engine::json::{Pointer, Scalar};
use crate::engine::limits;
use crate::engine::payment::{ClaimKey, Fingerprint, Money, parse_idempotency_key, quote};
use crate::engine::protocol::{
    CANCEL, Class, Compiled, Identity, Matched, Protocol, Repeat, RequestError,
};
use crate::engine::time::Timestamp;
use amount::{hundredths, plain_amount};
use head::{RequestHead, Stamp, client_key, path};
use refused::{RefusedRequest, named};
use rights::may_speak;

/// What a request wants.
#[derive(Clone, Debug)]
pub(super) struct ParsedRequest {
    /// Its operation; none for one that is passed on without promises.
    pub(super) operation: Option<Rc<Compiled>>,
    /// The payment it makes.
    pub(super) payment: Option<Payment>,
    /// The payment it is about.
    pub(super) concerns: Option<ClaimKey>,
    /// The cancel of that payment, which a status of it may settle.
    pub(super) cancel: Option<ClaimKey>,
    /// The payment it is about, where the request leaves out what only the answer names.
    pub(super) named_later: Option<NamedLater>,
    /// The key of the customer's token that it carries.
    pub(super) token: Option<ClaimKey>,
    /// Whose request it is.
    pub(super) partner: String,
    /// The same, and what it is, for the gateway's breaker.
    pub(super) source: Source,
    /// The reference that its answer must carry.
    pub(super) reference: Option<String>,
    /// Envoy's id of the request.
    pub(super) request_id: String,
    /// `X-EXTERNAL-ID` to be filled in.
    pub(super) external_id: Option<String>,
    /// Told apart by this number: two requests of one millisecond.
    pub(super) nonce: u32,
    /// Whether the client accepts compressed answers, which could not be read as evidence.
    pub(super) accepts_encodings: bool,
    /// A payment is asked for by its reference and by the gateway's own number. Which of the two a
    /// gateway goes by is not documented, so its answer speaks of the payment only if it names it.
    pub(super) named_twice: bool,
}

/// A payment about to be made.
#[derive(Clone, Debug)]
pub(super) struct Payment {
    pub(super) key: ClaimKey,
    pub(super) fingerprint: Fingerprint,
    pub(super) money: Money,
    pub(super) repeat: Repeat,
    /// `Idempotency-Key` for the gateway.
    pub(super) idempotency_key: String,
    /// The key under which the client's `Idempotency-Key` is bound to this payment, where it is
    /// not the identity itself.
    pub(super) header_key: Option<ClaimKey>,
}

/// A payment that is asked for by the gateway's own number: which one it is, only an answer that
/// names the partner's reference can tell.
#[derive(Clone, Debug)]
pub(super) struct NamedLater {
    namespace: Cow<'static, str>,
    /// The members of the identity that the request has, in their order; the one that is missing
    /// is the reference.
    identity: Vec<Option<String>>,
}

impl NamedLater {
    pub(super) fn key(&self, partner: &str, reference: &str) -> ClaimKey {
        let identity = self.identity.iter().map(|member| member.as_deref().unwrap_or(reference));
        ClaimKey::derive(partner, &self.namespace, identity)
    }
}

impl ParsedRequest {
    /// Reads a request.
    pub(super) fn parse(
        request: &Request<'_>,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Self, RefusedRequest> {
        // Whatever it is refused for, its operation says whether that is enforced.
        let found = policy.operations.find(path(request));
        let operation = if let Matched::Operation(found) = &found { Some(*found) } else { None };
        let (head, fault) = pick(request, policy, operation);
        fault.and_then(|()| Self::read(&head, request, &found, policy, now)).map_err(|refusal| {
            RefusedRequest {
                refusal,
                operation: operation.map(Rc::clone),
                request_id: head.request_id.to_owned(),
                named: operation.and_then(|operation| named(&head, request, operation, policy)),
            }
        })
    }

    fn read(
        head: &RequestHead<'_>,
        request: &Request<'_>,
        found: &Matched<'_>,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Self, RequestError> {
        if !may_speak(request.peer, head.partner, policy) {
            return Err(RequestError::Peer);
        }
        if request.body.len() > policy.config.request_body_bytes_max {
            let bytes_max = policy.config.request_body_bytes_max;
            return Err(RequestError::BodyTooLarge { bytes_max });
        }
        let request_id = head.request_id.to_owned();
        let operation = match found {
            Matched::Operation(operation) => *operation,
            Matched::Unmatched if policy.config.pass_unmatched => {
                return Ok(Self::passed(request_id));
            }
            Matched::Unmatched => return Err(RequestError::Unmatched),
            Matched::Ambiguous => return Err(RequestError::AmbiguousPath),
        };
        check_form(head, policy, operation)?;
        check_rights(head, policy, operation)?;
        let members = IdentityMembers::read(request.body, operation, policy)?;
        let partner = head.partner.unwrap_or_default();
        let payment = match operation.operation.class {
            Class::Charge | Class::FollowUp => {
                Some(members.payment(head, policy, operation, request.body)?)
            }
            Class::Inquiry | Class::State => None,
        };
        let concerns = operation.operation.concerns.as_ref().and_then(|concerns| {
            let identity = members.texts(&operation.slots.concerns)?;
            (!partner.is_empty()).then(|| ClaimKey::derive(partner, &concerns.namespace, identity))
        });
        let cancel = operation.operation.status.and_then(|_| {
            let identity = members.texts(&operation.slots.concerns)?;
            Some(ClaimKey::derive(partner, CANCEL, identity))
        });
        let named_later =
            if concerns.is_none() { members.named_later(operation, partner) } else { None };
        let token = head
            .customer_token
            .filter(|_| operation.operation.affinity && policy.config.ledger == Ledger::Separate);
        let token = token.map(|token| token_key(partner, token));
        let fills_external_id = policy.config.protocol == Protocol::DanaSnap
            && !operation.operation.service_codes.is_empty()
            && operation.operation.class != Class::State;
        let stamp = Stamp { request_id: &request_id, now, context: request.context };
        let class = operation.operation.class;
        let pays = matches!(class, Class::Charge | Class::FollowUp);
        Ok(Self {
            payment,
            source: Source::new(partner, &operation.operation.name, pays),
            concerns,
            cancel,
            named_later,
            token,
            partner: partner.to_owned(),
            reference: operation
                .slots
                .reference
                .and_then(|place| members.text(place))
                .map(str::to_owned),
            external_id: (fills_external_id && head.external_id.is_none()).then(|| stamp.text()),
            nonce: stamp.number(),
            accepts_encodings: head.accepts_encodings,
            named_twice: concerns.is_some() && members.has(operation.slots.gateways_number),
            operation: Some(Rc::clone(operation)),
            request_id,
        })
    }

    /// A request that is passed on without promises.
    pub(super) fn passed(request_id: String) -> Self {
        Self {
            operation: None,
            payment: None,
            concerns: None,
            cancel: None,
            named_later: None,
            token: None,
            partner: String::new(),
            source: Source::default(),
            reference: None,
            request_id,
            external_id: None,
            nonce: 0,
            accepts_encodings: false,
            named_twice: false,
        }
    }

    /// Whether it says which payment it is about, itself or by what its answer will name.
    pub(super) const fn is_named(&self) -> bool {
        self.concerns.is_some() || self.named_later.is_some()
    }

    /// What happens to it.
    pub(super) fn class(&self) -> Option<Class> {
        self.operation.as_ref().map(|operation| operation.operation.class)
    }
}

/// The header fields that matter, with the partner that a call of the token service names.
fn pick<'a>(
    request: &Request<'a>,
    policy: &Policy,
    operation: Option<&Rc<Compiled>>,
) -> (RequestHead<'a>, Result<(), RequestError>) {
    let (mut head, fault) = RequestHead::pick(request, policy);
    let by_client_key = operation.is_some_and(|one| one.operation.by_client_key);
    if fault.is_err() || head.partner.is_some() || !by_client_key {
        return (head, fault);
    }
    let fault = client_key(request, policy).map(|partner| head.partner = partner);
    (head, fault)
}

/// The key under which a customer's token leads to the gateway that issued it.
pub(super) fn token_key(partner: &str, token: &str) -> ClaimKey {
    ClaimKey::derive(partner, "customer token", [token])
}

/// Its method, and how its body is written down. Whoever decodes a body otherwise than we read it may
/// find another payment in it.
fn check_form(
    head: &RequestHead<'_>,
    policy: &Policy,
    operation: &Compiled,
) -> Result<(), RequestError> {
    let class = operation.operation.class;
    let reads = policy.config.protocol == Protocol::Http && class == Class::Inquiry;
    match (head.method, head.foreign_encoding) {
        ("POST", Some(name)) if matches!(class, Class::Charge | Class::FollowUp) => {
            Err(RequestError::BadField(format!("{name}; the body must be plain UTF-8 JSON.")))
        }
        ("POST", _) => Ok(()),
        ("GET", _) if reads => Ok(()),
        _ => Err(RequestError::Method { allowed: "POST" }),
    }
}

/// Whether the partner may call it, and any gateway may get it.
fn check_rights(
    head: &RequestHead<'_>,
    policy: &Policy,
    operation: &Compiled,
) -> Result<(), RequestError> {
    let name = &*operation.operation.name;
    let permitted = policy.gateways.iter().any(|gateway| gateway.permits(Some(name)));
    if permitted && policy.config.may_call(head.partner.unwrap_or_default(), name) {
        return Ok(());
    }
    Err(RequestError::Operation)
}

/// The members of a body that matter.
struct IdentityMembers<'a>(Vec<Option<Scalar<'a>>>);

impl<'a> IdentityMembers<'a> {
    fn read(body: &'a [u8], operation: &Compiled, policy: &Policy) -> Result<Self, RequestError> {
        let moves_money = matches!(operation.operation.class, Class::Charge | Class::FollowUp);
        let slots = &operation.slots;
        let needs = policy.config.protocol == Protocol::DanaSnap
            || !(slots.identity.is_empty() && slots.fingerprint.is_empty());
        if !needs {
            return Ok(Self(Vec::new()));
        }
        // Strings that nobody asks for are passed over unread, and what bytes beyond ASCII hide from
        // a reader of another encoding is for nobody to find out.
        if moves_money && std::str::from_utf8(body).is_err() {
            return Err(RequestError::BadField("The body is not UTF-8.".to_owned()));
        }
        match operation.request.extract(body) {
            Ok(members) => Ok(Self(members)),
            Err(error) if moves_money => {
                Err(RequestError::BadField(format!("The body is not readable as JSON: {error}.")))
            }
            // A query that we cannot read is the gateway's to refuse.
            Err(_) => Ok(Self(Vec::new())),
        }
    }

    /// A body that cannot be read, or of which nothing is asked, has nothing anywhere.
    const fn are_unread(&self) -> bool {
        self.0.is_empty()
    }

    fn scalar(&self, place: usize) -> Option<&Scalar<'a>> {
        self.0.get(place).and_then(Option::as_ref)
    }

    fn text(&self, place: usize) -> Option<&str> {
        self.scalar(place).and_then(Scalar::as_text)
    }

    /// Whether anything stands there that names something.
    fn has(&self, place: Option<usize>) -> bool {
        let found = place.and_then(|place| self.scalar(place));
        found.is_some_and(|scalar| !matches!(scalar, Scalar::Null) && scalar.as_text() != Some(""))
    }

    /// All of them, if all are there.
    fn texts<'s>(&'s self, places: &[usize]) -> Option<Vec<&'s str>> {
        places.iter().map(|place| self.text(*place).filter(|text| !text.is_empty())).collect()
    }

    /// A status that is asked for without the partner's reference. One that is there and no text
    /// may be read as a reference by others.
    fn named_later(&self, operation: &Compiled, partner: &str) -> Option<NamedLater> {
        // Others may read more of it than we do.
        if self.are_unread() {
            return None;
        }
        let concerns = operation.operation.concerns.as_ref()?;
        let reference = &operation.operation.reference.as_ref()?.pointer;
        let mut identity = Vec::with_capacity(concerns.identity.len());
        for (pointer, place) in concerns.identity.iter().zip(&operation.slots.concerns) {
            let is_reference = pointer == reference;
            match self.scalar(*place) {
                None | Some(Scalar::Null) if is_reference => identity.push(None),
                Some(Scalar::Text(text)) if text.is_empty() == is_reference => {
                    identity.push(Some(text.to_string()).filter(|text| !text.is_empty()));
                }
                Some(_) | None => return None,
            }
        }
        let names = identity.iter().any(Option::is_none) && !partner.is_empty();
        names.then(|| NamedLater { namespace: concerns.namespace.clone(), identity })
    }

    fn payment(
        &self,
        head: &RequestHead<'_>,
        policy: &Policy,
        operation: &Compiled,
        body: &[u8],
    ) -> Result<Payment, RequestError> {
        let partner = head.partner.filter(|partner| !partner.is_empty()).ok_or_else(|| {
            let name = policy.config.partner_header.to_ascii_uppercase();
            RequestError::NoIdentity(format!("Header {name} is missing."))
        })?;
        let namespace = &operation.operation.namespace;
        let header_key = head.idempotency_key.map(parse_idempotency_key).transpose();
        let header_key = header_key.map_err(|what| RequestError::BadField(format!("{what}.")))?;
        let in_body = match &operation.operation.identity {
            Identity::Body(pointers) => self.identity(pointers, &operation.slots.identity)?,
            Identity::Header => None,
        };
        let mut bound = None;
        let (key, repeat, is_own) = match (in_body, header_key) {
            (Some(identity), header_key) => {
                let space = format!("{namespace} header key");
                bound = header_key
                    .map(|header_key| ClaimKey::derive(partner, &space, [header_key.as_str()]));
                (ClaimKey::derive(partner, namespace, identity), operation.operation.repeat, false)
            }
            // Told apart from an identity of the body by a namespace of its own.
            (None, Some(header_key)) => {
                let namespace = format!("{namespace} by key");
                let repeat = match operation.operation.identity {
                    Identity::Header => operation.operation.repeat,
                    Identity::Body(_) => Repeat::Never,
                };
                (ClaimKey::derive(partner, &namespace, [header_key.as_str()]), repeat, true)
            }
            (None, None) => return Err(no_identity(&operation.operation.identity)),
        };
        let idempotency_key = match head.idempotency_key.map(parse_idempotency_key) {
            // Quoted whichever way it came: for the gateway too it is one key.
            Some(Ok(own)) if is_own => quote(&own),
            Some(_) | None => key.as_idempotency_key(),
        };
        let amount = operation.slots.amount.map(|(value, _)| value);
        let plain = amount.and_then(|place| plain_amount(self.text(place)?));
        let plain = plain.map(|text| Scalar::Text(Cow::Owned(text)));
        let fields = operation.slots.fingerprint.iter().map(|place| match &plain {
            Some(plain) if Some(*place) == amount => Some(plain),
            Some(_) | None => self.scalar(*place),
        });
        let mut named = operation.operation.fingerprint.iter().zip(fields.clone());
        if let Some((pointer, _)) = named.find(|(_, field)| *field == Some(&Scalar::Composite)) {
            return Err(RequestError::BadField(format!(
                "{pointer} must not be an object or a list."
            )));
        }
        let fingerprint = if operation.slots.fingerprint.is_empty() {
            Fingerprint::of_body(&key, body)
        } else {
            Fingerprint::of_fields(&key, fields)
        };
        Ok(Payment {
            key,
            fingerprint,
            money: self.money(operation),
            repeat,
            idempotency_key,
            header_key: bound,
        })
    }

    /// The identity in the body; `None` when none of it is there. A part of it names nothing, and
    /// a header key beside it would make two payments of one reference.
    fn identity(
        &self,
        pointers: &[Pointer],
        places: &[usize],
    ) -> Result<Option<Vec<&str>>, RequestError> {
        let mut identity = Vec::with_capacity(places.len());
        for (pointer, place) in pointers.iter().zip(places) {
            match self.scalar(*place) {
                None | Some(Scalar::Null) => {}
                Some(Scalar::Text(text)) if text.is_empty() => {}
                Some(Scalar::Text(text)) if text.chars().count() > limits::IDENTITY_CHARS_MAX => {
                    let chars_max = limits::IDENTITY_CHARS_MAX;
                    return Err(RequestError::BadField(format!(
                        "{pointer} is longer than {chars_max}."
                    )));
                }
                Some(Scalar::Text(text)) => identity.push(text.as_ref()),
                Some(Scalar::Bool(_) | Scalar::Number(_) | Scalar::Composite) => {
                    return Err(RequestError::BadField(format!("{pointer} must be a string.")));
                }
            }
        }
        match identity.len() {
            0 => Ok(None),
            found if found == pointers.len() => Ok(Some(identity)),
            _ => Err(no_identity(&Identity::Body(pointers.to_vec()))),
        }
    }

    fn money(&self, operation: &Compiled) -> Money {
        let Some((value, currency)) = operation.slots.amount else {
            return Money::default();
        };
        let minor = self.text(value).and_then(hundredths).unwrap_or_default();
        let letters = self.text(currency).and_then(|text| text.as_bytes().try_into().ok());
        Money { minor, currency: letters.unwrap_or_default() }
    }
}

fn no_identity(identity: &Identity) -> RequestError {
    RequestError::NoIdentity(match identity {
        Identity::Body(pointers) => {
            let names: Vec<String> = pointers.iter().map(ToString::to_string).collect();
            format!(
                "Nothing says which payment this is: the body must carry {}, or the request an \
                 Idempotency-Key.",
                names.join(" and ")
            )
        }
        Identity::Header => "Header Idempotency-Key is missing.".to_owned(),
    })
}
