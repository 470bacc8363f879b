//! What all requests of one worker share. What operators are told is in `report`. Nothing is decided
//! here.

use std::cell::RefCell;
use std::rc::Rc;

use super::audit::Auditor;
use super::health_cell::HealthCell;
use super::host::Host;
use crate::engine::Policy;
use crate::engine::WorkerCounters;
use defined::DefinedMetrics;

mod counted;
mod defined;
mod report;

/// One worker's part of the filter.
#[derive(Debug)]
pub(super) struct Worker<H, S> {
    pub(super) host: H,
    pub(super) policy: Rc<Policy>,
    pub(super) counters: RefCell<WorkerCounters>,
    /// Its number in this process.
    pub(super) owner: u64,
    metrics: RefCell<DefinedMetrics>,
    /// What is known of the gateways.
    pub(super) health: HealthCell,
    /// Where claims are kept.
    pub(super) stores: S,
    /// Its part in the audit trail, if there is one.
    pub(super) audit: Option<Auditor>,
}

impl<H: Host, S> Worker<H, S> {
    pub(super) fn new(host: H, policy: Rc<Policy>, owner: u64, stores: S) -> Self {
        let counters = RefCell::new(WorkerCounters::of(owner));
        let (metrics, health) = Default::default();
        Self { host, policy, counters, owner, metrics, health, stores, audit: None }
    }

    /// The same with a part in the audit trail, if the configuration wants one.
    pub(super) fn audited(mut self, role: &'static str) -> Self {
        self.audit = Auditor::of(&self.policy.config, role, self.owner);
        self
    }
}
