//! What is being written down after an answer, and what follows from it.

use std::collections::VecDeque;

use super::answered::{Answered, Worked};
use super::permit::Permit;
use crate::engine::event::{After, ExchangeEffect};
use crate::engine::gateway::GatewayId;
use crate::engine::health::{Batch, Breach, HealthEvent, Report};
use crate::engine::payment::{
    Anomaly, Claim, ClaimKey, DoubtEvents, Evidence, Fingerprint, Incarnation, Outcome,
};
use crate::engine::store::{Alias, AliasTarget, Entry, KeptAnswer, Key, Patience, StoreRequest};
use crate::engine::time::Timestamp;

/// One thing to be written down.
#[derive(Debug)]
pub(super) enum Update {
    /// The answer to an executed payment, for its replays.
    Keep { key: ClaimKey, of: Incarnation, kept: KeptAnswer },
    /// What the answer proves of the payment that was made; or, if nothing has happened there, the
    /// gateway that it goes on to. The evidence is of this time.
    Own { key: ClaimKey, evidence: Evidence, onward: Option<GatewayId>, at: Timestamp },
    /// The payment was never sent: its header key is free again.
    Unbind { key: ClaimKey, alias: Alias },
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
    ReturnPermit(Permit),
    /// A claim that may be written does not count.
    Retract,
}

impl Update {
    /// The record that it is worked into.
    pub(super) fn key(&self) -> Option<Key> {
        match self {
            Self::Own { key, .. } | Self::Concerned { key, .. } | Self::Cancel { key, .. } => {
                Some(Key::Payment(key.reference()))
            }
            Self::Unbind { key, .. } | Self::Issued { key, .. } => {
                Some(Key::Alias(key.reference()))
            }
            Self::Keep { .. }
            | Self::Health(_)
            | Self::Bar { .. }
            | Self::ReturnPermit(_)
            | Self::Retract => None,
        }
    }

    /// What is read for it; the first time it may be guessed, because a commit finds out.
    pub(super) fn read(&self, is_first: bool) -> StoreRequest {
        let read = if is_first { StoreRequest::Peek } else { StoreRequest::Read };
        if matches!(self, Self::Retract) {
            return StoreRequest::Retract;
        }
        self.key().map_or(StoreRequest::ReadHealth, |key| read(vec![key]))
    }

    /// The same, to be written once the store may be asked again; `None` where nobody needs it then.
    fn later(self) -> Option<Self> {
        match self {
            Self::Own { key, evidence, at, .. } => {
                Some(Self::Own { key, evidence, onward: None, at })
            }
            Self::Concerned { .. }
            | Self::Cancel { .. }
            | Self::Unbind { .. }
            | Self::Issued { .. } => Some(self),
            Self::Keep { .. }
            | Self::Health(_)
            | Self::Bar { .. }
            | Self::ReturnPermit(_)
            | Self::Retract => None,
        }
    }
}

/// What is being written down, and what follows.
#[derive(Debug)]
pub(super) struct Settling {
    pub(super) updates: VecDeque<Update>,
    pub(super) attempts: u8,
    /// What operators are told once it is written.
    pub(super) changes: Vec<HealthEvent>,
    /// Taken from the worker's counters and not yet written.
    pub(super) counted: Vec<Batch>,
    pub(super) anomaly: Option<Anomaly>,
    pub(super) doubts: DoubtEvents,
    /// What the store has not confirmed, to be written after the ending.
    pub(super) unwritten: VecDeque<Update>,
    /// The payment that was made, and what it asked for.
    payment: Option<(ClaimKey, Fingerprint)>,
    /// Nothing was enforced.
    pub(super) is_observed: bool,
    pub(super) ending: Ending,
}

#[derive(Debug)]
pub(super) enum Ending {
    /// These effects, whatever is written.
    Effects(Vec<ExchangeEffect>),
    /// An answer that depends on what became of the claims.
    Answer(Box<Answered>),
}

impl Settling {
    pub(super) const fn ending(updates: VecDeque<Update>, effects: Vec<ExchangeEffect>) -> Self {
        Self::new(updates, Ending::Effects(effects))
    }

    pub(super) fn answering(
        updates: VecDeque<Update>,
        unwritten: VecDeque<Update>,
        answered: Answered,
    ) -> Self {
        let payment = answered.parsed.payment.as_ref();
        Self {
            unwritten,
            payment: payment.map(|payment| (payment.key, payment.fingerprint)),
            is_observed: answered.attempt.is_observed(),
            ..Self::new(updates, Ending::Answer(Box::new(answered)))
        }
    }

    const fn new(updates: VecDeque<Update>, ending: Ending) -> Self {
        Self {
            updates,
            attempts: 0,
            changes: Vec::new(),
            counted: Vec::new(),
            anomaly: None,
            doubts: [None; 2],
            unwritten: VecDeque::new(),
            payment: None,
            is_observed: false,
            ending,
        }
    }
}

impl Settling {
    /// The fingerprint of the payment with `key`, if it is the one being made.
    pub(super) fn print_of(&self, key: &ClaimKey) -> Fingerprint {
        let own = self.payment.filter(|(own, _)| own == key);
        own.map_or(Fingerprint::UNKNOWN, |(_, fingerprint)| fingerprint)
    }

    /// The first update is not confirmed: it is written after the ending, if it still matters. Where
    /// it may be written all the same, a claim for somebody who is not asked any longer never counts.
    pub(super) fn put_off(&mut self, is_unclear: bool) {
        let update = self.updates.pop_front();
        let is_claim = matches!(update, Some(Update::Own { onward: Some(_), .. }));
        self.unwritten.extend((is_claim && is_unclear).then_some(Update::Retract));
        self.unwritten.extend(update.and_then(Update::later));
    }

    /// Whether what is to be written ends a claim of the request's own.
    pub(super) fn owes_claim(&self) -> bool {
        let mut updates = self.updates.iter().chain(&self.unwritten);
        updates.any(|update| matches!(update, Update::Own { .. } | Update::Retract))
    }

    /// Whether the client waits for what is true, whatever is written.
    pub(super) fn patience(&self) -> Patience {
        match &self.ending {
            Ending::Answer(answered) if answered.verdict.outcome == Outcome::Executed => {
                Patience::Short
            }
            Ending::Answer(_) | Ending::Effects(_) => Patience::Long,
        }
    }

    pub(super) fn note_client_gone(&mut self) {
        if let Ending::Answer(answered) = &mut self.ending {
            answered.client_waits = false;
        }
    }

    pub(super) fn note_own(&mut self, after: After) {
        if let Ending::Answer(answered) = &mut self.ending {
            answered.own = after;
        }
    }

    pub(super) fn note_onward(&mut self, claim: Option<Claim>) {
        if let Ending::Answer(answered) = &mut self.ending {
            answered.onward = answered.onward.filter(|_| claim.is_some());
            answered.attempt.claim = claim.or(answered.attempt.claim);
        }
    }

    /// With a claim that is gone goes what this request has bound to it.
    pub(super) fn free_header_key(&mut self) {
        let Ending::Answer(answered) = &self.ending else {
            return;
        };
        let payment = answered.parsed.payment.as_ref().filter(|_| answered.own.state.is_none());
        let key = payment.and_then(|payment| payment.header_key);
        if let (Some(payment), Some(key), Some(claim)) = (payment, key, answered.attempt.claim) {
            let to = AliasTarget::Payment(payment.key.reference());
            let Incarnation { claimed_at, nonce } = claim.incarnation;
            let alias = Alias { to, used_at: claimed_at, nonce };
            self.updates.push_front(Update::Unbind { key, alias });
        }
    }

    /// What operators are told of it once it is written; and what is to be written.
    pub(super) fn note_news(&mut self, worked: Worked) -> Option<Entry> {
        self.anomaly = worked.anomaly;
        self.doubts = worked.doubts;
        worked.put
    }

    pub(super) fn note_concerned(&mut self, after: After) {
        if let Ending::Answer(answered) = &mut self.ending {
            answered.concerned = after;
        }
    }

    /// What was learnt is not written, and stands all the same.
    pub(super) fn note_no_room(&mut self) {
        self.doubts = [None; 2];
        if let Ending::Answer(answered) = &mut self.ending {
            match self.updates.front() {
                Some(Update::Own { .. }) => answered.own.lost = true,
                Some(Update::Concerned { .. }) => answered.concerned.lost = true,
                Some(
                    Update::Keep { .. }
                    | Update::Unbind { .. }
                    | Update::Issued { .. }
                    | Update::Cancel { .. }
                    | Update::Health(_)
                    | Update::Bar { .. }
                    | Update::ReturnPermit(_)
                    | Update::Retract,
                )
                | None => {}
            }
        }
    }

    pub(super) fn note_lost(&mut self) {
        self.doubts = [None; 2];
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
                | Update::ReturnPermit(_)
                | Update::Retract,
            )
            | None => {}
        }
    }
}
