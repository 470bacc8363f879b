//! Leaps of the host's clock. What waits for time must wait for time that really passed: a day that
//! the clock skipped makes no payment older and proves no "not found".
//!
//! Every worker ticks at least twice a second. If the clock is much further on than at the last tick,
//! it has leapt or the machine stood still. In neither case could a gateway answer meanwhile. The
//! span that was skipped is stored in the shared health, so that workers that start later know it.
//! When the clock comes back, the leap is undone.
//!
//! After a step back some stored times lie ahead. They are corrected where they are stored: see
//! `store::Bucket::mend` and `health::Health::mend`.

use super::timestamp::{Millis, Timestamp};
use crate::engine::codec::Reader;
use crate::engine::limits;

/// The spans that the clock skipped: sorted, without overlap, at most [`limits::LEAPS_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaps(Vec<(Timestamp, Timestamp)>);

impl Leaps {
    /// No leaps.
    pub const NONE: &'static Self = &Self(Vec::new());

    /// How much of the time from `since` to `now` was skipped.
    #[must_use]
    pub fn skipped(&self, since: Timestamp, now: Timestamp) -> Millis {
        let overlap =
            |(from, to): &(Timestamp, Timestamp)| (*to).min(now).since((*from).max(since));
        Millis::new(self.0.iter().map(|span| overlap(span).get()).sum())
    }

    /// How much time passed from `since` to `now`.
    #[must_use]
    pub fn passed(&self, since: Timestamp, now: Timestamp) -> Millis {
        Millis::new(now.since(since).get().saturating_sub(self.skipped(since, now).get()))
    }

    /// `then` on the clock as it is now, as if it had not leapt since: as long before `now` as time
    /// has passed. A time that lies ahead stays as it is.
    #[must_use]
    pub fn shifted(&self, then: Timestamp, now: Timestamp) -> Timestamp {
        then.plus(self.skipped(then, now))
    }

    /// These leaps, and the one up to `now` that no tick has noted yet, if the last tick, at
    /// `ticked_at`, was too long ago.
    #[must_use]
    pub fn since_tick(&self, ticked_at: Timestamp, now: Timestamp) -> Self {
        let mut leaps = self.clone();
        if now.since(ticked_at).get() > limits::CLOCK_LEAP_MS_MIN {
            leaps.note(ticked_at, now);
        }
        leaps
    }

    /// Adds a leap from `from` to `to`. Two workers see one leap at slightly different times, so
    /// spans that overlap are merged.
    fn note(&mut self, from: Timestamp, to: Timestamp) {
        if to <= from {
            return;
        }
        let (mut from, mut to) = (from, to);
        self.0.retain(|(other_from, other_to)| {
            let apart = *other_to < from || to < *other_from;
            if !apart {
                from = from.min(*other_from);
                to = to.max(*other_to);
            }
            apart
        });
        let place = self.0.partition_point(|(other_from, _)| *other_from < from);
        self.0.insert(place, (from, to));
        while self.0.len() > limits::LEAPS_MAX {
            self.fold_oldest();
        }
    }

    /// One span less. A machine that stands still for some seconds every hour or so must not keep records for
    /// ever: the oldest short leap of long ago is forgotten. Where there is none the two oldest are merged. The
    /// merged span is longer than the two were, so records are only kept for longer.
    fn fold_oldest(&mut self) {
        let newest = self.0.last().map_or_else(Timestamp::default, |(_, to)| *to);
        let is_nothing = |(from, to): &(Timestamp, Timestamp)| {
            let is_short = to.since(*from).get() <= limits::LEAP_SHORT_MS_MAX;
            is_short && newest.since(*to).get() >= limits::LEAP_OLD_MS_MIN
        };
        if let Some(place) = self.0.iter().position(is_nothing) {
            self.0.remove(place);
            return;
        }
        let (first, _) = self.0.remove(0);
        if let Some((from, _)) = self.0.first_mut() {
            *from = first;
        }
    }

    /// Removes the part of a leap that the clock has come back from, and leaps of more than `longest`
    /// ago.
    fn forget(&mut self, now: Timestamp, longest: Millis) {
        for (_, to) in &mut self.0 {
            *to = now.min(*to);
        }
        self.0.retain(|(from, to)| from < to && now.since(*to) < longest);
    }

    pub(in crate::engine) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::try_from(self.0.len()).unwrap_or(u8::MAX));
        for (from, to) in &self.0 {
            bytes.extend(from.as_millis().to_le_bytes());
            bytes.extend(to.as_millis().to_le_bytes());
        }
    }

    pub(in crate::engine) fn decode(bytes: &mut Reader<'_>) -> Option<Self> {
        let mut leaps = Self::default();
        for _ in 0..bytes.byte()? {
            let (from, to) = (bytes.time()?, bytes.time()?);
            leaps.note(from, to);
        }
        Some(leaps)
    }
}

/// What one worker knows about the clock.
#[derive(Debug, Default)]
pub(in crate::engine) struct ClockWatch {
    /// When it last ticked. `None` before the first tick.
    ticked_at: Option<Timestamp>,
    leaps: Leaps,
}

impl ClockWatch {
    /// The worker ticks. The leaps that it has seen and those of `shared` are merged, here and in
    /// `shared`. Nothing waits for longer than `longest`, so older leaps are removed.
    pub(in crate::engine) fn tick(&mut self, now: Timestamp, shared: &mut Leaps, longest: Millis) {
        for (from, to) in self.now_known(now).0 {
            shared.note(from, to);
        }
        shared.forget(now, longest);
        self.leaps.clone_from(shared);
        self.ticked_at = Some(now);
    }

    /// A request reads the clock. If the clock was put back, it may be put right again before the next
    /// tick. Then what is written meanwhile must not count as older than it is.
    pub(in crate::engine) fn look(&mut self, now: Timestamp) {
        let back = |ticked: &Timestamp| ticked.since(now).get() > limits::CLOCK_LEAP_MS_MIN;
        if self.ticked_at.as_ref().is_some_and(back) {
            self.ticked_at = Some(now);
        }
    }

    /// Adds the leaps that other workers have seen.
    pub(in crate::engine) fn learn(&mut self, shared: &Leaps) {
        for (from, to) in &shared.0 {
            self.leaps.note(*from, *to);
        }
    }

    /// All leaps up to `now`, also one since the last tick.
    #[must_use]
    pub(in crate::engine) fn now_known(&self, now: Timestamp) -> Leaps {
        self.ticked_at.map_or_else(|| self.leaps.clone(), |at| self.leaps.since_tick(at, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;
    const LONGEST: Millis = Millis::new(DAY);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000 + millis)
    }

    /// A worker that ticks twice a second from `from` to `to`.
    fn tick(course: &mut ClockWatch, shared: &mut Leaps, from: u64, to: u64) {
        for millis in (from..=to).step_by(500) {
            course.tick(at(millis), shared, LONGEST);
        }
    }

    #[test]
    fn time_that_was_skipped_has_not_passed() {
        let (mut course, mut shared) = (ClockWatch::default(), Leaps::default());
        tick(&mut course, &mut shared, 0, 10_000);
        assert_eq!(shared, Leaps::default(), "a steady clock leaps nowhere");
        // Before the tick that notes it, and after it.
        let known = course.now_known(at(10_000 + DAY));
        assert_eq!(known.passed(at(8000), at(10_000 + DAY)).get(), 2000);
        tick(&mut course, &mut shared, 10_000 + DAY, 13_000 + DAY);
        let (now, known) = (at(13_000 + DAY), course.now_known(at(13_000 + DAY)));
        assert_eq!(known.passed(at(8000), now).get(), 5000);
        assert_eq!(known.passed(at(11_000 + DAY), now).get(), 2000, "written after it");
        assert_eq!(known.passed(at(20_000), now).get(), 3000, "written at a time in between");
        assert_eq!(known.shifted(at(8000), now), at(8000 + DAY));
        // Another worker learns it, and one that begins now.
        let mut late = ClockWatch::default();
        late.learn(&shared);
        assert_eq!(late.now_known(now), known);
    }

    #[test]
    fn a_clock_that_comes_back_has_undone_the_leap() {
        let (mut course, mut shared) = (ClockWatch::default(), Leaps::default());
        tick(&mut course, &mut shared, 0, 1000);
        tick(&mut course, &mut shared, 1000 + DAY, 3000 + DAY);
        // But for the moment that it lasted.
        let known = course.now_known(at(3000));
        assert_eq!(known.passed(at(0), at(3000)).get(), 1000);
        tick(&mut course, &mut shared, 3000, 9000);
        assert_eq!(shared.0, [(at(1000), at(3000))]);
        assert_eq!(shared.passed(at(0), at(9000)).get(), 7000);
    }

    #[test]
    fn what_was_written_while_the_clock_was_behind_is_not_as_old_as_it_looks() {
        let (mut course, mut shared) = (ClockWatch::default(), Leaps::default());
        tick(&mut course, &mut shared, DAY, DAY + 1000);
        // Behind for less than a tick: a request sees it.
        course.look(at(1200));
        assert_eq!(course.now_known(at(DAY + 1400)).passed(at(1200), at(DAY + 1400)).get(), 0);
        // Then ahead, and put right.
        tick(&mut course, &mut shared, 2 * DAY, 2 * DAY + 500);
        tick(&mut course, &mut shared, DAY + 2000, DAY + 3000);
        assert_eq!(shared.passed(at(1200), at(DAY + 3000)).get(), 1000);
    }

    #[test]
    fn several_workers_see_one_leap_once_and_a_leap_of_long_ago_is_forgotten() {
        let mut shared = Leaps::default();
        let mut workers = [ClockWatch::default(), ClockWatch::default()];
        for (worker, offset) in workers.iter_mut().zip([0, 250]) {
            worker.tick(at(offset), &mut shared, LONGEST);
        }
        for (worker, offset) in workers.iter_mut().zip([500, 750]) {
            worker.tick(at(DAY / 2 + offset), &mut shared, LONGEST);
        }
        assert_eq!(shared.0, [(at(0), at(DAY / 2 + 750))]);
        for offset in (DAY / 2..=DAY + DAY / 2 + 1000).step_by(1000) {
            workers[0].tick(at(offset + 1000), &mut shared, LONGEST);
        }
        assert_eq!(shared, Leaps::default());
    }

    /// Somebody takes a snapshot of the machine each hour.
    #[test]
    fn a_machine_that_stands_still_now_and_then_keeps_nothing_for_ever() {
        let mut workers = [ClockWatch::default(), ClockWatch::default()];
        // Once it stood still for longer.
        let mut shared = Leaps(vec![(at(0), at(90_000))]);
        let last = 30;
        workers.iter_mut().for_each(|worker| worker.ticked_at = Some(at(3_600_000)));
        for hour in 1..=last {
            for second in [0, 1, 11] {
                for worker in &mut workers {
                    worker.tick(at(hour * 3_600_000 + second * 1000), &mut shared, LONGEST);
                }
            }
            // Between two snapshots the clock does not leap.
            for worker in &mut workers {
                worker.ticked_at = Some(at((hour + 1) * 3_600_000));
            }
        }
        assert_eq!(shared.0.len(), limits::LEAPS_MAX);
        let passed = shared.passed(at(0), at(last * 3_600_000 + 11_000)).get();
        assert!(passed > last * 3_600_000 - 200_000, "{passed}");
        // The last ones are all known.
        let skipped = shared.skipped(at((last - 5) * 3_600_000 - 1), at(last * 3_600_000 + 11_000));
        assert_eq!(skipped, Millis::new(6 * 10_000));
    }

    #[test]
    fn of_many_leaps_no_time_between_them_counts_as_passed_that_did_not() {
        let (mut course, mut shared) = (ClockWatch::default(), Leaps::default());
        let longest = Millis::new(u64::MAX);
        for hour in 0..20 {
            course.tick(at(hour * 3_600_000), &mut shared, longest);
        }
        assert_eq!(shared.0.len(), 1, "they touch");
        let (mut course, mut shared) = (ClockWatch::default(), Leaps::default());
        for hour in 0..20 {
            course.tick(at(hour * 3_600_000), &mut shared, longest);
            course.tick(at(hour * 3_600_000 + 500), &mut shared, longest);
        }
        assert_eq!(shared.0.len(), limits::LEAPS_MAX);
        let now = at(19 * 3_600_000 + 500);
        let passed = shared.passed(at(0), now).get();
        assert!(passed <= 20 * 500, "{passed}");
        let mut bytes = Vec::new();
        shared.encode(&mut bytes);
        assert_eq!(Leaps::decode(&mut Reader(&bytes)), Some(shared));
    }
}
