//! The engine at work: workers, store, wires and clock, driven effect by effect.

use std::collections::VecDeque;
use std::rc::Rc;

use dana_failover::engine::claim::{AttemptId, Event as Said};

use dana_failover::engine::config::Config;
use dana_failover::engine::event::{Call, Cell, Effect, Event, Expected, Forward, Request};
use dana_failover::engine::exchange::Exchange;
use dana_failover::engine::gateway::GatewayId;
use dana_failover::engine::health::Health;
use dana_failover::engine::key::{Fingerprint, KeyPrefix};
use dana_failover::engine::layout::Layout;
use dana_failover::engine::policy::Policy;
use dana_failover::engine::record::Found;
use dana_failover::engine::tally::Tallies;
use dana_failover::engine::time::Timestamp;

use super::acts::{Act, Answer, Fate};
use super::ledger::{Deed, Ledger, PAYMENTS, Wire};
use super::reference::Reference;
use super::store::Store;
use super::wishes::{What, key};

mod wire;
mod writes;

const NAMES: [&str; 2] = ["primary", "secondary"];

/// One bucket, so that all payments race for one value; a breaker that trips and recovers often.
const CONFIG: &str = r#"{
    "gateways": [
        {"name": "primary", "cluster": "dana_primary"},
        {"name": "secondary", "cluster": "dana_secondary"}],
    "composites": [
        {"members": ["primary", "secondary"], "cluster": "dana_primary_first"},
        {"members": ["secondary", "primary"], "cluster": "dana_secondary_first"}],
    "heartbeat": {"stale_ms": 3600000},
    "breaker": {"consecutive_failures": 2, "min_calls": 4, "open_ms": 1000, "open_ms_max": 30000,
                "half_open_permits": 1},
    "idempotency": {"store": {"local": {"claims_max": 16}}}
}"#;

/// A request stays on the wire no longer: past its lease, so that late answers are seen.
const ON_THE_WIRE_MS: u64 = 40_000;
/// A copy that travels arrives before that, or never: after a first "not found" may be noted, and
/// before a second one can be proof.
const TRAVELS_MS: u64 = 119_000;

/// A request, from the client's first byte to its last.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) what: What,
    worker: usize,
    exchange: Exchange,
    todo: VecDeque<Effect>,
    asked_at: Timestamp,
    /// Let go and not yet at a gateway: whom it may reach, since when.
    sent: Option<(Vec<usize>, u64)>,
    /// The filter calls the gateway itself, and learns nothing of the connection.
    called: bool,
    /// The attempt that it is, once it was let go.
    pub(crate) attempt: Option<AttemptId>,
    /// Whom it was let go to.
    members: Vec<usize>,
    /// What its end says of the payment, and as of when.
    pub(crate) said: Option<(Said, Timestamp)>,
    is_answered: bool,
    /// What the gateway answered.
    pub(crate) answer: Option<Wire>,
    /// Whether a charge may have existed when the claim was last read or written for it.
    pub(crate) was_doubtful: bool,
    gone: bool,
}

impl Run {
    fn is_over(&self) -> bool {
        self.todo.is_empty() && self.exchange.is_ended()
    }

    pub(crate) fn on_the_wire(&self) -> impl Iterator<Item = usize> + '_ {
        self.sent.iter().flat_map(|(members, _)| members.iter().copied())
    }
}

/// A copy of a payment on its way to a gateway, after whoever sent it has given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copy {
    pub(crate) payment: usize,
    other_amount: bool,
    pub(crate) gateway: usize,
    until: u64,
}

/// How far the stories got.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reached {
    pub(crate) transitions: u64,
    pub(crate) executed: u64,
    pub(crate) in_doubt: u64,
    pub(crate) moved_on: u64,
    pub(crate) replayed: u64,
    pub(crate) repeated: u64,
    pub(crate) crashed: u64,
    pub(crate) walked: u64,
    pub(crate) steps: u64,
}

/// What all stories share.
pub(crate) struct Setup {
    policy: Rc<Policy>,
    pub(crate) reference: Reference,
    keys: [KeyPrefix; PAYMENTS],
}

impl Setup {
    pub(crate) fn new() -> Self {
        let config = Config::parse(CONFIG.as_bytes()).unwrap();
        let policy = Policy::join(config, &mut Layout::new(1)).unwrap().0;
        let reference = Reference::new(policy.claims);
        let keys = std::array::from_fn(|payment| key(payment).prefix());
        Self { policy: Rc::new(policy), reference, keys }
    }
}

pub(crate) struct World<'a> {
    setup: &'a Setup,
    now: u64,
    store: Store,
    tallies: [Tallies; 2],
    pub(crate) runs: Vec<Run>,
    pub(crate) copies: Vec<Copy>,
    pub(crate) ledger: Ledger,
    /// The gateways that said NO, as far as the store ever said so.
    pub(crate) pins: [Option<usize>; PAYMENTS],
    /// What each payment was seen to ask for, with its amount and with the other one.
    prints: [[Option<Fingerprint>; 2]; PAYMENTS],
    fault: Option<(usize, bool)>,
    contexts: u32,
    pub(crate) reached: Reached,
}

impl<'a> World<'a> {
    pub(crate) fn new(setup: &'a Setup) -> Self {
        let mut world = Self {
            setup,
            now: 1_790_000_000_000,
            store: Store::default(),
            tallies: Default::default(),
            runs: Vec::new(),
            copies: Vec::new(),
            ledger: Ledger::default(),
            pins: [None; PAYMENTS],
            prints: Default::default(),
            fault: None,
            contexts: 0,
            reached: Reached::default(),
        };
        for gateway in [0, 1, 0, 1] {
            world.beat(gateway, true);
        }
        world
    }

    pub(crate) fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    pub(crate) fn place(&self, gateway: GatewayId) -> usize {
        self.setup.policy.order().position(|id| id == gateway).unwrap()
    }

    pub(crate) fn act(&mut self, act: Act) {
        match act {
            Act::Pay { payment, other_amount, worker } => {
                self.begin(What::Pay { payment, other_amount }, worker);
            }
            Act::Ask { payment, worker } => self.begin(What::Ask { payment }, worker),
            Act::Cancel { payment, worker } => self.begin(What::Cancel { payment }, worker),
            Act::Through { wish, payment, fate } => {
                let pay = What::Pay { payment, other_amount: false };
                let what = [pay, What::Ask { payment }, What::Cancel { payment }][wish];
                self.begin(what, 0);
                self.run_through(self.runs.len() - 1, fate);
            }
            Act::Step { run } => {
                if let Some(at) = self.pick(run, |run| !run.todo.is_empty()) {
                    self.step(at);
                }
            }
            Act::Finish { run } => {
                if let Some(at) = self.pick(run, |run| !run.todo.is_empty()) {
                    self.finish(at);
                }
            }
            Act::Deliver { run, fate } => {
                if let Some(at) = self.pick(run, |run| run.sent.is_some()) {
                    self.deliver(at, fate);
                }
            }
            Act::Arrive { copy, executes } => self.arrive(copy, executes),
            Act::Pass { millis } => self.pass(millis),
            Act::Crash { run, gateway, travels } => {
                if let Some(at) = self.pick(run, |run| !run.exchange.is_ended()) {
                    self.crash(at, gateway, travels);
                }
            }
            Act::Beat { gateway, good } => self.beat(gateway, good),
            Act::Fault { after, written } => self.fault = Some((after, written)),
        }
        self.runs.retain(|run| !run.gone && !run.is_over());
        self.check();
    }

    /// The noise ends: whatever is under way ends well, and clients ask until all is known.
    pub(crate) fn settle_down(&mut self) {
        self.fault = None;
        let honest = Fate { refuse: 0, deed: Deed::Execute, answer: Answer::Honest, named: true };
        for at in 0..self.runs.len() {
            self.run_through(at, honest);
        }
        while !self.copies.is_empty() {
            self.act(Act::Arrive { copy: 0, executes: true });
        }
        for _ in 0..8 {
            self.act(Act::Pass { millis: 61_000 });
            for payment in 0..PAYMENTS {
                self.act(Act::Through { wish: 1, payment, fate: honest });
            }
        }
        self.check_resolved();
    }

    fn run_through(&mut self, at: usize, fate: Fate) {
        self.finish(at);
        // It may go from gateway to gateway.
        while self.runs[at].sent.is_some() {
            self.deliver(at, fate);
            self.finish(at);
        }
    }

    fn pick(&self, number: usize, wanted: impl Fn(&Run) -> bool) -> Option<usize> {
        let fitting = self.runs.iter().enumerate().filter(|(_, run)| !run.gone && wanted(run));
        let fitting: Vec<usize> = fitting.map(|(at, _)| at).collect();
        (!fitting.is_empty()).then(|| fitting[number % fitting.len()])
    }

    fn begin(&mut self, what: What, worker: usize) {
        // A top-up cannot be cancelled; whoever wants that asks.
        let what = match what {
            What::Cancel { payment: 1 } => What::Ask { payment: 1 },
            What::Pay { .. } | What::Ask { .. } | What::Cancel { .. } => what,
        };
        let (headers, body) = what.request();
        self.contexts += 1;
        let request =
            Request { headers: &headers, body: body.as_bytes(), peer: &[], context: self.contexts };
        self.runs.push(Run {
            what,
            worker,
            exchange: Exchange::new(Rc::clone(&self.setup.policy)),
            todo: VecDeque::new(),
            asked_at: self.time(),
            sent: None,
            called: false,
            attempt: None,
            members: Vec::new(),
            said: None,
            is_answered: false,
            answer: None,
            was_doubtful: self.may_be_charged(what.payment()),
            gone: false,
        });
        self.feed(self.runs.len() - 1, Event::Request(request));
    }

    fn feed(&mut self, at: usize, event: Event<'_>) {
        self.reached.transitions += 1;
        let reads_claim =
            matches!(event, Event::Loaded(Cell::Claims(_), _) | Event::Stored(Cell::Claims(_)));
        if let (true, What::Pay { payment, .. } | What::Ask { payment }) =
            (reads_claim, self.runs[at].what)
        {
            self.runs[at].was_doubtful = self.may_be_charged(payment);
        }
        let now = self.time();
        let run = &mut self.runs[at];
        let effects = run.exchange.handle(event, now, &mut self.tallies[run.worker]);
        run.todo.extend(effects);
    }

    fn finish(&mut self, at: usize) {
        while !self.runs[at].todo.is_empty() {
            self.step(at);
        }
    }

    fn step(&mut self, at: usize) {
        let Some(effect) = self.runs[at].todo.pop_front() else {
            return;
        };
        // What is only read, said or counted changes nothing that could be checked.
        let changes = matches!(effect, Effect::Store { .. } | Effect::Forward(_));
        match effect {
            Effect::Load(cell) => {
                let event = self.load(cell);
                self.feed(at, event);
            }
            Effect::Store { cell, bytes, expected } => {
                let event = self.store(at, cell, bytes, expected);
                self.feed(at, event);
            }
            Effect::Forward(forward) => self.forward(at, &forward),
            Effect::Reply(reply) => self.check_reply(at, &reply),
            Effect::Relay { .. } => self.check_relay(at),
            Effect::Note(note) => self.reached.repeated += u64::from(note.decision == "repeat"),
            Effect::Call(call) => self.call(at, &call),
            Effect::Changed(_) | Effect::Beat(_) => {}
        }
        if changes {
            self.check();
        }
    }

    fn forward(&mut self, at: usize, forward: &Forward) {
        let cluster = forward.headers.iter().find(|(name, _)| name == "x-dana-cluster");
        let members = match cluster.unwrap().1.as_str() {
            "dana_primary" => vec![0],
            "dana_secondary" => vec![1],
            "dana_primary_first" => vec![0, 1],
            "dana_secondary_first" => vec![1, 0],
            other => panic!("{other}"),
        };
        self.check_forward(at, &members);
        self.runs[at].sent = Some((members, self.now));
    }

    fn call(&mut self, at: usize, call: &Call) {
        let place =
            ["dana_primary", "dana_secondary"].iter().position(|name| *name == call.cluster);
        self.reached.walked += 1;
        self.runs[at].called = true;
        self.runs[at].asked_at = self.time();
        self.runs[at].sent = Some((vec![place.unwrap()], self.now));
    }

    fn beat(&mut self, gateway: usize, good: bool) {
        let loaded = self.store.load(Cell::Health);
        let mut health = Health::decode(&loaded.bytes);
        let policy = &self.setup.policy;
        health.beaten(policy.order().nth(gateway).unwrap(), good, policy, self.time());
        assert!(self.store.store(Cell::Health, health.encode(), Expected::Any));
    }

    /// What the store says of a payment.
    pub(crate) fn find(&self, payment: usize) -> Found {
        self.store.find(&self.setup.keys[payment])
    }
}
