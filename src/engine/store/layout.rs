//! What is fixed for the life of a store, so that its records stay true when the configuration
//! changes.
//!
//! A record names gateways as bits. Which bit belongs to which name is written once in a table
//! that only grows, so a configuration that reorders, adds or drops gateways never makes an old
//! record point to another one. A name does not take over another one's cluster: what follows its
//! payments would go to the wrong ledger. A record is found by its
//! payment's key, so what keys are made from may not change either, nor the number of buckets.

use super::local::placement::{Placement, Seed};
use crate::engine::codec::{Reader, sha256};
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::limits;
use crate::engine::time::Timestamp;

/// What is fixed for the life of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Where each payment's records stand.
    placement: Placement,
    /// Nobody has ever claimed anything in shared data, nor may a worker that has joined.
    is_unclaimed: bool,
    /// When the store began, by the wall clock: what was sent before is not in it.
    born: Option<Timestamp>,
    /// Whose bit is whose.
    names: Vec<String>,
    /// Clusters that were used, each with the place of its gateway's name.
    clusters: Vec<(usize, String)>,
    /// How the payments of each path are named.
    keys: Vec<(String, u64)>,
}

/// How the requests that come by a path are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDefinition {
    /// The operation's name, for messages.
    pub operation: String,
    /// The end of its path.
    pub path: String,
    /// Everything that its claim keys are made from, as a hash; none where it moves no money.
    pub digest: Option<u64>,
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
    /// Payments of this operation had other names when the store began: those that were claimed
    /// would not be recognised.
    Keys {
        /// The operation.
        operation: String,
    },
    /// This cluster reached another gateway before.
    Cluster {
        /// The cluster.
        cluster: String,
        /// Whose it was.
        owner: String,
    },
    /// More paths were used since the store began than a layout holds.
    Paths,
}

/// Whose layout a message is about, and what can be done.
struct LayoutScope {
    /// Where it stands.
    place: &'static str,
    /// What begins with another one.
    anew: &'static str,
    /// The same, or what else does.
    way_out: &'static str,
}

const OF_PROCESS: LayoutScope = LayoutScope {
    place: "this vm_id",
    anew: "choose a new vm_id",
    way_out: "restart Envoy or choose a new vm_id",
};

const OF_REALM: LayoutScope =
    LayoutScope { place: "this realm", anew: "choose a new realm", way_out: "choose a new realm" };

impl LayoutError {
    /// The same about the layout of a realm, which other Envoys share and which outlives a restart.
    #[must_use]
    pub fn of_realm(&self) -> String {
        self.told(&OF_REALM)
    }

    fn told(&self, LayoutScope { place, anew, way_out }: &LayoutScope) -> String {
        match self {
            Self::Version => format!(
                "the claim store under {place} was written by another version of the filter: {anew} \
                 once no payment is in doubt"
            ),
            Self::Buckets { stored, configured } => format!(
                "idempotency.store.local.claims_max: expected the capacity {place} began with \
                 ({stored} buckets), found one of {configured} buckets: a changed capacity would \
                 lose every claim; {way_out} once no payment is in doubt"
            ),
            Self::Keys { operation } => format!(
                "operations: expected payments of {operation} to be named as when {place} began, \
                 found another identity, namespace, class, protocol or partner header: payments that \
                 were claimed before would be made again; {way_out} once no payment is in doubt"
            ),
            Self::Cluster { cluster, owner } => format!(
                "gateways: expected cluster {cluster} to stay with gateway {owner}, which it reached \
                 under {place} before, found it under another name that was used before: what follows \
                 that name's payments would go to the wrong gateway; {anew} once no payment is in doubt"
            ),
            Self::Paths => format!(
                "gateways, operations: expected at most {} different clusters and {} different paths \
                 over the life of {place}",
                limits::CLUSTERS_MAX,
                limits::PATHS_MAX
            ),
            Self::Names => format!(
                "gateways: expected at most {} different names over the life of {place}",
                limits::GATEWAY_NAMES_MAX
            ),
        }
    }
}

impl std::fmt::Display for LayoutError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.told(&OF_PROCESS))
    }
}

impl Layout {
    /// First byte of the stored form. It covers the definition of the claim key and the records'
    /// form as well: whoever changes one of them must raise it.
    const VERSION: u8 = 5;
    /// The same but for the time when the store began, which is then not known.
    const VERSION_UNBORN: u8 = 4;
    /// The same as [`Self::VERSION`] where nothing was ever claimed in shared data.
    const VERSION_UNCLAIMED: u8 = 6;

    /// An empty table for a store of these places.
    #[must_use]
    pub fn new(placement: Placement) -> Self {
        let (names, clusters, keys) = Default::default();
        Self { placement, is_unclaimed: false, born: None, names, clusters, keys }
    }

    /// The same where all claims stand in etcd from the start.
    #[must_use]
    pub fn unclaimed(placement: Placement) -> Self {
        Self { is_unclaimed: true, ..Self::new(placement) }
    }

    /// Whether claims may stand in shared data: a worker that claims there, or leaves marks there,
    /// has joined at some time. What stands there counts until the process ends, whatever is
    /// configured by then.
    #[must_use]
    pub const fn may_hold_claims(&self) -> bool {
        !self.is_unclaimed
    }

    /// A worker is about to claim in shared data. Tells whether that must be written back first.
    pub const fn expect_claims(&mut self) -> bool {
        std::mem::replace(&mut self.is_unclaimed, false)
    }

    /// When the store began, if that is known.
    #[must_use]
    pub const fn born(&self) -> Option<Timestamp> {
        self.born
    }

    /// When the store began: now, where that was not known. Tells whether it must be written back.
    pub fn begin(&mut self, now: Timestamp) -> (Timestamp, bool) {
        let is_new = self.born.is_none();
        // Zero stands for what is not known.
        (*self.born.get_or_insert_with(|| now.max(Timestamp::from_millis(1))), is_new)
    }

    /// Joins a configuration to the stored layout: the ids of `gateways`, each a name and its
    /// cluster, in their order, and whether the layout grew and must be written back.
    ///
    /// # Errors
    /// When the configuration cannot use this store.
    pub fn join(
        &mut self,
        claims_max: u32,
        gateways: &[(&str, &str)],
        keys: &[KeyDefinition],
    ) -> Result<(Vec<GatewayId>, bool), LayoutError> {
        let stored = self.placement.buckets();
        let configured = Placement::new(claims_max, Seed::default()).buckets();
        if stored != configured {
            return Err(LayoutError::Buckets { stored, configured });
        }
        let before = self.clone();
        self.join_keys(keys)?;
        let ids = gateways.iter().map(|(name, cluster)| self.id_of(name, cluster));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        Ok((ids, *self != before))
    }

    /// Whatever a path's requests were called when payments of it were claimed, they are called
    /// now: where it is served by another path (`/pay` instead of `/v2/pay`, or the other way
    /// round) or as something that moves no money, too. One that nobody serves any more is refused.
    fn join_keys(&mut self, keys: &[KeyDefinition]) -> Result<(), LayoutError> {
        for (path, digest) in &self.keys {
            let serving = keys.iter().filter(|key| path.ends_with(&key.path));
            let serving = serving.max_by_key(|key| key.path.len());
            if let Some(key) = serving.filter(|key| key.digest != Some(*digest)) {
                return Err(LayoutError::Keys { operation: key.operation.clone() });
            }
        }
        let mut fresh = Vec::new();
        for key in keys.iter().filter(|key| !self.keys.iter().any(|(path, _)| *path == key.path)) {
            let stored = self.keys.iter().filter(|(path, _)| key.path.ends_with(path));
            let stored = stored.max_by_key(|(path, _)| path.len());
            if stored.is_some_and(|(_, digest)| key.digest != Some(*digest)) {
                return Err(LayoutError::Keys { operation: key.operation.clone() });
            }
            fresh.extend(key.digest.map(|digest| (key.path.clone(), digest)));
        }
        self.keys.extend(fresh);
        if self.keys.len() > limits::PATHS_MAX { Err(LayoutError::Paths) } else { Ok(()) }
    }

    fn id_of(&mut self, name: &str, cluster: &str) -> Result<GatewayId, LayoutError> {
        let known = self.names.iter().position(|other| other == name);
        let index = known.unwrap_or(self.names.len());
        let id = GatewayId::new(index).ok_or(LayoutError::Names)?;
        if known.is_none() {
            self.names.push(name.to_owned());
        }
        let used = self.clusters.iter().filter(|(_, other)| other == cluster);
        let owners: Vec<usize> = used.map(|(owner, _)| *owner).collect();
        match owners.first() {
            _ if owners.contains(&index) => {}
            // A new name has no payments yet that could be looked for in the wrong place.
            Some(owner) if known.is_some() => {
                let owner = self.names.get(*owner).cloned().unwrap_or_default();
                return Err(LayoutError::Cluster { cluster: cluster.to_owned(), owner });
            }
            _ if self.clusters.len() >= limits::CLUSTERS_MAX => return Err(LayoutError::Paths),
            Some(_) | None => self.clusters.push((index, cluster.to_owned())),
        }
        Ok(id)
    }

    /// Where each payment's records stand.
    #[must_use]
    pub const fn placement(&self) -> Placement {
        self.placement
    }

    /// The gateway of a name, if it was ever used.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<GatewayId> {
        self.names.iter().position(|other| other == name).and_then(GatewayId::new)
    }

    /// Every gateway that was ever used.
    #[must_use]
    pub fn gateways(&self) -> Gateways {
        (0..self.names.len()).filter_map(GatewayId::new).collect()
    }

    /// What a gateway is or was called.
    #[must_use]
    pub fn name(&self, gateway: GatewayId) -> Option<&str> {
        self.names.get(gateway.index()).map(String::as_str)
    }

    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes =
            vec![if self.is_unclaimed { Self::VERSION_UNCLAIMED } else { Self::VERSION }];
        bytes.extend(self.placement.buckets().to_le_bytes());
        bytes.extend(self.placement.seed().bytes());
        bytes.extend(self.born.unwrap_or_default().as_millis().to_le_bytes());
        // None of these has white space in it; a path begins with a slash, and a name never does.
        let clusters = self.clusters.iter().map(|(owner, cluster)| format!("{owner} {cluster}"));
        let keys = self.keys.iter().map(|(path, digest)| format!("{path} {digest}"));
        let lines: Vec<String> = self.names.iter().cloned().chain(clusters).chain(keys).collect();
        bytes.extend(lines.join("\n").into_bytes());
        bytes
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When the bytes were not written by this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, LayoutError> {
        Self::read(bytes).ok_or(LayoutError::Version)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Reader(bytes);
        let (version @ (Self::VERSION | Self::VERSION_UNBORN | Self::VERSION_UNCLAIMED), buckets) =
            (bytes.byte()?, bytes.word()?)
        else {
            return None;
        };
        let mut layout = Self::new(Placement::of_buckets(buckets, Seed::new(bytes.take()?)));
        layout.is_unclaimed = version == Self::VERSION_UNCLAIMED;
        if version != Self::VERSION_UNBORN {
            layout.born = Some(bytes.time()?).filter(|born| born.as_millis() > 0);
        }
        for line in std::str::from_utf8(bytes.0).ok()?.split('\n').filter(|line| !line.is_empty()) {
            match line.split_once(' ') {
                None => layout.names.push(line.to_owned()),
                Some((path, digest)) if path.starts_with('/') => {
                    layout.keys.push((path.to_owned(), digest.parse().ok()?));
                }
                Some((owner, cluster)) => {
                    layout.clusters.push((owner.parse().ok()?, cluster.to_owned()));
                }
            }
        }
        Some(layout)
    }
}

pub(in crate::engine) fn hash(text: &str) -> u64 {
    let digest = sha256(text.as_bytes());
    digest.first_chunk().copied().map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gateways whose clusters are called as they are.
    fn of<'n>(names: &[&'n str]) -> Vec<(&'n str, &'n str)> {
        names.iter().map(|name| (*name, *name)).collect()
    }

    const ROOM: u32 = 128;

    #[test]
    fn a_name_keeps_its_bit_through_reorder_removal_and_return() {
        let mut layout = Layout::new(Placement::new(ROOM, Seed::new([7; Seed::SIZE])));
        let (first, grew) = layout.join(ROOM, &of(&["primary", "secondary"]), &[]).unwrap();
        assert!(grew);
        let mut stored = Layout::decode(&layout.encode()).unwrap();
        assert_eq!(stored, layout);
        assert_eq!(stored, layout);
        let (swapped, grew) =
            stored.join(ROOM, &of(&["secondary", "third", "primary"]), &[]).unwrap();
        assert!(grew);
        assert_eq!((swapped[0], swapped[2]), (first[1], first[0]));
        assert!(!first.contains(&swapped[1]));
        assert!(!stored.join(ROOM, &of(&["primary"]), &[]).unwrap().1);
    }

    #[test]
    fn a_store_of_an_earlier_version_begins_when_it_is_first_read() {
        let mut layout = Layout::new(Placement::new(ROOM, Seed::new([7; Seed::SIZE])));
        layout.join(ROOM, &of(&["primary"]), &[key("/pay", 1)]).unwrap();
        let mut old = layout.encode();
        old[0] = 4;
        old.drain(21..29);
        let (now, later) = (Timestamp::from_millis(1000), Timestamp::from_millis(2000));
        let mut read = Layout::decode(&old).unwrap();
        assert_eq!(read, layout);
        assert_eq!((read.born(), read.begin(now)), (None, (now, true)));
        let mut stored = Layout::decode(&read.encode()).unwrap();
        assert_eq!((stored.begin(later), &stored), ((now, false), &read));
    }

    #[test]
    fn where_nothing_was_claimed_is_told_until_something_may_be() {
        let placement = Placement::new(ROOM, Seed::new([7; Seed::SIZE]));
        let mut layout = Layout::unclaimed(placement);
        layout.join(ROOM, &of(&["primary"]), &[]).unwrap();
        layout.begin(Timestamp::from_millis(7));
        let mut read = Layout::decode(&layout.encode()).unwrap();
        assert_eq!(read, layout);
        assert!(!read.may_hold_claims());
        assert!(read.expect_claims() && !read.expect_claims());
        assert!(Layout::decode(&read.encode()).unwrap().may_hold_claims());
        assert!(Layout::new(placement).may_hold_claims());
    }

    #[test]
    fn another_capacity_or_version_is_refused_with_the_reason() {
        let mut layout = Layout::new(Placement::new(ROOM, Seed::default()));
        let error = layout.join(2 * ROOM, &of(&["primary"]), &[]).unwrap_err();
        assert!(error.to_string().contains("claims_max"), "{error}");
        assert_eq!(Layout::decode(&[9, 0, 0, 0, 0]), Err(LayoutError::Version));
        assert_eq!(Layout::decode(&[]), Err(LayoutError::Version));
    }

    #[test]
    fn a_seventeenth_name_is_refused() {
        let names: Vec<String> = (0..17).map(|n| format!("g{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(
            Layout::new(Placement::new(1, Seed::default())).join(1, &of(&names), &[]),
            Err(LayoutError::Names)
        );
        assert!(
            Layout::new(Placement::new(1, Seed::default())).join(1, &of(&names[..16]), &[]).is_ok()
        );
    }

    fn key(path: &str, digest: u64) -> KeyDefinition {
        let digest = Some(digest).filter(|digest| *digest > 0);
        KeyDefinition { operation: format!("of {path}"), path: path.to_owned(), digest }
    }

    #[test]
    fn payments_keep_the_names_that_they_had() {
        let mut layout = Layout::new(Placement::new(ROOM, Seed::default()));
        let first = [key("/pay", 1), key("/v1/pay", 2), key("/refund", 3)];
        assert!(layout.join(ROOM, &of(&["a"]), &first).unwrap().1, "whatever it begins with");
        let stored = Layout::decode(&layout.encode()).unwrap();
        assert_eq!(stored, layout);
        let check = |keys: &[KeyDefinition], expected: Option<&str>| {
            let joined = stored.clone().join(ROOM, &of(&["a"]), keys);
            let refused = joined.err().map(|error| error.to_string());
            match expected {
                None => assert_eq!(refused, None, "{keys:?}"),
                Some(part) => assert!(refused.unwrap().contains(part), "{keys:?}"),
            }
        };
        check(&first, None);
        // Fewer, more, and others beside them.
        check(&[key("/pay", 1), key("/v1/pay", 2)], None);
        check(&first[1..], None);
        check(&[first.as_slice(), &[key("/top-up", 9)]].concat(), None);
        // What was served by the longer path is now served by the shorter one.
        check(&first[..1], Some("of /pay"));
        check(&[key("/pay", 2)], Some("of /pay"));
        // As something that moves no money.
        check(&[key("/pay", 0), key("/v1/pay", 2)], Some("of /pay"));
        check(&[key("/pay", 1), key("/v1/pay", 0)], Some("of /v1/pay"));
        // Another definition, or a longer path with one that takes payments over.
        check(&[key("/pay", 4)], Some("of /pay"));
        let and = |more: &[KeyDefinition]| [first.as_slice(), more].concat();
        check(&and(&[key("/v2/pay", 1)]), None);
        check(&and(&[key("/v2/pay", 5)]), Some("of /v2/pay"));
        check(&and(&[key("/v2/pay", 0)]), Some("of /v2/pay"));
        check(&and(&[key("/x/v1/pay", 1)]), Some("of /x/v1/pay"));
        check(&and(&[key("/x/v1/pay", 2)]), None);
        // The longest of the new ones is compared with what was stored, too.
        check(&and(&[key("/v2/pay", 1), key("/x/v2/pay", 5)]), Some("of /x/v2/pay"));
        let many: Vec<_> =
            (1..=limits::PATHS_MAX as u64 + 1).map(|n| key(&format!("/{n}/"), n)).collect();
        check(&many, Some("different paths"));
    }

    #[test]
    fn a_cluster_stays_with_its_gateway() {
        let mut layout = Layout::new(Placement::new(ROOM, Seed::default()));
        layout.join(ROOM, &[("a", "one"), ("b", "two")], &[]).unwrap();
        let stored = Layout::decode(&layout.encode()).unwrap();
        assert_eq!(stored, layout);
        let check = |gateways: &[(&str, &str)], refused: bool| {
            let joined = stored.clone().join(ROOM, gateways, &[]);
            assert_eq!(joined.is_err(), refused, "{gateways:?}: {joined:?}");
        };
        check(&[("b", "two"), ("a", "one")], false);
        // Moved to a cluster of another name, or a further gateway.
        check(&[("a", "one-new"), ("b", "two")], false);
        check(&[("c", "three"), ("b", "two")], false);
        // A new name has no payments yet.
        check(&[("c", "one"), ("b", "two")], false);
        // Swapped, at once or in two steps.
        check(&[("a", "two"), ("b", "one")], true);
        let mut renamed = stored.clone();
        renamed.join(ROOM, &[("c", "one"), ("d", "two")], &[]).unwrap();
        for gateways in [[("c", "two")], [("a", "two")], [("d", "one")]] {
            assert!(renamed.clone().join(ROOM, &gateways, &[]).is_err(), "{gateways:?}");
        }
        assert!(renamed.clone().join(ROOM, &[("a", "one"), ("b", "two")], &[]).is_ok());
        let error = stored.clone().join(ROOM, &[("a", "two")], &[]).unwrap_err().to_string();
        assert!(error.contains("cluster two to stay with gateway b"), "{error}");
    }
}
