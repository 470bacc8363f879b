//! The breaker against a naive account of the same rules, over every short story and over random
//! long ones.
//!
//! The account keeps the whole log of calls since the last transition and works everything out
//! from it each time. It shares no code with the breaker, not even the window.

use super::*;
use crate::engine::sources::{Seen, Source};
use crate::engine::tally::Batch;
use proptest::prelude::*;

/// Small numbers, so that short stories reach every rule. Without jitter, so that times are exact.
const LIMITS: Limits = Limits {
    consecutive_failures: 3,
    window: Millis::new(3000),
    min_calls: 4,
    failure_rate_pct: 50,
    slow: Millis::new(1),
    slow_rate_pct: 75,
    in_flight_max: 8,
    partner_failures_pct: 50,
    open: Millis::new(1000),
    open_max: Millis::new(4000),
    open_jitter_pct: 0,
    half_open_permits: 2,
    half_open_max: Millis::new(2500),
};

const START: u64 = 1_800_000_000_000;

/// One thing that happens in a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// A call ends, under the generation in which it began.
    Call(Signal),
    /// A successful call ends that took too long.
    Slow,
    /// So many milliseconds pass.
    Pass(u64),
    /// Whoever may take a permit takes one.
    Take,
    /// The trial that was begun last ends.
    Trial(Signal),
    /// It ends well but slowly.
    SlowTrial,
    /// It was never made.
    Return,
    /// A call of an earlier generation ends.
    Late(Signal),
    /// A worker brings two successes that it had counted for itself.
    Merge,
}

/// What the log of the naive account holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Good,
    Slow,
    Bad,
    /// Counts to the rate, not to the run.
    Throttled,
    PermitTaken,
    PermitBack,
    Passed,
    /// An answer that proves the gateway alive and counts to no rate.
    Alive,
    /// All permits that are out are given up for lost.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    Open,
    HalfOpen,
}

/// The naive account.
#[derive(Clone, Debug)]
struct Account {
    phase: Phase,
    since: u64,
    wait: u64,
    trips: u32,
    transitions: u32,
    log: Vec<(u64, Entry)>,
}

impl Account {
    fn new() -> Self {
        Self { phase: Phase::Closed, since: 0, wait: 0, trips: 0, transitions: 0, log: Vec::new() }
    }

    fn enter(&mut self, phase: Phase, now: u64) {
        if phase == Phase::Open {
            if self.phase == Phase::Closed {
                let well = (now - self.since) / LIMITS.open_max.get();
                self.trips = self.trips.saturating_sub(u32::try_from(well).unwrap_or(u32::MAX));
            }
            self.trips += 1;
            self.wait = (0..self.trips.min(10)).skip(1).fold(LIMITS.open.get(), |wait, _| wait * 2);
            self.wait = self.wait.min(LIMITS.open_max.get());
        }
        self.phase = phase;
        self.since = now;
        self.transitions += 1;
        self.log.clear();
    }

    /// Failures since the last success.
    fn run(&self) -> usize {
        let calls = self.log.iter().rev().map(|(_, entry)| *entry);
        calls
            .take_while(|entry| !matches!(entry, Entry::Good | Entry::Slow | Entry::Alive))
            .filter(|entry| *entry == Entry::Bad)
            .count()
    }

    /// Calls in the window that are of one of these kinds, in percent of all, if they are enough.
    fn percent(&self, kinds: &[Entry], now: u64) -> Option<u64> {
        // The window slides by tenths.
        let tenth = LIMITS.window.get() / 10;
        let calls = self.log.iter().filter(|(_, entry)| *entry != Entry::Alive);
        let seen = calls.filter(|(at, _)| now / tenth - at / tenth < 10);
        let all = seen.clone().count() as u64;
        let some = seen.filter(|(_, entry)| kinds.contains(entry)).count() as u64;
        (all >= u64::from(LIMITS.min_calls)).then(|| some * 100 / all)
    }

    fn call(&mut self, entry: Entry, now: u64) {
        self.log.push((now, entry));
        self.check(now);
    }

    fn check(&mut self, now: u64) {
        let bad = self.percent(&[Entry::Bad, Entry::Throttled], now);
        let slow = self.percent(&[Entry::Slow], now);
        if self.run() >= usize::from(LIMITS.consecutive_failures)
            || bad.is_some_and(|bad| bad >= u64::from(LIMITS.failure_rate_pct))
            || slow.is_some_and(|slow| slow >= u64::from(LIMITS.slow_rate_pct))
        {
            self.enter(Phase::Open, now);
        }
    }

    fn count(&self, wanted: Entry) -> usize {
        self.log.iter().filter(|(_, entry)| *entry == wanted).count()
    }

    /// Permits that are out. One that comes back after it was given up is nobody's.
    fn out(&self) -> usize {
        self.log.iter().fold(0usize, |out, (_, entry)| match entry {
            Entry::PermitTaken => out + 1,
            Entry::PermitBack => out.saturating_sub(1),
            Entry::Lost => 0,
            Entry::Good
            | Entry::Slow
            | Entry::Bad
            | Entry::Throttled
            | Entry::Passed
            | Entry::Alive => out,
        })
    }

    fn may_try(&self, now: u64) -> bool {
        let taken = self.log.iter().rev().find(|(_, entry)| *entry == Entry::PermitTaken);
        match self.phase {
            Phase::Closed => false,
            Phase::Open => now >= self.since + self.wait,
            Phase::HalfOpen => {
                self.out() + self.count(Entry::Passed) < usize::from(LIMITS.half_open_permits)
                    || taken.is_some_and(|(at, _)| now >= at + LIMITS.half_open_max.get())
            }
        }
    }

    fn take(&mut self, now: u64) {
        if self.phase == Phase::Open {
            self.enter(Phase::HalfOpen, now);
        } else if self.out() + self.count(Entry::Passed) >= usize::from(LIMITS.half_open_permits) {
            self.log.push((now, Entry::Lost));
        }
        self.log.push((now, Entry::PermitTaken));
    }

    /// A call or a trial of the present generation ended.
    fn end(&mut self, signal: Signal, slow: bool, trial: bool, now: u64) {
        if self.phase == Phase::Closed {
            match signal {
                Signal::Success if slow => self.call(Entry::Slow, now),
                Signal::Success => self.call(Entry::Good, now),
                Signal::Failure => self.call(Entry::Bad, now),
                Signal::Throttled => self.call(Entry::Throttled, now),
                Signal::Alive => self.log.push((now, Entry::Alive)),
                Signal::Neutral => {}
            }
        }
        if self.phase == Phase::HalfOpen {
            if signal == Signal::Failure || (trial && slow) {
                return self.enter(Phase::Open, now);
            }
            if trial {
                self.log.push((now, Entry::PermitBack));
            }
            if trial && matches!(signal, Signal::Success | Signal::Alive) {
                self.log.push((now, Entry::Passed));
                if self.count(Entry::Passed) >= usize::from(LIMITS.half_open_permits) {
                    self.enter(Phase::Closed, now);
                }
            }
        }
    }
}

/// Both side by side.
#[derive(Clone, Debug)]
struct Pair {
    breaker: Breaker,
    account: Account,
    now: u64,
    /// Generations of the trials under way.
    trials: Vec<u32>,
}

impl Pair {
    fn new() -> Self {
        let (breaker, account) = (Breaker::default(), Account::new());
        Self { breaker, account, now: START, trials: Vec::new() }
    }

    fn report(&mut self, signal: Signal, slow: bool, generation: u32, trial: bool) {
        let now = Timestamp::from_millis(self.now);
        let current = generation == self.breaker.generation();
        let before = self.breaker.clone();
        let report = Report { signal, slow, generation, trial, source: Source::default() };
        let transition = self.breaker.record(report, now, &LIMITS);
        assert!(current || self.breaker == before, "an older generation moves nothing");
        if let Some(transition) = transition {
            assert_eq!(transition.to, self.breaker.state());
            assert_eq!(transition.generation, self.breaker.generation());
        }
        if current {
            self.account.end(signal, slow, trial, self.now);
        }
    }

    fn act(&mut self, act: Act) {
        let now = Timestamp::from_millis(self.now);
        let generation = self.breaker.generation();
        match act {
            Act::Call(signal) => self.report(signal, false, generation, false),
            Act::Slow => self.report(Signal::Success, true, generation, false),
            Act::Late(signal) => self.report(signal, false, generation.wrapping_sub(1), false),
            Act::Pass(millis) => self.now += millis,
            Act::Take => {
                let may = self.breaker.may_try(now, &LIMITS);
                assert_eq!(may, self.account.may_try(self.now), "may a trial be made?");
                if may {
                    self.breaker.take_permit(now, &LIMITS);
                    self.account.take(self.now);
                    self.trials.push(self.breaker.generation());
                }
            }
            Act::Trial(signal) => {
                if let Some(generation) = self.trials.pop() {
                    self.report(signal, false, generation, true);
                }
            }
            Act::SlowTrial => {
                if let Some(generation) = self.trials.pop() {
                    self.report(Signal::Success, true, generation, true);
                }
            }
            Act::Return => {
                if let Some(generation) = self.trials.pop() {
                    if generation == self.breaker.generation() {
                        self.account.log.push((self.now, Entry::PermitBack));
                    }
                    self.breaker.return_permit(generation);
                }
            }
            Act::Merge => {
                let tally = Tally { calls: 2, failures: 0, slow: 0 };
                self.breaker.merge(&batch(tally, true), now, &LIMITS);
                if self.account.phase == Phase::Closed {
                    // They end no run of failures: who counted them saw none.
                    self.account.log.splice(0..0, [(self.now, Entry::Good); 2]);
                    self.account.check(self.now);
                }
            }
        }
        self.compare();
    }

    fn compare(&self) {
        let account = &self.account;
        assert_eq!(self.breaker.generation(), account.transitions);
        let phase = match self.breaker.state() {
            State::Closed { run } => {
                assert_eq!(usize::from(run), account.run(), "failures since the last success");
                Phase::Closed
            }
            State::Open { until } => {
                assert_eq!(until.as_millis(), account.since + account.wait, "the wait");
                Phase::Open
            }
            State::HalfOpen { out, passed, .. } => {
                assert_eq!(usize::from(out), account.out(), "permits that are out");
                assert_eq!(usize::from(passed), account.count(Entry::Passed));
                assert!(out + passed <= LIMITS.half_open_permits, "never more than there are");
                Phase::HalfOpen
            }
        };
        assert_eq!(phase, account.phase);
    }
}

/// Every story of at most this many acts, as a tree: a story and its beginning are one walk.
fn walk(pair: &Pair, story: &mut Vec<Act>, left: usize, acts: &[Act], told: &mut u64) {
    if left == 0 {
        return;
    }
    for act in acts {
        story.push(*act);
        let mut next = pair.clone();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| next.act(*act)));
        assert!(outcome.is_ok(), "{story:?}");
        *told += 1;
        walk(&next, story, left - 1, acts, told);
        story.pop();
    }
}

fn walk_all(length: usize, acts: &[Act]) {
    let mut told = 0;
    walk(&Pair::new(), &mut Vec::new(), length, acts, &mut told);
    let all: u64 = std::iter::successors(Some(1), |all| Some(all * acts.len() as u64))
        .skip(1)
        .take(length)
        .sum();
    assert_eq!(told, all);
}

#[test]
fn every_story_of_seven_acts_goes_as_told() {
    // The wait of a first trip; a second one waits longer.
    walk_all(
        7,
        &[
            Act::Call(Signal::Success),
            Act::Call(Signal::Failure),
            Act::Call(Signal::Throttled),
            Act::Pass(1000),
            Act::Take,
            Act::Trial(Signal::Alive),
        ],
    );
}

#[test]
fn every_story_of_trials_goes_as_told() {
    let mut tripped = Pair::new();
    for _ in 0..3 {
        tripped.act(Act::Call(Signal::Failure));
    }
    tripped.act(Act::Pass(1000));
    let acts = [
        Act::Take,
        Act::Trial(Signal::Success),
        Act::Trial(Signal::Failure),
        Act::Return,
        Act::Pass(2500),
        Act::Call(Signal::Failure),
    ];
    walk(&tripped, &mut Vec::new(), 6, &acts, &mut 0);
}

fn any_signal() -> impl Strategy<Value = Signal> {
    prop_oneof![
        3 => Just(Signal::Success),
        3 => Just(Signal::Failure),
        1 => Just(Signal::Throttled),
        1 => Just(Signal::Alive),
        1 => Just(Signal::Neutral),
    ]
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => any_signal().prop_map(Act::Call),
        2 => Just(Act::Slow),
        2 => prop_oneof![Just(1), Just(299), Just(1000), Just(4000), 0u64..40_000].prop_map(Act::Pass),
        3 => Just(Act::Take),
        3 => any_signal().prop_map(Act::Trial),
        1 => Just(Act::SlowTrial),
        1 => Just(Act::Return),
        1 => any_signal().prop_map(Act::Late),
        1 => Just(Act::Merge),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn long_stories_go_as_told(acts in proptest::collection::vec(any_act(), 1..120)) {
        let mut pair = Pair::new();
        for act in acts {
            pair.act(act);
        }
    }

    #[test]
    fn a_clock_that_steps_back_wedges_nothing(
        acts in proptest::collection::vec((any_act(), 0u64..200_000, any::<bool>()), 1..60),
    ) {
        let mut breaker = Breaker::default();
        let mut now = START;
        for (act, step, back) in acts {
            now = if back { now - step } else { now + step };
            let at = Timestamp::from_millis(now);
            let generation = breaker.generation();
            if let Act::Call(signal) = act {
                let report = Report { signal, slow: false, generation, trial: false, source: Source::default() };
                breaker.record(report, at, &LIMITS);
            } else if breaker.may_try(at, &LIMITS) {
                breaker.take_permit(at, &LIMITS);
            }
            prop_assert!(breaker.generation() >= generation);
        }
        // Whatever happened, traffic or a trial is possible now or before two longest waits.
        let soon = [0, 2 * LIMITS.open_max.get()].map(|wait| Timestamp::from_millis(now + wait));
        let may_try = soon.iter().any(|at| breaker.may_try(*at, &LIMITS));
        prop_assert!(breaker.is_closed() || may_try, "{:?} at {}", breaker, now);
    }

    #[test]
    fn a_wait_doubles_to_the_longest_with_a_bounded_addition(
        trips in 1u8..=255, jitter in 0u64..=100, open in 1u64..100_000, pct in 0u32..=100,
    ) {
        let limits = Limits {
            open: Millis::new(open),
            open_max: Millis::new(open * 30),
            open_jitter_pct: pct,
            ..LIMITS
        };
        let doubled = u128::from(open) << trips.saturating_sub(1).min(60);
        let base = u64::try_from(doubled.min(u128::from(open * 30))).unwrap();
        let wait = limits.wait(trips, jitter).get();
        let most = base + base * u64::from(pct) / 100;
        prop_assert!((base..=most).contains(&wait), "{base} <= {wait} <= {most}");
        let may_end = wait <= limits.longest_wait().get();
        prop_assert!(may_end, "a wait must not be taken for one that the clock has broken");
    }

    #[test]
    fn jitter_is_a_percentage_and_scatters(generation: u32, now: u64) {
        let at = |now| jitter(generation, Timestamp::from_millis(now));
        prop_assert!(at(now) <= 100);
        let several: Vec<u64> = (0..20).map(|step| at(now.wrapping_add(step))).collect();
        prop_assert!(several.iter().any(|one| *one != several[0]));
    }

    #[test]
    fn stored_and_read_again_it_is_the_same(
        acts in proptest::collection::vec(any_act(), 1..60), cut in 0usize..100,
    ) {
        let mut pair = Pair::new();
        for act in acts {
            pair.act(act);
        }
        let mut bytes = Vec::new();
        pair.breaker.encode(&mut bytes);
        prop_assert_eq!(Breaker::decode(&mut Reader(&bytes)), Some(pair.breaker));
        prop_assert_eq!(Breaker::decode(&mut Reader(&bytes[..cut.min(bytes.len() - 1)])), None);
    }
}

/// What a story of letters does: `s` success, `f` failure, `t` throttled, `a` alive, `n` neutral,
/// `l` slow, each one millisecond after the other. The answer says which letter tripped, and why.
fn trips_at(story: &str, limits: &Limits) -> Option<(usize, &'static str)> {
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
        };
        if let Some(transition) = breaker.record(report, now, limits) {
            let rule = match transition.rule {
                Rule::ConsecutiveFailures { .. } => "run",
                Rule::FailureRate { .. } => "failures",
                Rule::SlowRate { .. } => "slow",
                Rule::InFlight { .. }
                | Rule::TrialFailed
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
    let limits = Limits { consecutive_failures: 5, min_calls: 10, slow_rate_pct: 80, ..LIMITS };
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

#[test]
fn a_transition_names_the_rule_and_the_numbers() {
    let mut breaker = Breaker::default();
    let now = Timestamp::from_millis(START);
    let mut told = Vec::new();
    for signal in [Signal::Failure, Signal::Success, Signal::Success, Signal::Throttled] {
        let report =
            Report { signal, slow: false, generation: 0, trial: false, source: Source::default() };
        told.extend(breaker.record(report, now, &LIMITS));
    }
    let seen = Tally { calls: 4, failures: 2, slow: 0 };
    let until = now.plus(LIMITS.open);
    let transition =
        Transition { to: State::Open { until }, rule: Rule::FailureRate { seen }, generation: 1 };
    assert_eq!(told, [transition]);
    let half = breaker.take_permit(until, &LIMITS).unwrap();
    assert_eq!((half.rule, half.generation), (Rule::WaitOver, 2));
    let pass = Report {
        signal: Signal::Alive,
        slow: false,
        generation: 2,
        trial: true,
        source: Source::default(),
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
        let report =
            Report { signal, slow: false, generation: 0, trial: false, source: Source::default() };
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
            };
            breaker.record(report, Timestamp::from_millis(now), &LIMITS);
        }
        let State::Open { until } = breaker.state() else { panic!("did not trip") };
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
    assert_eq!(breaker.state(), State::HalfOpen { out: 1, passed: 0, since: at(3700) });
    // One that was returned may be taken at once; one of an earlier generation is nobody's.
    breaker.take_permit(at(3701), &LIMITS);
    breaker.return_permit(breaker.generation() - 1);
    assert!(!breaker.may_try(at(3701), &LIMITS));
    breaker.return_permit(breaker.generation());
    assert!(breaker.may_try(at(3701), &LIMITS));
}

fn batch(tally: Tally, pays: bool) -> Batch {
    let gateway = crate::engine::gateway::GatewayId::new(0).unwrap();
    Batch { gateway, generation: 0, pays, tally, seen: Seen::default() }
}

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
        let report = Report { signal, slow, generation, trial: false, source };
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
    let trial = matches!(breaker.state(), State::HalfOpen { .. });
    let report = Report { signal, slow: false, generation, trial, source };
    breaker.record(report, now, &LIMITS).map(|moved| moved.rule)
}

#[test]
fn a_run_of_one_source_alone_counts_when_it_has_lasted() {
    let mut breaker = told(&[("budi", '+')]).0;
    for millis in [0, 500, 1000, 1500, 1999] {
        assert_eq!(ended(&mut breaker, true, Signal::Failure, millis), None, "{millis} ms");
    }
    // Whoever else paid meanwhile would have ended it.
    let rule = ended(&mut breaker, true, Signal::Failure, 2000);
    assert_eq!(rule, Some(Rule::ConsecutiveFailures { run: 6 }));
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
    breaker.crowd(8, at(0), &LIMITS);
    for millis in [1000, 1100, 1200] {
        assert!(breaker.may_try(at(millis), &LIMITS), "{millis} ms");
        breaker.take_permit(at(millis), &LIMITS);
        assert_eq!(ended(&mut breaker, false, Signal::Success, millis), None);
        let State::HalfOpen { out: 0, passed: 1, .. } = breaker.state() else {
            panic!("{:?}", breaker.state())
        };
    }
    assert!(!breaker.prefers_question(at(1300), &LIMITS));
    breaker.take_permit(at(1300), &LIMITS);
    let rule = ended(&mut breaker, true, Signal::Success, 1300);
    assert_eq!(rule, Some(Rule::TrialsPassed { passed: 2 }));
}

const fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(START + millis)
}

#[test]
fn too_many_under_way_open_it_and_only_when_it_is_closed() {
    let mut breaker = Breaker::default();
    let now = Timestamp::from_millis(START);
    assert_eq!(breaker.crowd(7, now, &LIMITS), None);
    let moved = breaker.crowd(8, now, &LIMITS).unwrap();
    assert_eq!(moved.rule, Rule::InFlight { requests: 8 });
    assert!(matches!(moved.to, State::Open { .. }));
    assert_eq!(breaker.crowd(9, now, &LIMITS), None);
    assert_eq!(breaker.cause(), Some(Rule::InFlight { requests: 8 }));
    let mut bytes = Vec::new();
    breaker.encode(&mut bytes);
    assert_eq!(Breaker::decode(&mut Reader(&bytes)), Some(breaker));
}

#[test]
fn a_trial_is_a_question_for_half_a_wait() {
    let mut breaker = Breaker::default();
    assert!(!breaker.prefers_question(at(0), &LIMITS), "closed");
    breaker.crowd(8, at(0), &LIMITS);
    // It waits 1000 ms, and then as much as half of that for a question.
    for (later, prefers) in [(0, true), (1000, true), (1499, true), (1500, false)] {
        assert_eq!(breaker.prefers_question(at(later), &LIMITS), prefers, "{later} ms");
    }
    assert!(!breaker.prefers_question(Timestamp::from_millis(0), &LIMITS), "stepped back");
    // When none came, payments need not wait again.
    let mut late = breaker.clone();
    late.take_permit(at(1500), &LIMITS);
    assert!(!late.prefers_question(at(1500), &LIMITS));
    breaker.take_permit(at(1000), &LIMITS);
    assert!(breaker.prefers_question(at(1499), &LIMITS));
    assert!(!breaker.prefers_question(at(1500), &LIMITS));
    let generation = breaker.generation();
    let source = Source::default();
    let passed = Report { signal: Signal::Success, slow: false, generation, trial: true, source };
    breaker.record(passed, at(1100), &LIMITS);
    assert!(!breaker.prefers_question(at(1100), &LIMITS));
}
