//! What an answer proves. There are two verdicts, which are kept apart: the outcome of the payment
//! and the health of the gateway.
//!
//! Sources: Envoy's response flags as its access log documents them; SNAP BI's response codes
//! (HTTP status, service, case); DANA's tables of what a partner should do with each code. Any
//! answer that is not listed here leaves the payment in doubt. A proxy on the way can answer 403
//! for a gateway that was never reached.

use super::operation::{
    ANSWER_CODE, ANSWER_REFERENCE, ANSWER_STATUS, CANCEL, Class, Compiled, StatusTable,
};
use super::response::{Body, Flags, Origin, Response};
use super::snap_code::SnapCode;
use crate::engine::codec::json::Scalar;
use crate::engine::health::Signal;
use crate::engine::payment::{Closed, Outcome, PaymentStatus};

/// Why there was no answer, as far as it matters to the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Absence {
    /// There was an answer, or none for any other reason.
    #[default]
    Other,
    /// The timeout came while Envoy was still connecting. The next gateway was not tried.
    StillConnecting,
    /// A rate limit of this Envoy refused the request.
    RateLimited,
}

/// What an answer proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The outcome of the attempt.
    pub outcome: Outcome,
    /// The health of the gateway.
    pub signal: Signal,
    /// The gateway's SNAP code, if it is well-formed.
    pub code: Option<SnapCode>,
    /// Whether DANA's tables call this answer pending. A client that gets it waits.
    pub reads_as_pending: bool,
    /// The status of the payment that a status inquiry, a cancel or a refund concerns.
    pub payment_status: Option<PaymentStatus>,
    /// Whether the gateway says that it knows no such payment.
    pub not_found: bool,
    /// Whether the answer carries the reference of the request.
    pub echoes: bool,
    /// Why there was no answer.
    pub absence: Absence,
}

/// The protocol of the gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// SNAP BI as DANA uses it: `responseCode` in a JSON body decides.
    DanaSnap,
    /// Plain HTTP: the status code decides.
    Http,
}

/// Judges an answer to a request of `operation`. `reference` is the reference in the request.
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
        payment_status: None,
        not_found: false,
        echoes: false,
        absence: Absence::Other,
    }
}

/// Judges an answer of Envoy's own. "Never sent" holds for all attempts of the request: the route
/// retries only on `connect-failure` and `refused-stream`, so no earlier attempt was sent either.
const fn judge_absence(flags: Flags, attached: bool) -> (Outcome, Signal) {
    if attached {
        return match flags.0 & Flags::DOWNSTREAM_CONNECTION_TERMINATION {
            0 => (Outcome::Doubtful, Signal::Failure),
            // The client left before the gateway answered.
            _ => (Outcome::Doubtful, Signal::Abandoned),
        };
    }
    // `timed_out`: the timeout came before there was a connection.
    if flags.is(Flags::UPSTREAM_CONNECTION_FAILURE)
        || flags.is(Flags::NO_HEALTHY_UPSTREAM)
        || flags.timed_out()
    {
        return (Outcome::NeverSent, Signal::Failure);
    }
    // The second line: there was no connection, and the cluster's `max_retries` kept Envoy from
    // trying the next gateway. So it says nothing about the health of a gateway.
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
    // DANA refuses credentials before it knows the service.
    let fits = known || (service == "00" && code.http == 401);
    (fits && code.http == evidence.status).then(|| Read {
        code,
        status: take(ANSWER_STATUS),
        reference: take(ANSWER_REFERENCE),
    })
}

/// A text member of a successful answer, by its place in what [`Compiled::answer`] finds.
#[must_use]
pub(in crate::engine) fn text_of(
    operation: &Compiled,
    evidence: &Response<'_>,
    place: usize,
) -> Option<String> {
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
            payment_status: None,
            not_found: false,
            echoes: false,
            absence: Absence::Other,
        };
    };
    let echoed = read.reference.as_ref().and_then(Scalar::as_text);
    let echoes = reference.is_some() && echoed == reference;
    let ties = ties(operation, reference, read.reference.as_ref());
    let (outcome, signal) = judge_code(read.code, ties);
    let payment_status = if ties { payment_status(operation, &read) } else { None };
    Verdict {
        outcome,
        signal,
        code: Some(read.code),
        reads_as_pending: reads_as_pending(read.code),
        payment_status,
        not_found: payment_status == Some(PaymentStatus::NotFound)
            || (read.code.http, read.code.case) == (404, 1),
        echoes,
        absence: Absence::Other,
    }
}

/// Whether the answer is about the payment of the request.
fn ties(operation: &Compiled, asked: Option<&str>, answered: Option<&Scalar<'_>>) -> bool {
    match (&operation.operation.reference, asked) {
        (None, _) | (_, None) => true,
        (Some(member), Some(asked)) => match answered {
            None | Some(Scalar::Null) => !member.obliged,
            Some(scalar) => scalar.as_text() == Some(asked),
        },
    }
}

/// The evidence table, for an answer with a well-formed code of the right service.
const fn judge_code(code: SnapCode, ties: bool) -> (Outcome, Signal) {
    match (code.http, code.case) {
        (200, 0) if ties => (Outcome::Executed, Signal::Success),
        // Success for another payment: the gateway does not work.
        (200, 0) => (Outcome::Doubtful, Signal::Failure),
        (202, _) => (Outcome::Doubtful, Signal::Alive),
        (429, _) => (Outcome::Doubtful, Signal::Throttled),
        // The gateway has an earlier copy of the payment.
        (404, 18) | (409, _) => (Outcome::Doubtful, Signal::Alive),
        (400 | 401 | 403 | 404 | 405, _) => (Outcome::No, Signal::Alive),
        // DANA's tables call it failed, and say that it must not be retried.
        (500, 0) => (Outcome::No, Signal::Failure),
        (500..=599, _) => (Outcome::Doubtful, Signal::Failure),
        _ => (Outcome::Doubtful, Signal::Neutral),
    }
}

/// The Open API family has no SNAP code. There the HTTP status decides for calls that move no money.
fn signal_without_code(operation: &Compiled, status: u16) -> Signal {
    let is_money = matches!(operation.operation.class, Class::Charge | Class::FollowUp);
    match status {
        429 => Signal::Throttled,
        200..=299 if !is_money && operation.operation.service_codes.is_empty() => Signal::Success,
        200..=499 if !is_money => Signal::Neutral,
        _ => Signal::Failure,
    }
}

/// DANA's partner actions: "pending" for 202, 429xx00, 500xx01 and every 5xx that is not listed.
const fn reads_as_pending(code: SnapCode) -> bool {
    match (code.http, code.case) {
        (500, 0) => false,
        (202 | 500..=599, _) => true,
        (429, case) => case == 0,
        _ => false,
    }
}

/// The status of the payment that the request concerns.
fn payment_status(operation: &Compiled, read: &Read<'_>) -> Option<PaymentStatus> {
    let operation = &operation.operation;
    match (operation.status, operation.class) {
        (Some(_), _) if read.code.http == 404 && read.code.case == 1 => {
            Some(PaymentStatus::NotFound)
        }
        (Some(table), _) if read.code.http == 200 && read.code.case == 0 => {
            latest_status(table, read.status.as_ref()?.as_text()?)
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

/// Reads `latestTransactionStatus`. DANA calls 07 failed and advises a new order. Here it counts as
/// "not found", which must be proven first, because a request may still be on its way.
fn latest_status(table: StatusTable, status: &str) -> Option<PaymentStatus> {
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

/// Plain HTTP. A complete 2xx other than 202 is a success. A status by which a server refuses a
/// request before it acts on it is a NO. Everything else is in doubt.
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
        payment_status: None,
        not_found,
        echoes: false,
        absence: Absence::Other,
    }
}

/// Whether this is the documented answer to the repeat of a top-up that had failed.
#[must_use]
pub(in crate::engine) fn is_failed_before(operation: &Compiled, code: Option<SnapCode>) -> bool {
    operation.operation.namespace == "topup"
        && code.is_some_and(|code| code.http == 500 && code.service == *b"38" && code.case == 0)
}

#[cfg(test)]
mod tests;
