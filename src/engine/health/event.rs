//! What operators want to know about gateways.

use super::breaker::Transition;
use super::cause::Cause;
use super::history::Why;
use super::overrides::OverrideKind;
use super::peer_tls::Breach;
use crate::engine::gateway::GatewayId;

/// Something that operators want to know happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthEvent {
    /// A breaker moved.
    Breaker(GatewayId, Transition),
    /// Heartbeats say that a gateway came up (true) or went down.
    Heartbeat(GatewayId, bool),
    /// Heartbeats and traffic contradict each other: a breaker opened while heartbeats were good
    /// (true), or heartbeats turned bad while traffic went well.
    Disagree(GatewayId, bool),
    /// New payments go to another gateway first.
    Switch {
        /// Before.
        from: GatewayId,
        /// From now on.
        to: GatewayId,
        /// Why.
        cause: Cause,
    },
    /// So many percent of the new payments go to a gateway first that takes over again; all of
    /// them at 100.
    Ramp(GatewayId, u32),
    /// An operator forces or drains a gateway, or no longer does.
    Override(GatewayId, Option<OverrideKind>),
    /// A gateway is barred because of its connection, or admitted again by an operator.
    Barred(GatewayId, Option<Breach>),
    /// Requests that would move money begin to be refused for this reason.
    Refusing(Why),
}
