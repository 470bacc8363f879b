//! The audit trails of Envoys that share their claims: one report over all of them.

use std::process::Command;

use dana_failover::cli::audit::{Kind, verify};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::payments::{PATIENCE, config, pay};
use crate::support::client::{CREATE, call, order};
use crate::support::envoy::Envoy;
use crate::support::etcd::Etcd;
use crate::support::sandbox::Sandbox;
use crate::support::until;

/// Payments that each Envoy makes, and repeats of the other one's.
const EACH: usize = 10;

#[test]
fn one_report_is_over_the_trails_of_all_envoys() {
    let (sandbox, etcd) = (Sandbox::start(), Etcd::start(1));
    let config = config(&sandbox, &etcd, &json!({}));
    let envoys = [Envoy::start(&config), Envoy::start(&config)];
    for (number, envoy) in envoys.iter().enumerate() {
        (0..EACH).for_each(|payment| drop(pay(envoy, &format!("OF-{number}-{payment}"))));
    }
    // In doubt at one, repeated at the other, where the same gateway tells that it was executed.
    sandbox.fault("primary", &json!({"fault": "reset"}));
    let lost = call(&envoys[0].listener, CREATE, &order("LOST"));
    assert_eq!(lost.outcome(), "unknown");
    sandbox.heal("primary");
    pay(&envoys[1], "LOST");
    for (number, envoy) in envoys.iter().enumerate() {
        (0..EACH).for_each(|payment| drop(pay(envoy, &format!("OF-{}-{payment}", 1 - number))));
    }
    let dir = TempDir::new().unwrap();
    let written = 4 * EACH + 2;
    let charges =
        |envoy: &Envoy| envoy.entries().iter().filter(|entry| entry["e"] == "charge").count();
    until("all of it is written down", PATIENCE, || {
        (envoys.iter().map(charges).sum::<usize>() >= written).then_some(())
    });
    let files = envoys.each_ref().map(|envoy| envoy.trail());
    let verified = verify(&files, &[]).unwrap();
    let found: Vec<Kind> =
        verified.findings().map(|(kind, _)| kind).filter(|kind| !kind.is_harmless()).collect();
    assert_eq!(found, []);
    // What the gateways have executed, as they report it.
    let payments = sandbox.ledger()["payments"].as_array().cloned().unwrap();
    for gateway in ["primary", "secondary"] {
        let is_its = |payment: &&Value| {
            payment["executed_at"].as_array().unwrap().iter().any(|place| place == gateway)
        };
        let rows = payments.iter().filter(is_its).map(|payment| {
            let reference = payment["reference"].as_str().unwrap();
            format!("{gateway}-{reference},{reference},10000.00,IDR\n")
        });
        let head = "referenceNo,partnerReferenceNo,amount,currency\n".to_owned();
        let text = head + &rows.collect::<String>();
        std::fs::write(dir.path().join(format!("{gateway}.csv")), text).unwrap();
    }
    let output = Command::new(env!("CARGO_BIN_EXE_dana-failover"))
        .current_dir(dir.path())
        .args(["reconcile", "--gateway", "primary=primary.csv"])
        .args(["--gateway", "secondary=secondary.csv", "--format", "json"])
        .args(&files)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{told}"));
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    let paid = 2 * EACH + 1;
    assert_eq!(report["states"]["matched"]["payments"], json!(paid), "{report:#}");
    let times = (&report["in_reports_once"], &report["in_reports_more_than_once"]);
    assert_eq!(times, (&json!(paid), &json!(0)));
}
