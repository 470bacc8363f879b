//! The messages of etcd's API v3 that the store sends and reads: `etcdserverpb` of etcd 3.5, whose
//! fields have the same numbers in 3.4 and 3.6.
//!
//! Requests are below, answers in [`answer`]. `golden.txt` has both as the official descriptors
//! write and read them; `tests/etcd/golden.py` makes it.

pub(super) mod answer;

#[cfg(test)]
mod tests;

use super::proto::ProtoWriter;
use crate::engine::limits::ETCD_LEASES_IN_RETENTION;
use crate::engine::time::Millis;

/// Asks for keys: `RangeRequest`, the message of `/etcdserverpb.KV/Range`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RangeRequest<'k> {
    /// The key, or the first one of a range. etcd refuses an empty one.
    pub(super) key: &'k [u8],
    /// The first key after the range. Empty: the one key.
    pub(super) range_end: &'k [u8],
    /// Keys in the answer. 0: no limit.
    pub(super) limit: u64,
    /// Asks the one member that is called, which may be behind.
    pub(super) serializable: bool,
    /// The answer has keys without values.
    pub(super) keys_only: bool,
    /// The answer has the number of keys alone.
    pub(super) count_only: bool,
}

impl<'k> RangeRequest<'k> {
    /// One key, as it is now.
    pub(super) fn one(key: &'k [u8]) -> Self {
        Self { key, ..Self::default() }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut message = ProtoWriter::default();
        message.bytes_unless_empty(1, self.key);
        message.bytes_unless_empty(2, self.range_end);
        message.number_unless_zero(3, self.limit);
        message.number_unless_zero(7, self.serializable.into());
        message.number_unless_zero(8, self.keys_only.into());
        message.number_unless_zero(9, self.count_only.into());
        message.into_bytes()
    }
}

/// A condition of a transaction on one key: `Compare` with the result EQUAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Compare<'k> {
    /// The key.
    pub(super) key: &'k [u8],
    /// What must be so.
    pub(super) target: CompareTarget<'k>,
}

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CompareTarget<'k> {
    /// The key is not there: its create revision is 0.
    CreateAbsent,
    /// The key was last written at this revision.
    Mod(u64),
    /// The key has exactly these bytes. It is false where the key is not there, also for no bytes.
    #[cfg_attr(not(test), expect(dead_code, reason = "a record is known by its revision"))]
    Value(&'k [u8]),
}

impl Compare<'_> {
    fn encode(&self) -> Vec<u8> {
        let mut message = ProtoWriter::default();
        let target = match self.target {
            CompareTarget::CreateAbsent => 1,
            CompareTarget::Mod(_) => 2,
            CompareTarget::Value(_) => 3,
        };
        message.number(2, target);
        message.bytes_unless_empty(3, self.key);
        // A `oneof`: it is set, also where it is 0 or empty.
        match self.target {
            CompareTarget::CreateAbsent => message.number(5, 0),
            CompareTarget::Mod(revision) => message.number(6, revision),
            CompareTarget::Value(value) => message.bytes(7, value),
        }
        message.into_bytes()
    }
}

/// An operation of a transaction: `RequestOp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op<'k> {
    /// Writes one key.
    Put {
        /// The key.
        key: &'k [u8],
        /// Its bytes.
        value: &'k [u8],
        /// The lease with which it ends. 0: it stays, and a lease that it had no longer counts.
        lease: u64,
    },
    /// Takes one key out. It is no error if the key is not there.
    Delete {
        /// The key.
        key: &'k [u8],
    },
    /// Reads keys.
    Range(RangeRequest<'k>),
}

impl Op<'_> {
    fn encode(&self) -> Vec<u8> {
        let mut request = ProtoWriter::default();
        let (number, request) = match self {
            Op::Range(range) => (1, range.encode()),
            Op::Put { key, value, lease } => {
                request.bytes_unless_empty(1, key);
                request.bytes_unless_empty(2, value);
                request.number_unless_zero(3, *lease);
                (2, request.into_bytes())
            }
            Op::Delete { key } => {
                request.bytes_unless_empty(1, key);
                (3, request.into_bytes())
            }
        };
        let mut message = ProtoWriter::default();
        message.bytes(number, &request);
        message.into_bytes()
    }
}

/// Writes a transaction, the message of `/etcdserverpb.KV/Txn`: one branch if all conditions are met,
/// the other one if not. All of a branch is carried out, or nothing.
///
/// Without a condition it always succeeds. etcd refuses a branch that writes a key twice, and more
/// than [`ETCD_TXN_OPS_MAX`](crate::engine::limits::ETCD_TXN_OPS_MAX) conditions or operations of a
/// branch. The store stays far below.
#[derive(Default)]
pub(super) struct TxnWriter {
    compare: ProtoWriter,
    success: ProtoWriter,
    failure: ProtoWriter,
}

impl TxnWriter {
    /// One more condition.
    pub(super) fn compare(&mut self, compare: &Compare<'_>) {
        self.compare.bytes(1, &compare.encode());
    }

    /// What is done if all conditions are met.
    pub(super) fn if_met(&mut self, op: &Op<'_>) {
        self.success.bytes(2, &op.encode());
    }

    /// What is done if not.
    pub(super) fn if_not(&mut self, op: &Op<'_>) {
        self.failure.bytes(3, &op.encode());
    }

    /// Fields of the same number stand together, in ascending order.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let mut bytes = self.compare.into_bytes();
        bytes.extend(self.success.into_bytes());
        bytes.extend(self.failure.into_bytes());
        bytes
    }
}

/// Asks for a lease: `LeaseGrantRequest`, the message of `/etcdserverpb.Lease/LeaseGrant`. The
/// server chooses its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeaseGrant {
    /// How long it lasts, in seconds. etcd refuses more than 9,000,000,000.
    pub(super) ttl_s: u64,
}

impl LeaseGrant {
    /// One that outlasts whatever is written with it until the next one, and kept for so long.
    pub(super) fn outlasting(retention: Millis) -> Self {
        let kept_ms = retention.get();
        let ttl_s = (kept_ms + kept_ms / ETCD_LEASES_IN_RETENTION).div_ceil(1000).max(1);
        Self { ttl_s }
    }

    pub(super) fn encode(self) -> Vec<u8> {
        let mut message = ProtoWriter::default();
        message.number_unless_zero(1, self.ttl_s);
        message.into_bytes()
    }
}
