//! A machine whose store is Envoy's shared data: what it asks by key becomes loads and stores of
//! cells, and it is told what became of them.

use std::collections::VecDeque;

use crate::engine::machine::{Input, InputOf, Machine, Output, OutputOf, Ticket};
use crate::engine::store::cell::{CellEvent, CellRequest};
use crate::engine::time::Timestamp;

/// What a conversation and its machine want, until a cell has to be waited for.
#[derive(Debug)]
pub struct Outbox<T, E> {
    outputs: Vec<Output<CellRequest, E>>,
    /// What the session has answered, in its order.
    told: VecDeque<(Ticket, T)>,
}

impl<T, E> Outbox<T, E> {
    pub(super) const fn new() -> Self {
        Self { outputs: Vec::new(), told: VecDeque::new() }
    }

    /// A cell is to be read or written.
    pub(super) fn ask(&mut self, ticket: Ticket, request: CellRequest) {
        self.outputs.push(Output::Ask(ticket, request));
    }

    /// The question with this number is answered.
    pub(super) fn tell(&mut self, ticket: Ticket, told: T) {
        self.told.push_back((ticket, told));
    }
}

/// How questions become loads and stores of cells.
pub trait Conversation: Default {
    /// A question.
    type Ask;
    /// Its answer.
    type Told;
    /// What the session works by.
    type Terms<'a>;

    /// Asks something.
    fn ask<E>(
        &mut self,
        ticket: Ticket,
        ask: Self::Ask,
        terms: &Self::Terms<'_>,
        outbox: &mut Outbox<Self::Told, E>,
    );

    /// Takes in what became of the cell with this number.
    fn cell<E>(
        &mut self,
        ticket: Ticket,
        event: CellEvent,
        terms: &Self::Terms<'_>,
        outbox: &mut Outbox<Self::Told, E>,
    );
}

/// What the session of a machine works by.
pub(in crate::engine) type TermsOf<'a, M> = <<M as Keyed>::Session as Conversation>::Terms<'a>;

/// A machine that asks such questions.
pub trait Keyed: Machine {
    /// How they become loads and stores.
    type Session: Conversation<Ask = Self::Ask, Told = Self::Told>;

    /// What the store works by.
    fn terms<'a>(&'a self, now: Timestamp, counters: &'a Self::Counters) -> TermsOf<'a, Self>;
}

/// A machine over the store in shared data.
#[derive(Debug)]
pub struct Local<M: Keyed> {
    machine: M,
    session: M::Session,
}

impl<M: Keyed> Local<M> {
    /// The machine over the store.
    #[must_use]
    pub fn new(machine: M) -> Self {
        Self { machine, session: M::Session::default() }
    }
}

impl<M: Keyed> std::ops::Deref for Local<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.machine
    }
}

impl<M: Keyed> std::ops::DerefMut for Local<M> {
    fn deref_mut(&mut self) -> &mut M {
        &mut self.machine
    }
}

impl<M: Keyed> Machine for Local<M> {
    type Event<'a> = M::Event<'a>;
    type Effect = M::Effect;
    type Ask = CellRequest;
    type Told = CellEvent;
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
                self.session.cell(ticket, event, &terms, &mut outbox);
            }
        }
        while let Some((ticket, told)) = outbox.told.pop_front() {
            let wanted = self.machine.handle(Input::Told(ticket, told), now, counters);
            self.ask(wanted, now, counters, &mut outbox);
        }
        outbox.outputs
    }
}

impl<M: Keyed> Local<M> {
    fn ask(
        &mut self,
        wanted: Vec<OutputOf<M>>,
        now: Timestamp,
        counters: &M::Counters,
        outbox: &mut Outbox<M::Told, M::Effect>,
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

/// The cells that a session wants, and what it has answered.
#[cfg(test)]
pub(super) type Taken<T> = (Vec<(Ticket, CellRequest)>, Vec<(Ticket, T)>);

#[cfg(test)]
impl<T> Outbox<T, ()> {
    /// What a session wants, by itself.
    pub(super) fn taken(self) -> Taken<T> {
        let cells = self.outputs.into_iter().filter_map(|output| match output {
            Output::Ask(ticket, request) => Some((ticket, request)),
            Output::Do(()) => None,
        });
        (cells.collect(), self.told.into())
    }
}
