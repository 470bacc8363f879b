//! The right to one trial.

use crate::engine::gateway::GatewayId;

/// The right to one trial of a gateway whose breaker is half open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Permit {
    pub(super) gateway: GatewayId,
    /// The breaker's generation in which it was taken.
    pub(super) generation: u32,
}
