//! What is counted, and how it is stored.

use proptest::prelude::*;

use super::draft::{Counts, Draft};
use super::*;
use crate::engine::gateway::GatewayId;
use crate::engine::payment::{
    Claim, ClaimKey, ClaimRules, ClaimState, Closed, Fingerprint, Incarnation,
};
use crate::engine::store::alias::{Alias, AliasTarget};
use crate::engine::store::local::bucket::Bucket;
use crate::engine::time::Leaps;

pub(in crate::engine) const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
pub(in crate::engine) const RETENTION: Millis = Millis::new(86_400_000);
pub(in crate::engine) const RULES: ClaimRules = ClaimRules {
    lease: Millis::new(30_000),
    response: Millis::new(10_000),
    repeat_after: Millis::new(5000),
    repeat_max_age: Millis::new(3_600_000),
    settle_delay: Millis::new(60_000),
    shared_ledger: false,
};
pub(in crate::engine) const ENFORCING: Counts<'_> =
    Counts { rules: &RULES, leaps: Leaps::NONE, observing: false };
pub(in crate::engine) const OBSERVING: Counts<'_> =
    Counts { rules: &RULES, leaps: Leaps::NONE, observing: true };

pub(in crate::engine) const fn at(offset: i64) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis().saturating_add_signed(offset))
}

pub(in crate::engine) fn key(number: usize) -> KeyPrefix {
    let mut key = [0xAB; 16];
    key[..8].copy_from_slice(&(number as u64).to_be_bytes());
    key
}

pub(in crate::engine) fn gateway(index: usize) -> GatewayId {
    GatewayId::new(index).unwrap()
}

pub(in crate::engine) fn one() -> Gateways {
    Gateways::only(gateway(0))
}

pub(in crate::engine) const fn doubt(
    candidates: Gateways,
    repeat_until: Option<Timestamp>,
) -> ClaimState {
    ClaimState::InDoubt { candidates, ended_at: at(-50_000), repeat_until, not_found: None }
}

/// A claim of 100 IDR, so old.
pub(in crate::engine) fn claim(state: ClaimState, age: i64) -> Claim {
    let incarnation = Incarnation { claimed_at: at(-age), nonce: 77 };
    let money = Money { minor: 10_000, currency: *b"IDR" };
    Claim::new(Fingerprint([3; 16]), state, incarnation, money)
}

pub(in crate::engine) fn bucket(claims: &[Claim]) -> Vec<u8> {
    let mut bucket = Bucket::default();
    for (number, claim) in claims.iter().enumerate() {
        bucket.put(&key(number), claim, NOW, RETENTION).unwrap();
    }
    bucket.into_bytes()
}

pub(in crate::engine) fn count(buckets: &[Vec<u8>], how: Counts<'_>) -> Census {
    let mut draft = Draft::new(NOW);
    for (number, bytes) in (0u32..).zip(buckets) {
        draft.count_bucket(number, bytes.clone(), RETENTION, how, NOW);
    }
    draft.finish()
}

/// Whoever ends the process loses these. Keys that only lead elsewhere say nothing of a payment, and
/// marks of payments in etcd are among them.
#[test]
fn what_a_process_takes_with_it_is_what_is_unresolved_or_within_its_retention() {
    let retention = RETENTION.get().cast_signed();
    let settled = |age| claim(ClaimState::settled(one()), age);
    let in_flight = ClaimState::InFlight { candidates: one(), until: at(1000), after_no: false };
    let old = 2 * retention;
    let claims = [
        settled(retention - 1),
        settled(retention),
        claim(doubt(one(), None), old),
        claim(in_flight, old),
    ];
    let mut first = Bucket::decode(bucket(&claims)).unwrap();
    let to = AliasTarget::Payment(ClaimKey::derive("p", "order", ["r"]).reference());
    first.put_alias(&key(9), &Alias { to, used_at: NOW, nonce: 0 }, NOW, RETENTION).unwrap();
    let census = count(&[first.into_bytes(), bucket(&claims[..1]), vec![1, 2, 3]], ENFORCING);
    assert_eq!(census.local, Some(LocalClaims { claims: 5, in_doubt: 1 }));
    // Its last change counts, not its beginning.
    let late = Claim { changed_at: at(-1), ..settled(old) };
    assert_eq!(count(&[bucket(&[late])], ENFORCING).local.unwrap().claims, 1);
    assert_eq!(count(&[Vec::new()], ENFORCING).local, Some(LocalClaims::default()));
}

#[test]
fn claims_count_where_they_stand_now() {
    let in_flight = |until| ClaimState::InFlight { candidates: one(), until, after_no: false };
    let closed = |how| ClaimState::Closed { how, gateways: one() };
    let states = [
        in_flight(at(1)),
        in_flight(NOW),
        ClaimState::settled(one()),
        ClaimState::Rejected { gateway: gateway(0) },
        doubt(one(), None),
        doubt(one(), Some(at(1))),
        closed(Closed::Failed),
        closed(Closed::Cancelled),
        closed(Closed::Refunded),
    ];
    let census = count(&[bucket(&states.map(|state| claim(state, 60_000)))], ENFORCING);
    let expected =
        States { in_flight: 1, in_doubt: 3, settled: 1, rejected: 1, closed: 3, unreadable: 0 };
    assert_eq!(census.states, expected);
    assert_eq!((census.records, census.records_max, census.buckets), (9, 9, 1));
    assert_eq!(census.at_risk, [(*b"IDR", 30_000)]);
    assert_eq!((census.unsummed, census.oldest_age()), (0, Millis::new(60_000)));
    let repeats: Vec<_> = census.oldest.iter().map(|doubt| doubt.repeat_until).collect();
    assert_eq!(repeats, [None, None, Some(at(1))]);
    // The attempt whose lease is over ended with it.
    assert_eq!(census.oldest[0].ended_at, NOW);
}

#[test]
fn what_cannot_be_read_counts_and_links_only_take_room() {
    let mut foreign = bucket(&[claim(doubt(one(), None), 1)]);
    foreign[1] = 9;
    let mut links = Bucket::default();
    let link = Alias { to: AliasTarget::Gateway(gateway(1)), used_at: NOW, nonce: 1 };
    links.put_alias(&key(7), &link, NOW, RETENTION).unwrap();
    links.put_alias(&key(8), &link, NOW, RETENTION).unwrap();
    let buckets = [foreign, vec![1, 2, 3], Vec::new(), links.into_bytes()];
    let census = count(&buckets, ENFORCING);
    assert_eq!(census.states, States { unreadable: 2, ..States::default() });
    assert_eq!((census.records, census.records_max, census.buckets), (3, 2, 4));
    assert_eq!((census.kept, census.full, census.bucket_fill_pct()), (3, 0, 200 / 64));
    assert_eq!(Census::default().fill_pct(), 0);
}

/// A bucket with so many settled claims of these ages.
pub(in crate::engine) fn aged(claims: &[(usize, i64)]) -> Vec<u8> {
    let settled = ClaimState::settled(one());
    let ages = claims.iter().flat_map(|(many, age)| std::iter::repeat_n(*age, *many));
    let mut bucket = Bucket::default();
    for (number, age) in ages.enumerate() {
        let mut claim = claim(settled, age);
        claim.changed_at = at(-age);
        bucket.put(&key(number), &claim, at(-age), RETENTION).unwrap();
    }
    bucket.into_bytes()
}

/// The gauge is 100 when some new claim is refused, and below that when none is.
#[test]
fn the_store_is_full_when_a_new_claim_is_refused_and_not_before() {
    const OLD: i64 = 86_400_000;
    let cases: [(&[(usize, i64)], bool); 5] = [
        (&[], false),
        (&[(63, 1000)], false),
        (&[(64, 1000)], true),
        // As many records, one of which makes room.
        (&[(1, OLD), (63, 1000)], false),
        (&[(15, OLD), (1, 1000)], false),
    ];
    for (claims, is_full) in cases {
        let buckets = [Vec::new(), aged(claims), Vec::new(), Vec::new()];
        let census = count(&buckets, ENFORCING);
        let refuses = buckets.iter().any(|bytes| {
            let mut bucket = Bucket::decode(bytes.clone()).unwrap();
            let new = claim(doubt(one(), None), 0);
            bucket.put(&key(999), &new, NOW, RETENTION).is_err()
        });
        assert_eq!((refuses, census.full), (is_full, u32::from(is_full)), "{claims:?}");
        assert_eq!(census.fill_pct() == 100, is_full, "{claims:?}");
        assert_eq!(census.room() == Room::None, is_full, "{claims:?}");
    }
    // What is in doubt never makes room, however old it is.
    let doubts = vec![claim(doubt(one(), None), 2 * OLD); 64];
    assert_eq!(count(&[bucket(&doubts)], ENFORCING).fill_pct(), 100);
}

#[test]
fn the_fill_grows_with_what_is_kept_and_warns_in_time() {
    let fills: Vec<u64> =
        (0..64).map(|many| count(&[aged(&[(many, 1000)])], ENFORCING).fill_pct()).collect();
    assert!(fills.is_sorted() && fills[0] == 0 && fills[63] == 99, "{fills:?}");
    // As full as it was laid out for: far from any refusal.
    assert_eq!(fills[limits::BUCKET_RECORDS_MEAN as usize], 47);
    let warns = fills.iter().position(|fill| *fill >= limits::STORE_NEARLY_FULL_PCT).unwrap();
    let refused = capacity::refused(warns as f64);
    assert!(refused < 1e-8, "at {warns} in a bucket {refused} of new claims are refused");
}

#[test]
fn an_observed_claim_is_in_doubt_once_claims_are_enforced() {
    let settled = claim(ClaimState::settled(one()), 60_000);
    let buckets = [bucket(&[Claim { observed: true, ..settled }, settled])];
    let observing = count(&buckets, OBSERVING);
    assert_eq!(observing.states, States { settled: 2, ..States::default() });
    let enforcing = count(&buckets, ENFORCING);
    assert_eq!(enforcing.states, States { settled: 1, in_doubt: 1, ..States::default() });
    assert!(enforcing.oldest[0].observed);
    assert_eq!(enforcing.oldest[0].ended_at, at(-30_000));
}

#[test]
fn the_oldest_are_listed_and_the_rest_is_counted() {
    let per_bucket = limits::BUCKET_RECORDS_MAX;
    let buckets = limits::IN_DOUBT_LISTED_MAX / per_bucket + 2;
    // The youngest come first.
    let aged = |number: usize| claim(doubt(one(), None), i64::try_from(number).unwrap());
    let stored = (0..buckets).map(|number| {
        let mut bucket = Bucket::default();
        for place in number * per_bucket..(number + 1) * per_bucket {
            bucket.put(&key(place), &aged(place), NOW, RETENTION).unwrap();
        }
        bucket.into_bytes()
    });
    let census = count(&stored.collect::<Vec<_>>(), ENFORCING);
    let all = buckets * per_bucket;
    assert_eq!(census.states.in_doubt, all as u64);
    assert_eq!(census.at_risk, [(*b"IDR", all as u64 * 10_000)]);
    assert_eq!(census.oldest.len(), limits::IN_DOUBT_LISTED_MAX);
    for (place, listed) in census.oldest.iter().enumerate() {
        let number = all - 1 - place;
        let bucket = u32::try_from(number / per_bucket).unwrap();
        assert_eq!((listed.key, listed.bucket), (key(number), bucket));
        assert_eq!(listed.age(NOW), Millis::new(number as u64));
    }
    assert_eq!(census.bucket_fill_pct(), 100);
    let digits: String = key(all - 1).iter().map(|byte| format!("{byte:02x}")).collect();
    let front = KeyFront::parse(&digits[..16]).unwrap();
    assert_eq!(census.find_front(&front).collect::<Vec<_>>(), [&census.oldest[0]]);
}

#[test]
fn money_is_summed_by_currency_and_what_is_none_is_said_to_be_missing() {
    let with = |minor, currency: &[u8; 3]| {
        let money = Money { minor, currency: *currency };
        Claim { money, ..claim(doubt(one(), None), 1) }
    };
    let check = |claims: &[Claim], at_risk: &[([u8; 3], u64)], unsummed: u64| {
        let census = count(&[bucket(claims)], ENFORCING);
        assert_eq!((census.at_risk.as_slice(), census.unsummed), (at_risk, unsummed));
    };
    let sums = [(*b"IDR", 7), (*b"USD", 5)];
    check(&[with(3, b"IDR"), with(5, b"USD"), with(4, b"IDR")], &sums, 0);
    check(&[with(u64::MAX, b"IDR"), with(1, b"IDR")], &[(*b"IDR", u64::MAX)], 0);
    check(&[with(0, b"IDR"), with(1, &[0; 3]), with(1, b"idr"), with(1, b"a;=")], &[], 4);
    let many: Vec<Claim> = (b'A'..=b'Z').map(|last| with(1, &[b'X', b'X', last])).collect();
    let census = count(&[bucket(&many)], ENFORCING);
    assert_eq!(census.at_risk.len(), limits::CENSUS_CURRENCIES_MAX);
    assert_eq!(census.unsummed, 26 - limits::CENSUS_CURRENCIES_MAX as u64);
}

pub(in crate::engine) fn any_doubt() -> impl Strategy<Value = InDoubt> {
    let names = (any::<[u8; 16]>(), any::<u32>(), any::<u16>(), any::<u64>(), any::<[u8; 3]>());
    let times = (any::<u64>(), any::<u64>(), proptest::option::of(any::<u64>()));
    (names, times, any::<u16>(), any::<bool>()).prop_map(|(names, times, attempt, observed)| {
        let (key, bucket, candidates, minor, currency) = names;
        InDoubt {
            key,
            bucket,
            candidates: Gateways::from_bits(candidates),
            money: Money { minor, currency },
            claimed_at: Timestamp::from_millis(times.0),
            ended_at: Timestamp::from_millis(times.1),
            repeat_until: times.2.map(Timestamp::from_millis),
            attempt,
            observed,
        }
    })
}

pub(in crate::engine) fn any_census() -> impl Strategy<Value = Census> {
    let currency = proptest::array::uniform3(b'A'..=b'Z');
    let at_risk = proptest::collection::vec((currency, any::<u64>()), 0..=16);
    let oldest = proptest::collection::vec(any_doubt(), 0..20);
    let parts = (any::<Option<(u64, bool)>>(), any::<Option<(u64, u64)>>());
    (any::<[u64; 11]>(), any::<[u32; 3]>(), at_risk, oldest, parts).prop_map(
        |(longs, [buckets, records_max, full], at_risk, oldest, (resolved, local))| {
            let [began, ended, records, kept, unsummed, states @ ..] = longs;
            let [in_flight, in_doubt, settled, rejected, closed, unreadable] = states;
            Census {
                began_at: Timestamp::from_millis(began),
                ended_at: Timestamp::from_millis(ended),
                resolved: resolved.map(|(claims, is_exact)| ResolvedCount { claims, is_exact }),
                local: local.map(|(claims, in_doubt)| LocalClaims { claims, in_doubt }),
                buckets,
                records,
                records_max,
                kept,
                full,
                states: States { in_flight, in_doubt, settled, rejected, closed, unreadable },
                at_risk,
                unsummed,
                oldest,
            }
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_comes_back(census in any_census()) {
        let bytes = census.encode();
        prop_assert_eq!(Census::decode(&bytes), Some(census.clone()));
        let _ = (census.fill_pct(), census.bucket_fill_pct(), census.oldest_age());
    }

    #[test]
    fn noise_is_read_without_panic(noise in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Census::decode(&noise);
        let _ = Census::decode(&[vec![Census::VERSION], noise.clone()].concat());
        let _ = count(&[noise], ENFORCING);
    }

    #[test]
    fn a_cut_census_is_none_or_one_that_lists_less(census in any_census(), cut in any::<usize>()) {
        let bytes = census.encode();
        let cut = cut % bytes.len();
        if let Some(read) = Census::decode(&bytes[..cut]) {
            prop_assert!(read.oldest.len() < census.oldest.len());
        }
    }
}

#[test]
fn a_census_of_another_version_or_of_too_many_is_none() {
    let census = count(&[bucket(&[claim(doubt(one(), None), 1)])], ENFORCING);
    let bytes = census.encode();
    assert_eq!(Census::decode(&[&[1], &bytes[1..]].concat()), None);
    assert_eq!(Census::decode(&[]), None);
    let one = &bytes[bytes.len() - InDoubt::SIZE..];
    let full = [&bytes[..], &one.repeat(limits::IN_DOUBT_LISTED_MAX - 1)].concat();
    assert_eq!(Census::decode(&full).unwrap().oldest.len(), limits::IN_DOUBT_LISTED_MAX);
    assert_eq!(Census::decode(&[&full, one].concat()), None);
}
