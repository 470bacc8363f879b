//! What is told of a notification: to its gateway, and to operators.

use std::rc::Rc;

use super::answer;
use super::stage::{Noted, NoticeStage, NoticeStep, end};
use crate::engine::event::{After, Decision, NotificationEffect, Way};
use crate::engine::exchange::stage::Context;
use crate::engine::gateway::Gateways;
use crate::engine::payment::PaymentStatus;
use crate::engine::protocol::SnapCode;
use crate::engine::time::Millis;

impl Context<'_> {
    pub(super) fn come_again(&self, noted: &Noted, why: &'static str, wait: Millis) -> NoticeStep {
        let reply = answer::again(why, noted.notice.service_code(), wait);
        let told = self.noted(noted, why, reply.status, None);
        end(vec![told, NotificationEffect::Reply(reply)])
    }

    /// What was decided about it.
    pub(super) fn noted(
        &self,
        noted: &Noted,
        decision: &'static str,
        status: u16,
        code: Option<SnapCode>,
    ) -> NotificationEffect {
        let notice = &noted.notice;
        let gateways = Gateways::only(notice.gateway);
        NotificationEffect::Decided(Box::new(Decision {
            way: Way::In,
            operation: Some(Rc::clone(&notice.operation)),
            key: Some(notice.payment.reference()),
            decision,
            claim: noted.after,
            gateways,
            names: self.policy.names(gateways),
            code,
            evidence: notice.status.map_or("", PaymentStatus::name),
            status,
            at: self.now,
            subject: Rc::clone(&notice.subject),
            ..Decision::default()
        }))
    }

    /// The gateway has left, and nobody is told how it ends. What is being written counts all the same, and
    /// whether the application confirms shows at the next try.
    pub(super) fn gateway_gone(&self, stage: NoticeStage) -> NoticeStep {
        let (mut noted, code) = match stage {
            NoticeStage::Held | NoticeStage::Ended => return end(Vec::new()),
            NoticeStage::Reading(noted)
            | NoticeStage::Replaying(noted)
            | NoticeStage::Sent(noted, _) => (noted, None),
            NoticeStage::Writing(mut noted, _) => {
                noted.after = After { state: None, lost: noted.after.state.is_some() };
                (noted, None)
            }
            NoticeStage::Keeping(closing) | NoticeStage::Closing(closing) => {
                (closing.noted, closing.code)
            }
        };
        let mut effects = noted.take_anomaly();
        effects.push(self.noted(&noted, "gateway_gone", 0, code));
        end(effects)
    }
}
