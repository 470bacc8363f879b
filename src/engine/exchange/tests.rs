//! Whole requests through the door: events in, effects out, over a store in memory that fails,
//! loses races and crashes where a test says so.

use crate::engine::health::{BreakerState, Report};
use std::collections::VecDeque;
use std::rc::Rc;

use super::Exchange;
use crate::engine::config::{Config, Policy};
use crate::engine::event::{
    Answer, Call, Decision, ExchangeEffect, ExchangeEvent, Forward, Request,
};
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::health::{Health, HealthEvent, Signal, Source, WorkerCounters};
use crate::engine::limits;
use crate::engine::machine::{Input, InputOf, Machine, Output, OutputOf, Ticket};
use crate::engine::payment::{Anomaly, Claim, ClaimState, Closed, DoubtEvent};
use crate::engine::protocol::{Body, Flags, Origin, Reply, Response};
use crate::engine::store::{
    Bucket, Cell, CellEvent, CellRequest, Layout, Local, MemoryStore, Placement, Seed,
};
use crate::engine::time::Timestamp;

mod anomalies;
mod births;
mod clock;
mod counted;
mod doubts;
mod etcd;
mod exact;
mod faults;
mod held;
mod kept;
mod load;
mod lookup;
mod modes;
mod money;
mod refusals;
mod rights;
mod scope;
mod slow;
mod status;

const CREATE: &str = "/payment-gateway/v1.0/debit/payment-host-to-host.htm";
const STATUS: &str = "/payment-gateway/v1.0/debit/status.htm";
const CANCEL: &str = "/payment-gateway/v1.0/debit/cancel.htm";
const REFUND: &str = "/payment-gateway/v1.0/debit/refund.htm";
const TOP_UP: &str = "/rest/v1.0/emoney/topup";
const TRANSFER: &str = "/v1.0/emoney/transfer-bank.htm";

const ORDER: &str = r#"{"merchantId":"m-1","partnerReferenceNo":"r-1","amount":{"value":"10000.00","currency":"IDR"}}"#;
const OK: &str = r#"{"responseCode":"2005400","responseMessage":"Successful","partnerReferenceNo":"r-1","referenceNo":"d-1"}"#;
const OF_ORDER: &str = r#"{"merchantId":"m-1","originalPartnerReferenceNo":"r-1"}"#;

const CONFIG: &str = r#"{
    "gateways": [
        {"name": "primary", "cluster": "dana_primary"},
        {"name": "secondary", "cluster": "dana_secondary"}],
    "composites": [
        {"members": ["primary", "secondary"], "cluster": "dana_primary_first"},
        {"members": ["secondary", "primary"], "cluster": "dana_secondary_first"}],
    "heartbeat": {"stale_ms": 3600000},
    "breaker": {"consecutive_failures": 1000, "min_calls": 1000000, "half_open_permits": 1,
                "partner_failures_pct": 100},
    "idempotency": {"store": {"local": {"claims_max": 64}}, "body_bytes_max": 512}
}"#;

const fn name(state: ClaimState) -> &'static str {
    match state {
        ClaimState::InFlight { .. } => "in_flight",
        ClaimState::Settled { .. } => "settled",
        ClaimState::Rejected { .. } => "rejected",
        ClaimState::InDoubt { .. } => "in_doubt",
        ClaimState::Closed { .. } => "closed",
    }
}

/// What a store does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The call fails and nothing happened.
    Before,
    /// The call fails although the write happened.
    After,
    /// Somebody else was quicker.
    Conflict,
}

/// Everything outside of the exchanges.
struct World {
    policy: Rc<Policy>,
    now: u64,
    store: MemoryStore,
    counters: WorkerCounters,
    /// Calls of the store so far, and which one goes wrong how.
    calls: usize,
    fault: Option<(usize, Fault)>,
    contexts: u32,
}

/// One request and what became of it so far.
struct Run {
    exchange: Local<Exchange>,
    todo: VecDeque<OutputOf<Local<Exchange>>>,
    forward: Option<Forward>,
    reply: Option<Reply>,
    relayed: Option<String>,
    note: Option<Decision>,
    /// Calls of our own, in their order.
    calls: Vec<Call>,
    /// What operators were told.
    changes: Vec<HealthEvent>,
    anomalies: Vec<Anomaly>,
    doubts: Vec<DoubtEvent>,
    /// It goes on without its client.
    handed_off: bool,
}

/// A request to be made.
#[derive(Clone)]
struct Asked {
    headers: Vec<(String, String)>,
    body: String,
    peer: Vec<String>,
}

fn post(path: &str, body: &str) -> Asked {
    let fields = [
        (":method", "POST"),
        (":path", path),
        ("x-partner-id", "partner-1"),
        ("x-request-id", "id-1"),
        ("content-type", "application/json"),
    ];
    let headers = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Asked { headers, body: body.to_owned(), peer: Vec::new() }
}

impl Asked {
    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }
}

/// How a request's exchange with the gateways ends.
#[derive(Clone, Copy)]
struct Ending<'a> {
    evidence: Response<'a>,
    endpoint: Option<&'a str>,
    client_waits: bool,
}

const fn upstream(status: u16, body: &str) -> Ending<'_> {
    let body = Body::Complete(body.as_bytes());
    let evidence = Response { origin: Origin::Upstream, status, body };
    Ending { evidence, endpoint: Some("primary"), client_waits: true }
}

const fn no_answer(flags: u64, attached: bool) -> Ending<'static> {
    let origin = Origin::Envoy { flags: Flags::new(flags), attached };
    let evidence = Response { origin, status: 503, body: Body::Unreadable };
    Ending { evidence, endpoint: None, client_waits: true }
}

impl<'a> Ending<'a> {
    const fn at(self, endpoint: &'a str) -> Self {
        Self { endpoint: Some(endpoint), ..self }
    }

    const fn client_gone(self) -> Self {
        Self { client_waits: false, ..self }
    }
}

/// The route's timeout.
const TIMEOUT: Ending<'static> = no_answer(0x4, true);
/// No connection could be made.
const REFUSED: Ending<'static> = no_answer(0x20, false);

/// The answer to the status inquiry of an order.
fn status(latest: &str) -> String {
    format!(
        r#"{{"responseCode":"2005500","originalPartnerReferenceNo":"r-1","latestTransactionStatus":"{latest}"}}"#
    )
}

impl World {
    fn new() -> Self {
        Self::with(CONFIG)
    }

    /// A world in which both gateways are well.
    fn with(config: &str) -> Self {
        let config = Config::parse(config.as_bytes()).unwrap();
        let mut layout = Layout::new(Placement::new(config.store.claims_max, Seed::default()));
        let policy = Policy::join(config, &mut layout, Timestamp::default()).unwrap().0;
        let mut world = Self {
            policy: Rc::new(policy),
            now: 1_790_000_000_000,
            store: MemoryStore::default(),
            counters: WorkerCounters::default(),
            calls: 0,
            fault: None,
            contexts: 0,
        };
        world.health(|health, policy, now| {
            for gateway in policy.order() {
                health.on_probe(gateway, true, &policy.health, now);
                health.on_probe(gateway, true, &policy.health, now);
            }
        });
        world
    }

    fn id(&self, name: &str) -> GatewayId {
        self.policy.named(name).unwrap().id
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    fn pass(&mut self, millis: u64) {
        self.now += millis;
    }

    /// The worker ticks: what it sees of the clock is told to all.
    fn tick(&mut self) {
        let (now, rules) = (self.time(), &self.policy.health);
        self.store.change_health(|health| {
            health.tell_course(&mut self.counters, rules, now);
            health.mend(rules, now);
        });
    }

    /// Time passes, and the worker ticks as it does.
    fn pass_ticking(&mut self, millis: u64) {
        let until = self.now + millis;
        while self.now < until {
            self.now = until.min(self.now + 4000);
            self.tick();
        }
    }

    /// Changes what all workers know of the gateways.
    fn health(&mut self, change: impl FnOnce(&mut Health, &Policy, Timestamp)) {
        let (now, policy) = (self.time(), &self.policy);
        self.store.change_health(|health| change(health, policy, now));
    }

    fn breaker(&self, name: &str) -> BreakerState {
        self.store.health().member(self.id(name)).unwrap().breaker.state()
    }

    /// Opens a gateway's breaker.
    fn trip(&mut self, name: &str) {
        let gateway = self.id(name);
        self.health(|health, policy, now| {
            for _ in 0..policy.health.breaker.consecutive_failures {
                let generation = health.generation(gateway);
                let signal = Signal::Failure;
                let report = Report {
                    signal,
                    slow: false,
                    generation,
                    trial: false,
                    source: Source::default(),
                    ..Report::default()
                };
                health.record(gateway, report, &policy.health, now);
            }
        });
        assert!(matches!(self.breaker(name), BreakerState::Open { .. }));
    }

    /// Where the only claim stands now.
    fn state(&self) -> &'static str {
        match self.store.claims().as_slice() {
            [] => "",
            [claim] => name(claim.at(self.time()).state),
            more => panic!("{more:?}"),
        }
    }

    fn begin(&mut self, asked: &Asked) -> Run {
        let mut run = self.hold(asked);
        self.go_on(&mut run);
        run
    }

    /// A request whose effects wait to be carried out.
    fn hold(&mut self, asked: &Asked) -> Run {
        let fields = asked.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let headers: Vec<(&[u8], &[u8])> = fields.collect();
        self.contexts += 1;
        let context = self.contexts;
        let peer = &asked.peer;
        let request = Request { headers: &headers, body: asked.body.as_bytes(), peer, context };
        let exchange = Local::new(Exchange::new(Rc::clone(&self.policy)));
        let todo = VecDeque::new();
        let mut run = Run {
            exchange,
            todo,
            forward: None,
            reply: None,
            relayed: None,
            note: None,
            calls: Vec::new(),
            changes: Vec::new(),
            anomalies: Vec::new(),
            doubts: Vec::new(),
            handed_off: false,
        };
        self.feed(&mut run, Input::Event(ExchangeEvent::Request(request)));
        run
    }

    fn feed(&mut self, run: &mut Run, input: InputOf<'_, Local<Exchange>>) {
        let now = self.time();
        run.todo.extend(run.exchange.handle(input, now, &mut self.counters));
    }

    fn go_on(&mut self, run: &mut Run) {
        while self.step(run) {}
    }

    /// Carries out one effect; false when there is none.
    fn step(&mut self, run: &mut Run) -> bool {
        match run.todo.pop_front() {
            None => return false,
            Some(Output::Ask(ticket, request)) => {
                let told = self.ask_store(request);
                self.feed(run, Input::Told(ticket, told));
            }
            Some(Output::Do(effect)) => self.carry_out(run, effect),
        }
        true
    }

    fn carry_out(&self, run: &mut Run, effect: ExchangeEffect) {
        match effect {
            ExchangeEffect::Forward(forward) => {
                if forward.headers.iter().any(|(name, _)| name == "idempotency-key") {
                    self.check_claimed();
                }
                assert!(run.forward.replace(forward).is_none(), "forwarded twice");
            }
            ExchangeEffect::Reply(reply) => {
                assert!(run.reply.replace(reply).is_none(), "answered twice");
            }
            ExchangeEffect::Relay { gateway } => run.relayed = Some(gateway.unwrap_or_default()),
            ExchangeEffect::Decided(note) => {
                counted::check(&self.policy, &note);
                run.note = Some(*note);
            }
            ExchangeEffect::Call(call) => run.calls.push(call),
            ExchangeEffect::Changed(change) => run.changes.push(change),
            ExchangeEffect::Anomaly(anomaly) => run.anomalies.push(*anomaly),
            ExchangeEffect::Doubt(doubt) => run.doubts.push(doubt),
            ExchangeEffect::HandOff => run.handed_off = true,
        }
    }

    /// No payment is let go without a claim that is written and unresolved.
    fn check_claimed(&self) {
        let under_way = |claim: Claim| match claim.at(self.time()).state {
            ClaimState::InFlight { .. } => true,
            ClaimState::InDoubt { repeat_until, .. } | ClaimState::Settled { repeat_until, .. } => {
                repeat_until.is_some()
            }
            ClaimState::Rejected { .. } | ClaimState::Closed { .. } => false,
        };
        assert!(self.store.claims().into_iter().any(under_way), "{:?}", self.store.claims());
    }

    fn goes_wrong(&mut self) -> Option<Fault> {
        self.calls += 1;
        self.fault.filter(|(at, _)| *at == self.calls).map(|(_, fault)| fault)
    }

    /// The store reads or writes, unless that is the call that goes wrong.
    fn ask_store(&mut self, request: CellRequest) -> CellEvent {
        let cell = request.cell();
        let reads = matches!(request, CellRequest::Load(_));
        match self.goes_wrong() {
            Some(Fault::Before) => CellEvent::Failed(cell),
            Some(Fault::Conflict) if !reads => CellEvent::Conflict(cell),
            Some(Fault::After) => match self.store.ask(request) {
                CellEvent::Conflict(cell) => CellEvent::Conflict(cell),
                CellEvent::Loaded(..) | CellEvent::Stored(_) | CellEvent::Failed(_) => {
                    CellEvent::Failed(cell)
                }
            },
            Some(Fault::Conflict) | None => self.store.ask(request),
        }
    }

    /// The request is answered; whoever is asked after that says nothing.
    fn end(&mut self, run: &mut Run, ending: Ending<'_>) {
        self.answer(run, ending);
        while run.exchange.is_sent() {
            self.answer(run, no_answer(0, true));
        }
        assert!(run.exchange.is_ended());
    }

    /// A whole request that goes from gateway to gateway: where it went, and what was told.
    fn ask_around(&mut self, asked: &Asked, endings: &[Ending<'_>]) -> String {
        let mut run = self.begin(asked);
        let mut way = vec![run.told()];
        for ending in endings {
            self.answer(&mut run, *ending);
            let last = run.calls.last().map(|call| format!("to {}", call.cluster));
            way.push(last.filter(|_| run.exchange.is_sent()).unwrap_or_else(|| run.told()));
        }
        assert!(run.exchange.is_ended(), "{way:?}");
        way.join(", ")
    }

    /// Whatever was sent is answered.
    fn answer(&mut self, run: &mut Run, ending: Ending<'_>) {
        assert!(run.exchange.is_sent(), "{}", run.told());
        self.tell_answer(run, ending);
        self.go_on(run);
    }

    /// Its answer comes, and what follows waits to be carried out.
    fn tell_answer(&mut self, run: &mut Run, ending: Ending<'_>) {
        let answer = Answer {
            evidence: ending.evidence,
            endpoint: ending.endpoint,
            content_type: Some("application/json"),
            ..Answer::never_left(ending.client_waits)
        };
        self.feed(run, Input::Event(ExchangeEvent::Answered(answer)));
    }

    /// A whole request: what the client was told, or where the request went if there is no ending.
    fn ask(&mut self, asked: &Asked, ending: Option<Ending<'_>>) -> String {
        let mut run = self.begin(asked);
        if let (Some(ending), true) = (ending, run.exchange.is_sent()) {
            self.end(&mut run, ending);
        }
        run.told()
    }

    /// The same with the order, which most tests pay.
    fn pay(&mut self, ending: Ending<'_>) -> String {
        self.ask(&post(CREATE, ORDER), Some(ending))
    }
}

impl Run {
    /// `to CLUSTER`, `relayed from GATEWAY`, or the answer of ours: status, reason, outcome, and
    /// `safe` when another key may be used.
    fn told(&self) -> String {
        if let Some(reply) = &self.reply {
            assert!(self.relayed.is_none(), "one answer");
            if reply.reason == "relayed" {
                let gateway = self.reply_header("x-dana-gateway").unwrap();
                return format!("{} from {gateway}", reply.status);
            }
            if reply.reason == "replay" {
                return format!("{} replay", reply.status);
            }
            let body = self.body();
            let safe = if body["safe_new_key"] == true { " safe" } else { "" };
            let outcome = body["outcome"].as_str().unwrap();
            return format!("{} {} {outcome}{safe}", reply.status, reply.reason);
        }
        match (&self.relayed, &self.forward) {
            (Some(gateway), _) => format!("relayed from {gateway}"),
            (None, Some(_)) if self.exchange.is_sent() => format!("to {}", self.cluster()),
            (None, _) => "nothing".to_owned(),
        }
    }

    fn cluster(&self) -> &str {
        self.header("x-dana-cluster").unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let headers = &self.forward.as_ref()?.headers;
        headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    fn reply_header(&self, name: &str) -> Option<&str> {
        let headers = &self.reply.as_ref()?.headers;
        headers.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str())
    }

    fn body(&self) -> serde_json::Value {
        serde_json::from_slice(&self.reply.as_ref().unwrap().body).unwrap()
    }
}
