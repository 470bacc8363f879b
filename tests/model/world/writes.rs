//! Reads and writes of the shared store, some of which go wrong. Every write must be a step of the
//! table.

use dana_failover::engine::Timestamp;
use dana_failover::engine::{AttemptId, Claim, Fingerprint};
use dana_failover::engine::{Bucket, Cell, CellEvent, CellRequest, Entry};

use super::super::proof::Cause;
use super::super::setup::Milestone;
use super::super::wishes::What;
use super::World;

impl World<'_> {
    /// Every record that a write changes takes a step of the table, by what the request that
    /// writes it knows.
    fn check_steps(&mut self, at: usize, number: u32, before: &Bucket) {
        let after = self.bucket(number);
        for payment in 0..self.setup.payments {
            let (place, key) = self.setup.keys[payment];
            if place != number {
                continue;
            }
            let (before, after) = (before.find(&key), after.find(&key));
            if before == after {
                continue;
            }
            if self.setup.leaps() {
                // By which time a step was taken only the engine knows: the ledgers judge it.
                self.learn_attempt(at, payment, &after);
                continue;
            }
            let run = &self.runs[at];
            assert_eq!(run.what.payment(), payment, "{:?} writes of another payment", run.what);
            let cause = self.cause(at, payment, &before, &after);
            self.check_step(at, before, &after, cause, Timestamp::from_millis(self.now));
            self.reached.note(Milestone::Steps, true);
        }
    }

    /// What the request knows that makes one of the other.
    pub(super) fn cause(
        &mut self,
        at: usize,
        payment: usize,
        before: &Entry,
        after: &Entry,
    ) -> Cause {
        let run = &self.runs[at];
        match (run.is_answered, run.said, run.what) {
            (true, Some((said, when)), What::Pay { other_amount, .. }) => {
                self.is_same(payment, other_amount, before, after);
                Cause::Evidence(said, when)
            }
            (true, Some((said, when)), _) => Cause::Evidence(said, when),
            (false, _, What::Pay { other_amount, .. }) => {
                Cause::Sends { same: self.is_same(payment, other_amount, before, after) }
            }
            _ => panic!("{:?} knows nothing that makes {before:?} {after:?}", run.what),
        }
    }

    /// The attempt that a request is about to make.
    pub(super) fn learn_attempt(&mut self, at: usize, payment: usize, after: &Entry) {
        let run = &mut self.runs[at];
        if let (true, false, Entry::Claim(claim)) = (run.what.pays(payment), run.is_answered, after)
        {
            let Claim { incarnation, attempt, .. } = *claim;
            run.attempt = Some(AttemptId { incarnation, attempt });
        }
    }

    pub(super) fn check_step(
        &mut self,
        at: usize,
        before: Entry,
        after: &Entry,
        cause: Cause,
        now: Timestamp,
    ) {
        let (run, setup) = (&mut self.runs[at], self.setup);
        let reference = &setup.reference;
        if let (Cause::Sends { .. }, Entry::Claim(after)) = (cause, after) {
            run.attempt =
                Some(AttemptId { incarnation: after.incarnation, attempt: after.attempt });
            assert_eq!(after.observed, run.observed, "{after:?}");
        }
        match (cause, before, after) {
            (Cause::Sends { .. }, Entry::Claim(before), Entry::Claim(after)) if run.observed => {
                let first = setup.policy.order().next().unwrap();
                reference.check_observed_copy(&before, after, first, now);
            }
            (Cause::Sends { same }, Entry::Claim(before), Entry::Claim(after))
                if setup.is_shared() =>
            {
                reference.check_shared_attempt(&before, after, same, now);
            }
            (_, Entry::Claim(before), _) if !run.observed => {
                reference.check(&Entry::Claim(reference.counted(before)), after, cause, now);
            }
            _ => reference.check(&before, after, cause, now),
        }
    }

    /// Whether a payment of this amount is the one that the record is of; learns what it asks for.
    pub(super) fn is_same(
        &mut self,
        payment: usize,
        other: bool,
        before: &Entry,
        after: &Entry,
    ) -> bool {
        let print = |found: &Entry| match found {
            Entry::Claim(claim) => Some(claim.fingerprint),
            Entry::Absent | Entry::Alias(_) | Entry::Unreadable => None,
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
    fn goes_wrong(&mut self, at: usize) -> Option<bool> {
        // What is only observed is let go also when nothing can be written about it, and then
        // nobody can know of it.
        if self.runs[at].observed && !self.runs[at].let_go {
            return None;
        }
        self.store_fails()
    }

    /// The same of a call that nothing else is known of.
    pub(crate) fn store_fails(&mut self) -> Option<bool> {
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

    pub(super) fn ask(&mut self, at: usize, request: CellRequest) -> CellEvent {
        let (wrong, cell) = (self.goes_wrong(at), request.cell());
        let (CellRequest::Store { .. }, None | Some(true)) = (&request, wrong) else {
            let store = &mut self.stores[self.store_of(at)];
            return if wrong.is_some() { CellEvent::Failed(cell) } else { store.ask(request) };
        };
        let before = match cell {
            Cell::Claims(number) => Some((number, self.bucket(number))),
            Cell::Layout
            | Cell::Health
            | Cell::Body(_)
            | Cell::Census
            | Cell::Workers
            | Cell::Realm
            | Cell::Lineages
            | Cell::AuditWriters
            | Cell::AuditHead(_)
            | Cell::AuditPublished => None,
        };
        let store = self.store_of(at);
        let told = self.stores[store].ask(request);
        if !matches!(told, CellEvent::Stored(_)) {
            return told;
        }
        if let Some((number, before)) = before {
            let claims = |bucket: &Bucket| bucket.claims().count();
            let is_unclaimed = claims(&before) == claims(&self.bucket(number));
            let binds = !self.runs[at].let_go && self.runs[at].attempt.is_none() && is_unclaimed;
            self.reached.note(Milestone::Bound, self.runs[at].key != 0 && binds);
            self.check_steps(at, number, &before);
        }
        if wrong.is_some() { CellEvent::Failed(cell) } else { told }
    }
}
