//! Where a payment's records stand: which bucket holds its claim, which place its answer.
//!
//! A claim key is SHA-256 of what a merchant chooses and has no secret in it, because a gateway must
//! see the same `Idempotency-Key` of a payment after a restart and from another Envoy. So everybody
//! can compute keys, and whoever knew which of them meet in one bucket could fill it, and refuse
//! there the payments of others. Places are therefore chosen by a keyed hash whose seed belongs to
//! one store and never leaves it.

use std::fmt;

use crate::engine::codec::sha256;
use crate::engine::limits;
use crate::engine::payment::PaymentRef;

/// What makes the places of one store its own. Whoever writes it to a log gives it away, so its
/// `Debug` form does not show it. The default one, zero, is for stores that no stranger writes to:
/// replays, checks, tests.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Seed([u8; Self::SIZE]);

impl Seed {
    /// Bytes of a seed.
    pub const SIZE: usize = 16;

    /// A seed of these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; Self::SIZE]) -> Self {
        Self(bytes)
    }

    /// A seed from what an outsider cannot know in whole, in any form and of any length.
    #[must_use]
    pub fn gather(noise: &[u8]) -> Self {
        let digest = sha256(&[b"dana-failover seed 1", noise].concat());
        Self(digest.first_chunk().copied().unwrap_or_default())
    }

    pub(in crate::engine) const fn bytes(self) -> [u8; Self::SIZE] {
        self.0
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// The places of one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    buckets: u32,
    seed: Seed,
}

impl Placement {
    /// Of a store with room for `claims_max` records.
    #[must_use]
    pub const fn new(claims_max: u32, seed: Seed) -> Self {
        Self::of_buckets(claims_max.div_ceil(limits::BUCKET_RECORDS_MEAN), seed)
    }

    pub(in crate::engine::store) const fn of_buckets(buckets: u32, seed: Seed) -> Self {
        Self { buckets, seed }
    }

    /// The records that it has room for: those configured, rounded up to full buckets.
    #[must_use]
    pub const fn claims_max(&self) -> u32 {
        self.buckets.saturating_mul(limits::BUCKET_RECORDS_MEAN)
    }

    /// The ticks of the counting worker that one census takes, if the store is full.
    #[must_use]
    pub const fn census_ticks(&self) -> u32 {
        self.buckets.div_ceil(limits::CENSUS_BUCKETS_PER_TICK)
    }

    /// How many buckets there are.
    #[must_use]
    pub const fn buckets(&self) -> u32 {
        self.buckets
    }

    pub(in crate::engine) const fn seed(&self) -> Seed {
        self.seed
    }

    /// The bucket that holds the record of `payment`.
    #[must_use]
    pub fn bucket(&self, payment: PaymentRef) -> u32 {
        self.number(b'c', payment) % self.buckets.max(1)
    }

    /// The set, of `sets`, in which the answer to `payment` is kept for replays.
    #[must_use]
    pub fn body(&self, payment: PaymentRef, sets: u32) -> u32 {
        self.number(b'b', payment) % sets.max(1)
    }

    /// All of it fits into one block of the hash. What is hashed has one length, so that nobody
    /// can go on from one result to another one.
    fn number(&self, kind: u8, payment: PaymentRef) -> u32 {
        let mut bytes = [0; Seed::SIZE + 1 + PaymentRef::SIZE];
        let parts = self.seed.0.into_iter().chain([kind]).chain(payment.bytes());
        bytes.iter_mut().zip(parts).for_each(|(place, byte)| *place = byte);
        sha256(&bytes).first_chunk().copied().map_or(0, u32::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::engine::payment::ClaimKey;

    fn payment(number: u32) -> PaymentRef {
        ClaimKey::derive("p", "order", [number.to_string().as_str()]).reference()
    }

    #[test]
    fn the_places_are_fixed_for_a_seed() {
        // A store outlives the code that wrote it: raise `Layout::VERSION` when this changes.
        let placement = Placement::of_buckets(1 << 16, Seed::new([7; 16]));
        assert_eq!(placement.bucket(payment(1)), 64_194);
        assert_eq!(placement.body(payment(1), 1 << 16), 22_698);
        assert_eq!(Placement::of_buckets(0, Seed::new([7; 16])).bucket(payment(1)), 0);
        assert_eq!(placement.body(payment(1), 0), 0);
    }

    #[test]
    fn payments_that_meet_under_one_seed_part_under_another() {
        let (one, other) = (Seed::gather(b"a"), Seed::gather(b"b"));
        let (mine, theirs) = (Placement::of_buckets(1024, one), Placement::of_buckets(1024, other));
        let meet: Vec<PaymentRef> =
            (0..64 * 1024).map(payment).filter(|payment| mine.bucket(*payment) == 5).collect();
        assert!((32..=96).contains(&meet.len()), "{}: about 64 of 65,536", meet.len());
        let spread: BTreeSet<u32> = meet.iter().map(|payment| theirs.bucket(*payment)).collect();
        assert!(spread.len() > meet.len() * 3 / 4, "{} of {}", spread.len(), meet.len());
    }

    #[test]
    fn a_seed_is_never_shown() {
        let placement = Placement::of_buckets(8, Seed::gather(b"noise"));
        assert_eq!(format!("{placement:?}"), "Placement { buckets: 8, seed: Seed(..) }");
    }
}
