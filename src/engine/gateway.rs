//! Gateways by name: what stored records say must stay true when the configuration changes.
//!
//! A record names gateways as bits. Which bit belongs to which name is written once in a table
//! that only grows ([`Layout`]), so a configuration that reorders, adds or drops gateways never
//! makes an old record point to another one.

use super::limits;

/// A gateway's place in the table of names; stable for the life of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GatewayId(u8);

impl GatewayId {
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

/// What is fixed for the life of the store: how many buckets it has, and whose bit is whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    buckets: u32,
    names: Vec<String>,
}

/// Why a configuration cannot be used with the store that is already there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// The store was written by another version of this filter.
    Version,
    /// The store has another number of buckets; records would be looked for in the wrong place.
    Buckets {
        /// What the store has.
        stored: u32,
        /// What the configuration asks for.
        configured: u32,
    },
    /// More gateway names than a record has bits were used since the store began.
    Names,
}

impl std::fmt::Display for LayoutError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Version => f.write_str(
                "the claim store under this vm_id was written by another version of the filter: \
                 choose a new vm_id once no payment is in doubt",
            ),
            Self::Buckets { stored, configured } => write!(
                f,
                "idempotency.store.local.claims_max: expected the capacity this vm_id began with \
                 ({stored} buckets), found one of {configured} buckets: a changed capacity would \
                 lose every claim; restart Envoy or choose a new vm_id once no payment is in doubt"
            ),
            Self::Names => write!(
                f,
                "gateways: expected at most {} different names over the life of a vm_id",
                limits::GATEWAY_NAMES_MAX
            ),
        }
    }
}

impl Layout {
    /// First byte of the stored form. It covers the definition of the claim key as well: whoever
    /// changes either must raise it.
    const VERSION: u8 = 1;

    /// An empty table for a store of `buckets` buckets.
    #[must_use]
    pub const fn new(buckets: u32) -> Self {
        Self { buckets, names: Vec::new() }
    }

    /// Joins a configuration to the stored layout: the ids of `names`, in their order, and
    /// whether the table grew and must be written back.
    ///
    /// # Errors
    /// When the configuration cannot use this store.
    pub fn join(
        &mut self,
        buckets: u32,
        names: &[&str],
    ) -> Result<(Vec<GatewayId>, bool), LayoutError> {
        if self.buckets != buckets {
            return Err(LayoutError::Buckets { stored: self.buckets, configured: buckets });
        }
        let before = self.names.len();
        let ids = names.iter().map(|name| self.id_of(name)).collect::<Option<Vec<_>>>();
        Ok((ids.ok_or(LayoutError::Names)?, self.names.len() > before))
    }

    fn id_of(&mut self, name: &str) -> Option<GatewayId> {
        let known = self.names.iter().position(|other| other == name);
        let index = known.unwrap_or(self.names.len());
        let id = GatewayId::new(index)?;
        if known.is_none() {
            self.names.push(name.to_owned());
        }
        Some(id)
    }

    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![Self::VERSION];
        bytes.extend(self.buckets.to_le_bytes());
        bytes.extend(self.names.join("\n").into_bytes());
        bytes
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When the bytes were not written by this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, LayoutError> {
        let [Self::VERSION, b0, b1, b2, b3, names @ ..] = bytes else {
            return Err(LayoutError::Version);
        };
        let names = std::str::from_utf8(names).map_err(|_| LayoutError::Version)?;
        Ok(Self {
            buckets: u32::from_le_bytes([*b0, *b1, *b2, *b3]),
            names: names.split('\n').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_bit_through_reorder_removal_and_return() {
        let mut layout = Layout::new(8);
        let (first, grew) = layout.join(8, &["primary", "secondary"]).unwrap();
        assert!(grew);
        let mut stored = Layout::decode(&layout.encode()).unwrap();
        assert_eq!(stored, layout);
        let (swapped, grew) = stored.join(8, &["secondary", "third", "primary"]).unwrap();
        assert!(grew);
        assert_eq!((swapped[0], swapped[2]), (first[1], first[0]));
        assert!(!first.contains(&swapped[1]));
        assert!(!stored.join(8, &["primary"]).unwrap().1);
    }

    #[test]
    fn another_capacity_or_version_is_refused_with_the_reason() {
        let mut layout = Layout::new(8);
        let error = layout.join(16, &["primary"]).unwrap_err();
        assert!(error.to_string().contains("claims_max"), "{error}");
        assert_eq!(Layout::decode(&[9, 0, 0, 0, 0]), Err(LayoutError::Version));
        assert_eq!(Layout::decode(&[]), Err(LayoutError::Version));
    }

    #[test]
    fn a_seventeenth_name_is_refused() {
        let names: Vec<String> = (0..17).map(|n| format!("g{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(Layout::new(1).join(1, &names), Err(LayoutError::Names));
        assert!(Layout::new(1).join(1, &names[..16]).is_ok());
    }

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
