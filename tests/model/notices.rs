//! What gateways notify the merchant of, and what its application gets.
//!
//! A gateway tells what its ledger holds, also what it held before, signed anew, and over and over. Somebody
//! else tells what is not so. Only what is signed counts; it is worked into the payment's record as a
//! status would be; and the application gets it once, or again where it has not confirmed it.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use dana_failover::engine::{
    AnomalyKind, AnySession, ApplicationAnswer, BackendEvent, BackendRequest, Cell, CellEvent,
    CellRequest, Claim, ClaimState, Closed, Entry, Evidence, InputOf, Notification,
    NotificationEffect, NotificationEvent, PaymentStatus, Reply, Request, RpcEvent, RpcRequest,
    Step, Stored, Utc, VERIFIED_HEADER,
};
use dana_failover::engine::{Input, Machine, Millis, Output, Timestamp};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use sha2::{Digest as _, Sha256};

use super::ledger::{Standing, reference};
use super::proof::Cause;
use super::remote::Carried;
use super::setup::Milestone;
use super::steps::Act;
use super::world::World;

const KEYS: [&str; 3] = [
    include_str!("../../src/cli/sandbox/keys/primary.pem"),
    include_str!("../../src/cli/sandbox/keys/secondary.pem"),
    include_str!("../../src/cli/sandbox/keys/stranger.pem"),
];
const PUBLIC: [&str; 2] = [
    include_str!("../../src/cli/sandbox/keys/primary.pub.pem"),
    include_str!("../../src/cli/sandbox/keys/secondary.pub.pem"),
];
const STRANGER: usize = 2;
/// How long ago it may have been signed, in days.
const DAYS: std::ops::RangeInclusive<i64> = 0..=7;
const PATH: &str = "/v1.0/debit/notify";
const YES: &[u8] = br#"{"responseCode":"2005600","responseMessage":"Successful"}"#;

/// The members of a configuration where notifications of this partner come in.
pub(crate) fn notify_config(partner: &str) -> String {
    let [primary, secondary] = PUBLIC.map(|pem| pem.replace('\n', "\\n"));
    format!(
        r#""admin": {{"role": "notify"}},
           "notify": {{"partner": "{partner}",
                       "keys": [{{"gateway": "primary", "key": "{primary}"}},
                                {{"gateway": "secondary", "key": "{secondary}"}}]}}"#
    )
}

/// Whoever signs: each gateway, and somebody else.
pub(crate) struct Signers([RsaKeyPair; 3]);

impl Default for Signers {
    fn default() -> Self {
        Self(KEYS.map(|pem| {
            let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
            RsaKeyPair::from_pkcs8(&BASE64_STANDARD.decode(text).unwrap()).unwrap()
        }))
    }
}

impl Signers {
    fn sign(&self, signer: usize, body: &str, timestamp: &str) -> String {
        let pair = &self.0[signer];
        let digest: String =
            Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!("POST:{PATH}:{digest}:{timestamp}");
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .unwrap();
        BASE64_STANDARD.encode(signature)
    }
}

/// A notification, as it is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notifying {
    pub(crate) payment: usize,
    /// Who sends it.
    pub(crate) gateway: usize,
    /// It tells how the payment stood first, not how it stands.
    pub(crate) is_old: bool,
    /// It says when that happened.
    pub(crate) is_dated: bool,
    pub(crate) signature: Signature,
    /// The request that goes on by a step between what is read and what is written for it.
    pub(crate) between: Option<usize>,
}

/// What is signed, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signature {
    Genuine,
    Strangers,
    OfAnotherStatus,
    OfAnotherAmount,
}

/// What becomes of a notification that the application has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Application {
    Confirms,
    Fails,
    /// Envoy answers in its place, after it has reached it or not.
    Away {
        reached: bool,
    },
    /// The gateway waits no longer.
    GatewayLeft,
}

/// What makes two notifications the same: whose it is, where each keeps a ledger of its own; payment, status
/// and amount.
type Same = (Option<usize>, usize, Standing, bool);

/// A notification over whichever store a story is about.
type Noticed = Stored<Notification, AnySession>;

/// The merchant's application.
#[derive(Debug, Default)]
pub(crate) struct Merchant {
    /// What it has, and whose gateway waits for its answer.
    held: Vec<Held>,
    /// What it may still have, since when, though nobody waits.
    left: Vec<(Same, u64)>,
    /// What it has confirmed, where that was written.
    confirmed: BTreeSet<Same>,
}

/// A notification that the application has.
#[derive(Debug)]
struct Held {
    machine: Noticed,
    same: Same,
    since: u64,
    worker: usize,
}

/// What became of a notification, or of its answer.
#[derive(Debug, Default)]
struct Became {
    forwarded: bool,
    relayed: bool,
    reply: Option<Reply>,
    /// A call of the store went wrong.
    failed: bool,
    /// Something was written beside what is kept.
    wrote: bool,
    /// Whose it is.
    worker: usize,
    /// What it sends to etcd, and since when.
    sends: Option<(Vec<u8>, Timestamp)>,
}

impl Became {
    fn at(worker: usize) -> Self {
        Self { worker, ..Self::default() }
    }
}

impl Merchant {
    /// Its Envoy has died: nobody waits for what the application has from there.
    pub(crate) fn forget(&mut self, worker: usize) {
        let is_there = |held: &Held| held.worker == worker;
        let (gone, held): (Vec<Held>, Vec<Held>) =
            std::mem::take(&mut self.held).into_iter().partition(is_there);
        self.held = held;
        self.left.extend(gone.iter().map(|held| (held.same, held.since)));
    }
}

/// What a notification says.
#[derive(Clone, Copy, Debug)]
struct Told {
    payment: usize,
    gateway: usize,
    standing: Standing,
    /// The amount that was executed.
    other_amount: bool,
    happened: Option<Timestamp>,
    signed: Timestamp,
}

impl Told {
    fn status(&self) -> PaymentStatus {
        match self.standing {
            Standing::Executed { .. } => PaymentStatus::Executed,
            Standing::Cancelled => PaymentStatus::Closed(Closed::Cancelled),
            Standing::Failed => panic!("only a top-up is remembered as failed"),
        }
    }

    /// As DANA lays it out.
    fn body(&self, number: usize) -> String {
        let code = if self.standing == Standing::Cancelled { "05" } else { "00" };
        let value = if self.other_amount { "20000.00" } else { "10000.00" };
        let happened = self.happened.map(|at| format!(r#","finishedTime":"{}""#, Utc(at)));
        format!(
            r#"{{"originalPartnerReferenceNo":"{}","originalReferenceNo":"d-{number}-{}","merchantId":"m-1","amount":{{"value":"{value}","currency":"IDR"}},"latestTransactionStatus":"{code}"{}}}"#,
            reference(self.payment),
            self.payment,
            happened.unwrap_or_default(),
        )
    }
}

/// What is signed in the place of a body.
fn signed_body(signature: Signature, body: &str) -> String {
    let swapped = |one: &str, other: &str| {
        if body.contains(one) { body.replace(one, other) } else { body.replace(other, one) }
    };
    match signature {
        Signature::Genuine | Signature::Strangers => body.to_owned(),
        Signature::OfAnotherStatus => swapped(r#""00""#, r#""05""#),
        Signature::OfAnotherAmount => swapped("10000.00", "20000.00"),
    }
}

impl World<'_> {
    /// What a gateway has to tell, if anything.
    fn news(&self, notice: Notifying) -> Option<Told> {
        let Notifying { payment, gateway, is_old, is_dated, .. } = notice;
        let history = self.ledger.history(gateway, payment);
        let is_there = |told: &(u64, Standing)| {
            let other_amount = history.iter().find_map(|(_, standing)| match standing {
                Standing::Executed { other_amount } => Some(*other_amount),
                Standing::Cancelled | Standing::Failed => None,
            });
            Told {
                payment,
                gateway,
                standing: told.1,
                other_amount: other_amount.unwrap_or_default(),
                happened: is_dated.then(|| Timestamp::from_millis(told.0)),
                signed: Timestamp::from_millis(self.now),
            }
        };
        let told = if is_old { history.first() } else { history.last() };
        told.map(is_there).filter(|_| payment < self.setup.payments)
    }

    pub(crate) fn notify(&mut self, notice: Notifying) {
        let Some(told) = self.news(notice).filter(|_| self.setup.notifies()) else {
            return;
        };
        // Each gateway's channel is a worker's.
        let worker = notice.gateway;
        if !self.setup.leaps() {
            // Those who tick say that no clock leapt.
            let (policy, now) = (Rc::clone(&self.setup.policy), self.clock(worker));
            let store = if self.remote.is_some() { worker } else { 0 };
            self.stores[store].change_health(|health| {
                let _ = health.take_lease(1, Timestamp::default(), &policy.health, now);
            });
        }
        let before = (self.stores.clone(), self.entries());
        let begins = self.now;
        let (mut machine, mut became) =
            (self.notification(told.payment, worker), Became::at(worker));
        self.send(&mut machine, &mut became, &told, notice);
        // Whoever signs has a clock that is right.
        let is_in_time = DAYS.contains(&self.days);
        if notice.signature != Signature::Genuine || !is_in_time {
            let reply = became.reply.unwrap();
            assert_eq!((reply.status, reply.reason), (401, "unverified"), "{told:?}");
            assert!(!became.forwarded && machine.is_ended(), "{told:?}");
            let after = (self.stores.clone(), self.entries());
            assert_eq!(after, before, "nothing is written of what nobody has signed");
            self.reached.note(Milestone::Forged, true);
            return;
        }
        let is_refused = became.reply.as_ref().is_some_and(|reply| reply.reason == "store_failed");
        if !became.failed && !is_refused {
            self.check_taken_in(&told);
        }
        self.check_given(machine, &became, &told, begins);
    }

    fn notification(&self, payment: usize, worker: usize) -> Noticed {
        let (policy, inbound) = &self.setup.notifying[payment];
        let notification = Notification::new(Rc::clone(policy), Rc::clone(inbound));
        Stored::over(notification, self.session(worker))
    }

    fn send(&mut self, machine: &mut Noticed, became: &mut Became, told: &Told, notice: Notifying) {
        let number = if self.setup.is_shared() { 0 } else { told.gateway };
        let (body, timestamp) = (told.body(number), Utc(told.signed).to_string());
        let signer = if notice.signature == Signature::Strangers { STRANGER } else { told.gateway };
        let signature =
            self.setup.signers.sign(signer, &signed_body(notice.signature, &body), &timestamp);
        let headers: [(&[u8], &[u8]); 5] = [
            (b":method", b"POST"),
            (b":path", PATH.as_bytes()),
            (b"x-timestamp", timestamp.as_bytes()),
            (b"x-signature", signature.as_bytes()),
            (b"x-request-id", b"id"),
        ];
        self.contexts += 1;
        let request =
            Request { headers: &headers, body: body.as_bytes(), peer: &[], context: self.contexts };
        let event = Input::Event(NotificationEvent::Request(request));
        self.drive_notice(machine, became, event, Some(told), notice.between);
    }

    /// Carries out whatever it wants. Some calls of the store go wrong, and a request goes on meanwhile.
    fn drive_notice(
        &mut self,
        machine: &mut Noticed,
        became: &mut Became,
        input: InputOf<'_, Noticed>,
        told: Option<&Told>,
        mut between: Option<usize>,
    ) {
        let worker = became.worker;
        let now = self.clock(worker);
        let mut todo = VecDeque::from(machine.handle(input, now, &mut self.counters[worker]));
        while let Some(output) = todo.pop_front() {
            match output {
                Output::Ask(ticket, request) => {
                    if writes(&request)
                        && let Some(run) = between.take()
                    {
                        self.step_any(run);
                    }
                    let answer = self.ask_for_notice(became, request, told);
                    let (input, now) = (Input::Told(ticket, answer), self.clock(worker));
                    todo.extend(machine.handle(input, now, &mut self.counters[worker]));
                    self.check();
                }
                Output::Do(NotificationEffect::Forward(headers)) => {
                    assert!(headers.iter().any(|(name, _)| *name == VERIFIED_HEADER));
                    became.forwarded = true;
                }
                Output::Do(NotificationEffect::Relay) => became.relayed = true,
                Output::Do(NotificationEffect::Reply(reply)) => became.reply = Some(reply),
                Output::Do(NotificationEffect::Anomaly(anomaly)) => {
                    let payment = told.unwrap().payment;
                    let is_so = self.ledger.executions(payment) > 1;
                    let is_alarm = anomaly.kind == AnomalyKind::ExecutedTwice;
                    assert!(is_so || !is_alarm, "payment {payment} was executed once: {anomaly:?}");
                }
                Output::Do(NotificationEffect::Doubt(_) | NotificationEffect::Decided(_)) => {}
            }
        }
    }

    fn ask_for_notice(
        &mut self,
        became: &mut Became,
        request: BackendRequest,
        told: Option<&Told>,
    ) -> BackendEvent {
        match request {
            BackendRequest::Cell(request) => {
                BackendEvent::Cell(self.ask_cell_for_notice(became, request, told))
            }
            BackendRequest::Rpc(request) => {
                BackendEvent::Rpc(self.call_etcd_for_notice(became, &request, told))
            }
            BackendRequest::Wait(millis) => {
                self.pass(millis.get());
                BackendEvent::Waited
            }
        }
    }

    fn ask_cell_for_notice(
        &mut self,
        became: &mut Became,
        request: CellRequest,
        told: Option<&Told>,
    ) -> CellEvent {
        let (wrong, cell) = (self.store_fails(), request.cell());
        became.failed |= wrong.is_some();
        if wrong == Some(false) {
            return CellEvent::Failed(cell);
        }
        let is_stored = matches!(request, CellRequest::Store { .. });
        let is_own = matches!(cell, Cell::Claims(_) | Cell::Body(_));
        assert!(is_own || !is_stored, "it says nothing of gateways' health: {cell:?}");
        let before = (is_stored && self.remote.is_none()).then(|| self.entries());
        let store = if self.remote.is_some() { became.worker } else { 0 };
        let answer = self.stores[store].ask(request);
        if let (Some(before), CellEvent::Stored(Cell::Claims(_))) = (before, &answer) {
            became.wrote = true;
            self.check_told(&before, told, self.time());
        }
        if wrong.is_some() { CellEvent::Failed(cell) } else { answer }
    }

    /// A call of etcd. One that fails does so after a while.
    fn call_etcd_for_notice(
        &mut self,
        became: &mut Became,
        request: &RpcRequest,
        told: Option<&Told>,
    ) -> RpcEvent {
        let now = self.clock(became.worker);
        if became.sends.as_ref().is_none_or(|(message, _)| *message != request.message) {
            became.sends = Some((request.message.clone(), now));
        }
        let since = became.sends.as_ref().map_or(now, |(_, since)| *since);
        let before = self.entries();
        let remote = self.remote.as_mut().expect("claims stand in etcd");
        let revision = remote.etcd.revision();
        let carried = remote.call(request);
        if remote.etcd.revision() > revision {
            became.wrote = true;
            self.check_told(&before, told, since);
        }
        match carried {
            Carried::Now(event) => {
                became.failed |= !matches!(event, RpcEvent::Answered(_));
                event
            }
            Carried::After(millis, event) => {
                became.failed = true;
                self.pass(millis);
                event
            }
        }
    }

    /// What it writes of its payment is a step of the table, and of others it writes nothing.
    fn check_told(&mut self, before: &[Entry], told: Option<&Told>, now: Timestamp) {
        let setup = self.setup;
        for (payment, before) in before.iter().enumerate() {
            let after = self.find(payment);
            if *before == after || self.judged_by_ledgers() {
                continue;
            }
            let told = told.expect("what the application answers says nothing of a payment");
            assert_eq!(told.payment, payment, "{told:?} writes of another payment");
            let claim = claim_of(before).map(|claim| claim.at(now));
            let (event, at) = self.evidence_of(told, claim).expect("something that counts");
            setup.reference.check(before, &after, Cause::Evidence(event, at), now);
            let was_in_doubt =
                claim.is_some_and(|claim| matches!(claim.state, ClaimState::InDoubt { .. }));
            self.reached.note(Milestone::ProvenByNotice, was_in_doubt);
        }
    }

    /// Where clocks leap or differ only the engine knows by which time a step was taken.
    fn judged_by_ledgers(&self) -> bool {
        let differs = self.setup.remoteness().is_some_and(|remoteness| remoteness.skew > 0);
        self.setup.leaps() || differs
    }

    /// What a notification proves of a payment, and as of when. What was executed stays so; how it ended
    /// otherwise counts from when that happened, unless there was but one attempt that it can be of.
    fn evidence_of(&self, told: &Told, claim: Option<Claim>) -> Option<(Evidence, Timestamp)> {
        let status = told.status();
        let in_doubt = |claim: Claim| matches!(claim.state, ClaimState::InDoubt { .. });
        let of_several = claim.is_some_and(|claim| in_doubt(claim) && claim.attempt > 1);
        let at = if status == PaymentStatus::Executed {
            told.happened.unwrap_or(told.signed)
        } else if of_several {
            told.happened?
        } else if told.happened.zip(claim).is_some_and(|(happened, claim)| {
            let is_older = happened.plus(Millis::new(1000)) <= claim.incarnation.claimed_at;
            status == PaymentStatus::Closed(Closed::Failed) && in_doubt(claim) && is_older
        }) {
            // It had failed before the record began.
            return None;
        } else {
            told.signed
        };
        let own = self.setup.policy.order().nth(told.gateway).unwrap();
        let holder = claim.and_then(|claim| claim.holders().single());
        let gateway = holder.filter(|_| self.setup.is_shared()).unwrap_or(own);
        Some((Evidence::Told { gateway, status }, at))
    }

    /// Once it is taken in, it says nothing new.
    fn check_taken_in(&self, told: &Told) {
        if self.judged_by_ledgers() {
            return;
        }
        let entry = self.find(told.payment);
        let claim = claim_of(&entry).map(|claim| claim.at(self.time()));
        let Some((event, at)) = self.evidence_of(told, claim) else {
            return;
        };
        let step = self.setup.reference.step(claim.as_ref(), event, at);
        let is_known = match step {
            Step::Stays => true,
            Step::Contradicted(state) => claim.is_some_and(|claim| claim.state == state),
            Step::To(_) | Step::Overturned(_) | Step::Released => false,
        };
        assert!(is_known, "{told:?} was not taken in: {entry:?}, {step:?}");
    }

    /// The application gets it if it has neither got nor confirmed it; whoever repeats it is told.
    fn check_given(&mut self, machine: Noticed, became: &Became, told: &Told, begins: u64) {
        let gateway = (!self.setup.is_shared()).then_some(told.gateway);
        let same = (gateway, told.payment, told.standing, told.other_amount);
        let lease = self.setup.policy.claims.lease.get();
        let merchant = &mut self.merchant;
        let held = merchant.held.iter().map(|held| (held.same, held.since));
        let mut has = held.chain(merchant.left.iter().copied());
        let is_held = has.any(|(one, since)| one == same && self.now < since + lease);
        drop(has);
        // A full bucket makes room for payments, and then it comes again.
        if became.forwarded && !self.setup.leaps() {
            assert!(!is_held, "the application has it: {told:?}");
            let is_confirmed = merchant.confirmed.contains(&same);
            assert!(!is_confirmed, "the application has confirmed it: {told:?}");
        }
        match &became.reply {
            None => {
                assert!(became.forwarded && machine.is_sent(), "{told:?}");
                self.reached.note(Milestone::Notified, true);
                merchant.held.push(Held { machine, same, since: begins, worker: became.worker });
            }
            Some(reply) if reply.reason == "replay" => {
                // Another Envoy does not have it.
                let is_short = self.remote.is_some()
                    && String::from_utf8_lossy(&reply.body).contains("\"2005600\"");
                assert!(reply.body == YES || is_short, "the application's own answer");
                self.reached.note(Milestone::Confirmed, true);
            }
            Some(reply) => {
                let body = String::from_utf8_lossy(&reply.body);
                assert!(reply.status == 500 && body.contains("5005601"), "{told:?}: {body}");
                assert!(["under_way", "store_failed"].contains(&reply.reason));
                // An Envoy that is fenced off joins anew first.
                let may_fail = became.failed || self.remote.is_some();
                assert!(may_fail || reply.reason == "under_way", "{told:?}: {body}");
                self.reached.note(Milestone::NotifiedMeanwhile, is_held);
            }
        }
        assert!(!became.relayed && (became.reply.is_some() != became.forwarded));
    }

    pub(crate) fn confirm(&mut self, notice: usize, how: Application) {
        let held = &mut self.merchant.held;
        if held.is_empty() {
            return;
        }
        let Held { mut machine, same, since, worker } = held.remove(notice % held.len());
        let answer = |from_application, was_reached, status| ApplicationAnswer {
            from_application,
            was_reached,
            status,
            content_type: Some("application/json"),
            body: Some(if status == 200 { YES } else { b"{}" }),
        };
        let event = match how {
            Application::Confirms => NotificationEvent::Answered(answer(true, true, 200)),
            Application::Fails => NotificationEvent::Answered(answer(true, true, 500)),
            Application::Away { reached } => {
                NotificationEvent::Answered(answer(false, reached, 503))
            }
            Application::GatewayLeft => NotificationEvent::GatewayGone,
        };
        let mut became = Became::at(worker);
        self.drive_notice(&mut machine, &mut became, Input::Event(event), None, None);
        assert!(machine.is_ended() && !became.forwarded, "{same:?}: {became:?}");
        let is_own = matches!(how, Application::Confirms | Application::Fails);
        assert_eq!(became.relayed, is_own, "what the application says goes back as it is");
        assert_eq!(became.reply.is_some(), matches!(how, Application::Away { .. }));
        // Later it may be another one's turn.
        let in_time = self.now < since + self.setup.policy.claims.lease.get();
        if how == Application::Confirms && in_time && became.wrote && !became.failed {
            self.merchant.confirmed.insert(same);
        }
        if matches!(how, Application::GatewayLeft | Application::Away { reached: true }) {
            self.merchant.left.push((same, since));
        }
    }

    /// Once the noise is over, whatever a gateway has to tell arrives.
    pub(crate) fn check_notified(&mut self) {
        while !self.merchant.held.is_empty() {
            self.confirm(0, Application::Confirms);
        }
        // Clocks may differ.
        self.act(Act::Pass { millis: self.setup.policy.claims.lease.get() + 10_000 });
        for (payment, gateway) in [(0, 0), (0, 1), (2, 0), (2, 1), (3, 0), (3, 1)] {
            let signature = Signature::Genuine;
            let (is_old, is_dated, between) = (false, true, None);
            let notice = Notifying { payment, gateway, is_old, is_dated, signature, between };
            let before = self.reached.times(Milestone::Confirmed);
            if self.news(notice).is_none() || !self.setup.notifies() {
                continue;
            }
            self.notify(notice);
            let is_confirmed = self.reached.times(Milestone::Confirmed) > before;
            let arrives = is_confirmed || !self.merchant.held.is_empty();
            assert!(arrives, "it does not arrive: {notice:?}");
            self.confirm(0, Application::Confirms);
        }
        self.check_resolved();
    }
}

/// Whether a question to the store is one that may write.
const fn writes(request: &BackendRequest) -> bool {
    match request {
        BackendRequest::Cell(request) => {
            matches!(request, CellRequest::Store { cell: Cell::Claims(_), .. })
        }
        BackendRequest::Rpc(_) => true,
        BackendRequest::Wait(_) => false,
    }
}

fn claim_of(entry: &Entry) -> Option<Claim> {
    match entry {
        Entry::Claim(claim) => Some(*claim),
        Entry::Absent | Entry::Alias(_) | Entry::Unreadable => None,
    }
}
