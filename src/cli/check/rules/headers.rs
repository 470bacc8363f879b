//! Headers by which Envoy and the filter tell each other something, and who takes them away.

use super::super::finding::Severity::{Error, Note};
use super::super::finding::{Found, Rule};
use super::super::setup::{Plugin, Proxy, Setup};
use super::super::view::View;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "service-time-removed",
        severity: Note,
        title: "Merchants and logs no longer see how long the gateway took",
        why: "The filter goes by response.code_details, which nobody can remove; whoever else reads \
              x-envoy-upstream-service-time takes a gateway's answer for one of Envoy's own.",
        fix: "Nothing, if nobody needs it; else leave the header where it is.",
        check: service_time_removed,
    },
    Rule {
        id: "header-prefix",
        severity: Error,
        title: "Envoy's own headers have another name",
        why: "What the filter tells the router by x-envoy-max-retries and x-envoy-upstream-rq-timeout-ms is then \
              not heard: a payment may be sent again or given up too early.",
        fix: "Remove header_prefix.",
        check: header_prefix,
    },
    Rule {
        id: "route-header-changed",
        severity: Error,
        title: "Another filter changes the header by which the cluster is chosen",
        why: "A payment that was claimed for one gateway is sent to whatever that filter names, or to none.",
        fix: "Leave the filter's route_header to the filter.",
        check: route_header_changed,
    },
];

const SERVICE_TIME: &str = "x-envoy-upstream-service-time";

fn service_time_removed(setup: &Setup, found: &mut Found<'_>) {
    let expected = "the header left there for the filter";
    for (plugin, proxy) in setup.payment_proxies() {
        for filter in proxy.filters.iter().filter(|filter| filter.kind == "Router") {
            let suppressed = filter.settings.at("suppress_envoy_headers");
            if suppressed.is_true() {
                found.add(&suppressed, "false or nothing");
            }
        }
        for level in proxy.routes.levels() {
            for place in places(&level) {
                let removed = place.at("response_headers_to_remove").items();
                for name in removed.iter().filter(|name| is(name, SERVICE_TIME)) {
                    found.add(name, expected);
                }
            }
        }
        for change in changes(setup, plugin, proxy, "response_mutations") {
            if change.takes(SERVICE_TIME) {
                found.add_as(&change.view, expected, "its removal");
            }
        }
    }
}

fn header_prefix(setup: &Setup, found: &mut Found<'_>) {
    let prefix = setup.bootstrap.at("header_prefix");
    let is_other = !prefix.word().is_empty() && prefix.word() != "x-envoy";
    if is_other && setup.payments().next().is_some() {
        found.add(&prefix, "nothing");
    }
}

fn route_header_changed(setup: &Setup, found: &mut Found<'_>) {
    for (plugin, proxy) in setup.payment_proxies() {
        let header = plugin.route_header();
        for change in changes(setup, plugin, proxy, "request_mutations") {
            if change.takes(&header) || change.sets(&header) {
                found.add_as(&change.view, format!("no change of {header}"), "one");
            }
        }
    }
}

fn is(name: &View, header: &str) -> bool {
    name.word().eq_ignore_ascii_case(header)
}

/// A level of the routes, and the clusters among which one of its routes chooses.
fn places(level: &View) -> Vec<View> {
    let mut places = vec![level.clone()];
    places.extend(level.down(&["route", "weighted_clusters", "clusters"]).items());
    places
}

/// A change of headers by a filter.
struct Change {
    view: View,
}

impl Change {
    /// Whether a header of this name may be gone behind it.
    fn takes(&self, header: &str) -> bool {
        let matcher = self.view.down(&["remove_on_match", "key_matcher"]);
        let fits = |name: &str, test: fn(&str, &str) -> bool| {
            let text = matcher.at(name).text().map(str::to_ascii_lowercase);
            text.is_some_and(|text| test(header, &text))
        };
        is(&self.view.at("remove"), header)
            || fits("exact", |header, text| header == text)
            || fits("prefix", |header, text| header.starts_with(text))
            || fits("suffix", |header, text| header.ends_with(text))
            || fits("contains", |header, text| header.contains(text))
            || is_meant(matcher.down(&["safe_regex", "regex"]).word(), header)
    }

    fn sets(&self, header: &str) -> bool {
        is(&self.view.down(&["append", "header", "key"]), header)
    }
}

/// An expression is not worked out: one that names the header's family, or anything, is taken to fit.
fn is_meant(expression: &str, header: &str) -> bool {
    let family = header.get(..6).unwrap_or(header);
    expression.starts_with(".*") || expression.to_ascii_lowercase().contains(family)
}

/// What `header_mutation` filters do to requests or answers between the payments' filter and the
/// gateways: behind it, for a route, and in clusters.
fn changes(setup: &Setup, plugin: &Plugin, proxy: &Proxy, name: &str) -> Vec<Change> {
    let mut settings = Vec::new();
    for filter in proxy.filters.iter().skip(plugin.at + 1) {
        if filter.kind == "HeaderMutation" {
            settings.push(filter.settings.clone());
        }
    }
    for level in proxy.routes.levels() {
        let own = level.at("typed_per_filter_config");
        let own = own.names().into_iter().map(|name| own.at(&name));
        for (kind, message) in own.map(|view| view.typed()) {
            match kind.as_str() {
                "HeaderMutationPerRoute" => settings.push(message),
                "FilterConfig" => settings.push(message.at("config")),
                _ => {}
            }
        }
    }
    for (_, cluster) in setup.gateway_clusters() {
        let filters = cluster.http.at("http_filters").items().into_iter();
        let filters = filters.map(|filter| filter.at("typed_config").typed());
        settings.extend(filters.filter(|(kind, _)| kind == "HeaderMutation").map(|(_, one)| one));
    }
    let mutations = settings.iter().flat_map(|one| one.down(&["mutations", name]).items());
    mutations.map(|view| Change { view }).collect()
}
