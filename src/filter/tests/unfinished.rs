//! Exchanges that go on without their stream, over an etcd that is away, refuses, and comes back.

use super::envoy::Wish;
use super::joined::{Calls, Joined};
use super::logged::{lines, listen};
use crate::engine::limits;
use crate::filter::unfinished::{Backlog, GivenUp};

/// Away or without space, for minutes, and while the clock leaps: it is all the same.
#[test]
fn however_long_the_store_takes_nothing_it_waits_for_is_given_up() {
    for calls in [Calls::Reset, Calls::Lost, Calls::Denied] {
        let mut joined = Joined::new();
        joined.executed(1..4, calls);
        // One whose claim may be written, and that nobody sends.
        joined.begin(9, Wish::Pay);
        joined.pass(4000);
        joined.end(9);
        let is_unclear = usize::from(calls != Calls::Denied);
        assert_eq!(joined.unfinished(), 3 + is_unclear, "{calls:?}");
        joined.pass(180_000);
        joined.tick_after(3_600_000);
        joined.pass(1000);
        assert_eq!(joined.unfinished(), 3 + is_unclear, "{calls:?}: later");
        joined.calls = Calls::Answered;
        joined.pass(5000);
        assert_eq!(joined.unfinished(), 0, "{calls:?}: all is written");
        assert_eq!((joined.stand_in("o"), joined.stand_in("s")), (0, 3 + is_unclear), "{calls:?}");
        assert_eq!(
            joined.worker().stores.unfinished.borrow_mut().take_given_up(),
            GivenUp::default()
        );
    }
}

/// Each request that was decided after its stream had ended is handed over, so that it has an entry.
#[test]
fn what_is_decided_without_a_stream_has_an_entry_too() {
    let mut joined = Joined::new();
    (1..4).for_each(|number| joined.begin(number, Wish::Pay));
    // Their clients leave, and etcd does not say whether that is written down.
    joined.calls = Calls::Reset;
    (1..4).for_each(|number| joined.end(number));
    assert_eq!(joined.unfinished(), 3);
    joined.calls = Calls::Answered;
    joined.pass(5000);
    assert_eq!(joined.unfinished(), 0);
    let handed = joined.host.0.borrow().handed.clone();
    let late: Vec<serde_json::Value> = handed
        .iter()
        .flat_map(|(_, events)| events.lines())
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|entry: &serde_json::Value| entry["late"] == 1)
        .collect();
    assert_eq!(late.len(), 3, "{handed:?}");
    for entry in late {
        let told = ["e", "do", "ev", "claim"].map(|name| entry[name].as_str().unwrap());
        assert_eq!(told, ["charge", "unanswered", "doubtful", "in_doubt"], "{entry}");
    }
}

/// While the store is away nobody asks it but who looks for it. When it is back, they come in their turn.
#[test]
fn a_store_that_comes_back_is_asked_by_so_many_at_a_time() {
    let mut joined = Joined::new();
    joined.executed(1..161, Calls::Reset);
    // Claims that may be written, and must not be.
    (161..201).for_each(|number| joined.begin(number, Wish::Pay));
    joined.pass(5000);
    (161..201).for_each(|number| joined.end(number));
    assert_eq!(joined.unfinished(), 200);
    let looks = |joined: &mut Joined, millis: u64| {
        let before = joined.sent();
        joined.tick_after(millis);
        joined.sent() - before
    };
    for _ in 0..50 {
        assert!(looks(&mut joined, limits::ETCD_TICK_MS) <= 2, "while it is away");
    }
    joined.calls = Calls::Answered;
    while joined.worker().stores.etcd.as_ref().unwrap().is_away() {
        joined.host.0.borrow_mut().now += limits::ETCD_TICK_MS;
        joined.root.tick();
        joined.pump();
    }
    joined.calls = Calls::Held;
    let most = limits::UNFINISHED_UNDER_WAY_MAX;
    let looked: Vec<usize> = (0..6).map(|_| looks(&mut joined, limits::ETCD_TICK_MS)).collect();
    // The worker itself looks at the realm now and then.
    let sent: usize = looked.iter().sum();
    assert!((most..=most + 3).contains(&sent), "the others wait until these are done: {looked:?}");
    joined.calls = Calls::Answered;
    joined.pump();
    assert_eq!(joined.unfinished(), 200 - most, "each of them has written all");
    // All of them have their turn.
    joined.pass(1000);
    assert_eq!((joined.unfinished(), joined.stand_in("s")), (0, 200));
}

/// A claim is kept rather than what a status has told of somebody's payment.
#[test]
fn where_there_is_no_room_for_all_those_without_a_claim_go_first() {
    listen();
    let mut joined = Joined::new();
    let _ = joined.worker().stores.unfinished.replace(Backlog::of(3));
    for number in 1..5 {
        joined.begin(number, Wish::Pay);
    }
    for number in 11..16 {
        joined.begin(number, Wish::Ask);
    }
    joined.calls = Calls::Reset;
    let given_up = |joined: &Joined| joined.worker().stores.unfinished.borrow_mut().take_given_up();
    let (none, other) = (GivenUp::default(), GivenUp { claims: 0, others: 1 });
    for (number, lost) in [(11, none), (12, none), (13, none), (14, other)] {
        joined.finish(number, Wish::Ask);
        assert_eq!(given_up(&joined), lost, "{number}");
    }
    for number in 1..4 {
        joined.finish(number, Wish::Pay);
        assert_eq!((given_up(&joined), joined.unfinished()), (other, 3), "{number}");
    }
    // No claim goes for anything less, nor for another one.
    joined.finish(15, Wish::Ask);
    assert_eq!(given_up(&joined), other);
    lines();
    joined.finish(4, Wish::Pay);
    joined.pass(1000);
    let told: Vec<String> = lines().into_iter().map(|(_, line)| line).collect();
    let told: Vec<&String> = told.iter().filter(|line| line.contains("given up")).collect();
    let [told] = told[..] else { panic!("once: {told:?}") };
    assert!(told.contains("how 1 of them ended") && told.contains("what 0 have learnt"), "{told}");
    joined.calls = Calls::Answered;
    joined.pass(5000);
    assert_eq!((joined.unfinished(), joined.stand_in("o"), joined.stand_in("s")), (0, 1, 3));
}
