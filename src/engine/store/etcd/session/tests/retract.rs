//! Claims of which nobody knows whether they were written, and that must never count.

use super::*;
use crate::engine::store::etcd::value::Writer;

/// A worker's life and one of its writes.
type Mark = (u64, u64);

/// What stands there before the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    GivenBack,
    Rejected,
    InDoubt,
    Settled,
}

const BEFORE: [Before; 5] =
    [Before::Nothing, Before::GivenBack, Before::Rejected, Before::InDoubt, Before::Settled];

/// How the first try of the claim ends. No other try arrives.
const FIRST: [CallFault; 3] = [CallFault::Lost, CallFault::AnswerLost, CallFault::Late];

impl Before {
    fn prepare(self, etcd: &mut FaultyEtcd, store: &Rc<EtcdStore>) {
        if self == Self::Nothing {
            return;
        }
        let mut session = EtcdSession::new(Rc::clone(store));
        claim(etcd, &mut session, "r-1", None);
        let to = |claim: Claim, now| {
            let state = match self {
                Self::Nothing | Self::GivenBack => return Entry::Absent,
                Self::Rejected => ClaimState::Rejected { gateway: gateway(1) },
                Self::InDoubt => ClaimState::in_doubt(Gateways::only(gateway(1)), now),
                Self::Settled => ClaimState::settled(Gateways::only(gateway(1))),
            };
            Entry::Claim(Claim { state, changed_at: now, ..claim })
        };
        assert_eq!(settle(etcd, &mut session, "r-1", to), StoreEvent::Committed);
        etcd.now += 10_000;
    }
}

/// A payment's record as it stands there, and the key beside it.
fn standing(etcd: &FaultyEtcd) -> (Entry, Vec<(char, bool)>) {
    let found = ['o', 's'].map(|place| etcd.record(place, of("r-1")));
    let entry = match found {
        [None, None] => Entry::Absent,
        [Some((entry, _)), None] | [None, Some((entry, _))] => entry,
        [Some(_), Some(_)] => panic!("it stands in both places"),
    };
    // That a claim was given back stands for nothing.
    let places = etcd.places().into_iter();
    (entry, places.filter(|_| entry != Entry::Absent).collect())
}

fn writers(etcd: &FaultyEtcd) -> Vec<Option<Mark>> {
    let places = ['o', 's'].into_iter().filter_map(|place| etcd.record(place, of("r-1")));
    let alias = etcd.record('a', of("k-1"));
    places.chain(alias).map(|(_, writer)| writer).collect()
}

/// A claim on top of what stands there, of which nobody knows whether it was written.
fn unclear_claim(
    etcd: &mut FaultyEtcd,
    session: &mut EtcdSession,
    header: bool,
    first: CallFault,
) -> Mark {
    let keys = header.then(|| header_key("k-1")).into_iter().chain([payment("r-1")]);
    let found = read(etcd, session, &keys.collect::<Vec<_>>());
    let now = etcd.time();
    let claim = match found.last().unwrap().entry {
        Entry::Absent => in_flight(now),
        Entry::Claim(claim) => {
            claim.further_attempt((claim.fingerprint, claim.money), gateway(1), now, &RULES)
        }
        entry @ (Entry::Alias(_) | Entry::Unreadable) => panic!("{entry:?}"),
    };
    let bound = header.then(|| (header_key("k-1"), leads_to("r-1", now)));
    let put = bound.into_iter().chain([(payment("r-1"), Entry::Claim(claim))]).collect();
    etcd.forget_calls();
    etcd.faults.insert(0, first);
    etcd.outage = Some(CallFault::Lost);
    assert_eq!(ask(etcd, session, commit(&found, put)), StoreEvent::Unclear);
    etcd.heal();
    etcd.forget_calls();
    let Writer { life, write } = session.unclear.as_ref().unwrap().writer;
    (life, write)
}

struct Told {
    stories: usize,
    rests: usize,
}

/// Retracts a claim, with these calls going wrong, and the late ones arriving then.
fn retract(
    before: Before,
    header: bool,
    first: CallFault,
    faults: [Option<CallFault>; 2],
    lands_before: usize,
    told: &mut Told,
) {
    let what = format!("{before:?}, {header}, {first:?}, {faults:?}, {lands_before}");
    let (mut etcd, store, _) = alone();
    before.prepare(&mut etcd, &store);
    let stood = standing(&etcd);
    let mut session = EtcdSession::new(Rc::clone(&store));
    let writer = unclear_claim(&mut etcd, &mut session, header, first);
    etcd.faults = (0..).zip(faults).filter_map(|(at, fault)| Some((at, fault?))).collect();
    etcd.lands_before = Some(lands_before);
    let since = etcd.now;
    assert_eq!(ask(&mut etcd, &mut session, StoreRequest::Retract), StoreEvent::Retracted);
    told.rests += usize::from(etcd.now - since > limits::ETCD_PAUSE_MS);
    let done = etcd.etcd.clone();
    etcd.land();
    assert_eq!(etcd.etcd, done, "{what}: a late copy");
    assert!(!writers(&etcd).contains(&Some(writer)), "{what}: the claim stands");
    assert_eq!(standing(&etcd), stood, "{what}");
    assert_eq!(etcd.record('a', of("k-1")), None, "{what}: its header key");
    told.stories += 1;
}

/// Whatever stood there before, whenever the claim arrives, and whichever two calls go wrong.
#[test]
fn a_claim_that_is_retracted_never_counts_and_what_stood_there_stands() {
    let mut told = Told { stories: 0, rests: 0 };
    let some = CallFault::ALL.map(Some);
    for before in BEFORE {
        for header in [false, true] {
            for first in FIRST {
                for one in some.into_iter().chain([None]) {
                    for other in some.into_iter().chain([None]) {
                        for lands_before in 0..4 {
                            let faults = [one, other];
                            retract(before, header, first, faults, lands_before, &mut told);
                        }
                    }
                }
            }
        }
    }
    assert!(told.stories > 10_000 && told.rests > 100, "{} {}", told.stories, told.rests);
}

/// It takes longer than a call has time for.
#[test]
fn a_retraction_does_not_end_before_the_store_has_answered() {
    for fault in [CallFault::Lost, CallFault::Reset, CallFault::Unsent, CallFault::Refused(7)] {
        let (mut etcd, store, mut session) = alone();
        let writer = unclear_claim(&mut etcd, &mut session, true, CallFault::Late);
        etcd.faults = (0..40).map(|at| (at, fault)).collect();
        assert_eq!(ask(&mut etcd, &mut session, StoreRequest::Retract), StoreEvent::Retracted);
        assert!(etcd.calls.len() > 40, "{fault:?}");
        etcd.land();
        assert!(!writers(&etcd).contains(&Some(writer)), "{fault:?}");
        assert!(store.is_away());
    }
}

/// What others have written meanwhile stands, before the claim has arrived and after it.
#[test]
fn a_retraction_takes_back_nothing_that_others_have_written() {
    let mut stories = 0;
    for before in [Before::Nothing, Before::InDoubt] {
        for first in FIRST {
            for fault in CallFault::ALL.map(Some).into_iter().chain([None]) {
                for lands_before in 0..4 {
                    let (mut etcd, store, _) = alone();
                    before.prepare(&mut etcd, &store);
                    let mut session = EtcdSession::new(Rc::clone(&store));
                    let writer = unclear_claim(&mut etcd, &mut session, false, first);
                    // Another Envoy learns how the payment stands, or claims it.
                    let (theirs, _) = joined(&mut etcd, "other", &GATEWAYS);
                    let mut theirs = EtcdSession::new(theirs);
                    let found = read(&mut etcd, &mut theirs, &[payment("r-1")]);
                    let now = etcd.time();
                    let entry = match found[0].entry {
                        Entry::Claim(claim) => to_settled(claim, now),
                        Entry::Absent | Entry::Alias(_) | Entry::Unreadable => {
                            Entry::Claim(in_flight(now))
                        }
                    };
                    let put = vec![(payment("r-1"), entry)];
                    let told = ask(&mut etcd, &mut theirs, commit(&found, put));
                    assert_eq!(told, StoreEvent::Committed);
                    let (stood, by) = (standing(&etcd), writers(&etcd));
                    etcd.forget_calls();
                    etcd.faults.extend(fault.map(|fault| (0, fault)));
                    etcd.lands_before = Some(lands_before);
                    let done = ask(&mut etcd, &mut session, StoreRequest::Retract);
                    assert_eq!(done, StoreEvent::Retracted);
                    etcd.land();
                    let what = format!("{before:?} {first:?} {fault:?} {lands_before}");
                    assert_eq!((standing(&etcd), writers(&etcd)), (stood, by), "{what}");
                    assert!(!writers(&etcd).contains(&Some(writer)), "{what}");
                    stories += 1;
                }
            }
        }
    }
    assert!(stories > 200, "{stories}");
}

/// A header key that was taken when the claim was to be made void is free again when the claim
/// arrives. That key was not all that the claim expects.
#[test]
fn a_claim_comes_to_nothing_also_if_its_header_key_is_free_again() {
    let (mut etcd, store, mut session) = alone();
    let writer = unclear_claim(&mut etcd, &mut session, true, CallFault::Late);
    let mut other = EtcdSession::new(Rc::clone(&store));
    store.note_found();
    claim(&mut etcd, &mut other, "r-2", Some("k-1"));
    assert_eq!(ask(&mut etcd, &mut session, StoreRequest::Retract), StoreEvent::Retracted);
    // The other one was never sent.
    settle(&mut etcd, &mut other, "r-2", to_nothing);
    let bound = read(&mut etcd, &mut other, &[header_key("k-1")]);
    let unbind = commit(&bound, vec![(header_key("k-1"), Entry::Absent)]);
    assert_eq!(ask(&mut etcd, &mut other, unbind), StoreEvent::Committed);
    etcd.land();
    assert!(!writers(&etcd).contains(&Some(writer)), "{:?}", etcd.places());
}

/// The lease with which what is restored ends has ended itself.
#[test]
fn a_retraction_goes_on_with_another_lease() {
    let mut etcd = FaultyEtcd::new();
    let (store, mut member) = joined(&mut etcd, "one", &GATEWAYS);
    let mut session = EtcdSession::new(Rc::clone(&store));
    let writer = unclear_claim(&mut etcd, &mut session, false, CallFault::AnswerLost);
    let leases: Vec<u64> = etcd.etcd.leases().collect();
    leases.iter().for_each(|lease| etcd.etcd.expire(*lease));
    let counters = WorkerCounters::default();
    let mut outbox = Outbox::<_, _, ()>::new();
    let now = etcd.time();
    session.ask(Ticket::default(), StoreRequest::Retract, &terms(now, &counters), &mut outbox);
    let (mut asked, mut told) = outbox.taken();
    for _ in 0..20 {
        let Some((ticket, request)) = asked.pop() else { break };
        let event = etcd.carry_out(request);
        tick(&mut etcd, &mut member);
        let mut outbox = Outbox::<_, _, ()>::new();
        session.told(ticket, event, &terms(etcd.time(), &counters), &mut outbox);
        let (more, answers) = outbox.taken();
        asked.extend(more);
        told.extend(answers);
    }
    assert_eq!(told.pop().map(|(_, event)| event), Some(StoreEvent::Retracted));
    assert!(!writers(&etcd).contains(&Some(writer)));
}

/// Without a commit that is unclear there is nothing to retract.
#[test]
fn where_nothing_is_unclear_nothing_is_retracted() {
    let (mut etcd, _, mut session) = alone();
    claim(&mut etcd, &mut session, "r-1", None);
    let before = etcd.etcd.clone();
    etcd.forget_calls();
    assert_eq!(ask(&mut etcd, &mut session, StoreRequest::Retract), StoreEvent::Retracted);
    assert_eq!((etcd.etcd, etcd.calls), (before, vec![]));
}
