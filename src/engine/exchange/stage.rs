//! How far a request has come, and what each stage carries on to the next one.

use std::collections::VecDeque;

use super::attempt::Attempt;
use super::permit::Permit;
use super::request::ParsedRequest;
use super::request::refused::Refusing;
use super::settling::{Settling, Update};
use crate::engine::config::Policy;
use crate::engine::event::ExchangeEffect;
use crate::engine::gateway::Gateways;
use crate::engine::health::{Health, HealthEvent, WorkerCounters};
use crate::engine::limits;
use crate::engine::store::{Entry, Key, Seen, StoreRequest, Terms, Version};
use crate::engine::time::Timestamp;

/// What every step of one event shares.
pub(super) struct Context<'a> {
    pub(super) policy: &'a Policy,
    pub(super) now: Timestamp,
    pub(super) counters: &'a mut WorkerCounters,
}

/// What a session with the store works by.
pub(super) fn terms<'a>(
    policy: &'a Policy,
    now: Timestamp,
    counters: &'a WorkerCounters,
) -> Terms<'a> {
    let store = &policy.config.store;
    Terms {
        now,
        placement: policy.placement,
        answer_sets: policy.config.kept_sets(),
        rules: &policy.claims,
        claims: store.retention,
        tokens: store.token_retention,
        counters,
    }
}

/// How far a request has come.
#[derive(Debug, Default)]
pub(super) enum Stage {
    /// Nothing is known yet.
    #[default]
    Held,
    /// Refused, and waiting for what is known of its payment.
    Refusing(Box<Refusing>),
    /// Waiting for what the decision looks at.
    Loading(Box<Loading>),
    /// Decided, and waiting for the claim to be written.
    Committing(Box<Committing>),
    /// Waiting for the kept answer.
    Replaying(Box<Replaying>),
    /// With a gateway.
    Sent(Box<Sent>),
    /// Writing down how it went.
    Settling(Box<Settling>),
    /// Nothing more happens.
    Ended,
}

/// What follows from an event: first the effects, then what the store is asked for.
pub(super) struct Next {
    pub(super) stage: Stage,
    pub(super) effects: Vec<ExchangeEffect>,
    pub(super) asks: Vec<StoreRequest>,
}

impl Next {
    /// Nothing happens but these effects.
    pub(super) const fn to(stage: Stage, effects: Vec<ExchangeEffect>) -> Self {
        Self { stage, effects, asks: Vec::new() }
    }

    /// The store is asked.
    pub(super) fn ask(stage: Stage, request: StoreRequest) -> Self {
        Self { stage, effects: Vec::new(), asks: vec![request] }
    }

    /// The same after these effects.
    pub(super) fn after(mut self, mut effects: Vec<ExchangeEffect>) -> Self {
        effects.append(&mut self.effects);
        Self { effects, ..self }
    }
}

/// A request that is held until everything is known and written. Whoever loses a race begins anew
/// with it.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) parsed: Box<ParsedRequest>,
    /// A permit that was taken.
    pub(super) permit: Option<Permit>,
    /// The payment was executed, and its answer was looked for in vain.
    pub(super) is_unkept: bool,
    /// There was no room to bind the client's header key to a payment that was sent before.
    pub(super) without_alias: bool,
    /// The decision needs records as they are, and not as they may be.
    pub(super) is_certain: bool,
    attempts: u8,
}

impl Task {
    pub(super) const fn new(parsed: Box<ParsedRequest>) -> Self {
        Self {
            parsed,
            permit: None,
            is_unkept: false,
            without_alias: false,
            is_certain: false,
            attempts: 0,
        }
    }

    /// Whether it may be tried once more.
    pub(super) const fn tries_again(&mut self) -> bool {
        self.attempts = self.attempts.saturating_add(1);
        self.attempts < limits::STORE_ATTEMPTS_MAX
    }
}

/// What the decision looks at, as far as it has been read.
#[derive(Debug)]
pub(super) struct Loading {
    pub(super) task: Task,
    pub(super) health: Option<(Box<Health>, Version)>,
    pub(super) records: Records,
    /// Records were asked for and have not come.
    pub(super) awaits: bool,
    /// The store has guessed what they are.
    pub(super) guessed: bool,
}

/// The records that were read. A handful.
#[derive(Debug, Default)]
pub(super) struct Records(pub(super) Vec<Seen>);

impl Records {
    pub(super) fn find(&self, key: Key) -> Option<&Seen> {
        self.0.iter().find(|seen| seen.key == key)
    }

    /// What stands under a key, where that was read.
    pub(super) fn entry(&self, key: Key) -> Entry {
        self.find(key).map_or(Entry::Absent, |seen| seen.entry)
    }
}

/// A decision that is being written.
#[derive(Debug)]
pub(super) struct Committing {
    pub(super) task: Task,
    pub(super) records: Records,
    pub(super) attempt: Box<Attempt>,
    pub(super) step: CommitStep,
}

/// What is being written, in this order.
#[derive(Debug)]
pub(super) enum CommitStep {
    /// The permit for a trial, or one that comes back, in the shared health.
    Permit {
        /// What is held once it is written.
        taken: Option<Permit>,
        /// What operators are told then.
        event: Option<HealthEvent>,
    },
    /// The claim, and with it what leads to it.
    Claim,
}

/// An executed payment whose answer is looked for.
#[derive(Debug)]
pub(super) struct Replaying {
    pub(super) task: Task,
    pub(super) gateways: Gateways,
}

/// A request that is with a gateway.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) parsed: Box<ParsedRequest>,
    pub(super) attempt: Box<Attempt>,
    /// When it was let go.
    pub(super) at: Timestamp,
    /// The filter calls the gateway itself, while the client's own answer is held.
    pub(super) called: bool,
    /// What the store has not confirmed of what gateways before this one have said.
    pub(super) unwritten: VecDeque<Update>,
}
