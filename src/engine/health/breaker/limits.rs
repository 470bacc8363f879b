//! When a breaker trips and how it comes back.

use super::Rule;
use crate::engine::health::window::Tally;
use crate::engine::limits;
use crate::engine::time::Millis;

/// When a breaker trips and how it comes back.
#[derive(Clone, Copy, Debug)]
pub struct BreakerLimits {
    /// Failures in a row that trip.
    pub consecutive_failures: u16,
    /// Length of the window that the rates look at.
    pub window: Millis,
    /// Calls within the window below which no rate counts.
    pub min_calls: u32,
    /// A window younger than this trips no rate: not every worker has brought its successes yet.
    pub rate_age_min: Millis,
    /// Percentage of failures that trips.
    pub failure_rate_pct: u32,
    /// An answer that took at least this long is slow.
    pub slow: Millis,
    /// Percentage of slow answers that trips.
    pub slow_rate_pct: u32,
    /// Requests under way, over all workers, that trip.
    pub in_flight_max: u32,
    /// A payment that its client gave up waiting for counts as unanswered if it was with the
    /// gateway for at least this long.
    pub unheard: Millis,
    /// As long may payments stay without any answer while heartbeats are bad too, whenever their
    /// clients give up.
    pub silence_max: Millis,
    /// Of the failures that count at most this percentage comes from one partner, and as much from
    /// one operation, as long as payments of another one go well.
    pub partner_failures_pct: u32,
    /// The first wait.
    pub open: Millis,
    /// The longest wait.
    pub open_max: Millis,
    /// Percentage of a wait that may be added to it, so that not all Envoys try at once.
    pub open_jitter_pct: u32,
    /// Trials that must pass, and how many may be under way. Of as many the failure rate may fail
    /// before the breaker opens again.
    pub half_open_permits: u8,
    /// After this long without news a permit that was taken comes back, and so does one whose
    /// trial proved nothing.
    pub half_open_max: Millis,
}

impl BreakerLimits {
    /// The rate that a window exceeds, if any; `failures` and `slow` are what counts of its own.
    pub(super) fn exceeded(&self, seen: Tally, failures: u32, slow: u32) -> Option<Rule> {
        if seen.calls < self.min_calls {
            return None;
        }
        let reaches =
            |part: u32, pct: u32| u64::from(part) * 100 >= u64::from(pct) * u64::from(seen.calls);
        if reaches(failures, self.failure_rate_pct) {
            return Some(Rule::FailureRate { seen });
        }
        reaches(slow, self.slow_rate_pct).then_some(Rule::SlowRate { seen })
    }

    /// Whether so many failed trials are too many: the failure rate's share of all permits, and never
    /// more than half of them.
    pub(super) fn ends_trials(&self, failed: u8) -> bool {
        let pct = self.failure_rate_pct.min(limits::FAILED_TRIALS_PCT_MAX);
        u32::from(failed) * 100 >= pct * u32::from(self.half_open_permits)
    }

    /// Doubles with each trip up to the longest; `jitter` (0 to 100) is the part of the random
    /// addition that is taken.
    pub(super) fn wait(&self, trips: u8, jitter: u64) -> Millis {
        let doublings = u32::from(trips.saturating_sub(1)).min(20);
        let base = self.open.get().saturating_mul(1 << doublings).min(self.open_max.get());
        let share = u64::from(self.open_jitter_pct) * jitter;
        Millis::new(base.saturating_add(base.saturating_mul(share) / 10_000))
    }

    /// A wait that seems longer than this was set before the clock stepped back.
    pub(super) const fn longest_wait(&self) -> Millis {
        Millis::new(self.open_max.get().saturating_mul(2))
    }
}
