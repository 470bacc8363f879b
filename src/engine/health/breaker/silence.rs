//! Payments in a row without any answer.
//!
//! When a client gives up early, neither an answer nor a timeout shows that the gateway hangs. So
//! the payments without an answer are counted, from one answer to the next.

use super::limits::BreakerLimits;
use super::report::Heard;
use crate::engine::codec::Reader;
use crate::engine::health::heartbeat::Heartbeat;
use crate::engine::time::Timestamp;

/// The payments without an answer since the gateway's last answer to a payment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Silence {
    /// How many ended without an answer.
    requests: u16,
    /// How many of them the gateway had for long enough to count on their own.
    patient: u16,
    /// When the first of them was sent.
    since: Timestamp,
}

impl Silence {
    /// Takes in a payment that has ended.
    pub(super) fn record(&mut self, heard: Heard, now: Timestamp, limits: &BreakerLimits) {
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

    /// Whether there is any.
    pub(super) const fn has_begun(&self) -> bool {
        self.requests > 0
    }

    /// How many the gateway had for long enough to count on their own.
    pub(super) const fn patient(&self) -> u16 {
        self.patient
    }

    /// How many there are, if they are too many, heartbeats are bad too, and for too long neither a
    /// payment nor a heartbeat had an answer.
    pub(super) fn with_heartbeat(
        &self,
        heartbeat: &Heartbeat,
        now: Timestamp,
        limits: &BreakerLimits,
    ) -> Option<u16> {
        // A heartbeat with a later time than now was seen before the clock was put back.
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
