//! The sentences in `detail`: what happened, and what the merchant should do.

use super::{LocalReply, Memory, NotExecuted, Standing, Unknown};
use crate::engine::payment::Closed;
use crate::engine::time::{Length, Utc};

impl LocalReply {
    /// For a cancel or refund that has ended without effect.
    pub(super) fn detail_of_undone() -> String {
        let undone = "This request was not carried out. That says nothing of the payment that it is about: \
                      ask for its status.";
        undone.to_owned()
    }

    /// For a cancel or refund that was carried out before. It does not say how its payment ended.
    pub(super) fn detail_of_done(&self) -> String {
        let done = "This request was carried out before. That says nothing else of the payment that it \
                    is about: ask for its status.";
        if let Self::Refused { refusal, .. } = self {
            format!("{} {done}", refusal.detail())
        } else {
            done.to_owned()
        }
    }

    pub(super) fn detail(&self) -> String {
        let text = match self {
            Self::Refused { refusal, standing } => {
                let what = refusal.detail();
                let then = match standing {
                    Standing::NotExecuted => return what,
                    Standing::Unasked => {
                        "This says nothing about an earlier request for the same payment."
                    }
                    Standing::Unknown => {
                        "The payment was sent before, and its outcome is not known: do not pay \
                         again under another reference; ask for its status or mend the request."
                    }
                    Standing::Executed => {
                        "The payment was executed before: mend the request to get its answer, or \
                         ask for its status."
                    }
                };
                return format!("{what} {then}");
            }
            Self::InProgress { unknown: false, .. } => {
                "Another request carries this payment. Nothing was sent for this one."
            }
            Self::InProgress { unknown: true, .. } => {
                "The outcome of this payment is unknown and being looked into. Nothing was sent \
                 for this request."
            }
            Self::Unknown { what: Unknown::Sent, .. } => {
                "The payment was sent and its outcome is not known. It may have been executed: do \
                 not pay again under another reference; ask for its status or repeat it unchanged."
            }
            Self::Unknown { what: Unknown::Earlier, .. } => {
                "Nothing was sent for this request. What became of an earlier one for this payment \
                 is not known, and it may have been executed: do not pay again under another \
                 reference; ask for its status or repeat it unchanged."
            }
            Self::Unknown { what: Unknown::Asked, .. } => {
                "What the gateways say does not show how this payment ended. It may have been \
                 executed: do not pay again under another reference; ask again."
            }
            Self::NoAnswer { .. } => {
                "No gateway answered this question. That says nothing about any payment."
            }
            Self::StoreFailed { .. } => {
                "The claim store could not be used, so it is not known whether this payment was \
                 made before. Nothing was sent for this request."
            }
            Self::Mismatch => {
                "This reference belongs to a payment with another amount or beneficiary. Nothing \
                 was sent for this request."
            }
            Self::AlreadyExecuted { retry_after: None } => {
                "This payment was executed. The gateway's answer is no longer kept: ask for its \
                 status."
            }
            Self::AlreadyExecuted { retry_after: Some(_) } => {
                "This payment was executed. Its gateway is being asked for the answer once more: \
                 repeat it unchanged."
            }
            Self::Contradicted => {
                "This payment was executed, as its gateway has proven. What the gateway says now does \
                 not fit that and is not relayed; its code is in gateway_code."
            }
            Self::Closed(Closed::Failed) => "This payment failed. No money moved.",
            Self::Closed(Closed::Cancelled) => "This payment was cancelled.",
            Self::Closed(Closed::Refunded) => "This payment was executed and refunded.",
            Self::NotExecuted { why, .. } => why.detail(),
        };
        text.to_owned()
    }
}

impl Memory {
    /// Why another reference is not safe although this one has no record.
    pub(super) fn ignorance(self) -> Option<String> {
        let known = match self {
            Self::Whole => return None,
            Self::Since(born) => {
                let began = Utc(born);
                format!("This Envoy started at {began} and does not know what was sent before")
            }
            Self::For(retention) => {
                format!(
                    "This Envoy does not know what was sent more than {} ago",
                    Length(retention)
                )
            }
        };
        Some(format!("{known}: ask for the payment's status before you use another reference."))
    }
}

impl NotExecuted {
    const fn detail(self) -> &'static str {
        match self {
            Self::NoGateway => "No gateway is usable at the moment. Nothing was sent.",
            Self::PinnedGatewayDown => {
                "The gateway that this payment belongs to is not usable at the moment, and no \
                 other one may be asked. Nothing was sent."
            }
            Self::NeverSent => "No gateway could be connected to. Nothing was sent.",
            Self::StoreFull => {
                "The claim store is full, so this payment could not be protected from being \
                 executed twice. Nothing was sent."
            }
            Self::RateLimited => "A rate limit turned this request away. Nothing was sent.",
        }
    }
}
