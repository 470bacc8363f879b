//! Stores that fail, races that are lost, clients that leave, workers that die.

use super::*;
use crate::engine::health::BreakerState;

/// What went before, and the request that is now made and how it ends.
struct Scene {
    name: &'static str,
    /// The payment's first attempt.
    first: Option<Ending<'static>>,
    asked: fn() -> Asked,
    ending: Ending<'static>,
    /// Whether the payment is executed by then, or may be: nobody may be told otherwise.
    may_be_executed: bool,
}

const NO: Ending<'static> = upstream(403, r#"{"responseCode":"4035414"}"#);
const PAY: fn() -> Asked = || post(CREATE, ORDER);

const fn scenes() -> [Scene; 10] {
    const fn scene(
        name: &'static str,
        first: Option<Ending<'static>>,
        ending: Ending<'static>,
        may_be_executed: bool,
    ) -> Scene {
        Scene { name, first, asked: PAY, ending, may_be_executed }
    }
    let in_doubt = Some(TIMEOUT.at("primary"));
    [
        scene("a first payment that succeeds", None, upstream(200, OK), true),
        scene("a first payment without answer", None, TIMEOUT, true),
        scene("a first payment that is refused", None, NO, false),
        scene("a first payment that is never sent", None, REFUSED, false),
        scene("a replay", Some(upstream(200, OK)), TIMEOUT, true),
        scene("a retry after a NO", Some(NO), upstream(200, OK), true),
        scene("a repeat that succeeds", in_doubt, upstream(200, OK), true),
        scene("a repeat that is refused", in_doubt, NO, true),
        scene("a repeat that is never sent", in_doubt, REFUSED, true),
        Scene {
            asked: || post(STATUS, OF_ORDER),
            ..scene("a status", in_doubt, upstream(404, r#"{"responseCode":"4045501"}"#), true)
        },
    ]
}

impl Scene {
    /// Plays it with the `at`th call of the store going wrong; whether there were that many.
    fn play(&self, at: usize, fault: Fault, wrong: &mut Vec<String>) -> bool {
        let what = format!("{}, {fault:?} at call {at}", self.name);
        let mut world = World::new();
        if let Some(first) = self.first {
            world.pay(first);
            world.pass(5000);
        }
        (world.calls, world.fault) = (0, Some((at, fault)));
        let mut run = world.begin(&(self.asked)());
        let was_sent = run.exchange.is_sent();
        if was_sent {
            world.end(&mut run, self.ending);
        }
        assert!(run.exchange.is_ended(), "{what}");
        let told = run.told();
        assert_ne!(told, "nothing", "{what}: the client waits for ever");
        let sent_or_before = was_sent || self.first.is_some();
        if self.may_be_executed && sent_or_before && run.reply.is_some() {
            let denies = told.ends_with("safe") || told.contains("not_executed");
            // A retry that was not sent leaves the NO as it was.
            let only_a_no = !was_sent && self.name == "a retry after a NO";
            if denies && !only_a_no {
                wrong.push(format!("{what}: {told}"));
            }
        }
        let denies = run.relayed.is_some() && self.ending.evidence.status != 200;
        if self.may_be_executed && was_sent && denies {
            wrong.push(format!("{what}: relayed as failed, and a charge may exist"));
        }
        let reached = world.calls >= at;
        world.fault = None;
        self.afterwards(&mut world, &what, was_sent);
        reached
    }

    /// Long after, the same payment is never sent to a gateway that did not have it.
    fn afterwards(&self, world: &mut World, what: &str, was_sent: bool) {
        world.pass(40_000);
        let again = world.begin(&PAY());
        let sent_before = self.first.is_some() || was_sent;
        if sent_before && self.may_be_executed {
            let told = again.told();
            let pinned = ["to dana_primary", "200 replay", "504 already_executed executed"];
            let unknown = told == "504 unknown unknown";
            assert!(unknown || pinned.contains(&told.as_str()), "{what}, then {told}");
        }
    }
}

#[test]
fn whichever_call_of_the_store_fails_nothing_is_sent_unclaimed_and_nothing_is_denied() {
    let mut wrong = Vec::new();
    for scene in scenes() {
        for fault in [Fault::Before, Fault::After, Fault::Conflict] {
            let calls = (1..100).take_while(|at| scene.play(*at, fault, &mut wrong)).count();
            assert!((2..50).contains(&calls), "{}: {calls} calls", scene.name);
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_store_that_fails_before_anything_was_sent_is_told_so() {
    // The only calls of a first payment before it is sent: health, bucket, claim.
    for at in 1..=3 {
        let mut world = World::new();
        world.fault = Some((at, Fault::Before));
        let run = world.begin(&PAY());
        assert!(run.forward.is_none(), "{at}");
        assert!(matches!(run.reply.as_ref().unwrap().status, 503 | 504), "{at}");
    }
    let mut world = World::new();
    world.fault = Some((4, Fault::Before));
    assert_eq!(world.pay(upstream(200, OK)), "relayed from primary");
}

#[test]
fn a_claim_of_which_nobody_knows_whether_it_was_written_counts() {
    let mut world = World::new();
    world.fault = Some((3, Fault::After));
    let run = world.begin(&PAY());
    assert!(run.forward.is_none());
    assert_eq!(world.state(), "in_flight");
    world.pass(30_000);
    assert_eq!(world.pay(TIMEOUT), "504 unknown unknown");
}

#[test]
fn a_settlement_that_is_lost_turns_into_doubt_and_the_answer_is_relayed() {
    let mut world = World::new();
    let mut run = world.begin(&PAY());
    world.fault = Some((world.calls + 3, Fault::Before));
    world.end(&mut run, upstream(200, OK).at("primary"));
    assert_eq!(run.told(), "relayed from primary");
    assert_eq!(run.note.unwrap().claim.name(), "settle_lost");
    assert_eq!(world.state(), "in_flight");
    world.pass(30_000);
    assert_eq!(world.state(), "in_doubt");
}

/// Steps a request until it is about to write a claim.
fn up_to_the_claim(world: &mut World, run: &mut Run) {
    let at_claim = |run: &Run| {
        matches!(
            run.todo.front(),
            Some(Output::Ask(_, CellRequest::Store { cell: Cell::Claims(_), .. }))
        )
    };
    while !at_claim(run) {
        assert!(world.step(run), "{}", run.told());
    }
}

#[test]
fn of_two_workers_with_the_same_payment_one_sends_it() {
    let mut world = World::new();
    let mut slower = world.hold(&PAY());
    up_to_the_claim(&mut world, &mut slower);
    let mut quicker = world.begin(&PAY());
    assert_eq!(quicker.told(), "to dana_primary_first");
    world.go_on(&mut slower);
    assert_eq!(slower.told(), "429 in_progress in_progress");
    world.end(&mut quicker, upstream(200, OK));
    assert_eq!(world.pay(TIMEOUT), "200 replay");
}

#[test]
fn of_two_repeats_one_is_sent() {
    let mut world = World::new();
    world.pay(TIMEOUT.at("primary"));
    world.pass(5000);
    let mut slower = world.hold(&PAY());
    up_to_the_claim(&mut world, &mut slower);
    assert_eq!(world.begin(&PAY()).told(), "to dana_primary");
    world.go_on(&mut slower);
    assert_eq!(slower.told(), "429 in_progress unknown");
}

#[test]
fn a_lost_race_for_another_key_of_the_bucket_is_decided_anew() {
    let config = CONFIG.replace("\"claims_max\": 64", "\"claims_max\": 16");
    let mut world = World::with(&config);
    let mut slower = world.hold(&PAY());
    up_to_the_claim(&mut world, &mut slower);
    world.ask(&post(CREATE, &ORDER.replace("r-1", "r-2")), None);
    world.go_on(&mut slower);
    assert_eq!(slower.told(), "to dana_primary_first");
    assert_eq!(world.store.claims().len(), 2);
}

#[test]
fn a_store_that_never_lets_us_write_is_given_up() {
    let mut world = World::new();
    let mut run = world.hold(&PAY());
    for _ in 0..=limits::STORE_ATTEMPTS_MAX {
        if run.reply.is_some() {
            break;
        }
        up_to_the_claim(&mut world, &mut run);
        world.fault = Some((world.calls + 1, Fault::Conflict));
        world.step(&mut run);
        world.go_on_to_claim_or_end(&mut run);
    }
    assert_eq!(run.told(), "504 claim_store_failed unknown");
    assert!(run.forward.is_none());
}

impl World {
    /// Goes on until the claim is to be written again, or the request has ended.
    fn go_on_to_claim_or_end(&mut self, run: &mut Run) {
        let at_claim = |run: &Run| {
            matches!(
                run.todo.front(),
                Some(Output::Ask(_, CellRequest::Store { cell: Cell::Claims(_), .. }))
            )
        };
        while !at_claim(run) && self.step(run) {}
    }
}

#[test]
fn a_permit_comes_back_when_its_trial_is_not_made() {
    let out = |world: &World| match world.breaker("primary") {
        BreakerState::HalfOpen { out, .. } => out,
        BreakerState::Closed { .. } | BreakerState::Open { .. } => {
            panic!("not half-open")
        }
    };
    // Another worker claims the payment after this one has taken the permit.
    let mut world = World::new();
    world.trip("primary");
    world.pass(20_000);
    let mut slower = world.hold(&PAY());
    up_to_the_claim(&mut world, &mut slower);
    assert_eq!(out(&world), 1);
    let _quicker = world.begin(&PAY());
    world.go_on(&mut slower);
    assert_eq!(slower.told(), "429 in_progress in_progress");
    assert_eq!(out(&world), 0, "refused");
    // The trial is made and never sent, or its client leaves at once: that proves nothing, and
    // another trial has to wait, so that a gateway is not tried as often as clients leave.
    for ending in [
        no_answer(0x80, false),
        no_answer(0x4000, false).client_gone(),
        no_answer(0x4000, true).client_gone(),
    ] {
        let mut world = World::new();
        world.trip("primary");
        world.pass(20_000);
        let mut run = world.begin(&PAY());
        assert_eq!(run.told(), "to dana_primary_first");
        world.end(&mut run, ending);
        assert_eq!(out(&world), 1);
        let limits = world.policy.health.breaker;
        let breaker = world.store.health().member(world.id("primary")).unwrap().breaker.clone();
        let later = world.time().plus(limits.half_open_max);
        let all_taken = (1..limits.half_open_permits).fold(breaker, |mut breaker, _| {
            breaker.take_permit(world.time(), &limits);
            breaker
        });
        assert!(!all_taken.may_try(world.time(), &limits) && all_taken.may_try(later, &limits));
    }
}

#[test]
fn a_client_that_leaves_is_not_answered_and_the_claim_knows() {
    for (attached, state) in [(true, "in_doubt"), (false, "")] {
        let mut world = World::new();
        let mut run = world.begin(&PAY());
        world.end(&mut run, no_answer(0x4000, attached).client_gone());
        assert!(run.reply.is_none() && run.relayed.is_none());
        assert_eq!(world.state(), state);
        let before = World::new().store.health();
        assert_eq!(world.store.health(), before, "neutral for the gateway");
    }
}

#[test]
fn late_and_foreign_events_change_nothing() {
    let mut world = World::new();
    let mut run = world.begin(&PAY());
    let absent = world.store.load(Cell::Census);
    for event in [
        CellEvent::Stored(Cell::Health),
        CellEvent::Conflict(Cell::Claims(0)),
        CellEvent::Failed(Cell::Claims(0)),
        CellEvent::Loaded(Cell::Health, absent),
    ] {
        world.feed(&mut run, Input::Told(Ticket::default(), event));
        assert!(run.todo.is_empty() && run.exchange.is_sent());
    }
    world.end(&mut run, upstream(200, OK));
    let answer = Answer { evidence: REFUSED.evidence, ..Answer::never_left(true) };
    world.feed(&mut run, Input::Event(ExchangeEvent::Answered(answer)));
    assert!(run.todo.is_empty());
    assert_eq!(world.state(), "settled");
}

#[test]
fn a_record_that_cannot_be_read_is_unknown() {
    for byte in [1, 34] {
        let mut world = World::new();
        world.pay(upstream(200, OK));
        for (_, bytes) in
            world.store.bytes_mut().filter(|(cell, _)| matches!(cell, Cell::Claims(_)))
        {
            bytes[byte] = 99;
        }
        assert_eq!(world.ask(&PAY(), None), "504 unknown unknown");
        assert_eq!(world.ask(&post(CANCEL, OF_ORDER), None), "504 unknown unknown");
    }
}

#[test]
fn a_bucket_that_cannot_be_read_denies_nothing() {
    let mut world = World::new();
    world.pay(upstream(200, OK));
    for (_, bytes) in world.store.bytes_mut().filter(|(cell, _)| matches!(cell, Cell::Claims(_))) {
        bytes.truncate(20);
    }
    let told = world.ask(&PAY(), None);
    assert!(!told.ends_with("safe") && !told.starts_with("to "), "{told}");
}

#[test]
fn a_late_answer_of_a_dead_lease_still_settles() {
    let mut world = World::new();
    let mut run = world.begin(&PAY());
    world.pass(40_000);
    assert_eq!(world.state(), "in_doubt");
    world.end(&mut run, upstream(200, OK).at("secondary"));
    assert_eq!((run.told().as_str(), world.state()), ("relayed from secondary", "settled"));
    let mut world = World::new();
    let mut run = world.begin(&PAY());
    world.pass(40_000);
    world.end(&mut run, NO);
    assert_eq!((run.told().as_str(), world.state()), ("504 unknown unknown", "in_doubt"));
}

#[test]
fn a_closed_payment_that_turns_out_executed_is_settled_again() {
    let mut world = World::new();
    let mut run = world.begin(&PAY());
    // Its lease, and the time after which "failed" can only be said of it.
    world.pass(90_000);
    let failed = r#"{"responseCode":"2005500","latestTransactionStatus":"06"}"#;
    for gateway in ["primary", "secondary"] {
        world.ask(&post(STATUS, OF_ORDER), Some(upstream(200, failed).at(gateway)));
    }
    assert_eq!(
        world.store.claims()[0].at(world.time()).state,
        ClaimState::Closed { how: Closed::Failed, gateways: Gateways::only(world.id("secondary")) }
    );
    world.end(&mut run, upstream(200, OK).at("primary"));
    assert_eq!((run.told().as_str(), world.state()), ("relayed from primary", "settled"));
}

#[test]
fn a_repeat_whose_record_is_gone_is_not_called_unsent() {
    let mut world = World::new();
    world.pay(TIMEOUT.at("primary"));
    world.pass(5000);
    let mut run = world.begin(&PAY());
    assert_eq!(run.told(), "to dana_primary");
    world.store.retain(|cell, _| !matches!(cell, Cell::Claims(_)));
    world.end(&mut run, REFUSED);
    assert_eq!(run.told(), "504 unknown unknown", "the first attempt may have been executed");
}

#[test]
fn operators_are_told_what_was_written_and_only_that() {
    let config = CONFIG.replace(r#""consecutive_failures": 1000"#, r#""consecutive_failures": 1"#);
    let told = |fault: Option<(usize, Fault)>| {
        let mut world = World::with(&config);
        let mut run = world.begin(&post(CREATE, ORDER));
        let before = world.calls;
        world.fault = fault.map(|(call, fault)| (before + call, fault));
        world.end(&mut run, TIMEOUT.at("primary"));
        let opened = matches!(world.breaker("primary"), BreakerState::Open { .. });
        let opens = |change: &&HealthEvent| matches!(change, HealthEvent::Breaker(..));
        (opened, run.changes.iter().filter(opens).count(), world.calls - before)
    };
    let (opened, changes, calls) = told(None);
    assert_eq!((opened, changes), (true, 1));
    for call in 1..=calls {
        // A race that is lost is run again, and told once.
        let (opened, changes, _) = told(Some((call, Fault::Conflict)));
        assert_eq!((opened, changes), (true, 1), "call {call}");
        let (opened, changes, _) = told(Some((call, Fault::Before)));
        assert_eq!(usize::from(opened), changes, "call {call}");
    }
    // The move to half-open belongs to the permit.
    let on_trial = |fault: Option<(usize, Fault)>| {
        let mut world = World::with(&config);
        world.trip("primary");
        world.pass(60_000);
        let before = world.calls;
        world.fault = fault.map(|(call, fault)| (before + call, fault));
        let run = world.begin(&post(CREATE, ORDER));
        let half_open = matches!(world.breaker("primary"), BreakerState::HalfOpen { .. });
        (half_open, run.changes.len(), world.calls - before)
    };
    let (half_open, changes, calls) = on_trial(None);
    assert_eq!((half_open, changes), (true, 1));
    for call in 1..=calls {
        let (half_open, changes, _) = on_trial(Some((call, Fault::Conflict)));
        assert_eq!((half_open, changes), (true, 1), "call {call}");
    }
}
