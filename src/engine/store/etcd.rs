//! The store in an etcd that several Envoys share.

mod call;
mod census;
mod commit;
mod drain;
#[cfg(test)]
pub(in crate::engine) mod fixture;
mod key;
mod known;
mod lineage;
mod member;
mod memory;
mod message;
mod names;
mod operators;
mod proto;
mod retract;
mod session;
mod shared;
mod value;
pub(super) mod workers;

pub use census::RealmCensus;
pub use key::Realm;
pub use lineage::{Lineage, Lineages};
pub use member::{RealmEffect, RealmGateway, RealmMember, RealmTerms};
pub use memory::{MemoryEtcd, MemoryKey};
pub use message::answer::{KeyValue, LeaseAnswer, RangeAnswer, TxnAnswer};
pub use operators::EtcdOperatorSession;
pub use session::EtcdSession;
pub use shared::{EtcdStore, EtcdTerms};
pub use workers::{RealmWorkers, StoreLink};
