//! What stands in Envoy's log: in words, and as loud as it matters.

use std::cell::RefCell;
use std::sync::Once;

use log::Level;

use super::envoy::CONFIG;
use super::fake::{FakeHost, Fault, How, Lasts};
use crate::engine::Config;
use crate::engine::GatewayId;
use crate::engine::Timestamp;
use crate::engine::{
    Breach, BreakerState, Cause, HealthEvent, OverrideKind, Rule, Tally, Transition, Why,
};
use crate::engine::{Cell, CellEvent, CellRequest, Expected};
use crate::filter::driver;
use crate::filter::root::join;
use crate::filter::with_etcd::WithEtcd;
use crate::filter::worker::Worker;

thread_local! {
    static LINES: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

/// Keeps what each thread logs for that thread, so that tests do not see each other's lines.
struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = (record.level(), record.args().to_string());
        LINES.with_borrow_mut(|lines| lines.push(line));
    }

    fn flush(&self) {}
}

/// From now on lines are kept.
pub(super) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Lines).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
}

/// What this thread has logged since it was last asked.
pub(super) fn lines() -> Vec<(Level, String)> {
    LINES.take()
}

fn worker() -> Worker<FakeHost, WithEtcd> {
    let host = FakeHost::default();
    host.0.borrow_mut().now = 1_790_000_000_000;
    let (policy, ..) = join(&host, Config::parse(CONFIG.as_bytes()).unwrap()).unwrap();
    listen();
    lines();
    Worker::new(host, policy, 1, WithEtcd::default())
}

type Case = (HealthEvent, Level, &'static str);

/// Each change is told by one line, as loud as it matters.
fn tells(cases: &[Case]) {
    let worker = worker();
    for (event, level, line) in cases {
        worker.changed(event);
        assert_eq!(lines(), [(*level, (*line).to_owned())]);
    }
}

fn gateways() -> [GatewayId; 2] {
    [0, 1].map(|index| GatewayId::new(index).unwrap())
}

#[test]
fn a_breaker_says_by_which_rule_it_moved() {
    let [primary, _] = gateways();
    let at = Timestamp::from_millis(1_790_000_000_000);
    let moved = |to, rule| HealthEvent::Breaker(primary, Transition { to, rule, generation: 2 });
    let open = BreakerState::Open { until: at };
    let half_open = BreakerState::HalfOpen { out: 0, passed: 0, failed: 0, since: at };
    let closed = BreakerState::Closed { run: 0 };
    let seen = Tally { calls: 10, failures: 5, slow: 0 };
    tells(&[
        (
            moved(open, Rule::ConsecutiveFailures { run: 5 }),
            Level::Warn,
            "breaker of primary is open: 5 failures in a row (limit 5)",
        ),
        (
            moved(open, Rule::FailureRate { seen }),
            Level::Warn,
            "breaker of primary is open: 5 of 10 calls failed (limit 50%)",
        ),
        (
            moved(half_open, Rule::WaitOver),
            Level::Info,
            "breaker of primary is half_open: the wait is over",
        ),
        (
            moved(closed, Rule::TrialsPassed { passed: 3 }),
            Level::Info,
            "breaker of primary is closed: 3 trials passed",
        ),
    ]);
}

#[test]
fn recovery_is_info_and_what_went_wrong_is_a_warning() {
    let [primary, secondary] = gateways();
    let switch = |from, to, cause| HealthEvent::Switch { from, to, cause };
    let drain = Some(OverrideKind::Drain);
    tells(&[
        (HealthEvent::Heartbeat(primary, true), Level::Info, "heartbeat of primary: up"),
        (HealthEvent::Heartbeat(primary, false), Level::Warn, "heartbeat of primary: down"),
        (
            HealthEvent::Disagree(primary, true),
            Level::Warn,
            "heartbeat of primary says up, and its traffic otherwise",
        ),
        (
            switch(primary, secondary, Cause::Failover),
            Level::Warn,
            "failover from primary to secondary",
        ),
        (
            switch(secondary, primary, Cause::Failback),
            Level::Info,
            "failback from secondary to primary",
        ),
        (
            switch(primary, secondary, Cause::Override),
            Level::Warn,
            "override from primary to secondary",
        ),
        (
            HealthEvent::Ramp(primary, 20),
            Level::Info,
            "20 % of the new payments go to primary first",
        ),
        (HealthEvent::Override(primary, drain), Level::Warn, "override of primary: drain"),
        (HealthEvent::Override(primary, None), Level::Info, "override of primary: auto"),
        (HealthEvent::Barred(primary, None), Level::Info, "primary is admitted again"),
        (
            HealthEvent::Refusing(Why::NeverSent),
            Level::Warn,
            "payments are refused: no connection could be made",
        ),
    ]);
}

#[test]
fn what_needs_somebody_now_is_an_error() {
    let [primary, _] = gateways();
    tells(&[
        (
            HealthEvent::Barred(primary, Some(Breach::Name)),
            Level::Error,
            "primary is barred until an operator admits it: the certificate of whoever answered \
             has another name",
        ),
        (
            HealthEvent::Refusing(Why::NoGateway),
            Level::Error,
            "payments are refused: no gateway was usable",
        ),
    ]);
    worker().changed(&HealthEvent::Refusing(Why::StoreFull));
    let told = lines();
    assert!(told[0].0 == Level::Error && told[0].1.starts_with("the claim store is full"));
}

#[test]
fn a_shared_value_that_fails_is_named_in_words() {
    for (cell, name) in [
        (Cell::Layout, "the layout of the claim store"),
        (Cell::Health, "what is known of the gateways"),
        (Cell::Claims(12), "bucket 12 of the claims"),
        (Cell::Body(3), "set 3 of the kept answers"),
        (Cell::Census, "the count of the claims"),
    ] {
        let worker = worker();
        let from = worker.host.0.borrow().calls.len() + 1;
        let fault = Fault { from, lasts: Lasts::On, how: How::Refused };
        worker.host.0.borrow_mut().fault = Some(fault);
        let store = CellRequest::Store { cell, bytes: Vec::new(), expected: Expected::Any };
        for request in [CellRequest::Load(cell), store] {
            assert_eq!(driver::cell(&worker.host, request), CellEvent::Failed(cell));
        }
        let why = "the host answered with status 10";
        let told = ["read", "written"].map(|done| format!("{name} cannot be {done}: {why}"));
        assert_eq!(lines(), told.map(|line| (Level::Error, line)));
    }
}
