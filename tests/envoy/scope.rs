//! Under which names a payment comes, and who may speak for whom: header keys, customers' tokens,
//! client certificates. And observing, before anything is enforced.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{CREATE, TOPUP, about, call, call_anew, call_as, order, send};
use crate::support::envoy::{Envoy, quick, rendered, with};
use crate::support::sandbox::Sandbox;
use crate::support::tls::{Authority, Identity};
use crate::support::until;

const PARTNER: &str = "2025021312345678901234";

#[test]
fn a_header_key_belongs_to_the_payment_it_was_first_used_for() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &quick()));
    let keyed = |reference: &str, key: &str| {
        let headers = [("x-partner-id", PARTNER), ("idempotency-key", key)];
        send(&envoy.listener, CREATE, &headers, order(reference).to_string().as_bytes())
    };
    let first = keyed("KEYED-1", "\"k-1\"");
    assert_eq!(first.status, 200);
    let again = keyed("KEYED-1", "k-1");
    assert_eq!(
        (again.header("idempotent-replayed"), again.body == first.body),
        (Some("true"), true)
    );
    let other = keyed("KEYED-2", "k-1");
    assert_eq!((other.status, other.code().as_str()), (404, "4045418"), "{other:?}");
    assert_eq!(sandbox.requests("primary", "KEYED-2").len(), 0);
    let sent = &sandbox.requests("primary", "KEYED-1")[0]["headers"]["idempotency-key"];
    assert_ne!(sent, "\"k-1\"", "the gateway gets the key that is the same for every attempt");
    let two = keyed("KEYED-3", "\"a\", \"b\"");
    assert_eq!((two.status, two.code().as_str()), (400, "4005401"));
    // Nothing was executed under it, so it is free.
    sandbox.fault("primary", &json!({"fault": "refuse"}));
    sandbox.fault("secondary", &json!({"fault": "refuse"}));
    assert_eq!(keyed("KEYED-4", "k-4").outcome(), "not_executed");
    sandbox.heal("primary");
    sandbox.heal("secondary");
    let freed = until("a gateway is there again", Duration::from_secs(5), || {
        let answer = keyed("KEYED-5", "k-4");
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(freed.code(), "2005400");
}

#[test]
fn a_customers_token_leads_to_the_gateway_that_issued_it() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &quick()));
    // Issued by the secondary, because the primary could not be reached.
    sandbox.fault("primary", &json!({"fault": "refuse"}));
    let body = json!({"grantType": "AUTHORIZATION_CODE", "authCode": "c-1", "refreshToken": ""});
    let issued = call(&envoy.listener, "/v1.0/access-token/b2b2c.htm", &body);
    assert_eq!((issued.status, issued.header("x-dana-gateway")), (200, Some("secondary")));
    sandbox.heal("primary");
    let token = format!("Bearer {}", issued.json()["accessToken"].as_str().unwrap());
    let pay = |reference: &str, token: &str| {
        let headers = [("x-partner-id", PARTNER), ("authorization-customer", token)];
        send(&envoy.listener, CREATE, &headers, order(reference).to_string().as_bytes())
    };
    assert_eq!(pay("TOKEN-1", &token).header("x-dana-gateway"), Some("secondary"));
    sandbox.fault("secondary", &json!({"fault": "refuse"}));
    let down = pay("TOKEN-2", &token);
    assert_eq!((down.status, down.outcome().as_str()), (503, "not_executed"), "{down:?}");
    assert_eq!(sandbox.requests("primary", "TOKEN-2").len(), 0, "it never fails over");
    let unknown = pay("TOKEN-3", "Bearer somebody-elses");
    assert_eq!(unknown.header("x-dana-gateway"), Some("primary"));
}

#[test]
fn observing_sends_everything_on_as_it_came_and_what_it_saw_is_in_doubt_once_enforced() {
    let sandbox = Sandbox::start();
    let observing = rendered(&sandbox, &with(quick(), &json!({"mode": "observe"})));
    let envoy = Envoy::start_updatable(&observing);
    let watched = |reference: &str, id: &str, expected: &str| {
        let headers = [("x-partner-id", PARTNER), ("x-request-id", id)];
        let answer =
            send(&envoy.listener, CREATE, &headers, order(reference).to_string().as_bytes());
        let note = envoy.logged(id)["dana"].as_str().unwrap_or_default().to_owned();
        assert!(note.contains("decision=observe") && note.contains(expected), "{note}");
        answer
    };
    let direct = |reference: &str| call(&sandbox.primary, CREATE, &order(reference));
    let first = watched("SEEN-1", "0a000000-0000-4000-8000-000000000001", "would=forward");
    let again = watched("SEEN-1", "0a000000-0000-4000-8000-000000000002", "would=replay");
    assert_eq!(
        (first.status, &again.body, again.header("idempotent-replayed")),
        (200, &first.body, None)
    );
    assert_eq!(sandbox.requests("primary", "SEEN-1").len(), 2, "it was sent on");
    assert_eq!(direct("SEEN-1").body, first.body, "as it came");
    // What would be withheld is let through, and what would be moved is not.
    let fault = json!({"fault": "raw", "status": 403, "body": "denied", "reference": "SEEN-2",
        "count": 1});
    sandbox.fault("primary", &fault);
    let denied = watched("SEEN-2", "0a000000-0000-4000-8000-000000000003", "would=forward");
    assert_eq!((denied.status, denied.body.as_slice()), (403, b"denied".as_slice()));
    let bare = send(&envoy.listener, "/nothing/known", &[], b"{}");
    assert_eq!(bare.status, 404, "whatever the gateway says of it");
    assert_eq!(sandbox.stats()["secondary"]["requests"], 0);

    let enforcing = rendered(&sandbox, &quick());
    assert!(envoy.update(&enforcing));
    until("payments are claimed", Duration::from_secs(10), || {
        let answer = call_anew(&envoy.listener, TOPUP, &json!({}));
        (answer.status == 400).then_some(())
    });
    for reference in ["SEEN-1", "SEEN-2"] {
        let settled = until("the repeat is answered", Duration::from_secs(5), || {
            let answer = call_anew(&envoy.listener, CREATE, &order(reference));
            assert!(answer.status == 200 || answer.outcome() == "unknown", "{answer:?}");
            (answer.status == 200).then_some(answer)
        });
        assert_eq!(settled.header("x-dana-gateway"), Some("primary"));
        let status = call_anew(&envoy.listener, CREATE, &order(reference));
        assert_eq!(status.header("idempotent-replayed"), Some("true"), "now it is enforced");
        assert_eq!(sandbox.executed_at(reference), ["primary"]);
    }
}

/// TLS to clients: who has a certificate must have one of this authority.
fn behind_tls(config: &mut Value, server: &Identity, authority: &Authority, obliged: bool) {
    let inline = |text: &str| json!({ "inline_string": text });
    let tls = json!({
        "name": "tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": obliged,
            "common_tls_context": {
                "tls_certificates": [{
                    "certificate_chain": inline(&server.certificate),
                    "private_key": inline(&server.key),
                }],
                "validation_context": {"trusted_ca": inline(&authority.certificate())},
            },
        },
    });
    config["static_resources"]["listeners"][0]["filter_chains"][0]["transport_socket"] = tls;
}

#[test]
fn only_whom_a_verified_certificate_names_may_speak_for_a_partner() {
    let (sandbox, authority, stranger) = (Sandbox::start(), Authority::new(), Authority::new());
    let peers = json!({"scope": {"peers": {
        "spiffe://shop/a": [PARTNER], "spiffe://shop/b": ["somebody-else"], "c.shop": [PARTNER],
    }}});
    let mut config = rendered(&sandbox, &with(quick(), &peers));

    behind_tls(&mut config, &authority.vouch_for("127.0.0.1"), &authority, false);
    let envoy = Envoy::start(&config);
    let pay = |identity: Option<&Identity>, reference: &str| {
        call_as(identity, &authority.certificate(), &envoy.listener, CREATE, &order(reference))
    };
    for (name, reference) in [("spiffe://shop/a", "PEER-A"), ("c.shop", "PEER-C")] {
        let paid = pay(Some(&authority.vouch_for(name)), reference);
        assert_eq!(paid.status, 200, "{name}: {paid:?}");
    }
    let others = ["spiffe://shop/b", "spiffe://shop/d"].map(|name| authority.vouch_for(name));
    for identity in others.iter().map(Some).chain([None]) {
        let refused = pay(identity, "PEER-A");
        assert_eq!((refused.status, refused.code().as_str()), (403, "4035401"), "{refused:?}");
        assert_eq!(refused.json()["type"], "urn:dana-failover:peer", "not even a replay");
        let asked = crate::support::client::STATUS;
        let status =
            call_as(identity, &authority.certificate(), &envoy.listener, asked, &about("PEER-A"));
        assert_eq!(status.status, 403, "nor a status");
    }
    // Nobody whom another authority vouches for gets as far as the filter.
    let forged = pay(Some(&stranger.vouch_for("spiffe://shop/a")), "PEER-F");
    assert_eq!(forged.status, 0, "{forged:?}");
    assert_eq!(sandbox.requests("primary", "PEER-F").len(), 0);
}
