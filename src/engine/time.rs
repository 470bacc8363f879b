//! Time as a value: the engine reads no clock, each event brings its own time.
//!
//! The host's clock is wall time and may step. Every difference therefore saturates at zero: a
//! step back makes leases and waits last longer, never shorter than nothing.

/// A point in time, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

/// A length of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(u64);

impl Timestamp {
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

    /// How long ago `earlier` was; zero when it lies ahead, as it may after a clock step.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }

    /// This time and `wait` more.
    #[must_use]
    pub const fn plus(self, wait: Millis) -> Self {
        Self(self.0.saturating_add(wait.0))
    }
}

impl Millis {
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

    /// The length in whole seconds, rounded up, at least one: what `Retry-After` wants.
    #[must_use]
    pub const fn as_retry_after(self) -> u64 {
        let seconds = self.0.div_ceil(1000);
        if seconds == 0 { 1 } else { seconds }
    }
}
