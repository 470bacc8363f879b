//! TLS of the gateways beside each other: the reserve must not be the weaker channel, or a fault of
//! the first one is a way to get payments onto it.

use super::super::finding::Severity::{Error, Warning};
use super::super::finding::{Found, Rule};
use super::super::setup::{Setup, Socket, Tls};
use super::super::view::View;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "tls-weaker",
        severity: Error,
        title: "A later gateway's channel is weaker than the first one's",
        why: "Whoever makes the first gateway fail gets payments onto the weaker channel.",
        fix: "Give both clusters the same TLS settings but for names and certificates.",
        check: tls_weaker,
    },
    Rule {
        id: "tls-unlike",
        severity: Warning,
        title: "A later gateway's channel differs from the first one's",
        why: "A channel that is set up otherwise fails otherwise, and at the moment when it is needed.",
        fix: "Give both clusters the same TLS settings but for names and certificates.",
        check: tls_unlike,
    },
];

/// The usual sockets of the first gateway and of each later one.
fn pairs(setup: &Setup) -> Vec<(&Socket, &Socket)> {
    let pairs = setup.gateway_pairs().into_iter();
    pairs.filter_map(|(one, other)| Some((one.sockets.first()?, other.sockets.first()?))).collect()
}

fn both(setup: &Setup) -> Vec<(&Tls, &Tls)> {
    let pairs = pairs(setup).into_iter();
    pairs.filter_map(|(one, other)| Some((one.tls.as_ref()?, other.tls.as_ref()?))).collect()
}

fn tls_weaker(setup: &Setup, found: &mut Found<'_>) {
    for (first, later) in pairs(setup) {
        if first.tls.is_some() && later.tls.is_none() {
            found.add_as(&later.view, "TLS, as to the first gateway", "none");
        }
    }
    for (first, later) in both(setup) {
        for (one, other) in [(first.oldest(), later.oldest()), (first.newest(), later.newest())] {
            if other.1 < one.1 {
                let shown = if other.0.exists() { other.0.shows() } else { default(&other.0) };
                found.add_as(&other.0, same(&one.0), shown);
            }
        }
        if first.certificate().exists() && !later.certificate().exists() {
            found.add(&later.certificate(), "a client certificate, as for the first gateway");
        }
        for name in ["cipher_suites", "ecdh_curves"] {
            let (one, other) = (first.parameter(name), later.parameter(name));
            if one.exists() && adds(&one, &other) {
                found.add_as(&other, same(&one), "others too");
            }
        }
        for name in ["crl", "verify_certificate_spki", "verify_certificate_hash"] {
            let (one, other) = (first.validation.at(name), later.validation.at(name));
            if one.exists() && !other.exists() && !later.is_partly_unseen {
                found.add(&other, format!("{name}, as for the first gateway"));
            }
        }
    }
}

fn same(view: &View) -> String {
    let shown = if view.exists() { view.shows() } else { default(view) };
    format!("the same as for the first gateway, {shown}")
}

fn default(view: &View) -> String {
    if view.path.ends_with("protocol_version") {
        return "Envoy's default, TLS 1.2".to_owned();
    }
    "nothing".to_owned()
}

/// Whether a list allows what the first does not; none allows all.
fn adds(first: &View, later: &View) -> bool {
    let known: Vec<_> = first.items().iter().map(View::json).collect();
    let items = later.items();
    items.is_empty() || items.iter().any(|item| !known.contains(&item.json()))
}

fn tls_unlike(setup: &Setup, found: &mut Found<'_>) {
    for (first, later) in pairs(setup) {
        if first.tls.is_none() && later.tls.is_some() {
            found.add_as(&later.view, "no TLS, as to the first gateway", "TLS");
        }
    }
    for (first, later) in both(setup) {
        for (one, other) in [(first.oldest(), later.oldest()), (first.newest(), later.newest())] {
            if other.1 > one.1 {
                found.add(&other.0, same(&one.0));
            }
        }
        if !first.certificate().exists() && later.certificate().exists() {
            found.add(&later.certificate(), "no client certificate, as for the first gateway");
        }
        for (one, other) in settings(first).iter().zip(&settings(later)) {
            if !one.is_same_as(other) {
                found.add(other, same(one));
            }
        }
        let names = [first, later].map(|tls| tls.view.at("sni").exists());
        if names[0] != names[1] {
            found.add(
                &later.view.at("sni"),
                "a name where the first gateway has one, and only there",
            );
        }
    }
}

/// What is alike for gateways of one operator, and neither weaker nor stronger by itself.
fn settings(tls: &Tls) -> Vec<View> {
    let mut settings = ["cipher_suites", "ecdh_curves", "signature_algorithms"]
        .map(|name| tls.parameter(name))
        .to_vec();
    settings.extend(["trusted_ca", "system_root_certs", "crl"].map(|name| tls.validation.at(name)));
    settings.push(tls.common.at("alpn_protocols"));
    settings
}
