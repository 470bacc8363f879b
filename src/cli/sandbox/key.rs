//! The identity of a payment.

use super::operations::Namespace;

/// Between the parts of an encoded key; no reference holds it.
const SEPARATOR: char = '\u{1f}';

/// Who pays what: the identity DANA keeps idempotency by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) namespace: Namespace,
    pub(super) partner: String,
    pub(super) merchant: String,
    pub(super) reference: String,
    pub(super) refund: String,
}

impl Key {
    pub(super) fn encode(&self) -> Box<str> {
        let clean = |text: &str| text.replace(SEPARATOR, " ");
        let parts = [
            self.namespace.name().to_owned(),
            clean(&self.partner),
            clean(&self.merchant),
            clean(&self.reference),
            clean(&self.refund),
        ];
        parts.join(&SEPARATOR.to_string()).into_boxed_str()
    }

    pub(super) fn decode(text: &str) -> Option<Self> {
        let mut parts = text.split(SEPARATOR).map(str::to_owned);
        let name = parts.next()?;
        let namespace =
            Namespace::ALL.into_iter().find(|namespace| namespace.name() == name.as_str())?;
        Some(Self {
            namespace,
            partner: parts.next()?,
            merchant: parts.next()?,
            reference: parts.next()?,
            refund: parts.next()?,
        })
    }
}
