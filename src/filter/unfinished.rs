//! Exchanges whose stream is over and that have still something to write down: the worker goes on
//! with them.

use super::host::Host;
use super::store_calls::Asker;
use super::stream::OverStore;
use super::worker::Worker;
use crate::engine::Timestamp;
use crate::engine::limits;
use crate::engine::{BackendEvent, BackendRequest};
use crate::engine::{ExchangeEffect, ExchangeEvent};
use crate::engine::{Input, Shell, Ticket, drive};

/// An exchange whose stream is over.
#[derive(Debug)]
pub(super) struct Unfinished {
    /// Envoy's number of the stream that it had.
    context: u32,
    exchange: OverStore,
    since: Timestamp,
}

impl<H: Host> Worker<H> {
    /// Keeps an exchange until everything of it is written down.
    pub(super) fn take_over(&self, context: u32, exchange: OverStore, since: Timestamp) {
        let mut unfinished = self.unfinished.borrow_mut();
        if unfinished.len() < limits::UNFINISHED_MAX {
            unfinished.push(Unfinished { context, exchange, since });
        } else {
            given_up(1);
        }
    }

    /// What the store does not answer for long is given up.
    pub(super) fn forget_unfinished(&self) {
        let mut unfinished = self.unfinished.borrow_mut();
        if let (false, Ok(now)) = (unfinished.is_empty(), self.host.now()) {
            let before = unfinished.len();
            unfinished.retain(|one| now.since(one.since).get() < limits::UNFINISHED_AGE_MS_MAX);
            given_up(before - unfinished.len());
        }
    }

    /// The store answers a question of an exchange that is kept; gives the answer back if there is
    /// none.
    pub(super) fn tell_unfinished(
        &self,
        context: u32,
        ticket: Ticket,
        event: BackendEvent,
    ) -> Option<BackendEvent> {
        let mut unfinished = self.unfinished.borrow_mut();
        let Some(place) = unfinished.iter().position(|one| one.context == context) else {
            return Some(event);
        };
        let mut one = unfinished.swap_remove(place);
        let now = self.host.now().unwrap_or(one.since);
        let counters = &mut self.counters.borrow_mut();
        let mut shell = Streamless { worker: self, context };
        drive(&mut one.exchange, Input::Told(ticket, event), now, counters, &mut shell);
        if !one.exchange.is_ended() {
            unfinished.push(one);
        }
        None
    }
}

/// Their claims end in doubt when their leases do.
fn given_up(exchanges: usize) {
    if exchanges > 0 {
        log::error!(
            "the store does not answer: what became of {exchanges} requests is not written down"
        );
    }
}

/// What is left to carry out where there is no stream.
struct Streamless<'a, H> {
    worker: &'a Worker<H>,
    context: u32,
}

impl<H: Host> Shell<OverStore> for Streamless<'_, H> {
    fn ask(&mut self, ticket: Ticket, request: BackendRequest) -> Option<BackendEvent> {
        self.worker.ask(Asker::Request(self.context), ticket, request)
    }

    fn carry_out(&mut self, effect: ExchangeEffect) -> Option<ExchangeEvent<'static>> {
        match effect {
            ExchangeEffect::Changed(change) => self.worker.changed(&change),
            ExchangeEffect::Anomaly(anomaly) => self.worker.anomaly(&anomaly),
            // Its line stands in the access log already.
            ExchangeEffect::Decided(decision) => self.worker.count_decision(&decision),
            // To a client that has left nothing is sent or said.
            ExchangeEffect::Forward(_)
            | ExchangeEffect::Call(_)
            | ExchangeEffect::Reply(_)
            | ExchangeEffect::Relay { .. }
            | ExchangeEffect::HandOff => {}
        }
        None
    }
}
