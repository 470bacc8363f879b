//! The report of an audit trail, of a made-up morning with a failover.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// Minutes of the morning, and those in which the second gateway is first.
const MINUTES: u64 = 360;
const AWAY: std::ops::Range<u64> = 150..195;

fn at(minute: u64, millis: u64) -> String {
    let (seconds, millis) = (millis / 1000, millis % 1000);
    format!("2026-11-29T{:02}:{:02}:{seconds:02}.{millis:03}Z", 1 + minute / 60, minute % 60)
}

/// The page of it, written into this folder.
pub(crate) fn page(folder: &Path) -> std::path::PathBuf {
    let trail = folder.join("morning.jsonl");
    let lines = (0..).zip(entries()).map(|(number, mut entry): (u64, Value)| {
        (entry["v"], entry["w"], entry["n"]) = (json!(1), json!("mx2bbenx.2"), json!(number));
        format!("{entry}\n")
    });
    std::fs::write(&trail, lines.collect::<String>()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_dana-failover"))
        .args(["audit", "report", "--format", "html"])
        .arg(&trail)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let page = folder.join("report.html");
    std::fs::write(&page, output.stdout).unwrap();
    page
}

/// The page on whether the same morning's trail and the gateways' reports agree: they do but for two payments.
pub(crate) fn reconciliation(folder: &Path) -> std::path::PathBuf {
    let reports = ["primary", "secondary"].map(|gateway| {
        let rows = entries().into_iter().filter_map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            let (reference, amount) = (text("ref"), text("amt"));
            let is_doubled = reference == "ORDER-149-30";
            let is_its = entry["gw"] == gateway || is_doubled;
            let is_there = entry["e"] == "charge" && is_its && reference != "ORDER-200-3";
            is_there.then(|| format!("{gateway}-{reference},{reference},{amount},IDR,SUCCESS\n"))
        });
        let path = folder.join(format!("{gateway}.csv"));
        let head = "referenceNo,partnerReferenceNo,amount,currency,status\n";
        std::fs::write(&path, head.to_owned() + &rows.collect::<String>()).unwrap();
        format!("{gateway}={}", path.display())
    });
    let output = Command::new(env!("CARGO_BIN_EXE_dana-failover"))
        .args(["reconcile", "--format", "html", "--until", "2026-11-30T00:00:00+07:00"])
        .args(reports.iter().flat_map(|report| ["--gateway", report]))
        .arg(folder.join("morning.jsonl"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let page = folder.join("reconciliation.html");
    std::fs::write(&page, output.stdout).unwrap();
    page
}

fn entries() -> Vec<Value> {
    let mut entries = vec![
        json!({"t": at(0, 0), "e": "start", "role": "payments", "version": "0.1.0", "config": "8d1c"}),
    ];
    for minute in 0..MINUTES {
        let gateway = if AWAY.contains(&minute) { "secondary" } else { "primary" };
        // More towards noon.
        for number in 0..20 + minute / 8 + minute % 7 {
            let key = format!("{:032}00000000", minute * 1000 + number);
            let millis = number * 700 % 60_000;
            let is_lost = minute + 1 == AWAY.start && number >= 60 / 2;
            let (ev, claim) =
                if is_lost { ("doubtful", "in_doubt") } else { ("executed", "settled") };
            entries.push(json!({
                "t": at(minute, millis), "e": "charge", "key": key, "ref": format!("ORDER-{minute}-{number}"),
                "amt": format!("{}00.00", 50 + number * 7 % 900), "cur": "IDR", "do": "forward", "gw": gateway,
                "ev": ev, "claim": claim, "http": if is_lost { 504 } else { 200 },
            }));
        }
    }
    let lost = entries.iter().filter(|entry| entry["claim"] == "in_doubt").skip(1);
    let asked: Vec<Value> = lost
        .map(|entry| json!({"t": at(AWAY.start + 4, 0), "e": "inquiry", "key": entry["key"], "do": "forward", "gw": "primary", "ev": "executed", "claim": "settled"}))
        .collect();
    entries.extend(asked);
    let why = "5 failures in a row (limit 5)";
    entries.extend([
        json!({"t": at(AWAY.start - 1, 58_900), "e": "breaker", "id": "1-1", "gw": "primary", "to": "open", "rule": "consecutive_failures", "why": why}),
        json!({"t": at(AWAY.start - 1, 58_901), "e": "switch", "id": "1-2", "from": "primary", "to": "secondary", "why": "failover"}),
        json!({"t": at(AWAY.start, 2000), "e": "heartbeat", "id": "1-3", "gw": "primary", "to": "down"}),
        json!({"t": at(AWAY.end - 8, 0), "e": "heartbeat", "id": "1-4", "gw": "primary", "to": "up"}),
        json!({"t": at(AWAY.end - 1, 30_000), "e": "breaker", "id": "1-5", "gw": "primary", "to": "closed", "rule": "trials_passed", "why": "3 trials passed"}),
        json!({"t": at(AWAY.end, 0), "e": "switch", "id": "1-6", "from": "secondary", "to": "primary", "why": "failback"}),
        json!({"t": at(300, 0), "e": "override", "gw": "secondary", "to": "drain", "until": at(330, 0), "who": "anna@shop.example", "why": "DANA's maintenance of the reserve"}),
        json!({"t": at(310, 0), "e": "refused", "do": "unauthorized", "http": 401}),
    ]);
    entries
}
