//! Routes: that the filter's choice is what happens, and nothing else is.

use super::super::finding::Severity::{Error, Note, Warning};
use super::super::finding::{Found, Rule};
use super::super::setup::{Kind, Plugin, Proxy, Setup};
use super::super::view::View;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "route-missing",
        severity: Error,
        title: "No route follows the filter's choice",
        why: "The filter names a cluster in a header; without a route by that header it has no effect.",
        fix: "Add a route with cluster_header set to the filter's route_header.",
        check: route_missing,
    },
    Rule {
        id: "route-header",
        severity: Error,
        title: "A route chooses its cluster by another header",
        why: "Whoever sends that header chooses the gateway, past all claims.",
        fix: "Use the filter's route_header as cluster_header.",
        check: route_header,
    },
    Rule {
        id: "route-fixed-cluster",
        severity: Error,
        title: "A route chooses the cluster by itself",
        why: "A payment that was claimed for one gateway is sent wherever the route says.",
        fix: "Replace it by cluster_header, or give it a listener of its own.",
        check: route_fixed,
    },
    Rule {
        id: "undecided-route",
        severity: Error,
        title: "A request without a decision is not answered with 503",
        why: "What passes the filter undecided must go nowhere, and must not read as paid or as failed.",
        fix: "End each virtual host with match: {prefix: /} and direct_response: {status: 503}.",
        check: undecided_route,
    },
    Rule {
        id: "gateway-bypassed",
        severity: Error,
        title: "Gateways can be reached without the filter",
        why: "A payment that comes this way is sent without a claim.",
        fix: "Remove the route, or put the filter in front of it with the same vm_id.",
        check: gateway_bypassed,
    },
    Rule {
        id: "retry-headers",
        severity: Error,
        title: "A route adds headers that steer Envoy's router",
        why: "They may have a payment sent again that the gateway already has.",
        fix: "Remove the x-envoy headers from request_headers_to_add.",
        check: retry_headers,
    },
    Rule {
        id: "headers-rewritten",
        severity: Warning,
        title: "A route changes headers that name the payment",
        why: "The gateway would get another Idempotency-Key, reference or partner than the claim is about.",
        fix: "Leave these headers to the filter and the merchant.",
        check: headers_rewritten,
    },
    Rule {
        id: "host-from-client",
        severity: Warning,
        title: "Merchants choose which Host a gateway sees",
        why: "Behind a proxy that serves many hosts another party than the gateway may answer, over the \
              right connection.",
        fix: "Set auto_host_rewrite: true, and give endpoints that are found by address a hostname.",
        check: host_from_client,
    },
    Rule {
        id: "route-rewrites",
        severity: Note,
        title: "A route rewrites requests",
        why: "A question that the filter asks a further gateway by itself goes past the route, as the \
              merchant sent it.",
        fix: "Rewrite where the cluster does it, or see that gateways take both forms.",
        check: route_rewrites,
    },
];

fn route_missing(setup: &Setup, found: &mut Found<'_>) {
    for (plugin, proxy) in setup.payment_proxies() {
        let header = plugin.route_header();
        let follows = |action: &View| action.at("cluster_header").exists();
        if proxy.routes.view.exists() && !proxy.actions().iter().any(follows) {
            let expected = format!("a route with cluster_header: {header}");
            found.add_as(&proxy.routes.view.at("virtual_hosts"), expected, "none");
        }
    }
}

fn route_header(setup: &Setup, found: &mut Found<'_>) {
    for (plugin, proxy) in setup.payment_proxies() {
        for header in proxy.actions().iter().map(|action| action.at("cluster_header")) {
            if header.exists() && header.word() != plugin.route_header() {
                found
                    .add(&header, format!("the filter's route_header {:?}", plugin.route_header()));
            }
        }
    }
}

const FIXED: [&str; 4] =
    ["cluster", "weighted_clusters", "cluster_specifier_plugin", "inline_cluster_specifier_plugin"];

fn route_fixed(setup: &Setup, found: &mut Found<'_>) {
    for (plugin, proxy) in setup.payment_proxies() {
        for action in proxy.actions() {
            for choice in FIXED.map(|name| action.at(name)).iter().filter(|view| view.exists()) {
                found.add(choice, format!("cluster_header: {}", plugin.route_header()));
            }
        }
    }
}

/// Each virtual host ends with a route for everything that was not decided.
fn undecided_route(setup: &Setup, found: &mut Found<'_>) {
    for (_, proxy) in setup.payment_proxies() {
        for host in proxy.routes.hosts() {
            let routes = host.at("routes");
            let place = if routes.exists() { &routes } else { &host };
            match routes.items().iter().find(|route| takes_all(route)) {
                None => {
                    found.add_as(place, "a last route that answers 503 to everything", "none");
                }
                Some(route) => {
                    let status = route.down(&["direct_response", "status"]);
                    if status.number() != Some(503) {
                        found.add(&status, "503");
                    }
                }
            }
        }
    }
}

/// Whether a route takes every request that no earlier one took, without a look at its headers.
fn takes_all(route: &View) -> bool {
    let pattern = route.at("match");
    let is_open = pattern.at("prefix").word() == "/"
        || pattern.down(&["safe_regex", "regex"]).word() == ".*"
        || (pattern.at("prefix").exists() && pattern.at("prefix").word().is_empty());
    let limits = [
        "headers",
        "query_parameters",
        "runtime_fraction",
        "grpc",
        "tls_context",
        "dynamic_metadata",
    ];
    is_open && limits.iter().all(|name| !pattern.at(name).exists())
}

fn gateway_bypassed(setup: &Setup, found: &mut Found<'_>) {
    let is_guarded = |at: usize| setup.payments().any(|plugin| plugin.proxy == at);
    let proxies = setup.proxies.iter().enumerate().filter(|(at, _)| !is_guarded(*at));
    let names = proxies.flat_map(|(_, proxy)| named_clusters(proxy));
    for name in names.chain(piped_clusters(setup)) {
        if setup.reaches_gateway(name.word()) {
            found.add(&name, "a cluster that reaches no gateway");
        }
    }
    if setup.payments().next().is_some() {
        for (at, proxy) in setup.proxies.iter().enumerate() {
            let headers = proxy.actions().into_iter().map(|action| action.at("cluster_header"));
            let open: Vec<View> =
                headers.filter(|header| header.exists() && !is_guarded(at)).collect();
            for header in open {
                found.add_as(
                    &header,
                    "no free choice among clusters",
                    "one by the client's header",
                );
            }
        }
    }
}

/// The clusters that a proxy's routes name.
pub(super) fn named_clusters(proxy: &Proxy) -> Vec<View> {
    proxy.actions().iter().flat_map(named).collect()
}

/// The same of TCP proxies.
pub(super) fn piped_clusters(setup: &Setup) -> Vec<View> {
    setup.pipes.iter().flat_map(named).collect()
}

fn named(action: &View) -> Vec<View> {
    let weighted = action.down(&["weighted_clusters", "clusters"]).items();
    let mut names = vec![action.at("cluster")];
    names.extend(weighted.iter().map(|one| one.at("name")));
    names
}

/// Names of headers that a level adds, and those that it removes.
fn changed_headers(level: &View) -> (Vec<View>, Vec<View>) {
    let mut places = vec![level.clone()];
    places.extend(level.down(&["route", "weighted_clusters", "clusters"]).items());
    let added = |place: &View| {
        let added = place.at("request_headers_to_add").items();
        added.iter().map(|one| one.down(&["header", "key"])).collect::<Vec<_>>()
    };
    let removed = |place: &View| place.at("request_headers_to_remove").items();
    (places.iter().flat_map(added).collect(), places.iter().flat_map(removed).collect())
}

fn retry_headers(setup: &Setup, found: &mut Found<'_>) {
    for (_, proxy) in setup.payment_proxies() {
        for name in proxy.routes.levels().iter().flat_map(|level| changed_headers(level).0) {
            if name.word().to_ascii_lowercase().starts_with("x-envoy-") {
                found.add(&name, "no header of Envoy's own");
            }
        }
    }
}

fn headers_rewritten(setup: &Setup, found: &mut Found<'_>) {
    for (plugin, proxy) in setup.payment_proxies() {
        let names = own_headers(plugin);
        for level in proxy.routes.levels() {
            let (added, removed) = changed_headers(&level);
            for name in added.iter().chain(&removed) {
                if names.contains(&name.word().to_ascii_lowercase()) {
                    found.add(name, "another header");
                }
            }
        }
    }
}

/// Headers that say which payment it is.
fn own_headers(plugin: &Plugin) -> Vec<String> {
    let names = ["idempotency-key", "x-external-id", "x-signature", "x-timestamp"];
    let mut names = names.map(str::to_owned).to_vec();
    names.extend(plugin.config_or_default().map(|config| config.partner_header));
    names.push(plugin.route_header());
    names
}

/// By its own choice or by that of whoever it sends: routes that follow the filter leave it to the
/// endpoint.
fn host_from_client(setup: &Setup, found: &mut Found<'_>) {
    for (plugin, proxy) in setup.payment_proxies() {
        for action in proxy.actions() {
            let follows = action.at("cluster_header").word() == plugin.route_header();
            let view = action.at("auto_host_rewrite");
            if follows && !view.is_true() && !action.at("host_rewrite_literal").exists() {
                found.add(&view, "true");
            }
        }
    }
    for (_, cluster) in setup.gateway_clusters().filter(|(_, one)| matches!(one.kind, Kind::Static))
    {
        for endpoint in cluster.endpoints.iter().filter(|one| !one.hostname.exists()) {
            found.add(&endpoint.hostname, "the gateway's name");
        }
    }
}

fn route_rewrites(setup: &Setup, found: &mut Found<'_>) {
    // A gateway's own name (`auto_host_rewrite`) is what should stand there.
    let rewrites = [
        "prefix_rewrite",
        "regex_rewrite",
        "path_rewrite",
        "path_rewrite_policy",
        "host_rewrite_literal",
        "host_rewrite_header",
        "host_rewrite_path_regex",
        "host_rewrite",
    ];
    for (_, proxy) in setup.payment_proxies() {
        for action in proxy.actions() {
            for rewrite in rewrites.map(|name| action.at(name)).iter().filter(|one| one.exists()) {
                found.add(rewrite, "requests sent on as they came");
            }
        }
    }
}
