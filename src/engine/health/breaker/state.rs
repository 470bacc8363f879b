//! Where a breaker stands, and its moves.

use super::rule::Rule;
use crate::engine::time::Timestamp;

/// Whether traffic flows to a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Traffic flows.
    Closed {
        /// Failures since the last success.
        run: u16,
    },
    /// No traffic flows.
    Open {
        /// The first time at which a trial may be made.
        until: Timestamp,
    },
    /// Only trials are let through.
    HalfOpen {
        /// Trials under way.
        out: u8,
        /// Trials passed.
        passed: u8,
        /// Trials failed.
        failed: u8,
        /// When the last permit was taken.
        since: Timestamp,
    },
}

impl BreakerState {
    /// The names of all states.
    pub const NAMES: [&'static str; 3] = ["closed", "half_open", "open"];

    /// Its name in logs, metrics and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed { .. } => "closed",
            Self::HalfOpen { .. } => "half_open",
            Self::Open { .. } => "open",
        }
    }
}

/// A breaker's move from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The new state.
    pub to: BreakerState,
    /// Why it moved.
    pub rule: Rule,
    /// The generation that begins with it.
    pub generation: u32,
}
