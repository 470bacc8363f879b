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
//! Closed means that traffic flows. Rules count at `>=`: five consecutive failures trip a limit of
//! five, and a rate of exactly the limit trips. Every transition raises the generation, and a
//! result that began under an older one moves nothing. A wait doubles with each trip and is
//! forgotten step by step while the gateway stays well. What is known of partners outlives
//! transitions: a partner whose payments fail everywhere looks the same after each of them.

use super::fair_share::{FairShare, Source};
use super::heartbeat::Heartbeat;
use super::window::{Tally, Window};
use super::worker_counts::Batch;
use crate::engine::limits::RUN_ALONE_MS_MAX;
use crate::engine::time::{Millis, Timestamp};

mod half_open;
mod limits;
mod mend;
mod report;
mod rule;
mod silence;
mod stored;

pub use limits::BreakerLimits;
pub use report::{Heard, Report, Signal};
pub use rule::Rule;
use silence::Silence;

/// Whether traffic flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// It does.
    Closed {
        /// Failures since the last success.
        run: u16,
    },
    /// It does not.
    Open {
        /// From then on a trial may be made.
        until: Timestamp,
    },
    /// Trials only.
    HalfOpen {
        /// Trials under way.
        out: u8,
        /// Trials passed.
        passed: u8,
        /// Trials failed.
        failed: u8,
        /// When the last permit was taken.
        since: Timestamp,
    },
}

impl BreakerState {
    /// What it is called in logs, metrics and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed { .. } => "closed",
            Self::HalfOpen { .. } => "half_open",
            Self::Open { .. } => "open",
        }
    }
}

/// A breaker's move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Whether traffic flows now.
    pub to: BreakerState,
    /// Why.
    pub rule: Rule,
    /// The generation that begins.
    pub generation: u32,
}

/// The breaker of one gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    state: BreakerState,
    generation: u32,
    /// Trips that are not forgotten yet.
    trips: u8,
    /// A question went on trial first, and payments wait for how it ends.
    asks_first: bool,
    /// When the state was entered.
    since: Timestamp,
    /// Why it was, with the numbers that decided.
    cause: Option<Rule>,
    /// Payments.
    window: Window,
    /// When the run of failures began.
    run_began: Timestamp,
    /// Payments in a row of which nothing was heard.
    silence: Silence,
    fair_share: FairShare,
    /// Partners whose trouble opened it or failed a trial, since it was last closed: a bit for each
    /// slot. Others go on trial before them.
    suspects: u32,
    /// The partner whose trial failed last, as its bit.
    failed_last: u32,
    /// What only reads, judged apart: while payments fail, good answers to questions keep no
    /// breaker closed, and while payments go well, bad ones open none.
    questions: Questions,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Questions {
    window: Window,
    run: u16,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            state: BreakerState::Closed { run: 0 },
            generation: 0,
            trips: 0,
            asks_first: false,
            since: Timestamp::default(),
            cause: None,
            window: Window::default(),
            run_began: Timestamp::default(),
            silence: Silence::default(),
            fair_share: FairShare::default(),
            suspects: 0,
            failed_last: 0,
            questions: Questions::default(),
        }
    }
}

impl Breaker {
    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> BreakerState {
        self.state
    }

    /// Raised by each transition.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// When the state was entered.
    #[must_use]
    pub const fn since(&self) -> Timestamp {
        self.since
    }

    /// Why the state was entered, with the numbers that decided; `None` before the first move.
    #[must_use]
    pub const fn cause(&self) -> Option<Rule> {
        self.cause
    }

    /// What the window holds at `now`, payments and questions.
    #[must_use]
    pub fn seen(&self, now: Timestamp, limits: &BreakerLimits) -> Tally {
        let questions = self.questions.window.total(now, limits.window);
        self.window.total(now, limits.window).plus(questions)
    }

    /// Whether traffic flows.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, BreakerState::Closed { .. })
    }

    /// Whether a success has a run of its own kind to end: then it must be written at once.
    #[must_use]
    pub const fn has_run(&self, pays: bool) -> bool {
        if pays {
            matches!(self.state, BreakerState::Closed { run: 1.. }) || self.silence.has_begun()
        } else {
            self.questions.run > 0
        }
    }

    /// Whether traffic flows, and payments went well within the window.
    #[must_use]
    pub fn is_proven(&self, now: Timestamp, limits: &BreakerLimits) -> bool {
        let seen = self.window.total(now, limits.window);
        self.is_closed() && seen.calls > seen.failures
    }

    /// Whether payments fail at half of the rate that trips or more, as failures count: those of one
    /// partner alone are its own.
    #[must_use]
    pub fn is_shaky(&self, now: Timestamp, limits: &BreakerLimits) -> bool {
        let seen = self.window.total(now, limits.window);
        let pct = limits.partner_failures_pct;
        let failures = self.fair_share.counted(seen.failures, now, limits.window, pct);
        u64::from(failures) * 200 >= u64::from(limits.failure_rate_pct) * u64::from(seen.calls)
            && failures > 0
    }

    /// Whether traffic flows, and within the window has gone well and not failed.
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
            BreakerState::Closed { .. } if !report.source.pays() => self.hear(report, now, limits),
            BreakerState::Closed { run } => self.record_closed(report, run, now, limits),
            // Traffic that had to go there all the same (a pinned status): the wait decides.
            BreakerState::Open { .. } => None,
            BreakerState::HalfOpen { .. } => self.record_half_open(report, now, limits),
        }
    }

    /// Takes in successes that a worker counted for itself since it last did.
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
            self.questions.window.add(batch.tally, now, limits.window);
        }
        self.check_rates(now, limits)
    }

    /// Takes in how many requests are with the gateway.
    pub fn crowd(
        &mut self,
        in_flight: u32,
        now: Timestamp,
        limits: &BreakerLimits,
    ) -> Option<Transition> {
        let trips = self.is_closed() && in_flight >= limits.in_flight_max;
        trips.then(|| self.trip(Rule::InFlight { requests: in_flight }, now, limits))
    }

    /// The result of a question.
    fn hear(
        &mut self,
        report: Report,
        now: Timestamp,
        limits: &BreakerLimits,
    ) -> Option<Transition> {
        let tally = report.tally();
        if !tally.is_empty() {
            self.questions.window.add(tally, now, limits.window);
        }
        let run = &mut self.questions.run;
        *run = match report.signal {
            Signal::Failure => run.saturating_add(1),
            Signal::Throttled | Signal::Abandoned | Signal::Neutral => *run,
            Signal::Success | Signal::Alive => 0,
        };
        let run = *run;
        if run >= limits.consecutive_failures && !self.is_proven(now, limits) {
            return Some(self.trip(Rule::ConsecutiveFailures { run }, now, limits));
        }
        if tally.is_empty() { None } else { self.check_rates(now, limits) }
    }

    fn record_closed(
        &mut self,
        report: Report,
        run: u16,
        now: Timestamp,
        limits: &BreakerLimits,
    ) -> Option<Transition> {
        self.silence.hear(report.heard, now, limits);
        let run = match report.signal {
            Signal::Neutral => return None,
            Signal::Failure => run.saturating_add(1),
            Signal::Throttled | Signal::Abandoned => run,
            Signal::Success | Signal::Alive => 0,
        };
        if run == 1 {
            self.run_began = now;
        }
        self.state = BreakerState::Closed { run };
        let tally = report.tally();
        if !tally.is_empty() {
            self.window.add(tally, now, limits.window);
        }
        self.note_source(report, now, limits);
        if report.signal == Signal::Failure
            && self.counted_run(run, now, limits) >= limits.consecutive_failures.into()
        {
            return Some(self.trip(Rule::ConsecutiveFailures { run }, now, limits));
        }
        if let Some(requests) = self.too_long_unheard(now, limits) {
            return Some(self.trip(Rule::Unheard { requests }, now, limits));
        }
        if tally.is_empty() {
            return None;
        }
        self.check_rates(now, limits)
    }

    /// Whose trouble it was, or whose payment went well.
    fn note_source(&mut self, report: Report, now: Timestamp, limits: &BreakerLimits) {
        let Report { signal, slow, source, .. } = report;
        match signal {
            Signal::Failure | Signal::Throttled => {
                self.fair_share.failure(source, now, limits.window)
            }
            Signal::Success if slow => self.fair_share.failure(source, now, limits.window),
            Signal::Success | Signal::Alive => {
                self.fair_share.success(source.seen(), now, limits.window);
            }
            Signal::Abandoned if report.heard.lasted(limits.unheard) => {
                self.fair_share.failure(source, now, limits.window);
            }
            Signal::Abandoned | Signal::Neutral => {}
        }
    }

    /// How much of a run counts. What one partner has of it is capped as long as others are known
    /// to pay, what one operation has only at first: if payments of another one went well still,
    /// they would have ended it.
    fn counted_run(&self, run: u16, now: Timestamp, limits: &BreakerLimits) -> u32 {
        let (window, pct) = (limits.window, limits.partner_failures_pct);
        let counted = self.fair_share.counted(run.into(), now, window, pct);
        if self.run_lasts(now) {
            return counted;
        }
        counted.min(self.fair_share.counted_by_operation(run.into(), now, window, pct))
    }

    fn run_lasts(&self, now: Timestamp) -> bool {
        now.since(self.run_began).get() >= RUN_ALONE_MS_MAX || now < self.run_began
    }

    /// What the heartbeats add to what payments say: while they are bad, nobody's payments are
    /// known to go well, and a gateway of which nothing is heard at all is left whenever the
    /// clients give up.
    pub fn check_beside(
        &mut self,
        heartbeat: &Heartbeat,
        now: Timestamp,
        limits: &BreakerLimits,
    ) -> Option<Transition> {
        let BreakerState::Closed { run } = self.state else {
            return None;
        };
        if run >= limits.consecutive_failures
            && self.run_lasts(now)
            && heartbeat.is_bad_since(self.run_began, now)
        {
            return Some(self.trip(Rule::ConsecutiveFailures { run }, now, limits));
        }
        let requests = self.silence.beside(heartbeat, now, limits)?;
        Some(self.trip(Rule::Unheard { requests }, now, limits))
    }

    /// So many payments in a row of which nothing was heard, if they are too many.
    fn too_long_unheard(&self, now: Timestamp, limits: &BreakerLimits) -> Option<u16> {
        let requests = self.silence.patient();
        let pct = limits.partner_failures_pct;
        let counted = self.fair_share.counted(requests.into(), now, limits.window, pct);
        (counted >= limits.consecutive_failures.into()).then_some(requests)
    }

    /// Whether payments of other partners than this one's go well.
    #[must_use]
    pub fn others_pay(&self, source: Source, now: Timestamp, limits: &BreakerLimits) -> bool {
        self.fair_share.others_pay(source, now, limits.window)
    }

    fn check_rates(&mut self, now: Timestamp, limits: &BreakerLimits) -> Option<Transition> {
        let is_settled = |window: &Window| window.age(now, limits.window) >= limits.rate_age_min;
        let seen = self.window.total(now, limits.window);
        let pct = limits.partner_failures_pct;
        let cap = |failure| self.fair_share.counted(failure, now, limits.window, pct);
        let mut rule = limits
            .exceeded(seen, cap(seen.failures), cap(seen.slow))
            .filter(|_| is_settled(&self.window));
        if rule.is_none() && !self.is_proven(now, limits) {
            let asked = self.questions.window.total(now, limits.window);
            rule = limits
                .exceeded(asked, asked.failures, asked.slow)
                .filter(|_| is_settled(&self.questions.window));
        }
        rule.map(|rule| self.trip(rule, now, limits))
    }

    fn trip(&mut self, rule: Rule, now: Timestamp, limits: &BreakerLimits) -> Transition {
        if self.is_closed() {
            // One trip is forgotten for each longest wait that went well.
            let forgotten = now.since(self.since).get() / limits.open_max.get().max(1);
            self.trips = self.trips.saturating_sub(u8::try_from(forgotten).unwrap_or(u8::MAX));
            self.suspects = self.fair_share.troubled(now, limits.window);
            self.failed_last = 0;
        }
        self.trips = self.trips.saturating_add(1);
        self.open(rule, Millis::ZERO, now, limits)
    }

    /// Opens for as long as its trips demand, or for `at_least` where that is longer.
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
        self.questions = Questions::default();
        if self.is_closed() {
            (self.suspects, self.failed_last) = (0, 0);
        }
        Transition { to, rule, generation: self.generation }
    }
}

/// A number from 0 to 100 that differs from trip to trip: scattered, not secret.
const fn jitter(generation: u32, now: Timestamp) -> u64 {
    let mixed = (now.as_millis() ^ ((generation as u64) << 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 32) % 101
}

#[cfg(test)]
mod tests;
