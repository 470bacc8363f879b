//! What etcd answers, read from bytes that may be anything.
//!
//! A call can end with the status OK and an empty or foreign message. So only what has a header
//! with a revision is an answer: a revision begins with 1 and only grows. Numbers that are negative
//! are refused as well.
//!
//! Fields may come in any order. Fields that are not known, and known ones of another wire type,
//! are skipped. A number that comes twice counts as it came last, and a message that comes twice is
//! merged, as Protocol Buffers demand.

use crate::engine::limits::{ETCD_KVS_MAX, ETCD_TXN_OPS_MAX};
use crate::engine::store::etcd::proto::{ProtoFields, ProtoValue};

/// What a transaction has led to: `TxnResponse`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnAnswer<'m> {
    /// The store's revision after it, at least 1.
    pub revision: u64,
    /// Whether all conditions were met.
    pub succeeded: bool,
    /// Results of the `Range` operations of the branch that was carried out, in their order.
    pub ranges: Vec<RangeAnswer<'m>>,
}

/// Keys that were asked for: `RangeResponse`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeAnswer<'m> {
    /// What is there, by ascending key.
    pub kvs: Vec<KeyValue<'m>>,
    /// There are more within the range than the limit allowed.
    pub more: bool,
    /// Keys within the range, whatever the limit.
    pub count: u64,
    /// The store's revision as it was read, at least 1.
    pub revision: u64,
}

/// A key and what stands there: `mvccpb.KeyValue`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyValue<'m> {
    /// The key, which is not empty.
    pub key: &'m [u8],
    /// The revision at which it was last written, at least 1.
    pub mod_revision: u64,
    /// Its bytes. None where only keys were asked for.
    pub value: &'m [u8],
    /// The lease with which it ends. 0: none.
    pub lease: u64,
}

/// A lease that was granted: `LeaseGrantResponse`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseAnswer {
    /// Its number, at least 1.
    pub id: u64,
    /// How long it lasts, in seconds. etcd may give more than was asked for.
    pub ttl_s: u64,
}

impl<'m> TxnAnswer<'m> {
    /// `None` where the bytes are no answer, or have more than `ETCD_TXN_OPS_MAX` results or
    /// `ETCD_KVS_MAX` keys.
    #[must_use]
    pub fn decode(message: &'m [u8]) -> Option<Self> {
        let mut answer = Self { revision: 0, succeeded: false, ranges: Vec::new() };
        let (mut results, mut kvs) = (0, 0);
        for field in ProtoFields::new(message) {
            match field? {
                (1, ProtoValue::Bytes(header)) => read_header(header, &mut answer.revision)?,
                (2, ProtoValue::Varint(flag)) => answer.succeeded = flag != 0,
                (3, ProtoValue::Bytes(result)) => {
                    results += 1;
                    if let Some(range) = read_result(result)? {
                        kvs += range.kvs.len();
                        answer.ranges.push(range);
                    }
                    if results > ETCD_TXN_OPS_MAX || kvs > ETCD_KVS_MAX {
                        return None;
                    }
                }
                _ => {}
            }
        }
        (answer.revision > 0).then_some(answer)
    }
}

impl<'m> RangeAnswer<'m> {
    /// `None` where the bytes are no answer, or have more than `ETCD_KVS_MAX` keys.
    #[must_use]
    pub fn decode(message: &'m [u8]) -> Option<Self> {
        let mut answer = Self::default();
        answer.merge(message)?;
        answer.with_header()
    }

    /// Works the fields of a message in.
    fn merge(&mut self, message: &'m [u8]) -> Option<()> {
        for field in ProtoFields::new(message) {
            match field? {
                (1, ProtoValue::Bytes(header)) => read_header(header, &mut self.revision)?,
                (2, ProtoValue::Bytes(_)) if self.kvs.len() >= ETCD_KVS_MAX => return None,
                (2, ProtoValue::Bytes(kv)) => self.kvs.push(KeyValue::decode(kv)?),
                (3, ProtoValue::Varint(flag)) => self.more = flag != 0,
                (4, ProtoValue::Varint(count)) => self.count = not_negative(count)?,
                _ => {}
            }
        }
        Some(())
    }

    fn with_header(self) -> Option<Self> {
        (self.revision > 0).then_some(self)
    }
}

impl<'m> KeyValue<'m> {
    /// `None` where the bytes are not a key that stands in an etcd.
    fn decode(message: &'m [u8]) -> Option<Self> {
        let mut kv = Self::default();
        for field in ProtoFields::new(message) {
            match field? {
                (1, ProtoValue::Bytes(key)) => kv.key = key,
                (3, ProtoValue::Varint(revision)) => kv.mod_revision = not_negative(revision)?,
                (5, ProtoValue::Bytes(value)) => kv.value = value,
                (6, ProtoValue::Varint(lease)) => kv.lease = not_negative(lease)?,
                _ => {}
            }
        }
        (!kv.key.is_empty() && kv.mod_revision > 0).then_some(kv)
    }
}

impl LeaseAnswer {
    /// `None` where the bytes are no answer, or say that no lease was granted.
    #[must_use]
    pub fn decode(message: &[u8]) -> Option<Self> {
        let (mut revision, mut refused) = (0, false);
        let mut answer = Self { id: 0, ttl_s: 0 };
        for field in ProtoFields::new(message) {
            match field? {
                (1, ProtoValue::Bytes(header)) => read_header(header, &mut revision)?,
                (2, ProtoValue::Varint(id)) => answer.id = not_negative(id)?,
                (3, ProtoValue::Varint(ttl_s)) => answer.ttl_s = not_negative(ttl_s)?,
                (4, ProtoValue::Bytes(error)) => refused = !error.is_empty(),
                _ => {}
            }
        }
        (revision > 0 && answer.id > 0 && !refused).then_some(answer)
    }
}

/// What an operation has led to, if it was a `Range`: `ResponseOp`. Its `oneof` has 1 for a range,
/// 2 for a put, 3 for a delete and 4 for a transaction; the last one counts.
#[expect(clippy::option_option, reason = "no answer is not the same as no range")]
fn read_result(message: &[u8]) -> Option<Option<RangeAnswer<'_>>> {
    let mut result = None;
    for field in ProtoFields::new(message) {
        match field? {
            (1, ProtoValue::Bytes(range)) => {
                let mut answer: RangeAnswer<'_> = result.flatten().unwrap_or_default();
                answer.merge(range)?;
                result = Some(Some(answer));
            }
            (2..=4, ProtoValue::Bytes(_)) => result = Some(None),
            _ => {}
        }
    }
    match result? {
        Some(range) => range.with_header().map(Some),
        None => Some(None),
    }
}

/// `ResponseHeader`: of its fields the revision is of use.
fn read_header(message: &[u8], revision: &mut u64) -> Option<()> {
    for field in ProtoFields::new(message) {
        if let (3, ProtoValue::Varint(bits)) = field? {
            *revision = not_negative(bits)?;
        }
    }
    Some(())
}

/// An `int64`, whose negative values have the top bit set.
fn not_negative(bits: u64) -> Option<u64> {
    i64::try_from(bits).is_ok().then_some(bits)
}
