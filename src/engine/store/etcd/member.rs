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

use std::rc::Rc;

use super::call::{CallError, CallRefusal, CallStep, RetriedCall};
use super::message::answer::{LeaseAnswer, RangeAnswer, TxnAnswer};
use super::message::{Compare, CompareTarget, LeaseGrant, Op, RangeRequest, Txn};
use super::names::Names;
use super::shared::{EtcdStore, Membership};
use crate::engine::gateway::GatewayId;
use crate::engine::limits;
use crate::engine::machine::{Input, InputOf, Machine, Output, OutputOf, Tickets};
use crate::engine::store::backend::{BackendEvent, BackendRequest, RpcMethod};
use crate::engine::store::contract::Patience;
use crate::engine::store::layout::{KeyDefinition, Layout};
use crate::engine::store::local::placement::{Placement, Seed};
use crate::engine::time::{Millis, Timestamp};

/// What a worker joins with.
#[derive(Debug)]
pub struct RealmTerms {
    /// The gateways of the configuration, and their places in this process.
    pub gateways: Vec<(String, GatewayId)>,
    /// How the keys of payments are made.
    pub keys: Vec<KeyDefinition>,
    /// How long a resolved claim and a header key are kept.
    pub claims: Millis,
    /// How long a customer's token is kept, from its last use.
    pub tokens: Millis,
}

/// One worker's membership in the realm.
#[derive(Debug)]
pub struct RealmMember {
    store: Rc<EtcdStore>,
    terms: RealmTerms,
    step: JoinStep,
    asked: Tickets,
    /// When the layout was looked at last.
    looked_at: Timestamp,
    leased_at: Timestamp,
    was_away: bool,
}

#[derive(Debug)]
enum JoinStep {
    /// Nothing is under way.
    Idle,
    ReadingLayout(RetriedCall),
    WritingLayout {
        layout: Layout,
        gateways: Vec<GatewayId>,
        call: RetriedCall,
    },
    LeasingClaims {
        joining: Joining,
        call: RetriedCall,
    },
    LeasingTokens {
        joining: Joining,
        claims_lease: u64,
        call: RetriedCall,
    },
    /// The probe is claimed: the first time it must be won.
    Probing {
        member: Membership,
        is_second: bool,
        call: RetriedCall,
    },
}

/// The layout is as it should be.
#[derive(Clone, Debug)]
struct Joining {
    fence: u64,
    names: Names,
    born: Timestamp,
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
enum Turn {
    Ask(JoinStep, BackendRequest),
    End(Vec<RealmEffect>),
}

impl RealmMember {
    /// A worker that has not joined.
    #[must_use]
    pub fn new(store: Rc<EtcdStore>, terms: RealmTerms) -> Self {
        Self {
            store,
            terms,
            step: JoinStep::Idle,
            asked: Tickets::default(),
            looked_at: Timestamp::default(),
            leased_at: Timestamp::default(),
            was_away: false,
        }
    }

    /// Whether something is to be done now.
    fn is_due(&self, now: Timestamp) -> bool {
        let period = if self.store.is_stale() {
            0
        } else if self.store.is_away() || !self.store.has_joined() {
            limits::ETCD_SEARCH_MS
        } else {
            limits::ETCD_LOOK_MS
        };
        matches!(self.step, JoinStep::Idle) && now.since(self.looked_at).get() >= period
    }

    fn look(&mut self, now: Timestamp) -> Turn {
        self.looked_at = now;
        let layout = self.store.realm.layout();
        let message = RangeRequest::one(&layout).encode();
        // Whoever looks for the store asks often, and not for long.
        let patience = if self.store.is_away() { Patience::Short } else { Patience::Long };
        let mut call = RetriedCall::new(RpcMethod::Range, message, patience, now);
        let request = call.send(now);
        Turn::Ask(JoinStep::ReadingLayout(call), request)
    }

    fn go_on(&mut self, step: JoinStep, event: BackendEvent, now: Timestamp) -> Turn {
        match step {
            JoinStep::Idle => Turn::End(Vec::new()),
            JoinStep::ReadingLayout(mut call) => match call.after(event, now) {
                CallStep::Ask(request) => Turn::Ask(JoinStep::ReadingLayout(call), request),
                CallStep::Answered(message) => self.layout_read(&message, now),
                CallStep::Failed(error) => self.failed(error),
            },
            JoinStep::WritingLayout { layout, gateways, mut call } => {
                match call.after(event, now) {
                    CallStep::Ask(request) => {
                        Turn::Ask(JoinStep::WritingLayout { layout, gateways, call }, request)
                    }
                    CallStep::Answered(message) => {
                        self.layout_written(&message, &layout, &gateways, now)
                    }
                    CallStep::Failed(error) => self.failed(error),
                }
            }
            JoinStep::LeasingClaims { joining, mut call } => match call.after(event, now) {
                CallStep::Ask(request) => {
                    Turn::Ask(JoinStep::LeasingClaims { joining, call }, request)
                }
                CallStep::Answered(message) => match LeaseAnswer::decode(&message) {
                    Some(LeaseAnswer { id, .. }) => {
                        let mut call = lease(self.terms.tokens, now);
                        let request = call.send(now);
                        let claims_lease = id;
                        Turn::Ask(JoinStep::LeasingTokens { joining, claims_lease, call }, request)
                    }
                    None => self.failed(CallError::Unclear),
                },
                CallStep::Failed(error) => self.failed(error),
            },
            JoinStep::LeasingTokens { joining, claims_lease, mut call } => {
                match call.after(event, now) {
                    CallStep::Ask(request) => {
                        Turn::Ask(JoinStep::LeasingTokens { joining, claims_lease, call }, request)
                    }
                    CallStep::Answered(message) => match LeaseAnswer::decode(&message) {
                        Some(LeaseAnswer { id, .. }) => self.leased(joining, claims_lease, id, now),
                        None => self.failed(CallError::Unclear),
                    },
                    CallStep::Failed(error) => self.failed(error),
                }
            }
            JoinStep::Probing { member, is_second, mut call } => match call.after(event, now) {
                CallStep::Ask(request) => {
                    Turn::Ask(JoinStep::Probing { member, is_second, call }, request)
                }
                CallStep::Answered(message) => self.probed(member, is_second, &message, now),
                CallStep::Failed(error) => self.failed(error),
            },
        }
    }

    fn layout_read(&mut self, message: &[u8], now: Timestamp) -> Turn {
        let Some(range) = RangeAnswer::decode(message) else {
            return self.failed(CallError::Unclear);
        };
        let (mut layout, fence) = match range.kvs.as_slice() {
            [] => {
                let room = limits::BUCKET_RECORDS_MEAN;
                (Layout::new(Placement::new(room, Seed::default())), 0)
            }
            [one] => match Layout::decode(one.value) {
                Ok(layout) => (layout, one.mod_revision),
                Err(error) => return refused(&error.to_string()),
            },
            _ => return self.failed(CallError::Unclear),
        };
        // Envoys may call a gateway's cluster by different names.
        let names: Vec<(&str, &str)> =
            self.terms.gateways.iter().map(|(name, _)| (name.as_str(), name.as_str())).collect();
        match layout.join(limits::BUCKET_RECORDS_MEAN, &names, &self.terms.keys) {
            Err(error) => refused(&error.to_string()),
            Ok((gateways, grew)) => {
                let (_, began) = layout.begin(now);
                if grew || began || fence == 0 {
                    return self.write_layout(layout, gateways, fence, now);
                }
                self.has_layout(&layout, &gateways, fence, now)
            }
        }
    }

    fn write_layout(
        &self,
        layout: Layout,
        gateways: Vec<GatewayId>,
        fence: u64,
        now: Timestamp,
    ) -> Turn {
        let key = self.store.realm.layout();
        let target =
            if fence == 0 { CompareTarget::CreateAbsent } else { CompareTarget::Mod(fence) };
        let value = layout.encode();
        let txn = Txn {
            compare: vec![Compare { key: &key, target }],
            success: vec![Op::Put { key: &key, value: &value, lease: 0 }],
            failure: Vec::new(),
        };
        let mut call = RetriedCall::new(RpcMethod::Txn, txn.encode(), Patience::Long, now);
        let request = call.send(now);
        Turn::Ask(JoinStep::WritingLayout { layout, gateways, call }, request)
    }

    /// Whoever was not first reads what the first one has written.
    fn layout_written(
        &mut self,
        message: &[u8],
        layout: &Layout,
        gateways: &[GatewayId],
        now: Timestamp,
    ) -> Turn {
        match TxnAnswer::decode(message) {
            Some(answer) if answer.succeeded => {
                self.has_layout(layout, gateways, answer.revision, now)
            }
            Some(_) => self.look(now),
            None => self.failed(CallError::Unclear),
        }
    }

    fn has_layout(
        &mut self,
        layout: &Layout,
        gateways: &[GatewayId],
        fence: u64,
        now: Timestamp,
    ) -> Turn {
        let here = self.terms.gateways.iter().map(|(_, here)| *here);
        let names = Names::new(here.zip(gateways.iter().copied()).collect());
        let born = layout.born().unwrap_or(now);
        let lease_age = now.since(self.leased_at).get();
        let known = self.store.membership().filter(|known| {
            known.fence == fence
                && !self.store.is_stale()
                && lease_age < self.terms.claims.get() / limits::ETCD_LEASES_IN_RETENTION
        });
        if known.is_some() {
            return self.found_again();
        }
        let mut call = lease(self.terms.claims, now);
        let request = call.send(now);
        let joining = Joining { fence, names, born };
        Turn::Ask(JoinStep::LeasingClaims { joining, call }, request)
    }

    fn leased(
        &mut self,
        joining: Joining,
        claims_lease: u64,
        tokens_lease: u64,
        now: Timestamp,
    ) -> Turn {
        self.leased_at = now;
        let Joining { fence, names, born } = joining;
        let member = Membership { fence, claims_lease, tokens_lease, names, born };
        if self.store.has_joined() {
            self.store.join(member);
            return self.found_again();
        }
        self.probe(member, false, now)
    }

    fn probe(&self, member: Membership, is_second: bool, now: Timestamp) -> Turn {
        let key = self.store.realm.probe(self.store.life());
        let value: &[u8] = if is_second { b"second" } else { b"first" };
        let txn = Txn {
            compare: vec![Compare { key: &key, target: CompareTarget::CreateAbsent }],
            success: vec![Op::Put { key: &key, value, lease: member.claims_lease }],
            failure: vec![Op::Range(RangeRequest::one(&key))],
        };
        let mut call = RetriedCall::new(RpcMethod::Txn, txn.encode(), Patience::Long, now);
        let request = call.send(now);
        Turn::Ask(JoinStep::Probing { member, is_second, call }, request)
    }

    /// The first claim is won, or was won by an earlier try; the second one is lost to it.
    fn probed(
        &mut self,
        member: Membership,
        is_second: bool,
        message: &[u8],
        now: Timestamp,
    ) -> Turn {
        let Some(answer) = TxnAnswer::decode(message) else {
            return self.failed(CallError::Unclear);
        };
        let found = answer.ranges.first().and_then(|range| range.kvs.first());
        let is_first = found.is_some_and(|one| one.value == b"first");
        match (is_second, answer.succeeded) {
            (false, true) => self.probe(member, true, now),
            (false, false) if is_first => self.probe(member, true, now),
            (true, false) if is_first => {
                let (born, began) = (member.born, member.born == now);
                self.store.join(member);
                self.was_away = false;
                Turn::End(vec![RealmEffect::Joined { born, began }])
            }
            (true, true) | (_, false) => refused(
                "a claim that was there was claimed again: what the cluster of \
                 idempotency.store.etcd reaches does not compare as etcd does",
            ),
        }
    }

    fn found_again(&mut self) -> Turn {
        self.store.note_found();
        let was_away = std::mem::take(&mut self.was_away);
        Turn::End(was_away.then_some(RealmEffect::Back).into_iter().collect())
    }

    fn failed(&mut self, error: CallError) -> Turn {
        if let CallError::Refused(CallRefusal::Denied) = error {
            return refused(
                "etcd refuses the request: the role of the client certificate may not write below \
                 /dana/v1/ and the realm, or etcd has no space",
            );
        }
        self.store.note_away();
        let is_new = !std::mem::replace(&mut self.was_away, true);
        Turn::End(is_new.then_some(RealmEffect::Away).into_iter().collect())
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
            Input::Event(()) if self.is_due(now) => self.look(now),
            Input::Told(ticket, event) if self.asked.close(ticket) => {
                let step = std::mem::replace(&mut self.step, JoinStep::Idle);
                self.go_on(step, event, now)
            }
            Input::Event(()) | Input::Told(..) => return Vec::new(),
        };
        match turn {
            Turn::Ask(step, request) => {
                self.step = step;
                vec![Output::Ask(self.asked.open(), request)]
            }
            Turn::End(effects) => effects.into_iter().map(Output::Do).collect(),
        }
    }
}

/// Asks for a lease that outlasts whatever is written with it until the next one.
fn lease(retention: Millis, now: Timestamp) -> RetriedCall {
    let kept_ms = retention.get();
    let ttl_s = (kept_ms + kept_ms / limits::ETCD_LEASES_IN_RETENTION).div_ceil(1000).max(1);
    let message = LeaseGrant { ttl_s }.encode();
    RetriedCall::new(RpcMethod::LeaseGrant, message, Patience::Long, now)
}

fn refused(why: &str) -> Turn {
    Turn::End(vec![RealmEffect::NotJoined(why.to_owned())])
}
