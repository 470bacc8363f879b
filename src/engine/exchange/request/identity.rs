//! The members of a body that identify a payment, and the payment that they make.

use std::borrow::Cow;

use super::amount::{hundredths, plain_amount};
use super::head::RequestHead;
use crate::engine::codec::json::{Pointer, Scalar};
use crate::engine::config::Policy;
use crate::engine::limits;
use crate::engine::payment::{ClaimKey, Fingerprint, Money, parse_idempotency_key, quote};
use crate::engine::protocol::{Class, Compiled, Identity, Protocol, Repeat, RequestError};

/// A payment about to be made.
#[derive(Clone, Debug)]
pub(in crate::engine::exchange) struct Payment {
    pub(in crate::engine::exchange) key: ClaimKey,
    pub(in crate::engine::exchange) fingerprint: Fingerprint,
    pub(in crate::engine::exchange) money: Money,
    pub(in crate::engine::exchange) repeat: Repeat,
    /// `Idempotency-Key` for the gateway.
    pub(in crate::engine::exchange) idempotency_key: String,
    /// The key under which the client's `Idempotency-Key` is bound to this payment, where it is
    /// not the identity itself.
    pub(in crate::engine::exchange) header_key: Option<ClaimKey>,
}

impl Payment {
    /// What a further attempt brings into the record.
    pub(in crate::engine::exchange) const fn fingerprint_and_money(&self) -> (Fingerprint, Money) {
        (self.fingerprint, self.money)
    }
}

/// A payment that is asked for by the gateway's own number: which one it is, only an answer that
/// names the partner's reference can tell.
#[derive(Clone, Debug)]
pub(in crate::engine::exchange) struct NamedLater {
    namespace: Cow<'static, str>,
    /// The members of the identity that the request has, in their order; the one that is missing
    /// is the reference.
    identity: Vec<Option<String>>,
}

impl NamedLater {
    pub(in crate::engine::exchange) fn key(&self, partner: &str, reference: &str) -> ClaimKey {
        let identity = self.identity.iter().map(|member| member.as_deref().unwrap_or(reference));
        ClaimKey::derive(partner, &self.namespace, identity)
    }
}

/// The members of a body that matter.
pub(super) struct IdentityMembers<'a>(Vec<Option<Scalar<'a>>>);

impl<'a> IdentityMembers<'a> {
    pub(super) fn read(
        body: &'a [u8],
        operation: &Compiled,
        policy: &Policy,
    ) -> Result<Self, RequestError> {
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
    pub(super) const fn are_unread(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn scalar(&self, place: usize) -> Option<&Scalar<'a>> {
        self.0.get(place).and_then(Option::as_ref)
    }

    pub(super) fn text(&self, place: usize) -> Option<&str> {
        self.scalar(place).and_then(Scalar::as_text)
    }

    /// Whether anything stands there that names something.
    pub(super) fn has(&self, place: Option<usize>) -> bool {
        let found = place.and_then(|place| self.scalar(place));
        found.is_some_and(|scalar| !matches!(scalar, Scalar::Null) && scalar.as_text() != Some(""))
    }

    /// All of them, if all are there.
    pub(super) fn texts<'s>(&'s self, places: &[usize]) -> Option<Vec<&'s str>> {
        places.iter().map(|place| self.text(*place).filter(|text| !text.is_empty())).collect()
    }

    /// A status that is asked for without the partner's reference. One that is there and no text
    /// may be read as a reference by others.
    pub(super) fn named_later(&self, operation: &Compiled, partner: &str) -> Option<NamedLater> {
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

    pub(super) fn payment(
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
                bound = header_key.map(|header_key| {
                    let space = format!("{namespace} header key");
                    ClaimKey::derive(partner, &space, [header_key.as_str()])
                });
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
    pub(super) fn identity(
        &self,
        pointers: &[Pointer],
        places: &[usize],
    ) -> Result<Option<Vec<&str>>, RequestError> {
        let mut identity = Vec::with_capacity(places.len());
        for (pointer, place) in pointers.iter().zip(places) {
            match self.scalar(*place) {
                None | Some(Scalar::Null) => {}
                Some(Scalar::Text(text)) if text.is_empty() => {}
                // Counted only where it may be too long: no text has more characters than bytes.
                Some(Scalar::Text(text))
                    if text.len() > limits::IDENTITY_CHARS_MAX
                        && text.chars().count() > limits::IDENTITY_CHARS_MAX =>
                {
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

    pub(super) fn money(&self, operation: &Compiled) -> Money {
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
