//! The worker's root: heartbeats that are answered, refused, or never heard of again.

use super::fake::{FakeHost, Fault, How, Lasts};
use super::logged::{lines, listen};
use crate::engine::Config;
use crate::engine::Timestamp;
use crate::engine::{Health, Punctuality};
use crate::engine::{Placement, Seed};
use crate::filter::root::{Root, join};
use crate::filter::stores::LocalOnly;

const CONFIG: &[u8] = br#"{
    "gateways": [
        {"name": "primary", "cluster": "dana_primary"},
        {"name": "secondary", "cluster": "dana_secondary"}],
    "heartbeat": {"interval_ms": 2000, "timeout_ms": 1000, "rise": 1, "fall": 1},
    "idempotency": {"store": {"local": {"claims_max": 16}}}
}"#;
const START: u64 = 1_790_000_000_000;

/// A worker, and the host that it ticks in.
struct Worker {
    host: FakeHost,
    root: Root<FakeHost, LocalOnly>,
}

impl Worker {
    fn new() -> Self {
        let host = FakeHost::default();
        host.0.borrow_mut().now = START;
        let root = Root::configure(host.clone(), Config::parse(CONFIG).unwrap()).unwrap();
        Self { host, root }
    }

    /// The tokens of the heartbeats that a tick at `millis` sends.
    fn tick(&mut self, millis: u64) -> Vec<u32> {
        self.host.0.borrow_mut().now = START + millis;
        let sent = self.host.0.borrow().probes.len();
        self.root.tick();
        self.host.0.borrow().probes[sent..].to_vec()
    }

    fn answer(&mut self, token: u32, status: &str, by_gateway: bool) {
        let mut headers = vec![(":status".to_owned(), status.to_owned())];
        if by_gateway {
            headers.push(("x-envoy-upstream-service-time".to_owned(), "3".to_owned()));
        }
        self.host.0.borrow_mut().called = headers;
        self.root.answered(token);
    }

    /// Whether each gateway is up, and whether it was heard of in time.
    fn sees(&self, millis: u64) -> Vec<(bool, Punctuality)> {
        let shared = &self.host.0.borrow().shared;
        let health = Health::decode(&shared[b"dana.failover.h".as_slice()].0);
        let policy = &self.root.worker().policy;
        let now = Timestamp::from_millis(START + millis);
        let heartbeats = policy.order().map(|id| health.member(id).unwrap().heartbeat.clone());
        heartbeats
            .map(|beat| (beat.is_up(), beat.punctuality(now, &policy.health.heartbeat)))
            .collect()
    }
}

#[test]
fn a_heartbeat_that_is_never_answered_is_a_bad_one() {
    let mut worker = Worker::new();
    let [primary, secondary] = worker.tick(0)[..] else { panic!("one for each gateway") };
    worker.answer(primary, "404", true);
    worker.answer(secondary, "200", true);
    assert_eq!(worker.sees(0), [(true, Punctuality::OnTime); 2]);
    let [primary, _] = worker.tick(2000)[..] else { panic!("one for each gateway") };
    worker.answer(primary, "404", true);
    // Nothing is ever heard of the secondary's.
    worker.tick(3999);
    assert_eq!(worker.sees(3999), [(true, Punctuality::OnTime); 2]);
    worker.tick(4000);
    assert_eq!(worker.sees(4001), [(true, Punctuality::OnTime), (false, Punctuality::Late)]);
}

#[test]
fn what_comes_after_it_was_given_up_says_nothing() {
    let mut worker = Worker::new();
    let [_, secondary] = worker.tick(0)[..] else { panic!("one for each gateway") };
    worker.tick(2000);
    worker.answer(secondary, "200", true);
    assert!(!worker.sees(2000)[1].0);
    assert_eq!(worker.sees(2000)[1].1, Punctuality::Silent);
}

#[test]
fn an_answer_in_the_place_of_the_gateway_is_a_bad_one() {
    let mut worker = Worker::new();
    for (at, token) in worker.tick(0).into_iter().enumerate() {
        worker.answer(token, if at == 0 { "200" } else { "500" }, at == 1);
    }
    assert_eq!(worker.sees(0), [(false, Punctuality::Silent); 2]);
}

#[test]
fn health_of_another_version_begins_anew_and_that_is_logged() {
    listen();
    let config = Config::parse(CONFIG).unwrap();
    let lines_with = |health: Option<Vec<u8>>| {
        let host = FakeHost::default();
        if let Some(health) = health {
            let key = b"dana.failover.h".to_vec();
            host.0.borrow_mut().shared.insert(key, (health, 1));
        }
        Root::<_, LocalOnly>::configure(host.clone(), config.clone()).unwrap();
        // Of one that begins, something else is told: once.
        let first = lines().into_iter().map(|(_, line)| line);
        let (empty, rest): (Vec<_>, Vec<_>) =
            first.partition(|line| line.contains("the claim store is empty"));
        assert_eq!(empty.len(), 1);
        assert!(empty[0].contains("made before this start are not known"), "{empty:?}");
        Root::<_, LocalOnly>::configure(host, config.clone()).unwrap();
        let again = lines();
        assert!(!again.iter().any(|(_, line)| line.contains("is empty")), "it is known now");
        rest
    };
    assert_eq!(lines_with(None), Vec::<String>::new());
    assert_eq!(lines_with(Some(Health::default().encode())), Vec::<String>::new());
    let told = lines_with(Some(vec![99, 1, 2, 3]));
    assert!(told.len() == 1 && told[0].contains("overrides, which must be asked"), "{told:?}");
}

#[test]
fn workers_that_are_alike_in_everything_are_told_apart() {
    let host = FakeHost::default();
    host.0.borrow_mut().now = START;
    let config = Config::parse(CONFIG).unwrap();
    let numbers: Vec<u64> = (0..3).map(|_| join(&host, config.clone()).unwrap().1).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

/// Two that look for a payment in two buckets would both claim it, and it would be sent twice.
#[test]
fn all_workers_look_for_a_payment_in_the_same_place() {
    let host = FakeHost::default();
    let config = Config::parse(CONFIG).unwrap();
    let joined = |moment: u64| {
        host.0.borrow_mut().now = START + moment;
        join(&host, config.clone()).unwrap().0.placement
    };
    let first = joined(0);
    assert_ne!(first, Placement::new(config.store.claims_max, Seed::default()), "it has a seed");
    // Another worker, and the configuration once more: the noise is another one each time.
    assert_eq!([joined(1), joined(2)], [first; 2]);
    // One that found nothing there because all began at once, and then lost the race to begin it.
    // After the noise and the time comes the layout.
    let next = host.0.borrow().calls.len() + 3;
    host.0.borrow_mut().fault = Some(Fault { from: next, lasts: Lasts::Once, how: How::Nothing });
    assert_eq!(joined(3), first);
    assert!(host.0.borrow().calls.contains(&"noise"), "it had begun one of its own");
}

#[test]
fn a_module_without_etcd_says_which_one_has_it() {
    let host = FakeHost::default();
    host.0.borrow_mut().now = START;
    let mut config: serde_json::Value = serde_json::from_slice(CONFIG).unwrap();
    config["idempotency"]["store"] =
        serde_json::json!({"etcd": {"cluster": "dana_etcd", "realm": "shop"}});
    let config = Config::parse(config.to_string().as_bytes()).unwrap();
    let told = Root::<_, LocalOnly>::configure(host, config).err().unwrap();
    assert!(told.starts_with("idempotency.store: expected local"), "{told}");
    assert!(told.contains("load dana_failover_etcd.wasm"), "{told}");
}
