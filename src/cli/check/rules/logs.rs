//! Secrets and bodies in what Envoy writes down: access logs, traces, taps.

use super::super::finding::Severity::{Error, Warning};
use super::super::finding::{Found, Rule};
use super::super::setup::{Proxy, Setup};
use super::super::view::View;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "secrets-logged",
        severity: Error,
        title: "Signatures or tokens are written down",
        why: "Whoever reads the log or the trace can use a token, and has what proves a merchant's request.",
        fix: "Take these headers out; the request's id and the filter's note are enough to find a payment.",
        check: secrets_logged,
    },
    Rule {
        id: "bodies-recorded",
        severity: Error,
        title: "Payments are recorded with their bodies",
        why: "A tap writes headers and bodies down whole: signatures, tokens, customers' numbers.",
        fix: "Remove the tap, or keep it to listeners and clusters without payments.",
        check: bodies_recorded,
    },
    Rule {
        id: "metadata-logged",
        severity: Warning,
        title: "A log may show what another filter took from bodies or headers",
        why: "Dynamic metadata holds whatever such a filter was told to copy there, unseen by those who read \
              the log's format.",
        fix: "Log single fields of the request instead, or remove the filter.",
        check: metadata_logged,
    },
];

const SECRETS: [&str; 5] =
    ["x-signature", "authorization", "authorization-customer", "proxy-authorization", "cookie"];

/// Everything by which requests of our listeners are written down: the operators' token is a secret
/// too.
fn writers(setup: &Setup) -> Vec<View> {
    let mut seen = Vec::new();
    for proxy in setup.plugins.iter().filter_map(|plugin| setup.stands_in(plugin)) {
        seen.extend([proxy.view.at("access_log"), proxy.view.at("tracing")]);
        seen.extend(proxy.filters.iter().map(|filter| filter.settings.at("upstream_log")));
    }
    seen
}

/// Each text within a view, with its place.
fn each_text(view: &View, see: &mut impl FnMut(&View, &str)) {
    if let Some(text) = view.text() {
        see(view, text);
    }
    for item in view.items() {
        each_text(&item, see);
    }
    for name in view.names() {
        each_text(&view.at(&name), see);
    }
}

fn secrets_logged(setup: &Setup, found: &mut Found<'_>) {
    for writer in writers(setup) {
        each_text(&writer, &mut |view, text| {
            let secret = SECRETS.into_iter().find(|secret| shows(view, text, secret));
            if let Some(secret) = secret {
                found.add_as(view, "no signature, token or cookie", format!("the header {secret}"));
            }
        });
    }
}

/// Whether a text of a log's or a trace's settings has a header written down: by a command operator,
/// an expression, or as the name of a header to be logged.
fn shows(view: &View, text: &str, header: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let is_name =
        ["headers_to_log[", "request_header.name"].iter().any(|part| view.path.contains(part));
    let commands = ["%req(", "%request_header(", "%req_without_query("];
    let asked = commands.iter().flat_map(|command| lower.split(command).skip(1));
    // `%REQ(FIRST?SECOND):LENGTH%`
    let mut names = asked.flat_map(|rest| rest.split(')').next().unwrap_or_default().split('?'));
    let quoted = ["'", "\""].iter().any(|mark| lower.contains(&format!("{mark}{header}{mark}")));
    let is_expression = lower.contains("request.headers") && quoted;
    (is_name && lower == header) || names.any(|name| name.trim() == header) || is_expression
}

fn bodies_recorded(setup: &Setup, found: &mut Found<'_>) {
    for proxy in setup.plugins.iter().filter_map(|plugin| setup.stands_in(plugin)) {
        for filter in proxy.filters.iter().filter(|filter| filter.kind == "Tap") {
            found.add_as(&filter.view, "no tap among payments", filter.view.at("name").shows());
        }
    }
    for (_, cluster) in setup.gateway_clusters() {
        let filters = cluster.http.at("http_filters").items();
        let sockets = cluster.sockets.iter().map(|socket| socket.view.clone());
        for view in filters.into_iter().chain(sockets) {
            if view.at("typed_config").typed().0 == "Tap" {
                found.add_as(&view, "no tap on the way to a gateway", view.at("name").shows());
            }
        }
    }
}

fn metadata_logged(setup: &Setup, found: &mut Found<'_>) {
    let copies = |proxy: &Proxy| {
        let kinds = [
            "JsonToMetadata",
            "HeaderToMetadata",
            "ProtoMessageExtraction",
            "Lua",
            "ExternalProcessor",
        ];
        let is_one = |kind: &str| kinds.contains(&kind);
        proxy.filters.iter().any(|filter| {
            is_one(&filter.kind)
                || (filter.kind == "Config" && is_header_to_metadata(&filter.settings))
        })
    };
    for (_, proxy) in setup.payment_proxies().filter(|(_, proxy)| copies(proxy)) {
        each_text(&proxy.view.at("access_log"), &mut |view, text| {
            if text.to_ascii_uppercase().contains("%DYNAMIC_METADATA(") {
                found.add(view, "no dynamic metadata beside filters that fill it");
            }
        });
    }
}

/// Its type has no other name than `Config`.
fn is_header_to_metadata(settings: &View) -> bool {
    settings.at("@type").word().contains("header_to_metadata")
}
