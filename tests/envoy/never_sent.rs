//! Ways for a payment not to reach a gateway, and what follows: another gateway where Envoy moves
//! on by itself, "not executed" and a free key where it does not.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};

use super::survival::full_listener;
use crate::support::client::{CREATE, call, order};
use crate::support::envoy::{Envoy, manager, quick, rendered, set_address};
use crate::support::sandbox::Sandbox;

/// Starts Envoy with a changed configuration and pays once.
fn pay(sandbox: &Sandbox, config: &Value) -> (Envoy, crate::support::client::Seen) {
    let envoy = Envoy::start_without_heartbeat(config);
    crate::support::until("the secondary is up", std::time::Duration::from_secs(10), || {
        (envoy.metric("dana_heartbeat_up", "secondary") == 1).then_some(())
    });
    let seen = call(&envoy.listener, CREATE, &order("ONCE"));
    assert_eq!(sandbox.requests("primary", "ONCE").len(), 0);
    (envoy, seen)
}

#[test]
fn a_cluster_without_hosts_is_passed_over() {
    let sandbox = Sandbox::start();
    let mut config = rendered(&sandbox, &quick());
    config["static_resources"]["clusters"][0]["load_assignment"]["endpoints"] = json!([]);
    let (_envoy, seen) = pay(&sandbox, &config);
    assert_eq!((seen.status, seen.header("x-dana-gateway")), (200, Some("secondary")), "{seen:?}");
    assert_eq!(sandbox.executed_at("ONCE"), ["secondary"]);
}

#[test]
fn a_stream_that_is_refused_moves_on() {
    let sandbox = Sandbox::start();
    let gateway = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = rendered(&sandbox, &quick());
    set_address(&mut config, 0, &gateway.local_addr().unwrap().to_string());
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let cluster =
        &mut config["static_resources"]["clusters"][0]["typed_extension_protocol_options"];
    cluster[options]["explicit_http_config"] = json!({"http2_protocol_options": {}});
    std::thread::spawn(move || {
        for socket in gateway.incoming().map_while(Result::ok).take(200) {
            std::thread::spawn(move || refuse_streams(socket));
        }
    });
    let (_envoy, seen) = pay(&sandbox, &config);
    assert_eq!((seen.status, seen.header("x-dana-gateway")), (200, Some("secondary")), "{seen:?}");
    assert_eq!(sandbox.executed_at("ONCE"), ["secondary"]);
}

/// An HTTP/2 server that takes no stream: RST_STREAM with REFUSED_STREAM (RFC 9113 section 8.7).
fn refuse_streams(mut socket: TcpStream) {
    const PREFACE_BYTES: usize = 24;
    const SETTINGS: u8 = 4;
    const HEADERS: u8 = 1;
    const SETTINGS_FRAME: [u8; 9] = [0, 0, 0, SETTINGS, 0, 0, 0, 0, 0];
    const SETTINGS_ACK: [u8; 9] = [0, 0, 0, SETTINGS, 1, 0, 0, 0, 0];
    let mut preface = [0; PREFACE_BYTES];
    if socket.read_exact(&mut preface).is_err() || socket.write_all(&SETTINGS_FRAME).is_err() {
        return;
    }
    let mut head = [0; 9];
    while socket.read_exact(&mut head).is_ok() {
        let length = usize::from(head[1]) * 256 + usize::from(head[2]);
        let mut payload = vec![0; length];
        if socket.read_exact(&mut payload).is_err() {
            return;
        }
        let answer = match head[3] {
            SETTINGS if head[4] == 0 => SETTINGS_ACK.to_vec(),
            HEADERS => [&[0, 0, 4, 3, 0], &head[5..9], &[0, 0, 0, 7]].concat(),
            _ => continue,
        };
        if socket.write_all(&answer).is_err() {
            return;
        }
    }
}

#[test]
fn what_envoy_does_not_retry_is_not_executed_and_leaves_the_key_free() {
    let full = json!({"thresholds": [{"max_connections": 0, "max_pending_requests": 0}]});
    let no_retry = json!({"thresholds": [{"max_retries": 0}]});
    for name in ["overflow", "no such cluster", "too many retries"] {
        let sandbox = Sandbox::start();
        let mut config = rendered(&sandbox, &quick());
        let clusters = &mut config["static_resources"]["clusters"];
        match name {
            "overflow" => {
                for cluster in [0, 2] {
                    clusters[cluster]["circuit_breakers"] = full.clone();
                }
            }
            "too many retries" => {
                sandbox.fault("primary", &json!({"fault": "refuse"}));
                clusters[2]["circuit_breakers"] = no_retry.clone();
            }
            _ => {
                let plugin = crate::support::envoy::plugin(&mut config);
                plugin["configuration"]["value"]["composites"][0]["cluster"] = json!("nowhere");
            }
        }
        let (envoy, seen) = pay(&sandbox, &config);
        assert_eq!(
            (seen.status, seen.outcome().as_str()),
            (503, "not_executed"),
            "{name}: {seen:?}"
        );
        assert_eq!(seen.json()["type"], "urn:dana-failover:never_sent", "{name}");
        // Not in progress, not in doubt: it is tried again as if for the first time.
        let again = call(&envoy.listener, CREATE, &order("ONCE"));
        assert_eq!(again.json()["type"], "urn:dana-failover:never_sent", "{name}");
        assert_eq!(sandbox.executed_at("ONCE").len(), 0, "{name}");
    }
}

/// Time is up while Envoy still waits for its connection.
#[test]
fn a_connection_that_does_not_come_in_time_is_not_executed() {
    let sandbox = Sandbox::start();
    let (listener, _waiting) = full_listener();
    let mut config = rendered(&sandbox, &quick());
    set_address(&mut config, 0, &listener.local_addr().unwrap().to_string());
    config["static_resources"]["clusters"][0]["connect_timeout"] = json!("5s");
    let (envoy, seen) = pay(&sandbox, &config);
    assert_eq!((seen.status, seen.outcome().as_str()), (503, "not_executed"), "{seen:?}");
    assert_eq!(seen.json()["type"], "urn:dana-failover:never_sent");
    let flags = envoy.logged(seen.json()["request_id"].as_str().unwrap())["flags"].clone();
    assert_eq!(flags, "UT");
    assert_eq!(sandbox.executed_at("ONCE").len(), 0);
}

/// Another filter between this one and the router.
#[test]
fn a_rate_limit_behind_the_filter_is_not_executed() {
    let sandbox = Sandbox::start();
    let mut config = rendered(&sandbox, &quick());
    let always = json!({"default_value": {"numerator": 100, "denominator": "HUNDRED"}});
    let limit = json!({
        "name": "limit",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
            "stat_prefix": "limit",
            "token_bucket": {"max_tokens": 1, "tokens_per_fill": 1, "fill_interval": "3600s"},
            "filter_enabled": always,
            "filter_enforced": always,
        },
    });
    manager(&mut config)["http_filters"].as_array_mut().unwrap().insert(1, limit);
    let envoy = Envoy::start_without_heartbeat(&config);
    let pay = |reference: &str| call(&envoy.listener, CREATE, &order(reference));
    assert_eq!(pay("FIRST").status, 200);
    let seen = pay("SECOND");
    assert_eq!((seen.status, seen.outcome().as_str()), (429, "not_executed"), "{seen:?}");
    assert_eq!(seen.header("content-type"), Some("application/problem+json"));
    assert_eq!(seen.json()["type"], "urn:dana-failover:rate_limited");
    assert_eq!(seen.code(), "4295400");
    // Not in doubt, and not in progress.
    assert_eq!(pay("SECOND").json()["type"], "urn:dana-failover:rate_limited");
    assert_eq!(sandbox.executed_at("SECOND").len(), 0);
}
