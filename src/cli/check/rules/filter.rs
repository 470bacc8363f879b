//! Our filter, as Envoy is told to run it.

use super::super::finding::Severity::{Error, Note, Warning};
use super::super::finding::{Found, Rule};
use super::super::setup::{Role, Setup};
use super::super::view::View;
use crate::engine::{ETCD_MODULE, NOTIFY_MODULE, NotifyConfig, OPERATORS_MODULE, PAYMENTS_MODULE};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "filter-absent",
        severity: Error,
        title: "The filter is not there",
        why: "Without it nothing keeps a payment from being made twice.",
        fix: "Add the filter to the listener's http_filters, as envoy/envoy.yaml has it.",
        check: filter_absent,
    },
    Rule {
        id: "filter-config",
        severity: Error,
        title: "The filter's own configuration is wrong",
        why: "Envoy does not start with it, and refuses it as an update.",
        fix: "The README's table of settings tells what each field may be.",
        check: filter_config,
    },
    Rule {
        id: "module-misplaced",
        severity: Error,
        title: "The filter's module is not the one that is needed there",
        why: "Payments and operators have a module each, and neither starts in the other's place; nor does \
              one without etcd where claims are kept there.",
        fix: "Load dana_failover.wasm for payments, or dana_failover_etcd.wasm with idempotency.store.etcd, and \
              dana_failover_operators.wasm where admin.role is admin or audit.",
        check: module_misplaced,
    },
    Rule {
        id: "headers-not-held",
        severity: Error,
        title: "Requests cannot be held at their headers",
        why: "The filter waits for a request's body, which then never comes: each request hangs.",
        fix: "Set allow_on_headers_stop_iteration: true (Envoy 1.35 and later).",
        check: headers_not_held,
    },
    Rule {
        id: "fail-open",
        severity: Error,
        title: "Payments pass when the filter has died",
        why: "They would be sent without a claim, so that a repeat of one is a second payment.",
        fix: "Set failure_policy: FAIL_RELOAD and remove fail_open.",
        check: fail_open,
    },
    Rule {
        id: "no-reload",
        severity: Warning,
        title: "The filter does not come back when it has died",
        why: "The worker on which it died answers 503 to every payment until Envoy restarts.",
        fix: "Set failure_policy: FAIL_RELOAD.",
        check: no_reload,
    },
    Rule {
        id: "root-id",
        severity: Warning,
        title: "The filter has a root_id",
        why: "The module has one root, which has no name; a name here is of no use and may hide a mix-up.",
        fix: "Remove root_id.",
        check: root_id,
    },
    Rule {
        id: "filter-disabled",
        severity: Error,
        title: "The filter is turned off",
        why: "Requests that pass it by are sent without a claim.",
        fix: "Remove the setting; to let nothing be refused at first, use mode: observe.",
        check: filter_disabled,
    },
    Rule {
        id: "filter-order",
        severity: Error,
        title: "The filter is not before the router",
        why: "The router sends requests on, and what stands behind it is never asked.",
        fix: "Put envoy.filters.http.router last.",
        check: filter_order,
    },
    Rule {
        id: "filters-between",
        severity: Note,
        title: "Other filters stand between this one and the router",
        why: "One that answers, changes or repeats a request there does so after it was claimed.",
        fix: "Put them before the filter, unless they only watch.",
        check: filters_between,
    },
    Rule {
        id: "answers-behind",
        severity: Warning,
        title: "A filter that answers by itself stands behind this one",
        why: "It refuses, limits or cuts off requests that were already claimed: payments that were never sent \
              are held for sent ones, and what it answers reads as a gateway's failure.",
        fix: "Put it before the filter.",
        check: answers_behind,
    },
];

/// Types of filters that answer requests by themselves, or refuse bodies.
const ANSWERING: [&str; 19] = [
    "AdaptiveConcurrency",
    "AdmissionControl",
    "ApiKeyAuth",
    "BandwidthLimit",
    "BasicAuth",
    "Buffer",
    "CacheConfig",
    "Cors",
    "CorsPolicy",
    "CsrfPolicy",
    "ExtAuthz",
    "HTTPFault",
    "HealthCheck",
    "JwtAuthentication",
    "LocalRateLimit",
    "OAuth2",
    "RBAC",
    "RateLimit",
    "RateLimitQuotaFilterConfig",
];

fn filter_absent(setup: &Setup, found: &mut Found<'_>) {
    let may_be_elsewhere = setup.unseen.iter().any(|(_, what)| what.contains("filter"));
    if setup.plugins.is_empty() && setup.is_complete("lds_config") && !may_be_elsewhere {
        let listeners = setup.bootstrap.down(&["static_resources", "listeners"]);
        let expected = "a listener with the filter dana_failover.wasm and its gateways";
        found.add_as(&listeners, expected, "none");
    }
}

fn filter_config(setup: &Setup, found: &mut Found<'_>) {
    for plugin in &setup.plugins {
        if let Some(mistake) = &plugin.unreadable {
            let view = View::bare(mistake.place, plugin.config.path.clone());
            found.add_as(&view, &mistake.expected, &mistake.found);
            continue;
        }
        // Its own module alone reads the part about notifications.
        let inbound = plugin.parsed.as_ref().ok().filter(|_| plugin.role == Role::Notify);
        let inbound = inbound.and_then(|config| NotifyConfig::read(config).err());
        let mistakes = plugin.parsed.as_ref().err().into_iter().chain(&inbound).flatten();
        for error in mistakes {
            found.add_as(&plugin.config.along(&error.path), &error.expected, &error.found);
        }
    }
}

fn module_misplaced(setup: &Setup, found: &mut Found<'_>) {
    for plugin in &setup.plugins {
        let code = plugin.settings.down(&["vm_config", "code"]);
        let places = [code.down(&["local", "filename"]), code.down(&["remote", "http_uri", "uri"])];
        for place in places {
            let config = plugin.parsed.as_ref().ok();
            let needs_etcd = config.is_some_and(|config| config.store.etcd().is_some());
            let serves = match module_of(place.word()) {
                Some(OPERATORS_MODULE) => matches!(plugin.role, Role::Admin | Role::Audit),
                Some(NOTIFY_MODULE) => plugin.role == Role::Notify,
                Some(ETCD_MODULE) => plugin.role == Role::Payments,
                Some(_) => plugin.role == Role::Payments && !needs_etcd,
                None => true,
            };
            if !serves {
                let module = match plugin.role {
                    Role::Payments if needs_etcd => ETCD_MODULE,
                    Role::Payments => PAYMENTS_MODULE,
                    Role::Admin | Role::Audit => OPERATORS_MODULE,
                    Role::Notify => NOTIFY_MODULE,
                };
                found.add(&place, module);
            }
        }
    }
}

/// Which module a file is, if its name says so: as it was built, or with a version before or after
/// that. Whatever else it may be called says nothing.
fn module_of(path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or_default().replace('-', "_");
    let (version, rest) = name.split_once("dana_failover")?;
    let named = [
        ("_operators", OPERATORS_MODULE),
        ("_notify", NOTIFY_MODULE),
        ("_etcd", ETCD_MODULE),
        ("", PAYMENTS_MODULE),
    ];
    let (module, after) = named
        .into_iter()
        .find_map(|(name, module)| rest.strip_prefix(name).map(|after| (module, after)))?;
    let is_version = |text: &str| {
        text.chars().all(|sign| sign.is_ascii_digit() || matches!(sign, '.' | '_' | 'v'))
    };
    let after = after.strip_suffix(".wasm").unwrap_or(after);
    (is_version(version) && is_version(after)).then_some(module)
}

fn headers_not_held(setup: &Setup, found: &mut Found<'_>) {
    for plugin in &setup.plugins {
        let view = plugin.settings.at("allow_on_headers_stop_iteration");
        if !view.is_true() {
            found.add(&view, "true");
        }
    }
}

const POLICIES: [&str; 4] = ["UNSPECIFIED", "FAIL_RELOAD", "FAIL_CLOSED", "FAIL_OPEN"];

fn fail_open(setup: &Setup, found: &mut Found<'_>) {
    for plugin in &setup.plugins {
        let policy = plugin.settings.at("failure_policy");
        if policy.choice(&POLICIES) == Some("FAIL_OPEN") {
            found.add(&policy, "FAIL_RELOAD or FAIL_CLOSED");
        }
        let open = plugin.settings.at("fail_open");
        if open.is_true() {
            found.add(&open, "false or nothing");
        }
    }
}

fn no_reload(setup: &Setup, found: &mut Found<'_>) {
    for plugin in &setup.plugins {
        let policy = plugin.settings.at("failure_policy");
        if matches!(policy.choice(&POLICIES), Some("UNSPECIFIED" | "FAIL_CLOSED")) {
            found.add(&policy, "FAIL_RELOAD");
        }
    }
}

fn root_id(setup: &Setup, found: &mut Found<'_>) {
    for plugin in &setup.plugins {
        let view = plugin.settings.at("root_id");
        if !view.word().is_empty() {
            found.add(&view, "nothing");
        }
    }
}

/// By the filter itself, or for a virtual host or route.
fn filter_disabled(setup: &Setup, found: &mut Found<'_>) {
    for (plugin, proxy) in setup.payment_proxies() {
        let Some(filter) = proxy.filters.get(plugin.at) else { continue };
        let name = filter.view.at("name");
        let mut switches = vec![filter.view.at("disabled")];
        for level in proxy.routes.levels() {
            let own = level.at("typed_per_filter_config").at(name.word());
            switches.push(own.at("disabled"));
            switches.push(own.at("config").at("disabled"));
        }
        for switch in switches.iter().filter(|switch| switch.is_true()) {
            found.add(switch, "false or nothing");
        }
    }
}

fn is_router(kind: &str, name: &str) -> bool {
    kind == "Router" || name == "envoy.filters.http.router"
}

fn filter_order(setup: &Setup, found: &mut Found<'_>) {
    for plugin in &setup.plugins {
        let Some(proxy) = setup.stands_in(plugin) else { continue };
        let is_router = |at: &usize| {
            let filter = proxy.filters.get(*at);
            filter.is_some_and(|filter| is_router(&filter.kind, filter.view.at("name").word()))
        };
        let router = (0..proxy.filters.len()).find(is_router);
        let Some(filter) = proxy.filters.get(plugin.at) else { continue };
        match router {
            Some(router) if router > plugin.at => {}
            Some(_) => found.add_as(&filter.view, "the filter before the router", "it behind it"),
            None => found.add_as(&proxy.view.at("http_filters"), "a router at the end", "none"),
        }
    }
}

fn filters_between(setup: &Setup, found: &mut Found<'_>) {
    for (plugin, proxy) in setup.payment_proxies() {
        for filter in proxy.filters.iter().skip(plugin.at + 1) {
            let name = filter.view.at("name");
            let is_told = is_router(&filter.kind, name.word()) || answers(&filter.kind);
            if !is_told {
                let expected = "nothing between the filter and the router";
                found.add_as(&filter.view, expected, name.shows());
            }
        }
    }
}

fn answers(kind: &str) -> bool {
    ANSWERING.contains(&kind)
}

fn answers_behind(setup: &Setup, found: &mut Found<'_>) {
    for (plugin, proxy) in setup.payment_proxies() {
        for filter in proxy.filters.iter().skip(plugin.at + 1).filter(|one| answers(&one.kind)) {
            found.add_as(&filter.view, "it before the filter", filter.view.at("name").shows());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_modules_name_tells_whose_it_is_or_nothing() {
        for (path, module) in [
            ("/etc/envoy/dana_failover.wasm", Some(PAYMENTS_MODULE)),
            ("dana-failover-2.wasm", Some(PAYMENTS_MODULE)),
            ("https://modules/dana_failover-v0.1.0.wasm", Some(PAYMENTS_MODULE)),
            ("/etc/envoy/dana_failover_operators.wasm", Some(OPERATORS_MODULE)),
            ("dana-failover-operators-2.wasm", Some(OPERATORS_MODULE)),
            ("2-dana_failover_operators.wasm", Some(OPERATORS_MODULE)),
            ("/etc/envoy/dana_failover_etcd-v2.wasm", Some(ETCD_MODULE)),
            ("dana_failover_ops.wasm", None),
            ("dana_failover_admin.wasm", None),
            ("/dana_failover/filter.wasm", None),
            ("", None),
        ] {
            assert_eq!(module_of(path), module, "{path}");
        }
    }
}
