//! Trials: which request may be one, and what their results decide.
//!
//! A trial that proves nothing (its client left, Envoy was at its limit) keeps its permit until
//! `half_open_ms_max` is over. So the number of trials per time is bounded. The breaker opens again
//! when the failed trials reach the failure rate's share of the permits.

use super::Breaker;
use super::limits::BreakerLimits;
use super::report::{Report, Signal};
use super::rule::Rule;
use super::state::{BreakerState, Transition};
use crate::engine::health::fair_share::Source;
use crate::engine::time::{Millis, Timestamp};

impl Breaker {
    /// Whether a trial may be made now.
    #[must_use]
    pub fn may_try(&self, now: Timestamp, limits: &BreakerLimits) -> bool {
        match self.state {
            BreakerState::Closed { .. } => false,
            BreakerState::Open { until } => {
                now >= until || until.since(now) > limits.longest_wait()
            }
            BreakerState::HalfOpen { out, passed, since, .. } => {
                out.saturating_add(passed) < limits.half_open_permits || is_lost(since, now, limits)
            }
        }
    }

    /// Whether a payment that an operator forces to the gateway may be a trial. It may once the first
    /// wait is over, however long the breaker's own wait is.
    #[must_use]
    pub fn may_try_forced(&self, now: Timestamp, limits: &BreakerLimits) -> bool {
        let is_over = || now >= self.since.plus(limits.open) || self.since > now;
        self.may_try(now, limits) || (matches!(self.state, BreakerState::Open { .. }) && is_over())
    }

    /// Whether a trial should be an inquiry rather than a payment. It should for half of the first wait
    /// after a trial became possible. If an inquiry came, payments wait until it passes, or for as
    /// long again.
    #[must_use]
    pub fn prefers_inquiry(&self, now: Timestamp, limits: &BreakerLimits) -> bool {
        let grace = Millis::new(limits.open.get() / 2);
        match self.state {
            BreakerState::Closed { .. } => false,
            BreakerState::Open { until } => {
                now < until.plus(grace) && until.since(now) <= limits.longest_wait()
            }
            BreakerState::HalfOpen { passed, .. } => {
                let waited = now >= self.since.plus(grace) || self.since.since(now) > grace;
                self.inquiry_first && passed == 0 && !waited
            }
        }
    }

    /// Whether only a payment can pass the last trial. An inquiry would only occupy the permit.
    #[must_use]
    pub const fn wants_payment(&self, limits: &BreakerLimits) -> bool {
        match self.state {
            BreakerState::HalfOpen { passed, .. } => {
                passed.saturating_add(1) >= limits.half_open_permits
            }
            BreakerState::Closed { .. } | BreakerState::Open { .. } => false,
        }
    }

    /// Takes a permit for a trial. The first one moves the breaker to half-open.
    /// The caller has checked [`Breaker::may_try`].
    pub fn take_permit(&mut self, now: Timestamp, limits: &BreakerLimits) -> Option<Transition> {
        self.take(Rule::WaitOver, now, limits)
    }

    /// The same for a payment that an operator forces to the gateway. The caller has checked
    /// [`Breaker::may_try_forced`].
    pub fn take_forced_permit(
        &mut self,
        now: Timestamp,
        limits: &BreakerLimits,
    ) -> Option<Transition> {
        self.take(Rule::Forced, now, limits)
    }

    fn take(&mut self, rule: Rule, now: Timestamp, limits: &BreakerLimits) -> Option<Transition> {
        let prefers_inquiry = self.prefers_inquiry(now, limits);
        match &mut self.state {
            BreakerState::Closed { .. } => None,
            BreakerState::Open { .. } => {
                self.inquiry_first = prefers_inquiry;
                let to = BreakerState::HalfOpen { out: 1, passed: 0, failed: 0, since: now };
                Some(self.enter(to, rule, now))
            }
            BreakerState::HalfOpen { out, passed, since, .. } => {
                if out.saturating_add(*passed) >= limits.half_open_permits {
                    // The permits were not given back in time: their trials were lost.
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
        if let BreakerState::HalfOpen { out, .. } = &mut self.state
            && self.generation == generation
        {
            *out = out.saturating_sub(1);
        }
    }

    /// Whether the trial should be left to another partner that has sent a payment lately, because
    /// this partner's failures opened the breaker or its trial failed last. If there is no other
    /// partner, or none of them came for a window, this one may make it.
    #[must_use]
    pub fn yields(
        &self,
        source: Source,
        asked: u32,
        now: Timestamp,
        limits: &BreakerLimits,
    ) -> bool {
        let own = source.bit();
        let is_over = match self.state {
            BreakerState::Closed { .. } => true,
            BreakerState::Open { until } => {
                now >= until.plus(limits.window) || until.since(now) > limits.longest_wait()
            }
            // A permit that is given back by time alone is left to others again.
            BreakerState::HalfOpen { since, .. } => {
                now >= since.plus(limits.half_open_max).plus(limits.window)
                    || since.since(now) > limits.half_open_max
            }
        };
        let others = if self.failed_last & own != 0 {
            asked & !own
        } else if self.suspects & own != 0 {
            asked & !self.suspects
        } else {
            0
        };
        others != 0 && !is_over
    }

    pub(super) fn record_half_open(
        &mut self,
        report: Report,
        now: Timestamp,
        limits: &BreakerLimits,
    ) -> Option<Transition> {
        let BreakerState::HalfOpen { out, passed, failed, since } = self.state else {
            return None;
        };
        let unheard = report.signal == Signal::Abandoned && report.heard.lasted(limits.unheard);
        let slow = report.trial && report.slow && report.signal == Signal::Success;
        let suspected = self.fair_share.is_suspected(report.source, now, limits.window);
        if report.source.pays() {
            self.note_source(report, now, limits);
        }
        let out = out.saturating_sub(u8::from(report.trial));
        match report.signal {
            Signal::Failure => self.fail_trial(report, suspected, now, limits),
            Signal::Success | Signal::Abandoned if slow || (unheard && report.trial) => {
                self.fail_trial(report, suspected, now, limits)
            }
            Signal::Throttled if report.trial => {
                let wait = report.retry_after.unwrap_or(Millis::ZERO);
                self.suspects |= report.source.bit();
                self.failed_last = report.source.bit();
                Some(self.open(Rule::TrialThrottled, wait, now, limits))
            }
            Signal::Success | Signal::Alive if report.trial => {
                // The last one must be a payment: answers to inquiries alone prove too little.
                let counts = report.source.pays() || !self.wants_payment(limits);
                self.inquiry_first &= counts;
                let passed = passed.saturating_add(u8::from(counts));
                if passed >= limits.half_open_permits {
                    let to = BreakerState::Closed { run: 0 };
                    return Some(self.enter(to, Rule::TrialsPassed { passed }, now));
                }
                self.state = BreakerState::HalfOpen { out, passed, failed, since };
                None
            }
            // Nothing is proven, so the permit is not given back.
            Signal::Success
            | Signal::Alive
            | Signal::Throttled
            | Signal::Abandoned
            | Signal::Neutral => None,
        }
    }

    /// Takes in a failure, of a trial or not. While payments of others go well, the failure of a
    /// partner that fails everywhere makes no wait longer.
    fn fail_trial(
        &mut self,
        report: Report,
        suspected: bool,
        now: Timestamp,
        limits: &BreakerLimits,
    ) -> Option<Transition> {
        let BreakerState::HalfOpen { out, passed, failed, since } = self.state else {
            return None;
        };
        self.suspects |= report.source.bit();
        self.failed_last = report.source.bit();
        let failed = failed.saturating_add(1);
        if !limits.ends_trials(failed) {
            let out = out.saturating_sub(u8::from(report.trial));
            self.state = BreakerState::HalfOpen { out, passed, failed, since };
            return None;
        }
        // A forced trial, which came before its time, makes none longer either.
        if suspected || self.cause == Some(Rule::Forced) {
            return Some(self.open(Rule::TrialFailed, Millis::ZERO, now, limits));
        }
        Some(self.trip(Rule::TrialFailed, now, limits))
    }
}

/// Whether the permits are lost: none was taken for as long as a trial can last.
fn is_lost(since: Timestamp, now: Timestamp, limits: &BreakerLimits) -> bool {
    now >= since.plus(limits.half_open_max) || since.since(now) > limits.half_open_max
}
