//! Where a module can keep claims: in this Envoy's memory alone, or in an etcd too.
//!
//! V8 compiles a module as a whole, for each worker. So whoever needs no etcd does not carry it, and each
//! module says with a type what it has.

use std::fmt::Debug;

use super::host::Host;
use super::store_calls::Asker;
use super::worker::Worker;
use crate::engine::{CellEvent, CellRequest, Census, Config};
use crate::engine::{Conversation, Session, SessionOf, Stored};
use crate::engine::{ETCD_MODULE, PAYMENTS_MODULE};
use crate::engine::{Exchange, Policy, Ticket, Timestamp};

/// An exchange over the store that is configured.
pub(super) type OverStore<S> = Stored<Exchange, <S as Stores>::Session>;

/// What an exchange asks of its host.
pub(super) type RequestOf<S> = <<S as Stores>::Session as Conversation>::Request;

/// What became of it.
pub(super) type EventOf<S> = <<S as Stores>::Session as Conversation>::Event;

/// Where a module can keep claims.
pub(super) trait Stores: Debug + Sized {
    /// One request's dealings with a store.
    type Session: Debug + SessionOf<Exchange>;
    /// What the worker itself has to do with a store that is far away.
    type Member: Debug;

    /// Whether the module has what this configuration asks for.
    ///
    /// # Errors
    /// Which module to load instead.
    fn check(config: &Config) -> Result<(), String>;

    /// What a worker of the number `owner` has for the store that is configured.
    ///
    /// # Errors
    /// When Envoy does not let it be called.
    fn open<H: Host>(host: &H, policy: &Policy, owner: u64)
    -> Result<(Self, Self::Member), String>;

    /// A request's dealings with the store.
    fn session(&self) -> Self::Session;

    /// Asks the store; tells at once what is known at once.
    fn ask<H: Host>(
        worker: &Worker<H, Self>,
        asker: Asker,
        ticket: Ticket,
        request: RequestOf<Self>,
    ) -> Option<EventOf<Self>>;

    /// Goes on with an exchange whose stream is over, until everything of it is written down.
    fn take_over<H: Host>(
        _worker: &Worker<H, Self>,
        _context: u32,
        _exchange: OverStore<Self>,
        _since: Timestamp,
    ) {
    }

    /// Whether the store is far away: then the worker is called more often.
    fn is_far(&self) -> bool {
        false
    }

    /// Reads in a request how late the store is to answer it, for tests.
    #[cfg(feature = "slow")]
    fn slow_down(&self, _context: u32, _fields: &[(&[u8], &[u8])]) {}

    /// The worker is called.
    fn called<H: Host>(_member: &mut Self::Member, _worker: &Worker<H, Self>) {}

    /// The worker has ticked, and counted this in shared data. `counts`: it is to count what the store
    /// far away holds.
    fn ticked<H: Host>(
        _member: &mut Self::Member,
        _worker: &Worker<H, Self>,
        _counts: bool,
        _local: Option<Census>,
    ) {
    }
}

/// Claims in this Envoy's memory. It answers in the same call, so nothing is ever waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalOnly;

impl Stores for LocalOnly {
    type Session = Session;
    type Member = ();

    fn check(config: &Config) -> Result<(), String> {
        if config.store.etcd().is_some() {
            return Err(format!(
                "idempotency.store: expected local, as this module has no etcd, found etcd: load \
                 {ETCD_MODULE} in the place of {PAYMENTS_MODULE}"
            ));
        }
        Ok(())
    }

    fn open<H: Host>(_: &H, _: &Policy, _: u64) -> Result<(Self, ()), String> {
        Ok((Self, ()))
    }

    fn session(&self) -> Session {
        Session::default()
    }

    fn ask<H: Host>(
        worker: &Worker<H, Self>,
        _: Asker,
        _: Ticket,
        request: CellRequest,
    ) -> Option<CellEvent> {
        Some(worker.health.cell(&worker.host, request))
    }
}
