//! Requests that are with the gateways now, over all workers.
//!
//! Each worker counts its own and tells them on its tick, so what is known of the others is a tick
//! old. What a worker that died had under way is forgotten when it has not told for a while.

use crate::engine::codec::Reader;
use crate::engine::gateway::GatewayId;
use crate::engine::limits;
use crate::engine::time::Timestamp;

/// What each worker last told.
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
    /// How many are with `gateway`.
    #[must_use]
    pub(super) fn at(&self, gateway: GatewayId, now: Timestamp) -> u32 {
        let fresh = self.0.iter().filter(|told| !told.is_stale(now));
        let counts = fresh.flat_map(|told| &told.counts).filter(|(id, _)| *id == gateway);
        counts.fold(0, |all, (_, count)| all.saturating_add(*count))
    }

    /// Takes in what `owner` has under way. What it told before stays while it is the same and
    /// not about to go stale.
    pub(super) fn tell(&mut self, owner: u64, counts: &[(GatewayId, u32)], now: Timestamp) {
        let is_told = |told: &WorkerReport| {
            told.owner == owner
                && told.counts == counts
                && now >= told.at
                && now.since(told.at).get() < limits::IN_FLIGHT_STALE_MS / 2
        };
        if self.0.iter().any(is_told) {
            return;
        }
        self.0.retain(|told| told.owner != owner && !told.is_stale(now));
        if !counts.is_empty() && self.0.len() < limits::WORKERS_MAX {
            self.0.push(WorkerReport { owner, at: now, counts: counts.to_vec() });
        }
    }

    pub(in crate::engine) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::try_from(self.0.len()).unwrap_or(u8::MAX));
        for told in &self.0 {
            bytes.extend(told.owner.to_le_bytes());
            bytes.extend(told.at.as_millis().to_le_bytes());
            bytes.push(u8::try_from(told.counts.len()).unwrap_or(u8::MAX));
            for (gateway, count) in &told.counts {
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
    fn workers_add_up_and_replace_what_they_told() {
        let [a, b] = [0, 1].map(|index| GatewayId::new(index).unwrap());
        let mut told = InFlight::default();
        told.tell(1, &[(a, 3), (b, 1)], at(0));
        told.tell(2, &[(a, 4)], at(10));
        assert_eq!((told.at(a, at(10)), told.at(b, at(10))), (7, 1));
        told.tell(1, &[(a, 1)], at(20));
        assert_eq!((told.at(a, at(20)), told.at(b, at(20))), (5, 0));
        told.tell(2, &[], at(30));
        assert_eq!(told.at(a, at(30)), 1);
        let mut bytes = Vec::new();
        told.encode(&mut bytes);
        assert_eq!(InFlight::decode(&mut Reader(&bytes)), Some(told));
    }

    #[test]
    fn a_worker_that_died_is_forgotten_and_one_that_stays_is_not() {
        let a = GatewayId::new(0).unwrap();
        let mut told = InFlight::default();
        for second in 0..20 {
            told.tell(1, &[(a, 3)], at(second * 1000));
            if second < 3 {
                told.tell(2, &[(a, 5)], at(second * 1000));
            }
            // What stays the same is told anew every three seconds.
            let dead = if second <= 5 { 5 } else { 0 };
            assert_eq!(told.at(a, at(second * 1000)), 3 + dead, "{second} s");
        }
        assert_eq!(told.at(a, Timestamp::from_millis(0)), 0, "the clock stepped back");
        told.tell(1, &[(a, 3)], Timestamp::from_millis(0));
        assert_eq!(told.at(a, Timestamp::from_millis(0)), 3);
    }

    #[test]
    fn what_is_unchanged_is_not_written_again_before_it_must() {
        let a = GatewayId::new(0).unwrap();
        let mut told = InFlight::default();
        told.tell(1, &[(a, 3)], at(0));
        let before = told.clone();
        told.tell(1, &[(a, 3)], at(2499));
        assert_eq!(told, before);
        told.tell(1, &[(a, 3)], at(2500));
        assert_ne!(told, before);
    }

    #[test]
    fn there_is_room_for_so_many_workers() {
        let a = GatewayId::new(0).unwrap();
        let mut told = InFlight::default();
        for owner in 0..100 {
            told.tell(owner, &[(a, 1)], at(0));
        }
        assert_eq!(told.at(a, at(0)) as usize, limits::WORKERS_MAX);
    }
}
