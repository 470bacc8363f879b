//! Every way in which an outcome can become unknown, against everything that may come next.
//!
//! A *cell* is one payment whose first answer goes wrong in the way of its [`Row`] and that then
//! meets what its [`Column`] says. Each has a reference of its own, so a whole table shares one
//! Envoy. For each cell: the answers are as designed, none of them reads as "failed" while a charge
//! exists in a ledger, and however often the payment is repeated, it is executed at most once.

mod cell;
mod world;

use serde_json::{Value, json};

use cell::Answer;
use world::World;

/// How the first answer goes wrong.
#[derive(Debug)]
struct Row {
    name: &'static str,
    /// What the gateway does to the first request.
    fault: Value,
    /// Which gateway gets it: the secondary, when the primary refuses connections.
    at: &'static str,
    /// What the client gets; nothing when it has left.
    first: Option<Answer>,
    /// What the same payment gets at once.
    at_once: Answer,
    /// The filter died, so it could not note which gateway had answered: every gateway that the
    /// named cluster reaches stays a candidate, and nothing is ever sent again.
    several: bool,
}

/// What comes after.
#[derive(Debug)]
struct Column {
    name: &'static str,
    next: Next,
    /// Whether the gateway had executed the payment the first time.
    executes: bool,
    /// With one candidate.
    one: Then,
    /// With several.
    several: Then,
}

/// What a merchant may do next, and what the gateway says to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Repeats at once.
    Repeat,
    /// Repeats once it may be sent again, with the transport ids that an SDK mints anew.
    RepeatLater,
    /// The same, and the gateway says NO to it.
    RepeatNo,
    /// The same, and the gateway cannot be connected to.
    RepeatRefused,
    /// Asks, and the gateway that has it says so.
    AskExecuted,
    /// Asks, and the gateway that had it says that it failed.
    AskFailed,
    /// Asks right away, and each gateway says once that it does not know the payment.
    AskTooEarly,
    /// Asks until "not found" is proven.
    AskUntilProven,
    /// Cancels.
    Cancel,
}

/// What is to follow.
#[derive(Debug)]
struct Then {
    answer: Answer,
    /// Whether the request that got this answer was sent to a gateway.
    sent: bool,
    /// What the payment gets in the end, however often it is repeated.
    end: Answer,
}

const fn then(answer: Answer, sent: bool, end: Answer) -> Then {
    Then { answer, sent, end }
}

const PAID: Answer = Answer::gateways(200, "2005400");
/// "In doubt": nothing was sent, or what came back proves nothing.
const UNKNOWN: Answer = Answer::ours(504, "5045400", "unknown", false);
/// The same in the words of Envoy's own answer, which goes past the filter.
const BY_ENVOY: Answer = Answer::ours(504, "5040000", "unknown", false);
const IN_PROGRESS: Answer = Answer::ours(429, "4295400", "in_progress", false);
/// Executed, and the gateway's answer was never seen.
const FAILED: Answer = Answer::ours(404, "4045400", "not_executed", true);
const CANCELLED: Answer = Answer::ours(404, "4045404", "not_executed", true);

const STATUS_EXECUTED: Answer = Answer { says: "00", ..Answer::gateways(200, "2005500") };
const STATUS_FAILED: Answer = Answer { says: "06", ..Answer::gateways(200, "2005500") };
const STATUS_NOT_FOUND: Answer = Answer::gateways(404, "4045501");
const STATUS_UNKNOWN: Answer = Answer::ours(504, "5045500", "unknown", false);
const CANCEL_DONE: Answer = Answer::gateways(200, "2005700");
const CANCEL_UNKNOWN: Answer = Answer::ours(504, "5045700", "unknown", false);

fn columns() -> Vec<Column> {
    let column = |name, next, executes, one, several| Column { name, next, executes, one, several };
    let nothing = || then(UNKNOWN, false, UNKNOWN);
    vec![
        column(
            "repeat at once",
            Next::Repeat,
            true,
            then(UNKNOWN, false, PAID),
            then(IN_PROGRESS, false, UNKNOWN),
        ),
        column("repeat later", Next::RepeatLater, true, then(PAID, true, PAID), nothing()),
        column("repeat gets NO", Next::RepeatNo, true, then(UNKNOWN, true, PAID), nothing()),
        column("repeat refused", Next::RepeatRefused, true, then(UNKNOWN, true, PAID), nothing()),
        column(
            "status executed",
            Next::AskExecuted,
            true,
            then(STATUS_EXECUTED, true, PAID),
            then(STATUS_EXECUTED, true, PAID),
        ),
        column(
            "status failed",
            Next::AskFailed,
            false,
            then(STATUS_FAILED, true, FAILED),
            // The other candidate has not been cleared; alone, it may get a repeat.
            then(STATUS_UNKNOWN, true, PAID),
        ),
        column(
            "one early not-found",
            Next::AskTooEarly,
            true,
            then(STATUS_UNKNOWN, true, PAID),
            then(STATUS_UNKNOWN, true, UNKNOWN),
        ),
        column(
            "not-found proven",
            Next::AskUntilProven,
            false,
            then(STATUS_NOT_FOUND, true, PAID),
            then(STATUS_NOT_FOUND, true, PAID),
        ),
        column(
            "cancel",
            Next::Cancel,
            true,
            then(CANCEL_DONE, true, CANCELLED),
            then(CANCEL_UNKNOWN, false, UNKNOWN),
        ),
    ]
}

fn row(name: &'static str, fault: Value, first: Option<Answer>) -> Row {
    Row { name, fault, at: "primary", first, at_once: UNKNOWN, several: false }
}

fn code(code: &'static str, first: Answer) -> Row {
    row(code, json!({"fault": "code", "code": code}), Some(first))
}

#[test]
fn an_answer_that_proves_nothing() {
    let rows = vec![
        row("timeout", json!({"fault": "hang"}), Some(UNKNOWN)),
        row("reset after read", json!({"fault": "reset"}), Some(UNKNOWN)),
        row("garbage", json!({"fault": "garbage"}), Some(UNKNOWN)),
        row("truncated body", json!({"fault": "truncate"}), Some(BY_ENVOY)),
        row("compressed", json!({"fault": "compressed"}), Some(UNKNOWN)),
        code("2025400", Answer::gateways(202, "2025400")),
        code("5005401", Answer::gateways(500, "5005401")),
        code("5045400", Answer::gateways(504, "5045400")),
        row("client gone", json!({"fault": "hang"}), None),
    ];
    World::start().play(&rows, &columns());
}

fn trap(name: &'static str) -> Row {
    let fault = json!({"fault": "trap"});
    Row { at_once: IN_PROGRESS, several: true, ..row(name, fault, Some(BY_ENVOY)) }
}

#[test]
fn a_filter_that_dies() {
    let failover = Row { at: "secondary", ..trap("trap after failover") };
    World::start_trapping(&json!({})).play(&[trap("trap"), failover], &columns());
}

#[test]
fn a_filter_that_dies_with_one_gateway_named() {
    let row = Row { several: false, ..trap("trap, one candidate") };
    World::start_trapping(&json!({"composites": []})).play(&[row], &columns());
}
