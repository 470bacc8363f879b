//! Times in a breaker after the clock was put back.

use super::Breaker;
use super::limits::BreakerLimits;
use super::state::BreakerState;
use crate::engine::time::Timestamp;

impl Breaker {
    /// Corrects times that lie ahead: they were written before the clock was put back. A state was
    /// entered now at the latest. A wait that is longer than any can be is over.
    pub fn mend(&mut self, now: Timestamp, limits: &BreakerLimits) {
        self.since = self.since.min(now);
        match &mut self.state {
            BreakerState::Open { until } => *until = until.or_now(now, limits.longest_wait()),
            BreakerState::HalfOpen { since, .. } => *since = (*since).min(now),
            BreakerState::Closed { .. } => {}
        }
    }
}
