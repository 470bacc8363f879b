//! The clock, the workers, the wires and the one value that all workers share.

use std::collections::BTreeMap;
use std::rc::Rc;

use dana_failover::engine::Exchange;
use dana_failover::engine::GatewayId;
use dana_failover::engine::Tick;
use dana_failover::engine::{
    Answer, ExchangeEffect, ExchangeEvent, Probe, ProbeAnswer, ProbeId, Request, TickEffect,
    TickEvent,
};
use dana_failover::engine::{Body, Flags, Origin, Response};
use dana_failover::engine::{Cell, CellEvent, CellRequest, Expected, Loaded, Local};
use dana_failover::engine::{Health, Override, OverrideKind, WorkerCounters};
use dana_failover::engine::{Input, InputOf, Machine, Output, Ticket};
use dana_failover::engine::{Millis, Timestamp};

use super::invariants::{Invariants, Reached, Shared};
use super::limits::Setting;
use super::scenario::{Conduct, Lot, PARTNERS, Patience, Plot, Ways, Wish};

const START: u64 = 1_790_000_000_000;
/// From then on all gateways work, nobody lies and nothing is lost.
const HEALS: u64 = 9_000;
const WORKERS: usize = 2;
/// From then on the first gateway answers nothing, where a story is about that.
const HANGS: u64 = 3_000;
/// Within as much it is left, from the moment when enough payments were on their way.
pub(crate) const LEFT_WITHIN: u64 = 10_000;

/// Who asked for a value.
#[derive(Clone, Copy, Debug)]
enum Actor {
    Call(usize),
    Pulse(usize),
}

#[derive(Debug)]
enum Happening {
    Arrive,
    Tick(usize),
    /// To the worker of this birth; one that died meanwhile hears nothing.
    Beaten(usize, u64, Beat),
    Loaded(Actor, u64, Ticket, Cell, Loaded),
    Answered(usize, Wire),
    Restart(usize),
    /// An operator wants something of a gateway.
    Wish,
}

/// How a heartbeat ends.
#[derive(Clone, Copy, Debug)]
struct Beat {
    id: ProbeId,
    gateway: GatewayId,
    good: bool,
}

/// An answer, or why there is none.
#[derive(Debug)]
struct Wire {
    origin: Origin,
    code: Option<(u16, u8)>,
    endpoint: Option<usize>,
    client_waits: bool,
}

struct Worker {
    pulse: Tick,
    counters: WorkerCounters,
    birth: u64,
}

struct Call {
    exchange: Local<Exchange>,
    worker: usize,
    birth: u64,
    reference: String,
    partner: &'static str,
    /// Its claims' bucket: each payment is a new one.
    bucket: (Vec<u8>, u32),
}

pub(crate) struct World<'s> {
    setting: &'s Setting,
    lot: Lot,
    now: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    sequence: u64,
    workers: Vec<Worker>,
    calls: Vec<Call>,
    ways: Vec<Ways>,
    plot: Plot,
    /// Of a hundred payments so many are the bad partner's.
    bad: u64,
    /// Until then nobody else pays, so that nothing speaks for the gateways.
    alone: u64,
    patience: Patience,
    /// Payments that came to each gateway from those who are not bad.
    served: Vec<u64>,
    shared: Shared,
    /// When the operators' last wish is over, after all has healed.
    left_alone: Option<u64>,
    truth: Invariants<'s>,
}

impl<'s> World<'s> {
    pub(crate) fn new(seed: u64, plot: Plot, settings: &'s [Setting]) -> Self {
        let mut lot = Lot::new(seed);
        let setting = &settings[usize::try_from(seed % settings.len() as u64).unwrap()];
        let gateways = setting.policy.gateways.len();
        let ways = (0..gateways).map(|place| match plot {
            Plot::Anything => Ways::draw(&mut lot, HEALS),
            Plot::OneBadPartner if lot.one_in(2) => Ways::constant(0, Conduct::Mostly),
            Plot::OneBadPartner => Ways::constant(0, Conduct::Works),
            Plot::Hang if place == 0 => Ways::constant(HANGS, Conduct::Hangs),
            Plot::Hang => Ways::constant(0, Conduct::Works),
        });
        let ways = ways.collect();
        let (bad, patience) = match plot {
            Plot::Anything => (0, Patience::Mixed),
            Plot::OneBadPartner => (lot.from(20, 60), Patience::Mixed),
            Plot::Hang => (0, Patience::draw(&mut lot)),
        };
        let alone = if plot == Plot::OneBadPartner { lot.from(0, 1500) } else { 0 };
        let mut world = Self {
            setting,
            lot,
            now: 0,
            queue: BTreeMap::new(),
            sequence: 0,
            workers: Vec::new(),
            calls: Vec::new(),
            ways,
            plot,
            bad,
            alone,
            patience,
            served: vec![0; gateways],
            shared: Shared::default(),
            left_alone: None,
            truth: Invariants::new(&setting.policy),
        };
        for at in 0..WORKERS {
            let worker = world.worker(at as u64);
            world.workers.push(worker);
            let later = world.lot.from(0, 300);
            world.after(later, Happening::Tick(at));
        }
        world.after(50, Happening::Arrive);
        if plot != Plot::Anything {
            return world;
        }
        for _ in 0..world.lot.from(0, 2) {
            let (at, worker) = (world.lot.from(1000, HEALS), world.lot.from(0, 1));
            world.after(at, Happening::Restart(usize::try_from(worker).unwrap()));
        }
        for _ in 0..world.lot.from(0, 4) {
            let at = world.lot.from(500, HEALS);
            world.after(at, Happening::Wish);
        }
        world
    }

    fn worker(&self, birth: u64) -> Worker {
        let pulse = Tick::new(Rc::clone(&self.setting.policy), birth + 1);
        Worker { pulse, counters: WorkerCounters::of(birth + 1), birth }
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_millis(START + self.now)
    }

    fn after(&mut self, millis: u64, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((self.now + millis, self.sequence), happening);
    }

    /// Plays a story to its end.
    pub(crate) fn play(self) -> Reached {
        match self.plot {
            Plot::Anything => self.play_until_well(),
            Plot::OneBadPartner => self.play_for(30_000),
            Plot::Hang => self.play_for(HANGS + 2 * LEFT_WITHIN),
        }
    }

    /// Plays for so long, while the checkers look on.
    fn play_for(mut self, millis: u64) -> Reached {
        while let Some(((at, _), happening)) = self.queue.pop_first() {
            if at > millis {
                return self.truth.reached;
            }
            self.now = at;
            self.happen(happening);
            match self.plot {
                Plot::OneBadPartner => self.truth.check_trials(&self.setting.policy),
                Plot::Hang => self.truth.check_left(
                    &self.shared,
                    Timestamp::from_millis(START + HANGS),
                    self.time(),
                ),
                Plot::Anything => {}
            }
        }
        panic!("the world stood still");
    }

    /// Plays until everything is well again, or should long have been.
    fn play_until_well(mut self) -> Reached {
        let bound = self.setting.well_within();
        while let Some(((at, _), happening)) = self.queue.pop_first() {
            self.now = at;
            if at > HEALS {
                let alone =
                    *self.left_alone.get_or_insert_with(|| self.shared.left_alone(HEALS, START));
                if self.truth.is_well(&self.shared, self.time(), START + HEALS) {
                    self.truth.reached.heals_ms_max = at.saturating_sub(alone);
                    return self.truth.reached;
                }
                assert!(
                    at <= alone + bound,
                    "wedged: {bound} ms after all healed still {:?}",
                    self.shared.health
                );
            }
            self.happen(happening);
        }
        panic!("the world stood still");
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrive => {
                let gap = self.lot.from(20, self.setting.gap);
                self.after(gap, Happening::Arrive);
                // Now and then several at once.
                for _ in 0..if self.lot.one_in(12) { 5 } else { 1 } {
                    self.arrive();
                }
            }
            Happening::Tick(worker) => {
                let period = self.workers[worker].pulse.period().get();
                self.after(period, Happening::Tick(worker));
                self.tell_tick(worker, Input::Event(TickEvent::Due));
            }
            Happening::Beaten(worker, birth, beat) => self.beaten(worker, birth, beat),
            Happening::Loaded(actor, birth, ticket, cell, loaded) => {
                if self.workers[self.worker_of(actor)].birth == birth {
                    if let (Actor::Call(at), Cell::Health) = (actor, cell) {
                        let is_now = loaded.bytes == self.shared.bytes;
                        let health = if is_now {
                            self.shared.health.clone()
                        } else {
                            Health::decode(&loaded.bytes)
                        };
                        self.truth.read(at, health);
                    }
                    self.tell(actor, ticket, CellEvent::Loaded(cell, loaded));
                }
            }
            Happening::Answered(at, wire) => self.answer(at, &wire),
            Happening::Restart(worker) => {
                self.sequence += 1;
                self.workers[worker] = self.worker(100 + self.sequence);
                self.truth.reached.restarts += 1;
            }
            Happening::Wish => self.wish(),
        }
    }

    fn wish(&mut self) {
        let now = self.time();
        let places = self.setting.policy.gateways.len() as u64;
        let place = usize::try_from(self.lot.from(0, places - 1)).unwrap();
        let gateway = self.setting.policy.gateways[place].id;
        let (wish, ttl) = (Wish::draw(&mut self.lot), self.lot.from(200, 8000));
        let policy = Rc::clone(&self.setting.policy);
        let mut health = self.shared.health.clone();
        let steer = match wish {
            Wish::Drain => OverrideKind::Drain,
            Wish::Force => OverrideKind::Force,
            Wish::Release => {
                health.release(gateway);
                return self.steered(&health, now);
            }
        };
        let (until, text) = (now.plus(Millis::new(ttl)), String::new);
        let wish =
            Override { gateway, kind: steer, since: now, until, actor: text(), reason: text() };
        match health.override_by(wish, &policy.health, now) {
            Ok(_) => self.steered(&health, now),
            Err(refusal) => self.truth.refused(gateway, refusal, &self.shared, now),
        }
    }

    fn steered(&mut self, health: &Health, now: Timestamp) {
        let before = std::mem::take(&mut self.shared);
        self.shared = Shared::new(health.encode(), before.version + 1);
        self.truth.steered(&before, &self.shared, now);
    }

    fn worker_of(&self, actor: Actor) -> usize {
        match actor {
            Actor::Call(at) => self.calls[at].worker,
            Actor::Pulse(worker) => worker,
        }
    }

    fn arrive(&mut self) {
        let at = self.calls.len();
        let worker = usize::try_from(self.lot.from(0, 1)).unwrap();
        let reference = format!("r-{at}");
        let body = format!(
            r#"{{"merchantId":"m","partnerReferenceNo":"{reference}","amount":{{"value":"1.00","currency":"IDR"}}}}"#
        );
        let is_bad = self.lot.from(0, 99) < self.bad || self.now < self.alone;
        if !is_bad {
            self.truth.good_partner_asks(self.time());
        }
        let others = PARTNERS.len() as u64 - 2;
        let other = usize::try_from(self.lot.from(0, others)).unwrap();
        let partner = if is_bad { PARTNERS[PARTNERS.len() - 1] } else { PARTNERS[other] };
        self.calls.push(Call {
            exchange: Local::new(Exchange::new(Rc::clone(&self.setting.policy))),
            worker,
            birth: self.workers[worker].birth,
            reference,
            partner,
            bucket: (Vec::new(), 0),
        });
        self.truth.arrived();
        let headers: [(&[u8], &[u8]); 5] = [
            (b":path", b"/payment-gateway/v1.0/debit/payment-host-to-host.htm"),
            (b":method", b"POST"),
            (b"content-type", b"application/json"),
            (b"x-partner-id", partner.as_bytes()),
            (b"x-request-id", b"i"),
        ];
        let context = u32::try_from(at).unwrap();
        let request = Request { headers: &headers, body: body.as_bytes(), peer: &[], context };
        self.tell_call(at, Input::Event(ExchangeEvent::Request(request)));
    }

    fn beaten(&mut self, worker: usize, birth: u64, Beat { id, gateway, good }: Beat) {
        if self.workers[worker].birth != birth || !self.workers[worker].pulse.awaits(id) {
            return;
        }
        self.truth.beaten(gateway, good, self.time());
        let status = if good { 200 } else { 503 };
        let answer = ProbeAnswer { from_gateway: good, status, body: b"" };
        self.tell_tick(worker, Input::Event(TickEvent::Probed(id, answer)));
    }

    fn tell(&mut self, actor: Actor, ticket: Ticket, event: CellEvent) {
        match actor {
            Actor::Call(at) => self.tell_call(at, Input::Told(ticket, event)),
            Actor::Pulse(worker) => self.tell_tick(worker, Input::Told(ticket, event)),
        }
    }

    fn tell_call(&mut self, at: usize, input: InputOf<'_, Local<Exchange>>) {
        let (now, worker) = (self.time(), self.calls[at].worker);
        let counters = &mut self.workers[worker].counters;
        for output in self.calls[at].exchange.handle(input, now, counters) {
            match output {
                Output::Ask(ticket, request) => self.ask(Actor::Call(at), ticket, request),
                Output::Do(effect) => self.carry_out(at, effect),
            }
        }
        if self.calls[at].exchange.is_ended() {
            self.truth.ended(at);
        }
    }

    fn tell_tick(&mut self, at: usize, input: InputOf<'_, Tick>) {
        let now = self.time();
        let Worker { pulse, counters, birth } = &mut self.workers[at];
        let birth = *birth;
        for output in pulse.handle(input, now, counters) {
            match output {
                Output::Ask(ticket, request) => self.ask(Actor::Pulse(at), ticket, request),
                Output::Do(effect) => self.carry_out_tick(at, birth, effect),
            }
        }
    }

    fn ask(&mut self, actor: Actor, ticket: Ticket, request: CellRequest) {
        match request {
            CellRequest::Load(cell) => {
                let birth = self.workers[self.worker_of(actor)].birth;
                let loaded = self.load(actor, cell);
                // What is read is a little old when it is used.
                let old = cell == Cell::Health && self.lot.one_in(4);
                let later = if old { self.lot.from(1, 3) } else { 0 };
                self.after(later, Happening::Loaded(actor, birth, ticket, cell, loaded));
            }
            CellRequest::Store { cell, bytes, expected } => {
                let stored = self.store(actor, cell, bytes, expected);
                let told = if stored { CellEvent::Stored(cell) } else { CellEvent::Conflict(cell) };
                self.tell(actor, ticket, told);
            }
        }
    }

    fn carry_out(&mut self, at: usize, effect: ExchangeEffect) {
        match effect {
            ExchangeEffect::Forward(forward) => {
                let cluster = forward.headers.iter().find(|(name, _)| name == "x-dana-cluster");
                self.send(at, &cluster.unwrap().1);
            }
            ExchangeEffect::Changed(change) => self.truth.told(&change),
            ExchangeEffect::Anomaly(_)
            | ExchangeEffect::Doubt(_)
            | ExchangeEffect::Reply(_)
            | ExchangeEffect::Relay { .. }
            | ExchangeEffect::HandOff
            | ExchangeEffect::Decided(_) => {}
            ExchangeEffect::Call(_) => panic!("a charge goes through the router alone"),
        }
    }

    fn carry_out_tick(&mut self, worker: usize, birth: u64, effect: TickEffect) {
        match effect {
            TickEffect::Probe(Probe { id, gateway, spec, .. }) => {
                let (good, later) = match self.ways[self.place(gateway)].beat(self.now) {
                    Some(good) => (good, self.lot.from(10, 200)),
                    None => (false, spec.timeout.get()),
                };
                let beat = Beat { id, gateway, good };
                self.after(later, Happening::Beaten(worker, birth, beat));
            }
            TickEffect::Changed(change) => self.truth.told(&change),
            TickEffect::Counted(counted) => {
                assert_eq!(
                    counted.census.buckets,
                    self.setting.policy.placement.buckets(),
                    "all of them"
                );
            }
            TickEffect::InFlight(..) => {}
            TickEffect::CountRealm => panic!("the store is not in etcd"),
        }
    }

    fn place(&self, gateway: GatewayId) -> usize {
        self.setting.policy.order().position(|id| id == gateway).unwrap()
    }

    fn load(&self, actor: Actor, cell: Cell) -> Loaded {
        if let (Actor::Pulse(_), Cell::Claims(_) | Cell::Census) = (actor, cell) {
            return Loaded { bytes: Vec::new(), version: Expected::Absent };
        }
        // Each payment comes once: nobody asks for the answers that are kept beside its own.
        if let (Actor::Call(_), Cell::Body(_)) = (actor, cell) {
            return Loaded { bytes: Vec::new(), version: Expected::Absent };
        }
        let (bytes, version) = match (actor, cell) {
            (_, Cell::Health) => (&self.shared.bytes, self.shared.version),
            (Actor::Call(at), Cell::Claims(_)) => {
                (&self.calls[at].bucket.0, self.calls[at].bucket.1)
            }
            other => panic!("nobody needs to read {other:?}"),
        };
        let version = if version == 0 { Expected::Absent } else { Expected::At(version) };
        Loaded { bytes: bytes.clone(), version }
    }

    fn store(&mut self, actor: Actor, cell: Cell, bytes: Vec<u8>, expected: Expected) -> bool {
        match (actor, cell) {
            (_, Cell::Health) => {
                let version = self.shared.version;
                let fits = match expected {
                    Expected::Absent => version == 0,
                    Expected::At(read) => version == read,
                    Expected::Any => panic!("health is never overwritten blindly"),
                };
                if !fits {
                    self.truth.reached.conflicts += 1;
                    return false;
                }
                let after = Shared::new(bytes, version + 1);
                let before = std::mem::replace(&mut self.shared, after);
                let call = match actor {
                    Actor::Call(at) => Some(at),
                    Actor::Pulse(_) => None,
                };
                self.truth.wrote(call, &before, &self.shared, self.time());
            }
            (Actor::Call(at), Cell::Claims(_)) => {
                let bucket = &mut self.calls[at].bucket;
                *bucket = (bytes, bucket.1 + 1);
            }
            _ => {}
        }
        true
    }

    /// Envoy tries one gateway of the cluster after the other until one can be connected to.
    fn send(&mut self, at: usize, cluster: &str) {
        let policy = Rc::clone(&self.setting.policy);
        let composite = policy.composites.iter().find(|composite| composite.cluster == cluster);
        let members = composite.map(|composite| composite.members.clone()).unwrap_or_else(|| {
            let plain = policy.gateways.iter().find(|gateway| gateway.cluster == cluster);
            vec![plain.unwrap().id]
        });
        self.truth.sent(at, &members, self.time());
        if self.plot == Plot::Anything && self.now < HEALS && self.lot.one_in(60) {
            // Nobody will ever hear of it again.
            self.truth.reached.lost += 1;
            return;
        }
        let places: Vec<usize> = members.iter().map(|gateway| self.place(*gateway)).collect();
        let refuses = |place: &&usize| self.ways[**place].conduct(self.now) == Conduct::Refuses;
        let none = |flags, attached| Origin::Envoy { flags: Flags::new(flags), attached };
        let mut wire =
            Wire { origin: Origin::Upstream, code: None, endpoint: None, client_waits: true };
        let partner = self.calls[at].partner;
        let is_bad = self.bad > 0 && partner == PARTNERS[PARTNERS.len() - 1];
        let Some(place) = places.iter().find(|place| !refuses(place)).copied() else {
            wire.origin = none(0x20, false);
            return self.after(5, Happening::Answered(at, wire));
        };
        wire.endpoint = Some(place);
        let mut later = self.lot.from(10, 200);
        if !is_bad {
            self.served[place] += 1;
        }
        match self.ways[place].conduct(self.now) {
            Conduct::Works | Conduct::Mostly if is_bad => wire.code = Some((500, 1)),
            Conduct::Mostly if self.served[place].is_multiple_of(7) => wire.code = Some((500, 1)),
            Conduct::Works | Conduct::Mostly => wire.code = Some((200, 0)),
            Conduct::Declines => wire.code = Some((403, 2)),
            Conduct::Throttles => wire.code = Some((429, 0)),
            Conduct::Slow => {
                wire.code = Some((200, 0));
                later = self.lot.from(800, 1400);
            }
            Conduct::Hangs => {
                wire.origin = none(0x4, true);
                later = self.setting.policy.config.timeouts.response.get();
            }
            Conduct::Fails | Conduct::Flaps(_) | Conduct::Refuses => wire.code = Some((500, 1)),
        }
        let patience = match (self.patience, self.plot) {
            (Patience::Mixed, Plot::Hang) if self.lot.one_in(2) => None,
            (Patience::Mixed, Plot::Anything | Plot::OneBadPartner) if !self.lot.one_in(30) => None,
            (Patience::Mixed, _) => Some(self.lot.from(0, later)),
            (patience, _) => patience.draw_one(partner, &mut self.lot),
        };
        if let Some(patience) = patience.filter(|patience| *patience < later) {
            wire = Wire { origin: none(0x4000, true), code: None, client_waits: false, ..wire };
            later = patience;
        }
        self.after(later, Happening::Answered(at, wire));
    }

    fn answer(&mut self, at: usize, wire: &Wire) {
        let call = &self.calls[at];
        if self.workers[call.worker].birth != call.birth {
            // Its worker died, and with it all that it knew of this payment.
            return;
        }
        let reference = &call.reference;
        let body = wire.code.map_or_else(String::new, |(status, case)| {
            format!(
                r#"{{"responseCode":"{status}54{case:02}","partnerReferenceNo":"{reference}"}}"#
            )
        });
        let policy = Rc::clone(&self.setting.policy);
        let answer = Answer {
            evidence: Response {
                origin: wire.origin,
                status: wire.code.map_or(503, |(status, _)| status),
                body: Body::Complete(body.as_bytes()),
            },
            endpoint: wire.endpoint.map(|place| policy.gateways[place].name.as_str()),
            peer: None,
            content_type: None,
            retry_after: (wire.code == Some((429, 0))).then_some(Millis::new(1500)),
            content_encoding: None,
            client_waits: wire.client_waits,
        };
        self.tell_call(at, Input::Event(ExchangeEvent::Answered(answer)));
    }
}
