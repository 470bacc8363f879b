//! A client that leaves while the store is asked, or a store that answers too late. Nothing is sent
//! any longer; what is being written is written to its end, and a claim that was won is given back.
//! Where the store does not say whether it was won, its lease ends in doubt.

use super::permit::Permit;
use super::stage::{CommitStep, Committing, Context, Next, Sent, Stage};
use crate::engine::event::{Answer, Decision, ExchangeEffect};
use crate::engine::store::StoreEvent;

impl Context<'_> {
    /// The client has left.
    pub(super) fn leave(self, stage: Stage) -> Next {
        match stage {
            Stage::Held | Stage::Ended => Next::to(Stage::Ended, Vec::new()),
            // Nothing of the payment is written yet.
            Stage::Refusing(_) => Next::to(Stage::Ended, Vec::new()),
            Stage::Loading(loading) => self.end_unsent(&loading.task.parsed, loading.task.permit),
            Stage::Replaying(replaying) => {
                self.end_unsent(&replaying.task.parsed, replaying.task.permit)
            }
            Stage::Settling(mut settling) => {
                settling.note_client_gone();
                Next::to(Stage::Settling(settling), Vec::new())
            }
            // Its end will be told, or is being written.
            stage @ (Stage::Committing(_) | Stage::Sent(_)) => Next::to(stage, Vec::new()),
        }
    }

    /// What was being written for a client that has left is written, or not.
    pub(super) fn go_on_leaving(self, mut committing: Box<Committing>, event: StoreEvent) -> Next {
        match event {
            StoreEvent::HealthWritten => {
                let (permit, told) = committing.take_permit();
                self.end_unsent(&committing.task.parsed, permit).after(told)
            }
            StoreEvent::Conflict | StoreEvent::HealthConflict | StoreEvent::Refused(_) => {
                self.end_unsent(&committing.task.parsed, committing.task.permit)
            }
            StoreEvent::Unclear => {
                let told = ExchangeEffect::Decided(Box::new(self.gone(&committing.task.parsed)));
                self.retract(committing.task.permit, vec![told])
            }
            // If a permit was taken, its time brings it back.
            StoreEvent::HealthUnclear => self.end_unsent(&committing.task.parsed, None),
            // The claim is ours. It goes the way of every attempt that did not leave.
            StoreEvent::Committed
            | StoreEvent::Seen(_)
            | StoreEvent::Guessed(_)
            | StoreEvent::Retracted
            | StoreEvent::Resumed
            | StoreEvent::Health(..)
            | StoreEvent::Answer(_)
            | StoreEvent::AnswerKept => self.go_on_committing(committing, event),
        }
    }

    /// What is about to be sent is sent only for a client that waits, and only if the gateway's answer
    /// will come before the lease of its claim ends: a store may have taken so long that another request
    /// has gone on without this one. What is not sent is settled as that.
    pub(super) fn check_sending(self, mut next: Next, client_gone: bool) -> Next {
        let is_sending = |effect: &ExchangeEffect| {
            matches!(effect, ExchangeEffect::Forward(_) | ExchangeEffect::Call(_))
        };
        let sends = next.effects.iter().any(is_sending);
        let is_stopped = matches!(&next.stage, Stage::Sent(sent)
            if sends && (client_gone || self.is_too_late(sent)));
        if is_stopped && let Stage::Sent(sent) = next.stage {
            next.effects.retain(|effect| !is_sending(effect));
            return self.answered(*sent, &Answer::never_left(!client_gone)).after(next.effects);
        }
        next
    }

    /// A claim that was written in the same moment as it was decided is never too late.
    fn is_too_late(&self, sent: &Sent) -> bool {
        let Some(claim) = sent.attempt.claim.filter(|_| !sent.attempt.is_observed()) else {
            return false;
        };
        let answered_by = self.now.plus(self.timeout(&sent.parsed));
        self.now > claim.changed_at && claim.lease_end().is_some_and(|end| answered_by > end)
    }

    fn end_unsent(self, parsed: &super::request::ParsedRequest, permit: Option<Permit>) -> Next {
        let decision = self.gone(parsed);
        self.finish(permit, vec![ExchangeEffect::Decided(Box::new(decision))])
    }

    fn gone(&self, parsed: &super::request::ParsedRequest) -> Decision {
        Decision { decision: "client_gone", ..self.note(parsed) }
    }
}

impl Committing {
    /// The permit that is written now, and what operators are told of it.
    pub(super) fn take_permit(&mut self) -> (Option<Permit>, Vec<ExchangeEffect>) {
        if let CommitStep::Permit { taken, event } = &mut self.step {
            self.task.permit = *taken;
            let told = event.take().map(ExchangeEffect::Changed);
            return (self.task.permit, told.into_iter().collect());
        }
        (self.task.permit, Vec::new())
    }
}
