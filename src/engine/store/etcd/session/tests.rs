//! Sessions over an etcd in memory: how many calls each question costs, what stands there then, and
//! what is told.

use super::*;
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::health::WorkerCounters;
use crate::engine::payment::{
    Claim, ClaimKey, ClaimRules, ClaimState, Fingerprint, Incarnation, Money, PaymentRef,
};
use crate::engine::store::alias::{Alias, AliasTarget};
use crate::engine::store::etcd::fixture::{
    CallFault, FaultyEtcd, REALM, RETENTION, SKEW, joined, tick,
};
use crate::engine::store::local::placement::{Placement, Seed};

mod faults;
mod foreign;
mod kept;
mod retract;

const RULES: ClaimRules = ClaimRules {
    lease: Millis::new(30_000),
    response: Millis::new(10_000),
    repeat_after: Millis::new(5000),
    repeat_max_age: Millis::new(3_600_000),
    settle_delay: Millis::new(60_000),
    shared_ledger: false,
};

const GATEWAYS: [&str; 2] = ["primary", "secondary"];

fn gateway(at: usize) -> GatewayId {
    GatewayId::new(at).unwrap()
}

fn both() -> Gateways {
    Gateways::only(gateway(0)).with(gateway(1))
}

fn key(name: &str) -> ClaimKey {
    ClaimKey::derive("p", "order", [name])
}

fn of(name: &str) -> PaymentRef {
    key(name).reference()
}

fn payment(name: &str) -> Key {
    Key::Payment(of(name))
}

fn header_key(name: &str) -> Key {
    Key::Alias(of(name))
}

/// One that is about to be sent.
fn in_flight(now: Timestamp) -> Claim {
    let until = now.plus(RULES.lease);
    let state = ClaimState::InFlight { candidates: both(), until, after_no: false };
    let incarnation = Incarnation { claimed_at: now, nonce: 7 };
    Claim::new(Fingerprint([3; 16]), state, incarnation, Money::default())
}

fn settled(claim: Claim, now: Timestamp) -> Claim {
    Claim { state: ClaimState::settled(Gateways::only(gateway(0))), changed_at: now, ..claim }
}

fn leads_to(name: &str, now: Timestamp) -> Entry {
    Entry::Alias(Alias { to: AliasTarget::Payment(of(name)), used_at: now, nonce: 1 })
}

fn terms(now: Timestamp, counters: &WorkerCounters) -> Terms<'_> {
    Terms {
        now,
        placement: Placement::of_buckets(8, Seed::default()),
        answer_sets: 8,
        rules: &RULES,
        claims: RETENTION,
        tokens: RETENTION,
        counters,
    }
}

/// Asks, and carries out what the session wants until it answers.
fn ask(etcd: &mut FaultyEtcd, session: &mut EtcdSession, request: StoreRequest) -> StoreEvent {
    let counters = WorkerCounters::default();
    let mut outbox = Outbox::<_, _, ()>::new();
    session.ask(Ticket::default(), request, &terms(etcd.time(), &counters), &mut outbox);
    let (mut asked, mut told) = outbox.taken();
    while let Some((ticket, request)) = asked.pop() {
        let event = etcd.carry_out(request);
        for is_again in [false, true] {
            let mut outbox = Outbox::<_, _, ()>::new();
            session.told(ticket, event.clone(), &terms(etcd.time(), &counters), &mut outbox);
            let (more, answers) = outbox.taken();
            assert!(!is_again || (more.is_empty() && answers.is_empty()), "told twice");
            asked.extend(more);
            told.extend(answers);
        }
    }
    let [(_, event)] = told.as_slice() else {
        panic!("a question has one answer: {told:?}");
    };
    event.clone()
}

fn seen(event: StoreEvent) -> Vec<Seen> {
    let StoreEvent::Seen(seen) = event else {
        panic!("{event:?}");
    };
    seen
}

fn guessed(event: StoreEvent) -> Vec<Seen> {
    let StoreEvent::Guessed(seen) = event else {
        panic!("{event:?}");
    };
    seen
}

/// Writes what builds on these.
fn commit(seen: &[Seen], put: Vec<(Key, Entry)>) -> StoreRequest {
    let expect = seen.iter().map(|seen| (seen.key, seen.version)).collect();
    StoreRequest::Commit(Commit { expect, put, patience: Patience::Long })
}

/// A charge as it claims: it guesses that nothing is known of it.
fn claim(
    etcd: &mut FaultyEtcd,
    session: &mut EtcdSession,
    name: &str,
    header: Option<&str>,
) -> StoreEvent {
    let keys: Vec<Key> = header.into_iter().map(header_key).chain([payment(name)]).collect();
    let guessed = guessed(ask(etcd, session, StoreRequest::Peek(keys)));
    let now = etcd.time();
    let bound = header.map(|key| (header_key(key), leads_to(name, now)));
    let put = bound.into_iter().chain([(payment(name), Entry::Claim(in_flight(now)))]);
    ask(etcd, session, commit(&guessed, put.collect()))
}

/// What stands under a key, read by itself.
fn read(etcd: &mut FaultyEtcd, session: &mut EtcdSession, keys: &[Key]) -> Vec<Seen> {
    seen(ask(etcd, session, StoreRequest::Read(keys.to_vec())))
}

/// Writes a payment's record over what the session knows of it.
fn settle(
    etcd: &mut FaultyEtcd,
    session: &mut EtcdSession,
    name: &str,
    to: impl FnOnce(Claim, Timestamp) -> Entry,
) -> StoreEvent {
    let known = guessed(ask(etcd, session, StoreRequest::Peek(vec![payment(name)])));
    let Entry::Claim(claim) = known[0].entry else {
        panic!("{known:?}");
    };
    let put = vec![(payment(name), to(claim, etcd.time()))];
    ask(etcd, session, commit(&known, put))
}

fn to_settled(claim: Claim, now: Timestamp) -> Entry {
    Entry::Claim(settled(claim, now))
}

fn to_nothing(_: Claim, _: Timestamp) -> Entry {
    Entry::Absent
}

/// An etcd with one Envoy, and a request of it.
fn alone() -> (FaultyEtcd, Rc<EtcdStore>, EtcdSession) {
    let mut etcd = FaultyEtcd::new();
    let (store, _) = joined(&mut etcd, "one", &GATEWAYS);
    etcd.forget_calls();
    let session = EtcdSession::new(Rc::clone(&store));
    (etcd, store, session)
}

#[test]
fn a_new_charge_is_one_call_before_it_is_sent_and_one_after() {
    let (mut etcd, store, mut session) = alone();
    assert_eq!(claim(&mut etcd, &mut session, "r-1", None), StoreEvent::Committed);
    assert_eq!(etcd.calls.len(), 1);
    // It is open, and nothing ends it.
    assert_eq!(etcd.places(), [('o', false)]);
    let (entry, writer) = etcd.record('o', of("r-1")).unwrap();
    assert!(matches!(entry, Entry::Claim(claim) if claim.is_in_flight()), "{entry:?}");
    assert_eq!(writer.unwrap().0, store.life());
    assert_eq!(settle(&mut etcd, &mut session, "r-1", to_settled), StoreEvent::Committed);
    assert_eq!((etcd.calls.len(), etcd.places()), (2, vec![('s', true)]));
}

#[test]
fn a_header_key_costs_no_further_call_and_ends_with_its_payment() {
    let mut etcd = FaultyEtcd::new();
    let (store, mut member) = joined(&mut etcd, "one", &GATEWAYS);
    etcd.forget_calls();
    let mut session = EtcdSession::new(Rc::clone(&store));
    assert_eq!(claim(&mut etcd, &mut session, "r-1", Some("k-1")), StoreEvent::Committed);
    // A header key ends by itself, whatever becomes of its payment.
    assert_eq!((etcd.calls.len(), etcd.places()), (1, vec![('a', true), ('o', false)]));
    let lease = |etcd: &FaultyEtcd, place| {
        let name = if place == 'a' { of("k-1") } else { of("r-1") };
        etcd.etcd.get(format!("{REALM}{place}/{name}").as_bytes()).unwrap().lease
    };
    let first = lease(&etcd, 'a');
    // Long after, when the worker has other leases, it is kept as long as the record.
    store.note_stale();
    etcd.now += limits::ETCD_LOOK_MS;
    tick(&mut etcd, &mut member);
    etcd.forget_calls();
    assert_eq!(settle(&mut etcd, &mut session, "r-1", to_settled), StoreEvent::Committed);
    assert_eq!((etcd.calls.len(), etcd.places()), (1, vec![('a', true), ('s', true)]));
    assert_ne!(lease(&etcd, 'a'), first);
    assert_eq!(lease(&etcd, 'a'), lease(&etcd, 's'));
    // Whoever comes with that key is led there.
    let found = read(&mut etcd, &mut session, &[header_key("k-1")]);
    assert!(matches!(found[0].entry, Entry::Alias(alias)
        if alias.to == AliasTarget::Payment(of("r-1"))));
}

#[test]
fn a_claim_that_is_lost_brings_what_is_there_without_a_further_call() {
    let (mut etcd, store, mut first) = alone();
    assert_eq!(claim(&mut etcd, &mut first, "r-1", Some("k-1")), StoreEvent::Committed);
    let mut second = EtcdSession::new(store);
    etcd.forget_calls();
    assert_eq!(claim(&mut etcd, &mut second, "r-1", Some("k-1")), StoreEvent::Conflict);
    let keys = [header_key("k-1"), payment("r-1")];
    let found = read(&mut etcd, &mut second, &keys);
    assert_eq!(etcd.calls.len(), 1);
    assert!(matches!(found[1].entry, Entry::Claim(claim) if claim.is_in_flight()), "{found:?}");
    // It is new only once.
    assert_eq!(read(&mut etcd, &mut second, &keys), found);
    assert_eq!(etcd.calls.len(), 2);
}

/// After a NO it is sent again: from one place to the other, and its lease does not end it.
#[test]
fn a_retry_goes_back_among_what_is_open() {
    let (mut etcd, store, mut session) = alone();
    claim(&mut etcd, &mut session, "r-1", None);
    let rejected = |claim: Claim, now| {
        let state = ClaimState::Rejected { gateway: gateway(1) };
        Entry::Claim(Claim { state, changed_at: now, ..claim })
    };
    assert_eq!(settle(&mut etcd, &mut session, "r-1", rejected), StoreEvent::Committed);
    assert_eq!(etcd.places(), [('s', true)]);
    // A charge does not know that, and is told.
    let mut again = EtcdSession::new(store);
    etcd.forget_calls();
    assert_eq!(claim(&mut etcd, &mut again, "r-1", None), StoreEvent::Conflict);
    let known = read(&mut etcd, &mut again, &[payment("r-1")]);
    let now = etcd.time();
    let state = ClaimState::InFlight {
        candidates: Gateways::only(gateway(1)),
        until: now.plus(RULES.lease),
        after_no: true,
    };
    let Entry::Claim(claim) = known[0].entry else { panic!("{known:?}") };
    let retried = Claim { state, attempt: 2, changed_at: now, ..claim };
    let put = vec![(payment("r-1"), Entry::Claim(retried))];
    assert_eq!(ask(&mut etcd, &mut again, commit(&known, put)), StoreEvent::Committed);
    assert_eq!((etcd.calls.len(), etcd.places()), (2, vec![('o', false)]));
    // And ends there.
    assert_eq!(settle(&mut etcd, &mut again, "r-1", to_settled), StoreEvent::Committed);
    assert_eq!(etcd.places(), [('s', true)]);
}

#[test]
fn a_repeat_in_doubt_stays_among_what_is_open() {
    let (mut etcd, _, mut session) = alone();
    claim(&mut etcd, &mut session, "r-1", None);
    let in_doubt = |claim: Claim, now| {
        let state = ClaimState::in_doubt(Gateways::only(gateway(1)), now);
        Entry::Claim(Claim { state, changed_at: now, ..claim })
    };
    assert_eq!(settle(&mut etcd, &mut session, "r-1", in_doubt), StoreEvent::Committed);
    assert_eq!(etcd.places(), [('o', false)]);
    let repeats = |claim: Claim, now: Timestamp| {
        let again =
            claim.further_attempt((claim.fingerprint, claim.money), gateway(1), now, &RULES);
        assert!(matches!(again.state, ClaimState::InDoubt { repeat_until: Some(_), .. }));
        Entry::Claim(again)
    };
    etcd.now += 6000;
    assert_eq!(settle(&mut etcd, &mut session, "r-1", repeats), StoreEvent::Committed);
    assert_eq!(etcd.places(), [('o', false)]);
    assert_eq!(settle(&mut etcd, &mut session, "r-1", to_settled), StoreEvent::Committed);
    assert_eq!((etcd.places(), etcd.calls.len()), (vec![('s', true)], 4));
}

/// A claim that is given back is a record: a late copy of it finds that and comes to nothing. The next
/// claim of the same payment says that it has seen it.
#[test]
fn a_claim_that_is_given_back_stays_as_a_record() {
    let (mut etcd, store, mut session) = alone();
    etcd.faults.insert(0, CallFault::Repeated);
    assert_eq!(claim(&mut etcd, &mut session, "r-1", Some("k-1")), StoreEvent::Committed);
    assert_eq!(settle(&mut etcd, &mut session, "r-1", to_nothing), StoreEvent::Committed);
    assert_eq!(etcd.record('s', of("r-1")).unwrap().0, Entry::Absent);
    let bound = read(&mut etcd, &mut session, &[header_key("k-1")]);
    let unbind = commit(&bound, vec![(header_key("k-1"), Entry::Absent)]);
    assert_eq!(ask(&mut etcd, &mut session, unbind), StoreEvent::Committed);
    assert_eq!(etcd.places(), [('s', true)]);
    let before = etcd.etcd.clone();
    etcd.land();
    assert_eq!(etcd.etcd, before, "the late copy");
    let mut next = EtcdSession::new(store);
    etcd.forget_calls();
    assert_eq!(claim(&mut etcd, &mut next, "r-1", None), StoreEvent::Conflict);
    let free = read(&mut etcd, &mut next, &[payment("r-1")]);
    assert_eq!(free[0].entry, Entry::Absent);
    assert_ne!(free[0].version, Version::default());
    let put = vec![(payment("r-1"), Entry::Claim(in_flight(etcd.time())))];
    assert_eq!(ask(&mut etcd, &mut next, commit(&free, put)), StoreEvent::Committed);
    assert_eq!((etcd.calls.len(), etcd.places()), (2, vec![('o', false)]));
}

/// What a follow-up is about must stand as it was read when the follow-up is claimed.
#[test]
fn a_follow_up_is_claimed_only_if_its_payment_stands_as_it_was_read() {
    let (mut etcd, store, mut session) = alone();
    claim(&mut etcd, &mut session, "r-1", None);
    let mut refund = EtcdSession::new(store);
    let keys = [payment("r-1"), payment("refund")];
    let mut both = read(&mut etcd, &mut refund, &keys);
    settle(&mut etcd, &mut session, "r-1", to_settled);
    let put = |now| vec![(payment("refund"), Entry::Claim(in_flight(now)))];
    let now = etcd.time();
    assert_eq!(ask(&mut etcd, &mut refund, commit(&both, put(now))), StoreEvent::Conflict);
    assert_eq!(etcd.places(), [('s', true)], "nothing of it is written");
    etcd.forget_calls();
    both = read(&mut etcd, &mut refund, &keys);
    assert!(matches!(both[0].entry, Entry::Claim(claim) if claim.is_resolved()));
    assert_eq!(ask(&mut etcd, &mut refund, commit(&both, put(now))), StoreEvent::Committed);
    assert_eq!((etcd.calls.len(), etcd.places()), (1, vec![('o', false), ('s', true)]));
}

/// A header key that leads to another payment: both are read as of one moment, and a commit that
/// builds on the first look is lost if that has changed.
#[test]
fn what_is_read_beside_is_read_together_with_what_was_read_before() {
    let (mut etcd, store, mut session) = alone();
    claim(&mut etcd, &mut session, "r-1", Some("k-1"));
    let mut other = EtcdSession::new(store);
    let before = read(&mut etcd, &mut other, &[header_key("k-1"), payment("r-2")]);
    settle(&mut etcd, &mut session, "r-1", to_settled);
    etcd.forget_calls();
    let more = seen(ask(&mut etcd, &mut other, StoreRequest::ReadMore(vec![payment("r-1")])));
    assert_eq!(etcd.calls.len(), 1);
    assert!(matches!(more[0].entry, Entry::Claim(claim) if claim.is_resolved()), "{more:?}");
    // The settlement has renewed the header key.
    let put = vec![(payment("r-2"), Entry::Claim(in_flight(etcd.time())))];
    assert_eq!(ask(&mut etcd, &mut other, commit(&before, put)), StoreEvent::Conflict);
    // All that it was written for is known now.
    etcd.forget_calls();
    read(&mut etcd, &mut other, &[header_key("k-1"), payment("r-2")]);
    assert_eq!(etcd.calls, []);
}

#[test]
fn a_guess_is_what_was_known_last_and_a_lost_claim_is_no_guess() {
    let (mut etcd, store, mut session) = alone();
    let peek = || StoreRequest::Peek(vec![payment("r-1")]);
    let absent = guessed(ask(&mut etcd, &mut session, peek()));
    assert_eq!((absent[0].entry, absent[0].version), (Entry::Absent, Version::default()));
    assert_eq!(etcd.calls, []);
    claim(&mut etcd, &mut session, "r-1", None);
    let own = guessed(ask(&mut etcd, &mut session, peek()));
    assert!(matches!(own[0].entry, Entry::Claim(claim) if claim.is_in_flight()));
    let mut other = EtcdSession::new(store);
    assert_eq!(claim(&mut etcd, &mut other, "r-1", None), StoreEvent::Conflict);
    assert_eq!(seen(ask(&mut etcd, &mut other, peek())), own, "as it is");
    assert_eq!(guessed(ask(&mut etcd, &mut other, peek())), own, "as it may be");
    assert_eq!(etcd.calls.len(), 2);
}

#[test]
fn a_pause_is_one_and_questions_are_answered_one_after_the_other() {
    let (mut etcd, _, mut session) = alone();
    let before = etcd.now;
    assert_eq!(ask(&mut etcd, &mut session, StoreRequest::Pause), StoreEvent::Resumed);
    assert_eq!((etcd.now - before, etcd.calls.len()), (limits::ETCD_PAUSE_MS, 0));
    let counters = WorkerCounters::default();
    let now = etcd.time();
    let mut outbox = Outbox::<_, _, ()>::new();
    let (first, second) = (Ticket::default(), Ticket::default().next());
    let read = |name| StoreRequest::Read(vec![payment(name)]);
    session.ask(first, read("r-1"), &terms(now, &counters), &mut outbox);
    session.ask(second, read("r-2"), &terms(now, &counters), &mut outbox);
    let (asked, told) = outbox.taken();
    assert_eq!((asked.len(), told.len()), (1, 0), "the second one waits");
    let mut outbox = Outbox::<_, _, ()>::new();
    let (ticket, request) = asked.into_iter().next().unwrap();
    let event = etcd.carry_out(request);
    session.told(ticket.next(), event.clone(), &terms(now, &counters), &mut outbox);
    session.told(ticket, event, &terms(now, &counters), &mut outbox);
    let (asked, told) = outbox.taken();
    assert_eq!((asked.len(), told.len(), told[0].0), (1, 1, first));
}

/// A resolved claim that is written again keeps its header keys; one that was bound to another payment
/// meanwhile stays there.
#[test]
fn a_header_key_that_leads_elsewhere_by_now_is_not_taken_back() {
    let (mut etcd, store, mut session) = alone();
    claim(&mut etcd, &mut session, "r-1", Some("k-1"));
    let mut other = EtcdSession::new(store);
    let found = read(&mut etcd, &mut other, &[header_key("k-1"), payment("r-2")]);
    let now = etcd.time();
    let put = vec![
        (header_key("k-1"), leads_to("r-2", now)),
        (payment("r-2"), Entry::Claim(in_flight(now))),
    ];
    assert_eq!(ask(&mut etcd, &mut other, commit(&found, put)), StoreEvent::Committed);
    // The first one expects it as it was, and is told.
    assert_eq!(settle(&mut etcd, &mut session, "r-1", to_settled), StoreEvent::Conflict);
    let known = read(&mut etcd, &mut session, &[payment("r-1")]);
    let Entry::Claim(claim) = known[0].entry else { panic!("{known:?}") };
    let put = vec![(payment("r-1"), to_settled(claim, now))];
    assert_eq!(ask(&mut etcd, &mut session, commit(&known, put)), StoreEvent::Committed);
    let alias = read(&mut etcd, &mut session, &[header_key("k-1")]);
    assert_eq!(alias[0].entry, leads_to("r-2", now));
    assert_eq!(etcd.places(), [('a', true), ('o', false), ('s', true)]);
}
