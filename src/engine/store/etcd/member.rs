//! How a worker joins the realm, and stays in it.
//!
//! ```text
//! Joining: read the layout -> write it, if it is new or grows -> leases -> claim a probe twice
//! Joined:  look at the layout now and then; leases anew before they are old
//! Away:    look at the layout until it is answered
//! ```
//!
//! Nothing is claimed before the second claim of the probe was lost. So a store that does not compare,
//! or a message that it reads otherwise than it is meant, is found before the first payment.

mod refusals;
mod terms;

use std::rc::Rc;

use refusals::{ANOTHER, DENIED, ELSEWHERE, NO_COMPARE, NO_ETCD, UNHEARD};
pub use terms::{RealmGateway, RealmTerms};

use super::call::{CallError, CallRefusal, CallStep, RetriedCall};
use super::message::answer::{LeaseAnswer, RangeAnswer, TxnAnswer};
use super::message::{Compare, CompareTarget, LeaseGrant, Op, RangeRequest, TxnWriter};
use super::names::Names;
use super::shared::{EtcdStore, Membership};
use crate::engine::limits;
use crate::engine::machine::{Input, InputOf, Machine, Output, OutputOf, Tickets};
use crate::engine::store::backend::{BackendEvent, BackendRequest, RpcMethod};
use crate::engine::store::contract::Patience;
use crate::engine::store::layout::Layout;
use crate::engine::store::local::placement::{Placement, Seed};
use crate::engine::time::{Millis, Timestamp};

/// One worker's membership in the realm.
#[derive(Debug)]
pub struct RealmMember {
    store: Rc<EtcdStore>,
    terms: RealmTerms,
    /// What is under way.
    step: Option<(RealmStep, RetriedCall)>,
    /// What is known of the realm so far.
    draft: Membership,
    layout: Layout,
    asked: Tickets,
    /// The store's revision that was known when the last call was sent.
    since: u64,
    /// When the layout was looked at last.
    looked_at: Timestamp,
    leased_at: Timestamp,
    /// When it was looked for first, and since when it does not answer.
    began_at: Option<Timestamp>,
    is_told_away: bool,
    began: bool,
    /// Envoy tells of a call that etcd refuses.
    hears_refusals: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RealmStep {
    /// A call that etcd refuses: whether Envoy hands refusals over.
    BeRefused,
    ReadLayout,
    WriteLayout,
    LeaseClaims,
    LeaseTokens,
    /// The probe is claimed, and must be won.
    FirstProbe,
    /// It is claimed again, and must be lost.
    SecondProbe,
}

/// What operators are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RealmEffect {
    /// The worker may claim from now on. Payments that were made since then are known.
    Joined {
        /// When the realm began.
        born: Timestamp,
        /// It began with this worker.
        began: bool,
    },
    /// The store does not answer: nothing is claimed.
    Away,
    /// It answers again.
    Back,
    /// The worker cannot join, for this reason. It tries again.
    NotJoined(String),
}

/// How a machine goes on.
enum RealmTurn {
    Ask(RealmStep, RpcMethod, Vec<u8>),
    Joined,
    /// It is as it was.
    Found,
    Failed(CallError),
    Refused(String),
}

impl RealmMember {
    /// A worker that has not joined.
    #[must_use]
    pub fn new(store: Rc<EtcdStore>, terms: RealmTerms) -> Self {
        let layout = Layout::new(Placement::new(limits::BUCKET_RECORDS_MEAN, Seed::default()));
        Self {
            store,
            terms,
            step: None,
            draft: Membership::default(),
            layout,
            asked: Tickets::default(),
            since: 0,
            looked_at: Timestamp::default(),
            leased_at: Timestamp::default(),
            began_at: None,
            is_told_away: false,
            began: false,
            hears_refusals: false,
        }
    }

    /// Whether something is to be done now.
    fn is_due(&self, now: Timestamp) -> bool {
        let period = if self.store.is_stale() {
            limits::ETCD_TICK_MS
        } else if self.store.is_away() || !self.store.has_joined() {
            limits::ETCD_SEARCH_MS
        } else {
            limits::ETCD_LOOK_MS
        };
        // A clock that was put back makes nobody wait.
        let is_due = now < self.looked_at || now.since(self.looked_at).get() >= period;
        self.step.is_none() && is_due
    }

    /// Before the worker has joined, it finds out whether Envoy tells how calls end.
    fn look(&self) -> RealmTurn {
        if self.store.is_another() {
            return RealmTurn::Refused(ANOTHER.to_owned());
        }
        if self.store.has_joined() || self.hears_refusals {
            return self.read_layout();
        }
        let without_key = RangeRequest::default().encode();
        RealmTurn::Ask(RealmStep::BeRefused, RpcMethod::Range, without_key)
    }

    /// A call of which nothing is heard long after its time: Envoy tells of every other one.
    fn is_unheard(&self, now: Timestamp) -> bool {
        let call = self.step.as_ref().map(|(_, call)| call);
        call.is_some_and(|call| call.is_unheard(now))
    }

    fn read_layout(&self) -> RealmTurn {
        let layout = self.store.realm.layout();
        let message = RangeRequest::one(&layout).encode();
        RealmTurn::Ask(RealmStep::ReadLayout, RpcMethod::Range, message)
    }

    fn answered(&mut self, step: RealmStep, message: &[u8], now: Timestamp) -> RealmTurn {
        match step {
            RealmStep::BeRefused => RealmTurn::Refused(NO_ETCD.to_owned()),
            RealmStep::ReadLayout => match RangeAnswer::decode(message) {
                Some(range) => self.layout_read(&range, now),
                None => RealmTurn::Failed(CallError::Unclear),
            },
            RealmStep::LeaseClaims | RealmStep::LeaseTokens => match LeaseAnswer::decode(message) {
                Some(lease) => self.leased(step, lease.id, now),
                None => RealmTurn::Failed(CallError::Unclear),
            },
            RealmStep::WriteLayout | RealmStep::FirstProbe | RealmStep::SecondProbe => {
                let Some(answer) = TxnAnswer::decode(message) else {
                    return RealmTurn::Failed(CallError::Unclear);
                };
                if step != RealmStep::WriteLayout {
                    return self.probed(step, &answer);
                }
                // Whoever was not first reads what the first one has written.
                if !answer.succeeded {
                    return self.read_layout();
                }
                self.began = self.draft.fence == 0;
                self.draft.fence = answer.revision;
                self.lease_unless_known(now)
            }
        }
    }

    fn layout_read(&mut self, range: &RangeAnswer<'_>, now: Timestamp) -> RealmTurn {
        let found = range.kvs.first();
        if let Some(found) = found {
            match Layout::decode(found.value) {
                Ok(layout) => self.layout = layout,
                Err(error) => return RealmTurn::Refused(error.of_realm()),
            }
        }
        if let Err(why) = self.goes_on(range) {
            return RealmTurn::Refused(why.to_owned());
        }
        self.draft.fence = found.map_or(0, |found| found.mod_revision);
        let gateways = self.terms.gateways.iter();
        let gateways: Vec<(&str, &str)> =
            gateways.map(|one| (one.name.as_str(), one.cluster.as_str())).collect();
        let joined = self.layout.join(limits::BUCKET_RECORDS_MEAN, &gateways, &self.terms.keys);
        let (there, grew) = match joined {
            Ok(joined) => joined,
            Err(error) => return RealmTurn::Refused(error.of_realm()),
        };
        let here = self.terms.gateways.iter().map(|one| one.here);
        self.draft.names = Names::new(here.zip(there).collect());
        let (born, began) = self.layout.begin(now);
        self.draft.born = born;
        if grew || began || found.is_none() {
            self.write_layout()
        } else {
            self.lease_unless_known(now)
        }
    }

    /// Whether the realm that was read is the one that this process has joined. A worker that has not joined
    /// may just have been given another cluster: that says nothing of the one that others work with.
    fn goes_on(&self, range: &RangeAnswer<'_>) -> Result<(), &'static str> {
        let born = (!range.kvs.is_empty()).then(|| self.layout.born()).flatten();
        let is_same = self.store.born().is_none_or(|joined| born == Some(joined));
        if !is_same && !self.store.has_joined() {
            return Err(ELSEWHERE);
        }
        if !is_same {
            self.store.note_another();
        }
        let goes_on = self.store.goes_on(self.since, range.revision) && is_same;
        if goes_on { Ok(()) } else { Err(ANOTHER) }
    }

    fn write_layout(&self) -> RealmTurn {
        let key = self.store.realm.layout();
        let target = match self.draft.fence {
            0 => CompareTarget::CreateAbsent,
            fence => CompareTarget::Mod(fence),
        };
        let mut txn = TxnWriter::default();
        txn.compare(&Compare { key: &key, target });
        txn.if_met(&Op::Put { key: &key, value: &self.layout.encode(), lease: 0 });
        RealmTurn::Ask(RealmStep::WriteLayout, RpcMethod::Txn, txn.into_bytes())
    }

    /// The layout is as it should be.
    fn lease_unless_known(&self, now: Timestamp) -> RealmTurn {
        let share = self.terms.claims.get() / limits::ETCD_LEASES_IN_RETENTION;
        // A clock that was put back says nothing of their age.
        let is_young = now >= self.leased_at && now.since(self.leased_at).get() < share;
        let is_known = self.store.membership().is_some_and(|known| known.fence == self.draft.fence);
        if is_known && is_young && !self.store.is_stale() {
            return RealmTurn::Found;
        }
        lease(RealmStep::LeaseClaims, self.terms.claims)
    }

    fn leased(&mut self, step: RealmStep, id: u64, now: Timestamp) -> RealmTurn {
        if step == RealmStep::LeaseClaims {
            self.draft.claims_lease = id;
            return lease(RealmStep::LeaseTokens, self.terms.tokens);
        }
        self.draft.tokens_lease = id;
        self.leased_at = now;
        if self.store.has_joined() {
            self.store.join(self.draft.clone());
            return RealmTurn::Found;
        }
        self.probe(RealmStep::FirstProbe)
    }

    fn probe(&self, step: RealmStep) -> RealmTurn {
        let key = self.store.realm.probe(self.store.life());
        let value: &[u8] = if step == RealmStep::FirstProbe { FIRST } else { b"second" };
        let mut txn = TxnWriter::default();
        txn.compare(&Compare { key: &key, target: CompareTarget::CreateAbsent });
        txn.if_met(&Op::Put { key: &key, value, lease: self.draft.claims_lease });
        txn.if_not(&Op::Range(RangeRequest::one(&key)));
        RealmTurn::Ask(step, RpcMethod::Txn, txn.into_bytes())
    }

    /// The first claim is won, or was won by an earlier try; the second one is lost to it.
    fn probed(&self, step: RealmStep, answer: &TxnAnswer<'_>) -> RealmTurn {
        let found = answer.ranges.first().and_then(|range| range.kvs.first());
        let is_first = found.is_some_and(|one| one.value == FIRST);
        match (step, answer.succeeded) {
            (RealmStep::FirstProbe, true) => self.probe(RealmStep::SecondProbe),
            (RealmStep::FirstProbe, false) if is_first => self.probe(RealmStep::SecondProbe),
            (_, false) if is_first => RealmTurn::Joined,
            (_, true | false) => RealmTurn::Refused(NO_COMPARE.to_owned()),
        }
    }

    /// What operators are told. Before the store was ever found, its members may just not have been
    /// looked at yet.
    fn failed(&mut self, error: CallError, now: Timestamp) -> Option<RealmEffect> {
        if error == CallError::Refused(CallRefusal::Denied) {
            self.is_told_away = true;
            return Some(RealmEffect::NotJoined(DENIED.to_owned()));
        }
        self.store.note_away();
        let began_at = *self.began_at.get_or_insert(now);
        let is_sure =
            self.store.has_joined() || now.since(began_at).get() >= limits::ETCD_BUDGET_MS;
        let is_new = is_sure && !std::mem::replace(&mut self.is_told_away, is_sure);
        is_new.then_some(RealmEffect::Away)
    }
}

impl Machine for RealmMember {
    /// It is time to look whether something is to be done.
    type Event<'a> = ();
    type Effect = RealmEffect;
    type Ask = BackendRequest;
    type Told = BackendEvent;
    type Counters = ();

    fn handle(
        &mut self,
        input: InputOf<'_, Self>,
        now: Timestamp,
        (): &mut (),
    ) -> Vec<OutputOf<Self>> {
        let turn = match input {
            Input::Event(()) if self.is_due(now) => {
                self.looked_at = now;
                self.look()
            }
            Input::Event(()) if self.is_unheard(now) => {
                self.step = None;
                self.asked.forget();
                RealmTurn::Refused(UNHEARD.to_owned())
            }
            Input::Told(ticket, event) if self.asked.close(ticket) => {
                let Some((step, mut call)) = self.step.take() else { return Vec::new() };
                match call.after(event, now) {
                    CallStep::Ask(request) => {
                        self.step = Some((step, call));
                        return vec![Output::Ask(self.asked.open(), request)];
                    }
                    CallStep::Answered(message) => self.answered(step, &message, now),
                    CallStep::Failed(CallError::Refused(CallRefusal::Denied))
                        if step == RealmStep::BeRefused =>
                    {
                        self.hears_refusals = true;
                        self.read_layout()
                    }
                    CallStep::Failed(error) => RealmTurn::Failed(error),
                }
            }
            Input::Event(()) | Input::Told(..) => return Vec::new(),
        };
        let effect = match turn {
            RealmTurn::Ask(step, method, message) => {
                // Whoever looks for the store asks often, and not for long.
                let patience = if self.store.is_away() { Patience::Short } else { Patience::Long };
                let mut call = RetriedCall::new(method, message, patience, now);
                let request = call.send(now);
                self.since = self.store.revision();
                self.step = Some((step, call));
                return vec![Output::Ask(self.asked.open(), request)];
            }
            RealmTurn::Joined => {
                self.store.join(self.draft.clone());
                self.is_told_away = false;
                Some(RealmEffect::Joined { born: self.draft.born, began: self.began })
            }
            RealmTurn::Found => {
                self.store.note_found();
                std::mem::take(&mut self.is_told_away).then_some(RealmEffect::Back)
            }
            RealmTurn::Failed(error) => self.failed(error, now),
            RealmTurn::Refused(why) => {
                // That it is well again is told too.
                self.is_told_away = true;
                Some(RealmEffect::NotJoined(why))
            }
        };
        effect.map(Output::Do).into_iter().collect()
    }
}

const FIRST: &[u8] = b"first";

/// Asks for a lease.
fn lease(step: RealmStep, retention: Millis) -> RealmTurn {
    RealmTurn::Ask(step, RpcMethod::LeaseGrant, LeaseGrant::outlasting(retention).encode())
}

#[cfg(test)]
mod tests;
