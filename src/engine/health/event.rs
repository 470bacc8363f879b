//! Events about gateways, for operators.

use super::breaker::Transition;
use super::cause::Cause;
use super::history::Why;
use super::overrides::OverrideKind;
use super::peer_tls::Breach;
use crate::engine::gateway::GatewayId;

/// An event that operators want to know about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthEvent {
    /// A breaker moved.
    Breaker(GatewayId, Transition),
    /// By its heartbeats a gateway is up (true) or down.
    Heartbeat(GatewayId, bool),
    /// Heartbeats and traffic disagree: a breaker opened while heartbeats were good (true), or
    /// heartbeats turned bad while traffic went well.
    Disagree(GatewayId, bool),
    /// New payments go to another gateway first.
    Switch {
        /// The gateway before.
        from: GatewayId,
        /// The gateway from now on.
        to: GatewayId,
        /// Why.
        cause: Cause,
    },
    /// The percentage of the new payments that go first to a gateway that takes over again. At 100 all
    /// of them do.
    Ramp(GatewayId, u32),
    /// An operator forces or drains a gateway, or no longer does.
    Override(GatewayId, Option<OverrideKind>),
    /// A gateway is barred because of its connection, or admitted again by an operator.
    Barred(GatewayId, Option<Breach>),
    /// A run of refusals begins: requests that would move money are refused for this reason.
    Refusing(Why),
}
