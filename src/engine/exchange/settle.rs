//! After the answer: what it proves is written down, and only then the client is answered.

use super::answered::Worked;
use super::permit::Permit;
use super::settling::{Ending, Settling, Update};
use super::stage::{Context, Next, Stage};
use crate::engine::event::{After, ExchangeEffect};
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::health::Health;
use crate::engine::limits;
use crate::engine::payment::{
    Anomaly, Claim, ClaimKey, ClaimState, Evidence, Fingerprint, Incarnation, Money, Outcome,
    PaymentStatus, ResolvedBy, Step, doubts,
};
use crate::engine::store::{
    Alias, AliasTarget, Commit, Entry, Seen, StoreError, StoreEvent, StoreRequest, Version,
};
use crate::engine::time::Timestamp;

impl Context<'_> {
    pub(super) fn next_update(self, mut settling: Box<Settling>) -> Next {
        settling.attempts = 0;
        if let Some(Update::Keep { .. }) = settling.updates.front()
            && let Some(Update::Keep { key, of, kept }) = settling.updates.pop_front()
        {
            let keep = StoreRequest::KeepAnswer(key, of, Box::new(kept));
            return Next::ask(Stage::Settling(settling), keep);
        }
        let Some(update) = settling.updates.front() else {
            return self.end_settling(settling);
        };
        let read = update.read(true);
        Next::ask(Stage::Settling(settling), read)
    }

    /// The client is answered. What the store has not confirmed is written after that.
    fn end_settling(self, mut settling: Box<Settling>) -> Next {
        let effects = match std::mem::replace(&mut settling.ending, Ending::Effects(Vec::new())) {
            Ending::Effects(effects) => effects,
            Ending::Answer(answered) => match answered.next(self.policy) {
                Some((target, gateway)) => {
                    return self.go_on_asking(*answered, settling.unwritten, target, gateway);
                }
                None => self.end(*answered),
            },
        };
        if settling.unwritten.is_empty() {
            return Next::to(Stage::Ended, effects);
        }
        // There may be thousands of them, for hours.
        settling.updates.shrink_to_fit();
        settling.unwritten.shrink_to_fit();
        Next::ask(Stage::Settling(settling), StoreRequest::Pause).after(effects)
    }

    pub(super) fn go_on_settling(self, mut settling: Box<Settling>, event: StoreEvent) -> Next {
        match event {
            StoreEvent::Seen(seen) => self.update(settling, &seen, false),
            StoreEvent::Guessed(seen) => self.update(settling, &seen, true),
            StoreEvent::Resumed => {
                settling.updates = std::mem::take(&mut settling.unwritten);
                self.read_as_it_is(settling)
            }
            StoreEvent::Retracted => {
                settling.updates.pop_front();
                self.next_update(settling)
            }
            // Asking again brings nothing.
            StoreEvent::Refused(_) if settling.updates.is_empty() => {
                Next::to(Stage::Ended, Vec::new())
            }
            StoreEvent::Health(health, version) => self.update_health(settling, health, version),
            StoreEvent::Committed | StoreEvent::HealthWritten => {
                if let Some(Update::Own { .. }) = settling.updates.pop_front() {
                    settling.free_header_key();
                }
                settling.counted.clear();
                self.tell_and_go_on(settling)
            }
            StoreEvent::Conflict | StoreEvent::HealthConflict
                if settling.attempts < limits::STORE_ATTEMPTS_MAX =>
            {
                settling.attempts += 1;
                settling.anomaly = None;
                settling.doubts = [None; 2];
                self.read_as_it_is(settling)
            }
            // What is known is true all the same, and there is no room to write it down.
            StoreEvent::Refused(StoreError::Full) => {
                settling.note_no_room();
                settling.updates.pop_front();
                self.tell_and_go_on(settling)
            }
            StoreEvent::Conflict
            | StoreEvent::HealthConflict
            | StoreEvent::Unclear
            | StoreEvent::HealthUnclear
            | StoreEvent::Refused(StoreError::Unavailable) => {
                settling.note_lost();
                settling.changes.clear();
                self.counters.put_back(&std::mem::take(&mut settling.counted));
                settling.put_off(event == StoreEvent::Unclear);
                // What could not be written is true all the same.
                self.tell_and_go_on(settling)
            }
            StoreEvent::AnswerKept => self.next_update(settling),
            StoreEvent::Answer(_) => Next::to(Stage::Settling(settling), Vec::new()),
        }
    }

    fn read_as_it_is(self, settling: Box<Settling>) -> Next {
        match settling.updates.front().map(|update| update.read(false)) {
            Some(read) => Next::ask(Stage::Settling(settling), read),
            None => self.next_update(settling),
        }
    }

    /// Works the first update into the record that was read. What was only guessed is good enough
    /// for a commit, and for nothing else.
    fn update(self, mut settling: Box<Settling>, seen: &[Seen], guessed: bool) -> Next {
        let key = settling.updates.front().and_then(Update::key);
        let Some(Seen { entry, version, .. }) = seen.iter().find(|one| Some(one.key) == key) else {
            // What was asked for before all this began.
            return Next::to(Stage::Settling(settling), Vec::new());
        };
        let put = match settling.updates.front() {
            Some(Update::Own { key, evidence, onward, at }) => {
                let (key, onward) = (*key, *onward);
                let evidence = (*evidence, *at);
                self.update_own(&mut settling, *entry, &key, evidence, onward)
            }
            Some(Update::Unbind { alias, .. }) => {
                (*entry == Entry::Alias(*alias)).then_some(Entry::Absent)
            }
            Some(Update::Issued { gateway, .. }) => {
                let to = AliasTarget::Gateway(*gateway);
                Some(Entry::Alias(Alias { to, used_at: self.now, nonce: 0 }))
            }
            Some(Update::Concerned { key, evidence, asked_at }) => {
                let (key, evidence) = (*key, evidence.zip(Some(*asked_at)));
                let observed = settling.is_observed;
                let worked = self.work_in(*entry, &key, evidence, Fingerprint::UNKNOWN, observed);
                settling.note_concerned(worked.after);
                settling.note_news(worked)
            }
            Some(Update::Cancel { key, gateway, asked_at }) => {
                let status = PaymentStatus::Executed;
                let evidence = Some((Evidence::Told { gateway: *gateway, status }, *asked_at));
                let observed = settling.is_observed;
                // One that nobody here asked for is no claim of ours.
                let is_known = *entry != Entry::Absent;
                let work = || self.work_in(*entry, key, evidence, Fingerprint::UNKNOWN, observed);
                let worked = is_known.then(work).unwrap_or_default();
                settling.note_news(worked)
            }
            Some(
                Update::Keep { .. }
                | Update::Health(_)
                | Update::Bar { .. }
                | Update::ReturnPermit(_)
                | Update::Retract,
            )
            | None => None,
        };
        match put.zip(key) {
            Some((put, key)) => {
                let patience = settling.patience();
                let commit =
                    Commit { expect: vec![(key, *version)], put: vec![(key, put)], patience };
                Next::ask(Stage::Settling(settling), StoreRequest::Commit(commit))
            }
            None if guessed => self.read_as_it_is(settling),
            None => {
                settling.updates.pop_front();
                self.tell_and_go_on(settling)
            }
        }
    }

    /// Works the first update into what is known of the gateways.
    fn update_health(
        mut self,
        mut settling: Box<Settling>,
        mut health: Box<Health>,
        version: Version,
    ) -> Next {
        let is_changed = match settling.updates.front() {
            Some(Update::Health(reports)) => {
                let (changes, is_changed) =
                    self.report(&mut health, reports, &mut settling.counted);
                settling.changes = changes;
                is_changed
            }
            Some(Update::Bar { gateway, breach }) => {
                settling.changes = health.bar(*gateway, *breach, &self.policy.health, self.now);
                !settling.changes.is_empty()
            }
            Some(Update::ReturnPermit(Permit { gateway, generation })) => {
                health.member_mut(*gateway).breaker.return_permit(*generation);
                true
            }
            Some(
                Update::Keep { .. }
                | Update::Own { .. }
                | Update::Unbind { .. }
                | Update::Issued { .. }
                | Update::Concerned { .. }
                | Update::Cancel { .. }
                | Update::Retract,
            )
            | None => return Next::to(Stage::Settling(settling), Vec::new()),
        };
        if is_changed {
            let write = StoreRequest::WriteHealth(health, version);
            return Next::ask(Stage::Settling(settling), write);
        }
        self.counters.remember(version.number(), health);
        settling.updates.pop_front();
        self.tell_and_go_on(settling)
    }

    fn tell_and_go_on(self, mut settling: Box<Settling>) -> Next {
        let changes =
            std::mem::take(&mut settling.changes).into_iter().map(ExchangeEffect::Changed);
        let told =
            changes.chain(settling.anomaly.take().map(|it| ExchangeEffect::Anomaly(Box::new(it))));
        let doubts = std::mem::take(&mut settling.doubts).into_iter().flatten();
        let told = told.chain(doubts.map(ExchangeEffect::Doubt));
        let told: Vec<ExchangeEffect> = told.collect();
        self.next_update(settling).after(told)
    }

    fn update_own(
        &self,
        settling: &mut Settling,
        entry: Entry,
        key: &ClaimKey,
        evidence: (Evidence, Timestamp),
        onward: Option<GatewayId>,
    ) -> Option<Entry> {
        if let Some(claim) = self.move_on(entry, evidence.0, onward) {
            settling.note_own(After::at(claim.state));
            settling.note_onward(Some(claim));
            return Some(Entry::Claim(claim));
        }
        settling.note_onward(None);
        let print = settling.print_of(key);
        let observed = settling.is_observed;
        let worked = self.work_in(entry, key, Some(evidence), print, observed);
        settling.note_own(worked.after);
        settling.note_news(worked)
    }

    /// The claim with its further attempt at the gateway that is asked next, written before that
    /// is asked.
    fn move_on(
        &self,
        entry: Entry,
        evidence: Evidence,
        onward: Option<GatewayId>,
    ) -> Option<Claim> {
        let (Some(gateway), Evidence::Answer { of, .. }, Entry::Claim(claim)) =
            (onward, evidence, entry)
        else {
            return None;
        };
        let leaps = self.counters.leaps(self.now);
        claim.seen(self.now, &leaps).onward(of, gateway, self.now, &self.policy.claims)
    }

    /// Applies evidence, if there is any, and its time to the claim that stands under `key`.
    pub(super) fn work_in(
        &self,
        entry: Entry,
        key: &ClaimKey,
        evidence: Option<(Evidence, Timestamp)>,
        fingerprint: Fingerprint,
        observed: bool,
    ) -> Worked {
        let (rules, leaps) = (&self.policy.claims, self.counters.leaps(self.now));
        let evidence = evidence.map(|(event, at)| (event, self.known(event, at)));
        let (mut anomaly, mut stood) = (None, None);
        let (claim, step) = match (entry, evidence) {
            (Entry::Claim(stored), evidence) => {
                let before = stored.seen(self.now, &leaps);
                let before = if observed { before } else { before.enforced(rules) };
                let was = before.at(self.now).state;
                let Some((event, at)) = evidence else {
                    return Worked::at(was);
                };
                stood = Some((stored, was, ResolvedBy::evidence(event)));
                let step = before.apply(event, at, rules);
                let reference = key.reference();
                anomaly = Anomaly::of(reference, was, event, step, rules)
                    .map(|anomaly| Anomaly { money: before.money, ..anomaly });
                match (before.learn(event, fingerprint), step) {
                    (claim, Step::Stays) if claim != before => (claim, Step::To(was)),
                    (claim, Step::Stays) => (claim, Step::Stays),
                    (claim, Step::Contradicted(state)) if state == was => (claim, Step::Stays),
                    (claim, step) => (claim, step),
                }
            }
            (Entry::Unreadable | Entry::Alias(_), _) => return Worked::LOST,
            (Entry::Absent, evidence) => match evidence.and_then(|(event, _)| learnt(event)) {
                None => return Worked::default(),
                Some((state, incarnation)) => {
                    let incarnation =
                        incarnation.unwrap_or(Incarnation { claimed_at: self.now, nonce: 0 });
                    let claim = Claim::new(fingerprint, state, incarnation, Money::default());
                    (Claim { observed, ..claim }, Step::To(state))
                }
            },
        };
        let state = match step {
            Step::Stays => return Worked { anomaly, ..Worked::at(claim.at(self.now).state) },
            Step::Released => return Worked { put: Some(Entry::Absent), ..Worked::default() },
            Step::To(state) | Step::Overturned(state) | Step::Contradicted(state) => state,
        };
        let put = Some(Entry::Claim(moved(claim, state, self.now)));
        let doubts = stood.map(|(stored, was, by)| doubts(&stored, was, state, by));
        Worked { put, anomaly, doubts: doubts.unwrap_or_default(), ..Worked::at(state) }
    }

    /// When evidence is of, by the clock of now. If that lies ahead, the clock was put back since: a
    /// question may be older than anything, and an answer is not older than it is taken for.
    fn known(&self, event: Evidence, at: Timestamp) -> Timestamp {
        match event {
            _ if at <= self.now => at,
            Evidence::Answer { outcome: Outcome::NotKnown, .. }
            | Evidence::Told { .. }
            | Evidence::Operator(_) => Timestamp::default(),
            Evidence::Answer { .. } => self.now,
        }
    }
}

/// What evidence makes of a payment that was unknown: success is a pin worth having.
fn learnt(evidence: Evidence) -> Option<(ClaimState, Option<Incarnation>)> {
    match evidence {
        Evidence::Answer { of, outcome: Outcome::Executed, gateways } => {
            Some((ClaimState::settled(gateways), Some(of.incarnation)))
        }
        Evidence::Told { gateway, status: PaymentStatus::Executed } => {
            Some((ClaimState::settled(Gateways::only(gateway)), None))
        }
        Evidence::Answer { .. } | Evidence::Told { .. } | Evidence::Operator(_) => None,
    }
}

/// The claim after its state changed at `now`.
const fn moved(mut claim: Claim, state: ClaimState, now: Timestamp) -> Claim {
    claim.state = state;
    claim.first = GatewayId::FIRST;
    claim.changed_at = now;
    claim
}
