//! What Envoy may send again by itself: a payment that was provably never sent, and nothing else.

use std::time::Duration;

use super::super::finding::Severity::{Error, Warning};
use super::super::finding::{Found, Rule};
use super::super::setup::{Cluster, Kind, Plugin, Proxy, Setup};
use super::super::view::View;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "retry-causes",
        severity: Error,
        title: "Envoy repeats requests that a gateway may already have",
        why: "The repeat goes past the filter's claim, so the payment can be made twice.",
        fix: "Set retry_on: \"connect-failure,refused-stream\" and nothing else.",
        check: retry_causes,
    },
    Rule {
        id: "retry-statuses",
        severity: Error,
        title: "Envoy repeats requests because of what was answered",
        why: "A gateway that answered has the payment; another one would make it again.",
        fix: "Remove retriable_status_codes, retriable_headers and retriable_request_headers.",
        check: retry_statuses,
    },
    Rule {
        id: "retry-count",
        severity: Warning,
        title: "The number of retries does not fit the composites",
        why: "With fewer, a payment that was never sent does not reach the last gateway; more are of no use.",
        fix: "Set num_retries to one less than the clusters that a composite of two gateways tries.",
        check: retry_count,
    },
    Rule {
        id: "retry-priority",
        severity: Warning,
        title: "A retry may go to the gateway that has just failed",
        why: "An aggregate cluster moves on only with previous_priorities; other priorities choose otherwise.",
        fix: "Use retry_priority envoy.retry_priorities.previous_priorities with update_frequency: 1.",
        check: retry_priority,
    },
    Rule {
        id: "no-failover",
        severity: Warning,
        title: "A payment that was never sent is not moved to the next gateway",
        why: "Without a retry on connect-failure the composites have no effect until a breaker opens.",
        fix: "Give the route retry_policy: {retry_on: \"connect-failure,refused-stream\", num_retries: 1}.",
        check: no_failover,
    },
    Rule {
        id: "per-try-timeout",
        severity: Error,
        title: "Envoy gives up on a single attempt",
        why: "An attempt that is cut off may have been a payment; the filter sets the timeout that counts.",
        fix: "Remove per_try_timeout and per_try_idle_timeout.",
        check: per_try_timeout,
    },
    Rule {
        id: "hedging",
        severity: Error,
        title: "Envoy sends a second copy while the first is under way",
        why: "Both gateways get the payment and both may make it.",
        fix: "Remove hedge_policy.",
        check: hedging,
    },
    Rule {
        id: "mirroring",
        severity: Error,
        title: "Envoy sends a copy of every request elsewhere",
        why: "Wherever a copy of a payment arrives it may be made again.",
        fix: "Remove request_mirror_policies.",
        check: mirroring,
    },
    Rule {
        id: "internal-redirect",
        severity: Error,
        title: "Envoy follows redirects of a gateway",
        why: "The payment is sent again to wherever an answer says.",
        fix: "Remove internal_redirect_policy.",
        check: internal_redirect,
    },
    Rule {
        id: "route-timeout",
        severity: Warning,
        title: "The route waits shorter than the filter, or for ever",
        why: "Wherever the filter sets no timeout of its own, as with mode: observe, a payment is cut off early \
              or hangs.",
        fix: "Set the route's timeout to timeouts.response_ms, 8 s at least.",
        check: route_timeout,
    },
];

/// Every retry policy that may touch a payment.
fn policies(setup: &Setup) -> Vec<View> {
    let mut policies = Vec::new();
    for (_, proxy) in setup.payment_proxies() {
        policies.extend(proxy.routes.hosts().iter().map(|host| host.at("retry_policy")));
        policies.extend(proxy.actions().iter().map(|action| action.at("retry_policy")));
        for level in proxy.routes.levels() {
            policies.push(level.at("retry_policy_typed_config").typed().1);
            policies.push(level.at("route").at("retry_policy_typed_config").typed().1);
        }
    }
    policies.extend(cluster_options(setup, "retry_policy"));
    policies.retain(View::exists);
    policies
}

/// An option of HTTP to any cluster that a payment may be sent to.
fn cluster_options(setup: &Setup, name: &str) -> Vec<View> {
    let is_payments = |cluster: &&Cluster| setup.reaches_gateway(&cluster.name);
    let clusters = setup.clusters.iter().filter(is_payments);
    clusters.map(|cluster| cluster.http.at(name)).collect()
}

const SAFE: [&str; 2] = ["connect-failure", "refused-stream"];

fn causes(policy: &View) -> Vec<String> {
    let causes = policy.at("retry_on").word().to_owned();
    let causes = causes.split(',').map(|cause| cause.trim().to_owned());
    causes.filter(|cause| !cause.is_empty()).collect()
}

fn retry_causes(setup: &Setup, found: &mut Found<'_>) {
    for policy in policies(setup) {
        if causes(&policy).iter().any(|cause| !SAFE.contains(&cause.as_str())) {
            found.add(&policy.at("retry_on"), format!("{} alone", SAFE.join(",")));
        }
    }
}

fn retry_statuses(setup: &Setup, found: &mut Found<'_>) {
    for policy in policies(setup) {
        for name in ["retriable_status_codes", "retriable_headers", "retriable_request_headers"] {
            let view = policy.at(name);
            if view.exists() {
                found.add(&view, "nothing");
            }
        }
    }
}

/// The policy that counts for requests with a chosen cluster.
fn effective(proxy: &Proxy) -> Vec<View> {
    let routes = proxy.routes.all().into_iter();
    let chosen = routes.filter(|(_, route)| route.at("route").at("cluster_header").exists());
    chosen
        .map(|(host, route)| {
            let own = route.at("route").at("retry_policy");
            let shared = host.at("retry_policy");
            if !own.exists() && shared.exists() { shared } else { own }
        })
        .collect()
}

/// Retries that payments need which two gateways may take: with more, the filter says how many.
fn retries_needed(setup: &Setup, plugin: &Plugin) -> u64 {
    let composites = plugin.composites();
    let pairs = composites.iter().filter(|composite| composite.members.len() == 2);
    let counts = pairs.map(|composite| setup.leaves(&composite.cluster).len().saturating_sub(1));
    counts.max().unwrap_or(0).max(1) as u64
}

fn retry_count(setup: &Setup, found: &mut Found<'_>) {
    for (plugin, proxy) in setup.payment_proxies() {
        let needed = retries_needed(setup, plugin);
        for policy in effective(proxy).into_iter().filter(View::exists) {
            let count = policy.at("num_retries");
            if count.number().unwrap_or(1) != needed && !causes(&policy).is_empty() {
                found.add(&count, needed.to_string());
            }
        }
    }
}

fn retry_priority(setup: &Setup, found: &mut Found<'_>) {
    let has_aggregate = |plugin: &Plugin| {
        let composites = plugin.composites();
        let clusters = composites.iter().filter_map(|one| setup.cluster(&one.cluster));
        clusters.into_iter().any(|cluster| matches!(cluster.kind, Kind::Aggregate(_)))
    };
    for (plugin, proxy) in setup.payment_proxies() {
        for policy in effective(proxy) {
            let priority = policy.at("retry_priority");
            let name = priority.at("name");
            let is_previous = name.word() == "envoy.retry_priorities.previous_priorities";
            if priority.exists() != is_previous || (has_aggregate(plugin) && !priority.exists()) {
                found.add(&name, "envoy.retry_priorities.previous_priorities");
            }
            // 2 by default: the only retry would go to the gateway that has just refused.
            let frequency = priority.at("typed_config").typed().1.at("update_frequency");
            if has_aggregate(plugin) && is_previous && frequency.number() != Some(1) {
                found.add(&frequency, "1");
            }
        }
    }
}

fn no_failover(setup: &Setup, found: &mut Found<'_>) {
    let shared = cluster_options(setup, "retry_policy");
    for (plugin, proxy) in setup.payment_proxies() {
        if plugin.composites().is_empty() || shared.iter().any(View::exists) {
            continue;
        }
        for policy in effective(proxy) {
            if !causes(&policy).iter().any(|cause| cause == "connect-failure") {
                let place = if policy.exists() { policy.at("retry_on") } else { policy };
                found.add(&place, SAFE.join(","));
            }
        }
    }
}

fn per_try_timeout(setup: &Setup, found: &mut Found<'_>) {
    for policy in policies(setup) {
        for name in ["per_try_timeout", "per_try_idle_timeout"] {
            let view = policy.at(name);
            if view.exists() {
                found.add(&view, "nothing");
            }
        }
    }
}

/// A setting of routes, at whichever level it stands.
fn refuse(setup: &Setup, found: &mut Found<'_>, name: &str) {
    for (_, proxy) in setup.payment_proxies() {
        for level in proxy.routes.levels() {
            for view in [level.at(name), level.at("route").at(name)] {
                if view.exists() {
                    found.add(&view, "nothing");
                }
            }
        }
    }
    for view in cluster_options(setup, name).iter().filter(|view| view.exists()) {
        found.add(view, "nothing");
    }
}

fn hedging(setup: &Setup, found: &mut Found<'_>) {
    refuse(setup, found, "hedge_policy");
}

fn mirroring(setup: &Setup, found: &mut Found<'_>) {
    refuse(setup, found, "request_mirror_policies");
}

fn internal_redirect(setup: &Setup, found: &mut Found<'_>) {
    refuse(setup, found, "internal_redirect_policy");
    refuse(setup, found, "internal_redirect_action");
}

fn route_timeout(setup: &Setup, found: &mut Found<'_>) {
    // Envoy's own default.
    const DEFAULT: Duration = Duration::from_secs(15);
    for (plugin, proxy) in setup.payment_proxies() {
        let Some(config) = plugin.config_or_default() else { continue };
        let least = Duration::from_millis(config.timeouts.response.get());
        for action in proxy.actions() {
            let view = action.at("timeout");
            if view.duration().unwrap_or(DEFAULT) < least {
                found.add(
                    &view,
                    format!("timeouts.response_ms ({} s) or more", least.as_secs_f64()),
                );
            }
        }
    }
}
