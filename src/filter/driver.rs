//! What the engine's machines ask of the data that all workers share. The loop that carries out
//! everything else is [`drive`](crate::engine::drive), which tests use too.

use super::host::{Host, StoreError};
use crate::engine::{Cell, CellEvent, CellRequest, Expected, Loaded};

/// Reads or writes a shared value.
pub(super) fn cell<H: Host>(host: &H, request: CellRequest) -> CellEvent {
    match request {
        CellRequest::Load(cell) => load(host, cell),
        CellRequest::Store { cell, bytes, expected } => store(host, cell, &bytes, expected),
    }
}

fn load<H: Host>(host: &H, cell: Cell) -> CellEvent {
    match host.load(&key(cell)) {
        Ok(None) => {
            CellEvent::Loaded(cell, Loaded { bytes: Vec::new(), version: Expected::Absent })
        }
        Ok(Some((bytes, version))) => {
            CellEvent::Loaded(cell, Loaded { bytes, version: Expected::At(version) })
        }
        Err(error) => {
            log::error!("{} cannot be read: {error}", words(cell));
            CellEvent::Failed(cell)
        }
    }
}

/// Writes a shared value, if it is as expected.
fn store<H: Host>(host: &H, cell: Cell, bytes: &[u8], expected: Expected) -> CellEvent {
    match host.store(&key(cell), bytes, expected) {
        Ok(()) => CellEvent::Stored(cell),
        Err(StoreError::Conflict) => CellEvent::Conflict(cell),
        Err(StoreError::Failed(error)) => {
            log::error!("{} cannot be written: {error}", words(cell));
            CellEvent::Failed(cell)
        }
    }
}

/// The name of a shared value. Where no `vm_id` is set, all plugins of the process share one space
/// of names, so ours begin alike.
fn key(cell: Cell) -> Vec<u8> {
    let (kind, number) = match cell {
        Cell::Layout => (b'l', None),
        Cell::Health => (b'h', None),
        Cell::Claims(bucket) => (b'c', Some(bucket)),
        Cell::Body(slot) => (b'b', Some(slot)),
        Cell::Census => (b'n', None),
        Cell::Workers => (b'w', None),
        Cell::Realm => (b'r', None),
        Cell::Lineages => (b's', None),
    };
    const FRONT: &[u8] = b"dana.failover.";
    // It is made eight times for a payment: one allocation each.
    let mut key = Vec::with_capacity(FRONT.len() + 1 + size_of::<u32>());
    key.extend_from_slice(FRONT);
    key.push(kind);
    if let Some(number) = number {
        key.extend_from_slice(&number.to_be_bytes());
    }
    key
}

/// What stands in a shared value.
fn words(cell: Cell) -> String {
    match cell {
        Cell::Layout => "the layout of the claim store".to_owned(),
        Cell::Health => "what is known of the gateways".to_owned(),
        Cell::Claims(bucket) => format!("bucket {bucket} of the claims"),
        Cell::Body(set) => format!("set {set} of the kept answers"),
        Cell::Census => "the count of the claims".to_owned(),
        Cell::Workers => "the number of workers".to_owned(),
        Cell::Realm => "what the workers say of the store in etcd".to_owned(),
        Cell::Lineages => "what this process has seen of the store in etcd".to_owned(),
    }
}
