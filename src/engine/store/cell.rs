//! Values that all workers of this process share, and how they are read and written.

/// A value of the store that all workers share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    /// What is fixed for the life of the store.
    Layout,
    /// What is known of the gateways.
    Health,
    /// A bucket of claims.
    Claims(u32),
    /// A set of kept answers.
    Body(u32),
    /// The last census of all claims.
    Census,
    /// How many workers there have been.
    Workers,
    /// How the workers stand with the store in etcd.
    Realm,
    /// What they have seen of it.
    Lineages,
    /// Who has written into the audit trail.
    AuditWriters,
    /// How far one of them is; writers whose numbers are [`limits::AUDIT_WRITERS_MAX`] apart share one.
    ///
    /// [`limits::AUDIT_WRITERS_MAX`]: crate::engine::limits::AUDIT_WRITERS_MAX
    AuditHead(u32),
    /// How far all of them were when that was published last.
    AuditPublished,
}

/// What must be true of a value for a write to it to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It was never written.
    Absent,
    /// It is still the one that was read.
    At(u32),
    /// Nothing: the last writer wins.
    Any,
}

/// A value as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its bytes; empty when it was never written.
    pub bytes: Vec<u8>,
    /// What a write that builds on it must expect.
    pub version: Expected,
}

/// What is to be done with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CellRequest {
    /// Read it.
    Load(Cell),
    /// Write it, if it is as expected.
    Store {
        /// Which.
        cell: Cell,
        /// To be this.
        bytes: Vec<u8>,
        /// If it is still this.
        expected: Expected,
    },
}

/// What became of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CellEvent {
    /// It was read.
    Loaded(Cell, Loaded),
    /// It was written.
    Stored(Cell),
    /// It was not written: it is no longer the one that was read.
    Conflict(Cell),
    /// The host failed; whether a write happened is not known.
    Failed(Cell),
}

impl CellRequest {
    /// Which one.
    #[must_use]
    pub const fn cell(&self) -> Cell {
        match self {
            Self::Load(cell) | Self::Store { cell, .. } => *cell,
        }
    }
}

impl CellEvent {
    /// Which one.
    #[must_use]
    pub const fn cell(&self) -> Cell {
        match self {
            Self::Loaded(cell, _)
            | Self::Stored(cell)
            | Self::Conflict(cell)
            | Self::Failed(cell) => *cell,
        }
    }
}
