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

use crate::engine::config::policy::Policy;
use crate::engine::config::{Config, Role};
use crate::engine::event::{Cell, Event, Expected, Loaded, Request};
use crate::engine::health::{Change, Health};
use crate::engine::limits;
use crate::engine::payment::anomaly::Anomaly;
use crate::engine::protocol::local_reply::Reply;
use crate::engine::store::census::Census;
use crate::engine::store::layout::Layout;
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

pub use instance::Instance;

use answer::Problem;
use doubt::Doubt;
use request::Ask;
use resolving::Resolving;
use status::Status;
use steering::Steering;

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

type Next = (Stage, Vec<Effect>);

impl Admin {
    /// A request that has just begun.
    #[must_use]
    pub fn new(config: Rc<Config>) -> Self {
        Self {
            config,
            instance: Rc::default(),
            origin: String::new(),
            joined: None,
            stage: Stage::Held,
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
            (Stage::Looking { page }, Event::Loaded(Cell::Health, loaded)) => look(page, &loaded),
            (Stage::Counting { page, health }, Event::Loaded(Cell::Census, loaded)) => {
                self.show(page, &health, &loaded, now)
            }
            (Stage::Listing { limit, page, .. }, Event::Loaded(Cell::Health, loaded)) => {
                let health = Some(Box::new(Health::decode(&loaded.bytes)));
                (Stage::Listing { limit, page, health }, vec![Effect::Load(Cell::Census)])
            }
            (Stage::Listing { limit, health, .. }, Event::Loaded(Cell::Census, loaded)) => {
                self.list(limit, health.as_deref(), &loaded, now)
            }
            (Stage::Steering(steering), event) => self.go_on_steering(steering, &event, now),
            (Stage::Resolving(resolving), event) => self.go_on_resolving(resolving, event, now),
            // A late or foreign event changes nothing.
            (stage @ (Stage::Held | Stage::Ended), _) => (stage, Vec::new()),
            (_, _) => end(Problem::StoreFailed.reply()),
        };
        self.stage = stage;
        effects
    }

    fn begin(&mut self, request: &Request<'_>) -> Next {
        self.origin = instance::origin(request);
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
        let policy = match Policy::over(self.config.as_ref().clone(), &layout) {
            Ok(policy) => Rc::new(policy),
            Err(unjoined) => return end(Problem::NotConfigured(Some(unjoined)).reply()),
        };
        let load = |stage, cell| (stage, vec![Effect::Load(cell)]);
        let (policy, layout) = self.joined.insert((policy, layout));
        match ask {
            Ask::Status => load(Stage::Looking { page: false }, Cell::Health),
            Ask::Page => load(Stage::Looking { page: true }, Cell::Health),
            Ask::InDoubt { limit, page } => {
                let first = if page { Cell::Health } else { Cell::Census };
                load(Stage::Listing { limit, page, health: None }, first)
            }
            Ask::Override(wish) => {
                load(Stage::Steering(Box::new(Steering::new(wish))), Cell::Health)
            }
            Ask::Resolve(word) => Resolving::begin(word, policy, layout),
        }
    }

    fn show(&self, page: bool, health: &Health, loaded: &Loaded, now: Timestamp) -> Next {
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
    ) -> Status<'a> {
        let (instance, origin) = (&*self.instance, self.origin.as_str());
        Status { policy, health, doubt, layout, instance, origin, now }
    }

    /// With the health for people, and without for machines.
    fn list(&self, limit: usize, health: Option<&Health>, loaded: &Loaded, now: Timestamp) -> Next {
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

fn look(page: bool, loaded: &Loaded) -> Next {
    match Health::read(&loaded.bytes) {
        Some(health) => {
            let health = Box::new(health);
            (Stage::Counting { page, health }, vec![Effect::Load(Cell::Census)])
        }
        None => end(Problem::OtherVersion.reply()),
    }
}

/// Somebody else was quicker: everything is looked at again, and decided anew.
fn again(attempts: u8, cell: Cell, stage: Stage) -> Next {
    if attempts >= limits::STORE_ATTEMPTS_MAX {
        return end(Problem::Contended.reply());
    }
    (stage, vec![Effect::Load(cell)])
}

fn end(reply: Reply) -> Next {
    (Stage::Ended, vec![Effect::Reply(reply)])
}

#[cfg(test)]
mod tests;
