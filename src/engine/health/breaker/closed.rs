//! What results decide while traffic flows: runs of failures, rates of failures and of slow answers,
//! payments without an answer.
//!
//! Inquiries are counted separately. While payments fail, good answers to inquiries keep no breaker
//! closed. While payments go well, bad answers to inquiries open none.

use super::Breaker;
use super::limits::BreakerLimits;
use super::report::{Report, Signal};
use super::rule::Rule;
use super::state::{BreakerState, Transition};
use crate::engine::health::heartbeat::Heartbeat;
use crate::engine::health::window::Window;
use crate::engine::limits::RUN_ALONE_MS_MAX;
use crate::engine::time::Timestamp;

impl Breaker {
    /// Takes in the result of an inquiry.
    pub(super) fn record_inquiry(
        &mut self,
        report: Report,
        now: Timestamp,
        limits: &BreakerLimits,
    ) -> Option<Transition> {
        let tally = report.tally();
        if !tally.is_empty() {
            self.inquiries.window.add(tally, now, limits.window);
        }
        let run = &mut self.inquiries.run;
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

    /// Takes in the result of a payment.
    pub(super) fn record_closed(
        &mut self,
        report: Report,
        run: u16,
        now: Timestamp,
        limits: &BreakerLimits,
    ) -> Option<Transition> {
        self.silence.record(report.heard, now, limits);
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
        if let Some(requests) = self.unheard_run(now, limits) {
            return Some(self.trip(Rule::Unheard { requests }, now, limits));
        }
        if tally.is_empty() {
            return None;
        }
        self.check_rates(now, limits)
    }

    /// Counts a failure or a success for the partner and the operation that it came from.
    pub(super) fn note_source(&mut self, report: Report, now: Timestamp, limits: &BreakerLimits) {
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

    /// How many failures of a run count. The part of one partner is capped while payments of other
    /// partners are known to go well. The part of one operation is capped only at first: if payments
    /// of another operation still went well, they would have ended the run.
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

    /// Trips by payments and heartbeats together. While heartbeats are bad, no partner's payments are
    /// known to go well, so a run is not capped. And a gateway that answers nothing is left,
    /// however early its clients give up.
    pub fn check_heartbeat(
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
        let requests = self.silence.with_heartbeat(heartbeat, now, limits)?;
        Some(self.trip(Rule::Unheard { requests }, now, limits))
    }

    /// How many payments in a row had no answer, if they are too many.
    fn unheard_run(&self, now: Timestamp, limits: &BreakerLimits) -> Option<u16> {
        let requests = self.silence.patient();
        let pct = limits.partner_failures_pct;
        let counted = self.fair_share.counted(requests.into(), now, limits.window, pct);
        (counted >= limits.consecutive_failures.into()).then_some(requests)
    }

    pub(super) fn check_rates(
        &mut self,
        now: Timestamp,
        limits: &BreakerLimits,
    ) -> Option<Transition> {
        let is_settled = |window: &Window| window.age(now, limits.window) >= limits.rate_age_min;
        let seen = self.window.total(now, limits.window);
        let pct = limits.partner_failures_pct;
        let cap = |failure| self.fair_share.counted(failure, now, limits.window, pct);
        let mut rule = Rule::for_rates(seen, cap(seen.failures), cap(seen.slow), limits)
            .filter(|_| is_settled(&self.window));
        if rule.is_none() && !self.is_proven(now, limits) {
            let inquiries = self.inquiries.window.total(now, limits.window);
            rule = Rule::for_rates(inquiries, inquiries.failures, inquiries.slow, limits)
                .filter(|_| is_settled(&self.inquiries.window));
        }
        rule.map(|rule| self.trip(rule, now, limits))
    }
}
