//! The engine at work: workers, store, wires and clock, driven effect by effect.

use std::collections::VecDeque;
use std::rc::Rc;

use dana_failover::engine::claim::{AttemptId, Event as Said};

use dana_failover::engine::config::Config;
use dana_failover::engine::event::{
    Answer as EndOfExchange, Call, Cell, Effect, Event, Expected, Forward, Request,
};
use dana_failover::engine::evidence::{Body, Evidence, Flags, Origin};
use dana_failover::engine::exchange::Exchange;
use dana_failover::engine::gateway::GatewayId;
use dana_failover::engine::health::Health;
use dana_failover::engine::key::{Fingerprint, KeyPrefix};
use dana_failover::engine::layout::Layout;
use dana_failover::engine::policy::Policy;
use dana_failover::engine::record::{Bucket, Found};
use dana_failover::engine::tally::Tallies;
use dana_failover::engine::time::Timestamp;

use super::acts::{Act, Answer, Fate};
use super::ledger::{Deed, Ledger, PAYMENTS, Wire};
use super::proof::{Cause, evidence};
use super::reference::Reference;
use super::store::Store;
use super::wishes::{What, key};

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

    /// Envoy tries one gateway after the other until one can be connected to.
    fn deliver(&mut self, at: usize, fate: Fate) {
        self.finish(at);
        let Some((members, since)) = self.runs[at].sent.take() else {
            return;
        };
        let Some(gateway) = members.get(fate.refuse).copied() else {
            let called = self.runs[at].called;
            self.runs[at].members = members;
            let absence = if called { absent(0, true) } else { absent(0x20, false) };
            return self.end(at, absence, None);
        };
        self.reached.moved_on += u64::from(fate.refuse > 0);
        let wire = self.reach(at, gateway, since, fate.deed);
        let named = (fate.named || members.len() == 1).then_some(NAMES[gateway]);
        self.runs[at].members = members;
        self.answer(at, wire, named, fate.answer);
    }

    /// The request is at the gateway, or on its way to it.
    fn reach(&mut self, at: usize, gateway: usize, since: u64, deed: Deed) -> Wire {
        match self.runs[at].what {
            What::Pay { payment, other_amount } => {
                if deed == Deed::Later && self.ledger.would_execute(gateway, payment) {
                    let until = since + TRAVELS_MS;
                    self.copies.push(Copy { payment, other_amount, gateway, until });
                }
                let before = self.ledger.is_charged(payment);
                let wire = self.ledger.pay(gateway, payment, other_amount, deed);
                self.reached.executed += u64::from(!before && self.ledger.is_charged(payment));
                wire
            }
            What::Ask { payment } => self.ledger.ask(gateway, payment),
            What::Cancel { payment } => self.ledger.cancel(gateway, payment),
        }
    }

    fn answer(&mut self, at: usize, honest: Wire, named: Option<&str>, answer: Answer) {
        let service = self.runs[at].what.service();
        let code = |http: u16, case: u8| Wire {
            status: http,
            body: format!(r#"{{"responseCode":"{http}{service}{case:02}"}}"#),
        };
        let wire = match answer {
            Answer::Timeout => return self.end(at, absent(0x4, true), named),
            Answer::Reset => return self.end(at, absent(0x40, true), named),
            Answer::ClientGone => {
                let gone = End { client_waits: false, ..absent(0x4000, true) };
                return self.end(at, gone, named);
            }
            Answer::Honest | Answer::Truncated => honest,
            Answer::Internal => code(500, 1),
            Answer::Pending => code(202, 0),
            Answer::Page(status) => Wire { status, body: "<html>".to_owned() },
            Answer::OtherReference => Wire { body: honest.body.replace("r-1", "r-2"), ..honest },
        };
        let readable = answer != Answer::Truncated;
        let (origin, wire) = (Origin::Upstream, Some(wire));
        self.end(at, End { origin, wire, readable, client_waits: true }, named);
    }

    fn end(&mut self, at: usize, end: End, endpoint: Option<&str>) {
        let status = end.wire.as_ref().map_or(503, |wire| wire.status);
        let text = end.wire.as_ref().map(|wire| wire.body.clone()).unwrap_or_default();
        let body = if end.readable { Body::Complete(text.as_bytes()) } else { Body::Unreadable };
        self.note_evidence(at, &end, endpoint);
        self.runs[at].answer = end.wire;
        let evidence = Evidence { origin: end.origin, status, body };
        let client_waits = end.client_waits;
        let answer = EndOfExchange { evidence, endpoint, content_type: None, client_waits };
        self.feed(at, Event::Answered(answer));
    }

    fn arrive(&mut self, number: usize, executes: bool) {
        if self.copies.is_empty() {
            return;
        }
        let copy = self.copies.remove(number % self.copies.len());
        let deed = if executes { Deed::Execute } else { Deed::Refuse };
        self.ledger.pay(copy.gateway, copy.payment, copy.other_amount, deed);
    }

    /// Callbacks take no time: effects are carried out before the clock moves, and nothing stays
    /// on the wire for ever.
    fn pass(&mut self, millis: u64) {
        let target = self.now + millis;
        for at in 0..self.runs.len() {
            self.finish(at);
        }
        let overdue = |run: &Run| run.sent.as_ref().map(|(_, since)| since + ON_THE_WIRE_MS);
        while let Some(at) =
            self.pick(0, |run| overdue(run).is_some_and(|deadline| deadline <= target))
        {
            let deadline = overdue(&self.runs[at]).unwrap();
            self.now = self.now.max(deadline);
            let named = !millis.is_multiple_of(2);
            let fate = Fate { refuse: 0, deed: Deed::Later, answer: Answer::Timeout, named };
            self.deliver(at, fate);
            self.finish(at);
        }
        self.now = target;
        self.copies.retain(|copy| copy.until > target);
    }

    fn crash(&mut self, at: usize, gateway: usize, travels: bool) {
        self.reached.crashed += 1;
        let run = &mut self.runs[at];
        run.gone = true;
        run.todo.clear();
        if let (Some((members, since)), What::Pay { payment, other_amount }, true) =
            (run.sent.take(), run.what, travels)
        {
            let gateway = members[gateway % members.len()];
            let until = since + TRAVELS_MS;
            self.copies.push(Copy { payment, other_amount, gateway, until });
        }
    }

    fn beat(&mut self, gateway: usize, good: bool) {
        let loaded = self.store.load(Cell::Health);
        let mut health = Health::decode(&loaded.bytes);
        let policy = &self.setup.policy;
        health.beaten(policy.order().nth(gateway).unwrap(), good, policy, self.time());
        assert!(self.store.store(Cell::Health, health.encode(), Expected::Any));
    }

    /// What the end of a request says of its payment.
    fn note_evidence(&mut self, at: usize, end: &End, endpoint: Option<&str>) {
        let run = &self.runs[at];
        let named = endpoint.and_then(|name| NAMES.iter().position(|known| *known == name));
        let spoken = run.members.iter().filter(|member| named.is_none_or(|name| name == **member));
        let order: Vec<GatewayId> = self.setup.policy.order().collect();
        let gateways = spoken.map(|member| order[*member]).collect();
        let wire = end.wire.as_ref().filter(|_| end.readable);
        let said = evidence(run.what, run.attempt, end.origin, wire, gateways);
        let when = if matches!(run.what, What::Pay { .. }) { self.time() } else { run.asked_at };
        let run = &mut self.runs[at];
        run.said = said.map(|said| (said, when));
        run.is_answered = true;
    }

    /// Every record that a write changes takes a step of the table, by what the request that
    /// writes it knows.
    fn check_steps(&mut self, at: usize, before: &Bucket) {
        let (after, now) = (self.store.bucket(), self.time());
        for payment in 0..PAYMENTS {
            let key = self.setup.keys[payment];
            let (before, after) = (before.find(&key), after.find(&key));
            if before == after {
                continue;
            }
            let run = &self.runs[at];
            assert_eq!(run.what.payment(), payment, "{:?} writes of another payment", run.what);
            let cause = match (run.is_answered, run.said, run.what) {
                (true, Some((said, when)), _) => Cause::Evidence(said, when),
                (false, _, What::Pay { other_amount, .. }) => {
                    Cause::Sends { same: self.is_same(payment, other_amount, &before, &after) }
                }
                _ => panic!("{:?} knows nothing that makes {before:?} {after:?}", run.what),
            };
            self.setup.reference.check(&before, &after, cause, now);
            self.reached.steps += 1;
        }
    }

    /// Whether a payment of this amount is the one that the record is of; learns what it asks for.
    fn is_same(&mut self, payment: usize, other: bool, before: &Found, after: &Found) -> bool {
        let print = |found: &Found| match found {
            Found::Claim(claim) => Some(claim.fingerprint),
            Found::Absent | Found::Unreadable => None,
        };
        let mine = &mut self.prints[payment][usize::from(other)];
        let same = print(before).is_some_and(|p| p == Fingerprint::UNKNOWN || Some(p) == *mine);
        let takes_over = print(before) != print(after);
        if let (true, Some(print)) = (takes_over, print(after)) {
            assert_eq!(*mine.get_or_insert(print), print, "payment {payment} is what it asks for");
        }
        same
    }

    /// Whether this call of the store goes wrong, and then whether it happened all the same.
    fn goes_wrong(&mut self) -> Option<bool> {
        match &mut self.fault {
            None => None,
            Some((0, written)) => {
                let written = *written;
                self.fault = None;
                Some(written)
            }
            Some((after, _)) => {
                *after -= 1;
                None
            }
        }
    }

    fn load(&mut self, cell: Cell) -> Event<'static> {
        if self.goes_wrong().is_some() {
            return Event::StoreFailed(cell);
        }
        Event::Loaded(cell, self.store.load(cell))
    }

    fn store(
        &mut self,
        at: usize,
        cell: Cell,
        bytes: Vec<u8>,
        expected: Expected,
    ) -> Event<'static> {
        let wrong = self.goes_wrong();
        if wrong == Some(false) {
            return Event::StoreFailed(cell);
        }
        let before = self.store.bucket();
        if !self.store.store(cell, bytes, expected) {
            return Event::Conflict(cell);
        }
        self.check_steps(at, &before);
        if wrong.is_some() { Event::StoreFailed(cell) } else { Event::Stored(cell) }
    }

    /// What the store says of a payment.
    pub(crate) fn find(&self, payment: usize) -> Found {
        self.store.find(&self.setup.keys[payment])
    }
}

/// How an exchange with a gateway ends.
struct End {
    origin: Origin,
    wire: Option<Wire>,
    readable: bool,
    client_waits: bool,
}

/// Without an answer, and why.
const fn absent(bits: u64, attached: bool) -> End {
    let origin = Origin::Envoy { flags: Flags::new(bits), attached };
    End { origin, wire: None, readable: false, client_waits: true }
}
