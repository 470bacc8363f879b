//! What a notification says is worked into its payment's claim, and nobody else takes it to the application.

use super::read::Notice;
use super::stage::{Noted, NoticeStage, NoticeStep, Then, read};
use crate::engine::config::GATEWAY_HEADER;
use crate::engine::event::NotificationEffect;
use crate::engine::exchange::answered::Worked;
use crate::engine::exchange::stage::Context;
use crate::engine::gateway::Gateways;
use crate::engine::health::Health;
use crate::engine::limits;
use crate::engine::payment::{Anomaly, Evidence, Fingerprint, Incarnation, Money, PaymentStatus};
use crate::engine::store::{
    Alias, AliasTarget, Commit, Delivery, Entry, Key, Patience, Seen, StoreEvent, StoreRequest,
    Version,
};
use crate::engine::time::Millis;

/// Says that the signature was verified; [`GATEWAY_HEADER`] says whose it is.
const VERIFIED_HEADER: &str = "x-dana-verified";

impl Context<'_> {
    /// Time that the clock skipped ends no lease.
    pub(super) fn learn_leaps(
        self,
        noted: Box<Noted>,
        health: Box<Health>,
        version: Version,
    ) -> NoticeStep {
        self.counters.learn(&health.leaps_unticked(&self.policy.health, self.now));
        self.counters.remember(version.number(), health);
        read(noted)
    }

    /// Works what is said into the payment's claim, and takes the notification if nobody has it.
    pub(super) fn take_notice(self, mut noted: Box<Noted>, event: StoreEvent) -> NoticeStep {
        let StoreEvent::Seen(seen) = event else {
            return self.come_again(&noted, "store_failed", Millis::new(1000));
        };
        let [payment, delivery] = noted.notice.keys();
        let find = |key: Key| seen.iter().find(|one| one.key == key);
        let (Some(payment), Some(delivery)) = (find(payment), find(delivery)) else {
            return self.come_again(&noted, "store_failed", Millis::new(1000));
        };
        let Some(then) = self.then(&noted, delivery.entry) else {
            return self.come_again(&noted, "store_failed", Millis::new(1000));
        };
        let worked = self.work_notice_in(&noted.notice, payment.entry);
        noted.after = worked.after;
        // Whoever repeats it has been heard.
        noted.anomaly = worked.anomaly.filter(|_| matches!(then, Then::Deliver(_)));
        let mut put: Vec<(Key, Entry)> = Vec::with_capacity(2);
        if let Then::Deliver(mark) = then
            && delivery.entry != Entry::Alias(mark)
        {
            put.push((delivery.key, Entry::Alias(mark)));
            noted.own = Some(mark);
        }
        put.extend(worked.put.map(|entry| (payment.key, entry)));
        if put.is_empty() {
            return self.after_writing(noted, then, &StoreEvent::Committed);
        }
        let expect = [payment, delivery].map(|one: &Seen| (one.key, one.version)).to_vec();
        let commit = Commit { expect, put, patience: Patience::Long };
        (NoticeStage::Writing(noted, then), vec![], vec![StoreRequest::Commit(commit)])
    }

    /// What is to become of a notification of which the store knows this; `None` where that cannot be read.
    fn then(&self, noted: &Noted, entry: Entry) -> Option<Then> {
        let anew = || {
            let to = AliasTarget::Application(Delivery::UnderWay);
            let mark = Alias { to, used_at: self.now, nonce: noted.notice.nonce };
            Some(Then::Deliver(noted.own.unwrap_or(mark)))
        };
        match entry {
            Entry::Absent => anew(),
            // What this request has written itself, before it lost a race for the payment.
            Entry::Alias(alias) if noted.own == Some(alias) => Some(Then::Deliver(alias)),
            Entry::Alias(alias) => match alias.to {
                AliasTarget::Application(Delivery::Confirmed) => {
                    let (claimed_at, nonce) = (alias.used_at, alias.nonce);
                    Some(Then::Replay(Incarnation { claimed_at, nonce }))
                }
                AliasTarget::Application(Delivery::UnderWay) => {
                    let lease = Millis::new(limits::NOTIFY_LEASE_MS);
                    let ends = alias.used_at.plus(lease);
                    if self.now < ends { Some(Then::Wait(ends.since(self.now))) } else { anew() }
                }
                AliasTarget::Payment(_) | AliasTarget::Gateway(_) => None,
            },
            Entry::Claim(_) | Entry::Unreadable => None,
        }
    }

    fn work_notice_in(&self, notice: &Notice, entry: Entry) -> Worked {
        let observed = self.policy.observes(None);
        let said = notice
            .status
            .map(|status| (Evidence::Told { gateway: notice.gateway, status }, notice.said_at));
        let before = if let Entry::Claim(claim) = entry { Some(claim.money) } else { None };
        let key = &notice.payment;
        let mut worked = self.work_in(entry, key, said, Fingerprint::UNKNOWN, observed);
        let money = notice.subject.money;
        if let (None, Some(Entry::Claim(claim))) = (before, &mut worked.put) {
            claim.money = money;
        }
        let is_known = |money: Money| money.currency != Money::default().currency;
        let differs = before.is_some_and(|own| is_known(own) && is_known(money) && own != money);
        if differs && notice.status == Some(PaymentStatus::Executed) && worked.anomaly.is_none() {
            let was = worked.after.state;
            let (key, by) = (notice.payment.reference(), Gateways::only(notice.gateway));
            worked.anomaly = was.map(|was| Anomaly::of_another_amount(key, was, by, money));
        }
        worked
    }

    pub(super) fn after_writing(
        self,
        mut noted: Box<Noted>,
        then: Then,
        event: &StoreEvent,
    ) -> NoticeStep {
        match event {
            StoreEvent::Committed => {}
            StoreEvent::Conflict if noted.attempts < limits::STORE_ATTEMPTS_MAX => {
                noted.attempts += 1;
                return read(noted);
            }
            StoreEvent::Seen(_)
            | StoreEvent::Guessed(_)
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
            | StoreEvent::AnswerKept => {
                return self.come_again(&noted, "store_failed", Millis::new(1000));
            }
        }
        let told = noted.anomaly.take().map(NotificationEffect::Anomaly);
        let mut effects: Vec<NotificationEffect> = told.into_iter().collect();
        match then {
            Then::Deliver(mark) => {
                let gateway = self.policy.names(Gateways::only(noted.notice.gateway));
                let headers = vec![(GATEWAY_HEADER, gateway), (VERIFIED_HEADER, "true".to_owned())];
                effects.push(NotificationEffect::Forward(headers));
                (NoticeStage::Sent(noted, mark), effects, vec![])
            }
            Then::Wait(left) => {
                let (stage, more, asks) = self.come_again(&noted, "under_way", left);
                effects.extend(more);
                (stage, effects, asks)
            }
            Then::Replay(of) => {
                let find = StoreRequest::FindAnswer(noted.notice.delivery, of);
                (NoticeStage::Replaying(noted), effects, vec![find])
            }
        }
    }
}
