//! TLS to an etcd that several Envoys share: who stands in for it says which payments were made.

use super::super::finding::Severity::{Error, Warning};
use super::super::finding::{Found, Rule};
use super::super::setup::{Cluster, Setup, Tls};
use super::super::view::View;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "etcd-plaintext",
        severity: Error,
        title: "Claims leave this machine in the clear",
        why: "Whoever is on the way can answer in etcd's place that a payment was never made, and it is made again.",
        fix: "Give the cluster a transport_socket with UpstreamTlsContext, as envoy/etcd-tls.yaml has it.",
        check: plaintext,
    },
    Rule {
        id: "etcd-unverified",
        severity: Error,
        title: "Etcd's certificate is not verified to the letter",
        why: "Anybody with a certificate that passes can answer in etcd's place that a payment was never made.",
        fix: "Set trusted_ca and match_typed_subject_alt_names with exact names, and remove \
              trust_chain_verification.",
        check: unverified,
    },
    Rule {
        id: "etcd-client-certificate",
        severity: Error,
        title: "Etcd is shown no client certificate",
        why: "It takes the user from the certificate's common name: an etcd that asks for one refuses every claim, \
              and one that does not lets anybody write.",
        fix: "Give common_tls_context a certificate whose common name is the user of the realm.",
        check: client_certificate,
    },
    Rule {
        id: "etcd-alpn",
        severity: Warning,
        title: "HTTP/2 is not asked for by name",
        why: "Newer versions of etcd refuse connections without ALPN.",
        fix: "Set alpn_protocols: [h2] in common_tls_context, and tls_options: {alpn_protocols: [http/1.1]} in the \
              health check.",
        check: alpn,
    },
    Rule {
        id: "etcd-health-check-alpn",
        severity: Error,
        title: "Health checks of etcd ask for one protocol and speak another",
        why: "Etcd answers in HTTP/2 what is asked in HTTP/1, or the other way round: every member counts as \
              unhealthy, and no payment is made.",
        fix: "Set tls_options: {alpn_protocols: [http/1.1]} in the health check, and no codec_client_type.",
        check: health_check_alpn,
    },
];

/// Every TLS by which etcd is reached, with its cluster.
fn contexts(setup: &Setup) -> impl Iterator<Item = (&Cluster, &Tls)> {
    setup.etcd_clusters().flat_map(|cluster| {
        let sockets = cluster.sockets.iter();
        sockets.filter_map(move |socket| Some((cluster, socket.tls.as_ref()?)))
    })
}

fn plaintext(setup: &Setup, found: &mut Found<'_>) {
    for cluster in setup.etcd_clusters() {
        let Some(endpoint) = cluster.endpoints.iter().find(|one| !one.is_local()) else { continue };
        for socket in cluster.sockets.iter().filter(|socket| socket.tls.is_none()) {
            let to = endpoint.socket().map_or_else(|| "another machine".to_owned(), |at| at.0);
            found.add_as(&socket.view, format!("TLS to {to}"), "none");
        }
    }
}

fn unverified(setup: &Setup, found: &mut Found<'_>) {
    for (_, tls) in contexts(setup) {
        if !tls.has_authority() {
            found.add(&tls.validation.at("trusted_ca"), "an authority");
        }
        if !tls.names_the_peer() {
            let place = tls.validation.at("match_typed_subject_alt_names");
            found.add(&place, "the exact name of its members");
        }
        for name in tls.names().iter().filter(|name| !name.at("exact").exists()) {
            let kinds = name.names();
            found.add_as(name, "an exact name", kinds.first().map_or("none", String::as_str));
        }
        if tls.accepts_untrusted() {
            found.add(&tls.validation.at("trust_chain_verification"), "VERIFY_TRUST_CHAIN");
        }
    }
}

fn client_certificate(setup: &Setup, found: &mut Found<'_>) {
    for (_, tls) in contexts(setup) {
        let certificate = tls.certificate();
        if !certificate.exists() {
            found.add(&certificate, "a certificate that names the user");
        }
    }
}

fn protocols(list: &View) -> Vec<String> {
    list.items().iter().map(|one| one.word().to_owned()).collect()
}

fn alpn(setup: &Setup, found: &mut Found<'_>) {
    for (_, tls) in contexts(setup) {
        let list = tls.common.at("alpn_protocols");
        if protocols(&list).first().map(String::as_str) != Some("h2") {
            found.add(&list, "h2");
        }
    }
}

/// What a check asks for is its own list, or else that of the connection.
fn health_check_alpn(setup: &Setup, found: &mut Found<'_>) {
    for (cluster, tls) in contexts(setup) {
        for check in cluster.view.at("health_checks").items() {
            let codec = check.down(&["http_health_check", "codec_client_type"]);
            let speaks = match codec.choice(&["HTTP1", "HTTP2", "HTTP3"]) {
                Some("HTTP2") => "h2",
                Some(_) | None => "http/1.1",
            };
            let own = check.down(&["tls_options", "alpn_protocols"]);
            let asked = if own.exists() { &own } else { &tls.common.at("alpn_protocols") };
            // Without a name etcd speaks HTTP/1.
            let asks = protocols(asked).into_iter().next().unwrap_or_else(|| "http/1.1".to_owned());
            if asks != speaks && check.at("http_health_check").exists() {
                found.add_as(&own, speaks, asks);
            }
        }
    }
}
