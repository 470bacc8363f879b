//! What a session asks of its host, whatever the store: shared values of this process, calls to a
//! store that is far away, and a pause.

use super::cell::{CellEvent, CellRequest};
use crate::engine::time::Millis;

/// What a host is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendRequest {
    /// Read or write a value that all workers of this process share.
    Cell(CellRequest),
    /// Call the store.
    Rpc(RpcRequest),
    /// Tell when so much time has passed; it may be a tick more.
    Wait(Millis),
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendEvent {
    /// Of the value.
    Cell(CellEvent),
    /// Of the call.
    Rpc(RpcEvent),
    /// The time has passed.
    Waited,
}

/// A unary gRPC call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcRequest {
    /// What is called.
    pub method: RpcMethod,
    /// The message, serialised.
    pub message: Vec<u8>,
    /// How long it may take. Never zero: etcd takes that as "no time at all".
    pub timeout: Millis,
}

/// A method of etcd's API v3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RpcMethod {
    /// Reads keys.
    Range,
    /// Compares, and reads and writes keys.
    Txn,
    /// Asks for a lease.
    LeaseGrant,
}

impl RpcMethod {
    /// The service and the method, as gRPC names them.
    #[must_use]
    pub const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Range => ("etcdserverpb.KV", "Range"),
            Self::Txn => ("etcdserverpb.KV", "Txn"),
            Self::LeaseGrant => ("etcdserverpb.Lease", "LeaseGrant"),
        }
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RpcEvent {
    /// With status OK and this message, which may be anything.
    Answered(Vec<u8>),
    /// With another status of gRPC. It may have been carried out all the same.
    Failed(u32),
    /// It did not leave: no member can be reached.
    Unsent,
}

impl From<CellRequest> for BackendRequest {
    fn from(request: CellRequest) -> Self {
        Self::Cell(request)
    }
}
