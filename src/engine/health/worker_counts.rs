//! What one worker counts by itself and merges into the shared health on its tick.
//!
//! A failure is shared at once. A success that ends no run of failures only lowers a rate. If each
//! were written, the shared health would be the busiest value of the process. The same holds for the
//! number of requests in flight.

use super::fair_share::{Asked, Payers, SLOTS, Source};
use super::history::Why;
use super::window::Tally;
use crate::engine::gateway::GatewayId;
use crate::engine::time::{ClockWatch, Leaps, Millis, Timestamp};

/// What one worker has counted since its last tick, and its requests in flight.
#[derive(Debug, Default)]
pub struct WorkerCounters {
    /// The id of the worker.
    owner: u64,
    counted: Vec<Batch>,
    in_flight: Vec<(GatewayId, u32)>,
    /// The same for each gateway, by partner.
    by_partner: Vec<(GatewayId, [u32; SLOTS])>,
    asked: Asked,
    /// Leaps of the clock.
    clock: ClockWatch,
    /// Refused requests that would have moved money: one entry for each reason.
    refused: Vec<(Why, u32)>,
    /// When the store began, where other Envoys share it.
    remembers_since: Option<Timestamp>,
}

/// Successes of one gateway. They belong to one generation of its breaker, and are dropped with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The gateway.
    pub gateway: GatewayId,
    /// The generation of its breaker.
    pub generation: u32,
    /// Whether they moved money.
    pub pays: bool,
    /// Their number.
    pub tally: Tally,
    /// The partners and operations that they came from.
    pub seen: Payers,
}

impl WorkerCounters {
    /// The counters of the worker `owner`.
    #[must_use]
    pub fn of(owner: u64) -> Self {
        Self { owner, ..Self::default() }
    }

    /// The id of the worker.
    #[must_use]
    pub const fn owner(&self) -> u64 {
        self.owner
    }

    /// The store that other Envoys share began at this time.
    pub const fn remember_since(&mut self, born: Timestamp) {
        self.remembers_since = Some(born);
    }

    /// When the store began, if other Envoys share it and this worker has joined.
    #[must_use]
    pub const fn remembers_since(&self) -> Option<Timestamp> {
        self.remembers_since
    }

    /// A request came from `source`.
    pub fn asks(&mut self, source: Source, now: Timestamp, window: Millis) {
        if source.pays() {
            self.asked.note(source.bit(), now, window);
        }
    }

    /// The partners that sent payments lately, a bit for each slot.
    #[must_use]
    pub fn asked(&self, now: Timestamp, window: Millis) -> u32 {
        self.asked.at(now, window)
    }

    /// The worker ticks: the leaps that it has seen and the shared ones are merged.
    pub fn tick(&mut self, now: Timestamp, shared: &mut Leaps, longest: Millis) {
        self.clock.tick(now, shared, longest);
    }

    /// A request reads the clock.
    pub fn look(&mut self, now: Timestamp) {
        self.clock.look(now);
    }

    /// Takes in the leaps that other workers have seen.
    pub fn learn(&mut self, shared: &Leaps) {
        self.clock.learn(shared);
    }

    /// The leaps of the clock that this worker knows.
    #[must_use]
    pub fn leaps(&self, now: Timestamp) -> Leaps {
        self.clock.now_known(now)
    }

    /// Counts successes.
    pub fn add(&mut self, new: Batch) {
        let same = |one: &&mut Batch| {
            one.gateway == new.gateway && one.generation == new.generation && one.pays == new.pays
        };
        match self.counted.iter_mut().find(same) {
            Some(one) => {
                one.tally = one.tally.plus(new.tally);
                one.seen = one.seen.and(new.seen);
            }
            None => {
                let is_older =
                    |one: &Batch| one.gateway == new.gateway && one.generation != new.generation;
                self.counted.retain(|one| !is_older(one));
                self.counted.push(new);
            }
        }
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counted.is_empty()
    }

    /// Takes out what was counted.
    pub fn take(&mut self) -> Vec<Batch> {
        std::mem::take(&mut self.counted)
    }

    /// Puts back what could not be merged, unless there are newer counts.
    pub fn put_back(&mut self, taken: &[Batch]) {
        for old in taken {
            let is_newer =
                |one: &Batch| one.gateway == old.gateway && one.generation != old.generation;
            if !self.counted.iter().any(is_newer) {
                self.add(*old);
            }
        }
    }

    /// A request that would have moved money is refused.
    pub fn refuse(&mut self, why: Why) {
        self.put_back_refused(&[(why, 1)]);
    }

    /// Takes out the counts of refused requests.
    pub fn take_refused(&mut self) -> Vec<(Why, u32)> {
        std::mem::take(&mut self.refused)
    }

    /// Puts back what could not be merged.
    pub fn put_back_refused(&mut self, refused: &[(Why, u32)]) {
        for (why, requests) in refused {
            match self.refused.iter_mut().find(|(other, _)| other == why) {
                Some((_, sum)) => *sum = sum.saturating_add(*requests),
                None => self.refused.push((*why, *requests)),
            }
        }
    }

    /// A request of `source` goes to `gateway`.
    pub fn goes_out(&mut self, gateway: GatewayId, source: Source) {
        match self.in_flight.iter_mut().find(|(id, _)| *id == gateway) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => self.in_flight.push((gateway, 1)),
        }
        if !self.by_partner.iter().any(|(id, _)| *id == gateway) {
            self.by_partner.push((gateway, [0; SLOTS]));
        }
        self.of_partner(gateway, source, |count| count.saturating_add(1));
    }

    /// A request of `source` that went to `gateway` has ended.
    pub fn comes_back(&mut self, gateway: GatewayId, source: Source) {
        if let Some((_, count)) = self.in_flight.iter_mut().find(|(id, _)| *id == gateway) {
            *count = count.saturating_sub(1);
        }
        self.in_flight.retain(|(_, count)| *count > 0);
        self.of_partner(gateway, source, |count| count.saturating_sub(1));
    }

    fn of_partner(&mut self, gateway: GatewayId, source: Source, change: fn(u32) -> u32) {
        let slots = self.by_partner.iter_mut().find(|(id, _)| *id == gateway);
        if let Some(count) = slots.and_then(|(_, slots)| slots.get_mut(source.partner())) {
            *count = change(*count);
        }
    }

    /// How many requests of this worker are in flight at each gateway. Gateways without any are left
    /// out.
    #[must_use]
    pub fn in_flight(&self) -> &[(GatewayId, u32)] {
        &self.in_flight
    }

    /// How many of the `requests` in flight at `gateway`, over all workers, are of this source's partner.
    /// It is an estimate: the partner's share is taken to be the same on all workers.
    #[must_use]
    pub fn share(&self, gateway: GatewayId, source: Source, requests: u32) -> u32 {
        let Some((_, slots)) = self.by_partner.iter().find(|(id, _)| *id == gateway) else {
            return 0;
        };
        let own = slots.get(source.partner()).copied().unwrap_or_default();
        let all: u64 = slots.iter().map(|count| u64::from(*count)).sum();
        let share = u64::from(own) * u64::from(requests) / all.max(1);
        u32::try_from(share).unwrap_or(u32::MAX)
    }
}
