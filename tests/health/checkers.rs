//! Two more promises, each judged in stories of its own kind.

use dana_failover::engine::Policy;
use dana_failover::engine::{BreakerState, Rule};
use dana_failover::engine::{Millis, Timestamp};

use super::invariants::{Invariants, Reached, Shared};
use super::world::LEFT_WITHIN;

impl Reached {
    pub(crate) fn assert_bad_partners_were_tried(&self, seeds: u64) {
        let enough = self.trips.min(self.closings) > seeds / 2;
        assert!(enough, "hardly a breaker opened and closed again: {self:?}");
    }

    pub(crate) fn assert_left(&self, seeds: u64) {
        assert_eq!(self.left, seeds, "each story ends with the gateway left: {self:?}");
    }
}

impl Invariants<'_> {
    /// A worker tells who has asked with its tick, twice a second at least.
    pub(crate) fn good_partner_asks(&mut self, now: Timestamp) {
        self.others_known.get_or_insert_with(|| now.plus(Millis::new(1000)));
    }

    pub(super) fn count_failed_trials(&mut self, before: &Shared, after: &Shared, now: Timestamp) {
        let forced = after.health.forced(&self.policy.health, now);
        for (place, gateway) in self.policy.order().enumerate() {
            let of = |shared: &Shared| shared.health.member(gateway).cloned().unwrap_or_default();
            let (was, is) = (of(before).breaker, of(after).breaker);
            let failed = matches!(is.cause(), Some(Rule::TrialFailed))
                && was.generation() != is.generation()
                && matches!(is.state(), BreakerState::Open { .. });
            let alone = self.others_known.is_none_or(|known| now < known);
            if is.is_closed() || forced == Some(gateway) || alone {
                self.failed_trials[place] = 0;
            } else if failed {
                self.failed_trials[place] += 1;
                self.reached.reopened += 1;
            }
        }
    }

    /// A gateway that succeeds for at least 85 % of the payments of at least two partners is never
    /// closed to all for longer than one trial, whoever else fails there. Where a single failed
    /// trial ends all of them, one of the good partners' may be that one too.
    pub(crate) fn check_trials(&self, policy: &Policy) {
        let most = if policy.health.breaker.half_open_permits >= 3 { 1 } else { 2 };
        for (gateway, failed) in policy.gateways.iter().zip(&self.failed_trials) {
            assert!(*failed <= most, "{}: {failed} failed trials in a row", gateway.name);
        }
    }

    /// A gateway that answers nothing is left within 10 s, or `response_ms`, from the moment when
    /// as many payments were on their way as it takes, whatever their clients do.
    pub(crate) fn check_left(&mut self, shared: &Shared, hangs: Timestamp, now: Timestamp) {
        let first = self.first();
        let is_left = shared.health.member(first).is_some_and(|one| !one.breaker.is_closed());
        if is_left {
            self.reached.left = 1;
            return;
        }
        let enough = usize::from(self.policy.health.breaker.consecutive_failures);
        let mut sent = self.sent_to_first.iter().filter(|at| **at >= hangs);
        if let Some(last) = sent.nth(enough - 1) {
            let waited = now.since(*last).get();
            assert!(waited <= LEFT_WITHIN + 100, "still used after {waited} ms of silence");
        }
    }
}
