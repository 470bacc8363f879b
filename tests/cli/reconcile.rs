//! `dana-failover reconcile`: each kind of break is found, and nothing else.
//!
//! `ROWS` says how many clean payments stand beside them; `make reconcile-rows` takes ten million lines.

mod kinds;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

use dana_failover::engine::Pepper;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::playground::{BINARY, measured};
use kinds::{AMOUNT, EARLY, GATEWAYS, Payment, UNTIL, doubt, executed, key, kinds};

struct Files {
    audit: BufWriter<File>,
    reports: [BufWriter<File>; 2],
    ledger: BufWriter<File>,
    intents: BufWriter<File>,
    lines: u64,
}

impl Files {
    fn new(dir: &Path) -> Self {
        let file =
            |name: &str| BufWriter::with_capacity(1 << 20, File::create(dir.join(name)).unwrap());
        let head =
            "referenceNo,partnerReferenceNo,transactionType,amount,currency,transactionDate,status";
        let report = |name: &str| {
            let mut report = file(name);
            writeln!(report, "{head}").unwrap();
            report
        };
        let mut ledger = file("ledger.csv");
        writeln!(ledger, "order_id,amount,status").unwrap();
        let reports = [report("primary.csv"), report("secondary.csv")];
        Self { audit: file("audit.jsonl"), reports, ledger, intents: file("envoy.log"), lines: 0 }
    }

    fn put(&mut self, number: u64, payment: &Payment) {
        let (reference, key) = (&payment.reference, key(number));
        for entry in &payment.entries {
            let mut line = json!({"v": 1, "w": "mx2bbenx.2", "n": self.lines, "who": "P1", "key": key, "ref": reference, "op": "create-order", "amt": AMOUNT, "cur": "IDR"});
            for (name, value) in entry.as_object().unwrap() {
                line[name] = value.clone();
            }
            if entry["of"] == true {
                line["of"] = json!(key);
                let own =
                    entry["ref"].as_str().and_then(|text| text.strip_prefix("R-")?.parse().ok());
                line["key"] = json!(format!("f{:031x}00000000", own.unwrap_or(number)));
            }
            if entry["e"] == "resolve" {
                line["key"] = json!(key[..32]);
                line.as_object_mut().unwrap().remove("ref");
            }
            writeln!(self.audit, "{line}").unwrap();
            self.lines += 1;
        }
        for (gateway, kind, amount, currency, id) in &payment.reports {
            let report = &mut self.reports[*gateway];
            let (kind, status) = kind.split_once(' ').unwrap_or((kind, "SUCCESS"));
            writeln!(report, "{id},{reference},{kind},{amount},{currency},{EARLY},{status}")
                .unwrap();
            self.lines += 1;
        }
        let is_reported = !payment.reports.is_empty() && !payment.is_apart;
        let of_report = is_reported.then(|| ("paid", payment.reports[0].2));
        if let Some((status, amount)) = payment.ledger.or(of_report) {
            for status in status.split(' ') {
                writeln!(self.ledger, "{reference},{amount},{}", status.replace("twice", "paid"))
                    .unwrap();
                self.lines += 1;
            }
        }
        for _ in 0..payment.intents {
            let intent =
                json!({"t": EARLY, "e": "intent", "key": key, "ref": reference, "gw": "primary"});
            writeln!(self.intents, "[x] dana: audit intent {intent}").unwrap();
        }
    }

    /// A clean payment as text: there may be millions.
    fn put_clean(&mut self, number: u64) {
        let gateway = usize::from(number.is_multiple_of(3));
        let (name, key) = (GATEWAYS[gateway], key(number));
        let cents = number % 100;
        let mut line = String::new();
        write!(line, r#"{{"v":1,"w":"mx2bbenx.2","n":{number},"t":"{EARLY}","e":"charge","from":"10.2.3.4:45622","who":"P1","rid":"6c331224-83fe-4dca-90ea-00e7762f5e86","op":"create-order","key":"{key}","ref":"CLEAN-{number}","amt":"{number}.{cents:02}","cur":"IDR","do":"forward","gw":"{name}","code":"2005400","ev":"executed","claim":"settled","http":200,"ms":41,"prev":"Dzx1PXMfH10i4oaI4DK8Lk8d8yjYIMzYAQf3On-Tows"}}"#).unwrap();
        writeln!(self.audit, "{line}").unwrap();
        let report = &mut self.reports[gateway];
        writeln!(
            report,
            "G-{number},CLEAN-{number},PAYMENT,{number}.{cents:02},IDR,{EARLY},SUCCESS"
        )
        .unwrap();
        writeln!(self.ledger, "CLEAN-{number},{number}.{cents:02},paid").unwrap();
        self.lines += 3;
    }
}

fn command(dir: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command.current_dir(dir).args(["reconcile", "audit.jsonl", "--intents", "envoy.log"]);
    command.args(["--gateway", "primary=primary.csv", "--gateway", "secondary=secondary.csv"]);
    command.args(["--ledger", "ledger.csv", "--ledger-columns", "reference=order_id"]);
    command.args(["--until", UNTIL]);
    command
}

#[expect(clippy::disallowed_methods, reason = "a run by hand says what it wants")]
fn rows() -> u64 {
    std::env::var("ROWS").map_or(20_000, |rows| rows.parse().unwrap())
}

/// How long it takes and how much memory, where somebody asks for many rows.
fn measure(dir: &Path, lines: u64) {
    let (seconds, memory) = measured(&mut command(dir));
    let mut err = std::io::stderr();
    writeln!(err, "{lines} lines: {seconds:.1} s, {memory} kB").unwrap();
}

#[test]
fn each_kind_of_break_is_found_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let mut files = Files::new(dir.path());
    let kinds = kinds();
    let clean = rows() / 3;
    for number in 0..clean {
        // In the middle of all, and out of order.
        let shuffled = number * 7919 % clean.max(1);
        files.put_clean(1000 + shuffled);
    }
    for (number, payment) in (1..).zip(&kinds) {
        files.put(number, payment);
    }
    let lines = files.lines;
    drop(files);
    if rows() > 1_000_000 {
        measure(dir.path(), lines);
    }
    let output = command(dir.path())
        .args(["--format", "json", "--resolve", "resolve.jsonl"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {told}"));
    let breaks = report["breaks"].as_array().unwrap();
    let found = |reference: &str| breaks.iter().find(|one| one["reference"] == reference);
    let is_well = |states: &[&str]| ["matched", "expected", "not executed"].contains(&states[0]);
    for payment in &kinds {
        let found = found(&payment.reference);
        if is_well(&payment.states) {
            assert!(found.is_none(), "{}: {found:?}", payment.reference);
        } else {
            let found = found.unwrap_or_else(|| panic!("{} is not found", payment.reference));
            assert_eq!(found["states"], json!(payment.states), "{found}");
        }
    }
    let wrong = kinds.iter().filter(|payment| !is_well(&payment.states)).count();
    let named = |one: &&Value| !kinds.iter().any(|payment| one["reference"] == payment.reference);
    assert_eq!(breaks.iter().find(named), None);
    assert_eq!(breaks.len(), wrong, "and nothing else: {breaks:#?}");
    for state in ["matched", "expected", "not executed"] {
        let planted = kinds.iter().filter(|payment| payment.states == [state]).count() as u64;
        let expected = if state == "matched" { planted + clean } else { planted };
        assert_eq!(report["states"][state]["payments"], expected, "{state}");
    }
    let by = &report["confirmed"];
    assert_eq!((&by["by_notification"], &by["by_nothing"]), (&json!(3), &json!(nothing(&kinds))));
    // The sum of all clean ones, to the last cent.
    let sum: u128 = (0..clean)
        .map(|number| u128::from(1000 + number) * 100 + u128::from((1000 + number) % 100))
        .sum();
    let planted = kinds.iter().filter(|payment| payment.states == ["matched"]).count() as u128;
    let sum = sum + planted * 1_000_000;
    assert_eq!(
        report["states"]["matched"]["amounts"]["IDR"],
        format!("{}.{:02}", sum / 100, sum % 100)
    );
    proposes_what_is_proven(dir.path());
}

/// Payments that only a report, or an operator, says to be executed.
fn nothing(kinds: &[Payment]) -> usize {
    let is_told = |payment: &&Payment| {
        payment.entries.iter().any(|entry| entry["ev"] == "executed" && entry["of"].is_null())
    };
    kinds.iter().filter(|payment| !is_told(payment) && !payment.reports.is_empty()).count()
}

/// What is written for `POST /resolve`.
fn proposes_what_is_proven(dir: &Path) {
    let resolve = std::fs::read_to_string(dir.join("resolve.jsonl")).unwrap();
    let resolve: Vec<Value> =
        resolve.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let named = |what: &str| {
        resolve.iter().find(|one| one["reason"] == format!("reconciled: {what}")).unwrap()
    };
    // Of what a gateway without a report may have nobody says that it was not executed.
    let reasons: Vec<&str> = resolve.iter().map(|one| one["reason"].as_str().unwrap()).collect();
    let expected = ["DOUBT-PAID", "DOUBT", "POLLED", "TWO-ENVOYS", "UNCLEAR"]
        .map(|name| format!("reconciled: {name}"));
    assert_eq!(reasons, expected);
    assert_eq!(
        (&named("DOUBT")["executed"], &named("DOUBT-PAID")["executed_at"]),
        (&json!(false), &json!("primary"))
    );
    // Nor where nobody says what the reports have.
    let output = Command::new(BINARY)
        .current_dir(dir)
        .args(["reconcile", "audit.jsonl", "--gateway", "primary=primary.csv"])
        .args(["--gateway", "secondary=secondary.csv", "--resolve", "unlimited.jsonl"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let unlimited = std::fs::read_to_string(dir.join("unlimited.jsonl")).unwrap();
    assert!(unlimited.contains("executed_at") && !unlimited.contains("false"), "{unlimited}");
}

#[test]
fn nobody_was_charged_twice_is_one_line_with_an_exit_code() {
    let dir = TempDir::new().unwrap();
    let mut files = Files::new(dir.path());
    (1..100).for_each(|number| files.put_clean(number));
    drop(files);
    let output = command(dir.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.ends_with("NO DOUBLE CHARGE: 99 payments are in the reports, each of them once\n"),
        "{text}"
    );
    let by = "99 executed, confirmed by their answers 99, by a status 0, by a notification 0, by nothing 0\n";
    assert!(text.contains(by), "{text}");
    let mut files = Files::new(dir.path());
    (1..100).for_each(|number| files.put_clean(number));
    files.put(500, &Payment::executed("DOUBLE", 0).reported(0).reported(1));
    drop(files);
    let output = command(dir.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let last = "DOUBLE CHARGE: 1 of 100 payments were executed more than once, 10000.00 IDR\n";
    assert!(text.ends_with(last), "{text}");
    let output = command(dir.path()).args(["--format", "csv"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let expected = "reference,state,amount,currency,audit,reports,advice\n\
                    DOUBLE,double charged,10000.00,IDR,primary,primary+secondary,refund all but one\n";
    assert_eq!(text, expected);
}

#[test]
fn mistakes_are_told_where_they_are() {
    let dir = TempDir::new().unwrap();
    drop(Files::new(dir.path()));
    for (report, told) in [
        (
            "partnerReferenceNo,amount,status\nX,1,SUCCESS\nY,1,FINISHED\n",
            "primary.csv:3: expected a status: success, successful, settled, paid, executed, completed, \
             00; pending, processing, 01, 02, 03; failed, cancelled, canceled, rejected, expired, \
             closed, refunded, 05, 06, 07, found \"FINISHED\"",
        ),
        (
            "a,b\n1,2\n",
            "primary.csv:1: expected a column \"partnerReferenceNo\" (--columns names others), found a,b",
        ),
        (
            "{\"partnerReferenceNo\":\"X\",\"amount\":\"1\",\"status\":null}\n{\"partnerReferenceNo\":\"Y\",\"amount\":\"1\",\"Status\":\"FAILED\"}\n",
            "primary.csv:2: expected \"status\" in the first line too, or nowhere, found it here alone",
        ),
        (
            "{\"reference\":\"X\",\"amount\":\"1\"}\n",
            "primary.csv:1: expected a member \"partnerReferenceNo\" (--columns names others), found none",
        ),
        (
            "{\"partnerReferenceNo\":\"X\",\"amount\":\"1\",\"transactionType\":{\"refundable\":true}}\n",
            "primary.csv:1: expected an object of JSON in one line, found expected a text or a number in \"transactionType\", found {\"refundable\":true}",
        ),
        (
            "partnerReferenceNo,amount\nX,1.234\n",
            "primary.csv:2: expected an amount such as 10000.00, found \"1.234\"",
        ),
        (
            "partnerReferenceNo,amount\nX,\"1,000\"\n",
            "primary.csv:2: expected an amount such as 10000.00, found \"1,000\"",
        ),
    ] {
        std::fs::write(dir.path().join("primary.csv"), report).unwrap();
        let output = command(dir.path()).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), stderr.trim_end()),
            (Some(2), format!("dana-failover: {told}").as_str())
        );
    }
}

/// Rotated files are packed, and the references of those that are told are read again from there.
#[test]
fn a_packed_trail_says_the_same() {
    let dir = TempDir::new().unwrap();
    let mut files = Files::new(dir.path());
    (1000..1100).for_each(|number| files.put_clean(number));
    (1..).zip(&kinds()).for_each(|(number, payment)| files.put(number, payment));
    drop(files);
    let told = |dir: &Path| {
        let output = command(dir).args(["--format", "csv"]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let plain = told(dir.path());
    assert!(plain.0 == Some(1) && plain.1.contains("DOUBT-PAID,"), "{plain:?}");
    let path = dir.path().join("audit.jsonl");
    let bytes = std::fs::read(&path).unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&bytes).unwrap();
    std::fs::write(&path, packed.finish().unwrap()).unwrap();
    assert_eq!(told(dir.path()), plain);
}

/// A CSV file as JSON Lines, an amount as SNAP writes it.
fn as_json_lines(dir: &Path, name: &str) {
    let path = dir.join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    let mut lines = text.lines();
    let heads: Vec<&str> = lines.next().unwrap().split(',').collect();
    let objects = lines.map(|line| {
        let mut object = json!({});
        for (head, cell) in heads.iter().zip(line.split(',')) {
            match *head {
                "amount" => object["amount"] = json!({"value": cell}),
                head => object[head] = json!(cell),
            }
        }
        format!("{object}\n")
    });
    std::fs::write(&path, objects.collect::<String>()).unwrap();
}

/// Money is taken for executed only where a report says so: whatever the letters of its names.
#[test]
fn a_status_counts_in_both_forms() {
    let dir = TempDir::new().unwrap();
    let mut files = Files::new(dir.path());
    files.put(1, &Payment::new("DOUBT").with(doubt()));
    drop(files);
    for report in [
        "partnerReferenceNo,amount,Status\nDOUBT,10000.00,FAILED\n",
        "{\"partnerReferenceNo\":\"DOUBT\",\"amount\":\"10000.00\",\"Status\":\"FAILED\"}\n",
    ] {
        std::fs::write(dir.path().join("primary.csv"), report).unwrap();
        let output = command(dir.path()).args(["--resolve", "resolve.jsonl"]).output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(told.contains("in doubt: ") && !told.contains("in doubt, executed"), "{told}");
        let proposed = std::fs::read_to_string(dir.path().join("resolve.jsonl")).unwrap();
        assert!(proposed.contains("\"executed\":false"), "{proposed}");
    }
    let mistakes = [
        "partnerReferenceNo,amount,status\nDOUBT,10000.00,\n",
        "partnerReferenceNo,amount\nDOUBT,10000.00\n",
    ];
    std::fs::write(dir.path().join("primary.csv"), mistakes[0]).unwrap();
    assert_eq!(command(dir.path()).output().unwrap().status.code(), Some(2), "an empty status");
    std::fs::write(dir.path().join("primary.csv"), mistakes[1]).unwrap();
    let mut command = command(dir.path());
    let output = command.args(["--columns", "status=Result"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "a column that was named is not there");
}

#[test]
fn json_lines_say_the_same_as_csv() {
    let dir = TempDir::new().unwrap();
    let mut files = Files::new(dir.path());
    (1000..1100).for_each(|number| files.put_clean(number));
    (1..).zip(&kinds()).for_each(|(number, payment)| files.put(number, payment));
    drop(files);
    let csv = command(dir.path()).args(["--format", "csv"]).output().unwrap();
    assert_eq!(csv.status.code(), Some(1));
    for name in ["primary.csv", "secondary.csv", "ledger.csv"] {
        as_json_lines(dir.path(), name);
    }
    let columns = "reference=order_id,amount=amount.value";
    let json = Command::new(BINARY)
        .current_dir(dir.path())
        .args(["reconcile", "audit.jsonl", "--intents", "envoy.log", "--until", UNTIL])
        .args(["--gateway", "primary=primary.csv", "--gateway", "secondary=secondary.csv"])
        .args(["--ledger", "ledger.csv", "--ledger-columns", columns])
        .args(["--columns", "amount=amount.value", "--format", "csv"])
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!((text(&json.stdout), text(&json.stderr)), (text(&csv.stdout), String::new()));
}

/// The trail may be longer than the reports on both sides. What is in doubt is not forgotten for that.
#[test]
fn what_was_executed_before_the_reports_begin_is_expected() {
    const LATER: &str = "2026-11-28T11:00:00Z";
    let dir = TempDir::new().unwrap();
    let told = |payments: &[Payment], from: &str| {
        let mut files = Files::new(dir.path());
        (1..10).for_each(|number| files.put_clean(number));
        (1..).zip(payments).for_each(|(number, payment)| files.put(number, payment));
        drop(files);
        let output = command(dir.path()).args(["--from", from]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let unreported = [Payment::executed("unreported", 0)];
    let (code, text) = told(&unreported, EARLY);
    assert!(code == Some(1) && text.contains("missing at gateway"), "{text}");
    let (code, text) = told(&unreported, LATER);
    assert!(code == Some(0) && text.contains("expected"), "{text}");
    assert_eq!(told(&unreported, UNTIL).0, Some(2), "no time lies between the two");
    let (code, text) = told(&[Payment::new("doubt").with(doubt())], LATER);
    assert!(code == Some(1) && text.contains("in doubt"), "{text}");
}

#[test]
fn the_page_says_the_same_and_needs_nothing_else() {
    let dir = TempDir::new().unwrap();
    let mut files = Files::new(dir.path());
    (1..100).for_each(|number| files.put_clean(number));
    drop(files);
    let page = |dir: &Path| {
        let output = command(dir).args(["--format", "html"]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, clean) = page(dir.path());
    assert_eq!(code, Some(0), "{clean}");
    let mut files = Files::new(dir.path());
    (1..).zip(&kinds()).for_each(|(number, payment)| files.put(number, payment));
    files.put(900, &Payment::executed("<script>", 0).reported(0).reported(1));
    drop(files);
    let (code, page) = page(dir.path());
    assert_eq!(code, Some(1), "{page}");
    for (page, said) in [
        (
            &clean,
            "<p class=good>NO DOUBLE CHARGE: 99 payments are in the reports, each of them once</p>",
        ),
        (&clean, "<p class=good>The records agree: nobody is needed.</p>"),
        (&page, "<p class=bad>DOUBLE CHARGE: "),
        (&page, "<h2>double charged: refund all but one</h2>"),
        (&page, "<td>&lt;script&gt;<td>10000.00 IDR<td>primary<td>primary+secondary"),
        (&page, "<h2>in doubt: resolve it"),
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    for text in [&clean, &page] {
        assert!(text.starts_with("<!doctype html>") && text.trim_end().ends_with("</html>"));
        for other in ["<script", "http:", "https:", "src=", "href=", "url(", "@import"] {
            assert!(!text.contains(other), "{other}");
        }
    }
}

/// The same trail with its references hashed, as the filter does with `audit.pepper`.
#[test]
fn hashed_references_are_told_by_the_pepper() {
    let dir = TempDir::new().unwrap();
    let mut files = Files::new(dir.path());
    (1000..1100).for_each(|number| files.put_clean(number));
    (1..).zip(&kinds()).for_each(|(number, payment)| files.put(number, payment));
    drop(files);
    let states = |output: &std::process::Output| {
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let report: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{told}"));
        report["states"].clone()
    };
    let plain = states(&command(dir.path()).args(["--format", "json"]).output().unwrap());
    let secret = "5e".repeat(32);
    let pepper = Pepper::parse(&secret).unwrap();
    for name in ["audit.jsonl", "envoy.log"] {
        let path = dir.path().join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        let hashed = text.lines().map(|line| {
            let Some((before, rest)) = line.split_once("\"ref\":\"") else {
                return format!("{line}\n");
            };
            let (reference, rest) = rest.split_once('"').unwrap();
            format!("{before}\"ref\":\"{}\"{rest}\n", pepper.hash(reference))
        });
        std::fs::write(&path, hashed.collect::<String>()).unwrap();
    }
    std::fs::write(dir.path().join("pepper"), format!("{secret}\n")).unwrap();
    let options = ["--format", "json", "--pepper", "pepper"];
    let hashed = command(dir.path()).args(options).output().unwrap();
    assert_eq!((hashed.status.code(), states(&hashed)), (Some(1), plain));
    for (pepper, told) in [
        (None, "the references in the trail are hashed: give the filter's audit.pepper (--pepper)"),
        (Some("hunter2"), "pepper: expected 64 hexadecimal digits in lower case"),
    ] {
        let mut command = command(dir.path());
        if let Some(pepper) = pepper {
            std::fs::write(dir.path().join("pepper"), pepper).unwrap();
            command.args(["--pepper", "pepper"]);
        }
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(told) && !stderr.contains("hunter2"), "{stderr}");
    }
}

/// Of more than are told the gravest are, and the same in each run.
#[test]
fn of_too_many_the_gravest_are_told() {
    let dir = TempDir::new().unwrap();
    let mut files = Files::new(dir.path());
    files.put(1, &executed("TWICE", 0).reported(0).reported(1));
    for number in 0..100_050_u64 {
        writeln!(files.reports[0], "G-{number},LOST-{number},PAYMENT,1.00,IDR,{EARLY},SUCCESS")
            .unwrap();
    }
    drop(files);
    let one = command(dir.path()).args(["--format", "csv"]).output().unwrap();
    let text = String::from_utf8(one.stdout).unwrap();
    assert!(text.contains("TWICE,double charged"));
    assert_eq!(text.matches(",missing in audit,").count(), 99_999);
    // The first ones in the file, whatever order they are sorted in.
    assert!(text.contains("LOST-99998,") && !text.contains("LOST-99999,"));
    let told = String::from_utf8(one.stderr).unwrap();
    assert!(told.contains("51 payments more need a person than are told"), "{told}");
    let output = command(dir.path()).args(["--resolve", "resolve.jsonl"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "it would leave some out");
}
