//! An operator who looks where the money is, and says what is there.

use dana_failover::engine::Entry;
use dana_failover::engine::Leaps;
use dana_failover::engine::{Evidence as Said, KeyFront, KeyPrefix, Resolution, Step};
use dana_failover::engine::{ResolveError, resolve};

use super::proof::Cause;
use super::setup::{Kind, Milestone};
use super::world::World;

impl World<'_> {
    /// What is true of a payment, if anybody can know it: while a copy travels nobody does.
    fn looked_up(&self, payment: usize) -> Option<Resolution> {
        match self.ledger.executed_at(payment).as_slice() {
            [] if self.may_execute(payment) => None,
            // What is only observed may be sent at any time, whatever the record says.
            [] => (self.setup.kind != Kind::HandOver).then_some(Resolution::NotExecuted),
            [place] if self.ledger.is_charged(payment) => {
                self.setup.policy.order().nth(*place).map(Resolution::ExecutedAt)
            }
            _ => None,
        }
    }

    /// An operator says it, and what becomes of the record is a step of the table.
    pub(crate) fn resolve(&mut self, payment: usize) {
        let Some(resolution) = self.looked_up(payment) else {
            return;
        };
        let setup = self.setup;
        let (now, (number, key)) = (self.time(), setup.keys[payment]);
        let (event, reference) = (Said::Operator(resolution), &setup.reference);
        let before = match self.find(payment) {
            Entry::Claim(claim) => Entry::Claim(reference.counted(claim)),
            other @ (Entry::Absent | Entry::Alias(_) | Entry::Unreadable) => other,
        };
        let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let front = KeyFront::parse(&digits).unwrap();
        let mut bucket = self.bucket(number);
        let policy = &setup.policy;
        let _ = bucket.mend(now, &policy.claims);
        let found: Vec<(KeyPrefix, Entry)> = bucket.find_front(&front).collect();
        let resolved = resolve(&found, resolution, Leaps::NONE, now, &policy.claims);
        if let Ok(resolved) = &resolved {
            assert!(bucket.replace(&resolved.key, &resolved.claim));
            self.put_bucket(number, bucket);
            self.reached.note(Milestone::Resolved, true);
        }
        if setup.leaps() {
            // The ledgers judge it.
            return;
        }
        match resolved {
            Ok(resolved) => {
                assert_eq!(resolved.key, key);
                let after = self.find(payment);
                assert_eq!(after, Entry::Claim(resolved.claim));
                reference.check(&before, &after, Cause::Evidence(event, now), now);
            }
            Err(why) => {
                let claim = match &before {
                    Entry::Claim(claim) => Some(claim),
                    Entry::Absent | Entry::Alias(_) | Entry::Unreadable => None,
                };
                let step = reference.step(claim, event, now);
                let fits = match why {
                    ResolveError::NotFound => claim.is_none() && step == Step::Stays,
                    ResolveError::LeaseRuns { until } => until > now && step == Step::Stays,
                    ResolveError::AlreadySo(_) => step == Step::Stays,
                    ResolveError::Contradicts(_) => matches!(step, Step::Contradicted(_)),
                    ResolveError::Ambiguous | ResolveError::Unreadable => false,
                };
                assert!(fits, "payment {payment}, {event:?}: {why:?} of {before:?}, not {step:?}");
            }
        }
    }
}
