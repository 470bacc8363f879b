//! An answer of etcd, or of whoever answers in its place: a gRPC call can end well with any bytes.
//!
//! They are read as each of the three answers that there are.

use dana_failover::engine::limits::{ETCD_KVS_MAX, ETCD_TXN_OPS_MAX};
use dana_failover::engine::{KeyValue, LeaseAnswer, RangeAnswer, TxnAnswer};

/// Fields that no message of etcd has: a varint, eight bytes, some bytes, four bytes.
const UNKNOWN: [&[u8]; 4] = [
    &[0x98, 1, 0xff, 1],
    &[0xa1, 1, 1, 2, 3, 4, 5, 6, 7, 8],
    &[0xa2, 1, 3, 0x1a, 0xff, 0xff],
    &[0xb5, 1, 1, 2, 3, 4],
];

/// # Panics
/// Where something counts as an answer that etcd cannot have given, holds more than the bytes do, or
/// does not read back as itself.
pub fn run(data: &[u8]) {
    let txn = TxnAnswer::decode(data);
    let range = RangeAnswer::decode(data);
    let lease = LeaseAnswer::decode(data);
    assert_eq!(TxnAnswer::decode(data), txn, "the same bytes say the same");
    assert_eq!(RangeAnswer::decode(data), range, "the same bytes say the same");
    assert_eq!(LeaseAnswer::decode(data), lease, "the same bytes say the same");
    for unknown in UNKNOWN {
        let before = [unknown, data].concat();
        assert_eq!(TxnAnswer::decode(&before), txn, "an unknown field counts");
        assert_eq!(RangeAnswer::decode(&before), range, "an unknown field counts");
        assert_eq!(LeaseAnswer::decode(&before), lease, "an unknown field counts");
    }
    if let Some(txn) = txn {
        hold_revision(txn.revision);
        assert!(txn.ranges.len() <= ETCD_TXN_OPS_MAX, "{} ranges", txn.ranges.len());
        let kvs = txn.ranges.iter().flat_map(|range| &range.kvs);
        hold_kvs(&Vec::from_iter(kvs), data);
        txn.ranges.iter().for_each(hold_range);
        let bytes = write_txn(&txn);
        assert_eq!(TxnAnswer::decode(&bytes), Some(txn), "it reads back as itself");
    }
    if let Some(range) = range {
        hold_range(&range);
        hold_kvs(&Vec::from_iter(&range.kvs), data);
        let bytes = write_range(&range);
        assert_eq!(RangeAnswer::decode(&bytes), Some(range), "it reads back as itself");
    }
    if let Some(lease) = lease {
        hold_revision(lease.id);
        hold_number(lease.ttl_s);
        let bytes = [header(1), number(2, lease.id), number(3, lease.ttl_s)].concat();
        assert_eq!(LeaseAnswer::decode(&bytes), Some(lease), "it reads back as itself");
        let refused = [&bytes[..], &field(4, b"no")].concat();
        assert_eq!(LeaseAnswer::decode(&refused), None, "a lease that was not granted");
    }
}

fn hold_number(number: u64) {
    assert!(i64::try_from(number).is_ok(), "{number} is negative");
}

fn hold_revision(revision: u64) {
    hold_number(revision);
    assert!(revision > 0, "nothing has such a number");
}

fn hold_range(range: &RangeAnswer<'_>) {
    hold_revision(range.revision);
    hold_number(range.count);
}

fn hold_kvs(kvs: &[&KeyValue<'_>], data: &[u8]) {
    assert!(kvs.len() <= ETCD_KVS_MAX, "{} keys", kvs.len());
    for kv in kvs {
        hold_revision(kv.mod_revision);
        hold_number(kv.lease);
        assert!(!kv.key.is_empty(), "nothing stands under no key");
    }
    let bytes: usize = kvs.iter().map(|kv| kv.key.len() + kv.value.len()).sum();
    assert!(bytes <= data.len(), "more than was said");
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits");
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn field(field: u64, bytes: &[u8]) -> Vec<u8> {
    [&varint(field << 3 | 2)[..], &varint(bytes.len() as u64), bytes].concat()
}

fn header(revision: u64) -> Vec<u8> {
    field(1, &number(3, revision))
}

fn write_kv(kv: &KeyValue<'_>) -> Vec<u8> {
    let (revision, lease) = (number(3, kv.mod_revision), number(6, kv.lease));
    field(2, &[field(1, kv.key), revision, field(5, kv.value), lease].concat())
}

fn write_range(range: &RangeAnswer<'_>) -> Vec<u8> {
    let mut message = header(range.revision);
    message.extend(range.kvs.iter().flat_map(write_kv));
    message.extend(number(3, range.more.into()));
    message.extend(number(4, range.count));
    message
}

fn write_txn(txn: &TxnAnswer<'_>) -> Vec<u8> {
    let mut message = [header(txn.revision), number(2, txn.succeeded.into())].concat();
    let ranges = txn.ranges.iter().map(write_range);
    message.extend(ranges.flat_map(|range| field(3, &field(1, &range))));
    message
}
