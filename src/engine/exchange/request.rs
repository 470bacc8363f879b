//! What a request wants: its operation, and the payment it is or concerns. Parsed once; whatever
//! is malformed is refused here and nothing is sent.

use std::rc::Rc;

pub(super) mod amount;
pub(super) mod head;
mod identity;
pub(super) mod refused;
mod rights;

use crate::engine::config::{Ledger, Policy};
use crate::engine::event::{Request, Subject};
use crate::engine::health::Source;
use crate::engine::payment::{ClaimKey, Money};
use crate::engine::protocol::{CANCEL, Class, Compiled, Matched, Protocol, RequestError};
use crate::engine::time::Timestamp;
use head::{RequestHead, Stamp, client_key, path};
use identity::IdentityMembers;
pub(super) use identity::{NamedLater, Payment};
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
    /// Whose request it is, and what it says of itself.
    pub(super) subject: Rc<Subject>,
    /// Whose it is, and what it is, for the gateway's breaker.
    pub(super) source: Source,
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

impl ParsedRequest {
    /// Reads a request.
    pub(super) fn parse(
        request: &Request<'_>,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Box<Self>, RefusedRequest> {
        // Whatever it is refused for, its operation says whether that is enforced.
        let found = policy.operations.find(path(request));
        let operation = if let Matched::Operation(found) = &found { Some(*found) } else { None };
        let (head, fault) = pick(request, policy, operation);
        fault.and_then(|()| Self::read(&head, request, &found, policy, now)).map_err(|refusal| {
            RefusedRequest {
                refusal,
                operation: operation.map(Rc::clone),
                subject: Rc::new(head.subject(None, Money::default())),
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
    ) -> Result<Box<Self>, RequestError> {
        if !may_speak(request.peer, head.partner, policy) {
            return Err(RequestError::Peer);
        }
        if request.body.len() > policy.config.request_body_bytes_max {
            let bytes_max = policy.config.request_body_bytes_max;
            return Err(RequestError::BodyTooLarge { bytes_max });
        }
        let operation = match found {
            Matched::Operation(operation) => *operation,
            Matched::Unmatched if policy.config.pass_unmatched => {
                return Ok(Self::passed(Rc::new(head.subject(None, Money::default()))));
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
        let stamp = Stamp { request_id: head.request_id, now, context: request.context };
        let reference = operation.slots.reference.and_then(|place| members.text(place));
        let money = payment.as_ref().map(|payment| payment.money).unwrap_or_default();
        let class = operation.operation.class;
        let pays = matches!(class, Class::Charge | Class::FollowUp);
        Ok(Box::new(Self {
            payment,
            source: Source::new(partner, &operation.operation.name, pays),
            concerns,
            cancel,
            named_later,
            token,
            subject: Rc::new(head.subject(reference, money)),
            external_id: (fills_external_id && head.external_id.is_none()).then(|| stamp.text()),
            nonce: stamp.number(),
            accepts_encodings: head.accepts_encodings,
            named_twice: concerns.is_some() && members.has(operation.slots.gateways_number),
            operation: Some(Rc::clone(operation)),
        }))
    }

    /// A request that is passed on without promises.
    pub(super) fn passed(subject: Rc<Subject>) -> Box<Self> {
        Box::new(Self {
            operation: None,
            payment: None,
            concerns: None,
            cancel: None,
            named_later: None,
            token: None,
            subject,
            source: Source::default(),
            external_id: None,
            nonce: 0,
            accepts_encodings: false,
            named_twice: false,
        })
    }

    /// Whether it says which payment it is about, itself or by what its answer will name.
    pub(super) const fn is_named(&self) -> bool {
        self.concerns.is_some() || self.named_later.is_some()
    }

    /// Whether it undoes a payment, whole.
    pub(super) fn is_cancel(&self) -> bool {
        let operation = self.operation.as_ref().map(|compiled| &compiled.operation);
        operation.is_some_and(|one| one.class == Class::FollowUp && one.namespace == CANCEL)
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
