//! The other side of the messages: requests are read and answers written, as an etcd does.

use crate::engine::store::etcd::proto::{ProtoFields, ProtoValue, ProtoWriter};

/// A key of a a `MemoryEtcd` and what stands there.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemoryKey {
    /// Its bytes.
    pub value: Vec<u8>,
    /// The revision at which it came to be.
    pub create_revision: u64,
    /// The revision at which it was last written.
    pub mod_revision: u64,
    /// How often it was written since it came to be.
    pub version: u64,
    /// The lease with which it ends. 0: none.
    pub lease: u64,
}

/// The keys of a range.
pub(super) struct Selected<'k> {
    pub(super) kvs: Vec<KeptKey<'k>>,
    pub(super) more: bool,
    pub(super) count: usize,
    pub(super) keys_only: bool,
}

/// A key and what stands there.
pub(super) type KeptKey<'k> = (&'k [u8], &'k MemoryKey);

/// `RangeRequest`, or what is to be taken out.
#[derive(Debug, Default)]
pub(super) struct RangeWish<'m> {
    pub(super) key: &'m [u8],
    range_end: &'m [u8],
    pub(super) limit: u64,
    pub(super) keys_only: bool,
    pub(super) count_only: bool,
}

/// `Compare`.
#[derive(Debug, Default)]
pub(super) struct CompareWish<'m> {
    pub(super) result: u64,
    pub(super) target: u64,
    pub(super) key: &'m [u8],
    /// The number of the field that was set last, and what it says.
    number: (u32, u64),
    pub(super) value: &'m [u8],
}

/// `RequestOp`.
#[derive(Debug)]
pub(super) enum OpWish<'m> {
    Range(RangeWish<'m>),
    Put { key: &'m [u8], value: &'m [u8], lease: u64 },
    Delete(RangeWish<'m>),
    Txn,
    Nothing,
}

/// `TxnRequest`.
#[derive(Debug, Default)]
pub(super) struct TxnWish<'m> {
    pub(super) compare: Vec<CompareWish<'m>>,
    pub(super) success: Vec<OpWish<'m>>,
    pub(super) failure: Vec<OpWish<'m>>,
}

/// `LeaseGrantRequest`.
#[derive(Debug, Default)]
pub(super) struct LeaseWish {
    pub(super) ttl_s: u64,
    pub(super) id: u64,
}

impl<'m> RangeWish<'m> {
    pub(super) fn read(message: &'m [u8]) -> Option<Self> {
        let mut wish = Self::default();
        for field in ProtoFields::new(message) {
            match field? {
                (1, ProtoValue::Bytes(key)) => wish.key = key,
                (2, ProtoValue::Bytes(end)) => wish.range_end = end,
                (3, ProtoValue::Varint(limit)) => wish.limit = limit,
                (8, ProtoValue::Varint(flag)) => wish.keys_only = flag != 0,
                (9, ProtoValue::Varint(flag)) => wish.count_only = flag != 0,
                // A field that is known, and of another type.
                (1..=9, ProtoValue::Bytes(_) | ProtoValue::Fixed) => return None,
                (_, _) => {}
            }
        }
        Some(wish)
    }

    /// `DeleteRangeRequest`, as far as it is the same.
    fn read_delete(message: &'m [u8]) -> Option<Self> {
        let Self { key, range_end, .. } = Self::read(message)?;
        Some(Self { key, range_end, ..Self::default() })
    }

    pub(super) fn covers(&self, key: &[u8]) -> bool {
        match self.range_end {
            [] => key == self.key,
            // All keys from this one on.
            [0] => key >= self.key,
            end => key >= self.key && key < end,
        }
    }
}

impl<'m> CompareWish<'m> {
    fn read(message: &'m [u8]) -> Option<Self> {
        let mut wish = Self::default();
        for field in ProtoFields::new(message) {
            match field? {
                (1, ProtoValue::Varint(result)) => wish.result = result,
                (2, ProtoValue::Varint(target)) => wish.target = target,
                (3, ProtoValue::Bytes(key)) => wish.key = key,
                (field @ (4..=6 | 8), ProtoValue::Varint(number)) => wish.number = (field, number),
                (7, ProtoValue::Bytes(value)) => wish.value = value,
                (1..=8, _) => return None,
                (_, _) => {}
            }
        }
        Some(wish)
    }

    /// What the field says, if it is the one that was set: others of the `oneof` are 0.
    pub(super) const fn number_if(&self, field: u32) -> u64 {
        if self.number.0 == field { self.number.1 } else { 0 }
    }
}

impl<'m> OpWish<'m> {
    fn read(message: &'m [u8]) -> Option<Self> {
        let mut op = Self::Nothing;
        for field in ProtoFields::new(message) {
            op = match field? {
                (1, ProtoValue::Bytes(range)) => Self::Range(RangeWish::read(range)?),
                (2, ProtoValue::Bytes(put)) => Self::read_put(put)?,
                (3, ProtoValue::Bytes(range)) => Self::Delete(RangeWish::read_delete(range)?),
                (4, ProtoValue::Bytes(_)) => Self::Txn,
                (1..=4, _) => return None,
                (_, _) => op,
            };
        }
        Some(op)
    }

    fn read_put(message: &'m [u8]) -> Option<Self> {
        let (mut key, mut value, mut lease) = (Default::default(), Default::default(), 0);
        for field in ProtoFields::new(message) {
            match field? {
                (1, ProtoValue::Bytes(bytes)) => key = bytes,
                (2, ProtoValue::Bytes(bytes)) => value = bytes,
                (3, ProtoValue::Varint(number)) => lease = number,
                (1..=3, _) => return None,
                (_, _) => {}
            }
        }
        Some(Self::Put { key, value, lease })
    }

    pub(super) const fn puts(&self) -> bool {
        matches!(self, Self::Put { .. })
    }
}

impl<'m> TxnWish<'m> {
    pub(super) fn read(message: &'m [u8]) -> Option<Self> {
        let mut txn = Self::default();
        for field in ProtoFields::new(message) {
            match field? {
                (1, ProtoValue::Bytes(compare)) => txn.compare.push(CompareWish::read(compare)?),
                (2, ProtoValue::Bytes(op)) => txn.success.push(OpWish::read(op)?),
                (3, ProtoValue::Bytes(op)) => txn.failure.push(OpWish::read(op)?),
                (1..=3, _) => return None,
                (_, _) => {}
            }
        }
        Some(txn)
    }
}

impl LeaseWish {
    pub(super) fn read(message: &[u8]) -> Option<Self> {
        let mut wish = Self::default();
        for field in ProtoFields::new(message) {
            match field? {
                (1, ProtoValue::Varint(ttl_s)) => wish.ttl_s = ttl_s,
                (2, ProtoValue::Varint(id)) => wish.id = id,
                (1..=2, _) => return None,
                (_, _) => {}
            }
        }
        Some(wish)
    }
}

/// What stands at the beginning of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Header {
    /// Of a call: who answers, and the revision.
    Whole(u64),
    /// Within a transaction.
    Revision(u64),
}

impl Header {
    /// As the first field of an answer.
    pub(super) fn bytes(self) -> Vec<u8> {
        let mut header = ProtoWriter::default();
        let revision = match self {
            Self::Whole(revision) => {
                header.number(1, 0x2001);
                header.number(2, 0x1001);
                revision
            }
            Self::Revision(revision) => revision,
        };
        header.number(3, revision);
        if let Self::Whole(_) = self {
            header.number(4, 2);
        }
        result(1, &header.into_bytes())
    }
}

/// A message within a message.
pub(super) fn result(field: u32, message: &[u8]) -> Vec<u8> {
    let mut whole = ProtoWriter::default();
    whole.bytes(field, message);
    whole.into_bytes()
}

fn number(field: u32, number: u64) -> Vec<u8> {
    let mut whole = ProtoWriter::default();
    whole.number_unless_zero(field, number);
    whole.into_bytes()
}

pub(super) fn answer_range(header: Header, selected: &Selected<'_>) -> Vec<u8> {
    let mut answer = header.bytes();
    for (key, kept) in &selected.kvs {
        let mut kv = ProtoWriter::default();
        kv.bytes_unless_empty(1, key);
        kv.number_unless_zero(2, kept.create_revision);
        kv.number_unless_zero(3, kept.mod_revision);
        kv.number_unless_zero(4, kept.version);
        kv.bytes_unless_empty(5, if selected.keys_only { &[] } else { &kept.value });
        kv.number_unless_zero(6, kept.lease);
        answer.extend(result(2, &kv.into_bytes()));
    }
    answer.extend(number(3, selected.more.into()));
    answer.extend(number(4, selected.count as u64));
    answer
}

pub(super) fn answer_delete(header: Header, deleted: usize) -> Vec<u8> {
    [header.bytes(), number(2, deleted as u64)].concat()
}

pub(super) fn answer_txn(header: Header, succeeded: bool, results: &[Vec<u8>]) -> Vec<u8> {
    let mut answer = header.bytes();
    answer.extend(number(2, succeeded.into()));
    results.iter().for_each(|one| answer.extend(result(3, one)));
    answer
}

pub(super) fn answer_lease(header: Header, id: u64, ttl_s: u64) -> Vec<u8> {
    [header.bytes(), number(2, id), number(3, ttl_s)].concat()
}
