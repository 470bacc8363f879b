//! What a clock that was put back has left in a breaker.

use super::{Breaker, Limits, State};
use crate::engine::time::Timestamp;

impl Breaker {
    /// Times that lie ahead were written before the clock was put back. A state was entered now at
    /// the latest, and a wait that seems longer than any is over.
    pub fn mend(&mut self, now: Timestamp, limits: &Limits) {
        self.since = self.since.min(now);
        match &mut self.state {
            State::Open { until } => *until = until.or_now(now, limits.longest_wait()),
            State::HalfOpen { since, .. } => *since = (*since).min(now),
            State::Closed { .. } => {}
        }
    }
}
