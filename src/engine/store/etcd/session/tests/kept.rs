//! Answers that are kept with their claims, where every Envoy finds them.

use super::*;
use crate::engine::store::etcd::EtcdTerms;
use crate::engine::store::etcd::fixture::{TERMS, joined_by};
use crate::engine::store::kept_answer::KeptAnswer;

fn kept(body: &[u8]) -> KeptAnswer {
    KeptAnswer { status: 200, content_type: Some("application/json".into()), body: body.to_vec() }
}

/// An Envoy that keeps answers there.
fn keeper(etcd: &mut FaultyEtcd, noise: &str) -> Rc<EtcdStore> {
    let terms = EtcdTerms { keeps_answers: true, ..TERMS };
    let (store, _) = joined_by(etcd, noise, &GATEWAYS, terms);
    etcd.forget_calls();
    store
}

fn find(etcd: &mut FaultyEtcd, session: &mut EtcdSession, of: Incarnation) -> Option<KeptAnswer> {
    let told = ask(etcd, session, StoreRequest::FindAnswer(key("r-1"), of));
    let StoreEvent::Answer(answer) = told else {
        panic!("{told:?}");
    };
    answer
}

/// A payment that is executed, with its answer.
fn execute(etcd: &mut FaultyEtcd, session: &mut EtcdSession, answer: &KeptAnswer) -> Incarnation {
    let of = in_flight(etcd.time()).incarnation;
    claim(etcd, session, "r-1", None);
    let keep = StoreRequest::KeepAnswer(key("r-1"), of, Box::new(answer.clone()));
    assert_eq!(ask(etcd, session, keep), StoreEvent::AnswerKept);
    assert_eq!(settle(etcd, session, "r-1", to_settled), StoreEvent::Committed);
    of
}

/// Another process, which has nothing of its own.
fn elsewhere(etcd: &FaultyEtcd) -> FaultyEtcd {
    FaultyEtcd { cells: Default::default(), ..etcd.clone() }
}

#[test]
fn an_answer_costs_no_call_and_another_envoy_replays_it() {
    let mut etcd = FaultyEtcd::new();
    let store = keeper(&mut etcd, "one");
    let mut session = EtcdSession::new(store);
    let answer = kept(b"{\"x\": 1}");
    let of = execute(&mut etcd, &mut session, &answer);
    assert_eq!(etcd.calls.len(), 2);
    assert_eq!(etcd.cells, Default::default());
    let mut there = elsewhere(&etcd);
    let other = keeper(&mut there, "other");
    let mut session = EtcdSession::new(other);
    read(&mut there, &mut session, &[payment("r-1")]);
    assert_eq!(find(&mut there, &mut session, of), Some(answer));
    assert_eq!(there.calls.len(), 1);
    // Of another incarnation it is no answer.
    let later = Incarnation { nonce: 8, ..of };
    assert_eq!(find(&mut there, &mut session, later), None);
}

#[test]
fn an_answer_stays_with_its_claim_as_long_as_that_is_resolved() {
    let mut etcd = FaultyEtcd::new();
    let store = keeper(&mut etcd, "one");
    let mut session = EtcdSession::new(Rc::clone(&store));
    let answer = kept(b"body");
    let of = execute(&mut etcd, &mut session, &answer);
    let mut other = EtcdSession::new(store);
    let known = read(&mut etcd, &mut other, &[payment("r-1")]);
    let Entry::Claim(claim) = known[0].entry else { panic!("{known:?}") };
    let state = ClaimState::said_settled(Gateways::only(gateway(0)));
    let put = vec![(payment("r-1"), Entry::Claim(Claim { state, ..claim }))];
    assert_eq!(ask(&mut etcd, &mut other, commit(&known, put)), StoreEvent::Committed);
    assert_eq!(find(&mut etcd, &mut other, of), Some(answer));
    let in_doubt = |claim: Claim, now| {
        let state = ClaimState::in_doubt(Gateways::only(gateway(0)), now);
        Entry::Claim(Claim { state, ..claim })
    };
    assert_eq!(settle(&mut etcd, &mut other, "r-1", in_doubt), StoreEvent::Committed);
    assert_eq!(find(&mut etcd, &mut other, of), None);
}

#[test]
fn what_is_too_long_or_not_wanted_there_is_kept_in_this_process() {
    let long = vec![b'x'; limits::ETCD_ANSWER_BYTES_MAX + 1];
    for (keeps, body) in [(true, long), (false, b"short".to_vec())] {
        let mut etcd = FaultyEtcd::new();
        let store =
            if keeps { keeper(&mut etcd, "one") } else { joined(&mut etcd, "one", &GATEWAYS).0 };
        let mut session = EtcdSession::new(Rc::clone(&store));
        let of = execute(&mut etcd, &mut session, &kept(&body));
        let size = etcd.etcd.keys().map(|(_, key)| key.value.len()).max().unwrap();
        assert!(size < 500, "{size}");
        let mut session = EtcdSession::new(store);
        read(&mut etcd, &mut session, &[payment("r-1")]);
        assert_eq!(find(&mut etcd, &mut session, of), Some(kept(&body)));
        let mut there = elsewhere(&etcd);
        assert_eq!(find(&mut there, &mut session, of), None);
    }
}
