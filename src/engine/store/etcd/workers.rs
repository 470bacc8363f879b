//! How the workers of this process stand with a store in etcd: each says so again and again, in a value
//! that they share, and operators and gauges are told about the worst of them.
//!
//! The value, little-endian: a version, and for each worker its number in 8 bytes, when it said so in
//! 8, how it stands in 1, and how many exchanges it has still to write down in 4.

use crate::engine::codec::Reader;
use crate::engine::limits;
use crate::engine::time::{Millis, Timestamp};

/// How a worker stands with the store, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreLink {
    /// It has joined, and the store answers.
    Joined,
    /// It has not joined yet.
    Joining,
    /// It has joined, and the store does not answer, or refuses: Envoy's log says which.
    Away,
    /// It has not joined, and cannot; Envoy's log says why.
    Refused,
}

impl StoreLink {
    /// All of them, from good to bad.
    pub const ALL: [Self; 4] = [Self::Joined, Self::Joining, Self::Away, Self::Refused];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::Joining => "joining",
            Self::Away => "away",
            Self::Refused => "refused",
        }
    }
}

/// What the workers of this process have said of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RealmWorkers(Vec<WorkerWord>);

/// What a worker has said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WorkerWord {
    owner: u64,
    said_at: Timestamp,
    link: StoreLink,
    unfinished: u32,
}

impl WorkerWord {
    /// A worker that is silent for longer is none any more. A word from the future is one from before
    /// the clock was put back.
    fn is_fresh(&self, now: Timestamp) -> bool {
        let stale = Millis::new(limits::ETCD_WORD_STALE_MS);
        now.since(self.said_at) < stale && self.said_at.since(now) < stale
    }
}

impl RealmWorkers {
    const VERSION: u8 = 1;

    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![Self::VERSION];
        for word in &self.0 {
            bytes.extend(word.owner.to_le_bytes());
            bytes.extend(word.said_at.as_millis().to_le_bytes());
            bytes.push(word.link as u8);
            bytes.extend(word.unfinished.to_le_bytes());
        }
        bytes
    }

    /// Reads the stored form. What cannot be read was said by nobody.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        Self::read(bytes).unwrap_or_default()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Reader(bytes);
        if bytes.byte()? != Self::VERSION {
            return None;
        }
        let mut words = Vec::new();
        while !bytes.0.is_empty() && words.len() < limits::WORKERS_MAX {
            let (owner, said_at, link) = (bytes.long()?, bytes.time()?, bytes.byte()?);
            let link = StoreLink::ALL.into_iter().find(|one| *one as u8 == link)?;
            words.push(WorkerWord { owner, said_at, link, unfinished: bytes.word()? });
        }
        Some(Self(words))
    }

    /// Takes in the word of worker `owner`. Tells whether it must be written: it says something new, or
    /// its last word is soon too old. Those of workers that are silent are forgotten.
    pub fn say(&mut self, owner: u64, link: StoreLink, unfinished: u32, now: Timestamp) -> bool {
        let known = self.0.iter().find(|word| word.owner == owner);
        let soon = Millis::new(limits::ETCD_WORD_STALE_MS / 4);
        let same = known.is_some_and(|word| {
            let is_young = now.since(word.said_at) < soon && word.said_at <= now;
            is_young && (word.link, word.unfinished) == (link, unfinished)
        });
        if same {
            return false;
        }
        self.0.retain(|word| word.owner != owner && word.is_fresh(now));
        if self.0.len() < limits::WORKERS_MAX {
            self.0.push(WorkerWord { owner, said_at: now, link, unfinished });
        }
        true
    }

    fn fresh(&self, now: Timestamp) -> impl Iterator<Item = &WorkerWord> {
        self.0.iter().filter(move |word| word.is_fresh(now))
    }

    /// How many workers stand so.
    #[must_use]
    pub fn count(&self, link: StoreLink, now: Timestamp) -> usize {
        self.fresh(now).filter(|word| word.link == link).count()
    }

    /// How the worst of them stands; `None` if none is at work.
    #[must_use]
    pub fn worst(&self, now: Timestamp) -> Option<StoreLink> {
        self.fresh(now).map(|word| word.link).max()
    }

    /// Exchanges that all of them have still to write down.
    #[must_use]
    pub fn unfinished(&self, now: Timestamp) -> u64 {
        self.fresh(now).map(|word| u64::from(word.unfinished)).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn after(ms: u64) -> Timestamp {
        NOW.plus(Millis::new(ms))
    }

    #[test]
    fn the_worst_of_those_that_are_at_work_is_told() {
        let mut workers = RealmWorkers::default();
        assert_eq!((workers.worst(NOW), workers.unfinished(NOW)), (None, 0));
        assert!(workers.say(1, StoreLink::Joined, 2, NOW));
        assert!(workers.say(2, StoreLink::Away, 3, NOW));
        assert_eq!((workers.worst(NOW), workers.unfinished(NOW)), (Some(StoreLink::Away), 5));
        let counts = StoreLink::ALL.map(|link| workers.count(link, NOW));
        assert_eq!(counts, [1, 0, 1, 0]);
        // The second one is gone without a word.
        let later = after(limits::ETCD_WORD_STALE_MS);
        assert!(workers.say(1, StoreLink::Joined, 0, later));
        assert_eq!((workers.worst(later), workers.unfinished(later)), (Some(StoreLink::Joined), 0));
        assert_eq!(workers.0.len(), 1, "it is forgotten");
        // The clock was put back: what was said then is nothing.
        assert_eq!(workers.worst(NOW), None);
    }

    #[test]
    fn a_word_is_written_when_it_is_new_or_soon_too_old() {
        let mut workers = RealmWorkers::default();
        assert!(workers.say(1, StoreLink::Joined, 0, NOW));
        assert!(!workers.say(1, StoreLink::Joined, 0, after(1000)));
        assert!(workers.say(1, StoreLink::Away, 0, after(1000)));
        assert!(workers.say(1, StoreLink::Away, 1, after(1001)));
        assert!(!workers.say(1, StoreLink::Away, 1, after(2000)));
        assert!(workers.say(1, StoreLink::Away, 1, after(1001 + limits::ETCD_WORD_STALE_MS / 4)));
        assert!(workers.say(1, StoreLink::Away, 1, NOW), "the clock was put back");
    }

    #[test]
    fn there_are_never_more_than_so_many() {
        let mut workers = RealmWorkers::default();
        for owner in 0..2 * limits::WORKERS_MAX as u64 {
            workers.say(owner, StoreLink::Joined, 0, NOW);
        }
        assert_eq!(workers.0.len(), limits::WORKERS_MAX);
        let more = [workers.encode(), workers.encode()[1..].to_vec()].concat();
        assert_eq!(RealmWorkers::decode(&more), workers);
    }

    #[test]
    fn what_another_version_has_written_was_said_by_nobody() {
        let mut workers = RealmWorkers::default();
        workers.say(1, StoreLink::Joined, 0, NOW);
        let mut bytes = workers.encode();
        assert_eq!(RealmWorkers::decode(&bytes), workers);
        bytes[0] = 9;
        assert_eq!(RealmWorkers::decode(&bytes), RealmWorkers::default());
        bytes[0] = 1;
        bytes[17] = 9;
        assert_eq!(RealmWorkers::decode(&bytes), RealmWorkers::default(), "no such link");
    }

    proptest! {
        #[test]
        fn what_is_written_comes_back(words in proptest::collection::vec(
            (any::<u64>(), any::<u64>(), 0..4_usize, any::<u32>()), 0..9)
        ) {
            let words = words.into_iter().map(|(owner, at, link, unfinished)| WorkerWord {
                owner,
                said_at: Timestamp::from_millis(at),
                link: StoreLink::ALL[link],
                unfinished,
            });
            let workers = RealmWorkers(words.collect());
            prop_assert_eq!(RealmWorkers::decode(&workers.encode()), workers);
        }

        #[test]
        fn noise_is_read_without_panic(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = RealmWorkers::decode(&[vec![RealmWorkers::VERSION], noise.clone()].concat());
            let _ = RealmWorkers::decode(&noise);
        }
    }
}
