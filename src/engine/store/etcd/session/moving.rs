//! What a session does while payments move from shared data to etcd.

use super::{EtcdSession, UNAVAILABLE};
use crate::engine::machine::Ticket;
use crate::engine::store::backend::BackendRequest;
use crate::engine::store::contract::{StoreEvent, StoreRequest};
use crate::engine::store::conversation::Outbox;
use crate::engine::store::etcd::drain::Home;
use crate::engine::store::terms::Terms;

/// The number of the session's own questions to shared data. A machine's begin with the next one.
const OWN: Ticket = Ticket::NONE;

type Outgoing<E> = Outbox<BackendRequest, StoreEvent, E>;

impl EtcdSession {
    /// Customers' tokens that are only known in shared data lead to their gateways all the same.
    pub(super) fn with_tokens(&self, event: StoreEvent) -> StoreEvent {
        match (event, &self.drain) {
            (StoreEvent::Seen(seen), Some(drain)) => StoreEvent::Seen(drain.with_tokens(seen)),
            (event, _) => event,
        }
    }

    /// Shared data is asked first where a question may find something there, and a mark is left
    /// there before a claim is written in etcd.
    pub(super) fn look<E>(
        &mut self,
        ticket: Ticket,
        ask: StoreRequest,
        terms: &Terms<'_>,
        outbox: &mut Outgoing<E>,
    ) {
        let Some(drain) = &self.drain else { return };
        let first = match (&ask, drain.home) {
            (StoreRequest::Read(keys) | StoreRequest::Peek(keys), Home::Unknown) => {
                Some(StoreRequest::Read(keys.clone()))
            }
            (StoreRequest::Commit(commit), Home::Etcd) => {
                drain.marks(commit, terms.now).map(StoreRequest::Commit)
            }
            _ => None,
        };
        let Some(first) = first else {
            self.waiting.push_back((ticket, ask));
            return self.begin_next(terms.now, outbox);
        };
        self.looking = Some((ticket, ask));
        self.local.take_question(OWN, first, terms, outbox);
        self.looked(terms, outbox);
    }

    /// Goes on once shared data has answered.
    pub(super) fn looked<E>(&mut self, terms: &Terms<'_>, outbox: &mut Outgoing<E>) {
        let Some(drain) = &mut self.drain else { return };
        let Some(event) = outbox.take_told(OWN) else { return };
        let Some((ticket, ask)) = self.looking.take() else { return };
        match event {
            StoreEvent::Seen(seen) => {
                drain.look(seen.clone());
                if drain.home == Home::SharedData {
                    return outbox.tell(ticket, StoreEvent::Seen(seen));
                }
            }
            StoreEvent::Committed => drain.note_marked(),
            StoreEvent::Conflict => {
                // Somebody has claimed it here: everything is looked at again.
                drain.home = Home::Unknown;
                return outbox.tell(ticket, StoreEvent::Conflict);
            }
            // Room is wanting for a mark, not for the claim. Whether the payment was made is for etcd
            // to say, which was not asked.
            StoreEvent::Refused(_)
            | StoreEvent::Guessed(_)
            | StoreEvent::Unclear
            | StoreEvent::Retracted
            | StoreEvent::Resumed
            | StoreEvent::Health(..)
            | StoreEvent::HealthWritten
            | StoreEvent::HealthConflict
            | StoreEvent::HealthUnclear
            | StoreEvent::Answer(_)
            | StoreEvent::AnswerKept => return outbox.tell(ticket, UNAVAILABLE),
        }
        self.waiting.push_back((ticket, ask));
        self.begin_next(terms.now, outbox);
    }
}
