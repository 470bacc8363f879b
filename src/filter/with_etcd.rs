//! What a module has that can keep claims in an etcd: calls to it, a membership, and a backlog of what
//! is still to be written there.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::driver::cell;
use super::host::Host;
use super::membership::{self, Membership};
use super::root::Root;
use super::store_calls::{Asker, StoreCalls};
use super::stores::{OverStore, Stores};
use super::unfinished::Backlog;
use super::worker::Worker;
use crate::engine::Lineages;
use crate::engine::metrics;
use crate::engine::{AnySession, EtcdStore};
use crate::engine::{BackendEvent, BackendRequest};
use crate::engine::{Cell as Shared, CellEvent, CellRequest, Census, Config};
use crate::engine::{Input, Policy, Ticket, Timestamp};
use crate::engine::{RealmWorkers, RpcEvent, StoreLink};

/// Claims in this Envoy's memory, or in an etcd that several Envoys share.
#[derive(Debug, Default)]
pub(super) struct WithEtcd {
    /// The etcd, if claims are kept there.
    pub(super) etcd: Option<Rc<EtcdStore>>,
    /// Exchanges whose stream is over and that have still something to write down.
    pub(super) unfinished: RefCell<Backlog>,
    /// What the store was asked and has not answered.
    pub(super) calls: StoreCalls,
    /// How many of its records were too far ahead, as it was told last.
    told_ahead: Cell<u64>,
    /// Lets shared data answer later.
    #[cfg(any(test, feature = "slow"))]
    pub(super) slow: super::slow::Slow,
}

impl Stores for WithEtcd {
    type Session = AnySession;
    type Member = Option<Membership>;

    fn check(_: &Config) -> Result<(), String> {
        Ok(())
    }

    fn open<H: Host>(
        host: &H,
        policy: &Policy,
        owner: u64,
    ) -> Result<(Self, Self::Member), String> {
        let etcd = policy.config.store.etcd();
        let open = |config| membership::open(host, config, policy.drains_local, owner);
        let etcd = etcd.map(open).transpose()?;
        let member = etcd.clone().map(|store| Membership::new(store, policy));
        Ok((Self { etcd, ..Self::default() }, member))
    }

    fn session(&self) -> AnySession {
        AnySession::new(self.etcd.as_ref())
    }

    fn ask<H: Host>(
        worker: &Worker<H, Self>,
        asker: Asker,
        ticket: Ticket,
        request: BackendRequest,
    ) -> Option<BackendEvent> {
        let Self { calls, .. } = &worker.stores;
        match request {
            BackendRequest::Cell(request) => {
                #[cfg(any(test, feature = "slow"))]
                let request = worker.stores.slow.take(asker, ticket, request)?;
                Some(BackendEvent::Cell(worker.health.cell(&worker.host, request)))
            }
            BackendRequest::Rpc(request) => {
                let etcd = worker.policy.config.store.etcd()?;
                let sent = calls.send(&worker.host, &etcd.cluster, asker, ticket, &request);
                sent.inspect(|unsent| worker.count_call(unsent)).map(BackendEvent::Rpc)
            }
            BackendRequest::Wait(wait) => {
                // Without a clock it is over at the next tick.
                let now = worker.host.now().unwrap_or_default();
                calls.wait(now.plus(wait), asker, ticket);
                None
            }
        }
    }

    fn take_over<H: Host>(
        worker: &Worker<H, Self>,
        context: u32,
        exchange: OverStore<Self>,
        since: Timestamp,
    ) {
        worker.stores.unfinished.borrow_mut().take_over(context, exchange, since);
    }

    fn is_far(&self) -> bool {
        self.etcd.is_some()
    }

    #[cfg(feature = "slow")]
    fn slow_down(&self, context: u32, fields: &[(&[u8], &[u8])]) {
        self.slow.read(context, fields);
    }

    fn called<H: Host>(member: &mut Self::Member, worker: &Worker<H, Self>) {
        if let Some(member) = member {
            member.drive(worker, Input::Event(()));
        }
    }

    fn ticked<H: Host>(
        member: &mut Self::Member,
        worker: &Worker<H, Self>,
        counts: bool,
        local: Option<Census>,
    ) {
        worker.say_given_up();
        let Some(member) = member else {
            return;
        };
        if let Some(local) = local {
            member.add_local(local);
        }
        if counts {
            member.count(worker, Input::Event(()));
        }
        worker.share_lineage();
        worker.say_link(member.link());
    }
}

impl<H: Host> Root<H, WithEtcd> {
    /// The store answers what the worker itself has asked.
    pub(super) fn told(&mut self, asker: Asker, ticket: Ticket, event: BackendEvent) {
        if let Some(member) = &mut self.member {
            member.told(&self.worker, asker, ticket, event);
        }
    }
}

impl<H: Host> Worker<H, WithEtcd> {
    /// Counts a call to the store.
    pub(super) fn count_call(&self, event: &RpcEvent) {
        self.count_many(&metrics::STORE_CALLS, &[event.result()], 1);
    }

    /// Takes in what other workers have seen of the realm, and tells them what this one has.
    fn share_lineage(&self) {
        let Some(etcd) = &self.stores.etcd else {
            return;
        };
        let request = CellRequest::Load(Shared::Lineages);
        let CellEvent::Loaded(_, loaded) = cell(&self.host, request) else {
            return;
        };
        let Some(mut lineages) = Lineages::decode(&loaded.bytes) else {
            return;
        };
        etcd.hear(&lineages);
        // No clock has a say in it: one that was put back would keep this from those who need it.
        if etcd.lineage().is_some_and(|seen| lineages.see(seen)) {
            let (bytes, expected) = (lineages.encode(), loaded.version);
            // If another worker is quicker, this one says it again on its next tick.
            let _ =
                cell(&self.host, CellRequest::Store { cell: Shared::Lineages, bytes, expected });
        }
    }

    /// Says to the other workers how this one stands with the store in etcd, and tells operators how all
    /// of them do.
    pub(super) fn say_link(&self, link: StoreLink) {
        let request = CellRequest::Load(Shared::Realm);
        let (CellEvent::Loaded(_, loaded), Ok(now)) = (cell(&self.host, request), self.host.now())
        else {
            return;
        };
        let mut workers = RealmWorkers::decode(&loaded.bytes);
        let unfinished = u32::try_from(self.stores.unfinished.borrow().len()).unwrap_or(u32::MAX);
        if workers.say(self.owner, link, unfinished, now) {
            let (bytes, expected) = (workers.encode(), loaded.version);
            // If another worker is quicker, this one says it again on its next tick.
            let _ = cell(&self.host, CellRequest::Store { cell: Shared::Realm, bytes, expected });
        }
        let is_up = workers.worst(now) == Some(StoreLink::Joined);
        self.set(&metrics::STORE_UP, &[], is_up.into());
        self.set(&metrics::STORE_UNFINISHED, &[], workers.unfinished(now));
        let ahead = self.stores.etcd.as_ref().map_or(0, |etcd| etcd.ahead());
        let news = ahead.saturating_sub(self.stores.told_ahead.replace(ahead));
        if news > 0 {
            let news = u32::try_from(news).unwrap_or(u32::MAX);
            self.count_many(&metrics::STORE_AHEAD, &[], news);
        }
    }
}
