//! Claims on a clock that leaps ahead or is put back.

use super::Claim;
use super::rules::ClaimRules;
use super::state::ClaimState;
use crate::engine::time::{Leaps, Timestamp};

impl Claim {
    /// The claim with its times as late as time has passed since: what the clock has skipped ends
    /// no lease and proves no "not found".
    #[must_use]
    pub fn seen(mut self, now: Timestamp, leaps: &Leaps) -> Self {
        let skipped = leaps.skipped(self.changed_at, now);
        if self.observed {
            // Its last copy may be under way as long as a lease from then on.
            self.changed_at = leaps.shifted(self.changed_at, now);
        }
        match &mut self.state {
            ClaimState::InFlight { until, .. } => *until = until.plus(skipped),
            ClaimState::InDoubt { ended_at, repeat_until, not_found, .. } => {
                *ended_at = leaps.shifted(*ended_at, now);
                *repeat_until = repeat_until.map(|until| until.plus(skipped));
                *not_found = not_found.map(|(by, at)| (by, leaps.shifted(at, now)));
            }
            ClaimState::Settled { repeat_until, .. } => {
                *repeat_until = repeat_until.map(|until| until.plus(skipped));
            }
            ClaimState::Rejected { .. } | ClaimState::Closed { .. } => {}
        }
        self
    }

    /// The claim as if it had been changed now, where it was changed so far ahead of `now` that
    /// the clock must have been put back since. `None` where it was not.
    #[must_use]
    pub fn mended(self, now: Timestamp, rules: &ClaimRules) -> Option<Self> {
        let is_ahead = self.changed_at.since(now) > rules.ahead_max();
        is_ahead.then(|| self.changed_anew(now, rules))
    }

    /// The claim as if it had been changed now: a lease begins anew, and so does every wait. Which
    /// claim it is does not change.
    #[must_use]
    pub fn changed_anew(mut self, now: Timestamp, rules: &ClaimRules) -> Self {
        self.changed_at = now;
        let lease = now.plus(rules.lease);
        match &mut self.state {
            ClaimState::InFlight { until, .. } => *until = lease.min(*until),
            ClaimState::InDoubt { ended_at, repeat_until, not_found, .. } => {
                *ended_at = now.min(*ended_at);
                *repeat_until = repeat_until.map(|until| lease.min(until));
                *not_found = not_found.map(|(by, at)| (by, now.min(at)));
            }
            // A lease without an end is none.
            ClaimState::Settled { repeat_until, .. } => {
                let ends = |until: &Timestamp| *until != Timestamp::NEVER;
                let mended = repeat_until.filter(ends).map(|until| lease.min(until));
                *repeat_until = mended.or(*repeat_until);
            }
            ClaimState::Rejected { .. } | ClaimState::Closed { .. } => {}
        }
        self
    }
}
