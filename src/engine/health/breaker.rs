//! The breaker of one gateway, fed by real traffic alone.
//!
//! ```text
//!            a rule trips                       the wait is over, a permit is taken
//!   Closed ----------------> Open(until) --------------------------------> HalfOpen
//!      ^                       ^                                              |
//!      |                       +------------- too many trials fail -----------+
//!      +------------------------------------- enough trials pass -------------+
//! ```
//!
//! Closed means that traffic flows. Limits count at `>=`: five failures in a row trip a limit of
//! five, and a rate of exactly the limit trips. Every transition raises the generation. A result that
//! began under an older generation changes nothing. The wait doubles with each trip; trips are
//! forgotten one by one while the gateway works. What is known of partners outlives transitions: a
//! partner whose payments fail everywhere looks the same after each of them.

use super::batch::Batch;
use super::fair_share::{FairShare, Source};
use super::window::{Tally, Window};
use crate::engine::time::{Millis, Timestamp};

mod closed;
mod half_open;
mod limits;
mod mend;
mod report;
mod rule;
mod silence;
mod state;
mod stored;

pub use limits::BreakerLimits;
pub use report::{Heard, Report, Signal};
pub use rule::Rule;
use silence::Silence;
pub use state::{BreakerState, Transition};

/// The breaker of one gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    state: BreakerState,
    generation: u32,
    /// Trips that are not forgotten.
    trips: u8,
    /// The first trial was an inquiry, and payments wait for its result.
    inquiry_first: bool,
    /// When the state was entered.
    since: Timestamp,
    /// Why it was entered, with the numbers that decided.
    cause: Option<Rule>,
    /// Results of payments.
    window: Window,
    /// When the run of failures began.
    run_began: Timestamp,
    /// Payments in a row without any answer.
    silence: Silence,
    fair_share: FairShare,
    /// Partners whose failures opened it or failed a trial since it was last closed: a bit for each
    /// slot. Other partners get a trial before them.
    suspects: u32,
    /// The partner whose trial failed last, as its bit.
    failed_last: u32,
    /// Results of inquiries, which are counted separately (see `closed`).
    inquiries: Inquiries,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Inquiries {
    window: Window,
    run: u16,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            state: BreakerState::Closed { run: 0 },
            generation: 0,
            trips: 0,
            inquiry_first: false,
            since: Timestamp::default(),
            cause: None,
            window: Window::default(),
            run_began: Timestamp::default(),
            silence: Silence::default(),
            fair_share: FairShare::default(),
            suspects: 0,
            failed_last: 0,
            inquiries: Inquiries::default(),
        }
    }
}

impl Breaker {
    /// Its state.
    #[must_use]
    pub const fn state(&self) -> BreakerState {
        self.state
    }

    /// Its generation, which each transition raises by one.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// When the state was entered.
    #[must_use]
    pub const fn since(&self) -> Timestamp {
        self.since
    }

    /// Why the state was entered, with the numbers that decided. `None` before the first transition.
    #[must_use]
    pub const fn cause(&self) -> Option<Rule> {
        self.cause
    }

    /// The calls within the window at `now`, payments and inquiries.
    #[must_use]
    pub fn seen(&self, now: Timestamp, limits: &BreakerLimits) -> Tally {
        let inquiries = self.inquiries.window.total(now, limits.window);
        self.window.total(now, limits.window).plus(inquiries)
    }

    /// Whether traffic flows.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, BreakerState::Closed { .. })
    }

    /// Whether a success ends a run of failures of its own kind. Then it must be written at once.
    #[must_use]
    pub const fn has_run(&self, pays: bool) -> bool {
        if pays {
            matches!(self.state, BreakerState::Closed { run: 1.. }) || self.silence.has_begun()
        } else {
            self.inquiries.run > 0
        }
    }

    /// Whether traffic flows, and at least one payment within the window succeeded.
    #[must_use]
    pub fn is_proven(&self, now: Timestamp, limits: &BreakerLimits) -> bool {
        let seen = self.window.total(now, limits.window);
        self.is_closed() && seen.calls > seen.failures
    }

    /// Whether payments fail at half of the rate that trips, or more. Failures of one partner are
    /// capped as they are for the rate.
    #[must_use]
    pub fn is_shaky(&self, now: Timestamp, limits: &BreakerLimits) -> bool {
        let seen = self.window.total(now, limits.window);
        let pct = limits.partner_failures_pct;
        let failures = self.fair_share.counted(seen.failures, now, limits.window, pct);
        u64::from(failures) * 200 >= u64::from(limits.failure_rate_pct) * u64::from(seen.calls)
            && failures > 0
    }

    /// Whether traffic flows, and the window has calls and no failure.
    #[must_use]
    pub fn goes_well(&self, now: Timestamp, limits: &BreakerLimits) -> bool {
        let seen = self.seen(now, limits);
        self.is_closed() && seen.calls > 0 && seen.failures == 0
    }

    /// Takes in the result of a call.
    pub fn record(
        &mut self,
        report: Report,
        now: Timestamp,
        limits: &BreakerLimits,
    ) -> Option<Transition> {
        if report.generation != self.generation {
            return None;
        }
        match self.state {
            BreakerState::Closed { .. } if !report.source.pays() => {
                self.record_inquiry(report, now, limits)
            }
            BreakerState::Closed { run } => self.record_closed(report, run, now, limits),
            // Traffic that had to go there (a pinned status): only the wait decides.
            BreakerState::Open { .. } => None,
            BreakerState::HalfOpen { .. } => self.record_half_open(report, now, limits),
        }
    }

    /// Takes in the successes that a worker has counted since its last batch.
    pub fn merge(
        &mut self,
        batch: &Batch,
        now: Timestamp,
        limits: &BreakerLimits,
    ) -> Option<Transition> {
        if !self.is_closed() {
            return None;
        }
        if batch.pays {
            self.window.add(batch.tally, now, limits.window);
            self.fair_share.success(batch.seen, now, limits.window);
        } else {
            self.inquiries.window.add(batch.tally, now, limits.window);
        }
        self.check_rates(now, limits)
    }

    /// Trips if too many requests are in flight at the gateway.
    pub fn check_in_flight(
        &mut self,
        in_flight: u32,
        now: Timestamp,
        limits: &BreakerLimits,
    ) -> Option<Transition> {
        let trips = self.is_closed() && in_flight >= limits.in_flight_max;
        trips.then(|| self.trip(Rule::InFlight { requests: in_flight }, now, limits))
    }

    /// Whether payments of other partners than this one go well.
    #[must_use]
    pub fn others_pay(&self, source: Source, now: Timestamp, limits: &BreakerLimits) -> bool {
        self.fair_share.others_pay(source, now, limits.window)
    }

    fn trip(&mut self, rule: Rule, now: Timestamp, limits: &BreakerLimits) -> Transition {
        if self.is_closed() {
            // One trip is forgotten for each longest wait that the breaker was closed.
            let forgotten = now.since(self.since).get() / limits.open_max.get().max(1);
            self.trips = self.trips.saturating_sub(u8::try_from(forgotten).unwrap_or(u8::MAX));
            self.suspects = self.fair_share.failing(now, limits.window);
            self.failed_last = 0;
        }
        self.trips = self.trips.saturating_add(1);
        self.open(rule, Millis::ZERO, now, limits)
    }

    /// Opens for the wait of so many trips, or for `at_least` if that is longer.
    fn open(
        &mut self,
        rule: Rule,
        at_least: Millis,
        now: Timestamp,
        limits: &BreakerLimits,
    ) -> Transition {
        let wait = limits.wait(self.trips.max(1), jitter(self.generation, now));
        let wait = wait.max(at_least.min(limits.open_max));
        self.enter(BreakerState::Open { until: now.plus(wait) }, rule, now)
    }

    fn enter(&mut self, to: BreakerState, rule: Rule, now: Timestamp) -> Transition {
        self.state = to;
        self.generation = self.generation.wrapping_add(1);
        self.since = now;
        self.cause = Some(rule);
        self.window = Window::default();
        self.silence = Silence::default();
        self.inquiries = Inquiries::default();
        if self.is_closed() {
            (self.suspects, self.failed_last) = (0, 0);
        }
        Transition { to, rule, generation: self.generation }
    }
}

/// A number from 0 to 100 that differs from trip to trip. It need not be secret.
const fn jitter(generation: u32, now: Timestamp) -> u64 {
    let mixed = (now.as_millis() ^ ((generation as u64) << 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 32) % 101
}

#[cfg(test)]
mod tests;
