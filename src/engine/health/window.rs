//! A sliding window of calls: ten cells of a tenth of the window each.
//!
//! Cells begin at multiples of their width, so that workers which merge into one window agree on
//! where each call belongs. A cell that slides out takes its calls with it, so after an idle
//! window the minimum of calls has to be reached anew.

use crate::engine::codec::Reader;
use crate::engine::time::{Millis, Timestamp};

const CELLS: usize = 10;

/// Calls of a trailing window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// When the first call came since it was last empty.
    began: Timestamp,
    /// When the newest cell begins.
    newest: Timestamp,
    /// Newest first.
    cells: [Tally; CELLS],
}

/// Counted calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All of them.
    pub calls: u32,
    /// Those that failed.
    pub failures: u32,
    /// Those that took too long.
    pub slow: u32,
}

impl Tally {
    /// Both together. It saturates: rates stay right, and nobody counts that far.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            failures: self.failures.saturating_add(other.failures),
            slow: self.slow.saturating_add(other.slow),
        }
    }

    /// Whether nothing was counted.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.calls == 0
    }

    pub(in crate::engine) fn encode(self, bytes: &mut Vec<u8>) {
        for count in [self.calls, self.failures, self.slow] {
            bytes.extend(count.to_le_bytes());
        }
    }

    pub(in crate::engine) fn decode(bytes: &mut Reader<'_>) -> Option<Self> {
        Some(Self { calls: bytes.word()?, failures: bytes.word()?, slow: bytes.word()? })
    }
}

impl Window {
    /// Counts `tally` at `now`, in a window `length` long.
    pub(super) fn add(&mut self, tally: Tally, now: Timestamp, length: Millis) {
        self.slide(now, length);
        if self.is_empty() && !tally.is_empty() {
            self.began = now;
        }
        if let Some(newest) = self.cells.first_mut() {
            *newest = newest.plus(tally);
        }
    }

    /// How long ago the first call came since it was last empty; zero while it is empty. A young
    /// window may hold the failures of a few moments and not the successes beside them, which
    /// workers bring on their ticks.
    #[must_use]
    pub(super) fn age(&self, now: Timestamp, length: Millis) -> Millis {
        let mut window = self.clone();
        window.slide(now, length);
        if window.is_empty() { Millis::ZERO } else { now.since(window.began) }
    }

    fn is_empty(&self) -> bool {
        self.cells.iter().all(|cell| cell.is_empty())
    }

    /// What was counted in the `length` before `now`.
    #[must_use]
    pub(super) fn total(&self, now: Timestamp, length: Millis) -> Tally {
        let mut window = self.clone();
        window.slide(now, length);
        window.cells.iter().copied().fold(Tally::default(), Tally::plus)
    }

    /// A step back of the clock leaves the newest cell where it is: nothing is counted twice, and
    /// nothing is lost. Only a step longer than the window starts it anew.
    fn slide(&mut self, now: Timestamp, length: Millis) {
        let width = (length.get() / CELLS as u64).max(1);
        let ahead = self.newest.since(now) > length;
        if ahead || !self.newest.as_millis().is_multiple_of(width) {
            // Another window length was configured: its cells say nothing in this one's terms.
            *self = Self::default();
        }
        let steps = now.since(self.newest).get() / width;
        if steps == 0 {
            return;
        }
        let gone = usize::try_from(steps).unwrap_or(CELLS).min(CELLS);
        self.cells.rotate_right(gone % CELLS);
        for cell in self.cells.iter_mut().take(gone) {
            *cell = Tally::default();
        }
        self.newest = Timestamp::from_millis(now.as_millis() / width * width);
    }

    pub(in crate::engine) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.began.as_millis().to_le_bytes());
        bytes.extend(self.newest.as_millis().to_le_bytes());
        for cell in self.cells {
            cell.encode(bytes);
        }
    }

    pub(in crate::engine) fn decode(bytes: &mut Reader<'_>) -> Option<Self> {
        let (began, newest) = (bytes.time()?, bytes.time()?);
        let mut cells = [Tally::default(); CELLS];
        for cell in &mut cells {
            *cell = Tally::decode(bytes)?;
        }
        Some(Self { began, newest, cells })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Millis = Millis::new(1000);

    fn one() -> Tally {
        Tally { calls: 1, failures: 1, slow: 0 }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis)
    }

    #[test]
    fn a_call_counts_for_the_window_and_no_longer() {
        let mut window = Window::default();
        window.add(one(), at(50), LENGTH);
        for (later, calls) in [(50, 1), (950, 1), (999, 1), (1000, 0), (5000, 0)] {
            assert_eq!(window.total(at(later), LENGTH).calls, calls, "{later} ms");
        }
    }

    #[test]
    fn each_call_leaves_with_its_own_cell() {
        let mut window = Window::default();
        for cell in 0..10 {
            window.add(one(), at(cell * 100), LENGTH);
        }
        for (gone, left) in (0..10).zip((1..=10).rev()) {
            assert_eq!(window.total(at(900 + gone * 100), LENGTH).calls, left);
        }
    }

    #[test]
    fn a_clock_that_steps_back_neither_loses_nor_doubles() {
        let mut window = Window::default();
        window.add(one(), at(500), LENGTH);
        window.add(one(), at(100), LENGTH);
        assert_eq!(window.total(at(500), LENGTH).calls, 2);
        assert_eq!(window.total(at(1499), LENGTH).calls, 2);
        assert_eq!(window.total(at(1500), LENGTH).calls, 0);
    }

    #[test]
    fn its_age_counts_from_the_first_call_since_it_was_empty() {
        let mut window = Window::default();
        assert_eq!(window.age(at(0), LENGTH), Millis::ZERO);
        window.add(Tally::default(), at(0), LENGTH);
        window.add(one(), at(40), LENGTH);
        window.add(one(), at(700), LENGTH);
        // The first call has left, and calls came all the time.
        for (later, age) in [(40, 0), (940, 900), (1500, 1460)] {
            assert_eq!(window.age(at(later), LENGTH), Millis::new(age), "{later} ms");
        }
        assert_eq!(window.age(at(1700), LENGTH), Millis::ZERO, "empty");
        window.add(one(), at(2000), LENGTH);
        assert_eq!(window.age(at(2010), LENGTH), Millis::new(10));
    }

    #[test]
    fn stored_and_read_again_it_is_the_same() {
        let mut window = Window::default();
        window.add(Tally { calls: 7, failures: 3, slow: 2 }, at(0), LENGTH);
        window.add(one(), at(300), LENGTH);
        let mut bytes = Vec::new();
        window.encode(&mut bytes);
        assert_eq!(Window::decode(&mut Reader(&bytes)), Some(window));
        assert_eq!(Window::decode(&mut Reader(&bytes[1..])), None);
    }
}
