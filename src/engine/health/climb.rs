//! The way back to a gateway that takes over again, step by step.

use super::event::HealthEvent;
use super::ramp::Ramp;
use super::rules::HealthRules;
use super::shared::Health;
use crate::engine::gateway::GatewayId;
use crate::engine::limits::RAMP_STEPS;
use crate::engine::time::{Millis, Timestamp};

impl Health {
    /// Percent of the new payments that go to the active gateway first; 100 where nothing is shared.
    #[must_use]
    pub fn share(&self, rules: &HealthRules, now: Timestamp) -> u32 {
        self.sharing(rules, now).map_or(100, Ramp::share)
    }

    /// The gateway that takes a new payment first in the place of the active one. `draw` is from 0
    /// to 99, and evenly spread over payments.
    pub(super) fn stand_in(
        &self,
        draw: u32,
        rules: &HealthRules,
        now: Timestamp,
    ) -> Option<GatewayId> {
        self.sharing(rules, now).filter(|ramp| draw >= ramp.share()).map(|ramp| ramp.from)
    }

    fn sharing(&self, rules: &HealthRules, now: Timestamp) -> Option<Ramp> {
        let stands = self.active.is_some() && self.active == self.active(rules, now);
        self.ramp.filter(|ramp| {
            stands
                && self.forced(rules, now).is_none()
                && self.active != Some(ramp.from)
                && self.is_usable(ramp.from, rules, now)
        })
    }

    /// Takes the next step when the one under way is over, unless too many payments fail; then the
    /// step is made again. For the worker that leads.
    pub fn climb(&mut self, rules: &HealthRules, now: Timestamp) -> Option<HealthEvent> {
        let (ramp, active) = (self.ramp?, self.active?);
        let length = Millis::new(rules.failback.ramp.get() / u64::from(RAMP_STEPS));
        let lasts = now.since(ramp.since).max(ramp.since.since(now));
        if lasts < length {
            return None;
        }
        let holds =
            self.member(active).is_some_and(|one| one.breaker.is_shaky(now, &rules.breaker));
        let step = if holds { ramp.step } else { ramp.step + 1 };
        let next = Ramp { step, since: now, ..ramp };
        self.ramp = (step < RAMP_STEPS).then_some(next);
        (!holds).then(|| HealthEvent::Ramp(active, next.share()))
    }
}
