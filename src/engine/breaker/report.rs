//! What a breaker is told of a call.

use crate::engine::evidence::Signal;
use crate::engine::sources::Source;
use crate::engine::window::Tally;

/// The result of a call, as it is reported to a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it says of the gateway.
    pub signal: Signal,
    /// Whether it took too long.
    pub slow: bool,
    /// The generation under which it began.
    pub generation: u32,
    /// Whether it was a trial, with a permit that now comes back.
    pub trial: bool,
    /// Where it came from.
    pub source: Source,
}

impl Report {
    /// Whether it can wait for the next tick while all goes well.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        matches!(self.signal, Signal::Success | Signal::Alive) && !self.slow && !self.trial
    }

    /// What it counts for.
    #[must_use]
    pub fn tally(&self) -> Tally {
        match self.signal {
            Signal::Alive | Signal::Neutral => Tally::default(),
            Signal::Success => Tally { calls: 1, failures: 0, slow: u32::from(self.slow) },
            Signal::Failure | Signal::Throttled => Tally { calls: 1, failures: 1, slow: 0 },
        }
    }
}
