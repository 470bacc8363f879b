//! A store that does not answer for a while, from each call of each kind of request on.

use super::*;

/// How the first call of an outage ends, and all others.
const OUTAGES: [[CallFault; 2]; 8] = [
    [CallFault::Lost, CallFault::Lost],
    [CallFault::AnswerLost, CallFault::Lost],
    [CallFault::Late, CallFault::Lost],
    [CallFault::AnswerLost, CallFault::Unsent],
    [CallFault::Late, CallFault::Reset],
    [CallFault::Unsent, CallFault::Unsent],
    [CallFault::Refused(8), CallFault::Refused(8)],
    [CallFault::Cut, CallFault::Garbage],
];

/// What a payment's gateway did before is not done again, and nobody else gets it.
fn pay_again(remote: &mut Remote, way: &Way, what: &str, wrong: &mut Vec<String>) {
    let is_charged = remote.states().contains(&"settled") && way.sent > 0;
    remote.pass(40_000);
    let mut again = remote.hold(&post(CREATE, ORDER));
    remote.go_on(&mut again);
    let to = again.effects.iter().find_map(|effect| {
        let ExchangeEffect::Forward(forward) = effect else { return None };
        forward.headers.iter().find(|(name, _)| name == "x-dana-cluster")
    });
    let is_elsewhere = to.is_some_and(|(_, cluster)| cluster != "dana_primary");
    if is_charged && is_elsewhere {
        wrong.push(format!("{what}: then sent to {to:?}"));
    }
}

#[test]
fn an_outage_from_any_call_on_leaves_nothing_open_once_it_is_over() {
    let (mut stories, mut retracted, mut wrong) = (0, 0, Vec::new());
    let keeps = EtcdTerms { keeps_answers: true, ..TERMS };
    let drains = EtcdTerms { drains_local: true, ..TERMS };
    for case in cases() {
        let usual = case.usual();
        for at in 0..usual.calls {
            for [first, then] in OUTAGES {
                // The last one is longer than any lease.
                for (pauses, terms) in [(1, TERMS), (3, keeps), (2, drains), (90, TERMS)] {
                    let what = format!("{}, {first:?} {then:?} {at} {pauses}", case.what());
                    let mut remote = case.set(terms);
                    remote.etcd.faults.insert(at, first);
                    remote.outage = Some((at, then, pauses));
                    let mut way = remote.hold(&case.asked);
                    remote.go_on(&mut way);
                    if way.exchange.is_sent() && remote.etcd.outage.is_some() {
                        // The gateway takes longer than the outage.
                        (remote.outage, remote.etcd.outage) = (None, None);
                        remote.pass(300);
                    }
                    remote.end(&mut way, case.ending);
                    stories += 1;
                    retracted += usize::from(way.told() == "504 claim_store_failed");
                    check(&case, &usual, &mut remote, &way, &what, &mut wrong);
                    if case.is_charge() {
                        pay_again(&mut remote, &way, &what, &mut wrong);
                    }
                }
            }
        }
    }
    println!("{stories} stories, {retracted} refused");
    let some = &wrong[..wrong.len().min(50)];
    assert!(wrong.is_empty(), "{}: {some:#?}", wrong.len());
    assert!(stories > 2000 && retracted > 500, "{stories} {retracted}");
}
