//! A request that is refused, of a payment that may have been made before. Its refusal must not read
//! as if that payment had failed, so its record is looked up where the request still names it.

use std::rc::Rc;

use super::request::ParsedRequest;
use super::request::refused::{Named, RefusedRequest, Refusing};
use super::stage::{Context, Next, Stage};
use crate::engine::event::{Decision, ExchangeEffect, Subject};
use crate::engine::gateway::Gateways;
use crate::engine::payment::{ClaimState, Closed};
use crate::engine::protocol::{Class, Compiled, LocalReply, RequestError, Standing};
use crate::engine::store::{Entry, Key, StoreEvent, StoreRequest};

impl Context<'_> {
    pub(super) fn refuse(mut self, refused: RefusedRequest) -> Next {
        let RefusedRequest { refusal, operation, subject, named } = refused;
        if self.policy.observes(operation.as_deref()) {
            let parsed = ParsedRequest::passed(Rc::clone(&subject));
            let local_reply =
                LocalReply::Refused { refusal: refusal.clone(), standing: Standing::Unasked };
            let (reply, note) =
                self.reply(&local_reply, operation.as_ref(), &subject, Gateways::NONE);
            if let Some(attempt) = self.unclaimed(&parsed, reply.reason) {
                let (decision, would) = (attempt.decision, attempt.would);
                let note = Decision { decision, would, status: 0, ..note };
                return self
                    .let_go(parsed, Box::new(attempt))
                    .after(vec![ExchangeEffect::Decided(Box::new(note))]);
            }
        }
        match named {
            Some(named) => {
                let read = StoreRequest::Read(vec![Key::Payment(named.key.reference())]);
                let refusing = Refusing { refusal, operation, subject, named };
                Next::ask(Stage::Refusing(Box::new(refusing)), read)
            }
            None => {
                let class = operation.as_ref().map(|compiled| compiled.operation.class);
                let pays = matches!(class, Some(Class::Charge | Class::FollowUp));
                let standing = if pays { Standing::Unasked } else { Standing::NotExecuted };
                let effects =
                    self.refused(refusal, standing, operation.as_ref(), &subject, Gateways::NONE);
                Next::to(Stage::Ended, effects)
            }
        }
    }

    /// What is known of the payment was read.
    pub(super) fn go_on_refusing(self, refusing: Refusing, event: &StoreEvent) -> Next {
        let Refusing { refusal, operation, subject, named: Named { key, in_part } } = refusing;
        let found = match event {
            StoreEvent::Seen(seen) => seen.first().map_or(Entry::Unreadable, |seen| seen.entry),
            StoreEvent::Guessed(_)
            | StoreEvent::Retracted
            | StoreEvent::Resumed
            | StoreEvent::Committed
            | StoreEvent::Conflict
            | StoreEvent::Unclear
            | StoreEvent::Refused(_)
            | StoreEvent::Health(..)
            | StoreEvent::HealthWritten
            | StoreEvent::HealthConflict
            | StoreEvent::HealthUnclear
            | StoreEvent::Answer(_)
            | StoreEvent::AnswerKept => Entry::Unreadable,
        };
        let (standing, gateways) = match found {
            Entry::Absent if in_part => (Standing::Unasked, Gateways::NONE),
            Entry::Absent => (Standing::NotExecuted, Gateways::NONE),
            Entry::Unreadable | Entry::Alias(_) => (Standing::Unknown, Gateways::NONE),
            Entry::Claim(claim) => {
                let claim = claim.enforced(&self.policy.claims).at(self.now);
                let standing = match claim.state {
                    ClaimState::InFlight { .. } | ClaimState::InDoubt { .. } => Standing::Unknown,
                    ClaimState::Settled { .. }
                    | ClaimState::Closed { how: Closed::Refunded, .. } => Standing::Executed,
                    ClaimState::Rejected { .. }
                    | ClaimState::Closed { how: Closed::Failed | Closed::Cancelled, .. } => {
                        Standing::NotExecuted
                    }
                };
                (standing, claim.holders())
            }
        };
        let mut effects = self.refused(refusal, standing, operation.as_ref(), &subject, gateways);
        for effect in &mut effects {
            if let ExchangeEffect::Decided(note) = effect {
                note.key = Some(key.reference());
            }
        }
        Next::to(Stage::Ended, effects)
    }

    fn refused(
        &self,
        refusal: RequestError,
        standing: Standing,
        operation: Option<&Rc<Compiled>>,
        subject: &Rc<Subject>,
        gateways: Gateways,
    ) -> Vec<ExchangeEffect> {
        let local_reply = LocalReply::Refused { refusal, standing };
        let (reply, note) = self.reply(&local_reply, operation, subject, gateways);
        vec![ExchangeEffect::Decided(Box::new(note)), ExchangeEffect::Reply(reply)]
    }
}
