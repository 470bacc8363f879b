//! The application has answered, or nobody has: what that means for the gateway, and for its next try.

use super::answer;
use super::inbound::Inbound;
use super::stage::{Closing, Noted, NoticeStage, NoticeStep, end};
use crate::engine::event::{ApplicationAnswer, NotificationEffect};
use crate::engine::exchange::stage::Context;
use crate::engine::limits;
use crate::engine::payment::Incarnation;
use crate::engine::protocol::Reply;
use crate::engine::store::{
    Alias, AliasTarget, Commit, Delivery, Entry, KeptAnswer, Patience, StoreEvent, StoreRequest,
};
use crate::engine::time::Millis;

impl Context<'_> {
    pub(super) fn application_answered(
        self,
        noted: Box<Noted>,
        mark: Alias,
        answer: &ApplicationAnswer<'_>,
        inbound: &Inbound,
    ) -> NoticeStep {
        let code = answer.body.and_then(|body| inbound.response_code(body));
        let says_yes = code.is_some_and(|code| code.http == 200 && code.case == 0);
        let is_confirmed = answer.from_application && answer.status == 200 && says_yes;
        let mut closing = Closing::unanswered(noted, mark);
        closing.is_confirmed = is_confirmed;
        closing.from_application = answer.from_application;
        (closing.status, closing.code) = (answer.status, code);
        // Whoever has it may confirm it yet, in its own time: the mark stays for as long as it lasts.
        if !answer.from_application && answer.was_reached {
            return end(self.closed(&closing));
        }
        let bytes_max = self.policy.config.store.body_bytes_max;
        let body = answer.body.filter(|body| is_confirmed && body.len() <= bytes_max);
        let Some(body) = body else {
            return closing.write(true);
        };
        let content_type = answer.content_type.map(str::to_owned);
        let kept = KeptAnswer { status: answer.status, content_type, body: body.to_vec() };
        let of = Incarnation { claimed_at: mark.used_at, nonce: mark.nonce };
        let keep = StoreRequest::KeepAnswer(closing.noted.notice.delivery, of, Box::new(kept));
        (NoticeStage::Keeping(closing), vec![], vec![keep])
    }

    /// Writes down whether it is confirmed, if it is still this request's to do, and answers.
    pub(super) fn close(self, mut closing: Box<Closing>, event: StoreEvent) -> NoticeStep {
        let (seen, is_guessed) = match event {
            StoreEvent::Seen(seen) => (seen, false),
            StoreEvent::Guessed(seen) => (seen, true),
            StoreEvent::Conflict if closing.noted.attempts < limits::STORE_ATTEMPTS_MAX => {
                closing.noted.attempts += 1;
                return closing.write(false);
            }
            // What is not written is given to the application anew, once its time is over.
            StoreEvent::Committed
            | StoreEvent::Conflict
            | StoreEvent::Unclear
            | StoreEvent::Retracted
            | StoreEvent::Resumed
            | StoreEvent::Refused(_)
            | StoreEvent::Health(..)
            | StoreEvent::HealthWritten
            | StoreEvent::HealthConflict
            | StoreEvent::HealthUnclear
            | StoreEvent::Answer(_)
            | StoreEvent::AnswerKept => return end(self.closed(&closing)),
        };
        let [_, key] = closing.noted.notice.keys();
        let found = seen.iter().find(|one| one.key == key);
        let is_own = found.is_some_and(|one| one.entry == Entry::Alias(closing.mark));
        let Some(version) = found.filter(|_| is_own).map(|one| one.version) else {
            return if is_guessed { closing.write(false) } else { end(self.closed(&closing)) };
        };
        let confirmed = Alias { to: AliasTarget::Application(Delivery::Confirmed), ..closing.mark };
        let entry = if closing.is_confirmed { Entry::Alias(confirmed) } else { Entry::Absent };
        let (expect, put) = (vec![(key, version)], vec![(key, entry)]);
        let commit = StoreRequest::Commit(Commit { expect, put, patience: Patience::Short });
        (NoticeStage::Closing(closing), vec![], vec![commit])
    }

    fn closed(&self, closing: &Closing) -> Vec<NotificationEffect> {
        let Closing { noted, status, code, .. } = closing;
        if closing.from_application {
            let decision = if closing.is_confirmed { "deliver" } else { "not_confirmed" };
            return vec![self.noted(noted, decision, *status, *code), NotificationEffect::Relay];
        }
        let wait = Millis::new(1000);
        let reply = answer::again("application_away", noted.notice.service_code(), wait);
        let told = self.noted(noted, reply.reason, reply.status, None);
        vec![told, NotificationEffect::Reply(reply)]
    }

    pub(super) fn replayed_to_gateway(
        &self,
        noted: &Noted,
        kept: Option<KeptAnswer>,
    ) -> Vec<NotificationEffect> {
        let reply = kept.map_or_else(
            || answer::confirmed_before(noted.notice.service_code()),
            |kept| Reply {
                status: kept.status,
                headers: kept
                    .content_type
                    .map(|value| ("content-type", value))
                    .into_iter()
                    .collect(),
                body: kept.body,
                reason: "replay",
            },
        );
        let told = self.noted(noted, "replay", reply.status, None);
        vec![told, NotificationEffect::Reply(reply)]
    }
}
