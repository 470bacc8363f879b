//! What all requests of one worker share. What operators are told is in `report`. Nothing is decided
//! here.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::driver::cell;
use super::host::Host;
use super::unfinished::Unfinished;
use crate::engine::Policy;
use crate::engine::Ticket;
use crate::engine::WorkerCounters;
use crate::engine::{CellEvent, CellRequest};

mod counted;
mod report;

/// One worker's part of the filter.
#[derive(Debug)]
pub(super) struct Worker<H> {
    pub(super) host: H,
    pub(super) policy: Rc<Policy>,
    pub(super) counters: RefCell<WorkerCounters>,
    metrics: RefCell<BTreeMap<String, u32>>,
    /// Exchanges whose stream is over and that have still something to write down.
    pub(super) unfinished: RefCell<Vec<Unfinished>>,
    /// Lets the store answer later.
    #[cfg(any(test, feature = "slow"))]
    pub(super) slow: super::slow::Slow,
}

impl<H: Host> Worker<H> {
    pub(super) fn new(host: H, policy: Rc<Policy>, owner: u64) -> Self {
        let counters = RefCell::new(WorkerCounters::of(owner));
        Self {
            host,
            policy,
            counters,
            metrics: RefCell::default(),
            unfinished: RefCell::default(),
            #[cfg(any(test, feature = "slow"))]
            slow: super::slow::Slow::default(),
        }
    }

    /// Asks the store for the stream `context`. The one in shared data answers at once.
    pub(super) fn ask(
        &self,
        context: u32,
        ticket: Ticket,
        request: CellRequest,
    ) -> Option<CellEvent> {
        #[cfg(any(test, feature = "slow"))]
        let request = self.slow.take(context, ticket, request)?;
        #[cfg(not(any(test, feature = "slow")))]
        let _ = (context, ticket);
        Some(cell(&self.host, request))
    }
}
