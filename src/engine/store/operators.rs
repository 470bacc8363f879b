//! What operators ask of a store, and what it tells: the values that all workers share, and single
//! records by the front of their key.

use super::census::Census;
use super::contract::Version;
use super::etcd::workers::RealmWorkers;
use super::layout::{Layout, LayoutError};
use super::record::Entry;
use crate::engine::audit::PublishedHeads;
use crate::engine::health::Health;
use crate::engine::payment::{Claim, KeyFront, KeyPrefix};

/// What an operator's request asks of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorRequest {
    /// Read what is fixed for the life of the store. It comes first.
    Layout,
    /// Read what this process knows of the gateways.
    Health,
    /// Read the last census of all claims.
    Census,
    /// Read how the workers of this process stand with a store in etcd.
    Links,
    /// Read what was published last of the audit trail.
    Heads,
    /// Write what this process knows of the gateways, if it is as expected.
    WriteHealth(Box<Health>, Version),
    /// Look for the payments whose key begins so, as they are now.
    Find(KeyFront),
    /// Put this claim in the place of one that was found, if nothing there has changed since. It
    /// takes no room, and nothing makes room for it.
    Replace(KeyPrefix, Box<Claim>),
}

/// What the store tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorEvent {
    /// The layout, if the store was laid out.
    Layout(Result<Option<Box<Layout>>, LayoutError>),
    /// What is known of the gateways; `None` if another version of the filter has written it.
    Health(Option<Box<Health>>, Version),
    /// The last census, if there is one.
    Census(Option<Box<Census>>),
    /// How the workers stand.
    Links(Box<RealmWorkers>),
    /// What was published last of the audit trail, if anything was.
    Heads(Option<PublishedHeads>),
    /// What was found.
    Found(Found),
    /// It is written.
    Written,
    /// It is not, because it is no longer what it was.
    Conflict,
    /// The store cannot be asked now. Nothing is written.
    Unavailable,
    /// It could not be read, or it is not known whether it was written.
    Failed,
}

/// What was found by the front of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The front is too short to say where the record stands, and the census lists none.
    NotListed,
    /// The census lists several.
    Several,
    /// Where it would stand, another version of the filter has written.
    Unreadable,
    /// No Envoy has joined the realm yet.
    NotJoined,
    /// The records there whose key begins so.
    Records(Vec<(KeyPrefix, Entry)>),
}
