//! What must hold of payments that are only observed for a while.

use dana_failover::engine::Entry;
use dana_failover::engine::Forward;
use dana_failover::engine::GatewayId;
use dana_failover::engine::Timestamp;
use dana_failover::engine::{Claim, ClaimState};

use super::reference::Reference;
use super::setup::Milestone;
use super::wishes::What;
use super::world::World;

/// What is known of a payment's copies.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Copies {
    /// One was let go while it was only observed.
    pub(crate) observed: bool,
    /// One was let go to a gateway that is not the first.
    pub(crate) elsewhere: bool,
    /// One was observed that another gateway had a copy beside: nothing prevents that.
    pub(crate) mixed: bool,
}

impl World<'_> {
    /// Whatever is decided, it goes to the first gateway alone and as it came.
    pub(crate) fn check_observed(&mut self, at: usize, members: &[usize], forward: &Forward) {
        assert_eq!(members, [0], "what is observed goes to the first gateway");
        let only = ["x-dana-cluster", "x-envoy-max-retries"];
        let headers = &forward.headers;
        assert!(headers.iter().all(|(name, _)| only.contains(&name.as_str())), "{headers:?}");
        let What::Pay { payment, .. } = self.runs[at].what else {
            return;
        };
        assert!(self.runs[at].attempt.is_some(), "payment {payment} leaves without a trace");
        assert!(matches!(self.find(payment), Entry::Claim(_)), "payment {payment}: its trace");
        self.reached.note(Milestone::Observed, true);
        let copies = self.copies.iter().filter(|copy| copy.payment == payment);
        let mut holders: Vec<usize> = copies.map(|copy| copy.gateway).collect();
        holders.extend(self.ledger.executed_at(payment));
        let mut overtakes = false;
        for (_, run) in self.runs.iter_mut().enumerate().filter(|(other, _)| *other != at) {
            if run.what.pays(payment) {
                holders.extend(run.on_the_wire());
                // It is decided, and nobody takes that back.
                run.overtaken |= run.attempt.is_some() && !run.let_go && !run.observed && !run.gone;
                overtakes |= run.overtaken && !run.let_go;
            }
        }
        let known = &mut self.known[payment];
        known.mixed |= overtakes || holders.iter().any(|holder| *holder != 0);
        known.observed = true;
        // A NO of another gateway binds nobody who only observes.
        self.pins[payment] = None;
    }

    /// An enforced payment is let go.
    pub(crate) fn check_handed_over(&mut self, at: usize, payment: usize, members: &[usize]) {
        let known = &mut self.known[payment];
        if known.observed && !known.elsewhere && !self.runs[at].overtaken {
            assert_eq!(members, [0], "payment {payment} was sent there while it was observed");
        }
        known.elsewhere |= members.contains(&1);
        self.reached.note(Milestone::HandedOver, known.observed);
    }
}

impl Reference {
    /// What was written while it was only observed is in doubt where it is enforced.
    pub(crate) fn counted(&self, claim: Claim) -> Claim {
        if !claim.observed {
            return claim;
        }
        let ended_at = claim.changed_at.plus(self.rules().lease);
        let candidates = claim.holders();
        let state =
            ClaimState::InDoubt { candidates, ended_at, repeat_until: None, not_found: None };
        Claim { state, observed: false, ..claim }
    }

    /// A further copy that is only observed, in the record that was there.
    pub(crate) fn check_observed_copy(
        &self,
        before: &Claim,
        after: &Claim,
        first: GatewayId,
        now: Timestamp,
    ) {
        let before = self.at(before, now);
        let candidates = before.holders().with(first);
        let state = match before.state {
            ClaimState::Settled { .. } => ClaimState::settled(candidates),
            ClaimState::Closed { how, .. } => ClaimState::Closed { how, gateways: candidates },
            ClaimState::InFlight { .. }
            | ClaimState::Rejected { .. }
            | ClaimState::InDoubt { .. } => {
                let repeat_until = Some(now.plus(self.rules().lease));
                ClaimState::InDoubt { candidates, ended_at: now, repeat_until, not_found: None }
            }
        };
        let attempt = before.attempt + 1;
        let first = after.first;
        let expected = Claim { state, attempt, observed: true, changed_at: now, first, ..before };
        assert_eq!(*after, expected);
    }
}
