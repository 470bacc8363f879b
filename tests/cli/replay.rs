//! `dana-failover replay`: outcomes in, decisions out, and every way in which a file can be wrong.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::playground::{BINARY, piped};

const CONFIG: &str = "
gateways: [{name: primary, cluster: dana_primary}, {name: secondary, cluster: dana_secondary}]
composites: [{members: [primary, secondary], cluster: dana_primary_first}]
breaker: {open_jitter_pct: 0}
";
/// 2026-11-22T16:00:00Z.
const START: u64 = 1_795_363_200_000;

fn replay(config: &str, outcomes: &[u8], options: &[&str]) -> Output {
    let dir = TempDir::new().unwrap();
    let place = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let (config, file) = (place("config.yaml", config.as_bytes()), place("day.jsonl", outcomes));
    let mut command = Command::new(BINARY);
    command.arg("replay").arg("--config").arg(config).args(options).arg(file).output().unwrap()
}

/// The document for machines, and the exit code.
fn decided(outcomes: &str, options: &[&str]) -> (Value, Option<i32>) {
    let options = [options, &["--format", "json"]].concat();
    let output = replay(CONFIG, outcomes.as_bytes(), &options);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let document = serde_json::from_slice(&output.stdout);
    (document.unwrap_or_else(|_| panic!("{told}")), output.status.code())
}

fn complaint(outcomes: &[u8]) -> String {
    let output = replay(CONFIG, outcomes, &[]);
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

fn outcome(second: u64, gateway: &str, outcome: &str, latency: u64) -> String {
    let time = START + second * 1000;
    json!({"time": time, "gateway": gateway, "outcome": outcome, "latency_ms": latency}).to_string()
        + "\n"
}

/// An hour with a payment each second, of which those from 600 s to 900 s fail.
fn hour() -> String {
    (0..3600)
        .map(|second| {
            let fails = (600..900).contains(&second);
            outcome(second, "primary", if fails { "failure" } else { "success" }, 100)
        })
        .collect()
}

#[test]
fn an_outage_is_left_and_returned_from() {
    let (told, code) = decided(&hour(), &[]);
    assert_eq!(code, Some(1));
    assert_eq!(told["switches"], json!({"failovers": 1, "failbacks": 1}));
    let first = &told["decisions"][0];
    assert_eq!(
        *first,
        json!({
            "at": "2026-11-22T16:10:04.000Z", "line": 605, "kind": "breaker", "gateway": "primary",
            "to": "open", "rule": "consecutive_failures", "numbers": {"failures": 5},
            "generation": 1, "until": "2026-11-22T16:10:14.000Z",
        })
    );
    let switches: Vec<&Value> = told["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|decision| decision["kind"] == "switch")
        .collect();
    assert_eq!(switches[0]["at"], first["at"]);
    assert_eq!((&switches[0]["to"], &switches[1]["to"]), (&json!("secondary"), &json!("primary")));
    assert_eq!(
        (&switches[0]["cause"], &switches[1]["cause"]),
        (&json!("failover"), &json!("failback"))
    );
    let payments = &told["payments"];
    assert_eq!(payments["all"], 3600);
    assert_eq!(payments["refused"], 0);
    // 300 failed; five opened the breaker, and each wait of 10, 20, 40 ... s ends in two more: half
    // of three trials.
    let waits = told["gateways"][0]["trips"].as_u64().unwrap() - 1;
    assert_eq!(payments["failures_avoided"], 300 - 5 - 2 * waits);
    assert_eq!(told["gateways"][0]["outcomes"]["failure"], 300);
    let spent = |gateway: usize, what: &str| told["gateways"][gateway][what].as_u64().unwrap();
    assert_eq!(spent(0, "active_ms") + spent(1, "active_ms"), 3_599_000);
    let all = ["closed_ms", "open_ms", "half_open_ms"].map(|what| spent(0, what));
    assert_eq!(all.iter().sum::<u64>(), 3_599_000);
}

#[test]
fn a_quiet_day_is_no_finding_and_looks_like_one() {
    let outcomes: String = (0..100).map(|at| outcome(at, "primary", "alive", 50)).collect();
    let output = replay(CONFIG, outcomes.as_bytes(), &["--width", "60"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains(&format!("primary    {}\n", "A".repeat(49))), "{text}");
    assert!(text.contains(&format!("secondary  {}\n", ".".repeat(49))), "{text}");
    assert!(text.contains("100 payments in 1 min 39 s: 0 would have gone"), "{text}");
    assert!(output.stderr.is_empty(), "no progress where nobody watches");
}

#[test]
fn a_person_sees_rule_numbers_and_chart() {
    let output = replay(CONFIG, hour().as_bytes(), &["--width", "80"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for expected in [
        "2026-11-22T16:10:04.000Z  primary: breaker open: 5 failures in a row (limit 5), until",
        "failover: primary -> secondary  (line 605)",
        "failback: secondary -> primary",
        "AO",
        "1 failovers, 1 failbacks; 3600 lines",
    ] {
        assert!(text.contains(expected), "{expected} is not in:\n{text}");
    }
    let chart = text.lines().find(|line| line.starts_with("primary  ")).unwrap();
    assert_eq!(chart.len(), 80, "{text}");
}

#[test]
fn the_same_file_gives_the_same_bytes() {
    let [first, second] =
        [0, 1].map(|_| replay(CONFIG, hour().as_bytes(), &["--format", "json"]).stdout);
    assert_eq!(first, second);
}

#[test]
fn without_good_heartbeats_nobody_takes_over() {
    let (told, code) = decided(&hour(), &["--heartbeats", "recorded"]);
    assert_eq!((&told["switches"]["failovers"], code), (&json!(0), Some(0)));
    assert!(told["payments"]["refused"].as_u64().unwrap() > 200);
    // The file says that the second gateway is down: it is believed.
    let beat = |second: u64| {
        json!({"time": START + second * 1000, "gateway": "secondary", "heartbeat": "bad"})
            .to_string()
            + "\n"
    };
    let down = format!("{}{}{}{}", beat(0), beat(0), beat(0), hour());
    let (told, code) = decided(&down, &[]);
    assert_eq!((&told["switches"]["failovers"], code), (&json!(0), Some(0)));
    assert_eq!(
        told["decisions"][0],
        json!({"at": "2026-11-22T16:00:00.000Z", "line": 3,
        "kind": "heartbeat", "gateway": "secondary", "up": false})
    );
}

#[test]
fn pinned_calls_count_for_health_and_not_as_payments() {
    let line = |second: u64| {
        let time = START + second * 1000;
        json!({"time": time, "gateway": "primary", "outcome": "failure", "pinned": true})
            .to_string()
            + "\n"
    };
    let (told, code) = decided(&(0..9).map(line).collect::<String>(), &[]);
    assert_eq!((&told["payments"]["all"], code), (&json!(0), Some(1)));
}

#[test]
fn slow_answers_open_too() {
    let outcomes: String = (0..10).map(|at| outcome(at, "primary", "success", 8000)).collect();
    let (told, _) = decided(&outcomes, &[]);
    assert_eq!(told["decisions"][0]["rule"], "slow_rate");
    assert_eq!(told["decisions"][0]["numbers"], json!({"calls": 10, "failures": 0, "slow": 10}));
}

/// A line as Envoy writes it for the reference configuration.
fn logged(second: u64, dana: &str, status: u16, flags: &str, attempts: u64) -> String {
    let time = format!("2026-11-22T16:{:02}:{:02}.000Z", second / 60, second % 60);
    json!({
        "time": time, "method": "POST", "path": "/", "status": status, "flags": flags,
        "details": "via_upstream", "duration_ms": 20, "cluster": "dana_primary_first",
        "upstream": null, "attempts": attempts, "transport_failure": null, "request_id": "x",
        "dana": dana,
    })
    .to_string()
        + "\n"
}

#[test]
fn an_access_log_is_judged_as_the_filter_judged_it() {
    let paid =
        |rest: &str| format!("decision=forward operation=create-order claim=x {rest} key=00");
    let lines = [
        logged(1, &paid("gateway=primary code=2005400"), 200, "-", 1),
        logged(2, &paid("gateway=primary code=4035402"), 403, "-", 1),
        logged(3, &paid("gateway=primary code=4295400"), 429, "-", 1),
        logged(4, &paid("gateway=primary code=5005401"), 500, "-", 1),
        logged(5, &paid("gateway=primary"), 504, "UT", 1),
        logged(6, &paid("gateway=primary"), 0, "DC", 1),
        // Not connected to the first one, and paid at the second.
        logged(7, &paid("gateway=secondary code=2005400"), 200, "-", 2),
        logged(8, &paid("gateway=primary+secondary"), 503, "UF,URX", 2),
        // Answered by the filter itself.
        logged(
            9,
            "decision=in_progress operation=create-order claim=in_flight key=00",
            429,
            "-",
            0,
        ),
        logged(10, &paid("gateway=secondary"), 502, "-", 1),
    ];
    let (told, _) = decided(&lines.concat(), &[]);
    assert_eq!(
        told["gateways"][0]["outcomes"],
        json!({"success": 1, "failure": 4, "throttled": 1, "alive": 1, "abandoned": 0, "neutral": 1})
    );
    assert_eq!(
        told["gateways"][1]["outcomes"],
        json!({"success": 1, "failure": 2, "throttled": 0, "alive": 0, "abandoned": 0, "neutral": 0})
    );
    assert_eq!(told["lines"]["passed_over"], 1);
    assert_eq!(told["payments"]["all"], 9);
}

#[test]
fn clients_that_leave_a_silent_gateway_are_a_finding() {
    let paid = "decision=forward operation=create-order claim=x gateway=primary key=0";
    let left = |second: u64, connected: &Value| {
        let mut line: Value = serde_json::from_str(&logged(second, paid, 0, "DC", 1)).unwrap();
        line["duration_ms"] = 2500.into();
        line["connected"] = connected.clone();
        line.to_string() + "\n"
    };
    let log = |connected: Value| (0..30).map(|at| left(at, &connected)).collect::<String>();
    let (told, code) = decided(&log("10.0.0.1:443".into()), &[]);
    assert_eq!(code, Some(1));
    assert_eq!(told["decisions"][0]["rule"], "unheard", "{told:#}");
    assert_eq!(told["gateways"][0]["outcomes"]["abandoned"], 30);
    // They left before there was a connection: the gateway was asked nothing.
    let (told, code) = decided(&log(Value::Null), &[]);
    assert_eq!((code, &told["gateways"][0]["outcomes"]["neutral"]), (Some(0), &json!(30)));
    let simple: String = (0..30).map(|at| outcome(at, "primary", "abandoned", 2500)).collect();
    let (told, code) = decided(&simple, &[]);
    assert_eq!((code, &told["decisions"][0]["rule"]), (Some(1), &json!("unheard")));
}

/// A line of the operators' listener, as Envoy writes it for the reference configuration.
const OPERATORS: &str = r#"{"time":"2026-11-22T16:00:03.000Z","listener":"dana_admin","client":"127.0.0.1:1","method":"GET","path":"/status","status":200,"details":null,"duration_ms":1,"request_id":"x"}"#;
const ENVOYS: &str =
    "[2026-11-22 16:00:00.123][1][info][main] [source/server/server.cc:1] starting";

/// The reference's log of a short day: Envoy's own lines among those of both listeners.
fn mixed() -> Vec<String> {
    let paid = "decision=forward operation=create-order claim=x gateway=primary code=2005400 key=0";
    let mut refused: Value = serde_json::from_str(&logged(4, "", 400, "DPE", 0)).unwrap();
    refused["dana"] = Value::Null;
    let line = |line: String| line.trim().to_owned();
    vec![
        ENVOYS.to_owned(),
        line(logged(1, paid, 200, "-", 1)),
        "wasm trap: something in two lines".to_owned(),
        OPERATORS.to_owned(),
        refused.to_string(),
        line(logged(5, paid, 200, "-", 1)),
    ]
}

#[test]
fn logs_are_read_as_docker_and_kubernetes_print_them() {
    let time = "2026-11-28T10:00:00.123456789Z";
    let ways: [(&str, String); 8] = [
        ("docker logs", String::new()),
        ("docker logs -t", format!("{time} ")),
        ("docker compose logs", "envoy-1  | ".to_owned()),
        ("docker compose logs -t", format!("envoy-1  | {time} ")),
        ("kubectl logs --timestamps", format!("{time} ")),
        ("kubectl logs --prefix", "[pod/dana-5c/envoy] ".to_owned()),
        ("kubectl logs --prefix --timestamps", format!("[pod/dana-5c/envoy] {time} ")),
        ("the runtime's file", format!("{time} stdout F ")),
    ];
    let expected = json!({
        "all": 6, "outcomes": 2, "heartbeats": 0, "passed_over": 1, "late": 0, "late_ms_max": 0,
        "skipped": {
            "envoys_log": 1, "operators": 1, "other_text": 1, "first_other_text_line": 3,
            "unfinished": 0,
        },
    });
    for (way, before) in ways {
        for (begin, end) in [("", "\n"), ("\u{feff}", "\r\n")] {
            let lines: String = mixed().iter().map(|line| format!("{before}{line}{end}")).collect();
            let (told, _) = decided(&format!("{begin}{lines}"), &[]);
            assert_eq!(told["lines"], expected, "{way}");
        }
    }
    let text = replay(CONFIG, mixed().join("\n").as_bytes(), &[]).stdout;
    let text = String::from_utf8(text).unwrap();
    let skipped = "passed over 3 lines: 1 of Envoy's own log, 1 of the operators' listener, 1 of \
                   other text (first: line 3)\n";
    assert!(text.contains(skipped), "{text}");
}

#[test]
fn lines_in_parts_are_joined_and_a_line_has_an_end() {
    let part = |tag: &str, text: &str| format!("2026-11-28T10:00:00.1Z stdout {tag} {text}\n");
    let line = outcome(0, "primary", "success", 1);
    let (head, tail) = line.trim().split_at(30);
    let (told, _) = decided(&[part("P", head), part("F", tail), part("P", head)].concat(), &[]);
    assert_eq!((&told["lines"]["outcomes"], &told["lines"]["all"]), (&json!(1), &json!(1)));
    assert_eq!(told["lines"]["skipped"]["unfinished"], 1);
    let endless = part("P", &"x".repeat(40_000)).repeat(2);
    assert!(complaint(endless.as_bytes()).contains(":2: expected a line of at most 65536 bytes"));
}

#[test]
fn a_file_in_which_nothing_fits_says_what_was_expected() {
    let told = complaint(format!("{ENVOYS}\n{OPERATORS}\n{ENVOYS}\nhello\n").as_bytes());
    let expected = "day.jsonl: expected outcomes, or the access log of the payments' listener as \
                    envoy/envoy.yaml writes it, found 4 lines: 2 of Envoy's own log, 1 of the \
                    operators' listener, 1 of other text (first: line 4)";
    assert!(told.contains(expected), "{told}");
}

#[test]
fn every_mistake_names_its_line_and_what_was_expected() {
    let good = outcome(0, "primary", "success", 1);
    let cases: [(&[u8], &str); 14] = [
        (b"{", "a JSON object, found EOF"),
        (b"[]", "a JSON object, found invalid type"),
        (b"{\"time\": 1795363200000, \"gateway\": \"\xff\"}", "no UTF-8 after column 36"),
        (br#"{"gateway":"primary","outcome":"success"}"#, "time: RFC 3339"),
        (br#"{"time":1795363200,"gateway":"primary"}"#, "found 1795363200"),
        (br#"{"time":1795363200000,"outcome":"success"}"#, "gateway: the name of a gateway"),
        (
            br#"{"time":1795363200000,"gateway":"third","outcome":"success"}"#,
            "gateway: one of primary, secondary, found third",
        ),
        (
            br#"{"time":1795363200000,"gateway":"primary","outcome":"ok"}"#,
            "throttled, alive, abandoned or neutral",
        ),
        (
            br#"{"time":1795363200000,"gateway":"primary","outcome":"success","latency":1}"#,
            "latency_ms, pinned, heartbeat (or dana, in an access log), found latency",
        ),
        (
            br#"{"time":1795363200000,"gateway":"primary","outcome":"success","latency_ms":-1}"#,
            "latency_ms: milliseconds, at most 3600000, found a negative number",
        ),
        (
            br#"{"time":1795363200000,"gateway":"primary","heartbeat":true}"#,
            "heartbeat: good or bad",
        ),
        (
            br#"{"time":1795363139999,"gateway":"primary","heartbeat":"good"}"#,
            "found one 60001 ms late",
        ),
        (br#"{"time":1798041600001,"gateway":"primary","heartbeat":"good"}"#, "at most 31 days"),
        (
            br#"{"time":"2026-11-22T16:00:00Z","dana":"gateway=third operation=create-order"}"#,
            "third",
        ),
    ];
    for (line, expected) in cases {
        let message = complaint(&[good.as_bytes(), b"\r\n", line].concat());
        assert!(message.contains("day.jsonl:3: expected "), "{message}");
        assert!(message.contains(expected), "{expected} is not in: {message}");
        assert!(message.len() < 400, "{message}");
    }
    let long = [good.as_bytes(), &vec![b'x'; 1_000_000]].concat();
    assert!(complaint(&long).contains(":2: expected a line of at most 65536 bytes"));
    assert!(complaint(&[b'['; 60_000]).contains(":1: expected a JSON object"));
    assert!(complaint(b"\n \n").contains("expected outcomes, found an empty file"));
}

#[test]
fn a_late_line_counts_when_it_is_read() {
    let lines = outcome(60, "primary", "success", 1) + &outcome(58, "primary", "success", 1);
    let (told, _) = decided(&lines, &[]);
    assert_eq!((&told["lines"]["late"], &told["lines"]["late_ms_max"]), (&json!(1), &json!(2000)));
    assert_eq!(told["to"], "2026-11-22T16:01:00.000Z");
}

#[test]
fn a_bootstrap_is_a_configuration_and_a_pipe_is_a_file() {
    let config = format!("{}/envoy/envoy.yaml", env!("CARGO_MANIFEST_DIR"));
    let output = piped(&["replay", "--config", &config, "-"], &hour());
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_configuration_that_cannot_be_used_is_named() {
    for (config, expected) in [
        ("gateways: []", "config.yaml: gateways: expected 2 to 16 gateways"),
        ("breaker: {}", "expected gateways, or an Envoy bootstrap"),
        ("{", "expected JSON"),
    ] {
        let output = replay(config, hour().as_bytes(), &[]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(message.contains(expected), "{message}");
    }
    let output =
        Command::new(BINARY).args(["replay", "--config", "/none", "/none"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn help_documents_every_field_of_the_document() {
    let output = Command::new(BINARY).args(["replay", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let (told, _) = decided(&hour(), &[]);
    let mut open = vec![&told];
    while let Some(value) = open.pop() {
        for (name, member) in value.as_object().into_iter().flatten() {
            // What belongs to a rule has its own names.
            if name != "numbers" {
                open.push(member);
            }
            assert!(help.contains(name.as_str()), "{name} is not in:\n{help}");
        }
        open.extend(value.as_array().into_iter().flatten());
    }
}
