//! Calls that go wrong.

use super::*;

/// Six tries of 400 ms.
#[test]
fn what_is_never_answered_is_unclear_and_nobody_is_asked_until_the_store_is_found() {
    let (mut etcd, store, mut session) = alone();
    etcd.outage = Some(CallFault::Lost);
    let before = etcd.now;
    assert_eq!(claim(&mut etcd, &mut session, "r-1", None), StoreEvent::Unclear);
    assert_eq!((etcd.calls.len(), etcd.now - before), (6, 2400));
    assert!(etcd.calls.iter().all(|call| call.message == etcd.calls[0].message));
    assert!(store.is_away());
    // Whoever comes next is told at once.
    etcd.heal();
    etcd.forget_calls();
    for request in [
        StoreRequest::Read(vec![payment("r-1")]),
        StoreRequest::Peek(vec![payment("r-1")]),
        commit(&[], vec![(payment("r-1"), Entry::Absent)]),
    ] {
        assert_eq!(ask(&mut etcd, &mut session, request), UNAVAILABLE);
    }
    assert_eq!(etcd.calls, []);
}

/// The second try is lost to the first one, which was carried out. Its writer tells whose it is.
#[test]
fn whoever_has_written_it_knows_its_own_claim() {
    for fault in [CallFault::AnswerLost, CallFault::Cut] {
        let (mut etcd, _, mut session) = alone();
        etcd.faults.insert(0, fault);
        assert_eq!(claim(&mut etcd, &mut session, "r-1", Some("k-1")), StoreEvent::Committed);
        assert_eq!(etcd.calls.len(), 2, "{fault:?}");
        // What is known of it is what stands there.
        assert_eq!(settle(&mut etcd, &mut session, "r-1", to_settled), StoreEvent::Committed);
        assert_eq!((etcd.calls.len(), etcd.places()), (3, vec![('a', true), ('s', true)]));
    }
}

/// Two Envoys that claim the same in the same millisecond write the same record. One wins, whatever
/// becomes of the answers.
#[test]
fn of_two_that_write_the_same_bytes_one_wins() {
    for fault in [None, Some(CallFault::AnswerLost), Some(CallFault::Cut)] {
        let mut etcd = FaultyEtcd::new();
        let (one, _) = joined(&mut etcd, "one", &GATEWAYS);
        let (other, _) = joined(&mut etcd, "other", &GATEWAYS);
        assert_ne!(one.life(), other.life());
        etcd.forget_calls();
        let now = etcd.now;
        // The first one has its claim written, and asks again.
        etcd.faults.extend(fault.map(|fault| (0, fault)));
        let mut told = Vec::new();
        for store in [one, other] {
            etcd.now = now;
            told.push(claim(&mut etcd, &mut EtcdSession::new(store), "r-1", None));
        }
        assert_eq!(told, [StoreEvent::Committed, StoreEvent::Conflict], "{fault:?}");
    }
}

/// A late copy of a claim that is settled, and of its settlement.
#[test]
fn late_copies_come_to_nothing() {
    let (mut etcd, _, mut session) = alone();
    etcd.faults.extend([(0, CallFault::Repeated), (1, CallFault::Repeated)]);
    claim(&mut etcd, &mut session, "r-1", Some("k-1"));
    settle(&mut etcd, &mut session, "r-1", to_settled);
    let before = etcd.etcd.clone();
    etcd.land();
    assert_eq!(etcd.etcd, before);
}

/// What reads an answer in garbage asks again; it never takes it for one.
#[test]
fn what_is_no_answer_is_none() {
    let (mut etcd, _, mut session) = alone();
    etcd.faults.insert(0, CallFault::Garbage);
    assert_eq!(claim(&mut etcd, &mut session, "r-1", None), StoreEvent::Committed);
    assert_eq!(etcd.calls.len(), 2);
    etcd.outage = Some(CallFault::Garbage);
    assert_eq!(settle(&mut etcd, &mut session, "r-1", to_settled), StoreEvent::Unclear);
    let (mut etcd, _, mut session) = alone();
    etcd.outage = Some(CallFault::Garbage);
    let read = StoreRequest::Read(vec![payment("r-1")]);
    assert_eq!(ask(&mut etcd, &mut session, read), UNAVAILABLE);
}

/// An answer of another transaction has other ranges than were asked for.
#[test]
fn an_answer_to_something_else_is_none() {
    let (mut etcd, _, mut session) = alone();
    let counters = WorkerCounters::default();
    let now = etcd.time();
    let read = |keys: &[Key]| StoreRequest::Read(keys.to_vec());
    let asks = |session: &mut EtcdSession, request| {
        let mut outbox = Outbox::<_, _, ()>::new();
        session.ask(Ticket::default(), request, &terms(now, &counters), &mut outbox);
        outbox.taken().0.remove(0)
    };
    let (ticket, request) = asks(&mut session, read(&[payment("r-1")]));
    let mut other = EtcdSession::new(Rc::clone(&session.store));
    for keys in [vec![header_key("k")], vec![payment("r-1"), payment("r-2")]] {
        let foreign = asks(&mut other, read(&keys)).1;
        let answer = etcd.carry_out(foreign);
        let mut outbox = Outbox::<_, _, ()>::new();
        let mut same = EtcdSession::new(Rc::clone(&session.store));
        assert_eq!(asks(&mut same, read(&[payment("r-1")])), (ticket, request.clone()));
        same.told(ticket, answer, &terms(now, &counters), &mut outbox);
        let (asked, told) = outbox.taken();
        assert_eq!((asked.len(), told.len()), (1, 0), "asked again: {told:?}");
        other = EtcdSession::new(Rc::clone(&session.store));
    }
}

/// Refused at the first try: nothing is there, and nothing will be.
#[test]
fn what_etcd_refuses_is_not_there() {
    for (fault, away, stale) in [
        (CallFault::Refused(7), false, false),
        (CallFault::Refused(5), false, true),
        (CallFault::Unsent, true, false),
    ] {
        let (mut etcd, store, mut session) = alone();
        etcd.faults.insert(0, fault);
        assert_eq!(claim(&mut etcd, &mut session, "r-1", None), UNAVAILABLE, "{fault:?}");
        assert_eq!((etcd.calls.len(), etcd.places()), (1, vec![]));
        assert_eq!((store.is_away(), store.is_stale()), (away, stale), "{fault:?}");
    }
    // Without space.
    let (mut etcd, store, mut session) = alone();
    etcd.etcd.set_full(true);
    assert_eq!(claim(&mut etcd, &mut session, "r-1", None), UNAVAILABLE);
    assert!(!store.is_away(), "it can still be read");
    read(&mut etcd, &mut session, &[payment("r-1")]);
    etcd.etcd.set_full(false);
    assert_eq!(claim(&mut etcd, &mut session, "r-1", None), StoreEvent::Committed);
}

/// A refusal says nothing of a try before it.
#[test]
fn what_etcd_refuses_after_a_try_that_was_not_answered_is_unclear() {
    for first in [CallFault::Lost, CallFault::AnswerLost, CallFault::Late] {
        for then in [3, 5, 7, 8, 16].map(CallFault::Refused) {
            let (mut etcd, _, mut session) = alone();
            etcd.faults.extend([(0, first), (1, then)]);
            let told = claim(&mut etcd, &mut session, "r-1", None);
            assert_eq!(told, StoreEvent::Unclear, "{first:?} {then:?}");
        }
        // That no member can be reached may be over in a moment.
        let (mut etcd, _, mut session) = alone();
        etcd.faults.extend([(0, first), (1, CallFault::Unsent)]);
        assert_eq!(claim(&mut etcd, &mut session, "r-1", None), StoreEvent::Committed);
        assert_eq!(etcd.calls.len(), 3);
    }
}

/// Each way in which two tries can end before the store answers: a claim is won exactly if it stands
/// there, and a late copy changes nothing after that.
#[test]
fn however_tries_end_the_claim_is_won_exactly_if_it_is_there() {
    let mut told = [0; 3];
    for first in CallFault::ALL {
        for second in CallFault::ALL {
            for quicker in [false, true] {
                let (mut etcd, store, mut session) = alone();
                if quicker {
                    claim(&mut etcd, &mut EtcdSession::new(Rc::clone(&store)), "r-1", None);
                    etcd.forget_calls();
                }
                let before = etcd.record('o', of("r-1")).map(|(_, writer)| writer);
                etcd.faults.extend([(0, first), (1, second)]);
                let event = claim(&mut etcd, &mut session, "r-1", None);
                let what = format!("{first:?}, {second:?}, {quicker}: {event:?}");
                let there = etcd.record('o', of("r-1")).map(|(_, writer)| writer);
                let is_mine = there.is_some() && there != before;
                let ends = [StoreEvent::Committed, StoreEvent::Conflict, StoreEvent::Unclear];
                let place = ends.iter().position(|end| *end == event);
                if place == Some(2) {
                    told[2] += 1;
                    continue;
                }
                assert!(place.is_some() || event == UNAVAILABLE, "{what}");
                assert_eq!(is_mine, place == Some(0), "{what}");
                assert!(quicker || place != Some(1), "{what}");
                place.into_iter().for_each(|place| told[place] += 1);
                let before = etcd.etcd.clone();
                etcd.land();
                assert_eq!(etcd.etcd, before, "{what}");
            }
        }
    }
    assert!(told.iter().all(|times| *times > 20), "{told:?}");
}

/// Whoever has an older layout is refused, and nothing of what it wrote is there.
#[test]
fn a_layout_that_has_changed_fences_every_claim_off() {
    let (mut etcd, store, mut session) = alone();
    claim(&mut etcd, &mut session, "r-1", Some("k-1"));
    let layout = format!("{REALM}layout");
    let bytes = etcd.etcd.get(layout.as_bytes()).unwrap().value.clone();
    etcd.etcd.put(layout.as_bytes(), &bytes);
    let before = etcd.etcd.clone();
    let mut next = EtcdSession::new(Rc::clone(&store));
    assert_eq!(claim(&mut etcd, &mut next, "r-2", Some("k-2")), UNAVAILABLE);
    assert_eq!((etcd.etcd.clone(), store.is_stale()), (before.clone(), true));
    // The same where the claim would be lost anyhow, and where a payment is settled.
    assert_eq!(claim(&mut etcd, &mut next, "r-1", None), UNAVAILABLE);
    assert_eq!(settle(&mut etcd, &mut session, "r-1", to_settled), UNAVAILABLE);
    assert_eq!(etcd.etcd, before);
    // It can be read all the same.
    let found = read(&mut etcd, &mut next, &[payment("r-1")]);
    assert!(matches!(found[0].entry, Entry::Claim(_)));
    // Nothing stands where the layout was.
    etcd.etcd.delete(layout.as_bytes());
    assert_eq!(claim(&mut etcd, &mut next, "r-2", None), UNAVAILABLE);
}

/// The layout changes after the claim was carried out and before that is known.
#[test]
fn a_claim_that_was_won_before_the_layout_changed_is_won() {
    let (mut etcd, store, mut session) = alone();
    let counters = WorkerCounters::default();
    let mut outbox = Outbox::<_, _, ()>::new();
    let absent = guessed(ask(&mut etcd, &mut session, StoreRequest::Peek(vec![payment("r-1")])));
    let put = vec![(payment("r-1"), Entry::Claim(in_flight(etcd.time())))];
    let now = etcd.time();
    session.ask(Ticket::default(), commit(&absent, put), &terms(now, &counters), &mut outbox);
    let (ticket, request) = outbox.taken().0.remove(0);
    etcd.carry_out(request);
    etcd.etcd.put(format!("{REALM}layout").as_bytes(), b"another");
    let mut outbox = Outbox::<_, _, ()>::new();
    let lost = BackendEvent::Rpc(crate::engine::store::backend::RpcEvent::Failed(4));
    let late = now.plus(Millis::new(400));
    session.told(ticket, lost, &terms(late, &counters), &mut outbox);
    let (ticket, request) = outbox.taken().0.remove(0);
    let event = etcd.carry_out(request);
    let mut outbox = Outbox::<_, _, ()>::new();
    session.told(ticket, event, &terms(late, &counters), &mut outbox);
    assert_eq!(outbox.taken().1.remove(0).1, StoreEvent::Committed);
    assert!(!store.is_stale());
}

/// The lease that settled records end with has ended itself: nothing is written, the worker gets
/// another one, and then it is.
#[test]
fn a_lease_that_has_ended_is_replaced() {
    let mut etcd = FaultyEtcd::new();
    let (store, mut member) = joined(&mut etcd, "one", &GATEWAYS);
    let mut session = EtcdSession::new(Rc::clone(&store));
    claim(&mut etcd, &mut session, "r-1", None);
    let leases: Vec<u64> = etcd.etcd.leases().collect();
    leases.iter().for_each(|lease| etcd.etcd.expire(*lease));
    let before = etcd.etcd.clone();
    assert_eq!(settle(&mut etcd, &mut session, "r-1", to_settled), UNAVAILABLE);
    assert_eq!((etcd.etcd.clone(), store.is_stale()), (before, true));
    etcd.now += limits::ETCD_TICK_MS;
    assert_eq!(tick(&mut etcd, &mut member), []);
    assert!(!store.is_stale());
    assert_eq!(settle(&mut etcd, &mut session, "r-1", to_settled), StoreEvent::Committed);
    assert_eq!(etcd.places(), [('s', true)]);
    // A claim with a header key needs one as well.
    let leases: Vec<u64> = etcd.etcd.leases().collect();
    leases.iter().for_each(|lease| etcd.etcd.expire(*lease));
    assert_eq!(claim(&mut etcd, &mut session, "r-2", Some("k-2")), UNAVAILABLE);
    etcd.now += limits::ETCD_TICK_MS;
    assert_eq!(tick(&mut etcd, &mut member), []);
    assert_eq!(claim(&mut etcd, &mut session, "r-2", Some("k-2")), StoreEvent::Committed);
}

/// A client that gets a success waits for one try.
#[test]
fn whoever_has_no_time_tries_once() {
    let (mut etcd, _, mut session) = alone();
    claim(&mut etcd, &mut session, "r-1", None);
    etcd.forget_calls();
    etcd.outage = Some(CallFault::Lost);
    let known = guessed(ask(&mut etcd, &mut session, StoreRequest::Peek(vec![payment("r-1")])));
    let put = vec![(payment("r-1"), to_settled(in_flight(etcd.time()), etcd.time()))];
    let expect = vec![(payment("r-1"), known[0].version)];
    let short = Commit { expect, put, patience: Patience::Short };
    let told = ask(&mut etcd, &mut session, StoreRequest::Commit(short));
    assert_eq!((told, etcd.calls.len()), (StoreEvent::Unclear, 1));
}

/// A backup is restored between two claims of one worker. The first one may be missing there, so the
/// second one does not count, though it is written.
#[test]
fn what_is_claimed_in_a_restored_backup_is_not_sent() {
    let (mut etcd, store, mut session) = alone();
    let backup = etcd.etcd.clone();
    for name in ["r-1", "r-2"] {
        assert_eq!(claim(&mut etcd, &mut session, name, None), StoreEvent::Committed);
    }
    etcd.etcd = backup;
    let mut session = EtcdSession::new(Rc::clone(&store));
    assert_eq!(claim(&mut etcd, &mut session, "r-1", None), StoreEvent::Unclear);
    assert_eq!(ask(&mut etcd, &mut session, StoreRequest::Retract), StoreEvent::Retracted);
    assert_eq!(etcd.places(), [('s', true)], "it is given back");
    let read = StoreRequest::Read(vec![payment("r-2")]);
    assert_eq!(ask(&mut etcd, &mut EtcdSession::new(store), read), UNAVAILABLE);
}

/// Answers may overtake each other: an older revision says nothing of a call that was sent before the
/// newer one was known.
#[test]
fn an_answer_that_was_overtaken_is_no_older_store() {
    let (_, store, _) = alone();
    let since = store.revision();
    assert!(store.goes_on(since, since + 2));
    assert!(store.goes_on(since, since + 1));
    assert!(store.ready().is_some());
    assert!(!store.goes_on(since + 2, since + 1));
    assert!(store.ready().is_none());
}
