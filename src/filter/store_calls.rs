//! Calls to a store that is far away, and who waits for their answers.

use std::cell::RefCell;

use super::host::Host;
use crate::engine::Ticket;
use crate::engine::Timestamp;
use crate::engine::{RpcEvent, RpcRequest};

/// Who asks the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// The request with Envoy's number, or its exchange at the worker once it is over.
    Request(u32),
    /// The worker itself, about its membership.
    Worker,
    /// The worker that counts.
    Census,
}

/// What the store was asked and has not answered. Envoy answers each call, by its end at the latest;
/// so there are no more of them than requests under way.
#[derive(Debug, Default)]
pub(super) struct StoreCalls {
    /// Calls by Envoy's token.
    open: RefCell<Vec<(u32, Asker, Ticket)>>,
    /// Pauses by their end.
    waits: RefCell<Vec<(Timestamp, Asker, Ticket)>>,
}

impl StoreCalls {
    /// Sends a call; tells at once if it cannot be sent.
    pub(super) fn send<H: Host>(
        &self,
        host: &H,
        cluster: &str,
        asker: Asker,
        ticket: Ticket,
        request: &RpcRequest,
    ) -> Option<RpcEvent> {
        match host.rpc(cluster, request) {
            Ok(token) => {
                self.open.borrow_mut().push((token, asker, ticket));
                None
            }
            Err(_) => Some(RpcEvent::Unsent),
        }
    }

    /// Keeps a question until `due`.
    pub(super) fn wait(&self, due: Timestamp, asker: Asker, ticket: Ticket) {
        self.waits.borrow_mut().push((due, asker, ticket));
    }

    /// Who waits for the call with this token; asked once.
    pub(super) fn take(&self, token: u32) -> Option<(Asker, Ticket)> {
        let mut open = self.open.borrow_mut();
        let place = open.iter().position(|(known, ..)| *known == token)?;
        let (_, asker, ticket) = open.swap_remove(place);
        Some((asker, ticket))
    }

    /// How many calls these have under way.
    pub(super) fn count(&self, whose: impl Fn(Asker) -> bool) -> usize {
        self.open.borrow().iter().filter(|(_, asker, _)| whose(*asker)).count()
    }

    /// The pauses that are over at `now`. If the clock was put back they may end early.
    pub(super) fn due(&self, now: Timestamp) -> Vec<(Asker, Ticket)> {
        self.due_of(now, |_| true)
    }

    /// Those of whoever goes on now, the oldest first. The others go on pausing.
    pub(super) fn due_of(
        &self,
        now: Timestamp,
        mut goes_on: impl FnMut(Asker) -> bool,
    ) -> Vec<(Asker, Ticket)> {
        let mut due = Vec::new();
        self.waits.borrow_mut().retain(|(end, asker, ticket)| {
            let is_over = *end <= now || end.since(now).get() > WAIT_MS_MAX;
            let is_over = is_over && goes_on(*asker);
            if is_over {
                due.push((*asker, *ticket));
            }
            !is_over
        });
        due
    }
}

/// Nobody waits for longer.
const WAIT_MS_MAX: u64 = 5000;
