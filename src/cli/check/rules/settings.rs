//! Choices in the filter's own configuration that are allowed, and that somebody should know of.

use crate::engine::{Class, Operation};

use super::super::finding::Severity::{Note, Warning};
use super::super::finding::{Found, Rule};
use super::super::setup::{Plugin, Setup};
use super::super::view::View;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "observed-only",
        severity: Note,
        title: "The filter only observes",
        why: "Nothing is refused, replayed or moved to another gateway, and a repeat is sent again.",
        fix: "Set mode: enforce once the access log shows that it decides rightly.",
        check: observed_only,
    },
    Rule {
        id: "unmatched-passes",
        severity: Warning,
        title: "Requests that no operation matches are sent on",
        why: "A payment under a path that is not known is sent without a claim.",
        fix: "Set unmatched: refuse and name further paths under operations.",
        check: unmatched_passes,
    },
    Rule {
        id: "shared-ledger",
        severity: Note,
        title: "The gateways are declared to share one ledger",
        why: "A payment in doubt may then be sent to another gateway, which is a second payment if they do not.",
        fix: "Keep it only if DANA confirms that all gateways recognise each other's references.",
        check: shared_ledger,
    },
    Rule {
        id: "unsafe-timings",
        severity: Warning,
        title: "Waits may be below their safe minimum",
        why: "A wait that is too short gives up on payments that live, or believes a \"not found\" too early.",
        fix: "Remove testing.unsafe_timings outside of tests.",
        check: unsafe_timings,
    },
    Rule {
        id: "heartbeat-operation",
        severity: Warning,
        title: "A heartbeat asks where payments are made",
        why: "It is sent every few seconds for ever, and must never be able to move money.",
        fix: "Give heartbeat.path a path that only tells that the gateway is there.",
        check: heartbeat_operation,
    },
];

fn observed_only(setup: &Setup, found: &mut Found<'_>) {
    for plugin in setup.payments() {
        let operations = plugin.config.at("operations").items();
        let own = operations.iter().map(|operation| operation.at("mode"));
        for mode in own.chain([plugin.config.at("mode")]).filter(|mode| mode.word() == "observe") {
            found.add(&mode, "enforce");
        }
    }
}

fn unmatched_passes(setup: &Setup, found: &mut Found<'_>) {
    expect_not(setup, found, "unmatched", "pass", "refuse");
}

fn shared_ledger(setup: &Setup, found: &mut Found<'_>) {
    expect_not(setup, found, "ledger", "shared", "separate, or a declaration that is true");
}

fn expect_not(setup: &Setup, found: &mut Found<'_>, name: &str, word: &str, expected: &str) {
    for plugin in setup.payments() {
        let view = plugin.config.at(name);
        if view.word() == word {
            found.add(&view, expected);
        }
    }
}

fn unsafe_timings(setup: &Setup, found: &mut Found<'_>) {
    for plugin in &setup.plugins {
        let view = plugin.config.down(&["testing", "unsafe_timings"]);
        if view.is_true() {
            found.add(&view, "false");
        }
    }
}

fn heartbeat_operation(setup: &Setup, found: &mut Found<'_>) {
    for plugin in setup.payments() {
        let Some(config) = plugin.config_or_default() else { continue };
        for path in heartbeat_paths(plugin) {
            let moves = |operation: &&Operation| {
                let is_same = same_path(path.word(), &operation.path);
                is_same && operation.class != Class::Inquiry
            };
            if let Some(operation) = config.operations.iter().find(moves) {
                let expected = format!("another path than that of {}", operation.name);
                found.add(&path, expected);
            }
        }
    }
}

fn heartbeat_paths(plugin: &Plugin) -> Vec<View> {
    let gateways = plugin.config.at("gateways").items();
    let own = gateways.iter().map(|gateway| gateway.down(&["heartbeat", "path"]));
    own.chain([plugin.config.down(&["heartbeat", "path"])]).filter(View::exists).collect()
}

/// Operations are known by the end of a path, with or without `.htm`.
fn same_path(path: &str, operation: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let plain = |path: &str| path.trim_end_matches(".htm").to_owned();
    plain(path).ends_with(&plain(operation))
}
