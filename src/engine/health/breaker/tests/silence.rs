//! Trials that prove nothing, gateways that ask for less, and payments of which nothing is heard.

use super::*;
use crate::engine::health::HeartbeatLimits;
use crate::engine::health::heartbeat::Heartbeat;

const BEATS: HeartbeatLimits =
    HeartbeatLimits { interval: Millis::new(200), stale: Millis::new(1000), rise: 1, fall: 3 };

/// A payment of `partner` whose client left after it had waited so long.
fn leaves(breaker: &mut Breaker, partner: &str, waited: u64, millis: u64) -> Option<Rule> {
    let report = Report {
        signal: Signal::Abandoned,
        generation: breaker.generation(),
        source: Source::new(partner, "create", true),
        heard: Heard::Silence(Millis::new(waited)),
        ..Report::default()
    };
    breaker.record(report, at(millis), &LIMITS).map(|moved| moved.rule)
}

fn answers(breaker: &mut Breaker, partner: &str, signal: Signal, millis: u64) -> Option<Rule> {
    let source = Source::new(partner, "create", true);
    let report = Report { signal, generation: breaker.generation(), source, ..Report::default() };
    breaker.record(report, at(millis), &LIMITS).map(|moved| moved.rule)
}

#[test]
fn clients_that_waited_and_left_unheard_open_it_in_a_row() {
    let mut breaker = Breaker::default();
    assert_eq!(leaves(&mut breaker, "ana", 100, 1000), None);
    assert_eq!(leaves(&mut breaker, "budi", 100, 1001), None);
    assert_eq!(answers(&mut breaker, "ana", Signal::Throttled, 1002), None, "heard");
    for (waited, millis) in [(100, 1010), (99, 1011), (100, 1012), (50, 1013)] {
        assert_eq!(leaves(&mut breaker, "ana", waited, millis), None, "{millis}");
    }
    let rule = leaves(&mut breaker, "budi", 150, 1014);
    assert_eq!(rule, Some(Rule::Unheard { requests: 3 }));
    assert!(matches!(breaker.state(), BreakerState::Open { .. }));
}

#[test]
fn one_partners_impatience_opens_nothing_while_others_pay() {
    let mut breaker = Breaker::default();
    answers(&mut breaker, "budi", Signal::Success, 0);
    for millis in 0..40 {
        assert_eq!(leaves(&mut breaker, "ana", 100, 1 + millis), None, "{millis}");
    }
}

#[test]
fn with_bad_heartbeats_impatient_clients_open_it_however_early_they_leave() {
    let mut breaker = Breaker::default();
    let (mut up, mut down) = (Heartbeat::default(), Heartbeat::default());
    for (heartbeat, good) in [(&mut up, true), (&mut down, false)] {
        heartbeat.record(true, at(0), &BEATS);
        heartbeat.record(good, at(200), &BEATS);
    }
    answers(&mut breaker, "budi", Signal::Success, 90);
    let beside = |breaker: &mut Breaker, millis, heartbeat: &Heartbeat| {
        leaves(breaker, "ana", 1, millis);
        breaker.check_heartbeat(heartbeat, at(millis), &LIMITS).map(|moved| moved.rule)
    };
    for millis in [100, 200, 300, 400, 500, 598] {
        assert_eq!(beside(&mut breaker, millis, &down), None, "{millis}: not for long enough");
    }
    assert_eq!(beside(&mut breaker.clone(), 600, &up), None, "its heartbeats are good");
    assert_eq!(beside(&mut breaker, 600, &down), Some(Rule::Unheard { requests: 7 }));
}

/// It was seen before the clock was put back, and says nothing of now.
#[test]
fn a_good_heartbeat_from_the_time_to_come_excuses_no_silence() {
    let (mut breaker, mut heartbeat) = (Breaker::default(), Heartbeat::default());
    heartbeat.record(true, at(86_400_000), &BEATS);
    heartbeat.record(false, at(100), &BEATS);
    let moved = (0..8).find_map(|number| {
        let millis = 100 + number * 100;
        leaves(&mut breaker, "ana", 1, millis);
        breaker.check_heartbeat(&heartbeat, at(millis), &LIMITS)
    });
    assert!(matches!(moved.unwrap().rule, Rule::Unheard { .. }));
}

#[test]
fn with_bad_heartbeats_nobody_elses_payments_excuse_a_run() {
    let mut breaker = Breaker::default();
    answers(&mut breaker, "budi", Signal::Success, 0);
    let mut down = Heartbeat::default();
    down.record(true, at(0), &BEATS);
    down.record(false, at(400), &BEATS);
    for millis in [100, 900, 1500, 2099] {
        assert_eq!(answers(&mut breaker, "ana", Signal::Failure, millis), None);
        assert_eq!(breaker.check_heartbeat(&down, at(millis), &LIMITS), None, "{millis}");
    }
    assert_eq!(answers(&mut breaker, "ana", Signal::Failure, 2100), None);
    let moved = breaker.check_heartbeat(&down, at(2100), &LIMITS).unwrap();
    assert_eq!(moved.rule, Rule::ConsecutiveFailures { run: 5 });
}

fn half_open() -> Breaker {
    let mut breaker = Breaker::default();
    breaker.check_in_flight(8, at(0), &LIMITS);
    breaker.take_permit(at(1000), &LIMITS);
    breaker
}

fn trial(breaker: &mut Breaker, report: Report, millis: u64) -> Option<Rule> {
    let report = Report { generation: breaker.generation(), trial: true, ..report };
    breaker.record(report, at(millis), &LIMITS).map(|moved| moved.rule)
}

#[test]
fn a_trial_that_is_throttled_ends_all_trials_for_as_long_as_the_gateway_asks() {
    for (asked, wait) in [(None, 1000), (Some(200), 1000), (Some(3000), 3000), (Some(60_000), 4000)]
    {
        let mut breaker = half_open();
        let retry_after = asked.map(Millis::new);
        let report = Report { signal: Signal::Throttled, retry_after, ..Report::default() };
        assert_eq!(trial(&mut breaker, report, 1100), Some(Rule::TrialThrottled));
        assert_eq!(breaker.state(), BreakerState::Open { until: at(1100 + wait) }, "{asked:?}");
    }
}

#[test]
fn trials_that_prove_nothing_are_bounded_in_time() {
    let gone = Report { heard: Heard::Silence(Millis::new(99)), ..Report::default() };
    for report in [
        Report { signal: Signal::Abandoned, ..gone },
        Report { heard: Heard::Unsent, ..Report::default() },
    ] {
        let mut breaker = half_open();
        assert_eq!(trial(&mut breaker, report, 1001), None);
        assert!(breaker.may_try(at(1001), &LIMITS), "the second permit");
        breaker.take_permit(at(1002), &LIMITS);
        assert_eq!(trial(&mut breaker, report, 1003), None);
        assert!(!breaker.may_try(at(3501), &LIMITS), "both stay out");
        assert!(breaker.may_try(at(3502), &LIMITS));
    }
}

#[test]
fn a_trial_of_which_nothing_was_heard_fails() {
    let mut breaker = half_open();
    let heard = Heard::Silence(Millis::new(100));
    let report = Report { signal: Signal::Abandoned, heard, ..Report::default() };
    assert_eq!(trial(&mut breaker, report, 1100), Some(Rule::TrialFailed));
}

#[test]
fn what_is_forced_on_a_gateway_closes_its_breaker_when_it_goes_well() {
    let mut breaker = Breaker::default();
    for _ in 0..4 {
        breaker.check_in_flight(8, at(0), &LIMITS);
        breaker.trips = 4;
        breaker.open(Rule::TrialFailed, Millis::ZERO, at(0), &LIMITS);
    }
    assert_eq!(breaker.state(), BreakerState::Open { until: at(4000) });
    assert!(!breaker.may_try_forced(at(999), &LIMITS));
    assert!(breaker.may_try_forced(at(1000), &LIMITS) && !breaker.may_try(at(1000), &LIMITS));
    let moved = breaker.take_forced_permit(at(1000), &LIMITS).unwrap();
    assert_eq!(moved.rule, Rule::Forced);
    // If it fails, the breaker waits no longer for having been tried before its time.
    let mut failing = breaker.clone();
    let failed = Report { signal: Signal::Failure, ..Report::default() };
    assert_eq!(trial(&mut failing, failed, 1001), Some(Rule::TrialFailed));
    assert_eq!((failing.state(), failing.trips), (BreakerState::Open { until: at(5001) }, 4));
    breaker.take_forced_permit(at(1000), &LIMITS);
    let passed = Report { signal: Signal::Success, ..Report::default() };
    assert_eq!(trial(&mut breaker, passed, 1002), None);
    assert_eq!(trial(&mut breaker, passed, 1003), Some(Rule::TrialsPassed { passed: 2 }));
}

#[test]
fn rates_wait_until_every_worker_has_brought_its_successes() {
    let limits =
        BreakerLimits { rate_age_min: Millis::new(200), consecutive_failures: 100, ..LIMITS };
    let mut breaker = Breaker::default();
    let mut fails = |millis| {
        let report = Report { signal: Signal::Failure, ..Report::default() };
        breaker.record(report, at(millis), &limits).map(|moved| moved.rule.name())
    };
    for millis in [0, 50, 100, 150, 199] {
        assert_eq!(fails(millis), None, "{millis}");
    }
    assert_eq!(fails(200), Some("failure_rate"));
}
