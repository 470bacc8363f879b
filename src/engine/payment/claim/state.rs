//! What states are called, and who holds a payment in each.

use super::{Closed, State};
use crate::engine::gateway::Gateways;
use crate::engine::time::Timestamp;

impl State {
    /// What it is called in logs and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InFlight { .. } => "in_flight",
            Self::Settled { .. } => "settled",
            Self::Rejected { .. } => "rejected",
            Self::InDoubt { .. } => "in_doubt",
            Self::Closed { .. } => "closed",
        }
    }

    /// Executed by `gateways`, with nothing under way.
    #[must_use]
    pub const fn settled(gateways: Gateways) -> Self {
        Self::Settled { gateways, repeat_until: None }
    }

    /// Executed by `gateways`, as somebody says who may be wrong: an operator, or a gateway that
    /// never had the payment from here. Nobody is asked for it again, who might execute it only
    /// then.
    #[must_use]
    pub const fn said_settled(gateways: Gateways) -> Self {
        Self::Settled { gateways, repeat_until: Some(Timestamp::NEVER) }
    }

    /// The gateways that hold the payment, or may.
    #[must_use]
    pub const fn holders(self) -> Gateways {
        match self {
            Self::InFlight { candidates, .. } | Self::InDoubt { candidates, .. } => candidates,
            Self::Settled { gateways, .. } | Self::Closed { gateways, .. } => gateways,
            Self::Rejected { gateway } => Gateways::only(gateway),
        }
    }
}

impl Closed {
    /// What it is called in logs and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Refunded => "refunded",
        }
    }
}
