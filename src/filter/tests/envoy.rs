//! A process in memory: a worker, its host, two gateways with ledgers of their own, and requests
//! that come and go as Envoy's callbacks bring them.

use crate::engine::BackendEvent;
use crate::engine::BreakerState;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};

use super::fake::{FakeHost, TOKEN};
use crate::engine::Timestamp;
use crate::engine::{Bucket, Cell, CellEvent, CellRequest, Expected};
use crate::engine::{Claim, ClaimState};
use crate::engine::{Config, Policy};
use crate::engine::{GatewayId, Gateways};
use crate::engine::{Health, Report, Signal, Source};
use crate::filter::driver::cell;
use crate::filter::host::Side;
use crate::filter::root::join;
use crate::filter::store_calls::Asker;
use crate::filter::stream::{Flow, Stream};
use crate::filter::with_etcd::WithEtcd;
use crate::filter::worker::Worker;

pub(super) const CONFIG: &str = r#"{
    "gateways": [
        {"name": "primary", "cluster": "dana_primary"},
        {"name": "secondary", "cluster": "dana_secondary"}],
    "composites": [
        {"members": ["primary", "secondary"], "cluster": "dana_primary_first"},
        {"members": ["secondary", "primary"], "cluster": "dana_secondary_first"}],
    "heartbeat": {"stale_ms": 3600000},
    "breaker": {"half_open_permits": 1},
    "idempotency": {"store": {"local": {"claims_max": 16}}}
}"#;
const NAMES: [&str; 2] = ["primary", "secondary"];

/// What a client sends. All of it is about one payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Pay,
    Ask,
    Cancel,
    /// A payment without a body, which names none.
    Nothing,
}

/// How its bytes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Whole,
    Chunks,
    Trailers,
}

/// What the gateway that is reached does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Execute,
    Refuse,
    /// It executes, and its answer is lost.
    Timeout,
    /// It never comes to it.
    Reset,
    /// It executes, and the connection breaks as if it had never been made.
    Broken,
    /// A middlebox answers, without a body.
    Page,
}

/// When the client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaves {
    Never,
    BeforeItsEnd,
    BeforeTheAnswer,
    AmidTheAnswer,
    AmidACall,
    /// After the store, which is slow, has answered so often.
    AmidTheStore(u32),
}

/// A request and its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) wish: Wish,
    pub(super) shape: Shape,
    /// So many gateways cannot be connected to.
    pub(super) refuse: usize,
    pub(super) deed: Deed,
    pub(super) answer: Shape,
    pub(super) leaves: Leaves,
}

impl Way {
    pub(super) const fn new(wish: Wish, deed: Deed) -> Self {
        let (shape, answer) = (Shape::Whole, Shape::Whole);
        Self { wish, shape, refuse: 0, deed, answer, leaves: Leaves::Never }
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Saw {
    /// An answer of ours.
    Reply(u16, Value),
    /// The gateway's, or Envoy's own.
    Relay(u16, Value),
    /// Nothing: the client left.
    Left,
    /// Nothing: the host took no answer.
    ReplyLost,
}

/// One process.
pub(super) struct Process {
    pub(super) host: FakeHost,
    worker: Rc<Worker<FakeHost, WithEtcd>>,
    /// Executions by gateway, and whether they were undone.
    pub(super) executed: [u32; 2],
    pub(super) cancelled: [bool; 2],
    contexts: u32,
    /// Exchanges that went on without their stream.
    pub(super) handed_off: usize,
    /// Envoy does not say which endpoint it used.
    pub(super) unnamed: bool,
}

/// What every process begins with: both gateways are well.
pub(super) struct Ready {
    policy: Rc<Policy>,
    shared: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
}

impl Ready {
    pub(super) fn new() -> Self {
        let host = FakeHost::default();
        let config = Config::parse(CONFIG.as_bytes()).unwrap();
        let (policy, ..) = join(&host, config).unwrap();
        let ready = Self { policy, shared: host.0.borrow().shared.clone() };
        let process = Process::new(&ready);
        for gateway in ready.policy.order() {
            for _ in 0..2 {
                process.health(|health, now| {
                    health.on_probe(gateway, true, &ready.policy.health, now);
                });
            }
        }
        let shared = process.host.0.borrow().shared.clone();
        Self { shared, ..ready }
    }
}

impl Process {
    pub(super) fn new(ready: &Ready) -> Self {
        let host = FakeHost::default();
        host.0.borrow_mut().now = 1_790_000_000_000;
        host.0.borrow_mut().shared = ready.shared.clone();
        let worker =
            Rc::new(Worker::new(host.clone(), Rc::clone(&ready.policy), 1, WithEtcd::default()));
        let (executed, cancelled) = ([0; 2], [false; 2]);
        Self { host, worker, executed, cancelled, contexts: 0, handed_off: 0, unnamed: false }
    }

    pub(super) fn worker(&self) -> &Worker<FakeHost, WithEtcd> {
        &self.worker
    }

    pub(super) fn pass(&self, millis: u64) {
        self.host.0.borrow_mut().now += millis;
    }

    /// A worker ticks, as far as others see that.
    pub(super) fn tick(&self) {
        self.health(|health, now| {
            health.take_lease(1, now, &self.worker.policy.health, now);
        });
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.host.0.borrow().now)
    }

    fn health(&self, change: impl FnOnce(&mut Health, Timestamp)) {
        let request = CellRequest::Load(Cell::Health);
        let CellEvent::Loaded(_, loaded) = cell(&self.host, request) else { unreachable!() };
        let mut health = Health::decode(&loaded.bytes);
        change(&mut health, self.now());
        let (bytes, expected) = (health.encode(), Expected::Any);
        let write = CellRequest::Store { cell: Cell::Health, bytes, expected };
        let stored = self.worker.health.cell_anew(&self.host, write);
        assert_eq!(stored, CellEvent::Stored(Cell::Health));
    }

    /// Opens the first gateway's breaker.
    pub(super) fn trip(&self) {
        let policy = &self.worker.policy;
        let gateway = policy.order().next().unwrap();
        for _ in 0..policy.health.breaker.consecutive_failures {
            self.health(|health, now| {
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
            });
        }
    }

    /// A request from the client's first byte to the access log.
    pub(super) fn go(&mut self, way: Way) -> Saw {
        self.contexts += 1;
        let mut stream = Stream::new(Rc::clone(&self.worker), self.contexts);
        self.host.prepare(way.wish);
        let flow = self.host.bring_request(&mut stream, way);
        let saw = match self.decided(&mut stream, flow, way.leaves) {
            None => Saw::Left,
            Some(Flow::Continue) => self.send(&mut stream, way),
            Some(Flow::Hold) if way.leaves == Leaves::BeforeItsEnd => Saw::Left,
            Some(Flow::Hold) => self.host.replied(&mut stream),
        };
        if saw == Saw::Left {
            self.host.set_flags(0x4000);
        }
        stream.log();
        self.handed_off += self.worker.stores.unfinished.borrow().len();
        self.answer_store(&mut stream, u32::MAX);
        assert_eq!(self.worker.stores.unfinished.borrow().len(), 0, "all of it is written");
        saw
    }

    /// A slow store answers, and what was held goes on or is answered; `None` where the client has
    /// left before that.
    fn decided(
        &self,
        stream: &mut Stream<FakeHost, WithEtcd>,
        flow: Flow,
        leaves: Leaves,
    ) -> Option<Flow> {
        if let Leaves::AmidTheStore(answers) = leaves {
            self.answer_store(stream, answers);
            self.host.0.borrow_mut().resumed.clear();
            return None;
        }
        self.answer_store(stream, u32::MAX);
        let resumed = std::mem::take(&mut self.host.0.borrow_mut().resumed);
        assert!(resumed.len() <= 1, "let go twice: {resumed:?}");
        assert!(flow == Flow::Hold || resumed.is_empty(), "let go in the call and after it");
        Some(if resumed == [Side::Request] { Flow::Continue } else { flow })
    }

    /// A slow store answers so often, each time twice.
    fn answer_store(&self, stream: &mut Stream<FakeHost, WithEtcd>, answers: u32) {
        for _ in 0..answers {
            let told = self.worker.stores.slow.answers(&self.host, &self.worker.health);
            if told.is_empty() {
                return;
            }
            for (asker, ticket, event) in told {
                let Asker::Request(context) = asker else {
                    panic!("{asker:?} asks nothing slowly");
                };
                let event = BackendEvent::Cell(event);
                if let Some(event) = self.worker.tell_unfinished(context, ticket, event) {
                    stream.told(ticket, event);
                }
            }
        }
    }

    /// A status whose first answer is longer than what is read: what Envoy is told of each piece
    /// of it, and what is seen in the end.
    pub(super) fn ask_with_a_long_answer(&mut self) -> (Vec<Flow>, Saw) {
        let way = Way::new(Wish::Ask, Deed::Execute);
        self.contexts += 1;
        let mut stream = Stream::new(Rc::clone(&self.worker), self.contexts);
        self.host.prepare(way.wish);
        assert_eq!(self.host.bring_request(&mut stream, way), Flow::Continue);
        self.host.reach(NAMES[0]);
        let flows = self.host.bring_long_answer(&mut stream);
        let saw = self.go_on(&mut stream, way);
        stream.log();
        (flows, saw)
    }

    /// The router at work: the request is with a gateway, and its answer comes back.
    fn send(&mut self, stream: &mut Stream<FakeHost, WithEtcd>, way: Way) -> Saw {
        let cluster = self.host.field("x-dana-cluster").unwrap_or_default();
        let members: &[usize] = match cluster.as_str() {
            "dana_primary" => &[0],
            "dana_secondary" => &[1],
            "dana_primary_first" => &[0, 1],
            "dana_secondary_first" => &[1, 0],
            // A route without a cluster is answered by Envoy.
            _ => {
                let lost = self.host.0.borrow().replies_lost;
                panic!("let go without a cluster; {lost} answers were refused before");
            }
        };
        assert_eq!(self.host.0.borrow().replies_lost, 0, "let go after an answer of ours");
        if self.host.field("idempotency-key").is_some() {
            self.check_claimed(members);
        }
        let Some(gateway) = members.get(way.refuse).copied() else {
            self.host.bring_absence(stream, 0x20, false);
            return self.go_on(stream, way);
        };
        self.host.reach(if self.unnamed { "" } else { NAMES[gateway] });
        let answer = self.reach(gateway, way);
        match answer {
            _ if way.leaves == Leaves::BeforeTheAnswer => return Saw::Left,
            None if way.deed == Deed::Broken => self.host.bring_absence(stream, 0x20, true),
            None if way.deed == Deed::Reset => self.host.bring_absence(stream, 0x40, true),
            None => self.host.bring_absence(stream, 0x4, true),
            Some((status, body)) => {
                self.host.bring_answer(stream, status, &body, way.answer, way.leaves);
            }
        }
        self.go_on(stream, way)
    }

    /// The filter may call further gateways, one after the other, before it answers.
    fn go_on(&mut self, stream: &mut Stream<FakeHost, WithEtcd>, way: Way) -> Saw {
        loop {
            self.answer_store(stream, u32::MAX);
            let mut inside = self.host.0.borrow_mut();
            if std::mem::take(&mut inside.resumed) == [Side::Response] {
                assert_eq!(inside.flow.replace(Flow::Continue), Some(Flow::Hold));
            }
            let calling = inside.calling.take();
            drop(inside);
            let Some(cluster) = calling else {
                return self.host.seen(stream, way.leaves);
            };
            let gateway = usize::from(cluster == "dana_secondary");
            if way.wish == Wish::Cancel {
                self.check_claimed(&[gateway]);
            }
            let answer = self.reach(gateway, way);
            if way.leaves == Leaves::AmidACall {
                return Saw::Left;
            }
            self.host.answer_call(answer);
            stream.call_answered(TOKEN);
        }
    }

    /// What a gateway does with it: nothing that it knows is executed twice.
    fn reach(&mut self, gateway: usize, way: Way) -> Option<(u16, String)> {
        let code = |status: u16, service: &str, case: u8| {
            Some((status, json!({"responseCode": format!("{status}{service}{case:02}")})))
        };
        let held = self.executed[gateway] > 0;
        let told = match (way.wish, way.deed) {
            (_, Deed::Reset) => None,
            (_, Deed::Page) => return Some((403, String::new())),
            (Wish::Nothing, _) => unreachable!("it is refused"),
            (Wish::Pay, Deed::Refuse) if !held => code(403, "54", 14),
            (Wish::Pay, _) => {
                self.executed[gateway] = 1;
                let (code, reference) = ("2005400", "r-1");
                Some((200, json!({"responseCode": code, "partnerReferenceNo": reference})))
            }
            (Wish::Ask, _) if !held => code(404, "55", 1),
            (Wish::Ask, _) => {
                let latest = if self.cancelled[gateway] { "05" } else { "00" };
                let (code, reference) = ("2005500", "r-1");
                Some((
                    200,
                    json!({"responseCode": code, "originalPartnerReferenceNo": reference,
                           "latestTransactionStatus": latest}),
                ))
            }
            (Wish::Cancel, _) if !held => code(404, "57", 1),
            (Wish::Cancel, _) => {
                self.cancelled[gateway] = true;
                Some((200, json!({"responseCode": "2005700", "originalPartnerReferenceNo": "r-1"})))
            }
        };
        let lost = matches!(way.deed, Deed::Timeout | Deed::Broken);
        told.filter(|_| !lost).map(|(status, body)| (status, body.to_string()))
    }

    /// Whether money is taken.
    pub(super) fn is_charged(&self) -> bool {
        (0..2).any(|gateway| self.executed[gateway] > 0 && !self.cancelled[gateway])
    }

    /// The claims that the store holds.
    pub(super) fn claims(&self) -> Vec<Claim> {
        let inside = self.host.0.borrow();
        let buckets = inside.shared.iter().filter(|(key, _)| key.starts_with(b"dana.failover.c"));
        buckets
            .flat_map(|(_, (bytes, _))| {
                Bucket::decode(bytes.clone()).unwrap().claims().collect::<Vec<_>>()
            })
            .collect()
    }

    /// Nothing of a request that has ended is left under way: no claim, and no permit but that of a
    /// trial which was made and proved nothing.
    pub(super) fn check_settled(&self, what: &str, unproven_trial: bool) {
        let claims = self.claims();
        let under_way = |claim: &Claim| match claim.state {
            ClaimState::InFlight { .. } => true,
            ClaimState::InDoubt { repeat_until, .. } | ClaimState::Settled { repeat_until, .. } => {
                repeat_until.is_some()
            }
            ClaimState::Rejected { .. } | ClaimState::Closed { .. } => false,
        };
        assert!(!claims.iter().any(under_way), "{what}: {claims:?}");
        self.health(|health, _| {
            for gateway in self.worker.policy.order() {
                let state = health.member(gateway).map(|member| member.breaker.state());
                let out = matches!(state, Some(BreakerState::HalfOpen { out, .. }) if out > 0);
                assert!(!out || unproven_trial, "{what}: a permit is out: {state:?}");
            }
        });
    }

    /// What is let go stands in the store, with everybody whom it can reach.
    fn check_claimed(&self, members: &[usize]) {
        let order: Vec<GatewayId> = self.worker.policy.order().collect();
        let meant: Gateways = members.iter().map(|member| order[*member]).collect();
        let names_them = |claim: Claim| match claim.state {
            ClaimState::InFlight { candidates, .. } => candidates == meant,
            ClaimState::InDoubt { candidates: gateways, repeat_until, .. }
            | ClaimState::Settled { gateways, repeat_until } => {
                gateways == meant && repeat_until.is_some()
            }
            ClaimState::Rejected { .. } | ClaimState::Closed { .. } => false,
        };
        let claims = self.claims();
        assert!(claims.iter().copied().any(names_them), "to {members:?} under {claims:?}");
    }
}
