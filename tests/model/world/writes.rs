//! Reads and writes of the shared store, some of which go wrong. Every write must be a step of the
//! table.

use dana_failover::engine::event::{Cell, Event, Expected};
use dana_failover::engine::key::Fingerprint;
use dana_failover::engine::record::{Bucket, Found};

use super::super::ledger::PAYMENTS;
use super::super::proof::Cause;
use super::super::wishes::What;
use super::World;

impl World<'_> {
    /// Every record that a write changes takes a step of the table, by what the request that
    /// writes it knows.
    fn check_steps(&mut self, at: usize, before: &Bucket) {
        let (after, now) = (self.store.bucket(), self.time());
        for payment in 0..PAYMENTS {
            let key = self.setup.keys[payment];
            let (before, after) = (before.find(&key), after.find(&key));
            if before == after {
                continue;
            }
            let run = &self.runs[at];
            assert_eq!(run.what.payment(), payment, "{:?} writes of another payment", run.what);
            let cause = match (run.is_answered, run.said, run.what) {
                (true, Some((said, when)), _) => Cause::Evidence(said, when),
                (false, _, What::Pay { other_amount, .. }) => {
                    Cause::Sends { same: self.is_same(payment, other_amount, &before, &after) }
                }
                _ => panic!("{:?} knows nothing that makes {before:?} {after:?}", run.what),
            };
            self.setup.reference.check(&before, &after, cause, now);
            self.reached.steps += 1;
        }
    }

    /// Whether a payment of this amount is the one that the record is of; learns what it asks for.
    fn is_same(&mut self, payment: usize, other: bool, before: &Found, after: &Found) -> bool {
        let print = |found: &Found| match found {
            Found::Claim(claim) => Some(claim.fingerprint),
            Found::Absent | Found::Unreadable => None,
        };
        let mine = &mut self.prints[payment][usize::from(other)];
        let same = print(before).is_some_and(|p| p == Fingerprint::UNKNOWN || Some(p) == *mine);
        let takes_over = print(before) != print(after);
        if let (true, Some(print)) = (takes_over, print(after)) {
            assert_eq!(*mine.get_or_insert(print), print, "payment {payment} is what it asks for");
        }
        same
    }

    /// Whether this call of the store goes wrong, and then whether it happened all the same.
    fn goes_wrong(&mut self) -> Option<bool> {
        match &mut self.fault {
            None => None,
            Some((0, written)) => {
                let written = *written;
                self.fault = None;
                Some(written)
            }
            Some((after, _)) => {
                *after -= 1;
                None
            }
        }
    }

    pub(super) fn load(&mut self, cell: Cell) -> Event<'static> {
        if self.goes_wrong().is_some() {
            return Event::StoreFailed(cell);
        }
        Event::Loaded(cell, self.store.load(cell))
    }

    pub(super) fn store(
        &mut self,
        at: usize,
        cell: Cell,
        bytes: Vec<u8>,
        expected: Expected,
    ) -> Event<'static> {
        let wrong = self.goes_wrong();
        if wrong == Some(false) {
            return Event::StoreFailed(cell);
        }
        let before = self.store.bucket();
        if !self.store.store(cell, bytes, expected) {
            return Event::Conflict(cell);
        }
        self.check_steps(at, &before);
        if wrong.is_some() { Event::StoreFailed(cell) } else { Event::Stored(cell) }
    }
}
