//! What is known of the gateways, which every request looks at and which seldom changes.
//!
//! To read a shared value Envoy calls back into the VM for room, and copies. So each write of this one
//! moves a counter of the process, and who finds the counter where it was knows what it has read.
//!
//! The counter moves after the write: who has read it before that, and the value after it, reads both
//! once more than needed. If the one who writes dies between the two, or is a module of an older version
//! that still drains, the others work by what they know until their next tick, which always reads. Then
//! payments may meet a gateway that fails for that long, and what they write by an old version is
//! refused, as in any race.
//!
//! Where the counter cannot be read, or stands still because Envoy's `stats_matcher` rejects it or its
//! increment is withheld, the value is read with each request.

use std::cell::{Cell as Flag, RefCell};

use super::driver::cell;
use super::host::Host;
use crate::engine::metrics::HEALTH_WRITES;
use crate::engine::{Cell, CellEvent, CellRequest, Loaded};

/// What was read last, and where the counter stood before that.
#[derive(Debug, Default)]
pub(super) struct HealthCell {
    last: RefCell<Option<(u64, Loaded)>>,
    /// The host's number of the counter, `None` if it gives none; once that was asked.
    writes: Flag<Option<Option<u32>>>,
    /// Whether the counter moves and can be read, once that was tried.
    is_told: Flag<Option<bool>>,
}

impl HealthCell {
    /// Reads or writes a shared value for a request.
    pub(super) fn cell<H: Host>(&self, host: &H, request: CellRequest) -> CellEvent {
        let looks = matches!(request, CellRequest::Load(Cell::Health));
        if looks { self.look(host) } else { self.cell_anew(host, request) }
    }

    /// The same, where what is read must be what is there now.
    pub(super) fn cell_anew<H: Host>(&self, host: &H, request: CellRequest) -> CellEvent {
        let is_health = request.cell() == Cell::Health;
        let writes = is_health && matches!(request, CellRequest::Store { .. });
        let event = cell(host, request);
        if is_health {
            self.last.take();
        }
        // Of a write that failed nobody knows whether it happened.
        if writes
            && !matches!(event, CellEvent::Conflict(_))
            && let Some(counter) = self.counter(host)
        {
            let _ = host.increment(counter, 1);
        }
        event
    }

    fn look<H: Host>(&self, host: &H) -> CellEvent {
        let request = CellRequest::Load(Cell::Health);
        let Some(at) = self.counted(host) else {
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

    /// Where the counter stands. What the host refuses once it is not asked again: Envoy logs an error
    /// for each call that its capability list withholds.
    fn counted<H: Host>(&self, host: &H) -> Option<u64> {
        let counter = self.counter(host)?;
        let counts = || host.metric(counter).is_ok_and(|at| at > 0);
        let moves = || host.increment(counter, 1).is_ok() && counts();
        let is_told = self.is_told.get().unwrap_or_else(moves);
        let at = if is_told { host.metric(counter).ok() } else { None };
        self.is_told.set(Some(at.is_some()));
        at
    }

    fn counter<H: Host>(&self, host: &H) -> Option<u32> {
        let define = || host.define_metric(HEALTH_WRITES.kind, &HEALTH_WRITES.full_name(&[])).ok();
        let counter = self.writes.get().unwrap_or_else(define);
        self.writes.set(Some(counter));
        counter
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Expected;
    use crate::filter::tests::{Counts, FakeHost, Fault, How, Lasts};

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
    fn where_the_counter_is_withheld_or_stands_still_it_is_read_each_time() {
        for counts in [Counts::Withheld, Counts::Rejected] {
            let host = FakeHost::default();
            host.0.borrow_mut().counts = counts;
            let mine = HealthCell::default();
            for number in 0..10 {
                let _ = cell(&host, write(&[number], Expected::Any));
                assert_eq!(read(mine.cell(&host, LOAD)), [number], "{counts:?}");
            }
            let calls = host.0.borrow().calls.clone();
            let asked = calls.iter().filter(|call| **call == "metric").count();
            assert_eq!(asked, 1, "{counts:?}: Envoy logs each call that is withheld");
        }
    }

    #[test]
    fn to_read_moves_no_counter() {
        let host = FakeHost::default();
        let (mine, theirs) = (HealthCell::default(), HealthCell::default());
        let _ = (theirs.cell(&host, LOAD), mine.cell(&host, LOAD));
        let before = host.0.borrow().metrics.clone();
        let fault = Fault { from: 1, lasts: Lasts::On, how: How::Refused };
        host.0.borrow_mut().calls.clear();
        host.0.borrow_mut().fault = Some(fault);
        assert_eq!(mine.cell_anew(&host, LOAD), CellEvent::Failed(Cell::Health));
        assert_eq!(host.0.borrow().metrics, before);
    }
}
