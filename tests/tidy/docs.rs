//! The tables of `docs/` are made from the code's own values. A test holds each of them to the code;
//! `UPDATE_DOCS=1 cargo test --test tidy docs` writes them anew.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::Command;

use dana_failover::engine::Closed;
use dana_failover::engine::Policy;
use dana_failover::engine::metrics::{self, Row};
use dana_failover::engine::{
    Class, Identity, LocalReply, NotExecuted, Protocol, Repeat, ReplyContext, RequestError,
    Standing, Unknown, dana_snap,
};
use dana_failover::engine::{Layout, Placement, Seed};
use dana_failover::engine::{Millis, Timestamp};
use serde_json::Value;

use super::{files, read, reference, root};

const BEGIN: &str = "<!-- made from the code: tests/tidy/docs.rs -->\n\n";

/// Compares the table at the end of a document with what the code says, or writes it.
fn holds(document: &str, table: &str) {
    let text = read(document);
    let (before, found) =
        text.split_once(BEGIN).unwrap_or_else(|| panic!("{document} has no {BEGIN:?}"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(root().join(document), format!("{before}{BEGIN}{table}")).unwrap();
        return;
    }
    for (found, expected) in found.lines().zip(table.lines()) {
        assert_eq!(found, expected, "{document}: UPDATE_DOCS=1 cargo test --test tidy docs");
    }
    assert_eq!(found, table, "{document}: UPDATE_DOCS=1 cargo test --test tidy docs");
}

/// Every answer of the filter's own, each with what a merchant does on seeing it. Whoever adds one
/// is told by the compiler or by the last assertion.
fn answers() -> Vec<(LocalReply, &'static str)> {
    let retry_after = Millis::new(1000);
    let refused = |refusal, what| {
        let standing = Standing::NotExecuted;
        (LocalReply::Refused { refusal, standing }, what)
    };
    let bad_field = || RequestError::BadField(String::new());
    let not = |why, what| (LocalReply::NotExecuted { why, retry_after }, what);
    let correct = "correct the request, and send it under the same reference";
    vec![
        refused(RequestError::Unmatched, "check the path: [operations](operations.md)"),
        refused(RequestError::AmbiguousPath, "write the path as DANA's documents do"),
        refused(RequestError::Method { allowed: "POST" }, "use the method of the `Allow` header"),
        refused(RequestError::Peer, "use the client certificate of this partner"),
        refused(RequestError::Operation, "ask the operator of this Envoy for the right to it"),
        refused(RequestError::NoIdentity(String::new()), correct),
        refused(bad_field(), correct),
        (
            LocalReply::Refused { refusal: bad_field(), standing: Standing::Unknown },
            "correct the request, and repeat it under the same reference; ask for the status of the \
             payment that was sent before",
        ),
        (
            LocalReply::Refused { refusal: bad_field(), standing: Standing::Executed },
            "do not pay again; correct the request for the answer, or ask for its status",
        ),
        refused(RequestError::BodyTooLarge { bytes_max: 0 }, correct),
        (
            LocalReply::InProgress { unknown: false, retry_after },
            "wait as long as `Retry-After` says, and repeat it unchanged",
        ),
        (
            LocalReply::InProgress { unknown: true, retry_after },
            "the same; do not pay under another reference",
        ),
        (
            LocalReply::Unknown { what: Unknown::Sent, retry_after },
            "ask for its status, or repeat it unchanged; do not pay under another reference",
        ),
        (LocalReply::NoAnswer { retry_after }, "ask again; it says nothing about any payment"),
        (
            LocalReply::StoreFailed { retry_after },
            "repeat it unchanged; do not pay under another reference",
        ),
        (
            LocalReply::Mismatch,
            "the reference is of another payment: find out which, before you pay under a new one",
        ),
        (
            LocalReply::AlreadyExecuted { retry_after: None },
            "do not pay again; ask for its status for the details",
        ),
        (
            LocalReply::Contradicted,
            "do not pay again; ask for its status, and ask the operator of this Envoy",
        ),
        (LocalReply::Closed(Closed::Failed), "pay under a new reference, if it is still wanted"),
        (LocalReply::Closed(Closed::Cancelled), "pay under a new reference, if it is still wanted"),
        (LocalReply::Closed(Closed::Refunded), "pay under a new reference, if it is still wanted"),
        not(NotExecuted::NoGateway, "repeat it unchanged, after `Retry-After`"),
        not(NotExecuted::PinnedGatewayDown, "repeat it unchanged, after `Retry-After`"),
        not(NotExecuted::NeverSent, "repeat it unchanged, after `Retry-After`"),
        not(NotExecuted::RateLimited, "repeat it unchanged, after `Retry-After`, and more slowly"),
        not(
            NotExecuted::StoreFull,
            "repeat it unchanged, after `Retry-After`; the operator must make room",
        ),
    ]
}

#[test]
fn every_answer_is_in_the_table() {
    let mut table = String::from(
        "| reason | HTTP status | responseCode | outcome | safe_new_key | Retry-After | what to do |\n\
         |---|---|---|---|---|---|---|\n",
    );
    let about = ReplyContext { service_code: Some("xx"), ..ReplyContext::default() };
    for (saying, what) in answers() {
        let reply = saying.reply(Protocol::DanaSnap, &about);
        let plain = saying.reply(Protocol::Http, &about).status;
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        let word = |name: &str| body[name].as_str().unwrap().to_owned();
        let waits = reply.headers.iter().any(|(name, _)| *name == "retry-after");
        let status = if plain == reply.status {
            plain.to_string()
        } else {
            format!("{} ({plain} with `protocol: http`)", reply.status)
        };
        let row = [
            format!("`{}`", reply.reason),
            status,
            word("responseCode"),
            format!("`{}`", word("outcome")),
            body["safe_new_key"].to_string(),
            if waits { "yes" } else { "" }.to_owned(),
            what.to_owned(),
        ];
        writeln!(table, "| {} |", row.join(" | ")).unwrap();
    }
    holds("docs/answers.md", &table);
    // Every reason that the code has a word for.
    let source = read("src/engine/protocol/local_reply.rs");
    let code = source.split("#[cfg(test)]").next().unwrap();
    let words: BTreeSet<&str> = code
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|word| {
            word.contains('_') && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        })
        .collect();
    let members = [
        "safe_new_key",
        "gateway_code",
        "inquiry_path",
        "request_id",
        "not_executed",
        "in_progress",
    ];
    for word in words.iter().filter(|word| !members.contains(word)) {
        assert!(table.contains(&format!("`{word}`")), "{word} is an answer without a row");
    }
}

#[test]
fn every_operation_is_in_the_table() {
    let mut table = String::from(
        "| name | path ends with | class | its payment is named by | service codes | repeated by us |\n\
         |---|---|---|---|---|---|\n",
    );
    for operation in dana_snap() {
        let class = match operation.class {
            Class::Charge => "charge",
            Class::FollowUp => "follow-up",
            Class::Inquiry => "inquiry",
            Class::State => "state",
        };
        let pointers = match (&operation.identity, &operation.concerns) {
            (Identity::Body(own), _) if !own.is_empty() => own.as_slice(),
            (_, Some(concerns)) => concerns.identity.as_slice(),
            _ => &[],
        };
        let names: Vec<String> = pointers.iter().map(|one| format!("`{one}`")).collect();
        let codes: Vec<&str> = operation.service_codes.iter().map(AsRef::as_ref).collect();
        let repeats = match (operation.class, operation.repeat) {
            (Class::Charge | Class::FollowUp, Repeat::ByReference) => "by reference",
            _ => "",
        };
        let (name, path) = (&operation.name, &operation.path);
        let (names, codes) = (names.join(", "), codes.join(", "));
        writeln!(table, "| `{name}` | `{path}` | {class} | {names} | {codes} | {repeats} |")
            .unwrap();
    }
    holds("docs/operations.md", &table);
}

/// How many metrics the reference implies, with thousands apart.
fn implied_by_the_reference() -> String {
    let config = reference();
    let mut layout = Layout::new(Placement::new(config.store.claims_max, Seed::default()));
    let (policy, _) = Policy::join(config, &mut layout, Timestamp::default()).unwrap();
    let many = metrics::implied::all(&policy).len();
    format!("{},{:03}", many / 1000, many % 1000)
}

#[test]
fn every_metric_is_in_the_table_and_its_labels_are_in_the_reference() {
    let mut table =
        String::from("| metric | kind | labels | unit | tells |\n|---|---|---|---|---|\n");
    let envoy = read("envoy/envoy.yaml");
    for Row { family, unit, help } in metrics::TABLE {
        let kind = match family.kind {
            metrics::MetricKind::Counter => "counter",
            metrics::MetricKind::Gauge => "gauge",
            metrics::MetricKind::Histogram => "histogram",
        };
        let labels = family.labels.join(", ");
        let name = family.name;
        writeln!(table, "| `{name}` | {kind} | {labels} | {unit} | {help} |").unwrap();
        for label in family.labels {
            let tag = format!("tag_name: {label},");
            assert!(envoy.contains(&tag), "envoy.yaml makes no label of {label}");
        }
        let twins = metrics::TABLE.iter().filter(|other| other.family.name == name).count();
        assert_eq!(twins, 1, "{name} is there twice");
    }
    holds("docs/metrics.md", &table);
    let many =
        format!("The reference configuration implies {} of them.", implied_by_the_reference());
    assert!(read("docs/metrics.md").contains(&many), "docs/metrics.md lacks: {many}");
    // Nothing else names one.
    for (name, text) in files("src/filter", ".rs") {
        let names = name.contains("/tests") || !text.contains("\"dana_");
        let properties = ["\"dana_decision", "\"dana_audit"].map(|name| text.matches(name).count());
        assert!(names || text.matches("\"dana_").count() == properties.iter().sum::<usize>());
    }
}

/// The files for LDS are the reference, with its listeners in a file of their own.
#[test]
fn the_files_for_lds_are_the_reference() {
    let file = |name: &str| -> Value { serde_norway::from_str(&read(name)).unwrap() };
    let correct = "run envoy/lds/make.sh";
    let (mut reference, mut bootstrap) = (file("envoy/envoy.yaml"), file("envoy/lds/envoy.yaml"));
    let mut listeners = file("envoy/lds/listeners.yaml")["resources"].clone();
    for listener in listeners.as_array_mut().unwrap() {
        let kind = listener.as_object_mut().unwrap().remove("@type").unwrap();
        assert_eq!(kind, "type.googleapis.com/envoy.config.listener.v3.Listener");
    }
    let statics = reference["static_resources"].as_object_mut().unwrap();
    assert_eq!(statics.remove("listeners").unwrap(), listeners, "{correct}");
    for member in ["node", "dynamic_resources"] {
        assert!(bootstrap.as_object_mut().unwrap().remove(member).is_some(), "{member}");
    }
    assert_eq!(bootstrap, reference, "{correct}");
}

/// The configurations for containers are made from the references, whose other addresses they have.
#[test]
fn the_configurations_for_containers_are_made_from_the_references() {
    let folder = tempfile::tempdir().unwrap();
    let script = root().join("envoy/compose/make.sh");
    assert!(Command::new("sh").arg(script).arg(folder.path()).status().unwrap().success());
    let made = |name: &str| {
        let made = std::fs::read_to_string(folder.path().join(name)).unwrap();
        let kept = read(&format!("envoy/compose/{name}"));
        assert_eq!(made, kept, "{name}: run envoy/compose/make.sh");
        made
    };
    let all = [
        ("address: 0.0.0.0", 3),
        ("all_addresses_in_single_endpoint: true", 2),
        ("path: /var/log/dana/audit.jsonl", 1),
        ("name: dana_stats", 5),
    ];
    let etcd = [
        ("address: sandbox,", 2),
        ("address: etcd-", 3),
        ("type: STRICT_DNS", 1),
        ("dana_failover_etcd.wasm", 1),
        ("proxy_grpc_call: {}", 2),
        ("{store: {etcd: {cluster: dana_etcd, realm: playground}}}", 1),
        ("idempotency: *idempotency", 1),
    ];
    let parts = [
        ("envoy.yaml", [("address: sandbox,", 2)].as_slice()),
        ("tls.yaml", &[("address: sandbox-tls,", 2)]),
        ("etcd.yaml", &etcd),
    ];
    for (name, own) in parts {
        let made = made(name);
        for (what, times) in all.iter().chain(own) {
            assert_eq!(made.matches(what).count(), *times, "{name}: {what}");
        }
    }
}
