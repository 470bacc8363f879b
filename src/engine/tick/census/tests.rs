//! The walk of a pulse over a store in memory.

use crate::engine::store::census_fixtures::*;
use std::rc::Rc;

use crate::engine::config::{Config, EtcdConfig, Policy, StoreEngine};
use crate::engine::event::{TickEffect, TickEvent};
use crate::engine::health::{Health, WorkerCounters};
use crate::engine::limits;
use crate::engine::machine::{Input, Machine, Output, Shell, Ticket, drive};
use crate::engine::payment::{Claim, ClaimState, Money};
use crate::engine::store::{
    Cell, CellEvent, CellRequest, Census, Counted, Expected, Layout, MemoryStore, Placement, Seed,
};
use crate::engine::tick::Tick;
use crate::engine::time::{Millis, Timestamp};

/// A store in memory and the pulses of its workers.
struct World {
    policy: Rc<Policy>,
    store: MemoryStore,
    now: Timestamp,
    /// What was read, in its order.
    loads: Vec<Cell>,
    counted: Vec<Counted>,
    /// How often a store in etcd was to be counted.
    realm: usize,
    /// Loads of this cell are not answered.
    broken: Option<Cell>,
    /// The last of them.
    late: Option<Ticket>,
}

impl World {
    fn new(buckets: u32) -> Self {
        Self::over(buckets, "")
    }

    /// The same with another store too, or in its place.
    fn over(buckets: u32, etcd: &str) -> Self {
        let claims_max = buckets * limits::BUCKET_RECORDS_MEAN;
        let config = format!(
            r#"{{
                "gateways": [{{"name": "a", "cluster": "a"}}, {{"name": "b", "cluster": "b"}}],
                "idempotency": {{"store": {{"local": {{"claims_max": {claims_max}}}{etcd}}}}}
            }}"#
        );
        let config = Config::parse(config.as_bytes()).unwrap();
        let (policy, _) = Policy::join(
            config,
            &mut Layout::new(Placement::new(claims_max, Seed::default())),
            Timestamp::default(),
        )
        .unwrap();
        Self {
            policy: Rc::new(policy),
            store: MemoryStore::default(),
            now: NOW,
            loads: Vec::new(),
            counted: Vec::new(),
            realm: 0,
            broken: None,
            late: None,
        }
    }

    fn pulse(&self, owner: u64) -> Tick {
        Tick::new(Rc::clone(&self.policy), owner)
    }

    /// The next tick; the buckets that were read.
    fn tick(&mut self, pulse: &mut Tick) -> Vec<u32> {
        self.now = self.now.plus(pulse.period());
        self.loads.clear();
        let counters = &mut WorkerCounters::default();
        drive(pulse, Input::Event(TickEvent::Due), self.now, counters, self);
        let bucket = |cell: &Cell| match cell {
            Cell::Claims(number) => Some(*number),
            Cell::Layout
            | Cell::Health
            | Cell::Body(_)
            | Cell::Census
            | Cell::Workers
            | Cell::Realm
            | Cell::Lineages
            | Cell::AuditWriters
            | Cell::AuditHead(_)
            | Cell::AuditPublished => None,
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

impl Shell<Tick> for World {
    fn ask(&mut self, ticket: Ticket, request: CellRequest) -> Option<CellEvent> {
        let cell = request.cell();
        match &request {
            CellRequest::Load(_) => {
                self.loads.push(cell);
                // Its answer never comes.
                if self.broken == Some(cell) {
                    self.late = Some(ticket);
                    return None;
                }
            }
            CellRequest::Store { expected, .. } => {
                let is = self.store.load(cell).version;
                assert!(*expected == Expected::Any || *expected == is, "{cell:?}");
            }
        }
        Some(self.store.ask(request))
    }

    fn carry_out(&mut self, effect: TickEffect) -> Option<TickEvent<'static>> {
        match effect {
            TickEffect::Counted(counted) => self.counted.push(*counted),
            TickEffect::CountRealm => self.realm += 1,
            TickEffect::Probe(_) | TickEffect::Changed(_) | TickEffect::InFlight(..) => {}
        }
        None
    }
}

/// A machine's next outputs, one input after the other.
fn fed(
    tick: &mut Tick,
    input: Input<TickEvent<'_>, CellEvent>,
    now: Timestamp,
) -> Vec<Output<CellRequest, TickEffect>> {
    tick.handle(input, now, &mut WorkerCounters::default())
}

#[test]
fn a_pass_reads_every_bucket_once_a_few_on_each_tick() {
    let buckets = limits::CENSUS_BUCKETS_PER_TICK * 2 + 3;
    let mut world = World::new(buckets);
    for number in 0..buckets {
        let filled = vec![claim(ClaimState::settled(one()), 1); 16 + number as usize % 9];
        world.store.put(Cell::Claims(number), bucket(&filled));
    }
    world.store.put(Cell::Claims(0), bucket(&vec![claim(doubt(one(), None), 60_000); 16]));
    world.store.put(Cell::Claims(buckets - 1), bucket(&[claim(doubt(one(), None), 50_000)]));
    let mut pulse = world.pulse(1);
    let ticks: Vec<Vec<u32>> = (0..3).map(|_| world.tick(&mut pulse)).collect();
    let lengths: Vec<usize> = ticks.iter().map(Vec::len).collect();
    assert_eq!(lengths, [256, 256, 3]);
    assert_eq!(ticks.concat(), (0..buckets).collect::<Vec<_>>());
    let counted = world.counted.pop().unwrap();
    assert_eq!((counted.census.states.in_doubt, counted.census.buckets), (17, buckets));
    assert_eq!(counted.census.oldest[16].bucket, buckets - 1);
    assert_eq!(counted.census.ended_at.since(counted.census.began_at), Millis::new(1000));
    let stored = Census::decode(&world.store.load(Cell::Census).bytes);
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
    let (mut pulse, now) = (world.pulse(1), world.now);
    let mut asked = fed(&mut pulse, Input::Event(TickEvent::Due), now);
    // The first time another worker is quicker.
    for is_won in [false, true] {
        let [Output::Ask(ticket, CellRequest::Load(Cell::Health))] = asked[..] else {
            panic!("nothing else is asked for yet: {asked:?}")
        };
        let loaded = CellEvent::Loaded(Cell::Health, world.store.load(Cell::Health));
        let written = fed(&mut pulse, Input::Told(ticket, loaded), now);
        let [Output::Ask(ticket, CellRequest::Store { cell: Cell::Health, ref bytes, .. })] =
            written[..]
        else {
            panic!("{written:?}")
        };
        let told = if is_won {
            world.store.put(Cell::Health, bytes.clone());
            CellEvent::Stored(Cell::Health)
        } else {
            CellEvent::Conflict(Cell::Health)
        };
        asked = fed(&mut pulse, Input::Told(ticket, told.clone()), now);
        assert_eq!(fed(&mut pulse, Input::Told(ticket, told), now), [], "told twice");
    }
    let (last, before) = asked.split_last().unwrap();
    assert!(
        matches!(last, Output::Ask(_, CellRequest::Load(Cell::Claims(0)))),
        "after everything else: {last:?}"
    );
    let probes = before.iter().filter(|e| matches!(e, Output::Do(TickEffect::Probe(_))));
    assert_eq!(probes.count(), 2);
}

#[test]
fn only_the_worker_that_sends_heartbeats_counts_and_the_next_one_begins_anew() {
    let mut world = World::new(limits::CENSUS_BUCKETS_PER_TICK + 1);
    for number in 0..=limits::CENSUS_BUCKETS_PER_TICK {
        let settled = claim(ClaimState::settled(one()), 1);
        world.store.put(Cell::Claims(number), bucket(&[settled; 16]));
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
    assert!(Health::decode(&world.store.load(Cell::Health).bytes).is_led_by(2));
    // What it had asked for is no longer its business.
    assert!(world.tick(&mut first).is_empty());
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
    let late = world.late.take().unwrap();
    world.broken = None;
    world.now = world.now.plus(world.policy.health.heartbeat_lease());
    world.tick(&mut second);
    world.tick(&mut first);
    let loaded = CellEvent::Loaded(Cell::Claims(1), world.store.load(Cell::Claims(1)));
    assert_eq!(fed(&mut first, Input::Told(late, loaded), world.now), []);
}

#[test]
fn a_bucket_that_cannot_be_read_ends_the_pass() {
    for broken in [Cell::Claims(0), Cell::Claims(2), Cell::Census] {
        let mut world = World::new(3);
        world.store.put(Cell::Claims(2), bucket(&[claim(doubt(one(), None), 60_000)]));
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
        let cell = Cell::Claims(number);
        let loaded = CellEvent::Loaded(cell, world.store.load(cell));
        assert_eq!(fed(&mut pulse, Input::Told(Ticket::default(), loaded), world.now), []);
    }
    assert_eq!(world.census(&mut pulse).census.buckets, 600);
}

#[test]
fn a_currency_of_which_nothing_is_at_risk_any_more_is_told_once() {
    let mut world = World::new(2);
    let mut pulse = world.pulse(1);
    let dollars = Money { minor: 500, currency: *b"USD" };
    let paid = Claim { money: dollars, ..claim(doubt(one(), None), 60_000) };
    world.store.put(Cell::Claims(0), bucket(&[paid]));
    world.store.put(Cell::Claims(1), bucket(&[claim(doubt(one(), None), 60_000)]));
    let counted = world.census(&mut pulse);
    assert_eq!(counted.census.at_risk, [(*b"IDR", 10_000), (*b"USD", 500)]);
    assert_eq!(counted.gone, Vec::<[u8; 3]>::new());
    world
        .store
        .put(Cell::Claims(0), bucket(&[Claim { state: ClaimState::settled(one()), ..paid }]));
    // Also when another worker counts by then.
    let mut next = world.pulse(2);
    world.now = world.now.plus(world.policy.health.heartbeat_lease());
    let counted = world.census(&mut next);
    assert_eq!((counted.gone.as_slice(), counted.census.at_risk.len()), ([*b"USD"].as_slice(), 1));
    assert_eq!(world.census(&mut next).gone, Vec::<[u8; 3]>::new());
}

const ETCD: &str = r#", "etcd": {"cluster": "c", "realm": "r"}"#;

#[test]
fn a_store_in_etcd_is_counted_by_the_worker_that_leads_and_by_its_own_machine() {
    let mut world = World::over(3, ETCD);
    Rc::get_mut(&mut world.policy).unwrap().drains_local = false;
    let (mut first, mut second) = (world.pulse(1), world.pulse(2));
    let began = world.now;
    assert!(world.tick(&mut first).is_empty(), "nothing is claimed in buckets");
    assert_eq!(world.realm, 1);
    world.now = began;
    world.tick(&mut second);
    assert_eq!(world.realm, 1, "it does not lead");
    world.tick(&mut first);
    assert_eq!((world.realm, world.counted.len()), (2, 0));
}

/// On the way from one store to the other, and after it for as long as the process lives.
#[test]
fn what_stays_in_buckets_is_counted_and_not_written_down() {
    let mut world = World::over(3, ETCD);
    Rc::get_mut(&mut world.policy).unwrap().config.store.engine = {
        let etcd = world.policy.config.store.etcd().unwrap().clone();
        StoreEngine::Etcd(EtcdConfig { beside_local: false, ..etcd })
    };
    world.store.put(Cell::Claims(2), bucket(&[claim(doubt(one(), None), 60_000)]));
    let mut pulse = world.pulse(1);
    let counted = world.census(&mut pulse);
    assert_eq!((counted.census.states.in_doubt, counted.census.buckets), (1, 3));
    assert!(world.realm > 0);
    assert_eq!(world.store.load(Cell::Census).version, Expected::Absent);
    // And again and again.
    world.census(&mut pulse);
}
