//! What is said of a payment, by whom, and what that does to its claim.

use super::state::{ClaimState, Closed};
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::time::Timestamp;

/// Tells one claim of a key from a later one: a claim released and taken anew is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation {
    /// When it was claimed.
    pub claimed_at: Timestamp,
    /// Made from the request's id and context, so that two claims of one millisecond differ.
    pub nonce: u32,
}

/// The attempt that an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptId {
    /// Which claim of the key.
    pub incarnation: Incarnation,
    /// Which attempt of that claim, from 1.
    pub attempt: u16,
}

/// What became of an attempt, as far as the evidence goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Success, proven by an equal reference.
    Executed,
    /// A definite NO.
    No,
    /// The same, in the words "I know no such payment", to a cancel or refund whose payment is
    /// proven at another gateway. The time of such an answer is when the attempt was sent.
    NotKnown,
    /// The gateway's documented answer to a repeat of a payment that had failed (top-up 5003800).
    FailedBefore,
    /// Anything that proves neither.
    Doubtful,
    /// No byte reached a gateway.
    NeverSent,
}

impl Outcome {
    /// Its name in the audit trail.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Executed => "executed",
            Self::No => "no",
            Self::NotKnown => "not_known",
            Self::FailedBefore => "failed_before",
            Self::Doubtful => "doubtful",
            Self::NeverSent => "never_sent",
        }
    }
}

/// What a gateway's status answer says about a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentStatus {
    /// Executed, or (an order) proven to exist there.
    Executed,
    /// Known there, outcome open.
    Pending,
    /// Ended there.
    Closed(Closed),
    /// Not known there.
    NotFound,
}

impl PaymentStatus {
    /// Its name in the audit trail.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Executed => "executed",
            Self::Pending => "pending",
            Self::Closed(how) => how.name(),
            Self::NotFound => "not_found",
        }
    }
}

/// Evidence about a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// An attempt of ours ended.
    Answer {
        /// Which one.
        of: AttemptId,
        /// What the evidence says.
        outcome: Outcome,
        /// The gateways that it can speak of.
        gateways: Gateways,
    },
    /// A gateway told the payment's status, or cancelled it.
    Told {
        /// Who said so.
        gateway: GatewayId,
        /// What it said.
        status: PaymentStatus,
    },
    /// An operator has looked it up where the money is.
    Operator(Resolution),
}

/// What an operator found out about a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// This gateway has executed it.
    ExecutedAt(GatewayId),
    /// Nobody has executed it, and nobody will.
    NotExecuted,
}

/// What evidence did to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: it stays as it was.
    Stays,
    /// It moved.
    To(ClaimState),
    /// The claim is gone and the key is free.
    Released,
    /// The evidence contradicts it. It stays as it was, but for a repeat that has ended by that.
    Contradicted(ClaimState),
    /// It moved although it had been resolved otherwise.
    Overturned(ClaimState),
}
