//! Gateways' clusters beside each other: a reserve that is set up otherwise fails otherwise.

use super::super::finding::Severity::Warning;
use super::super::finding::{Found, Rule};
use super::super::setup::{Cluster, Setup};
use super::super::view::View;

pub(super) const RULES: &[Rule] = &[Rule {
    id: "gateways-unlike",
    severity: Warning,
    title: "A later gateway is set up otherwise than the first",
    why: "What was only ever tried on the first gateway is what payments depend on when it fails.",
    fix: "Give both clusters the same setting.",
    check: gateways_unlike,
}];

/// Settings that are looked at from the cluster on.
const SETTINGS: [&[&str]; 8] = [
    &["connect_timeout"],
    &["lb_policy"],
    &["circuit_breakers"],
    &["per_connection_buffer_limit_bytes"],
    &["upstream_connection_options"],
    &["dns_lookup_family"],
    &["dns_refresh_rate"],
    &["respect_dns_ttl"],
];

/// Settings of HTTP.
const HTTP: [&[&str]; 4] = [
    &["explicit_http_config"],
    &["auto_config"],
    &["use_downstream_protocol_config"],
    &["common_http_protocol_options", "max_requests_per_connection"],
];

/// Settings of a cluster that is found by DNS in the newer way.
const DNS: [&str; 7] = [
    "all_addresses_in_single_endpoint",
    "dns_lookup_family",
    "respect_dns_ttl",
    "dns_refresh_rate",
    "dns_jitter",
    "dns_failure_refresh_rate",
    "typed_dns_resolver_config",
];

fn gateways_unlike(setup: &Setup, found: &mut Found<'_>) {
    for (first, other) in setup.gateway_pairs() {
        let own = settings(other);
        for (one, other) in settings(first).iter().zip(&own) {
            if !one.is_same_as(other) {
                let expected = format!("the same as for cluster {}, {}", first.name, one.shows());
                found.add(other, expected);
            }
        }
        let kinds = [first, other].map(|cluster| std::mem::discriminant(&cluster.kind));
        if kinds[0] != kinds[1] {
            let expected = format!("endpoints found as for cluster {}", first.name);
            found.add_as(&other.view, expected, "another way");
        }
    }
}

fn settings(cluster: &Cluster) -> Vec<View> {
    let mut settings: Vec<View> = SETTINGS.iter().map(|path| cluster.view.down(path)).collect();
    settings.extend(HTTP.iter().map(|path| cluster.http.down(path)));
    settings.push(cluster.idle_timeout());
    settings.extend(DNS.iter().map(|name| cluster.dns().at(name)));
    settings
}
