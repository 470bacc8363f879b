//! The store that workers share: values with versions, written by compare-and-set.

use std::collections::BTreeMap;

use dana_failover::engine::payment::KeyPrefix;
use dana_failover::engine::store::{Bucket, Cell, Entry, Expected, Loaded};

/// Values by their cells, each with its version.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Store(BTreeMap<(u8, u32), (Vec<u8>, u32)>);

const fn place(cell: Cell) -> (u8, u32) {
    match cell {
        Cell::Layout => (0, 0),
        Cell::Health => (1, 0),
        Cell::Claims(bucket) => (2, bucket),
        Cell::Body(slot) => (3, slot),
        Cell::Census => (4, 0),
    }
}

impl Store {
    pub(crate) fn load(&self, cell: Cell) -> Loaded {
        match self.0.get(&place(cell)) {
            None => Loaded { bytes: Vec::new(), version: Expected::Absent },
            Some((bytes, version)) => {
                Loaded { bytes: bytes.clone(), version: Expected::At(*version) }
            }
        }
    }

    /// Writes a value, if it is as expected.
    #[must_use]
    pub(crate) fn store(&mut self, cell: Cell, bytes: Vec<u8>, expected: Expected) -> bool {
        let version = self.0.get(&place(cell)).map(|(_, version)| *version);
        let as_expected = match expected {
            Expected::Absent => version.is_none(),
            Expected::At(expected) => version == Some(expected),
            Expected::Any => true,
        };
        if as_expected {
            self.0.insert(place(cell), (bytes, version.unwrap_or(0) + 1));
        }
        as_expected
    }

    /// A bucket of claims.
    pub(crate) fn bucket(&self, number: u32) -> Bucket {
        Bucket::decode(self.load(Cell::Claims(number)).bytes).expect("only buckets were written")
    }

    pub(crate) fn find(&self, number: u32, key: &KeyPrefix) -> Entry {
        self.bucket(number).find(key)
    }
}
