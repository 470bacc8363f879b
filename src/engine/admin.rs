//! One request of an operator: `Held -> Joining -> (looking, steering or resolving) -> Ended`.
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

use crate::engine::config::{Config, Policy, Role};
use crate::engine::event::{Event, Request};
use crate::engine::health::{Health, HealthEvent};
use crate::engine::limits;
use crate::engine::payment::Anomaly;
use crate::engine::protocol::Reply;
use crate::engine::store::{Cell, Census, Expected, Layout, Loaded};
use crate::engine::time::Timestamp;

mod answer;
mod auth;
mod doubt;
mod instance;
mod object;
mod page;
mod request;
pub mod resolve;
mod resolving;
mod status;
mod steering;

pub use resolve::{ResolveError, resolve};

pub use instance::Instance;

use answer::Problem;
use doubt::Doubt;
use request::Ask;
use resolving::Resolving;
use status::StatusReport;
use steering::Steering;

/// What is to be done for an operator, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminEffect {
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
    Changed(HealthEvent),
    /// Tell other operators that evidence contradicts what was known.
    Anomaly(Anomaly),
    /// One line for the log: who asked for what, and why, as a JSON object.
    Told(String),
    /// Answer.
    Reply(Reply),
}

/// One request of an operator.
#[derive(Debug)]
pub struct Admin {
    config: Rc<Config>,
    instance: Rc<Instance>,
    /// Where this listener was called.
    origin: String,
    /// The configuration as the payments' workers have joined it to the store, and the store's
    /// layout, once they are known.
    joined: Option<(Rc<Policy>, Layout)>,
    stage: AdminStage,
}

/// How far it has come.
#[derive(Debug, Default)]
enum AdminStage {
    /// Nothing is known yet.
    #[default]
    Held,
    /// Waiting for the layout.
    Joining(Ask),
    /// Waiting for the health, to show it on the page or as JSON.
    Looking { page: bool },
    /// Waiting for the census, to show it with the health.
    Counting { page: bool, health: Box<Health> },
    /// Waiting for the health, and then for the census, to list so many payments in doubt.
    Listing { limit: usize, page: bool, health: Option<Box<Health>> },
    /// Reading or writing the health.
    Steering(Box<Steering>),
    /// Reading or writing a bucket of claims.
    Resolving(Box<Resolving>),
    /// Nothing more happens.
    Ended,
}

type AdminNext = (AdminStage, Vec<AdminEffect>);

impl Admin {
    /// A request that has just begun.
    #[must_use]
    pub fn new(config: Rc<Config>) -> Self {
        Self {
            config,
            instance: Rc::default(),
            origin: String::new(),
            joined: None,
            stage: AdminStage::Held,
        }
    }

    /// The same, at an Envoy of this name.
    #[must_use]
    pub fn at(mut self, instance: Rc<Instance>) -> Self {
        self.instance = instance;
        self
    }

    /// The configuration as the payments' workers have joined it to the store, once that is known.
    #[must_use]
    pub fn policy(&self) -> Option<&Rc<Policy>> {
        self.joined.as_ref().map(|(policy, _)| policy)
    }

    /// Whether nothing more is to happen.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self.stage, AdminStage::Ended)
    }

    /// The answer where the host does not let a request be read.
    #[must_use]
    pub fn failed() -> Reply {
        Problem::StoreFailed.reply()
    }

    /// Takes in what happened at `now` and says what to do.
    pub fn handle(&mut self, event: Event<'_>, now: Timestamp) -> Vec<AdminEffect> {
        let (stage, effects) = match (std::mem::take(&mut self.stage), event) {
            (AdminStage::Held, Event::Request(request)) => self.begin(&request),
            (AdminStage::Joining(ask), Event::Loaded(Cell::Layout, loaded)) => {
                self.join(ask, &loaded)
            }
            (AdminStage::Looking { page }, Event::Loaded(Cell::Health, loaded)) => {
                look(page, &loaded)
            }
            (AdminStage::Counting { page, health }, Event::Loaded(Cell::Census, loaded)) => {
                self.show(page, &health, &loaded, now)
            }
            (AdminStage::Listing { limit, page, .. }, Event::Loaded(Cell::Health, loaded)) => {
                let health = Some(Box::new(Health::decode(&loaded.bytes)));
                (AdminStage::Listing { limit, page, health }, vec![AdminEffect::Load(Cell::Census)])
            }
            (AdminStage::Listing { limit, health, .. }, Event::Loaded(Cell::Census, loaded)) => {
                self.list(limit, health.as_deref(), &loaded, now)
            }
            (AdminStage::Steering(steering), event) => self.go_on_steering(steering, &event, now),
            (AdminStage::Resolving(resolving), event) => {
                self.go_on_resolving(resolving, event, now)
            }
            // A late or foreign event changes nothing.
            (stage @ (AdminStage::Held | AdminStage::Ended), _) => (stage, Vec::new()),
            (_, _) => end(Problem::StoreFailed.reply()),
        };
        self.stage = stage;
        effects
    }

    fn begin(&mut self, request: &Request<'_>) -> AdminNext {
        self.origin = instance::origin(request);
        let Role::Admin { token_sha256 } = &self.config.role else {
            return end(Problem::Unauthorized.reply());
        };
        let Some(caller) = auth::authenticate(request.headers, token_sha256) else {
            return end(Problem::Unauthorized.reply());
        };
        match Ask::read(request, &caller, &self.config) {
            Ok(ask) => (AdminStage::Joining(ask), vec![AdminEffect::Load(Cell::Layout)]),
            Err(problem) => end(problem.reply()),
        }
    }

    fn join(&mut self, ask: Ask, loaded: &Loaded) -> AdminNext {
        if loaded.bytes.is_empty() {
            return end(Problem::NotConfigured(None).reply());
        }
        let Ok(layout) = Layout::decode(&loaded.bytes) else {
            return end(Problem::OtherVersion.reply());
        };
        let policy = match Policy::over(self.config.as_ref().clone(), &layout) {
            Ok(policy) => Rc::new(policy),
            Err(unjoined) => return end(Problem::NotConfigured(Some(unjoined)).reply()),
        };
        let load = |stage, cell| (stage, vec![AdminEffect::Load(cell)]);
        let (policy, layout) = self.joined.insert((policy, layout));
        match ask {
            Ask::Status => load(AdminStage::Looking { page: false }, Cell::Health),
            Ask::Page => load(AdminStage::Looking { page: true }, Cell::Health),
            Ask::InDoubt { limit, page } => {
                let first = if page { Cell::Health } else { Cell::Census };
                load(AdminStage::Listing { limit, page, health: None }, first)
            }
            Ask::Override(wish) => {
                load(AdminStage::Steering(Box::new(Steering::new(wish))), Cell::Health)
            }
            Ask::Resolve(word) => Resolving::begin(word, policy, layout),
        }
    }

    fn show(&self, page: bool, health: &Health, loaded: &Loaded, now: Timestamp) -> AdminNext {
        let Some(joined) = &self.joined else {
            return end(Problem::NotConfigured(None).reply());
        };
        let census = Census::decode(&loaded.bytes);
        let doubt = census.as_ref().map(|census| Doubt { census, now });
        let status = self.status(joined, health, doubt, now);
        end(if page {
            answer::page(page::render(&status))
        } else {
            answer::json(&status.json(), "status")
        })
    }

    fn status<'a>(
        &'a self,
        (policy, layout): &'a (Rc<Policy>, Layout),
        health: &'a Health,
        doubt: Option<Doubt<'a>>,
        now: Timestamp,
    ) -> StatusReport<'a> {
        let (instance, origin) = (&*self.instance, self.origin.as_str());
        StatusReport { policy, health, doubt, layout, instance, origin, now }
    }

    /// With the health for people, and without for machines.
    fn list(
        &self,
        limit: usize,
        health: Option<&Health>,
        loaded: &Loaded,
        now: Timestamp,
    ) -> AdminNext {
        let Some(joined) = &self.joined else {
            return end(Problem::NotConfigured(None).reply());
        };
        let Some(census) = Census::decode(&loaded.bytes) else {
            return end(Problem::NotCounted { length: joined.0.census_length() }.reply());
        };
        let doubt = Doubt { census: &census, now };
        end(match health {
            Some(health) => {
                let status = self.status(joined, health, Some(doubt), now);
                answer::page(page::doubts::render(&status, &doubt, limit))
            }
            None => answer::json(&doubt.list(&joined.1, limit), "in_doubt"),
        })
    }
}

fn look(page: bool, loaded: &Loaded) -> AdminNext {
    match Health::read(&loaded.bytes) {
        Some(health) => {
            let health = Box::new(health);
            (AdminStage::Counting { page, health }, vec![AdminEffect::Load(Cell::Census)])
        }
        None => end(Problem::OtherVersion.reply()),
    }
}

/// Somebody else was quicker: everything is looked at again, and decided anew.
fn again(attempts: u8, cell: Cell, stage: AdminStage) -> AdminNext {
    if attempts >= limits::STORE_ATTEMPTS_MAX {
        return end(Problem::Contended.reply());
    }
    (stage, vec![AdminEffect::Load(cell)])
}

fn end(reply: Reply) -> AdminNext {
    (AdminStage::Ended, vec![AdminEffect::Reply(reply)])
}

#[cfg(test)]
mod tests;
