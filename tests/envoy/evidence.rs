//! The evidence table, row by row: what the gateway does, what the merchant gets, where the claim
//! stands, who executed it, and what the same payment gets when it comes again.

use serde_json::{Value, json};

use crate::support::client::{CREATE, call, order};
use crate::support::envoy::{Envoy, quick, rendered, with};
use crate::support::sandbox::Sandbox;

struct Row {
    name: &'static str,
    /// What the primary does.
    fault: Value,
    /// Status and SNAP code that the merchant gets.
    answer: (u16, &'static str),
    /// Where the claim stands then.
    claim: &'static str,
    /// Who executed the payment.
    executed: &'static [&'static str],
    /// Whether the secondary got to see it.
    moved: bool,
    /// What the same payment gets at once, with the gateway healed.
    again: (u16, &'static str),
}

const SETTLED: (u16, &str) = (200, "2005400");
const UNKNOWN: (u16, &str) = (504, "5045400");
const BY_ENVOY: (u16, &str) = (504, "5040000");
const AT_PRIMARY: &[&str] = &["primary"];
const NOWHERE: &[&str] = &[];

fn row(
    name: &'static str,
    fault: Value,
    answer: (u16, &'static str),
    claim: &'static str,
    executed: &'static [&'static str],
    again: (u16, &'static str),
) -> Row {
    Row { name, fault, answer, claim, executed, moved: false, again }
}

/// The gateway answers with a SNAP code.
fn code(
    code: &'static str,
    answer: (u16, &'static str),
    claim: &'static str,
    executed: &'static [&'static str],
    again: (u16, &'static str),
) -> Row {
    row(code, json!({"fault": "code", "code": code}), answer, claim, executed, again)
}

fn fault(name: &'static str, executed: &'static [&'static str]) -> Row {
    row(name, json!({"fault": name}), UNKNOWN, "in_doubt", executed, UNKNOWN)
}

/// The gateway answers something that no DANA gateway says.
fn raw(name: &'static str, status: u16, body: &str) -> Row {
    let fault = json!({"fault": "raw", "status": status, "body": body});
    row(name, fault, UNKNOWN, "in_doubt", NOWHERE, UNKNOWN)
}

fn table() -> Vec<Row> {
    vec![
        row("success", json!({"fault": "none"}), SETTLED, "settled", AT_PRIMARY, SETTLED),
        row(
            "slow",
            json!({"fault": "slow", "delay_ms": 300}),
            SETTLED,
            "settled",
            AT_PRIMARY,
            SETTLED,
        ),
        // Definite NOs: relayed, and a repeat is a fresh attempt at the same gateway.
        code("4005401", (400, "4005401"), "rejected", NOWHERE, SETTLED),
        code("4015400", (401, "4015400"), "rejected", NOWHERE, SETTLED),
        code("4035414", (403, "4035414"), "rejected", NOWHERE, SETTLED),
        code("4045408", (404, "4045408"), "rejected", NOWHERE, SETTLED),
        code("4055400", (405, "4055400"), "rejected", NOWHERE, SETTLED),
        code("5005400", (500, "5005400"), "rejected", NOWHERE, SETTLED),
        // Pending in DANA's own tables: relayed byte for byte, and in doubt.
        code("2025400", (202, "2025400"), "in_doubt", AT_PRIMARY, UNKNOWN),
        code("4295400", (429, "4295400"), "in_doubt", NOWHERE, UNKNOWN),
        code("5005401", (500, "5005401"), "in_doubt", AT_PRIMARY, UNKNOWN),
        code("5005402", (500, "5005402"), "in_doubt", NOWHERE, UNKNOWN),
        code("5045400", (504, "5045400"), "in_doubt", AT_PRIMARY, UNKNOWN),
        // An earlier copy exists; read as failed by merchants, so it is not relayed.
        code("4045418", UNKNOWN, "in_doubt", NOWHERE, UNKNOWN),
        code("4095400", UNKNOWN, "in_doubt", NOWHERE, UNKNOWN),
        code("4095401", UNKNOWN, "in_doubt", NOWHERE, UNKNOWN),
        // Unlisted, or of another service: proves nothing.
        code("4085400", UNKNOWN, "in_doubt", NOWHERE, UNKNOWN),
        raw("NO of another service", 403, r#"{"responseCode":"4033814"}"#),
        raw("NO with another status", 404, r#"{"responseCode":"4035414"}"#),
        raw("success of another service", 200, r#"{"responseCode":"2003800"}"#),
        raw("success without reference", 200, r#"{"responseCode":"2005400"}"#),
        raw("a middlebox's bare 403", 403, "denied"),
        raw("a middlebox's JSON 403", 403, r#"{"error":"denied"}"#),
        raw("failure without a code", 500, "{}"),
        raw("code twice", 200, r#"{"responseCode":"2005400","responseCode":"4035414"}"#),
        fault("wrong-reference", AT_PRIMARY),
        row("html", json!({"fault": "html", "status": 502}), UNKNOWN, "in_doubt", NOWHERE, UNKNOWN),
        fault("empty", AT_PRIMARY),
        fault("garbage", AT_PRIMARY),
        fault("reset", AT_PRIMARY),
        fault("close", AT_PRIMARY),
        fault("hang", AT_PRIMARY),
        // When an answer breaks off, Envoy's own answer goes past the filter.
        row("truncate", json!({"fault": "truncate"}), BY_ENVOY, "in_doubt", AT_PRIMARY, UNKNOWN),
        Row {
            moved: true,
            ..row("refuse", json!({"fault": "refuse"}), SETTLED, "settled", &["secondary"], SETTLED)
        },
    ]
}

#[test]
fn every_row_that_a_socket_can_cause() {
    let sandbox = Sandbox::start();
    // The same payment comes again at once, also on a busy machine.
    let patient = with(quick(), &json!({"idempotency": {"repeat_after_ms": 30000}}));
    let envoy = Envoy::start(&rendered(&sandbox, &patient));
    let mut wrong = Vec::new();
    for (number, row) in table().iter().enumerate() {
        if let Err(what) = check(&envoy, &sandbox, &format!("ROW-{number}"), row) {
            wrong.push(format!("{}: {what}", row.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(envoy: &Envoy, sandbox: &Sandbox, reference: &str, row: &Row) -> Result<(), String> {
    sandbox.fault("primary", &row.fault);
    let first = call(&envoy.listener, CREATE, &order(reference));
    sandbox.heal("primary");
    let expect = |what: &str, found: &dyn std::fmt::Debug, right: bool| {
        if right { Ok(()) } else { Err(format!("{what}: {found:?} (first: {first:?})")) }
    };
    let answer = (first.status, first.code());
    expect("answer", &answer, answer == (row.answer.0, row.answer.1.to_owned()))?;
    let executed = sandbox.executed_at(reference);
    expect("executed", &executed, executed == row.executed)?;
    let moved = sandbox.requests("secondary", reference).len();
    expect("requests at the secondary", &moved, moved == usize::from(row.moved))?;
    let outcome = first.outcome();
    let ours = matches!(row.answer, UNKNOWN | BY_ENVOY) && !row.name.starts_with("504");
    expect("outcome", &outcome, !ours || outcome == "unknown")?;
    let note = last_note(envoy, reference);
    expect("note", &note, note.contains(&format!("claim={}", row.claim)))?;

    let again = call(&envoy.listener, CREATE, &order(reference));
    let found = (again.status, again.code());
    expect("again", &found, found == (row.again.0, row.again.1.to_owned()))?;
    if row.claim == "settled" {
        let same = again.body == first.body && again.header("idempotent-replayed") == Some("true");
        expect("replay", &again, same)?;
    }
    let executed = sandbox.executed_at(reference);
    expect("executed after all", &executed, executed.len() <= 1)?;
    let moved = sandbox.requests("secondary", reference).len();
    expect("requests at the secondary after all", &moved, moved == usize::from(row.moved))
}

/// What the filter noted about the newest request; the table runs one at a time.
fn last_note(envoy: &Envoy, reference: &str) -> String {
    let number: usize = reference.rsplit('-').next().unwrap().parse().unwrap();
    // Each row before has made two requests, and this one has made one.
    let line = crate::support::until(reference, std::time::Duration::from_secs(5), || {
        envoy.access_log().get(2 * number).cloned()
    });
    line["dana"].as_str().unwrap_or_default().to_owned()
}
