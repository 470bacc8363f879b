//! Trouble that is not all the gateway's: clients that give up early, a gateway that asks for less,
//! a partner whose payments fail wherever they go.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::load::{Load, Pace};
use super::outage::{PATIENCE, Row, opened, rule, setting, wait};
use crate::support::client::{CREATE, Seen, order, order_bytes, send};
use crate::support::envoy::{Envoy, rendered, with};
use crate::support::sandbox::Sandbox;
use crate::support::{Ends, now, pause};

/// How early clients give up, and what else is known of the gateway that hangs.
#[derive(Clone, Copy)]
pub(super) struct Impatience {
    pub(super) what: &'static str,
    pub(super) patience: Duration,
    pub(super) heartbeats_hang: bool,
}

/// The primary hangs, and no client waits until that is told by a timeout.
pub(super) fn impatient(case: Impatience) -> Row {
    const CLIENTS: usize = 20;
    let sandbox = Sandbox::start();
    let changes = json!({
        "timeouts": {"response_ms": 5000},
        "idempotency": {"lease_ms": 8000},
        "breaker": {"unheard_ms": 500},
    });
    let envoy = Envoy::start(&rendered(&sandbox, &with(setting(), &changes)));
    let fault = json!({"fault": "hang", "heartbeats": case.heartbeats_hang});
    sandbox.fault("primary", &fault);
    let begin = now();
    let is_over = AtomicBool::new(false);
    let to_switch = thread::scope(|scope| {
        let _ends = Ends(&is_over);
        for client in 0..CLIENTS {
            let (is_over, envoy) = (&is_over, &envoy);
            scope.spawn(move || {
                for number in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let bytes = order_bytes(&format!("LEAVE-{client}-{number}"));
                    if !is_answered(&envoy.listener, &bytes, case.patience) {
                        continue;
                    }
                    // Whoever is answered comes back as late as the others.
                    pause(case.patience);
                }
            });
        }
        opened(&envoy).saturating_duration_since(begin)
    });
    let met = sandbox.requests_since("primary", 0).len();
    let after = crate::support::client::call(&envoy.listener, CREATE, &order("AFTER"));
    assert_eq!(after.header("x-dana-gateway"), Some("secondary"), "{after:?}");
    row(case.what, &envoy, &sandbox, met, to_switch)
}

fn is_answered(address: &str, bytes: &[u8], patience: Duration) -> bool {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(patience)).unwrap();
    socket.write_all(bytes).unwrap();
    matches!(socket.read(&mut [0; 64]), Ok(1..))
}

fn row(what: &str, envoy: &Envoy, sandbox: &Sandbox, met: usize, to_switch: Duration) -> Row {
    Row {
        what: what.to_owned(),
        payments: met,
        failed: 0,
        unknown: met,
        moved: 0,
        met,
        to_switch,
        charged_twice: sandbox.ledger()["executed_at_both"].as_u64().unwrap(),
        rule: rule(envoy).unwrap(),
    }
}

/// The primary answers "too many requests" to everything; how many payments meet it after its
/// breaker has opened is told beside.
pub(super) fn throttled(pace: Pace) -> (Row, usize, Duration) {
    const OPEN_MS: u64 = 1000;
    let sandbox = Sandbox::start();
    let breaker = json!({"open_ms": OPEN_MS, "open_ms_max": OPEN_MS, "open_jitter_pct": 0});
    let config = with(setting(), &json!({"breaker": breaker}));
    let envoy = Envoy::start(&rendered(&sandbox, &config));
    let load = Load::start(&envoy.listener, pace);
    wait("the load is steady", || load.answered() >= 50);
    sandbox.fault("primary", &json!({"fault": "code", "code": "4295400"}));
    let struck = now();
    let left = opened(&envoy);
    let hurt = || {
        let requests = sandbox.requests_since("primary", 0).into_iter();
        requests.filter(|request| !request["fault"].is_null()).count()
    };
    let met = hurt();
    let trials = Duration::from_millis(5 * OPEN_MS);
    pause(trials);
    let (after, lasted) = (hurt() - met, left.elapsed());
    let payments = load.stop();
    let unknown = payments.iter().filter(|payment| payment.seen.status == 429).count();
    let row = Row {
        what: "429 to everything".to_owned(),
        payments: payments.len(),
        unknown,
        ..row("", &envoy, &sandbox, met, left.saturating_duration_since(struck))
    };
    assert!(envoy.metric("dana_breaker_transitions_total", "rule=\"trial_throttled\"") > 0);
    (row, after, lasted)
}

/// What others met while one partner's payments failed at both gateways.
pub(super) struct Beside {
    pub(super) bad: usize,
    pub(super) others: usize,
    pub(super) refused: usize,
    pub(super) opened: u64,
    pub(super) charged_twice: u64,
}

/// One partner's payments fail wherever they go, fifty a second; four others pay once in two
/// seconds each.
pub(super) fn one_bad_partner() -> Beside {
    const LASTS: Duration = Duration::from_secs(12);
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &setting()));
    let fault = json!({"fault": "code", "code": "5005400", "reference": "BAD-*"});
    for gateway in ["primary", "secondary"] {
        sandbox.fault(gateway, &fault);
    }
    let begin = now();
    let pay = |partner: &str, front: &str, each: Duration| -> Vec<Seen> {
        let mut seen = Vec::new();
        for number in 0u32.. {
            pause((begin + each * number).saturating_duration_since(now()));
            if begin.elapsed() >= LASTS {
                break;
            }
            let body = order(&format!("{front}-{number}")).to_string();
            let headers = [("x-partner-id", partner), ("channel-id", "95221")];
            seen.push(send(&envoy.listener, CREATE, &headers, body.as_bytes()));
        }
        seen
    };
    let (bad, others) = thread::scope(|scope| {
        let others: Vec<_> = ["ana", "budi", "citra", "eka"]
            .map(|partner| scope.spawn(move || pay(partner, partner, Duration::from_secs(2))))
            .into();
        let bad = scope.spawn(|| {
            // The others are known to pay.
            pause(Duration::from_millis(500));
            pay("dewi", "BAD", Duration::from_millis(20))
        });
        let others: Vec<Seen> = others.into_iter().flat_map(|one| one.join().unwrap()).collect();
        (bad.join().unwrap().len(), others)
    });
    Beside {
        bad,
        refused: others.iter().filter(|seen| seen.status != 200).count(),
        others: others.len(),
        opened: envoy.metric("dana_breaker_transitions_total", "to=\"open\""),
        charged_twice: sandbox.ledger()["executed_at_both"].as_u64().unwrap(),
    }
}

/// Both gateways fail one of ten payments, for so long, at 200 payments a second.
pub(super) fn both_are_mostly_well(lasts: Duration) -> (usize, usize, u64) {
    let sandbox = Sandbox::start();
    let envoy = Envoy::start(&rendered(&sandbox, &setting()));
    for gateway in ["primary", "secondary"] {
        sandbox.fault(gateway, &json!({"fault": "code", "code": "5005400", "every": 10}));
    }
    let pace = Pace { connections: 8, each: Duration::from_millis(40) };
    let begin: Instant = now();
    let load = Load::start(&envoy.listener, pace);
    pause(lasts.saturating_sub(begin.elapsed()));
    let payments = load.stop();
    let refused = payments.iter().filter(|payment| payment.seen.outcome() == "not_executed");
    let refused = refused.count();
    let twice = sandbox.ledger()["executed_at_both"].as_u64().unwrap();
    assert!(begin.elapsed() < lasts + PATIENCE);
    (payments.len(), refused, twice)
}
