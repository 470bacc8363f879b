//! Points and lengths of time, in milliseconds.

use crate::engine::codec::Reader;

/// A point in time, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

/// A length of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(u64);

impl Timestamp {
    /// Later than any other time.
    pub const NEVER: Self = Self(u64::MAX);

    /// The time `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was. Zero if it lies ahead, as it may after a step of the clock.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }

    /// This time, or `now` if this time lies more than `slack` ahead. Then it was written before the
    /// clock was put back, and its real age is not known.
    #[must_use]
    pub fn or_now(self, now: Self, slack: Millis) -> Self {
        if self.since(now) > slack { now } else { self }
    }

    /// This time plus `wait`.
    #[must_use]
    pub const fn plus(self, wait: Millis) -> Self {
        Self(self.0.saturating_add(wait.0))
    }
}

impl Millis {
    /// No time.
    pub const ZERO: Self = Self(0);

    /// A length of `millis` milliseconds.
    #[must_use]
    pub const fn new(millis: u64) -> Self {
        Self(millis)
    }

    /// The length in milliseconds.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The length in whole seconds for `Retry-After`: rounded up, at least one.
    #[must_use]
    pub const fn as_retry_after(self) -> u64 {
        let seconds = self.0.div_ceil(1000);
        if seconds == 0 { 1 } else { seconds }
    }
}

impl Reader<'_> {
    /// A stored time: milliseconds since the Unix epoch, eight bytes.
    pub(in crate::engine) fn time(&mut self) -> Option<Timestamp> {
        self.long().map(Timestamp::from_millis)
    }
}
