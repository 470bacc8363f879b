//! How a request that moves money ended for its merchant: what an objective for payments counts by.

use crate::engine::protocol::SnapCode;

/// How a request that moves money ended for its merchant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentOutcome {
    /// It is executed, now or before.
    Executed,
    /// A gateway has said no to this payment, or it was closed without money before: a definite end, as for a
    /// customer without balance.
    Declined,
    /// A gateway takes no such payment now, whoever pays: 5xx, or 401 for a token or a key that has ended. Most of 403 is
    /// about the customer (403xx14: too little money).
    Failed,
    /// The merchant's request was refused for what it says.
    Invalid,
    /// Nothing was sent, because no gateway or no store of claims could take it.
    Unavailable,
    /// It was sent, and nobody knows what became of it.
    Unknown,
    /// Nothing was sent now: another request carries the same payment, or what became of it is not known yet.
    InProgress,
    /// Its client left before anything was sent.
    ClientGone,
}

impl PaymentOutcome {
    /// What it is called in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Executed => "executed",
            Self::Declined => "declined",
            Self::Failed => "failed",
            Self::Invalid => "invalid",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
            Self::InProgress => "in_progress",
            Self::ClientGone => "client_gone",
        }
    }

    /// Of a request that is counted under these two labels, whose gateway answered with this code and proved
    /// this. None where the filter only observes: what it would have done is not what the merchant got.
    #[must_use]
    pub fn of(decision: &str, claim: &str, code: Option<SnapCode>, evidence: &str) -> Option<Self> {
        Some(match (decision, claim) {
            ("observe", _) => return None,
            ("never_sent" | "rate_limited", _) => Self::Unavailable,
            // Of a payment that was sent before, nothing is sent while that is not known.
            ("unknown", "") => Self::InProgress,
            ("unknown", _) => Self::Unknown,
            ("already_executed", _) => Self::Executed,
            (_, "settled") => Self::Executed,
            (_, "rejected") if code.is_some_and(is_own_failure) => Self::Failed,
            (_, "rejected" | "closed") => Self::Declined,
            // It could not be written, and is true all the same.
            (_, "settle_lost") if evidence == "executed" => Self::Executed,
            (_, "") => Self::of_no_claim(decision),
            (_, _) => Self::Unknown,
        })
    }

    /// All that a request under these two labels can be counted as.
    #[must_use]
    pub fn all_of(decision: &str, claim: &str) -> Vec<Option<Self>> {
        let mut all = Vec::with_capacity(2);
        for (http, evidence) in [(200, "executed"), (500, "no")] {
            let code = SnapCode { http, service: *b"00", case: 0 };
            let outcome = Self::of(decision, claim, Some(code), evidence);
            if !all.contains(&outcome) {
                all.push(outcome);
            }
        }
        all
    }

    /// Where nothing was written about it.
    fn of_no_claim(decision: &str) -> Self {
        match decision {
            "replay" => Self::Executed,
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

/// Whether a gateway's NO says nothing about this payment, but that it takes none.
const fn is_own_failure(code: SnapCode) -> bool {
    matches!(code.http, 401 | 500..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_counts_as_what_its_merchant_got() {
        for (decision, claim, http, outcome) in [
            ("forward", "settled", 200, "executed"),
            ("unanswered", "settled", 200, "executed"),
            ("forward", "rejected", 404, "declined"),
            ("forward", "rejected", 500, "failed"),
            ("forward", "rejected", 401, "failed"),
            ("forward", "rejected", 403, "declined"),
            ("closed_failed", "closed", 500, "declined"),
            // Each gateway was tried, and none could be reached.
            ("never_sent", "rejected", 500, "unavailable"),
            ("rate_limited", "", 429, "unavailable"),
            ("forward", "in_doubt", 504, "unknown"),
            ("unknown", "in_doubt", 504, "unknown"),
            // A follow-up whose payment is elsewhere is told "unknown".
            ("unknown", "rejected", 404, "unknown"),
            ("unknown", "", 0, "in_progress"),
            ("forward", "settle_lost", 200, "executed"),
            ("forward", "settle_lost", 504, "unknown"),
            ("replay", "settled", 0, "executed"),
            ("already_executed", "settle_lost", 504, "executed"),
            ("no_gateway", "", 0, "unavailable"),
            ("mismatch", "", 0, "invalid"),
            ("in_progress", "", 0, "in_progress"),
            ("client_gone", "", 0, "client_gone"),
        ] {
            let evidence = if http == 200 { "executed" } else { "no" };
            let code = Some(SnapCode { http, service: *b"00", case: 0 });
            let found = PaymentOutcome::of(decision, claim, code, evidence);
            assert_eq!(found.map(PaymentOutcome::name), Some(outcome), "{decision} {claim} {http}");
        }
        assert_eq!(PaymentOutcome::of("observe", "settled", None, "executed"), None);
    }

    #[test]
    fn all_that_it_can_be_is_known_before() {
        let names = |decision, claim| {
            let all = PaymentOutcome::all_of(decision, claim).into_iter();
            all.map(|one| one.map_or("", PaymentOutcome::name)).collect::<Vec<_>>()
        };
        assert_eq!(names("forward", "rejected"), ["declined", "failed"]);
        assert_eq!(names("forward", "settle_lost"), ["executed", "unknown"]);
        assert_eq!(names("forward", "settled"), ["executed"]);
        assert_eq!(names("observe", "settled"), [""]);
    }
}
