//! One outage of the primary: what payments meet until it is left, in numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::load::{Load, Pace, Payment};
use crate::support::envoy::{Envoy, rendered, set_address, with};
use crate::support::sandbox::Sandbox;
use crate::support::{now, pause, until};

pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// Payments that are answered before an outage: two seconds of the slowest load.
const BEFORE: u64 = 100;
/// Payments that are answered after the primary was left.
const AFTER: u64 = 40;

/// Breakers as they are by default; a tick each 100 ms.
pub(super) fn setting() -> Value {
    json!({
        "testing": {"unsafe_timings": true},
        "timeouts": {"response_ms": 1000, "inquiry_ms": 1000},
        "idempotency": {"lease_ms": 3000},
        "heartbeat": {"interval_ms": 400, "timeout_ms": 300},
    })
}

/// What becomes of the primary.
#[derive(Debug)]
pub(super) enum Strike {
    /// This, under load.
    Fault(Value),
    /// Nobody listens there from the start.
    Down,
    /// Connection attempts are never answered, from the start.
    Silent,
}

/// An outage, and the load that meets it.
#[derive(Debug)]
pub(super) struct Outage {
    pub(super) what: &'static str,
    pub(super) strike: Strike,
    pub(super) pace: Pace,
    /// To the setting.
    pub(super) changes: Value,
    /// What is to open the breaker.
    pub(super) rule: &'static str,
}

/// What payments met.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) what: String,
    pub(super) payments: usize,
    /// Not executed, and told so by an error.
    pub(super) failed: usize,
    pub(super) unknown: usize,
    /// Executed by the secondary after the primary could not be connected to, in one request.
    pub(super) moved: usize,
    /// Those that met the failing primary, the moved ones among them.
    pub(super) met: usize,
    /// From the first of these until the breaker opened.
    pub(super) to_switch: Duration,
    pub(super) charged_twice: u64,
    /// What the filter said of the breaker.
    pub(super) rule: String,
}

impl Row {
    pub(super) const HEAD: &str = "\
what the primary does                    payments failed unknown  moved    met  to switch  twice  \
what opened the breaker";

    pub(super) fn text(&self) -> String {
        let Self { what, payments, failed, unknown, moved, met, charged_twice, .. } = self;
        let to_switch = self.to_switch.as_millis();
        format!(
            "{what:<40} {payments:>8} {failed:>6} {unknown:>7} {moved:>6} {met:>6} \
             {to_switch:>7} ms {charged_twice:>6}  {}",
            self.rule
        )
    }
}

/// Has it happen under load, until the primary is left.
pub(super) fn measure(outage: &Outage) -> Row {
    let sandbox = Sandbox::start();
    let mut config = rendered(&sandbox, &with(setting(), &outage.changes));
    let mut silent = None;
    match outage.strike {
        Strike::Fault(_) => {}
        Strike::Down => sandbox.fault("primary", &json!({"fault": "refuse"})),
        Strike::Silent => {
            let socket = silent.insert(SilentSocket::new());
            set_address(&mut config, 0, &socket.address());
        }
    }
    let envoy = Envoy::start_without_heartbeat(&config);
    let up = if matches!(outage.strike, Strike::Fault(_)) { 2 } else { 1 };
    until("the gateways that are there are up", PATIENCE, || {
        (envoy.metric("dana_heartbeat_up", "") == up).then_some(())
    });
    let load = Load::start(&envoy.listener, outage.pace);
    if let Strike::Fault(fault) = &outage.strike {
        wait("the load is steady", || load.answered() >= BEFORE);
        sandbox.fault("primary", fault);
    }
    let opened = opened(&envoy);
    let answered = load.answered();
    // The log tells it a moment before the metrics do.
    wait("the right rule has opened it", || is_opened_by(&envoy, outage.rule));
    wait("payments go on", || load.answered() >= answered + AFTER);
    tell(outage.what, load.stop(), opened, &envoy, &sandbox)
}

pub(super) fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    until(what, PATIENCE, || holds().then_some(()));
}

/// The moment when the primary's breaker is open, to a millisecond or two.
pub(super) fn opened(envoy: &Envoy) -> Instant {
    let begin = now();
    while rule(envoy).is_none() {
        assert!(begin.elapsed() < PATIENCE, "the primary is never left");
        pause(Duration::from_millis(1));
    }
    now()
}

/// What the filter says of the breaker that opened.
pub(super) fn rule(envoy: &Envoy) -> Option<String> {
    let log = envoy.log();
    let said = log.split_once("breaker of primary is open: ")?.1;
    said.lines().next().map(str::to_owned)
}

/// Whether the breaker that opened did so by this rule, as the metrics name it.
pub(super) fn is_opened_by(envoy: &Envoy, rule: &str) -> bool {
    envoy.metric("dana_breaker_transitions_total", &format!("rule=\"{rule}\"")) == 1
}

/// Puts together what the merchant saw, what Envoy did and what the gateways have.
pub(super) fn tell(
    what: &str,
    payments: Vec<Payment>,
    opened: Instant,
    envoy: &Envoy,
    sandbox: &Sandbox,
) -> Row {
    let references = |gateway, hurt: bool| -> BTreeSet<String> {
        let requests = sandbox.requests_since(gateway, 0).into_iter();
        let requests = requests.filter(|request| !hurt || !request["fault"].is_null());
        requests.map(|request| request["reference"].as_str().unwrap().to_owned()).collect()
    };
    let (hurt, second) = (references("primary", true), references("secondary", false));
    let ledger = sandbox.ledger();
    let executed: BTreeMap<&str, &Value> = ledger["payments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["reference"].as_str().unwrap(), &entry["executed_at"]))
        .collect();
    let mut row = Row {
        what: what.to_owned(),
        payments: payments.len(),
        failed: 0,
        unknown: 0,
        moved: 0,
        met: 0,
        to_switch: Duration::ZERO,
        charged_twice: ledger["executed_at_both"].as_u64().unwrap(),
        rule: rule(envoy).unwrap(),
    };
    let mut first = None;
    for Payment { reference, begun, seen } in &payments {
        let executed = executed.get(reference.as_str());
        let moved = envoy.logged(reference)["attempts"].as_u64() == Some(2);
        let met = moved || hurt.contains(reference);
        assert!(
            !met || *begun <= opened,
            "{reference} met the primary after it was left: {seen:?}"
        );
        if met && first.is_none_or(|first| *begun < first) {
            first = Some(*begun);
        }
        row.met += usize::from(met);
        row.moved += usize::from(moved);
        if seen.status == 200 {
            assert!(executed.is_some(), "{reference} is said to be executed");
            continue;
        }
        // Neither a NO nor a doubt is ever a reason to try elsewhere.
        assert!(!second.contains(reference), "{reference} is at the secondary too: {seen:?}");
        if seen.status == 504 {
            row.unknown += 1;
        } else {
            let no = seen.code() == "5005400" || seen.outcome() == "not_executed";
            assert!(no && executed.is_none(), "{reference}: {seen:?}, executed {executed:?}");
            row.failed += 1;
        }
    }
    row.to_switch = opened.saturating_duration_since(first.unwrap());
    row
}

/// A socket whose queue is full and that nobody accepts from: the system answers no further
/// attempt to connect.
struct SilentSocket {
    listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl SilentSocket {
    fn new() -> Self {
        const BACKLOG: u32 = 1;
        const QUEUED_MAX: usize = 16;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let _entered = runtime.enter();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(BACKLOG).unwrap().into_std().unwrap();
        let address = listener.local_addr().unwrap();
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
        let queued: Vec<TcpStream> = (0..QUEUED_MAX).map_while(connect).collect();
        assert!(queued.len() < QUEUED_MAX, "its queue is never full");
        Self { listener, _queued: queued }
    }

    fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }
}
