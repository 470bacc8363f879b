//! Payments in a row of which nothing was heard.
//!
//! A client that gives up early takes its payment's outcome with it: no answer and no timeout ever
//! tells that the gateway hangs. So the silence itself is counted, from answer to answer.

use super::{BreakerLimits, Heard};
use crate::engine::codec::Reader;
use crate::engine::health::heartbeat::Heartbeat;
use crate::engine::time::Timestamp;

/// What was not heard of a gateway's payments since its last answer to one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Silence {
    /// Payments that ended without an answer.
    requests: u16,
    /// Those of them that were with the gateway for long enough to count by themselves.
    patient: u16,
    /// When the first of them was sent.
    since: Timestamp,
}

impl Silence {
    /// A payment ended.
    pub(super) fn hear(&mut self, heard: Heard, now: Timestamp, limits: &BreakerLimits) {
        match heard {
            Heard::Answer => *self = Self::default(),
            Heard::Unsent => {}
            Heard::Silence(waited) => {
                let sent = Timestamp::from_millis(now.as_millis().saturating_sub(waited.get()));
                let is_first = self.requests == 0 || self.since > now;
                self.since = if is_first { sent } else { self.since.min(sent) };
                self.requests = self.requests.saturating_add(1);
                self.patient = self.patient.saturating_add(u16::from(waited >= limits.unheard));
            }
        }
    }

    /// Whether there is one.
    pub(super) const fn has_begun(&self) -> bool {
        self.requests > 0
    }

    /// How many were with the gateway for long enough to count by themselves.
    pub(super) const fn patient(&self) -> u16 {
        self.patient
    }

    /// How many there are, if they are too many, and neither they nor heartbeats brought an answer
    /// for too long.
    pub(super) fn beside(
        &self,
        heartbeat: &Heartbeat,
        now: Timestamp,
        limits: &BreakerLimits,
    ) -> Option<u16> {
        // A heartbeat from the time to come was seen before the clock was put back.
        let good = heartbeat.good_at().filter(|good| *good <= now);
        let since = good.map_or(self.since, |good| good.max(self.since));
        let too_long = now.since(since) >= limits.silence_max && heartbeat.fails();
        let too_many = self.requests >= limits.consecutive_failures;
        (too_many && too_long).then_some(self.requests)
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.requests.to_le_bytes());
        bytes.extend(self.patient.to_le_bytes());
        bytes.extend(self.since.as_millis().to_le_bytes());
    }

    pub(super) fn decode(bytes: &mut Reader<'_>) -> Option<Self> {
        Some(Self { requests: bytes.short()?, patient: bytes.short()?, since: bytes.time()? })
    }
}
