//! A rule whose metric is gone never fires, and nobody notices: each name is held to the filter's own table.

use std::collections::BTreeSet;

use dana_failover::engine::metrics::{MetricKind, Row, TABLE};
use serde_json::Value;

use super::all_rules;
use crate::support::{read, root};

/// Names of metrics in an expression that begin so, each with what stands behind it.
fn named<'a>(expression: &'a str, front: &str) -> Vec<(&'a str, &'a str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find(front) {
        let before = rest[..at].chars().next_back();
        let name = &rest[at..];
        let end = name.find(|c: char| !is_part(c)).unwrap_or(name.len());
        // In quotes it is the name of a cluster.
        if !before.is_some_and(|c| is_part(c) || c == '"') {
            found.push(name.split_at(end));
        }
        rest = &name[end.max(1)..];
    }
    found
}

/// The row of a metric; a histogram has three names.
fn row(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| {
        let rest = name.strip_prefix(row.family.name);
        match row.family.kind {
            MetricKind::Counter | MetricKind::Gauge => rest == Some(""),
            MetricKind::Histogram => {
                rest.is_some_and(|rest| ["_bucket", "_count", "_sum"].contains(&rest))
            }
        }
    })
}

/// What is wrong with the names in an expression: metrics that are not there, and labels that they have not.
fn mistakes(expression: &str, recorded: &BTreeSet<String>) -> Vec<String> {
    let mut mistakes = Vec::new();
    for (name, rest) in named(expression, "dana") {
        if recorded.contains(name) || !name.starts_with("dana_") {
            if name.contains(':') && !recorded.contains(name) {
                mistakes.push(format!("{name} is not recorded"));
            }
            continue;
        }
        let Some(row) = row(name) else {
            mistakes.push(format!("{name} is no metric"));
            continue;
        };
        let selector = rest.strip_prefix('{').and_then(|rest| rest.split('}').next());
        for matcher in selector.unwrap_or_default().split("\",").filter(|part| !part.is_empty()) {
            let label = matcher.split(['=', '!']).next().unwrap_or_default().trim();
            let known = ["job", "instance", "le"].contains(&label);
            if !known && !row.family.labels.contains(&label) {
                mistakes.push(format!("{name} has no label {label}"));
            }
        }
    }
    mistakes
}

fn recorded() -> BTreeSet<String> {
    let rules = all_rules();
    rules.iter().filter_map(|rule| Some(rule["record"].as_str()?.to_owned())).collect()
}

/// The expressions of the dashboard's panels, variables and annotations.
fn expressions(dashboard: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let asked = targets.filter_map(|target| text(&target["expr"]));
    let marks = dashboard["annotations"]["list"].as_array().unwrap().iter();
    asked.chain(marks.filter_map(|mark| text(&mark["expr"]))).collect()
}

#[test]
fn rules_and_alerts_name_what_is_there() {
    let recorded = recorded();
    for rule in all_rules() {
        let expression = rule["expr"].as_str().unwrap();
        let mistakes = mistakes(expression, &recorded);
        assert!(mistakes.is_empty(), "{expression}: {mistakes:?}");
    }
}

#[test]
fn the_dashboard_names_what_is_there() {
    let text = read(&root().join("envoy/grafana/dana-failover.json"));
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let all = expressions(&dashboard);
    assert!(all.len() > 30, "{}", all.len());
    for expression in all {
        let mistakes = mistakes(&expression, &recorded());
        assert!(mistakes.is_empty(), "{expression}: {mistakes:?}");
    }
    // Whoever looks at a panel is told what it shows, and no two panels have one place.
    let mut places = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(panel["type"] == "row" || panel["description"].is_string(), "{title}");
        assert!(places.insert(panel["gridPos"].to_string()), "{title}");
    }
}

/// Whoever adds a metric shows it, or says here why nobody looks at it.
#[test]
fn every_metric_is_shown_or_wakes_somebody() {
    let mut shown = read(&root().join("envoy/grafana/dana-failover.json"));
    shown.extend(all_rules().iter().filter_map(|rule| rule["expr"].as_str()));
    let unseen: Vec<&str> =
        TABLE.iter().map(|row| row.family.name).filter(|name| !shown.contains(name)).collect();
    let expected = [
        // Workers read it, and nobody else.
        "dana_health_writes_total",
        // Auditors compare these with a trail: `audit verify --checkpoint`.
        "dana_audit_epoch_milliseconds",
        "dana_audit_writer",
        "dana_audit_head_high",
        "dana_audit_head_low",
        "dana_config_timestamp_seconds",
    ];
    let missing: Vec<&&str> = unseen.iter().filter(|name| !expected.contains(name)).collect();
    assert!(missing.is_empty(), "nobody sees {missing:?}");
}

#[test]
fn wrong_names_are_found() {
    let recorded = BTreeSet::from(["dana:payments:rate5m".to_owned()]);
    for (expression, mistake) in [
        ("sum(dana_claim{state=\"in_doubt\"})", "dana_claim is no metric"),
        ("dana_gateway_duration_milliseconds{}", "dana_gateway_duration_milliseconds is no metric"),
        ("dana_claims{job=~\"a\",gateway=\"b\"}", "dana_claims has no label gateway"),
        ("dana:payments:rate1h > 1", "dana:payments:rate1h is not recorded"),
    ] {
        assert_eq!(mistakes(expression, &recorded), [mistake], "{expression}");
    }
    let right = "sum by (le) (dana_gateway_duration_milliseconds_bucket{le=\"5\"}) > \
                 dana:payments:rate5m and envoy_cluster_x{envoy_cluster_name=~\"dana_.*\"}";
    assert_eq!(mistakes(right, &recorded), [""; 0]);
}
