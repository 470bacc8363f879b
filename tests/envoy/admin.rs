//! The operators' listener: what it tells, what it lets in, and that it stands by itself.

mod doubt;
mod overrides;
mod schema;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{self, CREATE, Seen, call, call_anew, order};
use crate::support::envoy::{
    Envoy, MODULES, TOKEN, admin_plugin, plugin, quick, rendered, trapping, validate,
};
use crate::support::operator::{ask, get, post, status};
use crate::support::sandbox::Sandbox;
use crate::support::{module, until};

const PATIENCE: Duration = Duration::from_secs(15);

fn start() -> (Sandbox, Envoy) {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &quick()));
    (sandbox, envoy)
}

/// Pays, over a connection of its own: whichever worker takes it.
fn pay(envoy: &Envoy, reference: &str) -> Seen {
    call_anew(&envoy.listener, CREATE, &order(reference))
}

/// Pays with answers of `gateway` that kill the payments' VM, until each worker's has died.
fn kill_both_workers(sandbox: &Sandbox, envoy: &Envoy, gateway: &str) {
    let mut number = 0;
    until("both workers have died", PATIENCE, || {
        number += 1;
        let reference = format!("DEADLY-{number}");
        sandbox.fault(gateway, &json!({"fault": "trap", "reference": reference}));
        pay(envoy, &reference);
        let log = envoy.log();
        let deaths = log.lines().filter(|line| line.contains("proxy_on_response_headers failed"));
        let workers: BTreeSet<_> =
            deaths.filter_map(|line| line.split(['[', ']']).nth(3)).collect();
        (workers.len() == 2).then_some(())
    });
}

#[test]
fn nobody_comes_in_without_the_token() {
    let (_sandbox, envoy) = start();
    let wrong = format!("Bearer {}0", &TOKEN[..63]);
    for authorization in [None, Some(wrong.as_str()), Some("Basic YW5uYTp3cm9uZw=="), Some(TOKEN)] {
        for (method, path) in [("GET", "/status"), ("GET", "/nothing"), ("POST", "/override")] {
            let headers: Vec<(&str, &str)> =
                authorization.iter().map(|value| ("authorization", *value)).collect();
            let seen = client::ask(method, &envoy.operators, path, &headers, b"");
            assert_eq!(seen.status, 401, "{method} {path} {seen:?}");
            let challenges = seen.headers.iter().filter(|(name, _)| name == "www-authenticate");
            assert_eq!(challenges.count(), 2, "{seen:?}");
        }
    }
    assert_eq!(get(&envoy, "/status").status, 200);
    // A browser's way: the token as a password.
    let origin = envoy.operators.clone();
    let basic = format!("Basic {}", base64(&format!("anna:{TOKEN}")));
    let headers = [("authorization", basic.as_str()), ("accept", "text/html,*/*;q=0.8")];
    let page = client::ask("GET", &origin, "/status", &headers, b"");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let logged = envoy.log() + &json!(envoy.access_log()).to_string();
    assert!(!logged.contains(TOKEN) && !logged.contains(&basic), "the token is in a log");
}

fn base64(text: &str) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |bytes: &[u8]| {
        let number = (0..3)
            .fold(0, |sum: usize, at| sum << 8 | usize::from(bytes.get(at).copied().unwrap_or(0)));
        let letters = [18, 12, 6, 0].map(|shift| char::from(LETTERS[number >> shift & 63]));
        letters.into_iter().take(bytes.len() + 1).collect::<String>()
    };
    text.as_bytes().chunks(3).map(group).collect()
}

#[test]
fn what_is_asked_for_wrongly_is_refused_with_the_reason() {
    let (_sandbox, envoy) = start();
    let json = "application/json";
    let long = " ".repeat(4097);
    let longer = " ".repeat(1 << 20);
    let cases = [
        ("GET /nothing", "", "", 404),
        ("PUT /status", json, "{}", 405),
        ("GET /override", "", "", 405),
        ("POST /override", "text/plain", "{}", 415),
        ("POST /override", json, "{}", 400),
        ("POST /resolve", json, "[", 400),
        ("POST /override", json, &long, 413),
        ("POST /override", json, &longer, 413),
    ];
    for (line, content_type, body, expected) in cases {
        let (method, path) = line.split_once(' ').unwrap();
        let headers = [("content-type", content_type)];
        let headers = if content_type.is_empty() { &[] } else { headers.as_slice() };
        let seen = ask(&envoy, method, path, headers, body.as_bytes());
        // Who sends a megabyte may find the connection closed before it was all read.
        if body.len() > 1 << 16 && seen.status == 0 {
            continue;
        }
        assert_eq!(seen.status, expected, "{method} {path} {seen:?}");
        assert_eq!(seen.header("content-type"), Some("application/problem+json"), "{seen:?}");
        assert_eq!(seen.header("cache-control"), Some("no-store"));
        assert_eq!(seen.json()["status"], expected);
    }
    for path in ["/", "/status"] {
        let (whole, head) = (get(&envoy, path), ask(&envoy, "HEAD", path, &[], b""));
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        assert_eq!(head.header("content-type"), whole.header("content-type"));
    }
}

#[test]
fn a_death_at_the_operators_does_not_reach_the_payments() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&trapping(&sandbox, &quick()));
    for n in 0..6 {
        let seen = ask(&envoy, "GET", "/status", &[("x-trap", "1")], b"");
        assert_eq!(seen.status, 503, "{seen:?}");
        for worker in 0..4 {
            let paid = pay(&envoy, &format!("FINE-{n}-{worker}"));
            assert_eq!(paid.status, 200, "{paid:?}");
        }
        until("operators are served again", PATIENCE, || {
            (get(&envoy, "/status").status == 200).then_some(())
        });
    }
    assert!(envoy.log().contains("proxy_on_request_headers failed"), "it died");
}

#[test]
fn operators_see_on_while_the_payments_filter_is_dead() {
    let sandbox = Sandbox::start();
    let mut config = trapping(&sandbox, &quick());
    // It stays dead.
    plugin(&mut config)["failure_policy"] = json!("FAIL_CLOSED");
    let envoy = Envoy::start(&config);
    assert_eq!(call(&envoy.listener, CREATE, &order("BEFORE")).status, 200);
    kill_both_workers(&sandbox, &envoy, "primary");
    let dead = pay(&envoy, "DEAD");
    assert!(dead.status >= 500, "{dead:?}");
    let seen = status(&envoy);
    assert_eq!(seen["gateways"][0]["name"], "primary");
    let forced = json!({"gateway": "secondary", "steer": "force", "ttl_s": 60,
                         "reason": "the filter is dead", "actor": "anna"});
    assert_eq!(post(&envoy, "/override", &forced).status, 200);
}

#[test]
fn a_module_in_the_place_of_the_other_is_refused_and_names_the_right_file() {
    let sandbox = Sandbox::start();
    for (plugin, loaded, right) in
        [(plugin as fn(&mut Value) -> &mut Value, 1, 0), (admin_plugin, 0, 1)]
    {
        let mut config = rendered(&sandbox, &quick());
        assert!(validate(&config).0, "each in its place");
        plugin(&mut config)["vm_config"]["code"]["local"]["filename"] =
            json!(module(MODULES[loaded]));
        let (valid, why) = validate(&config);
        let told =
            format!("this module is {}: load {} here instead", MODULES[loaded], MODULES[right]);
        assert!(!valid && why.contains(&told), "{why}");
    }
}

#[test]
fn a_listener_without_its_own_token_or_gateways_says_so() {
    let sandbox = Sandbox::start();
    let mut config = rendered(&sandbox, &quick());
    admin_plugin(&mut config)["configuration"]["value"]["admin"]["token_sha256"] = json!("s3cret");
    let (valid, why) = validate(&config);
    assert!(!valid && why.contains("admin.token_sha256: expected the SHA-256"), "{why}");
    assert!(!why.contains("s3cret"), "{why}");

    let mut config = rendered(&sandbox, &quick());
    admin_plugin(&mut config)["vm_config"]["vm_id"] = json!("another");
    let envoy = Envoy::start(&config);
    let seen = get(&envoy, "/status");
    assert_eq!((seen.status, seen.header("retry-after")), (503, Some("1")), "{seen:?}");
    assert!(seen.json()["detail"].as_str().unwrap().contains("goes by another vm_id"), "{seen:?}");
}
