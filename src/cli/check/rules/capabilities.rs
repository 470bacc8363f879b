//! What the filter's VM may do.

use super::super::finding::Severity::{Error, Note};
use super::super::finding::{Found, Rule};
use super::super::setup::{Plugin, Setup};
use super::super::view::View;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "capability-missing",
        severity: Error,
        title: "The filter is not allowed what it needs",
        why: "A call that is withheld fails, and a callback that is withheld is left out without a word.",
        mend: "Allow all that `dana-failover check --explain capability-missing` lists.",
        check: capability_missing,
    },
    Rule {
        id: "capabilities-unrestricted",
        severity: Note,
        title: "The filter's VM may do everything",
        why: "A module that was tampered with could call whatever proxy-wasm has.",
        mend: "Restrict vm_config.capability_restriction_config to what `dana-failover check --explain \
               capability-missing` lists (Envoy 1.40 and later).",
        check: capabilities_unrestricted,
    },
];

/// What the module calls, and what it must be called for; and what is lost without it.
pub(crate) const NEEDED: [(&str, &str); 29] = [
    ("proxy_log", "its log, and the reason why a configuration is refused"),
    ("proxy_get_current_time_nanoseconds", "every decision: there is no clock"),
    ("proxy_get_header_map_pairs", "every decision: no request can be read"),
    ("proxy_replace_header_map_value", "every payment: no cluster can be named"),
    ("proxy_get_buffer_bytes", "every decision: no body can be read"),
    ("proxy_get_property", "every proof: how a request ended cannot be told"),
    ("proxy_set_property", "the decisions in the access log"),
    ("proxy_get_shared_data", "every payment: there are no claims"),
    ("proxy_set_shared_data", "every payment: there are no claims"),
    ("proxy_send_local_response", "every answer of the filter's own"),
    ("proxy_define_metric", "its metrics"),
    ("proxy_increment_metric", "its metrics"),
    ("proxy_record_metric", "its metrics"),
    ("proxy_set_tick_period_milliseconds", "heartbeats: it does not start"),
    ("proxy_http_call", "heartbeats: no later gateway is ever used"),
    ("proxy_set_effective_context", "answers to heartbeats"),
    ("proxy_on_vm_start", "the start"),
    ("proxy_on_context_create", "the start"),
    ("proxy_on_configure", "the start"),
    ("proxy_on_tick", "heartbeats, and what workers tell each other"),
    ("proxy_on_request_headers", "every claim: requests pass unseen"),
    ("proxy_on_request_body", "every claim: requests pass undecided"),
    ("proxy_on_request_trailers", "the claim of a request with trailers: it passes undecided"),
    ("proxy_on_response_headers", "every proof: payments stay in doubt"),
    ("proxy_on_response_body", "every proof: payments stay in doubt"),
    ("proxy_on_response_trailers", "the proof of an answer with trailers: it stays in doubt"),
    ("proxy_on_http_call_response", "answers to heartbeats"),
    ("proxy_on_log", "what became of a payment whose client has left"),
    ("proxy_on_delete", "memory: no request is ever forgotten"),
];

/// Either place: Envoy 1.40 has it with the VM, those before with the plugin.
fn restrictions(plugin: &Plugin) -> Option<View> {
    let name = ["capability_restriction_config", "allowed_capabilities"];
    let vm = plugin.settings.at("vm_config").down(&name);
    let views = [vm, plugin.settings.down(&name)];
    // Without any name in it everything is allowed.
    views.into_iter().find(|view| !view.names().is_empty())
}

fn capability_missing(setup: &Setup, found: &mut Found<'_>) {
    for plugin in &setup.plugins {
        let Some(allowed) = restrictions(plugin) else { continue };
        let names = allowed.names();
        for (name, without) in NEEDED {
            if !names.iter().any(|allowed| allowed == name) {
                let lost = format!("nothing, which loses {without}");
                found.add_as(&allowed, format!("{name}: {{}}"), lost);
            }
        }
    }
}

fn capabilities_unrestricted(setup: &Setup, found: &mut Found<'_>) {
    for plugin in &setup.plugins {
        if restrictions(plugin).is_none() {
            let place = plugin.settings.down(&["vm_config", "capability_restriction_config"]);
            found.add(&place, "the capabilities that the filter needs");
        }
    }
}
