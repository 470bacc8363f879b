//! What operators are shown and woken by: rules, alerts and the dashboard, and a real Prometheus that scrapes a
//! real Envoy while gateways fail.
//!
//! - `names`: each metric and label that a rule, an alert or a panel names is there
//! - `rules`: Prometheus' own tests of each rule: it fires, and it ends
//! - `scrape`: a real failover, seen by a real Prometheus

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod names;
mod rules;
mod scrape;

use std::path::PathBuf;

use serde_json::Value;

use support::{read, root};

/// A program of Prometheus: the one of `make tools`, or any other that the environment names the folder of.
fn program(name: &str) -> PathBuf {
    let named = std::env::var_os("PROMETHEUS_BIN").map(PathBuf::from);
    let path = named.unwrap_or_else(|| root().join(".tools/prometheus/bin")).join(name);
    let advice = "run `make tools`, or say where it is, as in PROMETHEUS_BIN=/usr/bin";
    assert!(path.exists(), "{name} is missing at {}: {advice}", path.display());
    path
}

/// The files of a folder that end so, in their order.
fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with(end));
    files.sort();
    assert!(!files.is_empty(), "{folder} has no {end}");
    files
}

/// The files with rules and alerts.
fn rule_files() -> Vec<PathBuf> {
    files("envoy/prometheus", ".yaml")
}

/// All rules and alerts.
fn all_rules() -> Vec<Value> {
    let mut rules = Vec::new();
    for path in rule_files() {
        let file: Value = serde_norway::from_str(&read(&path)).unwrap();
        for group in file["groups"].as_array().unwrap() {
            rules.extend(group["rules"].as_array().unwrap().iter().cloned());
        }
    }
    rules
}
