//! A rolling update of three Envoys under load, step by step as `docs/etcd.md` says: drained, stopped,
//! and another one in its place. Nobody loses an answer, and nothing is charged twice.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::scene::{PATIENCE, Scene, timeouts};
use crate::support::client::{Line, Seen, glance, post};
use crate::support::envoy::Envoy;
use crate::support::{Ends, pause, until};

const ENVOYS: usize = 3;
/// Merchants who pay at the same time.
const MERCHANTS: usize = 4;
/// `response_ms`, 2.4 s for the store and 1 s more, as the page says.
const DRAIN: Duration = Duration::from_millis(1000 + 2400 + 1000);

/// What the load balancer knows of one Envoy.
struct Backend {
    listener: String,
    /// Where it is asked whether it is ready, and whether it leaves.
    operators: String,
}

impl Backend {
    fn new(envoy: &Envoy) -> Self {
        Self { listener: envoy.listener.clone(), operators: envoy.operators.clone() }
    }

    /// Ready for payments, and not told to leave.
    fn is_well(&self) -> bool {
        glance(&self.operators, "/ready", &[]).status == 200
    }
}

/// A load balancer that looks at each Envoy again and again.
#[derive(Default)]
struct Balancer {
    backends: [Mutex<Option<Backend>>; ENVOYS],
    takes: [AtomicBool; ENVOYS],
    is_done: AtomicBool,
}

impl Balancer {
    fn look(&self) {
        while !self.is_done.load(Ordering::Relaxed) {
            for (backend, takes) in self.backends.iter().zip(&self.takes) {
                let is_well = backend.lock().unwrap().as_ref().is_some_and(Backend::is_well);
                takes.store(is_well, Ordering::Relaxed);
            }
            pause(Duration::from_millis(20));
        }
    }

    /// Where the next payment of somebody goes who prefers this one.
    fn choose(&self, preferred: usize) -> String {
        let all = (0..ENVOYS).map(|more| (preferred + more) % ENVOYS);
        let mut up = all.filter(|number| self.takes[*number].load(Ordering::Relaxed));
        let chosen = up.next().expect("two of three are always up");
        self.backends[chosen].lock().unwrap().as_ref().unwrap().listener.clone()
    }

    fn await_takes(&self, number: usize, takes: bool) {
        until("the balancer has noticed", PATIENCE, || {
            (self.takes[number].load(Ordering::Relaxed) == takes).then_some(())
        });
    }
}

/// Merchants pay until all is over; what each payment was answered.
fn pay_on(balancer: &Balancer, merchant: usize, made: &AtomicU32) -> Vec<(String, Seen)> {
    let line = Line::new();
    let mut told = Vec::new();
    for number in 0.. {
        if balancer.is_done.load(Ordering::Relaxed) {
            break;
        }
        let reference = format!("ROLL-{merchant}-{number}");
        let seen = line.pay(&balancer.choose((merchant + number) % ENVOYS), &reference);
        made.fetch_add(1, Ordering::Relaxed);
        told.push((reference, seen));
        pause(Duration::from_millis(15));
    }
    told
}

#[test]
fn a_rolling_update_under_load_loses_no_answer_and_charges_nobody_twice() {
    let scene = Scene::new(&timeouts(1000, 4500));
    // A payment is under way whenever anything happens.
    for gateway in ["primary", "secondary"] {
        scene.sandbox.fault(gateway, &json!({"fault": "slow", "delay_ms": 120}));
    }
    let (balancer, made) = (Balancer::default(), AtomicU32::new(0));
    let mut envoys: Vec<Option<Envoy>> = (0..ENVOYS).map(|_| Some(scene.envoy())).collect();
    for (backend, envoy) in balancer.backends.iter().zip(&envoys) {
        *backend.lock().unwrap() = envoy.as_ref().map(Backend::new);
    }
    let told: Vec<(String, Seen)> = thread::scope(|scope| {
        let ends = Ends(&balancer.is_done);
        scope.spawn(|| balancer.look());
        for number in 0..ENVOYS {
            balancer.await_takes(number, true);
        }
        let merchants: Vec<_> = (0..MERCHANTS)
            .map(|merchant| {
                let (balancer, made) = (&balancer, &made);
                scope.spawn(move || pay_on(balancer, merchant, made))
            })
            .collect();
        for (number, place) in envoys.iter_mut().enumerate() {
            let before = made.load(Ordering::Relaxed);
            until("payments go on", PATIENCE, || {
                (made.load(Ordering::Relaxed) > before + 30).then_some(())
            });
            let envoy = place.take().unwrap();
            assert_eq!(post(&envoy.admin, "/healthcheck/fail", &json!({})).status, 200);
            balancer.await_takes(number, false);
            let drained = post(&envoy.admin, "/drain_listeners?graceful", &json!({}));
            assert_eq!(drained.status, 200);
            pause(DRAIN);
            assert_eq!(envoy.stat("http.dana.downstream_rq_active"), 0, "it is drained");
            *balancer.backends[number].lock().unwrap() = None;
            envoy.end("-TERM");
            // Nobody waits here until it has joined: the balancer asks it.
            let next = Envoy::start_without_heartbeat(scene.config());
            *balancer.backends[number].lock().unwrap() = Some(Backend::new(&next));
            *place = Some(next);
            balancer.await_takes(number, true);
        }
        drop(ends);
        merchants.into_iter().flat_map(|merchant| merchant.join().unwrap()).collect()
    });
    assert!(told.len() > 200, "{}", told.len());
    for (reference, seen) in &told {
        assert_eq!((seen.status, seen.code().as_str()), (200, "2005400"), "{reference}: {seen:?}");
        assert_eq!(scene.sandbox.executed_at(reference), ["primary"], "{reference}");
    }
    until("all are resolved", PATIENCE, || (scene.open() == 0).then_some(()));
}
