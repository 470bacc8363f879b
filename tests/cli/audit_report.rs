//! `dana-failover audit report`: the story of a failover, told from the lines alone.

use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::playground::BINARY;

/// Entries of a morning: a payment in doubt, a failover, an operator, and the way back.
fn morning() -> Vec<Value> {
    let at = |time: &str| format!("2026-11-29T{time}Z");
    let charge = |time: &str, name: &str, gateway: &str, ev: &str, claim: &str| {
        let number = name.bytes().map(u64::from).sum::<u64>();
        let key = format!("{number:032}00000000");
        json!({
            "t": at(time), "e": "charge", "key": key, "ref": name, "amt": "10000.00", "cur": "IDR",
            "do": "forward", "gw": gateway, "ev": ev, "claim": claim, "http": 200,
        })
    };
    let doubtful = charge("03:00:10.500", "DOUBT-A", "primary", "doubtful", "in_doubt");
    let asked = json!({"t": at("03:05:10.500"), "e": "inquiry", "key": doubtful["key"], "do": "forward", "gw": "primary", "ev": "executed", "claim": "settled"});
    let open = charge("03:00:11.000", "<script>", "primary", "doubtful", "in_doubt");
    let noticed = charge("03:00:10.600", "DOUBT-C", "primary", "doubtful", "in_doubt");
    let notice = json!({"t": at("03:00:40.600"), "e": "notify", "key": noticed["key"], "do": "deliver", "gw": "primary", "ev": "executed", "claim": "settled"});
    vec![
        json!({"t": at("03:00:00.000"), "e": "start", "role": "payments", "version": "0.1.0", "config": "ab"}),
        charge("03:00:01.000", "ONE", "primary", "executed", "settled"),
        json!({"t": at("03:00:02.000"), "e": "charge", "do": "replay", "gw": "primary", "claim": "settled"}),
        json!({"t": at("03:00:03.000"), "e": "charge", "do": "no_identity", "http": 400}),
        doubtful,
        noticed,
        notice,
        json!({"t": at("03:00:41.000"), "e": "notify", "do": "unverified", "http": 401}),
        open,
        json!({"t": at("03:00:12.000"), "e": "breaker", "id": "1-1", "gw": "primary", "to": "open", "rule": "consecutive_failures", "why": "5 failures in a row (limit 5)"}),
        json!({"t": at("03:00:12.001"), "e": "switch", "id": "1-2", "from": "primary", "to": "secondary", "why": "failover"}),
        json!({"t": at("03:00:12.001"), "e": "switch", "id": "1-2", "from": "primary", "to": "secondary", "why": "failover"}),
        charge("03:01:00.000", "TWO", "secondary", "executed", "settled"),
        charge("03:02:00.000", "THREE", "secondary", "executed", "settled"),
        asked,
        json!({"t": at("03:06:00.000"), "e": "override", "gw": "primary", "to": "drain", "who": "anna", "why": "DANA's maintenance & more", "until": at("04:00:00.000")}),
        json!({"t": at("03:10:12.001"), "e": "switch", "id": "1-3", "from": "secondary", "to": "primary", "why": "failback"}),
        charge("03:20:12.001", "FOUR", "primary", "executed", "settled"),
    ]
}

fn report(entries: &[Value], options: &[&str]) -> Output {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("audit.jsonl");
    let lines = (0..).zip(entries).map(|(number, entry)| {
        let mut entry = entry.clone();
        (entry["v"], entry["w"], entry["n"]) = (json!(1), json!("mx2bbenx.2"), json!(number));
        format!("{entry}\n")
    });
    std::fs::write(&path, lines.collect::<String>()).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["audit", "report"]).args(options).arg(&path).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_failover_is_told_with_its_evidence() {
    let output = report(&morning(), &[]);
    let told = text(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    for line in [
        "2026-11-29 10:00:00 WIB to 2026-11-29 10:20:12 WIB",
        "18 entries of 1 writers, 1 configurations",
        "  primary                         2  20000.00 IDR",
        "  secondary                       2  20000.00 IDR",
        "  primary                10 min 12 s",
        "  secondary              10 min 00 s",
        "answered again, as before: 1",
        "not sent, no_identity: 1",
        "switches: 2",
        "  2026-11-29 10:00:12 WIB  primary -> secondary: failover",
        "      2026-11-29 10:00:12 WIB  breaker of primary: open; 5 failures in a row (limit 5)",
        "  2026-11-29 10:06:00 WIB  override of primary: drain by anna; DANA's maintenance & more; until 2026-11-29T04:00:00.000Z",
        "in doubt: 3",
        "not sent, unverified: 1",
        "  ended by a notification: settled: 1",
        "  ended by a question for it: settled: 1",
        "  the longest: 5 min 00 s",
        "  still open: 1",
        "THE RESERVE WORKS: 2 payments were executed at secondary, from 2026-11-29 10:01:00 WIB to 2026-11-29 10:02:00 WIB",
    ] {
        assert!(
            told.lines().any(|found| found.split_whitespace().eq(line.split_whitespace())),
            "{line}\n\n{told}"
        );
    }
}

#[test]
fn machines_are_told_the_same() {
    let output = report(&morning(), &["--format", "json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["gateways"]["secondary"]["executed"], 2);
    assert_eq!(told["gateways"]["primary"]["amounts"]["IDR"], "20000.00");
    let switch = &told["switches"][0];
    assert_eq!(
        (&switch["to"], &switch["evidence"][0]["kind"]),
        (&json!("secondary"), &json!("breaker"))
    );
    assert_eq!(told["switches"].as_array().unwrap().len(), 2, "one that came twice is told once");
    assert_eq!(told["first"][1]["gateway"], "secondary");
    assert_eq!(
        (&told["doubts"]["opened"], &told["doubts"]["longest_ms"]),
        (&json!(3), &json!(300_000))
    );
    assert_eq!(told["doubts"]["open"][0]["reference"], "<script>");
    assert_eq!(told["reserve_exercised"], true);
}

#[test]
fn a_drill_is_proven_by_payments_at_the_reserve_alone() {
    assert_eq!(report(&morning(), &["--drill"]).status.code(), Some(0));
    let quiet: Vec<Value> = morning()
        .into_iter()
        .filter(|entry| entry["gw"] != "secondary" || entry["e"] != "charge")
        .collect();
    let output = report(&quiet, &["--drill"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).ends_with("THE RESERVE WAS NOT EXERCISED: all payments went to primary\n")
    );
    // A part of the day.
    let output = report(&morning(), &["--drill", "--from", "2026-11-29T10:05:00+07:00"]);
    assert_eq!(output.status.code(), Some(1));
    let output = report(&morning(), &["--to", "2026-11-29T00:00:00+07:00"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_page_needs_nothing_else_and_runs_nothing() {
    let output = report(&morning(), &["--format", "html", "--zone", "UTC"]);
    let page = text(&output);
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script"), "{page}");
    for reference in ["http:", "https:", "src=", "href=", "url(", "@import"] {
        assert!(!page.contains(reference), "{reference}");
    }
    assert_eq!(page.matches("class=switch").count(), 2);
    assert!(
        page.contains("DANA&#39;s maintenance &amp; more")
            && page.contains("2026-11-29 03:00:12 UTC")
    );
}
