//! Answers that the filter gives itself: problem details (RFC 9457) with SNAP's members.
//!
//! DANA's merchants act on `responseCode`, and DANA's tables mark most 4xx as failed. So each code is
//! chosen by what a merchant does with it. While a charge may exist, no code reads as "failed, pay
//! again". No answer is a 3xx, because the SDKs would send the POST again. None is a 2xx, because
//! only a gateway can confirm a payment.

use serde_json::{Map, Value};

use super::verdict::Protocol;
use crate::engine::payment::Closed;
use crate::engine::time::{Millis, Timestamp};

mod detail;
mod refusal;

/// What is wrong with a request that is refused before anything is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The path matches no operation.
    Unmatched,
    /// The path can be read in two ways.
    AmbiguousPath,
    /// The operation takes another method.
    Method {
        /// The method that it takes.
        allowed: &'static str,
    },
    /// The client may not send requests for this partner.
    Peer,
    /// The partner may not call this operation, or it is allowed at no gateway.
    Operation,
    /// The request does not identify its payment.
    NoIdentity(String),
    /// A header or a member of the body is not valid.
    BadField(String),
    /// The body is longer than allowed.
    BodyTooLarge {
        /// The largest body that is allowed, in bytes.
        bytes_max: usize,
    },
}

/// Why no gateway got the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotExecuted {
    /// No gateway is usable.
    NoGateway,
    /// The gateway of the payment is not usable, and the payment may be sent to no other one.
    PinnedGatewayDown,
    /// No connection could be made.
    NeverSent,
    /// The claim store is full of claims that must not be evicted.
    StoreFull,
    /// A rate limit of this Envoy refused it.
    RateLimited,
}

/// What is known about the payment of a refused request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing: the request identifies none, or its sender must not learn it.
    Unasked,
    /// It was not executed as far as this store knows. Or the request cannot move money.
    NotExecuted,
    /// It was sent, and its outcome is not known.
    Unknown,
    /// It was executed.
    Executed,
}

/// What has an unknown outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// This request, which was sent.
    Sent,
    /// An earlier request for the payment. This one was not sent.
    Earlier,
    /// The payment of a status inquiry.
    Asked,
}

/// What an answer of the filter says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalReply {
    /// The request was refused.
    Refused {
        /// What is wrong with it.
        refusal: RequestError,
        /// What is known about its payment.
        standing: Standing,
    },
    /// Another request for this payment is under way.
    InProgress {
        /// Whether the payment may have been executed.
        unknown: bool,
        /// When to ask again.
        retry_after: Millis,
    },
    /// The outcome is not known.
    Unknown {
        /// Whose outcome.
        what: Unknown,
        /// When to ask again.
        retry_after: Millis,
    },
    /// No gateway answered an inquiry.
    NoAnswer {
        /// When to ask again.
        retry_after: Millis,
    },
    /// The claim store could not be used, so nothing is known about earlier requests.
    StoreFailed {
        /// When to try again.
        retry_after: Millis,
    },
    /// The key belongs to a payment with other values.
    Mismatch,
    /// It was executed; the gateway's answer is no longer kept.
    AlreadyExecuted {
        /// When to ask again, if a repeat under way may bring the answer.
        retry_after: Option<Millis>,
    },
    /// It was executed, and the gateway's answer now contradicts that.
    Contradicted,
    /// It ended without money moved, or with the money given back.
    Closed(Closed),
    /// It was not executed.
    NotExecuted {
        /// Why.
        why: NotExecuted,
        /// When to try again.
        retry_after: Millis,
    },
}

/// How far back the store knows what was sent. A payment without a record was not sent within that
/// time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memory {
    /// Everything that may still be repeated.
    #[default]
    Whole,
    /// Only what was sent since the store began.
    Since(Timestamp),
    /// Only what was sent within this time.
    For(Millis),
}

/// The request that an answer is for.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplyContext<'a> {
    /// The two digits of SNAP's service code.
    pub service_code: Option<&'a str>,
    /// The path of the status inquiry.
    pub inquiry_path: Option<&'a str>,
    /// The gateway that holds the payment.
    pub gateway: Option<&'a str>,
    /// The gateway's own code, if it is not relayed.
    pub gateway_code: Option<&'a str>,
    /// Whether the request concerns an earlier payment. That the request was not sent then says nothing
    /// about the payment.
    pub follows_up: bool,
    /// How far back the store knows what was sent.
    pub memory: Memory,
    /// Envoy's id of the request.
    pub request_id: &'a str,
}

/// An answer that is ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Header fields.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The reason as one word, for logs and metrics.
    pub reason: &'static str,
}

/// The fixed part of an answer.
struct ReplyForm {
    /// HTTP status and case of SNAP's code.
    snap: (u16, u8),
    /// HTTP status for plain HTTP.
    http: u16,
    /// The reason as one word.
    reason: &'static str,
    title: &'static str,
    outcome: &'static str,
    safe_new_key: bool,
}

impl LocalReply {
    /// The answer in the form of `protocol`.
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
        // That a cancel was carried out does not mean that the payment was executed, and that it was not
        // carried out does not mean that the payment failed.
        let is_done = about.follows_up && was_done;
        let is_undone = about.follows_up && matches!(self, Self::Closed(_));
        if is_done {
            form.title = "Request Already Carried Out";
        }
        if is_undone {
            form = ReplyForm { title: "Request Not Carried Out", safe_new_key: false, ..form };
        }
        // A NO that a record proves needs no memory.
        let is_unproven = matches!(self, Self::NotExecuted { .. }) && form.safe_new_key;
        let ignorance = if is_unproven { about.memory.ignorance() } else { None };
        if ignorance.is_some() {
            form.safe_new_key = false;
        }
        let own = match (is_done, is_undone) {
            (true, _) => self.detail_of_done(),
            (_, true) => Self::detail_of_undone(),
            _ => self.detail(),
        };
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

    /// The reason as one word.
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
            // This is DANA's own code for it. Money may have moved under this reference, and the
            // difference may be a detail of the same purchase. So a new key is not safe.
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
}

/// A code that DANA's tables call pending: the merchant waits, and asks for the status.
const fn timeout(reason: &'static str, title: &'static str, outcome: &'static str) -> ReplyForm {
    ReplyForm { snap: (504, 0), http: 504, reason, title, outcome, safe_new_key: false }
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
}

#[cfg(test)]
mod tests;
