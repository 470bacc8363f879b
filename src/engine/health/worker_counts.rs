//! What one worker counts by itself and merges into the shared health on its tick.
//!
//! A failure is shared at once. A success that ends no run of failures only lowers a rate. If each
//! were written, the shared health would be the busiest value of the process. The same holds for the
//! number of requests in flight. A worker also remembers the shared health as it has read it last, and
//! tells it of itself.

use std::cell::RefCell;
use std::num::NonZeroU64;

use super::batch::Batch;
use super::fair_share::{Asked, SLOTS, Source};
use super::history::Why;
use super::rules::HealthRules;
use super::shared::Health;
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
    /// The shared health as it was read last, and its version.
    read_last: RefCell<Option<(NonZeroU64, Box<Health>)>>,
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

    /// The shared health of this version, if it was the one that was read last: nobody has written since,
    /// and it need not be decoded again. Whoever takes it gives it back with [`Self::remember`], if
    /// nothing of it has changed but what this worker tells of itself.
    #[must_use]
    pub fn recall(&self, version: u64) -> Option<Box<Health>> {
        let read_last = self.read_last.take().filter(|(known, _)| known.get() == version);
        read_last.map(|(_, health)| health)
    }

    /// Remembers the shared health of this version. One that was never written has the version 0.
    pub fn remember(&self, version: u64, health: Box<Health>) {
        self.read_last.replace(NonZeroU64::new(version).map(|version| (version, health)));
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
        // What it told of itself then is told anew, and a version is not compared with one of long ago.
        self.read_last.take();
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

/// What a worker tells of itself.
impl Health {
    /// Takes in how many requests of a worker are in flight.
    pub fn tell_in_flight(&mut self, counters: &WorkerCounters, now: Timestamp) {
        self.in_flight.report(counters.owner(), counters.in_flight(), now);
    }

    /// Takes in which partners sent payments to a worker lately. It is needed, and written, only while
    /// a breaker is not closed: then a trial may be left to another partner.
    pub fn tell_asked(&mut self, counters: &WorkerCounters, rules: &HealthRules, now: Timestamp) {
        let window = rules.breaker.window;
        let all_closed = self.members.iter().all(|(_, member)| member.breaker.is_closed());
        let partners = counters.asked(now, window);
        if !all_closed && partners & !self.asked.at(now, window) != 0 {
            self.asked.note(partners, now, window);
        }
    }

    /// The worker of `counters` ticks: the leaps of the clock that it has seen and those that others
    /// have seen are merged.
    pub fn tell_course(
        &mut self,
        counters: &mut WorkerCounters,
        rules: &HealthRules,
        now: Timestamp,
    ) {
        counters.tick(now, &mut self.leaps, rules.retention);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(counters: &WorkerCounters, version: u64) -> bool {
        counters.recall(version).is_some()
    }

    #[test]
    fn health_is_remembered_by_its_version_and_until_the_next_tick() {
        let mut counters = WorkerCounters::of(1);
        counters.remember(7, Box::default());
        assert!(known(&counters, 7) && !known(&counters, 7), "whoever takes it gives it back");
        counters.remember(7, Box::default());
        assert!(!known(&counters, 8) && !known(&counters, 7), "another one was written");
        counters.remember(0, Box::default());
        assert!(!known(&counters, 0), "none was ever written");
        counters.remember(7, Box::default());
        counters.tick(Timestamp::from_millis(1), &mut Leaps::default(), Millis::new(1));
        assert!(!known(&counters, 7));
    }
}
