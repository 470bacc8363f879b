//! Successes that a worker has counted by itself.

use super::fair_share::Payers;
use super::window::Tally;
use crate::engine::gateway::GatewayId;

/// Successes of one gateway. They belong to one generation of its breaker, and are dropped with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The gateway.
    pub gateway: GatewayId,
    /// The generation of its breaker.
    pub generation: u32,
    /// Whether they moved money.
    pub pays: bool,
    /// Their number.
    pub tally: Tally,
    /// The partners and operations that they came from.
    pub seen: Payers,
}
