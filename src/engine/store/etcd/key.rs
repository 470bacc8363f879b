//! Names of keys. All of them begin with the realm, so that one role in etcd covers one realm.
//!
//! | key | what | lease |
//! |---|---|---|
//! | `/dana/v1/REALM/layout` | what is fixed for the life of the realm | none |
//! | `/dana/v1/REALM/o/KEY` | a payment that is not resolved | none |
//! | `/dana/v1/REALM/s/KEY` | a payment that is resolved | the retention |
//! | `/dana/v1/REALM/a/KEY` | a header key or a customer's token | its retention |
//! | `/dana/v1/REALM/p/WRITER` | what a worker has claimed to try the store | the retention |
//!
//! `KEY` is 40 hexadecimal digits, as in the access log.

use crate::engine::payment::PaymentRef;
use crate::engine::store::contract::Key;

/// The keys of one realm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realm(String);

impl Realm {
    /// The realm of this name: letters, digits and hyphens.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(format!("/dana/v1/{name}/"))
    }

    /// What is fixed for the life of the realm.
    pub(super) fn layout(&self) -> Vec<u8> {
        format!("{}layout", self.0).into_bytes()
    }

    /// What a worker has claimed to try the store.
    pub(super) fn probe(&self, writer: u64) -> Vec<u8> {
        format!("{}p/{writer:016x}", self.0).into_bytes()
    }

    /// A payment that is not resolved.
    pub(super) fn open(&self, payment: PaymentRef) -> Vec<u8> {
        format!("{}o/{payment}", self.0).into_bytes()
    }

    /// All payments that are not resolved: the first key, and the first one after them.
    pub(super) fn all_open(&self) -> (Vec<u8>, Vec<u8>) {
        let of = |end| format!("{}o{end}", self.0).into_bytes();
        // The sign after the slash.
        (of('/'), of('0'))
    }

    /// A payment that is resolved.
    pub(super) fn settled(&self, payment: PaymentRef) -> Vec<u8> {
        format!("{}s/{payment}", self.0).into_bytes()
    }

    fn alias(&self, alias: PaymentRef) -> Vec<u8> {
        format!("{}a/{alias}", self.0).into_bytes()
    }

    /// How many keys a record may stand under.
    pub(super) const fn places_of(key: Key) -> usize {
        match key {
            Key::Payment(_) => 2,
            Key::Alias(_) => 1,
        }
    }

    /// Under which keys a record may stand, in the order in which they are read.
    pub(super) fn places(&self, key: Key) -> Vec<Vec<u8>> {
        match key {
            Key::Payment(payment) => vec![self.open(payment), self.settled(payment)],
            Key::Alias(alias) => vec![self.alias(alias)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_open_payments_are_one_range_of_their_own() {
        let realm = Realm::new("shop");
        let payment = PaymentRef::from_bytes([0xAB; 20]);
        let (first, end) = realm.all_open();
        let open = realm.open(payment);
        assert!(first < open && open < end, "{open:?}");
        for other in [realm.settled(payment), realm.layout(), realm.probe(1), realm.alias(payment)]
        {
            assert!(other < first || other >= end, "{other:?}");
        }
        assert_eq!(open, format!("/dana/v1/shop/o/{}", "ab".repeat(20)).into_bytes());
    }
}
