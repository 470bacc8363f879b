//! The breaker of one gateway, fed by real traffic alone.
//!
//! ```text
//!            a rule trips                       the wait is over, a permit is taken
//!   Closed ----------------> Open(until) --------------------------------> HalfOpen
//!      ^                       ^                                              |
//!      |                       +------------- a trial fails ------------------+
//!      +------------------------------------- all trials pass ----------------+
//! ```
//!
//! Closed means that traffic flows. Rules count at `>=`: five consecutive failures trip a limit of
//! five, and a rate of exactly the limit trips. Every transition raises the generation, and a
//! result that began under an older one moves nothing. A wait doubles with each trip and is
//! forgotten step by step while the gateway stays well.

use super::bytes::Reader;
use super::evidence::Signal;
use super::limits::RUN_ALONE_MAX;
use super::sources::{Source, Sources};
use super::tally::Batch;
use super::time::{Millis, Timestamp};
use super::window::{Tally, Window};

mod limits;
mod mend;
mod report;
mod rule;

pub use limits::Limits;
pub use report::Report;
pub use rule::Rule;

/// Whether traffic flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
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
        /// When the last permit was taken.
        since: Timestamp,
    },
}

impl State {
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
    pub to: State,
    /// Why.
    pub rule: Rule,
    /// The generation that begins.
    pub generation: u32,
}

/// The breaker of one gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    state: State,
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
    sources: Sources,
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
            state: State::Closed { run: 0 },
            generation: 0,
            trips: 0,
            asks_first: false,
            since: Timestamp::default(),
            cause: None,
            window: Window::default(),
            run_began: Timestamp::default(),
            sources: Sources::default(),
            questions: Questions::default(),
        }
    }
}

impl Breaker {
    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> State {
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
    pub fn seen(&self, now: Timestamp, limits: &Limits) -> Tally {
        let questions = self.questions.window.total(now, limits.window);
        self.window.total(now, limits.window).plus(questions)
    }

    /// Whether traffic flows.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Whether a success has a run of its own kind to end: then it must be written at once.
    #[must_use]
    pub const fn has_run(&self, pays: bool) -> bool {
        if pays { matches!(self.state, State::Closed { run: 1.. }) } else { self.questions.run > 0 }
    }

    /// Whether traffic flows, and payments went well within the window.
    #[must_use]
    pub fn is_proven(&self, now: Timestamp, limits: &Limits) -> bool {
        let seen = self.window.total(now, limits.window);
        self.is_closed() && seen.calls > seen.failures
    }

    /// Whether traffic flows, and within the window has gone well and not failed.
    #[must_use]
    pub fn goes_well(&self, now: Timestamp, limits: &Limits) -> bool {
        let seen = self.seen(now, limits);
        self.is_closed() && seen.calls > 0 && seen.failures == 0
    }

    /// Whether a trial may be made now.
    #[must_use]
    pub fn may_try(&self, now: Timestamp, limits: &Limits) -> bool {
        match self.state {
            State::Closed { .. } => false,
            State::Open { until } => now >= until || until.since(now) > limits.longest_wait(),
            State::HalfOpen { out, passed, since } => {
                out.saturating_add(passed) < limits.half_open_permits
                    || now >= since.plus(limits.half_open_max)
                    || since.since(now) > limits.half_open_max
            }
        }
    }

    /// Whether a trial should be a question rather than a payment: for half of the first wait after
    /// a trial became possible. If one came, until it was passed, or for as long again.
    #[must_use]
    pub fn prefers_question(&self, now: Timestamp, limits: &Limits) -> bool {
        let grace = Millis::new(limits.open.get() / 2);
        match self.state {
            State::Closed { .. } => false,
            State::Open { until } => {
                now < until.plus(grace) && until.since(now) <= limits.longest_wait()
            }
            State::HalfOpen { passed, .. } => {
                let waited = now >= self.since.plus(grace) || self.since.since(now) > grace;
                self.asks_first && passed == 0 && !waited
            }
        }
    }

    /// Whether only a payment can still pass: a question on trial would but hold its permit.
    #[must_use]
    pub const fn wants_payment(&self, limits: &Limits) -> bool {
        match self.state {
            State::HalfOpen { passed, .. } => passed.saturating_add(1) >= limits.half_open_permits,
            State::Closed { .. } | State::Open { .. } => false,
        }
    }

    /// Takes a permit for a trial; the move to half-open is told if this was the first one.
    /// The caller has asked [`Breaker::may_try`].
    pub fn take_permit(&mut self, now: Timestamp, limits: &Limits) -> Option<Transition> {
        let prefers_question = self.prefers_question(now, limits);
        match &mut self.state {
            State::Closed { .. } => None,
            State::Open { .. } => {
                // Nobody else was let on trial.
                self.asks_first = prefers_question;
                let to = State::HalfOpen { out: 1, passed: 0, since: now };
                Some(self.enter(to, Rule::WaitOver, now))
            }
            State::HalfOpen { out, passed, since } => {
                if out.saturating_add(*passed) >= limits.half_open_permits {
                    // Nobody brought the permits back in time: their trials were lost.
                    *out = 0;
                }
                *out = out.saturating_add(1);
                *since = now;
                None
            }
        }
    }

    /// Gives back a permit whose trial was never made.
    pub const fn return_permit(&mut self, generation: u32) {
        if let State::HalfOpen { out, .. } = &mut self.state
            && self.generation == generation
        {
            *out = out.saturating_sub(1);
        }
    }

    /// Takes in the result of a call.
    pub fn record(
        &mut self,
        report: Report,
        now: Timestamp,
        limits: &Limits,
    ) -> Option<Transition> {
        if report.generation != self.generation {
            return None;
        }
        match self.state {
            State::Closed { .. } if !report.source.pays() => self.hear(report, now, limits),
            State::Closed { run } => self.record_closed(report, run, now, limits),
            // Traffic that had to go there all the same (a pinned status): the wait decides.
            State::Open { .. } => None,
            State::HalfOpen { out, passed, since } => {
                let returned = u8::from(report.trial);
                let out = out.saturating_sub(returned);
                match report.signal {
                    Signal::Failure => Some(self.trip(Rule::TrialFailed, now, limits)),
                    Signal::Success if report.trial && report.slow => {
                        Some(self.trip(Rule::TrialFailed, now, limits))
                    }
                    Signal::Success | Signal::Alive if report.trial => {
                        // The last one is a payment's: answers to questions alone prove too little.
                        let counts = report.source.pays() || !self.wants_payment(limits);
                        self.asks_first &= counts;
                        let passed = passed.saturating_add(u8::from(counts));
                        if passed >= limits.half_open_permits {
                            let to = State::Closed { run: 0 };
                            return Some(self.enter(to, Rule::TrialsPassed { passed }, now));
                        }
                        self.state = State::HalfOpen { out, passed, since };
                        None
                    }
                    Signal::Success | Signal::Alive | Signal::Throttled | Signal::Neutral => {
                        self.state = State::HalfOpen { out, passed, since };
                        None
                    }
                }
            }
        }
    }

    /// Takes in successes that a worker counted for itself since it last did.
    pub fn merge(&mut self, batch: &Batch, now: Timestamp, limits: &Limits) -> Option<Transition> {
        if !self.is_closed() {
            return None;
        }
        if batch.pays {
            self.window.add(batch.tally, now, limits.window);
            self.sources.well(batch.seen, now, limits.window);
        } else {
            self.questions.window.add(batch.tally, now, limits.window);
        }
        self.check_rates(now, limits)
    }

    /// Takes in how many requests are with the gateway.
    pub fn crowd(&mut self, in_flight: u32, now: Timestamp, limits: &Limits) -> Option<Transition> {
        let trips = self.is_closed() && in_flight >= limits.in_flight_max;
        trips.then(|| self.trip(Rule::InFlight { requests: in_flight }, now, limits))
    }

    /// The result of a question.
    fn hear(&mut self, report: Report, now: Timestamp, limits: &Limits) -> Option<Transition> {
        let tally = report.tally();
        if !tally.is_empty() {
            self.questions.window.add(tally, now, limits.window);
        }
        let run = &mut self.questions.run;
        *run = match report.signal {
            Signal::Failure => run.saturating_add(1),
            Signal::Throttled | Signal::Neutral => *run,
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
        limits: &Limits,
    ) -> Option<Transition> {
        let run = match report.signal {
            Signal::Neutral => return None,
            Signal::Failure => run.saturating_add(1),
            Signal::Throttled => run,
            Signal::Success | Signal::Alive => 0,
        };
        if run == 1 {
            self.run_began = now;
        }
        self.state = State::Closed { run };
        let tally = report.tally();
        if !tally.is_empty() {
            self.window.add(tally, now, limits.window);
        }
        if tally.failures > 0 || tally.slow > 0 {
            self.sources.trouble(report.source, now, limits.window);
        } else {
            self.sources.well(report.source.seen(), now, limits.window);
        }
        if report.signal == Signal::Failure
            && self.counted_run(run, now, limits) >= limits.consecutive_failures.into()
        {
            return Some(self.trip(Rule::ConsecutiveFailures { run }, now, limits));
        }
        if tally.is_empty() {
            return None;
        }
        self.check_rates(now, limits)
    }

    /// How much of a run counts. After a while all of it does: if others went well still, one of
    /// them would have ended it.
    fn counted_run(&self, run: u16, now: Timestamp, limits: &Limits) -> u32 {
        let lasts = now.since(self.run_began);
        if lasts >= RUN_ALONE_MAX || now < self.run_began {
            return run.into();
        }
        let pct = limits.partner_failures_pct;
        self.sources.counted_in_run(run.into(), now, limits.window, pct)
    }

    /// Whether payments of other partners than this one's go well.
    #[must_use]
    pub fn others_pay(&self, source: Source, now: Timestamp, limits: &Limits) -> bool {
        self.sources.others_pay(source, now, limits.window)
    }

    fn check_rates(&mut self, now: Timestamp, limits: &Limits) -> Option<Transition> {
        let seen = self.window.total(now, limits.window);
        let pct = limits.partner_failures_pct;
        let cap = |trouble| self.sources.counted_in_rate(trouble, now, limits.window, pct);
        let mut rule = limits.exceeded(seen, cap(seen.failures), cap(seen.slow));
        if rule.is_none() && !self.is_proven(now, limits) {
            let asked = self.questions.window.total(now, limits.window);
            rule = limits.exceeded(asked, asked.failures, asked.slow);
        }
        rule.map(|rule| self.trip(rule, now, limits))
    }

    fn trip(&mut self, rule: Rule, now: Timestamp, limits: &Limits) -> Transition {
        if self.is_closed() {
            // One trip is forgotten for each longest wait that went well.
            let forgotten = now.since(self.since).get() / limits.open_max.get().max(1);
            self.trips = self.trips.saturating_sub(u8::try_from(forgotten).unwrap_or(u8::MAX));
        }
        self.trips = self.trips.saturating_add(1);
        let wait = limits.wait(self.trips, jitter(self.generation, now));
        self.enter(State::Open { until: now.plus(wait) }, rule, now)
    }

    fn enter(&mut self, to: State, rule: Rule, now: Timestamp) -> Transition {
        self.state = to;
        self.generation = self.generation.wrapping_add(1);
        self.since = now;
        self.cause = Some(rule);
        self.window = Window::default();
        self.sources = Sources::default();
        self.questions = Questions::default();
        Transition { to, rule, generation: self.generation }
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        let (tag, a, b, at) = match self.state {
            State::Closed { run } => (0, run, 0, Timestamp::default()),
            State::Open { until } => (1, 0, 0, until),
            State::HalfOpen { out, passed, since } => (2, u16::from(out), passed, since),
        };
        bytes.push(tag);
        bytes.extend(a.to_le_bytes());
        bytes.push(b);
        bytes.extend(at.as_millis().to_le_bytes());
        bytes.extend(self.generation.to_le_bytes());
        bytes.extend([self.trips, u8::from(self.asks_first)]);
        bytes.extend(self.since.as_millis().to_le_bytes());
        Rule::encode(self.cause, bytes);
        self.window.encode(bytes);
        bytes.extend(self.run_began.as_millis().to_le_bytes());
        self.sources.encode(bytes);
        self.questions.window.encode(bytes);
        bytes.extend(self.questions.run.to_le_bytes());
    }

    pub(super) fn decode(bytes: &mut Reader<'_>) -> Option<Self> {
        let (tag, a, b, at) = (bytes.byte()?, bytes.short()?, bytes.byte()?, bytes.time()?);
        let state = match tag {
            0 => State::Closed { run: a },
            1 => State::Open { until: at },
            2 => State::HalfOpen { out: u8::try_from(a).ok()?, passed: b, since: at },
            _ => return None,
        };
        Some(Self {
            state,
            generation: bytes.word()?,
            trips: bytes.byte()?,
            asks_first: bytes.byte()? != 0,
            since: bytes.time()?,
            cause: Rule::decode(bytes)?,
            window: Window::decode(bytes)?,
            run_began: bytes.time()?,
            sources: Sources::decode(bytes)?,
            questions: Questions { window: Window::decode(bytes)?, run: bytes.short()? },
        })
    }
}

/// A number from 0 to 100 that differs from trip to trip: scattered, not secret.
const fn jitter(generation: u32, now: Timestamp) -> u64 {
    let mixed = (now.as_millis() ^ ((generation as u64) << 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 32) % 101
}

#[cfg(test)]
mod tests;
