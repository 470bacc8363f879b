//! A session over cells in memory: what it asks for, in which order, and what it tells.

use super::*;
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::health::WorkerCounters;
use crate::engine::payment::{
    Claim, ClaimRules, ClaimState, Fingerprint, Incarnation, Money, PaymentRef,
};
use crate::engine::store::alias::{Alias, AliasTarget};
use crate::engine::store::contract::Patience;
use crate::engine::store::conversation::Taken;
use crate::engine::store::local::placement::{Placement, Seed};
use crate::engine::store::memory::MemoryStore;
use crate::engine::time::{Millis, Timestamp};

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const BUCKETS: u32 = 1024;
const RULES: ClaimRules = ClaimRules {
    lease: Millis::new(30_000),
    response: Millis::new(10_000),
    repeat_after: Millis::new(5000),
    repeat_max_age: Millis::new(3_600_000),
    settle_delay: Millis::new(60_000),
    shared_ledger: false,
};

/// The cells of one process.
#[derive(Default)]
struct Cells {
    values: MemoryStore,
    /// What was asked of them, in its order.
    asked: Vec<String>,
    /// Who writes this cell just before it is written: a lost race.
    quicker: Option<Cell>,
    fails: bool,
}

fn terms(counters: &WorkerCounters) -> Terms<'_> {
    Terms {
        now: NOW,
        placement: Placement::of_buckets(BUCKETS, Seed::default()),
        answer_sets: 8,
        rules: &RULES,
        claims: Millis::new(86_400_000),
        tokens: Millis::new(86_400_000),
        counters,
    }
}

fn key(number: usize) -> ClaimKey {
    ClaimKey::derive("p", "order", [number.to_string().as_str()])
}

fn payment(number: usize) -> Key {
    Key::Payment(key(number).reference())
}

fn alias(number: usize) -> Key {
    Key::Alias(key(number).reference())
}

fn place(key: Key) -> Cell {
    Cell::Claims(Placement::of_buckets(BUCKETS, Seed::default()).bucket(key.reference()))
}

fn claim(claimed_at: Timestamp) -> Claim {
    let gateways = Gateways::only(GatewayId::new(0).unwrap());
    let incarnation = Incarnation { claimed_at, nonce: 7 };
    Claim::new(Fingerprint([3; 16]), ClaimState::settled(gateways), incarnation, Money::default())
}

fn leads_to(payment: PaymentRef) -> Entry {
    Entry::Alias(Alias { to: AliasTarget::Payment(payment), used_at: NOW, nonce: 1 })
}

type Wanted = Taken<CellRequest, StoreEvent>;

fn asked(session: &mut Session, ticket: Ticket, ask: StoreRequest, terms: &Terms<'_>) -> Wanted {
    let mut outbox = Outbox::new();
    session.ask(ticket, ask, terms, &mut outbox);
    outbox.taken()
}

fn told(session: &mut Session, ticket: Ticket, event: CellEvent, terms: &Terms<'_>) -> Wanted {
    let mut outbox = Outbox::new();
    session.told(ticket, event, terms, &mut outbox);
    outbox.taken()
}

impl Cells {
    fn carry_out(&mut self, request: CellRequest) -> CellEvent {
        let cell = request.cell();
        if self.fails {
            return CellEvent::Failed(cell);
        }
        let reads = matches!(request, CellRequest::Load(_));
        self.asked.push(format!("{} {cell:?}", if reads { "load" } else { "store" }));
        if !reads && self.quicker.take_if(|quicker| *quicker == cell).is_some() {
            let same = self.values.load(cell).bytes;
            self.values.put(cell, same);
        }
        self.values.ask(request)
    }

    /// Asks for all of it and gives what is told.
    fn ask(&mut self, session: &mut Session, requests: Vec<StoreRequest>) -> Vec<StoreEvent> {
        let counters = WorkerCounters::default();
        let terms = terms(&counters);
        let mut all = Vec::new();
        let mut cells = VecDeque::new();
        for request in requests {
            let (asked, told) = asked(session, Ticket::default(), request, &terms);
            cells.extend(asked);
            all.extend(told);
        }
        while let Some((ticket, request)) = cells.pop_front() {
            let event = self.carry_out(request);
            let (asked, told) = told(session, ticket, event, &terms);
            cells.extend(asked);
            all.extend(told);
        }
        all.into_iter().map(|(_, event)| event).collect()
    }

    fn read(&mut self, session: &mut Session, keys: Vec<Key>) -> Vec<Seen> {
        match self.ask(session, vec![StoreRequest::Read(keys)]).as_slice() {
            [StoreEvent::Seen(seen)] => seen.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// Reads, and writes what is to stand there.
    fn put(&mut self, session: &mut Session, put: Vec<(Key, Entry)>) -> StoreEvent {
        let keys = put.iter().map(|(key, _)| *key).collect();
        let seen = self.read(session, keys);
        let expect = seen.iter().map(|seen| (seen.key, seen.version)).collect();
        let commit = StoreRequest::Commit(Commit { expect, put, patience: Patience::Long });
        self.ask(session, vec![commit]).remove(0)
    }

    fn entry(&mut self, key: Key) -> Entry {
        self.read(&mut Session::default(), vec![key])[0].entry
    }
}

#[test]
fn what_is_committed_is_seen_and_taken_out_again() {
    let (mut cells, mut session) = (Cells::default(), Session::default());
    let written = Entry::Claim(claim(NOW));
    assert_eq!(cells.put(&mut session, vec![(payment(1), written)]), StoreEvent::Committed);
    assert_eq!(cells.entry(payment(1)), written);
    assert_eq!(cells.entry(payment(2)), Entry::Absent);
    assert_eq!(cells.put(&mut session, vec![(payment(1), Entry::Absent)]), StoreEvent::Committed);
    assert_eq!(cells.entry(payment(1)), Entry::Absent);
}

#[test]
fn requests_are_answered_in_their_order_and_the_last_key_is_read_last() {
    let (mut cells, mut session) = (Cells::default(), Session::default());
    let keys = vec![payment(1), alias(2), payment(1)];
    let requests = vec![StoreRequest::ReadHealth, StoreRequest::Read(keys)];
    let told = cells.ask(&mut session, requests);
    assert!(matches!(told.as_slice(), [StoreEvent::Health(..), StoreEvent::Seen(_)]), "{told:?}");
    let order = [Cell::Health, place(alias(2)), place(payment(1))];
    assert_eq!(cells.asked, order.map(|cell| format!("load {cell:?}")));
    // What was looked at is not read again for what belongs to the same look.
    cells.asked.clear();
    cells.ask(&mut session, vec![StoreRequest::ReadMore(vec![payment(3), payment(1)])]);
    assert_eq!(cells.asked, [format!("load {:?}", place(payment(3)))]);
}

#[test]
fn aliases_are_written_before_claims_and_a_lost_race_writes_no_claim() {
    let put = || {
        let to = leads_to(key(1).reference());
        vec![(payment(1), Entry::Claim(claim(NOW))), (alias(2), to)]
    };
    let mut cells = Cells::default();
    cells.put(&mut Session::default(), put());
    let stores: Vec<&String> = cells.asked.iter().filter(|ask| ask.starts_with("store")).collect();
    let expected = [place(alias(2)), place(payment(1))].map(|cell| format!("store {cell:?}"));
    assert_eq!(stores, expected.iter().collect::<Vec<_>>());
    // Another worker is quicker, at either of them.
    for (quicker, left) in [(alias(2), Entry::Absent), (payment(1), leads_to(key(1).reference()))] {
        let mut cells = Cells { quicker: Some(place(quicker)), ..Cells::default() };
        assert_eq!(cells.put(&mut Session::default(), put()), StoreEvent::Conflict);
        assert_eq!((cells.entry(payment(1)), cells.entry(alias(2))), (Entry::Absent, left));
    }
}

#[test]
fn what_was_read_in_another_look_is_not_expected() {
    let (mut cells, mut session) = (Cells::default(), Session::default());
    let seen = cells.read(&mut session, vec![payment(1)])[0];
    cells.put(&mut Session::default(), vec![(payment(1), Entry::Claim(claim(NOW)))]);
    let put = vec![(payment(1), Entry::Absent)];
    let commit = |expect| {
        StoreRequest::Commit(Commit { expect, put: put.clone(), patience: Patience::Long })
    };
    let expect = vec![(payment(1), seen.version)];
    assert_eq!(cells.ask(&mut session, vec![commit(expect.clone())]), [StoreEvent::Conflict]);
    // It was not even read by this session.
    let told = cells.ask(&mut Session::default(), vec![commit(expect)]);
    assert_eq!(told, [StoreEvent::Conflict]);
    assert_ne!(cells.entry(payment(1)), Entry::Absent);
}

#[test]
fn a_bucket_without_room_refuses_and_nothing_is_written() {
    let (mut cells, mut session) = (Cells::default(), Session::default());
    let number = Placement::of_buckets(BUCKETS, Seed::default()).bucket(payment(0).reference());
    let mates = (1..).filter(|n| {
        Placement::of_buckets(BUCKETS, Seed::default()).bucket(payment(*n).reference()) == number
    });
    let mates: Vec<usize> = mates.take(limits::BUCKET_RECORDS_MAX).collect();
    for mate in &mates {
        let put = vec![(payment(*mate), Entry::Claim(claim(NOW)))];
        assert_eq!(cells.put(&mut session, put), StoreEvent::Committed);
    }
    cells.asked.clear();
    let put = vec![(payment(0), Entry::Claim(claim(NOW)))];
    assert_eq!(cells.put(&mut session, put), StoreEvent::Refused(StoreError::Full));
    assert!(!cells.asked.iter().any(|ask| ask.starts_with("store")), "{:?}", cells.asked);
    // A record that is there finds room again.
    let put = vec![(payment(mates[0]), Entry::Claim(claim(NOW)))];
    assert_eq!(cells.put(&mut session, put), StoreEvent::Committed);
}

#[test]
fn times_that_the_clock_was_put_back_from_are_mended_before_they_are_seen() {
    let (mut cells, mut session) = (Cells::default(), Session::default());
    let ahead = NOW.plus(Millis::new(86_400_000));
    cells.put(&mut session, vec![(payment(1), Entry::Claim(claim(ahead)))]);
    cells.asked.clear();
    let Entry::Claim(mended) = cells.entry(payment(1)) else { panic!("it is there") };
    assert_eq!((mended.changed_at, mended.incarnation.claimed_at), (NOW, ahead));
    let cell = place(payment(1));
    let load = format!("load {cell:?}");
    assert_eq!(cells.asked, [load.clone(), format!("store {cell:?}"), load]);
}

#[test]
fn a_host_that_fails_is_told_apart_from_a_lost_race() {
    let (mut cells, mut session) = (Cells::default(), Session::default());
    let seen = cells.read(&mut session, vec![payment(1)])[0];
    cells.fails = true;
    let put = vec![(payment(1), Entry::Claim(claim(NOW)))];
    let commit = Commit { expect: vec![(payment(1), seen.version)], put, patience: Patience::Long };
    let told = cells.ask(&mut session, vec![StoreRequest::Commit(commit)]);
    assert_eq!(told, [StoreEvent::Unclear]);
    let requests = vec![
        StoreRequest::ReadHealth,
        StoreRequest::Read(vec![payment(1)]),
        StoreRequest::FindAnswer(key(1), claim(NOW).incarnation),
    ];
    let unavailable = StoreEvent::Refused(StoreError::Unavailable);
    let expected = [StoreEvent::HealthUnclear, unavailable.clone(), unavailable];
    assert_eq!(cells.ask(&mut session, requests), expected);
}

#[test]
fn an_answer_is_kept_for_its_own_incarnation() {
    let (mut cells, mut session) = (Cells::default(), Session::default());
    let of = claim(NOW).incarnation;
    let answer = KeptAnswer { status: 200, content_type: None, body: b"paid".to_vec() };
    // Also where somebody else was quicker.
    cells.quicker = Some(terms(&WorkerCounters::default()).answers_of(&key(1)));
    let keep = StoreRequest::KeepAnswer(key(1), of, Box::new(answer.clone()));
    assert_eq!(cells.ask(&mut session, vec![keep]), [StoreEvent::AnswerKept]);
    let other = Incarnation { nonce: 8, ..of };
    let find = |of| StoreRequest::FindAnswer(key(1), of);
    let told = cells.ask(&mut session, vec![find(of), find(other)]);
    assert_eq!(told, [StoreEvent::Answer(Some(answer)), StoreEvent::Answer(None)]);
}

/// Each answer names its question, and each cell its own: what comes twice says nothing.
#[test]
fn what_comes_twice_is_not_taken_for_the_answer_to_something_else() {
    let (mut cells, mut session) = (Cells::default(), Session::default());
    let seen = cells.read(&mut session, vec![payment(1)])[0];
    let put = vec![(payment(1), Entry::Claim(claim(NOW)))];
    let commit = Commit { expect: vec![(payment(1), seen.version)], put, patience: Patience::Long };
    let counters = WorkerCounters::default();
    let terms = terms(&counters);
    let (first, second) = (Ticket::default().next(), Ticket::default().next().next());
    let (cells_wanted, _) = asked(&mut session, first, StoreRequest::Commit(commit), &terms);
    let [(write, _)] = cells_wanted[..] else { panic!("{cells_wanted:?}") };
    let queued = asked(&mut session, second, StoreRequest::ReadHealth, &terms);
    assert_eq!(queued, Wanted::default(), "one after the other");
    let stored = CellEvent::Stored(place(payment(1)));
    let (wanted, answers) = told(&mut session, write, stored.clone(), &terms);
    assert_eq!(answers, [(first, StoreEvent::Committed)]);
    let [(read, load)] = &wanted[..] else { panic!("{wanted:?}") };
    assert_eq!(told(&mut session, write, stored, &terms), Wanted::default(), "told twice");
    let health = cells.carry_out(load.clone());
    let (_, answers) = told(&mut session, *read, health, &terms);
    assert!(
        matches!(answers[..], [(ticket, StoreEvent::Health(..))] if ticket == second),
        "{answers:?}"
    );
}
