//! Trials of a half-open gateway: never more than there are permits, and no permit is lost with the
//! client that had it.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{CREATE, Line, call, order, order_bytes};
use crate::support::envoy::{Envoy, quick, rendered, with};
use crate::support::sandbox::Sandbox;
use crate::support::{now, pause, until};

const PATIENCE: Duration = Duration::from_secs(20);
const OPEN: Duration = Duration::from_millis(800);
/// Shorter than the wait of a breaker that opens again, so that no trial outlives its phase.
const SLOW: Duration = Duration::from_millis(500);

fn setting(permits: u64, open: Duration) -> Value {
    let open_ms = u64::try_from(open.as_millis()).unwrap();
    let breaker = json!({
        "consecutive_failures": 5, "slow_ms": 400, "open_ms": open_ms, "open_ms_max": open_ms,
        "open_jitter_pct": 0, "half_open_permits": permits, "half_open_ms_max": 30000,
    });
    let changes = json!({
        "breaker": breaker,
        "timeouts": {"response_ms": 10000},
        "idempotency": {"lease_ms": 15000},
        "failback": {"stable_ms": 300, "dwell_ms": 300, "ramp_ms": 0},
    });
    with(quick(), &changes)
}

fn moved(envoy: &Envoy, to: &str) -> u64 {
    let text = format!("to=\"{to}\"");
    envoy.metric("dana_breaker_transitions_total", &text)
}

/// Pays until the primary's breaker has opened once more.
fn open_again(envoy: &Envoy, sandbox: &Sandbox, name: &str) {
    let before = moved(envoy, "open");
    sandbox.fault("primary", &json!({"fault": "code", "code": "5005400"}));
    let mut number = 0;
    until("the breaker opens", PATIENCE, || {
        number += 1;
        call(&envoy.listener, CREATE, &order(&format!("{name}-{number}")));
        (moved(envoy, "open") > before).then_some(())
    });
}

#[test]
fn of_many_payments_at_once_a_half_open_gateway_gets_as_many_as_there_are_permits() {
    const CLIENTS: usize = 64;
    const PERMITS: u64 = 3;
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &setting(PERMITS, OPEN)));
    open_again(&envoy, &sandbox, "FAIL");
    let lines: Vec<Line> = (0..CLIENTS).map(|_| Line::new()).collect();
    let burst = |name: &str| -> usize {
        let together = Barrier::new(CLIENTS);
        let by_primary = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for (client, line) in lines.iter().enumerate() {
                let (together, by_primary) = (&together, &by_primary);
                let (reference, address) = (format!("{name}-{client}"), &envoy.listener);
                scope.spawn(move || {
                    together.wait();
                    let answer = line.pay(address, &reference);
                    assert_eq!(answer.status, 200, "{answer:?}");
                    let is_trial = answer.header("x-dana-gateway") == Some("primary");
                    by_primary.fetch_add(usize::from(is_trial), Ordering::Relaxed);
                });
            }
        });
        by_primary.into_inner()
    };
    // Each client has its connection before it counts.
    assert_eq!(burst("WARM"), 0, "nobody tries before the wait is over");
    // A trial that is slow fails: the breaker opens anew, and the next burst is a phase of its own.
    for (name, delay, closed) in
        [("SLOW-1", SLOW, 0), ("SLOW-2", SLOW, 0), ("SLOW-3", SLOW, 0), ("FINE", SLOW / 4, 1)]
    {
        let delay_ms = u64::try_from(delay.as_millis()).unwrap();
        sandbox.fault("primary", &json!({"fault": "slow", "delay_ms": delay_ms}));
        // The wait, and half as much for a question to come first.
        pause(OPEN + OPEN / 2 + Duration::from_millis(100));
        sandbox.forget_stats();
        assert_eq!(burst(name), 3, "{name}");
        let seen = &sandbox.stats()["primary"];
        assert_eq!(seen["requests_open_max"], PERMITS, "{name}: {seen}");
        assert_eq!(seen["requests"], PERMITS, "{name}: {seen}");
        assert_eq!(moved(&envoy, "closed"), closed, "{name}");
    }
    assert_eq!(sandbox.ledger()["executed_at_both"], 0);
}

/// Clients that leave once the gateway has their payment: three times as many as permits.
const LEAVING: usize = 24;

/// A trial whose client left proves nothing. Its permit comes back with time alone, so that clients
/// who leave cannot have a gateway tried as often as they like, and it does come back.
#[test]
fn clients_leave_in_the_middle_of_their_trials_which_stay_few_and_no_permit_is_lost() {
    const PERMITS: u64 = 8;
    const HALF_OPEN: Duration = Duration::from_millis(2500);
    let sandbox = Sandbox::start();
    let changes = json!({
        "breaker": {"half_open_ms_max": u64::try_from(HALF_OPEN.as_millis()).unwrap()},
        "timeouts": {"response_ms": 2000, "inquiry_ms": 2000},
    });
    let setting = with(setting(PERMITS, Duration::from_millis(300)), &changes);
    let envoy = Envoy::start(&rendered(&sandbox, &setting));
    open_again(&envoy, &sandbox, "FAIL");
    let (opened, closed) = (moved(&envoy, "open"), moved(&envoy, "closed"));
    sandbox.fault("primary", &json!({"fault": "hang"}));
    sandbox.forget_stats();
    let begin = now();
    leave_in_trials(&envoy, &sandbox);
    let phases = begin.elapsed().as_millis() / HALF_OPEN.as_millis() + 1;
    let trials = sandbox.stats()["primary"]["requests"].as_u64().unwrap();
    assert!(u128::from(trials) <= phases * u128::from(PERMITS), "{trials} in {phases} phases");
    // Nobody heard how the trials went.
    assert_eq!((moved(&envoy, "open"), moved(&envoy, "closed")), (opened, closed));
    assert_eq!(envoy.state("dana_breaker_state", "primary"), "half_open", "half-open");
    until("no trial is left", PATIENCE, || {
        (sandbox.stats()["primary"]["requests_open"] == 0).then_some(())
    });
    sandbox.heal("primary");
    let mut number = 0;
    until("traffic returns", PATIENCE, || {
        number += 1;
        let answer = call(&envoy.listener, CREATE, &order(&format!("BACK-{number}")));
        assert_eq!(answer.status, 200, "{answer:?}");
        let returned = envoy.metric("dana_switches_total", "kind=\"failback\"") == 1;
        returned.then_some(())
    });
    let home = call(&envoy.listener, CREATE, &order("HOME"));
    assert_eq!(home.header("x-dana-gateway"), Some("primary"));
    assert_eq!(sandbox.ledger()["executed_at_both"], 0);
}

/// Clients pay and leave until enough of them have left while the primary had their payment. Every
/// fifth leaves without looking, wherever its payment is by then.
fn leave_in_trials(envoy: &Envoy, sandbox: &Sandbox) {
    const CLIENTS: usize = 12;
    let left = AtomicUsize::new(0);
    let is_over = AtomicBool::new(false);
    let arrived = Mutex::new(BTreeSet::new());
    let begin = now();
    let go_on = || !is_over.load(Ordering::Relaxed) && begin.elapsed() < 2 * PATIENCE;
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (left, arrived, go_on, envoy) = (&left, &arrived, &go_on, &envoy);
            scope.spawn(move || {
                for number in 0.. {
                    if !go_on() {
                        break;
                    }
                    let reference = format!("LEAVE-{client}-{number}");
                    let mut socket = TcpStream::connect(&envoy.listener).unwrap();
                    socket.write_all(&order_bytes(&reference)).unwrap();
                    let has_it = || arrived.lock().unwrap().contains(&reference);
                    if number % 5 != 4 && is_on_trial(&mut socket, has_it, go_on) {
                        left.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        // One looks for all.
        let mut seq = 0;
        while go_on() {
            for request in sandbox.requests_since("primary", seq) {
                seq = request["seq"].as_u64().unwrap();
                let reference = request["reference"].as_str().unwrap().to_owned();
                arrived.lock().unwrap().insert(reference);
            }
            is_over.fetch_or(left.load(Ordering::Relaxed) >= LEAVING, Ordering::Relaxed);
            pause(Duration::from_millis(3));
        }
    });
    let left = left.into_inner();
    assert!(left >= LEAVING, "only {left} trials in {:?}: permits are lost", begin.elapsed());
}

/// Waits until the primary has the payment, or the secondary has answered it.
fn is_on_trial(
    socket: &mut TcpStream,
    has_it: impl Fn() -> bool,
    go_on: impl Fn() -> bool,
) -> bool {
    socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    while go_on() {
        if has_it() {
            return true;
        }
        match socket.read(&mut [0; 64]).map_err(|error| error.kind()) {
            Err(ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Ok(_) | Err(_) => return false,
        }
    }
    false
}
