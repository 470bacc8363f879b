//! Everything outside of an exchange: a store, a clock, gateways that are well.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use dana_failover::engine::Exchange;
use dana_failover::engine::GatewayId;
use dana_failover::engine::Timestamp;
use dana_failover::engine::{
    Answer, Call, Decision, ExchangeEffect, ExchangeEvent, Forward, Request,
};
use dana_failover::engine::{Body, Flags, Origin, Reply, Response};
use dana_failover::engine::{
    Cell, CellEvent, CellRequest, Layout, Local, MemoryStore, Placement, Seed,
};
use dana_failover::engine::{Config, Policy};
use dana_failover::engine::{Input, Shell, Ticket, drive};
use dana_failover::engine::{Peer, WorkerCounters};

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
    pub(super) store: MemoryStore,
    counters: WorkerCounters,
    contexts: u32,
}

/// A request and what has become of it so far.
pub(super) struct Run {
    exchange: Local<Exchange>,
    seen: Seen,
}

/// What was done for a request.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) forwards: Vec<Forward>,
    pub(super) calls: Vec<Call>,
    pub(super) replies: Vec<Reply>,
    pub(super) notes: Vec<Decision>,
    pub(super) relayed: bool,
    /// Claims stood in the store when it was let go.
    pub(super) claimed_before: usize,
}

impl std::ops::Deref for Run {
    type Target = Seen;

    fn deref(&self) -> &Seen {
        &self.seen
    }
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
                store: world.store.clone(),
                counters: WorkerCounters::default(),
                contexts: 0,
            }
        })
    }

    fn with(config: Config) -> Self {
        let mut layout = Layout::new(Placement::new(config.store.claims_max, Seed::default()));
        let policy =
            Policy::join(config, &mut layout, Timestamp::default()).expect("an empty store fits").0;
        let mut world = Self {
            policy: Rc::new(policy),
            now: 1_790_000_000_000,
            store: MemoryStore::default(),
            counters: WorkerCounters::default(),
            contexts: 0,
        };
        world.store.put(Cell::Layout, layout.encode());
        let (policy, now) = (Rc::clone(&world.policy), world.time());
        let gateways: Vec<GatewayId> = policy.order().collect();
        for gateway in [&gateways[..], &gateways[..]].concat() {
            world.store.change_health(|health| {
                health.on_probe(gateway, true, &policy.health, now);
            });
        }
        world
    }

    pub(super) fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    pub(super) fn ask(&mut self, headers: &[(&[u8], &[u8])], body: &[u8], peer: &[String]) -> Run {
        self.contexts += 1;
        let request = Request { headers, body, peer, context: self.contexts };
        let mut run = Run {
            exchange: Local::new(Exchange::new(Rc::clone(&self.policy))),
            seen: Seen::default(),
        };
        self.feed(&mut run, ExchangeEvent::Request(request));
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
            ..Answer::never_left(true)
        };
        self.feed(run, ExchangeEvent::Answered(answer));
    }

    /// The route's timeout: it was sent, and nobody knows more.
    pub(super) fn time_out(&mut self, run: &mut Run, endpoint: &str) {
        let origin = Origin::Envoy { flags: Flags::new(0x4), attached: true };
        let evidence = Response { origin, status: 504, body: Body::Unreadable };
        self.answer(run, evidence, endpoint);
    }

    fn feed(&mut self, run: &mut Run, event: ExchangeEvent<'_>) {
        let now = self.time();
        let Run { exchange, seen } = run;
        let mut shell = Outside { store: &mut self.store, seen, steps: 0 };
        drive(exchange, Input::Event(event), now, &mut self.counters, &mut shell);
    }
}

/// What a request's effects are carried out on.
struct Outside<'a> {
    store: &'a mut MemoryStore,
    seen: &'a mut Seen,
    steps: usize,
}

impl Shell<Local<Exchange>> for Outside<'_> {
    fn ask(&mut self, _: Ticket, request: CellRequest) -> Option<CellEvent> {
        self.steps += 1;
        assert!(self.steps < STEPS_MAX, "a request does not end");
        Some(self.store.ask(request))
    }

    fn carry_out(&mut self, effect: ExchangeEffect) -> Option<ExchangeEvent<'static>> {
        match effect {
            ExchangeEffect::Forward(forward) => {
                self.seen.claimed_before = self.store.claims().len();
                self.seen.forwards.push(forward);
            }
            ExchangeEffect::Call(call) => self.seen.calls.push(call),
            ExchangeEffect::Reply(reply) => self.seen.replies.push(reply),
            ExchangeEffect::Relay { .. } => self.seen.relayed = true,
            ExchangeEffect::Decided(note) => self.seen.notes.push(*note),
            ExchangeEffect::Changed(_)
            | ExchangeEffect::Anomaly(_)
            | ExchangeEffect::Doubt(_)
            | ExchangeEffect::HandOff => {}
        }
        None
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
        let notes = self.notes.iter().map(|note| format!("{} {note:?}", note.line()).into_bytes());
        let replies = self.replies.iter().map(|reply| {
            let headers = format!("{:?} {}", reply.headers, reply.reason);
            [headers.as_bytes(), &reply.body].concat()
        });
        notes.chain(replies).collect::<Vec<_>>().concat()
    }
}
