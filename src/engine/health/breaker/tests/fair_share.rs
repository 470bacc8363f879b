//! Whose trouble counts: one partner beside others, questions beside payments, what is under way.

use super::*;

/// A breaker that hears of these calls one after the other: who, and how it went (`+`, `-`, `s`
/// for slow, `.` for a decline).
fn told(calls: &[(&str, char)]) -> (Breaker, Option<Rule>) {
    let mut breaker = Breaker::default();
    let now = Timestamp::from_millis(START);
    for (partner, how) in calls {
        let (signal, slow) = match how {
            '+' => (Signal::Success, false),
            's' => (Signal::Success, true),
            '.' => (Signal::Alive, false),
            _ => (Signal::Failure, false),
        };
        let generation = breaker.generation();
        let source = Source::new(partner, "create", true);
        let report = Report { signal, slow, generation, trial: false, source, ..Report::default() };
        if let Some(moved) = breaker.record(report, now, &LIMITS) {
            return (breaker, Some(moved.rule));
        }
    }
    (breaker, None)
}

#[test]
fn a_partner_alone_trips_no_rule_while_another_one_pays() {
    let alone = |how: char| [("ana", how); 12];
    let beside = |how: char| [&[("budi", '+')][..], &alone(how)].concat();
    for how in ['-', 's'] {
        assert!(told(&alone(how)).1.is_some(), "the only partner there is: {how}");
        assert_eq!(told(&beside(how)).1, None, "{how}");
    }
    // A decline is an answer like any other: the gateway does its work.
    assert_eq!(told(&[&[("budi", '.')][..], &alone('-')].concat()).1, None);
    // As soon as a second partner has as much trouble, it is the gateway.
    let both = [beside('-').as_slice(), &[("citra", '-')]].concat();
    assert_eq!(told(&both).1, None);
    let (_, rule) = told(&[both.as_slice(), &[("citra", '-'); 2]].concat());
    assert!(matches!(rule, Some(Rule::ConsecutiveFailures { .. })), "{rule:?}");
}

/// A payment or a question that ended so, `millis` after the start.
fn ended(breaker: &mut Breaker, pays: bool, signal: Signal, millis: u64) -> Option<Rule> {
    let source = Source::new("ana", if pays { "create" } else { "status" }, pays);
    let (generation, now) = (breaker.generation(), Timestamp::from_millis(START + millis));
    let trial = matches!(breaker.state(), BreakerState::HalfOpen { .. });
    let report = Report { signal, slow: false, generation, trial, source, ..Report::default() };
    breaker.record(report, now, &LIMITS).map(|moved| moved.rule)
}

#[test]
fn a_run_of_one_partner_counts_when_nobody_else_has_paid_for_a_window() {
    let mut breaker = told(&[("budi", '+')]).0;
    // Windows begin at multiples of their length, and the one before still counts.
    for millis in [0, 1999, 2000, 3000, 4000, 5000, 5999] {
        assert_eq!(ended(&mut breaker, true, Signal::Failure, millis), None, "{millis} ms");
    }
    let rule = ended(&mut breaker, true, Signal::Failure, 6000);
    assert_eq!(rule, Some(Rule::ConsecutiveFailures { run: 8 }));
}

#[test]
fn a_run_of_one_operation_counts_when_it_has_lasted() {
    let mut breaker = Breaker::default();
    let limits = BreakerLimits { min_calls: 100, ..LIMITS };
    let pay = |breaker: &mut Breaker, partner, operation, signal, millis| {
        let source = Source::new(partner, operation, true);
        let report = Report { signal, source, ..Report::default() };
        breaker.record(report, at(millis), &limits).map(|moved| moved.rule)
    };
    pay(&mut breaker, "ana", "create", Signal::Success, 0);
    let partners = ["ana", "budi", "citra", "dewi"];
    for (partner, millis) in partners.into_iter().zip([0, 600, 1200, 1999]) {
        let rule = pay(&mut breaker, partner, "top-up", Signal::Failure, millis);
        assert_eq!(rule, None, "{millis} ms");
    }
    // Whatever else went well meanwhile would have ended it.
    let rule = pay(&mut breaker, "ana", "top-up", Signal::Failure, 2000);
    assert_eq!(rule, Some(Rule::ConsecutiveFailures { run: 5 }));
}

/// Opens it by failures of `ana`, lets the wait pass and takes a permit.
fn on_trial(breaker: &mut Breaker) -> u64 {
    for _ in 0..3 {
        let source = Source::new("ana", "create", true);
        let generation = breaker.generation();
        let report = Report { signal: Signal::Failure, generation, source, ..Report::default() };
        breaker.record(report, at(0), &LIMITS);
    }
    let BreakerState::Open { until } = breaker.state() else { panic!("{:?}", breaker.state()) };
    breaker.take_permit(until, &LIMITS);
    until.as_millis() - START
}

/// A trial of `partner` that ends so at `millis`; how long the breaker then waits, if it opens.
fn tried(breaker: &mut Breaker, partner: &str, signal: Signal, millis: u64) -> Option<u64> {
    let source = Source::new(partner, "create", true);
    let generation = breaker.generation();
    let report = Report { signal, generation, trial: true, source, ..Report::default() };
    breaker.record(report, at(millis), &LIMITS)?;
    match breaker.state() {
        BreakerState::Open { until } => Some(until.as_millis() - START - millis),
        BreakerState::Closed { .. } | BreakerState::HalfOpen { .. } => None,
    }
}

#[test]
fn who_failed_a_trial_lets_others_go_first() {
    let [ana, budi, citra] = ["ana", "budi", "citra"].map(|who| Source::new(who, "create", true));
    let everybody = ana.bit() | budi.bit() | citra.bit();
    let mut breaker = Breaker::default();
    assert!(!breaker.yields(ana, everybody, at(0), &LIMITS), "closed");
    let millis = on_trial(&mut breaker);
    // Its failures opened the breaker.
    assert!(breaker.yields(ana, everybody, at(millis), &LIMITS));
    assert!(!breaker.yields(ana, ana.bit(), at(millis), &LIMITS), "nobody else asks");
    assert!(!breaker.yields(budi, everybody, at(millis), &LIMITS));
    assert_eq!(tried(&mut breaker, "budi", Signal::Failure, millis), Some(2000));
    let millis = millis + 2000;
    for (who, asked, waits) in [
        (ana, everybody, true),
        (budi, everybody, true),
        (citra, everybody, false),
        // Both are under suspicion; the one that failed last waits.
        (ana, ana.bit() | budi.bit(), false),
        (budi, ana.bit() | budi.bit(), true),
    ] {
        assert_eq!(breaker.yields(who, asked, at(millis), &LIMITS), waits, "{who:?} {asked:#x}");
    }
    // Not for ever: others may not come.
    assert!(!breaker.yields(budi, everybody, at(millis + 3000), &LIMITS));
    assert!(!breaker.yields(budi, everybody, Timestamp::from_millis(0), &LIMITS), "stepped back");
    // Once it is closed everything is forgiven.
    breaker.take_permit(at(millis), &LIMITS);
    for who in ["citra", "citra"] {
        assert_eq!(tried(&mut breaker, who, Signal::Success, millis), None);
    }
    assert!(breaker.is_closed() && breaker.suspects == 0 && breaker.failed_last == 0);
}

#[test]
fn a_trial_that_fails_by_a_partners_own_fault_makes_no_wait_longer() {
    let mut breaker = Breaker::default();
    let millis = on_trial(&mut breaker);
    // Budi's trial passes, so that ana's failure is her own.
    assert_eq!(tried(&mut breaker, "budi", Signal::Success, millis), None);
    breaker.take_permit(at(millis), &LIMITS);
    assert_eq!(tried(&mut breaker, "ana", Signal::Failure, millis), Some(1000));
    // Nobody's payments are known to go well any longer.
    let millis = millis + 6000;
    breaker.take_permit(at(millis), &LIMITS);
    assert_eq!(tried(&mut breaker, "ana", Signal::Failure, millis), Some(2000));
}

#[test]
fn what_is_known_of_partners_outlives_transitions() {
    let mut breaker = Breaker::default();
    let millis = on_trial(&mut breaker);
    tried(&mut breaker, "budi", Signal::Success, millis);
    breaker.take_permit(at(millis), &LIMITS);
    tried(&mut breaker, "citra", Signal::Success, millis);
    assert!(breaker.is_closed());
    for later in 0..20 {
        let source = Source::new("ana", "create", true);
        let generation = breaker.generation();
        let report = Report { signal: Signal::Failure, generation, source, ..Report::default() };
        assert_eq!(breaker.record(report, at(millis + later * 50), &LIMITS), None, "{later}");
    }
}

#[test]
fn good_answers_to_questions_keep_no_breaker_closed_while_payments_fail() {
    let mut breaker = Breaker::default();
    for millis in 0..2 {
        assert_eq!(ended(&mut breaker, true, Signal::Failure, millis), None);
        for _ in 0..9 {
            assert_eq!(ended(&mut breaker, false, Signal::Success, millis), None);
        }
        breaker.merge(&batch(Tally { calls: 50, failures: 0, slow: 0 }, false), at(1), &LIMITS);
    }
    let rule = ended(&mut breaker, true, Signal::Failure, 2);
    assert_eq!(rule, Some(Rule::ConsecutiveFailures { run: 3 }));
    // Rates: half of the payments fail, and a hundred questions are answered.
    let mut breaker = Breaker::default();
    breaker.merge(&batch(Tally { calls: 100, failures: 0, slow: 0 }, false), at(0), &LIMITS);
    let signals = [Signal::Success, Signal::Failure, Signal::Success, Signal::Failure];
    let rules = signals.map(|signal| ended(&mut breaker, true, signal, 10));
    let seen = Tally { calls: 4, failures: 2, slow: 0 };
    assert_eq!(rules, [None, None, None, Some(Rule::FailureRate { seen })]);
}

#[test]
fn bad_answers_to_questions_open_it_only_while_no_payment_goes_well() {
    let asks =
        |breaker: &mut Breaker| (0..5).find_map(|_| ended(breaker, false, Signal::Failure, 0));
    let mut breaker = Breaker::default();
    assert_eq!(asks(&mut breaker), Some(Rule::ConsecutiveFailures { run: 3 }));
    let mut breaker = Breaker::default();
    ended(&mut breaker, true, Signal::Success, 0);
    assert_eq!(asks(&mut breaker), None);
    assert!(breaker.is_closed() && breaker.is_proven(at(0), &LIMITS));
}

#[test]
fn the_last_trial_is_a_payments() {
    let mut breaker = Breaker::default();
    breaker.check_in_flight(8, at(0), &LIMITS);
    for millis in [1000, 1100, 1200] {
        assert!(breaker.may_try(at(millis), &LIMITS), "{millis} ms");
        breaker.take_permit(at(millis), &LIMITS);
        assert_eq!(ended(&mut breaker, false, Signal::Success, millis), None);
        let BreakerState::HalfOpen { out: 0, passed: 1, .. } = breaker.state() else {
            panic!("{:?}", breaker.state())
        };
    }
    assert!(!breaker.prefers_inquiry(at(1300), &LIMITS));
    breaker.take_permit(at(1300), &LIMITS);
    let rule = ended(&mut breaker, true, Signal::Success, 1300);
    assert_eq!(rule, Some(Rule::TrialsPassed { passed: 2 }));
}

#[test]
fn too_many_under_way_open_it_and_only_when_it_is_closed() {
    let mut breaker = Breaker::default();
    let now = Timestamp::from_millis(START);
    assert_eq!(breaker.check_in_flight(7, now, &LIMITS), None);
    let moved = breaker.check_in_flight(8, now, &LIMITS).unwrap();
    assert_eq!(moved.rule, Rule::InFlight { requests: 8 });
    assert!(matches!(moved.to, BreakerState::Open { .. }));
    assert_eq!(breaker.check_in_flight(9, now, &LIMITS), None);
    assert_eq!(breaker.cause(), Some(Rule::InFlight { requests: 8 }));
    let mut bytes = Vec::new();
    breaker.encode(&mut bytes);
    assert_eq!(Breaker::decode(&mut Reader(&bytes)), Some(breaker));
}

#[test]
fn a_trial_is_a_question_for_half_a_wait() {
    let mut breaker = Breaker::default();
    assert!(!breaker.prefers_inquiry(at(0), &LIMITS), "closed");
    breaker.check_in_flight(8, at(0), &LIMITS);
    // It waits 1000 ms, and then as much as half of that for a question.
    for (later, prefers) in [(0, true), (1000, true), (1499, true), (1500, false)] {
        assert_eq!(breaker.prefers_inquiry(at(later), &LIMITS), prefers, "{later} ms");
    }
    assert!(!breaker.prefers_inquiry(Timestamp::from_millis(0), &LIMITS), "stepped back");
    // When none came, payments need not wait again.
    let mut late = breaker.clone();
    late.take_permit(at(1500), &LIMITS);
    assert!(!late.prefers_inquiry(at(1500), &LIMITS));
    breaker.take_permit(at(1000), &LIMITS);
    assert!(breaker.prefers_inquiry(at(1499), &LIMITS));
    assert!(!breaker.prefers_inquiry(at(1500), &LIMITS));
    let generation = breaker.generation();
    let source = Source::default();
    let passed = Report {
        signal: Signal::Success,
        slow: false,
        generation,
        trial: true,
        source,
        ..Report::default()
    };
    breaker.record(passed, at(1100), &LIMITS);
    assert!(!breaker.prefers_inquiry(at(1100), &LIMITS));
}
