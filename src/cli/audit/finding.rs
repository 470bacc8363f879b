//! What can be wrong with an audit trail, and where.

use crate::engine::AuditWriter;

/// A line of one of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Which of the files.
    pub(super) file: usize,
    /// From one.
    pub(super) line: u64,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An entry is not as it was written.
    Altered,
    /// Entries up to a published head are chained, but not to it: they were written anew.
    Rewritten,
    /// Entries are not there, between others or before them.
    Missing,
    /// Entries are not there, at the end of a chain.
    Cut,
    /// An entry stands there twice.
    Duplicate,
    /// Two entries have one number.
    Forked,
    /// An entry stands after a later one of its writer.
    Reordered,
    /// An entry was added: nobody has published its writer, or that had ended.
    Added,
    /// A line is no entry.
    Unreadable,
    /// Entries stand too far out of order to be compared with what was signed.
    Scattered,
}

impl Kind {
    /// All of them.
    pub(super) const ALL: [Self; 10] = [
        Self::Altered,
        Self::Rewritten,
        Self::Missing,
        Self::Cut,
        Self::Duplicate,
        Self::Forked,
        Self::Reordered,
        Self::Added,
        Self::Unreadable,
        Self::Scattered,
    ];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Altered => "altered",
            Self::Rewritten => "rewritten",
            Self::Missing => "missing",
            Self::Cut => "cut",
            Self::Duplicate => "duplicate",
            Self::Forked => "forked",
            Self::Reordered => "reordered",
            Self::Added => "added",
            Self::Unreadable => "unreadable",
            Self::Scattered => "scattered",
        }
    }

    /// Whether nothing is lost or changed by it. Envoy writes answers that the filter gives to several
    /// requests in one callback down in the order of a stack: it runs what one of them leads to in the
    /// middle of another. And whoever merges files may change their order.
    #[must_use]
    pub const fn is_harmless(self) -> bool {
        matches!(self, Self::Reordered)
    }

    /// What that means, in a sentence.
    pub(super) const fn sentence(self) -> &'static str {
        match self {
            Self::Altered => {
                "is not as it was written: the entry after it, or a published head, has another digest"
            }
            Self::Rewritten => {
                "is chained, but not to the head that was published: one of them was changed, and those after it were written anew"
            }
            Self::Missing => {
                "is not there: deleted, or never written because the disk was full or the filter died"
            }
            Self::Cut => {
                "is not there, though a later head was published: cut off, or not on disk when Envoy was killed"
            }
            Self::Duplicate => "stands there a second time",
            Self::Forked => "stands there a second time with other content",
            Self::Reordered => {
                "stands after a later entry of the same writer: the order of answers given at once, or of merged files"
            }
            Self::Added => "was added: its writer is in none of --heads, or had ended before",
            Self::Unreadable => "is no entry of an audit trail",
            Self::Scattered => {
                "cannot be compared with what was signed: one of them stands too far from its place"
            }
        }
    }
}

/// Something that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) kind: Kind,
    /// Where it stands, or the line after which it should; none for a writer without any line.
    pub(super) place: Option<Place>,
    pub(super) writer: Option<AuditWriter>,
    /// The first entry and the last one that it is about.
    pub(super) numbers: Option<(u64, u64)>,
}
