//! Clusters of gateways, each for itself.

use std::time::Duration;

use super::super::finding::Severity::Warning;
use super::super::finding::{Found, Rule};
use super::super::setup::{Kind, Setup};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "dns-strict",
        severity: Warning,
        title: "A gateway is lost when a single DNS lookup says so",
        why: "With STRICT_DNS one NXDOMAIN takes all endpoints away although the gateway works.",
        fix: "Use envoy.clusters.dns with all_addresses_in_single_endpoint: true, as envoy/dns.yaml has it.",
        check: dns_strict,
    },
    Rule {
        id: "gateway-cluster-kind",
        severity: Warning,
        title: "A gateway's cluster finds its endpoints in an unusual way",
        why: "Where a payment goes must not depend on the request or on what nobody can look up here.",
        fix: "Use STATIC addresses or envoy.clusters.dns for gateways.",
        check: cluster_kind,
    },
    Rule {
        id: "connect-timeouts",
        severity: Warning,
        title: "Connecting may take longer than a payment may",
        why: "A payment that times out while it is being moved to the next gateway is left in doubt, and was \
              never sent.",
        fix: "Keep the connect_timeout of all gateways together below timeouts.response_ms; 1 s each is usual.",
        check: connect_timeouts,
    },
    Rule {
        id: "upstream-idle",
        severity: Warning,
        title: "Idle connections to a gateway are kept for long",
        why: "A connection that the gateway closes at the moment a payment is sent leaves it in doubt; Envoy's \
              default is an hour.",
        fix: "Set common_http_protocol_options.idle_timeout below the gateway's, 20 s for instance.",
        check: upstream_idle,
    },
    Rule {
        id: "outlier-detection",
        severity: Warning,
        title: "Envoy ejects gateways by rules of its own",
        why: "It knows no SNAP codes and no claims: an inquiry about a payment in doubt finds no endpoint, and \
              a panic sends to ejected ones.",
        fix: "Remove outlier_detection; the filter's breakers do this.",
        check: outlier_detection,
    },
    Rule {
        id: "health-checks",
        severity: Warning,
        title: "Envoy's own health checks decide over a gateway",
        why: "An inquiry about a payment in doubt finds no endpoint while they fail; below \
              healthy_panic_threshold payments go to failing ones all the same.",
        fix: "Remove health_checks; the filter's heartbeats do this.",
        check: health_checks,
    },
    Rule {
        id: "gateway-limits",
        severity: Warning,
        title: "A gateway's circuit breaker is smaller than the filter's own limit",
        why: "Payments above it are refused with 503, and are not moved to another gateway.",
        fix: "Set max_connections, max_pending_requests and max_requests to breaker.in_flight_max at least.",
        check: gateway_limits,
    },
];

fn dns_strict(setup: &Setup, found: &mut Found<'_>) {
    for (_, cluster) in setup.gateway_clusters() {
        if matches!(cluster.kind, Kind::StrictDns) {
            let newer = cluster.view.at("cluster_type");
            let place = if newer.exists() {
                cluster.dns().at("all_addresses_in_single_endpoint")
            } else {
                cluster.view.at("type")
            };
            found.add(&place, "all addresses of the name in one endpoint");
        }
    }
}

fn cluster_kind(setup: &Setup, found: &mut Found<'_>) {
    for (_, cluster) in setup.gateway_clusters() {
        if matches!(cluster.kind, Kind::Other) {
            let newer = cluster.view.down(&["cluster_type", "name"]);
            let place = if newer.exists() { newer } else { cluster.view.at("type") };
            found.add(&place, "STATIC, LOGICAL_DNS or envoy.clusters.dns");
        }
    }
}

/// Envoy's default.
const CONNECT: Duration = Duration::from_secs(5);

fn connect_timeouts(setup: &Setup, found: &mut Found<'_>) {
    let Some(plugin) = setup.payments().next() else { return };
    let Some(config) = plugin.config_or_default() else { return };
    let most = Duration::from_millis(config.timeouts.response.get());
    let mut together = Duration::ZERO;
    for (_, cluster) in setup.gateway_clusters() {
        let view = cluster.view.at("connect_timeout");
        let was_within = together < most;
        together += view.duration().unwrap_or(CONNECT).min(Duration::from_secs(86_400));
        if together >= most && was_within {
            let expected = format!("less than {} s for all gateways together", most.as_secs_f64());
            found.add_as(&view, expected, format!("{} s up to this one", together.as_secs_f64()));
        }
    }
}

fn upstream_idle(setup: &Setup, found: &mut Found<'_>) {
    // What gateways and the balancers before them usually keep.
    const MOST: Duration = Duration::from_secs(60);
    for (_, cluster) in setup.gateway_clusters() {
        let view = cluster.idle_timeout();
        let length = view.duration().unwrap_or(Duration::from_secs(3600));
        if length.is_zero() || length > MOST {
            let shown = if view.exists() { view.shows() } else { "1 h, Envoy's default".into() };
            found.add_as(&view, format!("at most {} s", MOST.as_secs()), shown);
        }
    }
}

fn outlier_detection(setup: &Setup, found: &mut Found<'_>) {
    expect_none(setup, found, "outlier_detection");
}

fn health_checks(setup: &Setup, found: &mut Found<'_>) {
    expect_none(setup, found, "health_checks");
}

fn expect_none(setup: &Setup, found: &mut Found<'_>, name: &str) {
    for (_, cluster) in setup.gateway_clusters() {
        let view = cluster.view.at(name);
        if view.exists() && (!view.is_list() || !view.items().is_empty()) {
            found.add(&view, "nothing");
        }
    }
}

fn gateway_limits(setup: &Setup, found: &mut Found<'_>) {
    let Some(plugin) = setup.payments().next() else { return };
    let Some(config) = plugin.config_or_default() else { return };
    // Envoy's own default is 1024 for each.
    let least = u64::from(config.breaker.in_flight_max);
    for (_, cluster) in setup.gateway_clusters() {
        for name in ["max_connections", "max_pending_requests", "max_requests"] {
            let view = cluster.breaker(name);
            if view.number().unwrap_or(1024) < least {
                let shown =
                    if view.exists() { view.shows() } else { "1024, Envoy's default".into() };
                found.add_as(&view, format!("at least breaker.in_flight_max ({least})"), shown);
            }
        }
    }
}
