//! One worker's tick: brings what the worker counted to the shared health, leaves a gateway that
//! is no longer usable, and sends the heartbeats if this worker has the right to.
//!
//! Every worker ticks, and after a configuration update the old root beside the new one. A lease
//! in the shared health lets one of them send; the others only look. The one that sends also counts
//! what the store holds, after everything else that its tick has to do. A store in etcd is counted by
//! a machine of its own (`store::etcd::census`), which is told when.

use std::rc::Rc;

use crate::engine::config::Policy;
use crate::engine::event::{Probe, ProbeAnswer, ProbeId, TickEffect, TickEvent};
use crate::engine::gateway::GatewayId;
use crate::engine::health::{Batch, Health, HealthEvent, Why, WorkerCounters};
use crate::engine::limits;
use crate::engine::machine::{Input, InputOf, Machine, Output, OutputOf, Tickets};
use crate::engine::store::{Cell, CellEvent, CellRequest, Counts, Loaded};
use crate::engine::time::{Millis, Timestamp};
use census::{CensusPass, Walked};
use output::TickOutput;

mod census;
mod join;
mod output;

pub use join::{Join, JoinEffect};

/// One worker's ticking part.
#[derive(Debug)]
pub struct Tick {
    policy: Rc<Policy>,
    /// Told apart from other workers by this.
    owner: u64,
    /// When it first ticked. Not when it was configured: a configuration that Envoy then rejects
    /// is configured all the same, and never ticks.
    born: Option<Timestamp>,
    pending: Pending,
    attempts: u8,
    census_pass: CensusPass,
    /// How many requests operators were last told to be under way, where there are any.
    shown: Vec<(GatewayId, u32)>,
    /// What the store was asked and has not answered.
    asked: Tickets,
    /// The health is being written, not read.
    writes_health: bool,
    last_probe: ProbeId,
    /// Heartbeats under way: one for each gateway, or few more.
    probes: Vec<UnderWay>,
}

/// A heartbeat under way.
#[derive(Debug)]
struct UnderWay {
    id: ProbeId,
    gateway: GatewayId,
    /// From then on it counts as lost. A call that Envoy never answers was not answered by the
    /// gateway either.
    lost_at: Timestamp,
}

/// What waits for the shared health.
#[derive(Debug, Default)]
struct Pending {
    tick: bool,
    probed: Vec<(GatewayId, bool)>,
    /// Taken from the worker's counters and not yet written.
    counted: Vec<Batch>,
    /// The same of what the worker refused.
    refused: Vec<(Why, u32)>,
    /// To be sent once the lease is written.
    probes: Vec<Probe>,
    changes: Vec<HealthEvent>,
    /// This worker counts what the store holds; the time of its tick.
    counts_at: Option<Timestamp>,
}

impl Pending {
    const fn is_empty(&self) -> bool {
        !self.tick && self.probed.is_empty()
    }
}

impl Tick {
    /// The ticking part of the worker `owner`.
    #[must_use]
    pub fn new(policy: Rc<Policy>, owner: u64) -> Self {
        let (pending, census_pass) = (Pending::default(), CensusPass::default());
        Self {
            policy,
            owner,
            born: None,
            pending,
            attempts: 0,
            census_pass,
            shown: Vec::new(),
            asked: Tickets::default(),
            writes_health: false,
            last_probe: ProbeId(0),
            probes: Vec::new(),
        }
    }

    /// How often to tick.
    #[must_use]
    pub fn period(&self) -> Millis {
        self.policy.tick_period()
    }

    /// Whether the answer to this heartbeat still says something.
    #[must_use]
    pub fn awaits(&self, probe: ProbeId) -> bool {
        self.probes.iter().any(|one| one.id == probe)
    }

    /// Whether the answer to this heartbeat is looked at beyond its status.
    #[must_use]
    pub fn reads_body(&self, probe: ProbeId) -> bool {
        let gateway = self.probes.iter().find(|one| one.id == probe).map(|one| one.gateway);
        let gateway = gateway.and_then(|gateway| self.policy.gateway(gateway));
        gateway.is_some_and(|gateway| gateway.probe.expect.reads_body())
    }

    fn take_in(&mut self, event: &TickEvent<'_>, now: Timestamp) {
        match event {
            TickEvent::Due => {
                // What was asked on an earlier tick is asked anew.
                self.asked.forget();
                let lost = self.probes.extract_if(.., |probe| now >= probe.lost_at);
                self.pending.probed.extend(lost.map(|probe| (probe.gateway, false)));
                self.pending.tick = true;
            }
            TickEvent::Probed(id, answer) => self.probed(*id, Some(answer)),
            TickEvent::ProbeUnsent(id) => self.probed(*id, None),
        }
    }

    /// Whether an answer is the gateway's own, and what was expected of it.
    fn probed(&mut self, id: ProbeId, answer: Option<&ProbeAnswer<'_>>) {
        let Some(place) = self.probes.iter().position(|probe| probe.id == id) else {
            return;
        };
        let gateway = self.probes.swap_remove(place).gateway;
        let expect = self.policy.gateway(gateway).map(|gateway| &gateway.probe.expect);
        let is_good = expect.zip(answer).is_some_and(|(expect, answer)| {
            answer.from_gateway && expect.is_met(answer.status, answer.body)
        });
        self.pending.probed.push((gateway, is_good));
    }

    fn cell(
        &mut self,
        event: CellEvent,
        now: Timestamp,
        counters: &mut WorkerCounters,
    ) -> Vec<TickOutput> {
        match event {
            CellEvent::Loaded(cell, loaded) => self.loaded(cell, loaded, now, counters),
            CellEvent::Stored(Cell::Health) => self.done(now),
            // What was to be written is kept for the next tick.
            CellEvent::Failed(Cell::Health) if !self.writes_health => Vec::new(),
            CellEvent::Conflict(Cell::Health) | CellEvent::Failed(Cell::Health) => {
                self.conflict(counters)
            }
            CellEvent::Stored(_) | CellEvent::Conflict(_) | CellEvent::Failed(_) => Vec::new(),
        }
    }

    fn loaded(
        &mut self,
        cell: Cell,
        loaded: Loaded,
        now: Timestamp,
        counters: &mut WorkerCounters,
    ) -> Vec<TickOutput> {
        match cell {
            Cell::Health => self.health(&loaded, now, counters),
            Cell::Claims(number) => {
                let Policy { placement, claims, .. } = &*self.policy;
                let observing = self.policy.observes(None);
                let leaps = counters.leaps(now);
                let how = Counts { rules: claims, leaps: &leaps, observing };
                let (buckets, retention) =
                    (placement.buckets(), self.policy.config.store.retention);
                let is_part = self.policy.config.store.etcd().is_some();
                let walked = Walked { buckets, retention, is_part, how };
                self.census_pass.bucket(number, loaded, walked, now)
            }
            Cell::Census => self.census_pass.before(&loaded.bytes),
            Cell::Layout
            | Cell::Body(_)
            | Cell::Workers
            | Cell::Realm
            | Cell::Lineages
            | Cell::AuditWriters
            | Cell::AuditHead(_)
            | Cell::AuditPublished => Vec::new(),
        }
    }

    fn health(
        &mut self,
        loaded: &Loaded,
        now: Timestamp,
        counters: &mut WorkerCounters,
    ) -> Vec<TickOutput> {
        if self.pending.is_empty() {
            return Vec::new();
        }
        let before = Health::decode(&loaded.bytes);
        let mut health = before.clone();
        let mut changes = Vec::new();
        self.pending.counted.extend(counters.take());
        for counted in &self.pending.counted {
            changes.extend(health.merge(counted, &self.policy.health, now));
        }
        self.pending.refused.extend(counters.take_refused());
        changes.extend(health.tell_refused(&self.pending.refused, now));
        for (gateway, good) in &self.pending.probed {
            changes.extend(health.on_probe(*gateway, *good, &self.policy.health, now));
        }
        // What an earlier try at the same write had in mind is not done.
        self.pending.probes.clear();
        self.pending.counts_at = None;
        let mut leads = false;
        let mut effects = Vec::new();
        if self.pending.tick {
            health.tell_course(counters, &self.policy.health, now);
            health.tell_in_flight(counters, now);
            health.tell_asked(counters, &self.policy.health, now);
            effects = self.show_in_flight(&health, now);
            changes.extend(health.check_in_flight(&self.policy.health, now));
            let born = *self.born.get_or_insert(now);
            leads = health.take_lease(self.owner, born, &self.policy.health, now);
            self.pending.counts_at = leads.then_some(now);
        }
        if leads {
            health.mend(&self.policy.health, now);
            changes.extend(health.expire_overrides(now));
            changes.extend(health.climb(&self.policy.health, now));
            self.pending.probes = self.due(&mut health, now);
        }
        if leads || !changes.is_empty() {
            // Once, when everything is known: news of one moment are not a reason to go back and
            // forth.
            changes.extend(health.update_active(&self.policy.health, now));
        }
        self.pending.changes = changes;
        if health == before {
            effects.extend(self.done(now));
        } else {
            let (bytes, expected) = (health.encode(), loaded.version);
            self.writes_health = true;
            let store = CellRequest::Store { cell: Cell::Health, bytes, expected };
            effects.push(TickOutput::Cell(store));
        }
        effects
    }

    /// Tells operators what is under way, where that has changed.
    fn show_in_flight(&mut self, health: &Health, now: Timestamp) -> Vec<TickOutput> {
        let mut effects = Vec::new();
        for gateway in self.policy.order() {
            let requests = health.in_flight(gateway, now);
            let shown = self.shown.iter().find(|(id, _)| *id == gateway);
            if shown.map_or(0, |(_, shown)| *shown) != requests {
                effects.push(TickOutput::Do(TickEffect::InFlight(gateway, requests)));
            }
            self.shown.retain(|(id, _)| *id != gateway);
            self.shown.push((gateway, requests));
        }
        effects
    }

    /// The heartbeats that are to be sent.
    fn due(&mut self, health: &mut Health, now: Timestamp) -> Vec<Probe> {
        let limits = &self.policy.health.heartbeat;
        let mut probes = Vec::new();
        for gateway in &self.policy.gateways {
            let heartbeat = &mut health.member_mut(gateway.id).heartbeat;
            if !heartbeat.is_due(now, limits) {
                continue;
            }
            heartbeat.sent(now, limits);
            let (cluster, probe) = (gateway.cluster.clone(), gateway.probe.clone());
            let host = gateway.host.as_ref().unwrap_or(&cluster).clone();
            self.last_probe = ProbeId(self.last_probe.0.wrapping_add(1));
            let id = self.last_probe;
            probes.push(Probe { id, gateway: gateway.id, cluster, host, spec: probe });
        }
        probes
    }

    /// Another worker was quicker. Health is read again, or left for the next tick.
    fn conflict(&mut self, counters: &mut WorkerCounters) -> Vec<TickOutput> {
        self.attempts += 1;
        if self.attempts < limits::STORE_ATTEMPTS_MAX {
            return vec![self.read_health()];
        }
        counters.put_back(&self.pending.counted);
        counters.put_back_refused(&self.pending.refused);
        self.pending = Pending::default();
        Vec::new()
    }

    const fn read_health(&mut self) -> TickOutput {
        self.writes_health = false;
        TickOutput::Cell(CellRequest::Load(Cell::Health))
    }

    fn done(&mut self, now: Timestamp) -> Vec<TickOutput> {
        let Pending { tick, probes, changes, counts_at, .. } = std::mem::take(&mut self.pending);
        let counts = match counts_at {
            Some(now) => match self.policy.config.store.etcd() {
                None => self.census_pass.tick(now),
                Some(_) => {
                    let drains = self.policy.drains_local;
                    let local = if drains { self.census_pass.tick(now) } else { Vec::new() };
                    std::iter::once(TickOutput::Do(TickEffect::CountRealm)).chain(local).collect()
                }
            },
            None => {
                if tick {
                    self.census_pass.stop();
                }
                Vec::new()
            }
        };
        self.probes.extend(probes.iter().map(|probe| UnderWay {
            id: probe.id,
            gateway: probe.gateway,
            lost_at: now.plus(probe.spec.lost_after()),
        }));
        let changes = changes.into_iter().map(TickEffect::Changed);
        let told = changes.chain(probes.into_iter().map(TickEffect::Probe));
        told.map(TickOutput::Do).chain(counts).collect()
    }
}

impl Machine for Tick {
    type Event<'a> = TickEvent<'a>;
    type Effect = TickEffect;
    type Ask = CellRequest;
    type Told = CellEvent;
    type Counters = WorkerCounters;

    fn handle(
        &mut self,
        input: InputOf<'_, Self>,
        now: Timestamp,
        counters: &mut WorkerCounters,
    ) -> Vec<OutputOf<Self>> {
        let wanted = match input {
            Input::Event(event) => {
                self.take_in(&event, now);
                self.attempts = 0;
                if self.pending.is_empty() { Vec::new() } else { vec![self.read_health()] }
            }
            Input::Told(ticket, event) if self.asked.close(ticket) => {
                self.cell(event, now, counters)
            }
            Input::Told(..) => Vec::new(),
        };
        let numbered = wanted.into_iter().map(|wanted| match wanted {
            TickOutput::Cell(request) => Output::Ask(self.asked.open(), request),
            TickOutput::Do(effect) => Output::Do(effect),
        });
        numbered.collect()
    }
}
