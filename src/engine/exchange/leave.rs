//! A client that leaves while the store is asked. Nothing is sent for it any longer; what is being
//! written is written to its end, and a claim that was won is given back.

use super::permit::Permit;
use super::stage::{CommitStep, Committing, Context, Next, Stage};
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
            // Its end will be told, or is being written.
            stage @ (Stage::Committing(_) | Stage::Sent(_) | Stage::Settling(_)) => {
                Next::to(stage, Vec::new())
            }
        }
    }

    /// What was being written for a client that has left is written, or not.
    pub(super) fn go_on_leaving(self, mut committing: Box<Committing>, event: StoreEvent) -> Next {
        match event {
            StoreEvent::HealthWritten => {
                let (permit, told) = committing.take_permit();
                self.end_unsent(&committing.task.parsed, permit).after(told)
            }
            StoreEvent::Conflict
            | StoreEvent::HealthConflict
            | StoreEvent::Refused(_)
            | StoreEvent::Unclear => {
                self.end_unsent(&committing.task.parsed, committing.task.permit)
            }
            // If a permit was taken, its time brings it back.
            StoreEvent::HealthUnclear => self.end_unsent(&committing.task.parsed, None),
            // The claim is ours. It goes the way of every attempt that did not leave.
            StoreEvent::Committed
            | StoreEvent::Seen(_)
            | StoreEvent::Health(..)
            | StoreEvent::Answer(_)
            | StoreEvent::AnswerKept => self.go_on_committing(committing, event),
        }
    }

    /// Nobody is left to be answered: what would be sent is not, and is settled as that.
    pub(super) fn without_client(self, next: Next) -> Next {
        let Next { stage, mut effects, asks } = next;
        let count = effects.len();
        effects.retain(|effect| {
            !matches!(effect, ExchangeEffect::Forward(_) | ExchangeEffect::Call(_))
        });
        let next = match stage {
            Stage::Sent(sent) if effects.len() < count => {
                self.answered(*sent, &Answer::never_left(false)).after(effects)
            }
            stage => Next { stage, effects, asks },
        };
        let effects = next.effects.into_iter();
        let is_answer = |effect: &ExchangeEffect| {
            matches!(effect, ExchangeEffect::Reply(_) | ExchangeEffect::Relay { .. })
        };
        Next { effects: effects.filter(|effect| !is_answer(effect)).collect(), ..next }
    }

    fn end_unsent(self, parsed: &super::request::ParsedRequest, permit: Option<Permit>) -> Next {
        let decision = Decision { decision: "client_gone", ..self.note(parsed) };
        self.finish(permit, vec![ExchangeEffect::Decided(decision)])
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
