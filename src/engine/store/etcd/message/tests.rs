//! Requests and answers against the official descriptors, and at random.

mod random;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::answer::{KeyValue, LeaseAnswer, RangeAnswer, TxnAnswer};
use super::*;
use crate::engine::limits::{ETCD_KVS_MAX, ETCD_TXN_OPS_MAX};

/// Kind, name, bytes, and for an answer what it says. `tests/etcd/golden.py` makes it.
const GOLDEN: &str = include_str!("../golden.txt");

const KEY: &[u8] = b"dana/o/0123456789abcdef";
const SETTLED: &[u8] = b"dana/s/0123456789abcdef";
const ALIAS: &[u8] = b"dana/h/fedcba9876543210";
const LAYOUT: &[u8] = b"dana/layout";
const LEASE: u64 = 7_587_869_523_108_812_345;
const MAX: u64 = i64::MAX.cast_unsigned();

struct Golden {
    kind: &'static str,
    name: &'static str,
    bytes: Vec<u8>,
    says: &'static str,
}

fn golden() -> impl Iterator<Item = Golden> {
    let lines = GOLDEN.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (kind, name, hex, says) = (word(), word(), word(), word());
        let digits = hex.trim_matches('-').as_bytes().chunks(2);
        let byte = |digits| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap();
        Golden { kind, name, bytes: digits.map(byte).collect(), says }
    })
}

/// A transaction as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Txn<'k> {
    compare: Vec<Compare<'k>>,
    success: Vec<Op<'k>>,
    failure: Vec<Op<'k>>,
}

impl Txn<'_> {
    fn encode(&self) -> Vec<u8> {
        let mut txn = TxnWriter::default();
        self.failure.iter().for_each(|op| txn.if_not(op));
        self.success.iter().for_each(|op| txn.if_met(op));
        self.compare.iter().for_each(|compare| txn.compare(compare));
        txn.into_bytes()
    }
}

fn compare<'k>(key: &'k [u8], target: CompareTarget<'k>) -> Txn<'k> {
    Txn { compare: vec![Compare { key, target }], ..Txn::default() }
}

fn success(op: Op<'_>) -> Txn<'_> {
    Txn { success: vec![op], ..Txn::default() }
}

fn absent(key: &[u8]) -> Compare<'_> {
    Compare { key, target: CompareTarget::CreateAbsent }
}

const fn modified(key: &[u8], revision: u64) -> Compare<'_> {
    Compare { key, target: CompareTarget::Mod(revision) }
}

const fn put<'k>(key: &'k [u8], value: &'k [u8]) -> Op<'k> {
    Op::Put { key, value, lease: 0 }
}

fn read(key: &[u8]) -> Op<'_> {
    Op::Range(RangeRequest::one(key))
}

fn ranges() -> Vec<(&'static str, RangeRequest<'static>)> {
    let one = RangeRequest::one;
    vec![
        ("range_of_nothing", RangeRequest::default()),
        ("range_one", one(KEY)),
        ("range_page", RangeRequest { range_end: b"dana/o0", limit: 1000, ..one(b"dana/o/") }),
        ("range_keys_only", RangeRequest { range_end: b"b", keys_only: true, ..one(b"a") }),
        ("range_count_only", RangeRequest { range_end: b"\0", count_only: true, ..one(b"a") }),
        ("range_serializable", RangeRequest { serializable: true, ..one(LAYOUT) }),
        (
            "range_everything",
            RangeRequest {
                key: b"\0",
                range_end: &[0xff; 200],
                limit: MAX,
                serializable: true,
                keys_only: true,
                count_only: true,
            },
        ),
    ]
}

fn transactions(record: &[u8]) -> Vec<(&'static str, Txn<'_>)> {
    let with_lease = |key, value| Op::Put { key, value, lease: LEASE };
    let serializable =
        |key| Op::Range(RangeRequest { serializable: true, ..RangeRequest::one(key) });
    let revisions = [127, 128, 1 << 32].map(|revision| modified(KEY, revision));
    let limited = Op::Range(RangeRequest { limit: 1, ..RangeRequest::one(KEY) });
    vec![
        ("txn_empty", Txn::default()),
        ("compare_absent", compare(KEY, CompareTarget::CreateAbsent)),
        ("compare_no_key", compare(b"", CompareTarget::CreateAbsent)),
        ("compare_long_key", compare(&[b'k'; 300], CompareTarget::CreateAbsent)),
        ("compare_mod", Txn { compare: revisions.to_vec(), ..Txn::default() }),
        ("compare_mod_0", compare(KEY, CompareTarget::Mod(0))),
        ("compare_mod_max", compare(KEY, CompareTarget::Mod(MAX))),
        ("compare_value", compare(KEY, CompareTarget::Value(record))),
        ("compare_no_value", compare(KEY, CompareTarget::Value(b""))),
        ("put", success(put(KEY, record))),
        ("put_nothing", success(put(KEY, b""))),
        ("put_with_lease", success(with_lease(KEY, b"v"))),
        (
            "delete",
            Txn { failure: vec![Op::Delete { key: LAYOUT }], ..success(Op::Delete { key: KEY }) },
        ),
        (
            "reads",
            Txn {
                compare: vec![],
                success: [KEY, LAYOUT].map(serializable).to_vec(),
                failure: vec![limited],
            },
        ),
        (
            "claim",
            Txn {
                compare: vec![absent(KEY), absent(SETTLED), modified(LAYOUT, 3)],
                success: vec![put(KEY, record)],
                failure: [KEY, SETTLED, LAYOUT].map(read).to_vec(),
            },
        ),
        (
            "claim_with_alias",
            Txn {
                compare: vec![absent(KEY), absent(SETTLED), modified(LAYOUT, 3), absent(ALIAS)],
                success: vec![put(ALIAS, &record[..40]), put(KEY, record)],
                failure: [KEY, SETTLED, LAYOUT, ALIAS].map(read).to_vec(),
            },
        ),
        (
            "settle",
            Txn {
                compare: vec![modified(KEY, 123_456_789)],
                success: vec![Op::Delete { key: KEY }, with_lease(SETTLED, record)],
                failure: [KEY, SETTLED].map(read).to_vec(),
            },
        ),
        (
            "release",
            Txn {
                success: vec![put(KEY, &record[1..])],
                failure: [KEY, SETTLED].map(read).to_vec(),
                ..compare(KEY, CompareTarget::Value(record))
            },
        ),
    ]
}

#[test]
fn requests_are_byte_for_byte_what_the_official_descriptors_write() {
    let record = Vec::from_iter(0..160u8);
    let lease = |ttl_s| LeaseGrant { ttl_s }.encode();
    let leases = [
        ("lease", lease(86_400)),
        ("lease_of_no_time", lease(0)),
        ("lease_of_all_time", lease(9_000_000_000)),
    ];
    let ranges = ranges().into_iter().map(|(name, range)| (name, range.encode()));
    let transactions = transactions(&record).into_iter().map(|(name, txn)| (name, txn.encode()));
    let ours: BTreeMap<&str, Vec<u8>> = ranges.chain(transactions).chain(leases).collect();
    let golden = golden().filter(|golden| golden.kind == "request");
    let golden: BTreeMap<&str, Vec<u8>> =
        golden.map(|golden| (golden.name, golden.bytes)).collect();
    assert!(golden.len() >= 28, "{}", golden.len());
    assert_eq!(ours.keys().collect::<Vec<_>>(), golden.keys().collect::<Vec<_>>());
    for (name, bytes) in golden {
        assert_eq!(ours[name], bytes, "{name}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn say_range(answer: &RangeAnswer<'_>) -> String {
    let RangeAnswer { kvs, more, count, revision } = answer;
    let mut said = format!("range revision={revision} count={count} more={}", u8::from(*more));
    for KeyValue { key, mod_revision, value, lease } in kvs {
        write!(said, " {}@{mod_revision}={},{lease}", hex(key), hex(value)).unwrap();
    }
    said
}

fn say_txn(answer: &TxnAnswer<'_>) -> String {
    let TxnAnswer { revision, succeeded, ranges } = answer;
    let ranges: String = ranges.iter().map(|range| format!("; {}", say_range(range))).collect();
    format!("revision={revision} succeeded={}{ranges}", u8::from(*succeeded))
}

fn says(kind: &str, bytes: &[u8]) -> String {
    let said = match kind {
        "txn_answer" => TxnAnswer::decode(bytes).as_ref().map(say_txn),
        "range_answer" => RangeAnswer::decode(bytes).as_ref().map(say_range),
        "lease_answer" => LeaseAnswer::decode(bytes)
            .map(|LeaseAnswer { id, ttl_s }| format!("id={id} ttl_s={ttl_s}")),
        _ => panic!("{kind}"),
    };
    said.unwrap_or_else(|| "none".to_owned())
}

#[test]
fn answers_say_what_the_official_descriptors_read() {
    let answers = Vec::from_iter(golden().filter(|golden| golden.kind != "request"));
    assert!(answers.len() >= 60, "{}", answers.len());
    assert!(answers.iter().filter(|golden| golden.says == "none").count() >= 25);
    for Golden { kind, name, bytes, says: expected } in answers {
        assert_eq!(says(kind, &bytes), expected, "{kind} {name}");
    }
}

#[test]
fn no_answer_that_is_cut_short_or_spoilt_panics() {
    for Golden { kind, bytes, .. } in golden().filter(|golden| golden.kind != "request") {
        for cut in 0..bytes.len() {
            let _ = says(kind, &bytes[..cut]);
            let mut spoilt = bytes.clone();
            for flipped in [0x01, 0x80, 0xff] {
                spoilt[cut] = bytes[cut] ^ flipped;
                let _ = says(kind, &spoilt);
            }
        }
    }
}

/// `ResponseHeader` with a revision, as the first field.
const HEADER: &[u8] = &[0x0a, 2, 0x18, 5];
/// `KeyValue` of a key, a revision and nothing else.
const KV: &[u8] = &[0x12, 5, 0x0a, 1, b'a', 0x18, 5];

fn range(kvs: usize) -> Vec<u8> {
    [HEADER, &KV.repeat(kvs)].concat()
}

fn txn(ranges: &[Vec<u8>]) -> Vec<u8> {
    let mut message = ProtoWriter::default();
    message.bytes(1, &HEADER[2..]);
    for range in ranges {
        let mut result = ProtoWriter::default();
        result.bytes(1, range);
        message.bytes(3, &result.into_bytes());
    }
    message.into_bytes()
}

#[test]
fn an_answer_has_a_bounded_number_of_keys() {
    let kvs = |bytes: &[u8]| RangeAnswer::decode(bytes).map(|answer| answer.kvs.len());
    assert_eq!(kvs(&range(ETCD_KVS_MAX)), Some(ETCD_KVS_MAX));
    assert_eq!(kvs(&range(ETCD_KVS_MAX + 1)), None);
    let kvs = |ranges: &[Vec<u8>]| {
        let bytes = txn(ranges);
        let answer = TxnAnswer::decode(&bytes)?;
        Some(answer.ranges.iter().map(|range| range.kvs.len()).sum::<usize>())
    };
    // Over all ranges together.
    assert_eq!(kvs(&[range(ETCD_KVS_MAX - 1), range(1)]), Some(ETCD_KVS_MAX));
    assert_eq!(kvs(&[range(ETCD_KVS_MAX - 1), range(2)]), None);
    assert_eq!(kvs(&[range(ETCD_KVS_MAX + 1)]), None);
}

#[test]
fn an_answer_has_a_bounded_number_of_results() {
    let results = |many| {
        let bytes = txn(&vec![range(0); many]);
        TxnAnswer::decode(&bytes).map(|answer| answer.ranges.len())
    };
    assert_eq!(results(ETCD_TXN_OPS_MAX), Some(ETCD_TXN_OPS_MAX));
    assert_eq!(results(ETCD_TXN_OPS_MAX + 1), None);
    // Puts count too.
    let put = [0x1a, 2, 0x12, 0];
    let puts = |many| [HEADER, &put.repeat(many)].concat();
    assert!(TxnAnswer::decode(&puts(ETCD_TXN_OPS_MAX)).is_some());
    assert_eq!(TxnAnswer::decode(&puts(ETCD_TXN_OPS_MAX + 1)), None);
}

#[test]
fn a_mistake_anywhere_within_is_no_answer() {
    let wrap = |number, inner: &[u8]| {
        let mut message = ProtoWriter::default();
        message.bytes(number, inner);
        message.into_bytes()
    };
    for mistake in [&[0x0b, 0x0c][..], &[0x08, 0x80], &[0x12, 9], &[0, 0]] {
        let header = wrap(1, mistake);
        let kv = wrap(2, &[&KV[2..], mistake].concat());
        let range = [HEADER, mistake].concat();
        let in_kv = [HEADER, &kv].concat();
        for range in [&range, &in_kv, &[HEADER, &header].concat()] {
            assert_eq!(RangeAnswer::decode(range), None, "{range:?}");
            assert_eq!(TxnAnswer::decode(&txn(std::slice::from_ref(range))), None, "{range:?}");
        }
        let result = wrap(3, &[&wrap(1, HEADER), mistake].concat());
        for txn in [mistake, &header, &result] {
            assert_eq!(TxnAnswer::decode(&[HEADER, txn].concat()), None, "{txn:?}");
        }
        for lease in [mistake, &header] {
            assert_eq!(LeaseAnswer::decode(&[HEADER, &[0x10, 1], lease].concat()), None);
        }
    }
    assert!(LeaseAnswer::decode(&[HEADER, &[0x10, 1]].concat()).is_some());
}
