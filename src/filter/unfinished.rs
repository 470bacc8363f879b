//! Exchanges whose stream is over and that have still something to write down: the worker goes on
//! with them.
//!
//! However long the store is away or refuses, they wait for it. Each pauses after what it could not write,
//! and of those whose pause is over so many go on at a time as the store can take beside the payments that
//! come meanwhile; none while it is away.

use std::collections::{BTreeMap, BTreeSet};

use super::host::Host;
use super::store_calls::Asker;
use super::stores::{OverStore, Stores as _};
use super::with_etcd::WithEtcd;
use super::worker::Worker;
use crate::engine::Timestamp;
use crate::engine::limits;
use crate::engine::{BackendEvent, BackendRequest};
use crate::engine::{ExchangeEffect, ExchangeEvent};
use crate::engine::{Input, Shell, Ticket, drive};

/// The exchanges of one worker whose streams are over.
#[derive(Debug)]
pub(super) struct Backlog {
    max: usize,
    /// By Envoy's number of the stream that they had.
    exchanges: BTreeMap<u32, Box<Unfinished>>,
    /// Those of them that have no claim of their own to end: what they have to write, others may learn
    /// again.
    lesser: BTreeSet<u32>,
    given_up: GivenUp,
}

/// How many were given up since that was told last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct GivenUp {
    /// With a claim of their own.
    pub(super) claims: u64,
    pub(super) others: u64,
}

/// An exchange whose stream is over.
#[derive(Debug)]
struct Unfinished {
    exchange: OverStore<WithEtcd>,
    since: Timestamp,
}

impl Default for Backlog {
    fn default() -> Self {
        Self::of(limits::UNFINISHED_MAX)
    }
}

impl Backlog {
    /// For at most so many.
    pub(super) const fn of(max: usize) -> Self {
        Self {
            max,
            exchanges: BTreeMap::new(),
            lesser: BTreeSet::new(),
            given_up: GivenUp { claims: 0, others: 0 },
        }
    }

    pub(super) fn len(&self) -> usize {
        self.exchanges.len()
    }

    pub(super) fn has(&self, asker: Asker) -> bool {
        match asker {
            Asker::Request(context) => self.exchanges.contains_key(&context),
            Asker::Worker | Asker::Census => false,
        }
    }

    /// Keeps an exchange until everything of it is written down.
    pub(super) fn take_over(
        &mut self,
        context: u32,
        exchange: OverStore<WithEtcd>,
        since: Timestamp,
    ) {
        self.put(context, Box::new(Unfinished { exchange, since }));
    }

    /// Where there is no room for all, those without a claim of their own are given up first.
    fn put(&mut self, context: u32, one: Box<Unfinished>) {
        let is_lesser = !one.exchange.owes_claim();
        if self.exchanges.len() >= self.max {
            let goes = if is_lesser { None } else { self.lesser.first().copied() };
            if goes.is_some() || is_lesser {
                self.given_up.others += 1;
            } else {
                self.given_up.claims += 1;
            }
            let Some(goes) = goes else {
                return;
            };
            let _ = self.take(goes);
        }
        if is_lesser {
            self.lesser.insert(context);
        }
        self.exchanges.insert(context, one);
    }

    fn take(&mut self, context: u32) -> Option<Box<Unfinished>> {
        self.lesser.remove(&context);
        self.exchanges.remove(&context)
    }

    /// How many were given up since this was asked last.
    pub(super) fn take_given_up(&mut self) -> GivenUp {
        std::mem::take(&mut self.given_up)
    }
}

impl<H: Host> Worker<H, WithEtcd> {
    /// The claims of those that were given up end in doubt when their leases do.
    pub(super) fn say_given_up(&self) {
        let GivenUp { claims, others } = self.stores.unfinished.borrow_mut().take_given_up();
        if claims + others > 0 {
            log::error!(
                "more than {} requests wait for the store, and some are given up: how {claims} of them \
                 ended is not written down, nor what {others} have learnt of other payments",
                limits::UNFINISHED_MAX
            );
        }
    }

    /// The pauses that are over. Of exchanges without a stream no more go on than may ask the store at a
    /// time, those first that have paused for longest, and none while the store is away: whoever has
    /// joined the realm looks for it.
    pub(super) fn due(&self, now: Timestamp) -> Vec<(Asker, Ticket)> {
        let unfinished = self.stores.unfinished.borrow();
        let is_away = self.stores.etcd.as_ref().is_some_and(|store| store.is_away());
        let under_way = self.stores.calls.count(|asker| unfinished.has(asker));
        let room = limits::UNFINISHED_UNDER_WAY_MAX.saturating_sub(under_way);
        let mut room = if is_away { 0 } else { room };
        self.stores.calls.due_of(now, |asker| {
            let goes_on = room > 0 || !unfinished.has(asker);
            if goes_on && unfinished.has(asker) {
                room -= 1;
            }
            goes_on
        })
    }

    /// The store answers a question of an exchange that is kept; gives the answer back if there is
    /// none.
    pub(super) fn tell_unfinished(
        &self,
        context: u32,
        ticket: Ticket,
        event: BackendEvent,
    ) -> Option<BackendEvent> {
        let mut unfinished = self.stores.unfinished.borrow_mut();
        let Some(mut one) = unfinished.take(context) else {
            return Some(event);
        };
        let now = self.host.now().unwrap_or(one.since);
        let counters = &mut self.counters.borrow_mut();
        let mut shell = Streamless { worker: self, context };
        drive(&mut one.exchange, Input::Told(ticket, event), now, counters, &mut shell);
        if !one.exchange.is_ended() {
            unfinished.put(context, one);
        }
        None
    }
}

/// What is left to carry out where there is no stream.
struct Streamless<'a, H> {
    worker: &'a Worker<H, WithEtcd>,
    context: u32,
}

impl<H: Host> Shell<OverStore<WithEtcd>> for Streamless<'_, H> {
    fn ask(&mut self, ticket: Ticket, request: BackendRequest) -> Option<BackendEvent> {
        WithEtcd::ask(self.worker, Asker::Request(self.context), ticket, request)
    }

    fn carry_out(&mut self, effect: ExchangeEffect) -> Option<ExchangeEvent<'static>> {
        match effect {
            ExchangeEffect::Changed(change) => self.worker.changed(&change),
            ExchangeEffect::Anomaly(anomaly) => self.worker.anomaly(&anomaly),
            ExchangeEffect::Doubt(event) => self.worker.doubt(event),
            // Its access log is written, without what is decided now.
            ExchangeEffect::Decided(decision) => {
                self.worker.count_decision(&decision);
                if let Some(audit) = &self.worker.audit {
                    let entry = decision.entry(decision.at, "", audit.pepper());
                    audit.keep(entry.number("late", 1));
                }
            }
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
