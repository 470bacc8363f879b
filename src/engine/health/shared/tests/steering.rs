//! Operators: gateways forced and drained, and what is refused.

use super::*;
use crate::engine::health::overrides::{Override, OverrideError};

impl Scene {
    fn wish(&self, name: &str, steer: OverrideKind, seconds: u64) -> Override {
        let until = Timestamp::from_millis(self.now + seconds * 1000);
        let (actor, reason) = ("ops".to_owned(), "a drill".to_owned());
        Override { gateway: self.id(name), kind: steer, since: self.time(), until, actor, reason }
    }

    /// What an operator asks for, and the switch that the payments' worker draws from it. Who may
    /// take a payment is so before as after.
    fn steer(
        &mut self,
        name: &str,
        steer: OverrideKind,
        seconds: u64,
    ) -> Result<Vec<String>, OverrideError> {
        let (wish, now) = (self.wish(name, steer, seconds), self.time());
        self.health.override_by(wish, &self.policy.health, now)?;
        let at_once = self.selection();
        let changes: Vec<HealthEvent> =
            self.health.update_active(&self.policy.health, now).into_iter().collect();
        assert_eq!(self.selection(), at_once);
        Ok(self.switches(&changes))
    }
}

#[test]
fn a_forced_gateway_takes_everything_whatever_its_breaker_says() {
    let mut scene = Scene::new(3);
    scene.up(&NAMES);
    scene.trip("three");
    let moved = scene.steer("three", OverrideKind::Force, 60).unwrap();
    assert_eq!(moved, ["override one three"]);
    assert_eq!((scene.selection().as_str(), scene.active()), ("three", "three"));
    // Another one takes its place, and the end of it leaves everything to the breakers.
    assert_eq!(scene.steer("two", OverrideKind::Force, 60).unwrap(), ["override three two"]);
    assert_eq!(scene.selection(), "two");
    scene.pass(59_000, &NAMES);
    scene.now += 1000;
    let now = scene.time();
    assert_eq!(scene.health.expire_overrides(now), [HealthEvent::Override(scene.id("two"), None)]);
    assert_eq!(scene.active(), "two", "what is active stays until failback");
}

#[test]
fn a_drained_gateway_gets_no_new_payment_and_no_trial() {
    let mut scene = Scene::new(2);
    scene.up(&NAMES[..2]);
    assert_eq!(scene.steer("one", OverrideKind::Drain, 3600).unwrap(), ["override one two"]);
    assert_eq!(scene.selection(), "two");
    scene.trip("two");
    assert_eq!(scene.selection(), "", "nobody is used against an operator's word");
    scene.now += 20_000;
    scene.up(&NAMES[..2]);
    assert_eq!(scene.selection(), "two?", "the other one is tried, the drained one is not");
    let (one, now) = (scene.id("one"), scene.time());
    assert_eq!(scene.health.release(one), Some(HealthEvent::Override(one, None)));
    assert_eq!(scene.selection(), "two? one", "before anybody switched");
    let moved: Vec<HealthEvent> =
        scene.health.update_active(&scene.policy.health, now).into_iter().collect();
    assert_eq!(scene.switches(&moved), ["failover two one"]);
    assert_eq!(scene.selection(), "two? one");
}

#[test]
fn an_override_that_leaves_nobody_is_refused() {
    let mut scene = Scene::new(2);
    scene.up(&["one"]);
    let refused = |scene: &mut Scene, name, steer, seconds| scene.steer(name, steer, seconds).err();
    assert_eq!(
        refused(&mut scene, "one", OverrideKind::Drain, 60),
        Some(OverrideError::NobodyLeft),
        "the other one has no heartbeat"
    );
    scene.up(&["two"]);
    assert_eq!(refused(&mut scene, "one", OverrideKind::Drain, 60), None);
    assert_eq!(
        refused(&mut scene, "two", OverrideKind::Drain, 60),
        Some(OverrideError::NobodyLeft)
    );
    assert_eq!(refused(&mut scene, "two", OverrideKind::Force, 60), None);
    assert_eq!(refused(&mut scene, "two", OverrideKind::Drain, 60), Some(OverrideError::Forced));
    assert_eq!(refused(&mut scene, "one", OverrideKind::Drain, 0), Some(OverrideError::Ttl));
    assert_eq!(refused(&mut scene, "one", OverrideKind::Drain, 86_401), Some(OverrideError::Ttl));
}

#[test]
fn overrides_are_kept_with_the_rest_and_last_no_longer_on_a_clock_that_is_put_back() {
    let mut scene = Scene::new(2);
    scene.up(&NAMES[..2]);
    scene.steer("two", OverrideKind::Force, 86_400).unwrap();
    scene.steer("one", OverrideKind::Drain, 60).unwrap();
    assert_eq!(Health::decode(&scene.health.encode()), scene.health);
    scene.now -= 3_600_000;
    let standing = |scene: &Scene| -> Vec<OverrideKind> {
        scene.health.overrides(scene.time()).map(|one| one.kind).collect()
    };
    assert_eq!(standing(&scene), [OverrideKind::Force, OverrideKind::Drain]);
    let now = scene.time();
    scene.health.mend(&scene.policy.health, now);
    scene.now += 59_999;
    assert_eq!(standing(&scene), [OverrideKind::Force, OverrideKind::Drain]);
    scene.now += 1;
    assert_eq!(standing(&scene), [OverrideKind::Force], "it lasts as long as was asked for");
    scene.now += 86_400_000 - 60_000;
    assert_eq!(standing(&scene), []);
}

#[test]
fn a_clock_that_was_a_day_ahead_holds_up_no_failback() {
    let mut scene = Scene::new(2);
    scene.up(&NAMES[..2]);
    scene.now += 86_400_000;
    scene.up(&NAMES[..2]);
    scene.trip("one");
    let now = scene.time();
    scene.health.update_active(&scene.policy.health, now);
    assert_eq!(scene.active(), "two");
    // It is well again, still on the clock that is ahead.
    let one = scene.id("one");
    scene.health.member_mut(one).breaker = Breaker::default();
    scene.now -= 86_400_000;
    scene.up(&["two"]);
    scene.up(&["one"]);
    let now = scene.time();
    scene.health.mend(&scene.policy.health, now);
    let early = scene.pass(29_000, &NAMES[..2]);
    assert!(scene.switches(&early).is_empty(), "{early:?}");
    let changes = scene.pass(61_000, &NAMES[..2]);
    assert_eq!(scene.switches(&changes), ["failback two one"]);
}
