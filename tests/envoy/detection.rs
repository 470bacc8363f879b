//! How soon a failing primary is left, and what payments meet until then: in numbers, as a table
//! (`make detection`).
//!
//! A breaker that opens is shared by all workers at once, so what is asserted is exact wherever
//! payments come one by one. Under load those that are under way when it opens come on top, at most
//! one for each connection.

mod crowds;
mod load;
mod outage;

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::json;

use crate::support::envoy::{Envoy, rendered, with};
use crate::support::operator::status;
use crate::support::sandbox::Sandbox;
use crate::support::{now, pause, until};
use crowds::{Impatience, both_are_mostly_well, impatient, one_bad_partner, throttled};
use load::{Pace, Payment};
use outage::{Outage, Row, Strike, is_opened_by, measure, rule, setting, tell};

/// By default.
const FAILURES: usize = 5;
const MIN_CALLS: usize = 10;
const RATE_PCT: usize = 50;

/// As the metrics name it.
const IN_A_ROW: &str = "consecutive_failures";

/// A hundred payments a second.
const BRISK: Pace = Pace { connections: 4, each: Duration::from_millis(40) };
/// Fifty a second, and connections enough for each to wait a second for its answer.
const PATIENT: Pace = Pace { connections: 60, each: Duration::from_millis(1200) };

fn under_load(what: &'static str, strike: Strike, pace: Pace) -> Row {
    measure(&Outage { what, strike, pace, changes: json!({}), rule: IN_A_ROW })
}

fn fault(fault: &str) -> Strike {
    Strike::Fault(json!({"fault": fault}))
}

fn code(code: &str) -> Strike {
    Strike::Fault(json!({"fault": "code", "code": code}))
}

/// Those under way when the breaker opens come on top of those that opened it.
fn assert_met(row: &Row, pace: Pace) {
    let most = FAILURES + pace.connections as usize - 1;
    assert!((FAILURES..=most).contains(&row.met), "{FAILURES} to {most} meet it: {row:?}");
    assert_eq!(row.charged_twice, 0, "{row:?}");
}

fn assert_within(row: &Row, limit: Duration) {
    assert!(row.to_switch <= limit, "not within {limit:?}: {row:?}");
}

#[test]
fn a_failing_primary_is_left_in_time() {
    println!("\n{}", Row::HEAD);
    let soon = Duration::from_secs(1);
    let show = |row: Row| {
        println!("{}", row.text());
        row
    };

    // What cannot be connected to costs no payment: each moves on within its own request.
    for (what, strike, pace, limit) in [
        ("is not there", Strike::Down, BRISK, soon),
        ("is silent to connections, for 1 s", Strike::Silent, PATIENT, 2 * soon),
    ] {
        // The cluster gives up a connection after a second, long before the payment's own time is
        // over.
        let changes = json!({"timeouts": {"response_ms": 5000}, "idempotency": {"lease_ms": 8000}});
        let row = show(measure(&Outage { what, strike, pace, changes, rule: IN_A_ROW }));
        assert_eq!((row.failed, row.unknown), (0, 0), "{row:?}");
        assert_eq!(row.moved, row.met, "{row:?}");
        assert_met(&row, pace);
        assert_within(&row, limit);
    }
    // Where it dies under load, what it had in its hands is unknown, and nothing more.
    let row = show(under_load("dies: cuts and refuses connections", fault("refuse"), BRISK));
    assert_eq!(row.failed, 0, "{row:?}");
    assert!(row.unknown <= BRISK.connections as usize && row.moved > 0, "{row:?}");
    assert_within(&row, soon);

    // A definite NO is told as it is.
    let row = show(under_load("500, under load", code("5005400"), BRISK));
    assert_eq!((row.failed, row.unknown, row.moved), (row.met, 0, 0), "{row:?}");
    assert_met(&row, BRISK);
    assert_within(&row, soon);
    for limit in [1, 3, 5, 8] {
        show(in_a_row(limit));
    }
    for case in RATES {
        show(by_rate(case));
    }

    // What may have been executed is unknown and stays where it is.
    for (what, strike, pace, limit) in [
        ("resets after reading", fault("reset"), BRISK, soon),
        ("504", code("504xx00"), BRISK, soon),
        ("hangs, response_ms 1000", fault("hang"), PATIENT, 2 * soon),
    ] {
        let row = show(under_load(what, strike, pace));
        assert_eq!((row.failed, row.unknown, row.moved), (0, row.met, 0), "{row:?}");
        assert_met(&row, pace);
        assert_within(&row, limit);
    }

    let row = show(brown_out());
    assert_eq!((row.failed, row.unknown, row.moved, row.charged_twice), (0, 0, 0, 0), "{row:?}");
    assert!(row.met > 0, "{row:?}");
    assert_within(&row, Duration::from_millis(WINDOW_MS + TICK_MS));
}

/// Who gives up early, asks for less or fails alone.
#[test]
fn trouble_that_is_not_all_the_gateways_is_told_apart() {
    println!("\n{}", Row::HEAD);
    for (case, limit) in [
        (
            Impatience {
                what: "hangs, clients leave after 700 ms",
                patience: Duration::from_millis(700),
                heartbeats_hang: false,
            },
            Duration::from_secs(3),
        ),
        (
            Impatience {
                what: "hangs, clients leave after 200 ms",
                patience: Duration::from_millis(200),
                heartbeats_hang: true,
            },
            Duration::from_secs(5),
        ),
    ] {
        let row = impatient(case);
        println!("{}", row.text());
        assert!(is_unheard(&row), "{row:?}");
        assert_eq!(row.charged_twice, 0, "{row:?}");
        assert_within(&row, limit);
    }
    let (row, after, lasted) = throttled(BRISK);
    println!("{}\n  {after} more in the {} s after that", row.text(), lasted.as_secs());
    assert_eq!(row.charged_twice, 0, "{row:?}");
    // A round of trials for each wait, of at most as many payments as there are permits.
    let rounds = usize::try_from(lasted.as_secs()).unwrap() + 1;
    assert!(after <= 3 * rounds, "{after} payments in {rounds} rounds of trials");

    let beside = one_bad_partner();
    println!(
        "one partner's {} payments fail at both gateways: {} of {} of others refused, {} breakers opened",
        beside.bad, beside.refused, beside.others, beside.opened
    );
    assert_eq!((beside.refused, beside.opened, beside.charged_twice), (0, 0, 0));
    assert!(beside.others >= 20 && beside.bad >= 300, "{} and {}", beside.others, beside.bad);
}

fn is_unheard(row: &Row) -> bool {
    row.rule.contains("nothing was heard of")
}

/// How long both gateways are mostly well: `BROWN_OUT_SECONDS`, or a few seconds.
#[expect(
    clippy::disallowed_methods,
    reason = "how a test is asked for more than it does by itself"
)]
fn brown_out_lasts() -> Duration {
    let asked = std::env::var("BROWN_OUT_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(asked.unwrap_or(10))
}

#[test]
fn two_gateways_that_are_mostly_well_refuse_hardly_anything() {
    let lasts = brown_out_lasts();
    let (payments, refused, twice) = both_are_mostly_well(lasts);
    println!("both gateways 90 % well for {} s: {refused} of {payments} refused", lasts.as_secs());
    assert_eq!(twice, 0);
    assert!(refused * 100 < payments, "{refused} of {payments} refused");
    let enough = usize::try_from(lasts.as_secs()).unwrap() * 100;
    assert!(payments >= enough, "only {payments} payments in {lasts:?}");
}

const WINDOW_MS: u64 = 2000;
/// A quarter of the heartbeats' interval.
const TICK_MS: u64 = 100;

/// Answers are right and late. Successes reach the window with the tick, so one comes on top.
fn brown_out() -> Row {
    let breaker = json!({"slow_ms": 200, "window_ms": WINDOW_MS});
    measure(&Outage {
        what: "300 ms; slow_ms 200, window_ms 2000",
        strike: Strike::Fault(json!({"fault": "slow", "delay_ms": 300})),
        pace: PATIENT,
        changes: json!({"breaker": breaker}),
        rule: "slow_rate",
    })
}

/// One payment after the other, by turns over a connection to each worker. Failures that each
/// worker counted for itself would open nothing before there are twice as many.
fn in_a_row(limit: usize) -> Row {
    let sandbox = Sandbox::start();
    let changes = json!({"breaker": {"consecutive_failures": limit}});
    let envoy = Envoy::start(&rendered(&sandbox, &with(setting(), &changes)));
    sandbox.fault("primary", &json!({"fault": "code", "code": "5005400"}));
    let what = format!("500, consecutive_failures {limit}");
    let row = one_by_one(&what, &(limit..=limit), &envoy, &sandbox);
    assert_eq!((row.failed, row.met, row.charged_twice), (limit, limit, 0), "{row:?}");
    row
}

/// Pays until the breaker has opened, at one of the calls in `when`, and once more on each worker.
fn one_by_one(what: &str, when: &RangeInclusive<usize>, envoy: &Envoy, sandbox: &Sandbox) -> Row {
    let lines = envoy.lines();
    let (mut payments, mut opened) = (Vec::new(), None);
    for number in 1..=when.end() + lines.len() {
        let line = &lines[number % lines.len()];
        let payment = Payment::make(line, &envoy.listener, format!("ONE-{number}"));
        if opened.is_none() && rule(envoy).is_some() {
            opened = Some((number, now()));
        }
        if opened.is_some_and(|(at, _)| at < number) {
            let (status, by) = (payment.seen.status, payment.seen.header("x-dana-gateway"));
            assert_eq!((status, by), (200, Some("secondary")), "{number}: {:?}", payment.seen);
        }
        payments.push(payment);
        if number == 1 {
            // No rate trips before its window is two ticks old. It begins when the first call is shared: a
            // success is with a tick, which may be late.
            until("its window has begun", Duration::from_secs(5), || {
                let window = &status(envoy)["gateways"][0]["breaker"]["window"];
                (rule(envoy).is_some() || window["calls"].as_u64() > Some(0)).then_some(())
            });
            pause(Duration::from_millis(2 * TICK_MS + 50));
        }
    }
    let (at, opened) = opened.unwrap_or_else(|| panic!("{what}: not left at {when:?}"));
    assert!(when.contains(&at), "{what}: left at the {at}th payment, not at {when:?}");
    tell(what, payments, opened, envoy, sandbox)
}

/// Successes (`.`) and failures (`x`) of the primary, one after the other.
#[derive(Clone, Copy)]
struct Rate {
    pct: usize,
    calls: &'static str,
}

/// A success that ends a run of failures is shared at once, as failures are. So where no two
/// successes come together the window holds each call, and the call that opens the breaker is known
/// exactly: the first one with which the calls are enough and the failures reach the rate.
///
/// Another success is counted by its worker and shared with its next tick. So in the last of these
/// it depends on how many of those at the beginning are shared by then, and that is any number.
const RATES: [Rate; 4] = [
    Rate { pct: RATE_PCT, calls: "x.xx.x.xx." },
    Rate { pct: RATE_PCT, calls: "x.x.x.x.x." },
    Rate { pct: 60, calls: "x.x.x.x.x.xx.xx" },
    Rate { pct: RATE_PCT, calls: "......xx.xx.xx.xx.xx" },
];

impl Rate {
    /// The call that opens the breaker, if of the successes at the beginning so many are shared.
    fn opens_at(self, shared: usize) -> usize {
        let led = self.calls.find('x').unwrap();
        let (mut calls, mut failures) = (shared, 0);
        let opens = |(_, call): &(usize, char)| {
            calls += 1;
            failures += usize::from(*call == 'x');
            calls >= MIN_CALLS && failures * 100 >= self.pct * calls
        };
        (1..).zip(self.calls.chars()).skip(led).find(opens).unwrap().0
    }

    fn opens_within(self) -> RangeInclusive<usize> {
        let led = self.calls.find('x').unwrap();
        let ends = (0..=led).map(|shared| self.opens_at(shared));
        let (first, last) = (ends.clone().min().unwrap(), ends.max().unwrap());
        assert_eq!(last, self.calls.len(), "the last one opens it, at the latest");
        first..=last
    }
}

fn by_rate(rate: Rate) -> Row {
    let when = rate.opens_within();
    let sandbox = Sandbox::start();
    let changes = json!({"breaker": {"failure_rate_pct": rate.pct}});
    let envoy = Envoy::start(&rendered(&sandbox, &with(setting(), &changes)));
    for (number, _) in (1..).zip(rate.calls.chars()).filter(|(_, call): &(usize, _)| *call == 'x') {
        let reference = format!("ONE-{number}");
        let fault = json!({"fault": "code", "code": "5005400", "reference": reference});
        sandbox.fault("primary", &fault);
    }
    let what = format!("500 and 200: {}", rate.calls);
    let row = one_by_one(&what, &when, &envoy, &sandbox);
    assert_eq!((row.failed, row.unknown, row.charged_twice), (row.met, 0, 0), "{row:?}");
    assert!(is_opened_by(&envoy, "failure_rate"), "{row:?}");
    row
}
