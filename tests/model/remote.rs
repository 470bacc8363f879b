//! An etcd that two Envoys share, each with a life of its own, and a network between that loses calls,
//! answers them late, and carries them out long after.

use std::rc::Rc;

use dana_failover::engine::{
    AnySession, Entry, EtcdStore, EtcdTerms, Exchange, MemoryEtcd, Policy, Realm, RealmEffect,
    RealmGateway, RealmMember, RpcEvent, RpcRequest, Stored,
};
use dana_failover::engine::{BackendEvent, BackendRequest, Input, Machine, Output};
use dana_failover::engine::{ClaimKey, GatewayId, Millis, Timestamp};

const REALM: &str = "model";

/// An outage is over after so many tries: longer than any call goes on by itself.
const OUTAGE_TRIES: usize = 20;

/// A request over whichever store a story is about.
pub(crate) type OverStore = Stored<Exchange, AnySession>;

/// How calls go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Net {
    /// One never arrives.
    Lost,
    /// One is carried out, and its answer never comes.
    AnswerLost,
    /// One arrives later.
    Late,
    /// One arrives after so long that it is tried again, and before that.
    Slow,
    /// One is carried out, and once more later.
    Repeated,
    /// One fails at once.
    Reset,
    /// One is refused, and nothing is done.
    Refused,
    /// Nobody can be reached.
    Unsent,
    /// All tries of one are lost, and the first one of them as this says.
    Outage(First),
}

/// What becomes of the first try of a call whose other tries are all lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    Lost,
    AnswerLost,
    Late,
    Slow,
}

/// What a call comes to.
pub(crate) enum Carried {
    /// Its answer comes at once.
    Now(RpcEvent),
    /// It fails after so long.
    After(u64, RpcEvent),
}

/// The etcd, the network, and both Envoys' sides of it.
pub(crate) struct Remote {
    pub(crate) etcd: MemoryEtcd,
    pub(crate) stores: [Rc<EtcdStore>; 2],
    members: [RealmMember; 2],
    /// Which of the next calls goes wrong, and how.
    pub(crate) fault: Option<(usize, Net)>,
    /// The call whose tries are lost, and how many of them still.
    outage: Option<(Vec<u8>, usize)>,
    /// What arrives later.
    pub(crate) late: Vec<RpcRequest>,
    /// What arrives before it is tried again.
    slow: Option<RpcRequest>,
    /// How often something has arrived in time to change anything.
    pub(crate) landed_in_time: u64,
    lives: u64,
    strangers: u64,
    skew: Millis,
}

impl Remote {
    pub(crate) fn new(policy: &Policy, skew: u64, clocks: [Timestamp; 2]) -> Self {
        let skew = Millis::new(skew);
        let (one, other) = (life(0, skew, policy), life(1, skew, policy));
        let mut remote = Self {
            etcd: MemoryEtcd::default(),
            stores: [one.0, other.0],
            members: [one.1, other.1],
            fault: None,
            outage: None,
            late: Vec::new(),
            slow: None,
            landed_in_time: 0,
            lives: 2,
            strangers: 0,
            skew,
        };
        remote.tick(clocks);
        assert!(remote.stores.iter().all(|store| store.has_joined()));
        remote
    }

    /// Both workers look whether something is to be done. Their own calls go well.
    pub(crate) fn tick(&mut self, clocks: [Timestamp; 2]) {
        for (member, now) in self.members.iter_mut().zip(clocks) {
            drive(&mut self.etcd, member, now);
        }
    }

    /// An Envoy has died, and comes back with nothing that it knew.
    pub(crate) fn restart(&mut self, worker: usize, policy: &Policy, now: Timestamp) {
        let (store, member) = life(self.lives, self.skew, policy);
        self.lives += 1;
        (self.stores[worker], self.members[worker]) = (store, member);
        drive(&mut self.etcd, &mut self.members[worker], now);
    }

    /// An Envoy with one more gateway joins: whoever has not read the layout since is fenced off.
    pub(crate) fn fence(&mut self, policy: &Policy, now: Timestamp) {
        self.strangers += 1;
        if self.strangers > 8 {
            return;
        }
        let store = store(u64::MAX - self.strangers, self.skew);
        let mut terms = policy.realm_terms();
        let place = GatewayId::new(2).unwrap();
        let name = format!("stranger-{}", self.strangers);
        terms.gateways.push(RealmGateway { cluster: name.clone(), name, here: place });
        drive(&mut self.etcd, &mut RealmMember::new(store, terms), now);
    }

    pub(crate) fn session(&self, worker: usize) -> AnySession {
        AnySession::new(Some(&self.stores[worker]))
    }

    /// Carries a call out, or lets it go wrong.
    pub(crate) fn call(&mut self, request: &RpcRequest) -> Carried {
        let timeout = request.timeout.get();
        if let Some(slow) = self.slow.take() {
            if slow.message == request.message {
                self.arrive(&slow);
            } else {
                self.late.push(slow);
            }
        }
        if let Some((message, tries @ 1..)) = &mut self.outage
            && *message == request.message
        {
            *tries -= 1;
            return Carried::After(timeout, RpcEvent::Failed(4));
        }
        self.outage = None;
        let fault = match &mut self.fault {
            None => None,
            Some((0, how)) => {
                let how = *how;
                self.fault = None;
                Some(how)
            }
            Some((after, _)) => {
                *after -= 1;
                None
            }
        };
        let Some(fault) = fault else {
            return Carried::Now(self.etcd.call(request));
        };
        let mut first = fault;
        if let Net::Outage(of) = fault {
            self.outage = Some((request.message.clone(), OUTAGE_TRIES));
            first = match of {
                First::Lost => Net::Lost,
                First::AnswerLost => Net::AnswerLost,
                First::Late => Net::Late,
                First::Slow => Net::Slow,
            };
        }
        match first {
            Net::Lost | Net::Outage(_) => {}
            Net::AnswerLost => {
                self.etcd.call(request);
            }
            Net::Late => self.late.push(request.clone()),
            Net::Slow => self.slow = Some(request.clone()),
            Net::Repeated => {
                self.late.push(request.clone());
                return Carried::Now(self.etcd.call(request));
            }
            Net::Reset => return Carried::After(1, RpcEvent::Failed(14)),
            Net::Refused => return Carried::Now(RpcEvent::Failed(8)),
            Net::Unsent => return Carried::Now(RpcEvent::Unsent),
        }
        Carried::After(timeout, RpcEvent::Failed(4))
    }

    /// What was on its way arrives, if anything was.
    pub(crate) fn land(&mut self, number: usize) -> Option<RpcRequest> {
        let at = number.checked_rem(self.late.len())?;
        let request = self.late.remove(at);
        self.arrive(&request);
        Some(request)
    }

    fn arrive(&mut self, request: &RpcRequest) {
        let revision = self.etcd.revision();
        self.etcd.call(request);
        self.landed_in_time += u64::from(self.etcd.revision() > revision);
    }

    /// All calls go well again.
    pub(crate) fn heal(&mut self) {
        (self.fault, self.outage) = (None, None);
        self.late.extend(self.slow.take());
    }

    /// What stands there of a payment. It stands in one place.
    pub(crate) fn find(&self, key: &ClaimKey) -> Entry {
        let found = ['o', 's'].map(|place| {
            let name = format!("/dana/v1/{REALM}/{place}/{}", key.reference());
            let kept = self.etcd.get(name.as_bytes());
            assert!(place == 's' || kept.is_none_or(|kept| kept.lease == 0), "it would end");
            assert!(place == 'o' || kept.is_none_or(|kept| kept.lease > 0), "it would stay");
            self.etcd.record(name.as_bytes()).map(|(entry, _)| entry)
        });
        match found {
            [None, None] => Entry::Absent,
            [Some(entry), None] => {
                assert!(matches!(entry, Entry::Claim(claim) if !claim.is_resolved()), "{entry:?}");
                entry
            }
            [None, Some(entry)] => {
                let ends = match entry {
                    Entry::Absent => true,
                    Entry::Claim(claim) => claim.is_resolved(),
                    Entry::Alias(_) | Entry::Unreadable => false,
                };
                assert!(ends, "{entry:?}");
                entry
            }
            [Some(_), Some(_)] => panic!("{key:?} stands in both places"),
        }
    }
}

fn store(life: u64, clock_skew: Millis) -> Rc<EtcdStore> {
    let terms = EtcdTerms { clock_skew, drains_local: false, keeps_answers: true };
    Rc::new(EtcdStore::new(Realm::new(REALM), terms, &life.to_le_bytes()))
}

fn life(number: u64, skew: Millis, policy: &Policy) -> (Rc<EtcdStore>, RealmMember) {
    let store = store(number, skew);
    let member = RealmMember::new(Rc::clone(&store), policy.realm_terms());
    (store, member)
}

fn drive(etcd: &mut MemoryEtcd, member: &mut RealmMember, now: Timestamp) {
    let mut todo = member.handle(Input::Event(()), now, &mut ());
    while let Some(output) = todo.pop() {
        match output {
            Output::Ask(ticket, BackendRequest::Rpc(request)) => {
                let told = BackendEvent::Rpc(etcd.call(&request));
                todo.extend(member.handle(Input::Told(ticket, told), now, &mut ()));
            }
            Output::Ask(_, request) => panic!("{request:?}"),
            Output::Do(RealmEffect::NotJoined(why)) => panic!("{why}"),
            Output::Do(_) => {}
        }
    }
}
