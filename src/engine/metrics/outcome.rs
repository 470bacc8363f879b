//! How a request that moves money ended for its merchant: what an objective for payments counts by.

/// How a request that moves money ended for its merchant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentOutcome {
    /// It is executed, now or before.
    Executed,
    /// A gateway has said no, or its payment was closed without money before: a definite end, as for a
    /// customer without balance.
    Declined,
    /// The merchant's request was refused for what it says.
    Invalid,
    /// Nothing was executed because no gateway, or no store of claims, could take it.
    Unavailable,
    /// Nobody knows what became of it.
    Unknown,
    /// Another request carries the same payment.
    InProgress,
    /// Its client left before anything was sent.
    ClientGone,
}

impl PaymentOutcome {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Executed,
        Self::Declined,
        Self::Invalid,
        Self::Unavailable,
        Self::Unknown,
        Self::InProgress,
        Self::ClientGone,
    ];

    /// What it is called in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Executed => "executed",
            Self::Declined => "declined",
            Self::Invalid => "invalid",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
            Self::InProgress => "in_progress",
            Self::ClientGone => "client_gone",
        }
    }

    /// Of a request that is counted under these two labels. Where its claim stands afterwards says more than
    /// what was decided; what could not be written, nobody knows when it comes again.
    #[must_use]
    pub fn of(decision: &str, claim: &str) -> Self {
        match (decision, claim) {
            ("never_sent" | "rate_limited", _) => Self::Unavailable,
            (_, "settled") => Self::Executed,
            (_, "rejected" | "closed") => Self::Declined,
            (_, "") => Self::of_no_claim(decision),
            (_, _) => Self::Unknown,
        }
    }

    /// Where nothing was written about it.
    fn of_no_claim(decision: &str) -> Self {
        match decision {
            "replay" | "already_executed" => Self::Executed,
            "closed_failed" | "closed_cancelled" | "closed_refunded" => Self::Declined,
            "method" | "bad_field" | "body_too_large" | "no_identity" | "mismatch" | "peer"
            | "operation" | "refused_in_doubt" | "refused_executed" => Self::Invalid,
            "no_gateway" | "pinned_gateway_down" | "claim_store_full" | "claim_store_failed" => {
                Self::Unavailable
            }
            "in_progress" => Self::InProgress,
            // Its claim was given back: it was sent to nobody.
            "client_gone" | "unanswered" => Self::ClientGone,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_claim_counts_and_then_what_was_decided() {
        for (decision, claim, outcome) in [
            ("forward", "settled", "executed"),
            ("unanswered", "settled", "executed"),
            ("forward", "rejected", "declined"),
            ("closed_failed", "closed", "declined"),
            // Each gateway was tried, and none could be reached.
            ("never_sent", "rejected", "unavailable"),
            ("rate_limited", "", "unavailable"),
            ("forward", "in_doubt", "unknown"),
            ("forward", "settle_lost", "unknown"),
            ("unknown", "", "unknown"),
            ("replay", "settled", "executed"),
            ("already_executed", "", "executed"),
            ("no_gateway", "", "unavailable"),
            ("mismatch", "", "invalid"),
            ("in_progress", "", "in_progress"),
            ("client_gone", "", "client_gone"),
        ] {
            assert_eq!(PaymentOutcome::of(decision, claim).name(), outcome, "{decision}");
        }
    }
}
