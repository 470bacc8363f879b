//! Gateways and composites: that what the filter names is there, and is what it is named for.

use std::collections::{BTreeMap, BTreeSet};

use super::super::finding::Severity::{Error, Warning};
use super::super::finding::{Found, Rule};
use super::super::setup::{Cluster, Plugin, Setup};
use super::super::view::View;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "cluster-missing",
        severity: Error,
        title: "A cluster that the filter names does not exist",
        why: "Envoy answers 503 to whatever is sent there, and no payment can be claimed without its store.",
        fix: "Add the cluster, or correct the name.",
        check: cluster_missing,
    },
    Rule {
        id: "gateway-cluster-mixed",
        severity: Error,
        title: "A gateway's own cluster reaches another gateway too",
        why: "A repeat of a payment in doubt that is meant for one gateway could be made at the other.",
        fix: "Let each gateway's cluster reach its own endpoints and nothing else.",
        check: cluster_mixed,
    },
    Rule {
        id: "composite-members",
        severity: Error,
        title: "A composite cluster does not try what the filter believes it tries",
        why: "A payment would be sent to a gateway that the filter has ruled out, or in another order.",
        fix: "Let the cluster's list and the filter's `members` name the same gateways in the same order.",
        check: composite_members,
    },
    Rule {
        id: "composite-unlisted",
        severity: Warning,
        title: "The filter does not know of a composite cluster of its gateways",
        why: "It names only clusters of its own list, so this one is never used.",
        fix: "Add it under `composites`, or remove the cluster.",
        check: composite_unlisted,
    },
    Rule {
        id: "composite-absent",
        severity: Warning,
        title: "No composite cluster tries the other gateways after the first",
        why: "A payment that finds the first gateway dead is refused, although it was never sent.",
        fix: "Add a composite cluster of all gateways in their order, and list it under `composites`.",
        check: composite_absent,
    },
    Rule {
        id: "gateway-metadata",
        severity: Error,
        title: "An endpoint does not say which gateway it belongs to",
        why: "Behind a composite nothing else tells where a payment was made, so it stays in doubt at all.",
        fix: "Give the endpoint metadata: {filter_metadata: {dana.failover: {gateway: NAME}}}.",
        check: gateway_metadata,
    },
    Rule {
        id: "gateways-share-address",
        severity: Error,
        title: "Two gateways have the same address",
        why: "They fail together, and what the filter believes to be two ledgers is one.",
        fix: "Give each gateway the address of its own.",
        check: share_address,
    },
    Rule {
        id: "failover-overflow",
        severity: Warning,
        title: "A composite cluster moves only a few payments at a time",
        why: "Envoy allows 3 retries at once unless told otherwise, and refuses further payments instead \
              of moving them.",
        fix: "Give the composite circuit_breakers: {thresholds: [{max_retries: 1024}]}.",
        check: failover_overflow,
    },
];

fn cluster_missing(setup: &Setup, found: &mut Found<'_>) {
    if !setup.is_complete("cds_config") {
        return;
    }
    for plugin in &setup.plugins {
        let lists = ["gateways", "composites"].map(|name| plugin.config.at(name).items());
        let etcd = plugin.etcd();
        for cluster in lists.iter().flatten().chain([&etcd]).map(|one| one.at("cluster")) {
            if cluster.exists() && setup.cluster(cluster.word()).is_none() {
                found.add(&cluster, "the name of a cluster of this Envoy");
            }
        }
    }
}

/// A gateway may have several clusters, but each of them is its own.
fn cluster_mixed(setup: &Setup, found: &mut Found<'_>) {
    for (at, gateway) in setup.gateways.iter().enumerate() {
        for other in setup.gateways.iter().take(at).filter(|other| other.name != gateway.name) {
            if gateway.leaves.iter().any(|leaf| other.leaves.contains(leaf)) {
                let found_there = format!("one that {} has too", other.name);
                found.add_as(&gateway.view.at("cluster"), "a cluster of its own", found_there);
            }
        }
    }
}

/// The gateways that a composite cluster tries, in its order, each once.
fn tried(setup: &Setup, cluster: &Cluster) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for leaf in setup.leaves(&cluster.name) {
        let own = setup.clusters.get(leaf).map(|cluster| format!("(cluster {})", cluster.name));
        let name = setup.gateway_of(leaf).map(|gateway| gateway.name.clone()).or(own);
        let name = name.unwrap_or_default();
        if names.last() != Some(&name) {
            names.push(name);
        }
    }
    names
}

fn composite_members(setup: &Setup, found: &mut Found<'_>) {
    for composite in setup.plugins.iter().flat_map(Plugin::composites) {
        let Some(cluster) = setup.cluster(&composite.cluster) else { continue };
        let expected = format!("{} in this order", composite.members.join(", "));
        if cluster.members().is_empty() {
            found.add_as(&cluster.view.at("name"), format!("a composite of {expected}"), "none");
            continue;
        }
        let tried = tried(setup, cluster);
        if tried != composite.members && is_known(setup, cluster.members()) {
            let place = cluster.view.down(&["cluster_type", "typed_config"]).typed().1;
            found.add_as(&place.at("clusters"), expected, tried.join(", "));
        }
    }
}

/// Whether all members are there; those that are not may come from elsewhere.
fn is_known(setup: &Setup, members: &[View]) -> bool {
    let all = members.iter().all(|member| setup.cluster(member.word()).is_some());
    all || setup.is_complete("cds_config")
}

fn composite_unlisted(setup: &Setup, found: &mut Found<'_>) {
    if setup.plugins.is_empty() {
        return;
    }
    let listed = setup.plugins.iter().flat_map(Plugin::composites);
    let mut named: BTreeSet<String> = listed.map(|composite| composite.cluster).collect();
    named.extend(setup.gateways.iter().map(|gateway| gateway.cluster.clone()));
    for cluster in setup.clusters.iter().filter(|cluster| !cluster.members().is_empty()) {
        if setup.reaches_gateway(&cluster.name) && !named.contains(&cluster.name) {
            found.add(&cluster.view.at("name"), "a cluster that the filter's composites list");
        }
    }
}

fn composite_absent(setup: &Setup, found: &mut Found<'_>) {
    for plugin in setup.payments() {
        let order: Vec<String> = plugin.gateways().into_iter().map(|one| one.name).collect();
        let is_there = plugin.composites().iter().any(|composite| composite.members == order);
        if order.len() > 1 && !is_there {
            let place = plugin.config.at("composites");
            found.add_as(&place, format!("one with the members {}", order.join(", ")), "none");
        }
    }
}

fn gateway_metadata(setup: &Setup, found: &mut Found<'_>) {
    for (gateway, cluster) in setup.gateway_clusters() {
        for endpoint in &cluster.endpoints {
            if endpoint.gateway.word() != gateway.name {
                found.add(&endpoint.gateway, &gateway.name);
            }
        }
    }
}

fn share_address(setup: &Setup, found: &mut Found<'_>) {
    let clusters = setup.gateway_clusters();
    let endpoints = clusters.flat_map(|(gateway, cluster)| {
        cluster.endpoints.iter().map(move |endpoint| (gateway, endpoint))
    });
    let mut known = BTreeMap::new();
    for (gateway, endpoint) in endpoints {
        let Some(socket) = endpoint.socket() else { continue };
        let owner = known.entry(socket).or_insert(&gateway.name);
        if *owner != &gateway.name {
            let expected = format!("another address than that of {owner}");
            found.add_as(&endpoint.address, expected, "the same");
        }
    }
}

fn failover_overflow(setup: &Setup, found: &mut Found<'_>) {
    for plugin in setup.payments() {
        let Some(config) = plugin.config_or_default() else { continue };
        let expected = u64::from(config.breaker.in_flight_max);
        for composite in plugin.composites() {
            let cluster = setup.cluster(&composite.cluster);
            let Some(cluster) = cluster.filter(|cluster| !cluster.members().is_empty()) else {
                continue;
            };
            let retries = cluster.breaker("max_retries");
            let budget = cluster.breaker("retry_budget");
            let is_percent = budget.down(&["budget_percent", "value"]).number() >= Some(100);
            if retries.number().unwrap_or(3) < expected && !(budget.exists() && is_percent) {
                let expected = format!("at least breaker.in_flight_max ({expected})");
                let shown =
                    if retries.exists() { retries.shows() } else { "3, Envoy's default".into() };
                found.add_as(&retries, expected, shown);
            }
        }
    }
}
