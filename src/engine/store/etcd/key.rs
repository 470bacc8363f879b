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

use crate::engine::codec::sha256;
use crate::engine::payment::PaymentRef;

/// The keys of one realm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realm(String);

const OPEN: u8 = b'o';
const SETTLED: u8 = b's';
const ALIAS: u8 = b'a';
const PROBE: u8 = b'p';

impl Realm {
    /// The realm of this name: letters, digits and hyphens.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(format!("/dana/v1/{name}/"))
    }

    /// Tells the realms of one process apart.
    pub(super) fn digest(&self) -> u64 {
        let digest = sha256(self.0.as_bytes());
        u64::from_le_bytes(digest.first_chunk().copied().unwrap_or_default())
    }

    /// What is fixed for the life of the realm.
    pub(super) fn layout(&self) -> Vec<u8> {
        [self.0.as_bytes(), b"layout"].concat()
    }

    /// What a worker has claimed to try the store.
    pub(super) fn probe(&self, writer: u64) -> Vec<u8> {
        self.key(PROBE, &writer.to_be_bytes())
    }

    /// A payment that is not resolved.
    pub(super) fn open(&self, payment: PaymentRef) -> Vec<u8> {
        self.key(OPEN, &payment.bytes())
    }

    /// All payments that are not resolved: the first key, and the first one after them.
    pub(super) fn all_open(&self) -> (Vec<u8>, Vec<u8>) {
        self.all(OPEN)
    }

    /// The first payment that is not resolved and whose key begins with these four digits, or what comes
    /// after all of them. All 65,536 such fronts have about as many payments.
    pub(super) fn open_end(&self, front: Option<u16>) -> Vec<u8> {
        match front {
            Some(front) => self.key(OPEN, &front.to_be_bytes()),
            None => self.all_open().1,
        }
    }

    /// All payments that are resolved.
    pub(super) fn all_settled(&self) -> (Vec<u8>, Vec<u8>) {
        self.all(SETTLED)
    }

    /// One of 256 parts of them. Keys are hashes, so all parts are about equal.
    pub(super) fn part_of_settled(&self) -> (Vec<u8>, Vec<u8>) {
        (self.key(SETTLED, &[0]), self.key(SETTLED, &[1]))
    }

    /// The payments whose keys begin with these bytes, or with as many of them as a key has: those that
    /// are not resolved, and those that are.
    pub(super) fn begun_with(&self, front: &[u8]) -> [(Vec<u8>, Vec<u8>); 2] {
        [OPEN, SETTLED].map(|kind| {
            let front = front.get(..PaymentRef::SIZE).unwrap_or(front);
            let first = self.key(kind, front);
            let mut end = first.clone();
            // A digit is followed by another sign than the greatest one.
            end.last_mut().into_iter().for_each(|digit| *digit += 1);
            (first, end)
        })
    }

    /// The payment that stands under a key, open or resolved.
    pub(super) fn payment(&self, key: &[u8]) -> Option<PaymentRef> {
        let [OPEN | SETTLED, b'/', digits @ ..] = key.strip_prefix(self.0.as_bytes())? else {
            return None;
        };
        let (pairs, []) = digits.as_chunks::<2>() else {
            return None;
        };
        let mut bytes = [0; PaymentRef::SIZE];
        if pairs.len() != bytes.len() {
            return None;
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = half(*high)? << 4 | half(*low)?;
        }
        Some(PaymentRef::from_bytes(bytes))
    }

    /// A payment that is resolved.
    pub(super) fn settled(&self, payment: PaymentRef) -> Vec<u8> {
        self.key(SETTLED, &payment.bytes())
    }

    /// What leads elsewhere.
    pub(super) fn alias(&self, alias: PaymentRef) -> Vec<u8> {
        self.key(ALIAS, &alias.bytes())
    }

    fn all(&self, kind: u8) -> (Vec<u8>, Vec<u8>) {
        let of = |end: &[u8]| [self.0.as_bytes(), &[kind], end].concat();
        // The sign after the slash.
        (of(b"/"), of(b"0"))
    }

    fn key(&self, kind: u8, bytes: &[u8]) -> Vec<u8> {
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or_default();
        let mut key = Vec::with_capacity(self.0.len() + 2 + 2 * bytes.len());
        key.extend(self.0.as_bytes());
        key.extend([kind, b'/']);
        key.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
        key
    }
}

/// What a hexadecimal digit stands for; keys have small letters.
const fn half(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
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
