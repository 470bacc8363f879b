//! What all requests of one worker share of the store.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::key::Realm;
use super::lineage::{Lineage, Lineages};
use super::names::Names;
use super::value::Writer;
use crate::engine::codec::sha256;
use crate::engine::limits;
use crate::engine::store::kept_answer::KeptAnswer;
use crate::engine::time::{Millis, Timestamp};

/// One worker's side of the store, from the start of its VM to its end.
#[derive(Debug)]
pub struct EtcdStore {
    pub(super) realm: Realm,
    pub(super) terms: EtcdTerms,
    /// No other worker's, nor one of this worker's VM after a restart.
    life: u64,
    writes: Cell<u64>,
    membership: RefCell<Option<Rc<Membership>>>,
    is_away: Cell<bool>,
    is_stale: Cell<bool>,
    /// The highest revision that was seen.
    revision: Cell<u64>,
    /// When the realm began, as others in this process have seen it.
    seen_born: Cell<Option<Timestamp>>,
    is_another: Cell<bool>,
    ahead: Cell<u64>,
}

/// How the store is used.
#[derive(Clone, Copy, Debug)]
pub struct EtcdTerms {
    /// How far the clocks of two Envoys may differ.
    pub clock_skew: Millis,
    /// Payments that shared data knows stay there.
    pub drains_local: bool,
    /// Answers are kept with their claims, where every Envoy finds them.
    pub keeps_answers: bool,
}

/// What a worker knows once it has joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Membership {
    /// The revision of the realm's layout. Whoever works by an older one may claim nothing.
    pub(super) fence: u64,
    /// With this lease resolved claims end.
    pub(super) claims_lease: u64,
    /// With this one customers' tokens do.
    pub(super) tokens_lease: u64,
    /// Gateways here and there.
    pub(super) names: Names,
    /// When the realm began.
    pub(super) born: Timestamp,
}

impl EtcdStore {
    /// A worker's side of the store, which has not joined yet. `noise` tells this life of a worker
    /// from all others: the host's name, the worker's number, and what its clock says when it starts.
    #[must_use]
    pub fn new(realm: Realm, terms: EtcdTerms, noise: &[u8]) -> Self {
        let digest = sha256(&[b"dana-failover writer 1", noise].concat());
        let life = digest.first_chunk().copied().unwrap_or_default();
        Self {
            realm,
            terms,
            life: u64::from_le_bytes(life),
            writes: Cell::new(0),
            membership: RefCell::new(None),
            is_away: Cell::new(false),
            is_stale: Cell::new(false),
            revision: Cell::new(0),
            seen_born: Cell::new(None),
            is_another: Cell::new(false),
            ahead: Cell::new(0),
        }
    }

    /// Takes in what this process has seen of the realm, whichever worker it was: before this one began, or
    /// while it did nothing.
    pub fn hear(&self, lineages: &Lineages) {
        let Some(seen) = lineages.of(&self.realm) else {
            return;
        };
        if self.born().is_none() {
            self.seen_born.set(Some(seen.born));
        }
        if self.born() == Some(seen.born) {
            self.revision.set(self.revision.get().max(seen.revision));
        }
        if seen.is_lost {
            self.note_another();
        }
    }

    /// What is known of the realm, for all workers of this process.
    #[must_use]
    pub fn lineage(&self) -> Option<Lineage> {
        Some(Lineage {
            realm: self.realm.digest(),
            born: self.born()?,
            revision: self.revision.get(),
            is_lost: self.is_another.get(),
        })
    }

    /// When the realm began, if this worker has joined it, or others in this process had.
    pub(super) fn born(&self) -> Option<Timestamp> {
        let joined = self.membership.borrow().as_ref().map(|joined| joined.born);
        joined.or_else(|| self.seen_born.get())
    }

    /// Whether this answer is kept with its claim.
    pub(super) fn keeps(&self, answer: &KeptAnswer) -> bool {
        self.terms.keeps_answers && answer.body.len() <= limits::ETCD_ANSWER_BYTES_MAX
    }

    pub(super) const fn life(&self) -> u64 {
        self.life
    }

    /// The mark of one more write.
    pub(super) fn next_writer(&self) -> Writer {
        let write = self.writes.get().wrapping_add(1);
        self.writes.set(write);
        Writer { life: self.life, write }
    }

    /// What to work by, if the store may be asked.
    pub(super) fn ready(&self) -> Option<Rc<Membership>> {
        let is_there = !self.is_away.get() && !self.is_another.get();
        self.membership.borrow().clone().filter(|_| is_there)
    }

    pub(super) fn membership(&self) -> Option<Rc<Membership>> {
        self.membership.borrow().clone()
    }

    pub(super) fn join(&self, membership: Membership) {
        *self.membership.borrow_mut() = Some(Rc::new(membership));
        self.is_away.set(false);
        self.is_stale.set(false);
    }

    /// It answers, and what the worker knows of it holds.
    pub(super) fn note_found(&self) {
        self.is_away.set(false);
    }

    /// A call was not answered within its time, or no member could be reached.
    pub(super) fn note_away(&self) {
        self.is_away.set(true);
    }

    /// Whether it may not be asked until somebody has found it again.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.is_away.get()
    }

    /// Whether the worker has joined.
    #[must_use]
    pub fn has_joined(&self) -> bool {
        self.membership.borrow().is_some()
    }

    /// The layout is another one, or a lease has ended: what the worker knows is old.
    pub(super) fn note_stale(&self) {
        self.is_stale.set(true);
    }

    pub(super) const fn is_stale(&self) -> bool {
        self.is_stale.get()
    }

    /// The revision that a call which is sent now finds at least.
    pub(super) const fn revision(&self) -> u64 {
        self.revision.get()
    }

    /// Takes in the revision of an answer to a call that was sent when `since` was known. etcd answers
    /// by what a majority has, so none goes back: one that does was emptied, or restored from a backup.
    pub(super) fn goes_on(&self, since: u64, revision: u64) -> bool {
        if revision < since {
            self.note_another();
        }
        self.revision.set(self.revision.get().max(revision));
        revision >= since
    }

    /// It is not the store that the worker has joined, or no longer all of it. What was claimed may be
    /// missing there, so nothing is claimed by this process any more.
    pub(super) fn note_another(&self) {
        self.is_another.set(true);
    }

    /// Whether that was found.
    #[must_use]
    pub const fn is_another(&self) -> bool {
        self.is_another.get()
    }

    /// A record was read that was written further ahead than clocks may differ.
    pub(super) fn note_ahead(&self) {
        self.ahead.set(self.ahead.get().saturating_add(1));
    }

    /// How many such records were read.
    #[must_use]
    pub const fn ahead(&self) -> u64 {
        self.ahead.get()
    }
}
