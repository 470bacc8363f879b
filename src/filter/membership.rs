//! A worker's membership in the store that several Envoys share, and its count of what that holds.

use std::rc::Rc;

use super::driver::cell;
use super::host::Host;
use super::store_calls::Asker;
use super::stores::Stores as _;
use super::with_etcd::WithEtcd;
use super::worker::Worker;
use crate::engine::Policy;
use crate::engine::{AnswersIn, EtcdConfig};
use crate::engine::{BackendEvent, BackendRequest};
use crate::engine::{Cell, CellEvent, CellRequest};
use crate::engine::{Census, Counted};
use crate::engine::{
    EtcdStore, EtcdTerms, Lineages, Realm, RealmCensus, RealmEffect, RealmMember, StoreLink,
};
use crate::engine::{Input, Shell, Ticket, drive};

/// A worker's side of the store that `config` names; it has not joined yet. `owner` is the worker's
/// number in this process. `drains_local`: payments of before may stand in shared data.
///
/// # Errors
/// When the host does not say what time it is.
pub(super) fn open<H: Host>(
    host: &H,
    config: &EtcdConfig,
    drains_local: bool,
    owner: u64,
) -> Result<Rc<EtcdStore>, String> {
    if let Some(name) = host.withheld() {
        return Err(format!(
            "idempotency.store.etcd: expected {name} among allowed_capabilities of \
             capability_restriction_config, found a list without it"
        ));
    }
    let mut noise = host.noise().map_err(|error| error.to_string())?;
    noise.extend(owner.to_le_bytes());
    noise.extend(host.property("xds\0node\0id").ok().flatten().unwrap_or_default());
    let terms = EtcdTerms {
        clock_skew: config.clock_skew,
        drains_local,
        keeps_answers: config.answers == AnswersIn::Store,
    };
    let store = EtcdStore::new(Realm::new(&config.realm), terms, &noise);
    let CellEvent::Loaded(_, loaded) = cell(host, CellRequest::Load(Cell::Lineages)) else {
        return Err("what this process has seen of the store in etcd cannot be read".to_owned());
    };
    let lineages = Lineages::decode(&loaded.bytes).ok_or(
        "what this process has seen of the store in etcd was written by another version of the filter: \
         restart Envoy",
    )?;
    store.hear(&lineages);
    Ok(Rc::new(store))
}

/// A worker's membership.
#[derive(Debug)]
pub(super) struct Membership {
    store: Rc<EtcdStore>,
    member: RealmMember,
    census: RealmCensus,
    /// Why it has not joined, as it was told last.
    told: String,
}

impl Membership {
    pub(super) fn new(store: Rc<EtcdStore>, policy: &Policy) -> Self {
        let member = RealmMember::new(Rc::clone(&store), policy.realm_terms());
        let census = RealmCensus::new(Rc::clone(&store), policy.claims, policy.observes(None));
        Self { store, member, census, told: String::new() }
    }

    /// How the worker stands with the store. One that has never joined is away from nothing.
    pub(super) fn link(&self) -> StoreLink {
        let (is_refused, is_away) = (!self.told.is_empty(), self.store.is_away());
        match (self.store.has_joined(), is_refused || is_away) {
            (true, false) => StoreLink::Joined,
            (true, true) => StoreLink::Away,
            // Others in this process had joined, and what they knew is lost.
            (false, _) if self.store.is_another() => StoreLink::Away,
            (false, _) if is_refused => StoreLink::Refused,
            (false, _) => StoreLink::Joining,
        }
    }

    /// The store answers what the worker itself has asked.
    pub(super) fn told<H: Host>(
        &mut self,
        worker: &Worker<H, WithEtcd>,
        asker: Asker,
        ticket: Ticket,
        event: BackendEvent,
    ) {
        match asker {
            Asker::Census => self.count(worker, Input::Told(ticket, event)),
            Asker::Worker | Asker::Request(_) => self.drive(worker, Input::Told(ticket, event)),
        }
    }

    /// The buckets of this process were counted, where payments of before stay in them.
    pub(super) fn add_local(&mut self, census: Census) {
        self.census.add_local(census);
    }

    /// Counts what the store holds, if it is time, or takes in an answer.
    pub(super) fn count<H: Host>(
        &mut self,
        worker: &Worker<H, WithEtcd>,
        input: Input<(), BackendEvent>,
    ) {
        if let Ok(now) = worker.host.now() {
            let counters = &mut worker.counters.borrow_mut();
            drive(&mut self.census, input, now, counters, &mut CensusShell { worker });
        }
    }

    /// Looks whether something is to be done, or takes in an answer.
    pub(super) fn drive<H: Host>(
        &mut self,
        worker: &Worker<H, WithEtcd>,
        input: Input<(), BackendEvent>,
    ) {
        let Ok(now) = worker.host.now() else {
            return;
        };
        let mut shell = MemberShell { worker, told: &mut self.told };
        drive(&mut self.member, input, now, &mut (), &mut shell);
    }
}

struct CensusShell<'a, H> {
    worker: &'a Worker<H, WithEtcd>,
}

impl<H: Host> Shell<RealmCensus> for CensusShell<'_, H> {
    fn ask(&mut self, ticket: Ticket, request: BackendRequest) -> Option<BackendEvent> {
        WithEtcd::ask(self.worker, Asker::Census, ticket, request)
    }

    fn carry_out(&mut self, counted: Box<Counted>) -> Option<()> {
        self.worker.counted(&counted);
        None
    }
}

struct MemberShell<'a, H> {
    worker: &'a Worker<H, WithEtcd>,
    told: &'a mut String,
}

impl<H: Host> Shell<RealmMember> for MemberShell<'_, H> {
    fn ask(&mut self, ticket: Ticket, request: BackendRequest) -> Option<BackendEvent> {
        WithEtcd::ask(self.worker, Asker::Worker, ticket, request)
    }

    fn carry_out(&mut self, effect: RealmEffect) -> Option<()> {
        match effect {
            RealmEffect::Joined { born, began } => {
                self.told.clear();
                self.worker.counters.borrow_mut().remember_since(born);
                log::info!("joined the claim store in etcd");
                if began {
                    log::warn!("the claim store in etcd is new: no payment is known");
                }
            }
            RealmEffect::Away => {
                log::error!("the claim store in etcd does not answer: charges are refused");
            }
            RealmEffect::Back => {
                self.told.clear();
                log::info!("the claim store in etcd answers again");
            }
            RealmEffect::NotJoined(why) if *self.told != why => {
                log::error!("the claim store in etcd cannot be used, charges are refused: {why}");
                *self.told = why;
            }
            RealmEffect::NotJoined(_) => {}
        }
        None
    }
}
