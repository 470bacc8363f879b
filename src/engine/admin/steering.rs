//! Overrides: a gateway forced or drained, or left to breakers and heartbeats again.

use super::answer::{self, Problem};
use super::object::Object;
use super::request::{OverrideRequest, Wanted};
use super::status::{StatusReport, View};
use super::turn::Turn;
use crate::engine::audit::AuditEntry;
use crate::engine::config::Gateway;
use crate::engine::event::AdminEffect;
use crate::engine::health::{Health, HealthEvent, Override};
use crate::engine::store::{OperatorEvent, OperatorRequest, Version};
use crate::engine::time::{Timestamp, Utc};

/// An override on its way into the shared health.
#[derive(Debug)]
pub(super) struct Steering {
    request: OverrideRequest,
    attempts: u8,
    /// What is to be written, and what changes by it.
    written: Option<(Health, HealthEvent)>,
}

impl Steering {
    pub(super) const fn new(request: OverrideRequest) -> Self {
        Self { request, attempts: 0, written: None }
    }

    pub(super) fn go_on(mut self, view: View<'_>, event: OperatorEvent) -> Turn<Self> {
        let Some(gateway) = view.policy.named(&self.request.gateway) else {
            return Turn::end(Problem::NotConfigured(None).reply());
        };
        match (event, self.written.take()) {
            (OperatorEvent::Health(Some(health), version), _) => {
                self.steer(view, gateway, *health, version)
            }
            (OperatorEvent::Health(None, _), _) => Turn::end(Problem::OtherVersion.reply()),
            // Only what was written is told.
            (OperatorEvent::Written, Some((health, change))) => {
                let status = view.status(&health, None);
                steered(&self.request, &status, gateway, Some(change))
            }
            (OperatorEvent::Conflict, _) => {
                self.attempts = self.attempts.saturating_add(1);
                Turn::again(self.attempts, self, OperatorRequest::Health)
            }
            _ => Turn::end(Problem::StoreFailed.reply()),
        }
    }

    fn steer(
        mut self,
        view: View<'_>,
        gateway: &Gateway,
        mut health: Health,
        version: Version,
    ) -> Turn<Self> {
        let (request, policy, now) = (&self.request, view.policy, view.now);
        let change = match request.change {
            Wanted::Auto => Ok(health.release(gateway.id)),
            // A gateway that nothing is known of has nothing to be admitted from.
            Wanted::Admit => {
                Ok(health.is_barred(gateway.id).then(|| health.admit(gateway.id)).flatten())
            }
            Wanted::Override(kind, ttl) => {
                let wanted = Override {
                    gateway: gateway.id,
                    kind,
                    since: now,
                    until: now.plus(ttl),
                    actor: request.actor.clone(),
                    reason: request.reason.clone(),
                };
                health.override_by(wanted, &policy.health, now).map(Some)
            }
        };
        match change {
            Err(refusal) => {
                let gateway = gateway.name.clone();
                Turn::end(Problem::Override { refusal, gateway }.reply())
            }
            Ok(None) => {
                let status = view.status(&health, None);
                steered(request, &status, gateway, None)
            }
            Ok(Some(change)) => {
                let write = OperatorRequest::WriteHealth(Box::new(health.clone()), version);
                self.written = Some((health, change));
                Turn::Ask(self, write)
            }
        }
    }
}

fn steered<T>(
    request: &OverrideRequest,
    status: &StatusReport<'_>,
    gateway: &Gateway,
    change: Option<HealthEvent>,
) -> Turn<T> {
    let body = status.summary();
    let body = body.with("changed", change.is_some()).with("gateway", status.gateway(gateway));
    let mut effects = Vec::new();
    if let Some(change) = change {
        let (line, entry) = (request.line(status.now), request.entry(status.now));
        effects.extend([AdminEffect::Told { line, entry }, AdminEffect::Changed(change)]);
    }
    effects.push(AdminEffect::Reply(answer::json(&body, "override")));
    Turn::End(effects)
}

impl OverrideRequest {
    fn until(&self, now: Timestamp) -> Option<String> {
        match self.change {
            Wanted::Override(_, ttl) => Some(Utc(now.plus(ttl)).to_string()),
            Wanted::Auto | Wanted::Admit => None,
        }
    }

    /// What the audit trail says of it.
    fn entry(&self, now: Timestamp) -> AuditEntry {
        AuditEntry::new("override", now)
            .text("gw", &self.gateway)
            .text("to", self.change.name())
            .text("until", &self.until(now).unwrap_or_default())
            .text("who", &self.actor)
            .text("why", &self.reason)
    }

    /// What the log says of it.
    fn line(&self, now: Timestamp) -> String {
        let Self { gateway, actor, reason, .. } = self;
        let until = self.until(now);
        let line = Object::new()
            .with("gateway", gateway.as_str())
            .with("steer", self.change.name())
            .with("until", until)
            .with("actor", actor.as_str())
            .with("reason", reason.as_str());
        format!("override {line}")
    }
}
