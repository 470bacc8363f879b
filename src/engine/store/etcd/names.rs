//! Gateways by their places in two tables: the one of this process, and the one that all Envoys of the
//! realm share. Each table only grows, in the order in which names came to it.

use crate::engine::gateway::{GatewayId, Gateways};

/// Which place here is which place there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names(Vec<(GatewayId, GatewayId)>);

impl Names {
    /// Pairs of a place here and one there.
    #[must_use]
    pub(super) const fn new(pairs: Vec<(GatewayId, GatewayId)>) -> Self {
        Self(pairs)
    }

    /// The same set in the realm's table. `None`: one of them is not configured.
    pub(super) fn there(&self, here: Gateways) -> Option<Gateways> {
        self.renamed(here, |(here, there)| (here, there))
    }

    /// The same set in this process's table. `None`: one of them is not known here.
    pub(super) fn here(&self, there: Gateways) -> Option<Gateways> {
        self.renamed(there, |(here, there)| (there, here))
    }

    fn renamed(
        &self,
        set: Gateways,
        way: fn((GatewayId, GatewayId)) -> (GatewayId, GatewayId),
    ) -> Option<Gateways> {
        let (mut left, mut renamed) = (set, Gateways::NONE);
        for (from, to) in self.0.iter().copied().map(way) {
            if set.contains(from) {
                left = left.without(from);
                renamed = renamed.with(to);
            }
        }
        left.is_empty().then_some(renamed)
    }
}
