//! What a breaker is told of a call.

use crate::engine::health::fair_share::Source;
use crate::engine::health::window::Tally;
use crate::engine::time::Millis;

/// What an answer says of its gateway's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It works.
    Success,
    /// It fails.
    Failure,
    /// It asks for less: counts to the failure rate, not to the run of failures.
    Throttled,
    /// It answered as a healthy gateway does, with a NO or with "in progress": ends a run of
    /// failures and passes a trial, and counts to no rate.
    Alive,
    /// The client left before an answer came. How long it had waited decides what that is worth.
    Abandoned,
    /// Nothing.
    Neutral,
}

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
    /// What was heard of the gateway.
    pub heard: Heard,
    /// How long the gateway asks to be left alone, where it does.
    pub retry_after: Option<Millis>,
}

/// What was heard of a gateway about one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Heard {
    /// An answer.
    #[default]
    Answer,
    /// Nothing, though the request was with it for so long: the client left, the time was up, or
    /// the connection broke.
    Silence(Millis),
    /// Nothing, because the request never got there.
    Unsent,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            signal: Signal::Neutral,
            slow: false,
            generation: 0,
            trial: false,
            source: Source::default(),
            heard: Heard::default(),
            retry_after: None,
        }
    }
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
            Signal::Alive | Signal::Abandoned | Signal::Neutral => Tally::default(),
            Signal::Success => Tally { calls: 1, failures: 0, slow: u32::from(self.slow) },
            Signal::Failure | Signal::Throttled => Tally { calls: 1, failures: 1, slow: 0 },
        }
    }
}
