//! What tests of the store share: an etcd in memory whose calls go wrong where a test says so, and
//! Envoys that use it.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::memory::MemoryEtcd;
use super::proto::{ProtoFields, ProtoValue, ProtoWriter};
use super::{EtcdStore, EtcdTerms, Realm, RealmEffect, RealmGateway, RealmMember, RealmTerms};
use crate::engine::gateway::GatewayId;
use crate::engine::machine::{Input, Machine, Output};
use crate::engine::payment::PaymentRef;
use crate::engine::store::backend::{
    BackendEvent, BackendRequest, RpcEvent, RpcMethod, RpcRequest,
};
use crate::engine::store::cell::{CellEvent, CellRequest};
use crate::engine::store::layout::KeyDefinition;
use crate::engine::store::memory::MemoryStore;
use crate::engine::store::record::Entry;
use crate::engine::time::{Millis, Timestamp};

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum CallFault {
    /// It never arrives, and nobody says so before its time is over.
    Lost,
    /// It is carried out, and the answer never comes.
    AnswerLost,
    /// It arrives long after its time is over.
    Late,
    /// It is carried out at once, and once more long after.
    Repeated,
    /// It fails at once, and was carried out.
    Cut,
    /// It fails at once, and was not carried out.
    Reset,
    /// Something answers that is no etcd; nothing was carried out.
    Garbage,
    /// etcd refuses it with this status, and has done nothing.
    Refused(u32),
    /// No member can be reached.
    Unsent,
}

/// What is no etcd and answers as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Impostor {
    /// It does not understand what is compared, and compares nothing.
    ComparesNothing,
    /// It says that all is written, and forgets all but leases.
    Forgets,
    /// It answers whatever is asked.
    SaysYes,
}

impl CallFault {
    /// Each of them; refusals are a lease that has ended, a role without the right, and no space.
    pub(in crate::engine) const ALL: [Self; 11] = [
        Self::Lost,
        Self::AnswerLost,
        Self::Late,
        Self::Repeated,
        Self::Cut,
        Self::Reset,
        Self::Garbage,
        Self::Refused(5),
        Self::Refused(7),
        Self::Refused(8),
        Self::Unsent,
    ];
}

/// An etcd behind a network that loses calls, and what it was asked.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct FaultyEtcd {
    pub(in crate::engine) etcd: MemoryEtcd,
    pub(in crate::engine) now: u64,
    /// Which calls go wrong, the first one being 0. A call is each try.
    pub(in crate::engine) faults: BTreeMap<usize, CallFault>,
    /// How all others go wrong.
    pub(in crate::engine) outage: Option<CallFault>,
    pub(in crate::engine) calls: Vec<RpcRequest>,
    /// What stands in its place.
    pub(in crate::engine) impostor: Option<Impostor>,
    /// Just before which call those that are late arrive.
    pub(in crate::engine) lands_before: Option<usize>,
    /// Calls that are still on their way.
    pub(in crate::engine) late: Vec<RpcRequest>,
    /// Shared values of the process, which is one here.
    pub(in crate::engine) cells: MemoryStore,
}

pub(in crate::engine) const REALM: &str = "/dana/v1/shop/";
/// A lease lasts longer, in all tests.
pub(in crate::engine) const RETENTION: Millis = Millis::new(86_400_000);
pub(in crate::engine) const SKEW: Millis = Millis::new(2000);

impl FaultyEtcd {
    pub(in crate::engine) fn new() -> Self {
        Self { now: 1_790_000_000_000, ..Self::default() }
    }

    pub(in crate::engine) const fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    /// Carries out whatever a session or a worker asks of its host.
    pub(in crate::engine) fn carry_out(&mut self, request: BackendRequest) -> BackendEvent {
        match request {
            BackendRequest::Cell(request) => BackendEvent::Cell(self.cell(request)),
            BackendRequest::Wait(millis) => {
                self.now += millis.get();
                BackendEvent::Waited
            }
            BackendRequest::Rpc(request) => BackendEvent::Rpc(self.call(request)),
        }
    }

    fn cell(&mut self, request: CellRequest) -> CellEvent {
        self.cells.ask(request)
    }

    fn call(&mut self, request: RpcRequest) -> RpcEvent {
        assert!(request.timeout.get() > 0, "etcd takes that as no time at all");
        if self.lands_before == Some(self.calls.len()) {
            self.land();
        }
        let fault = self.faults.get(&self.calls.len()).copied().or(self.outage);
        self.calls.push(request.clone());
        let Some(fault) = fault else {
            self.now += 1;
            return self.answer(&request);
        };
        let (takes, told) = match fault {
            CallFault::Lost => (request.timeout.get(), RpcEvent::Failed(4)),
            CallFault::AnswerLost => {
                self.etcd.call(&request);
                (request.timeout.get(), RpcEvent::Failed(4))
            }
            CallFault::Late => {
                self.late.push(request.clone());
                (request.timeout.get(), RpcEvent::Failed(4))
            }
            CallFault::Repeated => {
                self.late.push(request.clone());
                (1, self.etcd.call(&request))
            }
            CallFault::Cut => {
                self.etcd.call(&request);
                (1, RpcEvent::Failed(13))
            }
            CallFault::Reset => (1, RpcEvent::Failed(14)),
            CallFault::Garbage => (1, RpcEvent::Answered(Vec::new())),
            CallFault::Refused(status) => (1, RpcEvent::Failed(status)),
            CallFault::Unsent => (0, RpcEvent::Unsent),
        };
        self.now += takes;
        told
    }

    fn answer(&mut self, request: &RpcRequest) -> RpcEvent {
        match self.impostor {
            None => self.etcd.call(request),
            Some(Impostor::ComparesNothing) => {
                let mut request = request.clone();
                if request.method == RpcMethod::Txn {
                    request.message = without_compares(&request.message);
                }
                self.etcd.call(&request)
            }
            Some(Impostor::Forgets) if request.method == RpcMethod::Txn => {
                self.etcd.clone().call(request)
            }
            Some(Impostor::Forgets) => self.etcd.call(request),
            Some(Impostor::SaysYes) => match self.etcd.call(request) {
                RpcEvent::Answered(message) => RpcEvent::Answered(message),
                // A header with a revision.
                RpcEvent::Failed(_) | RpcEvent::Unsent => RpcEvent::Answered(vec![10, 2, 24, 1]),
            },
        }
    }

    /// What was on its way arrives.
    pub(in crate::engine) fn land(&mut self) {
        for request in std::mem::take(&mut self.late) {
            self.etcd.call(&request);
        }
    }

    /// All goes well from now on.
    pub(in crate::engine) fn heal(&mut self) {
        self.faults.clear();
        self.outage = None;
    }

    /// From here on call 0 is the next one.
    pub(in crate::engine) fn forget_calls(&mut self) {
        self.calls.clear();
    }

    /// The record in one of the places of the realm.
    pub(in crate::engine) fn record(
        &self,
        place: char,
        of: PaymentRef,
    ) -> Option<(Entry, Option<(u64, u64)>)> {
        self.etcd.record(format!("{REALM}{place}/{of}").as_bytes())
    }

    /// The keys of payments and aliases, each by its place and whether it has a lease.
    pub(in crate::engine) fn places(&self) -> Vec<(char, bool)> {
        let place = |key: &[u8]| {
            let rest = key.strip_prefix(REALM.as_bytes()).expect("the realm's own keys");
            match rest {
                [place @ (b'o' | b's' | b'a'), b'/', ..] => Some(char::from(*place)),
                _ => None,
            }
        };
        let all = self.etcd.keys();
        all.filter_map(|(key, kept)| Some((place(key)?, kept.lease != 0))).collect()
    }
}

/// A worker's side of the store, which has joined with these gateways in this order; the first one
/// is the first place here.
pub(in crate::engine) fn joined(
    etcd: &mut FaultyEtcd,
    noise: &str,
    gateways: &[&str],
) -> (Rc<EtcdStore>, RealmMember) {
    joined_by(etcd, noise, gateways, TERMS)
}

/// How the store is used, if a test does not say otherwise.
pub(in crate::engine) const TERMS: EtcdTerms =
    EtcdTerms { clock_skew: SKEW, drains_local: false, keeps_answers: false };

/// The same by other terms.
pub(in crate::engine) fn joined_by(
    etcd: &mut FaultyEtcd,
    noise: &str,
    gateways: &[&str],
    terms: EtcdTerms,
) -> (Rc<EtcdStore>, RealmMember) {
    let (store, mut member) = stranger_by(noise, gateways, Vec::new(), terms);
    let told = tick(etcd, &mut member);
    assert!(matches!(told.as_slice(), [RealmEffect::Joined { .. }]));
    (store, member)
}

/// A worker that has not joined.
pub(in crate::engine) fn stranger(noise: &str, gateways: &[&str]) -> (Rc<EtcdStore>, RealmMember) {
    stranger_by(noise, gateways, Vec::new(), TERMS)
}

/// The same, with keys of payments that are made so.
pub(in crate::engine) fn stranger_by(
    noise: &str,
    gateways: &[&str],
    keys: Vec<KeyDefinition>,
    terms: EtcdTerms,
) -> (Rc<EtcdStore>, RealmMember) {
    let store = Rc::new(EtcdStore::new(Realm::new("shop"), terms, noise.as_bytes()));
    let member = RealmMember::new(Rc::clone(&store), realm_terms(gateways, keys));
    (store, member)
}

fn realm_terms(gateways: &[&str], keys: Vec<KeyDefinition>) -> RealmTerms {
    let here = |at| GatewayId::new(at).expect("a place");
    let gateways = gateways.iter().enumerate().map(|(at, name)| RealmGateway {
        name: (*name).to_owned(),
        cluster: format!("cluster-of-{name}"),
        here: here(at),
    });
    RealmTerms { gateways: gateways.collect(), keys, claims: RETENTION, tokens: RETENTION }
}

/// The worker looks whether something is to be done, and does it.
pub(in crate::engine) fn tick(etcd: &mut FaultyEtcd, member: &mut RealmMember) -> Vec<RealmEffect> {
    let mut told = Vec::new();
    let mut next = member.handle(Input::Event(()), etcd.time(), &mut ());
    while let Some(output) = next.pop() {
        match output {
            Output::Ask(ticket, request) => {
                let event = etcd.carry_out(request);
                next.extend(member.handle(Input::Told(ticket, event), etcd.time(), &mut ()));
            }
            Output::Do(effect) => told.push(effect),
        }
    }
    told
}

/// A transaction whose compares stand in a field that nobody knows.
fn without_compares(message: &[u8]) -> Vec<u8> {
    let mut bytes = ProtoWriter::default();
    for field in ProtoFields::new(message) {
        if let Some((number, ProtoValue::Bytes(value))) = field {
            bytes.bytes(if number == 1 { 15 } else { number }, value);
        }
    }
    bytes.into_bytes()
}
