//! The heartbeat of one gateway: is it there, as far as a read-only request can tell?
//!
//! A heartbeat never closes a breaker that traffic opened and never opens one. It decides whether
//! a gateway may be a failover target, and argues for a trial.

use crate::engine::codec::Reader;
use crate::engine::time::{Millis, Timestamp};

/// When a gateway counts as up.
#[derive(Clone, Copy, Debug)]
pub struct HeartbeatLimits {
    /// From one heartbeat to the next.
    pub interval: Millis,
    /// A good heartbeat older than this proves nothing.
    pub stale: Millis,
    /// Good ones in a row that make a gateway up.
    pub rise: u8,
    /// Bad ones in a row that make it down.
    pub fall: u8,
}

/// The request that a heartbeat is: read-only, and the same for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSpec {
    /// How long it may take.
    pub timeout: Millis,
    /// Method of the request.
    pub method: String,
    /// Path of the request.
    pub path: String,
    /// Which answers are good.
    pub expect: Expect,
}

impl HeartbeatLimits {
    /// How often a worker ticks: often enough for each heartbeat to leave in time.
    #[must_use]
    pub fn tick_period(&self) -> Millis {
        Millis::new((self.interval.get() / 4).clamp(20, 500))
    }
}

impl Default for ProbeSpec {
    fn default() -> Self {
        let (method, path) = ("GET".to_owned(), "/".to_owned());
        Self { timeout: Millis::new(1000), method, path, expect: Expect::default() }
    }
}

impl ProbeSpec {
    /// By then Envoy has answered in the gateway's place. A call of which nothing was heard until
    /// then is never answered.
    #[must_use]
    pub const fn lost_after(&self) -> Millis {
        Millis::new(self.timeout.get().saturating_mul(2))
    }
}

/// Which answers to a heartbeat are good. One that Envoy gives in the gateway's place never is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    /// This status alone; otherwise any but a 5xx, because a heartbeat asks whether the gateway is
    /// there and not what it thinks of the request.
    pub status: Option<u16>,
    /// Text that the body must contain.
    pub body_contains: String,
}

impl Expect {
    /// Whether an answer of the gateway's own is good.
    #[must_use]
    pub fn is_met(&self, status: u16, body: &[u8]) -> bool {
        let is_expected = match self.status {
            Some(expected) => status == expected,
            None => (100..500).contains(&status),
        };
        let text = self.body_contains.as_bytes();
        is_expected && (text.is_empty() || body.windows(text.len()).any(|part| part == text))
    }

    /// Whether the body matters.
    #[must_use]
    pub const fn reads_body(&self) -> bool {
        !self.body_contains.is_empty()
    }
}

/// What the heartbeats of one gateway say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heartbeat {
    up: bool,
    /// Heartbeats in a row that speak against `up`.
    run: u8,
    good_at: Timestamp,
    due_at: Timestamp,
}

/// How recent the last good heartbeat is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Punctuality {
    /// It came within two intervals.
    OnTime,
    /// It is older, and still counts.
    Late,
    /// It is too old to count, or there never was one.
    Silent,
}

impl Punctuality {
    /// What it is called in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OnTime => "on_time",
            Self::Late => "late",
            Self::Silent => "silent",
        }
    }
}

impl Heartbeat {
    /// How recent the last good one is.
    #[must_use]
    pub fn punctuality(&self, now: Timestamp, limits: &HeartbeatLimits) -> Punctuality {
        let age = self.age(now);
        if age > limits.stale {
            Punctuality::Silent
        } else if age.get() > limits.interval.get().saturating_mul(2) {
            Punctuality::Late
        } else {
            Punctuality::OnTime
        }
    }

    /// When the last good one came; `None` when there never was one.
    #[must_use]
    pub fn good_at(&self) -> Option<Timestamp> {
        (self.good_at != Timestamp::default()).then_some(self.good_at)
    }

    /// One from the future was seen before the clock stepped back, as long ago as it seems ahead.
    fn age(&self, now: Timestamp) -> Millis {
        now.since(self.good_at).max(self.good_at.since(now))
    }

    /// Whether the gateway may take payments that another one cannot.
    #[must_use]
    pub fn is_target(&self, now: Timestamp, limits: &HeartbeatLimits) -> bool {
        self.up && self.age(now) <= limits.stale
    }

    /// Whether enough heartbeats in a row were good, however long ago.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.up
    }

    /// Whether heartbeats were bad after `since` and none was good until `now`. One that seems to be
    /// good later than that was seen before the clock was put back, and proves nothing.
    #[must_use]
    pub fn is_bad_since(&self, since: Timestamp, now: Timestamp) -> bool {
        (self.good_at < since || self.good_at > now) && self.fails()
    }

    /// Whether the last one was bad, or too few were good yet.
    #[must_use]
    pub const fn fails(&self) -> bool {
        !self.up || self.run > 0
    }

    /// Whether it is time for the next one. A due time further away than the interval was set
    /// before the clock stepped back.
    #[must_use]
    pub fn is_due(&self, now: Timestamp, limits: &HeartbeatLimits) -> bool {
        now >= self.due_at || self.due_at.since(now) > limits.interval
    }

    /// Notes that one is sent.
    pub fn sent(&mut self, now: Timestamp, limits: &HeartbeatLimits) {
        self.due_at = now.plus(limits.interval);
    }

    /// Takes in the result of one; tells whether the gateway came up or went down.
    pub fn record(&mut self, good: bool, now: Timestamp, limits: &HeartbeatLimits) -> Option<bool> {
        if good {
            self.good_at = now;
        }
        if good == self.up {
            self.run = 0;
            return None;
        }
        self.run = self.run.saturating_add(1);
        if self.run < if good { limits.rise } else { limits.fall } {
            return None;
        }
        self.up = good;
        self.run = 0;
        Some(good)
    }

    pub(in crate::engine) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend([u8::from(self.up), self.run]);
        bytes.extend(self.good_at.as_millis().to_le_bytes());
        bytes.extend(self.due_at.as_millis().to_le_bytes());
    }

    pub(in crate::engine) fn decode(bytes: &mut Reader<'_>) -> Option<Self> {
        let [up, run] = bytes.take()?;
        Some(Self { up: up != 0, run, good_at: bytes.time()?, due_at: bytes.time()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> HeartbeatLimits {
        HeartbeatLimits {
            interval: Millis::new(2000),
            stale: Millis::new(10_000),
            rise: 2,
            fall: 3,
        }
    }

    #[test]
    fn a_good_answer_is_what_was_expected() {
        let check = |status: Option<u16>, text: &str, answer: (u16, &str), good: bool| {
            let expect = Expect { status, body_contains: text.to_owned() };
            assert_eq!(expect.is_met(answer.0, answer.1.as_bytes()), good, "{expect:?} {answer:?}");
        };
        for (status, good) in [(0, false), (100, true), (200, true), (404, true), (499, true)] {
            check(None, "", (status, ""), good);
        }
        for status in [500, 503, 599, 600] {
            check(None, "", (status, ""), false);
        }
        check(Some(200), "", (200, "anything"), true);
        check(Some(200), "", (204, ""), false);
        check(Some(503), "", (503, ""), true);
        check(None, "UP", (200, r#"{"status":"UP"}"#), true);
        check(None, "UP", (200, "up"), false);
        check(None, "UP", (200, "U"), false);
        check(Some(200), "UP", (500, "UP"), false);
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + seconds * 1000)
    }

    #[test]
    fn it_takes_rise_to_come_up_and_fall_to_go_down() {
        let mut heartbeat = Heartbeat::default();
        let probes = "+-+-++ +-+--+--- ";
        let mut told = String::new();
        for (second, beat) in (0u64..).zip(probes.chars().filter(|beat| *beat != ' ')) {
            told.push(match heartbeat.record(beat == '+', at(second), &limits()) {
                None => '.',
                Some(true) => 'U',
                Some(false) => 'D',
            });
        }
        assert_eq!(told, ".....U........D");
    }

    #[test]
    fn it_is_bad_since_a_time_when_it_failed_and_was_not_good_after_that() {
        let mut heartbeat = Heartbeat::default();
        assert!(heartbeat.is_bad_since(at(0), at(9)), "there never was a good one");
        heartbeat.record(true, at(0), &limits());
        heartbeat.record(true, at(2), &limits());
        assert!(!heartbeat.is_bad_since(at(3), at(9)), "none has failed");
        heartbeat.record(false, at(4), &limits());
        assert!(heartbeat.is_bad_since(at(3), at(9)));
        assert!(!heartbeat.is_bad_since(at(2), at(9)), "one was good then");
        heartbeat.record(true, at(6), &limits());
        assert!(!heartbeat.is_bad_since(at(3), at(9)));
    }

    #[test]
    fn a_good_heartbeat_goes_stale() {
        let mut heartbeat = Heartbeat::default();
        assert!(!heartbeat.is_target(at(0), &limits()));
        heartbeat.record(true, at(0), &limits());
        assert!(!heartbeat.is_target(at(0), &limits()));
        assert_eq!(heartbeat.record(true, at(2), &limits()), Some(true));
        assert!(heartbeat.is_target(at(12), &limits()));
        assert!(!heartbeat.is_target(at(13), &limits()));
    }

    #[test]
    fn it_is_on_time_late_or_silent() {
        let mut heartbeat = Heartbeat::default();
        assert_eq!(heartbeat.punctuality(at(0), &limits()), Punctuality::Silent);
        assert_eq!(heartbeat.good_at(), None);
        heartbeat.record(true, at(0), &limits());
        for (second, name) in [(0, "on_time"), (4, "on_time"), (5, "late"), (10, "late")] {
            assert_eq!(heartbeat.punctuality(at(second), &limits()).name(), name);
        }
        assert_eq!(heartbeat.punctuality(at(11), &limits()).name(), "silent");
        heartbeat.record(false, at(11), &limits());
        assert_eq!(heartbeat.good_at(), Some(at(0)));
    }

    #[test]
    fn the_next_one_is_due_after_the_interval() {
        let mut heartbeat = Heartbeat::default();
        assert!(heartbeat.is_due(at(0), &limits()));
        heartbeat.sent(at(0), &limits());
        assert!(!heartbeat.is_due(at(1), &limits()));
        assert!(heartbeat.is_due(at(2), &limits()));
    }

    #[test]
    fn a_clock_that_steps_back_an_hour_stops_nothing() {
        let mut heartbeat = Heartbeat::default();
        heartbeat.record(true, at(7200), &limits());
        heartbeat.record(true, at(7200), &limits());
        heartbeat.sent(at(7200), &limits());
        assert!(heartbeat.is_due(at(3600), &limits()));
        assert!(!heartbeat.is_target(at(3600), &limits()));
    }
}
