//! A store that answers late, for tests: in another order, twice, or never.
//!
//! What a request asks of the store waits until the worker's tick, where the request has `x-store: slow`.
//! With `x-store: never` it waits for ever.

use std::cell::{Cell as Flag, RefCell};

use super::driver::cell;
use super::host::Host;
use crate::engine::Ticket;
use crate::engine::{CellEvent, CellRequest};

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Slow {
    /// Every request waits.
    pub(super) is_on: Flag<bool>,
    waiting: RefCell<Vec<(u32, Ticket, CellRequest)>>,
    /// The requests that wait, and those that wait for ever.
    slow: RefCell<Vec<u32>>,
    never: RefCell<Vec<u32>>,
}

impl Slow {
    /// Keeps a question until [`Slow::answers`]; gives it back if the store is to answer at once.
    pub(super) fn take(
        &self,
        context: u32,
        ticket: Ticket,
        request: CellRequest,
    ) -> Option<CellRequest> {
        if self.never.borrow().contains(&context) {
            return None;
        }
        if !self.is_on.get() && !self.slow.borrow().contains(&context) {
            return Some(request);
        }
        self.waiting.borrow_mut().push((context, ticket, request));
        None
    }

    /// Reads in a request how the store is to answer it.
    #[cfg(feature = "slow")]
    pub(super) fn read(&self, context: u32, fields: &[(&[u8], &[u8])]) {
        for (name, value) in fields {
            match (*name, *value) {
                (b"x-store", b"slow") => self.slow.borrow_mut().push(context),
                (b"x-store", b"never") => self.never.borrow_mut().push(context),
                _ => {}
            }
        }
    }

    /// The answers to what waits, the last question first, and each of them twice.
    pub(super) fn answers<H: Host>(&self, host: &H) -> Vec<(u32, Ticket, CellEvent)> {
        let waiting = self.waiting.take();
        let answer = |(context, ticket, request)| {
            let told = cell(host, request);
            [(context, ticket, told.clone()), (context, ticket, told)]
        };
        waiting.into_iter().rev().flat_map(answer).collect()
    }
}
