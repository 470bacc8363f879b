//! What this process has seen of a realm. It outlives every VM: one that begins later, by an update of the
//! listeners or after a death, finds out that etcd knows less than it did.

use crate::engine::codec::Reader;
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
    /// The store was found to be another one, or to know less than before.
    pub(super) is_another: bool,
}

impl Lineage {
    pub(super) fn write(self, bytes: &mut Vec<u8>) {
        bytes.extend(self.realm.to_le_bytes());
        bytes.extend(self.born.as_millis().to_le_bytes());
        bytes.extend(self.revision.to_le_bytes());
        bytes.push(self.is_another.into());
    }

    pub(super) fn read(bytes: &mut Reader<'_>) -> Option<Self> {
        let (realm, born, revision) = (bytes.long()?, bytes.time()?, bytes.long()?);
        let is_another = match bytes.byte()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(Self { realm, born, revision, is_another })
    }

    /// With what another worker has seen of the same realm. What was first is what counts.
    pub(super) fn with(self, other: Self) -> Self {
        Self {
            revision: self.revision.max(other.revision),
            is_another: self.is_another || other.is_another || self.born != other.born,
            ..self
        }
    }
}
