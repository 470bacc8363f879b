//! The walk of a pulse over a store in memory.

use crate::engine::store::census_fixtures::*;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::engine::config::{Config, Policy};
use crate::engine::event::Effect;
use crate::engine::health::{Health, WorkerCounters};
use crate::engine::limits;
use crate::engine::payment::{Claim, ClaimState, Money};
use crate::engine::store::{Cell, Census, Counted, Expected, Layout, Loaded, Placement, Seed};
use crate::engine::tick::Tick;
use crate::engine::time::{Millis, Timestamp};

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

    fn pulse(&self, owner: u64) -> Tick {
        Tick::new(Rc::clone(&self.policy), owner)
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

    fn carry_out(&mut self, pulse: &mut Tick, effects: Vec<Effect>) {
        let mut todo: std::collections::VecDeque<Effect> = effects.into();
        while let Some(effect) = todo.pop_front() {
            match effect {
                Effect::Load(cell) => {
                    self.loads.push(cell);
                    if self.broken != Some(cell) {
                        let loaded = self.read(cell);
                        let more =
                            pulse.loaded(cell, loaded, self.now, &mut WorkerCounters::default());
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
                Effect::Probe(_)
                | Effect::Changed(_)
                | Effect::InFlight(..)
                | Effect::Anomaly(_) => {}
                other @ (Effect::Forward(_)
                | Effect::Call(_)
                | Effect::Reply(_)
                | Effect::Relay { .. }
                | Effect::Decided(_)) => panic!("no pulse's business: {other:?}"),
            }
        }
    }

    /// The next tick; the buckets that were read.
    fn tick(&mut self, pulse: &mut Tick) -> Vec<u32> {
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
    fn census(&mut self, pulse: &mut Tick) -> Counted {
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
        let filled = vec![claim(ClaimState::settled(one()), 1); 16 + number as usize % 9];
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
    let effects = pulse.loaded(Cell::Health, health, world.now, &mut WorkerCounters::default());
    assert!(matches!(effects.as_slice(), [Effect::Store { cell: Cell::Health, .. }]));
    // Another worker was quicker: nothing is asked for yet.
    let effects = pulse.conflict(Cell::Health, &mut WorkerCounters::default());
    assert_eq!(effects, [Effect::Load(Cell::Health)]);
    let health = world.read(Cell::Health);
    let effects = pulse.loaded(Cell::Health, health, world.now, &mut WorkerCounters::default());
    let [Effect::Store { bytes, .. }] = effects.as_slice() else { panic!("{effects:?}") };
    world.put(Cell::Health, bytes.clone());
    let effects = pulse.stored(Cell::Health);
    let (last, before) = effects.split_last().unwrap();
    assert_eq!(*last, Effect::Load(Cell::Claims(0)), "after everything else");
    assert_eq!(before.iter().filter(|e| matches!(e, Effect::Probe(_))).count(), 2);
    // What becomes of a census is no news of health.
    assert_eq!(pulse.stored(Cell::Census), []);
    assert_eq!(pulse.conflict(Cell::Census, &mut WorkerCounters::default()), []);
}

#[test]
fn only_the_worker_that_sends_heartbeats_counts_and_the_next_one_begins_anew() {
    let mut world = World::new(limits::CENSUS_BUCKETS_PER_TICK + 1);
    for number in 0..=limits::CENSUS_BUCKETS_PER_TICK {
        let settled = claim(ClaimState::settled(one()), 1);
        world.put(Cell::Claims(number), bucket(&[settled; 16]));
    }
    let (mut first, mut second) = (world.pulse(1), world.pulse(2));
    // Born in the same moment: a newer one would take over at once.
    let began = world.now;
    assert_eq!(world.tick(&mut first).len(), 256);
    world.now = began;
    assert!(world.tick(&mut second).is_empty());
    // The first one is silent for as long as its right lasts.
    world.now = world.now.plus(world.policy.health.heartbeat_lease());
    assert_eq!(world.tick(&mut second).first(), Some(&0));
    assert!(Health::decode(&world.read(Cell::Health).bytes).is_led_by(2));
    // What it had asked for is no longer its business.
    assert!(world.tick(&mut first).is_empty());
    let late = Loaded { bytes: Vec::new(), version: Expected::Absent };
    for cell in [Cell::Claims(256), Cell::Claims(0), Cell::Census] {
        let effects = first.loaded(cell, late.clone(), world.now, &mut WorkerCounters::default());
        assert_eq!(effects, [], "{cell:?}");
    }
    assert_eq!(world.tick(&mut second), [256]);
    assert_eq!(world.counted.len(), 1);
    assert_eq!(world.counted[0].census.buckets, 257);
    // When it has the right again, what it had counted long ago is no part of a census.
    world.now = world.now.plus(world.policy.health.heartbeat_lease());
    assert_eq!(world.tick(&mut first).first(), Some(&0));
}

#[test]
fn a_bucket_that_comes_after_the_right_has_gone_is_not_counted() {
    let mut world = World::new(2);
    let (mut first, mut second) = (world.pulse(1), world.pulse(2));
    world.broken = Some(Cell::Claims(1));
    assert_eq!(world.tick(&mut first), [0, 1]);
    world.broken = None;
    world.now = world.now.plus(world.policy.health.heartbeat_lease());
    world.tick(&mut second);
    world.tick(&mut first);
    let late = Loaded { bytes: Vec::new(), version: Expected::Absent };
    let effects = first.loaded(Cell::Claims(1), late, world.now, &mut WorkerCounters::default());
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
        assert_eq!(pulse.loaded(cell, loaded, world.now, &mut WorkerCounters::default()), []);
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
    world.put(Cell::Claims(0), bucket(&[Claim { state: ClaimState::settled(one()), ..paid }]));
    // Also when another worker counts by then.
    let mut next = world.pulse(2);
    world.now = world.now.plus(world.policy.health.heartbeat_lease());
    let counted = world.census(&mut next);
    assert_eq!((counted.gone.as_slice(), counted.census.at_risk.len()), ([*b"USD"].as_slice(), 1));
    assert_eq!(world.census(&mut next).gone, Vec::<[u8; 3]>::new());
}
