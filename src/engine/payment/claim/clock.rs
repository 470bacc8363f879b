//! Claims on a clock that leaps ahead or is put back.

use super::{Claim, Rules, State};
use crate::engine::limits;
use crate::engine::time::leaps::Leaps;
use crate::engine::time::{Millis, Timestamp};

impl Rules {
    /// The shortest time from an attempt without an answer to the proof that it was not executed.
    #[must_use]
    pub fn doubt_min(&self) -> Millis {
        let delays = self.settle_delay.get().saturating_mul(2);
        Millis::new(self.lease.get().saturating_add(delays))
    }

    /// The longest that a record makes anybody wait.
    #[must_use]
    pub fn longest_wait(&self) -> Millis {
        self.lease.max(self.repeat_after).max(self.settle_delay)
    }

    /// A record that was changed further ahead than this was changed before the clock was put back:
    /// with its lease it would make somebody wait for longer than anything may. A little more is
    /// nothing, because the clock is read before the record is.
    #[must_use]
    pub fn ahead_max(&self) -> Millis {
        let room = self.longest_wait().get().saturating_sub(self.lease.get());
        Millis::new(room).max(limits::CLOCK_LEAP_MIN)
    }
}

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
            State::InFlight { until, .. } => *until = until.plus(skipped),
            State::InDoubt { ended_at, repeat_until, not_found, .. } => {
                *ended_at = leaps.shifted(*ended_at, now);
                *repeat_until = repeat_until.map(|until| until.plus(skipped));
                *not_found = not_found.map(|(by, at)| (by, leaps.shifted(at, now)));
            }
            State::Settled { repeat_until, .. } => {
                *repeat_until = repeat_until.map(|until| until.plus(skipped));
            }
            State::Rejected { .. } | State::Closed { .. } => {}
        }
        self
    }

    /// The claim as if it had been changed now, where it was changed so far ahead of `now` that
    /// the clock must have been put back since: a lease begins anew, and so does every wait.
    /// `None` where it was not. Which claim it is does not change.
    #[must_use]
    pub fn mended(mut self, now: Timestamp, rules: &Rules) -> Option<Self> {
        if self.changed_at.since(now) <= rules.ahead_max() {
            return None;
        }
        self.changed_at = now;
        let lease = now.plus(rules.lease);
        match &mut self.state {
            State::InFlight { until, .. } => *until = lease.min(*until),
            State::InDoubt { ended_at, repeat_until, not_found, .. } => {
                *ended_at = now.min(*ended_at);
                *repeat_until = repeat_until.map(|until| lease.min(until));
                *not_found = not_found.map(|(by, at)| (by, now.min(at)));
            }
            // A lease without an end is none.
            State::Settled { repeat_until, .. } => {
                let ends = |until: &Timestamp| *until != Timestamp::NEVER;
                let mended = repeat_until.filter(ends).map(|until| lease.min(until));
                *repeat_until = mended.or(*repeat_until);
            }
            State::Rejected { .. } | State::Closed { .. } => {}
        }
        Some(self)
    }
}
