//! What is known of the gateways, which every request looks at and which seldom changes.
//!
//! To read a shared value Envoy calls back into the VM for room, and copies. So each write of this one
//! moves a counter of the process, and who finds the counter where it was knows what it has read.
//!
//! The counter moves after the write: who has read it before that, and the value after it, reads both
//! once more than needed. If the one who writes dies between the two, the others work by what they know
//! until their next tick, which always reads. Then payments may meet a gateway that fails for that
//! long, and what they write by an old version is refused, as in any race.

use std::cell::{Cell as Flag, RefCell};

use super::driver::cell;
use super::host::Host;
use crate::engine::metrics::HEALTH_WRITES;
use crate::engine::{Cell, CellEvent, CellRequest, Loaded};

/// What was read last, and where the counter stood before that.
#[derive(Debug, Default)]
pub(super) struct HealthCell {
    last: RefCell<Option<(u64, Loaded)>>,
    /// The host's number of the counter, once it is defined.
    writes: Flag<Option<u32>>,
}

impl HealthCell {
    /// Reads or writes a shared value for a request.
    pub(super) fn cell<H: Host>(&self, host: &H, request: CellRequest) -> CellEvent {
        let looks = matches!(request, CellRequest::Load(Cell::Health));
        if looks { self.look(host) } else { self.cell_anew(host, request) }
    }

    /// The same, where what is read must be what is there now.
    pub(super) fn cell_anew<H: Host>(&self, host: &H, request: CellRequest) -> CellEvent {
        let event = cell(host, request);
        match event {
            // Of one that failed nobody knows whether it happened.
            CellEvent::Stored(Cell::Health) | CellEvent::Failed(Cell::Health) => {
                self.last.take();
                if let Some(writes) = self.writes(host) {
                    let _ = host.increment(writes, 1);
                }
            }
            CellEvent::Loaded(Cell::Health, _) | CellEvent::Conflict(Cell::Health) => {
                self.last.take();
            }
            CellEvent::Loaded(..)
            | CellEvent::Stored(_)
            | CellEvent::Conflict(_)
            | CellEvent::Failed(_) => {}
        }
        event
    }

    fn look<H: Host>(&self, host: &H) -> CellEvent {
        let request = CellRequest::Load(Cell::Health);
        let Some(at) = self.writes(host).and_then(|writes| host.metric(writes).ok()) else {
            return self.cell_anew(host, request);
        };
        if let Some((known_at, loaded)) = &*self.last.borrow()
            && *known_at == at
        {
            return CellEvent::Loaded(Cell::Health, loaded.clone());
        }
        let event = self.cell_anew(host, request);
        if let CellEvent::Loaded(_, loaded) = &event {
            self.last.replace(Some((at, loaded.clone())));
        }
        event
    }

    fn writes<H: Host>(&self, host: &H) -> Option<u32> {
        let define = || host.define_metric(HEALTH_WRITES.kind, &HEALTH_WRITES.full_name(&[])).ok();
        let writes = self.writes.get().or_else(define);
        self.writes.set(writes);
        writes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Expected;
    use crate::filter::tests::FakeHost;

    const LOAD: CellRequest = CellRequest::Load(Cell::Health);

    fn write(bytes: &[u8], expected: Expected) -> CellRequest {
        CellRequest::Store { cell: Cell::Health, bytes: bytes.to_vec(), expected }
    }

    fn read(event: CellEvent) -> Vec<u8> {
        let CellEvent::Loaded(Cell::Health, loaded) = event else { panic!("{event:?}") };
        loaded.bytes
    }

    fn loads(host: &FakeHost) -> usize {
        host.0.borrow().calls.iter().filter(|call| **call == "load").count()
    }

    #[test]
    fn what_another_worker_writes_is_seen_at_once_and_nothing_is_read_twice() {
        let host = FakeHost::default();
        let (mine, theirs) = (HealthCell::default(), HealthCell::default());
        for round in 1..=3 {
            let written = theirs.cell(&host, write(&[round], Expected::Any));
            assert_eq!(written, CellEvent::Stored(Cell::Health));
            let before = loads(&host);
            for _ in 0..5 {
                assert_eq!(read(mine.cell(&host, LOAD)), [round]);
            }
            assert_eq!(loads(&host) - before, 1, "read once");
        }
    }

    #[test]
    fn a_write_that_nobody_hears_of_is_seen_at_the_next_tick() {
        let host = FakeHost::default();
        let mine = HealthCell::default();
        mine.cell(&host, write(b"old", Expected::Any));
        assert_eq!(read(mine.cell(&host, LOAD)), b"old");
        // Who wrote it died before it moved the counter.
        let _ = cell(&host, write(b"new", Expected::Any));
        assert_eq!(read(mine.cell(&host, LOAD)), b"old");
        assert_eq!(read(mine.cell_anew(&host, LOAD)), b"new", "a tick reads");
        assert_eq!(read(mine.cell(&host, LOAD)), b"new");
    }

    #[test]
    fn what_is_lost_by_an_old_version_is_read_again() {
        let host = FakeHost::default();
        let mine = HealthCell::default();
        mine.cell(&host, write(b"old", Expected::Any));
        let CellEvent::Loaded(_, loaded) = mine.cell(&host, LOAD) else { unreachable!() };
        let _ = cell(&host, write(b"new", Expected::Any));
        let lost = mine.cell(&host, write(b"mine", loaded.version));
        assert_eq!(lost, CellEvent::Conflict(Cell::Health));
        assert_eq!(read(mine.cell(&host, LOAD)), b"new");
    }

    #[test]
    fn where_counters_are_withheld_it_is_read_each_time() {
        let host = FakeHost::default();
        let mine = HealthCell::default();
        mine.cell(&host, write(b"old", Expected::Any));
        host.0.borrow_mut().withholds_metrics = true;
        for bytes in [b"one", b"two"] {
            let _ = cell(&host, write(bytes, Expected::Any));
            assert_eq!(read(mine.cell(&host, LOAD)), bytes);
        }
    }
}
