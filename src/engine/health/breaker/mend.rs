//! What a clock that was put back has left in a breaker.

use super::{Breaker, BreakerLimits, BreakerState};
use crate::engine::time::Timestamp;

impl Breaker {
    /// Times that lie ahead were written before the clock was put back. A state was entered now at
    /// the latest, and a wait that seems longer than any is over.
    pub fn mend(&mut self, now: Timestamp, limits: &BreakerLimits) {
        self.since = self.since.min(now);
        match &mut self.state {
            BreakerState::Open { until } => *until = until.or_now(now, limits.longest_wait()),
            BreakerState::HalfOpen { since, .. } => *since = (*since).min(now),
            BreakerState::Closed { .. } => {}
        }
    }
}
