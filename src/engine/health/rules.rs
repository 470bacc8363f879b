//! The rules by which health is judged and gateways are chosen.

use super::breaker::BreakerLimits;
use super::heartbeat::HeartbeatLimits;
use crate::engine::gateway::GatewayId;
use crate::engine::time::Millis;

/// The rules by which health is judged and gateways are chosen.
#[derive(Clone, Debug)]
pub struct HealthRules {
    /// The gateways that are configured, in order of preference.
    pub order: Vec<GatewayId>,
    /// When a breaker opens, and how it closes again.
    pub breaker: BreakerLimits,
    /// When heartbeats make a gateway up or down.
    pub heartbeat: HeartbeatLimits,
    /// When an earlier gateway takes over again.
    pub failback: Failback,
    /// The longest time that a resolved record is kept. Older leaps of the clock do not matter.
    pub retention: Millis,
}

impl HealthRules {
    /// The gateways in order of preference.
    pub fn order(&self) -> impl Iterator<Item = GatewayId> {
        self.order.iter().copied()
    }

    /// Whether a gateway is configured.
    #[must_use]
    pub fn knows(&self, gateway: GatewayId) -> bool {
        self.order.contains(&gateway)
    }

    /// How long the lease to send heartbeats lasts: long enough for a few of them, short enough that a
    /// worker that died is soon replaced.
    #[must_use]
    pub fn heartbeat_lease(&self) -> Millis {
        Millis::new(self.heartbeat.interval.get().saturating_mul(2).max(1000))
    }
}

/// When an earlier gateway of the order becomes active again.
#[derive(Clone, Copy, Debug)]
pub struct Failback {
    /// It does not, unless the active one fails or an operator sets an override.
    pub manual: bool,
    /// How long its breaker must have been closed.
    pub stable: Millis,
    /// How long the active gateway must have been active.
    pub dwell: Millis,
    /// How long it takes until all new payments go to the earlier one again. Zero: all at once.
    pub ramp: Millis,
}
