//! What must hold of header keys.

use std::collections::BTreeSet;

use dana_failover::engine::Entry;
use dana_failover::engine::{Claim, ClaimState};

use super::ledger::services;
use super::setup::Milestone;
use super::wishes::{What, partner};
use super::world::World;

/// What clients send as `Idempotency-Key`; the first one sends none.
pub(crate) const KEYS: [Option<&str>; 4] = [None, Some("k-1"), Some("\"k-2\""), Some("k-3")];
/// A payment is bound to so many header keys and no more.
const BOUND_MAX: u8 = 8;

/// Payments by header keys.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// Asked for under it.
    pub(crate) asked: BTreeSet<(usize, usize)>,
    /// Executed under it.
    pub(crate) executed: BTreeSet<(usize, usize)>,
}

impl World<'_> {
    fn is_proven(&self, payment: usize) -> bool {
        let Entry::Claim(claim) = self.find(payment) else {
            return false;
        };
        matches!(claim.state, ClaimState::Settled { .. } | ClaimState::Closed { .. })
    }

    /// The other payments that the same header key would be a mistake for.
    fn rivals(&self, payment: usize) -> impl Iterator<Item = usize> + '_ {
        let space = |payment| (partner(payment), services(payment).pay);
        let others = (0..self.setup.payments).filter(move |other| *other != payment);
        others.filter(move |other| space(*other) == space(payment))
    }

    /// A payment is let go: its key was not that of another one, executed and proven, when it was
    /// read what the key leads to.
    pub(crate) fn check_key(&mut self, at: usize, payment: usize) {
        // What was executed or may have been is repeated under whatever key it comes: to deny it for the
        // key's sake would read as failed.
        let in_doubt = |claim: Claim| {
            matches!(claim.state, ClaimState::InDoubt { .. } | ClaimState::Settled { .. })
        };
        if matches!(self.find(payment), Entry::Claim(claim) if in_doubt(claim)) {
            return;
        }
        let taken_by = self.runs[at].taken_by;
        assert_eq!(taken_by, None, "payment {payment} was let go under another one's header key");
        let late = self.key_is_taken(at);
        assert_eq!(late, None, "payment {payment} was let go, and its key is a proven payment's");
    }

    /// The payment, executed and proven, that the header key of a request belongs to.
    pub(crate) fn key_is_taken(&self, at: usize) -> Option<usize> {
        let (key, payment) = (self.runs[at].key, self.runs[at].what.payment());
        let is_kept = |other: &usize| match self.find(*other) {
            Entry::Claim(claim) => claim.header_keys < BOUND_MAX,
            Entry::Absent | Entry::Alias(_) | Entry::Unreadable => false,
        };
        if key == 0 || self.used.executed.contains(&(key, payment)) {
            return None;
        }
        let executed = |other: &usize| self.used.executed.contains(&(key, *other));
        self.rivals(payment).filter(executed).find(|other| is_kept(other) && self.is_proven(*other))
    }

    /// Only what is proven makes anything a mistake, and what may be charged gets no new key.
    pub(crate) fn check_mismatch(&mut self, at: usize, safe_new_key: bool) {
        let run = &self.runs[at];
        let What::Pay { payment, .. } = run.what else {
            return;
        };
        assert!(!safe_new_key, "payment {payment}: a mismatch, and its money may have moved");
        let key = run.key;
        let mut rivals = self.rivals(payment);
        let elsewhere =
            key != 0 && rivals.any(|o| self.used.asked.contains(&(key, o)) && self.is_proven(o));
        let own = self.is_proven(payment);
        let proven = elsewhere || own;
        assert!(proven, "payment {payment}: a mismatch, and nothing is proven");
        drop(rivals);
        self.reached.note(Milestone::Mismatched, elsewhere);
        // One that is proven itself may be asked for with another amount, which is a mismatch.
        let denies = !own && self.runs[at].was_doubtful && self.may_be_charged(payment);
        assert!(!denies, "payment {payment}: denied for its key's sake, and it may be charged");
    }
}
