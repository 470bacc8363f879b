//! The result of a call, as a breaker gets it.

use crate::engine::health::fair_share::Source;
use crate::engine::health::window::Tally;
use crate::engine::time::Millis;

/// What an answer, or its absence, says about the health of its gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It works.
    Success,
    /// It fails.
    Failure,
    /// It asks for fewer requests. Counts in the failure rate, not in the run of failures.
    Throttled,
    /// It answered as a healthy gateway does, with a NO or with "in progress". Ends a run of failures
    /// and passes a trial, but counts in no rate.
    Alive,
    /// The client left before an answer came. It counts if the client had waited long enough.
    Abandoned,
    /// It says nothing.
    Neutral,
}

/// The result of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it says about the gateway.
    pub signal: Signal,
    /// Whether the answer was slow.
    pub slow: bool,
    /// The breaker's generation when the call began.
    pub generation: u32,
    /// Whether it was a trial, whose permit is now given back.
    pub trial: bool,
    /// The partner and the operation that it came from.
    pub source: Source,
    /// Whether the gateway answered.
    pub heard: Heard,
    /// How long the gateway asks to wait, if it does.
    pub retry_after: Option<Millis>,
}

/// Whether a gateway answered a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Heard {
    /// It answered.
    #[default]
    Answer,
    /// It did not answer, though it had the request for so long: the client left, the time was up, or
    /// the connection broke.
    Silence(Millis),
    /// It could not answer: the request never reached it.
    Unsent,
}

impl Heard {
    /// Whether the gateway had the request for at least `length` and did not answer.
    pub(super) fn lasted(self, length: Millis) -> bool {
        match self {
            Self::Silence(waited) => waited >= length,
            Self::Answer | Self::Unsent => false,
        }
    }
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
    /// Whether it may be counted by the worker until its next tick, if all goes well.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        matches!(self.signal, Signal::Success | Signal::Alive) && !self.slow && !self.trial
    }

    /// How it counts in the rates.
    #[must_use]
    pub fn tally(&self) -> Tally {
        match self.signal {
            Signal::Alive | Signal::Abandoned | Signal::Neutral => Tally::default(),
            Signal::Success => Tally { calls: 1, failures: 0, slow: u32::from(self.slow) },
            Signal::Failure | Signal::Throttled => Tally { calls: 1, failures: 1, slow: 0 },
        }
    }
}
