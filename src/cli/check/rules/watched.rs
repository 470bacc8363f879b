//! What the filter's own list says of each gateway, against that gateway's cluster and the other
//! gateways: what it may be called for, and how the connection to it is watched. That a later one
//! has no more rights and is watched no less, the filter itself demands (`filter-config`).

use std::collections::BTreeSet;

use super::super::finding::Severity::{Error, Note};
use super::super::finding::{Found, Rule};
use super::super::setup::{Cluster, Setup, Tls};
use super::super::view::View;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "channel-unwatched",
        severity: Note,
        title: "The connection to a gateway is not watched",
        why: "If its cluster is weakened later, payments go on over the weaker channel and nobody is told.",
        fix: "Give the gateway tls: {min_version, sans} as its cluster has them.",
        check: channel_unwatched,
    },
    Rule {
        id: "channel-mismatch",
        severity: Error,
        title: "The filter demands of a connection what its cluster does not",
        why: "The first answer over a connection that the cluster accepts bars the gateway until an \
              operator admits it.",
        fix: "Let the gateway's tls name the oldest TLS and all names that its cluster accepts.",
        check: channel_mismatch,
    },
    Rule {
        id: "operations-fewer",
        severity: Note,
        title: "A later gateway may be called for less than the first one",
        why: "What only the first gateway may be called for has no reserve.",
        fix: "Give it the operations of the first one, where its contract allows them.",
        check: operations_fewer,
    },
];

fn tls_of(cluster: &Cluster) -> Option<&Tls> {
    cluster.sockets.first().and_then(|socket| socket.tls.as_ref())
}

fn channel_unwatched(setup: &Setup, found: &mut Found<'_>) {
    for (gateway, cluster) in setup.gateway_clusters() {
        let watch = gateway.view.at("tls");
        let is_of_plugin = gateway.view.at("cluster").exists();
        if is_of_plugin && tls_of(cluster).is_some() && !watch.exists() {
            found.add(&watch, "what its cluster demands");
        }
    }
}

/// Gateways as one list has them, first and later ones.
fn lists(setup: &Setup) -> impl Iterator<Item = (View, View)> {
    setup.payments().flat_map(|plugin| {
        let mut gateways = plugin.config.at("gateways").items().into_iter();
        let first = gateways.next();
        gateways.filter_map(move |later| Some((first.clone()?, later)))
    })
}

/// Without a setting it is TLS 1.2.
fn rank(min_version: &View) -> usize {
    match min_version.word() {
        "TLSv1.3" => 4,
        _ => 3,
    }
}

fn channel_mismatch(setup: &Setup, found: &mut Found<'_>) {
    for (gateway, cluster) in setup.gateway_clusters() {
        let watch = gateway.view.at("tls");
        if !watch.exists() {
            continue;
        }
        let Some(tls) = tls_of(cluster) else {
            found.add_as(&watch, "nothing, as its cluster has no TLS", watch.shows());
            continue;
        };
        let min_version = watch.at("min_version");
        if rank(&min_version) > tls.oldest().1 {
            found.add(&min_version, "what the cluster accepts too, TLSv1.2");
        }
        let demanded = watch.at("sans");
        let known: BTreeSet<String> =
            demanded.items().iter().map(|name| name.word().to_ascii_lowercase()).collect();
        let exact = tls.names().into_iter().map(|matcher| matcher.at("exact"));
        let is_known = |name: &View| known.contains(&name.word().to_ascii_lowercase());
        for name in exact.filter(|name| name.exists() && !is_known(name)) {
            found.add(&demanded, format!("{} too, which its cluster accepts", name.shows()));
        }
    }
}

fn operations_fewer(setup: &Setup, found: &mut Found<'_>) {
    for (first, later) in lists(setup) {
        let [first, later] = [first, later].map(|gateway| gateway.at("operations"));
        if later.exists() && !later.is_same_as(&first) {
            found.add(&later, format!("those of the first gateway, {}", first.shows()));
        }
    }
}
