//! The heads of the audit trail: published by one worker of many, once each, whatever fails.

use super::fake::{FakeHost, Fault, How, Lasts};
use super::logged::{lines, listen};
use crate::engine::limits;
use crate::engine::{AuditEntry, Config, Head, Timestamp};
use crate::filter::audit::Auditor;
use crate::filter::events::EventRoot;

fn config() -> Config {
    let config = r#"{"admin": {"role": "audit"}, "audit": {},
        "gateways": [{"name": "a", "cluster": "one"}, {"name": "b", "cluster": "two"}]}"#;
    Config::parse(config.as_bytes()).unwrap()
}

/// A process with a writer of payments, and two workers of the listener for events.
struct Published {
    host: FakeHost,
    payments: Auditor,
    workers: [EventRoot<FakeHost>; 2],
}

impl Published {
    fn new() -> Self {
        let host = FakeHost::default();
        host.0.borrow_mut().now = 1_790_000_000_000;
        listen();
        let payments = Auditor::of(&config(), "payments", 1).unwrap();
        let worker = || EventRoot::new(host.clone(), &config()).unwrap();
        let workers = [worker(), worker()];
        Self { host, payments, workers }
    }

    fn pay(&self) {
        let entry = AuditEntry::new("charge", Timestamp::from_millis(1));
        self.payments.write(&self.host, &[entry]);
    }

    /// What is published when all workers tick after so long.
    fn told_after(&self, millis: u64) -> Vec<Head> {
        lines();
        self.host.0.borrow_mut().now += millis;
        self.workers.iter().for_each(EventRoot::tick);
        let heads = lines().into_iter().filter_map(|(_, line)| {
            line.strip_prefix("audit head ").map(|head| Head::parse(head).unwrap())
        });
        heads.collect()
    }

    fn gauge(&self, name: &str) -> Option<u64> {
        let inside = self.host.0.borrow();
        inside.metrics.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

#[test]
fn one_worker_publishes_what_has_moved() {
    let scene = Published::new();
    assert_eq!(scene.told_after(0), []);
    scene.pay();
    let ticks = limits::AUDIT_PUBLISHED_MS / 1000 - 1;
    (0..ticks).for_each(|_| assert_eq!(scene.told_after(1000), []));
    let told = scene.told_after(1000);
    assert_eq!(told.iter().map(|head| head.number).collect::<Vec<_>>(), [1], "once");
    assert_eq!(scene.told_after(limits::AUDIT_PUBLISHED_MS), [], "nothing has moved");
    scene.pay();
    let told = scene.told_after(limits::AUDIT_PUBLISHED_MS);
    assert_eq!(told.iter().map(|head| head.number).collect::<Vec<_>>(), [2]);
    let [high, low] = told[0].halves();
    for (name, value) in [
        ("dana_audit_writer;place=1", 1),
        ("dana_audit_entries;place=1", 3),
        ("dana_audit_head_high;place=1", high),
        ("dana_audit_head_low;place=1", low),
    ] {
        assert_eq!(scene.gauge(name), Some(value), "{name}");
    }
    assert!(high < 1 << 48 && low < 1 << 48);
    assert_eq!(u64::from(told[0].digest.0[0]), high >> 40);
    let now = scene.host.0.borrow().now / 1000;
    assert_eq!(scene.gauge("dana_audit_published_timestamp_seconds"), Some(now));
}

/// What cannot be read, written or told now is published later, and no other head instead.
#[test]
fn a_call_that_fails_delays_it() {
    for from in 1..12 {
        for how in [How::Refused, How::Done, How::Conflict, How::Nothing, How::Garbage] {
            let scene = Published::new();
            scene.pay();
            let mut inside = scene.host.0.borrow_mut();
            inside.calls.clear();
            inside.fault = Some(Fault { from, lasts: Lasts::Once, how });
            drop(inside);
            let mut told = scene.told_after(limits::AUDIT_PUBLISHED_MS);
            let is_said = scene.gauge("dana_audit_published_timestamp_seconds").is_some();
            // A value that is not there is one that nobody has written.
            let is_true = !told.is_empty() || how == How::Nothing;
            assert!(!is_said || is_true, "call {from}: {how:?}: it is said, and was not");
            scene.host.0.borrow_mut().fault = None;
            told.extend(scene.told_after(limits::AUDIT_PUBLISHED_MS));
            told.dedup();
            let expected = scene.payments.head().unwrap();
            assert_eq!(told, [expected], "call {from}: {how:?}");
        }
    }
}
