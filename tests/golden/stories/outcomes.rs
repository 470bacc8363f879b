//! Every way for an answer to be good or bad, against everything that may come next.

use serde_json::{Value, json};

use super::{refund, wait};
use crate::stage::Stage;
use crate::support::client::{CANCEL, CREATE, REFUND, STATUS, about, order};

/// How the first answer goes.
struct Row {
    name: &'static str,
    fault: Value,
    /// Whether everything that may come next is tried, or the most important alone.
    is_doubtful: bool,
}

fn row(name: &'static str, is_doubtful: bool, fault: Value) -> Row {
    Row { name, fault, is_doubtful }
}

fn code(code: &'static str, is_doubtful: bool) -> Row {
    row(code, is_doubtful, json!({"fault": "code", "code": code}))
}

fn raw(name: &'static str, status: u16, body: &str) -> Row {
    row(name, false, json!({"fault": "raw", "status": status, "body": body}))
}

fn rows() -> Vec<Row> {
    let mut rows = vec![
        row("slow", false, json!({"fault": "slow", "delay_ms": 100})),
        row("hang", true, json!({"fault": "hang"})),
        row("reset", true, json!({"fault": "reset"})),
        row("close", false, json!({"fault": "close"})),
        row("garbage", true, json!({"fault": "garbage"})),
        row("truncate", true, json!({"fault": "truncate"})),
        row("compressed", true, json!({"fault": "compressed"})),
        row("empty", false, json!({"fault": "empty"})),
        row("html-502", false, json!({"fault": "html"})),
        row("html-200", false, json!({"fault": "html", "status": 200})),
        row("html-404", false, json!({"fault": "html", "status": 404})),
        row("wrong-reference", true, json!({"fault": "wrong-reference"})),
        code("2025400", true),
        code("4045418", true),
        code("5005401", true),
        code("5045400", true),
    ];
    rows.extend(
        [
            "4005401", "4015400", "4035414", "4035415", "4045400", "4045401", "4045408", "4055400",
            "5005400", "4295400", "5005402", "4095400", "4095401", "4085400",
        ]
        .map(|one| code(one, false)),
    );
    let success = |more: &str| format!(r#"{{"responseCode":"2005400"{more}}}"#);
    rows.extend([
        raw("other-service-no", 403, r#"{"responseCode":"4033814"}"#),
        raw("other-status-no", 404, r#"{"responseCode":"4035414"}"#),
        raw("other-service-yes", 200, r#"{"responseCode":"2003800"}"#),
        raw("no-reference", 200, &success("")),
        raw(
            "reference-twice",
            200,
            &success(r#","partnerReferenceNo":"A","partnerReferenceNo":"B""#),
        ),
        raw("code-twice", 200, r#"{"responseCode":"2005400","responseCode":"4035414"}"#),
        raw("code-as-number", 200, r#"{"responseCode":2005400}"#),
        raw("text", 403, "denied"),
        raw("json-403", 403, r#"{"error":"denied"}"#),
        raw("json-500", 500, "{}"),
        raw("created", 201, &success("")),
        raw("no-content", 204, ""),
        raw("moved", 302, ""),
        raw("teapot", 418, "{}"),
        raw("unavailable", 503, r#"{"responseCode":"5035400"}"#),
        raw("cut-json", 200, r#"{"responseCode":"2005400","partnerRef"#),
        // Longer than the filter reads, and not longer than Envoy holds: which of the two ends the
        // latter is a matter of packets.
        raw("long", 200, &success(&format!(r#","x":"{}""#, "ab".repeat(40_000)))),
    ]);
    rows
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Repeat,
    Changed,
    RepeatNo,
    RepeatRefused,
    RepeatLost,
    AskExecuted,
    AskFailed,
    AskPending,
    AskEarly,
    AskAbsent,
    Cancel,
    Refund,
}

const ALL: [(&str, Next); 12] = [
    ("repeat", Next::Repeat),
    ("changed", Next::Changed),
    ("no", Next::RepeatNo),
    ("refused", Next::RepeatRefused),
    ("lost", Next::RepeatLost),
    ("executed", Next::AskExecuted),
    ("failed", Next::AskFailed),
    ("pending", Next::AskPending),
    ("early", Next::AskEarly),
    ("absent", Next::AskAbsent),
    ("cancel", Next::Cancel),
    ("refund", Next::Refund),
];
/// What is tried after answers that leave no doubt.
const FEW: [&str; 4] = ["repeat", "executed", "cancel", "refund"];

/// A payment of the table.
struct Cell {
    reference: String,
    next: Next,
}

/// A gateway's next answer about this payment.
fn fault(stage: &Stage, gateway: &str, operation: &str, reference: &str, fault: &Value) {
    let mut fault = fault.clone();
    fault["count"] = json!(1);
    fault["operation"] = json!(operation);
    fault["reference"] = json!(reference);
    stage.fault(gateway, &fault);
}

pub(crate) fn play(stage: &mut Stage) {
    let mut cells = Vec::new();
    for row in rows() {
        for (name, next) in ALL {
            if row.is_doubtful || FEW.contains(&name) {
                let cell = Cell { reference: format!("{}.{name}", row.name), next };
                first(stage, &row, &cell);
                cells.push(cell);
            }
        }
    }
    stage.next_act();
    wait(stage);
    for cell in &cells {
        second(stage, cell);
    }
    stage.next_act();
    wait(stage);
    for cell in &cells {
        last(stage, cell);
    }
}

/// The payment is made, its answer goes wrong, and it comes again at once.
fn first(stage: &mut Stage, row: &Row, cell: &Cell) {
    let mut wrong = row.fault.clone();
    if cell.next == Next::AskAbsent || cell.next == Next::AskFailed {
        wrong["executes"] = json!(false);
    }
    fault(stage, "primary", "create-order", &cell.reference, &wrong);
    stage.by_first().pay(&cell.reference, &cell.reference);
    match cell.next {
        Next::Repeat | Next::RepeatNo => {
            stage.by_second().pay("again at once", &cell.reference);
        }
        Next::Changed => {
            let mut other = order(&cell.reference);
            other["amount"]["value"] = json!("10000.01");
            stage.by_second().call("another amount at once", CREATE, &other);
        }
        Next::AskEarly | Next::AskAbsent => {
            for gateway in ["primary", "secondary"] {
                let absent = json!({"fault": "tell", "says": "not-found"});
                fault(stage, gateway, "order-status", &cell.reference, &absent);
            }
            stage.by_second().call("asked at once", STATUS, &about(&cell.reference));
            forget(stage, &cell.reference);
        }
        Next::AskPending => {
            let pending = json!({"fault": "tell", "says": "pending"});
            fault(stage, "primary", "order-status", &cell.reference, &pending);
            stage.by_second().call("asked at once", STATUS, &about(&cell.reference));
            forget(stage, &cell.reference);
        }
        Next::RepeatRefused
        | Next::RepeatLost
        | Next::AskExecuted
        | Next::AskFailed
        | Next::Cancel
        | Next::Refund => {}
    }
}

/// A fault that met nobody hurts nobody later.
fn forget(stage: &Stage, reference: &str) {
    for gateway in ["primary", "secondary"] {
        stage.fault(gateway, &json!({"fault": "none", "reference": reference}));
    }
}

/// Once a repeat may be sent.
fn second(stage: &mut Stage, cell: &Cell) {
    let reference = cell.reference.as_str();
    let told = |says: &str| json!({"fault": "tell", "says": says});
    stage.by_second();
    match cell.next {
        Next::Repeat => {
            stage.pay("again", reference);
        }
        Next::Changed => {
            let mut other = order(reference);
            other["amount"]["value"] = json!("10000.01");
            stage.call("another amount", CREATE, &other);
        }
        Next::RepeatNo => {
            let no = json!({"fault": "code", "code": "4035414"});
            fault(stage, "primary", "create-order", reference, &no);
            stage.pay("again, and NO", reference);
        }
        Next::RepeatRefused => {
            stage.fault("primary", &json!({"fault": "refuse"}));
            stage.pay("again, and nobody is there", reference);
            stage.sandbox().heal("primary");
        }
        Next::RepeatLost => {
            fault(stage, "primary", "create-order", reference, &json!({"fault": "reset"}));
            stage.pay("again, and lost", reference);
        }
        Next::AskExecuted => {
            stage.call("asked", STATUS, &about(reference));
        }
        Next::AskFailed => {
            fault(stage, "primary", "order-status", reference, &told("failed"));
            stage.call("asked: failed", STATUS, &about(reference));
        }
        Next::AskPending => {
            fault(stage, "primary", "order-status", reference, &told("pending"));
            stage.call("asked: pending", STATUS, &about(reference));
        }
        Next::AskEarly | Next::AskAbsent => {
            for gateway in ["primary", "secondary"] {
                fault(stage, gateway, "order-status", reference, &told("not-found"));
            }
            stage.call("asked: not found", STATUS, &about(reference));
        }
        Next::Cancel => {
            stage.call("cancelled", CANCEL, &about(reference));
            stage.by_first().call("cancelled again", CANCEL, &about(reference));
        }
        Next::Refund => {
            stage.call("refunded", REFUND, &refund(reference, 1, "2500.00"));
            stage.by_first().call("refunded again", REFUND, &refund(reference, 1, "2500.00"));
        }
    }
    forget(stage, reference);
}

/// How it ends.
fn last(stage: &mut Stage, cell: &Cell) {
    let reference = cell.reference.as_str();
    if cell.next == Next::AskAbsent {
        for gateway in ["primary", "secondary"] {
            let absent = json!({"fault": "tell", "says": "not-found"});
            fault(stage, gateway, "order-status", reference, &absent);
        }
        stage.by_first().call("asked: not found, again", STATUS, &about(reference));
        forget(stage, reference);
    }
    stage.by_first().pay("in the end", reference);
    stage.by_second().pay("and again", reference);
    stage.by_first().call("asked in the end", STATUS, &about(reference));
}
