//! Records as stored: what is written comes back, what cannot be read is kept, and nothing that is
//! unresolved ever makes room.

use super::*;
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::payment::{ClaimState, Closed, Fingerprint, Incarnation, Money};
use crate::engine::store::record::SIZE;
use proptest::prelude::*;

const RETENTION: Millis = Millis::new(86_400_000);
const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

fn key(number: u8) -> KeyPrefix {
    let mut key = [0xAB; 16];
    key[0] = number;
    key
}

fn gateway(index: usize) -> GatewayId {
    GatewayId::new(index).unwrap()
}

fn claim(state: ClaimState, changed_at: Timestamp) -> Claim {
    let incarnation = Incarnation { claimed_at: changed_at, nonce: 77 };
    let money = Money { minor: 12_345_678, currency: *b"IDR" };
    Claim::new(Fingerprint([3; 16]), state, incarnation, money)
}

const SETTLED: ClaimState = ClaimState::settled(Gateways::from_bits(1));
const IN_DOUBT: ClaimState = ClaimState::InDoubt {
    candidates: Gateways::from_bits(3),
    ended_at: NOW,
    repeat_until: None,
    not_found: None,
};

fn in_flight(until: Timestamp) -> ClaimState {
    ClaimState::InFlight { candidates: Gateways::from_bits(1), until, after_no: false }
}

/// A bucket of these claims, with keys from 0.
fn bucket(claims: &[Claim]) -> Bucket {
    let mut bucket = Bucket::default();
    for (number, claim) in (0u8..).zip(claims) {
        bucket.put(&key(number), claim, NOW, RETENTION).unwrap();
    }
    bucket
}

/// A record of a version that is not ours: length, version, key, and whatever it likes.
fn foreign_record(key: &KeyPrefix, version: u8, length: u8) -> Vec<u8> {
    let mut record = vec![length, version];
    record.extend(key);
    record.resize(usize::from(length), 0xEE);
    record
}

/// Milliseconds that six bytes hold, from 1: a "not found" is never said at the Unix epoch.
fn any_time() -> impl Strategy<Value = Timestamp> {
    (1u64..1 << 48).prop_map(Timestamp::from_millis)
}

fn any_state() -> impl Strategy<Value = ClaimState> {
    let set = || any::<u16>().prop_map(Gateways::from_bits);
    let gateway = || (0usize..16).prop_map(gateway);
    let how = prop_oneof![Just(Closed::Failed), Just(Closed::Cancelled), Just(Closed::Refunded)];
    let not_found = proptest::option::of((gateway(), any_time()));
    prop_oneof![
        (set(), any_time(), any::<bool>()).prop_map(|(candidates, until, after_no)| {
            ClaimState::InFlight { candidates, until, after_no }
        }),
        (set(), proptest::option::of(any_time()))
            .prop_map(|(gateways, repeat_until)| ClaimState::Settled { gateways, repeat_until }),
        gateway().prop_map(|gateway| ClaimState::Rejected { gateway }),
        (set(), any_time(), proptest::option::of(any_time()), not_found).prop_map(
            |(candidates, ended_at, repeat_until, not_found)| ClaimState::InDoubt {
                candidates,
                ended_at,
                repeat_until,
                not_found,
            }
        ),
        (how, set()).prop_map(|(how, gateways)| ClaimState::Closed { how, gateways }),
    ]
}

fn any_claim() -> impl Strategy<Value = Claim> {
    let fixed = (any::<[u8; 16]>(), any::<u16>(), any::<u32>(), any::<u64>(), any::<[u8; 3]>());
    let marks = (any::<bool>(), 0u8..128);
    (any_state(), fixed, marks, any_time(), any_time()).prop_map(
        |(state, fixed, (observed, header_keys), claimed_at, changed_at)| {
            let (print, attempt, nonce, minor, currency) = fixed;
            let flying = matches!(state, ClaimState::InFlight { .. });
            Claim {
                first: if flying { gateway(usize::from(currency[0] % 16)) } else { gateway(0) },
                fingerprint: Fingerprint(print),
                state,
                attempt,
                incarnation: Incarnation { claimed_at, nonce },
                changed_at,
                money: Money { minor, currency },
                observed,
                header_keys,
            }
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_comes_back(claim in any_claim(), key in any::<[u8; 16]>()) {
        let mut bucket = Bucket::default();
        bucket.put(&key, &claim, NOW, RETENTION).unwrap();
        let bytes = bucket.into_bytes();
        prop_assert_eq!(bytes.len(), SIZE);
        let bucket = Bucket::decode(bytes).unwrap();
        prop_assert_eq!(bucket.find(&key), Entry::Claim(claim));
        prop_assert_eq!(bucket.claims().collect::<Vec<_>>(), vec![claim]);
    }

    #[test]
    fn many_keys_live_in_one_bucket(claims in proptest::collection::vec(any_claim(), 1..20)) {
        let claims: Vec<Claim> =
            claims.into_iter().map(|claim| Claim { changed_at: NOW, ..claim }).collect();
        let bucket = bucket(&claims);
        for (number, claim) in (0u8..).zip(&claims) {
            prop_assert_eq!(bucket.find(&key(number)), Entry::Claim(*claim));
        }
        prop_assert_eq!(bucket.find(&key(200)), Entry::Absent);
        prop_assert_eq!(bucket.into_bytes().len(), claims.len() * SIZE);
    }

    #[test]
    fn noise_is_read_without_panic(
        noise in proptest::collection::vec(any::<u8>(), 0..400), claim in any_claim(),
    ) {
        if let Some(mut bucket) = Bucket::decode(noise) {
            let _ = bucket.find(&key(0));
            let _ = bucket.claims().count();
            let _ = bucket.put(&key(0), &claim, NOW, RETENTION);
            bucket.remove(&key(0));
            prop_assert!(Bucket::decode(bucket.into_bytes()).is_some());
        }
    }

    #[test]
    fn a_changed_byte_never_panics_and_never_hides_the_record(
        claim in any_claim(), at in 18..SIZE, byte in any::<u8>(),
    ) {
        let mut bytes = bucket(&[claim]).into_bytes();
        bytes[at] = byte;
        let bucket = Bucket::decode(bytes).unwrap();
        prop_assert_ne!(bucket.find(&key(0)), Entry::Absent);
    }

    #[test]
    fn a_truncated_bucket_is_none(claim in any_claim(), cut in 1..2 * SIZE) {
        let claim = Claim { changed_at: NOW, ..claim };
        let mut bytes = bucket(&[claim, claim]).into_bytes();
        bytes.truncate(cut);
        prop_assert_eq!(Bucket::decode(bytes).is_some(), cut == SIZE);
    }
}

#[test]
fn a_record_is_compact() {
    const { assert!(SIZE <= 96) };
    assert_eq!(bucket(&[claim(IN_DOUBT, NOW)]).into_bytes().len(), SIZE);
}

#[test]
fn bytes_that_are_no_sequence_of_records_are_none() {
    for bytes in [vec![0], vec![17; 17], vec![200; 20], vec![1, 1, 1], vec![18; 19]] {
        assert_eq!(Bucket::decode(bytes.clone()), None, "{bytes:?}");
    }
    assert_eq!(Bucket::decode(Vec::new()), Some(Bucket::default()));
}

#[test]
fn a_record_of_another_version_is_unresolved_and_never_expires() {
    let much_later = NOW.plus(Millis::new(u64::MAX / 2));
    for (version, length) in [(2, 94), (0, 94), (2, 18), (9, 255), (1, 95), (1, 93), (129, 94)] {
        let record = foreign_record(&key(9), version, length);
        let mut bucket = Bucket::decode(record.clone()).unwrap();
        assert_eq!(bucket.find(&key(9)), Entry::Unreadable, "{version} {length}");
        assert_eq!(bucket.find(&key(8)), Entry::Absent);
        bucket.put(&key(8), &claim(SETTLED, NOW), much_later, RETENTION).unwrap();
        bucket.put(&key(7), &claim(SETTLED, NOW), much_later, RETENTION).unwrap();
        assert_eq!(bucket.find(&key(9)), Entry::Unreadable, "{version} {length}");
        assert!(bucket.into_bytes().starts_with(&record), "kept byte for byte");
    }
}

#[test]
fn a_state_that_this_version_does_not_know_is_unresolved() {
    for tag in [0, 9, 255] {
        let mut bytes = bucket(&[claim(SETTLED, NOW)]).into_bytes();
        bytes[34] = tag;
        assert_eq!(Bucket::decode(bytes).unwrap().find(&key(0)), Entry::Unreadable, "{tag}");
    }
    let rejected = ClaimState::Rejected { gateway: gateway(2) };
    for gateways in [0u8, 3] {
        let mut bytes = bucket(&[claim(rejected, NOW)]).into_bytes();
        bytes[38] = gateways;
        assert_eq!(Bucket::decode(bytes).unwrap().find(&key(0)), Entry::Unreadable);
    }
}

#[test]
fn a_claim_is_replaced_in_place_and_removed() {
    let mut bucket = bucket(&[claim(in_flight(NOW), NOW), claim(IN_DOUBT, NOW)]);
    bucket.put(&key(0), &claim(SETTLED, NOW), NOW, RETENTION).unwrap();
    assert_eq!(bucket.find(&key(0)), Entry::Claim(claim(SETTLED, NOW)));
    assert_eq!(bucket.find(&key(1)), Entry::Claim(claim(IN_DOUBT, NOW)));
    assert_eq!(bucket.claims().count(), 2);
    bucket.remove(&key(0));
    assert_eq!(bucket.find(&key(0)), Entry::Absent);
    assert_eq!(bucket.find(&key(1)), Entry::Claim(claim(IN_DOUBT, NOW)));
    bucket.remove(&key(0));
    assert_eq!(bucket.into_bytes().len(), SIZE);
}

/// What a later put does to a record of this state and age, in a bucket that holds as many as it
/// was laid out for.
fn survives(state: ClaimState, age: Millis) -> bool {
    let changed_at = Timestamp::from_millis(NOW.as_millis() - age.get());
    let mut bucket = Bucket::default();
    for other in 1..limits::BUCKET_RECORDS_MEAN {
        let other = u8::try_from(other).unwrap();
        bucket.put(&key(100 + other), &claim(IN_DOUBT, NOW), NOW, RETENTION).unwrap();
    }
    bucket.put(&key(0), &claim(state, changed_at), changed_at, RETENTION).unwrap();
    bucket.put(&key(1), &claim(SETTLED, NOW), NOW, RETENTION).unwrap();
    bucket.find(&key(0)) != Entry::Absent
}

#[test]
fn a_resolved_claim_makes_room_after_its_retention_and_an_unresolved_one_never() {
    let closed = ClaimState::Closed { how: Closed::Failed, gateways: Gateways::NONE };
    for state in [SETTLED, ClaimState::Rejected { gateway: gateway(0) }, closed] {
        let retention = RETENTION.get();
        for (age, expected) in [(0, true), (retention - 1, true), (retention, false)] {
            assert_eq!(survives(state, Millis::new(age)), expected, "{state:?} after {age} ms");
        }
    }
    for state in [IN_DOUBT, in_flight(NOW), in_flight(Timestamp::from_millis(1))] {
        assert!(survives(state, Millis::new(NOW.as_millis())), "{state:?}");
    }
}

#[test]
fn a_clock_that_jumps_ahead_empties_no_bucket_that_has_room() {
    let mut bucket = Bucket::default();
    let later = NOW.plus(RETENTION).plus(RETENTION);
    bucket.put(&key(0), &claim(SETTLED, NOW), NOW, RETENTION).unwrap();
    bucket.put(&key(1), &claim(SETTLED, later), later, RETENTION).unwrap();
    assert_ne!(bucket.find(&key(0)), Entry::Absent);
}

#[test]
fn a_full_bucket_refuses_a_new_claim_and_keeps_all_others() {
    let full = || bucket(&vec![claim(IN_DOUBT, NOW); limits::BUCKET_RECORDS_MAX]);
    let long_after = NOW.plus(RETENTION).plus(RETENTION);
    let mut bucket = full();
    let put = bucket.put(&key(200), &claim(IN_DOUBT, NOW), long_after, RETENTION);
    assert_eq!(put, Err(BucketError::Full));
    assert_eq!(bucket, full());
    // The one that is there may still change: its evidence must never be lost for room.
    bucket.put(&key(3), &claim(SETTLED, NOW), NOW, RETENTION).unwrap();
    assert_eq!(bucket.find(&key(3)), Entry::Claim(claim(SETTLED, NOW)));
    let put = bucket.put(&key(200), &claim(IN_DOUBT, NOW), NOW, RETENTION);
    assert_eq!(put, Err(BucketError::Full));
    // Once it is resolved and its retention over, it makes room.
    bucket.put(&key(200), &claim(IN_DOUBT, NOW), long_after, RETENTION).unwrap();
    assert_eq!(bucket.find(&key(3)), Entry::Absent);
    assert_eq!(bucket.claims().count(), limits::BUCKET_RECORDS_MAX);
}

#[test]
fn records_of_other_versions_count_towards_a_full_bucket() {
    let foreign = (0..limits::BUCKET_RECORDS_MAX)
        .flat_map(|number| foreign_record(&key(u8::try_from(number).unwrap()), 2, 40));
    let mut bucket = Bucket::decode(foreign.collect()).unwrap();
    let put = bucket.put(&key(200), &claim(SETTLED, NOW), NOW, RETENTION);
    assert_eq!(put, Err(BucketError::Full));
    assert_eq!(bucket.claims().count(), 0);
}

/// Of a key that begins with these bytes.
fn front(bytes: &[u8]) -> KeyFront {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    KeyFront::parse(&digits).unwrap()
}

#[test]
fn a_front_finds_every_key_that_begins_with_it_and_no_link() {
    let mut near = key(0);
    near[15] = 0;
    let mut bucket = bucket(&[claim(SETTLED, NOW), claim(IN_DOUBT, NOW)]);
    bucket.put(&near, &claim(IN_DOUBT, NOW), NOW, RETENTION).unwrap();
    let link = Alias { to: AliasTarget::Gateway(gateway(1)), used_at: NOW, nonce: 1 };
    bucket.put_alias(&key(2), &link, NOW, RETENTION).unwrap();
    let foreign = foreign_record(&key(3), 2, 40);
    let bucket = Bucket::decode([bucket.into_bytes(), foreign].concat()).unwrap();
    let found = |bytes: &[u8]| bucket.find_front(&front(bytes)).collect::<Vec<_>>();
    let (settled, doubt) = (claim(SETTLED, NOW), claim(IN_DOUBT, NOW));
    assert_eq!(found(&key(0)), [(key(0), Entry::Claim(settled))]);
    assert_eq!(found(&key(0)[..8]), [(key(0), Entry::Claim(settled)), (near, Entry::Claim(doubt))]);
    assert_eq!(found(&key(1)[..8]), [(key(1), Entry::Claim(doubt))]);
    assert_eq!(found(&key(2)), []);
    assert_eq!(found(&key(3)[..8]), [(key(3), Entry::Unreadable)]);
    assert_eq!(found(&key(4)), []);
    let entries: Vec<Entry> = bucket.entries().map(|(_, entry)| entry).collect();
    let claims = [settled, doubt, doubt].map(Entry::Claim);
    assert_eq!(entries[..3], claims);
    assert_eq!(entries[3..], [Entry::Alias(link), Entry::Unreadable]);
}

#[test]
fn a_claim_is_replaced_in_its_place_and_nothing_else_moves() {
    let later = Timestamp::from_millis(NOW.as_millis() + 1_000_000_000);
    let mut claims = vec![claim(SETTLED, NOW); 40];
    claims[7] = claim(IN_DOUBT, NOW);
    let foreign = foreign_record(&key(200), 9, 40);
    let link = Alias { to: AliasTarget::Gateway(gateway(1)), used_at: NOW, nonce: 1 };
    let mut before = bucket(&claims);
    before.put_alias(&key(201), &link, NOW, RETENTION).unwrap();
    let before = Bucket::decode([foreign, before.into_bytes()].concat()).unwrap();

    let (mut after, new) = (before.clone(), claim(SETTLED, later));
    assert!(after.replace(&key(7), &new));
    assert_eq!(after.find(&key(7)), Entry::Claim(new));
    for ((key_before, entry), (key_after, kept)) in before.entries().zip(after.entries()) {
        assert_eq!(key_before, key_after, "in the same order");
        assert!(entry == kept || key_before == key(7));
    }
    assert_eq!(before.entries().count(), after.entries().count());

    for other in [key(100), key(200), key(201)] {
        let mut same = after.clone();
        assert!(!same.replace(&other, &new), "absent, not readable, or no claim");
        assert_eq!(same, after);
    }
}

#[test]
fn only_as_many_leave_as_must_and_the_oldest_first() {
    let mut bucket = Bucket::default();
    for number in 0..40 {
        // The later the key, the older.
        let at = Timestamp::from_millis(NOW.as_millis() - u64::from(number));
        bucket.put(&key(number), &claim(SETTLED, at), NOW, RETENTION).unwrap();
    }
    let later = NOW.plus(RETENTION);
    bucket.put(&key(100), &claim(SETTLED, later), later, RETENTION).unwrap();
    let mean = limits::BUCKET_RECORDS_MEAN as usize;
    assert_eq!(bucket.claims().count(), mean);
    for number in 0..40 {
        let kept = bucket.find(&key(number)) != Entry::Absent;
        assert_eq!(kept, usize::from(number) < mean - 1, "{number}");
    }
}

#[test]
fn what_lies_further_ahead_than_any_wait_is_mended_and_nothing_else() {
    let rules = ClaimRules {
        response: Millis::new(10_000),
        lease: Millis::new(30_000),
        repeat_after: Millis::new(5000),
        repeat_max_age: Millis::new(3_600_000),
        settle_delay: Millis::new(60_000),
        shared_ledger: false,
    };
    let at = |offset: u64| NOW.plus(Millis::new(offset));
    let ahead = 90_000_000;
    let doubt = |ended: u64, repeat: Option<u64>, noted: u64| ClaimState::InDoubt {
        candidates: Gateways::from_bits(3),
        ended_at: at(ended),
        repeat_until: repeat.map(at),
        not_found: Some((gateway(1), at(noted))),
    };
    let of_one = |state, changed| {
        let mut bucket = Bucket::default();
        bucket.put(&key(0), &claim(state, changed), NOW, RETENTION).unwrap();
        bucket
    };
    for (state, mended) in [
        (in_flight(at(ahead + 30_000)), in_flight(at(30_000))),
        (doubt(ahead, Some(ahead + 9), ahead), doubt(0, Some(30_000), 0)),
        (doubt(0, None, ahead), doubt(0, None, 0)),
        (SETTLED, SETTLED),
    ] {
        let mut bucket = of_one(state, at(ahead));
        assert!(bucket.mend(NOW, &rules), "{state:?}");
        let Entry::Claim(found) = bucket.find(&key(0)) else { panic!("it is still there") };
        let incarnation = claim(state, at(ahead)).incarnation;
        assert_eq!((found.state, found.changed_at, found.incarnation), (mended, NOW, incarnation));
        assert!(!bucket.mend(NOW, &rules), "once");
        // As far ahead as a lease and the longest wait can be apart nothing is touched.
        let mut near = of_one(state, at(30_000));
        assert!(!near.mend(NOW, &rules) && near == of_one(state, at(30_000)));
    }
    let link = |used_at| Alias { to: AliasTarget::Gateway(gateway(1)), used_at, nonce: 1 };
    let mut bucket = Bucket::decode(foreign_record(&key(9), 2, 40)).unwrap();
    bucket.put_alias(&key(2), &link(at(ahead)), NOW, RETENTION).unwrap();
    assert!(bucket.mend(NOW, &rules));
    assert_eq!(bucket.find_alias(&key(2)), Some(link(NOW)));
    assert_eq!(bucket.find(&key(9)), Entry::Unreadable);
}

/// A notification is remembered while there is room, and makes room for a payment.
#[test]
fn no_payment_is_refused_for_the_sake_of_notifications() {
    use crate::engine::store::alias::Delivery;
    let mark = |at: u64| Alias {
        to: AliasTarget::Application(Delivery::Confirmed),
        used_at: Timestamp::from_millis(at),
        nonce: 0,
    };
    let key = |front: u8, number: u8| {
        let mut key = key(number);
        key[1] = front;
        key
    };
    let mut bucket = Bucket::default();
    let many = u8::try_from(limits::BUCKET_RECORDS_MEAN).unwrap();
    for number in 0..2 * many {
        let at = NOW.as_millis() - 1000 + u64::from(number);
        bucket.put_alias(&key(1, number), &mark(at), NOW, RETENTION).unwrap();
    }
    let is_there = |bucket: &Bucket, number| bucket.find_alias(&key(1, number)).is_some();
    assert!((0..many).all(|number| !is_there(&bucket, number)));
    assert!((many..2 * many).all(|number| is_there(&bucket, number)));
    assert_eq!(bucket.kept(NOW, RETENTION), 0);
    let max = u8::try_from(limits::BUCKET_RECORDS_MAX).unwrap();
    for number in 0..max {
        bucket.put(&key(2, number), &claim(IN_DOUBT, NOW), NOW, RETENTION).unwrap();
    }
    assert_eq!(bucket.claims().count(), usize::from(max));
    let full = Err(BucketError::Full);
    assert_eq!(bucket.put_alias(&key(1, 0), &mark(0), NOW, RETENTION), full);
}
