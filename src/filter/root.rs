//! The worker's root: configuration, ticks and heartbeats.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::host::{Host, Side, is_service_time};
use super::pairs;
use super::worker::{Worker, join, worker_number};
use crate::engine::config::Config;
use crate::engine::event::{Effect, Event};
use crate::engine::gateway::GatewayId;
use crate::engine::limits;
use crate::engine::store::Cell;
use crate::engine::tick::Tick;
use crate::engine::time::{Millis, Timestamp};

/// One worker's root, once it is configured.
#[derive(Debug)]
pub(super) struct Root<H> {
    worker: Rc<Worker<H>>,
    pulse: Tick,
    /// Heartbeats under way, by the token of their call, and from when on they count as lost.
    probes: BTreeMap<u32, (GatewayId, Timestamp)>,
}

impl<H: Host> Root<H> {
    /// Begins to work on payments.
    ///
    /// # Errors
    /// When the configuration cannot work on the store that is there.
    pub(super) fn configure(host: H, config: &Config) -> Result<Self, String> {
        let policy = Rc::new(join(&host, config)?);
        let owner = worker_number(&host)?;
        let pulse = Tick::new(Rc::clone(&policy), owner);
        let worker = Rc::new(Worker::new(host, policy, owner));
        worker.show();
        Ok(Self { worker, pulse, probes: BTreeMap::new() })
    }

    pub(super) const fn worker(&self) -> &Rc<Worker<H>> {
        &self.worker
    }

    pub(super) fn period(&self) -> Millis {
        self.pulse.period()
    }

    pub(super) fn tick(&mut self) {
        self.forget_lost();
        let effects = self.pulse.tick();
        self.drive(effects);
    }

    /// A call that Envoy never answers was not answered by the gateway either.
    fn forget_lost(&mut self) {
        let Ok(now) = self.worker.host.now() else {
            return;
        };
        let lost: Vec<GatewayId> = self
            .probes
            .values()
            .filter(|(_, by)| now >= *by)
            .map(|(gateway, _)| *gateway)
            .collect();
        self.probes.retain(|_, (_, by)| now < *by);
        for gateway in lost {
            let effects = self.pulse.on_probe(gateway, false);
            self.drive(effects);
        }
    }

    /// A heartbeat was answered, by the gateway or in its place by Envoy.
    pub(super) fn answered(&mut self, token: u32) {
        let Some((gateway, _)) = self.probes.remove(&token) else {
            return;
        };
        let good = self.is_good(gateway);
        let effects = self.pulse.on_probe(gateway, good);
        self.drive(effects);
    }

    /// Whether the answer is the gateway's own, and what was expected of it.
    fn is_good(&self, gateway: GatewayId) -> bool {
        let Some(gateway) = self.worker.policy.gateway(gateway) else {
            return false;
        };
        let bytes = self.worker.host.headers(Side::Call).unwrap_or_default();
        let headers = pairs::decode(&bytes).unwrap_or_default();
        let value = |name: &[u8]| headers.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
        let from_gateway = headers.iter().any(|(name, _)| is_service_time(name));
        let status = value(b":status").and_then(|status| std::str::from_utf8(status).ok());
        let expect = &gateway.probe.expect;
        let body = if expect.reads_body() {
            self.worker.host.body(Side::Call, limits::EVIDENCE_BYTES_MAX).unwrap_or_default()
        } else {
            Vec::new()
        };
        let status = status.and_then(|status| status.parse().ok()).unwrap_or(0);
        from_gateway && expect.is_met(status, &body)
    }

    fn drive(&mut self, effects: Vec<Effect>) {
        let mut effects: VecDeque<Effect> = effects.into();
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Load(cell) => effects.extend(self.load(cell)),
                Effect::Store { cell, bytes, expected } => {
                    let more = match self.worker.store(cell, &bytes, expected) {
                        Event::Stored(_) => self.pulse.stored(cell),
                        Event::Conflict(_)
                        | Event::StoreFailed(_)
                        | Event::Loaded(..)
                        | Event::Request(_)
                        | Event::Answered(_) => {
                            self.pulse.conflict(cell, &mut self.worker.counters.borrow_mut())
                        }
                    };
                    effects.extend(more);
                }
                Effect::Probe(beat) => match self.worker.host.probe(&beat) {
                    Ok(token) => {
                        let now = self.worker.host.now().unwrap_or_default();
                        let lost_at = now.plus(beat.spec.lost_after());
                        self.probes.insert(token, (beat.gateway, lost_at));
                    }
                    // A cluster without hosts answers nothing, ever.
                    Err(_) => effects.extend(self.pulse.on_probe(beat.gateway, false)),
                },
                Effect::Changed(change) => self.worker.changed(&change),
                Effect::Anomaly(anomaly) => self.worker.anomaly(&anomaly),
                Effect::InFlight(gateway, requests) => {
                    self.worker.show_in_flight(gateway, requests);
                }
                Effect::Counted(counted) => self.worker.counted(&counted),
                Effect::Decided(_)
                | Effect::Forward(_)
                | Effect::Call(_)
                | Effect::Reply(_)
                | Effect::Relay { .. } => {}
            }
        }
    }

    fn load(&mut self, cell: Cell) -> Vec<Effect> {
        let Ok(now) = self.worker.host.now() else {
            return Vec::new();
        };
        let Event::Loaded(_, loaded) = self.worker.load(cell) else {
            return Vec::new();
        };
        self.pulse.loaded(cell, loaded, now, &mut self.worker.counters.borrow_mut())
    }
}
