//! When a breaker trips and how it comes back.

use crate::engine::limits;
use crate::engine::time::Millis;

/// When a breaker trips and how it comes back.
#[derive(Clone, Copy, Debug)]
pub struct BreakerLimits {
    /// So many failures in a row trip.
    pub consecutive_failures: u16,
    /// Length of the sliding window of the rates.
    pub window: Millis,
    /// With fewer calls in the window no rate trips.
    pub min_calls: u32,
    /// A younger window trips no rate: not every worker has brought its successes to it.
    pub rate_age_min: Millis,
    /// Percentage of failures that trips, 1 to 100.
    pub failure_rate_pct: u32,
    /// An answer that took at least this long is slow.
    pub slow: Millis,
    /// Percentage of slow answers that trips, 1 to 100.
    pub slow_rate_pct: u32,
    /// So many requests in flight, over all workers, trip.
    pub in_flight_max: u32,
    /// A payment whose client gave up counts as unanswered if the gateway had it for at least this
    /// long.
    pub unheard: Millis,
    /// While heartbeats are bad, payments may stay without any answer for this long, however early
    /// their clients give up.
    pub silence_max: Millis,
    /// Percentage of the counted failures that may come from one partner, 1 to 100. The same holds for
    /// one operation. It is a cap only while payments of another one go well.
    pub partner_failures_pct: u32,
    /// The wait after the first trip.
    pub open: Millis,
    /// The longest wait.
    pub open_max: Millis,
    /// Up to this percentage of a wait is added to it, so that not all Envoys try at the same time.
    pub open_jitter_pct: u32,
    /// Trials that must pass, which is also how many may be under way. The failure rate's share of
    /// them may fail before the breaker opens again.
    pub half_open_permits: u8,
    /// Permits are given back after this long without a new one. The trials that took them were lost
    /// or proved nothing.
    pub half_open_max: Millis,
}

impl BreakerLimits {
    /// Whether so many failed trials are too many: the failure rate's share of all permits, half of
    /// them at most.
    pub(super) fn ends_trials(&self, failed: u8) -> bool {
        let pct = self.failure_rate_pct.min(limits::FAILED_TRIALS_PCT_MAX);
        u32::from(failed) * 100 >= pct * u32::from(self.half_open_permits)
    }

    /// The wait doubles with each trip, up to the longest. `jitter` (0 to 100) is the percentage of
    /// the random addition that is used.
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
