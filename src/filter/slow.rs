//! A store that answers late, for tests: in another order, twice, or never.
//!
//! What a request asks of the store waits until the worker's tick, where the request has `x-store: slow`.
//! With `x-store: never` it waits for ever.

use std::cell::{Cell as Flag, RefCell};

use super::health_cell::HealthCell;
use super::host::Host;
use super::store_calls::Asker;
use crate::engine::Ticket;
use crate::engine::{CellEvent, CellRequest};

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Slow {
    /// Every request waits.
    pub(super) is_on: Flag<bool>,
    waiting: RefCell<Vec<(Asker, Ticket, CellRequest)>>,
    /// The requests that wait, and those that wait for ever.
    slow: RefCell<Vec<Asker>>,
    never: RefCell<Vec<Asker>>,
}

impl Slow {
    /// Keeps a question until [`Slow::answers`]; gives it back if the store is to answer at once.
    pub(super) fn take(
        &self,
        asker: Asker,
        ticket: Ticket,
        request: CellRequest,
    ) -> Option<CellRequest> {
        if self.never.borrow().contains(&asker) {
            return None;
        }
        if !self.is_on.get() && !self.slow.borrow().contains(&asker) {
            return Some(request);
        }
        self.waiting.borrow_mut().push((asker, ticket, request));
        None
    }

    /// Reads in a request how the store is to answer it.
    #[cfg(feature = "slow")]
    pub(super) fn read(&self, context: u32, fields: &[(&[u8], &[u8])]) {
        for (name, value) in fields {
            match (*name, *value) {
                (b"x-store", b"slow") => self.slow.borrow_mut().push(Asker::Request(context)),
                (b"x-store", b"never") => self.never.borrow_mut().push(Asker::Request(context)),
                _ => {}
            }
        }
    }

    /// The answers to what waits, the last question first, and each of them twice.
    pub(super) fn answers<H: Host>(
        &self,
        host: &H,
        health: &HealthCell,
    ) -> Vec<(Asker, Ticket, CellEvent)> {
        let waiting = self.waiting.take();
        let answer = |(asker, ticket, request)| {
            let told = health.cell(host, request);
            [(asker, ticket, told.clone()), (asker, ticket, told)]
        };
        waiting.into_iter().rev().flat_map(answer).collect()
    }
}
