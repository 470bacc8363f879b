//! What is written before anything leaves: the permit for a trial, and then the claim, with the
//! client's header key bound to it.

use super::attempt::Attempt;
use super::load::STORE_FAILED;
use super::permit::Permit;
use super::settling::{Settling, Update};
use super::stage::{CommitStep, Committing, Context, Next, Records, Stage, Task};
use crate::engine::event::ExchangeEffect;
use crate::engine::gateway::Gateways;
use crate::engine::health::Health;
use crate::engine::payment::{DoubtEvent, ResolvedBy, doubts};
use crate::engine::protocol::{Compiled, LocalReply, NotExecuted};
use crate::engine::store::{
    Alias, AliasTarget, Commit, Entry, Key, Patience, StoreError, StoreEvent, StoreRequest, Version,
};
use crate::engine::time::Millis;

/// A claim is refused for want of room only where there was none before.
const STORE_FULL: LocalReply =
    LocalReply::NotExecuted { why: NotExecuted::StoreFull, retry_after: Millis::new(1000) };

impl Context<'_> {
    /// Takes the permit for a trial, if it is one, and then the claim. A permit that is held from
    /// an earlier decision serves this one or comes back.
    pub(super) fn prepare(
        self,
        task: Task,
        records: Records,
        mut attempt: Box<Attempt>,
        mut health: Box<Health>,
        version: Version,
    ) -> Next {
        let permit = |health: &Health| {
            let gateway = attempt.members.first().copied().filter(|_| attempt.trial)?;
            Some(Permit { gateway, generation: health.generation(gateway) })
        };
        let wanted = permit(&health);
        if task.permit == wanted {
            return self.claim_at_once(task, records, attempt);
        }
        let event = wanted
            .and_then(|permit| health.take_permit(permit.gateway, &self.policy.health, self.now));
        let taken = permit(&health);
        if let (Some(first), Some(taken)) = (attempt.generations.first_mut(), taken) {
            *first = taken.generation;
        }
        let step = CommitStep::Permit { taken, event };
        let committing = Committing { task, records, attempt, step };
        let write = StoreRequest::WriteHealth(health, version);
        Next::ask(Stage::Committing(Box::new(committing)), write)
    }

    /// Takes the claim where no permit is to be taken.
    pub(super) fn claim_at_once(self, task: Task, records: Records, attempt: Box<Attempt>) -> Next {
        let step = CommitStep::Claim;
        self.claim(Box::new(Committing { task, records, attempt, step }))
    }

    pub(super) fn go_on_committing(
        mut self,
        mut committing: Box<Committing>,
        event: StoreEvent,
    ) -> Next {
        match event {
            StoreEvent::HealthWritten => {
                let (_, told) = committing.take_permit();
                self.claim(committing).after(told)
            }
            StoreEvent::Committed => {
                let opened = committing.opens_doubt();
                let Committing { task, attempt, .. } = *committing;
                let opened = opened.map(ExchangeEffect::Doubt).into_iter().collect();
                self.let_go(task.parsed, attempt).after(opened)
            }
            StoreEvent::Conflict | StoreEvent::HealthConflict => self.decide_anew(committing.task),
            // Whether the permit was taken is not known; if it was, its time brings it back.
            StoreEvent::HealthUnclear => {
                committing.task.permit = None;
                self.give_up(committing.task, STORE_FAILED)
            }
            StoreEvent::Refused(StoreError::Full) => self.no_room(*committing),
            StoreEvent::Refused(StoreError::Unavailable) => {
                self.give_up(committing.task, STORE_FAILED)
            }
            StoreEvent::Unclear if self.policy.observes(committing.operation()) => {
                self.give_up(committing.task, STORE_FAILED)
            }
            StoreEvent::Unclear => {
                let told = self.say(&committing.task.parsed, &STORE_FAILED, Gateways::NONE);
                self.retract(committing.task.permit, told)
            }
            StoreEvent::Seen(_)
            | StoreEvent::Guessed(_)
            | StoreEvent::Retracted
            | StoreEvent::Resumed
            | StoreEvent::Health(..)
            | StoreEvent::Answer(_)
            | StoreEvent::AnswerKept => Next::to(Stage::Committing(committing), Vec::new()),
        }
    }

    /// Nobody knows whether the claim was written, and nothing is sent. The client is told so at
    /// once; that the claim never counts is seen to afterwards.
    pub(super) fn retract(self, permit: Option<Permit>, told: Vec<ExchangeEffect>) -> Next {
        let permit = permit.map(Update::ReturnPermit);
        let updates = std::iter::once(Update::Retract).chain(permit).collect();
        self.next_update(Box::new(Settling::ending(updates, Vec::new()))).after(told)
    }

    /// A payment whose header key cannot be kept is not begun. One that was sent before goes on
    /// without.
    fn no_room(self, committing: Committing) -> Next {
        let binds = committing.binds();
        let is_first = committing.attempt.claim.is_some_and(|claim| claim.attempt == 1);
        let mut task = committing.task;
        if is_first || !binds {
            return self.give_up(task, STORE_FULL);
        }
        task.without_alias = true;
        self.decide_anew(task)
    }

    /// Writes the claim, and what leads to it.
    fn claim(mut self, mut committing: Box<Committing>) -> Next {
        let binds = committing.binds();
        let Committing { task, records, attempt, .. } = &*committing;
        // An inquiry, or a call that changes no payment. A charge or a follow-up always has a payment
        // (`ParsedRequest::parse`), and then a claim (`Snapshot::decide_payment`).
        let (Some(claim), Some(payment)) = (attempt.claim, &task.parsed.payment) else {
            let Committing { task, attempt, .. } = *committing;
            return self.let_go(task.parsed, attempt);
        };
        let reference = payment.key.reference();
        let mut put = Vec::with_capacity(2);
        if let Some(key) = payment.header_key.filter(|_| binds) {
            let to = AliasTarget::Payment(reference);
            // That of a payment that is never sent after all is known again by this time.
            let is_first = claim.attempt == 1;
            let used_at = if is_first { claim.incarnation.claimed_at } else { self.now };
            let alias = Alias { to, used_at, nonce: task.parsed.nonce };
            put.push((Key::Alias(key.reference()), Entry::Alias(alias)));
        }
        put.push((Key::Payment(reference), Entry::Claim(claim)));
        // What a follow-up is about must still stand where it was found.
        let concerned = task.parsed.concerns.map(|key| Key::Payment(key.reference()));
        let expected = |key: Key| Some((key, records.find(key)?.version));
        let keys = put.iter().map(|(key, _)| *key).chain(concerned);
        let Some(expect) = keys.map(expected).collect() else {
            return self.give_up(committing.task, STORE_FAILED);
        };
        committing.step = CommitStep::Claim;
        let commit = StoreRequest::Commit(Commit { expect, put, patience: Patience::Long });
        Next::ask(Stage::Committing(committing), commit)
    }
}

impl Committing {
    fn operation(&self) -> Option<&Compiled> {
        self.task.parsed.operation.as_deref()
    }

    /// The repeat that is written now shows that its payment is in doubt, where nothing has said so since
    /// its lease ended.
    fn opens_doubt(&self) -> Option<DoubtEvent> {
        let claim = self.attempt.claim?;
        let key = Key::Payment(self.task.parsed.payment.as_ref()?.key.reference());
        let Entry::Claim(stored) = self.records.entry(key) else {
            return None;
        };
        let [opened, _] = doubts(&stored, claim.state, claim.state, ResolvedBy::Answer);
        opened
    }

    /// Whether the client's header key is bound with the claim. A payment that begins does not begin
    /// without, even if there was no room while it seemed to have been sent before.
    fn binds(&self) -> bool {
        let is_further = self.attempt.claim.is_some_and(|claim| claim.attempt > 1);
        self.attempt.binds && !(self.task.without_alias && is_further)
    }
}
