//! Which payment a notification is about, what it says, and whether it is who it says.
//!
//! Nothing is believed before the signature is verified. What is cheap is looked at first: a verification
//! takes as long as a hundred of the other checks.

use std::borrow::Cow;
use std::rc::Rc;

use super::answer;
use super::inbound::Inbound;
use crate::engine::codec::json::{Pointer, Scalar};
use crate::engine::codec::{base64, hex, sha256};
use crate::engine::config::Policy;
use crate::engine::event::{Decision, NotificationEffect, Request, Subject, Way};
use crate::engine::exchange::request::amount::hundredths;
use crate::engine::exchange::request::head::{RequestHead, Stamp, once, path};
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::limits;
use crate::engine::payment::{ClaimKey, Closed, Money, PaymentStatus};
use crate::engine::protocol::{Compiled, Matched, PublicKey, RequestError};
use crate::engine::store::Key;
use crate::engine::time::{Millis, Timestamp};

/// A notification whose signature is verified.
#[derive(Debug)]
pub(super) struct Notice {
    pub(super) operation: Rc<Compiled>,
    /// Who has signed it.
    pub(super) gateway: GatewayId,
    /// The payment that it is about.
    pub(super) payment: ClaimKey,
    /// What makes it the same notification: payment, status, amount, the gateway's own number of the payment;
    /// and the gateway, where each keeps a ledger of its own.
    pub(super) delivery: ClaimKey,
    /// What it says; `None` where that proves nothing.
    pub(super) status: Option<PaymentStatus>,
    /// When it was signed. A gateway's clock may be ahead.
    pub(super) signed_at: Timestamp,
    /// When what it says happened, as it says.
    pub(super) finished_at: Option<Timestamp>,
    /// Its gateway takes answers that are compressed.
    pub(super) accepts_encodings: bool,
    pub(super) subject: Rc<Subject>,
    pub(super) nonce: u32,
}

/// Why it is refused.
#[derive(Debug)]
pub(super) struct Refused {
    why: Refusal,
    operation: Option<Rc<Compiled>>,
    subject: Rc<Subject>,
}

/// What is wrong with it.
#[derive(Debug)]
enum Refusal {
    /// It goes to no place for notifications.
    Unmatched,
    Malformed(String),
    Unverified(String),
}

impl Notice {
    /// The records that it is about: its payment, and itself.
    pub(super) fn keys(&self) -> [Key; 2] {
        [Key::Payment(self.payment.reference()), Key::Alias(self.delivery.reference())]
    }

    pub(super) fn service_code(&self) -> Option<&str> {
        service_code(&self.operation)
    }
}

fn service_code(operation: &Compiled) -> Option<&str> {
    operation.operation.service_codes.first().map(AsRef::as_ref)
}

impl Refused {
    /// The gateway is told, and nothing is passed on.
    pub(super) fn effects(self, now: Timestamp) -> Vec<NotificationEffect> {
        let (code, message, reason) = match self.why {
            Refusal::Unmatched => {
                ((404, 0), "Notifications are not taken in here.".to_owned(), "unmatched")
            }
            Refusal::Malformed(what) => ((400, 1), what, "malformed"),
            Refusal::Unverified(what) => ((401, 0), what, "unverified"),
        };
        let service = self.operation.as_deref().and_then(service_code);
        let reply = answer::reply(code, service, &message, reason);
        let (decision, status, at) = (reason, reply.status, now);
        let told = Decision {
            way: Way::In,
            operation: self.operation,
            decision,
            status,
            at,
            subject: self.subject,
            ..Decision::default()
        };
        vec![NotificationEffect::Decided(Box::new(told)), NotificationEffect::Reply(reply)]
    }
}

/// The parts of a request that a signature covers beside its body, and the signature.
#[derive(Default)]
struct Seal<'a> {
    timestamp: Option<&'a str>,
    signature: Option<&'a str>,
}

/// The longest of each, in characters.
const TIMESTAMP_CHARS_MAX: usize = 64;
const SIGNATURE_CHARS_MAX: usize = 1024;

impl Inbound {
    /// Reads and verifies a notification.
    pub(super) fn read(
        &self,
        request: &Request<'_>,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Notice, Refused> {
        let (head, fault) = RequestHead::pick(request, policy);
        let target = path(request);
        let operation = match self.table.find(target) {
            Matched::Operation(operation) => Some(Rc::clone(operation)),
            Matched::Unmatched | Matched::Ambiguous => None,
        };
        let subject = Rc::new(Subject {
            partner: self.partner.clone(),
            ..head.subject(None, Money::default())
        });
        let refused =
            |why| Refused { why, operation: operation.clone(), subject: Rc::clone(&subject) };
        let Some(compiled) = &operation else {
            return Err(refused(Refusal::Unmatched));
        };
        let seal = fault
            .and_then(|()| Seal::pick(request))
            .map_err(|error| refused(Refusal::Malformed(words(error))))?;
        self.check_head(&head, policy, request.body).map_err(&refused)?;
        let (signed_at, signature) = self.check_seal(&seal, now).map_err(&refused)?;
        let timestamp = seal.timestamp.unwrap_or_default();
        let signed = |form: &[u8]| {
            let hash = hex(&sha256(form));
            format!("{}:{target}:{hash}:{timestamp}", head.method)
        };
        let mut left = limits::NOTIFY_VERIFICATIONS_MAX;
        let mut verify = |key: &PublicKey, message: &str| {
            let may = left > 0;
            left = left.saturating_sub(1);
            may && key.verify(message.as_bytes(), &signature)
        };
        let verified = forms(request.body).into_iter().find_map(|form| {
            let message = signed(&form);
            let mut keys = self.keys(signed_at);
            let (gateway, _) = keys.find(|(_, key)| verify(key, &message))?;
            Some((gateway, form))
        });
        let Some((gateway, form)) = verified else {
            const WHY: &str = "Unauthorized: X-SIGNATURE is none of a key that counts here.";
            return Err(refused(Refusal::Unverified(WHY.to_owned())));
        };
        let said = Said::read(&form, compiled).map_err(|what| refused(Refusal::Malformed(what)))?;
        let stamp = Stamp { request_id: head.request_id, now, context: request.context };
        let subject = Subject {
            partner: self.partner.clone(),
            ..head.subject(Some(&said.reference), said.money)
        };
        let identity = said.identity.iter().map(String::as_str);
        let namespace = compiled.operation.concerns.as_ref().map_or("", |of| of.namespace.as_ref());
        let names = [namespace].into_iter().chain(identity.clone());
        let amount = [said.money.amount(), said.money.letters().to_owned()];
        let names = names.chain([said.status.as_str(), said.number.as_str()]);
        let names = names.chain(amount.iter().map(String::as_str));
        // What another gateway says is another payment, unless all keep one ledger.
        let gateway_name = policy.names(Gateways::only(gateway));
        let is_shared = policy.claims.shared_ledger;
        let names = names.chain((!is_shared).then_some(gateway_name.as_str()));
        Ok(Notice {
            gateway,
            payment: ClaimKey::derive(&self.partner, namespace, identity),
            delivery: ClaimKey::derive(&self.partner, "notification", names),
            status: said.payment_status(),
            signed_at: signed_at.min(now),
            finished_at: said.finished.map(|at| at.min(signed_at).min(now)),
            accepts_encodings: head.accepts_encodings,
            subject: Rc::new(subject),
            nonce: stamp.number(),
            operation: Rc::clone(compiled),
        })
    }

    fn check_head(
        &self,
        head: &RequestHead<'_>,
        policy: &Policy,
        body: &[u8],
    ) -> Result<(), Refusal> {
        if head.method != "POST" {
            return Err(Refusal::Malformed("Invalid method: expected POST.".to_owned()));
        }
        if let Some(what) = head.foreign_encoding {
            return Err(Refusal::Malformed(format!("{what}: expected plain JSON in UTF-8.")));
        }
        if body.len() > policy.config.request_body_bytes_max {
            return Err(Refusal::Malformed("The body is too long.".to_owned()));
        }
        // No signature covers it, so it can only contradict.
        match head.partner {
            Some(partner) if partner != self.partner => Err(Refusal::Unverified(
                "Unauthorized: X-PARTNER-ID is not the partner of this address.".to_owned(),
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// When it was signed, and the signature; neither is verified.
    fn check_seal(&self, seal: &Seal<'_>, now: Timestamp) -> Result<(Timestamp, Vec<u8>), Refusal> {
        let missing = |name| Refusal::Unverified(format!("Unauthorized: {name} is missing."));
        let timestamp = seal.timestamp.ok_or_else(|| missing("X-TIMESTAMP"))?;
        let signature = seal.signature.ok_or_else(|| missing("X-SIGNATURE"))?;
        let wrong = |what: &str| Refusal::Unverified(format!("Unauthorized: {what}."));
        let signed_at = Timestamp::read(timestamp)
            .ok_or_else(|| wrong("X-TIMESTAMP is no time such as 2026-11-30T00:00:00+07:00"))?;
        if now.since(signed_at) > self.age_max {
            return Err(wrong("X-TIMESTAMP is too long ago"));
        }
        if signed_at.since(now) > Millis::new(limits::NOTIFY_AHEAD_MS_MAX) {
            return Err(wrong("X-TIMESTAMP lies ahead"));
        }
        let signature = base64::decode(signature.as_bytes())
            .ok_or_else(|| wrong("X-SIGNATURE is not base64"))?;
        Ok((signed_at, signature))
    }
}

impl<'a> Seal<'a> {
    fn pick(request: &Request<'a>) -> Result<Self, RequestError> {
        let mut seal = Self::default();
        for &(name, value) in request.headers {
            match name {
                b"x-timestamp" => once(&mut seal.timestamp, name, value, TIMESTAMP_CHARS_MAX)?,
                b"x-signature" => once(&mut seal.signature, name, value, SIGNATURE_CHARS_MAX)?,
                _ => {}
            }
        }
        Ok(seal)
    }
}

fn words(error: RequestError) -> String {
    if let RequestError::BadField(what) = error { what } else { "Bad request.".to_owned() }
}

/// What a body says.
struct Said {
    identity: Vec<String>,
    reference: String,
    money: Money,
    status: String,
    /// The gateway's own number of the payment; empty where it names none.
    number: String,
    finished: Option<Timestamp>,
}

impl Said {
    /// Reads the form of the body that is signed.
    fn read(body: &[u8], compiled: &Compiled) -> Result<Self, String> {
        let mut extractor = compiled.request.clone();
        let mut place = |text| Pointer::parse(text).map(|pointer| extractor.add(&pointer));
        let status_at = place("/latestTransactionStatus");
        let (number_at, finished_at) = (place("/originalReferenceNo"), place("/finishedTime"));
        let members = extractor
            .extract(body)
            .map_err(|error| format!("The body is not readable as JSON: {error}."))?;
        let text = |at: Option<usize>| {
            let found = members.get(at?).and_then(Option::as_ref);
            found.and_then(Scalar::as_text).filter(|text| !text.is_empty())
        };
        let short = |text: &str| text.chars().count() <= limits::IDENTITY_CHARS_MAX;
        let missing = |name: &dyn std::fmt::Display| format!("Invalid mandatory field {name}.");
        let concerns = compiled.operation.concerns.iter().flat_map(|of| &of.identity);
        let identity = concerns
            .zip(&compiled.slots.concerns)
            .map(|(name, at)| {
                let found = text(Some(*at)).filter(|text| short(text));
                found.map(str::to_owned).ok_or_else(|| missing(name))
            })
            .collect::<Result<Vec<String>, String>>()?;
        let status = text(status_at).filter(|text| short(text));
        let amount = compiled.slots.amount;
        let minor = amount.and_then(|(value, _)| hundredths(text(Some(value))?));
        let letters =
            amount.and_then(|(_, letters)| text(Some(letters))?.as_bytes().try_into().ok());
        Ok(Self {
            identity,
            reference: text(compiled.slots.reference).unwrap_or_default().to_owned(),
            money: Money {
                minor: minor.unwrap_or_default(),
                currency: letters.unwrap_or_default(),
            },
            status: status.ok_or_else(|| missing(&"/latestTransactionStatus"))?.to_owned(),
            number: text(number_at).filter(|text| short(text)).unwrap_or_default().to_owned(),
            finished: text(finished_at).and_then(Timestamp::read),
        })
    }

    /// What its status says of the payment, where that is the end of it. What is under way proves nothing, and
    /// a gateway notifies of nothing that it does not know.
    fn payment_status(&self) -> Option<PaymentStatus> {
        Some(match self.status.as_str() {
            "00" => PaymentStatus::Executed,
            "04" => PaymentStatus::Closed(Closed::Refunded),
            "05" => PaymentStatus::Closed(Closed::Cancelled),
            "06" => PaymentStatus::Closed(Closed::Failed),
            _ => return None,
        })
    }
}

/// The forms of a body that may have been signed: as it is; without white space that means nothing, which
/// DANA's documents prescribe; and with quotes that were escaped once too often on the way, which DANA's
/// SDKs allow for.
fn forms(body: &[u8]) -> Vec<Cow<'_, [u8]>> {
    let mut forms = vec![Cow::Borrowed(body)];
    let mut add = |form: Vec<u8>| {
        if !forms.iter().any(|known| **known == *form) {
            forms.push(Cow::Owned(form));
        }
    };
    add(minified(body));
    let unescaped = unescaped(body);
    add(minified(&unescaped));
    add(unescaped);
    forms
}

/// Without the white space between tokens.
fn minified(json: &[u8]) -> Vec<u8> {
    let (mut is_in_text, mut is_escaped) = (false, false);
    let mut kept = Vec::with_capacity(json.len());
    for &byte in json {
        if is_in_text {
            is_in_text = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
        } else if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            continue;
        } else {
            is_in_text = byte == b'"';
        }
        kept.push(byte);
    }
    kept
}

/// With `\\\"` as `\"`.
fn unescaped(json: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(json.len());
    let mut rest = json;
    while let Some((&byte, tail)) = rest.split_first() {
        if let Some(tail) = rest.strip_prefix(br#"\\\""#) {
            kept.extend(br#"\""#);
            rest = tail;
        } else {
            kept.push(byte);
            rest = tail;
        }
    }
    kept
}
