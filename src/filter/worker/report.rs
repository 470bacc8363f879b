//! What operators are told: the access log, Envoy's log and metrics. Nothing is decided here.

use log::Level;

use super::Worker;
use crate::engine::Anomaly;
use crate::engine::Policy;
use crate::engine::limits;
use crate::engine::metrics::implied::{self, Implied};
use crate::engine::metrics::{self, Family};
use crate::engine::{
    Breach, BreakerState, Cause, Health, HealthEvent, OverrideKind, Transition, Why,
};
use crate::engine::{Cell, CellEvent, CellRequest, MAKES_ROOM};
use crate::engine::{Decision, DoubtEvent, PAYMENTS_MODULE, Way};
use crate::engine::{GatewayId, Gateways};
use crate::engine::{Millis, Timestamp};
use crate::engine::{anomaly_entry, health_entry};
use crate::filter::driver::cell;
use crate::filter::host::Host;

// Much of this is never inlined: that would be kilobytes, for what happens seldom.
impl<H: Host, S> Worker<H, S> {
    /// Puts a request's line into the access log and counts it.
    pub(in crate::filter) fn note(&self, note: &Decision) {
        // Neither is worth failing a payment for.
        let _ = self.host.set_property("dana_decision", &note.line());
        self.count_decision(note);
    }

    /// Counts a request.
    pub(in crate::filter) fn count_decision(&self, decision: &Decision) {
        self.count(decision.family(), &decision.labels());
        if let (Some(took), Way::Out) = (decision.took, decision.way) {
            let values = [decision.operation_name(), &decision.names];
            self.set(&metrics::DURATIONS, &values, took.get());
        }
    }

    /// Shows how every gateway is, and every metric that the configuration implies, before anything
    /// changes.
    pub(in crate::filter) fn show(&self) {
        self.define(implied::all(&self.policy));
        self.show_build();
        self.show_former();
        self.show_gateways();
    }

    /// Defines metrics before anything is counted.
    pub(in crate::filter) fn define(&self, all: Vec<Implied>) {
        for Implied { family, values } in all {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            self.metric(family, &values);
        }
    }

    fn show_build(&self) {
        self.set(&metrics::BUILD, &[env!("CARGO_PKG_VERSION"), PAYMENTS_MODULE], 1);
        let digest = self.policy.config.digest.get(..12);
        let digest = digest.and_then(|digest| u64::from_str_radix(digest, 16).ok());
        self.set(&metrics::CONFIG, &[], digest.unwrap_or_default());
        let now = self.host.now().unwrap_or_default();
        self.set(&metrics::CONFIGURED_AT, &[], now.as_millis() / 1000);
    }

    fn show_gateways(&self) {
        let request = CellRequest::Load(Cell::Health);
        let CellEvent::Loaded(_, loaded) = cell(&self.host, request) else {
            return;
        };
        let health = Health::read(&loaded.bytes).unwrap_or_else(|| {
            log::warn!(
                "what is known of the gateways was written by another version of the \
                 filter, and begins anew: breakers, heartbeats, and overrides, which must be asked \
                 for again"
            );
            Health::default()
        });
        let now = self.host.now().unwrap_or_default();
        for gateway in &self.policy.gateways {
            let member = health.member(gateway.id).cloned().unwrap_or_default();
            let up = u64::from(member.heartbeat.is_up());
            let forced = health.overrides(now).find(|one| one.gateway == gateway.id);
            for (family, value) in [
                (&metrics::RAMP, u64::from(share_of(&health, gateway.id, &self.policy, now))),
                (&metrics::HEARTBEAT_UP, up),
                (&metrics::IN_FLIGHT, 0),
                (&metrics::BARRED, u64::from(member.barred.is_some())),
                (&metrics::CONFIGURED, 1),
            ] {
                self.set(family, &[&gateway.name], value);
            }
            self.show_breaker(&gateway.name, member.breaker.state());
            self.show_override(&gateway.name, forced.map(|one| one.kind));
        }
    }

    /// Gauges outlive an update of the configuration: nobody is to be woken by a gateway that is gone.
    fn show_former(&self) {
        for gateway in &self.policy.former {
            for family in
                [&metrics::CONFIGURED, &metrics::RAMP, &metrics::IN_FLIGHT, &metrics::BARRED]
            {
                self.set(family, &[gateway], 0);
            }
            self.show_override(gateway, None);
        }
    }

    /// Shows how many requests are with a gateway.
    pub(in crate::filter) fn show_in_flight(&self, gateway: GatewayId, requests: u32) {
        if let Some(gateway) = self.policy.gateway(gateway) {
            self.set(&metrics::IN_FLIGHT, &[&gateway.name], requests.into());
        }
    }

    /// Tells operators of a change.
    #[inline(never)]
    pub(in crate::filter) fn changed(&self, change: &HealthEvent) {
        if let Some(audit) = &self.audit {
            let now = self.host.now().unwrap_or_default();
            audit.keep(health_entry(change, &self.policy, now));
        }
        match change {
            HealthEvent::Breaker(gateway, transition) => self.breaker(*gateway, transition),
            HealthEvent::Heartbeat(gateway, up) => {
                let gateway = self.name(*gateway);
                let (level, is) = if *up { (Level::Info, "up") } else { (Level::Warn, "down") };
                log::log!(level, "heartbeat of {gateway}: {is}");
                self.set(&metrics::HEARTBEAT_UP, &[&gateway], u64::from(*up));
            }
            HealthEvent::Disagree(gateway, up) => {
                let gateway = self.name(*gateway);
                let says = if *up { "up" } else { "down" };
                log::warn!("heartbeat of {gateway} says {says}, and its traffic otherwise");
                self.count(&metrics::DISAGREES, &[&gateway, says]);
            }
            HealthEvent::Switch { from, to, cause } => self.switched(*from, *to, *cause),
            HealthEvent::Ramp(gateway, percent) => {
                let gateway = self.name(*gateway);
                log::info!("{percent} % of the new payments go to {gateway} first");
                self.set(&metrics::RAMP, &[&gateway], (*percent).into());
            }
            HealthEvent::Barred(gateway, breach) => self.barred(*gateway, *breach),
            HealthEvent::Override(gateway, kind) => {
                let gateway = self.name(*gateway);
                let to = kind.map_or("auto", OverrideKind::name);
                let level = if kind.is_some() { Level::Warn } else { Level::Info };
                log::log!(level, "override of {gateway}: {to}");
                self.count(&metrics::OVERRIDES, &[&gateway, to]);
                self.show_override(&gateway, *kind);
            }
            HealthEvent::Refusing(Why::StoreFull) => {
                log::error!("the claim store is full, and payments are refused. {MAKES_ROOM}");
                // The next count may be minutes away, and says how it is then.
                self.set(&metrics::STORE_FILL, &[], 100);
            }
            HealthEvent::Refusing(why) => {
                let nobody_pays = *why == Why::NoGateway;
                let level = if nobody_pays { Level::Error } else { Level::Warn };
                log::log!(level, "payments are refused: {}", why.sentence());
            }
        }
    }

    #[inline(never)]
    fn breaker(&self, gateway: GatewayId, transition: &Transition) {
        let (gateway, to) = (self.name(gateway), transition.to.name());
        let why = transition.rule.sentence(&self.policy.health.breaker);
        let level = match transition.to {
            BreakerState::Closed { .. } | BreakerState::HalfOpen { .. } => Level::Info,
            BreakerState::Open { .. } => Level::Warn,
        };
        log::log!(level, "breaker of {gateway} is {to}: {why}");
        self.count(&metrics::TRANSITIONS, &[&gateway, to, transition.rule.name()]);
        self.show_breaker(&gateway, transition.to);
    }

    fn show_breaker(&self, gateway: &str, is: BreakerState) {
        self.show_state(&metrics::BREAKER_STATE, gateway, &BreakerState::NAMES, is.name());
    }

    fn show_override(&self, gateway: &str, is: Option<OverrideKind>) {
        let is = is.map_or("none", OverrideKind::name);
        self.show_state(&metrics::OVERRIDE, gateway, &OverrideKind::STATES, is);
    }

    /// 1 for the state that is, and 0 for the others.
    #[inline(never)]
    fn show_state(&self, family: &Family, gateway: &str, states: &[&str], is: &str) {
        for state in states {
            self.set(family, &[gateway, state], u64::from(*state == is));
        }
    }

    #[inline(never)]
    fn switched(&self, from: GatewayId, to: GatewayId, cause: Cause) {
        let (from, to, kind) = (self.name(from), self.name(to), cause.name());
        let level = match cause {
            Cause::Failback => Level::Info,
            Cause::Failover | Cause::Override => Level::Warn,
        };
        log::log!(level, "{kind} from {from} to {to}");
        self.count(&metrics::SWITCHES, &[&from, &to, kind]);
        self.set(&metrics::RAMP, &[&from], 0);
        let steps = cause == Cause::Failback && self.policy.health.failback.ramp > Millis::ZERO;
        let share = if steps { 100 / u64::from(limits::RAMP_STEPS) } else { 100 };
        self.set(&metrics::RAMP, &[&to], share);
    }

    #[inline(never)]
    fn barred(&self, gateway: GatewayId, breach: Option<Breach>) {
        let gateway = self.name(gateway);
        if let Some(breach) = breach {
            let why = breach.sentence();
            log::error!("{gateway} is barred until an operator admits it: {why}");
            self.count(&metrics::BREACHES, &[&gateway, breach.name()]);
        } else {
            log::info!("{gateway} is admitted again");
        }
        self.set(&metrics::BARRED, &[&gateway], u64::from(breach.is_some()));
    }

    #[inline(never)]
    fn name(&self, gateway: GatewayId) -> String {
        self.policy.names(Gateways::only(gateway))
    }

    /// Tells operators of evidence that contradicts what was known.
    #[inline(never)]
    pub(in crate::filter) fn anomaly(&self, anomaly: &Anomaly) {
        if let Some(audit) = &self.audit {
            let now = self.host.now().unwrap_or_default();
            audit.keep(anomaly_entry(anomaly, &self.policy, now));
        }
        let by = self.policy.names(anomaly.by);
        log::error!("{}", anomaly.line(if by.is_empty() { "nobody" } else { &by }));
        self.count(&metrics::ANOMALIES, &[anomaly.kind.name()]);
    }

    /// Counts a payment that came into doubt, or out of it.
    #[inline(never)]
    pub(in crate::filter) fn doubt(&self, event: DoubtEvent) {
        match event {
            DoubtEvent::Opened(gateways) => {
                self.count(&metrics::DOUBTS_OPENED, &[&self.policy.names(gateways)]);
            }
            DoubtEvent::Resolved(by) => self.count(&metrics::DOUBTS_RESOLVED, &[by.name()]),
        }
    }

    /// Counts calls of the host that have failed since this was asked last.
    pub(in crate::filter) fn count_host_errors(&self) {
        let errors = self.host.take_errors();
        if errors > 0 {
            self.count_many(&metrics::HOST_ERRORS, &[], errors);
        }
    }

    #[inline(never)]
    fn count(&self, family: &Family, values: &[&str]) {
        self.count_many(family, values, 1);
    }

    #[inline(never)]
    pub(in crate::filter) fn count_many(&self, family: &Family, values: &[&str], many: u32) {
        if let Some(metric) = self.metric(family, values) {
            let _ = self.host.increment(metric, many);
        }
    }

    #[inline(never)]
    pub(in crate::filter) fn set(&self, family: &Family, values: &[&str], value: u64) {
        if let Some(metric) = self.metric(family, values) {
            let _ = self.host.record(metric, value);
        }
    }

    fn metric(&self, family: &Family, values: &[&str]) -> Option<u32> {
        let mut metrics = self.metrics.borrow_mut();
        let known = metrics.find(family, values);
        if known.is_some() || metrics.len() >= limits::METRICS_MAX {
            return known;
        }
        let full = family.full_name(values);
        let metric = self.host.define_metric(family.kind, &full).ok()?;
        metrics.insert(family, values, full, metric);
        Some(metric)
    }
}

/// Percent of the new payments that go to `gateway` first.
fn share_of(health: &Health, gateway: GatewayId, policy: &Policy, now: Timestamp) -> u32 {
    let is_active = health.active(&policy.health, now) == Some(gateway);
    if is_active { health.share(&policy.health, now) } else { 0 }
}
