//! The audit trail: whether everything gets into it as it was written.

use super::super::finding::Severity::{Error, Warning};
use super::super::finding::{Found, Rule};
use super::super::setup::{Plugin, Role, Setup};
use super::super::view::View;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "audit-unwritten",
        severity: Error,
        title: "Nobody writes the audit trail down",
        why: "The filter makes its entries, and no access log of the listener has them.",
        fix: "Give the listener the file access log of the reference, with %FILTER_STATE(wasm.dana_audit:PLAIN)%.",
        check: unwritten,
    },
    Rule {
        id: "audit-reformatted",
        severity: Error,
        title: "Entries of the audit trail are changed on their way",
        why: "An entry's digest is that of its bytes. json_format escapes them, anything beside them makes other \
              lines, and without omit_empty_values each request without an entry leaves a `-`.",
        fix: "Let the log have text_format_source with %FILTER_STATE(wasm.dana_audit:PLAIN)% alone, and \
              omit_empty_values: true; one for OpenTelemetry, body.string_value alone.",
        check: reformatted,
    },
    Rule {
        id: "audit-among-others",
        severity: Warning,
        title: "The audit trail has no file of its own",
        why: "Among other lines it cannot be rotated, kept or handed over by itself.",
        fix: "Write it into a file of its own.",
        check: among_others,
    },
    Rule {
        id: "audit-in-no-file",
        severity: Warning,
        title: "The audit trail is sent away and kept nowhere",
        why: "Envoy sends lines once, and holds them in memory until then: those of a call that fails, and those that \
              it holds when it ends, are lost.",
        fix: "Write it into a file too, as the reference does; a collector may read that instead.",
        check: in_no_file,
    },
    Rule {
        id: "audit-pepper-differs",
        severity: Error,
        title: "References are hashed at one listener, and not so at another",
        why: "Payments and notifications name the same references: with another pepper they do not agree, and without \
              one they are readable.",
        fix: "Give audit.pepper the same value in all listeners that take payments or notifications.",
        check: pepper_differs,
    },
    Rule {
        id: "audit-events-lost",
        severity: Error,
        title: "What happens without a request gets into no audit trail, and no heads are published",
        why: "Failovers, breakers and heartbeats are handed over by the cluster of audit.cluster to a listener \
              whose filter has admin.role audit. Up to 1024 of them wait in each worker, then they are lost. The same \
              listener publishes how far the trail is.",
        fix: "Add the cluster and the listener dana_audit of the reference.",
        check: events_lost,
    },
    Rule {
        id: "audit-socket-open",
        severity: Error,
        title: "Others can write into the audit trail",
        why: "Whoever reaches the listener for events can say that something happened.",
        fix: "Let it listen on a pipe with mode: 384 (0600), in a directory of Envoy's user.",
        check: socket_open,
    },
];

/// What the log of an entry has.
const ENTRY: &str = "%FILTER_STATE(wasm.dana_audit:PLAIN)%";

/// The plugins with an audit trail.
fn audited(setup: &Setup) -> impl Iterator<Item = &Plugin> {
    setup.plugins.iter().filter(|plugin| plugin.config.at("audit").exists())
}

/// The access logs of a plugin's listener that have its entries.
fn logs(setup: &Setup, plugin: &Plugin) -> Vec<View> {
    let logs = setup.stands_in(plugin).map(|proxy| proxy.view.at("access_log").items());
    logs.into_iter().flatten().filter(|log| log.json().to_string().contains(ENTRY)).collect()
}

fn unwritten(setup: &Setup, found: &mut Found<'_>) {
    for plugin in audited(setup).filter(|plugin| logs(setup, plugin).is_empty()) {
        if let Some(proxy) = setup.stands_in(plugin) {
            found.add_as(&proxy.view.at("access_log"), format!("one with {ENTRY}"), "none");
        }
    }
}

fn reformatted(setup: &Setup, found: &mut Found<'_>) {
    for log in audited(setup).flat_map(|plugin| logs(setup, plugin)) {
        if is_sent(&log) {
            let body = log.down(&["typed_config", "body"]);
            let text = body.at("string_value");
            if text.word() != ENTRY {
                let place = if text.exists() { text } else { body };
                found.add(&place, format!("string_value with {ENTRY} and nothing else"));
            }
            continue;
        }
        let format = log.down(&["typed_config", "log_format"]);
        let text = format.down(&["text_format_source", "inline_string"]);
        if text.word() != ENTRY {
            let place = if text.exists() { text } else { format.clone() };
            found.add(&place, format!("text_format_source with {ENTRY} and nothing else"));
        }
        let omits = format.at("omit_empty_values");
        if !omits.is_true() {
            found.add(&omits, "true");
        }
    }
}

fn among_others(setup: &Setup, found: &mut Found<'_>) {
    for log in audited(setup).flat_map(|plugin| logs(setup, plugin)) {
        let (kind, settings) = log.at("typed_config").typed();
        let path = settings.at("path");
        let is_shared = ["/dev/stdout", "/dev/stderr", "/dev/fd/"];
        let is_shared = is_shared.iter().any(|shared| path.word().starts_with(shared));
        if kind.ends_with("StdoutAccessLog") || kind.ends_with("StderrAccessLog") || is_shared {
            found.add(if path.exists() { &path } else { &log }, "a file of its own");
        }
    }
}

/// Whether a log goes to a collector, which takes records and no lines.
fn is_sent(log: &View) -> bool {
    let (kind, _) = log.at("typed_config").typed();
    kind.ends_with("OpenTelemetryAccessLogConfig")
}

fn in_no_file(setup: &Setup, found: &mut Found<'_>) {
    for plugin in audited(setup) {
        let logs = logs(setup, plugin);
        if let Some(first) = logs.first().filter(|_| logs.iter().all(is_sent)) {
            found.add_as(first, "a file beside it", "none");
        }
    }
}

fn pepper_differs(setup: &Setup, found: &mut Found<'_>) {
    let names = |plugin: &&Plugin| matches!(plugin.role, Role::Payments | Role::Notify);
    let pepper = |plugin: &Plugin| plugin.config.down(&["audit", "pepper"]);
    let mut plugins = audited(setup).filter(names);
    let Some(first) = plugins.next() else {
        return;
    };
    for plugin in plugins.filter(|plugin| pepper(plugin).text() != pepper(first).text()) {
        // It is a secret: neither of them is shown.
        let place = plugin.config.at("audit");
        found.add_as(&place, "the pepper of the other listeners", "another one, or none");
    }
}

fn events_lost(setup: &Setup, found: &mut Found<'_>) {
    let listens = setup.plugins.iter().any(|plugin| plugin.role == Role::Audit);
    for plugin in audited(setup).filter(|plugin| plugin.role == Role::Payments) {
        let named = plugin.config.down(&["audit", "cluster"]);
        let name = named.text().unwrap_or("dana_audit");
        if setup.cluster(name).is_none() && setup.is_complete("cds_config") {
            found.add(&named, "a cluster that is there");
        }
        if !listens && setup.is_complete("lds_config") {
            let expected = "a listener whose filter has admin.role audit";
            found.add_as(&plugin.config.at("audit"), expected, "none");
        }
    }
}

/// The bits of a socket's mode by which others than its owner open it.
const OTHERS: u64 = 0o077;

fn socket_open(setup: &Setup, found: &mut Found<'_>) {
    for plugin in setup.plugins.iter().filter(|plugin| plugin.role == Role::Audit) {
        let listener =
            setup.stands_in(plugin).and_then(|proxy| setup.listeners.get(proxy.listener));
        for address in listener.into_iter().flat_map(|listener| &listener.addresses) {
            let pipe = address.at("pipe");
            let mode = pipe.at("mode");
            match mode.number() {
                _ if !pipe.exists() => found.add(address, "a pipe"),
                Some(mode) if mode > 0 && mode & OTHERS == 0 => {}
                Some(_) | None => found.add(&mode, "384, which is 0600"),
            }
        }
    }
}
