//! The store in an etcd that several Envoys share.

#[cfg_attr(not(test), expect(dead_code, reason = "no session sends requests yet"))]
mod message;
mod proto;

pub use message::answer::{KeyValue, LeaseAnswer, RangeAnswer, TxnAnswer};
