//! What the filter's VM may do.

use super::super::finding::Severity::{Error, Note};
use super::super::finding::{Found, Rule};
use super::super::setup::{Plugin, Role, Setup};
use super::super::view::View;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "capability-missing",
        severity: Error,
        title: "The filter is not allowed what it needs",
        why: "A call that is withheld fails, and a callback that is withheld is left out without a word.",
        fix: "Allow all that `dana-failover check --explain capability-missing` lists.",
        check: capability_missing,
    },
    Rule {
        id: "capability-surplus",
        severity: Note,
        title: "The filter is allowed what it does not need",
        why: "A module that was tampered with could use it.",
        fix: "Take it out of allowed_capabilities.",
        check: capability_surplus,
    },
    Rule {
        id: "capabilities-unrestricted",
        severity: Note,
        title: "The filter's VM may do everything",
        why: "A module that was tampered with could call whatever proxy-wasm has.",
        fix: "Allow in capability_restriction_config, beside vm_config, what `dana-failover check --explain \
               capability-missing` lists.",
        check: capabilities_unrestricted,
    },
];

/// Something that the module calls, or must be called for.
pub(crate) struct Capability {
    pub(crate) name: &'static str,
    /// What is lost without it.
    pub(crate) without: &'static str,
    /// When the payments' filter needs it.
    pub(crate) payments: Need,
    /// When the operators' filter does.
    pub(crate) operators: Need,
    /// When the one that takes notifications in does.
    pub(crate) notify: Need,
}

/// When a filter needs something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Always,
    /// Where claims stand in etcd.
    Etcd,
    /// Where there is an audit trail.
    Audit,
    /// Where there is the one or the other.
    EtcdOrAudit,
    Never,
}

impl Need {
    /// The word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Etcd => "etcd",
            Self::Audit => "audit",
            Self::EtcdOrAudit => "etcd, audit",
            Self::Never => "",
        }
    }
}

const fn payments(name: &'static str, without: &'static str) -> Capability {
    let (operators, notify) = (Need::Never, Need::Never);
    Capability { name, without, payments: Need::Always, operators, notify }
}

/// For those that let requests through.
const fn passes(name: &'static str, without: &'static str) -> Capability {
    Capability { notify: Need::Always, ..payments(name, without) }
}

const fn both(name: &'static str, without: &'static str) -> Capability {
    let all = Need::Always;
    Capability { name, without, payments: all, operators: all, notify: all }
}

/// Always, but for operators where there is an audit trail.
const fn audit(name: &'static str, without: &'static str) -> Capability {
    Capability { operators: Need::Audit, ..both(name, without) }
}

const fn etcd(name: &'static str, without: &'static str) -> Capability {
    let etcd = Need::Etcd;
    Capability { name, without, payments: etcd, operators: etcd, notify: etcd }
}

/// All of them. The tests withhold each one from a real Envoy.
pub(crate) const NEEDED: [Capability; 33] = [
    both("proxy_log", "its log, and the reason why a configuration is refused"),
    both("proxy_get_current_time_nanoseconds", "every decision: there is no clock"),
    both("proxy_get_header_map_pairs", "every decision: no request can be read"),
    passes("proxy_replace_header_map_value", "every payment: no cluster can be named"),
    both("proxy_get_buffer_bytes", "every decision: no body can be read"),
    both(
        "proxy_get_property",
        "every proof: how a request ended cannot be told; for operators, which Envoy it is",
    ),
    audit("proxy_set_property", "the decisions in the access log, and the audit trail"),
    both("proxy_get_shared_data", "every payment: there are no claims"),
    both("proxy_set_shared_data", "every payment: there are no claims"),
    both("proxy_send_local_response", "every answer of the filter's own"),
    both("proxy_define_metric", "its metrics"),
    both(
        "proxy_increment_metric",
        "its metrics; what one worker sees of a gateway, others see at their next tick",
    ),
    Capability { notify: Need::Etcd, ..both("proxy_record_metric", "its metrics") },
    passes("proxy_get_metric", "time: what is known of the gateways is read with each request"),
    Capability {
        name: "proxy_set_tick_period_milliseconds",
        without: "heartbeats: it does not start; for operators the same, with etcd or an audit trail",
        payments: Need::Always,
        operators: Need::EtcdOrAudit,
        notify: Need::Always,
    },
    Capability {
        notify: Need::Audit,
        ..payments("proxy_http_call", "heartbeats: no later gateway is ever used")
    },
    Capability {
        name: "proxy_set_effective_context",
        without: "answers of a gateway that is asked second, and of etcd",
        payments: Need::Always,
        operators: Need::Etcd,
        notify: Need::Etcd,
    },
    etcd("proxy_grpc_call", "every claim, and an operator's word: it does not start"),
    Capability {
        name: "proxy_continue_stream",
        without: "every payment: it hangs once etcd has answered",
        payments: Need::Etcd,
        operators: Need::Never,
        notify: Need::Etcd,
    },
    both("proxy_on_context_create", "the start"),
    both("proxy_on_configure", "the start"),
    Capability {
        name: "proxy_on_tick",
        without: "heartbeats, and what workers tell each other; for operators, further tries at etcd, and the \
                  heads of the audit trail",
        payments: Need::Always,
        operators: Need::EtcdOrAudit,
        notify: Need::Always,
    },
    both("proxy_on_request_headers", "every claim: requests pass unseen"),
    both("proxy_on_request_body", "every claim: requests pass undecided"),
    both("proxy_on_request_trailers", "the claim of a request with trailers: it passes undecided"),
    passes("proxy_on_response_headers", "every proof: payments stay in doubt"),
    passes("proxy_on_response_body", "every proof: payments stay in doubt"),
    passes("proxy_on_response_trailers", "the proof of an answer with trailers: it stays in doubt"),
    Capability {
        notify: Need::Audit,
        ..payments("proxy_on_http_call_response", "answers to heartbeats")
    },
    etcd("proxy_on_grpc_receive", "every claim: it hangs, as if etcd never answered"),
    etcd(
        "proxy_on_grpc_close",
        "every claim that etcd refuses: it hangs, as if etcd never answered",
    ),
    audit("proxy_on_log", "what became of a payment whose client has left, and the audit trail"),
    both("proxy_on_delete", "memory: no request is ever forgotten"),
];

fn needed(plugin: &Plugin) -> impl Iterator<Item = &'static Capability> {
    let (role, has_etcd) = (plugin.role, plugin.etcd().exists());
    let has_audit = plugin.config.at("audit").exists();
    NEEDED.iter().filter(move |one| {
        let need = match role {
            Role::Payments => one.payments,
            Role::Admin | Role::Audit => one.operators,
            Role::Notify => one.notify,
        };
        match need {
            Need::Always => true,
            Need::Etcd => has_etcd,
            Need::Audit => has_audit,
            Need::EtcdOrAudit => has_etcd || has_audit,
            Need::Never => false,
        }
    })
}

/// Whether a plugin may have it. The listener for events has the operators' list, as it has their module.
fn may_have(plugin: &Plugin, name: &str) -> bool {
    let is_operators = |one: &Capability| {
        one.name == name && one.operators != Need::Never && plugin.role == Role::Audit
    };
    needed(plugin).any(|one| one.name == name) || NEEDED.iter().any(is_operators)
}

/// Either place: beside `vm_config`, where every Envoy reads it, and within, where those from 1.40 on
/// do.
fn restrictions(plugin: &Plugin) -> Vec<View> {
    let name = ["capability_restriction_config", "allowed_capabilities"];
    let views = [plugin.settings.down(&name), plugin.settings.at("vm_config").down(&name)];
    // Without any name in it everything is allowed.
    views.into_iter().filter(|view| !view.names().is_empty()).collect()
}

fn capability_missing(setup: &Setup, found: &mut Found<'_>) {
    let lists = |plugin| restrictions(plugin).into_iter().map(move |list| (plugin, list));
    for (plugin, allowed) in setup.plugins.iter().flat_map(lists) {
        let names = allowed.names();
        for Capability { name, without, .. } in needed(plugin) {
            if !names.iter().any(|allowed| allowed == name) {
                let lost = format!("nothing, which loses {without}");
                found.add_as(&allowed, format!("{name}: {{}}"), lost);
            }
        }
    }
}

fn capability_surplus(setup: &Setup, found: &mut Found<'_>) {
    let lists = |plugin| restrictions(plugin).into_iter().map(move |list| (plugin, list));
    for (plugin, allowed) in setup.plugins.iter().flat_map(lists) {
        for name in allowed.names() {
            if !may_have(plugin, &name) {
                found.add_as(&allowed.at(&name), "nothing that the filter does not use", name);
            }
        }
    }
}

fn capabilities_unrestricted(setup: &Setup, found: &mut Found<'_>) {
    for plugin in &setup.plugins {
        if restrictions(plugin).is_empty() {
            let place = plugin.settings.at("capability_restriction_config");
            found.add(&place, "the capabilities that the filter needs");
        }
    }
}
