//! Gateways by their places in two tables: the one of this process, and the one that all Envoys of the
//! realm share. Each table only grows, in the order in which names came to it.

use crate::engine::gateway::GatewayId;

/// Which place here is which place there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(Vec<(GatewayId, GatewayId)>);

impl Names {
    /// Pairs of a place here and one there.
    #[must_use]
    pub const fn new(pairs: Vec<(GatewayId, GatewayId)>) -> Self {
        Self(pairs)
    }

    /// The place in the realm's table. `None`: it is not configured.
    pub(super) fn there(&self, here: GatewayId) -> Option<GatewayId> {
        self.0.iter().find(|(known, _)| *known == here).map(|(_, there)| *there)
    }

    /// The place in this process's table. `None`: nobody here knows that gateway.
    pub(super) fn here(&self, there: GatewayId) -> Option<GatewayId> {
        self.0.iter().find(|(_, known)| *known == there).map(|(here, _)| *here)
    }
}
