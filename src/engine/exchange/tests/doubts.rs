//! Payments that come into doubt and out of it are counted, once each way.

use super::*;
use crate::engine::payment::ResolvedBy;

fn opened(world: &World, names: &[&str]) -> DoubtEvent {
    DoubtEvent::Opened(names.iter().map(|name| world.id(name)).collect())
}

fn resolved(by: ResolvedBy) -> DoubtEvent {
    DoubtEvent::Resolved(by)
}

/// What is counted of a payment that ends so.
fn pay(world: &mut World, ending: Ending<'_>) -> Vec<DoubtEvent> {
    let mut run = world.begin(&post(CREATE, ORDER));
    world.end(&mut run, ending);
    run.doubts
}

fn ask(world: &mut World, latest: &str) -> Vec<DoubtEvent> {
    let mut run = world.begin(&post(STATUS, OF_ORDER));
    world.end(&mut run, upstream(200, &status(latest)));
    run.doubts
}

#[test]
fn what_nobody_answers_opens_a_doubt_and_a_status_resolves_it() {
    let mut world = World::new();
    assert_eq!(pay(&mut world, TIMEOUT.at("primary")), [opened(&world, &["primary"])]);
    assert_eq!(world.state(), "in_doubt");
    assert_eq!(ask(&mut world, "03"), [], "it is under way there");
    assert_eq!(ask(&mut world, "00"), [resolved(ResolvedBy::Status)]);
    assert_eq!(ask(&mut world, "00"), [], "once");
    assert_eq!(world.state(), "settled");
}

#[test]
fn a_payment_that_goes_well_was_never_in_doubt() {
    let mut world = World::new();
    assert_eq!(pay(&mut world, upstream(200, OK)), []);
    assert_eq!(ask(&mut world, "00"), []);
}

#[test]
fn a_doubt_that_nobody_told_of_is_counted_with_what_is_heard_next() {
    let both = ["primary", "secondary"];
    // By its own answer, after the lease.
    let mut world = World::new();
    let mut run = world.begin(&post(CREATE, ORDER));
    world.pass(30_000);
    world.end(&mut run, upstream(200, OK));
    assert_eq!(run.doubts, [opened(&world, &both), resolved(ResolvedBy::Answer)]);
    // By somebody who asks for the status, while its answer never comes.
    let mut world = World::new();
    let _lost = world.begin(&post(CREATE, ORDER));
    world.pass(30_000);
    assert_eq!(ask(&mut world, "00"), [opened(&world, &both), resolved(ResolvedBy::Status)]);
}

#[test]
fn what_could_not_be_written_is_not_counted() {
    for fault in [Fault::Before, Fault::After] {
        let mut world = World::new();
        let mut run = world.begin(&post(CREATE, ORDER));
        // The bucket is written next.
        world.fault = Some((world.calls + 1, fault));
        world.end(&mut run, TIMEOUT.at("primary"));
        assert_eq!(run.note.map(|note| note.claim.name()), Some("settle_lost"), "{fault:?}");
        assert_eq!(run.doubts, [], "{fault:?}");
    }
    // A race that is lost is run again, and counts once.
    let mut world = World::new();
    let mut run = world.begin(&post(CREATE, ORDER));
    world.fault = Some((world.calls + 2, Fault::Conflict));
    world.end(&mut run, TIMEOUT.at("primary"));
    assert_eq!(run.doubts, [opened(&world, &["primary"])]);
}

/// Where a repeat is safe it opens what it finds in doubt, before it goes.
#[test]
fn the_repeat_of_a_payment_whose_lease_has_ended_opens_its_doubt() {
    let body = r#"{"partnerReferenceNo":"r-1","amount":{"value":"1.00","currency":"IDR"}}"#;
    let ok = r#"{"responseCode":"2003800","partnerReferenceNo":"r-1"}"#;
    let asked = post(TOP_UP, body);
    let mut world = World::new();
    world.trip("secondary");
    let _lost = world.begin(&asked);
    world.pass(40_000);
    let mut run = world.begin(&asked);
    assert_eq!(run.doubts, [opened(&world, &["primary"])]);
    world.end(&mut run, upstream(200, ok));
    assert_eq!(run.doubts, [opened(&world, &["primary"]), resolved(ResolvedBy::Answer)]);
}
