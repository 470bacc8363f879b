//! The operators' listener: apart from payments, and about the same payments.

use super::super::finding::Severity::{Error, Warning};
use super::super::finding::{Found, Rule};
use super::super::setup::{Listener, Plugin, Setup};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "operators-open",
        severity: Error,
        title: "The operators' listener is open to the network",
        why: "Their token crosses the network in the clear, and with it anybody can move or resolve payments.",
        mend: "Listen on loopback, or behind TLS.",
        check: operators_open,
    },
    Rule {
        id: "operators-among-payments",
        severity: Error,
        title: "Operators' requests and payments come by the same listener",
        why: "Merchants could reach what is meant for operators.",
        mend: "Give operators a listener of their own, on another address.",
        check: among_payments,
    },
    Rule {
        id: "operators-vm-shared",
        severity: Error,
        title: "A fault in the operators' filter ends payments",
        why: "With the same vm_id and vm_config Envoy runs both in one VM, and they die together.",
        mend: "Give the operators' vm_config a configuration of its own, as StringValue \"admin\".",
        check: vm_shared,
    },
    Rule {
        id: "operators-vm-id",
        severity: Error,
        title: "Operators look at another store than the one payments are in",
        why: "They would see no payment, and what they resolve or force has no effect.",
        mend: "Give both filters the same vm_id.",
        check: vm_id,
    },
    Rule {
        id: "operators-differ",
        severity: Warning,
        title: "The operators' filter is told otherwise than the payments' one",
        why: "It reads the same store by other names or limits, and shows what is not so.",
        mend: "Give both the same configuration but for `admin`, as with YAML anchors.",
        check: differ,
    },
];

/// Each operators' filter with the payments' one whose store it works on, or else the first.
fn pairs(setup: &Setup) -> impl Iterator<Item = (&Plugin, &Plugin)> {
    setup.admins().filter_map(|admin| {
        let id = admin.vm_id();
        let same = setup.payments().find(|plugin| plugin.vm_id().word() == id.word());
        Some((admin, same.or_else(|| setup.payments().next())?))
    })
}

fn operators_open(setup: &Setup, found: &mut Found<'_>) {
    for admin in setup.admins() {
        let Some(proxy) = setup.stands_in(admin) else { continue };
        let open = setup.listeners.get(proxy.listener).and_then(Listener::open_address);
        if let (Some(address), None) = (open, &proxy.tls) {
            found.add(&address.down(&["socket_address", "address"]), "loopback, or TLS");
        }
    }
}

fn among_payments(setup: &Setup, found: &mut Found<'_>) {
    for admin in setup.admins() {
        let Some(proxy) = setup.stands_in(admin) else { continue };
        let is_shared = |plugin: &Plugin| {
            setup.stands_in(plugin).is_some_and(|other| other.listener == proxy.listener)
        };
        if setup.payments().any(is_shared) {
            let role = admin.config.down(&["admin", "role"]);
            found.add_as(&role, "a listener without payments", "one with payments");
        }
    }
}

fn vm_shared(setup: &Setup, found: &mut Found<'_>) {
    for admin in setup.admins() {
        let vm = admin.settings.at("vm_config");
        let is_same = |plugin: &Plugin| plugin.settings.at("vm_config").is_same_as(&vm);
        if setup.payments().any(is_same) {
            let expected = "a vm_config that differs from the payments'";
            found.add_as(&vm.at("configuration"), expected, "the same");
        }
    }
}

fn vm_id(setup: &Setup, found: &mut Found<'_>) {
    for (admin, payments) in pairs(setup) {
        if admin.vm_id().word() != payments.vm_id().word() {
            found.add(&admin.vm_id(), payments.vm_id().shows());
        }
    }
}

fn differ(setup: &Setup, found: &mut Found<'_>) {
    for (admin, payments) in pairs(setup) {
        let mut names = admin.config.names();
        names.extend(payments.config.names());
        names.sort();
        names.dedup();
        for name in names.iter().filter(|name| *name != "admin") {
            let (own, other) = (admin.config.at(name), payments.config.at(name));
            if !own.is_same_as(&other) {
                found
                    .add(&own, format!("the same as on the payments' listener, {}", other.shows()));
            }
        }
    }
}
