//! A machine over its store: what it asks by key becomes what a host can do, and it is told what
//! became of that.

use std::collections::VecDeque;

use crate::engine::machine::{Input, InputOf, Machine, Output, OutputOf, Ticket};
use crate::engine::time::Timestamp;

/// What a conversation and its machine want, until the host has to be waited for.
#[derive(Debug)]
pub struct Outbox<R, T, E> {
    outputs: Vec<Output<R, E>>,
    /// What the session has answered, in its order.
    told: VecDeque<(Ticket, T)>,
}

impl<R, T, E> Outbox<R, T, E> {
    pub(super) const fn new() -> Self {
        Self { outputs: Vec::new(), told: VecDeque::new() }
    }

    /// The host is to do this.
    pub(super) fn ask(&mut self, ticket: Ticket, request: R) {
        self.outputs.push(Output::Ask(ticket, request));
    }

    /// Takes back the answer to this question, if there is one.
    pub(super) fn take_told(&mut self, ticket: Ticket) -> Option<T> {
        let place = self.told.iter().position(|(number, _)| *number == ticket)?;
        self.told.remove(place).map(|(_, told)| told)
    }

    /// The question with this number is answered.
    pub(super) fn tell(&mut self, ticket: Ticket, told: T) {
        self.told.push_back((ticket, told));
    }
}

/// How questions become what a host can do.
pub trait Conversation {
    /// A question.
    type Ask;
    /// Its answer.
    type Told;
    /// What the host is asked to do.
    type Request;
    /// What became of it.
    type Event;
    /// What the session works by.
    type Terms<'a>;

    /// Asks something.
    fn ask<E>(
        &mut self,
        ticket: Ticket,
        ask: Self::Ask,
        terms: &Self::Terms<'_>,
        outbox: &mut Outbox<Self::Request, Self::Told, E>,
    );

    /// Takes in what became of the request with this number.
    fn told<E>(
        &mut self,
        ticket: Ticket,
        event: Self::Event,
        terms: &Self::Terms<'_>,
        outbox: &mut Outbox<Self::Request, Self::Told, E>,
    );
}

/// What the session of a machine works by.
pub(in crate::engine) type TermsOf<'a, M> = <<M as Keyed>::Session as Conversation>::Terms<'a>;

/// A machine that asks such questions.
pub trait Keyed: Machine {
    /// How they become loads and stores of shared data.
    type Session: Conversation<Ask = Self::Ask, Told = Self::Told> + Default;

    /// What the store works by.
    fn terms<'a>(&'a self, now: Timestamp, counters: &'a Self::Counters) -> TermsOf<'a, Self>;
}

/// A machine over a store.
#[derive(Debug)]
pub struct Stored<M, S> {
    machine: M,
    session: S,
}

/// A machine over the store in shared data.
pub type Local<M> = Stored<M, <M as Keyed>::Session>;

impl<M: Keyed> Local<M> {
    /// The machine over the store in shared data.
    #[must_use]
    pub fn new(machine: M) -> Self {
        Self::over(machine, M::Session::default())
    }
}

impl<M, S> Stored<M, S> {
    /// The machine over the store that `session` speaks to.
    pub const fn over(machine: M, session: S) -> Self {
        Self { machine, session }
    }
}

impl<M, S> std::ops::Deref for Stored<M, S> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.machine
    }
}

impl<M, S> std::ops::DerefMut for Stored<M, S> {
    fn deref_mut(&mut self) -> &mut M {
        &mut self.machine
    }
}

/// A session that a machine can have: it works by the same terms as the one for shared data.
pub trait SessionOf<M: Keyed>:
    for<'a> Conversation<Ask = M::Ask, Told = M::Told, Terms<'a> = TermsOf<'a, M>>
{
}

impl<M: Keyed, S> SessionOf<M> for S where
    S: for<'a> Conversation<Ask = M::Ask, Told = M::Told, Terms<'a> = TermsOf<'a, M>>
{
}

impl<M: Keyed, S: SessionOf<M>> Machine for Stored<M, S> {
    type Event<'a> = M::Event<'a>;
    type Effect = M::Effect;
    type Ask = S::Request;
    type Told = S::Event;
    type Counters = M::Counters;

    fn handle(
        &mut self,
        input: InputOf<'_, Self>,
        now: Timestamp,
        counters: &mut M::Counters,
    ) -> Vec<OutputOf<Self>> {
        let mut outbox = Outbox::new();
        match input {
            Input::Event(event) => {
                let wanted = self.machine.handle(Input::Event(event), now, counters);
                self.ask(wanted, now, counters, &mut outbox);
            }
            Input::Told(ticket, event) => {
                let terms = self.machine.terms(now, counters);
                self.session.told(ticket, event, &terms, &mut outbox);
            }
        }
        while let Some((ticket, told)) = outbox.told.pop_front() {
            let wanted = self.machine.handle(Input::Told(ticket, told), now, counters);
            self.ask(wanted, now, counters, &mut outbox);
        }
        outbox.outputs
    }
}

impl<M: Keyed, S: SessionOf<M>> Stored<M, S> {
    fn ask(
        &mut self,
        wanted: Vec<OutputOf<M>>,
        now: Timestamp,
        counters: &M::Counters,
        outbox: &mut Outbox<S::Request, M::Told, M::Effect>,
    ) {
        for output in wanted {
            match output {
                Output::Ask(ticket, ask) => {
                    let terms = self.machine.terms(now, counters);
                    self.session.ask(ticket, ask, &terms, outbox);
                }
                Output::Do(effect) => outbox.outputs.push(Output::Do(effect)),
            }
        }
    }
}

/// What a session wants of its host, and what it has answered.
#[cfg(test)]
pub(super) type Taken<R, T> = (Vec<(Ticket, R)>, Vec<(Ticket, T)>);

#[cfg(test)]
impl<R, T> Outbox<R, T, ()> {
    /// What a session wants, by itself.
    pub(super) fn taken(self) -> Taken<R, T> {
        let requests = self.outputs.into_iter().filter_map(|output| match output {
            Output::Ask(ticket, request) => Some((ticket, request)),
            Output::Do(()) => None,
        });
        (requests.collect(), self.told.into())
    }
}
