//! The way from shared data to etcd, while both are configured.
//!
//! A payment that shared data knows stays there until its record may go; a new one is claimed in etcd.
//! A worker that still has the configuration without etcd would claim a new one in shared data, so a
//! mark is written there first, by compare-and-set: an alias in the place of the claim, which such a
//! worker cannot read as a claim, and so it sends nothing.

use crate::engine::payment::PaymentRef;
use crate::engine::store::alias::{Alias, AliasTarget};
use crate::engine::store::contract::{Commit, Key, Patience, Seen, Version};
use crate::engine::store::record::Entry;
use crate::engine::time::Timestamp;

/// What one request has found in shared data.
#[derive(Debug, Default)]
pub(super) struct Drain {
    pub(super) home: Home,
    seen: Vec<Seen>,
}

/// Where the records of a request stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Home {
    /// Shared data was not looked at yet.
    #[default]
    Unknown,
    /// In shared data, with all that is written for it.
    SharedData,
    Etcd,
}

impl Drain {
    /// Takes in what stands in shared data under all keys of a request.
    pub(super) fn look(&mut self, seen: Vec<Seen>) {
        let is_here = |one: &Seen| match (one.key, one.entry) {
            (Key::Payment(_), Entry::Claim(_) | Entry::Unreadable) => true,
            // A header key that was used for a payment here.
            (Key::Alias(_), Entry::Alias(alias)) => matches!(alias.to, AliasTarget::Payment(_)),
            (Key::Payment(_), Entry::Absent | Entry::Alias(_))
            | (Key::Alias(_), Entry::Absent | Entry::Claim(_) | Entry::Unreadable) => false,
        };
        self.home = if seen.iter().any(is_here) { Home::SharedData } else { Home::Etcd };
        self.seen = seen;
    }

    /// What etcd says, with the customers' tokens that are only known here. They count as used very
    /// long ago, so that their next use writes them in etcd: shared data ends with the process.
    pub(super) fn with_tokens(&self, mut seen: Vec<Seen>) -> Vec<Seen> {
        for one in seen.iter_mut().filter(|one| one.entry == Entry::Absent) {
            let here = self.seen.iter().find(|here| here.key == one.key);
            if let Some(Seen { key: Key::Alias(_), entry: Entry::Alias(alias), .. }) = here {
                one.entry = Entry::Alias(Alias { used_at: Timestamp::default(), ..*alias });
            }
        }
        seen
    }

    /// The marks that must stand in shared data before `commit` is written in etcd, if any are missing.
    pub(super) fn marks(&self, commit: &Commit, now: Timestamp) -> Option<Commit> {
        let mark = |(key, _): &(Key, Entry)| self.mark(*key, now);
        let marks: Vec<_> = commit.put.iter().filter_map(mark).collect();
        let expect = marks.iter().map(|(key, version, _)| (*key, *version)).collect();
        let put: Vec<_> = marks.into_iter().map(|(key, _, entry)| (key, entry)).collect();
        (!put.is_empty()).then_some(Commit { expect, put, patience: Patience::Long })
    }

    fn mark(&self, key: Key, now: Timestamp) -> Option<(Key, Version, Entry)> {
        let Key::Payment(payment) = key else {
            return None;
        };
        let here = self.seen.iter().find(|here| here.key == key)?;
        let version = Some(here.version).filter(|_| here.entry == Entry::Absent)?;
        Some((key, version, Entry::Alias(to_etcd(payment, now))))
    }

    /// The marks are written, or are not needed any longer.
    pub(super) fn note_marked(&mut self) {
        self.seen.retain(|one| matches!(one.key, Key::Alias(_)));
    }
}

const fn to_etcd(payment: PaymentRef, used_at: Timestamp) -> Alias {
    Alias { to: AliasTarget::Payment(payment), used_at, nonce: 0 }
}
