//! The way back: a gateway that takes over again gets its payments step by step.
//!
//! Trials prove that a gateway answers, not that it carries the load. So its share grows by equal
//! steps over `ramp_ms`, each of them only while few of its payments fail, and the gateway that was
//! in use until then takes the rest. If that one is not usable any more, there is nothing to share.

use super::{Health, HealthEvent};
use crate::engine::codec::Reader;
use crate::engine::config::Policy;
use crate::engine::gateway::GatewayId;
use crate::engine::limits::RAMP_STEPS;
use crate::engine::time::{Millis, Timestamp};

/// How far the active gateway has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ramp {
    /// Who takes what the active gateway does not.
    pub(super) from: GatewayId,
    /// The step under way, from 1 to one less than [`RAMP_STEPS`].
    step: u8,
    /// When it began.
    since: Timestamp,
}

impl Ramp {
    pub(super) const fn begin(from: GatewayId, now: Timestamp) -> Self {
        Self { from, step: 1, since: now }
    }

    /// The share of the active gateway, in percent.
    fn share(self) -> u32 {
        u32::from(self.step) * 100 / u32::from(RAMP_STEPS)
    }

    pub(super) fn encode(ramp: Option<Self>, bytes: &mut Vec<u8>) {
        let (from, step, since) =
            ramp.map_or((0, 0, 0), |ramp| (ramp.from.byte(), ramp.step, ramp.since.as_millis()));
        bytes.extend([from, step]);
        bytes.extend(since.to_le_bytes());
    }

    /// The outer `None` is for bytes that say nothing.
    #[expect(clippy::option_option, reason = "mostly there is no ramp")]
    pub(super) fn decode(bytes: &mut Reader<'_>) -> Option<Option<Self>> {
        let ([from, step], since) = (bytes.take()?, bytes.time()?);
        let from = GatewayId::new(usize::from(from))?;
        Some((step > 0).then_some(Self { from, step: step.min(RAMP_STEPS - 1), since }))
    }
}

impl Health {
    /// Percent of the new payments that go to the active gateway first; 100 where nothing is shared.
    #[must_use]
    pub fn share(&self, policy: &Policy, now: Timestamp) -> u32 {
        self.sharing(policy, now).map_or(100, Ramp::share)
    }

    /// The gateway that takes a new payment first in the place of the active one. `draw` is from 0
    /// to 99, and evenly spread over payments.
    pub(super) fn stand_in(&self, draw: u32, policy: &Policy, now: Timestamp) -> Option<GatewayId> {
        self.sharing(policy, now).filter(|ramp| draw >= ramp.share()).map(|ramp| ramp.from)
    }

    fn sharing(&self, policy: &Policy, now: Timestamp) -> Option<Ramp> {
        let stands = self.active.is_some() && self.active == self.active(policy, now);
        self.ramp.filter(|ramp| {
            stands
                && self.forced(policy, now).is_none()
                && self.active != Some(ramp.from)
                && self.is_usable(ramp.from, policy, now)
        })
    }

    /// Takes the next step when the one under way is over, unless too many payments fail; then the
    /// step is made again. For the worker that leads.
    pub fn climb(&mut self, policy: &Policy, now: Timestamp) -> Option<HealthEvent> {
        let (ramp, active) = (self.ramp?, self.active?);
        let length = Millis::new(policy.failback.ramp.get() / u64::from(RAMP_STEPS));
        let lasts = now.since(ramp.since).max(ramp.since.since(now));
        if lasts < length {
            return None;
        }
        let holds =
            self.member(active).is_some_and(|one| one.breaker.is_shaky(now, &policy.breaker));
        let step = if holds { ramp.step } else { ramp.step + 1 };
        let next = Ramp { step, since: now, ..ramp };
        self.ramp = (step < RAMP_STEPS).then_some(next);
        (!holds).then(|| HealthEvent::Ramp(active, next.share()))
    }
}
