//! The worker that counts what the store holds: what it tells operators, whichever call of the host
//! goes wrong.

use super::envoy::{CONFIG, Deed, Process, Ready, Way, Wish};
use super::fake::{FakeHost, Fault, Lasts, ways};
use crate::engine::Config;
use crate::filter::root::Root;
use crate::filter::with_etcd::WithEtcd;

impl FakeHost {
    fn gauge(&self, name: &str) -> Option<u64> {
        let inside = self.0.borrow();
        inside.metrics.iter().find(|(other, _)| other == name).map(|(_, value)| *value)
    }

    /// What the worker of `root` makes of its next tick.
    fn tick(&self, root: &mut Root<Self, WithEtcd>) {
        self.0.borrow_mut().now += root.period().get();
        root.tick();
    }

    /// In doubt, value at risk in rupiah, age of the oldest.
    fn doubt(&self) -> [Option<u64>; 3] {
        [
            "dana_claims;state=in_doubt",
            "dana_value_at_risk;currency=IDR",
            "dana_in_doubt_oldest_seconds",
        ]
        .map(|name| self.gauge(name))
    }
}

/// A process with one payment of 10,000 rupiah in doubt, and the root of its worker.
fn in_doubt(ready: &Ready) -> (Process, Root<FakeHost, WithEtcd>) {
    let mut process = Process::new(ready);
    process.go(Way::new(Wish::Pay, Deed::Timeout));
    let config = Config::parse(CONFIG.as_bytes()).unwrap();
    let root = Root::configure(process.host.clone(), config).unwrap();
    (process, root)
}

#[test]
fn operators_see_what_is_in_doubt_until_it_is_resolved() {
    let (mut process, mut root) = in_doubt(&Ready::new());
    let host = process.host.clone();
    assert_eq!(host.doubt(), [None; 3], "nothing is said before it is counted");
    host.tick(&mut root);
    assert_eq!(host.doubt(), [Some(1), Some(1_000_000), Some(0)]);
    process.pass(90_000);
    host.tick(&mut root);
    assert_eq!(host.doubt(), [Some(1), Some(1_000_000), Some(91)]);
    assert_eq!(host.gauge("dana_claims;state=settled"), Some(0));
    // The gateway executed it, and says so when it is asked.
    process.go(Way::new(Wish::Ask, Deed::Execute));
    process.pass(1000);
    host.tick(&mut root);
    assert_eq!(host.doubt(), [Some(0), Some(0), Some(0)]);
    assert_eq!(host.gauge("dana_claims;state=settled"), Some(1));
    assert_eq!(host.gauge("dana_store_fill_pct"), Some(2));
    assert_eq!(host.gauge("dana_store_bucket_fill_pct"), Some(1));
    let counted_at = host.0.borrow().now / 1000;
    assert_eq!(host.gauge("dana_census_timestamp_seconds"), Some(counted_at));
}

#[test]
fn whichever_call_of_a_tick_fails_the_next_ones_make_it_good() {
    let ready = Ready::new();
    let (process, mut root) = in_doubt(&ready);
    process.host.0.borrow_mut().calls.clear();
    process.host.tick(&mut root);
    let calls = process.host.0.borrow().calls.clone();
    let mut runs = 0;
    for (at, call) in calls.iter().enumerate() {
        for how in ways(call) {
            for lasts in [Lasts::Once, Lasts::Alike, Lasts::On] {
                let fault = Fault { from: at + 1, lasts, how: *how };
                let (process, mut root) = in_doubt(&ready);
                let host = process.host.clone();
                host.0.borrow_mut().calls.clear();
                host.0.borrow_mut().fault = Some(fault);
                host.tick(&mut root);
                host.tick(&mut root);
                let claims = process.claims();
                assert_eq!(claims.len(), 1, "{fault:?} of {calls:?}: counting only reads");
                host.0.borrow_mut().fault = None;
                // A clock that stepped ahead and back keeps a lease for as long as it lasts.
                for _ in 0..12 {
                    host.tick(&mut root);
                }
                let [doubt, value, _] = host.doubt();
                assert_eq!((doubt, value), (Some(1), Some(1_000_000)), "{fault:?} of {calls:?}");
                runs += 1;
            }
        }
    }
    assert!(runs > 100, "{runs} runs over {calls:?}");
}

#[test]
fn merchants_cannot_name_gauges_at_will() {
    let ready = Ready::new();
    let process = Process::new(&ready);
    let worker = process.worker();
    for (at, letter) in (b'A'..=b'Z').enumerate() {
        let census = crate::engine::Census {
            at_risk: vec![([b'X', b'X', letter], 1)],
            ..Default::default()
        };
        worker.counted(&crate::engine::Counted::after(census, &[]));
        let inside = process.host.0.borrow();
        let named = inside.metrics.iter().filter(|(name, _)| name.contains("currency"));
        assert_eq!(named.count(), (at + 1).min(16));
    }
}
