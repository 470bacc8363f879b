//! Recorded outcomes through the engine's door: the same calls in the same order that the filter
//! makes, with the file's times. No rule is written down here a second time.

use std::collections::VecDeque;

use crate::engine::GatewayId;
use crate::engine::Policy;
use crate::engine::Tick;
use crate::engine::{
    BreakerState, Cause, Health, HealthEvent, Heard, NewRequest, Report, RequestKind, Signal,
};
use crate::engine::{Millis, Timestamp};

use super::line::{LATENCY_MS_MAX, OUTCOMES, Outcome};
use super::timeline::{ACTIVE, CLOSED, HALF_OPEN, OPEN, SILENT, Seen, Timeline};

/// Decisions that are told one by one; further ones are only counted.
pub(super) const DECISIONS_MAX: usize = 100_000;

/// Something that the engine decided.
pub(super) struct Decision {
    pub(super) at: Timestamp,
    /// The line that brought it about; none where time alone did.
    pub(super) line: Option<u64>,
    pub(super) change: HealthEvent,
}

/// What is counted of one gateway.
#[derive(Clone, Default)]
pub(super) struct Totals {
    /// In the order of [`OUTCOMES`].
    pub(super) outcomes: [u64; OUTCOMES.len()],
    pub(super) slow: u64,
    pub(super) trips: u64,
    pub(super) active_ms: u64,
    pub(super) closed_ms: u64,
    pub(super) open_ms: u64,
    pub(super) half_open_ms: u64,
    pub(super) silent_ms: u64,
}

/// What is counted of new payments.
#[derive(Default)]
pub(super) struct Payments {
    pub(super) all: u64,
    /// Would have gone to another gateway first.
    pub(super) moved: u64,
    /// Of these, those that failed where they went.
    pub(super) moved_failures: u64,
    /// Would have been refused: no gateway could have taken them.
    pub(super) refused: u64,
    /// Would have been the trial that they turned out to be.
    pub(super) trials: u64,
}

/// The engine at work on a file.
pub(super) struct Course<'p> {
    pub(super) policy: &'p Policy,
    health: Health,
    pub(super) from: Timestamp,
    pub(super) now: Timestamp,
    period: Millis,
    tick_at: Timestamp,
    /// Gateways whose heartbeats the file does not tell: taken to be good.
    assumed: Vec<GatewayId>,
    /// Since when which gateway was the first choice, as far back as a call can have begun.
    choices: VecDeque<(Timestamp, Option<GatewayId>)>,
    seen: Vec<Seen>,
    seen_since: Timestamp,
    pub(super) timeline: Timeline,
    pub(super) decisions: Vec<Decision>,
    pub(super) decided: u64,
    pub(super) failovers: u64,
    pub(super) failbacks: u64,
    pub(super) totals: Vec<Totals>,
    pub(super) payments: Payments,
    line: Option<u64>,
}

impl<'p> Course<'p> {
    /// Begins at `from`. Unless the file must tell all heartbeats, every gateway has been up.
    pub(super) fn new(policy: &'p Policy, from: Timestamp, assume: bool) -> Self {
        let gateways = policy.gateways.len();
        let mut course = Self {
            policy,
            health: Health::default(),
            from,
            now: from,
            period: Tick::new(policy.clone().into(), 0).period(),
            tick_at: from,
            assumed: if assume { policy.order().collect() } else { Vec::new() },
            choices: VecDeque::new(),
            seen: vec![0; gateways],
            seen_since: from,
            timeline: Timeline::new(from, gateways),
            decisions: Vec::new(),
            decided: 0,
            failovers: 0,
            failbacks: 0,
            totals: vec![Totals::default(); gateways],
            payments: Payments::default(),
            line: None,
        };
        for gateway in course.assumed.clone() {
            for _ in 0..policy.health.heartbeat.rise {
                // The filter has been running: that a gateway is up is no news.
                let _ = course.health.on_probe(gateway, true, &policy.health, from);
            }
        }
        course.look();
        course
    }

    /// Lets time pass until `to`: workers tick, heartbeats that are taken to be good are.
    pub(super) fn advance(&mut self, to: Timestamp) {
        self.line = None;
        while self.tick_at <= to {
            self.now = self.now.max(self.tick_at);
            self.tick();
            self.tick_at = self.tick_at.plus(self.period);
        }
        self.now = self.now.max(to);
    }

    fn tick(&mut self) {
        let limits = &self.policy.health.heartbeat;
        for at in 0..self.assumed.len() {
            let Some(gateway) = self.assumed.get(at).copied() else { continue };
            let heartbeat = &mut self.health.member_mut(gateway).heartbeat;
            if heartbeat.is_due(self.now, limits) {
                heartbeat.sent(self.now, limits);
                let changes = self.health.on_probe(gateway, true, &self.policy.health, self.now);
                self.note(changes);
            }
        }
        self.steer();
    }

    /// A heartbeat ended, on line `line`.
    pub(super) fn beaten(&mut self, gateway: GatewayId, good: bool, line: u64) {
        self.line = Some(line);
        self.assumed.retain(|assumed| *assumed != gateway);
        let changes = self.health.on_probe(gateway, good, &self.policy.health, self.now);
        self.note(changes);
        self.steer();
    }

    /// A call ended, on line `line`.
    pub(super) fn ended(&mut self, outcome: &Outcome, line: u64) {
        self.line = Some(line);
        let began =
            Timestamp::from_millis(self.now.as_millis().saturating_sub(outcome.latency.get()));
        let first = outcome.passed_over.first().copied().unwrap_or(outcome.gateway);
        let trial = self.takes_permit(first, began);
        if !outcome.pinned {
            self.count(first, outcome.signal, trial, began);
        }
        for gateway in &outcome.passed_over {
            let trial = trial && *gateway == first;
            let heard = Heard::Unsent;
            let report = Report { signal: Signal::Failure, trial, heard, ..Report::default() };
            self.report(*gateway, report, began);
        }
        let slow =
            outcome.latency >= self.policy.health.breaker.slow && outcome.signal == Signal::Success;
        let trial = trial && outcome.gateway == first;
        let Outcome { signal, heard, .. } = *outcome;
        let report = Report { signal, slow, trial, heard, ..Report::default() };
        self.report(outcome.gateway, report, began);
        self.steer();
    }

    fn steer(&mut self) {
        let change = self.health.update_active(&self.policy.health, self.now);
        self.note(change);
        self.look();
    }

    /// A call that went where the engine would have made a trial is that trial.
    fn takes_permit(&mut self, gateway: GatewayId, began: Timestamp) -> bool {
        let closed_or_later = |health: &Health| {
            health
                .member(gateway)
                .is_none_or(|member| member.breaker.is_closed() || began < member.breaker.since())
        };
        if closed_or_later(&self.health) {
            return false;
        }
        let selection = self.health.select(
            &self.policy.health,
            &NewRequest::of_nobody(RequestKind::Payment),
            began,
        );
        if !selection.trial || selection.order.first() != Some(&gateway) {
            return false;
        }
        let change = self.health.take_permit(gateway, &self.policy.health, self.now);
        self.note(change);
        true
    }

    fn report(&mut self, gateway: GatewayId, report: Report, began: Timestamp) {
        if let Some(totals) = self.place(gateway).and_then(|at| self.totals.get_mut(at)) {
            let kind = OUTCOMES.iter().position(|(_, one)| *one == report.signal);
            if let Some(count) = kind.and_then(|kind| totals.outcomes.get_mut(kind)) {
                *count += 1;
            }
            totals.slow += u64::from(report.slow);
        }
        let member = self.health.member_mut(gateway);
        let current = member.breaker.generation();
        // What began before the breaker last moved began under an older generation.
        let is_current = report.trial || began >= member.breaker.since();
        let generation = if is_current { current } else { current.wrapping_sub(1) };
        let report = Report { generation, ..report };
        let changes = self.health.record(gateway, report, &self.policy.health, self.now);
        self.note(changes);
    }

    fn count(&mut self, gateway: GatewayId, signal: Signal, trial: bool, began: Timestamp) {
        let payments = &mut self.payments;
        payments.all += 1;
        let chosen = self.choices.iter().rev().find(|(since, _)| *since <= began);
        let chosen = chosen.or_else(|| self.choices.front()).and_then(|(_, chosen)| *chosen);
        match chosen {
            _ if trial => payments.trials += 1,
            None => payments.refused += 1,
            Some(chosen) if chosen != gateway => {
                payments.moved += 1;
                payments.moved_failures += u64::from(signal == Signal::Failure);
            }
            Some(_) => {}
        }
    }

    fn note(&mut self, changes: impl IntoIterator<Item = HealthEvent>) {
        for change in changes {
            match change {
                HealthEvent::Breaker(gateway, moved)
                    if matches!(moved.to, BreakerState::Open { .. }) =>
                {
                    if let Some(at) = self.place(gateway)
                        && let Some(totals) = self.totals.get_mut(at)
                    {
                        totals.trips += 1;
                    }
                }
                HealthEvent::Switch { cause: Cause::Failback, .. } => self.failbacks += 1,
                HealthEvent::Switch { cause: Cause::Failover | Cause::Override, .. } => {
                    self.failovers += 1
                }
                HealthEvent::Breaker(..)
                | HealthEvent::Heartbeat(..)
                | HealthEvent::Disagree(..)
                | HealthEvent::Ramp(..)
                | HealthEvent::Override(..)
                | HealthEvent::Barred(..)
                | HealthEvent::Refusing(_) => {}
            }
            self.decided += 1;
            if self.decisions.len() < DECISIONS_MAX {
                self.decisions.push(Decision { at: self.now, line: self.line, change });
            }
        }
    }

    /// Looks at where everything stands, and notes how long it stood as it did before.
    fn look(&mut self) {
        let active = self.health.active(&self.policy.health, self.now);
        if self.choices.back().is_none_or(|(_, last)| *last != active) {
            self.choices.push_back((self.now, active));
            let old = |at: Timestamp| self.now.since(at).get() > LATENCY_MS_MAX;
            while self.choices.get(1).is_some_and(|(since, _)| old(*since)) {
                self.choices.pop_front();
            }
        }
        let changed = (0..self.seen.len()).any(|at| {
            let now = self.policy.gateways.get(at).map(|one| self.seen_of(one.id, active));
            now != self.seen.get(at).copied()
        });
        if changed {
            self.settle();
            let gateways = self.policy.gateways.iter();
            self.seen = gateways.map(|one| self.seen_of(one.id, active)).collect();
        }
    }

    fn seen_of(&self, gateway: GatewayId, active: Option<GatewayId>) -> Seen {
        let Some(member) = self.health.member(gateway) else {
            return CLOSED | SILENT | if active == Some(gateway) { ACTIVE } else { 0 };
        };
        let breaker = match member.breaker.state() {
            BreakerState::Closed { .. } => CLOSED,
            BreakerState::Open { .. } => OPEN,
            BreakerState::HalfOpen { .. } => HALF_OPEN,
        };
        let is_heard = member.heartbeat.is_target(self.now, &self.policy.health.heartbeat);
        breaker
            | if active == Some(gateway) { ACTIVE } else { 0 }
            | if is_heard { 0 } else { SILENT }
    }

    /// Counts the time since the last look that saw something new.
    pub(super) fn settle(&mut self) {
        self.timeline.mark(&self.seen, self.seen_since, self.now);
        let passed = self.now.since(self.seen_since).get();
        for (totals, seen) in self.totals.iter_mut().zip(&self.seen) {
            for (bit, sum) in [
                (ACTIVE, &mut totals.active_ms),
                (CLOSED, &mut totals.closed_ms),
                (OPEN, &mut totals.open_ms),
                (HALF_OPEN, &mut totals.half_open_ms),
                (SILENT, &mut totals.silent_ms),
            ] {
                *sum += if seen & bit == 0 { 0 } else { passed };
            }
        }
        self.seen_since = self.now;
    }

    fn place(&self, gateway: GatewayId) -> Option<usize> {
        self.policy.gateways.iter().position(|one| one.id == gateway)
    }

    /// The name of a gateway.
    pub(super) fn name(&self, gateway: GatewayId) -> &str {
        self.policy.gateway(gateway).map_or("?", |gateway| gateway.name.as_str())
    }
}
