//! `dana-failover audit verify` over a long trail: how long it takes, and how little memory.
//!
//! `LINES` says how many entries; `make audit-rows` takes two million.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::process::Command;

use dana_failover::engine::{AuditEntry, AuditWriter, Chain, Timestamp};
use tempfile::TempDir;

use super::playground::{BINARY, measured};

/// From so many on it counts how quick it is: before it is the start of the process.
const MANY: u64 = 1_000_000;

/// Entries a second, and memory in kB, that are asked for.
const QUICK: f64 = 500_000.0;
const LARGE: u64 = 64_000;

#[expect(clippy::disallowed_methods, reason = "a run by hand says what it wants")]
fn lines() -> u64 {
    std::env::var("LINES").map_or(20_000, |lines| lines.parse().unwrap())
}

/// As long as those of payments are.
fn entry(number: u64) -> AuditEntry {
    let kind = if number < 4 { "start" } else { "charge" };
    AuditEntry::new(kind, Timestamp::from_millis(1_795_883_656_659 + number))
        .text("from", "10.2.3.4:45622")
        .text("who", "PARTNER-1")
        .text("rid", "6c331224-83fe-4dca-90ea-00e7762f5e86")
        .text("op", "create-order")
        .text("key", &format!("{number:040x}"))
        .text("ref", &format!("ORDER-{number}"))
        .text("amt", "10000.00")
        .text("cur", "IDR")
        .text("do", "forward")
        .text("gw", "primary")
        .text("code", "2005400")
        .text("ev", "executed")
        .text("claim", "settled")
        .number("http", 200)
        .number("ms", 41)
}

#[test]
fn a_long_trail_is_verified_in_little_memory() {
    let dir = TempDir::new().unwrap();
    let (trail, log) = (dir.path().join("audit.jsonl"), dir.path().join("envoy.log"));
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&trail).unwrap());
    let writer = |number| AuditWriter { epoch: 1_795_883_656_659, number };
    let mut chains: Vec<Chain> = (1..5).map(|number| Chain::new(writer(number))).collect();
    for number in 0..lines() {
        let chain = &mut chains[usize::try_from(number % 4).unwrap()];
        writeln!(out, "{}", chain.append(&entry(number))).unwrap();
    }
    drop(out);
    let heads = chains.iter().filter_map(Chain::head);
    let heads: String = heads.map(|head| format!("audit head {}\n", head.line())).collect();
    std::fs::write(&log, heads).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["audit", "verify", "--heads"]).args([&log, &trail]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    if lines() < MANY {
        return;
    }
    let (seconds, memory) = measured(&mut command);
    #[expect(clippy::cast_precision_loss, reason = "a few millions")]
    let rate = lines() as f64 / seconds;
    let mut err = std::io::stderr();
    writeln!(err, "{} entries: {rate:.0} a second, {memory} kB", lines()).unwrap();
    assert!(rate >= QUICK && memory <= LARGE);
}
