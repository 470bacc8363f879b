//! The census over an etcd in memory.

use super::*;
use crate::engine::gateway::Gateways;
use crate::engine::payment::{Claim, ClaimKey, ClaimState, PaymentRef};
use crate::engine::store::census::{LocalClaims, States};
use crate::engine::store::census_fixtures::{RULES, claim, doubt, gateway, one};
use crate::engine::store::etcd::fixture::{CallFault, FaultyEtcd, REALM, SKEW, joined};
use crate::engine::store::etcd::shared::EtcdTerms;
use crate::engine::store::etcd::value::Writer;

/// A worker that counts, and the store.
struct Scene {
    etcd: FaultyEtcd,
    census: RealmCensus,
    counters: WorkerCounters,
}

fn of(number: u32) -> PaymentRef {
    ClaimKey::derive("p", "order", [number.to_string().as_str()]).reference()
}

fn value(of: PaymentRef, claim: Claim) -> Vec<u8> {
    let writer = Some(Writer { life: 9, write: 1 });
    let value = Value { entry: Entry::Claim(claim), writer, answer: &[] };
    value.encode(&of.prefix()).unwrap()
}

fn in_flight(until: Timestamp) -> ClaimState {
    ClaimState::InFlight { candidates: one(), until, after_no: false }
}

impl Scene {
    fn new() -> Self {
        Self::at(&["primary", "secondary"])
    }

    /// With these gateways in this order.
    fn at(gateways: &[&str]) -> Self {
        let mut etcd = FaultyEtcd::new();
        // Another Envoy was first.
        joined(&mut etcd, "another", &["primary", "secondary"]);
        let (store, _) = joined(&mut etcd, "this", gateways);
        etcd.forget_calls();
        let census = RealmCensus::new(store, RULES, false);
        Self { etcd, census, counters: WorkerCounters::default() }
    }

    fn put(&mut self, place: char, of: PaymentRef, value: &[u8]) {
        self.etcd.etcd.put(format!("{REALM}{place}/{of}").as_bytes(), value);
    }

    fn open(&mut self, number: u32, claim: Claim) {
        self.put('o', of(number), &value(of(number), claim));
    }

    /// The worker's next tick, with all that follows from it.
    fn tick(&mut self) -> Option<Counted> {
        let mut told = None;
        let now = self.etcd.time();
        let mut next = self.census.handle(Input::Event(()), now, &mut self.counters);
        while let Some(output) = next.pop() {
            match output {
                Output::Ask(ticket, request) => {
                    let input = Input::Told(ticket, self.etcd.carry_out(request));
                    let now = self.etcd.time();
                    next.extend(self.census.handle(input, now, &mut self.counters));
                }
                Output::Do(counted) => told = Some(*counted),
            }
        }
        told
    }

    /// What is counted as soon as it may be.
    fn count(&mut self) -> Option<Counted> {
        self.pass(limits::ETCD_CENSUS_MS_MAX);
        self.tick()
    }

    fn pass(&mut self, ms: u64) {
        self.etcd.now += ms;
    }

    fn stored(&self) -> Option<Census> {
        Census::decode(&self.etcd.cells.load(Cell::Census).bytes)
    }
}

#[test]
fn what_is_not_resolved_is_read_and_what_is_resolved_is_a_number() {
    let mut scene = Scene::new();
    let now = scene.etcd.time();
    let later = now.plus(Millis::new(60_000));
    scene.open(1, claim(doubt(one(), None), 60_000));
    scene.open(2, claim(doubt(one(), Some(later)), 50_000));
    scene.open(3, claim(in_flight(later), 1000));
    // Its lease is over, and it may have been sent.
    scene.open(4, claim(in_flight(Timestamp::from_millis(1)), 70_000));
    scene.put('o', of(5), b"something else");
    scene
        .etcd
        .etcd
        .put(format!("{REALM}o/no-key").as_bytes(), &value(of(1), claim(doubt(one(), None), 1)));
    let ended = [ClaimState::settled(one()), ClaimState::Rejected { gateway: gateway(0) }];
    for (number, state) in (10..).zip(ended) {
        scene.put('s', of(number), &value(of(number), claim(state, 1)));
    }
    scene.put('a', of(20), b"leads elsewhere");
    let census = scene.tick().unwrap().census;
    let states = States { in_flight: 1, in_doubt: 3, unreadable: 2, ..States::default() };
    assert_eq!(census.states, states);
    assert_eq!(census.resolved, Some(ResolvedCount { claims: 2, is_exact: true }));
    assert_eq!(census.at_risk, [(*b"IDR", 30_000)]);
    let keys: Vec<KeyPrefix> = census.oldest.iter().map(|one| one.key).collect();
    assert_eq!(keys, [4, 1, 2].map(|number| of(number).prefix()));
    let told = [("in_flight", 1), ("in_doubt", 3), ("resolved", 2), ("unreadable", 2)];
    assert_eq!(census.by_state(), told);
    assert_eq!(scene.stored(), Some(census));
    assert_eq!(scene.etcd.calls.len(), 3, "a page, a part, and all that is resolved");
    // Not on every tick.
    scene.pass(limits::ETCD_CENSUS_MS / 2);
    assert_eq!(scene.tick(), None);
    scene.pass(limits::ETCD_CENSUS_MS / 2);
    assert!(scene.tick().is_some());
    // Nor never again where the clock was put back.
    scene.etcd.now -= 3_600_000;
    assert!(scene.tick().is_some());
}

#[test]
fn a_gateway_is_who_it_is_here_and_another_clock_may_be_ahead() {
    let mut scene = Scene::at(&["secondary", "primary"]);
    let there = Gateways::only(gateway(1));
    scene.open(1, claim(doubt(there, None), 60_000));
    // Nobody here knows a third one.
    scene.open(2, claim(doubt(Gateways::only(gateway(2)), None), 60_000));
    let ahead = scene.etcd.time().plus(SKEW).plus(Millis::new(1000));
    scene.open(3, Claim { changed_at: ahead, ..claim(doubt(there, None), 1) });
    let census = scene.tick().unwrap().census;
    assert_eq!((census.states.in_doubt, census.states.unreadable), (1, 2));
    assert_eq!(census.oldest[0].candidates, one(), "the first place here is the second one there");
    assert_eq!(scene.census.store.ahead(), 1);
}

#[test]
fn a_currency_of_which_nothing_is_at_risk_any_more_is_told_once() {
    let mut scene = Scene::new();
    scene.open(1, claim(doubt(one(), None), 60_000));
    assert_eq!(scene.tick().unwrap().gone, Vec::<[u8; 3]>::new());
    scene.etcd.etcd.delete(format!("{REALM}o/{}", of(1)).as_bytes());
    assert_eq!(scene.count().unwrap().gone, [*b"IDR"]);
    assert_eq!(scene.count().unwrap().gone, Vec::<[u8; 3]>::new());
}

/// After an outage of a gateway there are many, and they are no burden to etcd: a range costs it as much
/// as it has keys, whatever its limit.
#[test]
fn many_are_read_in_pages_whose_ranges_are_small() {
    let mut scene = Scene::new();
    let many = 4 * u32::try_from(limits::ETCD_KVS_MAX).unwrap() + 321;
    for number in 0..many {
        scene.open(number, claim(doubt(one(), None), i64::from(number) + 1));
    }
    // After all others.
    scene.etcd.etcd.put(format!("{REALM}o/zz").as_bytes(), b"nothing that is known");
    let census = scene.tick().unwrap().census;
    assert_eq!((census.states.in_doubt, census.states.unreadable), (many.into(), 1));
    assert_eq!(census.oldest.len(), limits::IN_DOUBT_LISTED_MAX);
    assert_eq!(census.oldest[0].key, of(many - 1).prefix());
    let mut costs = Vec::new();
    for request in &scene.etcd.calls {
        let RpcEvent::Answered(message) = scene.etcd.etcd.call(request) else { panic!() };
        let answer = RangeAnswer::decode(&message).unwrap();
        costs.push(answer.count);
    }
    assert_eq!(costs[0], u64::from(many) + 1);
    let others: u64 = costs[1..].iter().sum();
    assert!(others <= u64::from(many), "{costs:?}");
    assert!(costs[1..].iter().all(|keys| *keys < 1000), "{costs:?}");
    // It took a while, so the next one waits for longer.
    let length = scene.etcd.calls.len();
    assert!(length < 16, "{length}");
}

#[test]
fn what_takes_long_is_not_done_again_at_once() {
    let mut scene = Scene::new();
    scene.open(1, claim(doubt(one(), None), 60_000));
    let ask = |scene: &mut Scene, input| {
        let now = scene.etcd.time();
        scene.census.handle(input, now, &mut scene.counters)
    };
    let mut outputs = ask(&mut scene, Input::Event(()));
    while let [Output::Ask(ticket, request)] = outputs.as_slice() {
        let (ticket, request) = (*ticket, request.clone());
        scene.pass(700);
        let event = scene.etcd.carry_out(request);
        outputs = ask(&mut scene, Input::Told(ticket, event));
    }
    assert!(matches!(outputs[..], [Output::Ask(..), Output::Do(_)]), "{outputs:?}");
    // Four questions of 0.7 s and a little more.
    scene.pass(27_900);
    assert_eq!(scene.tick(), None);
    scene.pass(200);
    assert!(scene.tick().is_some());
}

#[test]
fn a_census_that_misses_a_page_is_none_and_the_next_one_begins_anew() {
    let mut scene = Scene::new();
    for number in 0..2500 {
        scene.open(number, claim(doubt(one(), None), 60_000));
    }
    scene.count().unwrap();
    let calls = scene.etcd.calls.len();
    let before = scene.stored();
    assert!(calls > 6, "{calls}");
    for at in 0..calls {
        for fault in CallFault::ALL {
            // Carried out once more later, which changes nothing that is read.
            if fault == CallFault::Repeated {
                continue;
            }
            scene.etcd.forget_calls();
            scene.etcd.faults.insert(at, fault);
            assert_eq!(scene.count(), None, "{fault:?} of call {at}");
            assert_eq!(scene.etcd.calls.len(), at + 1, "nothing is asked after it");
            assert_eq!(scene.stored(), before);
            scene.etcd.heal();
        }
    }
    scene.etcd.forget_calls();
    assert_eq!(scene.count().unwrap().census.states.in_doubt, 2500);
    assert_eq!(scene.etcd.calls.len(), calls, "from the beginning");
}

#[test]
fn a_member_that_is_behind_the_last_census_is_not_believed() {
    let mut scene = Scene::new();
    scene.open(1, claim(doubt(one(), None), 60_000));
    let behind = scene.etcd.etcd.clone();
    scene.put('s', of(2), &value(of(2), claim(ClaimState::settled(one()), 1)));
    scene.etcd.etcd.delete(format!("{REALM}o/{}", of(1)).as_bytes());
    assert_eq!(scene.count().unwrap().census.states.in_doubt, 0);
    let ahead = std::mem::replace(&mut scene.etcd.etcd, behind);
    assert_eq!(scene.count(), None);
    scene.etcd.etcd = ahead;
    assert_eq!(scene.count().unwrap().census.states.in_doubt, 0);
}

#[test]
fn of_very_many_that_are_resolved_a_part_is_counted() {
    let mut scene = Scene::new();
    let many = 80_000;
    for number in 0..many {
        scene.put('s', of(number), b"");
    }
    let resolved = scene.tick().unwrap().census.resolved.unwrap();
    assert!(!resolved.is_exact);
    let off = resolved.claims.abs_diff(many.into());
    assert!(off < u64::from(many) / 4, "{resolved:?}");
    assert_eq!(scene.etcd.calls.len(), 2, "all of it is never asked for");
}

#[test]
fn whoever_has_not_joined_or_finds_nobody_asks_nothing() {
    let mut scene = Scene::new();
    scene.census.store.note_away();
    assert_eq!(scene.count(), None);
    assert_eq!(scene.etcd.calls.len(), 0);
    scene.census.store.note_found();
    assert!(scene.count().is_some());
}

#[test]
fn answers_that_come_twice_late_or_never_are_not_counted() {
    let mut scene = Scene::new();
    scene.open(1, claim(doubt(one(), None), 60_000));
    let ask = |scene: &mut Scene, input| {
        let now = scene.etcd.time();
        scene.census.handle(input, now, &mut scene.counters)
    };
    let first = ask(&mut scene, Input::Event(()));
    let [Output::Ask(ticket, request)] = first.as_slice() else { panic!("{first:?}") };
    let (ticket, page) = (*ticket, scene.etcd.carry_out(request.clone()));
    let second = ask(&mut scene, Input::Told(ticket, page.clone()));
    assert!(matches!(second[..], [Output::Ask(..)]), "{second:?}");
    assert!(ask(&mut scene, Input::Told(ticket, page.clone())).is_empty(), "twice");
    // The second one is never answered: all begins anew.
    assert!(ask(&mut scene, Input::Event(())).is_empty());
    scene.pass(limits::ETCD_CENSUS_MS);
    let again = ask(&mut scene, Input::Event(()));
    assert!(matches!(again[..], [Output::Ask(..)]), "{again:?}");
    let [Output::Ask(late, _)] = second[..] else { panic!() };
    assert!(ask(&mut scene, Input::Told(late, page)).is_empty(), "late");
}

/// On the way from one store to the other, payments of before stay in memory.
#[test]
fn what_stays_in_memory_is_a_part_of_the_count() {
    use crate::engine::store::census_fixtures::{ENFORCING, bucket, count};
    let mut scene = Scene::new();
    let terms = EtcdTerms { clock_skew: SKEW, drains_local: true, keeps_answers: false };
    let store = Rc::clone(&scene.census.store);
    let own = EtcdStore::new(store.realm.clone(), terms, b"this");
    own.join((*store.membership().unwrap()).clone());
    scene.census.store = Rc::new(own);
    scene.open(1, claim(doubt(one(), None), 60_000));
    // Nothing is told before both are counted.
    assert_eq!(scene.count(), None);
    let in_memory = [claim(doubt(one(), None), 90_000), claim(ClaimState::settled(one()), 1)];
    let dollars = Claim {
        money: crate::engine::payment::Money { minor: 5, currency: *b"USD" },
        ..in_memory[0]
    };
    let local = count(&[bucket(&[in_memory[0], in_memory[1], dollars])], ENFORCING);
    scene.census.add_local(local.clone());
    let census = scene.tick().unwrap().census;
    assert_eq!((census.states.in_doubt, census.resolved.unwrap().claims), (3, 1));
    assert_eq!(census.local, Some(LocalClaims { claims: 3, in_doubt: 2 }), "apart, too");
    assert_eq!(census.at_risk, [(*b"IDR", 20_000), (*b"USD", 5)]);
    assert_eq!(census.oldest.len(), 3);
    assert!(census.oldest.is_sorted_by_key(|one| one.claimed_at));
    assert_eq!(scene.stored(), Some(census));
    // Another worker has counted since: what was in memory then is not known.
    scene.pass(limits::ETCD_CENSUS_MS_MAX);
    assert_eq!(scene.tick(), None);
    scene.census.add_local(local);
    assert!(scene.tick().is_some());
}
