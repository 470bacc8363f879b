//! A machine whose store is Envoy's shared data: what it asks by key becomes loads and stores of
//! cells, and it is told what became of them.

use std::collections::VecDeque;

use crate::engine::machine::{Input, InputOf, Machine, Output, OutputOf, Ticket};
use crate::engine::store::cell::{CellEvent, CellRequest};
use crate::engine::time::Timestamp;

/// What a conversation wants: a cell read or written, or to answer the question with this number.
pub(in crate::engine) type SessionOutput<T> = Output<CellRequest, (Ticket, T)>;

/// How questions become loads and stores of cells.
pub trait Conversation: Default {
    /// A question.
    type Ask;
    /// Its answer.
    type Told;
    /// What the session works by.
    type Terms<'a>;

    /// Asks something.
    fn ask(
        &mut self,
        ticket: Ticket,
        ask: Self::Ask,
        terms: &Self::Terms<'_>,
    ) -> Vec<SessionOutput<Self::Told>>;

    /// Takes in what became of the cell with this number.
    fn cell(
        &mut self,
        ticket: Ticket,
        event: CellEvent,
        terms: &Self::Terms<'_>,
    ) -> Vec<SessionOutput<Self::Told>>;
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
        let mut turn = LocalTurn { outputs: Vec::new(), told: VecDeque::new() };
        match input {
            Input::Event(event) => {
                let wanted = self.machine.handle(Input::Event(event), now, counters);
                self.ask(wanted, now, counters, &mut turn);
            }
            Input::Told(ticket, event) => {
                turn.sort(self.session.cell(ticket, event, &self.machine.terms(now, counters)));
            }
        }
        while let Some((ticket, told)) = turn.told.pop_front() {
            let wanted = self.machine.handle(Input::Told(ticket, told), now, counters);
            self.ask(wanted, now, counters, &mut turn);
        }
        turn.outputs
    }
}

impl<M: Keyed> Local<M> {
    fn ask(
        &mut self,
        wanted: Vec<OutputOf<M>>,
        now: Timestamp,
        counters: &M::Counters,
        turn: &mut LocalTurn<M>,
    ) {
        for output in wanted {
            match output {
                Output::Ask(ticket, ask) => {
                    let terms = self.machine.terms(now, counters);
                    turn.sort(self.session.ask(ticket, ask, &terms));
                }
                Output::Do(effect) => turn.outputs.push(Output::Do(effect)),
            }
        }
    }
}

/// What one input leads to, until a cell has to be waited for.
struct LocalTurn<M: Keyed> {
    outputs: Vec<OutputOf<Local<M>>>,
    /// What the session has answered, in its order.
    told: VecDeque<(Ticket, M::Told)>,
}

impl<M: Keyed> LocalTurn<M> {
    fn sort(&mut self, outputs: Vec<SessionOutput<M::Told>>) {
        for output in outputs {
            match output {
                Output::Ask(ticket, request) => self.outputs.push(Output::Ask(ticket, request)),
                Output::Do(told) => self.told.push_back(told),
            }
        }
    }
}
