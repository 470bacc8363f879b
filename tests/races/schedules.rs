//! What a request does, as a machine with states by number. A request has no other input than the
//! events it is fed, so its state is their sequence: whoever was fed the same is the same, and
//! does the same. Each sequence is played to the engine once, however many schedules share it.

use std::collections::BTreeMap;
use std::rc::Rc;

use dana_failover::engine::Exchange;
use dana_failover::engine::Policy;
use dana_failover::engine::Timestamp;
use dana_failover::engine::WorkerCounters;
use dana_failover::engine::{Answer, ExchangeEffect, ExchangeEvent, Forward, Request};
use dana_failover::engine::{Body, Flags, Origin, Reply, Response};
use dana_failover::engine::{Cell, CellEvent, CellRequest, Expected, Loaded, Local};
use dana_failover::engine::{Input as EngineInput, Machine, Output, Ticket};
use serde_json::Value as Json;

use super::ledger::Wire;
use super::wishes::What;

/// A value of the store: the number of its bytes and its version, 0 when it was never written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Value {
    pub(crate) bytes: usize,
    pub(crate) version: u32,
}

/// The cells of a store with one bucket and one place for answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Health,
    Claims,
    Body,
}

/// How an exchange with a gateway ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Arrival {
    Answered {
        gateway: usize,
        status: u16,
        body: String,
    },
    Timeout {
        gateway: usize,
    },
    /// Nobody could be connected to.
    Refused,
}

/// What a request is fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Input {
    Loaded(Place, Value),
    Stored(Place),
    Conflict(Place),
    /// The client has left.
    Gone,
    /// The arrival of this number.
    Arrived(usize),
    /// Nothing: the effect had no result.
    Done,
}

/// A request as it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) what: What,
    /// What the clock of its worker shows.
    pub(crate) now: u64,
    pub(crate) context: u32,
}

/// What a request wants done.
#[derive(Clone, Debug)]
pub(crate) enum Want {
    Load(Place),
    /// To write the bytes of this number.
    Store(Place, usize, Expected),
    Forward(Rc<Forward>),
    /// To call this gateway itself.
    Call(usize),
    Reply(Rc<Said>),
    Relay,
}

/// An answer of ours as a merchant takes it.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
    /// It reads as "failed", or as "pay under another name".
    pub(crate) fails: bool,
    /// It says that the payment was executed.
    pub(crate) executed: bool,
}

impl Said {
    fn of(reply: &Reply) -> Self {
        let body: Json = serde_json::from_slice(&reply.body).unwrap();
        let general = body["responseCode"].as_str().is_some_and(|code| code.ends_with("00"));
        let (status, reason) = (reply.status, reply.reason);
        let fails = matches!(status, 400..=428 | 430..=499)
            || (status == 500 && general)
            || body["safe_new_key"] == true;
        let executed = reason == "replay" || body["outcome"] == "executed";
        Self { status, reason, fails, executed }
    }
}

/// A request after some inputs.
#[derive(Debug)]
pub(crate) struct Node {
    root: Root,
    inputs: Vec<Input>,
    /// What it wants done next, without what touches nobody else.
    pub(crate) todo: Vec<Want>,
    pub(crate) is_ended: bool,
    /// The request itself, until the first input that follows takes it along.
    live: Option<Playing>,
}

/// A request, and the number of the question that it asked last: it asks one after the other.
#[derive(Debug)]
struct Playing {
    exchange: Local<Exchange>,
    asked: Ticket,
    /// Of a worker that has this request alone.
    counters: WorkerCounters,
}

/// All requests of all schedules.
pub(crate) struct Schedules {
    policy: Rc<Policy>,
    pub(crate) nodes: Vec<Node>,
    edges: BTreeMap<(usize, Input), usize>,
    roots: Vec<usize>,
    bytes: Vec<Vec<u8>>,
    numbers: BTreeMap<Vec<u8>, usize>,
    pub(crate) arrivals: Vec<Arrival>,
    /// Events that were really fed to the engine.
    pub(crate) fed: u64,
}

const fn place(cell: Cell) -> Place {
    match cell {
        Cell::Health => Place::Health,
        Cell::Claims(0) => Place::Claims,
        // A key lives in one value: looking into two lets two workers win.
        Cell::Claims(_) => panic!("another bucket than the key's own"),
        Cell::Body(_) => Place::Body,
        Cell::Layout
        | Cell::Census
        | Cell::Workers
        | Cell::Realm
        | Cell::Lineages
        | Cell::AuditWriters
        | Cell::AuditHead(_)
        | Cell::AuditPublished => {
            panic!("no request reads the layout or a census")
        }
    }
}

const fn cell(place: Place) -> Cell {
    match place {
        Place::Health => Cell::Health,
        Place::Claims => Cell::Claims(0),
        Place::Body => Cell::Body(0),
    }
}

impl Schedules {
    pub(crate) fn new(policy: Rc<Policy>) -> Self {
        Self {
            policy,
            nodes: Vec::new(),
            edges: BTreeMap::new(),
            roots: Vec::new(),
            bytes: Vec::new(),
            numbers: BTreeMap::new(),
            arrivals: Vec::new(),
            fed: 0,
        }
    }

    /// The number of some bytes.
    pub(crate) fn number(&mut self, bytes: Vec<u8>) -> usize {
        *self.numbers.entry(bytes).or_insert_with_key(|bytes| {
            self.bytes.push(bytes.clone());
            self.bytes.len() - 1
        })
    }

    pub(crate) fn bytes(&self, number: usize) -> &[u8] {
        &self.bytes[number]
    }

    pub(crate) fn arrival(&mut self, arrival: Arrival) -> usize {
        let known = self.arrivals.iter().position(|known| *known == arrival);
        known.unwrap_or_else(|| {
            self.arrivals.push(arrival);
            self.arrivals.len() - 1
        })
    }

    /// A request that has just come.
    pub(crate) fn root(&mut self, root: Root) -> usize {
        let known = self.roots.iter().find(|at| self.nodes[**at].root == root);
        if let Some(known) = known {
            return *known;
        }
        let (live, todo) = self.play(root, &[]);
        let (inputs, is_ended) = (Vec::new(), live.exchange.is_ended());
        self.nodes.push(Node { root, inputs, todo, is_ended, live: Some(live) });
        self.roots.push(self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    /// The request after one more input. All but an arrival are the result of its next effect.
    pub(crate) fn next(&mut self, node: usize, input: Input) -> usize {
        if let Some(known) = self.edges.get(&(node, input)) {
            return *known;
        }
        let live = self.nodes[node].live.take();
        let before = &self.nodes[node];
        let (root, mut inputs) = (before.root, before.inputs.clone());
        let carried = usize::from(!matches!(input, Input::Arrived(_) | Input::Gone));
        let mut todo = before.todo[carried..].to_vec();
        let mut live = live.unwrap_or_else(|| self.play(root, &inputs).0);
        todo.extend(self.feed(&mut live, input, root.now));
        inputs.push(input);
        let is_ended = live.exchange.is_ended();
        self.nodes.push(Node { root, inputs, todo, is_ended, live: Some(live) });
        let next = self.nodes.len() - 1;
        self.edges.insert((node, input), next);
        next
    }

    /// Schedules a request from its beginning; with it the effects of its last input.
    fn play(&mut self, root: Root, inputs: &[Input]) -> (Playing, Vec<Want>) {
        let exchange = Local::new(Exchange::new(Rc::clone(&self.policy)));
        let mut playing =
            Playing { exchange, asked: Ticket::default(), counters: WorkerCounters::default() };
        let (headers, body) = root.what.request(None);
        let request =
            Request { headers: &headers, body: body.as_bytes(), peer: &[], context: root.context };
        let begin = EngineInput::Event(ExchangeEvent::Request(request));
        let mut wants = self.handle(&mut playing, begin, root.now);
        for input in inputs {
            wants = self.feed(&mut playing, *input, root.now);
        }
        (playing, wants)
    }

    /// What is only counted comes back in no effect.
    fn handle(
        &mut self,
        playing: &mut Playing,
        input: EngineInput<ExchangeEvent<'_>, CellEvent>,
        now: u64,
    ) -> Vec<Want> {
        let now = Timestamp::from_millis(now);
        let outputs = playing.exchange.handle(input, now, &mut playing.counters);
        let mut wants = Vec::new();
        for output in outputs {
            wants.extend(match output {
                Output::Ask(ticket, request) => {
                    playing.asked = ticket;
                    Some(match request {
                        CellRequest::Load(cell) => Want::Load(place(cell)),
                        CellRequest::Store { cell, bytes, expected } => {
                            Want::Store(place(cell), self.number(bytes), expected)
                        }
                    })
                }
                Output::Do(effect) => want(effect),
            });
        }
        wants
    }

    fn feed(&mut self, playing: &mut Playing, input: Input, now: u64) -> Vec<Want> {
        let told = |event| EngineInput::Told(playing.asked, event);
        self.fed += 1;
        let input = match input {
            Input::Loaded(place, value) => {
                let (bytes, version) = match value.version {
                    0 => (Vec::new(), Expected::Absent),
                    version => (self.bytes[value.bytes].clone(), Expected::At(version)),
                };
                told(CellEvent::Loaded(cell(place), Loaded { bytes, version }))
            }
            Input::Stored(place) => told(CellEvent::Stored(cell(place))),
            Input::Conflict(place) => told(CellEvent::Conflict(cell(place))),
            Input::Gone => EngineInput::Event(ExchangeEvent::ClientGone),
            Input::Arrived(number) => {
                let arrival = self.arrivals[number].clone();
                let (status, body) = match &arrival {
                    Arrival::Answered { status, body, .. } => {
                        (*status, Body::Complete(body.as_bytes()))
                    }
                    Arrival::Timeout { .. } | Arrival::Refused => (503, Body::Unreadable),
                };
                let evidence = Response { origin: arrival.origin(), status, body };
                let endpoint = arrival.gateway().map(|gateway| super::NAMES[gateway]);
                let answer = Answer { evidence, endpoint, ..Answer::never_left(true) };
                let answered = EngineInput::Event(ExchangeEvent::Answered(answer));
                return self.handle(playing, answered, now);
            }
            Input::Done => {
                self.fed -= 1;
                return Vec::new();
            }
        };
        self.handle(playing, input, now)
    }
}

fn want(effect: ExchangeEffect) -> Option<Want> {
    Some(match effect {
        ExchangeEffect::Forward(forward) => Want::Forward(Rc::new(forward)),
        ExchangeEffect::Reply(reply) => Want::Reply(Rc::new(Said::of(&reply))),
        ExchangeEffect::Relay { .. } => Want::Relay,
        ExchangeEffect::Call(call) => Want::Call(usize::from(call.cluster == "dana_secondary")),
        // Seen by operators alone, or by whoever keeps the exchange.
        ExchangeEffect::Decided(_)
        | ExchangeEffect::Changed(_)
        | ExchangeEffect::Anomaly(_)
        | ExchangeEffect::Doubt(_)
        | ExchangeEffect::HandOff => return None,
    })
}

impl Arrival {
    pub(crate) const fn origin(&self) -> Origin {
        match self {
            Self::Answered { .. } => Origin::Upstream,
            Self::Timeout { .. } => Origin::Envoy { flags: Flags::new(0x4), attached: true },
            Self::Refused => Origin::Envoy { flags: Flags::new(0x20), attached: false },
        }
    }

    /// The gateway that Envoy reached.
    pub(crate) const fn gateway(&self) -> Option<usize> {
        match self {
            Self::Answered { gateway, .. } | Self::Timeout { gateway } => Some(*gateway),
            Self::Refused => None,
        }
    }

    pub(crate) fn wire(&self) -> Option<Wire> {
        match self {
            Self::Answered { status, body, .. } => {
                Some(Wire { status: *status, body: body.clone() })
            }
            Self::Timeout { .. } | Self::Refused => None,
        }
    }
}
