//! What all requests of one worker share. What operators are told is in `report`. Nothing is decided
//! here.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::driver::cell;
use super::host::Host;
use super::store_calls::{Asker, StoreCalls};
use super::unfinished::Backlog;
use crate::engine::Policy;
use crate::engine::Ticket;
use crate::engine::WorkerCounters;
use crate::engine::{AnySession, EtcdStore};
use crate::engine::{BackendEvent, BackendRequest};

mod counted;
mod report;

/// One worker's part of the filter.
#[derive(Debug)]
pub(super) struct Worker<H> {
    pub(super) host: H,
    pub(super) policy: Rc<Policy>,
    pub(super) counters: RefCell<WorkerCounters>,
    /// Its number in this process.
    owner: u64,
    metrics: RefCell<BTreeMap<String, u32>>,
    /// Exchanges whose stream is over and that have still something to write down.
    pub(super) unfinished: RefCell<Backlog>,
    /// The store that several Envoys share, if there is one.
    pub(super) etcd: Option<Rc<EtcdStore>>,
    /// How many of its records were too far ahead, as it was told last.
    told_ahead: Cell<u64>,
    /// What it was asked and has not answered.
    pub(super) calls: StoreCalls,
    /// Lets the store answer later.
    #[cfg(any(test, feature = "slow"))]
    pub(super) slow: super::slow::Slow,
}

impl<H: Host> Worker<H> {
    pub(super) fn new(
        host: H,
        policy: Rc<Policy>,
        owner: u64,
        etcd: Option<Rc<EtcdStore>>,
    ) -> Self {
        let counters = RefCell::new(WorkerCounters::of(owner));
        Self {
            host,
            policy,
            counters,
            owner,
            metrics: RefCell::default(),
            unfinished: RefCell::default(),
            etcd,
            told_ahead: Cell::new(0),
            calls: StoreCalls::default(),
            #[cfg(any(test, feature = "slow"))]
            slow: super::slow::Slow::default(),
        }
    }

    /// A request's dealings with the store.
    pub(super) fn session(&self) -> AnySession {
        AnySession::new(self.etcd.as_ref())
    }

    /// Asks the store. Shared data answers at once; a store that is far away later, if at all.
    pub(super) fn ask(
        &self,
        asker: Asker,
        ticket: Ticket,
        request: BackendRequest,
    ) -> Option<BackendEvent> {
        match request {
            BackendRequest::Cell(request) => {
                #[cfg(any(test, feature = "slow"))]
                let request = self.slow.take(asker, ticket, request)?;
                Some(BackendEvent::Cell(cell(&self.host, request)))
            }
            BackendRequest::Rpc(request) => {
                let etcd = self.policy.config.store.etcd()?;
                let sent = self.calls.send(&self.host, &etcd.cluster, asker, ticket, &request);
                sent.inspect(|unsent| self.count_call(unsent)).map(BackendEvent::Rpc)
            }
            BackendRequest::Wait(wait) => {
                // Without a clock it is over at the next tick.
                let now = self.host.now().unwrap_or_default();
                self.calls.wait(now.plus(wait), asker, ticket);
                None
            }
        }
    }
}
