//! One request of an operator: `Held -> Joining -> (looking, steering or resolving) -> Ended`.
//!
//! ```text
//! Request -> token, route, body -> read the layout -> read what is asked for -> Reply
//!                                                        ^            | a change
//!                                                        +-- lost ----+-> write -> Reply
//! ```
//!
//! It looks at what the payments' workers share, and writes nothing but what it was asked for. Where
//! claims stand in etcd a resolution is read and written there, and answered later.
//! It has no part in their work: it never ticks, sends no heartbeats, and never lays the store out.

use std::rc::Rc;

use crate::engine::config::{Config, Policy, Role};
use crate::engine::event::{AdminEffect, AdminEvent, Request};
use crate::engine::health::Health;
use crate::engine::machine::{Input, InputOf, Machine, Output, OutputOf, Tickets};
use crate::engine::protocol::Reply;
use crate::engine::store::{
    Census, Keyed, Layout, LayoutError, OperatorEvent, OperatorRequest, OperatorSession,
    OperatorTerms,
};
use crate::engine::time::Timestamp;

mod answer;
mod auth;
mod doubt;
mod instance;
mod object;
mod page;
mod ready;
mod realm;
mod request;
pub mod resolve;
mod resolving;
mod status;
mod steered;
mod steering;
mod turn;

pub use resolve::{ResolveError, resolve};

pub use instance::Instance;

use answer::Problem;
use doubt::Doubt;
use realm::RealmProblem;
use request::Ask;
use resolving::Resolving;
use status::{StatusReport, View};
use steering::Steering;
use turn::Turn;

/// One request of an operator.
#[derive(Debug)]
pub struct Admin {
    config: Rc<Config>,
    instance: Rc<Instance>,
    /// Where this listener was called.
    origin: String,
    /// The configuration as the payments' workers have joined it to the store, and the store's
    /// layout, once they are known.
    joined: Option<(Rc<Policy>, Box<Layout>)>,
    stage: AdminStage,
    asked: Tickets,
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
    /// Waiting for how the workers stand with a store in etcd, to show that too.
    Linking { page: bool, health: Box<Health>, census: Option<Box<Census>> },
    /// Waiting for the health, and then for how the workers stand with a store in etcd, to tell whether
    /// payments can be taken.
    Probing { health: Option<Box<Health>> },
    /// Waiting for the health, and then for the census, to list so many payments in doubt.
    Listing { limit: usize, page: bool, health: Option<Box<Health>> },
    /// Waiting for what was published of the audit trail.
    Auditing,
    /// Reading or writing the health.
    Steering(Box<Steering>),
    /// Reading or writing a payment's record.
    Resolving(Box<Resolving>),
    /// Nothing more happens.
    Ended,
}

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
            asked: Tickets::default(),
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

    /// Whether it waits for its store.
    #[must_use]
    pub fn awaits_store(&self) -> bool {
        !self.asked.is_empty()
    }

    /// The answer where the host does not let a request be read.
    #[must_use]
    pub fn failed() -> Reply {
        Problem::StoreFailed.reply()
    }

    fn begin(&mut self, request: &Request<'_>) -> Turn<AdminStage> {
        self.origin = instance::origin(request);
        let Role::Admin { token_sha256 } = &self.config.role else {
            return Turn::end(Problem::Unauthorized.reply());
        };
        let caller = auth::authenticate(request.headers, token_sha256);
        match Ask::read(request, caller.as_ref(), &self.config) {
            Ok(ask) => Turn::Ask(AdminStage::Joining(ask), OperatorRequest::Layout),
            Err(problem) => Turn::end(problem.reply()),
        }
    }

    fn go_on(&self, stage: AdminStage, event: OperatorEvent, now: Timestamp) -> Turn<AdminStage> {
        let Some((policy, layout)) = self.joined.as_ref() else {
            return Turn::end(Problem::NotConfigured(None).reply());
        };
        let (instance, origin) = (&*self.instance, self.origin.as_str());
        let view = View { policy, layout, instance, origin, now };
        match (stage, event) {
            (AdminStage::Looking { page }, OperatorEvent::Health(Some(health), _)) => {
                Turn::Ask(AdminStage::Counting { page, health }, OperatorRequest::Census)
            }
            (
                AdminStage::Looking { .. } | AdminStage::Probing { .. },
                OperatorEvent::Health(None, _),
            ) => Turn::end(Problem::OtherVersion.reply()),
            (AdminStage::Probing { health: None }, OperatorEvent::Health(Some(health), _)) => {
                if policy.config.store.etcd().is_some() {
                    let probing = AdminStage::Probing { health: Some(health) };
                    return Turn::Ask(probing, OperatorRequest::Links);
                }
                Turn::end(answer::ready(ready::hindrance(&view.status(&health, None))))
            }
            (AdminStage::Probing { health: Some(health) }, OperatorEvent::Links(links)) => {
                let status = view.status(&health, None);
                let status = StatusReport { links: Some(&links), ..status };
                Turn::end(answer::ready(ready::hindrance(&status)))
            }
            (AdminStage::Counting { page, health }, OperatorEvent::Census(census))
                if policy.config.store.etcd().is_some() =>
            {
                let linking = AdminStage::Linking { page, health, census };
                Turn::Ask(linking, OperatorRequest::Links)
            }
            (AdminStage::Counting { page, health }, OperatorEvent::Census(census)) => {
                show(view.status(&health, doubt(view, census.as_deref())), page)
            }
            (AdminStage::Linking { page, health, census }, OperatorEvent::Links(links)) => {
                let status = view.status(&health, doubt(view, census.as_deref()));
                show(StatusReport { links: Some(&links), ..status }, page)
            }
            (AdminStage::Listing { limit, page, .. }, OperatorEvent::Health(health, _)) => {
                let health = Some(health.unwrap_or_default());
                Turn::Ask(AdminStage::Listing { limit, page, health }, OperatorRequest::Census)
            }
            (AdminStage::Listing { limit, health, .. }, OperatorEvent::Census(census)) => {
                list(view, limit, health.as_deref(), census.as_deref())
            }
            (AdminStage::Auditing, OperatorEvent::Heads(heads)) => {
                Turn::end(answer::text(heads.unwrap_or_default().text(), "audit_heads"))
            }
            (AdminStage::Steering(steering), event) => {
                steering.go_on(view, event).map(|steering| AdminStage::Steering(Box::new(steering)))
            }
            (AdminStage::Resolving(resolving), event) => resolving
                .go_on(view, event)
                .map(|resolving| AdminStage::Resolving(Box::new(resolving))),
            (_, _) => Turn::end(Problem::StoreFailed.reply()),
        }
    }

    fn join(
        &mut self,
        ask: Ask,
        layout: Result<Option<Box<Layout>>, LayoutError>,
    ) -> Turn<AdminStage> {
        let layout = match layout {
            Ok(Some(layout)) => layout,
            Ok(None) => return Turn::end(Problem::NotConfigured(None).reply()),
            Err(_) => return Turn::end(Problem::OtherVersion.reply()),
        };
        let policy = match Policy::over(self.config.as_ref().clone(), &layout) {
            Ok(policy) => Rc::new(policy),
            Err(unjoined) => return Turn::end(Problem::NotConfigured(Some(unjoined)).reply()),
        };
        let (_, layout) = self.joined.insert((policy, layout));
        match ask {
            Ask::Status => Turn::Ask(AdminStage::Looking { page: false }, OperatorRequest::Health),
            Ask::AuditHeads => Turn::Ask(AdminStage::Auditing, OperatorRequest::Heads),
            Ask::Ready => Turn::Ask(AdminStage::Probing { health: None }, OperatorRequest::Health),
            Ask::Page => Turn::Ask(AdminStage::Looking { page: true }, OperatorRequest::Health),
            Ask::InDoubt { limit, page } => {
                let first = if page { OperatorRequest::Health } else { OperatorRequest::Census };
                Turn::Ask(AdminStage::Listing { limit, page, health: None }, first)
            }
            Ask::Override(request) => {
                let steering = AdminStage::Steering(Box::new(Steering::new(request)));
                Turn::Ask(steering, OperatorRequest::Health)
            }
            Ask::Resolve(request) => Resolving::begin(request, layout)
                .map(|resolving| AdminStage::Resolving(Box::new(resolving))),
        }
    }
}

impl Machine for Admin {
    type Event<'a> = AdminEvent<'a>;
    type Effect = AdminEffect;
    type Ask = OperatorRequest;
    type Told = OperatorEvent;
    type Counters = ();

    fn handle(
        &mut self,
        input: InputOf<'_, Self>,
        now: Timestamp,
        (): &mut (),
    ) -> Vec<OutputOf<Self>> {
        if let Input::Told(ticket, _) = &input
            && !self.asked.close(*ticket)
        {
            return Vec::new();
        }
        let turn = match (std::mem::replace(&mut self.stage, AdminStage::Ended), input) {
            (AdminStage::Held, Input::Event(AdminEvent::Request(request))) => self.begin(&request),
            (AdminStage::Joining(ask), Input::Told(_, OperatorEvent::Layout(layout))) => {
                self.join(ask, layout)
            }
            (AdminStage::Joining(_), Input::Told(..)) => Turn::end(Problem::StoreFailed.reply()),
            // A second request is none of this exchange.
            (stage, Input::Event(_)) | (stage @ AdminStage::Ended, Input::Told(..)) => {
                self.stage = stage;
                return Vec::new();
            }
            (stage, Input::Told(_, event)) => self.go_on(stage, event, now),
        };
        match turn {
            Turn::Ask(stage, request) => {
                self.stage = stage;
                vec![Output::Ask(self.asked.open(), request)]
            }
            Turn::End(effects) => effects.into_iter().map(Output::Do).collect(),
        }
    }
}

impl Keyed for Admin {
    type Session = OperatorSession;

    fn terms<'a>(&'a self, now: Timestamp, (): &'a ()) -> OperatorTerms<'a> {
        OperatorTerms { now, rules: self.policy().map(|policy| &policy.claims) }
    }
}

/// The last census, if it is one of the store that is configured.
fn doubt<'a>(view: View<'a>, census: Option<&'a Census>) -> Option<Doubt<'a>> {
    let is_in_etcd = view.policy.config.store.etcd().is_some();
    let census = census.filter(|census| census.resolved.is_some() == is_in_etcd)?;
    Some(Doubt { census, now: view.now })
}

fn show(status: StatusReport<'_>, page: bool) -> Turn<AdminStage> {
    Turn::end(if page {
        answer::page(page::render(&status))
    } else {
        answer::json(&status.json(), "status")
    })
}

/// With the health for people, and without for machines.
fn list(
    view: View<'_>,
    limit: usize,
    health: Option<&Health>,
    census: Option<&Census>,
) -> Turn<AdminStage> {
    let Some(doubt) = doubt(view, census) else {
        let length = view.policy.census_length();
        let problem = match view.policy.config.store.etcd() {
            None => Problem::NotCounted { length },
            Some(_) => Problem::Realm(RealmProblem::NotCounted),
        };
        return Turn::end(problem.reply());
    };
    Turn::end(match health {
        Some(health) => {
            let status = view.status(health, Some(doubt));
            answer::page(page::doubts::render(&status, &doubt, limit))
        }
        None => answer::json(&doubt.list(view.layout, limit), "in_doubt"),
    })
}

#[cfg(test)]
mod tests;
