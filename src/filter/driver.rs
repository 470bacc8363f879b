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
    match host.load(Name::of(cell).bytes()) {
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
    match host.store(Name::of(cell).bytes(), bytes, expected) {
        Ok(()) => CellEvent::Stored(cell),
        Err(StoreError::Conflict) => CellEvent::Conflict(cell),
        Err(StoreError::Failed(error)) => {
            log::error!("{} cannot be written: {error}", words(cell));
            CellEvent::Failed(cell)
        }
    }
}

/// The name of a shared value. Where no `vm_id` is set, all plugins of the process share one space
/// of names, so ours begin alike. Eight are made for a payment, and none is allocated.
struct Name {
    bytes: [u8; Self::SIZE],
    size: usize,
}

impl Name {
    /// With room for the kind and the number of a cell.
    const BLANK: &[u8; Self::SIZE] = b"dana.failover.\0\0\0\0\0";
    const SIZE: usize = 19;

    fn of(cell: Cell) -> Self {
        let (kind, number) = match cell {
            Cell::Layout => (b'l', None),
            Cell::Health => (b'h', None),
            Cell::Claims(bucket) => (b'c', Some(bucket)),
            Cell::Body(slot) => (b'b', Some(slot)),
            Cell::Census => (b'n', None),
            Cell::Workers => (b'w', None),
            Cell::Realm => (b'r', None),
            Cell::Lineages => (b's', None),
            Cell::AuditWriters => (b'a', None),
            Cell::AuditHead(slot) => (b'd', Some(slot)),
            Cell::AuditPublished => (b'p', None),
        };
        let [a, b, c, d] = number.unwrap_or_default().to_be_bytes();
        let mut bytes = *Self::BLANK;
        if let Some(end) = bytes.last_chunk_mut() {
            *end = [kind, a, b, c, d];
        }
        let size = if number.is_some() { Self::SIZE } else { Self::SIZE - size_of::<u32>() };
        Self { bytes, size }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.size).unwrap_or_default()
    }
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
        Cell::AuditWriters => "the number of the audit trail's writers".to_owned(),
        Cell::AuditHead(slot) => format!("the head {slot} of the audit trail"),
        Cell::AuditPublished => "what was published of the audit trail".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_stores_have() {
        assert_eq!(Name::of(Cell::Layout).bytes(), b"dana.failover.l");
        assert_eq!(Name::of(Cell::Claims(0x0102_0304)).bytes(), b"dana.failover.c\x01\x02\x03\x04");
        assert_eq!(Name::of(Cell::Body(u32::MAX)).bytes(), b"dana.failover.b\xff\xff\xff\xff");
    }
}
