//! The rules, by subject. Each one is an entry of a table and the function that looks for it.

mod admin;
mod alike;
mod audit;
mod capabilities;
mod clusters;
mod etcd;
mod etcd_tls;
mod file;
mod filter;
mod gateways;
mod headers;
mod listeners;
mod logs;
mod metrics;
mod notify;
mod proxy;
mod retries;
mod routes;
mod settings;
mod store;
mod tls;
mod tls_alike;
mod watched;

pub(crate) use capabilities::{Capability, NEEDED};
pub(crate) use file::UNUSED;

use super::finding::{Finding, Found, Rule};
use super::setup::Setup;

const GROUPS: [&[Rule]; 23] = [
    file::RULES,
    filter::RULES,
    settings::RULES,
    store::RULES,
    etcd::RULES,
    etcd_tls::RULES,
    capabilities::RULES,
    gateways::RULES,
    routes::RULES,
    headers::RULES,
    retries::RULES,
    proxy::RULES,
    logs::RULES,
    audit::RULES,
    notify::RULES,
    metrics::RULES,
    listeners::RULES,
    admin::RULES,
    clusters::RULES,
    alike::RULES,
    tls::RULES,
    tls_alike::RULES,
    watched::RULES,
];

/// Every rule.
pub(crate) fn all() -> impl Iterator<Item = &'static Rule> {
    GROUPS.into_iter().flatten()
}

/// Everything that is wrong with one Envoy.
pub(crate) fn apply(setup: &Setup) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in all() {
        (rule.check)(setup, &mut Found { rule, findings: &mut findings });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_named_alike_and_say_why_and_how() {
        let mut ids: Vec<_> = all().map(|rule| rule.id).collect();
        ids.sort_unstable();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), count, "each rule has a name of its own");
        for rule in all() {
            let is_kebab =
                |letter: char| letter.is_ascii_lowercase() || "-0123456789".contains(letter);
            assert!(rule.id.chars().all(is_kebab), "{}", rule.id);
            for text in [rule.why, rule.fix] {
                assert!(text.ends_with('.') && text.len() > 10, "{}: {text}", rule.id);
            }
            assert!(!rule.title.ends_with('.') && !rule.title.is_empty(), "{}", rule.id);
        }
    }
}
