//! The census of a store in etcd: what is not resolved is read in pages, what is resolved is counted.
//!
//! ```text
//! due -> page -> [page ..] -> count a part of what is resolved -> [count all of it] -> write it down
//! ```
//!
//! One worker of each Envoy counts. It asks whichever member answers (`serializable`): a census does not
//! show one moment anyhow, and no leader has to say for each page that it still leads. A member that was
//! cut off from the others may be far behind, so a page that is older than the last census ends the
//! pass. So does a page that does not come: a pass that misses one is no census.
//!
//! A page costs etcd as much as there are keys in its range, whatever its limit. So where the first page
//! does not hold all, the next ones have ends that are so far apart that each holds about half of what
//! fits into one.

use std::rc::Rc;

use super::message::RangeRequest;
use super::message::answer::RangeAnswer;
use super::shared::{EtcdStore, Membership};
use super::value::Value;
use crate::engine::health::WorkerCounters;
use crate::engine::limits;
use crate::engine::machine::{Input, InputOf, Machine, Output, OutputOf, Tickets};
use crate::engine::payment::{ClaimRules, KeyPrefix};
use crate::engine::store::backend::{
    BackendEvent, BackendRequest, RpcEvent, RpcMethod, RpcRequest,
};
use crate::engine::store::cell::{Cell, CellEvent, CellRequest, Expected};
use crate::engine::store::census::draft::{Counts, Draft};
use crate::engine::store::census::{Census, Counted, ResolvedCount};
use crate::engine::store::record::Entry;
use crate::engine::time::{Millis, Timestamp};

/// Counts what a store in etcd holds, while its worker is the one that counts.
#[derive(Debug)]
pub struct RealmCensus {
    store: Rc<EtcdStore>,
    rules: ClaimRules,
    /// No operation is enforced.
    observing: bool,
    pass: Option<RealmPass>,
    asked: Tickets,
    due_at: Timestamp,
    /// The store's revision at the beginning of the last census.
    revision: u64,
    /// What the buckets of this process hold, where payments of before stay in them.
    local: Option<Census>,
    /// When this worker was told last to count.
    told_at: Timestamp,
}

/// A pass under way.
#[derive(Debug)]
struct RealmPass {
    began_at: Timestamp,
    /// When the question that is open was asked.
    asked_at: Timestamp,
    member: Rc<Membership>,
    draft: Draft,
    /// The store's revision at its first page.
    revision: u64,
    /// How many fronts of keys one page covers. `None`: all of them.
    width: Option<u16>,
    step: CountStep,
}

/// What was asked last.
#[derive(Debug)]
enum CountStep {
    /// The payments from this key on, and before the first one with this front.
    Page { from: Vec<u8>, end: Option<u16> },
    /// How many keys a part of what is resolved has.
    Part,
    /// How many all of it has.
    All,
    /// The census before, which tells what is there no longer.
    Before(ResolvedCount),
}

/// Parts of what is resolved: one for each first byte of a key.
const PARTS: u64 = 256;

/// Fronts of keys: the first two bytes.
const FRONTS: u64 = 65_536;

impl RealmCensus {
    /// Of `store`, by the rules of claims. `observing`: no operation is enforced.
    #[must_use]
    pub fn new(store: Rc<EtcdStore>, rules: ClaimRules, observing: bool) -> Self {
        let (asked, due_at, told_at) = Default::default();
        let (pass, local) = (None, None);
        Self { store, rules, observing, pass, asked, due_at, revision: 0, local, told_at }
    }

    /// The buckets of this process were counted, where payments of before stay in them.
    pub fn add_local(&mut self, census: Census) {
        self.local = Some(census);
    }

    /// A pass that may be begun now.
    fn begin(&mut self, now: Timestamp) -> Option<RealmPass> {
        if self.pass.as_ref().is_some_and(|pass| pass.is_lost(now)) {
            self.pass = None;
        }
        // Meanwhile another worker has counted.
        if now.since(self.told_at).get() >= limits::ETCD_WORD_STALE_MS {
            self.local = None;
        }
        self.told_at = now;
        if self.store.terms.drains_local && self.local.is_none() {
            return None;
        }
        // A clock that was put back makes nobody wait.
        let waits = now < self.due_at && self.due_at.since(now) <= PAUSE_MAX;
        if self.pass.is_some() || waits {
            return None;
        }
        self.due_at = now.plus(Millis::new(limits::ETCD_CENSUS_MS));
        let member = self.store.ready()?;
        let (from, _) = self.store.realm.all_open();
        Some(RealmPass {
            began_at: now,
            asked_at: now,
            member,
            draft: Draft::new(now),
            revision: 0,
            width: None,
            step: CountStep::Page { from, end: None },
        })
    }

    fn told(
        &mut self,
        mut pass: RealmPass,
        event: BackendEvent,
        now: Timestamp,
        counters: &WorkerCounters,
    ) -> Vec<OutputOf<Self>> {
        match (event, &pass.step) {
            (
                BackendEvent::Cell(CellEvent::Loaded(Cell::Census, before)),
                CountStep::Before(resolved),
            ) => {
                let resolved = *resolved;
                return self.end(pass, resolved, &before.bytes, now);
            }
            (BackendEvent::Rpc(RpcEvent::Answered(message)), _) => {
                let answer = RangeAnswer::decode(&message);
                // One that is older comes from a member that is cut off.
                let answer = answer.filter(|answer| answer.revision >= self.revision);
                let Some(step) = answer.and_then(|answer| {
                    self.count(&mut pass, &answer, now, counters);
                    pass.after(&answer, &self.store)
                }) else {
                    return Vec::new();
                };
                pass.step = step;
            }
            _ => return Vec::new(),
        }
        self.ask(pass, now)
    }

    fn ask(&mut self, mut pass: RealmPass, now: Timestamp) -> Vec<OutputOf<Self>> {
        pass.asked_at = now;
        let request = pass.request(&self.store);
        self.pass = Some(pass);
        self.asked.forget();
        vec![Output::Ask(self.asked.open(), request)]
    }

    fn count(
        &self,
        pass: &mut RealmPass,
        answer: &RangeAnswer<'_>,
        now: Timestamp,
        counters: &WorkerCounters,
    ) {
        if pass.revision == 0 {
            pass.revision = answer.revision;
        }
        let leaps = counters.leaps(now);
        let how = Counts { rules: &self.rules, leaps: &leaps, observing: self.observing };
        // An answer that counts alone has none.
        for kv in &answer.kvs {
            let payment = self.store.realm.payment(kv.key);
            let read = self.store.entry(Value::decode(kv.value), &pass.member, now);
            // Whatever else stands there, it is not resolved.
            let is_claim = payment.is_some() && matches!(read, Entry::Claim(_));
            let entry = if is_claim { read } else { Entry::Unreadable };
            let key = payment.map_or_else(KeyPrefix::default, |payment| payment.prefix());
            pass.draft.count(key, 0, &entry, how, now);
        }
    }

    fn end(
        &mut self,
        pass: RealmPass,
        mut resolved: ResolvedCount,
        before: &[u8],
        now: Timestamp,
    ) -> Vec<OutputOf<Self>> {
        let RealmPass { began_at, mut draft, revision, .. } = pass;
        self.revision = revision;
        let length = now.since(began_at).get();
        let pause = Millis::new(length.saturating_mul(limits::ETCD_CENSUS_SHARE));
        self.due_at = self.due_at.max(now.plus(pause.min(PAUSE_MAX)));
        if let Some(local) = &self.local {
            resolved.claims += draft.add(local);
        }
        let counted = Counted::after(draft.finish_with(resolved, now), before);
        let bytes = counted.census.encode();
        let store = CellRequest::Store { cell: Cell::Census, bytes, expected: Expected::Any };
        vec![Output::Ask(self.asked.open(), store.into()), Output::Do(Box::new(counted))]
    }
}

/// Nobody waits for longer.
const PAUSE_MAX: Millis = Millis::new(limits::ETCD_CENSUS_MS_MAX);

impl RealmPass {
    /// Its question was never answered, or there is no end to it.
    fn is_lost(&self, now: Timestamp) -> bool {
        let is_over = |since: Timestamp, ms| now < since || now.since(since).get() >= ms;
        is_over(self.asked_at, limits::ETCD_CENSUS_MS)
            || is_over(self.began_at, limits::ETCD_CENSUS_MS_MAX)
    }

    fn request(&self, store: &EtcdStore) -> BackendRequest {
        let realm = &store.realm;
        let (key, range_end) = match &self.step {
            CountStep::Page { from, end } => (from.clone(), realm.open_end(*end)),
            CountStep::Part => realm.part_of_settled(),
            CountStep::All => realm.all_settled(),
            CountStep::Before(_) => return CellRequest::Load(Cell::Census).into(),
        };
        let is_page = matches!(self.step, CountStep::Page { .. });
        let range = RangeRequest {
            key: &key,
            range_end: &range_end,
            limit: if is_page { limits::ETCD_KVS_MAX as u64 } else { 0 },
            serializable: true,
            count_only: !is_page,
            keys_only: false,
        };
        BackendRequest::Rpc(RpcRequest {
            method: RpcMethod::Range,
            message: range.encode(),
            timeout: Millis::new(limits::ETCD_ATTEMPT_MS),
        })
    }

    /// What is asked after this answer. `None`: it is no answer.
    fn after(&mut self, answer: &RangeAnswer<'_>, store: &EtcdStore) -> Option<CountStep> {
        let counted = |claims, is_exact| CountStep::Before(ResolvedCount { claims, is_exact });
        Some(match &self.step {
            CountStep::Page { from, end } => {
                if answer.more && self.width.is_none() {
                    let keys = limits::ETCD_KVS_MAX as u64 / 2;
                    let width = FRONTS * keys / answer.count.max(keys + 1);
                    self.width = u16::try_from(width.max(1)).ok();
                }
                let behind = |front: u16| front.checked_add(self.width?);
                match end {
                    _ if answer.more => {
                        let last = answer.kvs.last().map(|kv| kv.key);
                        let last = last.filter(|last| *last >= from.as_slice())?;
                        let front = store.realm.payment(last).map(|payment| payment.front());
                        let end = end.or_else(|| behind(front?));
                        CountStep::Page { from: [last, &[0]].concat(), end }
                    }
                    None => CountStep::Part,
                    Some(end) => CountStep::Page {
                        from: store.realm.open_end(Some(*end)),
                        end: behind(*end),
                    },
                }
            }
            CountStep::Part => match answer.count.saturating_mul(PARTS) {
                0..=limits::ETCD_COUNTED_MAX => CountStep::All,
                claims => counted(claims, false),
            },
            CountStep::All => counted(answer.count, true),
            CountStep::Before(_) => return None,
        })
    }
}

impl Machine for RealmCensus {
    /// This worker counts, and it may be time.
    type Event<'a> = ();
    /// It was counted.
    type Effect = Box<Counted>;
    type Ask = BackendRequest;
    type Told = BackendEvent;
    type Counters = WorkerCounters;

    fn handle(
        &mut self,
        input: InputOf<'_, Self>,
        now: Timestamp,
        counters: &mut WorkerCounters,
    ) -> Vec<OutputOf<Self>> {
        match input {
            Input::Event(()) => match self.begin(now) {
                Some(pass) => self.ask(pass, now),
                None => Vec::new(),
            },
            // What is not answered as it must be ends the pass.
            Input::Told(ticket, event) if self.asked.close(ticket) => match self.pass.take() {
                Some(pass) => self.told(pass, event, now, counters),
                None => Vec::new(),
            },
            Input::Told(..) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
