//! The listener for gateways' notifications.

use std::time::Duration;

use super::super::finding::Severity::Error;
use super::super::finding::{Found, Rule};
use super::super::setup::{Listener, Plugin, Role, Setup};
use super::super::view::View;
use super::proxy::removed_headers;
use crate::engine::{Config, Ledger, NotifyConfig, NotifyKey, PublicKey, VERIFIED_HEADER};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "notify-key-public",
        severity: Error,
        title: "Notifications are believed by a key that everybody has",
        why: "The private half of the sandbox's keys stands in its sources: whoever reaches the listener can settle \
              payments.",
        fix: "Put the gateways' own keys into notify.keys.",
        check: key_public,
    },
    Rule {
        id: "notify-apart",
        severity: Error,
        title: "Notifications do not reach the payments' claims",
        why: "Under another vm_id they are evidence for nobody, and payments in doubt stay so.",
        fix: "Give vm_config the vm_id of the payments' filter.",
        check: apart,
    },
    Rule {
        id: "notify-differs",
        severity: Error,
        title: "Notifications and payments do not go by the same settings",
        why: "What one keeps the other does not find, and what is one ledger for the one are two for the other.",
        fix: "Give both the same ledger and idempotency.store.",
        check: differs,
    },
    Rule {
        id: "notify-key-shared",
        severity: Error,
        title: "Two listeners take one key for two gateways",
        why: "What one gateway has signed is evidence against the other, because no signature covers the listener.",
        fix: "Let each gateway sign with a key of its own; or set ledger: shared, if they keep one.",
        check: key_shared,
    },
    Rule {
        id: "notify-unguarded",
        severity: Error,
        title: "What nobody has verified can reach the application",
        why: "Where Envoy leaves the filter out, say for a capability that is missing, a forged notification passes \
              as a genuine one.",
        fix: "Let the route to the application match x-dana-verified: true, and remove x-dana- headers by \
              early_header_mutation_extensions, as envoy/notify.yaml has it.",
        check: unguarded,
    },
    Rule {
        id: "notify-timeout",
        severity: Error,
        title: "The application may answer after its notification was given to it anew",
        why: "After idempotency.lease_ms a notification that was not confirmed is given to the application again; DANA \
              itself waits for 8 s.",
        fix: "Set the route's timeout to 7s.",
        check: timeout,
    },
    Rule {
        id: "notify-retried",
        severity: Error,
        title: "Envoy gives a notification to the application more than once",
        why: "A retry after the application has got it is a second notification.",
        fix: "Leave retry_policy out, or let it have connect-failure and refused-stream only.",
        check: retried,
    },
];

/// The public halves of the sandbox's keys.
const PUBLIC: [&str; 2] = [
    include_str!("../../sandbox/keys/primary.pub.pem"),
    include_str!("../../sandbox/keys/secondary.pub.pem"),
];

/// What a route does where it says nothing.
const TIMEOUT: Duration = Duration::from_secs(15);

fn inbound(setup: &Setup) -> impl Iterator<Item = &Plugin> {
    setup.plugins.iter().filter(|plugin| plugin.role == Role::Notify)
}

/// The actions of the routes to the application.
fn actions<'s>(setup: &'s Setup, plugin: &Plugin) -> impl Iterator<Item = View> + use<'s> {
    setup.stands_in(plugin).into_iter().flat_map(|proxy| proxy.actions())
}

/// On loopback it is a playground.
fn key_public(setup: &Setup, found: &mut Found<'_>) {
    let public: Vec<PublicKey> = PUBLIC.into_iter().filter_map(PublicKey::parse).collect();
    for plugin in inbound(setup) {
        let listener =
            setup.stands_in(plugin).and_then(|proxy| setup.listeners.get(proxy.listener));
        if listener.and_then(Listener::open_address).is_none() {
            continue;
        }
        let config = plugin.parsed.as_ref().ok().and_then(|config| NotifyConfig::read(config).ok());
        let keys = config.map(|config| config.keys).unwrap_or_default();
        let places = plugin.config.down(&["notify", "keys"]).items();
        for (place, _) in places.iter().zip(&keys).filter(|(_, one)| public.contains(&one.key)) {
            found.add_as(&place.at("key"), "a key of a gateway", "one of the sandbox");
        }
    }
}

fn apart(setup: &Setup, found: &mut Found<'_>) {
    let ids: Vec<View> = setup.payments().map(Plugin::vm_id).collect();
    for plugin in inbound(setup) {
        let id = plugin.vm_id();
        if !ids.is_empty() && !ids.iter().any(|one| one.word() == id.word()) {
            found.add(&id, "the vm_id of the payments' filter");
        }
    }
}

fn differs(setup: &Setup, found: &mut Found<'_>) {
    for plugin in inbound(setup) {
        let Ok(own) = &plugin.parsed else { continue };
        let same = |one: &&Plugin| one.vm_id().word() == plugin.vm_id().word();
        let pays = setup.payments().filter(same).filter_map(|one| one.parsed.as_ref().ok());
        for config in pays {
            if config.ledger != own.ledger {
                found.add(&plugin.config.at("ledger"), "that of the payments' filter");
            }
            if where_kept(config) != where_kept(own) {
                let place = plugin.config.down(&["idempotency", "store"]);
                found.add(&place, "that of the payments' filter");
            }
        }
    }
}

/// The realm in etcd, if claims stand there.
fn where_kept(config: &Config) -> Option<&str> {
    config.store.etcd().map(|etcd| etcd.realm.as_str())
}

fn key_shared(setup: &Setup, found: &mut Found<'_>) {
    let mut known: Vec<NotifyKey> = Vec::new();
    for plugin in inbound(setup) {
        let Ok(config) = &plugin.parsed else { continue };
        let keys = NotifyConfig::read(config).map(|inbound| inbound.keys).unwrap_or_default();
        let places = plugin.config.down(&["notify", "keys"]).items();
        for (place, one) in places.iter().zip(&keys).filter(|_| config.ledger == Ledger::Separate) {
            let is_shared =
                |other: &NotifyKey| other.key == one.key && other.gateway != one.gateway;
            if known.iter().any(is_shared) {
                let expected = "a key that no other gateway has";
                found.add_as(&place.at("key"), expected, "that of another one");
            }
        }
        known.extend(keys);
    }
}

fn unguarded(setup: &Setup, found: &mut Found<'_>) {
    for proxy in inbound(setup).filter_map(|plugin| setup.stands_in(plugin)) {
        let removed = removed_headers(proxy);
        if !removed.iter().any(|prefix| VERIFIED_HEADER.starts_with(prefix)) {
            let place = proxy.view.at("early_header_mutation_extensions");
            found.add_as(&place, format!("the removal of {VERIFIED_HEADER}"), "none");
        }
        for (_, route) in proxy.routes.all() {
            let asks = route.down(&["match", "headers"]);
            if route.at("route").exists() && !asks.items().iter().any(asks_for_verified) {
                let expected = format!("a match of {VERIFIED_HEADER}: true");
                found.add_as(&asks, expected, "none");
            }
        }
    }
}

/// Whether this part of a route's match lets nothing else pass.
fn asks_for_verified(header: &View) -> bool {
    let exact = [header.down(&["string_match", "exact"]), header.at("exact_match")];
    header.at("name").word().eq_ignore_ascii_case(VERIFIED_HEADER)
        && exact.iter().any(|value| value.text() == Some("true"))
        && !header.at("invert_match").is_true()
        && !header.at("treat_missing_header_as_empty").is_true()
}

fn timeout(setup: &Setup, found: &mut Found<'_>) {
    let leases = inbound(setup).flat_map(|plugin| {
        let lease = plugin.config_or_default().map_or(0, |config| config.claims.lease.get());
        actions(setup, plugin).map(move |action| (Duration::from_millis(lease), action))
    });
    for (most, action) in leases {
        let view = action.at("timeout");
        let timeout = if view.exists() { view.duration() } else { Some(TIMEOUT) };
        if timeout.is_none_or(|timeout| timeout.is_zero() || timeout >= most) {
            found.add(&view, format!("less than idempotency.lease_ms ({} ms)", most.as_millis()));
        }
    }
}

fn retried(setup: &Setup, found: &mut Found<'_>) {
    for action in inbound(setup).flat_map(|plugin| actions(setup, plugin)) {
        let on = action.down(&["retry_policy", "retry_on"]);
        let is_before = |word: &str| ["connect-failure", "refused-stream"].contains(&word.trim());
        if !on.word().is_empty() && !on.word().split(',').all(is_before) {
            found.add(&on, "connect-failure, refused-stream, or nothing");
        }
        let mirrors = action.at("request_mirror_policies");
        if !mirrors.items().is_empty() {
            found.add(&mirrors, "nothing");
        }
    }
}
