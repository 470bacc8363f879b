//! After the answer: what it proves is written down, and only then the client is answered.

use std::collections::VecDeque;

use super::respond::{After, Answered, Worked};
use super::{Context, Next, Stage};
use crate::engine::event::{Cell, Effect, Event, Loaded};
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::health::{Batch, Breach, Health, HealthEvent, Report};
use crate::engine::limits;
use crate::engine::payment::{
    Anomaly, Claim, ClaimKey, ClaimState, Evidence, Fingerprint, Incarnation, Money, Outcome,
    PaymentStatus, Step,
};
use crate::engine::store::{Alias, AliasTarget, Bucket, Entry, KeptAnswer};
use crate::engine::time::Timestamp;

/// One thing to be written down.
#[derive(Debug)]
pub(super) enum Update {
    /// The answer to an executed payment, for its replays.
    Keep { key: ClaimKey, of: Incarnation, kept: KeptAnswer },
    /// What the answer proves of the payment that was made; or, if nothing has happened there, the
    /// gateway that it goes on to.
    Own { key: ClaimKey, evidence: Evidence, onward: Option<GatewayId>, asked_at: Timestamp },
    /// The payment was never sent: its header key is free again.
    Unbind { key: ClaimKey, link: Alias },
    /// A customer's token was issued by this gateway, or used there.
    Issued { key: ClaimKey, gateway: GatewayId },
    /// What it proves, if anything, of the payment that it is about.
    Concerned { key: ClaimKey, evidence: Option<Evidence>, asked_at: Timestamp },
    /// The payment is cancelled there, and so the cancel that we know of has succeeded.
    Cancel { key: ClaimKey, gateway: GatewayId, asked_at: Timestamp },
    /// What it says of the gateways.
    Health(Vec<(GatewayId, Report)>),
    /// A gateway answered over a connection that is not what it must be.
    Bar { gateway: GatewayId, breach: Breach },
    /// A trial was not made.
    ReturnPermit { gateway: GatewayId, generation: u32 },
}

/// What is being written down, and what follows.
#[derive(Debug)]
pub(super) struct Settling {
    updates: VecDeque<Update>,
    attempts: u8,
    /// What operators are told once it is written.
    changes: Vec<HealthEvent>,
    /// Taken from the worker's tallies and not yet written.
    counted: Vec<Batch>,
    anomaly: Option<Anomaly>,
    ending: Ending,
}

#[derive(Debug)]
enum Ending {
    /// These effects, whatever is written.
    Effects(Vec<Effect>),
    /// An answer that depends on what became of the claims.
    Answer(Box<Answered>),
}

impl Settling {
    pub(super) const fn ending(updates: VecDeque<Update>, effects: Vec<Effect>) -> Self {
        Self::new(updates, Ending::Effects(effects))
    }

    pub(super) fn answering(updates: VecDeque<Update>, answered: Answered) -> Self {
        Self::new(updates, Ending::Answer(Box::new(answered)))
    }

    const fn new(updates: VecDeque<Update>, ending: Ending) -> Self {
        Self {
            updates,
            attempts: 0,
            changes: Vec::new(),
            counted: Vec::new(),
            anomaly: None,
            ending,
        }
    }
}

impl Context<'_> {
    pub(super) fn next_update(self, mut settling: Box<Settling>) -> Next {
        settling.attempts = 0;
        let Some(cell) = self.cell_of(settling.updates.front()) else {
            return match settling.ending {
                Ending::Effects(effects) => (Stage::Ended, effects),
                Ending::Answer(answered) => self.end_or_go_on(*answered),
            };
        };
        (Stage::Settling(settling), vec![Effect::Load(cell)])
    }

    fn cell_of(&self, update: Option<&Update>) -> Option<Cell> {
        Some(match update? {
            Update::Keep { key, .. } => self.kept_in(key),
            Update::Own { key, .. }
            | Update::Unbind { key, .. }
            | Update::Issued { key, .. }
            | Update::Concerned { key, .. }
            | Update::Cancel { key, .. } => {
                Cell::Claims(self.policy.placement.bucket(key.reference()))
            }
            Update::Health(_) | Update::Bar { .. } | Update::ReturnPermit { .. } => Cell::Health,
        })
    }

    pub(super) fn go_on_settling(self, mut settling: Box<Settling>, event: Event<'_>) -> Next {
        match event {
            Event::Loaded(cell, loaded) if self.cell_of(settling.updates.front()) == Some(cell) => {
                self.update(settling, loaded)
            }
            Event::Stored(_) => {
                if let Some(Update::Own { .. }) = settling.updates.pop_front() {
                    settling.free_header_key();
                }
                settling.counted.clear();
                self.tell_and_go_on(settling)
            }
            Event::Conflict(cell) if settling.attempts < limits::STORE_ATTEMPTS_MAX => {
                settling.attempts += 1;
                settling.anomaly = None;
                (Stage::Settling(settling), vec![Effect::Load(cell)])
            }
            Event::Conflict(_) | Event::StoreFailed(_) => {
                settling.note_lost();
                settling.changes.clear();
                self.counters.put_back(&std::mem::take(&mut settling.counted));
                settling.updates.pop_front();
                // What could not be written is true all the same.
                self.tell_and_go_on(settling)
            }
            // A value that was asked for before all this began.
            Event::Loaded(..) | Event::Request(_) | Event::Answered(_) => {
                (Stage::Settling(settling), Vec::new())
            }
        }
    }

    /// Works the first update into the value that was read.
    fn update(mut self, mut settling: Box<Settling>, loaded: Loaded) -> Next {
        let Loaded { bytes, version: expected } = loaded;
        let written = match settling.updates.front() {
            None => None,
            Some(Update::Keep { key, of, kept }) => Some(kept.put(&bytes, key, *of)),
            Some(Update::Own { key, evidence, onward, asked_at }) => {
                let (key, onward) = (*key, *onward);
                let evidence = (*evidence, self.time_of(*evidence, *asked_at));
                self.update_own(&mut settling, bytes, &key, evidence, onward)
            }
            Some(Update::Unbind { key, link }) => {
                let (key, link) = (key.prefix(), *link);
                Bucket::decode(bytes).and_then(|mut bucket| {
                    let ours = bucket.find_alias(&key) == Some(link);
                    bucket.remove(&key);
                    ours.then(|| bucket.into_bytes())
                })
            }
            Some(Update::Issued { key, gateway }) => self.note_issuer(bytes, key, *gateway),
            Some(Update::Concerned { key, evidence, asked_at }) => {
                let (key, evidence) = (*key, evidence.zip(Some(*asked_at)));
                let observed = settling.is_observed();
                let unknown = Fingerprint::UNKNOWN;
                let worked = self.work_in(bytes, &key, evidence, unknown, observed);
                settling.note_concerned(worked.after);
                settling.anomaly = worked.anomaly;
                worked.written
            }
            Some(Update::Cancel { key, gateway, asked_at }) => {
                let evidence =
                    Evidence::Told { gateway: *gateway, status: PaymentStatus::Executed };
                let evidence = Some((evidence, *asked_at));
                let observed = settling.is_observed();
                // One that nobody here asked for is no claim of ours.
                let is_known = Bucket::decode(bytes.clone())
                    .is_some_and(|bucket| bucket.find(&key.prefix()) != Entry::Absent);
                let work = || self.work_in(bytes, key, evidence, Fingerprint::UNKNOWN, observed);
                let worked = is_known.then(work).unwrap_or_default();
                settling.anomaly = worked.anomaly;
                worked.written
            }
            Some(Update::Health(reports)) => {
                let (changes, written) = self.report(&bytes, reports, &mut settling.counted);
                settling.changes = changes;
                written
            }
            Some(Update::Bar { gateway, breach }) => {
                let mut health = Health::decode(&bytes);
                settling.changes = health.bar(*gateway, *breach, self.policy, self.now);
                (!settling.changes.is_empty()).then(|| health.encode())
            }
            Some(Update::ReturnPermit { gateway, generation }) => {
                let mut health = Health::decode(&bytes);
                health.member_mut(*gateway).breaker.return_permit(*generation);
                Some(health.encode())
            }
        };
        match (written, self.cell_of(settling.updates.front())) {
            (Some(bytes), Some(cell)) => {
                (Stage::Settling(settling), vec![Effect::Store { cell, bytes, expected }])
            }
            _ => {
                settling.updates.pop_front();
                self.tell_and_go_on(settling)
            }
        }
    }

    /// A customer's token leads to this gateway.
    fn note_issuer(&self, bytes: Vec<u8>, key: &ClaimKey, gateway: GatewayId) -> Option<Vec<u8>> {
        let mut bucket = Bucket::decode(bytes)?;
        let link = Alias { to: AliasTarget::Gateway(gateway), used_at: self.now, nonce: 0 };
        let leaps = self.counters.leaps(self.now);
        bucket.put_alias(&key.prefix(), &link, self.now, self.retention(&leaps)).ok()?;
        Some(bucket.into_bytes())
    }

    fn tell_and_go_on(self, mut settling: Box<Settling>) -> Next {
        let changes = std::mem::take(&mut settling.changes).into_iter().map(Effect::Changed);
        let told = changes.chain(settling.anomaly.take().map(Effect::Anomaly));
        let told: Vec<Effect> = told.collect();
        let (stage, more) = self.next_update(settling);
        (stage, told.into_iter().chain(more).collect())
    }

    fn update_own(
        &self,
        settling: &mut Settling,
        bytes: Vec<u8>,
        key: &ClaimKey,
        evidence: (Evidence, Timestamp),
        onward: Option<GatewayId>,
    ) -> Option<Vec<u8>> {
        if let Some((claim, bytes)) = self.move_on(&bytes, key, evidence.0, onward) {
            settling.note_own(After { state: Some(claim.state), lost: false });
            settling.note_onward(Some(claim));
            return Some(bytes);
        }
        settling.note_onward(None);
        let print = settling.print_of(key);
        let evidence = Some(evidence);
        let observed = settling.is_observed();
        let worked = self.work_in(bytes, key, evidence, print, observed);
        settling.note_own(worked.after);
        settling.anomaly = worked.anomaly;
        worked.written
    }

    /// The claim with its further attempt at the gateway that is asked next, written before that
    /// is asked.
    fn move_on(
        &self,
        bytes: &[u8],
        key: &ClaimKey,
        evidence: Evidence,
        onward: Option<GatewayId>,
    ) -> Option<(Claim, Vec<u8>)> {
        // Most answers go nowhere: for them not even the bucket is copied.
        let (Some(gateway), Evidence::Answer { of, .. }) = (onward, evidence) else {
            return None;
        };
        let mut bucket = Bucket::decode(bytes.to_vec())?;
        let _ = bucket.mend(self.now, &self.policy.claims);
        let Entry::Claim(claim) = bucket.find(&key.prefix()) else {
            return None;
        };
        let leaps = self.counters.leaps(self.now);
        let claim = claim.seen(self.now, &leaps);
        let claim = claim.onward(of, gateway, self.now, &self.policy.claims)?;
        bucket.put(&key.prefix(), &claim, self.now, self.retention(&leaps)).ok()?;
        Some((claim, bucket.into_bytes()))
    }

    /// Applies evidence, if there is any, and its time to the claim of `key` in a bucket.
    fn work_in(
        &self,
        bytes: Vec<u8>,
        key: &ClaimKey,
        evidence: Option<(Evidence, Timestamp)>,
        fingerprint: Fingerprint,
        observed: bool,
    ) -> Worked {
        let Some(mut bucket) = Bucket::decode(bytes) else {
            return Worked::LOST;
        };
        let prefix = key.prefix();
        let (rules, leaps) = (&self.policy.claims, self.counters.leaps(self.now));
        let mended = bucket.mend(self.now, rules);
        let evidence = evidence.map(|(event, at)| (event, self.known(at)));
        let mut anomaly = None;
        let (claim, step) = match (bucket.find(&prefix), evidence) {
            (Entry::Claim(before), evidence) => {
                let before = before.seen(self.now, &leaps);
                let before = if observed { before } else { before.enforced(rules) };
                let was = before.at(self.now).state;
                let Some((event, at)) = evidence else {
                    let written = mended.then(|| bucket.into_bytes());
                    return Worked { written, ..Worked::at(was) };
                };
                let step = before.apply(event, at, rules);
                anomaly = Anomaly::of(key.reference(), was, event, step);
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
            Step::Stays => {
                let written = mended.then(|| bucket.into_bytes());
                return Worked { written, anomaly, ..Worked::at(claim.at(self.now).state) };
            }
            Step::Released => {
                bucket.remove(&prefix);
                return Worked { written: Some(bucket.into_bytes()), ..Worked::default() };
            }
            Step::To(state) | Step::Overturned(state) | Step::Contradicted(state) => state,
        };
        let moved = moved(claim, state, self.now);
        let put = bucket.put(&prefix, &moved, self.now, self.retention(&leaps));
        let after = After { state: Some(state), lost: put.is_err() };
        Worked { after, written: put.is_ok().then(|| bucket.into_bytes()), anomaly }
    }

    /// An answer ends its attempt when it comes. "Not known" is as old as the question.
    const fn time_of(&self, evidence: Evidence, asked_at: Timestamp) -> Timestamp {
        match evidence {
            Evidence::Answer { outcome: Outcome::NotKnown, .. } => asked_at,
            Evidence::Answer { .. } | Evidence::Told { .. } | Evidence::Operator(_) => self.now,
        }
    }

    /// When something was asked, by the clock of now. If that lies ahead, the clock was put back
    /// since, and the question may be older than anything.
    fn known(&self, asked_at: Timestamp) -> Timestamp {
        if asked_at > self.now { Timestamp::default() } else { asked_at }
    }
}

impl Settling {
    /// The fingerprint of the payment with `key`, if it is the one being made.
    fn print_of(&self, key: &ClaimKey) -> Fingerprint {
        match &self.ending {
            Ending::Effects(_) => Fingerprint::UNKNOWN,
            Ending::Answer(answered) => answered
                .parsed
                .payment
                .as_ref()
                .filter(|payment| payment.key == *key)
                .map_or(Fingerprint::UNKNOWN, |payment| payment.fingerprint),
        }
    }

    fn note_own(&mut self, after: After) {
        if let Ending::Answer(answered) = &mut self.ending {
            answered.own = after;
        }
    }

    fn note_onward(&mut self, claim: Option<Claim>) {
        if let Ending::Answer(answered) = &mut self.ending {
            answered.onward = answered.onward.filter(|_| claim.is_some());
            answered.send.claim = claim.or(answered.send.claim);
        }
    }

    fn is_observed(&self) -> bool {
        match &self.ending {
            Ending::Effects(_) => false,
            Ending::Answer(answered) => answered.send.is_observed(),
        }
    }

    /// With a claim that is gone goes what this request has bound to it.
    fn free_header_key(&mut self) {
        let Ending::Answer(answered) = &self.ending else {
            return;
        };
        let payment = answered.parsed.payment.as_ref().filter(|_| answered.own.state.is_none());
        let key = payment.and_then(|payment| payment.header_key);
        if let (Some(payment), Some(key), Some(claim)) = (payment, key, answered.send.claim) {
            let to = AliasTarget::Payment(payment.key.reference());
            let Incarnation { claimed_at, nonce } = claim.incarnation;
            let link = Alias { to, used_at: claimed_at, nonce };
            self.updates.push_front(Update::Unbind { key, link });
        }
    }

    fn note_concerned(&mut self, after: After) {
        if let Ending::Answer(answered) = &mut self.ending {
            answered.concerned = after;
        }
    }

    fn note_lost(&mut self) {
        let lost = After { state: None, lost: true };
        match self.updates.front() {
            Some(Update::Own { .. }) => {
                self.note_own(lost);
                self.note_onward(None);
            }
            Some(Update::Concerned { .. }) => self.note_concerned(lost),
            // Without the answer a repeat is told that the payment was executed.
            Some(
                Update::Keep { .. }
                | Update::Unbind { .. }
                | Update::Issued { .. }
                | Update::Cancel { .. }
                | Update::Health(_)
                | Update::Bar { .. }
                | Update::ReturnPermit { .. },
            )
            | None => {}
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
