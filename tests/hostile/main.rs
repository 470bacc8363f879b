//! Whatever strangers send to a real Envoy, and whatever gateways answer: the filter's VM does not
//! die of it, its memory stays, no payment reaches two gateways, and who pays honestly still does.
//!
//! - `shapes`: requests that are hostile in what they say and in how they are put on the wire
//! - `wire`: connections that send them over HTTP/1, kept, pipelined, cut and slow
//! - `streams`: the same over HTTP/2: trailers, resets, many at once
//! - `gateway`: answers that are hostile, and a list of which payments came
//!
//! `HOSTILE_REQUESTS` says how many; `make hostile` sends a million.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod gateway;
mod random;
mod shapes;
mod streams;
mod wire;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use gateway::Gateway;
use random::Random;
use support::client::{CREATE, call, get, order};
use support::envoy::{Envoy, manager, quick, reference, rendered_from, trapping, with};
use support::sandbox::Sandbox;

/// Kept connections that send at once.
const CONNECTIONS: u64 = 24;
/// Connections over HTTP/2.
const MULTIPLEXED: u64 = 2;
/// How much Envoy may grow after the first third: allocators keep a little for later.
const GROWTH_KIB_MAX: u64 = 12 * 1024;

/// What everybody who sends knows.
pub(crate) struct Siege {
    pub(crate) address: String,
    pub(crate) is_over: AtomicBool,
    /// Requests that were sent, for the eye.
    pub(crate) sent: AtomicU64,
}

#[expect(clippy::disallowed_methods, reason = "how many is not the engine's to know")]
fn requests_wanted() -> u64 {
    let value = std::env::var("HOSTILE_REQUESTS").ok();
    value.map_or(20_000, |value| value.parse().expect("HOSTILE_REQUESTS is a number"))
}

/// How often a VM of the filter has died or failed to come back, as Envoy counts it, and what its
/// log says of that.
fn deaths(envoy: &Envoy) -> u64 {
    let stats = get(&envoy.admin, "/stats?filter=vm_reload&format=json").json();
    let stats = stats["stats"].as_array().cloned().unwrap_or_default();
    let counted: u64 = stats.iter().filter_map(|stat| stat["value"].as_u64()).sum();
    let log = envoy.log();
    let told =
        log.lines().filter(|line| line.contains("Uncaught") || line.contains("in-VM backtrace"));
    counted + told.count() as u64
}

/// Requests that reached the filter's listener, as Envoy counts them.
fn received(envoy: &Envoy) -> u64 {
    envoy.stat("http.dana.downstream_rq_total")
}

fn config(primary: &Gateway, secondary: &Gateway) -> Value {
    // Payments are few and kept for good, so that each is met again and again, in whatever state.
    let store = json!({"bodies_max": 256, "store": {"local": {"claims_max": 32768}}});
    let changes = with(quick(), &json!({ "idempotency": store }));
    let gateways = [primary.address.as_str(), secondary.address.as_str()];
    let mut config = rendered_from(reference(), gateways, &changes);
    manager(&mut config)["http_protocol_options"] = json!({"enable_trailers": true});
    config
}

#[test]
fn strangers_do_not_hurt() {
    let runtime = Runtime::new().unwrap();
    let (primary, secondary) = (Gateway::start(&runtime, true), Gateway::start(&runtime, false));
    let envoy = Envoy::start(&config(&primary, &secondary));
    let wanted = requests_wanted();
    let address = envoy.listener.clone();
    let siege =
        Arc::new(Siege { address, is_over: AtomicBool::new(false), sent: AtomicU64::new(0) });
    let senders: Vec<_> =
        (0..CONNECTIONS)
            .map(|n| runtime.spawn(wire::besiege(Arc::clone(&siege), Random::new(n + 1))))
            .chain((0..MULTIPLEXED).map(|n| {
                runtime.spawn(streams::besiege(Arc::clone(&siege), Random::new(1000 + n)))
            }))
            .chain([runtime.spawn(wire::dawdle(Arc::clone(&siege)))])
            .collect();
    let mut settled_kib = None;
    let limit = Duration::from_secs(60 + wanted / 200);
    support::until("all of it was sent", limit, || {
        support::pause(Duration::from_millis(200));
        let so_far = received(&envoy);
        assert_eq!(deaths(&envoy), 0, "after {so_far} requests");
        if so_far > wanted / 3 {
            settled_kib.get_or_insert_with(|| envoy.resident_kib());
        }
        tell(so_far, wanted, &envoy);
        (so_far >= wanted).then_some(())
    });
    siege.is_over.store(true, Ordering::Relaxed);
    for sender in senders {
        runtime.block_on(sender).expect("nobody who sends has failed");
    }
    let grown = envoy.resident_kib().saturating_sub(settled_kib.unwrap());
    assert!(grown <= GROWTH_KIB_MAX, "Envoy grew by {grown} KiB");
    assert_eq!(deaths(&envoy), 0);
    primary.stay();
    both_hold_nothing(&primary, &secondary);
    all_ways_were_gone(&envoy, wanted);
    // Each worker's VM still decides, and pays.
    for (number, line) in envoy.lines().iter().enumerate() {
        let paid = line.pay(&envoy.listener, &format!("{}{number}", gateway::HONEST));
        assert_eq!((paid.status, paid.code().as_str()), (200, "2005400"), "{paid:?}");
    }
    conclude(&envoy, &primary, &secondary, grown);
}

/// What was sent did get as far as it should: to the filter, over both versions of HTTP, and by the
/// filter itself from one gateway to the next.
fn all_ways_were_gone(envoy: &Envoy, wanted: u64) {
    let decided = envoy.metric("dana_requests_total", "");
    assert!(decided > wanted / 2, "{decided} requests came to the filter");
    let multiplexed = envoy.stat("http.dana.downstream_cx_http2_total");
    assert!(multiplexed > wanted / 2000, "{multiplexed} connections over HTTP/2");
    for cluster in ["dana_primary", "dana_secondary"] {
        let called = envoy.stat(&format!("cluster.{cluster}.internal.upstream_rq_completed"));
        assert!(called > 0, "the filter itself has called {cluster}");
    }
}

/// No payment came to both gateways, and none that should have been refused came at all.
fn both_hold_nothing(primary: &Gateway, secondary: &Gateway) {
    let (one, other) = (primary.payments(), secondary.payments());
    let passed = |all: &BTreeSet<String>| all.len() > 20;
    assert!(passed(&one) && passed(&other), "payments: {} and {}", one.len(), other.len());
    // A cancel or refund of a payment that nobody knows is asked for everywhere, as a status is.
    let pays = |name: &&String| !name.contains("/cancel") && !name.contains("/refund");
    let twice: Vec<_> = one.intersection(&other).filter(pays).take(5).collect();
    assert!(twice.is_empty(), "at both gateways: {twice:?}");
    let refused = one.iter().chain(&other).find(|name| name.contains(gateway::REFUSED));
    assert_eq!(refused, None, "what had to be refused came to a gateway");
}

#[expect(clippy::print_stderr, reason = "a million take minutes")]
fn tell(so_far: u64, wanted: u64, envoy: &Envoy) {
    if wanted > 100_000 {
        eprint!("\r{so_far} of {wanted} requests, {} MiB ", envoy.resident_kib() / 1024);
    }
}

#[expect(clippy::print_stdout, reason = "the numbers are what was asked for")]
fn conclude(envoy: &Envoy, primary: &Gateway, secondary: &Gateway, grown: u64) {
    let stat = |name: &str| envoy.stat(&format!("http.dana.{name}"));
    println!(
        "\n{} hostile requests (beside them {} connections over HTTP/2 and {} that spoke no HTTP): {} \
         answered 2xx, {} 4xx, {} 5xx; payments at the gateways: {} and {}; VM deaths: {}; memory after the first third: \
         +{grown} KiB, {} MiB in all",
        received(envoy),
        stat("downstream_cx_http2_total"),
        stat("downstream_cx_protocol_error"),
        stat("downstream_rq_2xx"),
        stat("downstream_rq_4xx"),
        stat("downstream_rq_5xx"),
        primary.payments().len(),
        secondary.payments().len(),
        deaths(envoy),
        envoy.resident_kib() / 1024,
    );
}

/// What counts deaths does count one.
#[test]
fn a_death_would_be_seen() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&trapping(&sandbox, &quick()));
    assert_eq!(deaths(&envoy), 0);
    sandbox.fault("primary", &json!({"fault": "trap", "count": 1}));
    assert_eq!(call(&envoy.listener, CREATE, &order("DEADLY")).status, 504);
    support::until("the death is counted", Duration::from_secs(10), || {
        (deaths(&envoy) > 0).then_some(())
    });
}
