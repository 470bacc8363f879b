//! The HTTP proxy that the filter stands in: what it lets in, how long it waits, what it says.

use std::time::Duration;

use crate::engine::Config;
use crate::engine::limits::{EVIDENCE_BYTES_MAX, SHARED_STORE_MS_MAX};

use super::super::finding::Severity::{Error, Warning};
use super::super::finding::{Found, Rule};
use super::super::setup::{Plugin, Proxy, Setup};
use super::super::view::View;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "client-headers",
        severity: Error,
        title: "Clients may send headers that steer Envoy or the filter",
        why: "With them a client could choose the cluster or have a payment repeated; only the filter's own \
              look at them is left.",
        fix: "Remove x-envoy- and x-dana- headers by early_header_mutation_extensions, as envoy/envoy.yaml has it.",
        check: client_headers,
    },
    Rule {
        id: "internal-clients",
        severity: Warning,
        title: "Clients of some addresses count as internal",
        why: "Envoy believes their x-envoy headers, with which they could have payments repeated.",
        fix: "Remove internal_address_config from the payments' listener.",
        check: internal_clients,
    },
    Rule {
        id: "escaped-slashes",
        severity: Warning,
        title: "Paths with escaped slashes are let in",
        why: "Envoy and a gateway may read such a path as different operations.",
        fix: "Set path_with_escaped_slashes_action: REJECT_REQUEST.",
        check: escaped_slashes,
    },
    Rule {
        id: "header-underscores",
        severity: Warning,
        title: "Headers with underscores are let in",
        why: "A gateway may read x_partner_id as the partner that the filter saw under X-PARTNER-ID.",
        fix: "Set common_http_protocol_options.headers_with_underscores_action: REJECT_REQUEST.",
        check: header_underscores,
    },
    Rule {
        id: "continue-deadlock",
        severity: Error,
        title: "Expect: 100-continue is passed on",
        why: "The filter waits for the body and the client for the gateway's word: the payment hangs.",
        fix: "Remove proxy_100_continue; Envoy then answers it by itself.",
        check: continue_deadlock,
    },
    Rule {
        id: "timeout-short",
        severity: Error,
        title: "Envoy gives up before the filter does",
        why: "An answer that takes long but comes is thrown away, and the payment is left in doubt.",
        fix: "Make it longer than timeouts.response_ms and timeouts.inquiry_ms (and 4.8 s more with etcd, which is \
              asked before and after), or remove it.",
        check: timeout_short,
    },
    Rule {
        id: "idle-timeout-long",
        severity: Warning,
        title: "A request that nobody answers is kept for long",
        why: "If the filter dies while it asks a gateway by itself, the merchant waits until this ends.",
        fix: "Set stream_idle_timeout to no more than idempotency.lease_ms and timeouts.response_ms together.",
        check: idle_timeout_long,
    },
    Rule {
        id: "buffer-small",
        severity: Error,
        title: "A buffer is smaller than what it must hold",
        why: "Envoy refuses requests that the filter allows, or cuts off an answer that proves a payment.",
        fix: "Make it at least limits.request_body_bytes_max and 64 KiB, or leave it at Envoy's 1 MiB.",
        check: buffer_small,
    },
    Rule {
        id: "local-replies",
        severity: Error,
        title: "Envoy's own errors read as failed payments",
        why: "When the filter has died or an answer breaks off, the payment may have been made; a plain 503 \
              says it was not.",
        fix: "Map all codes from 500 on to 504 \"unknown\" by local_reply_config, as envoy/envoy.yaml has it.",
        check: local_replies,
    },
    Rule {
        id: "request-id-off",
        severity: Warning,
        title: "Requests get no id",
        why: "What must differ between requests, as a fresh X-EXTERNAL-ID, is made from it.",
        fix: "Remove generate_request_id: false.",
        check: request_id_off,
    },
    Rule {
        id: "decisions-unlogged",
        severity: Warning,
        title: "The filter's decisions are not logged",
        why: "Without them nobody can prove afterwards what became of a payment, and why.",
        fix: "Log %FILTER_STATE(wasm.dana_decision:PLAIN)% in the access log, as envoy/envoy.yaml has it.",
        check: decisions_unlogged,
    },
];

fn client_headers(setup: &Setup, found: &mut Found<'_>) {
    for (plugin, proxy) in setup.payment_proxies() {
        let removed = removed_headers(proxy);
        let covers = |name: &str| removed.iter().any(|prefix| name.starts_with(prefix));
        let names = ["x-envoy-".to_owned(), "x-dana-".to_owned(), plugin.route_header()];
        for name in names.iter().filter(|name| !covers(name)) {
            let place = proxy.view.at("early_header_mutation_extensions");
            found.add_as(&place, format!("the removal of {name}"), "none");
        }
    }
}

/// Beginnings of names that no request has when it comes to the filter.
pub(super) fn removed_headers(proxy: &Proxy) -> Vec<String> {
    let extensions = proxy.view.at("early_header_mutation_extensions").items();
    let mutations =
        extensions.iter().flat_map(|one| one.at("typed_config").typed().1.at("mutations").items());
    mutations
        .flat_map(|one| {
            let matcher = one.down(&["remove_on_match", "key_matcher"]);
            [matcher.at("prefix"), matcher.at("exact"), one.at("remove")]
        })
        .filter_map(|name| name.text().map(str::to_ascii_lowercase))
        .collect()
}

fn internal_clients(setup: &Setup, found: &mut Found<'_>) {
    for (_, proxy) in setup.payment_proxies() {
        let internal = proxy.view.at("internal_address_config");
        let ranges = internal.at("cidr_ranges");
        if !ranges.items().is_empty() || internal.at("unix_sockets").is_true() {
            found.add_as(&internal, "nothing", "addresses");
        }
    }
}

fn escaped_slashes(setup: &Setup, found: &mut Found<'_>) {
    let words = [
        "IMPLEMENTATION_SPECIFIC_DEFAULT",
        "KEEP_UNCHANGED",
        "REJECT_REQUEST",
        "UNESCAPE_AND_REDIRECT",
        "UNESCAPE_AND_FORWARD",
    ];
    expect_choice(setup, found, &["path_with_escaped_slashes_action"], &words);
}

fn header_underscores(setup: &Setup, found: &mut Found<'_>) {
    let path = ["common_http_protocol_options", "headers_with_underscores_action"];
    expect_choice(setup, found, &path, &["ALLOW", "REJECT_REQUEST", "DROP_HEADER"]);
}

fn expect_choice(setup: &Setup, found: &mut Found<'_>, path: &[&str], words: &[&'static str]) {
    for (_, proxy) in setup.payment_proxies() {
        let view = proxy.view.down(path);
        if view.choice(words) != Some("REJECT_REQUEST") {
            found.add(&view, "REJECT_REQUEST");
        }
    }
}

fn continue_deadlock(setup: &Setup, found: &mut Found<'_>) {
    for (_, proxy) in setup.payment_proxies() {
        let view = proxy.view.at("proxy_100_continue");
        if view.is_true() {
            found.add(&view, "false or nothing");
        }
    }
}

/// The longest that the filter waits for a gateway.
fn longest(config: &Config) -> Duration {
    Duration::from_millis(config.timeouts.response.max(config.timeouts.inquiry).get())
}

/// How long a request may be held for the store, before it is sent and before it is answered.
fn held(plugin: &Plugin) -> Duration {
    let times = if plugin.etcd().exists() { 2 } else { 0 };
    Duration::from_millis(times * SHARED_STORE_MS_MAX)
}

fn timeout_short(setup: &Setup, found: &mut Found<'_>) {
    for (plugin, proxy) in setup.payment_proxies() {
        let Some(config) = plugin.config_or_default() else { continue };
        let waits = longest(&config);
        let own = |names: &[&str]| proxy.view.down(names);
        let mut views = vec![
            own(&["stream_idle_timeout"]),
            own(&["common_http_protocol_options", "max_stream_duration"]),
        ];
        for action in proxy.actions() {
            views.push(action.at("idle_timeout"));
            views.push(action.down(&["max_stream_duration", "max_stream_duration"]));
        }
        let clusters = setup.gateway_clusters().map(|(_, cluster)| &cluster.http);
        let path = ["common_http_protocol_options", "max_stream_duration"];
        let upstream = clusters.map(|http| (http.down(&path), waits));
        let downstream = views.into_iter().map(|view| (view, waits + held(plugin)));
        for (view, least) in downstream.chain(upstream) {
            // Zero is none.
            let is_short = |length: Duration| !length.is_zero() && length <= least;
            if view.duration().is_some_and(is_short) {
                found.add(&view, format!("more than {} s", least.as_secs_f64()));
            }
        }
    }
}

fn idle_timeout_long(setup: &Setup, found: &mut Found<'_>) {
    for (plugin, proxy) in setup.payment_proxies() {
        let Some(config) = plugin.config_or_default() else { continue };
        let most = Duration::from_millis(config.claims.lease.get()) + longest(&config);
        let view = proxy.view.at("stream_idle_timeout");
        let length = view.duration().unwrap_or(Duration::from_secs(300));
        if length.is_zero() || length > most {
            let shown = if view.exists() { view.shows() } else { "300 s, Envoy's default".into() };
            found.add_as(&view, format!("at most {} s", most.as_secs_f64()), shown);
        }
    }
}

fn buffer_small(setup: &Setup, found: &mut Found<'_>) {
    for (plugin, proxy) in setup.payment_proxies() {
        let Some(config) = plugin.config_or_default() else { continue };
        let least = config.request_body_bytes_max.max(EVIDENCE_BYTES_MAX) as u64;
        let mut views: Vec<View> = Vec::new();
        let listener = setup.listeners.get(proxy.listener);
        views.extend(listener.map(|one| one.view.at("per_connection_buffer_limit_bytes")));
        for level in proxy.routes.levels() {
            views.push(level.at("per_request_buffer_limit_bytes"));
            views.push(level.at("request_body_buffer_limit"));
        }
        let clusters = setup.gateway_clusters().map(|(_, cluster)| &cluster.view);
        views.extend(clusters.map(|view| view.at("per_connection_buffer_limit_bytes")));
        for view in views {
            if view.number().is_some_and(|bytes| bytes < least) {
                found.add(&view, format!("at least {least}"));
            }
        }
    }
}

fn local_replies(setup: &Setup, found: &mut Found<'_>) {
    for (_, proxy) in setup.payment_proxies() {
        let mappers = proxy.view.down(&["local_reply_config", "mappers"]);
        let all = mappers.items();
        if !all.iter().any(covers_server_errors) {
            let expected = "a mapper of all codes from 500 on to 504";
            found.add_as(&mappers, expected, "none that is known to be one");
        }
        for mapper in all.iter().filter(|mapper| covers_server_errors(mapper)) {
            let status = mapper.at("status_code");
            if status.number() != Some(504) {
                found.add(&status, "504");
            }
        }
    }
}

/// Whether a mapper is for Envoy's 5xx, as the reference has it or by a filter of status codes.
fn covers_server_errors(mapper: &View) -> bool {
    let filter = mapper.at("filter");
    let expression = filter.down(&["extension_filter", "typed_config"]).typed().1.at("expression");
    let plain: String = expression.word().chars().filter(|one| !one.is_whitespace()).collect();
    let comparison = filter.down(&["status_code_filter", "comparison"]);
    let least = comparison.down(&["value", "default_value"]).number();
    let is_from = comparison.at("op").choice(&["EQ", "GE", "LE", "NE"]) == Some("GE");
    plain.contains("response.code>=500") || (is_from && least.is_some_and(|code| code <= 500))
}

fn request_id_off(setup: &Setup, found: &mut Found<'_>) {
    for (_, proxy) in setup.payment_proxies() {
        let view = proxy.view.at("generate_request_id");
        if view.exists() && !view.is_true() {
            found.add(&view, "true or nothing");
        }
    }
}

fn decisions_unlogged(setup: &Setup, found: &mut Found<'_>) {
    for (_, proxy) in setup.payment_proxies() {
        let log = proxy.view.at("access_log");
        let options = proxy.view.down(&["access_log_options"]);
        if !log.json().to_string().contains("wasm.dana_decision") {
            let place = if log.exists() || !options.exists() { &log } else { &options };
            found.add_as(place, "a field with wasm.dana_decision", "none");
        }
    }
}
