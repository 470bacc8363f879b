//! What this process has seen of the realms that its claims stood in. It outlives every VM: one that begins
//! later, by an update of the listeners or after a death, finds out that etcd knows less than it did.
//!
//! The stored form, little-endian: a version, and for each realm its digest in 8 bytes, when it began in 8,
//! the highest revision in 8, and in 1 whether it was lost.

use super::key::Realm;
use crate::engine::codec::Reader;
use crate::engine::limits;
use crate::engine::time::Timestamp;

/// What this process has seen of a realm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// Which realm, in short.
    pub(super) realm: u64,
    /// When it began.
    pub(super) born: Timestamp,
    /// The highest revision that was seen.
    pub(super) revision: u64,
    /// Some of it was lost under a worker that had joined it.
    pub(super) is_lost: bool,
}

/// What this process has seen of all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineages(Vec<Lineage>);

impl Lineages {
    const VERSION: u8 = 1;

    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![Self::VERSION];
        for one in &self.0 {
            bytes.extend(one.realm.to_le_bytes());
            bytes.extend(one.born.as_millis().to_le_bytes());
            bytes.extend(one.revision.to_le_bytes());
            bytes.push(one.is_lost.into());
        }
        bytes
    }

    /// Reads the stored form, which is empty where nothing was ever written. `None`: another version has
    /// written it, and nobody knows what it says.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Reader(bytes);
        let mut all = Vec::new();
        if bytes.0.is_empty() {
            return Some(Self(all));
        }
        if bytes.byte()? != Self::VERSION {
            return None;
        }
        while !bytes.0.is_empty() && all.len() < limits::ETCD_REALMS_MAX {
            let (realm, born, revision) = (bytes.long()?, bytes.time()?, bytes.long()?);
            let is_lost = bytes.byte()? != 0;
            all.push(Lineage { realm, born, revision, is_lost });
        }
        Some(Self(all))
    }

    pub(super) fn of(&self, realm: &Realm) -> Option<Lineage> {
        let realm = realm.digest();
        self.0.iter().find(|one| one.realm == realm).copied()
    }

    /// Takes in what a worker has seen; tells whether that is news, which must be written. When the realm
    /// began is what was told first. Where there is no room for
    /// one more, that goes which was not told of for longest, and one that was lost after all others.
    pub fn see(&mut self, seen: Lineage) -> bool {
        let Some(at) = self.0.iter().position(|one| one.realm == seen.realm) else {
            if self.0.len() >= limits::ETCD_REALMS_MAX {
                self.0.remove(self.0.iter().position(|one| !one.is_lost).unwrap_or(0));
            }
            self.0.push(seen);
            return true;
        };
        let before = self.0.remove(at);
        let after = Lineage {
            revision: before.revision.max(seen.revision),
            is_lost: before.is_lost || seen.is_lost,
            ..before
        };
        self.0.push(after);
        after != before
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(realm: u64, revision: u64, is_lost: bool) -> Lineage {
        Lineage { realm, born: Timestamp::from_millis(7), revision, is_lost }
    }

    #[test]
    fn what_was_seen_is_never_less_and_a_loss_is_never_taken_back() {
        let mut all = Lineages::default();
        let told = [(10, false), (9, false), (11, false), (11, true), (12, false)];
        let news = told.map(|(revision, is_lost)| all.see(seen(1, revision, is_lost)));
        assert_eq!(news, [true, false, true, true, true]);
        assert_eq!(all.0, [seen(1, 12, true)]);
    }

    #[test]
    fn where_there_is_no_room_a_realm_goes_that_nobody_speaks_of() {
        let mut all = Lineages::default();
        all.see(seen(0, 1, true));
        let most = limits::ETCD_REALMS_MAX as u64;
        for realm in 1..2 * most {
            all.see(seen(realm, 1, false));
            // Somebody works with this one.
            all.see(seen(1, realm, false));
        }
        assert_eq!(all.0.len(), limits::ETCD_REALMS_MAX);
        let realms: Vec<u64> = all.0.iter().map(|one| one.realm).collect();
        assert!(realms.contains(&0) && realms.contains(&1), "{realms:?}");
    }

    #[test]
    fn what_another_version_has_written_is_not_taken_for_nothing() {
        assert_eq!(Lineages::decode(b""), Some(Lineages::default()));
        assert_eq!(Lineages::decode(b"\x02"), None);
        let mut all = Lineages::default();
        all.see(seen(1, 1, false));
        let bytes = all.encode();
        assert_eq!(Lineages::decode(&bytes[..bytes.len() - 1]), None);
    }

    proptest! {
        #[test]
        fn what_is_written_comes_back(
            all in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<bool>()), 0..9)
        ) {
            let mut lineages = Lineages::default();
            for (realm, revision, is_lost) in all {
                lineages.see(seen(realm, revision, is_lost));
            }
            prop_assert_eq!(Lineages::decode(&lineages.encode()), Some(lineages));
        }

        #[test]
        fn noise_is_read_without_panic(noise in proptest::collection::vec(any::<u8>(), 0..999)) {
            let _ = Lineages::decode(&[vec![Lineages::VERSION], noise.clone()].concat());
            let _ = Lineages::decode(&noise);
        }
    }
}
