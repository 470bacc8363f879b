//! Evidence that contradicts what was known of a payment. Money may be lost by it, or taken twice:
//! people must look.

use std::fmt;

use super::claim::Money;
use super::claim::evidence::{Evidence, Outcome, PaymentStatus, Resolution, Step};
use super::claim::rules::ClaimRules;
use super::claim::state::{ClaimState, Closed};
use crate::engine::gateway::Gateways;

/// Evidence that contradicts what was known of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// What became of the record by it.
    pub kind: AnomalyKind,
    /// The front of the claim key, in hexadecimal, as the access log has it.
    pub key: String,
    /// Where the payment stood.
    pub was: ClaimState,
    /// What was said of it.
    pub said: &'static str,
    /// The gateways that said so, or of which it was said.
    pub by: Gateways,
    /// How much money it is about, as far as its record knows.
    pub money: Money,
}

/// What became of a record by evidence that contradicts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnomalyKind {
    /// It was closed as failed, and is settled now. Whoever was told that it had failed may have
    /// paid again.
    Overturned,
    /// It stays as it was.
    Contradicted,
    /// It is executed at one gateway, and another one that keeps a ledger of its own has executed it too.
    ExecutedTwice,
}

impl AnomalyKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Overturned, Self::Contradicted, Self::ExecutedTwice];

    /// What it is called in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Overturned => "overturned",
            Self::Contradicted => "contradicted",
            Self::ExecutedTwice => "executed_twice",
        }
    }
}

impl Anomaly {
    /// What is to be told where `event` has moved the claim of `key`, which stood as `was`, by
    /// `step`.
    #[must_use]
    pub fn of(
        key: impl fmt::Display,
        was: ClaimState,
        event: Evidence,
        step: Step,
        rules: &ClaimRules,
    ) -> Option<Self> {
        let (said, by) = says(event);
        let kind = match step {
            Step::Overturned(_) => AnomalyKind::Overturned,
            Step::Contradicted(_) => AnomalyKind::Contradicted,
            Step::Stays | Step::To(_) | Step::Released => {
                let is_another = is_executed(event) && !rules.shared_ledger;
                match was {
                    ClaimState::Settled { gateways, .. }
                        if is_another && gateways.intersection(by).is_empty() =>
                    {
                        AnomalyKind::ExecutedTwice
                    }
                    ClaimState::Settled { .. }
                    | ClaimState::InFlight { .. }
                    | ClaimState::Rejected { .. }
                    | ClaimState::InDoubt { .. }
                    | ClaimState::Closed { .. } => return None,
                }
            }
        };
        Some(Self { kind, key: key.to_string(), was, said, by, money: Money::default() })
    }

    /// A gateway says that it is executed, with so much money; its record has another amount.
    #[must_use]
    pub fn of_another_amount(
        key: impl fmt::Display,
        was: ClaimState,
        by: Gateways,
        money: Money,
    ) -> Self {
        let (kind, said) = (AnomalyKind::Contradicted, "executed, of another amount");
        Self { kind, key: key.to_string(), was, said, by, money }
    }

    /// The line for operators, with the names of the gateways `by`.
    #[must_use]
    pub fn line(&self, by: &str) -> String {
        let Self { kind, key, was, said, .. } = self;
        let was = if let ClaimState::Closed { how, .. } = was { how.name() } else { was.name() };
        let what_to_do = match kind {
            AnomalyKind::Overturned => {
                "It is settled now. Its merchant may have been told that it failed, and may have \
                 paid again under another reference: look for a second payment, and refund one."
            }
            AnomalyKind::Contradicted => {
                "Its record stays as it was. Look the payment up at the gateway; if the record is \
                 wrong, tell the merchant."
            }
            AnomalyKind::ExecutedTwice => "Two gateways have executed it. Refund one.",
        };
        format!(
            "payment {key} {}: its record said {was}, {by} says {said}. {what_to_do}",
            kind.name()
        )
    }
}

/// Whether it proves that the payment was executed. Where an operator's word contradicts a record, it is
/// refused.
const fn is_executed(event: Evidence) -> bool {
    match event {
        Evidence::Answer { outcome, .. } => matches!(outcome, Outcome::Executed),
        Evidence::Told { status, .. } => matches!(status, PaymentStatus::Executed),
        Evidence::Operator(_) => false,
    }
}

/// What is said, and by whom.
fn says(event: Evidence) -> (&'static str, Gateways) {
    match event {
        Evidence::Answer { outcome, gateways, .. } => (outcome_name(outcome), gateways),
        Evidence::Told { gateway, status } => (status_name(status), Gateways::only(gateway)),
        Evidence::Operator(Resolution::ExecutedAt(by)) => {
            ("executed (an operator)", Gateways::only(by))
        }
        Evidence::Operator(Resolution::NotExecuted) => {
            ("not executed (an operator)", Gateways::NONE)
        }
    }
}

const fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Executed => "executed",
        Outcome::No => "refused",
        Outcome::NotKnown => "not known there",
        Outcome::FailedBefore => "failed before",
        Outcome::Doubtful => "nothing clear",
        Outcome::NeverSent => "never sent",
    }
}

const fn status_name(status: PaymentStatus) -> &'static str {
    match status {
        PaymentStatus::Executed => "executed (status)",
        PaymentStatus::Pending => "pending (status)",
        PaymentStatus::Closed(Closed::Failed) => "failed (status)",
        PaymentStatus::Closed(Closed::Cancelled) => "cancelled (status)",
        PaymentStatus::Closed(Closed::Refunded) => "refunded (status)",
        PaymentStatus::NotFound => "not found (status)",
    }
}
