//! A request's dealings with whichever store is configured, and an operator's.

use std::rc::Rc;

use super::backend::{BackendEvent, BackendRequest};
use super::contract::{StoreEvent, StoreRequest};
use super::conversation::{Conversation, Outbox};
use super::etcd::{EtcdOperatorSession, EtcdSession, EtcdStore};
use super::local::lookup::{OperatorSession, OperatorTerms};
use super::local::session::Session;
use super::operators::{OperatorEvent, OperatorRequest};
use super::terms::Terms;
use crate::engine::machine::Ticket;
use crate::engine::time::Millis;

/// A request's dealings with whichever store is configured.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "each request has one, and it is not moved about")]
pub enum AnySession {
    /// Shared data of this process.
    Local(Session),
    /// An etcd that several Envoys share.
    Etcd(Box<EtcdSession>),
}

impl AnySession {
    /// With `store`, or with shared data where there is none.
    #[must_use]
    pub fn new(store: Option<&Rc<EtcdStore>>) -> Self {
        let etcd = |store: &Rc<EtcdStore>| Self::Etcd(Box::new(EtcdSession::new(Rc::clone(store))));
        store.map_or_else(|| Self::Local(Session::default()), etcd)
    }
}

impl Conversation for AnySession {
    type Ask = StoreRequest;
    type Told = StoreEvent;
    type Request = BackendRequest;
    type Event = BackendEvent;
    type Terms<'a> = Terms<'a>;

    fn ask<E>(
        &mut self,
        ticket: Ticket,
        ask: StoreRequest,
        terms: &Terms<'_>,
        outbox: &mut Outbox<BackendRequest, StoreEvent, E>,
    ) {
        match self {
            Self::Local(session) => session.take_question(ticket, ask, terms, outbox),
            Self::Etcd(session) => session.ask(ticket, ask, terms, outbox),
        }
    }

    fn told<E>(
        &mut self,
        ticket: Ticket,
        event: BackendEvent,
        terms: &Terms<'_>,
        outbox: &mut Outbox<BackendRequest, StoreEvent, E>,
    ) {
        match (self, event) {
            (Self::Local(session), BackendEvent::Cell(event)) => {
                session.take_cell(ticket, event, terms, outbox);
            }
            // It asks for nothing else.
            (Self::Local(_), BackendEvent::Rpc(_) | BackendEvent::Waited) => {}
            (Self::Etcd(session), event) => session.told(ticket, event, terms, outbox),
        }
    }
}

/// An operator's dealings with whichever store is configured.
#[derive(Debug)]
pub enum AnyOperatorSession {
    /// Shared data of this process.
    Local(OperatorSession),
    /// The same, and an etcd that several Envoys share.
    Etcd(Box<EtcdOperatorSession>),
}

impl AnyOperatorSession {
    /// With `store`, which keeps resolved claims for so long, or with shared data where there is none.
    #[must_use]
    pub fn new(store: Option<&Rc<EtcdStore>>, retention: Millis) -> Self {
        match store {
            None => Self::Local(OperatorSession::default()),
            Some(store) => {
                Self::Etcd(Box::new(EtcdOperatorSession::new(Rc::clone(store), retention)))
            }
        }
    }
}

impl Conversation for AnyOperatorSession {
    type Ask = OperatorRequest;
    type Told = OperatorEvent;
    type Request = BackendRequest;
    type Event = BackendEvent;
    type Terms<'a> = OperatorTerms<'a>;

    fn ask<E>(
        &mut self,
        ticket: Ticket,
        ask: OperatorRequest,
        terms: &OperatorTerms<'_>,
        outbox: &mut Outbox<BackendRequest, OperatorEvent, E>,
    ) {
        match self {
            Self::Local(session) => session.take_question(ticket, ask, outbox),
            Self::Etcd(session) => session.ask(ticket, ask, terms, outbox),
        }
    }

    fn told<E>(
        &mut self,
        ticket: Ticket,
        event: BackendEvent,
        terms: &OperatorTerms<'_>,
        outbox: &mut Outbox<BackendRequest, OperatorEvent, E>,
    ) {
        match (self, event) {
            (Self::Local(session), BackendEvent::Cell(event)) => {
                session.take_cell(ticket, event, terms, outbox);
            }
            // It asks for nothing else.
            (Self::Local(_), BackendEvent::Rpc(_) | BackendEvent::Waited) => {}
            (Self::Etcd(session), event) => session.told(ticket, event, terms, outbox),
        }
    }
}
