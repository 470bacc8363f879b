//! A gateway's notification to the merchant's application: the other direction.
//!
//! ```text
//! Request  -> verify -> read payment and notification -> write both -> Forward  (or Reply, and it ends)
//! Answered -> [keep the answer] -> write that it is confirmed, or free it -> Relay or Reply
//! ```
//!
//! What is verified is evidence, and is worked into the payment's claim as a status that a gateway told.
//! The same notification reaches the application once: with the evidence is written that it is under way,
//! and whoever repeats it meanwhile is told to come again. Only the application confirms: where it
//! does not, the gateway repeats.

use std::rc::Rc;

use super::stage::{Context, terms};
use crate::engine::config::Policy;
use crate::engine::event::{NotificationEffect, NotificationEvent};
use crate::engine::health::WorkerCounters;
use crate::engine::machine::{Input, InputOf, Machine, Output, OutputOf, Tickets};
use crate::engine::protocol::Reply;
use crate::engine::store::{Keyed, Session, StoreEvent, StoreRequest, Terms};
use crate::engine::time::{Millis, Timestamp};

mod answer;
mod close;
mod inbound;
mod read;
mod stage;
mod take;
mod tell;

pub use inbound::Inbound;
use stage::{Noted, NoticeStage, NoticeStep};

/// One notification.
#[derive(Debug)]
pub struct Notification {
    policy: Rc<Policy>,
    inbound: Rc<Inbound>,
    stage: NoticeStage,
    asked: Tickets,
}

impl Notification {
    /// One that has just begun.
    #[must_use]
    pub fn new(policy: Rc<Policy>, inbound: Rc<Inbound>) -> Self {
        Self { policy, inbound, stage: NoticeStage::Held, asked: Tickets::default() }
    }

    /// Whether the application has it.
    #[must_use]
    pub const fn is_sent(&self) -> bool {
        matches!(self.stage, NoticeStage::Sent(..))
    }

    /// Whether nothing more is to happen.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self.stage, NoticeStage::Ended)
    }

    /// Whether the store has still to answer.
    #[must_use]
    pub fn awaits_store(&self) -> bool {
        !self.asked.is_empty()
    }

    /// The host did not let it be read or decided: the gateway is to come again.
    #[must_use]
    pub fn fail_closed(&mut self) -> Reply {
        self.stage = NoticeStage::Ended;
        self.asked.forget();
        answer::again("store_failed", None, Millis::new(1000))
    }
}

impl Machine for Notification {
    type Event<'a> = NotificationEvent<'a>;
    type Effect = NotificationEffect;
    type Ask = StoreRequest;
    type Told = StoreEvent;
    type Counters = WorkerCounters;

    fn handle(
        &mut self,
        input: InputOf<'_, Self>,
        now: Timestamp,
        counters: &mut WorkerCounters,
    ) -> Vec<OutputOf<Self>> {
        counters.look(now);
        if let Input::Told(ticket, _) = &input
            && !self.asked.close(*ticket)
        {
            return Vec::new();
        }
        let (policy, inbound) = (Rc::clone(&self.policy), Rc::clone(&self.inbound));
        let context = Context { policy: &policy, now, counters };
        let stage = std::mem::replace(&mut self.stage, NoticeStage::Ended);
        let (stage, effects, asks) = context.notify(stage, input, &inbound);
        self.stage = stage;
        let effects = effects.into_iter().map(Output::Do);
        let asks = asks.into_iter().map(|ask| Output::Ask(self.asked.open(), ask));
        effects.chain(asks).collect()
    }
}

impl Keyed for Notification {
    type Session = Session;

    fn terms<'a>(&'a self, now: Timestamp, counters: &'a WorkerCounters) -> Terms<'a> {
        terms(&self.policy, now, counters)
    }
}

impl Context<'_> {
    fn notify(
        self,
        stage: NoticeStage,
        input: Input<NotificationEvent<'_>, StoreEvent>,
        inbound: &Inbound,
    ) -> NoticeStep {
        match (stage, input) {
            (NoticeStage::Held, Input::Event(NotificationEvent::Request(request))) => {
                match inbound.read(&request, self.policy, self.now) {
                    Ok(notice) => stage::begin(Box::new(Noted::new(notice))),
                    Err(refused) => stage::end(refused.effects(self.now)),
                }
            }
            (NoticeStage::Sent(noted, mark), Input::Event(NotificationEvent::Answered(answer))) => {
                self.application_answered(noted, mark, &answer, inbound)
            }
            (stage, Input::Event(NotificationEvent::GatewayGone)) => self.gateway_gone(stage),
            (NoticeStage::Reading(noted), Input::Told(_, StoreEvent::Health(health, version))) => {
                self.learn_leaps(noted, health, version)
            }
            (NoticeStage::Reading(noted), Input::Told(_, event)) => self.take_notice(noted, event),
            (NoticeStage::Writing(noted, then), Input::Told(_, event)) => {
                self.after_writing(noted, then, &event)
            }
            (NoticeStage::Replaying(noted), Input::Told(_, event)) => {
                let kept = if let StoreEvent::Answer(kept) = event { kept } else { None };
                stage::end(self.replayed_to_gateway(&noted, kept))
            }
            (NoticeStage::Keeping(closing), Input::Told(..)) => closing.write(true),
            (NoticeStage::Closing(closing), Input::Told(_, event)) => self.close(closing, event),
            // A late or foreign event changes nothing.
            (stage, _) => (stage, vec![], vec![]),
        }
    }
}

#[cfg(test)]
mod tests;
