//! Messages at random: requests read back as themselves, and answers say the same in any order of
//! their fields and with unknown ones between.

use proptest::prelude::*;

use super::*;
use crate::engine::store::etcd::proto::{ProtoFields, ProtoValue};

type Bytes = Vec<u8>;

fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..=most)
}

/// Numbers of all lengths.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 1u32..64).prop_map(|(bits, shift)| bits >> shift)
}

/// A request's fields as they are on the wire: numbers as they are, messages as their fields.
fn fields(message: &[u8]) -> Vec<(u32, ProtoValue<'_>)> {
    ProtoFields::new(message).map(Option::unwrap).collect()
}

/// The value of a field, or what proto3 takes for one that is not there.
fn number_of(message: &[u8], wanted: u32) -> u64 {
    let of = |(number, value)| match value {
        ProtoValue::Varint(value) if number == wanted => Some(value),
        ProtoValue::Varint(_) | ProtoValue::Bytes(_) | ProtoValue::Fixed => None,
    };
    fields(message).into_iter().find_map(of).unwrap_or_default()
}

fn all_of(message: &[u8], wanted: u32) -> Vec<&[u8]> {
    let of = |(number, value)| match value {
        ProtoValue::Bytes(value) if number == wanted => Some(value),
        ProtoValue::Varint(_) | ProtoValue::Bytes(_) | ProtoValue::Fixed => None,
    };
    fields(message).into_iter().filter_map(of).collect()
}

fn bytes_of(message: &[u8], wanted: u32) -> &[u8] {
    all_of(message, wanted).first().copied().unwrap_or_default()
}

fn read_compare(message: &[u8]) -> Compare<'_> {
    assert_eq!(number_of(message, 1), 0, "EQUAL");
    let (last, _) = fields(message).pop().unwrap();
    let target = match (number_of(message, 2), last) {
        (1, 5) if number_of(message, 5) == 0 => CompareTarget::CreateAbsent,
        (2, 6) => CompareTarget::Mod(number_of(message, 6)),
        (3, 7) => CompareTarget::Value(bytes_of(message, 7)),
        other => panic!("{other:?}"),
    };
    Compare { key: bytes_of(message, 3), target }
}

fn read_range(message: &[u8]) -> RangeRequest<'_> {
    RangeRequest {
        key: bytes_of(message, 1),
        range_end: bytes_of(message, 2),
        limit: number_of(message, 3),
        serializable: number_of(message, 7) == 1,
        keys_only: number_of(message, 8) == 1,
        count_only: number_of(message, 9) == 1,
    }
}

fn read_op(message: &[u8]) -> Op<'_> {
    match fields(message).as_slice() {
        [(1, ProtoValue::Bytes(range))] => Op::Range(read_range(range)),
        [(2, ProtoValue::Bytes(put))] => {
            Op::Put { key: bytes_of(put, 1), value: bytes_of(put, 2), lease: number_of(put, 3) }
        }
        [(3, ProtoValue::Bytes(delete))] => Op::Delete { key: bytes_of(delete, 1) },
        other => panic!("{other:?}"),
    }
}

fn read_txn(message: &[u8]) -> Txn<'_> {
    let ops = |number| all_of(message, number).into_iter().map(read_op).collect();
    let compare = all_of(message, 1).into_iter().map(read_compare).collect();
    Txn { compare, success: ops(2), failure: ops(3) }
}

/// Bytes and numbers of which conditions and operations are made.
type Seed = (u8, Bytes, Bytes, u64, [bool; 3]);

fn seed() -> impl Strategy<Value = Seed> {
    (0u8..3, bytes(200), bytes(400), number(), any::<[bool; 3]>())
}

fn op((kind, key, other, number, flags): &Seed) -> Op<'_> {
    let [serializable, keys_only, count_only] = *flags;
    match kind {
        0 => Op::Put { key, value: other, lease: *number },
        1 => Op::Delete { key },
        _ => Op::Range(RangeRequest {
            key,
            range_end: other,
            limit: *number,
            serializable,
            keys_only,
            count_only,
        }),
    }
}

fn condition((kind, key, other, number, _): &Seed) -> Compare<'_> {
    let target = match kind {
        0 => CompareTarget::CreateAbsent,
        1 => CompareTarget::Mod(*number),
        _ => CompareTarget::Value(other),
    };
    Compare { key, target }
}

/// An answer's message: fields that are there once, and one that repeats, which keeps its order.
/// Between them come fields that nobody knows. xorshift64 says where.
struct Mixer(u64);

impl Mixer {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 32).unwrap() % most
    }

    fn unknown(&mut self) -> &'static [u8] {
        const FIELDS: [&[u8]; 8] = [
            b"",
            b"",
            b"",
            &[0x98, 1, 0xff, 1],
            &[0xa1, 1, 1, 2, 3, 4, 5, 6, 7, 8],
            &[0xa2, 1, 3, 0xff, 0xff, 0xff],
            &[0xb5, 1, 1, 2, 3, 4],
            &[0xfa, 0xff, 0xff, 0xff, 0x0f, 0],
        ];
        FIELDS[self.below(FIELDS.len())]
    }

    fn message(&mut self, once: Vec<Bytes>, repeated: Vec<Bytes>) -> Bytes {
        let mut all = repeated;
        for field in once {
            let at = self.below(all.len() + 1);
            all.insert(at, field);
        }
        let mut message = self.unknown().to_vec();
        for field in all {
            message.extend(field);
            message.extend(self.unknown());
        }
        message
    }
}

fn of_number(field: u32, value: u64) -> Bytes {
    let mut writer = ProtoWriter::default();
    writer.number_unless_zero(field, value);
    writer.into_bytes()
}

fn of_bytes(field: u32, value: &[u8]) -> Bytes {
    let mut writer = ProtoWriter::default();
    writer.bytes(field, value);
    writer.into_bytes()
}

fn header(revision: u64, mixer: &mut Mixer) -> Bytes {
    let ids = [of_number(1, u64::MAX), of_number(2, 1 << 63), of_number(4, 7)];
    let fields = ids.into_iter().chain([of_number(3, revision)]).collect();
    of_bytes(1, &mixer.message(fields, Vec::new()))
}

fn write_kv(kv: &KeyValue<'_>, mixer: &mut Mixer) -> Bytes {
    let fields = vec![
        of_bytes(1, kv.key),
        of_number(2, 1),
        of_number(3, kv.mod_revision),
        of_number(4, 9),
        of_bytes(5, kv.value),
        of_number(6, kv.lease),
    ];
    of_bytes(2, &mixer.message(fields, Vec::new()))
}

fn write_range(range: &RangeAnswer<'_>, mixer: &mut Mixer) -> Bytes {
    let once = vec![
        header(range.revision, mixer),
        of_number(3, range.more.into()),
        of_number(4, range.count),
    ];
    let kvs = range.kvs.iter().map(|kv| write_kv(kv, mixer)).collect();
    mixer.message(once, kvs)
}

/// What comes before each range: so many results that are no range.
fn write_txn(answer: &TxnAnswer<'_>, others: usize, mixer: &mut Mixer) -> Bytes {
    let once = vec![header(answer.revision, mixer), of_number(2, answer.succeeded.into())];
    let mut results = Vec::new();
    for range in &answer.ranges {
        for _ in 0..others {
            let kind = 2 + u32::try_from(mixer.below(3)).unwrap();
            let other = of_bytes(kind, &header(1, mixer));
            results.push(of_bytes(3, &mixer.message(vec![other], Vec::new())));
        }
        let range = of_bytes(1, &write_range(range, mixer));
        results.push(of_bytes(3, &mixer.message(vec![range], Vec::new())));
    }
    mixer.message(once, results)
}

type KvSeed = (Bytes, u64, Bytes, u64);

fn kv_seeds() -> impl Strategy<Value = Vec<KvSeed>> {
    let key = prop::collection::vec(any::<u8>(), 1..60);
    prop::collection::vec((key, number(), bytes(300), number()), 0..5)
}

/// Keys, their count, whether there are more, and a revision.
type RangeSeed = (Vec<KvSeed>, u64, bool, u64);

fn range_seed() -> impl Strategy<Value = RangeSeed> {
    (kv_seeds(), number(), any::<bool>(), number())
}

fn kv((key, mod_revision, value, lease): &KvSeed) -> KeyValue<'_> {
    KeyValue { key, mod_revision: (*mod_revision).max(1), value, lease: *lease }
}

fn range_of((kvs, count, more, revision): &RangeSeed) -> RangeAnswer<'_> {
    let kvs = kvs.iter().map(kv).collect();
    RangeAnswer { kvs, more: *more, count: *count, revision: (*revision).max(1) }
}

proptest! {
    #[test]
    fn noise_is_read_without_a_panic(noise in bytes(300)) {
        for message in [noise.clone(), [HEADER, &noise].concat()] {
            if let Some(answer) = TxnAnswer::decode(&message) {
                prop_assert!(answer.revision > 0);
            }
            if let Some(answer) = RangeAnswer::decode(&message) {
                prop_assert!(answer.revision > 0);
                prop_assert!(answer.kvs.iter().all(|kv| kv.mod_revision > 0));
            }
            if let Some(answer) = LeaseAnswer::decode(&message) {
                prop_assert!(answer.id > 0);
            }
        }
    }

    #[test]
    fn a_transaction_reads_back_as_itself(
        compare in prop::collection::vec(seed(), 0..4),
        success in prop::collection::vec(seed(), 0..4),
        failure in prop::collection::vec(seed(), 0..4),
    ) {
        let txn = Txn {
            compare: compare.iter().map(condition).collect(),
            success: success.iter().map(op).collect(),
            failure: failure.iter().map(op).collect(),
        };
        let bytes = txn.encode();
        prop_assert_eq!(read_txn(&bytes), txn);
    }

    #[test]
    fn a_transaction_is_told_in_any_order_and_with_unknown_fields(
        ranges in prop::collection::vec(range_seed(), 0..4),
        revision in number(), succeeded: bool, others in 0usize..3, mix in 1u64..,
    ) {
        let ranges = ranges.iter().map(range_of).collect();
        let answer = TxnAnswer { revision: revision.max(1), succeeded, ranges };
        let bytes = write_txn(&answer, others, &mut Mixer(mix));
        prop_assert_eq!(TxnAnswer::decode(&bytes), Some(answer.clone()));
        let without = TxnAnswer { revision: 0, ..answer };
        let bytes = write_txn(&without, others, &mut Mixer(mix));
        prop_assert_eq!(TxnAnswer::decode(&bytes), None);
    }

    #[test]
    fn a_range_is_told_in_any_order_and_with_unknown_fields(
        seed in range_seed(), mix in 1u64..,
    ) {
        let answer = range_of(&seed);
        let bytes = write_range(&answer, &mut Mixer(mix));
        prop_assert_eq!(RangeAnswer::decode(&bytes), Some(answer));
    }

    #[test]
    fn a_lease_is_told_in_any_order_and_with_unknown_fields(
        id in number(), ttl_s in number(), revision in number(), mix in 1u64..,
    ) {
        let mut mixer = Mixer(mix);
        let fields = vec![header(revision, &mut mixer), of_number(2, id), of_number(3, ttl_s)];
        let bytes = mixer.message(fields, Vec::new());
        let granted = (revision > 0 && id > 0).then_some(LeaseAnswer { id, ttl_s });
        prop_assert_eq!(LeaseAnswer::decode(&bytes), granted);
    }
}
