//! The worker's root: configuration, ticks and heartbeats.

use std::rc::Rc;

use super::audit::Auditor;
use super::driver::cell;
use super::host::{Host, Side, is_service_time};
use super::pairs;
use super::stores::Stores;
use super::worker::Worker;
use crate::engine::Millis;
use crate::engine::Timestamp;
use crate::engine::limits;
use crate::engine::{CellEvent, CellRequest, Census};
use crate::engine::{Config, Policy};
use crate::engine::{Input, Shell, Ticket, drive};
use crate::engine::{Join, JoinEffect, Tick};
use crate::engine::{ProbeAnswer, ProbeId, TickEffect, TickEvent};

/// One worker's root, once it is configured.
#[derive(Debug)]
pub(super) struct Root<H, S: Stores> {
    pub(super) worker: Rc<Worker<H, S>>,
    tick: Tick,
    /// Heartbeats under way, by the token of their call.
    probes: Vec<(u32, ProbeId)>,
    /// What the worker has to do with a store that is far away.
    pub(super) member: S::Member,
    /// When the engine was told last that a tick is due.
    ticked_at: Timestamp,
}

impl<H: Host, S: Stores> Root<H, S> {
    /// Begins to work on payments.
    ///
    /// # Errors
    /// When the configuration cannot work on the store that is there.
    pub(super) fn configure(host: H, config: Config) -> Result<Self, String> {
        S::check(&config)?;
        let (policy, owner, began) = join(&host, config)?;
        if began {
            log::warn!("the claim store is empty: payments made before this start are not known");
        }
        let tick = Tick::new(Rc::clone(&policy), owner);
        let (stores, mut member) = S::open(&host, &policy, owner)?;
        let worker = Rc::new(Worker::new(host, policy, owner, stores).audited("payments"));
        worker.show();
        S::called(&mut member, &worker);
        // Whoever asks whether all workers have joined knows of this one from now on.
        S::ticked(&mut member, &worker, false, None);
        let ticked_at = Timestamp::default();
        Ok(Self { worker, tick, probes: Vec::new(), member, ticked_at })
    }

    /// Envoy is done with it.
    pub(super) fn close(&self) {
        self.worker.audit.iter().for_each(Auditor::close);
    }

    pub(super) const fn worker(&self) -> &Rc<Worker<H, S>> {
        &self.worker
    }

    /// How often the worker is called.
    pub(super) fn period(&self) -> Millis {
        let period = self.tick.period();
        if self.worker.stores.is_far() {
            period.min(Millis::new(limits::ETCD_TICK_MS))
        } else {
            period
        }
    }

    pub(super) fn tick(&mut self) {
        S::called(&mut self.member, &self.worker);
        let Ok(now) = self.worker.host.now() else {
            return;
        };
        // Those of a store that is far away come more often.
        let since = now.since(self.ticked_at);
        if self.worker.stores.is_far() && now >= self.ticked_at && since < self.tick.period() {
            return;
        }
        self.ticked_at = now;
        self.worker.count_host_errors();
        let (counts_realm, local) = self.drive(TickEvent::Due);
        self.probes.retain(|(_, id)| self.tick.awaits(*id));
        if let Some(audit) = &self.worker.audit {
            audit.hand_over(&self.worker.host);
        }
        S::ticked(&mut self.member, &self.worker, counts_realm, local);
    }

    /// A call was answered: a heartbeat, by the gateway or in its place by Envoy; or one that handed
    /// over events.
    pub(super) fn answered(&mut self, token: u32) {
        if let Some(audit) = &self.worker.audit
            && audit.answered(&self.worker.host, token)
        {
            return;
        }
        let Some(place) = self.probes.iter().position(|(known, _)| *known == token) else {
            return;
        };
        let (_, id) = self.probes.swap_remove(place);
        let host = &self.worker.host;
        let bytes = host.headers(Side::Call).unwrap_or_default();
        let headers = pairs::decode(&bytes).unwrap_or_default();
        let status = headers.iter().find(|(name, _)| *name == b":status");
        let status = status.and_then(|(_, status)| std::str::from_utf8(status).ok());
        let body = if self.tick.reads_body(id) {
            host.body(Side::Call, limits::EVIDENCE_BYTES_MAX).unwrap_or_default()
        } else {
            Vec::new()
        };
        let answer = ProbeAnswer {
            from_gateway: headers.iter().any(|(name, _)| is_service_time(name)),
            status: status.and_then(|status| status.parse().ok()).unwrap_or(0),
            body: &body,
        };
        self.drive(TickEvent::Probed(id, answer));
    }

    /// Tells whether this worker is to count what the store in etcd holds, and what was counted in shared
    /// data beside it.
    fn drive(&mut self, event: TickEvent<'_>) -> (bool, Option<Census>) {
        let Ok(now) = self.worker.host.now() else {
            return (false, None);
        };
        let worker = Rc::clone(&self.worker);
        let probes = &mut self.probes;
        let mut shell = TickShell { worker: &worker, probes, counts_realm: false, local: None };
        let counters = &mut worker.counters.borrow_mut();
        drive(&mut self.tick, Input::Event(event), now, counters, &mut shell);
        (shell.counts_realm, shell.local)
    }
}

/// Joins a configuration to the store, which every worker and every update of it does: the policy,
/// the worker's number, and whether the store has just begun.
///
/// # Errors
/// When the configuration cannot work on the store that is there.
pub(super) fn join<H: Host>(host: &H, config: Config) -> Result<(Rc<Policy>, u64, bool), String> {
    let noise = host.noise().map_err(|error| error.to_string())?;
    let now = host.now().map_err(|error| error.to_string())?;
    let mut join = Join::new(Rc::new(config), noise);
    let mut shell = JoinShell { host, end: None };
    drive(&mut join, Input::Event(()), now, &mut (), &mut shell);
    match shell.end {
        Some(JoinEffect::Joined { policy, owner, began }) => Ok((policy, owner, began)),
        Some(JoinEffect::Failed(why)) => Err(why),
        None => Err("the claim store did not answer".to_owned()),
    }
}

struct JoinShell<'a, H> {
    host: &'a H,
    end: Option<JoinEffect>,
}

impl<H: Host> Shell<Join> for JoinShell<'_, H> {
    fn ask(&mut self, _: Ticket, request: CellRequest) -> Option<CellEvent> {
        Some(cell(self.host, request))
    }

    fn carry_out(&mut self, effect: JoinEffect) -> Option<()> {
        self.end = Some(effect);
        None
    }
}

struct TickShell<'a, H, S> {
    worker: &'a Worker<H, S>,
    probes: &'a mut Vec<(u32, ProbeId)>,
    counts_realm: bool,
    /// What was counted in shared data, where there is a store in etcd too.
    local: Option<Census>,
}

impl<H: Host, S: Stores> Shell<Tick> for TickShell<'_, H, S> {
    fn ask(&mut self, _: Ticket, request: CellRequest) -> Option<CellEvent> {
        Some(self.worker.health.cell_anew(&self.worker.host, request))
    }

    fn carry_out(&mut self, effect: TickEffect) -> Option<TickEvent<'static>> {
        match effect {
            TickEffect::Probe(probe) => match self.worker.host.probe(&probe) {
                Ok(token) => self.probes.push((token, probe.id)),
                // A cluster without hosts answers nothing, ever.
                Err(_) => return Some(TickEvent::ProbeUnsent(probe.id)),
            },
            TickEffect::Changed(change) => self.worker.changed(&change),
            TickEffect::InFlight(gateway, requests) => {
                self.worker.show_in_flight(gateway, requests);
            }
            TickEffect::Counted(counted) if self.worker.stores.is_far() => {
                self.local = Some(counted.census);
            }
            TickEffect::Counted(counted) => self.worker.counted(&counted),
            TickEffect::CountRealm => self.counts_realm = true,
        }
        None
    }
}
