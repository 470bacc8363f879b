//! What a session is at.

use std::rc::Rc;

use crate::engine::machine::Ticket;
use crate::engine::store::backend::BackendRequest;
use crate::engine::store::contract::{Key, Patience, StoreEvent};
use crate::engine::store::etcd::call::RetriedCall;
use crate::engine::store::etcd::commit::PendingCommit;
use crate::engine::store::etcd::retract::Retract;
use crate::engine::store::etcd::shared::Membership;

/// What is under way.
#[derive(Debug)]
pub(super) enum EtcdWork {
    /// Reads `all`, of which `keys` were asked for.
    Reading {
        keys: Vec<Key>,
        all: Vec<Key>,
        member: Rc<Membership>,
    },
    Committing(Box<PendingCommit>),
    Retracting(Box<Retract>),
    /// A retraction was not answered: once more in a while.
    Resting(Box<Retract>),
    Pausing,
}

impl EtcdWork {
    /// How long the store is tried.
    pub(super) const fn patience(&self) -> Patience {
        match self {
            Self::Committing(pending) => pending.commit.patience,
            Self::Reading { .. } | Self::Retracting(_) | Self::Resting(_) | Self::Pausing => {
                Patience::Long
            }
        }
    }
}

/// A question that is under way: its number, what for, and the call.
#[derive(Debug)]
pub(super) struct InProgress {
    pub(super) ticket: Ticket,
    pub(super) doing: EtcdWork,
    pub(super) call: RetriedCall,
}

/// What comes next.
pub(super) enum EtcdStep {
    /// This is sent for that.
    Send(EtcdWork, Vec<u8>),
    /// The host is asked this for the same call.
    Again(EtcdWork, RetriedCall, BackendRequest),
    /// This is done after a pause.
    Rest(EtcdWork),
    /// The question is answered.
    Done(StoreEvent),
}
