//! Failover: which gateways may take a new payment, which one is first, and when that changes.

use super::cause::Cause;
use super::event::HealthEvent;
use super::fair_share::Source;
use super::history::Switched;
use super::overrides::{Override, OverrideError, OverrideKind};
use super::ramp::Ramp;
use super::rules::HealthRules;
use super::shared::Health;
use crate::engine::gateway::GatewayId;
use crate::engine::time::{Millis, Timestamp};

/// What kind of request is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// It only reads. A gateway on trial gets inquiries first.
    Inquiry,
    /// It moves money or changes state.
    Payment,
}

/// A new request that is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct NewRequest {
    /// Its kind.
    pub kind: RequestKind,
    /// Its partner and operation. `None` if it is of no particular partner.
    pub source: Option<Source>,
    /// A number from 0 to 99, evenly spread over requests. It decides which requests go to a gateway
    /// that takes over again.
    pub draw: u32,
}

impl NewRequest {
    /// A request of no particular partner, which is among the first that go to a gateway that takes
    /// over again.
    #[must_use]
    pub const fn of_nobody(kind: RequestKind) -> Self {
        Self { kind, source: None, draw: 0 }
    }
}

/// The gateways that may take a new payment now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// In the order in which they are tried.
    pub order: Vec<GatewayId>,
    /// Whether the first one is on trial and needs a permit.
    pub trial: bool,
}

impl Health {
    /// The gateway that new payments go to first.
    #[must_use]
    pub fn active(&self, rules: &HealthRules, now: Timestamp) -> Option<GatewayId> {
        if let Some(forced) = self.forced(rules, now) {
            return Some(forced);
        }
        let current = self.active.filter(|gateway| self.is_usable(*gateway, rules, now));
        current.or_else(|| rules.order().find(|gateway| self.is_usable(*gateway, rules, now)))
    }

    /// Since when new payments go to the active gateway first. `None` before the first switch.
    #[must_use]
    pub fn active_since(&self, rules: &HealthRules, now: Timestamp) -> Option<Timestamp> {
        let stands = self.active.is_some() && self.active == self.active(rules, now);
        stands.then_some(self.active_since)
    }

    /// Whether operators have drained it. Then it gets nothing that can wait.
    #[must_use]
    pub fn is_drained(&self, gateway: GatewayId, now: Timestamp) -> bool {
        self.overrides.is_drained(gateway, now)
    }

    /// The gateways that may take a new request at `now`. Empty if none may.
    #[must_use]
    pub fn select(&self, rules: &HealthRules, new: &NewRequest, now: Timestamp) -> Selection {
        if let Some(forced) = self.forced(rules, now) {
            let trial = self.may_try_forced(forced, new.kind, rules, now);
            return Selection { order: vec![forced], trial };
        }
        let active = self.active(rules, now);
        let trial = rules.order().find(|gateway| self.may_try(*gateway, new, active, rules, now));
        let stand_in = self.stand_in(new.draw, rules, now);
        let usable = rules.order().filter(|gateway| self.is_usable(*gateway, rules, now));
        let mut order = Vec::with_capacity(rules.order.len());
        for gateway in trial.into_iter().chain(stand_in).chain(active).chain(usable) {
            if !order.contains(&gateway) {
                order.push(gateway);
            }
        }
        Selection { order, trial: trial.is_some() }
    }

    /// Whether a request may be a trial at `gateway`. That needs a good heartbeat, unless no gateway is
    /// active. Inquiries are tried first, but not last. A partner whose trial failed leaves the next
    /// one to other partners that send payments.
    fn may_try(
        &self,
        gateway: GatewayId,
        new: &NewRequest,
        active: Option<GatewayId>,
        rules: &HealthRules,
        now: Timestamp,
    ) -> bool {
        let Some(member) = self.member(gateway) else {
            return false;
        };
        let (breaker, limits) = (&member.breaker, &rules.breaker);
        let waits = match new.kind {
            RequestKind::Payment => breaker.prefers_inquiry(now, limits),
            RequestKind::Inquiry => breaker.wants_payment(limits),
        };
        let is_target = member.heartbeat.is_target(now, &rules.heartbeat) && !waits;
        let asked = self.asked.at(now, limits.window);
        breaker.may_try(now, limits)
            && (active.is_none() || is_target)
            && !new.source.is_some_and(|source| breaker.yields(source, asked, now, limits))
            && !self.is_barred(gateway)
            && !self.overrides.is_drained(gateway, now)
            && !self.is_at_capacity(gateway, rules, now)
    }

    /// Whether a request to a forced gateway may be a trial: it is sent there anyway.
    #[must_use]
    pub fn may_try_forced(
        &self,
        gateway: GatewayId,
        kind: RequestKind,
        rules: &HealthRules,
        now: Timestamp,
    ) -> bool {
        let limits = &rules.breaker;
        self.member(gateway).is_some_and(|member| {
            let waits = kind == RequestKind::Inquiry && member.breaker.wants_payment(limits);
            member.breaker.may_try_forced(now, limits) && !waits
        })
    }

    fn is_at_capacity(&self, gateway: GatewayId, rules: &HealthRules, now: Timestamp) -> bool {
        self.in_flight(gateway, now) >= rules.breaker.in_flight_max
    }

    /// Whether `gateway` may take new payments without a trial.
    #[must_use]
    pub fn is_usable(&self, gateway: GatewayId, rules: &HealthRules, now: Timestamp) -> bool {
        let first = rules.order().next() == Some(gateway);
        match self.member(gateway) {
            // A name that is no longer configured.
            _ if !rules.knows(gateway) => false,
            _ if self.is_barred(gateway) || self.overrides.is_drained(gateway, now) => false,
            _ if self.is_at_capacity(gateway, rules, now) => false,
            None => first,
            Some(member) => {
                // To become active, a gateway needs a good heartbeat. Once active, it needs none
                // while its payments go well.
                let proven =
                    self.active == Some(gateway) && member.breaker.is_proven(now, &rules.breaker);
                member.breaker.is_closed()
                    && (first || proven || member.heartbeat.is_target(now, &rules.heartbeat))
            }
        }
    }

    /// Leaves an active gateway that is not usable, or returns to an earlier one that works again.
    pub fn update_active(&mut self, rules: &HealthRules, now: Timestamp) -> Option<HealthEvent> {
        let from = self.active.or_else(|| rules.order().next())?;
        let usable = self.active(rules, now)?;
        let is_override = self.forced(rules, now).is_some() || self.overrides.is_drained(from, now);
        let (to, cause) = match (usable == from, is_override) {
            (true, true) => return None,
            (true, false) => (self.failback_target(from, rules, now)?, Cause::Failback),
            (false, true) => (usable, Cause::Override),
            (false, false) => (usable, Cause::Failover),
        };
        self.active = Some(to);
        self.active_since = now;
        let ramps = cause == Cause::Failback && rules.failback.ramp > Millis::ZERO;
        self.ramp = ramps.then_some(Ramp::begin(from, now));
        self.history.switched(Switched { at: now, from, to, cause });
        Some(HealthEvent::Switch { from, to, cause })
    }

    fn failback_target(
        &self,
        from: GatewayId,
        rules: &HealthRules,
        now: Timestamp,
    ) -> Option<GatewayId> {
        // Time that the clock skipped does not count.
        let passed = |since| self.leaps.passed(since, now);
        if rules.failback.manual || passed(self.active_since) < rules.failback.dwell {
            return None;
        }
        rules.order().take_while(|gateway| *gateway != from).find(|gateway| {
            self.is_usable(*gateway, rules, now)
                && self.member(*gateway).is_some_and(|member| {
                    member.heartbeat.is_target(now, &rules.heartbeat)
                        && passed(member.breaker.since()) >= rules.failback.stable
                })
        })
    }

    /// The overrides that are not over.
    pub fn overrides(&self, now: Timestamp) -> impl Iterator<Item = &Override> {
        self.overrides.standing(now)
    }

    /// Sets an override. New payments follow it from now on. The switch that results is made by a
    /// worker of the payments' filter, by its own configuration.
    ///
    /// # Errors
    /// If no gateway could take a payment then, or the override contradicts another state.
    pub fn override_by(
        &mut self,
        new: Override,
        rules: &HealthRules,
        now: Timestamp,
    ) -> Result<HealthEvent, OverrideError> {
        if new.is_over(now) {
            return Err(OverrideError::Ttl);
        }
        let (gateway, kind) = (new.gateway, new.kind);
        if kind == OverrideKind::Force && self.is_barred(gateway) {
            return Err(OverrideError::Barred);
        }
        if kind == OverrideKind::Drain {
            if self.forced(rules, now) == Some(gateway) {
                return Err(OverrideError::Forced);
            }
            let mut others = rules.order().filter(|other| *other != gateway);
            if !others.any(|other| self.is_usable(other, rules, now)) {
                return Err(OverrideError::NobodyLeft);
            }
        }
        self.overrides.put(new);
        Ok(HealthEvent::Override(gateway, Some(kind)))
    }

    /// Ends the override of a gateway, if there is one.
    pub fn release(&mut self, gateway: GatewayId) -> Option<HealthEvent> {
        self.overrides.lift(gateway).then_some(HealthEvent::Override(gateway, None))
    }

    /// Ends the overrides whose time is over.
    pub fn expire_overrides(&mut self, now: Timestamp) -> Vec<HealthEvent> {
        let over = self.overrides.expire(now).into_iter();
        over.map(|gateway| HealthEvent::Override(gateway, None)).collect()
    }

    /// Whether operators let new payments go to `gateway`.
    #[must_use]
    pub fn takes_new(&self, gateway: GatewayId, rules: &HealthRules, now: Timestamp) -> bool {
        !self.overrides.is_drained(gateway, now)
            && self.forced(rules, now).is_none_or(|forced| forced == gateway)
    }

    /// The gateway to which an operator forces all new payments.
    #[must_use]
    pub fn forced(&self, rules: &HealthRules, now: Timestamp) -> Option<GatewayId> {
        // An override of a gateway that is no longer configured, or that is barred, has no effect.
        let is_there = |gateway: &GatewayId| rules.knows(*gateway);
        self.overrides.forced(now).filter(is_there).filter(|gateway| !self.is_barred(*gateway))
    }
}
