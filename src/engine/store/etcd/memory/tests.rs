//! What an etcd does with what is sent to it. That a real one does the same, `tests/etcd/memory.rs`
//! shows with thousands of calls at random.

use super::*;
use crate::engine::store::etcd::message::answer::{LeaseAnswer, RangeAnswer, TxnAnswer};
use crate::engine::store::etcd::message::{
    Compare, CompareTarget, LeaseGrant, Op, RangeRequest, TxnWriter,
};
use crate::engine::time::Millis;

fn call(etcd: &mut MemoryEtcd, method: RpcMethod, message: Vec<u8>) -> Result<Vec<u8>, u32> {
    let request = RpcRequest { method, message, timeout: Millis::new(400) };
    match etcd.call(&request) {
        RpcEvent::Answered(message) => Ok(message),
        RpcEvent::Failed(status) => Err(status),
        RpcEvent::Unsent => panic!("it is always there"),
    }
}

/// Whether it succeeded, at which revision, and what it has read.
type Transacted = Result<(bool, u64, Vec<Vec<u8>>), u32>;

fn transact(etcd: &mut MemoryEtcd, txn: TxnWriter) -> Transacted {
    let message = call(etcd, RpcMethod::Txn, txn.into_bytes())?;
    let answer = TxnAnswer::decode(&message).unwrap();
    let values = answer.ranges.iter().flat_map(|range| &range.kvs).map(|kv| kv.value.to_vec());
    Ok((answer.succeeded, answer.revision, values.collect()))
}

fn claim(key: &[u8], target: CompareTarget<'_>, value: &[u8], lease: u64) -> TxnWriter {
    let mut txn = TxnWriter::default();
    txn.compare(&Compare { key, target });
    txn.if_met(&Op::Put { key, value, lease });
    txn.if_not(&Op::Range(RangeRequest::one(key)));
    txn
}

#[test]
fn a_claim_is_won_once_and_the_one_that_is_lost_brings_what_is_there() {
    let mut etcd = MemoryEtcd::default();
    let absent = CompareTarget::CreateAbsent;
    let lost = vec![b"mine".to_vec()];
    assert_eq!(transact(&mut etcd, claim(b"k", absent, b"mine", 0)), Ok((true, 2, vec![])));
    assert_eq!(transact(&mut etcd, claim(b"k", absent, b"yours", 0)), Ok((false, 2, lost)));
    // By its revision, by its value, and by neither.
    assert!(transact(&mut etcd, claim(b"k", CompareTarget::Mod(2), b"2", 0)).unwrap().0);
    assert!(!transact(&mut etcd, claim(b"k", CompareTarget::Mod(2), b"3", 0)).unwrap().0);
    assert!(transact(&mut etcd, claim(b"k", CompareTarget::Value(b"2"), b"3", 0)).unwrap().0);
    assert!(!transact(&mut etcd, claim(b"x", CompareTarget::Value(b""), b"3", 0)).unwrap().0);
    let kept = etcd.get(b"k").unwrap();
    assert_eq!((kept.create_revision, kept.mod_revision, kept.version), (2, 4, 3));
}

#[test]
fn a_key_ends_with_the_lease_that_it_was_put_with_last() {
    let mut etcd = MemoryEtcd::default();
    let granted = call(&mut etcd, RpcMethod::LeaseGrant, LeaseGrant { ttl_s: 60 }.encode());
    let lease = LeaseAnswer::decode(&granted.unwrap()).unwrap();
    assert_eq!((lease.ttl_s, etcd.leases().collect::<Vec<_>>()), (60, vec![lease.id]));
    for (key, lease) in [(b"a", lease.id), (b"b", 0), (b"c", lease.id)] {
        transact(&mut etcd, claim(key, CompareTarget::CreateAbsent, b"v", lease)).unwrap();
    }
    let revision = etcd.get(b"c").unwrap().mod_revision;
    // What is put without a lease stays.
    transact(&mut etcd, claim(b"c", CompareTarget::Mod(revision), b"v", 0)).unwrap();
    etcd.expire(lease.id);
    assert_eq!(etcd.keys().map(|(key, _)| key).collect::<Vec<_>>(), [b"b", b"c"]);
    // Nothing of it is written with a lease that has ended.
    let before = etcd.clone();
    let ended = claim(b"d", CompareTarget::CreateAbsent, b"v", lease.id);
    assert_eq!(transact(&mut etcd, ended), Err(NO_LEASE));
    assert_eq!(etcd, before);
}

#[test]
fn what_etcd_refuses_is_refused_and_changes_nothing() {
    let put = |key: &'static [u8]| Op::Put { key, value: b"v", lease: 0 };
    let of = |ops: &[Op<'_>]| {
        let mut txn = TxnWriter::default();
        ops.iter().for_each(|op| txn.if_not(op));
        txn
    };
    let mut etcd = MemoryEtcd::default();
    for ops in [
        vec![put(b"k"), put(b"k")],
        vec![put(b"k"), Op::Delete { key: b"k" }],
        vec![put(b"")],
        vec![Op::Delete { key: b"" }],
        vec![Op::Range(RangeRequest::one(b""))],
        vec![put(b"k"); 129],
    ] {
        assert_eq!(transact(&mut etcd, of(&ops)), Err(INVALID), "{ops:?}");
    }
    let no_key = claim(b"", CompareTarget::CreateAbsent, b"v", 0);
    assert_eq!(transact(&mut etcd, no_key), Err(INVALID));
    assert_eq!(call(&mut etcd, RpcMethod::Range, Vec::new()), Err(INVALID));
    assert_eq!(call(&mut etcd, RpcMethod::Txn, vec![0xff]), Err(MALFORMED));
    let long = LeaseGrant { ttl_s: TTL_S_MAX + 1 }.encode();
    assert_eq!(call(&mut etcd, RpcMethod::LeaseGrant, long), Err(OUT_OF_RANGE));
    etcd.set_full(true);
    let absent = claim(b"k", CompareTarget::CreateAbsent, b"v", 0);
    assert_eq!(transact(&mut etcd, absent), Err(NO_SPACE));
    let lease = LeaseGrant { ttl_s: 1 }.encode();
    assert_eq!(call(&mut etcd, RpcMethod::LeaseGrant, lease), Err(NO_SPACE));
    assert_eq!(transact(&mut etcd, of(&[Op::Delete { key: b"k" }])), Ok((true, 1, vec![])));
    etcd.set_full(false);
    assert_eq!(etcd, MemoryEtcd::default());
}

#[test]
fn a_range_is_read_in_order_and_as_far_as_it_is_asked_for() {
    let mut etcd = MemoryEtcd::default();
    [b"b", b"a", b"c", b"d"].iter().for_each(|key| etcd.put(*key, b"v"));
    etcd.delete(b"d");
    let mut range = |request: RangeRequest<'_>| {
        let message = call(&mut etcd, RpcMethod::Range, request.encode()).unwrap();
        let answer = RangeAnswer::decode(&message).unwrap();
        let keys = answer.kvs.iter().map(|kv| String::from_utf8_lossy(kv.key).into_owned());
        (keys.collect::<String>(), answer.more, answer.count)
    };
    let all = RangeRequest { key: b"a", range_end: b"c", ..RangeRequest::default() };
    assert_eq!(range(all), ("ab".to_owned(), false, 2));
    assert_eq!(range(RangeRequest { limit: 1, ..all }), ("a".to_owned(), true, 2));
    assert_eq!(range(RangeRequest { range_end: b"\0", ..all }), ("abc".to_owned(), false, 3));
    assert_eq!(range(RangeRequest { count_only: true, ..all }), (String::new(), false, 2));
    assert_eq!(range(RangeRequest::one(b"x")), (String::new(), false, 0));
}

/// A store that does not know a comparison as it is meant takes it for one that holds: etcd skips
/// fields that it does not know.
#[test]
fn a_comparison_in_a_field_that_is_not_known_is_none() {
    let mut etcd = MemoryEtcd::default();
    etcd.put(b"k", b"theirs");
    let mut message = claim(b"k", CompareTarget::CreateAbsent, b"mine", 0).into_bytes();
    // The field 1, of bytes, is now field 15.
    assert_eq!(message[0], 1 << 3 | 2);
    message[0] = 15 << 3 | 2;
    call(&mut etcd, RpcMethod::Txn, message).unwrap();
    assert_eq!(etcd.get(b"k").unwrap().value, b"mine");
}
