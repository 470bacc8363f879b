//! What a notification says is worked into its payment's claim, and nobody else takes it to the application.

use super::read::Notice;
use super::stage::{Noted, NoticeStage, NoticeStep, Then, read};
use crate::engine::config::{GATEWAY_HEADER, VERIFIED_HEADER};
use crate::engine::event::{After, NotificationEffect};
use crate::engine::exchange::answered::Worked;
use crate::engine::exchange::stage::Context;
use crate::engine::gateway::Gateways;
use crate::engine::health::Health;
use crate::engine::limits;
use crate::engine::payment::{
    Anomaly, Claim, ClaimState, Closed, Evidence, Fingerprint, Incarnation, Money, PaymentStatus,
};
use crate::engine::store::{
    Alias, AliasTarget, Commit, Delivery, Entry, Key, Patience, Seen, StoreEvent, StoreRequest,
    Version,
};
use crate::engine::time::{Millis, Timestamp};

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
        // Whoever repeats it has been heard. What was found out before a race was lost is true all the same.
        let is_news = matches!(then, Then::Deliver(_)) || worked.put.is_some();
        noted.doubts = worked.doubts;
        noted.anomaly = worked.anomaly.filter(|_| is_news).or(noted.anomaly);
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
                    let left = self.mark_left(alias);
                    if left > Millis::ZERO { Some(Then::Wait(left)) } else { anew() }
                }
                AliasTarget::Payment(_) | AliasTarget::Gateway(_) => None,
            },
            Entry::Claim(_) | Entry::Unreadable => None,
        }
    }

    /// How long the application may still have what stands under this mark. A clock that leapt ends nothing;
    /// a mark from a clock far ahead lasts no longer than any.
    fn mark_left(&self, mark: Alias) -> Millis {
        let skew = self.policy.config.store.etcd().map_or(Millis::ZERO, |etcd| etcd.clock_skew);
        let lease = self.policy.claims.lease.get() + skew.get();
        if mark.used_at.since(self.now).get() > lease {
            return Millis::ZERO;
        }
        let passed = self.counters.leaps(self.now).passed(mark.used_at, self.now);
        Millis::new(lease.saturating_sub(passed.get()))
    }

    fn work_notice_in(&self, notice: &Notice, entry: Entry) -> Worked {
        let rules = &self.policy.claims;
        let before = if let Entry::Claim(claim) = entry { Some(claim) } else { None };
        // Where all gateways keep one ledger, whichever speaks speaks of whoever has the payment.
        let holder = before.and_then(|claim| claim.holders().single());
        let gateway = holder.filter(|_| rules.shared_ledger).unwrap_or(notice.gateway);
        let said = notice.status.and_then(|status| {
            let at = said_at(notice, status, before.map(|claim| claim.at(self.now)))?;
            Some((Evidence::Told { gateway, status }, at))
        });
        let key = &notice.payment;
        let observed = self.policy.observes(None);
        let mut worked = self.work_in(entry, key, said, Fingerprint::UNKNOWN, observed);
        let money = notice.subject.money;
        if let (None, Some(Entry::Claim(claim))) = (before, &mut worked.put) {
            claim.money = money;
        }
        let is_known = |money: Money| money.currency != Money::default().currency;
        let own = before.map(|claim| claim.money).filter(|own| is_known(*own) && is_known(money));
        let differs = own.is_some_and(|own| own != money);
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
        if *event == StoreEvent::Conflict && noted.attempts < limits::STORE_ATTEMPTS_MAX {
            noted.attempts += 1;
            return read(noted);
        }
        // What could not be written is true all the same.
        let mut effects = noted.take_anomaly();
        if *event != StoreEvent::Committed {
            noted.after = After { state: None, lost: noted.after.state.is_some() };
            let (stage, more, asks) = self.come_again(&noted, "store_failed", Millis::new(1000));
            effects.extend(more);
            return (stage, effects, asks);
        }
        effects.extend(noted.take_doubts());
        match then {
            Then::Deliver(mark) => {
                let gateway = self.policy.names(Gateways::only(noted.notice.gateway));
                let mut headers =
                    vec![(GATEWAY_HEADER, gateway), (VERIFIED_HEADER, "true".to_owned())];
                // What is compressed cannot be read, and so confirms nothing.
                if noted.notice.accepts_encodings {
                    headers.push(("accept-encoding", "identity".to_owned()));
                }
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

/// When it was so. What was executed stays so from then on, and may have been given back since. How it ended
/// otherwise may be how an earlier attempt ended, told again and signed anew: that counts from when it
/// happened, and if nobody says when, not at all.
fn said_at(notice: &Notice, status: PaymentStatus, claim: Option<Claim>) -> Option<Timestamp> {
    let failed = PaymentStatus::Closed(Closed::Failed);
    let may_be_of_before = claim.is_some_and(|claim| match claim.state {
        ClaimState::InDoubt { .. } => claim.attempt > 1,
        ClaimState::Settled { .. } => status == failed,
        ClaimState::InFlight { .. } | ClaimState::Rejected { .. } | ClaimState::Closed { .. } => {
            false
        }
    });
    if status == PaymentStatus::Executed {
        return Some(notice.finished_at.unwrap_or(notice.signed_at));
    }
    if may_be_of_before {
        return notice.finished_at;
    }
    // Gateways say it in whole seconds. What had failed before the record began was another attempt, whose
    // record has ended, or was forgotten with a restart.
    let is_of_before = claim.zip(notice.finished_at).is_some_and(|(claim, at)| {
        let is_in_doubt = matches!(claim.state, ClaimState::InDoubt { .. });
        let is_older = at.plus(Millis::new(1000)) <= claim.incarnation.claimed_at;
        status == failed && is_in_doubt && is_older
    });
    (!is_of_before).then_some(notice.signed_at)
}
