//! What stands under a key of the realm.
//!
//! | at | bytes | what |
//! |---:|---:|---|
//! | 0 | 1 | version |
//! | 1 | 1 | 1 a claim, 2 what leads elsewhere, 3 a claim that was given back |
//! | 2 | 16 | the writer: 8 bytes of a worker's life, 8 of its writes |
//! | 18 | | the record of the claim or alias; nothing for a claim that was given back |
//! | | | of a claim: the answer to its payment, if it is kept here |
//!
//! The writer tells who has won where the bytes of two are equal, and where an answer was lost on its
//! way. A claim that was given back stays as a record: a late copy of the claim, which expects
//! nothing under its key, finds that and comes to nothing.

use crate::engine::codec::Reader;
use crate::engine::store::alias::Alias;
use crate::engine::store::record::{self, Entry};

const VERSION: u8 = 1;
const CLAIM: u8 = 1;
const ALIAS: u8 = 2;
const RELEASED: u8 = 3;
/// Bytes before the record.
const HEAD: usize = 18;

/// Who has written a value: one write of one worker's life, and of nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Writer {
    /// One worker, from the start of its VM to its end.
    pub(super) life: u64,
    /// One of its writes.
    pub(super) write: u64,
}

/// What stands under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value<'v> {
    /// The record. [`Entry::Absent`] is a claim that was given back.
    pub(super) entry: Entry,
    /// Who has written it; `None` where that cannot be read.
    pub(super) writer: Option<Writer>,
    /// The answer to a payment, where it is kept with its claim.
    pub(super) answer: &'v [u8],
}

impl Writer {
    fn bytes(self) -> impl Iterator<Item = u8> {
        self.life.to_le_bytes().into_iter().chain(self.write.to_le_bytes())
    }
}

impl<'v> Value<'v> {
    /// Any bytes are some value: what cannot be read is a payment that is not resolved.
    #[inline(never)]
    pub(super) fn decode(bytes: &'v [u8]) -> Self {
        const NONE: Value<'_> = Value { entry: Entry::Unreadable, writer: None, answer: &[] };
        Self::read(bytes).unwrap_or(NONE)
    }

    fn read(bytes: &'v [u8]) -> Option<Self> {
        let mut rest = Reader(bytes);
        let [VERSION, kind] = rest.take::<2>()? else {
            return None;
        };
        let writer = Some(Writer { life: rest.long()?, write: rest.long()? });
        let (entry, answer) = match kind {
            CLAIM => {
                let claim = record::decode(rest.slice(record::SIZE)?)?;
                (Entry::Claim(claim), rest.0)
            }
            ALIAS => (Entry::Alias(Alias::decode(rest.0)?), Default::default()),
            RELEASED if rest.0.is_empty() => (Entry::Absent, Default::default()),
            _ => return None,
        };
        Some(Self { entry, writer, answer })
    }

    /// `None` for what no version writes.
    pub(super) fn encode(&self, prefix: &[u8; 16]) -> Option<Vec<u8>> {
        let writer = self.writer?;
        let (kind, record) = match &self.entry {
            Entry::Absent => (RELEASED, Vec::new()),
            Entry::Claim(claim) => (CLAIM, record::encode(prefix, claim)),
            Entry::Alias(alias) => (ALIAS, alias.encode(prefix)),
            Entry::Unreadable => return None,
        };
        let mut bytes = Vec::with_capacity(HEAD + record.len() + self.answer.len());
        bytes.extend([VERSION, kind]);
        bytes.extend(writer.bytes());
        bytes.extend(record);
        bytes.extend(self.answer);
        Some(bytes)
    }
}

/// Whether a record may end with a lease: nothing that is not resolved does.
pub(super) const fn may_end(entry: &Entry) -> bool {
    match entry {
        Entry::Absent => true,
        Entry::Claim(claim) => claim.is_resolved(),
        Entry::Alias(_) | Entry::Unreadable => false,
    }
}
