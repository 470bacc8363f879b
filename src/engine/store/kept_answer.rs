//! The gateway's answer to an executed payment, kept so that a repeat gets it byte for byte.
//!
//! Answers live apart from the claims, in a fixed number of sets chosen by the key's hash. Each set
//! is one shared value with the last few answers of the payments that belong there: a new one comes
//! in by compare-and-set, and of a full set the oldest one leaves. Whose answer is gone is told that
//! the payment was executed, and nothing is lost but comfort.
//!
//! A set of version 2, little-endian: the version, and then from the oldest answer to the newest
//! one, each:
//!
//! | at | bytes | what |
//! |---:|---:|---|
//! | 0 | 4 | length of all that follows |
//! | 4 | 16 | key prefix |
//! | 20 | 8 | claimed at, ms |
//! | 28 | 4 | nonce |
//! | 32 | 2 | HTTP status |
//! | 34 | 1 | length of the `content-type`; 0 none |
//! | 35 | | `content-type` |
//! | | | the body |
//!
//! Version 1 had one answer in a value. It is read as an empty set.

use crate::engine::codec::Reader;
use crate::engine::limits;
use crate::engine::payment::{ClaimKey, Incarnation};

/// A kept answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// HTTP status.
    pub status: u16,
    /// `content-type`, if there was one.
    pub content_type: Option<String>,
    /// The body, as it came.
    pub body: Vec<u8>,
}

const VERSION: u8 = 2;
/// Key prefix, time of the claim, nonce: whose answer it is.
const OWNER: usize = 28;

impl KeptAnswer {
    /// How many sets hold `answers` answers.
    #[must_use]
    pub const fn sets(answers: u32) -> u32 {
        let sets = answers.div_ceil(limits::KEPT_SET_ANSWERS);
        if sets == 0 { 1 } else { sets }
    }

    /// The answer to this incarnation of the payment, if the set has it.
    #[must_use]
    pub fn find(set: &[u8], key: &ClaimKey, of: Incarnation) -> Option<Self> {
        let owner = owner(key, of);
        let entry = entries(set).find(|entry| entry.get(..OWNER) == Some(&owner))?;
        let mut rest = Reader(entry.get(OWNER..)?);
        let status = rest.short()?;
        let length = usize::from(rest.byte()?);
        let content_type = std::str::from_utf8(rest.slice(length)?).ok()?;
        Some(Self {
            status,
            content_type: (length > 0).then(|| content_type.to_owned()),
            body: rest.0.to_vec(),
        })
    }

    /// The set with this answer as its newest one, in the place of the one that this incarnation
    /// of the payment had. The oldest ones leave a set that is full; what cannot be read is gone.
    #[must_use]
    pub fn put(&self, set: &[u8], key: &ClaimKey, of: Incarnation) -> Vec<u8> {
        let owner = owner(key, of);
        let others: Vec<&[u8]> =
            entries(set).filter(|entry| entry.get(..OWNER) != Some(&owner)).collect();
        let room = limits::KEPT_SET_ANSWERS as usize - 1;
        let left = others.get(others.len().saturating_sub(room)..).unwrap_or_default();
        let content_type = self.content_type.as_deref().unwrap_or_default().as_bytes();
        let content_type = content_type.get(..usize::from(u8::MAX)).unwrap_or(content_type);
        let own = OWNER + 3 + content_type.len() + self.body.len();
        let whole: usize = left.iter().map(|entry| 4 + entry.len()).sum();
        let mut bytes = Vec::with_capacity(1 + whole + 4 + own);
        bytes.push(VERSION);
        for entry in left {
            bytes.extend(length(entry.len()));
            bytes.extend(*entry);
        }
        bytes.extend(length(own));
        bytes.extend(owner);
        bytes.extend(self.status.to_le_bytes());
        bytes.push(u8::try_from(content_type.len()).unwrap_or(0));
        bytes.extend(content_type);
        bytes.extend(&self.body);
        bytes
    }
}

fn length(of: usize) -> [u8; 4] {
    u32::try_from(of).unwrap_or(u32::MAX).to_le_bytes()
}

/// Whose answer it is, as it stands in the set.
fn owner(key: &ClaimKey, of: Incarnation) -> [u8; OWNER] {
    let mut owner = [0; OWNER];
    let parts = key.prefix().into_iter().chain(of.claimed_at.as_millis().to_le_bytes());
    for (to, byte) in owner.iter_mut().zip(parts.chain(of.nonce.to_le_bytes())) {
        *to = byte;
    }
    owner
}

/// The answers of a set, the oldest one first, as far as it can be read.
fn entries(set: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = match set.split_first() {
        Some((&VERSION, rest)) => Reader(rest),
        Some(_) | None => Reader(&[]),
    };
    std::iter::from_fn(move || {
        let length = usize::try_from(rest.word()?).ok()?;
        rest.slice(length)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::store::local::placement::{Placement, Seed};
    use crate::engine::time::Timestamp;

    const OF: Incarnation = Incarnation { claimed_at: Timestamp::from_millis(7), nonce: 9 };

    fn key(number: usize) -> ClaimKey {
        ClaimKey::derive("p", "order", [number.to_string().as_str()])
    }

    fn kept(number: usize) -> KeptAnswer {
        let body = format!("\0{{{number}}}\u{e9}").into_bytes();
        let content_type = (!number.is_multiple_of(3)).then(|| format!("text/{number}"));
        KeptAnswer { status: 200, content_type, body }
    }

    #[test]
    fn an_answer_comes_back_for_its_own_payment_only() {
        let later = Incarnation { nonce: 10, ..OF };
        let earlier = Incarnation { claimed_at: Timestamp::from_millis(6), ..OF };
        let mut set = Vec::new();
        for number in 0..5 {
            set = kept(number).put(&set, &key(number), OF);
        }
        for number in 0..5 {
            assert_eq!(KeptAnswer::find(&set, &key(number), OF), Some(kept(number)));
            assert_eq!(KeptAnswer::find(&set, &key(number), later), None);
            assert_eq!(KeptAnswer::find(&set, &key(number), earlier), None);
        }
        assert_eq!(KeptAnswer::find(&set, &key(5), OF), None);
        // A second answer takes the place of the first one.
        set = kept(7).put(&set, &key(1), OF);
        assert_eq!(KeptAnswer::find(&set, &key(1), OF), Some(kept(7)));
        assert_eq!(entries(&set).count(), 5);
    }

    #[test]
    fn the_oldest_answer_leaves_a_full_set() {
        let most = limits::KEPT_SET_ANSWERS as usize;
        let mut set = Vec::new();
        for number in 0..3 * most {
            set = kept(number).put(&set, &key(number), OF);
            assert!(entries(&set).count() <= most);
            let oldest = (number + 1).saturating_sub(most);
            for other in 0..=number {
                let found = KeptAnswer::find(&set, &key(other), OF);
                assert_eq!(found, (other >= oldest).then(|| kept(other)), "{other} of {number}");
            }
        }
    }

    #[test]
    fn a_set_that_somebody_else_wrote_is_read_as_far_as_it_goes() {
        let mut set = Vec::new();
        for number in 0..3 {
            set = kept(number).put(&set, &key(number), OF);
        }
        for cut in 0..set.len() {
            let part = &set[..cut];
            let whole = entries(part).count();
            for number in 0..3 {
                let found = KeptAnswer::find(part, &key(number), OF);
                assert_eq!(found, (number < whole).then(|| kept(number)), "{cut}");
            }
            let again = kept(9).put(part, &key(9), OF);
            assert_eq!(entries(&again).count(), whole + 1);
        }
        // One answer in a value, as version 1 wrote it.
        let mut old = vec![1];
        old.extend(owner(&key(0), OF));
        old.extend(b"\xc8\0\0{}");
        assert_eq!(KeptAnswer::find(&old, &key(0), OF), None);
        old.clone_from(&kept(0).put(&old, &key(0), OF));
        assert_eq!(KeptAnswer::find(&old, &key(0), OF), Some(kept(0)));
    }

    /// Of so many answers, how many of ten thousand are gone: the mean over a few stores.
    fn lost(answers: usize, bodies_max: u32) -> usize {
        const STORES: u8 = 4;
        let sets = KeptAnswer::sets(bodies_max);
        let mut gone = 0;
        for seed in 0..STORES {
            let placement = Placement::of_buckets(1, Seed::new([seed; Seed::SIZE]));
            let mut stored = vec![Vec::new(); sets as usize];
            let place = |key: &ClaimKey| placement.body(key.reference(), sets) as usize;
            for number in 0..answers {
                let set = &mut stored[place(&key(number))];
                *set = KeptAnswer { status: 200, content_type: None, body: Vec::new() }.put(
                    set,
                    &key(number),
                    OF,
                );
            }
            let is_gone = |number: &usize| {
                KeptAnswer::find(&stored[place(&key(*number))], &key(*number), OF).is_none()
            };
            gone += (0..answers).filter(is_gone).count();
        }
        gone * 10_000 / (answers * usize::from(STORES))
    }

    /// What docs/settings.md tells.
    #[test]
    fn half_of_the_answers_are_as_good_as_never_lost_and_of_all_a_tenth_is() {
        let lost = [1000, 4096, 8192, 12_288, 16_384].map(|answers| lost(answers, 16_384));
        assert!(lost[..2] == [0, 0] && lost[2] <= 10, "{lost:?} of 10,000");
        assert!((100..400).contains(&lost[3]) && (900..1100).contains(&lost[4]), "{lost:?}");
    }

    #[test]
    fn a_store_of_few_answers_has_a_set_all_the_same() {
        assert_eq!([0, 1, 16, 17, 16_384].map(KeptAnswer::sets), [1, 1, 1, 2, 1024]);
    }
}
