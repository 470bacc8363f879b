//! What an answer proves, as two verdicts that are never mixed up: what became of the payment, and
//! how the gateway does.
//!
//! Sources: Envoy's response flags as its access log documents them; SNAP BI's response codes
//! (HTTP status, service, case) and DANA's tables of what its partners do with each. Whatever is
//! not listed here is in doubt: a middlebox can answer 403 for a gateway that was never reached.

use super::operation::{
    ANSWER_CODE, ANSWER_REFERENCE, ANSWER_STATUS, CANCEL, Class, Compiled, StatusTable,
};
use crate::engine::health::{Heard, Signal};
use crate::engine::json::Scalar;
use crate::engine::payment::{Closed, Outcome, PaymentStatus};
use crate::engine::time::Millis;

/// Envoy's response flags, a bit mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u64);

impl Flags {
    const NO_HEALTHY_UPSTREAM: u64 = 0x2;
    const UPSTREAM_REQUEST_TIMEOUT: u64 = 0x4;
    const UPSTREAM_CONNECTION_FAILURE: u64 = 0x20;
    const UPSTREAM_OVERFLOW: u64 = 0x80;
    const RATE_LIMITED: u64 = 0x800;
    const DOWNSTREAM_CONNECTION_TERMINATION: u64 = 0x4000;
    const UPSTREAM_RETRY_LIMIT_EXCEEDED: u64 = 0x8000;
    const NO_CLUSTER_FOUND: u64 = 0x0100_0000;
    /// The client has left.
    pub const CLIENT_GONE: Self = Self(Self::DOWNSTREAM_CONNECTION_TERMINATION);

    /// The flags of a mask as Envoy's `response.flags` attribute gives it.
    #[must_use]
    pub const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// The route's time was up, perhaps after a connection had failed and another one was tried.
    const fn timed_out(self) -> bool {
        self.is(Self::UPSTREAM_REQUEST_TIMEOUT)
            || self.is(Self::UPSTREAM_REQUEST_TIMEOUT | Self::UPSTREAM_CONNECTION_FAILURE)
    }

    /// Exactly `flag` and nothing else, but for the note that retries were used up.
    const fn is(self, flag: u64) -> bool {
        self.0 & !Self::UPSTREAM_RETRY_LIMIT_EXCEEDED == flag
    }
}

/// Who made an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The gateway, or whatever stands before it: Envoy relays it.
    Upstream,
    /// Envoy itself, because there was none, or nobody at all.
    Envoy {
        /// Why.
        flags: Flags,
        /// Whether the request was given to an upstream connection (`upstream.local_address` is
        /// there).
        attached: bool,
    },
    /// The filter itself: the request could not be let go.
    NeverLeft,
}

impl Origin {
    /// What was heard of a gateway whose request ended `waited` after it was sent.
    #[must_use]
    pub const fn heard(self, waited: Millis) -> Heard {
        match self {
            Self::Upstream => Heard::Answer,
            Self::Envoy { attached: true, .. } => Heard::Silence(waited),
            Self::Envoy { attached: false, .. } | Self::NeverLeft => Heard::Unsent,
        }
    }
}

/// The body of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// All of it, as it came: compressed bytes are no JSON.
    Complete(&'a [u8]),
    /// Cut off, or longer than what is read.
    Unreadable,
}

/// An answer, or its absence, as far as it can be evidence.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// Who made it.
    pub origin: Origin,
    /// Its HTTP status; 0 when there was none.
    pub status: u16,
    /// Its body.
    pub body: Body<'a>,
}

/// A SNAP response code: HTTP status, service, case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapCode {
    /// The HTTP status it repeats.
    pub http: u16,
    /// The service's two digits.
    pub service: [u8; 2],
    /// The case within status and service.
    pub case: u8,
}

impl SnapCode {
    /// Parses seven digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 7 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let mut service = [0; 2];
        service.copy_from_slice(text.as_bytes().get(3..5)?);
        let (http, case) = (text.get(..3)?.parse().ok()?, text.get(5..)?.parse().ok()?);
        Some(Self { http, service, case })
    }
}

impl std::fmt::Display for SnapCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [tens, ones] = self.service.map(char::from);
        write!(f, "{:03}{tens}{ones}{:02}", self.http, self.case)
    }
}

/// Why there was no answer, as far as that matters to whoever waits for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Absence {
    /// There was one, or anything else kept it away.
    #[default]
    Other,
    /// Time was up while Envoy was still connecting: who comes after that one was not tried.
    StillConnecting,
    /// A rate limit of this Envoy turned the request away.
    RateLimited,
}

/// What an answer proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Of the attempt.
    pub outcome: Outcome,
    /// Of the gateway.
    pub signal: Signal,
    /// The gateway's own code, if it gave a well-formed one.
    pub code: Option<SnapCode>,
    /// Whether DANA's tables call this answer pending, so that a client that gets it waits.
    pub reads_as_pending: bool,
    /// What it tells of the payment that a status inquiry or a cancel concerns.
    pub told: Option<PaymentStatus>,
    /// Whether the gateway says, in its protocol's words, that it knows no such payment.
    pub not_found: bool,
    /// Whether it names the payment that was asked for, and not only fails to contradict.
    pub echoes: bool,
    /// Why there was no answer.
    pub absence: Absence,
}

/// How the gateways speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// SNAP BI as DANA does it: the verdict is `responseCode` in a JSON body.
    DanaSnap,
    /// Plain HTTP: the verdict is the status code.
    Http,
}

/// Judges an answer to a request of `operation` that named the payment `reference`.
#[must_use]
pub fn judge(
    protocol: Protocol,
    operation: &Compiled,
    reference: Option<&str>,
    evidence: &Response<'_>,
) -> Verdict {
    match evidence.origin {
        Origin::Envoy { flags, attached } => {
            let why = match attached {
                false if flags.is(Flags::RATE_LIMITED) => Absence::RateLimited,
                false if flags.timed_out() => Absence::StillConnecting,
                true | false => Absence::Other,
            };
            Verdict { absence: why, ..absence(judge_absence(flags, attached)) }
        }
        Origin::NeverLeft => absence((Outcome::NeverSent, Signal::Neutral)),
        Origin::Upstream => match protocol {
            Protocol::DanaSnap => judge_snap(operation, reference, evidence),
            Protocol::Http => judge_http(evidence),
        },
    }
}

const fn absence((outcome, signal): (Outcome, Signal)) -> Verdict {
    Verdict {
        outcome,
        signal,
        code: None,
        reads_as_pending: false,
        told: None,
        not_found: false,
        echoes: false,
        absence: Absence::Other,
    }
}

/// Why there was no answer. "Never sent" holds because the route retries on `connect-failure` and
/// `refused-stream` alone, so every attempt before the last was never sent either.
const fn judge_absence(flags: Flags, attached: bool) -> (Outcome, Signal) {
    if attached {
        return match flags.0 & Flags::DOWNSTREAM_CONNECTION_TERMINATION {
            0 => (Outcome::Doubtful, Signal::Failure),
            // The client left; nobody waited for the gateway's answer.
            _ => (Outcome::Doubtful, Signal::Abandoned),
        };
    }
    // The last one: time was up before there was a connection.
    if flags.is(Flags::UPSTREAM_CONNECTION_FAILURE)
        || flags.is(Flags::NO_HEALTHY_UPSTREAM)
        || flags.timed_out()
    {
        return (Outcome::NeverSent, Signal::Failure);
    }
    // The second one: no connection either, and the cluster's `max_retries` kept Envoy from moving
    // on. Whoever comes next was not asked, so it speaks of nobody.
    if flags.is(Flags::UPSTREAM_OVERFLOW)
        || flags.is(Flags::UPSTREAM_OVERFLOW | Flags::UPSTREAM_CONNECTION_FAILURE)
        || flags.is(Flags::NO_CLUSTER_FOUND)
        // A filter between us and the router.
        || flags.is(Flags::RATE_LIMITED)
        || flags.is(Flags::DOWNSTREAM_CONNECTION_TERMINATION)
    {
        return (Outcome::NeverSent, Signal::Neutral);
    }
    (Outcome::Doubtful, Signal::Failure)
}

/// The members of an answer that carry evidence.
struct Read<'a> {
    code: SnapCode,
    status: Option<Scalar<'a>>,
    reference: Option<Scalar<'a>>,
}

fn read_snap<'a>(operation: &Compiled, evidence: &Response<'a>) -> Option<Read<'a>> {
    let Body::Complete(bytes) = evidence.body else {
        return None;
    };
    let mut found = operation.answer.extract(bytes).ok()?;
    let mut take = |place: usize| found.get_mut(place).and_then(Option::take);
    let code = SnapCode::parse(take(ANSWER_CODE)?.as_text()?)?;
    let service = std::str::from_utf8(&code.service).ok()?;
    let known = operation.operation.service_codes.iter().any(|known| known == service);
    // Credentials are refused before the service is known.
    let fits = known || (service == "00" && code.http == 401);
    (fits && code.http == evidence.status).then(|| Read {
        code,
        status: take(ANSWER_STATUS),
        reference: take(ANSWER_REFERENCE),
    })
}

/// A text member of a successful answer, by its place in what [`Compiled::answer`] finds.
#[must_use]
pub fn text_of(operation: &Compiled, evidence: &Response<'_>, place: usize) -> Option<String> {
    let is_success = |code: SnapCode| (code.http, code.case) == (200, 0);
    if evidence.origin != Origin::Upstream || !is_success(read_snap(operation, evidence)?.code) {
        return None;
    }
    let Body::Complete(bytes) = evidence.body else {
        return None;
    };
    let found = operation.answer.extract(bytes).ok()?;
    let text = found.get(place)?.as_ref()?.as_text()?;
    (!text.is_empty()).then(|| text.to_owned())
}

fn judge_snap(operation: &Compiled, reference: Option<&str>, evidence: &Response<'_>) -> Verdict {
    let Some(read) = read_snap(operation, evidence) else {
        return Verdict {
            outcome: Outcome::Doubtful,
            signal: signal_without_code(operation, evidence.status),
            code: None,
            reads_as_pending: false,
            told: None,
            not_found: false,
            echoes: false,
            absence: Absence::Other,
        };
    };
    let echoed = read.reference.as_ref().and_then(Scalar::as_text);
    let echoes = reference.is_some() && echoed == reference;
    let ties = ties(operation, reference, read.reference.as_ref());
    let (outcome, signal) = judge_code(read.code, ties);
    let told = if ties { told(operation, &read) } else { None };
    Verdict {
        outcome,
        signal,
        code: Some(read.code),
        reads_as_pending: reads_as_pending(read.code),
        told,
        not_found: told == Some(PaymentStatus::NotFound)
            || (read.code.http, read.code.case) == (404, 1),
        echoes,
        absence: Absence::Other,
    }
}

/// Whether the answer speaks of the payment that was asked about.
fn ties(operation: &Compiled, asked: Option<&str>, told: Option<&Scalar<'_>>) -> bool {
    match (&operation.operation.reference, asked) {
        (None, _) | (_, None) => true,
        (Some(member), Some(asked)) => match told {
            None | Some(Scalar::Null) => !member.obliged,
            Some(scalar) => scalar.as_text() == Some(asked),
        },
    }
}

/// The evidence table, for an answer with a well-formed code of the right service.
const fn judge_code(code: SnapCode, ties: bool) -> (Outcome, Signal) {
    match (code.http, code.case) {
        (200, 0) if ties => (Outcome::Executed, Signal::Success),
        // Success for another payment: whatever this gateway does, it does not work.
        (200, 0) => (Outcome::Doubtful, Signal::Failure),
        (202, _) => (Outcome::Doubtful, Signal::Alive),
        (429, _) => (Outcome::Doubtful, Signal::Throttled),
        // An earlier copy of the payment exists.
        (404, 18) | (409, _) => (Outcome::Doubtful, Signal::Alive),
        (400 | 401 | 403 | 404 | 405, _) => (Outcome::No, Signal::Alive),
        // DANA's tables call it failed and not to be retried.
        (500, 0) => (Outcome::No, Signal::Failure),
        (500..=599, _) => (Outcome::Doubtful, Signal::Failure),
        _ => (Outcome::Doubtful, Signal::Neutral),
    }
}

/// The Open API family carries no SNAP code, so for calls that move no money the status must do.
fn signal_without_code(operation: &Compiled, status: u16) -> Signal {
    let is_money = matches!(operation.operation.class, Class::Charge | Class::FollowUp);
    match status {
        429 => Signal::Throttled,
        200..=299 if !is_money && operation.operation.service_codes.is_empty() => Signal::Success,
        200..=499 if !is_money => Signal::Neutral,
        _ => Signal::Failure,
    }
}

/// DANA's partner actions: "pending" for 202, 429xx00, 500xx01 and every unlisted 5xx.
const fn reads_as_pending(code: SnapCode) -> bool {
    match (code.http, code.case) {
        (500, 0) => false,
        (202 | 500..=599, _) => true,
        (429, case) => case == 0,
        _ => false,
    }
}

fn told(operation: &Compiled, read: &Read<'_>) -> Option<PaymentStatus> {
    let operation = &operation.operation;
    match (operation.status, operation.class) {
        (Some(_), _) if read.code.http == 404 && read.code.case == 1 => {
            Some(PaymentStatus::NotFound)
        }
        (Some(table), _) if read.code.http == 200 && read.code.case == 0 => {
            told_status(table, read.status.as_ref()?.as_text()?)
        }
        (None, Class::FollowUp) if read.code.http == 200 && read.code.case == 0 => {
            match operation.namespace.as_ref() {
                CANCEL => Some(PaymentStatus::Closed(Closed::Cancelled)),
                // Only a payment that was executed can be refunded; part of it may stay paid.
                "refund" => Some(PaymentStatus::Executed),
                _ => None,
            }
        }
        (Some(_) | None, _) => None,
    }
}

/// `latestTransactionStatus`. DANA reads 07 as failed and advises a new order; it is taken as "not
/// found" here, which must be proven first, because a request may still be travelling.
fn told_status(table: StatusTable, status: &str) -> Option<PaymentStatus> {
    match (table, status) {
        (_, "00") | (StatusTable::Order, "01" | "02") => Some(PaymentStatus::Executed),
        (StatusTable::Order, "03") | (StatusTable::Disbursement, "01" | "02" | "03") => {
            Some(PaymentStatus::Pending)
        }
        (_, "04") => Some(PaymentStatus::Closed(Closed::Refunded)),
        (_, "05") => Some(PaymentStatus::Closed(Closed::Cancelled)),
        (_, "06") => Some(PaymentStatus::Closed(Closed::Failed)),
        (_, "07") => Some(PaymentStatus::NotFound),
        _ => None,
    }
}

/// Plain HTTP: a complete 2xx other than 202 is success, the statuses by which a server refuses a
/// request before acting on it are a NO, everything else is in doubt.
const fn judge_http(evidence: &Response<'_>) -> Verdict {
    let complete = matches!(evidence.body, Body::Complete(_));
    let (outcome, signal) = match evidence.status {
        202 => (Outcome::Doubtful, Signal::Alive),
        200..=299 if complete => (Outcome::Executed, Signal::Success),
        200..=299 => (Outcome::Doubtful, Signal::Alive),
        400 | 401 | 403 | 404 | 405 | 413 | 415 | 422 => (Outcome::No, Signal::Alive),
        409 => (Outcome::Doubtful, Signal::Alive),
        429 => (Outcome::Doubtful, Signal::Throttled),
        _ => (Outcome::Doubtful, Signal::Failure),
    };
    let reads_as_pending = matches!(evidence.status, 202 | 500..=599);
    let not_found = evidence.status == 404;
    Verdict {
        outcome,
        signal,
        code: None,
        reads_as_pending,
        told: None,
        not_found,
        echoes: false,
        absence: Absence::Other,
    }
}

/// Whether this is the documented answer to a repeat of a top-up that had failed.
#[must_use]
pub fn is_failed_before(operation: &Compiled, code: Option<SnapCode>) -> bool {
    operation.operation.namespace == "topup"
        && code.is_some_and(|code| code.http == 500 && code.service == *b"38" && code.case == 0)
}

#[cfg(test)]
mod tests;
