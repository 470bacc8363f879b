//! A request's dealings with whichever store is configured.

use std::rc::Rc;

use super::backend::{BackendEvent, BackendRequest};
use super::contract::{StoreEvent, StoreRequest};
use super::conversation::{Conversation, Outbox};
use super::etcd::{EtcdSession, EtcdStore};
use super::local::session::Session;
use super::terms::Terms;
use crate::engine::machine::Ticket;

/// A request's dealings with whichever store is configured.
#[derive(Debug)]
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
