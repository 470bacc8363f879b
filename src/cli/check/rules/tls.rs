//! TLS to gateways, each for itself.

use super::super::finding::Severity::{Error, Note, Warning};
use super::super::finding::{Found, Rule};
use super::super::setup::{Cluster, Setup, Tls};

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "tls-absent",
        severity: Error,
        title: "Payments leave this machine in the clear",
        why: "Whoever is on the way can read tokens, change amounts and answer in the gateway's place.",
        fix: "Give the cluster a transport_socket with UpstreamTlsContext.",
        check: tls_absent,
    },
    Rule {
        id: "tls-authority",
        severity: Error,
        title: "A gateway's certificate is not verified",
        why: "Without an authority Envoy accepts every certificate, so anybody can be the gateway.",
        fix: "Set validation_context.trusted_ca to the official CA.",
        check: tls_authority,
    },
    Rule {
        id: "tls-names",
        severity: Error,
        title: "A gateway's name is not verified",
        why: "Every certificate of the same CA is accepted, also one for somebody else.",
        fix: "Add match_typed_subject_alt_names with the exact DNS name of the gateway.",
        check: tls_names,
    },
    Rule {
        id: "tls-names-inexact",
        severity: Warning,
        title: "A gateway's name is verified in part",
        why: "A certificate for a name that merely begins, ends or reads alike is accepted too.",
        fix: "Use matcher: {exact: NAME}.",
        check: tls_names_inexact,
    },
    Rule {
        id: "tls-untrusted-accepted",
        severity: Error,
        title: "Certificates that do not verify are accepted",
        why: "ACCEPT_UNTRUSTED lets anybody be the gateway, and everything else looks as if it were verified.",
        fix: "Remove trust_chain_verification.",
        check: tls_untrusted,
    },
    Rule {
        id: "tls-renegotiation",
        severity: Error,
        title: "A gateway or etcd may renegotiate TLS",
        why: "The peer could become another one in the middle of a connection.",
        fix: "Remove allow_renegotiation.",
        check: tls_renegotiation,
    },
    Rule {
        id: "tls-old",
        severity: Error,
        title: "An outdated TLS is spoken to a gateway or to etcd",
        why: "TLS 1.0 and 1.1 are broken; amounts and tokens can be read or changed under way.",
        fix: "Set tls_minimum_protocol_version: TLSv1_2 or leave it at Envoy's default, which is that.",
        check: tls_old,
    },
    Rule {
        id: "tls-key-log",
        severity: Error,
        title: "The keys of connections are written to a file",
        why: "Whoever reads it can read every payment and token that was recorded on the way.",
        fix: "Remove key_log.",
        check: tls_key_log,
    },
    Rule {
        id: "tls-sni",
        severity: Warning,
        title: "A gateway is not told which name is meant",
        why: "A server with several names answers with the certificate of another one, and connections fail.",
        fix: "Set sni to the gateway's DNS name.",
        check: tls_sni,
    },
    Rule {
        id: "tls-13-client-certificate",
        severity: Note,
        title: "A refused client certificate is noticed only after sending",
        why: "With TLS 1.3 the payment is on its way when the gateway refuses the certificate: it is in doubt \
              and not moved to the next gateway.",
        fix: "Leave the maximum at Envoy's default, TLS 1.2, unless the gateways demand 1.3; watch the \
               certificate's expiry.",
        check: tls_13,
    },
];

/// Every TLS by which gateways are reached, with its cluster.
fn contexts(setup: &Setup) -> impl Iterator<Item = (&Cluster, &Tls)> {
    setup.gateway_clusters().flat_map(|(_, cluster)| {
        let sockets = cluster.sockets.iter();
        sockets.filter_map(move |socket| Some((cluster, socket.tls.as_ref()?)))
    })
}

/// The same, and those by which etcd is.
fn all_contexts(setup: &Setup) -> impl Iterator<Item = &Tls> {
    let sockets = setup.etcd_clusters().flat_map(|cluster| &cluster.sockets);
    let etcd = sockets.filter_map(|socket| socket.tls.as_ref());
    contexts(setup).map(|(_, tls)| tls).chain(etcd)
}

fn tls_absent(setup: &Setup, found: &mut Found<'_>) {
    for (_, cluster) in setup.gateway_clusters() {
        let away = cluster.endpoints.iter().find(|endpoint| !endpoint.is_local());
        let Some(endpoint) = away else { continue };
        for socket in cluster.sockets.iter().filter(|socket| socket.tls.is_none()) {
            let to = endpoint.socket().map_or_else(|| "another machine".to_owned(), |at| at.0);
            found.add_as(&socket.view, format!("TLS to {to}"), "none");
        }
    }
}

fn tls_authority(setup: &Setup, found: &mut Found<'_>) {
    for (_, tls) in contexts(setup) {
        if !tls.has_authority() {
            found.add(&tls.validation.at("trusted_ca"), "an authority");
        }
    }
}

fn tls_names(setup: &Setup, found: &mut Found<'_>) {
    for (_, tls) in contexts(setup) {
        if !tls.names_the_peer() {
            let place = tls.validation.at("match_typed_subject_alt_names");
            found.add(&place, "the exact name of the gateway");
        }
    }
}

fn tls_names_inexact(setup: &Setup, found: &mut Found<'_>) {
    for (_, tls) in contexts(setup) {
        for name in tls.names().iter().filter(|name| !name.at("exact").exists()) {
            let kinds = name.names();
            found.add_as(name, "an exact name", kinds.first().map_or("none", String::as_str));
        }
    }
}

fn tls_untrusted(setup: &Setup, found: &mut Found<'_>) {
    for (_, tls) in contexts(setup) {
        if tls.accepts_untrusted() {
            found.add(&tls.validation.at("trust_chain_verification"), "VERIFY_TRUST_CHAIN");
        }
    }
}

fn tls_renegotiation(setup: &Setup, found: &mut Found<'_>) {
    for tls in all_contexts(setup) {
        let view = tls.view.at("allow_renegotiation");
        if view.is_true() {
            found.add(&view, "false or nothing");
        }
    }
}

fn tls_old(setup: &Setup, found: &mut Found<'_>) {
    for tls in all_contexts(setup) {
        for (view, version) in [tls.oldest(), tls.newest()] {
            if version < 3 {
                found.add(&view, "TLSv1_2 or TLSv1_3");
            }
        }
    }
}

fn tls_key_log(setup: &Setup, found: &mut Found<'_>) {
    let clients = setup.proxies.iter().filter_map(|proxy| proxy.tls.as_ref());
    for tls in all_contexts(setup).chain(clients) {
        let view = tls.common.at("key_log");
        if view.exists() {
            found.add(&view, "nothing");
        }
    }
}

fn tls_sni(setup: &Setup, found: &mut Found<'_>) {
    for (cluster, tls) in contexts(setup) {
        let by_host = tls.view.at("auto_host_sni").is_true();
        let by_request =
            cluster.http.down(&["upstream_http_protocol_options", "auto_sni"]).is_true();
        let sni = tls.view.at("sni");
        if sni.word().is_empty() && !by_host && !by_request {
            found.add(&sni, "the gateway's DNS name");
        }
    }
}

fn tls_13(setup: &Setup, found: &mut Found<'_>) {
    for (_, tls) in contexts(setup) {
        let (view, newest) = tls.newest();
        if newest > 3 && tls.certificate().exists() {
            found.add(&view, "TLSv1_2 where client certificates are used");
        }
    }
}
