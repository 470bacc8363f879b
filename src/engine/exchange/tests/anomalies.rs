//! Evidence that contradicts what was known: somebody is told, once, and which payment it is.

use super::*;
use crate::engine::payment::{AnomalyKind, ClaimKey};

/// What operators are told when the status is asked for and answered so.
fn ask(world: &mut World, ending: Ending<'_>) -> Vec<Anomaly> {
    let mut run = world.begin(&post(STATUS, OF_ORDER));
    world.end(&mut run, ending);
    run.anomalies
}

fn the_order() -> String {
    ClaimKey::derive("partner-1", "order", ["m-1", "r-1"]).reference().to_string()
}

#[test]
fn a_payment_closed_as_failed_that_was_executed_is_told() {
    let [failed, executed] = ["06", "00"].map(status);
    let mut world = World::new();
    world.pay(TIMEOUT.at("primary"));
    world.pass(60_000);
    assert_eq!(ask(&mut world, upstream(200, &failed)), []);
    assert_eq!(world.state(), "closed");
    let told = ask(&mut world, upstream(200, &executed));
    let [anomaly] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((anomaly.kind, &anomaly.key), (AnomalyKind::Overturned, &the_order()));
    assert_eq!(anomaly.key.len(), 40);
    let line = anomaly.line("primary");
    assert!(line.contains("its record said failed, primary says executed (status)"), "{line}");
    assert_eq!(world.state(), "settled");
    assert_eq!(ask(&mut world, upstream(200, &executed)), [], "once");
    // So it is when the late answer itself says it, though its bucket cannot be written.
    for fault in [None, Some(Fault::Before)] {
        let mut world = World::new();
        let mut run = world.begin(&post(CREATE, ORDER));
        world.pass(90_000);
        assert_eq!(ask(&mut world, upstream(200, &failed).at("primary")), []);
        assert_eq!(ask(&mut world, upstream(200, &failed).at("secondary")), []);
        assert_eq!(world.state(), "closed");
        // The kept answer is read and written, the bucket read.
        world.fault = fault.map(|fault| (world.calls + 4, fault));
        world.end(&mut run, upstream(200, OK));
        let kinds: Vec<AnomalyKind> = run.anomalies.iter().map(|anomaly| anomaly.kind).collect();
        assert_eq!(kinds, [AnomalyKind::Overturned], "{fault:?}");
    }
}

#[test]
fn an_executed_payment_that_is_said_to_have_failed_is_told() {
    for (ending, said) in [
        (upstream(200, &status("06")), "failed (status)"),
        (upstream(200, &status("07")), "not found (status)"),
        (upstream(404, r#"{"responseCode":"4045501"}"#), "not found (status)"),
    ] {
        let mut world = World::new();
        world.pay(upstream(200, OK));
        world.pass(1);
        for _ in 0..2 {
            let told = ask(&mut world, ending);
            let [anomaly] = told.as_slice() else { panic!("{told:?}") };
            assert_eq!((anomaly.kind, anomaly.said), (AnomalyKind::Contradicted, said));
            assert_eq!(anomaly.key, the_order());
            assert_eq!(world.state(), "settled");
        }
    }
    // The repeat of a top-up that asks for its answer is told that it had failed.
    let body = r#"{"partnerReferenceNo":"r-1","amount":{"value":"1.00","currency":"IDR"}}"#;
    let ok = r#"{"responseCode":"2003800","partnerReferenceNo":"r-1"}"#;
    let failed = upstream(500, r#"{"responseCode":"5003800","partnerReferenceNo":"r-1"}"#);
    let asked = post(TOP_UP, body);
    let mut world = World::new();
    world.ask(&asked, Some(upstream(200, ok)));
    world.store.retain(|cell, _| !matches!(cell, Cell::Body(_)));
    let mut run = world.begin(&asked);
    world.end(&mut run, failed);
    assert_eq!(run.told(), "504 already_executed executed");
    let [anomaly] = run.anomalies.as_slice() else { panic!("{:?}", run.anomalies) };
    assert_eq!((anomaly.kind, anomaly.said), (AnomalyKind::Contradicted, "failed before"));
    assert_eq!(world.ask(&asked, None), "to dana_primary", "its lease is over");
}

/// A question that was asked before the payment was settled, and gateways that never had it.
#[test]
fn an_answer_that_contradicts_nothing_is_not_told() {
    let not_found = r#"{"responseCode":"4045501"}"#;
    let mut world = World::new();
    let mut question = world.begin(&post(STATUS, OF_ORDER));
    world.pass(1);
    world.pay(upstream(200, OK).at("secondary"));
    world.end(&mut question, upstream(404, not_found));
    assert_eq!(question.anomalies, []);
    let [pending, executed] = ["01", "00"].map(status);
    for told in [&pending, &executed] {
        assert_eq!(ask(&mut world, upstream(200, told).at("secondary")), []);
    }
}

/// The claim of the order is closed as failed, and an operator finds that it was executed.
#[test]
fn what_an_operator_overturns_is_told_by_the_operators_listener() {
    use crate::engine::payment::{AnomalyKind, Evidence as Said, Resolution, Step};
    let gateway = GatewayId::new(0).unwrap();
    let was = ClaimState::Closed { how: Closed::Failed, gateways: Gateways::only(gateway) };
    let said = Said::Operator(Resolution::ExecutedAt(gateway));
    let step = Step::Overturned(ClaimState::settled(Gateways::only(gateway)));
    let rules = World::new().policy.claims;
    let anomaly = Anomaly::of("ab", was, said, step, &rules).unwrap();
    assert_eq!((anomaly.kind, anomaly.key.as_str()), (AnomalyKind::Overturned, "ab"));
    assert!(anomaly.line("primary").starts_with("payment ab overturned: its record said failed"));
    let stays = Step::Contradicted(was);
    assert_eq!(
        Anomaly::of("ab", was, said, stays, &rules).unwrap().kind,
        AnomalyKind::Contradicted
    );
    for step in [Step::Stays, Step::Released, Step::To(was)] {
        assert_eq!(Anomaly::of("ab", was, said, step, &rules), None);
    }
}
