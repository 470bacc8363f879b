//! What must hold where both gateways know the same payments, though perhaps not at once.

use dana_failover::engine::Timestamp;
use dana_failover::engine::{Claim, ClaimState};

use super::ledger::Standing;
use super::reference::Reference;
use super::setup::Milestone;
use super::world::World;

/// An attempt that reached a gateway, or may have, and when it ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Past {
    pub(crate) payment: usize,
    pub(crate) gateway: usize,
    pub(crate) ended: u64,
}

impl World<'_> {
    /// A payment is let go: to another gateway only when every earlier attempt is long over.
    pub(crate) fn check_shared_forward(&mut self, at: usize, payment: usize, members: &[usize]) {
        let wait = self.setup.policy.claims.settle_delay.get();
        let others = self.runs.iter().enumerate().filter(|(other, _)| *other != at);
        let mut on_the_wire =
            others.filter(|(_, run)| run.what.pays(payment)).flat_map(|(_, run)| run.on_the_wire());
        let elsewhere = |gateway: usize| members.iter().any(|member| *member != gateway);
        assert!(!on_the_wire.any(elsewhere), "payment {payment} to {members:?} beside another");
        let past = self.past.iter().filter(|past| past.payment == payment);
        // What a gateway remembers as failed is over there.
        let failed = |gateway| self.ledger.standing(gateway, payment) == Some(Standing::Failed);
        let may_be_there = |past: &&Past| elsewhere(past.gateway) && !failed(past.gateway);
        let past: Vec<_> = past.filter(may_be_there).collect();
        for past in &past {
            assert!(self.now >= past.ended + wait, "payment {payment} to {members:?}: {past:?}");
        }
        self.reached.note(Milestone::TakenOver, !past.is_empty());
    }
}

impl Reference {
    /// Another attempt of a payment that was sent before. It may add a gateway.
    pub(crate) fn check_shared_attempt(
        &self,
        before: &Claim,
        after: &Claim,
        same: bool,
        now: Timestamp,
    ) {
        let rules = self.rules();
        let before = self.at(before, now);
        let wrong = || -> ! { panic!("no further attempt: {before:?} to {after:?}") };
        match (before.state, after.state) {
            (
                ClaimState::Rejected { gateway },
                ClaimState::InFlight { candidates, until, after_no },
            ) => {
                let single = candidates.single();
                assert!(single.is_some() && after_no && until == now.plus(rules.lease));
                let rested = now >= before.changed_at.plus(rules.settle_delay);
                assert!(single == Some(gateway) || rested, "{before:?} to {after:?}");
            }
            (
                ClaimState::InDoubt { candidates, ended_at, repeat_until: None, not_found },
                ClaimState::InDoubt {
                    candidates: all,
                    ended_at: end,
                    repeat_until: Some(until),
                    not_found: noted,
                },
            ) => {
                assert!(same && now >= ended_at.plus(rules.repeat_after), "{before:?}");
                assert!(now.since(before.incarnation.claimed_at) <= rules.repeat_max_age);
                assert_eq!((end, until), (ended_at, now.plus(rules.lease)));
                assert_eq!(noted, not_found);
                assert!(candidates.iter().all(|gateway| all.contains(gateway)), "{after:?}");
                if candidates.single().is_none() || candidates != all {
                    let rested = now >= ended_at.plus(rules.settle_delay);
                    assert!(rested && not_found.is_none(), "too soon: {before:?} to {after:?}");
                }
            }
            // Who has executed it says so again.
            (
                ClaimState::Settled { gateways, repeat_until: None },
                ClaimState::Settled { gateways: same_ones, repeat_until: Some(until) },
            ) => {
                assert!(same && gateways == same_ones && gateways.single().is_some(), "{after:?}");
                assert_eq!(until, now.plus(rules.lease));
                assert!(now.since(before.incarnation.claimed_at) <= rules.repeat_max_age);
            }
            _ => wrong(),
        }
        let after_no = matches!(before.state, ClaimState::Rejected { .. });
        let expected = Claim {
            state: after.state,
            attempt: before.attempt + 1,
            fingerprint: after.fingerprint,
            // After a NO another amount may be asked for.
            money: if after_no { after.money } else { before.money },
            changed_at: now,
            first: after.first,
            ..before
        };
        assert_eq!(*after, expected);
    }
}
