//! Gateways and sets of them, as records name them: by their place in a table of names that only
//! grows ([`Layout`](crate::engine::store::Layout)).

use crate::engine::limits;

/// A gateway's place in the table of names; stable for the life of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GatewayId(u8);

impl GatewayId {
    /// The first place in the table.
    pub const FIRST: Self = Self(0);

    /// The gateway of place `index`, below [`limits::GATEWAY_NAMES_MAX`].
    #[must_use]
    pub fn new(index: usize) -> Option<Self> {
        let index = u8::try_from(index).ok()?;
        (usize::from(index) < limits::GATEWAY_NAMES_MAX).then_some(Self(index))
    }

    /// The place in the table of names.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    pub(super) const fn byte(self) -> u8 {
        self.0
    }
}

/// A set of gateways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gateways(u16);

impl Gateways {
    /// No gateway.
    pub const NONE: Self = Self(0);

    /// Just `gateway`.
    #[must_use]
    pub const fn only(gateway: GatewayId) -> Self {
        Self(1 << gateway.0)
    }

    /// Whether `gateway` is in the set.
    #[must_use]
    pub const fn contains(self, gateway: GatewayId) -> bool {
        self.0 & (1 << gateway.0) != 0
    }

    /// The set and `gateway`.
    #[must_use]
    pub const fn with(self, gateway: GatewayId) -> Self {
        Self(self.0 | (1 << gateway.0))
    }

    /// The set without `gateway`.
    #[must_use]
    pub const fn without(self, gateway: GatewayId) -> Self {
        Self(self.0 & !(1 << gateway.0))
    }

    /// The gateways that are in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The one gateway, if the set holds exactly one.
    #[must_use]
    pub fn single(self) -> Option<GatewayId> {
        let mut members = self.iter();
        let first = members.next()?;
        members.next().is_none().then_some(first)
    }

    /// The members, in the order of the table of names.
    pub fn iter(self) -> impl Iterator<Item = GatewayId> {
        (0..16u8).map(GatewayId).filter(move |gateway| self.contains(*gateway))
    }

    pub(super) const fn bits(self) -> u16 {
        self.0
    }

    pub(super) const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }
}

impl FromIterator<GatewayId> for Gateways {
    fn from_iter<I: IntoIterator<Item = GatewayId>>(members: I) -> Self {
        Self(members.into_iter().fold(0, |bits, gateway| bits | (1 << gateway.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_narrow() {
        let [a, b] = [0, 3].map(|index| GatewayId::new(index).unwrap());
        let both: Gateways = [a, b].into_iter().collect();
        assert_eq!(both.single(), None);
        assert_eq!(both.without(a).single(), Some(b));
        assert!(both.without(a).without(b).is_empty());
        assert_eq!(both.intersection(Gateways::only(b)), Gateways::only(b));
        assert_eq!(Gateways::NONE.single(), None);
    }
}
