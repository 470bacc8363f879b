//! What is told of a notification: to its gateway, and to operators.

use std::rc::Rc;

use super::answer;
use super::stage::{Noted, NoticeStep, end};
use crate::engine::event::{Decision, NotificationEffect, Way};
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
        NotificationEffect::Decided(Decision {
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
        })
    }
}
