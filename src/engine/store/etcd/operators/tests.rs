//! Operators' questions over an etcd in memory: what is found by which front, and what is written.

use super::*;
use crate::engine::gateway::Gateways;
use crate::engine::payment::{
    ClaimKey, ClaimState, Closed, Evidence, Incarnation, Resolution, Step,
};
use crate::engine::store::cell::Cell;
use crate::engine::store::census::{Census, InDoubt};
use crate::engine::store::census_fixtures::{NOW, RULES, claim, doubt, gateway, one};
use crate::engine::store::etcd::fixture::{
    CallFault, FaultyEtcd, REALM, RETENTION, SKEW, TERMS, joined,
};
use crate::engine::store::etcd::key::Realm;
use crate::engine::store::etcd::value::{Value, Writer};
use crate::engine::store::local::bucket::{Bucket, Retention};
use crate::engine::store::local::placement::{Placement, Seed};
use crate::engine::time::Leaps;

/// An Envoy whose first gateway is the second one of the realm, and an operator's request at it.
struct Scene {
    etcd: FaultyEtcd,
    placement: Placement,
    session: EtcdOperatorSession,
}

fn key(name: &str) -> ClaimKey {
    ClaimKey::derive("p", "order", [name])
}

fn of(name: &str) -> PaymentRef {
    key(name).reference()
}

fn front(name: &str, digits: usize) -> KeyFront {
    KeyFront::parse(&key(name).to_string()[..digits]).unwrap()
}

/// Of whoever has written it, with the gateways of the realm.
fn value(of: PaymentRef, claim: Claim) -> Vec<u8> {
    let writer = Some(Writer { life: 9, write: 1 });
    Value { entry: Entry::Claim(claim), writer, answer: b"kept" }.encode(&of.prefix()).unwrap()
}

fn there(at: usize) -> Gateways {
    Gateways::only(gateway(at))
}

impl Scene {
    fn new() -> Self {
        let mut etcd = FaultyEtcd::new();
        joined(&mut etcd, "another", &["primary", "secondary"]);
        let placement = Placement::of_buckets(8, Seed::default());
        let mut layout = Layout::unclaimed(placement);
        let names = [("secondary", "c_2"), ("primary", "c_1"), ("gone", "c_3")];
        layout.join(placement.claims_max(), &names, &[]).unwrap();
        etcd.cells.put(Cell::Layout, layout.encode());
        let mut scene = Self { etcd, placement, session: session() };
        scene.begin();
        scene
    }

    /// A request that has read the layout, as all of them do.
    fn begin(&mut self) {
        self.session = session();
        let told = self.ask(OperatorRequest::Layout);
        assert!(matches!(told, OperatorEvent::Layout(Ok(Some(_)))), "{told:?}");
        self.etcd.forget_calls();
    }

    fn terms(&self) -> OperatorTerms<'static> {
        OperatorTerms { now: self.etcd.time(), rules: Some(&RULES) }
    }

    fn ask(&mut self, request: OperatorRequest) -> OperatorEvent {
        let mut outbox: Outbox<_, _, ()> = Outbox::new();
        let asked = Ticket::default().next();
        let terms = self.terms();
        self.session.ask(asked, request, &terms, &mut outbox);
        loop {
            let (requests, told) = outbox.taken();
            if let Some((ticket, event)) = told.into_iter().next() {
                assert!(requests.is_empty() && ticket == asked);
                return event;
            }
            let [(ticket, request)] = <[_; 1]>::try_from(requests).unwrap();
            let event = self.etcd.carry_out(request);
            outbox = Outbox::new();
            let terms = self.terms();
            self.session.told(ticket, event, &terms, &mut outbox);
        }
    }

    fn put(&mut self, place: char, of: PaymentRef, value: &[u8]) {
        self.etcd.etcd.put(format!("{REALM}{place}/{of}").as_bytes(), value);
    }

    fn open(&mut self, name: &str) -> Claim {
        let claim = claim(doubt(there(1), None), 60_000);
        self.put('o', of(name), &value(of(name), claim));
        claim
    }

    fn find(&mut self, front: KeyFront) -> OperatorEvent {
        self.ask(OperatorRequest::Find(front))
    }

    fn records(&mut self, front: KeyFront) -> Vec<(KeyPrefix, Entry)> {
        let event = self.find(front);
        let OperatorEvent::Found(Found::Records(records)) = event else { panic!("{event:?}") };
        records
    }

    /// What was found is settled at the gateway that has it.
    fn settle(&mut self, name: &str) -> OperatorEvent {
        let found = self.records(front(name, 64));
        let [(prefix, Entry::Claim(claim))] = found[..] else { panic!("{found:?}") };
        let settled = Claim { state: ClaimState::said_settled(one()), ..claim };
        self.ask(OperatorRequest::Replace(prefix, Box::new(settled)))
    }
}

fn session() -> EtcdOperatorSession {
    let store = EtcdStore::new(Realm::new("shop"), TERMS, b"operators");
    EtcdOperatorSession::new(Rc::new(store), RETENTION)
}

#[test]
fn any_front_of_a_key_leads_to_its_record_wherever_it_stands() {
    let mut scene = Scene::new();
    let open = scene.open("a");
    let settled = claim(ClaimState::settled(there(0)), 1);
    scene.put('s', of("b"), &value(of("b"), settled));
    scene.put('a', of("a"), b"what leads elsewhere is none");
    for digits in [16, 18, 32, 38, 40, 42, 64] {
        scene.begin();
        let found = scene.records(front("a", digits));
        let [(prefix, Entry::Claim(claim))] = found[..] else { panic!("{digits}: {found:?}") };
        assert_eq!(prefix, of("a").prefix());
        // The second gateway there is the first one here, and its end lies later by this clock.
        let later = |at: Timestamp| at.plus(SKEW);
        let ClaimState::InDoubt { ended_at, .. } = open.state else { panic!() };
        let ClaimState::InDoubt { candidates, ended_at: here, .. } = claim.state else { panic!() };
        assert_eq!((candidates, here), (one(), later(ended_at)));
        let found = scene.records(front("b", digits));
        let [(_, Entry::Claim(claim))] = found[..] else { panic!("{digits}: {found:?}") };
        assert_eq!(claim.state, ClaimState::settled(there(1)));
        assert_eq!(scene.records(front("nobody", digits)), []);
        assert_eq!(scene.etcd.calls.len(), 3, "one call for each");
    }
}

#[test]
fn several_that_begin_alike_are_told_and_so_is_a_payment_in_two_places() {
    let mut scene = Scene::new();
    let claim = scene.open("a");
    // Another one with the same 38 digits, which is resolved.
    let mut bytes = of("a").bytes();
    bytes[19] ^= 1;
    let twin = PaymentRef::from_bytes(bytes);
    scene.put('s', twin, &value(twin, claim));
    assert_eq!(scene.records(front("a", 38)).len(), 2);
    assert_eq!(scene.records(front("a", 40)).len(), 1);
    // No transaction leaves that, so nothing is known of it.
    scene.put('s', of("a"), &value(of("a"), claim));
    assert_eq!(scene.records(front("a", 40)), [(of("a").prefix(), Entry::Unreadable)]);
}

#[test]
fn what_cannot_be_read_here_is_not_guessed_at() {
    let mut scene = Scene::new();
    scene.open("a");
    scene.put('o', of("other"), b"\x09 another version");
    // A gateway that nobody here knows.
    scene.put('o', of("third"), &value(of("third"), claim(doubt(there(2), None), 1)));
    for name in ["other", "third"] {
        assert_eq!(scene.records(front(name, 40)), [(of(name).prefix(), Entry::Unreadable)]);
    }
    scene.etcd.etcd.put(format!("{REALM}o/{}x", &key("a").to_string()[..40]).as_bytes(), b"");
    let unreadable = OperatorEvent::Found(Found::Unreadable);
    assert_eq!(scene.find(front("a", 38)), unreadable, "a key that is none");
    scene.etcd.etcd.put(format!("{REALM}layout").as_bytes(), b"\x63");
    assert_eq!(scene.find(front("a", 40)), unreadable, "a layout of another version");
    scene.etcd.etcd.delete(format!("{REALM}layout").as_bytes());
    assert_eq!(scene.find(front("a", 40)), OperatorEvent::Found(Found::NotJoined));
}

/// Who has written it was a year ahead. For payments nothing is known of it until an operator has said
/// what became of it.
#[test]
fn a_record_from_a_clock_far_ahead_is_ended_by_an_operator_and_by_nobody_else() {
    let lease = Millis::new(RULES.lease.get() + SKEW.get());
    let settles = Millis::new(RULES.settle_delay.get() + SKEW.get());
    let far = NOW.plus(Millis::new(365 * 86_400_000));
    let until = far.plus(RULES.lease);
    let in_flight = ClaimState::InFlight { candidates: there(1), until, after_no: false };
    let in_doubt = ClaimState::in_doubt(there(1), far);
    let repeats = ClaimState::InDoubt {
        candidates: there(1),
        ended_at: far,
        repeat_until: Some(until),
        not_found: Some((gateway(1), far)),
    };
    let not_executed = ClaimState::Closed { how: Closed::Failed, gateways: one() };
    for (state, waits, word) in [
        (in_flight, lease, ClaimState::said_settled(one())),
        (in_doubt, Millis::default(), ClaimState::said_settled(one())),
        (in_doubt, settles, not_executed),
        (repeats, lease, ClaimState::said_settled(one())),
    ] {
        let mut scene = Scene::new();
        let (payments, _) = joined(&mut scene.etcd, "payments", &["primary", "secondary"]);
        let member = payments.membership().unwrap();
        let counts = |scene: &Scene, place: char| {
            let key = format!("{REALM}{place}/{}", of("a"));
            let value = scene.etcd.etcd.get(key.as_bytes()).unwrap().value.clone();
            payments.entry(Value::decode(&value), &member, scene.etcd.time())
        };
        let birth = Incarnation { claimed_at: far, nonce: 3 };
        let ahead = Claim { changed_at: far, incarnation: birth, ..claim(state, 1) };
        scene.put('o', of("a"), &value(of("a"), ahead));
        scene.begin();
        // It counts as changed now, and is written so.
        let began = scene.etcd.time();
        let found = scene.records(front("a", 40));
        let [(prefix, Entry::Claim(claim))] = found[..] else { panic!("{found:?}") };
        assert_eq!((claim.changed_at.max(began), claim.incarnation), (claim.changed_at, birth));
        assert!(claim.changed_at <= scene.etcd.time(), "{claim:?}");
        assert_eq!(scene.etcd.calls.len(), 2, "found, written");
        assert_eq!(scene.session.store.ahead(), 1);
        // How old it is nobody knows, so nobody sends it again.
        assert_eq!(counts(&scene, 'o'), Entry::Unreadable);
        // Its waits begin once, however often it is looked at.
        scene.etcd.now += waits.get();
        scene.begin();
        let again = scene.records(front("a", 40));
        assert_eq!(scene.etcd.calls.len(), 1, "as it stands");
        let resolution = if matches!(word, ClaimState::Closed { .. }) {
            Resolution::NotExecuted
        } else {
            Resolution::ExecutedAt(gateway(0))
        };
        let [(_, Entry::Claim(before))] = again[..] else { panic!("{again:?}") };
        let step = before.at(scene.etcd.time()).apply(
            Evidence::Operator(resolution),
            scene.etcd.time(),
            &RULES,
        );
        assert!(matches!(step, Step::To(_)), "{step:?} of {before:?}");
        let now = scene.etcd.time();
        let said = Claim { state: word, changed_at: now, ..before };
        let word = OperatorRequest::Replace(prefix, Box::new(said));
        assert_eq!(scene.ask(word), OperatorEvent::Written);
        // All of them can read that.
        let Entry::Claim(ended) = counts(&scene, 's') else { panic!("as it was") };
        assert!(ended.is_resolved() && ended.changed_at <= scene.etcd.time(), "{ended:?}");
    }
}

/// Whoever is quicker is seen there too, and nothing is said of what was not written.
#[test]
fn a_record_from_a_clock_far_ahead_is_mended_by_one_transaction() {
    let far = NOW.plus(Millis::new(2 * 86_400_000));
    let ahead = Claim { changed_at: far, ..claim(ClaimState::in_doubt(there(1), far), 1) };
    for (fault, told) in [
        (CallFault::Refused(7), Some(OperatorEvent::Unavailable)),
        (CallFault::Unsent, Some(OperatorEvent::Unavailable)),
        (CallFault::Garbage, None),
        (CallFault::AnswerLost, None),
    ] {
        let mut scene = Scene::new();
        scene.put('o', of("a"), &value(of("a"), ahead));
        scene.etcd.faults.insert(1, fault);
        let event = scene.find(front("a", 40));
        match told {
            Some(told) => assert_eq!(event, told, "{fault:?}"),
            None => assert!(
                matches!(event, OperatorEvent::Found(Found::Records(_))),
                "{fault:?}: {event:?}"
            ),
        }
        let (Entry::Claim(there), _) = scene.etcd.record('o', of("a")).unwrap() else { panic!() };
        assert_eq!(there.changed_at == far, told_nothing(&event), "{fault:?}");
    }
    // What was resolved is not written anew: it ends with its lease.
    let mut scene = Scene::new();
    let settled = Claim { state: ClaimState::settled(there(1)), ..ahead };
    scene.put('s', of("a"), &value(of("a"), settled));
    let found = scene.records(front("a", 40));
    assert!(matches!(found[..], [(_, Entry::Claim(claim))] if claim.is_resolved()), "{found:?}");
    assert_eq!(scene.etcd.calls.len(), 1);
}

fn told_nothing(event: &OperatorEvent) -> bool {
    *event == OperatorEvent::Unavailable
}

#[test]
fn a_word_is_written_once_with_a_lease_and_by_the_names_of_the_realm() {
    let mut scene = Scene::new();
    let open = scene.open("a");
    assert_eq!(scene.settle("a"), OperatorEvent::Written);
    assert_eq!(scene.etcd.calls.len(), 3, "found, a lease, written");
    assert_eq!(scene.etcd.record('o', of("a")), None);
    let (entry, writer) = scene.etcd.record('s', of("a")).unwrap();
    let Entry::Claim(claim) = entry else { panic!("{entry:?}") };
    assert_eq!(claim.state, ClaimState::said_settled(there(1)));
    assert_eq!((claim.incarnation, claim.money), (open.incarnation, open.money));
    assert_ne!(writer, Some((9, 1)), "a writer of its own");
    let kept = scene.etcd.etcd.get(format!("{REALM}s/{}", of("a")).as_bytes()).unwrap();
    assert_ne!(kept.lease, 0);
    // A second word of the same request builds on nothing.
    let word = OperatorRequest::Replace(of("a").prefix(), Box::new(claim));
    assert_eq!(scene.ask(word), OperatorEvent::Failed);
}

#[test]
fn the_lease_outlasts_the_retention_and_a_day_at_least() {
    for (retention, least) in [
        (RETENTION, 86_400),
        (Millis::new(1000), 86_400),
        (Millis::new(9 * 86_400_000), 9 * 86_400),
    ] {
        let store = Rc::clone(&session().store);
        let session = EtcdOperatorSession::new(store, retention);
        let lease = LeaseGrant::outlasting(session.retention);
        assert!(lease.ttl_s >= least && lease.ttl_s < least * 2, "{lease:?}");
    }
}

#[test]
fn whoever_is_quicker_is_seen_and_nothing_is_written_over() {
    let changes: [fn(&mut Scene); 4] = [
        // The payment's record.
        |scene| {
            let claim = claim(doubt(there(1), None), 60_000);
            scene.put('o', of("a"), &value(of("a"), claim));
        },
        // It was resolved.
        |scene| {
            scene.etcd.etcd.delete(format!("{REALM}o/{}", of("a")).as_bytes());
            let claim = claim(ClaimState::Closed { how: Closed::Failed, gateways: there(1) }, 1);
            scene.put('s', of("a"), &value(of("a"), claim));
        },
        // It is gone.
        |scene| scene.etcd.etcd.delete(format!("{REALM}o/{}", of("a")).as_bytes()),
        // The layout: gateways may have other places.
        |scene| {
            let key = format!("{REALM}layout");
            let same = scene.etcd.etcd.get(key.as_bytes()).unwrap().value.clone();
            scene.etcd.etcd.put(key.as_bytes(), &same);
        },
    ];
    for change in changes {
        let mut scene = Scene::new();
        scene.open("a");
        let found = scene.records(front("a", 40));
        let [(prefix, Entry::Claim(claim))] = found[..] else { panic!("{found:?}") };
        change(&mut scene);
        let before: Vec<_> =
            scene.etcd.etcd.keys().map(|(key, kept)| (key.to_vec(), kept.clone())).collect();
        let settled = Claim { state: ClaimState::said_settled(one()), ..claim };
        let word = OperatorRequest::Replace(prefix, Box::new(settled));
        assert_eq!(scene.ask(word), OperatorEvent::Conflict);
        let after: Vec<_> =
            scene.etcd.etcd.keys().map(|(key, kept)| (key.to_vec(), kept.clone())).collect();
        assert_eq!(before, after);
    }
}

/// Each call of a word goes wrong in each way, alone and with all that follow: what is told is true.
#[test]
fn whichever_call_goes_wrong_nothing_is_told_that_is_not_so() {
    let mut told = std::collections::BTreeSet::new();
    for at in 0..3 {
        for fault in CallFault::ALL {
            for lasts in [false, true] {
                let mut scene = Scene::new();
                scene.open("a");
                let others: Vec<usize> = if lasts { (at..64).collect() } else { vec![at] };
                scene.etcd.faults.extend(others.into_iter().map(|call| (call, fault)));
                let mut event = scene.find(front("a", 40));
                if let OperatorEvent::Found(Found::Records(found)) = event {
                    let [(prefix, Entry::Claim(claim))] = found[..] else { panic!("{found:?}") };
                    let settled = Claim { state: ClaimState::said_settled(one()), ..claim };
                    event = scene.ask(OperatorRequest::Replace(prefix, Box::new(settled)));
                }
                let is_written = scene.etcd.record('s', of("a")).is_some();
                let case = format!("{fault:?} of call {at}, lasts: {lasts}: {event:?}");
                if event == OperatorEvent::Failed {
                    // One try that goes wrong is made good by the next.
                    assert!(lasts, "{case}");
                } else if event == OperatorEvent::Written {
                    assert!(is_written, "{case}");
                } else {
                    assert!(matches!(event, OperatorEvent::Unavailable), "{case}");
                    assert!(!is_written, "{case}");
                    scene.etcd.land();
                    assert!(scene.etcd.record('s', of("a")).is_none(), "{case}: nor later");
                }
                let is_open = scene.etcd.record('o', of("a")).is_some();
                assert_eq!(is_open, scene.etcd.record('s', of("a")).is_none(), "{case}");
                told.insert(case.split(": ").last().unwrap().to_owned());
                // Said again, it is written, or is so already.
                scene.etcd.heal();
                scene.etcd.land();
                scene.begin();
                if scene.etcd.record('s', of("a")).is_none() {
                    assert_eq!(scene.settle("a"), OperatorEvent::Written, "{case}");
                }
            }
        }
    }
    assert!(["Written", "Unavailable", "Failed"].iter().all(|one| told.contains(*one)), "{told:?}");
}

#[test]
fn an_answer_that_comes_twice_or_to_nothing_changes_nothing() {
    let mut scene = Scene::new();
    scene.open("a");
    let mut outbox: Outbox<_, _, ()> = Outbox::new();
    let terms = scene.terms();
    let asked = Ticket::default().next();
    scene.session.ask(asked, OperatorRequest::Find(front("a", 40)), &terms, &mut outbox);
    let (requests, _) = outbox.taken();
    let (ticket, request) = requests[0].clone();
    let event = scene.etcd.carry_out(request);
    for (number, tickets) in [(0, ticket.next()), (1, ticket), (0, ticket)] {
        let mut outbox: Outbox<_, _, ()> = Outbox::new();
        scene.session.told(tickets, event.clone(), &terms, &mut outbox);
        let (requests, told) = outbox.taken();
        assert_eq!((requests.len(), told.len()), (0, number));
    }
}

/// On the way from one store to the other: what is not in etcd may be in memory.
#[test]
fn what_stays_in_memory_is_found_there_and_written_there() {
    let mut scene = Scene::new();
    let leaps = Leaps::NONE;
    let retention = Retention { claims: RETENTION, tokens: RETENTION, leaps };
    let cell = Cell::Claims(scene.placement.bucket(of("old")));
    let mut bucket = Bucket::default();
    bucket
        .put(
            &of("old").prefix(),
            &claim(doubt(one(), None), 60_000),
            scene.etcd.time(),
            retention.claims,
        )
        .unwrap();
    scene.etcd.cells.put(cell, bucket.into_bytes());
    let Cell::Claims(number) = cell else { panic!() };
    let listed = InDoubt {
        key: of("old").prefix(),
        bucket: number,
        candidates: one(),
        money: claim(doubt(one(), None), 1).money,
        claimed_at: scene.etcd.time(),
        ended_at: scene.etcd.time(),
        repeat_until: None,
        attempt: 1,
        observed: false,
    };
    let census = Census { oldest: vec![listed], ..Census::default() };
    scene.etcd.cells.put(Cell::Census, census.encode());
    scene.open("new");
    assert_eq!(scene.records(front("old", 40)), [], "not while nothing stays there");
    let mut layout = Layout::decode(&scene.etcd.cells.load(Cell::Layout).bytes).unwrap();
    assert!(layout.expect_claims());
    scene.etcd.cells.put(Cell::Layout, layout.encode());
    for digits in [16, 40] {
        scene.begin();
        let found = scene.records(front("old", digits));
        let [(prefix, Entry::Claim(claim))] = found[..] else { panic!("{found:?}") };
        assert_eq!(prefix, of("old").prefix());
        if digits == 40 {
            let settled = Claim { state: ClaimState::said_settled(one()), ..claim };
            let word = OperatorRequest::Replace(prefix, Box::new(settled));
            assert_eq!(scene.ask(word), OperatorEvent::Written);
        }
    }
    let found = scene.etcd.cells.bucket(number).unwrap().find(&of("old").prefix());
    let Entry::Claim(claim) = found else { panic!("{found:?}") };
    assert_eq!(claim.state, ClaimState::said_settled(one()));
    assert!(scene.etcd.record('s', of("old")).is_none());
    scene.begin();
    assert_eq!(scene.settle("new"), OperatorEvent::Written);
    assert!(scene.etcd.record('s', of("new")).is_some());
}
