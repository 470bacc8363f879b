//! One worker's tick: brings what the worker counted to the shared health, leaves a gateway that
//! is no longer usable, and sends the heartbeats if this worker has the right to.
//!
//! Every worker ticks, and after a configuration update the old root beside the new one. A lease
//! in the shared health lets one of them send; the others only look. The one that sends also counts
//! what the store holds, after everything else that its tick has to do.

use std::rc::Rc;

use crate::engine::config::Policy;
use crate::engine::event::{Effect, Probe};
use crate::engine::gateway::GatewayId;
use crate::engine::health::{Batch, Health, HealthEvent, Why, WorkerCounters};
use crate::engine::limits;
use crate::engine::store::{Cell, Counts, Loaded};
use crate::engine::time::{Millis, Timestamp};
use census::CensusPass;

mod census;

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
    walk: CensusPass,
    /// How many requests operators were last told to be under way, where there are any.
    shown: Vec<(GatewayId, u32)>,
}

/// What waits for the shared health.
#[derive(Debug, Default)]
struct Pending {
    tick: bool,
    beaten: Vec<(GatewayId, bool)>,
    /// Taken from the worker's tallies and not yet written.
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
        !self.tick && self.beaten.is_empty()
    }
}

impl Tick {
    /// The ticking part of the worker `owner`.
    #[must_use]
    pub fn new(policy: Rc<Policy>, owner: u64) -> Self {
        let (pending, walk) = (Pending::default(), CensusPass::default());
        Self { policy, owner, born: None, pending, attempts: 0, walk, shown: Vec::new() }
    }

    /// How often to tick.
    #[must_use]
    pub fn period(&self) -> Millis {
        self.policy.tick_period()
    }

    /// It is time.
    pub fn tick(&mut self) -> Vec<Effect> {
        self.pending.tick = true;
        self.attempts = 0;
        vec![Effect::Load(Cell::Health)]
    }

    /// A heartbeat ended.
    pub fn on_probe(&mut self, gateway: GatewayId, good: bool) -> Vec<Effect> {
        self.pending.beaten.push((gateway, good));
        self.attempts = 0;
        vec![Effect::Load(Cell::Health)]
    }

    /// A value that was asked for.
    pub fn loaded(
        &mut self,
        cell: Cell,
        loaded: Loaded,
        now: Timestamp,
        counters: &mut WorkerCounters,
    ) -> Vec<Effect> {
        match cell {
            Cell::Health => self.health(&loaded, now, counters),
            Cell::Claims(number) => {
                let Policy { placement, claims, .. } = &*self.policy;
                let observing = self.policy.observes(None);
                let leaps = counters.leaps(now);
                let how = Counts {
                    rules: claims,
                    retention: self.policy.config.store.retention,
                    leaps: &leaps,
                    observing,
                };
                self.walk.bucket(number, loaded, placement.buckets(), how, now)
            }
            Cell::Census => self.walk.before(&loaded.bytes),
            Cell::Layout | Cell::Body(_) => Vec::new(),
        }
    }

    fn health(
        &mut self,
        loaded: &Loaded,
        now: Timestamp,
        counters: &mut WorkerCounters,
    ) -> Vec<Effect> {
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
        for (gateway, good) in &self.pending.beaten {
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
            effects.extend(self.done());
        } else {
            let (bytes, expected) = (health.encode(), loaded.version);
            effects.push(Effect::Store { cell: Cell::Health, bytes, expected });
        }
        effects
    }

    /// Tells operators what is under way, where that has changed.
    fn show_in_flight(&mut self, health: &Health, now: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        for gateway in self.policy.order() {
            let requests = health.in_flight(gateway, now);
            let shown = self.shown.iter().find(|(id, _)| *id == gateway);
            if shown.map_or(0, |(_, shown)| *shown) != requests {
                effects.push(Effect::InFlight(gateway, requests));
            }
            self.shown.retain(|(id, _)| *id != gateway);
            self.shown.push((gateway, requests));
        }
        effects
    }

    /// The heartbeats that are to be sent.
    fn due(&self, health: &mut Health, now: Timestamp) -> Vec<Probe> {
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
            probes.push(Probe { gateway: gateway.id, cluster, host, spec: probe });
        }
        probes
    }

    /// A value was written.
    pub fn stored(&mut self, cell: Cell) -> Vec<Effect> {
        if cell == Cell::Health { self.done() } else { Vec::new() }
    }

    /// It was not: another worker was quicker. Health is read again, or left for the next tick.
    pub fn conflict(&mut self, cell: Cell, counters: &mut WorkerCounters) -> Vec<Effect> {
        if cell != Cell::Health {
            return Vec::new();
        }
        self.attempts += 1;
        if self.attempts < limits::STORE_ATTEMPTS_MAX {
            return vec![Effect::Load(Cell::Health)];
        }
        counters.put_back(&self.pending.counted);
        counters.put_back_refused(&self.pending.refused);
        self.pending = Pending::default();
        Vec::new()
    }

    fn done(&mut self) -> Vec<Effect> {
        let Pending { tick, probes, changes, counts_at, .. } = std::mem::take(&mut self.pending);
        let counts = match counts_at {
            Some(now) => self.walk.tick(now),
            None => {
                if tick {
                    self.walk.stop();
                }
                Vec::new()
            }
        };
        let changes = changes.into_iter().map(Effect::Changed);
        changes.chain(probes.into_iter().map(Effect::Probe)).chain(counts).collect()
    }
}
