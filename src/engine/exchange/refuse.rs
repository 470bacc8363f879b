//! A request that is refused, of a payment that may have been made before. Its refusal must not read
//! as if that payment had failed, so its record is looked up where the request still names it.

use super::intent::{Intent, Refused};
use super::{Context, Next, Stage};
use crate::engine::answer::{Refusal, Saying, Standing};
use crate::engine::claim::{Closed, State};
use crate::engine::event::{Cell, Effect, Event, Note};
use crate::engine::gateway::Gateways;
use crate::engine::key::ClaimKey;
use crate::engine::operation::{Class, Compiled};
use crate::engine::record::{Bucket, Found};

use std::rc::Rc;

/// A refusal that waits for what is known of its payment.
#[derive(Debug)]
pub(super) struct Refusing {
    refusal: Refusal,
    operation: Option<Rc<Compiled>>,
    request_id: String,
    key: ClaimKey,
}

impl Context<'_> {
    pub(super) fn refuse(mut self, refused: Refused) -> Next {
        let Refused { refusal, operation, request_id, named } = refused;
        if self.policy.observes(operation.as_deref()) {
            let intent = Intent::passed(request_id.clone());
            let saying = Saying::Refused { refusal: refusal.clone(), standing: Standing::Unasked };
            let (reply, note) =
                self.reply(&saying, operation.as_deref(), &request_id, Gateways::NONE);
            if let Some(send) = self.unclaimed(&intent, reply.reason) {
                let note = Note { decision: send.decision, would: send.would, ..note };
                let (stage, mut effects) = self.let_go(intent, Box::new(send), self.now);
                effects.insert(0, Effect::Note(note));
                return (stage, effects);
            }
        }
        match named {
            Some(key) => {
                let load =
                    Effect::Load(Cell::Claims(self.policy.placement.bucket(key.reference())));
                let refusing = Refusing { refusal, operation, request_id, key };
                (Stage::Refusing(Box::new(refusing)), vec![load])
            }
            None => {
                let class = operation.as_ref().map(|compiled| compiled.operation.class);
                let pays = matches!(class, Some(Class::Charge | Class::FollowUp));
                let standing = if pays { Standing::Unasked } else { Standing::NotExecuted };
                let effects = self.refused(
                    refusal,
                    standing,
                    operation.as_deref(),
                    &request_id,
                    Gateways::NONE,
                );
                (Stage::Ended, effects)
            }
        }
    }

    /// What is known of the payment was read.
    pub(super) fn go_on_refusing(self, refusing: Refusing, event: &Event<'_>) -> Next {
        let Refusing { refusal, operation, request_id, key } = refusing;
        let found = match event {
            Event::Loaded(Cell::Claims(_), loaded) => Bucket::decode(loaded.bytes.clone())
                .map_or(Found::Unreadable, |bucket| bucket.find(&key.prefix())),
            Event::Loaded(..)
            | Event::Stored(_)
            | Event::Conflict(_)
            | Event::StoreFailed(_)
            | Event::Request(_)
            | Event::Answered(_) => Found::Unreadable,
        };
        let (standing, gateways) = match found {
            Found::Absent => (Standing::NotExecuted, Gateways::NONE),
            Found::Unreadable => (Standing::Unknown, Gateways::NONE),
            Found::Claim(claim) => {
                let claim = claim.enforced(&self.policy.claims).at(self.now);
                let standing = match claim.state {
                    State::InFlight { .. } | State::InDoubt { .. } => Standing::Unknown,
                    State::Settled { .. } | State::Closed { how: Closed::Refunded, .. } => {
                        Standing::Executed
                    }
                    State::Rejected { .. }
                    | State::Closed { how: Closed::Failed | Closed::Cancelled, .. } => {
                        Standing::NotExecuted
                    }
                };
                (standing, claim.holders())
            }
        };
        let mut effects =
            self.refused(refusal, standing, operation.as_deref(), &request_id, gateways);
        for effect in &mut effects {
            if let Effect::Note(note) = effect {
                note.key = key.reference().to_string();
            }
        }
        (Stage::Ended, effects)
    }

    fn refused(
        &self,
        refusal: Refusal,
        standing: Standing,
        operation: Option<&Compiled>,
        request_id: &str,
        gateways: Gateways,
    ) -> Vec<Effect> {
        let saying = Saying::Refused { refusal, standing };
        let (reply, note) = self.reply(&saying, operation, request_id, gateways);
        vec![Effect::Note(note), Effect::Reply(reply)]
    }
}
