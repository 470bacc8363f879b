//! Who may take a payment: the choice, its hysteresis, trials, and the lease of whoever sends the
//! heartbeats.

use super::*;
use crate::engine::config::{Config, Policy};
use crate::engine::health::batch::Batch;
use crate::engine::health::breaker::Rule;
use crate::engine::health::fair_share::{Payers, Source};
use crate::engine::health::window::Tally;
use crate::engine::health::{Signal, *};
use crate::engine::store::{Layout, Placement, Seed};
use crate::engine::time::Millis;
use proptest::prelude::*;

mod load;
mod ramp;
mod steering;

const START: u64 = 1_790_000_000_000;
const NAMES: [&str; 3] = ["one", "two", "three"];

/// Health at work: a policy of so many gateways, and a clock.
struct Scene {
    policy: Policy,
    health: Health,
    now: u64,
}

impl Scene {
    fn new(gateways: usize) -> Self {
        let list: Vec<String> = NAMES[..gateways]
            .iter()
            .map(|name| format!(r#"{{"name": "{name}", "cluster": "c_{name}"}}"#))
            .collect();
        let config = format!(
            r#"{{"gateways": [{}],
                "breaker": {{"consecutive_failures": 2, "half_open_permits": 2, "open_jitter_pct": 0}},
                "failback": {{"stable_ms": 60000, "dwell_ms": 30000}}}}"#,
            list.join(",")
        );
        let config = Config::parse(config.as_bytes()).unwrap();
        let mut layout = Layout::new(Placement::new(config.store.claims_max, Seed::default()));
        let policy = Policy::join(config, &mut layout, Timestamp::default()).unwrap().0;
        Self { policy, health: Health::default(), now: START }
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    fn id(&self, name: &str) -> GatewayId {
        self.policy.named(name).unwrap().id
    }

    fn name(&self, gateway: GatewayId) -> &str {
        &self.policy.gateway(gateway).unwrap().name
    }

    fn report(&mut self, name: &str, signal: Signal, trial: bool) -> Vec<HealthEvent> {
        let (gateway, now) = (self.id(name), self.time());
        let generation = self.health.generation(gateway);
        let report = Report {
            signal,
            slow: false,
            generation,
            trial,
            source: Source::default(),
            ..Report::default()
        };
        let mut changes = self.health.record(gateway, report, &self.policy.health, now);
        changes.extend(self.health.update_active(&self.policy.health, now));
        changes
    }

    fn trip(&mut self, name: &str) -> Vec<HealthEvent> {
        let first = self.report(name, Signal::Failure, false);
        let second = self.report(name, Signal::Failure, false);
        first.into_iter().chain(second).collect()
    }

    fn beat(&mut self, names: &[&str], good: bool) -> Vec<HealthEvent> {
        let mut changes = Vec::new();
        for name in names {
            let (gateway, now) = (self.id(name), self.time());
            changes.extend(self.health.on_probe(gateway, good, &self.policy.health, now));
            changes.extend(self.health.update_active(&self.policy.health, now));
        }
        changes
    }

    /// Makes gateways come up.
    fn up(&mut self, names: &[&str]) {
        self.beat(names, true);
        self.beat(names, true);
    }

    /// Lets time pass while the heartbeats of these gateways stay good.
    fn pass(&mut self, millis: u64, names: &[&str]) -> Vec<HealthEvent> {
        let mut changes = Vec::new();
        let until = self.now + millis;
        while self.now < until {
            self.now = until.min(self.now + 2000);
            changes.extend(self.beat(names, true));
            changes.extend(self.health.update_active(&self.policy.health, self.time()));
        }
        changes
    }

    /// Who may take a payment, in order; `?` marks one on trial.
    fn selection(&self) -> String {
        let selection = self.health.select(
            &self.policy.health,
            &NewRequest::of_nobody(RequestKind::Payment),
            self.time(),
        );
        let names = selection.order.iter().enumerate().map(|(at, gateway)| {
            format!("{}{}", self.name(*gateway), if selection.trial && at == 0 { "?" } else { "" })
        });
        names.collect::<Vec<_>>().join(" ")
    }

    fn active(&self) -> &str {
        self.health
            .active(&self.policy.health, self.time())
            .map_or("", |gateway| self.name(gateway))
    }

    fn switches(&self, changes: &[HealthEvent]) -> Vec<String> {
        let switch = |change: &HealthEvent| match change {
            HealthEvent::Switch { from, to, cause } => {
                Some(format!("{} {} {}", cause.name(), self.name(*from), self.name(*to)))
            }
            HealthEvent::Breaker(..)
            | HealthEvent::Heartbeat(..)
            | HealthEvent::Disagree(..)
            | HealthEvent::Ramp(..)
            | HealthEvent::Override(..)
            | HealthEvent::Barred(..)
            | HealthEvent::Refusing(_) => None,
        };
        changes.iter().filter_map(switch).collect()
    }
}

#[test]
fn at_the_start_the_first_gateway_is_usable_and_no_other() {
    let mut scene = Scene::new(3);
    assert_eq!((scene.selection().as_str(), scene.active()), ("one", "one"));
    scene.beat(&["two"], true);
    assert_eq!(scene.selection(), "one", "one good heartbeat is not enough");
    scene.beat(&["two"], true);
    assert_eq!(scene.selection(), "one two");
    scene.up(&["three"]);
    assert_eq!(scene.selection(), "one two three");
}

#[test]
fn another_gateway_needs_a_fresh_good_heartbeat_and_the_first_one_none() {
    let mut scene = Scene::new(2);
    scene.up(&["one", "two"]);
    scene.now += 10_000;
    assert_eq!(scene.selection(), "one two");
    scene.now += 1;
    assert_eq!(scene.selection(), "one", "stale");
    scene.up(&["one", "two"]);
    scene.beat(&["two", "one"], false);
    scene.beat(&["two", "one"], false);
    assert_eq!(scene.selection(), "one two", "it takes three to go down");
    scene.beat(&["two", "one"], false);
    assert_eq!(scene.selection(), "one", "heartbeats never open the first one's breaker");
}

#[test]
fn failover_is_at_once_and_told() {
    let mut scene = Scene::new(3);
    scene.up(&["two", "three"]);
    let changes = scene.trip("one");
    assert_eq!(scene.switches(&changes), ["failover one two"]);
    assert!(matches!(
        changes[0],
        HealthEvent::Breaker(gateway, Transition { rule: Rule::ConsecutiveFailures { run: 2 }, .. })
            if gateway == scene.id("one")
    ));
    assert_eq!((scene.selection().as_str(), scene.active()), ("two three", "two"));
    let changes = scene.trip("two");
    assert_eq!(scene.switches(&changes), ["failover two three"]);
    assert_eq!(scene.selection(), "three");
    let changes = scene.trip("three");
    assert_eq!(scene.switches(&changes), Vec::<String>::new());
    assert_eq!((scene.selection().as_str(), scene.active()), ("", ""), "there is no panic mode");
}

#[test]
fn a_gateway_whose_heartbeats_stop_is_left_when_it_is_not_the_first() {
    let mut scene = Scene::new(3);
    scene.up(&["two", "three"]);
    scene.trip("one");
    assert_eq!(scene.active(), "two");
    let changes = scene.pass(10_001, &["three"]);
    assert_eq!(scene.switches(&changes), ["failover two three"]);
    assert_eq!(scene.selection(), "three");
}

/// Brings a gateway whose wait is over back by passing its trials.
fn recover(scene: &mut Scene, name: &str) {
    for _ in 0..2 {
        let (gateway, now) = (scene.id(name), scene.time());
        scene.health.take_permit(gateway, &scene.policy.health, now);
        scene.report(name, Signal::Alive, true);
    }
    assert!(scene.health.member(scene.id(name)).unwrap().breaker.is_closed());
}

#[test]
fn failback_waits_until_the_earlier_gateway_was_well_for_long() {
    let all = ["one", "two", "three"];
    let mut scene = Scene::new(3);
    scene.up(&all);
    scene.trip("one");
    scene.pass(10_000, &all);
    recover(&mut scene, "one");
    assert_eq!(scene.selection(), "two one three", "a target, but not the first");
    let changes = scene.pass(59_999, &all);
    assert_eq!(scene.switches(&changes), Vec::<String>::new());
    let changes = scene.pass(1, &all);
    assert_eq!(scene.switches(&changes), ["failback two one"]);
    assert_eq!(scene.selection(), "one two three");
}

#[test]
fn failback_needs_fresh_heartbeats_of_the_earlier_gateway() {
    let mut scene = Scene::new(2);
    scene.up(&["one", "two"]);
    scene.trip("one");
    scene.pass(10_000, &["two"]);
    recover(&mut scene, "one");
    let changes = scene.pass(120_000, &["two"]);
    assert_eq!(scene.switches(&changes), Vec::<String>::new());
    let changes = scene.pass(2000, &["one", "two"]);
    assert_eq!(scene.switches(&changes), ["failback two one"]);
}

#[test]
fn the_present_gateway_stays_for_its_dwell() {
    let all = ["one", "two"];
    let mut scene = Scene::new(2);
    scene.up(&all);
    // The first one is long well when its second is left by force of time: dwell decides.
    scene.trip("one");
    scene.pass(10_000, &all);
    recover(&mut scene, "one");
    scene.pass(59_000, &all);
    assert_eq!(scene.active(), "two");
    let changes = scene.pass(1000, &all);
    assert_eq!(scene.switches(&changes), ["failback two one"]);
    // It fails again and recovers: stability is counted anew.
    let changes = scene.trip("one");
    assert_eq!(scene.switches(&changes), ["failover one two"]);
    scene.pass(20_000, &all);
    recover(&mut scene, "one");
    scene.policy.health.failback.stable = Millis::new(1);
    assert_eq!(scene.pass(9_999, &all), [], "20 s and 9.999 s make no dwell of 30 s");
    let changes = scene.pass(1, &all);
    assert_eq!(scene.switches(&changes), ["failback two one"]);
}

#[test]
fn a_failback_skips_no_gateway_that_is_well() {
    let all = ["one", "two", "three"];
    let mut scene = Scene::new(3);
    scene.up(&all);
    scene.trip("one");
    scene.trip("two");
    scene.pass(10_000, &all);
    recover(&mut scene, "two");
    let changes = scene.pass(60_000, &all);
    assert_eq!(scene.switches(&changes), ["failback three two"]);
    recover(&mut scene, "one");
    let changes = scene.pass(60_000, &all);
    assert_eq!(scene.switches(&changes), ["failback two one"]);
}

#[test]
fn a_trial_comes_first_and_the_active_gateway_behind_it() {
    let mut scene = Scene::new(3);
    scene.up(&NAMES);
    scene.trip("one");
    // The wait, and half as much for a question to come first.
    scene.pass(14_999, &NAMES);
    assert_eq!(scene.selection(), "two three");
    scene.pass(1, &NAMES);
    assert_eq!(scene.selection(), "one? two three");
    let one = scene.id("one");
    let (policy, now) = (&scene.policy, Timestamp::from_millis(scene.now));
    assert!(matches!(
        scene.health.take_permit(one, &policy.health, now),
        Some(HealthEvent::Breaker(..))
    ));
    assert_eq!(scene.selection(), "one? two three", "a second permit");
    let now = scene.time();
    assert_eq!(scene.health.take_permit(one, &scene.policy.health, now), None);
    assert_eq!(scene.selection(), "two three", "no permit left");
}

#[test]
fn without_a_heartbeat_a_trial_is_made_only_when_nobody_else_can_take_the_payment() {
    let mut scene = Scene::new(2);
    scene.up(&["two"]);
    scene.trip("one");
    scene.pass(20_000, &["two"]);
    assert_eq!(scene.selection(), "two");
    scene.up(&["one"]);
    assert_eq!(scene.selection(), "one? two");
    scene.beat(&["one"], false);
    scene.beat(&["one"], false);
    scene.beat(&["one"], false);
    assert_eq!(scene.selection(), "two");
    scene.trip("two");
    assert_eq!(scene.selection(), "one?");
}

#[test]
fn a_good_heartbeat_never_closes_a_breaker() {
    let mut scene = Scene::new(2);
    scene.up(&NAMES[..2]);
    scene.trip("two");
    for _ in 0..100 {
        scene.pass(2000, &["one", "two"]);
        assert!(!scene.health.member(scene.id("two")).unwrap().breaker.is_closed());
    }
}

#[test]
fn merged_successes_dilute_and_end_nothing() {
    let mut scene = Scene::new(2);
    scene.report("one", Signal::Failure, false);
    let counted = |name, calls, slow| {
        let tally = Tally { calls, failures: 0, slow };
        let (gateway, seen) = (scene.id(name), Payers::default());
        Batch { gateway, generation: 0, pays: true, tally, seen }
    };
    let [quick, slow] = [counted("one", 50, 0), counted("two", 10, 10)];
    let now = scene.time();
    assert_eq!(scene.health.merge(&quick, &scene.policy.health, now), []);
    let of_older = Batch { generation: 7, ..slow };
    assert_eq!(scene.health.merge(&of_older, &scene.policy.health, now), []);
    assert!(!scene.report("one", Signal::Failure, false).is_empty(), "two in a row");
    assert_eq!(scene.health.merge(&slow, &scene.policy.health, now), [], "the window is too young");
    let now = now.plus(scene.policy.health.breaker.rate_age_min);
    let changes = scene.health.merge(&slow, &scene.policy.health, now);
    assert!(matches!(
        changes[..],
        [HealthEvent::Breaker(_, Transition { rule: Rule::SlowRate { .. }, .. })]
    ));
}

#[test]
fn one_owner_at_a_time_has_the_lease() {
    let mut scene = Scene::new(2);
    // All of one age, but for the tenth, which has the newer configuration.
    let born = |owner: u64| Timestamp::from_millis(owner / 10);
    let mut take = |owner: u64, at: i64| {
        let now = Timestamp::from_millis(START.saturating_add_signed(at));
        scene.health.take_lease(owner, born(owner), &scene.policy.health, now)
    };
    // A lease lasts two intervals of 2000 ms.
    assert!(take(1, 0));
    assert!(!take(2, 3999));
    assert!(take(1, 3000), "the owner keeps it");
    assert!(!take(2, 4000));
    assert!(!take(2, 6999));
    assert!(take(2, 7000), "taken over at its end");
    assert!(!take(1, 7000));
    // The clock stepped back by an hour: the lease seems to last longer than any lease does.
    assert!(take(1, 7000 - 3_600_000));
    assert!(!take(2, 7000 - 3_600_000));
    assert!(take(10, 7000 - 3_600_000), "a newer one takes over at once");
    assert!(!take(1, 7000 - 3_600_000));
    assert!(take(1, 11_001 - 3_600_000), "an older one when the newer one is gone");
}

#[test]
fn a_lease_is_written_anew_in_its_second_half() {
    let mut scene = Scene::new(2);
    scene.health.take_lease(1, scene.time(), &scene.policy.health, scene.time());
    for (passed, writes) in [(0, false), (2000, false), (2001, true)] {
        let (mut health, born) = (scene.health.clone(), scene.time());
        let now = Timestamp::from_millis(START + passed);
        assert!(health.take_lease(1, born, &scene.policy.health, now));
        assert_eq!(health != scene.health, writes, "{passed} ms");
    }
}

#[test]
fn bytes_of_another_version_start_anew() {
    let mut scene = Scene::new(2);
    scene.up(&NAMES[..2]);
    scene.trip("one");
    let mut bytes = scene.health.encode();
    assert_ne!(Health::decode(&bytes), Health::default());
    bytes[0] += 1;
    assert_eq!(Health::decode(&bytes), Health::default());
    assert_eq!(Health::decode(&[]), Health::default());
}

proptest! {
    #[test]
    fn stored_and_read_again_it_is_the_same(
        acts in prop::collection::vec((0usize..3, 0u8..5, 0u64..20_000), 0..60),
    ) {
        let mut scene = Scene::new(3);
        for (gateway, what, passes) in acts {
            let name = NAMES[gateway];
            scene.now += passes;
            let now = scene.time();
            match what {
                0 => drop(scene.trip(name)),
                1 => scene.up(&[name]),
                2 => drop(scene.report(name, Signal::Success, false)),
                3 => drop(scene.health.take_lease(passes, now, &scene.policy.health, now)),
                _ => drop(scene.health.take_permit(scene.id(name), &scene.policy.health, now)),
            }
            let bytes = scene.health.encode();
            prop_assert_eq!(&Health::decode(&bytes), &scene.health);
            let selection = scene.health.select(&scene.policy.health, &NewRequest::of_nobody(RequestKind::Payment), now);
            // Nobody twice, and the first one on trial only if it is not well.
            for (at, gateway) in selection.order.iter().enumerate() {
                prop_assert!(!selection.order[..at].contains(gateway));
                let closed = scene.health.member(*gateway).is_none_or(|m| m.breaker.is_closed());
                prop_assert_eq!(closed, !(selection.trial && at == 0));
            }
        }
    }

    #[test]
    fn noise_is_read_without_panic(mut noise in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Health::decode(&noise);
        if let Some(version) = noise.first_mut() {
            *version = Health::VERSION;
        }
        let health = Health::decode(&noise);
        let scene = Scene::new(2);
        let _ = health.select(&scene.policy.health, &NewRequest::of_nobody(RequestKind::Payment), scene.time());
    }
}

#[test]
fn heartbeats_and_traffic_that_contradict_each_other_are_told() {
    let disagree = |scene: &Scene, changes: &[HealthEvent]| -> Vec<String> {
        let told = |change: &HealthEvent| match change {
            HealthEvent::Disagree(gateway, up) => Some(format!("{} {up}", scene.name(*gateway))),
            HealthEvent::Breaker(..)
            | HealthEvent::Heartbeat(..)
            | HealthEvent::Switch { .. }
            | HealthEvent::Ramp(..)
            | HealthEvent::Override(..)
            | HealthEvent::Barred(..)
            | HealthEvent::Refusing(_) => None,
        };
        changes.iter().filter_map(told).collect()
    };
    // It trips while its heartbeat is good, or was never heard of.
    let mut scene = Scene::new(2);
    scene.up(&["one", "two"]);
    let changes = scene.trip("one");
    assert_eq!(disagree(&scene, &changes), ["one true"]);
    let mut scene = Scene::new(2);
    let changes = scene.trip("one");
    assert_eq!(disagree(&scene, &changes), Vec::<String>::new());
    // Heartbeats turn bad while traffic goes well, fails, or there is none.
    for (signal, expected) in [
        (Some(Signal::Success), vec!["one false"]),
        (Some(Signal::Failure), vec![]),
        (None, vec![]),
    ] {
        let mut scene = Scene::new(2);
        scene.up(&["one", "two"]);
        if let Some(signal) = signal {
            scene.report("one", signal, false);
        }
        let bad: Vec<HealthEvent> = (0..3).flat_map(|_| scene.beat(&["one"], false)).collect();
        assert_eq!(disagree(&scene, &bad), expected, "{signal:?}");
        assert_eq!(scene.active(), "one", "a heartbeat alone moves nothing");
    }
}

#[test]
fn where_it_is_manual_nothing_fails_back_until_the_present_gateway_fails() {
    let mut scene = Scene::new(2);
    scene.policy.health.failback.manual = true;
    scene.up(&["one", "two"]);
    scene.trip("one");
    assert_eq!(scene.active(), "two");
    // It heals: its trials pass.
    scene.pass(20_000, &["one", "two"]);
    let one = scene.id("one");
    let (policy, now) = (scene.policy.clone(), scene.time());
    for _ in 0..policy.health.breaker.half_open_permits {
        scene.health.take_permit(one, &policy.health, now);
        scene.report("one", Signal::Success, true);
    }
    assert_eq!(scene.selection(), "two one");
    let changes = scene.pass(600_000, &["one", "two"]);
    assert_eq!(scene.switches(&changes), Vec::<String>::new());
    assert_eq!(scene.active(), "two");
    let changes = scene.trip("two");
    assert_eq!(scene.switches(&changes), ["failover two one"]);
}

#[test]
fn whoever_is_in_use_and_does_well_needs_no_heartbeat_to_stay() {
    let mut scene = Scene::new(2);
    scene.up(&NAMES[..2]);
    scene.trip("one");
    assert_eq!(scene.selection(), "two");
    scene.report("two", Signal::Success, false);
    for _ in 0..3 {
        scene.beat(&["two"], false);
    }
    assert_eq!(scene.selection(), "two", "its payments go well");
    scene.now += 11_000;
    assert_eq!(scene.selection(), "two", "silent as well");
    // Only for as long as that is known.
    scene.now += 30_000;
    assert_eq!(scene.selection(), "one?");
    // And it does not make it a target again.
    let mut scene = Scene::new(2);
    scene.up(&NAMES[..2]);
    scene.report("two", Signal::Success, false);
    for _ in 0..3 {
        scene.beat(&["two"], false);
    }
    assert_eq!(scene.selection(), "one");
}
