//! Every short story and random long ones, against an account that keeps the whole log of calls
//! since the last transition and works everything out from it each time. It shares no code with
//! the breaker, not even the window.

use super::*;
use proptest::prelude::*;

/// Of three trials one may fail.
const LIMITS: BreakerLimits = BreakerLimits { half_open_permits: 3, ..super::LIMITS };

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
    /// Its client left after it had waited long enough.
    Unheard,
    /// A trial, or a call beside it, failed.
    Failed,
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
        self.enter_after(phase, true, now);
    }

    fn enter_after(&mut self, phase: Phase, longer: bool, now: u64) {
        if phase == Phase::Open {
            if self.phase == Phase::Closed {
                let well = (now - self.since) / LIMITS.open_max.get();
                self.trips = self.trips.saturating_sub(u32::try_from(well).unwrap_or(u32::MAX));
            }
            self.trips += u32::from(longer);
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

    /// Calls of which nothing was heard, since the last answer of any kind.
    fn unheard(&self) -> usize {
        let calls = self.log.iter().rev().map(|(_, entry)| *entry);
        calls.take_while(|entry| *entry == Entry::Unheard).count()
    }

    /// Calls in the window that are of one of these kinds, in percent of all, if they are enough.
    fn percent(&self, kinds: &[Entry], now: u64) -> Option<u64> {
        // The window slides by tenths.
        let tenth = LIMITS.window.get() / 10;
        let counts = |entry: &Entry| !matches!(entry, Entry::Alive | Entry::Unheard);
        let calls = self.log.iter().filter(|(_, entry)| counts(entry));
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
        if self.run().max(self.unheard()) >= usize::from(LIMITS.consecutive_failures)
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
            | Entry::Failed
            | Entry::Unheard
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
                Signal::Abandoned => {
                    self.log.push((now, Entry::Unheard));
                    // It is no call of any rate.
                    if self.unheard() >= usize::from(LIMITS.consecutive_failures) {
                        self.enter(Phase::Open, now);
                    }
                }
                Signal::Neutral => {}
            }
        }
        if self.phase == Phase::HalfOpen {
            if trial && signal == Signal::Throttled {
                return self.enter_after(Phase::Open, false, now);
            }
            let proves = trial && signal != Signal::Neutral;
            if proves {
                self.log.push((now, Entry::PermitBack));
            }
            if signal == Signal::Failure || (trial && (slow || signal == Signal::Abandoned)) {
                self.log.push((now, Entry::Failed));
                // Half of three.
                if self.count(Entry::Failed) >= 2 {
                    self.enter(Phase::Open, now);
                }
                return;
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
        let heard = match signal {
            Signal::Abandoned => Heard::Silence(LIMITS.unheard),
            Signal::Neutral => Heard::Unsent,
            Signal::Success | Signal::Alive | Signal::Failure | Signal::Throttled => Heard::Answer,
        };
        let report = Report { signal, slow, generation, trial, heard, ..Report::default() };
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
            BreakerState::Closed { run } => {
                assert_eq!(usize::from(run), account.run(), "failures since the last success");
                Phase::Closed
            }
            BreakerState::Open { until } => {
                assert_eq!(until.as_millis(), account.since + account.wait, "the wait");
                Phase::Open
            }
            BreakerState::HalfOpen { out, passed, failed, .. } => {
                assert_eq!(usize::from(failed), account.count(Entry::Failed));
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
            Act::Call(Signal::Abandoned),
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
        Act::Trial(Signal::Throttled),
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
        1 => Just(Signal::Abandoned),
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
                let report = Report { signal, slow: false, generation, trial: false, source: Source::default(), ..Report::default() };
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
        let limits = BreakerLimits {
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
