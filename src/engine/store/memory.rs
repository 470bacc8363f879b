//! Shared data in memory, with compare-and-set as Envoy has it: what tests, benches and fuzz targets
//! put in Envoy's place.

use std::collections::BTreeMap;

use super::cell::{Cell, CellEvent, CellRequest, Expected, Loaded};
use super::local::bucket::Bucket;
use crate::engine::health::Health;
use crate::engine::payment::Claim;

/// The values that all workers of one process share, each with its version.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemoryStore {
    cells: BTreeMap<Cell, (Vec<u8>, u32)>,
}

impl MemoryStore {
    /// Reads or writes a value.
    pub fn ask(&mut self, request: CellRequest) -> CellEvent {
        match request {
            CellRequest::Load(cell) => CellEvent::Loaded(cell, self.load(cell)),
            CellRequest::Store { cell, bytes, expected } => {
                if self.store(cell, bytes, expected) {
                    CellEvent::Stored(cell)
                } else {
                    CellEvent::Conflict(cell)
                }
            }
        }
    }

    /// A value as it is now.
    #[must_use]
    pub fn load(&self, cell: Cell) -> Loaded {
        match self.cells.get(&cell) {
            None => Loaded { bytes: Vec::new(), version: Expected::Absent },
            Some((bytes, version)) => {
                Loaded { bytes: bytes.clone(), version: Expected::At(*version) }
            }
        }
    }

    /// Writes a value, and tells whether it was as expected.
    #[must_use]
    pub fn store(&mut self, cell: Cell, bytes: Vec<u8>, expected: Expected) -> bool {
        let version = self.cells.get(&cell).map(|(_, version)| *version);
        let as_expected = match expected {
            Expected::Absent => version.is_none(),
            Expected::At(expected) => version == Some(expected),
            Expected::Any => true,
        };
        if as_expected {
            self.cells.insert(cell, (bytes, version.unwrap_or(0).wrapping_add(1)));
        }
        as_expected
    }

    /// Writes a value, whatever stands there.
    pub fn put(&mut self, cell: Cell, bytes: Vec<u8>) {
        let _ = self.store(cell, bytes, Expected::Any);
    }

    /// What is known of the gateways.
    #[must_use]
    pub fn health(&self) -> Health {
        Health::decode(&self.load(Cell::Health).bytes)
    }

    /// Changes what is known of the gateways.
    pub fn change_health<T>(&mut self, change: impl FnOnce(&mut Health) -> T) -> T {
        let mut health = self.health();
        let changed = change(&mut health);
        self.put(Cell::Health, health.encode());
        changed
    }

    /// A bucket of claims; `None` where another value stands than a bucket.
    #[must_use]
    pub fn bucket(&self, number: u32) -> Option<Bucket> {
        Bucket::decode(self.load(Cell::Claims(number)).bytes)
    }

    /// All claims, bucket by bucket.
    #[must_use]
    pub fn claims(&self) -> Vec<Claim> {
        let buckets = self.cells.keys().filter_map(|cell| match cell {
            Cell::Claims(number) => self.bucket(*number),
            Cell::Layout
            | Cell::Health
            | Cell::Body(_)
            | Cell::Census
            | Cell::Workers
            | Cell::Realm
            | Cell::Lineages
            | Cell::AuditWriters
            | Cell::AuditHead(_)
            | Cell::AuditPublished => None,
        });
        buckets.flat_map(|bucket| bucket.claims().collect::<Vec<_>>()).collect()
    }

    /// Drops all values but these, as if they had never been written.
    pub fn retain(&mut self, mut keep: impl FnMut(Cell, &[u8]) -> bool) {
        self.cells.retain(|cell, (bytes, _)| keep(*cell, bytes));
    }

    /// The bytes of all values, to be spoilt.
    pub fn bytes_mut(&mut self) -> impl Iterator<Item = (Cell, &mut Vec<u8>)> {
        self.cells.iter_mut().map(|(cell, (bytes, _))| (*cell, bytes))
    }

    /// The values that were ever written.
    pub fn cells(&self) -> impl Iterator<Item = Cell> + '_ {
        self.cells.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_written_only_if_it_is_as_expected() {
        let mut memory = MemoryStore::default();
        let cell = Cell::Claims(7);
        let store = |memory: &mut MemoryStore, bytes: &[u8], expected| {
            memory.store(cell, bytes.to_vec(), expected)
        };
        assert_eq!(memory.load(cell).version, Expected::Absent);
        assert!(!store(&mut memory, b"a", Expected::At(1)));
        assert!(store(&mut memory, b"a", Expected::Absent));
        assert!(!store(&mut memory, b"b", Expected::Absent));
        let version = memory.load(cell).version;
        assert!(store(&mut memory, b"b", version) && !store(&mut memory, b"c", version));
        assert!(store(&mut memory, b"d", Expected::Any));
        assert_eq!(memory.load(cell).bytes, b"d");
    }
}
