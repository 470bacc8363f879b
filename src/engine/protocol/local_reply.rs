//! Answers that we make ourselves: problem details (RFC 9457) that also speak SNAP.
//!
//! DANA's merchants act on `responseCode`, and DANA's tables mark most 4xx as failed. So the codes
//! are chosen by what a merchant does on seeing them: while a charge may exist, none of them reads
//! as "failed, pay again". Never a 3xx (the SDKs would re-send the POST), never a 2xx that no
//! gateway gave.

use serde_json::{Map, Value};

use super::verdict::Protocol;
use crate::engine::payment::Closed;
use crate::engine::time::{Length, Millis, Timestamp, Utc};

mod refusal;

/// Why a request was refused before anything else happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The path is of no known operation.
    Unmatched,
    /// The path can be read in two ways.
    AmbiguousPath,
    /// The operation takes another method.
    Method {
        /// The one it takes.
        allowed: &'static str,
    },
    /// Whoever called may not speak for this partner.
    Peer,
    /// The partner may not call this operation, or no gateway may get it.
    Operation,
    /// Nothing says which payment it is.
    NoIdentity(String),
    /// A header or a member is not what it must be.
    BadField(String),
    /// The body is longer than allowed.
    BodyTooLarge {
        /// What is allowed.
        bytes_max: usize,
    },
}

/// Why nothing was sent, or what was sent never arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotExecuted {
    /// No gateway is usable.
    NoGateway,
    /// The gateway that said NO before is not usable, and no other one may be asked.
    PinnedGatewayDown,
    /// No connection could be made.
    NeverSent,
    /// The claim store is full of claims that must be kept.
    StoreFull,
    /// A rate limit of this Envoy.
    RateLimited,
}

/// What is known of the payment that a refused request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing: the request names none that can be read, or whoever sent it may not know.
    Unasked,
    /// It was not executed, as far as is known here; or the request can make none.
    NotExecuted,
    /// It was sent, and its outcome is not known.
    Unknown,
    /// It was executed.
    Executed,
}

/// Of what the outcome is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// Of this request, which was sent.
    Sent,
    /// Of an earlier request for the payment. This one was not sent.
    Earlier,
    /// Of a payment that was asked for.
    Asked,
}

/// What an answer of ours says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalReply {
    /// The request was refused.
    Refused {
        /// Why.
        refusal: RequestError,
        /// What is known of the payment that it names.
        standing: Standing,
    },
    /// Another request carries this payment.
    InProgress {
        /// Whether what was sent may have been executed.
        unknown: bool,
        /// When to ask again.
        retry_after: Millis,
    },
    /// Nobody knows what became of it.
    Unknown {
        /// Of what.
        what: Unknown,
        /// When to ask again.
        retry_after: Millis,
    },
    /// A question that no gateway answered.
    NoAnswer {
        /// When to ask again.
        retry_after: Millis,
    },
    /// The claim store could not be used, so nothing is known of what happened before.
    StoreFailed {
        /// When to try again.
        retry_after: Millis,
    },
    /// The key belongs to another payment.
    Mismatch,
    /// It was executed; the gateway's answer is no longer kept.
    AlreadyExecuted {
        /// When to ask again, where a repeat that may bring the answer is under way.
        retry_after: Option<Millis>,
    },
    /// It was executed, and what a gateway says of it now does not fit that.
    Contradicted,
    /// It ended without money, or with the money given back.
    Closed(Closed),
    /// It was not executed.
    NotExecuted {
        /// Why.
        why: NotExecuted,
        /// When to try again.
        retry_after: Millis,
    },
}

/// How much is known of what was sent before. A payment without a record was never sent only as far
/// as that goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memory {
    /// All that may still be repeated.
    #[default]
    Whole,
    /// Only what was sent since the store began.
    Since(Timestamp),
    /// Only what was sent within this time.
    For(Millis),
}

/// What an answer is about.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplyContext<'a> {
    /// SNAP's two digits of the operation.
    pub service_code: Option<&'a str>,
    /// Where the outcome may be asked for.
    pub inquiry_path: Option<&'a str>,
    /// The gateway that holds the payment.
    pub gateway: Option<&'a str>,
    /// What the gateway said, where that alone would mislead.
    pub gateway_code: Option<&'a str>,
    /// It is about an earlier payment: that the request was not sent says nothing about that one.
    pub follows_up: bool,
    /// What is known of the time before.
    pub memory: Memory,
    /// Envoy's id of the request.
    pub request_id: &'a str,
}

/// An answer of ours, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Header fields.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The reason, as one word, for logs.
    pub reason: &'static str,
}

/// The fixed part of an answer.
struct ReplyForm {
    /// HTTP status and case of SNAP's code.
    snap: (u16, u8),
    /// HTTP status for plain HTTP.
    http: u16,
    /// One word.
    reason: &'static str,
    title: &'static str,
    outcome: &'static str,
    safe_new_key: bool,
}

impl LocalReply {
    /// The answer in the words of `protocol`.
    #[must_use]
    pub fn reply(&self, protocol: Protocol, about: &ReplyContext<'_>) -> Reply {
        let mut form = self.form();
        if about.follows_up && matches!(self, Self::NotExecuted { .. }) {
            form = ReplyForm { title: "Request Not Sent", safe_new_key: false, ..form };
        }
        let was_done = matches!(
            self,
            Self::AlreadyExecuted { .. } | Self::Refused { standing: Standing::Executed, .. }
        );
        // A cancel that was carried out is no payment that was.
        let is_done = about.follows_up && was_done;
        if is_done {
            form.title = "Request Already Carried Out";
        }
        // A NO that a record proves is as good as ever.
        let is_unproven = matches!(self, Self::NotExecuted { .. }) && form.safe_new_key;
        let ignorance = if is_unproven { about.memory.ignorance() } else { None };
        if ignorance.is_some() {
            form.safe_new_key = false;
        }
        let own = if is_done { self.detail_of_done() } else { self.detail() };
        let detail = [Some(own), ignorance].into_iter().flatten();
        let detail = detail.collect::<Vec<_>>().join(" ");
        let mut members = Map::new();
        let status = match protocol {
            Protocol::DanaSnap => {
                let (status, case) = form.snap;
                let service = about.service_code.unwrap_or("00");
                members.insert("responseCode".into(), format!("{status}{service}{case:02}").into());
                members.insert("responseMessage".into(), form.title.into());
                status
            }
            Protocol::Http => form.http,
        };
        members.insert("type".into(), format!("urn:dana-failover:{}", form.reason).into());
        members.insert("title".into(), form.title.into());
        members.insert("status".into(), status.into());
        members.insert("detail".into(), detail.into());
        members.insert("outcome".into(), form.outcome.into());
        members.insert("safe_new_key".into(), form.safe_new_key.into());
        members.insert("request_id".into(), about.request_id.into());
        let optional = [
            ("gateway", about.gateway),
            ("gateway_code", about.gateway_code),
            ("inquiry_path", about.inquiry_path.filter(|_| form.outcome != "not_executed")),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                members.insert(name.into(), value.into());
            }
        }
        let mut headers = vec![("content-type", "application/problem+json".to_owned())];
        if let Some(retry_after) = self.retry_after() {
            headers.push(("retry-after", retry_after.as_retry_after().to_string()));
        }
        if let Self::Refused { refusal: RequestError::Method { allowed }, .. } = self {
            headers.push(("allow", (*allowed).to_owned()));
        }
        let body = Value::Object(members).to_string().into_bytes();
        Reply { status, headers, body, reason: form.reason }
    }

    /// The reason, as one word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.form().reason
    }

    const fn retry_after(&self) -> Option<Millis> {
        match self {
            Self::InProgress { retry_after, .. }
            | Self::Unknown { retry_after, .. }
            | Self::NoAnswer { retry_after }
            | Self::StoreFailed { retry_after }
            | Self::NotExecuted { retry_after, .. } => Some(*retry_after),
            Self::AlreadyExecuted { retry_after } => *retry_after,
            Self::Refused { .. } | Self::Mismatch | Self::Contradicted | Self::Closed(_) => None,
        }
    }

    fn form(&self) -> ReplyForm {
        let not_executed = |snap, http, reason, title| ReplyForm {
            snap,
            http,
            reason,
            title,
            outcome: "not_executed",
            safe_new_key: true,
        };
        match self {
            Self::Refused { refusal, standing } => standing.form(refusal),
            Self::InProgress { unknown, .. } => ReplyForm {
                snap: (429, 0),
                http: 409,
                reason: "in_progress",
                title: "Payment In Progress",
                outcome: if *unknown { "unknown" } else { "in_progress" },
                safe_new_key: false,
            },
            Self::Unknown { .. } => timeout("unknown", "Payment Outcome Unknown", "unknown"),
            Self::NoAnswer { .. } => timeout("no_answer", "Gateway Did Not Answer", "unknown"),
            Self::StoreFailed { .. } => {
                timeout("claim_store_failed", "Payment Outcome Unknown", "unknown")
            }
            // The code is DANA's own for it. Money may have moved under this reference, and what
            // differs may be a detail of the same purchase: a new key is not safe.
            Self::Mismatch => ReplyForm {
                snap: (404, 18),
                http: 422,
                reason: "mismatch",
                title: "Inconsistent Request",
                outcome: "not_executed",
                safe_new_key: false,
            },
            Self::AlreadyExecuted { .. } => {
                timeout("already_executed", "Payment Already Executed", "executed")
            }
            Self::Contradicted => timeout("contradicted", "Payment Already Executed", "executed"),
            Self::Closed(Closed::Failed) => {
                not_executed((404, 0), 409, "closed_failed", "Payment Failed")
            }
            Self::Closed(Closed::Cancelled) => {
                not_executed((404, 4), 409, "closed_cancelled", "Payment Cancelled")
            }
            Self::Closed(Closed::Refunded) => ReplyForm {
                snap: (404, 0),
                http: 409,
                reason: "closed_refunded",
                title: "Payment Refunded",
                outcome: "executed",
                safe_new_key: true,
            },
            Self::NotExecuted { why: NotExecuted::RateLimited, .. } => {
                not_executed((429, 0), 429, NotExecuted::RateLimited.reason(), "Too Many Requests")
            }
            Self::NotExecuted { why, .. } => {
                not_executed((503, 0), 503, why.reason(), "Payment Not Executed")
            }
        }
    }

    /// Of a cancel or refund that was carried out before: what became of its payment is not said.
    fn detail_of_done(&self) -> String {
        let done = "This request was carried out before. That says nothing else of the payment that it \
                    is about: ask for its status.";
        if let Self::Refused { refusal, .. } = self {
            format!("{} {done}", refusal.detail())
        } else {
            done.to_owned()
        }
    }

    fn detail(&self) -> String {
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

/// What DANA's tables call pending: the merchant waits and asks.
const fn timeout(reason: &'static str, title: &'static str, outcome: &'static str) -> ReplyForm {
    ReplyForm { snap: (504, 0), http: 504, reason, title, outcome, safe_new_key: false }
}

impl Memory {
    /// Why another reference is not safe, though this one has no record.
    fn ignorance(self) -> Option<String> {
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
    const fn reason(self) -> &'static str {
        match self {
            Self::NoGateway => "no_gateway",
            Self::PinnedGatewayDown => "pinned_gateway_down",
            Self::NeverSent => "never_sent",
            Self::StoreFull => "claim_store_full",
            Self::RateLimited => "rate_limited",
        }
    }

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

#[cfg(test)]
mod tests;
