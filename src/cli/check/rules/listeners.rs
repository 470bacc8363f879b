//! Who can reach what.

use super::super::finding::Severity::{Error, Warning};
use super::super::finding::{Found, Rule};
use super::super::setup::{Listener, Proxy, Setup, Tls, is_local};
use super::super::view::View;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "listener-open",
        severity: Error,
        title: "Anybody in the network may pay",
        why: "The filter cannot verify a merchant's signature, so whoever reaches the listener speaks for every \
              partner.",
        fix: "Listen on loopback, or demand client certificates (require_client_certificate and trusted_ca).",
        check: listener_open,
    },
    Rule {
        id: "clients-unverified",
        severity: Error,
        title: "Client certificates are asked for and not verified",
        why: "Without trusted_ca Envoy lets in clients without a certificate; with ACCEPT_UNTRUSTED anybody's.",
        fix: "Add a trusted_ca to the validation_context and remove trust_chain_verification.",
        check: clients_unverified,
    },
    Rule {
        id: "peers-unverified",
        severity: Error,
        title: "Partners are told apart by certificates that nobody demands",
        why: "scope.peers believes the name in a client's certificate, which then is the client's own word.",
        fix: "Set require_client_certificate: true with a trusted_ca on this listener.",
        check: peers_unverified,
    },
    Rule {
        id: "listener-tls-old",
        severity: Error,
        title: "Merchants may speak an outdated TLS",
        why: "TLS 1.0 and 1.1 are broken; amounts and tokens can be read or changed under way.",
        fix: "Set tls_minimum_protocol_version: TLSv1_2 or later.",
        check: listener_tls_old,
    },
    Rule {
        id: "envoy-admin-open",
        severity: Error,
        title: "Envoy's own admin interface is open to the network",
        why: "Whoever reaches it can read the configuration, and stop or drain this Envoy.",
        fix: "Let admin.address be on loopback or a pipe.",
        check: envoy_admin_open,
    },
    Rule {
        id: "client-names-inexact",
        severity: Warning,
        title: "Client certificates are matched by a part of their names",
        why: "A certificate for a name that merely begins or ends alike is accepted too.",
        fix: "Use exact matchers in match_typed_subject_alt_names.",
        check: client_names_inexact,
    },
];

fn listener_of<'s>(setup: &'s Setup, proxy: &Proxy) -> Option<&'s Listener> {
    setup.listeners.get(proxy.listener)
}

fn listener_open(setup: &Setup, found: &mut Found<'_>) {
    for (_, proxy) in setup.payment_proxies() {
        let open = listener_of(setup, proxy).and_then(Listener::open_address);
        let is_verified = proxy.tls.as_ref().is_some_and(Tls::verifies_clients);
        if let (Some(address), false) = (open, is_verified) {
            let host = address.down(&["socket_address", "address"]);
            found.add(&host, "loopback, or verified client certificates");
        }
    }
}

fn clients_unverified(setup: &Setup, found: &mut Found<'_>) {
    for tls in setup.proxies.iter().filter_map(|proxy| proxy.tls.as_ref()) {
        let required = tls.view.at("require_client_certificate");
        if required.is_true() && !tls.has_authority() {
            found.add(&tls.validation.at("trusted_ca"), "an authority for clients");
        }
        if tls.accepts_untrusted() {
            found.add(&tls.validation.at("trust_chain_verification"), "VERIFY_TRUST_CHAIN");
        }
    }
}

fn peers_unverified(setup: &Setup, found: &mut Found<'_>) {
    for (plugin, proxy) in setup.payment_proxies() {
        let peers = plugin.config.down(&["scope", "peers"]);
        let is_verified = proxy.tls.as_ref().is_some_and(Tls::verifies_clients);
        if !peers.names().is_empty() && !is_verified {
            found.add_as(
                &peers,
                "a listener that verifies client certificates",
                "one that does not",
            );
        }
    }
}

fn listener_tls_old(setup: &Setup, found: &mut Found<'_>) {
    for tls in setup.proxies.iter().filter_map(|proxy| proxy.tls.as_ref()) {
        for (view, version) in [tls.oldest(), tls.newest()] {
            if version < 3 {
                found.add(&view, "TLSv1_2 or TLSv1_3");
            }
        }
    }
}

fn envoy_admin_open(setup: &Setup, found: &mut Found<'_>) {
    let address = setup.bootstrap.down(&["admin", "address"]);
    if address.exists() && !is_local(&address) {
        found.add(&address.down(&["socket_address", "address"]), "loopback, or a pipe");
    }
}

fn client_names_inexact(setup: &Setup, found: &mut Found<'_>) {
    for (_, proxy) in setup.payment_proxies() {
        let names: Vec<View> = proxy.tls.iter().flat_map(Tls::names).collect();
        for name in names.iter().filter(|name| !name.at("exact").exists()) {
            found.add(name, "an exact name");
        }
    }
}
