//! The filter's metrics: that Envoy keeps them, and turns what stands in their names into labels.

use super::super::finding::Severity::Warning;
use super::super::finding::{Found, Rule};
use super::super::setup::Setup;
use super::super::view::View;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "stats-tags-missing",
        severity: Warning,
        title: "Metrics have their labels in their names",
        why: "Without stats_tags each combination of labels is a metric of its own, and no alarm that goes by \
              labels ever fires.",
        fix: "Copy stats_config.stats_tags from envoy/envoy.yaml.",
        check: tags_missing,
    },
    Rule {
        id: "metrics-rejected",
        severity: Warning,
        title: "Metrics of the filter are thrown away",
        why: "Nobody is told of open breakers, payments in doubt or a store without room.",
        fix: "Let stats_matcher keep what begins with wasmcustom.dana_.",
        check: rejected,
    },
];

/// Labels of the filter's metrics, as the reference tells them to Envoy.
pub(super) const LABELS: [&str; 18] = [
    "operation",
    "decision",
    "claim",
    "gateway",
    "says",
    "rule",
    "why",
    "from",
    "to",
    "kind",
    "state",
    "currency",
    "result",
    "place",
    "outcome",
    "by",
    "version",
    "module",
];

/// Names as Envoy has them.
const NAMES: [&str; 3] = [
    "wasmcustom.dana_requests_total;operation=create-order;decision=forward;claim=none;gateway=a",
    "wasmcustom.dana_breaker_state;gateway=a",
    "wasmcustom.dana_store_fill_pct",
];

fn tags_missing(setup: &Setup, found: &mut Found<'_>) {
    if !setup.bootstrap.exists() || setup.payments().next().is_none() {
        return;
    }
    let tags = setup.bootstrap.down(&["stats_config", "stats_tags"]);
    let known = tags.items();
    let has = |label: &str| {
        let part = format!(";{label}=");
        let is_it = |tag: &View| {
            tag.at("tag_name").word() == label && tag.at("regex").word().contains(&part)
        };
        known.iter().any(is_it)
    };
    let missing: Vec<&str> = LABELS.into_iter().filter(|label| !has(label)).collect();
    if !missing.is_empty() {
        found.add_as(&tags, format!("tags for {}", missing.join(", ")), "none of these");
    }
}

fn rejected(setup: &Setup, found: &mut Found<'_>) {
    if setup.payments().next().is_none() {
        return;
    }
    let matcher = setup.bootstrap.down(&["stats_config", "stats_matcher"]);
    let all = matcher.at("reject_all");
    if all.is_true() {
        found.add(&all, "false");
    }
    let patterns = |list: &str| matcher.down(&[list, "patterns"]).items();
    for pattern in patterns("exclusion_list") {
        if NAMES.iter().any(|name| fits(&pattern, name)) {
            found.add_as(&pattern, "a pattern without wasmcustom.dana_", "one with it");
        }
    }
    let kept = matcher.at("inclusion_list");
    let is_kept = |name: &str| patterns("inclusion_list").iter().any(|one| fits(one, name));
    if kept.exists() && !NAMES.iter().all(|name| is_kept(name)) {
        found.add_as(&kept, "a pattern such as prefix: wasmcustom.dana_", "none that keeps all");
    }
}

/// Whether a pattern takes a name. An expression is not worked out: one that mentions the filter's
/// metrics is taken to be about all of them, and no other one is.
fn fits(pattern: &View, name: &str) -> bool {
    let ignores_case = pattern.at("ignore_case").is_true();
    let even = |text: &str| if ignores_case { text.to_ascii_lowercase() } else { text.to_owned() };
    let name = even(name);
    let is = |kind: &str, test: fn(&str, &str) -> bool| {
        pattern.at(kind).text().is_some_and(|text| test(&name, &even(text)))
    };
    let expression = pattern.down(&["safe_regex", "regex"]);
    let is_meant = expression.word().contains("wasmcustom")
        || expression.word().contains("dana")
        || expression.word() == ".*";
    is("exact", |name, text| name == text)
        || is("prefix", |name, text| name.starts_with(text))
        || is("suffix", |name, text| name.ends_with(text))
        || is("contains", |name, text| name.contains(text))
        || (expression.exists() && is_meant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::document::Document;

    #[test]
    fn the_labels_are_those_of_the_reference() {
        let reference = include_bytes!("../../../../envoy/envoy.yaml");
        let document = Document::read(0, reference, false).unwrap();
        let tags = View::of(&document).down(&["stats_config", "stats_tags"]).items();
        let mut told: Vec<String> =
            tags.iter().map(|tag| tag.at("tag_name").word().to_owned()).collect();
        let mut labels: Vec<String> = LABELS.iter().map(|label| (*label).to_owned()).collect();
        told.sort();
        labels.sort();
        assert_eq!(told, labels);
    }
}
