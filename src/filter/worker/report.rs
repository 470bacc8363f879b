//! What operators are told: the access log, Envoy's log and metrics. Nothing is decided here.

use super::Worker;
use crate::engine::config::Policy;
use crate::engine::event::{Decision, Event};
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::health::{BreakerState, Cause, Health, HealthEvent, OverrideKind, Why};
use crate::engine::limits;
use crate::engine::metrics::implied::{self, Implied};
use crate::engine::metrics::{self, Family};
use crate::engine::payment::Anomaly;
use crate::engine::store::{Cell, MAKES_ROOM};
use crate::engine::time::{Millis, Timestamp};
use crate::filter::host::Host;

impl<H: Host> Worker<H> {
    /// Puts a request's line into the access log and counts it.
    pub(in crate::filter) fn note(&self, note: &Decision) {
        // Neither is worth failing a payment for.
        let _ = self.host.set_property("dana_decision", &note.to_string());
        self.count(&metrics::REQUESTS, &note.labels());
    }

    /// Shows how every gateway is, and every metric that the configuration implies, before anything
    /// changes.
    pub(in crate::filter) fn show(&self) {
        for Implied { family, values } in implied::all(&self.policy) {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            self.metric(family, &values);
        }
        self.show_gateways();
    }

    fn show_gateways(&self) {
        let Event::Loaded(_, loaded) = self.load(Cell::Health) else {
            return;
        };
        let health = Health::read(&loaded.bytes).unwrap_or_else(|| {
            log::warn!(
                "dana: what is known of the gateways was written by another version of the \
                 filter, and begins anew: breakers, heartbeats, and overrides, which must be asked \
                 for again"
            );
            Health::default()
        });
        let now = self.host.now().unwrap_or_default();
        for gateway in &self.policy.gateways {
            let member = health.member(gateway.id).cloned().unwrap_or_default();
            let number = number(member.breaker.state());
            let up = u64::from(member.heartbeat.is_up());
            let steer = health.overrides(now).find(|one| one.gateway == gateway.id);
            for (family, value) in [
                (&metrics::BREAKER_STATE, number),
                (&metrics::RAMP, u64::from(share_of(&health, gateway.id, &self.policy, now))),
                (&metrics::HEARTBEAT_UP, up),
                (&metrics::IN_FLIGHT, 0),
                (&metrics::BARRED, u64::from(member.barred.is_some())),
                (&metrics::OVERRIDE, steer.map_or(0, |one| one.kind as u64)),
            ] {
                self.set(family, &[&gateway.name], value);
            }
        }
    }

    /// Shows how many requests are with a gateway.
    pub(in crate::filter) fn show_in_flight(&self, gateway: GatewayId, requests: u32) {
        if let Some(gateway) = self.policy.gateway(gateway) {
            self.set(&metrics::IN_FLIGHT, &[&gateway.name], requests.into());
        }
    }

    /// Tells operators of a change.
    pub(in crate::filter) fn changed(&self, change: &HealthEvent) {
        let name = |gateway| self.policy.names(Gateways::only(gateway));
        match change {
            HealthEvent::Breaker(gateway, transition) => {
                let to = transition.to.name();
                let gateway = name(*gateway);
                let rule = transition.rule;
                log::warn!("dana: breaker of {gateway} is {to}: {rule:?}");
                self.count(&metrics::TRANSITIONS, &[&gateway, to, rule.name()]);
                self.set(&metrics::BREAKER_STATE, &[&gateway], number(transition.to));
            }
            HealthEvent::Heartbeat(gateway, up) => {
                let gateway = name(*gateway);
                log::warn!("dana: heartbeat of {gateway}: {}", if *up { "up" } else { "down" });
                self.set(&metrics::HEARTBEAT_UP, &[&gateway], u64::from(*up));
            }
            HealthEvent::Disagree(gateway, up) => {
                let gateway = name(*gateway);
                let says = if *up { "up" } else { "down" };
                log::warn!("dana: heartbeat of {gateway} says {says}, and its traffic otherwise");
                self.count(&metrics::DISAGREES, &[&gateway, says]);
            }
            HealthEvent::Switch { from, to, cause } => {
                let (from, to) = (name(*from), name(*to));
                let kind = cause.name();
                log::warn!("dana: {kind} from {from} to {to}");
                self.count(&metrics::SWITCHES, &[&from, &to, kind]);
                self.set(&metrics::RAMP, &[&from], 0);
                let steps =
                    *cause == Cause::Failback && self.policy.health.failback.ramp > Millis::ZERO;
                let share = if steps { 100 / u64::from(limits::RAMP_STEPS) } else { 100 };
                self.set(&metrics::RAMP, &[&to], share);
            }
            HealthEvent::Ramp(gateway, percent) => {
                let gateway = name(*gateway);
                log::info!("dana: {percent} % of the new payments go to {gateway} first");
                self.set(&metrics::RAMP, &[&gateway], (*percent).into());
            }
            HealthEvent::Barred(gateway, breach) => {
                let gateway = name(*gateway);
                if let Some(breach) = breach {
                    let why = breach.name();
                    log::error!(
                        "dana: {gateway} is barred: an answer came over a connection that is not \
                         what its tls demands ({why}); it stays so until an operator admits it"
                    );
                    self.count(&metrics::BREACHES, &[&gateway, why]);
                } else {
                    log::warn!("dana: {gateway} is admitted again");
                }
                self.set(&metrics::BARRED, &[&gateway], u64::from(breach.is_some()));
            }
            HealthEvent::Override(gateway, steer) => {
                let gateway = name(*gateway);
                let to = steer.map_or("auto", OverrideKind::name);
                log::warn!("dana: override of {gateway}: {to}");
                self.count(&metrics::OVERRIDES, &[&gateway, to]);
                self.set(&metrics::OVERRIDE, &[&gateway], steer.map_or(0, |steer| steer as u64));
            }
            HealthEvent::Refusing(Why::StoreFull) => {
                log::error!(
                    "dana: the claim store is full, and payments are refused. {MAKES_ROOM}"
                );
                // The next count may be minutes away, and says how it is then.
                self.set(&metrics::STORE_FILL, &[], 100);
            }
            HealthEvent::Refusing(why) => {
                log::warn!("dana: payments are refused: {}", why.sentence());
            }
        }
    }

    /// Tells operators of evidence that contradicts what was known.
    pub(in crate::filter) fn anomaly(&self, anomaly: &Anomaly) {
        let by = self.policy.names(anomaly.by);
        log::error!("dana: {}", anomaly.line(if by.is_empty() { "nobody" } else { &by }));
        self.count(&metrics::ANOMALIES, &[anomaly.kind.name()]);
    }

    fn count(&self, family: &Family, values: &[&str]) {
        if let Some(metric) = self.metric(family, values) {
            let _ = self.host.increment(metric);
        }
    }

    pub(super) fn set(&self, family: &Family, values: &[&str], value: u64) {
        if let Some(metric) = self.metric(family, values) {
            let _ = self.host.record(metric, value);
        }
    }

    fn metric(&self, family: &Family, values: &[&str]) -> Option<u32> {
        let full = family.full_name(values);
        let mut metrics = self.metrics.borrow_mut();
        if let Some(metric) = metrics.get(&full) {
            return Some(*metric);
        }
        if metrics.len() >= limits::METRICS_MAX {
            return None;
        }
        let metric = self.host.define_metric(family.kind, &full).ok()?;
        metrics.insert(full, metric);
        Some(metric)
    }
}

/// Percent of the new payments that go to `gateway` first.
fn share_of(health: &Health, gateway: GatewayId, policy: &Policy, now: Timestamp) -> u32 {
    let is_active = health.active(&policy.health, now) == Some(gateway);
    if is_active { health.share(&policy.health, now) } else { 0 }
}

/// A state's number in metrics.
const fn number(state: BreakerState) -> u64 {
    match state {
        BreakerState::Closed { .. } => 0,
        BreakerState::HalfOpen { .. } => 1,
        BreakerState::Open { .. } => 2,
    }
}
