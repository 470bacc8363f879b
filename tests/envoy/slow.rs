//! A store that answers on the worker's ticks, twice and the last question first, or not at all:
//! requests and answers are held as long, and who leaves meanwhile leaves nothing behind.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{
    CANCEL, CREATE, STATUS, Seen, about, bytes_with, call, call_with, order,
};
use crate::support::envoy::{Envoy, quick, trapping, with};
use crate::support::sandbox::Sandbox;
use crate::support::until;

const PATIENCE: Duration = Duration::from_secs(20);
const SLOW: (&str, &str) = ("x-store", "slow");

/// With a lease that is longer than any test waits.
fn start() -> (Sandbox, Envoy) {
    let sandbox = Sandbox::start();
    let long = json!({"idempotency": {"lease_ms": 120_000}});
    let envoy = Envoy::start(&trapping(&sandbox, &with(quick(), &long)));
    (sandbox, envoy)
}

fn slowly(envoy: &Envoy, path: &str, body: &Value) -> Seen {
    call_with(&envoy.listener, path, &[SLOW], body)
}

/// What the gateways were asked: how often each.
fn sent(sandbox: &Sandbox, reference: &str) -> (usize, usize) {
    let count = |gateway| sandbox.requests(gateway, reference).len();
    (count("primary"), count("secondary"))
}

/// A payment of which Envoy has every byte, and whose client waits.
fn held(envoy: &Envoy, reference: &str, store: &str) -> TcpStream {
    let before = envoy.stat("http.dana.downstream_rq_active");
    let mut socket = TcpStream::connect(&envoy.listener).unwrap();
    let whole = bytes_with(CREATE, &[("x-store", store)], &order(reference));
    socket.write_all(&whole).unwrap();
    until("Envoy has it", PATIENCE, || {
        (envoy.stat("http.dana.downstream_rq_active") > before).then_some(())
    });
    socket
}

/// The payment is made at last, once, however its first client left.
fn pays_once(sandbox: &Sandbox, envoy: &Envoy, reference: &str) {
    let paid = until("it is paid", PATIENCE, || {
        let seen = call(&envoy.listener, CREATE, &order(reference));
        assert!(matches!(seen.status, 200 | 429 | 504), "{seen:?}");
        (seen.status == 200).then_some(seen)
    });
    assert_eq!(paid.code(), "2005400");
    assert_eq!(sandbox.executed_at(reference), ["primary"]);
}

#[test]
fn whatever_is_held_for_the_store_goes_on_when_it_answers() {
    let (sandbox, envoy) = start();
    let paid = slowly(&envoy, CREATE, &order("LATE"));
    assert_eq!((paid.status, paid.header("x-dana-gateway")), (200, Some("primary")), "{paid:?}");
    let replay = slowly(&envoy, CREATE, &order("LATE"));
    assert_eq!(replay.header("idempotent-replayed"), Some("true"), "{replay:?}");
    assert_eq!(replay.body, paid.body);
    assert_eq!(sent(&sandbox, "LATE"), (1, 0));
    assert_eq!(slowly(&envoy, STATUS, &about("LATE")).status, 200);
    // Made past us: the answer of the first gateway is held while the next one is called.
    assert_eq!(call(&sandbox.secondary, CREATE, &order("PAST")).status, 200);
    let cancelled = slowly(&envoy, CANCEL, &about("PAST"));
    assert_eq!(
        (cancelled.status, cancelled.header("x-dana-gateway")),
        (200, Some("secondary")),
        "{cancelled:?}"
    );
    // Our own answers come late too: another payment under the same name.
    let mut other = order("LATE");
    other["amount"]["value"] = json!("99999.00");
    let refused = slowly(&envoy, CREATE, &other);
    assert_eq!((refused.status, refused.outcome().as_str()), (404, "not_executed"), "{refused:?}");
    sandbox.fault("primary", &json!({"fault": "hang", "reference": "DOUBT", "count": 1}));
    let doubt = slowly(&envoy, CREATE, &order("DOUBT"));
    assert_eq!((doubt.status, doubt.outcome().as_str()), (504, "unknown"), "{doubt:?}");
    let settled = until("its repeat settles it", PATIENCE, || {
        let seen = slowly(&envoy, CREATE, &order("DOUBT"));
        (seen.status == 200).then_some(seen)
    });
    assert_eq!(settled.header("x-dana-gateway"), Some("primary"));
    assert_eq!(sandbox.executed_at("DOUBT"), ["primary"]);
}

#[test]
fn many_at_once_are_each_decided_once() {
    let (sandbox, envoy) = start();
    let answers: Vec<Seen> = std::thread::scope(|scope| {
        let one = |number: usize| {
            let envoy = &envoy;
            // Three clients for each payment.
            scope.spawn(move || slowly(envoy, CREATE, &order(&format!("MANY-{}", number / 3))))
        };
        let threads: Vec<_> = (0..60).map(one).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let known = answers.iter().all(|seen| matches!(seen.status, 200 | 429));
    assert!(known, "{answers:?}");
    for number in 0..20 {
        pays_once(&sandbox, &envoy, &format!("MANY-{number}"));
        assert_eq!(sandbox.entries(&format!("MANY-{number}")).len(), 1);
    }
}

#[test]
fn a_client_that_leaves_while_the_store_is_asked_has_paid_nothing() {
    let (sandbox, envoy) = start();
    for number in 0..12 {
        let reference = format!("LEFT-{number}");
        let mut socket = held(&envoy, &reference, "slow");
        if number >= 4 {
            // It leaves later, after an answer that it does not wait for to its end.
            let wait = Duration::from_millis(60 * (number - 3));
            socket.set_read_timeout(Some(wait)).unwrap();
            let _ = socket.read(&mut [0; 1]);
        }
        drop(socket);
        pays_once(&sandbox, &envoy, &reference);
    }
    // What the first clients left was given back: nobody had to wait for the end of a lease.
    assert_eq!(envoy.stat("http.dana.downstream_rq_active"), 0);
}

#[test]
fn a_store_that_never_answers_holds_the_request_and_nobody_else() {
    let (sandbox, envoy) = start();
    let socket = held(&envoy, "NEVER", "never");
    // The same payment by somebody whom the store answers.
    pays_once(&sandbox, &envoy, "NEVER");
    drop(socket);
    until("Envoy has let it go", PATIENCE, || {
        (envoy.stat("http.dana.downstream_rq_active") == 0).then_some(())
    });
    pays_once(&sandbox, &envoy, "NEVER");
    assert_eq!(sent(&sandbox, "NEVER"), (1, 0));
}
