//! Where a claim stands: what the states are called, and who holds a payment in each.

use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::time::Timestamp;

/// Where a claim stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimState {
    /// Sent, or about to be, and believed until the lease ends.
    InFlight {
        /// Every gateway that the attempt can reach.
        candidates: Gateways,
        /// End of the lease.
        until: Timestamp,
        /// This attempt follows a definite NO: if it is never sent, that NO stands again.
        after_no: bool,
    },
    /// Executed. More than one gateway only where Envoy could not say which one answered.
    Settled {
        /// Who executed it.
        gateways: Gateways,
        /// While a repeat asks for the answer that is no longer kept: the end of its lease. Where none
        /// may be sent ([`ClaimState::said_settled`]) this is [`Timestamp::NEVER`].
        repeat_until: Option<Timestamp>,
    },
    /// A definite NO on the only attempt.
    Rejected {
        /// Who said so. A repeat goes there and nowhere else.
        gateway: GatewayId,
    },
    /// Sent, and nobody knows what became of it.
    InDoubt {
        /// Every gateway that may have executed it.
        candidates: Gateways,
        /// When the last attempt ended; before that nothing can be proven by its absence.
        ended_at: Timestamp,
        /// While a repeat is under way: the end of its lease.
        repeat_until: Option<Timestamp>,
        /// Who first said "not found", and when.
        not_found: Option<(GatewayId, Timestamp)>,
    },
    /// Ended without money, or with the money given back.
    Closed {
        /// How it ended.
        how: Closed,
        /// Who held it, as far as is known.
        gateways: Gateways,
    },
}

/// How a payment ended that was not executed, or was undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// It was refunded.
    Refunded,
}

impl ClaimState {
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

    /// Sent to `candidates`, and nothing is known but that the last attempt ended at `ended_at`.
    #[must_use]
    pub const fn in_doubt(candidates: Gateways, ended_at: Timestamp) -> Self {
        Self::InDoubt { candidates, ended_at, repeat_until: None, not_found: None }
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
