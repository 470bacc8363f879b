//! How everything is: who takes payments now and why, and what is known of each gateway.
//!
//! `docs/status.schema.json` describes the JSON, member by member; the tests hold one to the other.

use super::doubt::Doubt;
use super::instance::Instance;
use super::object::{Object, list, time};
use super::steered::{barred, told};
use crate::engine::config::{Gateway, Policy};
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::health::{
    Breaker, BreakerState, Health, Heartbeat, Member, NewRequest, Override, OverrideKind,
    RefusalRun, RequestKind, Selection, Why,
};
use crate::engine::store::{Layout, RealmWorkers};
use crate::engine::time::{Length, Timestamp, Zone};

/// Of this crate, as operators ask for it.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

const AT_CAPACITY: &str = "as many requests are with it as may be";
const NOT_UP: &str = "its heartbeat is not up";
const TOO_OLD: &str = "its last good heartbeat is too long ago";

/// What is looked at, by whom, and when.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) policy: &'a Policy,
    pub(super) layout: &'a Layout,
    pub(super) instance: &'a Instance,
    /// Where this listener was called.
    pub(super) origin: &'a str,
    pub(super) now: Timestamp,
}

impl<'a> View<'a> {
    pub(super) fn status(self, health: &'a Health, doubt: Option<Doubt<'a>>) -> StatusReport<'a> {
        let View { policy, layout, instance, origin, now } = self;
        StatusReport { policy, health, doubt, links: None, layout, instance, origin, now }
    }
}

/// Everything that is known at one moment.
#[derive(Clone, Copy)]
pub(super) struct StatusReport<'a> {
    pub(super) policy: &'a Policy,
    pub(super) health: &'a Health,
    /// What the last census has counted; nothing before there was one.
    pub(super) doubt: Option<Doubt<'a>>,
    /// How the workers stand with the store in etcd, if there is one and it was asked for.
    pub(super) links: Option<&'a RealmWorkers>,
    /// Names of gateways, also of those that are no longer configured.
    pub(super) layout: &'a Layout,
    /// Which Envoy this is.
    pub(super) instance: &'a Instance,
    /// Where this listener was called, as `http://localhost:10001`.
    pub(super) origin: &'a str,
    pub(super) now: Timestamp,
}

impl StatusReport<'_> {
    /// In which zone people are told times.
    pub(super) const fn zone(&self) -> &Zone {
        &self.policy.config.time_zone
    }

    /// Refusals that may go on.
    pub(super) fn refused_now(&self) -> impl Iterator<Item = (Why, RefusalRun)> {
        self.health.history().refusals().filter(|(_, run)| run.is_recent(self.now))
    }

    /// The name of a gateway, also of one that is no longer configured.
    pub(super) fn any_name(&self, gateway: GatewayId) -> String {
        self.layout.name(gateway).map_or_else(|| self.name(gateway), str::to_owned)
    }

    pub(super) fn active(&self) -> Option<GatewayId> {
        self.health.active(&self.policy.health, self.now)
    }

    pub(super) fn active_since(&self) -> Option<Timestamp> {
        self.health.active_since(&self.policy.health, self.now)
    }

    /// Who may take a new payment.
    pub(super) fn selection(&self) -> Selection {
        self.health.select(
            &self.policy.health,
            &NewRequest::of_nobody(RequestKind::Payment),
            self.now,
        )
    }

    /// Whether a gateway is on trial with questions, and not with payments yet.
    pub(super) fn is_asked(&self, gateway: GatewayId) -> bool {
        let selection = self.health.select(
            &self.policy.health,
            &NewRequest::of_nobody(RequestKind::Inquiry),
            self.now,
        );
        selection.trial && selection.order.first() == Some(&gateway)
    }

    /// How many requests are with a gateway, over all workers.
    pub(super) fn in_flight(&self, gateway: GatewayId) -> u32 {
        self.health.in_flight(gateway, self.now)
    }

    pub(super) fn name(&self, gateway: GatewayId) -> String {
        self.policy.names(Gateways::only(gateway))
    }

    /// What is known of a gateway; of one that was never seen, what is known of nobody.
    pub(super) fn member(&self, gateway: GatewayId) -> Member {
        self.health.member(gateway).cloned().unwrap_or_default()
    }

    pub(super) fn overrides(&self) -> impl Iterator<Item = &Override> {
        self.health.overrides(self.now)
    }

    pub(super) fn override_of(&self, gateway: GatewayId) -> Option<&Override> {
        self.overrides().find(|one| one.gateway == gateway)
    }

    pub(super) fn is_usable(&self, gateway: GatewayId) -> bool {
        self.health.is_usable(gateway, &self.policy.health, self.now)
    }

    /// Why a breaker stands where it does, for people; nothing before its first move.
    pub(super) fn cause(&self, breaker: &Breaker) -> Option<String> {
        breaker.cause().map(|rule| rule.sentence(&self.policy.health.breaker))
    }

    /// Why a gateway takes no new payments, for people; nothing if it does.
    pub(super) fn hindrance(&self, gateway: GatewayId) -> Option<String> {
        if self.is_usable(gateway) {
            return None;
        }
        if let Some((_, breach)) = self.member(gateway).barred {
            let why = breach.sentence();
            return Some(format!("barred until an operator admits it: {why}"));
        }
        let drained = self.override_of(gateway).filter(|one| one.kind == OverrideKind::Drain);
        if let Some(Override { actor, reason, .. }) = drained {
            return Some(format!("drained by {actor}: {reason}"));
        }
        let member = self.member(gateway);
        let cause = self.cause(&member.breaker).unwrap_or_default();
        let is_closed = member.breaker.is_closed();
        let hindrance = match member.breaker.state() {
            BreakerState::Open { .. } => format!("its breaker is open: {cause}"),
            BreakerState::HalfOpen { .. } => "its breaker lets trials through only".to_owned(),
            BreakerState::Closed { .. } if self.is_at_capacity(gateway) => AT_CAPACITY.to_owned(),
            BreakerState::Closed { .. } if !member.heartbeat.is_up() => {
                format!("{NOT_UP}, and only the first gateway goes without")
            }
            BreakerState::Closed { .. } => TOO_OLD.to_owned(),
        };
        Some(match self.lacks(gateway).filter(|_| !is_closed) {
            Some(lack) => format!("{hindrance}; it could be tried, but {lack}"),
            None => hindrance,
        })
    }

    fn is_at_capacity(&self, gateway: GatewayId) -> bool {
        self.in_flight(gateway) >= self.policy.health.breaker.in_flight_max
    }

    /// Whether the next payment may be a gateway's trial.
    pub(super) fn is_tried(&self, gateway: GatewayId) -> bool {
        let selection = self.selection();
        selection.trial && selection.order.first() == Some(&gateway)
    }

    /// What keeps a gateway from a trial that its breaker would allow, for people; nothing if its
    /// breaker allows none, or if it gets one.
    pub(super) fn lacks(&self, gateway: GatewayId) -> Option<String> {
        let member = self.member(gateway);
        let allowed = member.breaker.may_try(self.now, &self.policy.health.breaker);
        if !allowed || self.is_tried(gateway) || self.is_asked(gateway) {
            return None;
        }
        let drained = self.override_of(gateway).is_some_and(|one| one.kind == OverrideKind::Drain);
        let heard = member.heartbeat.is_target(self.now, &self.policy.health.heartbeat);
        let questions = self.health.select(
            &self.policy.health,
            &NewRequest::of_nobody(RequestKind::Inquiry),
            self.now,
        );
        let lack = match self.health.forced(&self.policy.health, self.now) {
            _ if drained => "it is drained",
            Some(forced) if forced == gateway => return None,
            Some(_) => "another gateway is forced",
            None if self.is_at_capacity(gateway) => AT_CAPACITY,
            None if self.active().is_some() && !member.heartbeat.is_up() => NOT_UP,
            None if self.active().is_some() && !heard => TOO_OLD,
            None => {
                let first = questions.order.first().filter(|_| questions.trial);
                return first.map(|first| format!("{} is tried first", self.name(*first)));
            }
        };
        Some(lack.to_owned())
    }

    /// Why new payments go where they go, for people.
    pub(super) fn why(&self) -> String {
        let selection = self.selection();
        let forced = self.overrides().find(|one| {
            one.kind == OverrideKind::Force && self.policy.gateway(one.gateway).is_some()
        });
        if let Some(Override { actor, reason, .. }) = forced {
            return format!("forced by {actor}: {reason}");
        }
        let Some(active) = self.active() else {
            return if selection.order.is_empty() {
                "no gateway is usable: new payments are answered with 503, and nothing is sent"
            } else {
                "no gateway is usable, so payments are trials of one that waits long enough"
            }
            .to_owned();
        };
        let earlier = self.policy.gateways.iter().take_while(|gateway| gateway.id != active);
        let reasons: Vec<String> = earlier.map(|gateway| self.passed_over(gateway)).collect();
        if reasons.is_empty() {
            return "first in the order, and usable".to_owned();
        }
        reasons.join("; ")
    }

    /// Why an earlier gateway of the order is not the active one.
    fn passed_over(&self, gateway: &Gateway) -> String {
        let name = &gateway.name;
        let failback = &self.policy.health.failback;
        match self.hindrance(gateway.id) {
            Some(hindrance) => format!("{name}: {hindrance}"),
            None if failback.manual => format!("{name} is usable again; failback is manual"),
            None => format!(
                "{name} is usable again, and gets payments back once it was well for {} and this \
                 one was active for {}",
                Length(failback.stable),
                Length(failback.dwell)
            ),
        }
    }

    /// All of it.
    pub(super) fn json(&self) -> Object {
        let gateways = self.policy.gateways.iter().map(|gateway| self.gateway(gateway));
        let overrides =
            self.overrides().map(|one| told(one).with("gateway", self.name(one.gateway)));
        self.summary()
            .with("version", VERSION)
            .with("instance", self.instance.json())
            .with("refused", list(self.refused()))
            .with("switches", list(self.switches()))
            .with("gateways", list(gateways))
            .with("overrides", list(overrides))
            .with("in_doubt", self.doubt.map(|doubt| doubt.totals()))
            .with("scope", self.scope())
            .with("store", self.store())
            .with("census", self.doubt.map(|doubt| doubt.census()))
    }

    fn refused(&self) -> impl Iterator<Item = Object> {
        self.health.history().refusals().map(|(why, run)| {
            Object::new()
                .with("reason", why.name())
                .with("since", time(run.since))
                .with("last", time(run.last))
                .with("requests", run.requests)
                .with("recent", run.is_recent(self.now))
        })
    }

    /// The last one first.
    fn switches(&self) -> impl Iterator<Item = Object> {
        self.health.history().switches().iter().rev().map(|one| {
            Object::new()
                .with("at", time(one.at))
                .with("from", self.any_name(one.from))
                .with("to", self.any_name(one.to))
                .with("kind", one.cause.name())
        })
    }

    /// Where new payments go.
    pub(super) fn summary(&self) -> Object {
        let selection = self.selection();
        let order: Vec<String> = selection.order.iter().map(|id| self.name(*id)).collect();
        Object::new()
            .with("now", time(self.now))
            .with("active", self.active().map(|active| self.name(active)))
            .with("active_since", self.active_since().map(time))
            .with("why", self.why())
            .with("takers", Object::new().with("gateways", order).with("trial", selection.trial))
    }

    /// What an operator sees of one gateway.
    pub(super) fn gateway(&self, gateway: &Gateway) -> Object {
        let member = self.member(gateway.id);
        Object::new()
            .with("name", gateway.name.as_str())
            .with("cluster", gateway.cluster.as_str())
            .with("active", self.active() == Some(gateway.id))
            .with("usable", self.is_usable(gateway.id))
            .with("hindrance", self.hindrance(gateway.id))
            .with("override", self.override_of(gateway.id).map(told))
            .with("barred", member.barred.map(barred))
            .with("in_flight", self.in_flight(gateway.id))
            .with("in_flight_max", self.policy.health.breaker.in_flight_max)
            .with("breaker", self.breaker(&member.breaker))
            .with("heartbeat", self.heartbeat(&member.heartbeat))
    }

    fn breaker(&self, breaker: &Breaker) -> Object {
        let limits = &self.policy.health.breaker;
        let seen = breaker.seen(self.now, limits);
        let (mut run, mut until, mut permits) = (None, None, None);
        match breaker.state() {
            BreakerState::Closed { run: failures } => run = Some(failures),
            BreakerState::Open { until: end } => until = Some(time(end)),
            BreakerState::HalfOpen { out, passed, .. } => {
                let max = limits.half_open_permits;
                permits =
                    Some(Object::new().with("out", out).with("passed", passed).with("max", max));
            }
        }
        let last_transition = breaker.cause().map(|rule| {
            let add = |object: Object, (name, number): (&str, u64)| object.with(name, number);
            Object::new()
                .with("rule", rule.name())
                .with("numbers", rule.numbers().into_iter().fold(Object::new(), add))
                .with("sentence", rule.sentence(limits))
        });
        let window = Object::new()
            .with("length_ms", limits.window.get())
            .with("calls", seen.calls)
            .with("failures", seen.failures)
            .with("slow", seen.slow);
        Object::new()
            .with("state", breaker.state().name())
            .with("since", breaker.cause().map(|_| time(breaker.since())))
            .with("until", until)
            .with("generation", breaker.generation())
            .with("consecutive_failures", run)
            .with("window", window)
            .with("permits", permits)
            .with("last_transition", last_transition)
    }

    fn heartbeat(&self, heartbeat: &Heartbeat) -> Object {
        let good_at = heartbeat.good_at();
        Object::new()
            .with("up", heartbeat.is_up())
            .with(
                "punctuality",
                heartbeat.punctuality(self.now, &self.policy.health.heartbeat).name(),
            )
            .with("last_good", good_at.map(time))
            .with("last_good_age_ms", good_at.map(|at| self.now.since(at).get()))
    }
}
