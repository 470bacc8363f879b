//! What the three machines of the engine have in common, and the one loop that carries out what
//! they want.
//!
//! A machine asks its store and waits: the answer may come in the same call, much later, twice, or
//! never. So each question has a number, and an answer names it. What nobody waits for any longer
//! says nothing.

use std::collections::VecDeque;

use crate::engine::time::Timestamp;

/// The number of a question to a store. A machine gives each of its questions another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u32);

impl Ticket {
    /// The number of no question of a machine.
    pub(in crate::engine) const NONE: Self = Self(0);

    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// What a machine takes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<E, T> {
    /// Something happened.
    Event(E),
    /// The store answers the question with this number.
    Told(Ticket, T),
}

/// What a machine wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<A, E> {
    /// Ask the store this, and tell its answer with the number of the question.
    Ask(Ticket, A),
    /// Do this.
    Do(E),
}

/// What goes into a [`Machine`].
pub type InputOf<'a, M> = Input<<M as Machine>::Event<'a>, <M as Machine>::Told>;

/// What comes out of a [`Machine`].
pub type OutputOf<M> = Output<<M as Machine>::Ask, <M as Machine>::Effect>;

/// A state machine without I/O and without a clock: the same inputs at the same times give the same
/// outputs.
pub trait Machine {
    /// What happens to it.
    type Event<'a>;
    /// What it wants done.
    type Effect;
    /// What it asks its store.
    type Ask;
    /// What its store answers.
    type Told;
    /// What its worker counts from one input to the next.
    type Counters;

    /// Takes in what happened at `now`, and says what to do, in this order.
    fn handle(
        &mut self,
        input: InputOf<'_, Self>,
        now: Timestamp,
        counters: &mut Self::Counters,
    ) -> Vec<OutputOf<Self>>;
}

/// Carries out what a machine wants.
pub trait Shell<M: Machine + ?Sized> {
    /// Asks the store. `None`: its answer comes later.
    fn ask(&mut self, ticket: Ticket, ask: M::Ask) -> Option<M::Told>;

    /// Does something, and says what follows from it at once.
    fn carry_out(&mut self, effect: M::Effect) -> Option<M::Event<'static>>;
}

/// Tells a machine what happened and carries out what it wants, until it wants no more or waits.
pub fn drive<M: Machine>(
    machine: &mut M,
    input: InputOf<'_, M>,
    now: Timestamp,
    counters: &mut M::Counters,
    shell: &mut impl Shell<M>,
) {
    let mut todo: VecDeque<OutputOf<M>> = machine.handle(input, now, counters).into();
    while let Some(output) = todo.pop_front() {
        let follows = match output {
            Output::Ask(ticket, ask) => {
                shell.ask(ticket, ask).map(|told| Input::Told(ticket, told))
            }
            Output::Do(effect) => shell.carry_out(effect).map(Input::Event),
        };
        if let Some(input) = follows {
            todo.extend(machine.handle(input, now, counters));
        }
    }
}

/// The questions that a machine waits for: a handful at most, because each new stage forgets those
/// of the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct Tickets {
    last: Ticket,
    open: Vec<Ticket>,
}

impl Tickets {
    /// The number of a new question.
    pub(in crate::engine) fn open(&mut self) -> Ticket {
        self.last = self.last.next();
        self.open.push(self.last);
        self.last
    }

    /// Whether the answer to this question is waited for, which it is once.
    #[must_use]
    pub(in crate::engine) fn close(&mut self, ticket: Ticket) -> bool {
        let place = self.open.iter().position(|open| *open == ticket);
        place.map(|place| self.open.swap_remove(place)).is_some()
    }

    /// Nobody waits for what was asked so far.
    pub(in crate::engine) fn forget(&mut self) {
        self.open.clear();
    }

    /// Whether nothing is waited for.
    #[must_use]
    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_answered_once_and_not_after_it_is_forgotten() {
        let mut tickets = Tickets::default();
        let (first, second) = (tickets.open(), tickets.open());
        assert!(tickets.close(second) && !tickets.close(second));
        tickets.forget();
        assert!(!tickets.close(first) && tickets.is_empty());
        assert!(tickets.open() > second);
    }
}
