//! What one worker counts for itself and brings to the shared health on its tick.
//!
//! A failure is shared at once. A success that ends no run of failures only dilutes a rate, and a
//! write for each would make one value the busiest of the process. The same goes for the number of
//! requests under way.

use super::fair_share::{Asked, Payers, SLOTS, Source};
use super::history::Why;
use super::window::Tally;
use crate::engine::gateway::GatewayId;
use crate::engine::time::{ClockWatch, Leaps, Millis, Timestamp};

/// What one worker has counted since its last tick, and what it has under way.
#[derive(Debug, Default)]
pub struct WorkerCounters {
    /// Told apart from other workers by this.
    owner: u64,
    counted: Vec<Batch>,
    in_flight: Vec<(GatewayId, u32)>,
    /// The same by partner, gateway for gateway.
    by_partner: Vec<(GatewayId, [u32; SLOTS])>,
    asked: Asked,
    /// How the clock has run.
    clock: ClockWatch,
    /// Requests that would have moved money and were refused, one entry for each reason.
    refused: Vec<(Why, u32)>,
}

/// Successes of one gateway. They belong to the breaker's generation in which they were made, and
/// are dropped with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Whose.
    pub gateway: GatewayId,
    /// Under which generation of its breaker.
    pub generation: u32,
    /// Whether they moved money.
    pub pays: bool,
    /// How many.
    pub tally: Tally,
    /// Who paid.
    pub seen: Payers,
}

impl WorkerCounters {
    /// Those of the worker `owner`.
    #[must_use]
    pub fn of(owner: u64) -> Self {
        Self { owner, ..Self::default() }
    }

    /// Whose they are.
    #[must_use]
    pub const fn owner(&self) -> u64 {
        self.owner
    }

    /// Somebody asks for a payment.
    pub fn asks(&mut self, source: Source, now: Timestamp, window: Millis) {
        if source.pays() {
            self.asked.note(source.bit(), now, window);
        }
    }

    /// The partners who asked for payments lately, a bit for each slot.
    #[must_use]
    pub fn asked(&self, now: Timestamp, window: Millis) -> u32 {
        self.asked.at(now, window)
    }

    /// The worker ticks: what it has seen of the clock and what all know become one.
    pub fn tick(&mut self, now: Timestamp, shared: &mut Leaps, longest: Millis) {
        self.clock.tick(now, shared, longest);
    }

    /// A request sees the clock.
    pub fn look(&mut self, now: Timestamp) {
        self.clock.look(now);
    }

    /// Takes in what other workers have seen of the clock.
    pub fn learn(&mut self, shared: &Leaps) {
        self.clock.learn(shared);
    }

    /// Where the clock leapt, as far as this worker knows.
    #[must_use]
    pub fn leaps(&self, now: Timestamp) -> Leaps {
        self.clock.now_known(now)
    }

    /// Counts calls.
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

    /// Whether there is nothing to bring.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counted.is_empty()
    }

    /// Takes everything out that was counted.
    pub fn take(&mut self) -> Vec<Batch> {
        std::mem::take(&mut self.counted)
    }

    /// Puts back what could not be brought, unless newer counts are there.
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

    /// Takes out what was refused.
    pub fn take_refused(&mut self) -> Vec<(Why, u32)> {
        std::mem::take(&mut self.refused)
    }

    /// Puts back what could not be brought.
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

    /// How many requests of this worker are with each gateway now; those with none are left out.
    #[must_use]
    pub fn in_flight(&self) -> &[(GatewayId, u32)] {
        &self.in_flight
    }

    /// How many of the `requests` at `gateway`, which are of all workers, are of this source's
    /// partner, if it is on the others as it is on this one.
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
