//! One request of an operator: `Held -> Joining -> Looking -> Ended`.
//!
//! ```text
//! Request -> token, route, body -> load the layout -> load what is asked for -> Reply
//!                                                        ^            | a change
//!                                                        +-- lost ----+-> Store -> Reply
//! ```
//!
//! It looks at what the payments' workers share, and writes nothing but what it was asked for.
//! It has no part in their work: it never ticks, sends no heartbeats, and never lays the store out.

use std::rc::Rc;

use serde_json::{Value, json};

use super::answer::Reply;
use super::config::{Config, Role};
use super::event::{Cell, Event, Expected, Loaded, Request};
use super::health::{Change, Health};
use super::layout::Layout;
use super::limits;
use super::overrides::Override;
use super::policy::{Gateway, Policy};
use super::time::{Timestamp, Utc};

mod answer;
mod auth;
mod page;
mod request;
mod status;

use answer::Problem;
use request::{Ask, Wish};
use status::Status;

/// What is to be done for an operator, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Read a value and say what it is.
    Load(Cell),
    /// Write a value, if it is as expected, and say how that went.
    Store {
        /// Which.
        cell: Cell,
        /// To be this.
        bytes: Vec<u8>,
        /// If it is still this.
        expected: Expected,
    },
    /// Tell other operators of what changed.
    Changed(Change),
    /// One line for the log: who asked for what, and why, as a JSON object.
    Told(String),
    /// Answer.
    Reply(Reply),
}

/// One request of an operator.
#[derive(Debug)]
pub struct Admin {
    config: Rc<Config>,
    policy: Option<Rc<Policy>>,
    stage: Stage,
}

/// How far it has come.
#[derive(Debug, Default)]
enum Stage {
    /// Nothing is known yet.
    #[default]
    Held,
    /// Waiting for the layout.
    Joining(Ask),
    /// Waiting for the health.
    Looking { ask: Ask, attempts: u8 },
    /// Waiting for an override to be written.
    Steering { wish: Wish, health: Box<Health>, changes: Vec<Change>, attempts: u8 },
    /// Nothing more happens.
    Ended,
}

type Next = (Stage, Vec<Effect>);

impl Admin {
    /// A request that has just begun.
    #[must_use]
    pub const fn new(config: Rc<Config>) -> Self {
        Self { config, policy: None, stage: Stage::Held }
    }

    /// The configuration as the payments' workers have joined it to the store, once that is known.
    #[must_use]
    pub const fn policy(&self) -> Option<&Rc<Policy>> {
        self.policy.as_ref()
    }

    /// Whether nothing more is to happen.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended)
    }

    /// The answer where the host does not let a request be read.
    #[must_use]
    pub fn failed() -> Reply {
        Problem::StoreFailed.reply()
    }

    /// Takes in what happened at `now` and says what to do.
    pub fn handle(&mut self, event: Event<'_>, now: Timestamp) -> Vec<Effect> {
        let (stage, effects) = match (std::mem::take(&mut self.stage), event) {
            (Stage::Held, Event::Request(request)) => self.begin(&request),
            (Stage::Joining(ask), Event::Loaded(Cell::Layout, loaded)) => self.join(ask, &loaded),
            (Stage::Looking { ask, attempts }, Event::Loaded(Cell::Health, loaded)) => {
                self.look(ask, attempts, &loaded, now)
            }
            (Stage::Steering { wish, health, changes, .. }, Event::Stored(_)) => {
                self.steered(&wish, &health, changes, now)
            }
            (Stage::Steering { wish, attempts, .. }, Event::Conflict(_)) => again(wish, attempts),
            // A late or foreign event changes nothing.
            (stage @ (Stage::Held | Stage::Ended), _) => (stage, Vec::new()),
            (_, _) => end(Problem::StoreFailed.reply()),
        };
        self.stage = stage;
        effects
    }

    fn begin(&self, request: &Request<'_>) -> Next {
        let Role::Admin { token_sha256 } = &self.config.role else {
            return end(Problem::Unauthorized.reply());
        };
        let Some(caller) = auth::authenticate(request.headers, token_sha256) else {
            return end(Problem::Unauthorized.reply());
        };
        match Ask::read(request, &caller, &self.config) {
            Ok(ask) => (Stage::Joining(ask), vec![Effect::Load(Cell::Layout)]),
            Err(problem) => end(problem.reply()),
        }
    }

    fn join(&mut self, ask: Ask, loaded: &Loaded) -> Next {
        if loaded.bytes.is_empty() {
            return end(Problem::NotConfigured(None).reply());
        }
        let Ok(layout) = Layout::decode(&loaded.bytes) else {
            return end(Problem::OtherVersion.reply());
        };
        match Policy::over(self.config.as_ref().clone(), &layout) {
            Ok(policy) => {
                self.policy = Some(Rc::new(policy));
                (Stage::Looking { ask, attempts: 0 }, vec![Effect::Load(Cell::Health)])
            }
            Err(unjoined) => end(Problem::NotConfigured(Some(unjoined)).reply()),
        }
    }

    fn look(&self, ask: Ask, attempts: u8, loaded: &Loaded, now: Timestamp) -> Next {
        let Some(policy) = &self.policy else {
            return end(Problem::NotConfigured(None).reply());
        };
        let Some(health) = Health::read(&loaded.bytes) else {
            return end(Problem::OtherVersion.reply());
        };
        let status = Status { policy, health: &health, now };
        match ask {
            Ask::Status => end(answer::json(&status.json(), "status")),
            Ask::Page => end(answer::page(page::render(&status))),
            Ask::Override(wish) => self.steer(wish, attempts, health, loaded.version, now),
        }
    }

    fn steer(
        &self,
        wish: Wish,
        attempts: u8,
        before: Health,
        expected: Expected,
        now: Timestamp,
    ) -> Next {
        let Some((policy, gateway)) = self.gateway(&wish.gateway) else {
            return end(Problem::NotConfigured(None).reply());
        };
        let mut health = before.clone();
        let changes = match wish.steer {
            None => Ok(health.release(gateway.id, policy, now)),
            Some((steer, ttl)) => {
                let wanted = Override {
                    gateway: gateway.id,
                    steer,
                    since: now,
                    until: now.plus(ttl),
                    actor: wish.actor.clone(),
                    reason: wish.reason.clone(),
                };
                health.steer_by(wanted, policy, now)
            }
        };
        let changes = match changes {
            Ok(changes) => changes,
            Err(refusal) => {
                let gateway = wish.gateway;
                return end(Problem::Override { refusal, gateway }.reply());
            }
        };
        if health == before {
            return self.steered(&wish, &health, Vec::new(), now);
        }
        let store = Effect::Store { cell: Cell::Health, bytes: health.encode(), expected };
        let health = Box::new(health);
        (Stage::Steering { wish, health, changes, attempts }, vec![store])
    }

    /// Only what was written is told.
    fn steered(&self, wish: &Wish, health: &Health, changes: Vec<Change>, now: Timestamp) -> Next {
        let Some((policy, gateway)) = self.gateway(&wish.gateway) else {
            return end(Problem::NotConfigured(None).reply());
        };
        let status = Status { policy, health, now };
        let mut body = status.summary();
        body.insert("changed".into(), (!changes.is_empty()).into());
        body.insert("gateway".into(), status.gateway(gateway));
        let mut effects = Vec::new();
        if !changes.is_empty() {
            effects.push(Effect::Told(wish.line(now)));
        }
        effects.extend(changes.into_iter().map(Effect::Changed));
        effects.push(Effect::Reply(answer::json(&Value::Object(body), "override")));
        (Stage::Ended, effects)
    }

    fn gateway(&self, name: &str) -> Option<(&Policy, &Gateway)> {
        let policy = self.policy.as_deref()?;
        Some((policy, policy.named(name)?))
    }
}

impl Wish {
    /// What the log says of it.
    fn line(&self, now: Timestamp) -> String {
        let Self { gateway, actor, reason, .. } = self;
        let (steer, until) = match self.steer {
            Some((steer, ttl)) => (steer.name(), Some(Utc(now.plus(ttl)).to_string())),
            None => ("auto", None),
        };
        let line = json!({
            "gateway": gateway, "steer": steer, "until": until, "actor": actor, "reason": reason,
        });
        format!("override {line}")
    }
}

/// Somebody else was quicker: everything is looked at again, and decided anew.
fn again(wish: Wish, attempts: u8) -> Next {
    let attempts = attempts.saturating_add(1);
    if attempts >= limits::STORE_ATTEMPTS_MAX {
        return end(Problem::Contended.reply());
    }
    let stage = Stage::Looking { ask: Ask::Override(wish), attempts };
    (stage, vec![Effect::Load(Cell::Health)])
}

fn end(reply: Reply) -> Next {
    (Stage::Ended, vec![Effect::Reply(reply)])
}

#[cfg(test)]
mod tests;
