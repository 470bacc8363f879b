//! The delays that money waits for.

use crate::engine::limits;
use crate::engine::time::Millis;

/// The delays that money waits for.
#[derive(Clone, Copy, Debug)]
pub struct ClaimRules {
    /// How long an attempt is believed without news.
    pub lease: Millis,
    /// How long a gateway may take to answer: when whoever waits for that may ask again.
    pub response: Millis,
    /// From the end of an attempt to its repeat.
    pub repeat_after: Millis,
    /// From the claim to its last repeat.
    pub repeat_max_age: Millis,
    /// From the end of the last attempt to the first "not found" that counts, and from that to the
    /// one that proves.
    pub settle_delay: Millis,
    /// The gateways recognise each other's payments, so that one of several candidates can be sent
    /// a repeat.
    pub shared_ledger: bool,
}

impl ClaimRules {
    /// The shortest time from an attempt without an answer to the proof that it was not executed.
    #[must_use]
    pub fn doubt_min(&self) -> Millis {
        let delays = self.settle_delay.get().saturating_mul(2);
        Millis::new(self.lease.get().saturating_add(delays))
    }

    /// The longest that a record makes anybody wait.
    #[must_use]
    pub fn longest_wait(&self) -> Millis {
        self.lease.max(self.repeat_after).max(self.settle_delay)
    }

    /// A record that was changed further ahead than this was changed before the clock was put back:
    /// with its lease it would make somebody wait for longer than anything may. A little more is
    /// nothing, because the clock is read before the record is.
    #[must_use]
    pub fn ahead_max(&self) -> Millis {
        let room = self.longest_wait().get().saturating_sub(self.lease.get());
        Millis::new(room.max(limits::CLOCK_LEAP_MS_MIN))
    }
}
