//! The engine at work: workers, store, wires and clock, driven effect by effect.

use std::collections::VecDeque;
use std::rc::Rc;

use dana_failover::engine::{AttemptId, Claim, ClaimState, Evidence as Said, Incarnation, Money};

use dana_failover::engine::Exchange;
use dana_failover::engine::Fingerprint;
use dana_failover::engine::GatewayId;
use dana_failover::engine::WorkerCounters;
use dana_failover::engine::{BackendEvent, BackendRequest, Ticket};
use dana_failover::engine::{Bucket, Cell, CellEvent, CellRequest, Entry, MemoryStore};
use dana_failover::engine::{Call, ExchangeEffect, ExchangeEvent, Forward, Request};
use dana_failover::engine::{Input, InputOf, Machine, Output, OutputOf, RpcEvent};
use dana_failover::engine::{Millis, Timestamp};

use super::handover::Copies;
use super::keys::{KEYS, Keys};
use super::ledger::{Deed, Ledger, PAYMENTS, Wire};
use super::notices::Merchant;
use super::remote::{OverStore, Remote};
use super::setup::{Milestone, Reached, Remoteness, Setup};
use super::shared::Past;
use super::steps::{Act, Answer, EtcdAct, Fate};
use super::wishes::{What, key};

mod etcd;
mod wire;
mod writes;

const NAMES: [&str; 2] = ["primary", "secondary"];

/// A request stays on the wire no longer: past its lease, so that late answers are seen.
const ON_THE_WIRE_MS: u64 = 40_000;
/// A request, from the client's first byte to its last.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) what: What,
    worker: usize,
    exchange: OverStore,
    todo: VecDeque<OutputOf<OverStore>>,
    /// What it waits for, and when that comes.
    awaited: Option<(u64, Ticket, BackendEvent)>,
    /// What it sends to etcd, and since when.
    sends: Option<(Vec<u8>, Timestamp)>,
    /// The message that has claimed the payment, and what stood there before.
    claims: Option<(Vec<u8>, Entry)>,
    /// What it has just sent was written.
    has_written: bool,
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
    /// All that was said so far: what could not be written at once is written later.
    heard: Vec<(Said, Timestamp)>,
    is_answered: bool,
    is_settled: bool,
    /// What the gateway answered.
    pub(crate) answer: Option<Wire>,
    /// Whether a charge may have existed when the claim was last read or written for it.
    pub(crate) was_doubtful: bool,
    pub(crate) gone: bool,
    /// Its client has left; what was being written is written to its end.
    left: bool,
    /// Its place among the header keys.
    pub(crate) key: usize,
    /// Whom that belonged to when it was read; read anew with everything else.
    pub(crate) taken_by: Option<usize>,
    has_read: bool,
    /// It began while nothing was enforced.
    pub(crate) observed: bool,
    pub(crate) let_go: bool,
    /// It was about to be let go when a copy that is only observed was.
    pub(crate) overtaken: bool,
}

impl Run {
    fn is_over(&self) -> bool {
        !self.is_busy() && self.exchange.is_ended()
    }

    /// Something is to be carried out, or comes by itself.
    fn is_busy(&self) -> bool {
        !self.todo.is_empty() || self.awaited.is_some()
    }

    /// It waits for the store, held or after its answer.
    fn asks(&self) -> bool {
        self.exchange.awaits_store() && !self.exchange.is_sent() && !self.exchange.is_ended()
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
    key: usize,
    pub(crate) gateway: usize,
    until: u64,
}

pub(crate) struct World<'a> {
    pub(crate) setup: &'a Setup,
    /// The time that has really passed.
    pub(crate) now: u64,
    /// How many days the clock is ahead of it.
    pub(crate) days: i64,
    /// Nothing is enforced for what begins now.
    observing: bool,
    /// What the workers of a process share; each worker is a process of its own where their claims
    /// stand in an etcd.
    pub(crate) stores: [MemoryStore; 2],
    pub(crate) remote: Option<Remote>,
    pub(crate) counters: [WorkerCounters; 2],
    pub(crate) runs: Vec<Run>,
    pub(crate) copies: Vec<Copy>,
    pub(crate) merchant: Merchant,
    pub(crate) ledger: Ledger,
    /// The gateways that said NO, as far as the store ever said so.
    pub(crate) pins: [Option<usize>; PAYMENTS],
    /// What each payment was seen to ask for, with its amount and with the other one.
    prints: [[Option<Fingerprint>; 2]; PAYMENTS],
    pub(crate) used: Keys,
    pub(crate) past: Vec<Past>,
    pub(crate) known: [Copies; PAYMENTS],
    fault: Option<(usize, bool)>,
    pub(crate) contexts: u32,
    pub(crate) reached: Reached,
}

impl<'a> World<'a> {
    pub(crate) fn new(setup: &'a Setup) -> Self {
        let now = 1_790_000_000_000;
        let mut world = Self {
            setup,
            now,
            days: 0,
            observing: false,
            stores: Default::default(),
            remote: None,
            counters: Default::default(),
            runs: Vec::new(),
            copies: Vec::new(),
            merchant: Merchant::default(),
            ledger: Ledger::new(setup.lag(), now),
            pins: [None; PAYMENTS],
            prints: Default::default(),
            used: Keys::default(),
            past: Vec::new(),
            known: Default::default(),
            fault: None,
            contexts: 0,
            reached: Reached::default(),
        };
        if let Some(Remoteness { skew, .. }) = setup.remoteness() {
            world.remote = Some(Remote::new(&setup.policy, skew, world.clocks()));
        }
        for gateway in [0, 1, 0, 1] {
            world.beat(gateway, true);
        }
        if setup.leaps() {
            world.fill();
            world.tick();
        }
        world
    }

    /// What the clock says.
    pub(crate) fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.now.saturating_add_signed(self.days * 86_400_000))
    }

    /// What the clock of a worker says.
    pub(crate) fn clock(&self, worker: usize) -> Timestamp {
        let ahead = self.setup.remoteness().map_or(0, |remoteness| remoteness.ahead[worker]);
        self.time().plus(Millis::new(ahead))
    }

    fn clocks(&self) -> [Timestamp; 2] {
        [0, 1].map(|worker| self.clock(worker))
    }

    /// As many other payments in doubt as leave no room that was laid out for.
    fn fill(&mut self) {
        let mut bucket = self.bucket(0);
        let (candidates, ended_at) = (self.setup.policy.order().collect(), self.time());
        let state =
            ClaimState::InDoubt { candidates, ended_at, repeat_until: None, not_found: None };
        let incarnation = Incarnation { claimed_at: ended_at, nonce: 0 };
        let claim = Claim::new(Fingerprint::UNKNOWN, state, incarnation, Money::default());
        for number in 0..16 {
            bucket.put(&[number; 16], &claim, ended_at, Millis::new(1)).unwrap();
        }
        self.stores[0].put(Cell::Claims(0), bucket.into_bytes());
    }

    /// Both workers tick, and one of them leads.
    fn tick(&mut self) {
        let (policy, now) = (Rc::clone(&self.setup.policy), self.time());
        self.stores[0].change_health(|health| {
            for counters in &mut self.counters {
                health.tell_course(counters, &policy.health, now);
            }
            health.mend(&policy.health, now);
            let _ = health.take_lease(1, Timestamp::default(), &policy.health, now);
        });
    }

    /// Time passes as workers see it: they tick.
    fn pass_ticking(&mut self, millis: u64) {
        let until = self.now + millis;
        while self.now < until {
            self.pass((until - self.now).min(4000));
            self.tick();
        }
    }

    fn leap(&mut self, days: i64) {
        // Callbacks take no time, as everywhere here.
        for at in 0..self.runs.len() {
            self.finish(at);
        }
        self.reached.note(Milestone::Leaps, days != self.days);
        self.days = days;
        self.tick();
    }

    pub(crate) fn place(&self, gateway: GatewayId) -> usize {
        self.setup.policy.order().position(|id| id == gateway).unwrap()
    }

    pub(crate) fn act(&mut self, act: Act) {
        match act {
            Act::Pay { payment, other_amount, key, worker } => {
                self.begin(What::Pay { payment, other_amount }, key, worker);
            }
            Act::Ask { payment, worker } => self.begin(What::Ask { payment }, 0, worker),
            Act::Cancel { payment, worker } => self.begin(What::Cancel { payment }, 0, worker),
            Act::Through { wish, payment, key, fate } => {
                let pay = What::Pay { payment, other_amount: false };
                let what = [pay, What::Ask { payment }, What::Cancel { payment }][wish];
                self.begin(what, key, 0);
                self.run_through(self.runs.len() - 1, fate);
            }
            Act::Step { run } => self.step_any(run),
            Act::Finish { run } => {
                if let Some(at) = self.pick(run, Run::is_busy) {
                    self.finish(at);
                }
            }
            Act::Deliver { run, fate } => {
                if let Some(at) = self.pick(run, |run| run.sent.is_some()) {
                    self.deliver(at, fate);
                }
            }
            Act::Arrive { copy, executes } => self.arrive(copy, executes),
            Act::Pass { millis } if self.setup.leaps() => self.pass_ticking(millis),
            Act::Pass { millis } => self.pass(millis),
            Act::Leap { days } => self.leap(days),
            Act::Crash { run, gateway, travels } => {
                if let Some(at) = self.pick(run, |run| !run.exchange.is_ended()) {
                    self.crash(at, gateway, travels);
                }
            }
            Act::Leave { run } => {
                // What is decided is done within the callback, and nobody leaves in one.
                let has_done = |run: &Run| !run.todo.iter().any(|out| matches!(out, Output::Do(_)));
                let waits = |run: &Run| !run.left && run.asks() && has_done(run);
                if let Some(at) = self.pick(run, waits) {
                    self.leave(at);
                }
            }
            Act::Beat { gateway, good } => self.beat(gateway, good),
            Act::Fault { after, written } => self.fault = Some((after, written)),
            // An operator goes by a calendar, not by this machine's clock.
            Act::Resolve { .. } if self.days != 0 => {}
            // How they find a payment in an etcd has tests of its own.
            Act::Resolve { .. } if self.remote.is_some() => {}
            Act::Resolve { payment } => self.resolve(payment),
            Act::Flip => self.observing = !self.observing,
            Act::Notify(notice) => self.notify(notice),
            Act::Confirm { notice, how } => self.confirm(notice, how),
            Act::Etcd(act) => self.act_on_etcd(act),
        }
        self.runs.retain(|run| !run.gone && !run.is_over());
        self.check();
    }

    /// The noise ends: whatever is under way ends well, and clients ask until all is known.
    pub(crate) fn settle_down(&mut self) {
        (self.fault, self.observing) = (None, false);
        self.heal();
        if self.setup.leaps() {
            self.act(Act::Leap { days: 0 });
        }
        let honest = Fate { refuse: 0, deed: Deed::Execute, answer: Answer::Honest, named: true };
        for at in 0..self.runs.len() {
            self.run_through(at, honest);
        }
        while !self.copies.is_empty() {
            self.act(Act::Arrive { copy: 0, executes: true });
        }
        while self.is_anything_late() {
            self.act(Act::Etcd(EtcdAct::Land { call: 0 }));
        }
        for _ in 0..8 {
            self.act(Act::Pass { millis: 61_000 });
            for payment in 0..self.setup.payments {
                self.act(Act::Through { wish: 1, payment, key: 0, fate: honest });
            }
        }
        self.check_resolved();
        self.check_notified();
        let landed = self.remote.as_ref().map_or(0, |remote| remote.landed_in_time);
        self.reached.note(Milestone::LandedInTime, landed);
    }

    fn run_through(&mut self, at: usize, fate: Fate) {
        self.finish(at);
        // It may go from gateway to gateway.
        while self.runs[at].sent.is_some() {
            self.deliver(at, fate);
            self.finish(at);
        }
    }

    /// Carries out the next effect of a request, if any has one.
    pub(crate) fn step_any(&mut self, run: usize) {
        if let Some(at) = self.pick(run, Run::is_busy) {
            self.step(at);
        }
    }

    fn pick(&self, number: usize, wanted: impl Fn(&Run) -> bool) -> Option<usize> {
        let fitting = self.runs.iter().enumerate().filter(|(_, run)| !run.gone && wanted(run));
        let fitting: Vec<usize> = fitting.map(|(at, _)| at).collect();
        (!fitting.is_empty()).then(|| fitting[number % fitting.len()])
    }

    fn begin(&mut self, what: What, key: usize, worker: usize) {
        // A top-up cannot be cancelled; whoever wants that asks.
        let what = match what {
            What::Cancel { payment: 1 } => What::Ask { payment: 1 },
            What::Pay { .. } | What::Ask { .. } | What::Cancel { .. } => what,
        };
        let key = if matches!(what, What::Pay { .. }) { key } else { 0 };
        self.used.asked.insert((key, what.payment()));
        let policy = if self.observing { &self.setup.observing } else { &self.setup.policy };
        let (headers, body) = what.request(KEYS[key]);
        self.contexts += 1;
        let request =
            Request { headers: &headers, body: body.as_bytes(), peer: &[], context: self.contexts };
        self.runs.push(Run {
            what,
            worker,
            exchange: OverStore::over(Exchange::new(Rc::clone(policy)), self.session(worker)),
            todo: VecDeque::new(),
            awaited: None,
            sends: None,
            claims: None,
            has_written: false,
            asked_at: self.clock(worker),
            sent: None,
            called: false,
            attempt: None,
            members: Vec::new(),
            said: None,
            heard: Vec::new(),
            is_answered: false,
            is_settled: false,
            answer: None,
            was_doubtful: self.may_be_charged(what.payment()),
            gone: false,
            left: false,
            key,
            taken_by: None,
            has_read: false,
            observed: self.observing,
            let_go: false,
            overtaken: false,
        });
        let request = Input::Event(ExchangeEvent::Request(request));
        self.feed(self.runs.len() - 1, request);
    }

    fn feed(&mut self, at: usize, input: InputOf<'_, OverStore>) {
        self.reached.note(Milestone::Transitions, true);
        let told = match &input {
            Input::Told(_, told) => Some(told),
            Input::Event(_) => None,
        };
        let has_written = std::mem::take(&mut self.runs[at].has_written);
        let (is_read, is_written, is_lost) = match told {
            Some(BackendEvent::Cell(told)) => (
                matches!(told, CellEvent::Loaded(Cell::Claims(_), _)),
                matches!(told, CellEvent::Stored(Cell::Claims(_))),
                matches!(told, CellEvent::Conflict(_)),
            ),
            // A transaction that is lost brings what is there.
            Some(BackendEvent::Rpc(RpcEvent::Answered(_))) => (true, has_written, false),
            Some(BackendEvent::Rpc(_) | BackendEvent::Waited) | None => (false, false, false),
        };
        // Once its outcome is written, whoever comes next is another request.
        let is_open = !self.runs[at].is_settled;
        let settles = is_written && self.runs[at].is_answered;
        self.runs[at].is_settled |= settles;
        if let (true, What::Pay { payment, .. } | What::Ask { payment }) =
            ((is_read || is_written) && is_open, self.runs[at].what)
        {
            self.runs[at].was_doubtful = self.may_be_charged(payment);
        }
        // What the header key leads to is the first that is read of all claims.
        if is_read && !self.runs[at].has_read {
            self.runs[at].taken_by = self.key_is_taken(at);
            self.runs[at].has_read = true;
        }
        self.runs[at].has_read &= !is_lost;
        let now = self.clock(self.runs[at].worker);
        let run = &mut self.runs[at];
        let counters = &mut self.counters[run.worker];
        let twice = match &input {
            Input::Told(ticket, told) => Some(Input::Told(*ticket, told.clone())),
            Input::Event(_) => None,
        };
        run.todo.extend(run.exchange.handle(input, now, counters));
        if let Some(twice) = twice {
            assert_eq!(run.exchange.handle(twice, now, counters), [], "told twice");
        }
    }

    /// The client leaves while the store is asked. A claim that is won all the same is given back.
    fn leave(&mut self, at: usize) {
        self.reached.note(Milestone::Left, true);
        self.runs[at].left = true;
        self.feed(at, Input::Event(ExchangeEvent::ClientGone));
        let run = &self.runs[at];
        let goes_on = run.todo.contains(&Output::Do(ExchangeEffect::HandOff));
        assert_eq!(goes_on, !run.exchange.is_ended(), "{:?}", run.what);
    }

    /// Carries out all that is left, and waits for what comes by itself.
    fn finish(&mut self, at: usize) {
        let mut steps = 0;
        while self.runs[at].is_busy() {
            self.step(at);
            steps += 1;
            assert!(steps < 10_000, "it comes to an end");
        }
    }

    /// The same without waiting.
    fn finish_now(&mut self, at: usize) {
        while !self.runs[at].todo.is_empty() {
            self.step(at);
        }
    }

    fn step(&mut self, at: usize) {
        let Some(output) = self.runs[at].todo.pop_front() else {
            return self.wait_for(at);
        };
        // What is only read, said or counted changes nothing that could be checked.
        let changes = matches!(
            output,
            Output::Ask(_, BackendRequest::Cell(CellRequest::Store { .. }))
                | Output::Do(ExchangeEffect::Forward(_))
        );
        match output {
            Output::Ask(ticket, BackendRequest::Cell(request)) => {
                let told = self.ask(at, request);
                if matches!(told, CellEvent::Stored(Cell::Claims(_))) {
                    self.note_claim_of_nobody(at);
                }
                self.feed(at, Input::Told(ticket, BackendEvent::Cell(told)));
            }
            Output::Ask(ticket, BackendRequest::Rpc(request)) => {
                self.call_etcd(at, ticket, &request);
            }
            Output::Ask(ticket, BackendRequest::Wait(millis)) => {
                let due = self.now + millis.get();
                self.runs[at].awaited = Some((due, ticket, BackendEvent::Waited));
            }
            Output::Do(effect) => self.carry_out(at, effect),
        }
        if changes {
            self.check();
        }
    }

    fn carry_out(&mut self, at: usize, effect: ExchangeEffect) {
        let is_left = self.runs[at].left;
        match effect {
            ExchangeEffect::Decided(note) => {
                self.reached.note(Milestone::Repeated, note.decision == "repeat");
            }
            ExchangeEffect::Changed(_)
            | ExchangeEffect::Anomaly(_)
            | ExchangeEffect::Doubt(_)
            | ExchangeEffect::HandOff => {}
            effect if is_left => panic!("for a client that has left: {effect:?}"),
            ExchangeEffect::Forward(forward) => self.forward(at, &forward),
            ExchangeEffect::Reply(reply) => self.check_reply(at, &reply),
            ExchangeEffect::Relay { gateway } => self.check_let_through(at, gateway.is_some()),
            ExchangeEffect::Call(call) => self.call(at, &call),
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
        if self.runs[at].observed {
            self.check_observed(at, &members, forward);
        } else {
            self.check_forward(at, &members);
        }
        self.runs[at].let_go = true;
        self.runs[at].asked_at = self.clock(self.runs[at].worker);
        self.runs[at].sent = Some((members, self.now));
    }

    fn call(&mut self, at: usize, call: &Call) {
        assert!(!self.runs[at].observed, "what is observed asks nobody else");
        let place =
            ["dana_primary", "dana_secondary"].iter().position(|name| *name == call.cluster);
        self.reached.note(Milestone::Walked, true);
        self.runs[at].called = true;
        self.runs[at].asked_at = self.clock(self.runs[at].worker);
        self.runs[at].sent = Some((vec![place.unwrap()], self.now));
    }

    fn beat(&mut self, gateway: usize, good: bool) {
        let (policy, now) = (&self.setup.policy, self.time());
        let gateway = policy.order().nth(gateway).unwrap();
        for store in &mut self.stores {
            store.change_health(|health| health.on_probe(gateway, good, &policy.health, now));
        }
    }

    pub(crate) fn bucket(&self, number: u32) -> Bucket {
        self.stores[0].bucket(number).expect("only buckets were written")
    }

    pub(crate) fn put_bucket(&mut self, number: u32, bucket: Bucket) {
        self.stores[0].put(Cell::Claims(number), bucket.into_bytes());
    }

    /// What the store says of a payment.
    pub(crate) fn find(&self, payment: usize) -> Entry {
        if let Some(remote) = &self.remote {
            return remote.find(&key(payment));
        }
        let (bucket, key) = self.setup.keys[payment];
        self.bucket(bucket).find(&key)
    }
}
