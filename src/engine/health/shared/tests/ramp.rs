//! The way back step by step, and who goes on trial while others ask.

use super::*;
use crate::engine::health::overrides::{Override, OverrideKind};
use crate::engine::health::worker_counts::WorkerCounters;
use crate::engine::limits::RAMP_STEPS;

impl Scene {
    /// Percent of the new payments that go to `name` first.
    fn percent(&self, name: &str) -> usize {
        let first = |draw: &u32| {
            let new = NewRequest { draw: *draw, ..NewRequest::of_nobody(RequestKind::Payment) };
            let selection = self.health.select(&self.policy.health, &new, self.time());
            self.name(selection.order[0]) == name
        };
        (0..100).filter(first).count()
    }

    /// Ticks the leading worker after so long, while heartbeats stay good.
    fn climb(&mut self, millis: u64) -> Vec<HealthEvent> {
        self.pass(millis, &NAMES[..2]);
        let now = self.time();
        self.health.climb(&self.policy.health, now).into_iter().collect()
    }

    /// The first gateway has failed, the second one is active, and the first has just taken over
    /// again.
    fn returning(ramp_ms: u64) -> Self {
        let mut scene = Self::new(2);
        scene.policy.health.failback.ramp = Millis::new(ramp_ms);
        scene.up(&NAMES[..2]);
        scene.trip("one");
        scene.pass(10_000, &NAMES[..2]);
        for _ in 0..2 {
            let (one, now) = (scene.id("one"), scene.time());
            scene.health.take_permit(one, &scene.policy.health, now);
            scene.report("one", Signal::Success, true);
        }
        assert_eq!(scene.active(), "two");
        let changes = scene.pass(60_000, &NAMES[..2]);
        assert_eq!(scene.switches(&changes), ["failback two one"]);
        scene
    }
}

const STEP: u64 = 3000;

#[test]
fn a_gateway_that_takes_over_again_gets_its_payments_in_equal_steps() {
    let mut scene = Scene::returning(STEP * u64::from(RAMP_STEPS));
    assert_eq!((scene.active(), scene.percent("one"), scene.percent("two")), ("one", 10, 90));
    assert_eq!(Health::decode(&scene.health.encode()), scene.health);
    assert_eq!(scene.climb(STEP - 2000), [], "not yet");
    for step in 2..=RAMP_STEPS {
        let percent = u32::from(step) * 10;
        assert_eq!(scene.climb(STEP), [HealthEvent::Ramp(scene.id("one"), percent)]);
        assert_eq!(scene.percent("one"), percent as usize);
    }
    assert_eq!(scene.climb(STEP), [], "it is over");
}

#[test]
fn a_step_is_made_again_while_too_many_payments_fail() {
    let mut scene = Scene::returning(STEP * u64::from(RAMP_STEPS));
    scene.policy.health.breaker.consecutive_failures = 100;
    for signal in [Signal::Success, Signal::Success, Signal::Failure] {
        scene.report("one", signal, false);
    }
    for _ in 0..8 {
        assert_eq!(scene.climb(STEP), [], "a third of its payments failed");
        assert_eq!(scene.percent("one"), 10);
    }
    // They leave the window.
    scene.climb(STEP);
    assert!(scene.climb(STEP).len() + scene.climb(STEP).len() > 0);
    assert!(scene.percent("one") > 10);
}

/// Their own trouble is not the gateway's, and holds nobody else up.
#[test]
fn one_partner_whose_payments_always_fail_holds_no_step_up() {
    let mut scene = Scene::returning(STEP * u64::from(RAMP_STEPS));
    let (one, now) = (scene.id("one"), scene.time());
    let generation = scene.health.generation(one);
    for (partner, signal) in [("budi", Signal::Success), ("ana", Signal::Failure)] {
        for _ in 0..6 {
            let source = Source::new(partner, "create", true);
            let report = Report { signal, generation, source, ..Report::default() };
            assert_eq!(
                scene.health.record(one, report, &scene.policy.health, now),
                [],
                "{partner}"
            );
        }
    }
    assert_eq!(scene.climb(STEP), [HealthEvent::Ramp(one, 20)]);
}

#[test]
fn nothing_is_shared_with_a_gateway_that_cannot_take_it() {
    let mut scene = Scene::returning(STEP * u64::from(RAMP_STEPS));
    scene.trip("two");
    assert_eq!(scene.percent("one"), 100);
    // What fails over in the middle of it takes everything at once.
    let mut scene = Scene::returning(STEP * u64::from(RAMP_STEPS));
    let changes = scene.trip("one");
    assert_eq!(scene.switches(&changes), ["failover one two"]);
    assert_eq!(scene.percent("two"), 100);
    assert_eq!(scene.climb(STEP), []);
    // Nor is there a ramp where none is wanted, or where an operator forces a gateway.
    assert_eq!(Scene::returning(0).percent("one"), 100);
    let mut scene = Scene::returning(STEP * u64::from(RAMP_STEPS));
    let force = Override {
        gateway: scene.id("one"),
        kind: OverrideKind::Force,
        since: scene.time(),
        until: scene.time().plus(Millis::new(1000)),
        actor: "ops".to_owned(),
        reason: "a drill".to_owned(),
    };
    let now = scene.time();
    scene.health.override_by(force, &scene.policy.health, now).unwrap();
    assert_eq!(scene.percent("one"), 100);
}

#[test]
fn whoever_failed_a_trial_makes_no_further_one_while_others_ask() {
    let [ana, budi] = ["ana", "budi"].map(|partner| Source::new(partner, "create", true));
    let mut scene = Scene::new(2);
    let now = scene.time();
    let fail = |scene: &mut Scene, trial| {
        let (one, now) = (scene.id("one"), scene.time());
        let generation = scene.health.generation(one);
        let report =
            Report { signal: Signal::Failure, generation, trial, source: ana, ..Report::default() };
        scene.health.record(one, report, &scene.policy.health, now)
    };
    fail(&mut scene, false);
    fail(&mut scene, false);
    scene.now += 10_000;
    let mut counters = WorkerCounters::of(1);
    counters.asks(ana, now, scene.policy.health.breaker.window);
    scene.health.tell_asked(&counters, &scene.policy.health, scene.time());
    let is_tried = |scene: &Scene, source| {
        let new =
            NewRequest { source: Some(source), ..NewRequest::of_nobody(RequestKind::Payment) };
        scene.health.select(&scene.policy.health, &new, scene.time()).trial
    };
    // A question would go first for half a wait.
    scene.now += 5000;
    assert!(is_tried(&scene, ana), "nobody else has asked");
    counters.asks(budi, scene.time(), scene.policy.health.breaker.window);
    scene.health.tell_asked(&counters, &scene.policy.health, scene.time());
    assert!(!is_tried(&scene, ana) && is_tried(&scene, budi));
    assert_eq!(Health::decode(&scene.health.encode()), scene.health);
}

#[test]
fn who_asks_is_written_only_while_a_breaker_is_not_closed() {
    let mut scene = Scene::new(2);
    let mut counters = WorkerCounters::of(1);
    counters.asks(
        Source::new("ana", "create", true),
        scene.time(),
        scene.policy.health.breaker.window,
    );
    let before = scene.health.clone();
    scene.health.tell_asked(&counters, &scene.policy.health, scene.time());
    assert_eq!(scene.health, before);
    scene.trip("one");
    let before = scene.health.clone();
    scene.health.tell_asked(&counters, &scene.policy.health, scene.time());
    assert_ne!(scene.health, before);
    let once = scene.health.clone();
    scene.health.tell_asked(&counters, &scene.policy.health, scene.time());
    assert_eq!(scene.health, once, "and once for all");
}

#[test]
fn what_goes_well_on_a_forced_gateway_closes_its_breaker() {
    let mut scene = Scene::new(2);
    scene.up(&NAMES[..2]);
    scene.trip("one");
    let force = Override {
        gateway: scene.id("one"),
        kind: OverrideKind::Force,
        since: scene.time(),
        until: scene.time().plus(Millis::new(3_600_000)),
        actor: "ops".to_owned(),
        reason: "a drill".to_owned(),
    };
    let now = scene.time();
    scene.health.override_by(force, &scene.policy.health, now).unwrap();
    assert_eq!(scene.selection(), "one", "its wait is not over");
    scene.now += 10_000;
    for _ in 0..2 {
        assert_eq!(scene.selection(), "one?");
        let (one, now) = (scene.id("one"), scene.time());
        scene.health.take_permit(one, &scene.policy.health, now);
        scene.report("one", Signal::Success, true);
    }
    assert!(scene.health.member(scene.id("one")).unwrap().breaker.is_closed());
    assert_eq!(scene.selection(), "one");
}
