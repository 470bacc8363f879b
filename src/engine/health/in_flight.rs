//! Requests in flight at the gateways, over all workers.
//!
//! Each worker counts its own requests and reports them on its tick, so the counts of other workers
//! are up to a tick old. The counts of a worker that died are dropped after a while without a report.

use crate::engine::codec::Reader;
use crate::engine::gateway::GatewayId;
use crate::engine::limits;
use crate::engine::time::Timestamp;

/// The last report of each worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct InFlight(Vec<WorkerReport>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct WorkerReport {
    owner: u64,
    at: Timestamp,
    counts: Vec<(GatewayId, u32)>,
}

impl WorkerReport {
    fn is_stale(&self, now: Timestamp) -> bool {
        now.since(self.at).max(self.at.since(now)).get() > limits::IN_FLIGHT_STALE_MS
    }
}

impl InFlight {
    /// How many are in flight at `gateway`.
    #[must_use]
    pub(super) fn at(&self, gateway: GatewayId, now: Timestamp) -> u32 {
        let fresh = self.0.iter().filter(|report| !report.is_stale(now));
        let counts = fresh.flat_map(|report| &report.counts).filter(|(id, _)| *id == gateway);
        counts.fold(0, |all, (_, count)| all.saturating_add(*count))
    }

    /// Takes in the report of the worker `owner`. Its last report stays if the counts are the same and
    /// it is not about to become stale.
    pub(super) fn report(&mut self, owner: u64, counts: &[(GatewayId, u32)], now: Timestamp) {
        let is_same = |report: &WorkerReport| {
            report.owner == owner
                && report.counts == counts
                && now >= report.at
                && now.since(report.at).get() < limits::IN_FLIGHT_STALE_MS / 2
        };
        if self.0.iter().any(is_same) {
            return;
        }
        self.0.retain(|report| report.owner != owner && !report.is_stale(now));
        if !counts.is_empty() && self.0.len() < limits::WORKERS_MAX {
            self.0.push(WorkerReport { owner, at: now, counts: counts.to_vec() });
        }
    }

    pub(in crate::engine) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::try_from(self.0.len()).unwrap_or(u8::MAX));
        for report in &self.0 {
            bytes.extend(report.owner.to_le_bytes());
            bytes.extend(report.at.as_millis().to_le_bytes());
            bytes.push(u8::try_from(report.counts.len()).unwrap_or(u8::MAX));
            for (gateway, count) in &report.counts {
                bytes.push(gateway.byte());
                bytes.extend(count.to_le_bytes());
            }
        }
    }

    pub(in crate::engine) fn decode(bytes: &mut Reader<'_>) -> Option<Self> {
        let mut all = Vec::new();
        for _ in 0..bytes.byte()? {
            let (owner, at) = (bytes.long()?, bytes.time()?);
            let mut counts = Vec::new();
            for _ in 0..bytes.byte()? {
                counts.push((GatewayId::new(usize::from(bytes.byte()?))?, bytes.word()?));
            }
            all.push(WorkerReport { owner, at, counts });
        }
        Some(Self(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis)
    }

    #[test]
    fn workers_add_up_and_replace_their_reports() {
        let [a, b] = [0, 1].map(|index| GatewayId::new(index).unwrap());
        let mut in_flight = InFlight::default();
        in_flight.report(1, &[(a, 3), (b, 1)], at(0));
        in_flight.report(2, &[(a, 4)], at(10));
        assert_eq!((in_flight.at(a, at(10)), in_flight.at(b, at(10))), (7, 1));
        in_flight.report(1, &[(a, 1)], at(20));
        assert_eq!((in_flight.at(a, at(20)), in_flight.at(b, at(20))), (5, 0));
        in_flight.report(2, &[], at(30));
        assert_eq!(in_flight.at(a, at(30)), 1);
        let mut bytes = Vec::new();
        in_flight.encode(&mut bytes);
        assert_eq!(InFlight::decode(&mut Reader(&bytes)), Some(in_flight));
    }

    #[test]
    fn a_worker_that_died_is_forgotten_and_one_that_stays_is_not() {
        let a = GatewayId::new(0).unwrap();
        let mut in_flight = InFlight::default();
        for second in 0..20 {
            in_flight.report(1, &[(a, 3)], at(second * 1000));
            if second < 3 {
                in_flight.report(2, &[(a, 5)], at(second * 1000));
            }
            // A report that stays the same is written again every three seconds.
            let dead = if second <= 5 { 5 } else { 0 };
            assert_eq!(in_flight.at(a, at(second * 1000)), 3 + dead, "{second} s");
        }
        assert_eq!(in_flight.at(a, Timestamp::from_millis(0)), 0, "the clock stepped back");
        in_flight.report(1, &[(a, 3)], Timestamp::from_millis(0));
        assert_eq!(in_flight.at(a, Timestamp::from_millis(0)), 3);
    }

    #[test]
    fn what_is_unchanged_is_not_written_again_before_it_must() {
        let a = GatewayId::new(0).unwrap();
        let mut in_flight = InFlight::default();
        in_flight.report(1, &[(a, 3)], at(0));
        let before = in_flight.clone();
        in_flight.report(1, &[(a, 3)], at(2499));
        assert_eq!(in_flight, before);
        in_flight.report(1, &[(a, 3)], at(2500));
        assert_ne!(in_flight, before);
    }

    #[test]
    fn there_is_room_for_so_many_workers() {
        let a = GatewayId::new(0).unwrap();
        let mut in_flight = InFlight::default();
        for owner in 0..100 {
            in_flight.report(owner, &[(a, 1)], at(0));
        }
        assert_eq!(in_flight.at(a, at(0)) as usize, limits::WORKERS_MAX);
    }
}
