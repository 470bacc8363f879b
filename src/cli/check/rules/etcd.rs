//! The cluster of an etcd that several Envoys share: that a member which does not answer costs no payment,
//! and that nobody but the filter writes there.

use std::time::Duration;

use crate::engine::limits::SHARED_STORE_MS_MAX;

use super::super::finding::Severity::{Error, Note, Warning};
use super::super::finding::{Found, Rule};
use super::super::setup::{Cluster, Kind, Setup};
use super::super::view::View;
use super::routes::{named_clusters, piped_clusters};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "etcd-cluster-shared",
        severity: Error,
        title: "The cluster of etcd reaches a gateway",
        why: "What is asked of the store would be sent to a gateway, and no payment could be claimed.",
        fix: "Give etcd a cluster of its own, with the addresses of its members and no others.",
        check: cluster_shared,
    },
    Rule {
        id: "etcd-exposed",
        severity: Error,
        title: "The store can be reached through this Envoy",
        why: "Whoever comes this way writes with the filter's own certificate: claims can be read, changed and \
              removed.",
        fix: "Remove the route: only the filter may reach the cluster of etcd.",
        check: exposed,
    },
    Rule {
        id: "etcd-retries",
        severity: Error,
        title: "Envoy repeats by itself what is written to etcd",
        why: "Retries that know nothing of what they repeat are the known way to break what etcd promises; the \
              filter's own compare what is there and know their writer.",
        fix: "Remove retry_policy, hedge_policy and request_mirror_policies from the cluster.",
        check: retries,
    },
    Rule {
        id: "etcd-http2",
        severity: Error,
        title: "Etcd is not spoken to in HTTP/2",
        why: "gRPC needs it: every claim fails, and no payment is made.",
        fix: "Set explicit_http_config: {http2_protocol_options: {}}, as envoy/etcd.yaml has it.",
        check: http2,
    },
    Rule {
        id: "etcd-panic-threshold",
        severity: Warning,
        title: "Members of etcd that do not work are asked all the same",
        why: "When fewer than half of them are healthy, which is Envoy's default, it sends to all of them, and \
              claims wait for members that do not answer.",
        fix: "Set common_lb_config: {healthy_panic_threshold: {value: 0}}.",
        check: panic_threshold,
    },
    Rule {
        id: "etcd-connect-timeout",
        severity: Warning,
        title: "Connecting to etcd may take longer than a claim may",
        why: "A payment waits for it, and is refused when the time for its claim is over.",
        fix: "Set connect_timeout to 1 s at most; 0.25 s is usual.",
        check: connect_timeout,
    },
    Rule {
        id: "etcd-health-check",
        severity: Warning,
        title: "Members of etcd are not asked for their own health",
        why: "Without a check one frozen member costs a tenth of the payments. With one that wants a leader each \
              election empties the cluster, and with one that wants space nothing can be read when there is none.",
        fix: "Check by http_health_check with path /health?serializable=true&exclude=NOSPACE, as envoy/etcd.yaml has \
              it.",
        check: health_check,
    },
    Rule {
        id: "etcd-health-check-slow",
        severity: Warning,
        title: "A member of etcd that is frozen is left too late",
        why: "A claim has 2.4 s: until the member counts as unhealthy, some of its attempts are lost on it.",
        fix: "Set interval, timeout and unhealthy_threshold as envoy/etcd.yaml has them: 0.2 s, 0.1 s, 1.",
        check: health_check_slow,
    },
    Rule {
        id: "etcd-one-member",
        severity: Warning,
        title: "Envoy knows one member of etcd",
        why: "When it is restarted or lost, no payment can be claimed, whatever the other members do.",
        fix: "Give each of three or five members an endpoint of its own.",
        check: one_member,
    },
    Rule {
        id: "etcd-even-members",
        severity: Note,
        title: "Etcd has an even number of members",
        why: "One more than an odd number allows no further member to fail, and is one more that can.",
        fix: "Run three members, or five.",
        check: even_members,
    },
    Rule {
        id: "etcd-keepalive",
        severity: Note,
        title: "A connection to etcd that is dead is not noticed",
        why: "A machine that is gone without a word leaves its connection open, and claims wait on it.",
        fix: "Set http2_protocol_options: {connection_keepalive: {interval: 5s, timeout: 1s}}.",
        check: keepalive,
    },
    Rule {
        id: "etcd-answers",
        severity: Note,
        title: "Answers to payments are kept in etcd",
        why: "An answer may hold a link by which a customer pays; it then stands on the disks and in the backups of \
              etcd. It also takes three to five times the space.",
        fix: "Set answers: local, unless repeats at another Envoy must be told the whole answer.",
        check: answers,
    },
    Rule {
        id: "etcd-drains-local",
        severity: Note,
        title: "Payments from before etcd are known to one Envoy process alone",
        why: "A repeat of one is recognised by the Envoy process that made it, and by no other. It reads its memory \
              for as long as it lives, also without local.",
        fix: "Keep each partner at its Envoy, and end the process only when GET /status shows no claims under \
              store.local.",
        check: drains_local,
    },
];

fn cluster_shared(setup: &Setup, found: &mut Found<'_>) {
    for name in setup.plugins.iter().map(|plugin| plugin.etcd().at("cluster")) {
        if setup.reaches_gateway(name.word()) {
            found.add(&name, "a cluster that reaches no gateway");
        }
    }
    let gateways = setup.gateway_clusters().flat_map(|(_, cluster)| &cluster.endpoints);
    let gateways: Vec<_> = gateways.filter_map(|endpoint| endpoint.socket()).collect();
    for endpoint in setup.etcd_clusters().flat_map(|cluster| &cluster.endpoints) {
        if endpoint.socket().is_some_and(|socket| gateways.contains(&socket)) {
            found.add_as(&endpoint.address, "another address than a gateway's", "the same");
        }
    }
}

/// By any route of any listener, also by way of a composite.
fn exposed(setup: &Setup, found: &mut Found<'_>) {
    let stores: Vec<&str> = setup.etcd_clusters().map(|cluster| cluster.name.as_str()).collect();
    if stores.is_empty() {
        return;
    }
    let leads_there = |name: &View| {
        let leaves = setup.leaves(name.word()).into_iter();
        let mut clusters = leaves.filter_map(|leaf| setup.clusters.get(leaf));
        clusters.any(|cluster| stores.contains(&cluster.name.as_str()))
    };
    let names = setup.proxies.iter().flat_map(named_clusters).chain(piped_clusters(setup));
    for name in names.filter(View::exists).filter(leads_there) {
        found.add(&name, "a cluster that does not lead to etcd");
    }
}

fn retries(setup: &Setup, found: &mut Found<'_>) {
    for cluster in setup.etcd_clusters() {
        for name in ["retry_policy", "hedge_policy", "request_mirror_policies"] {
            let view = cluster.http.at(name);
            if view.exists() {
                found.add(&view, "nothing");
            }
        }
    }
}

/// Envoy's options for HTTP/2, in either place.
fn http2_options(cluster: &Cluster) -> View {
    let older = cluster.view.at("http2_protocol_options");
    if older.exists() && !cluster.http.exists() {
        return older;
    }
    cluster.http.down(&["explicit_http_config", "http2_protocol_options"])
}

fn http2(setup: &Setup, found: &mut Found<'_>) {
    for cluster in setup.etcd_clusters() {
        let options = http2_options(cluster);
        if !options.exists() {
            found.add(&options, "HTTP/2 and nothing else");
        }
    }
}

fn panic_threshold(setup: &Setup, found: &mut Found<'_>) {
    for cluster in setup.etcd_clusters() {
        let threshold = cluster.view.down(&["common_lb_config", "healthy_panic_threshold"]);
        let value = threshold.at("value");
        // An Envoy that is asked leaves out what is zero.
        let is_zero = !value.exists() || value.json().as_f64() == Some(0.0);
        if !threshold.exists() || !is_zero {
            let shown = if value.exists() { value.shows() } else { "50, Envoy's default".into() };
            found.add_as(&value, "0", shown);
        }
    }
}

fn connect_timeout(setup: &Setup, found: &mut Found<'_>) {
    const MOST: Duration = Duration::from_secs(1);
    for cluster in setup.etcd_clusters() {
        let view = cluster.view.at("connect_timeout");
        let shown = if view.exists() { view.shows() } else { "5 s, Envoy's default".into() };
        if view.duration().is_none_or(|length| length > MOST) {
            found.add_as(&view, "1 s at most", shown);
        }
    }
}

/// Where active checks cannot be had, as in a mesh, ejecting members that fail does nearly as well.
fn health_check(setup: &Setup, found: &mut Found<'_>) {
    const EXPECTED: &str = "/health?serializable=true&exclude=NOSPACE";
    for cluster in setup.etcd_clusters() {
        let checks = cluster.view.at("health_checks");
        if checks.items().is_empty() && !cluster.view.at("outlier_detection").exists() {
            found.add_as(&checks, format!("a check of {EXPECTED}"), "none");
        }
        for path in checks.items().iter().map(|check| check.down(&["http_health_check", "path"])) {
            let (name, query) = path.word().split_once('?').unwrap_or_else(|| (path.word(), ""));
            let asks = |wanted: &str| query.split('&').any(|part| part == wanted);
            if name != "/health" || !asks("serializable=true") || !asks("exclude=NOSPACE") {
                found.add(&path, EXPECTED);
            }
        }
    }
}

fn health_check_slow(setup: &Setup, found: &mut Found<'_>) {
    let most = Duration::from_millis(SHARED_STORE_MS_MAX);
    for cluster in setup.etcd_clusters() {
        for check in cluster.view.at("health_checks").items() {
            let length = |name: &str| check.at(name).duration().unwrap_or_default();
            let times = check.at("unhealthy_threshold").number().unwrap_or(1);
            let times = u32::try_from(times).unwrap_or(u32::MAX).max(1);
            let notices =
                (length("interval").saturating_add(length("timeout"))).saturating_mul(times);
            if notices >= most {
                let expected = format!("less than {} s until it is noticed", most.as_secs_f64());
                found.add_as(
                    &check.at("interval"),
                    expected,
                    format!("{} s", notices.as_secs_f64()),
                );
            }
        }
    }
}

/// Where each cluster says which members there are, and how many those are; nothing where that is not told
/// here.
fn members(setup: &Setup) -> impl Iterator<Item = (View, usize)> {
    setup.etcd_clusters().filter_map(|cluster| {
        let many = match cluster.kind {
            Kind::Static => cluster.endpoints.len(),
            // All addresses of a name are one endpoint.
            Kind::LogicalDns => 1,
            Kind::StrictDns | Kind::Eds | Kind::Composite(_) | Kind::Aggregate(_) | Kind::Other => {
                return None;
            }
        };
        Some((cluster.view.down(&["load_assignment", "endpoints"]), many))
    })
}

fn one_member(setup: &Setup, found: &mut Found<'_>) {
    for (place, _) in members(setup).filter(|(_, many)| *many < 2) {
        found.add_as(&place, "an endpoint for each of three members", "one");
    }
}

fn even_members(setup: &Setup, found: &mut Found<'_>) {
    for (place, many) in members(setup).filter(|(_, many)| *many > 1 && many % 2 == 0) {
        found.add_as(&place, "an odd number of members", many.to_string());
    }
}

fn keepalive(setup: &Setup, found: &mut Found<'_>) {
    for options in setup.etcd_clusters().map(http2_options).filter(View::exists) {
        let view = options.at("connection_keepalive");
        if !view.exists() {
            found.add(&view, "a ping, and how long its answer may take");
        }
    }
}

fn answers(setup: &Setup, found: &mut Found<'_>) {
    for view in setup.payments().map(|plugin| plugin.etcd().at("answers")) {
        if view.word() == "store" {
            found.add(&view, "local, or etcd's disks and backups for nobody else to read");
        }
    }
}

fn drains_local(setup: &Setup, found: &mut Found<'_>) {
    for plugin in setup.payments().filter(|plugin| plugin.etcd().exists()) {
        let view = plugin.config.down(&["idempotency", "store", "local"]);
        if view.exists() {
            found.add_as(&view, "nothing, once its payments are no longer repeated", "a store");
        }
    }
}
