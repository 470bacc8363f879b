//! What claims must outlive: a dying filter, configuration updates, clients that leave, draining.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{
    self, CANCEL, CREATE, REFUND, STATUS, Seen, about, bytes, call, call_anew, order, order_bytes,
};
use crate::support::envoy::{
    Envoy, manager, plugin, quick, rendered, set_address, trapping, validate, with,
};
use crate::support::sandbox::Sandbox;
use crate::support::{now, until};

const PATIENCE: Duration = Duration::from_secs(15);
/// As in [`quick`].
const REPEAT_AFTER: Duration = Duration::from_millis(300);
/// As in [`quick`].
const SETTLE_DELAY: Duration = Duration::from_millis(400);

/// Pays, over a connection of its own.
fn pay(envoy: &Envoy, reference: &str) -> Seen {
    call_anew(&envoy.listener, CREATE, &order(reference))
}

fn is_replay(seen: &Seen) -> bool {
    seen.status == 200 && seen.header("idempotent-replayed") == Some("true")
}

/// How many requests to pay each gateway has received.
fn sent(sandbox: &Sandbox, reference: &str) -> (usize, usize) {
    let at = |gateway| {
        let all = sandbox.requests(gateway, reference);
        all.iter().filter(|request| request["operation"] == "create-order").count()
    };
    (at("primary"), at("secondary"))
}

/// Makes a payment whose outcome stays unknown, though the primary has executed it.
fn put_in_doubt(sandbox: &Sandbox, envoy: &Envoy, reference: &str) {
    sandbox.fault("primary", &json!({"fault": "reset", "reference": reference, "count": 1}));
    let seen = pay(envoy, reference);
    assert_eq!((seen.status, seen.outcome().as_str()), (504, "unknown"), "{seen:?}");
}

/// Pays without waiting for the answer, once the gateway has it.
fn pay_without_answer(sandbox: &Sandbox, envoy: &Envoy, reference: &str) -> TcpStream {
    let mut socket = TcpStream::connect(&envoy.listener).unwrap();
    socket.write_all(&order_bytes(reference)).unwrap();
    until("the gateway has it", PATIENCE, || (sent(sandbox, reference).0 == 1).then_some(()));
    socket
}

/// The workers whose VM has died at least once, by the thread that Envoy's log names.
fn workers_that_died(envoy: &Envoy) -> BTreeSet<String> {
    let log = envoy.log();
    let deaths = log.lines().filter(|line| line.contains("proxy_on_response_headers failed"));
    deaths.filter_map(|line| line.split(['[', ']']).nth(3).map(str::to_owned)).collect()
}

/// One death for each worker, which ends all that it holds.
fn kill_both_workers(sandbox: &Sandbox, envoy: &Envoy) {
    let mut deadly = 0;
    until("both workers have died", PATIENCE, || {
        deadly += 1;
        let reference = format!("DEADLY-{deadly}");
        sandbox.fault("primary", &json!({"fault": "trap", "reference": reference}));
        let seen = pay(envoy, &reference);
        assert_eq!((seen.status, seen.outcome().as_str()), (504, "unknown"), "{seen:?}");
        (workers_that_died(envoy).len() == 2).then_some(())
    });
}

/// The refund of an order.
fn refund(reference: &str) -> Value {
    let mut refund = about(reference);
    refund["partnerRefundNo"] = json!("R1");
    refund["refundAmount"] = json!({"value": "10000.00", "currency": "IDR"});
    refund
}

#[test]
fn claims_outlive_the_filter_on_both_workers() {
    let sandbox = Sandbox::start();
    let patient = json!({"timeouts": {"response_ms": 5900}, "idempotency": {"lease_ms": 6000}});
    let envoy = Envoy::start(&trapping(&sandbox, &with(quick(), &patient)));
    let names = |kind: &str| (0..8).map(|n| format!("{kind}-{n}")).collect::<Vec<_>>();
    let (settled, doubtful, flying) = (names("SETTLED"), names("DOUBT"), names("FLYING"));
    let firsts: Vec<Seen> = settled.iter().map(|reference| pay(&envoy, reference)).collect();
    assert!(firsts.iter().all(|seen| seen.status == 200), "{firsts:?}");
    for reference in &doubtful {
        put_in_doubt(&sandbox, &envoy, reference);
    }
    let mut sockets = Vec::new();
    for reference in &flying {
        sandbox.fault("primary", &json!({"fault": "hang", "reference": reference}));
        sockets.push(pay_without_answer(&sandbox, &envoy, reference));
        sandbox.fault("primary", &json!({"fault": "none", "reference": reference}));
    }

    kill_both_workers(&sandbox, &envoy);
    for mut socket in sockets {
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 504") && answer.contains("5040000"), "{answer}");
    }

    let pay_until = |reference: &str, what: &str, wanted: &dyn Fn(&Seen) -> bool| {
        repeat_until(&format!("{reference}: {what}"), &|| pay(&envoy, reference), wanted)
    };
    for (reference, first) in settled.iter().zip(&firsts) {
        let seen = pay_until(reference, "replayed", &is_replay);
        assert_eq!(seen.body, first.body);
        assert_eq!(sent(&sandbox, reference), (1, 0));
    }
    for reference in &doubtful {
        pay_until(reference, "repeated", &|seen| seen.status == 200);
        assert_eq!(sent(&sandbox, reference), (2, 0));
    }
    for reference in &flying {
        // Its lease ends, and both gateways stay candidates: it is never sent again.
        let in_doubt = |seen: &Seen| seen.code() == "5045400" && seen.outcome() == "unknown";
        pay_until(reference, "in doubt", &in_doubt);
    }
    let begin = now();
    while begin.elapsed() < 2 * REPEAT_AFTER {
        for reference in &flying {
            let seen = pay(&envoy, reference);
            assert_eq!((seen.status, seen.outcome().as_str()), (504, "unknown"), "{seen:?}");
        }
    }
    for reference in &flying {
        assert_eq!(sent(&sandbox, reference), (1, 0), "{reference}");
    }
    assert_eq!(sandbox.ledger()["executed_at_both"], 0);
    // Whoever sent the heartbeats, somebody does.
    let probes = || sandbox.stats()["primary"]["heartbeats"].as_u64().unwrap();
    let before = probes();
    until("heartbeats go on", PATIENCE, || (probes() > before + 2).then_some(()));
}

/// Repeats a request. Until the answer is the one that is wanted, it is said to be unknown or under
/// way, also by Envoy while the filter is not back yet.
fn repeat_until(what: &str, ask: &dyn Fn() -> Seen, wanted: &dyn Fn(&Seen) -> bool) -> Seen {
    until(what, PATIENCE, || {
        let seen = ask();
        let open = matches!(seen.outcome().as_str(), "unknown" | "in_progress");
        assert!(open || wanted(&seen), "{what}: {seen:?}");
        wanted(&seen).then_some(seen)
    })
}

#[test]
fn a_repeat_that_kills_the_filter_is_repeated_there_and_nowhere_else() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&trapping(&sandbox, &quick()));
    put_in_doubt(&sandbox, &envoy, "DOUBT");
    sandbox.fault("primary", &json!({"fault": "trap", "reference": "DOUBT", "count": 1}));
    let died = |seen: &Seen| seen.code() == "5040000" && sent(&sandbox, "DOUBT") == (2, 0);
    repeat_until("its repeat dies", &|| pay(&envoy, "DOUBT"), &died);
    // Nobody knows yet that it has ended: another repeat has to wait for the end of its lease.
    let waits = |seen: &Seen| seen.status == 429 && seen.outcome() == "unknown";
    repeat_until("it waits", &|| pay(&envoy, "DOUBT"), &waits);
    assert_eq!(sent(&sandbox, "DOUBT"), (2, 0));
    let settled = |seen: &Seen| seen.status == 200;
    repeat_until("it settles", &|| pay(&envoy, "DOUBT"), &settled);
    assert!(is_replay(&pay(&envoy, "DOUBT")));
    assert_eq!(sent(&sandbox, "DOUBT"), (3, 0));
}

#[test]
fn what_follows_a_payment_and_kills_the_filter_stays_with_its_gateway() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&trapping(&sandbox, &quick()));
    let cases = [
        ("ASKED", STATUS, about("ASKED"), "2005500", "success"),
        ("UNDONE", CANCEL, about("UNDONE"), "2005700", "cancelled"),
        ("REFUNDED", REFUND, refund("REFUNDED"), "2005800", "refunded"),
    ];
    for (reference, path, body, code, state) in &cases {
        assert_eq!(pay(&envoy, reference).status, 200);
        sandbox.fault("primary", &json!({"fault": "trap", "reference": reference, "count": 1}));
        let follow = || call_anew(&envoy.listener, path, body);
        let dead = follow();
        assert_eq!((dead.status, dead.code().as_str()), (504, "5040000"), "{dead:?}");
        repeat_until(reference, &follow, &|seen| seen.code() == *code);
        assert_eq!(sandbox.requests("secondary", reference).len(), 0, "{reference}");
        let states = &sandbox.payment(reference).unwrap()["states"];
        assert_eq!(*states, json!({"primary": state}), "{reference}");
    }
    let refunds = sandbox.ledger()["payments"].as_array().cloned().unwrap();
    let refunds: Vec<_> = refunds.iter().filter(|p| p["namespace"] == "refund").collect();
    assert_eq!((refunds.len(), &refunds[0]["executions"]), (1, &json!(1)), "{refunds:?}");
}

#[test]
fn a_walk_that_ends_with_the_filter_goes_on_where_it_was() {
    let sandbox = Sandbox::start();
    let patient = json!({"timeouts": {"response_ms": 5900}, "idempotency": {"lease_ms": 6000}});
    let mut config = trapping(&sandbox, &with(quick(), &patient));
    // Envoy does not end a stream that a dead filter had paused; this does.
    manager(&mut config)["stream_idle_timeout"] = json!("2s");
    let envoy = Envoy::start(&config);
    // A payment that was made past this Envoy: the refund is asked for from gateway to gateway.
    assert_eq!(call(&sandbox.secondary, CREATE, &order("ELSEWHERE")).status, 200);
    let body = refund("ELSEWHERE");
    let refunds = |gateway| {
        let all = sandbox.requests(gateway, "ELSEWHERE");
        all.iter().filter(|request| request["operation"] == "refund-order").count()
    };
    let hang = json!({"fault": "hang", "operation": "refund-order", "count": 1});
    sandbox.fault("secondary", &hang);
    let mut socket = TcpStream::connect(&envoy.listener).unwrap();
    socket.write_all(&bytes(REFUND, &body)).unwrap();
    until("the secondary has it", PATIENCE, || (refunds("secondary") == 1).then_some(()));
    kill_both_workers(&sandbox, &envoy);
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 504") && answer.contains("5040000"), "{answer}");

    let ask = || call_anew(&envoy.listener, REFUND, &body);
    let refunded = repeat_until("it is refunded", &ask, &|seen| seen.status == 200);
    assert_eq!(refunded.header("x-dana-gateway"), Some("secondary"), "{refunded:?}");
    assert_eq!((refunds("primary"), refunds("secondary")), (1, 2), "cleared for good, repeated");
    assert_eq!(sandbox.payment("ELSEWHERE").unwrap()["states"], json!({"secondary": "refunded"}));
    assert!(is_replay(&ask()));
}

/// An Envoy that is updated later: with one payment settled and one in doubt, both at the primary.
fn before_update() -> (Sandbox, Envoy, Value, Seen) {
    let sandbox = Sandbox::start();
    let config = rendered(&sandbox, &quick());
    let envoy = Envoy::start_updatable(&config);
    let settled = pay(&envoy, "SETTLED");
    assert_eq!(settled.header("x-dana-gateway"), Some("primary"), "{settled:?}");
    put_in_doubt(&sandbox, &envoy, "DOUBT");
    (sandbox, envoy, config, settled)
}

fn settings(config: &mut Value) -> &mut Value {
    &mut plugin(config)["configuration"]["value"]
}

/// Waits until a new payment shows that the workers have taken the update over.
fn await_update(envoy: &Envoy, shows: &dyn Fn(&str) -> bool) {
    let mut number = 0;
    until("the workers have the update", PATIENCE, || {
        number += 1;
        let seen = pay(envoy, &format!("NEW-{number}"));
        assert_eq!(seen.status, 200, "{seen:?}");
        shows(seen.header("x-dana-gateway").unwrap_or_default()).then_some(())
    });
}

#[test]
fn an_update_with_another_capacity_is_refused_and_the_old_one_serves_on() {
    let (sandbox, envoy, mut config, settled) = before_update();
    settings(&mut config)["idempotency"]["store"] = json!({"local": {"claims_max": 4096}});
    assert!(!envoy.update(&config));
    assert!(envoy.log().contains("claims_max: expected the capacity"), "{}", envoy.log());
    let replay = pay(&envoy, "SETTLED");
    assert!(is_replay(&replay) && replay.body == settled.body, "{replay:?}");
    assert_eq!(pay(&envoy, "NEXT").status, 200);
    until("the repeat settles it", PATIENCE, || (pay(&envoy, "DOUBT").status == 200).then_some(()));
    assert_eq!(sent(&sandbox, "DOUBT"), (2, 0));
}

#[test]
fn gateways_in_another_order_keep_their_payments() {
    let (sandbox, envoy, mut config, settled) = before_update();
    settings(&mut config)["gateways"].as_array_mut().unwrap().reverse();
    sandbox.fault("primary", &json!({"fault": "slow", "delay_ms": 700, "reference": "FLYING"}));
    let mut flying = pay_without_answer(&sandbox, &envoy, "FLYING");
    assert!(envoy.update(&config), "{}", envoy.log());
    await_update(&envoy, &|gateway| gateway == "secondary");
    let mut answer = String::new();
    flying.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "what the old listener holds ends well: {answer}");
    assert!(is_replay(&pay(&envoy, "FLYING")));
    let replay = pay(&envoy, "SETTLED");
    assert!(is_replay(&replay) && replay.body == settled.body, "{replay:?}");
    assert_eq!(replay.header("x-dana-gateway"), Some("primary"));
    until("the repeat settles it", PATIENCE, || (pay(&envoy, "DOUBT").status == 200).then_some(()));
    assert_eq!(sent(&sandbox, "DOUBT"), (2, 0));
    for (path, code) in [(STATUS, "2005500"), (CANCEL, "2005700")] {
        let seen = call_anew(&envoy.listener, path, &about("SETTLED"));
        assert_eq!((seen.code().as_str(), seen.header("x-dana-gateway")), (code, Some("primary")));
    }
    assert_eq!(sandbox.requests("secondary", "SETTLED").len(), 0);
}

#[test]
fn a_renamed_gateway_inherits_nothing() {
    let (sandbox, envoy, mut config, settled) = before_update();
    let settings = settings(&mut config);
    settings["gateways"][0]["name"] = json!("first");
    settings["composites"][0]["members"] = json!(["first", "secondary"]);
    settings["composites"][1]["members"] = json!(["secondary", "first"]);
    assert!(envoy.update(&config), "{}", envoy.log());
    await_update(&envoy, &|gateway| gateway.contains("first"));
    let replay = pay(&envoy, "SETTLED");
    assert!(is_replay(&replay) && replay.body == settled.body, "{replay:?}");
    let begin = now();
    while begin.elapsed() < 2 * REPEAT_AFTER {
        let seen = pay(&envoy, "DOUBT");
        assert_eq!((seen.status, seen.outcome().as_str()), (504, "unknown"), "{seen:?}");
    }
    assert_eq!(sent(&sandbox, "DOUBT"), (1, 0));
    // Nobody who could answer is known by that name: what others do not know proves nothing, and
    // nobody else may act on it.
    for gateway in ["primary", "secondary"] {
        let unknown = json!({"fault": "tell", "says": "not-found", "operation": "order-status"});
        sandbox.fault(gateway, &unknown);
    }
    let begin = now();
    while begin.elapsed() < 3 * SETTLE_DELAY {
        for (reference, outcome) in [("SETTLED", "executed"), ("DOUBT", "unknown")] {
            let seen = call_anew(&envoy.listener, STATUS, &about(reference));
            assert_eq!((seen.status, seen.outcome().as_str()), (504, outcome), "{seen:?}");
        }
    }
    for reference in ["SETTLED", "DOUBT"] {
        let cancel = call_anew(&envoy.listener, CANCEL, &about(reference));
        assert!(cancel.status >= 500 && cancel.json()["safe_new_key"] == false, "{cancel:?}");
        for gateway in ["primary", "secondary"] {
            let all = sandbox.requests(gateway, reference);
            let cancels = all.iter().filter(|request| request["operation"] == "cancel-order");
            assert_eq!(cancels.count(), 0, "{reference} at {gateway}");
        }
    }
    assert_eq!(pay(&envoy, "DOUBT").outcome(), "unknown");
    assert_eq!(sent(&sandbox, "DOUBT"), (1, 0));
}

#[test]
fn another_definition_of_the_key_is_refused_or_harmless() {
    let (sandbox, envoy, mut config, settled) = before_update();
    settings(&mut config)["operations"] = json!([{
        "name": "create-order",
        "path": "/debit/payment-host-to-host",
        "class": "charge",
        "identity": ["/merchantId", "/partnerReferenceNo", "/validUpTo"],
    }]);
    let (valid, why) = validate(&config);
    assert!(valid, "there is nothing wrong with it but the claims that are there: {why}");
    let accepted = envoy.update(&config);
    if accepted {
        until("the old listener is gone", PATIENCE, || {
            (envoy.stat("listener_manager.total_filter_chains_draining") > 0).then_some(())
        });
    }
    // A payment that is not recognised would go to whoever can be reached.
    sandbox.fault("primary", &json!({"fault": "refuse"}));
    let replay = pay(&envoy, "SETTLED");
    assert_eq!(sandbox.executed_at("SETTLED"), ["primary"], "accepted: {accepted}: {replay:?}");
    assert!(is_replay(&replay) && replay.body == settled.body, "accepted: {accepted}: {replay:?}");
    sandbox.heal("primary");
    until("the repeat settles it", PATIENCE, || (pay(&envoy, "DOUBT").status == 200).then_some(()));
    assert_eq!(sent(&sandbox, "DOUBT"), (2, 0));
}

#[test]
fn a_client_that_leaves_while_it_is_held_has_claimed_nothing() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &quick()));
    let whole = order_bytes("HELD");
    let mut socket = TcpStream::connect(&envoy.listener).unwrap();
    socket.write_all(&whole[..whole.len() - 1]).unwrap();
    let held = || envoy.stat("http.dana.downstream_rq_active");
    until("Envoy holds it", PATIENCE, || (held() == 1).then_some(()));
    drop(socket);
    until("Envoy has let it go", PATIENCE, || (held() == 0).then_some(()));
    let seen = pay(&envoy, "HELD");
    assert_eq!((seen.status, seen.header("idempotent-replayed")), (200, None), "{seen:?}");
    assert_eq!(sent(&sandbox, "HELD"), (1, 0));
}

/// A listener that takes no more connections: whoever comes next waits for ever.
pub(crate) fn full_listener() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(socket) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        waiting.push(socket);
        assert!(waiting.len() < 10_000, "its queue never fills");
    }
    (listener, waiting)
}

#[test]
fn a_client_that_leaves_while_envoy_connects_frees_its_payment() {
    let sandbox = Sandbox::start();
    let (listener, _waiting) = full_listener();
    let slow = json!({
        "timeouts": {"response_ms": 8000},
        "idempotency": {"lease_ms": 60_000},
    });
    let mut config = rendered(&sandbox, &with(quick(), &slow));
    set_address(&mut config, 0, &listener.local_addr().unwrap().to_string());
    config["static_resources"]["clusters"][0]["connect_timeout"] = json!("3s");
    let envoy = Envoy::start_without_heartbeat(&config);
    until("the secondary is up", PATIENCE, || {
        (envoy.metric("dana_heartbeat_up", "secondary") == 1).then_some(())
    });
    let mut socket = TcpStream::connect(&envoy.listener).unwrap();
    socket.write_all(&order_bytes("CONNECTING")).unwrap();
    // The claim is written, and Envoy is at the first gateway: nobody has it yet.
    until("it is under way", PATIENCE, || {
        let held = envoy.stat("http.dana.downstream_rq_active") == 1;
        held.then_some(())
    });
    let seen = until("it is claimed", PATIENCE, || {
        let seen = call(&envoy.listener, CREATE, &order("CONNECTING"));
        Some(seen).filter(|seen| seen.status != 0)
    });
    assert_eq!((seen.status, seen.outcome().as_str()), (429, "in_progress"), "{seen:?}");
    assert_eq!(sent(&sandbox, "CONNECTING"), (0, 0));
    drop(socket);
    // Free at once, long before its lease would end, and executed where a connection can be made.
    let seen = until("it is free", PATIENCE, || {
        let seen = pay(&envoy, "CONNECTING");
        if seen.status == 429 { None } else { Some(seen) }
    });
    assert_eq!((seen.status, seen.header("x-dana-gateway")), (200, Some("secondary")), "{seen:?}");
    assert_eq!(sandbox.executed_at("CONNECTING"), ["secondary"]);
}

#[test]
fn a_client_that_leaves_while_it_waits_keeps_its_claim() {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &quick()));
    sandbox.fault("primary", &json!({"fault": "slow", "delay_ms": 600, "reference": "WAITING"}));
    drop(pay_without_answer(&sandbox, &envoy, "WAITING"));
    let seen = until("its end is noted", PATIENCE, || {
        let seen = pay(&envoy, "WAITING");
        Some(seen).filter(|seen| seen.outcome() != "in_progress")
    });
    assert_eq!((seen.status, seen.outcome().as_str()), (504, "unknown"), "{seen:?}");
    sandbox.heal("primary");
    until("the repeat settles it", PATIENCE, || {
        (pay(&envoy, "WAITING").status == 200).then_some(())
    });
    assert_eq!(sent(&sandbox, "WAITING"), (2, 0));
    assert_eq!(sandbox.executed_at("WAITING"), ["primary"]);
}

#[test]
fn a_payment_under_way_outlives_draining() {
    for drain in ["/drain_listeners?graceful", "/drain_listeners"] {
        let sandbox = Sandbox::start();
        let envoy = Envoy::start(&rendered(&sandbox, &quick()));
        sandbox.fault("primary", &json!({"fault": "slow", "delay_ms": 600}));
        let mut socket = pay_without_answer(&sandbox, &envoy, "DRAINED");
        assert_eq!(client::post(&envoy.admin, drain, &json!({})).status, 200);
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("2005400"), "{answer}");
        let settled = || envoy.metric("dana_requests_total", "claim=\"settled\"");
        until("its claim is settled", PATIENCE, || (settled() == 1).then_some(()));
        if drain.ends_with("graceful") {
            assert!(is_replay(&pay(&envoy, "DRAINED")));
        }
        assert_eq!(sent(&sandbox, "DRAINED"), (1, 0));
    }
}
