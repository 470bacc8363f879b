//! What all requests of one worker share, and how effects on the store are carried out. What
//! operators are told is in `report`. Nothing is decided here.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::host::{Host, StoreError};
use crate::engine::config::Policy;
use crate::engine::event::Event;
use crate::engine::health::WorkerCounters;
use crate::engine::limits;
use crate::engine::store::{Cell, Expected, Layout, Loaded, Placement, Seed};

mod counted;
mod report;

/// One worker's part of the filter.
#[derive(Debug)]
pub(super) struct Worker<H> {
    pub(super) host: H,
    pub(super) policy: Rc<Policy>,
    pub(super) counters: RefCell<WorkerCounters>,
    metrics: RefCell<BTreeMap<String, u32>>,
}

impl<H: Host> Worker<H> {
    pub(super) fn new(host: H, policy: Rc<Policy>, owner: u64) -> Self {
        let counters = RefCell::new(WorkerCounters::of(owner));
        Self { host, policy, counters, metrics: RefCell::default() }
    }

    /// Reads a shared value.
    pub(super) fn load(&self, cell: Cell) -> Event<'static> {
        load(&self.host, cell)
    }

    /// Writes a shared value, if it is as expected.
    pub(super) fn store(&self, cell: Cell, bytes: &[u8], expected: Expected) -> Event<'static> {
        store(&self.host, cell, bytes, expected)
    }
}

/// Reads a shared value.
pub(super) fn load<H: Host>(host: &H, cell: Cell) -> Event<'static> {
    match host.load(&key(cell)) {
        Ok(None) => Event::Loaded(cell, Loaded { bytes: Vec::new(), version: Expected::Absent }),
        Ok(Some((bytes, version))) => {
            Event::Loaded(cell, Loaded { bytes, version: Expected::At(version) })
        }
        Err(error) => {
            report::unread(cell, error);
            Event::StoreFailed(cell)
        }
    }
}

/// Writes a shared value, if it is as expected.
pub(super) fn store<H: Host>(
    host: &H,
    cell: Cell,
    bytes: &[u8],
    expected: Expected,
) -> Event<'static> {
    match host.store(&key(cell), bytes, expected) {
        Ok(()) => Event::Stored(cell),
        Err(StoreError::Conflict) => Event::Conflict(cell),
        Err(StoreError::Failed(error)) => {
            report::unwritten(cell, error);
            Event::StoreFailed(cell)
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
    };
    let mut key = b"dana.failover.".to_vec();
    key.push(kind);
    key.extend(number.into_iter().flat_map(u32::to_be_bytes));
    key
}

/// A number that no other worker of the process has, nor had: workers configure within the same
/// millisecond, and in memories that look alike, so nothing of their own tells them apart.
pub(super) fn worker_number<H: Host>(host: &H) -> Result<u64, String> {
    let key = b"dana.failover.w";
    for _ in 0..limits::STORE_ATTEMPTS_MAX {
        let found = host.load(key).map_err(|error| error.to_string())?;
        let (last, expected) = match found {
            None => (0, Expected::Absent),
            Some((bytes, version)) => {
                let last = bytes.try_into().map_or(0, u64::from_le_bytes);
                (last, Expected::At(version))
            }
        };
        let next = last.wrapping_add(1);
        match host.store(key, &next.to_le_bytes(), expected) {
            Ok(()) => return Ok(next),
            Err(StoreError::Conflict) => {}
            Err(StoreError::Failed(error)) => return Err(error.to_string()),
        }
    }
    Err("the workers could not be numbered: they keep changing".to_owned())
}

/// Joins a configuration to the store, which every worker and every update of it does.
pub(super) fn join<H: Host>(
    host: &H,
    config: &crate::engine::config::Config,
) -> Result<Policy, String> {
    for _ in 0..limits::STORE_ATTEMPTS_MAX {
        let found = host.load(&key(Cell::Layout)).map_err(|error| error.to_string())?;
        let (mut layout, expected) = match found {
            None => {
                let noise = host.noise().map_err(|error| error.to_string())?;
                let placement = Placement::new(config.buckets(), Seed::gather(&noise));
                (Layout::new(placement), Expected::Absent)
            }
            Some((bytes, version)) => {
                (Layout::decode(&bytes).map_err(|e| e.to_string())?, Expected::At(version))
            }
        };
        let now = host.now().map_err(|error| error.to_string())?;
        let joined = Policy::join(config.clone(), &mut layout, now);
        let (policy, grew) = joined.map_err(|error| error.to_string())?;
        if !grew && expected != Expected::Absent {
            return Ok(policy);
        }
        match host.store(&key(Cell::Layout), &layout.encode(), expected) {
            Ok(()) => {
                if expected == Expected::Absent {
                    log::warn!(
                        "the claim store is empty: payments made before this start are not \
                         known"
                    );
                }
                return Ok(policy);
            }
            Err(StoreError::Conflict) => {}
            Err(StoreError::Failed(error)) => return Err(error.to_string()),
        }
    }
    Err("the claim store could not be joined: it keeps changing".to_owned())
}
