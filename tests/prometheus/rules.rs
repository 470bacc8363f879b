//! Prometheus' own tests of the rules: each alert fires when it should, ends when it should, and is silent while all
//! is well. And an alert is of use: it says what happened, and where it stands what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{all_rules, files, program, rule_files};
use crate::support::{read, root};

const TESTS: &str = "tests/prometheus/rules";

/// Whether promtool is content with the tests, and what it says.
fn passes(tests: &[PathBuf]) -> (bool, String) {
    let mut command = Command::new(program("promtool"));
    let ended = command.args(["test", "rules"]).args(tests).output().unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn alerts() -> Vec<Value> {
    all_rules().into_iter().filter(|rule| rule["alert"].is_string()).collect()
}

#[test]
fn promtool_takes_the_rules() {
    let checked = Command::new(program("promtool"))
        .args(["check", "rules", "--lint-fatal"])
        .args(rule_files())
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn each_alert_fires_and_ends_as_its_tests_say() {
    let (passed, said) = passes(&files(TESTS, ".yaml"));
    assert!(passed, "{said}");
}

/// Of an alert that has no test nobody knows whether it fires.
#[test]
fn each_alert_is_tested_both_ways() {
    // Of each alert and severity: whether a test expects it, and whether one expects it not to be there.
    let mut tested: BTreeMap<String, (BTreeSet<String>, bool)> = BTreeMap::new();
    for path in files(TESTS, ".yaml") {
        let file: Value = serde_norway::from_str(&read(&path)).unwrap();
        for test in file["tests"].as_array().unwrap() {
            for expected in test["alert_rule_test"].as_array().into_iter().flatten() {
                let name = expected["alertname"].as_str().unwrap().to_owned();
                let (fires, ends) = tested.entry(name).or_default();
                let alerts = expected["exp_alerts"].as_array().cloned().unwrap_or_default();
                *ends |= alerts.is_empty();
                let severities =
                    alerts.iter().filter_map(|one| one["exp_labels"]["severity"].as_str());
                fires.extend(severities.map(str::to_owned));
            }
        }
    }
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let severity = alert["labels"]["severity"].as_str().unwrap();
        let (fires, ends) = tested.get(name).unwrap_or_else(|| panic!("{name} has no test"));
        assert!(fires.contains(severity), "no test sees {name} fire as {severity}");
        assert!(ends, "no test sees {name} end");
    }
}

#[test]
fn each_alert_says_what_happened_and_where_it_stands_what_to_do() {
    let runbook = read(&root().join("docs/runbook.md"));
    let mut told = BTreeSet::new();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["page", "ticket", "info"].contains(&severity), "{name}: {severity}");
        for text in ["summary", "description"] {
            assert!(
                alert["annotations"][text].as_str().is_some_and(|text| text.len() > 10),
                "{name}"
            );
        }
        let place = format!("https://dana-failover.example/runbook#{}", name.to_lowercase());
        assert_eq!(alert["annotations"]["runbook_url"], place.as_str(), "{name}");
        let section = runbook.split("\n## ").find(|part| part.lines().next() == Some(name));
        let section = section.unwrap_or_else(|| panic!("docs/runbook.md has no {name}"));
        for part in ["**What it means**", "**Look at**", "**Do**", "**It is over when**"] {
            assert!(section.contains(part), "docs/runbook.md: {name} lacks {part}");
        }
        told.insert(name.to_owned());
    }
    for line in runbook.lines().filter_map(|line| line.strip_prefix("## Dana")) {
        assert!(
            told.contains(&format!("Dana{line}")),
            "docs/runbook.md: there is no alert Dana{line}"
        );
    }
}

/// A copy of the rules, with one line of one file changed, and of that file's tests.
fn broken(folder: &Path, file: &str, well: &str, wrong: &str) -> Vec<PathBuf> {
    let rules = folder.join("rules");
    let tests = folder.join("tests");
    std::fs::create_dir_all(&rules).unwrap();
    std::fs::create_dir_all(&tests).unwrap();
    for path in rule_files() {
        let mut text = read(&path);
        let name = path.file_name().unwrap();
        if name == file {
            assert!(text.contains(well), "{file} lacks {well}");
            text = text.replace(well, wrong);
        }
        std::fs::write(rules.join(name), text).unwrap();
    }
    let copy = |path: &PathBuf| {
        let text = read(path).replace("../../../envoy/prometheus/", "../rules/");
        let to = tests.join(path.file_name().unwrap());
        std::fs::write(&to, text).unwrap();
        to
    };
    let about = |path: &PathBuf| read(path).contains(file) && !path.ends_with("healthy.yaml");
    files(TESTS, ".yaml").iter().filter(|path| about(path)).map(copy).collect()
}

#[test]
fn rules_that_are_wrong_are_found() {
    for (file, well, wrong) in [
        ("alerts-slo.yaml", "> 14.4 * 0.001", "> 14.4"),
        ("alerts-slo.yaml", "increase1h >= 20", "increase1h >= 2"),
        ("alerts-money.yaml", "dana_in_doubt_oldest_seconds", "dana_in_doubt_oldest"),
        ("alerts-gateways.yaml", "kind=\"failover\"", "kind=\"failback\""),
        ("alerts-store.yaml", "dana_store_fill_pct", "dana_store_bucket_fill_pct"),
        (
            "alerts-audit.yaml",
            "dana_audit_published_timestamp_seconds",
            "dana_census_timestamp_seconds",
        ),
        ("alerts-envoy.yaml", "< 21", "< 2100"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (passed, said) = passes(&broken(folder.path(), file, well, wrong));
        assert!(!passed, "{file} with {wrong} is taken for well: {said}");
    }
    let folder = tempfile::tempdir().unwrap();
    let same = broken(folder.path(), "alerts-gateways.yaml", "page", "page");
    let (passed, said) = passes(&same);
    assert!(passed, "the copy alone changes nothing: {said}");
}
