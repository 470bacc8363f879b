//! Overrides: a gateway forced or drained, or left to breakers and heartbeats again.

use std::rc::Rc;

use super::answer::{self, Problem};
use super::object::Object;
use super::request::{OverrideRequest, Wanted};
use super::status::StatusReport;
use super::{Admin, AdminEffect, AdminNext, AdminStage, again, end};
use crate::engine::config::{Gateway, Policy};
use crate::engine::event::Event;
use crate::engine::health::{Health, HealthEvent, Override};
use crate::engine::store::{Cell, Layout, Loaded};
use crate::engine::time::{Timestamp, Utc};

/// An override on its way into the shared health.
#[derive(Debug)]
pub(super) struct Steering {
    wish: OverrideRequest,
    attempts: u8,
    /// What is to be written, and what changes by it.
    written: Option<(Health, HealthEvent)>,
}

impl Steering {
    pub(super) const fn new(wish: OverrideRequest) -> Self {
        Self { wish, attempts: 0, written: None }
    }
}

impl Admin {
    pub(super) fn go_on_steering(
        &self,
        mut steering: Box<Steering>,
        event: &Event<'_>,
        now: Timestamp,
    ) -> AdminNext {
        let joined = self.joined.as_ref();
        let named =
            joined.and_then(|joined| Some((joined, joined.0.named(&steering.wish.gateway)?)));
        let Some((joined, gateway)) = named else {
            return end(Problem::NotConfigured(None).reply());
        };
        match (event, steering.written.take()) {
            (Event::Loaded(Cell::Health, loaded), _) => {
                self.steer(steering, joined, gateway, loaded, now)
            }
            // Only what was written is told.
            (Event::Stored(Cell::Health), Some((health, change))) => {
                let status = self.status(joined, &health, None, now);
                steered(&steering.wish, &status, gateway, Some(change))
            }
            (Event::Conflict(Cell::Health), _) => {
                steering.attempts = steering.attempts.saturating_add(1);
                again(steering.attempts, Cell::Health, AdminStage::Steering(steering))
            }
            _ => end(Problem::StoreFailed.reply()),
        }
    }

    fn steer(
        &self,
        mut steering: Box<Steering>,
        joined: &(Rc<Policy>, Layout),
        gateway: &Gateway,
        loaded: &Loaded,
        now: Timestamp,
    ) -> AdminNext {
        let Some(mut health) = Health::read(&loaded.bytes) else {
            return end(Problem::OtherVersion.reply());
        };
        let (wish, policy) = (&steering.wish, &joined.0);
        let change = match wish.change {
            Wanted::Auto => Ok(health.release(gateway.id)),
            // A gateway that nothing is known of has nothing to be admitted from.
            Wanted::Admit => {
                Ok(health.is_barred(gateway.id).then(|| health.admit(gateway.id)).flatten())
            }
            Wanted::Override(steer, ttl) => {
                let wanted = Override {
                    gateway: gateway.id,
                    kind: steer,
                    since: now,
                    until: now.plus(ttl),
                    actor: wish.actor.clone(),
                    reason: wish.reason.clone(),
                };
                health.override_by(wanted, &policy.health, now).map(Some)
            }
        };
        match change {
            Err(refusal) => {
                let gateway = gateway.name.clone();
                end(Problem::Override { refusal, gateway }.reply())
            }
            Ok(None) => {
                let status = self.status(joined, &health, None, now);
                steered(wish, &status, gateway, None)
            }
            Ok(Some(change)) => {
                let (cell, expected) = (Cell::Health, loaded.version);
                let store = AdminEffect::Store { cell, bytes: health.encode(), expected };
                steering.written = Some((health, change));
                (AdminStage::Steering(steering), vec![store])
            }
        }
    }
}

fn steered(
    wish: &OverrideRequest,
    status: &StatusReport<'_>,
    gateway: &Gateway,
    change: Option<HealthEvent>,
) -> AdminNext {
    let body = status.summary();
    let body = body.with("changed", change.is_some()).with("gateway", status.gateway(gateway));
    let mut effects = Vec::new();
    if let Some(change) = change {
        effects.extend([AdminEffect::Told(wish.line(status.now)), AdminEffect::Changed(change)]);
    }
    effects.push(AdminEffect::Reply(answer::json(&body, "override")));
    (AdminStage::Ended, effects)
}

impl OverrideRequest {
    /// What the log says of it.
    fn line(&self, now: Timestamp) -> String {
        let Self { gateway, actor, reason, .. } = self;
        let until = match self.change {
            Wanted::Override(_, ttl) => Some(Utc(now.plus(ttl)).to_string()),
            Wanted::Auto | Wanted::Admit => None,
        };
        let line = Object::new()
            .with("gateway", gateway.as_str())
            .with("steer", self.change.name())
            .with("until", until)
            .with("actor", actor.as_str())
            .with("reason", reason.as_str());
        format!("override {line}")
    }
}
