//! What is counted, how it is stored, and the walk of a pulse over a store in memory.

use std::collections::BTreeMap;
use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::engine::claim::{Closed, Incarnation};
use crate::engine::config::Config;
use crate::engine::event::{Cell, Effect, Expected, Loaded};
use crate::engine::gateway::GatewayId;
use crate::engine::health::Health;
use crate::engine::key::Fingerprint;
use crate::engine::layout::Layout;
use crate::engine::placement::{Placement, Seed};
use crate::engine::policy::Policy;
use crate::engine::pulse::Pulse;
use crate::engine::record::link::{Link, Target};
use crate::engine::tally::Tallies;

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const RETENTION: Millis = Millis::new(86_400_000);
const RULES: Rules = Rules {
    lease: Millis::new(30_000),
    response: Millis::new(10_000),
    repeat_after: Millis::new(5000),
    repeat_max_age: Millis::new(3_600_000),
    settle_delay: Millis::new(60_000),
    shared_ledger: false,
};
const ENFORCING: Counts<'_> =
    Counts { rules: &RULES, retention: RETENTION, leaps: Leaps::NONE, observing: false };
const OBSERVING: Counts<'_> =
    Counts { rules: &RULES, retention: RETENTION, leaps: Leaps::NONE, observing: true };

const fn at(offset: i64) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis().saturating_add_signed(offset))
}

fn key(number: usize) -> KeyPrefix {
    let mut key = [0xAB; 16];
    key[..8].copy_from_slice(&(number as u64).to_be_bytes());
    key
}

fn gateway(index: usize) -> GatewayId {
    GatewayId::new(index).unwrap()
}

fn one() -> Gateways {
    Gateways::only(gateway(0))
}

const fn doubt(candidates: Gateways, repeat_until: Option<Timestamp>) -> State {
    State::InDoubt { candidates, ended_at: at(-50_000), repeat_until, not_found: None }
}

/// A claim of 100 IDR, so old.
fn claim(state: State, age: i64) -> Claim {
    let incarnation = Incarnation { claimed_at: at(-age), nonce: 77 };
    let money = Money { minor: 10_000, currency: *b"IDR" };
    Claim::new(Fingerprint([3; 16]), state, incarnation, money)
}

fn bucket(claims: &[Claim]) -> Vec<u8> {
    let mut bucket = Bucket::default();
    for (number, claim) in claims.iter().enumerate() {
        bucket.put(&key(number), claim, NOW, RETENTION).unwrap();
    }
    bucket.into_bytes()
}

fn count(buckets: &[Vec<u8>], how: Counts<'_>) -> Census {
    let mut draft = Draft::new(NOW);
    for (number, bytes) in (0u32..).zip(buckets) {
        draft.count(number, bytes.clone(), how, NOW);
    }
    draft.finish()
}

#[test]
fn claims_count_where_they_stand_now() {
    let in_flight = |until| State::InFlight { candidates: one(), until, after_no: false };
    let closed = |how| State::Closed { how, gateways: one() };
    let states = [
        in_flight(at(1)),
        in_flight(NOW),
        State::settled(one()),
        State::Rejected { gateway: gateway(0) },
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
    let link = Link { to: Target::Gateway(gateway(1)), used_at: NOW, nonce: 1 };
    links.put_link(&key(7), &link, NOW, RETENTION).unwrap();
    links.put_link(&key(8), &link, NOW, RETENTION).unwrap();
    let buckets = [foreign, vec![1, 2, 3], Vec::new(), links.into_bytes()];
    let census = count(&buckets, ENFORCING);
    assert_eq!(census.states, States { unreadable: 2, ..States::default() });
    assert_eq!((census.records, census.records_max, census.buckets), (3, 2, 4));
    assert_eq!((census.kept, census.full, census.bucket_fill_pct()), (3, 0, 200 / 64));
    assert_eq!(Census::default().fill_pct(), 0);
}

/// A bucket with so many settled claims of these ages.
fn aged(claims: &[(usize, i64)]) -> Vec<u8> {
    let settled = State::settled(one());
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
    let refused = rate::refused(warns as f64);
    assert!(refused < 1e-8, "at {warns} in a bucket {refused} of new claims are refused");
}

#[test]
fn an_observed_claim_is_in_doubt_once_claims_are_enforced() {
    let settled = claim(State::settled(one()), 60_000);
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

fn any_doubt() -> impl Strategy<Value = InDoubt> {
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

fn any_census() -> impl Strategy<Value = Census> {
    let currency = proptest::array::uniform3(b'A'..=b'Z');
    let at_risk = proptest::collection::vec((currency, any::<u64>()), 0..=16);
    let oldest = proptest::collection::vec(any_doubt(), 0..20);
    (any::<[u64; 11]>(), any::<[u32; 3]>(), at_risk, oldest).prop_map(
        |(longs, [buckets, records_max, full], at_risk, oldest)| {
            let [began, ended, records, kept, unsummed, states @ ..] = longs;
            let [in_flight, in_doubt, settled, rejected, closed, unreadable] = states;
            Census {
                began_at: Timestamp::from_millis(began),
                ended_at: Timestamp::from_millis(ended),
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

/// A store in memory and the pulses of its workers.
struct World {
    policy: Rc<Policy>,
    cells: BTreeMap<String, (Vec<u8>, u32)>,
    now: Timestamp,
    /// What was read, in its order.
    loads: Vec<Cell>,
    counted: Vec<Counted>,
    /// Loads of this cell fail.
    broken: Option<Cell>,
}

impl World {
    fn new(buckets: u32) -> Self {
        let config = format!(
            r#"{{
                "gateways": [{{"name": "a", "cluster": "a"}}, {{"name": "b", "cluster": "b"}}],
                "idempotency": {{"store": {{"local": {{"claims_max": {}}}}}}}
            }}"#,
            buckets * limits::BUCKET_RECORDS_MEAN
        );
        let config = Config::parse(config.as_bytes()).unwrap();
        let (policy, _) = Policy::join(
            config,
            &mut Layout::new(Placement::new(buckets, Seed::default())),
            Timestamp::default(),
        )
        .unwrap();
        let (policy, cells) = (Rc::new(policy), BTreeMap::new());
        Self { policy, cells, now: NOW, loads: Vec::new(), counted: Vec::new(), broken: None }
    }

    fn pulse(&self, owner: u64) -> Pulse {
        Pulse::new(Rc::clone(&self.policy), owner)
    }

    fn put(&mut self, cell: Cell, bytes: Vec<u8>) {
        let slot = self.cells.entry(format!("{cell:?}")).or_default();
        *slot = (bytes, slot.1 + 1);
    }

    fn read(&self, cell: Cell) -> Loaded {
        match self.cells.get(&format!("{cell:?}")).cloned() {
            None => Loaded { bytes: Vec::new(), version: Expected::Absent },
            Some((bytes, version)) => Loaded { bytes, version: Expected::At(version) },
        }
    }

    fn carry_out(&mut self, pulse: &mut Pulse, effects: Vec<Effect>) {
        let mut todo: std::collections::VecDeque<Effect> = effects.into();
        while let Some(effect) = todo.pop_front() {
            match effect {
                Effect::Load(cell) => {
                    self.loads.push(cell);
                    if self.broken != Some(cell) {
                        let loaded = self.read(cell);
                        let more = pulse.loaded(cell, loaded, self.now, &mut Tallies::default());
                        todo.extend(more);
                    }
                }
                Effect::Store { cell, bytes, expected } => {
                    let is = self.read(cell).version;
                    assert!(expected == Expected::Any || expected == is, "{cell:?}");
                    self.put(cell, bytes);
                    todo.extend(pulse.stored(cell));
                }
                Effect::Counted(counted) => self.counted.push(*counted),
                Effect::Beat(_)
                | Effect::Changed(_)
                | Effect::InFlight(..)
                | Effect::Anomaly(_) => {}
                other @ (Effect::Forward(_)
                | Effect::Call(_)
                | Effect::Reply(_)
                | Effect::Relay { .. }
                | Effect::Note(_)) => panic!("no pulse's business: {other:?}"),
            }
        }
    }

    /// The next tick; the buckets that were read.
    fn tick(&mut self, pulse: &mut Pulse) -> Vec<u32> {
        self.now = self.now.plus(pulse.period());
        self.loads.clear();
        let effects = pulse.tick();
        self.carry_out(pulse, effects);
        let bucket = |cell: &Cell| match cell {
            Cell::Claims(number) => Some(*number),
            Cell::Layout | Cell::Health | Cell::Body(_) | Cell::Census => None,
        };
        self.loads.iter().filter_map(bucket).collect()
    }

    /// Ticks until a census ends.
    fn census(&mut self, pulse: &mut Pulse) -> Counted {
        let before = self.counted.len();
        for _ in 0..20 {
            self.tick(pulse);
            if self.counted.len() > before {
                return self.counted.last().cloned().unwrap();
            }
        }
        panic!("no census in 20 ticks");
    }
}

#[test]
fn a_pass_reads_every_bucket_once_a_few_on_each_tick() {
    let buckets = limits::CENSUS_BUCKETS_PER_TICK * 2 + 3;
    let mut world = World::new(buckets);
    for number in 0..buckets {
        let filled = vec![claim(State::settled(one()), 1); 16 + number as usize % 9];
        world.put(Cell::Claims(number), bucket(&filled));
    }
    world.put(Cell::Claims(0), bucket(&vec![claim(doubt(one(), None), 60_000); 16]));
    world.put(Cell::Claims(buckets - 1), bucket(&[claim(doubt(one(), None), 50_000)]));
    let mut pulse = world.pulse(1);
    let ticks: Vec<Vec<u32>> = (0..3).map(|_| world.tick(&mut pulse)).collect();
    let lengths: Vec<usize> = ticks.iter().map(Vec::len).collect();
    assert_eq!(lengths, [256, 256, 3]);
    assert_eq!(ticks.concat(), (0..buckets).collect::<Vec<_>>());
    let counted = world.counted.pop().unwrap();
    assert_eq!((counted.census.states.in_doubt, counted.census.buckets), (17, buckets));
    assert_eq!(counted.census.oldest[16].bucket, buckets - 1);
    assert_eq!(counted.census.ended_at.since(counted.census.began_at), Millis::new(1000));
    let stored = Census::decode(&world.read(Cell::Census).bytes);
    assert_eq!(stored, Some(counted.census));
    // And so on.
    assert_eq!(world.tick(&mut pulse).first(), Some(&0));
}

/// Operators do not wait for minutes after a start: where nothing is there is nothing to read.
#[test]
fn a_new_store_of_the_default_size_is_counted_within_seconds() {
    let mut world = World::new(65_536);
    let mut pulse = world.pulse(1);
    let began = world.now;
    let counted = world.census(&mut pulse);
    assert_eq!((counted.census.buckets, counted.census.records), (65_536, 0));
    let length = counted.census.ended_at.since(began);
    assert!(length <= Millis::new(10_000), "{length:?}");
    // Nor does any tick read more than so much.
    assert!(world.loads.len() <= 4098, "{}", world.loads.len());
}

#[test]
fn a_small_store_is_counted_once_in_a_while_also_after_a_step_of_the_clock() {
    let mut world = World::new(1);
    let mut pulse = world.pulse(1);
    let period = pulse.period();
    assert_eq!(period, Millis::new(500));
    let reads: Vec<usize> = (0..5).map(|_| world.tick(&mut pulse).len()).collect();
    assert_eq!(reads, [1, 0, 1, 0, 1]);
    world.now = at(-3_600_000);
    assert_eq!(world.tick(&mut pulse).len(), 1);
}

#[test]
fn health_is_written_before_a_bucket_is_asked_for() {
    let mut world = World::new(1);
    let mut pulse = world.pulse(1);
    let effects = pulse.tick();
    assert_eq!(effects, [Effect::Load(Cell::Health)]);
    let health = world.read(Cell::Health);
    let effects = pulse.loaded(Cell::Health, health, world.now, &mut Tallies::default());
    assert!(matches!(effects.as_slice(), [Effect::Store { cell: Cell::Health, .. }]));
    // Another worker was quicker: nothing is asked for yet.
    let effects = pulse.conflict(Cell::Health, &mut Tallies::default());
    assert_eq!(effects, [Effect::Load(Cell::Health)]);
    let health = world.read(Cell::Health);
    let effects = pulse.loaded(Cell::Health, health, world.now, &mut Tallies::default());
    let [Effect::Store { bytes, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    world.put(Cell::Health, bytes.clone());
    let effects = pulse.stored(Cell::Health);
    let (last, before) = effects.split_last().unwrap();
    assert_eq!(*last, Effect::Load(Cell::Claims(0)), "after everything else");
    assert_eq!(before.iter().filter(|e| matches!(e, Effect::Beat(_))).count(), 2);
    // What becomes of a census is no news of health.
    assert_eq!(pulse.stored(Cell::Census), []);
    assert_eq!(pulse.conflict(Cell::Census, &mut Tallies::default()), []);
}

#[test]
fn only_the_worker_that_sends_heartbeats_counts_and_the_next_one_begins_anew() {
    let mut world = World::new(limits::CENSUS_BUCKETS_PER_TICK + 1);
    for number in 0..=limits::CENSUS_BUCKETS_PER_TICK {
        let settled = claim(State::settled(one()), 1);
        world.put(Cell::Claims(number), bucket(&[settled; 16]));
    }
    let (mut first, mut second) = (world.pulse(1), world.pulse(2));
    // Born in the same moment: a newer one would take over at once.
    let began = world.now;
    assert_eq!(world.tick(&mut first).len(), 256);
    world.now = began;
    assert!(world.tick(&mut second).is_empty());
    // The first one is silent for as long as its right lasts.
    world.now = world.now.plus(world.policy.heartbeat_lease());
    assert_eq!(world.tick(&mut second).first(), Some(&0));
    assert!(Health::decode(&world.read(Cell::Health).bytes).is_led_by(2));
    // What it had asked for is no longer its business.
    assert!(world.tick(&mut first).is_empty());
    let late = Loaded { bytes: Vec::new(), version: Expected::Absent };
    for cell in [Cell::Claims(256), Cell::Claims(0), Cell::Census] {
        let effects = first.loaded(cell, late.clone(), world.now, &mut Tallies::default());
        assert_eq!(effects, [], "{cell:?}");
    }
    assert_eq!(world.tick(&mut second), [256]);
    assert_eq!(world.counted.len(), 1);
    assert_eq!(world.counted[0].census.buckets, 257);
    // When it has the right again, what it had counted long ago is no part of a census.
    world.now = world.now.plus(world.policy.heartbeat_lease());
    assert_eq!(world.tick(&mut first).first(), Some(&0));
}

#[test]
fn a_bucket_that_comes_after_the_right_has_gone_is_not_counted() {
    let mut world = World::new(2);
    let (mut first, mut second) = (world.pulse(1), world.pulse(2));
    world.broken = Some(Cell::Claims(1));
    assert_eq!(world.tick(&mut first), [0, 1]);
    world.broken = None;
    world.now = world.now.plus(world.policy.heartbeat_lease());
    world.tick(&mut second);
    world.tick(&mut first);
    let late = Loaded { bytes: Vec::new(), version: Expected::Absent };
    let effects = first.loaded(Cell::Claims(1), late, world.now, &mut Tallies::default());
    assert_eq!(effects, []);
}

#[test]
fn a_bucket_that_cannot_be_read_ends_the_pass() {
    for broken in [Cell::Claims(0), Cell::Claims(2), Cell::Census] {
        let mut world = World::new(3);
        world.put(Cell::Claims(2), bucket(&[claim(doubt(one(), None), 60_000)]));
        let mut pulse = world.pulse(1);
        world.broken = Some(broken);
        for _ in 0..3 {
            assert_eq!(world.tick(&mut pulse).first(), Some(&0), "from the beginning");
        }
        assert_eq!(world.counted, [], "{broken:?}");
        world.broken = None;
        let counted = world.census(&mut pulse);
        assert_eq!((counted.census.states.in_doubt, counted.census.buckets), (1, 3));
    }
}

#[test]
fn buckets_that_nobody_asked_for_are_not_counted() {
    let mut world = World::new(600);
    let mut pulse = world.pulse(1);
    world.tick(&mut pulse);
    for number in [0, 255, 256, 257, 599, u32::MAX] {
        let loaded = Loaded { bytes: Vec::new(), version: Expected::Absent };
        let cell = Cell::Claims(number);
        assert_eq!(pulse.loaded(cell, loaded, world.now, &mut Tallies::default()), []);
    }
    assert_eq!(world.census(&mut pulse).census.buckets, 600);
}

#[test]
fn a_currency_of_which_nothing_is_at_risk_any_more_is_told_once() {
    let mut world = World::new(2);
    let mut pulse = world.pulse(1);
    let dollars = Money { minor: 500, currency: *b"USD" };
    let paid = Claim { money: dollars, ..claim(doubt(one(), None), 60_000) };
    world.put(Cell::Claims(0), bucket(&[paid]));
    world.put(Cell::Claims(1), bucket(&[claim(doubt(one(), None), 60_000)]));
    let counted = world.census(&mut pulse);
    assert_eq!(counted.census.at_risk, [(*b"IDR", 10_000), (*b"USD", 500)]);
    assert_eq!(counted.gone, Vec::<[u8; 3]>::new());
    world.put(Cell::Claims(0), bucket(&[Claim { state: State::settled(one()), ..paid }]));
    // Also when another worker counts by then.
    let mut next = world.pulse(2);
    world.now = world.now.plus(world.policy.heartbeat_lease());
    let counted = world.census(&mut next);
    assert_eq!((counted.gone.as_slice(), counted.census.at_risk.len()), ([*b"USD"].as_slice(), 1));
    assert_eq!(world.census(&mut next).gone, Vec::<[u8; 3]>::new());
}
