//! Every command in the documents is run as it stands there, against a real Envoy before stand-in gateways, or is
//! named here with what runs it.
//!
//! Only addresses and names of files are replaced, by small programs that stand before the real ones.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod shell;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use shell::Shell;
use support::application::Application;
use support::envoy::{Envoy, admin_plugin, rendered, with, with_notifications};
use support::sandbox::Sandbox;
use support::{root, until};

/// What begins a command in a document.
const PROGRAMS: [&str; 22] = [
    "TOKEN=$(openssl",
    "api",
    "api()",
    "cargo",
    "cosign",
    "curl",
    "dana-failover",
    "docker",
    "envoy",
    "etcdctl",
    "for",
    "git",
    "helm",
    "kill",
    "kubectl",
    "make",
    "mv",
    "openssl",
    "printf",
    "python3",
    "sha256sum",
    "sleep",
];
/// The first words of what this test does not run, what does, and a word by which it is found there.
const ELSEWHERE: [(&str, &str, &str); 15] = [
    ("dana-failover sandbox", "tests/cli/playground.rs", "\"sandbox\""),
    ("docker compose", "tests/compose/run.py", "\"up\""),
    ("curl -i --cacert", "tests/compose/run.py", "curl -i --cacert"),
    ("envoy -c envoy/lds/envoy.yaml", "tests/envoy/lds.rs", "envoy/lds"),
    ("mv listeners.new", "tests/support/envoy.rs", "rename"),
    ("curl -sX POST localhost:9901/healthcheck/fail", "tests/etcd/rolling.rs", "/healthcheck/fail"),
    ("sleep 15", "tests/etcd/rolling.rs", "until("),
    (
        "curl -sX POST 'localhost:9901/drain_listeners?graceful'",
        "tests/envoy/first_day.rs",
        "/drain_listeners?graceful",
    ),
    ("for i in $(seq 70)", "tests/envoy/first_day.rs", "downstream_rq_active"),
    (
        "curl -s 'localhost:9901/stats?filter=http.dana",
        "tests/envoy/first_day.rs",
        "downstream_rq_active",
    ),
    ("sleep 13.4", "tests/etcd/rolling.rs", "downstream_rq_active"),
    ("kill -TERM", "tests/envoy/first_day.rs", "TERM"),
    ("etcdctl", "tests/support/etcd/tls.rs", "/v3/auth/role/add"),
    ("sha256sum --check", "release/sign.sh", "sha256sum --check"),
    ("for file in platform_ca.pem", "tests/compose/run.py", "\"cp\""),
];
/// What nothing runs: there is no cluster here, and only the forge's workflow signs.
const NOWHERE: [&str; 3] = ["kubectl -n dana", "kubectl create", "python3 -m sigstore"];

/// Longer than a census takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A command, and where it stands.
#[derive(Debug)]
struct Command {
    document: String,
    text: String,
    is_run: bool,
}

/// All commands of the documents, in their order.
fn commands() -> Vec<Command> {
    let mut found = Vec::new();
    for path in documents() {
        let document = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let indent =
            if path.extension().is_some_and(|end| end == "yaml") { "#   " } else { "    " };
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let Some(code) = line.strip_prefix(indent).map(str::trim_start) else { continue };
            let code = code.strip_prefix("$ ").unwrap_or(code);
            let first = code.split([' ']).next().unwrap();
            // A document that goes on with "for" says no such thing.
            if !PROGRAMS.contains(&first) || (first == "for" && !code.contains("; do")) {
                continue;
            }
            let mut text = code.to_owned();
            while text.ends_with('\\') {
                text.push('\n');
                text.push_str(lines.next().unwrap());
            }
            found.push(Command { document: document.clone(), text, is_run: false });
        }
    }
    found
}

fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in [".", "docs", "envoy", "envoy/istio", "envoy/envoy-gateway"] {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        let paths = entries.map(|entry| root().join(folder).join(entry.unwrap().file_name()));
        found.extend(paths.filter(|path| path.extension().is_some_and(|end| end == "md")));
    }
    found.push(root().join("envoy/compose.yaml"));
    found.sort();
    found
}

/// The documents' commands, and the shell that runs them.
struct Walk {
    commands: Vec<Command>,
    shell: Shell,
}

impl Walk {
    /// Runs the commands of a document that begin so, and gives what the last one printed.
    fn run(&mut self, document: &str, begins: &str) -> String {
        self.run_with(document, begins, |text| text.to_owned())
    }

    /// The same, with what is a place holder in the document filled in.
    fn run_with(&mut self, document: &str, begins: &str, fill: impl Fn(&str) -> String) -> String {
        let mut said = None;
        for command in &mut self.commands {
            if command.document == document && command.text.starts_with(begins) {
                command.is_run = true;
                said = Some(self.shell.run(&fill(&command.text)));
            }
        }
        said.unwrap_or_else(|| panic!("{document} has no command that begins with {begins}"))
    }
}

#[test]
fn what_the_documents_say_can_be_typed_in() {
    let (sandbox, application) = (Sandbox::start(), Application::start());
    let mut walk = Walk { commands: commands(), shell: Shell::new() };
    assert!(walk.commands.len() > 40, "{:?}", walk.commands);

    walk.run("docs/operators.md", "TOKEN=");
    let digest = walk.run("docs/operators.md", "printf");
    let changes = json!({"testing": {"unsafe_timings": true}, "timeouts": {"response_ms": 1000, "inquiry_ms": 1000},
                         "idempotency": {"lease_ms": 3000, "repeat_after_ms": 1000, "settle_delay_ms": 400}, "heartbeat": {"interval_ms": 1000}});
    let mut config = rendered(&sandbox, &changes);
    let admin = &mut admin_plugin(&mut config)["configuration"]["value"]["admin"];
    admin["token_sha256"] = json!(digest.split_whitespace().next().unwrap());
    let inbound = with(changes, &json!({"notify": {"partner": "PARTNER-1"}}));
    let config = with_notifications(config, &application.address, &inbound);
    let envoy = Envoy::start(&config);
    walk.shell.stand_before(&sandbox, &envoy);

    pay(&mut walk, &sandbox);
    operate(&mut walk, &sandbox);
    ask_for_mistakes(&mut walk, &config);
    let access: Vec<_> = envoy.access_log().iter().map(Value::to_string).collect();
    walk.shell.write("access.log", &access.join("\n"));
    let (log, trail) = envoy.end_with_trail("-TERM");
    walk.shell.write("envoy.log", &log);
    for name in ["audit.jsonl", "dana-audit.jsonl"] {
        walk.shell.write(name, std::str::from_utf8(&trail).unwrap());
    }
    prove(&mut walk, &sandbox);
    assert!(walk.run("docs/thresholds.md", "dana-failover replay").contains("payments"));

    make(&mut walk);
    let is_run = |begins: &str, commands: &mut [Command]| {
        let mut found = 0;
        for command in commands.iter_mut().filter(|one| one.text.starts_with(begins)) {
            (command.is_run, found) = (true, found + 1);
        }
        assert!(found > 0, "{begins} stands nowhere");
    };
    for (begins, by, word) in ELSEWHERE {
        let text = fs::read_to_string(root().join(by)).unwrap();
        assert!(text.contains(word), "{begins}: {by} has no {word}");
        is_run(begins, &mut walk.commands);
    }
    NOWHERE.iter().for_each(|begins| is_run(begins, &mut walk.commands));
    let left: Vec<_> = walk.commands.iter().filter(|command| !command.is_run).collect();
    assert!(left.is_empty(), "run them, or say what does: {left:#?}");
}

/// The first payments, as the README has them.
fn pay(walk: &mut Walk, sandbox: &Sandbox) {
    const CURL: &str = "curl -i localhost:10000";
    assert!(walk.run("README.md", CURL).contains("x-dana-gateway: primary"));
    assert!(walk.run("README.md", CURL).contains("idempotent-replayed: true"));
    assert_eq!(sandbox.requests("primary", "order-1").len(), 1);
    walk.run("README.md", "curl -X POST localhost:18080/gateways/primary/fault");
    let another = |text: &str| text.replace("order-1", "ORDER-7");
    assert!(walk.run_with("README.md", CURL, another).contains("x-dana-gateway: secondary"));
    sandbox.heal("primary");
    let said = walk.run("docs/notifications.md", "curl localhost:10000");
    assert!(said.contains("partnerReferenceNo"), "{said}");
    let said = walk.run("docs/notifications.md", "curl -X POST localhost:18080");
    assert!(said.contains("\"status\":200"), "{said}");
}

/// What operators ask for and say.
fn operate(walk: &mut Walk, sandbox: &Sandbox) {
    const PAGE: &str = "docs/operators.md";
    walk.run(PAGE, "api()");
    walk.run("docs/runbook.md", "api()");
    assert!(walk.run(PAGE, "api /status").contains("\"active\""));
    let said = walk.run(PAGE, "api /override");
    assert!(said.contains("\"override\":null"), "{said}");
    // If a tick came while it was drained, the next one brings it back.
    until("the primary is first again", PATIENCE, || {
        walk.run(PAGE, "api /status").contains("\"active\":\"primary\"").then_some(())
    });

    const DOUBTS: [&str; 3] = ["ORDER-8", "ORDER-9", "ORDER-10"];
    sandbox.fault("primary", &json!({"fault": "reset", "executes": true}));
    for reference in DOUBTS {
        let doubtful = |text: &str| text.replace("order-1", reference);
        let said = walk.run_with("README.md", "curl -i localhost:10000", doubtful);
        assert!(said.contains("\"outcome\":\"unknown\""), "{said}");
    }
    sandbox.heal("primary");
    // A payment is in doubt before the census has it.
    let list = until("all are listed", PATIENCE, || {
        let list: Value = serde_json::from_str(&walk.run(PAGE, "api '/in-doubt")).unwrap();
        let listed = list["payments"].as_array()?.iter();
        let keys: Vec<_> = listed.map(|one| one["key"].as_str().unwrap().to_owned()).collect();
        (keys.len() == DOUBTS.len()).then_some(keys)
    });
    walk.shell.write("orders.csv", &DOUBTS.map(|reference| format!("m1,{reference}\n")).concat());
    let words = [
        (PAGE, r#"api /resolve -d '{"key": "...", "executed_at":"#),
        (PAGE, r#"api /resolve -d '{"key": "...", "executed":"#),
        ("docs/doubt.md", "curl -sS -u"),
    ];
    for (reference, (document, begins)) in DOUBTS.iter().zip(words) {
        let key = key_of(walk, reference);
        assert!(list.contains(&key), "{key}");
        // While an attempt may be under way nobody's word ends it.
        until("it is resolved", PATIENCE, || {
            let said = walk.run_with(document, begins, |text| text.replace("...", &key));
            said.contains("\"changed\":true").then_some(())
        });
    }
}

/// The key of an order, found in both ways.
fn key_of(walk: &mut Walk, reference: &str) -> String {
    const PAGE: &str = "docs/doubt.md";
    let fill = |text: &str| {
        let names = [("PARTNER", "p1"), ("MERCHANT_ID", "m1"), ("REFERENCE", reference)];
        names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    };
    let said = walk.run_with(PAGE, "dana-failover key --partner PARTNER --operation", fill);
    let key = said.get(..32).unwrap_or_else(|| panic!("{said}")).to_owned();
    let begin = |text: &str| fill(text).replace("dd8338c744f7dae9", &key[..16]);
    let line = walk.run_with(PAGE, "dana-failover key --partner PARTNER -", begin);
    assert!(line.starts_with(&key) && line.contains(reference), "{line}");
    key
}

/// What `check` is given: a file, a running Envoy, an object of Kubernetes.
fn ask_for_mistakes(walk: &mut Walk, config: &Value) {
    let reference = fs::read_to_string(root().join("envoy/envoy.yaml")).unwrap();
    walk.shell.write("envoy.yaml", &reference);
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dana"},
                        "data": {"envoy.json": config.to_string()}});
    walk.shell.write("configmap.json", &object.to_string());
    for (document, begins) in [
        ("docs/check.md", "dana-failover check envoy/envoy.yaml"),
        ("docs/upgrading.md", "dana-failover check envoy.yaml"),
        ("docs/check.md", "curl -s localhost:9901/config_dump | dana-failover check -"),
        ("docs/check.md", "kubectl get configmap dana -o yaml | dana-failover check -"),
    ] {
        let said = walk.run(document, begins);
        assert!(said.contains("claim store of vm_id"), "{begins}: {said}");
    }
}

/// What the audit trail proves.
fn prove(walk: &mut Walk, sandbox: &Sandbox) {
    const PAGE: &str = "docs/audit.md";
    assert!(walk.run("README.md", "dana-failover audit verify").contains("as they were written"));
    walk.run(PAGE, "dana-failover audit verify /tmp");
    walk.run(PAGE, "dana-failover audit new-key");
    walk.run(PAGE, "dana-failover audit checkpoint");
    walk.run(PAGE, "dana-failover audit verify audit.jsonl*");
    walk.run(PAGE, "dana-failover audit prove");
    assert!(walk.run(PAGE, "dana-failover audit check-proof").contains("proven"));
    walk.run(PAGE, "dana-failover audit report");
    assert!(walk.shell.read("november-29.html").contains("</html>"));

    let head =
        "referenceNo,partnerReferenceNo,transactionType,amount,currency,transactionDate,status";
    let (mut reports, mut ledger) =
        ([head.to_owned(), head.to_owned()], "order_id,amount,status".to_owned());
    for reference in ["order-1", "ORDER-7", "ORDER-8", "ORDER-9", "ORDER-10"] {
        let [gateway] = sandbox.executed_at(reference).try_into().unwrap();
        let report = &mut reports[usize::from(gateway == "secondary")];
        report.push_str(&format!(
            "\nG-{reference},{reference},PAYMENT,10000.00,IDR,2026-11-29T10:00:00+07:00,SUCCESS"
        ));
        ledger.push_str(&format!("\n{reference},10000.00,paid"));
    }
    for of in ["report", "dana", "laporan"] {
        for (name, report) in ["a", "b"].iter().zip(&reports) {
            walk.shell.write(&format!("{of}-{name}.csv"), report);
        }
    }
    walk.shell.write("orders.csv", &ledger);
    let said = walk.run("README.md", "dana-failover reconcile");
    // The operator's second word was not true.
    for part in ["NO DOUBLE CHARGE", "resolved against evidence: resolve it anew\n  ORDER-9"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(walk.run(PAGE, "dana-failover reconcile").contains("matched"));
    walk.run("docs/id.md", "dana-failover reconcile");
    assert!(walk.shell.read("rekonsiliasi.html").contains("ORDER-9"));
}

/// Each target that a document names is one.
fn make(walk: &mut Walk) {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    for command in walk.commands.iter_mut().filter(|one| one.text.starts_with("make ")) {
        let target = command.text.split_whitespace().nth(1).unwrap();
        let is_one = makefile.lines().any(|line| line.starts_with(&format!("{target}:")));
        assert!(is_one, "{}: make {target}", command.document);
        command.is_run = true;
    }
}
