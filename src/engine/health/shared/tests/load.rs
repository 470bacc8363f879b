//! What is under way, and who goes on trial first.

use super::*;
use crate::engine::health::worker_counts::WorkerCounters;

impl Scene {
    fn crowd(&mut self, owner: u64, name: &str, requests: u32) {
        let mut counters = WorkerCounters::of(owner);
        for _ in 0..requests {
            counters.goes_out(self.id(name), Source::default());
        }
        self.health.tell_in_flight(&counters, self.time());
    }

    fn questions(&self) -> String {
        let selection = self.health.select(
            &self.policy.health,
            &NewRequest::of_nobody(RequestKind::Inquiry),
            self.time(),
        );
        format!("{}{}", if selection.trial { "?" } else { "" }, self.name(selection.order[0]))
    }
}

#[test]
fn a_gateway_with_too_much_under_way_gets_nothing_more_and_then_opens() {
    let mut scene = Scene::new(2);
    scene.up(&NAMES[..2]);
    scene.policy.health.breaker.in_flight_max = 8;
    scene.crowd(1, "one", 4);
    scene.crowd(2, "one", 3);
    assert_eq!(scene.selection(), "one two");
    let now = scene.time();
    assert_eq!(scene.health.check_in_flight(&scene.policy.health, now), []);
    scene.crowd(2, "one", 4);
    assert_eq!(scene.selection(), "two", "before anybody ticked");
    let changes = scene.health.check_in_flight(&scene.policy.health, now);
    let [HealthEvent::Breaker(_, moved), HealthEvent::Disagree(_, true)] = changes[..] else {
        panic!("{changes:?}")
    };
    assert_eq!(moved.rule, Rule::InFlight { requests: 8 });
    assert_eq!(scene.health.check_in_flight(&scene.policy.health, now), [], "once");
    // It is not tried while they are still there.
    scene.pass(10_000, &["one", "two"]);
    scene.now += 6000;
    scene.beat(&["one", "two"], true);
    scene.crowd(1, "one", 8);
    assert_eq!(scene.selection(), "two");
    scene.crowd(1, "one", 7);
    assert_eq!(scene.selection(), "one? two");
}

#[test]
fn questions_are_tried_before_payments() {
    let mut scene = Scene::new(2);
    scene.up(&NAMES[..2]);
    scene.trip("one");
    scene.pass(10_000, &["one", "two"]);
    assert_eq!((scene.questions().as_str(), scene.selection().as_str()), ("?one", "two"));
    let (one, now) = (scene.id("one"), scene.time());
    scene.health.take_permit(one, &scene.policy.health, now);
    assert_eq!(scene.selection(), "two", "a question is under way");
    scene.report("one", Signal::Success, true);
    assert_eq!(scene.selection(), "one? two", "and was answered");
}

#[test]
fn questions_leave_the_last_permit_to_a_payment() {
    let mut scene = Scene::new(2);
    scene.up(&NAMES[..2]);
    scene.trip("one");
    scene.pass(10_000, &["one", "two"]);
    let (one, now) = (scene.id("one"), scene.time());
    scene.health.take_permit(one, &scene.policy.health, now);
    let generation = scene.health.generation(one);
    let source = Source::new("ana", "status", false);
    let passed = Report {
        signal: Signal::Success,
        slow: false,
        generation,
        trial: true,
        source,
        ..Report::default()
    };
    scene.health.record(one, passed, &scene.policy.health, now);
    // However many of them come, none is in the way.
    assert_eq!((scene.questions().as_str(), scene.selection().as_str()), ("two", "one? two"));
    assert_eq!(scene.selection(), "one? two");
}

#[test]
fn a_payment_goes_on_trial_when_no_question_comes() {
    let mut scene = Scene::new(2);
    scene.up(&NAMES[..2]);
    scene.trip("one");
    scene.pass(14_999, &["one", "two"]);
    assert_eq!(scene.selection(), "two");
    scene.now += 1;
    assert_eq!(scene.selection(), "one? two");
    // With nobody else to take it, at once.
    let mut scene = Scene::new(2);
    scene.up(&["one"]);
    scene.trip("one");
    scene.pass(10_000, &["one"]);
    assert_eq!(scene.selection(), "one?");
}
