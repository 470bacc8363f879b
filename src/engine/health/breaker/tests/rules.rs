//! Each rule by itself: when it trips, what it says, how a breaker comes back.

use super::*;

/// What a story of letters does: `s` success, `f` failure, `t` throttled, `a` alive, `n` neutral,
/// `l` slow, each one millisecond after the other. The answer says which letter tripped, and why.
fn trips_at(story: &str, limits: &BreakerLimits) -> Option<(usize, &'static str)> {
    let mut breaker = Breaker::default();
    for (at, letter) in story.chars().enumerate() {
        let (signal, slow) = match letter {
            's' => (Signal::Success, false),
            'f' => (Signal::Failure, false),
            't' => (Signal::Throttled, false),
            'a' => (Signal::Alive, false),
            'n' => (Signal::Neutral, false),
            'l' => (Signal::Success, true),
            other => panic!("{other}"),
        };
        let now = Timestamp::from_millis(START + at as u64);
        let report = Report {
            signal,
            slow,
            generation: breaker.generation(),
            trial: false,
            source: Source::default(),
            ..Report::default()
        };
        if let Some(transition) = breaker.record(report, now, limits) {
            let rule = match transition.rule {
                Rule::ConsecutiveFailures { .. } => "run",
                Rule::FailureRate { .. } => "failures",
                Rule::SlowRate { .. } => "slow",
                Rule::InFlight { .. }
                | Rule::Unheard { .. }
                | Rule::TrialFailed
                | Rule::TrialThrottled
                | Rule::Forced
                | Rule::WaitOver
                | Rule::TrialsPassed { .. } => "other",
            };
            return Some((at + 1, rule));
        }
    }
    None
}

#[test]
fn a_rule_trips_at_its_limit_and_not_before() {
    let limits =
        BreakerLimits { consecutive_failures: 5, min_calls: 10, slow_rate_pct: 80, ..LIMITS };
    let check = |story: &str, expected: Option<(usize, &str)>| {
        assert_eq!(trips_at(story, &limits), expected, "{story}");
    };
    check("ffff", None);
    check("fffff", Some((5, "run")));
    check("ffffsffff", None);
    check("ffffaffff", None);
    check("ffffafffff", Some((10, "run")));
    check("ffffnf", Some((6, "run")));
    check("fffftf", Some((6, "run")));
    check("ttttttttt", None);
    check("tttttttttt", Some((10, "failures")));
    check("fsfsfsfsfs", Some((10, "failures")));
    check("fsfsfsfsss", None);
    check("fsfsfsfssstf", Some((12, "failures")));
    check("lllllllsll", Some((10, "slow")));
    check("llllllsssl", None);
    check("llllllssll", Some((10, "slow")));
    check(&"a".repeat(100), None);
    check(&"n".repeat(100), None);
}

/// The rule after this one, of all there are. Whoever adds one is told here by the compiler: it
/// goes between two others.
fn next(rule: Rule) -> Option<Rule> {
    let seen = Tally { calls: 9, failures: 4, slow: 2 };
    Some(match rule {
        Rule::ConsecutiveFailures { .. } => Rule::FailureRate { seen },
        Rule::FailureRate { .. } => Rule::SlowRate { seen },
        Rule::SlowRate { .. } => Rule::InFlight { requests: 70_000 },
        Rule::InFlight { .. } => Rule::Unheard { requests: 3 },
        Rule::Unheard { .. } => Rule::TrialFailed,
        Rule::TrialFailed => Rule::TrialThrottled,
        Rule::TrialThrottled => Rule::WaitOver,
        Rule::WaitOver => Rule::Forced,
        Rule::Forced => Rule::TrialsPassed { passed: 5 },
        Rule::TrialsPassed { .. } => return None,
    })
}

/// A rule that is written and not read would make the whole of the shared health unreadable.
#[test]
fn every_rule_is_read_back_and_stands_among_the_moves() {
    let first = Rule::ConsecutiveFailures { run: 5 };
    let rules: Vec<Rule> = std::iter::successors(Some(first), |rule| next(*rule)).collect();
    for rule in &rules {
        let mut bytes = Vec::new();
        Rule::encode(Some(*rule), &mut bytes);
        assert_eq!(Rule::decode(&mut Reader(&bytes)), Some(Some(*rule)));
        assert!(!rule.sentence(&LIMITS).is_empty());
    }
    let names: Vec<&str> = rules.iter().map(Rule::name).collect();
    assert_eq!(names, Rule::MOVES.map(|(_, name)| name));
}

#[test]
fn a_transition_names_the_rule_and_the_numbers() {
    let mut breaker = Breaker::default();
    let now = Timestamp::from_millis(START);
    let mut told = Vec::new();
    for signal in [Signal::Failure, Signal::Success, Signal::Success, Signal::Throttled] {
        let report = Report {
            signal,
            slow: false,
            generation: 0,
            trial: false,
            source: Source::default(),
            ..Report::default()
        };
        told.extend(breaker.record(report, now, &LIMITS));
    }
    let seen = Tally { calls: 4, failures: 2, slow: 0 };
    let until = now.plus(LIMITS.open);
    let transition = Transition {
        to: BreakerState::Open { until },
        rule: Rule::FailureRate { seen },
        generation: 1,
    };
    assert_eq!(told, [transition]);
    let half = breaker.take_permit(until, &LIMITS).unwrap();
    assert_eq!((half.rule, half.generation), (Rule::WaitOver, 2));
    let pass = Report {
        signal: Signal::Alive,
        slow: false,
        generation: 2,
        trial: true,
        source: Source::default(),
        ..Report::default()
    };
    assert_eq!(breaker.record(pass, until, &LIMITS), None);
    assert_eq!(breaker.take_permit(until, &LIMITS), None);
    let closed = breaker.record(pass, until, &LIMITS).unwrap();
    assert_eq!((closed.rule, closed.generation), (Rule::TrialsPassed { passed: 2 }, 3));
    assert!(breaker.is_closed() && !breaker.has_run(true));
}

#[test]
fn an_idle_window_arms_the_minimum_anew() {
    let mut breaker = Breaker::default();
    let mut record = |at: u64, signal: Signal| {
        let report = Report {
            signal,
            slow: false,
            generation: 0,
            trial: false,
            source: Source::default(),
            ..Report::default()
        };
        breaker.record(report, Timestamp::from_millis(START + at), &LIMITS)
    };
    for at in 0..3 {
        assert_eq!(record(at, Signal::Throttled), None);
    }
    // The three have left the window: these make three again, and not six.
    for at in 0..3 {
        assert_eq!(record(3000 + at, Signal::Throttled), None, "{at}");
    }
    assert!(record(3004, Signal::Throttled).is_some());
}

/// Trips, waits, and passes all trials or fails the first: the waits of one trip after the other.
fn waits(healthy: &[u64]) -> Vec<u64> {
    let mut breaker = Breaker::default();
    let mut now = START;
    let mut waits = Vec::new();
    for healthy in healthy {
        now += healthy;
        for _ in 0..LIMITS.consecutive_failures {
            let generation = breaker.generation();
            let report = Report {
                signal: Signal::Failure,
                slow: false,
                generation,
                trial: false,
                source: Source::default(),
                ..Report::default()
            };
            breaker.record(report, Timestamp::from_millis(now), &LIMITS);
        }
        let BreakerState::Open { until } = breaker.state() else { panic!("did not trip") };
        waits.push(until.as_millis() - now);
        now = until.as_millis();
        for _ in 0..LIMITS.half_open_permits {
            let at = Timestamp::from_millis(now);
            assert!(breaker.may_try(at, &LIMITS));
            breaker.take_permit(at, &LIMITS);
            let generation = breaker.generation();
            let report = Report {
                signal: Signal::Success,
                slow: false,
                generation,
                trial: true,
                source: Source::default(),
                ..Report::default()
            };
            breaker.record(report, at, &LIMITS);
        }
        assert!(breaker.is_closed());
    }
    waits
}

#[test]
fn waits_grow_with_each_trip_and_are_forgotten_step_by_step() {
    assert_eq!(waits(&[0, 0, 0, 0, 0]), [1000, 2000, 4000, 4000, 4000]);
    // One trip is forgotten for each longest wait that went well.
    assert_eq!(waits(&[0, 0, 3999, 0]), [1000, 2000, 4000, 4000]);
    assert_eq!(waits(&[0, 0, 4000]), [1000, 2000, 2000]);
    assert_eq!(waits(&[0, 0, 0, 8000]), [1000, 2000, 4000, 2000]);
    assert_eq!(waits(&[0, 0, 0, 4_000_000]), [1000, 2000, 4000, 1000]);
}

#[test]
fn permits_that_nobody_brings_back_come_back_in_time() {
    let mut breaker = Breaker::default();
    let at = |millis: u64| Timestamp::from_millis(START + millis);
    for _ in 0..3 {
        let report = Report {
            signal: Signal::Failure,
            slow: false,
            generation: 0,
            trial: false,
            source: Source::default(),
            ..Report::default()
        };
        breaker.record(report, at(0), &LIMITS);
    }
    assert!(!breaker.may_try(at(999), &LIMITS), "the wait");
    assert!(breaker.may_try(at(1000), &LIMITS));
    breaker.take_permit(at(1000), &LIMITS);
    assert!(breaker.may_try(at(1000), &LIMITS));
    breaker.take_permit(at(1200), &LIMITS);
    assert!(!breaker.may_try(at(1200), &LIMITS), "both are out");
    assert!(!breaker.may_try(at(3699), &LIMITS), "since the last one was taken");
    assert!(breaker.may_try(at(3700), &LIMITS));
    breaker.take_permit(at(3700), &LIMITS);
    assert_eq!(
        breaker.state(),
        BreakerState::HalfOpen { out: 1, passed: 0, failed: 0, since: at(3700) }
    );
    // One that was returned may be taken at once; one of an earlier generation is nobody's.
    breaker.take_permit(at(3701), &LIMITS);
    breaker.return_permit(breaker.generation() - 1);
    assert!(!breaker.may_try(at(3701), &LIMITS));
    breaker.return_permit(breaker.generation());
    assert!(breaker.may_try(at(3701), &LIMITS));
}
