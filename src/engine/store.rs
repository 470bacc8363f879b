//! What is written down about payments, and how it is read again.

mod alias;
mod any_session;
mod backend;
mod cell;
mod census;
mod contract;
mod conversation;
mod etcd;
mod kept_answer;
mod layout;
mod local;
mod memory;
mod operators;
mod record;
mod terms;

pub use alias::{Alias, AliasTarget, Delivery};
pub use any_session::{AnyOperatorSession, AnySession};
pub use backend::{BackendEvent, BackendRequest, RpcEvent, RpcMethod, RpcRequest};
pub use cell::{Cell, CellEvent, CellRequest, Expected, Loaded};
pub(in crate::engine) use census::draft::{Counts, Draft};
pub use census::{Census, Counted, InDoubt, LocalClaims, MAKES_ROOM, ResolvedCount, Room, States};
pub use contract::{Commit, Key, Patience, Seen, StoreError, StoreEvent, StoreRequest, Version};
pub use conversation::{Conversation, Keyed, Local, Outbox, SessionOf, Stored};
pub use etcd::{
    EtcdOperatorSession, EtcdSession, EtcdStore, EtcdTerms, KeyValue, LeaseAnswer, Lineage,
    Lineages, MemoryEtcd, MemoryKey, RangeAnswer, Realm, RealmCensus, RealmEffect, RealmGateway,
    RealmMember, RealmTerms, RealmWorkers, StoreLink, TxnAnswer,
};
pub use kept_answer::KeptAnswer;
pub use layout::{KeyDefinition, Layout, LayoutError};
pub use local::bucket::{Bucket, BucketError, Retention};
pub use local::capacity;
pub(in crate::engine) use local::capacity::Capacity;
pub use local::lookup::{OperatorSession, OperatorTerms};
pub use local::placement::{Placement, Seed};
pub use local::session::Session;
pub use memory::MemoryStore;
pub use operators::{Found, OperatorEvent, OperatorRequest};
pub use record::Entry;
pub use terms::Terms;

pub(in crate::engine) use layout::hash as layout_hash;

/// Claims and buckets as the tests of the census make them.
#[cfg(test)]
pub(in crate::engine) use census::tests as census_fixtures;

/// An etcd that goes wrong, as tests have it.
#[cfg(test)]
pub(in crate::engine) use etcd::fixture as etcd_fixture;
