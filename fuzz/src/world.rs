//! Everything outside of an exchange: a store, a clock, gateways that are well.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use dana_failover::engine::config::{Config, Policy};
use dana_failover::engine::event::{Answer, Call, Decision, Effect, Event, Forward, Request};
use dana_failover::engine::exchange::Exchange;
use dana_failover::engine::gateway::GatewayId;
use dana_failover::engine::health::{Health, Peer, WorkerCounters};
use dana_failover::engine::payment::Claim;
use dana_failover::engine::protocol::{Body, Flags, Origin, Reply, Response};
use dana_failover::engine::store::{Bucket, Cell, Expected, Layout, Loaded, Placement, Seed};
use dana_failover::engine::time::Timestamp;

pub(super) const CREATE: &str = "/payment-gateway/v1.0/debit/payment-host-to-host.htm";

/// One bucket, so that every claim is found.
const CONFIG: &str = r#"{
    "gateways": [
        {"name": "primary", "cluster": "dana_primary"},
        {"name": "secondary", "cluster": "dana_secondary"}],
    "composites": [
        {"members": ["primary", "secondary"], "cluster": "dana_primary_first"},
        {"members": ["secondary", "primary"], "cluster": "dana_secondary_first"}],
    "heartbeat": {"stale_ms": 3600000},
    "idempotency": {"store": {"local": {"claims_max": 16}}, "body_bytes_max": 512}
}"#;

/// Steps of one request are a few dozen; more means that it never ends.
const STEPS_MAX: usize = 1000;

pub(super) struct World {
    pub(super) policy: Rc<Policy>,
    pub(super) now: u64,
    pub(super) cells: BTreeMap<String, (Vec<u8>, u32)>,
    counters: WorkerCounters,
    contexts: u32,
}

/// What has become of a request so far.
pub(super) struct Run {
    exchange: Exchange,
    pub(super) forwards: Vec<Forward>,
    pub(super) calls: Vec<Call>,
    pub(super) replies: Vec<Reply>,
    pub(super) notes: Vec<Decision>,
    pub(super) relayed: bool,
    /// Claims stood in the store when it was let go.
    pub(super) claimed_before: usize,
}

impl World {
    pub(super) fn new() -> Self {
        Self::prepared(CONFIG)
    }

    /// A world of this configuration, made once and copied: a fuzzer wants thousands a second.
    pub(super) fn prepared(config: &'static str) -> Self {
        thread_local! {
            static WORLDS: RefCell<BTreeMap<&'static str, World>> = RefCell::default();
        }
        WORLDS.with_borrow_mut(|worlds| {
            let world = worlds.entry(config).or_insert_with(|| {
                let config = Config::parse(config.as_bytes());
                Self::with(config.expect("the configuration is right"))
            });
            Self {
                policy: Rc::clone(&world.policy),
                now: world.now,
                cells: world.cells.clone(),
                counters: WorkerCounters::default(),
                contexts: 0,
            }
        })
    }

    fn with(config: Config) -> Self {
        let mut layout = Layout::new(Placement::new(config.buckets(), Seed::default()));
        let policy =
            Policy::join(config, &mut layout, Timestamp::default()).expect("an empty store fits").0;
        let mut world = Self {
            policy: Rc::new(policy),
            now: 1_790_000_000_000,
            cells: BTreeMap::new(),
            counters: WorkerCounters::default(),
            contexts: 0,
        };
        world.put(Cell::Layout, layout.encode());
        let mut health = Health::default();
        let gateways: Vec<GatewayId> = world.policy.order().collect();
        for gateway in gateways {
            health.on_probe(gateway, true, &world.policy.health, world.time());
            health.on_probe(gateway, true, &world.policy.health, world.time());
        }
        world.put(Cell::Health, health.encode());
        world
    }

    pub(super) fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    pub(super) fn put(&mut self, cell: Cell, bytes: Vec<u8>) {
        let version = self.cells.get(&name(cell)).map_or(0, |(_, version)| *version);
        self.cells.insert(name(cell), (bytes, version + 1));
    }

    pub(super) fn loaded(&self, cell: Cell) -> Loaded {
        match self.cells.get(&name(cell)) {
            Some((bytes, version)) => {
                Loaded { bytes: bytes.clone(), version: Expected::At(*version) }
            }
            None => Loaded { bytes: Vec::new(), version: Expected::Absent },
        }
    }

    /// Writes if it is as expected, and says whether it was.
    pub(super) fn store(&mut self, cell: Cell, bytes: Vec<u8>, expected: Expected) -> bool {
        let fits = match expected {
            Expected::Any => true,
            Expected::Absent | Expected::At(_) => self.loaded(cell).version == expected,
        };
        if fits {
            self.put(cell, bytes);
        }
        fits
    }

    /// All claims that can be read.
    pub(super) fn claims(&self) -> Vec<Claim> {
        let buckets = self.cells.iter().filter(|(name, _)| name.starts_with("Claims"));
        let buckets = buckets.filter_map(|(_, (bytes, _))| Bucket::decode(bytes.clone()));
        buckets.flat_map(|bucket| bucket.claims().collect::<Vec<_>>()).collect()
    }

    pub(super) fn ask(&mut self, headers: &[(&[u8], &[u8])], body: &[u8], peer: &[String]) -> Run {
        self.contexts += 1;
        let request = Request { headers, body, peer, context: self.contexts };
        let mut run = Run {
            exchange: Exchange::new(Rc::clone(&self.policy)),
            forwards: Vec::new(),
            calls: Vec::new(),
            replies: Vec::new(),
            notes: Vec::new(),
            relayed: false,
            claimed_before: 0,
        };
        self.feed(&mut run, Event::Request(request));
        assert!(
            run.exchange.is_sent() || run.exchange.is_ended(),
            "a request that came is sent or answered"
        );
        assert_eq!(run.exchange.is_ended(), run.forwards.is_empty(), "sent and answered");
        run
    }

    pub(super) fn answer(&mut self, run: &mut Run, evidence: Response<'_>, endpoint: &str) {
        let answer = Answer {
            evidence,
            endpoint: Some(endpoint),
            peer: Some(Peer { version: Some("TLSv1.3"), names: [None, None] }),
            content_type: Some("application/json"),
            retry_after: None,
            content_encoding: None,
            client_waits: true,
        };
        self.feed(run, Event::Answered(answer));
    }

    /// The route's timeout: it was sent, and nobody knows more.
    pub(super) fn time_out(&mut self, run: &mut Run, endpoint: &str) {
        let origin = Origin::Envoy { flags: Flags::new(0x4), attached: true };
        let evidence = Response { origin, status: 504, body: Body::Unreadable };
        self.answer(run, evidence, endpoint);
    }

    fn feed(&mut self, run: &mut Run, event: Event<'_>) {
        let now = self.time();
        let mut todo: VecDeque<Effect> = run.exchange.handle(event, now, &mut self.counters).into();
        for _ in 0..STEPS_MAX {
            let Some(effect) = todo.pop_front() else {
                return;
            };
            let event = match effect {
                Effect::Load(cell) => Event::Loaded(cell, self.loaded(cell)),
                Effect::Store { cell, bytes, expected } => {
                    if self.store(cell, bytes, expected) {
                        Event::Stored(cell)
                    } else {
                        Event::Conflict(cell)
                    }
                }
                Effect::Forward(forward) => {
                    run.claimed_before = self.claims().len();
                    run.forwards.push(forward);
                    continue;
                }
                Effect::Call(call) => {
                    run.calls.push(call);
                    continue;
                }
                Effect::Reply(reply) => {
                    run.replies.push(reply);
                    continue;
                }
                Effect::Relay { .. } => {
                    run.relayed = true;
                    continue;
                }
                Effect::Decided(note) => {
                    run.notes.push(note);
                    continue;
                }
                Effect::Probe(_)
                | Effect::Changed(_)
                | Effect::InFlight(..)
                | Effect::Anomaly(_)
                | Effect::Counted(_) => continue,
            };
            todo.extend(run.exchange.handle(event, now, &mut self.counters));
        }
        panic!("a request does not end");
    }
}

impl Run {
    pub(super) fn is_sent(&self) -> bool {
        self.exchange.is_sent()
    }

    /// The cluster that the request was sent to.
    pub(super) fn cluster(&self, world: &World) -> Option<&str> {
        self.set(&world.policy.config.route_header)
    }

    /// What the gateway sees as the payment's name.
    pub(super) fn idempotency_key(&self) -> Option<&str> {
        self.set("idempotency-key")
    }

    fn set(&self, name: &str) -> Option<&str> {
        let headers = &self.forwards.first()?.headers;
        headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Everything that people or other systems than the gateway can see of it.
    pub(super) fn told(&self) -> Vec<u8> {
        let notes = self.notes.iter().map(|note| format!("{note} {note:?}").into_bytes());
        let replies = self.replies.iter().map(|reply| {
            let headers = format!("{:?} {}", reply.headers, reply.reason);
            [headers.as_bytes(), &reply.body].concat()
        });
        notes.chain(replies).collect::<Vec<_>>().concat()
    }
}

fn name(cell: Cell) -> String {
    format!("{cell:?}")
}
