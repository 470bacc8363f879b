//! A store that answers when it likes: later, in another order, twice, or never, while the client
//! waits or has left.

use std::collections::BTreeMap;

use super::*;
use crate::engine::store::{
    Commit, Entry, KeptAnswer, Key, Seen, StoreError, StoreEvent, StoreRequest, Version,
};

const OF_REFUND: &str =
    r#"{"merchantId":"m-1","originalPartnerReferenceNo":"r-1","partnerRefundNo":"x-1"}"#;

/// A store of records by key, as a distributed one would be: a commit is all or nothing.
#[derive(Clone, Default)]
struct Records {
    entries: BTreeMap<(bool, [u8; 20]), (Entry, u64)>,
    commits: u64,
    health: (Health, u64),
    answers: Vec<(String, KeptAnswer)>,
}

fn slot(key: Key) -> (bool, [u8; 20]) {
    (matches!(key, Key::Payment(_)), key.reference().bytes())
}

impl Records {
    fn seen(&self, key: Key) -> Seen {
        let (entry, version) = self.entries.get(&slot(key)).copied().unwrap_or((Entry::Absent, 0));
        Seen { key, entry, version: Version::from_number(version) }
    }

    fn commit(&mut self, commit: Commit) -> StoreEvent {
        let is_as_read = |(key, version): &(Key, Version)| self.seen(*key).version == *version;
        if !commit.expect.iter().all(is_as_read) {
            return StoreEvent::Conflict;
        }
        self.commits += 1;
        for (key, entry) in commit.put {
            self.entries.insert(slot(key), (entry, self.commits));
        }
        StoreEvent::Committed
    }

    fn ask(&mut self, request: StoreRequest) -> StoreEvent {
        match request {
            StoreRequest::Read(keys) | StoreRequest::ReadMore(keys) | StoreRequest::Peek(keys) => {
                StoreEvent::Seen(keys.into_iter().map(|key| self.seen(key)).collect())
            }
            StoreRequest::Commit(commit) => self.commit(commit),
            StoreRequest::Retract => StoreEvent::Retracted,
            StoreRequest::Pause => StoreEvent::Resumed,
            StoreRequest::ReadHealth => StoreEvent::Health(
                Box::new(self.health.0.clone()),
                Version::from_number(self.health.1),
            ),
            StoreRequest::WriteHealth(health, version) => {
                if version != Version::from_number(self.health.1) {
                    return StoreEvent::HealthConflict;
                }
                self.health = (*health, self.health.1 + 1);
                StoreEvent::HealthWritten
            }
            StoreRequest::FindAnswer(key, of) => {
                let name = format!("{key:?} {of:?}");
                let found = self.answers.iter().find(|(other, _)| *other == name);
                StoreEvent::Answer(found.map(|(_, kept)| kept.clone()))
            }
            StoreRequest::KeepAnswer(key, of, kept) => {
                self.answers.push((format!("{key:?} {of:?}"), *kept));
                StoreEvent::AnswerKept
            }
        }
    }

    fn claims(&self) -> Vec<Claim> {
        let entries = self.entries.values().map(|(entry, _)| *entry);
        let claims = entries.filter_map(|entry| match entry {
            Entry::Claim(claim) => Some(claim),
            Entry::Absent | Entry::Alias(_) | Entry::Unreadable => None,
        });
        claims.collect()
    }

    fn aliases(&self) -> usize {
        self.entries.values().filter(|(entry, _)| matches!(entry, Entry::Alias(_))).count()
    }
}

/// What is asked for and what was told, for one request at a time.
struct Slow {
    world: World,
    records: Records,
    exchange: Exchange,
    /// Asked, and carried out by the store or not yet.
    open: Vec<(Ticket, StoreRequest)>,
    /// Answers that were told, to be told again.
    old: Vec<(Ticket, StoreEvent)>,
    effects: Vec<ExchangeEffect>,
}

/// How the store goes about its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// The question that was asked first is answered first.
    InOrder,
    /// The one that was asked last.
    LastFirst,
    /// Everything is told twice, the second time after the next answer.
    Twice,
}

const MANNERS: [Manner; 3] = [Manner::InOrder, Manner::LastFirst, Manner::Twice];

impl Slow {
    fn new(records: Records, world: World) -> Self {
        let exchange = Exchange::new(Rc::clone(&world.policy));
        let (open, old, effects) = (Vec::new(), Vec::new(), Vec::new());
        Self { world, records, exchange, open, old, effects }
    }

    /// Both gateways are well, as in [`World::new`].
    fn healthy() -> Records {
        Records { health: (World::new().store.health(), 1), ..Records::default() }
    }

    fn feed(&mut self, input: InputOf<'_, Exchange>) {
        let now = self.world.time();
        for output in self.exchange.handle(input, now, &mut self.world.counters) {
            match output {
                Output::Ask(ticket, request) => self.open.push((ticket, request)),
                Output::Do(effect) => self.effects.push(effect),
            }
        }
    }

    fn begin(&mut self, asked: &Asked) {
        let fields = asked.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let headers: Vec<(&[u8], &[u8])> = fields.collect();
        let request =
            Request { headers: &headers, body: asked.body.as_bytes(), peer: &[], context: 1 };
        self.feed(Input::Event(ExchangeEvent::Request(request)));
    }

    /// The store answers one question; false when none is open.
    fn answer(&mut self, manner: Manner) -> bool {
        if self.open.is_empty() {
            return false;
        }
        let last = self.open.len() - 1;
        let at = if manner == Manner::LastFirst { last } else { 0 };
        let (ticket, request) = self.open.remove(at);
        let told = self.records.ask(request);
        self.feed(Input::Told(ticket, told.clone()));
        if manner == Manner::Twice {
            for (ticket, event) in std::mem::take(&mut self.old) {
                let before = (self.open.len(), self.effects.len());
                self.feed(Input::Told(ticket, event));
                assert_eq!((self.open.len(), self.effects.len()), before, "what comes twice");
            }
            self.old.push((ticket, told));
        }
        true
    }

    fn answer_all(&mut self, manner: Manner) -> usize {
        let mut answers = 0;
        while self.answer(manner) {
            answers += 1;
            assert!(answers < 100, "it comes to an end");
        }
        answers
    }

    /// The gateway has executed it.
    fn executed(&mut self) {
        self.answered(upstream(200, OK));
    }

    fn answered(&mut self, ending: Ending<'_>) {
        let answer = Answer {
            evidence: ending.evidence,
            endpoint: ending.endpoint,
            content_type: Some("application/json"),
            ..Answer::never_left(true)
        };
        self.feed(Input::Event(ExchangeEvent::Answered(answer)));
    }

    fn sent(&self) -> usize {
        let sent = |effect: &&ExchangeEffect| {
            matches!(effect, ExchangeEffect::Forward(_) | ExchangeEffect::Call(_))
        };
        self.effects.iter().filter(sent).count()
    }

    fn answers(&self) -> usize {
        let answers = |effect: &&ExchangeEffect| {
            matches!(effect, ExchangeEffect::Reply(_) | ExchangeEffect::Relay { .. })
        };
        self.effects.iter().filter(answers).count()
    }

    fn states(&self) -> Vec<&'static str> {
        let now = self.world.time();
        self.records.claims().iter().map(|claim| name(claim.at(now).state)).collect()
    }

    /// The same store and another request.
    fn next(self) -> Self {
        Self::new(self.records, self.world)
    }
}

/// What it is, the request, and what the store holds before it.
type Case = (&'static str, Asked, fn() -> Slow);

fn requests() -> Vec<Case> {
    fn empty() -> Slow {
        Slow::new(Slow::healthy(), World::new())
    }
    fn paid() -> Slow {
        let mut slow = empty();
        slow.begin(&post(CREATE, ORDER));
        slow.answer_all(Manner::InOrder);
        slow.executed();
        slow.answer_all(Manner::InOrder);
        slow.next()
    }
    fn in_doubt() -> Slow {
        let mut slow = empty();
        slow.begin(&post(CREATE, ORDER));
        slow.answer_all(Manner::InOrder);
        slow.answered(TIMEOUT.at("primary"));
        slow.answer_all(Manner::InOrder);
        slow.world.pass(6000);
        slow.next()
    }
    fn on_trial() -> Slow {
        let mut world = World::new();
        world.trip("primary");
        world.pass(20_000);
        Slow::new(Records { health: (world.store.health(), 1), ..Records::default() }, world)
    }
    vec![
        ("a payment", post(CREATE, ORDER), empty as fn() -> Slow),
        ("with a header key", post(CREATE, ORDER).with("idempotency-key", "k-1"), empty),
        ("a trial", post(CREATE, ORDER), on_trial),
        ("a repeat in doubt", post(CREATE, ORDER), in_doubt),
        ("a replay", post(CREATE, ORDER), paid),
        ("a refund", post(REFUND, OF_REFUND), paid),
        ("a status", post(STATUS, OF_ORDER), paid),
        ("a malformed repeat", post(CREATE, &ORDER.replace("IDR", "")), in_doubt),
    ]
}

fn is_trial_out(slow: &Slow) -> bool {
    let primary = slow.world.id("primary");
    let breaker = slow.records.health.0.member(primary).map(|member| member.breaker.state());
    matches!(breaker, Some(BreakerState::HalfOpen { out: 1.., .. }))
}

#[test]
fn whenever_the_store_answers_the_request_ends_as_if_it_had_answered_at_once() {
    for (what, asked, store) in requests() {
        let ends = MANNERS.map(|manner| {
            let mut slow = store();
            slow.begin(&asked);
            slow.answer_all(manner);
            if slow.exchange.is_sent() {
                slow.executed();
                slow.answer_all(manner);
            }
            assert!(slow.exchange.is_ended() && !slow.exchange.awaits_store(), "{what} {manner:?}");
            assert_eq!(slow.answers(), 1, "{what} {manner:?}: {:?}", slow.effects);
            (slow.sent(), slow.states(), slow.effects)
        });
        assert_eq!(ends[0], ends[1], "{what}");
        assert_eq!(ends[0], ends[2], "{what}");
    }
}

/// At every point, and however the store answers afterwards: nothing is sent and nobody answered
/// after that, no claim stays that nobody will send, and the permit of a trial comes back.
#[test]
fn a_client_that_leaves_while_the_store_is_asked_leaves_nothing_behind() {
    let mut handed_off = 0;
    for (what, asked, store) in requests() {
        for manner in MANNERS {
            for point in 0..20 {
                let mut slow = store();
                let before = (slow.states(), slow.records.aliases());
                slow.begin(&asked);
                let reached = (0..point).all(|_| slow.answer(manner));
                if slow.exchange.is_sent() || slow.exchange.is_ended() || !reached {
                    break;
                }
                let what = format!("{what}, {manner:?}, gone after {point} answers");
                assert_eq!((slow.sent(), slow.answers()), (0, 0), "{what}");
                slow.feed(Input::Event(ExchangeEvent::ClientGone));
                let unfinished = slow.effects.contains(&ExchangeEffect::HandOff);
                assert_eq!(unfinished, !slow.exchange.is_ended(), "{what}");
                handed_off += u32::from(unfinished);
                slow.answer_all(manner);
                assert!(slow.exchange.is_ended(), "{what}");
                assert_eq!((slow.sent(), slow.answers()), (0, 0), "{what}");
                assert_eq!((slow.states(), slow.records.aliases()), before, "{what}");
                assert!(!is_trial_out(&slow), "{what}");
            }
        }
    }
    assert!(handed_off > 10, "{handed_off}");
}

/// What an answer proves is written down although nobody waits for it any longer.
#[test]
fn a_client_that_leaves_while_its_answer_is_held_changes_nothing_of_what_is_written() {
    for manner in MANNERS {
        for point in 0..10 {
            let mut slow = Slow::new(Slow::healthy(), World::new());
            slow.begin(&post(CREATE, ORDER));
            slow.answer_all(manner);
            slow.executed();
            if !(0..point).all(|_| slow.answer(manner)) || slow.exchange.is_ended() {
                break;
            }
            slow.feed(Input::Event(ExchangeEvent::ClientGone));
            assert!(slow.effects.contains(&ExchangeEffect::HandOff));
            slow.answer_all(manner);
            assert_eq!((slow.states(), slow.answers()), (vec!["settled"], 0), "{manner:?} {point}");
        }
    }
}

/// The next gateway was about to be asked when the client left: it is not, and the claim of the
/// follow-up says that it was not.
#[test]
fn nobody_else_is_asked_for_a_client_that_has_left() {
    for manner in MANNERS {
        let mut called = 0;
        for point in 0..20 {
            let mut slow = Slow::new(Slow::healthy(), World::new());
            slow.begin(&post(REFUND, OF_REFUND));
            slow.answer_all(manner);
            assert!(slow.exchange.is_sent());
            slow.answered(upstream(404, r#"{"responseCode":"4045801"}"#));
            if !(0..point).all(|_| slow.answer(manner)) || slow.exchange.is_sent() {
                called += usize::from(slow.exchange.is_sent());
                break;
            }
            slow.feed(Input::Event(ExchangeEvent::ClientGone));
            slow.answer_all(manner);
            assert!(slow.exchange.is_ended());
            assert_eq!(slow.sent(), 1, "{manner:?} {point}: {:?}", slow.effects);
            let under_way = slow.states().contains(&"in_flight");
            assert!(!under_way, "{manner:?} {point}: {:?}", slow.states());
        }
        assert_eq!(called, 1, "{manner:?}: with its client there, the next one is asked");
    }
}

/// A store that never answers, and one that says at last that it cannot.
#[test]
fn without_an_answer_nothing_is_sent_and_a_refusal_ends_it() {
    for (what, asked, store) in requests() {
        for refusal in [
            StoreEvent::Unclear,
            StoreEvent::Refused(StoreError::Unavailable),
            StoreEvent::Refused(StoreError::Full),
        ] {
            let mut slow = store();
            slow.begin(&asked);
            while slow.open.iter().any(|(_, request)| !matches!(request, StoreRequest::Commit(_))) {
                let health = slow
                    .open
                    .iter()
                    .position(|(_, request)| !matches!(request, StoreRequest::Commit(_)));
                let (ticket, request) = slow.open.remove(health.unwrap());
                let told = slow.records.ask(request);
                slow.feed(Input::Told(ticket, told));
            }
            let Some((ticket, _)) = slow.open.pop() else {
                continue;
            };
            assert_eq!((slow.sent(), slow.answers()), (0, 0), "{what}: held until it is known");
            slow.feed(Input::Told(ticket, refusal.clone()));
            slow.answer_all(Manner::InOrder);
            let ended = slow.exchange.is_ended() && slow.sent() == 0 && slow.answers() == 1;
            assert!(ended, "{what} {refusal:?}: {:?}", slow.effects);
            assert!(!is_trial_out(&slow), "{what} {refusal:?}");
        }
    }
}

/// By then another request may have gone on without it, at another gateway.
#[test]
fn a_claim_that_was_won_too_late_is_not_sent() {
    let lease = World::new().policy.claims.lease.get();
    let response = World::new().policy.config.timeouts.response.get();
    for (late, is_sent) in [(0, true), (lease - response, true), (lease - response + 1, false)] {
        let mut slow = Slow::new(Slow::healthy(), World::new());
        slow.begin(&post(CREATE, ORDER).with("idempotency-key", "k-1"));
        while slow.open.iter().all(|(_, request)| !matches!(request, StoreRequest::Commit(_))) {
            slow.answer(Manner::InOrder);
        }
        slow.world.pass(late);
        slow.answer_all(Manner::InOrder);
        assert_eq!(slow.exchange.is_sent(), is_sent, "{late}");
        if !is_sent {
            let replies = slow.effects.iter().filter_map(|effect| {
                if let ExchangeEffect::Reply(reply) = effect { Some(reply) } else { None }
            });
            let told: Vec<_> = replies.map(|reply| (reply.status, reply.reason)).collect();
            assert_eq!((told.as_slice(), slow.sent()), ([(503, "never_sent")].as_slice(), 0));
            assert_eq!((slow.states(), slow.records.aliases()), (vec![], 0), "it is free again");
        }
    }
}

/// A status that goes on from gateway to gateway: what the first one has said is written in the end,
/// although the store was away when it said so.
#[test]
fn what_was_learnt_on_the_way_is_not_forgotten_where_the_way_goes_on() {
    const FAILED: &str = r#"{"responseCode":"2005500","originalPartnerReferenceNo":"r-1","latestTransactionStatus":"06"}"#;
    for is_lost in [false, true] {
        let mut slow = Slow::new(Slow::healthy(), World::new());
        slow.begin(&post(CREATE, ORDER));
        slow.answer_all(Manner::InOrder);
        slow.answered(TIMEOUT);
        slow.answer_all(Manner::InOrder);
        assert_eq!(slow.states(), ["in_doubt"]);
        let mut slow = slow.next();
        slow.world.pass(60_000);
        slow.begin(&post(STATUS, OF_ORDER));
        slow.answer_all(Manner::InOrder);
        slow.answered(upstream(200, FAILED).at("primary"));
        if is_lost {
            let (ticket, request) = slow.open.remove(0);
            assert!(matches!(request, StoreRequest::Peek(_)), "{request:?}");
            slow.feed(Input::Told(ticket, StoreEvent::Refused(StoreError::Unavailable)));
        }
        slow.answer_all(Manner::InOrder);
        assert!(slow.exchange.is_sent(), "the next one is asked: {:?}", slow.effects);
        slow.answered(upstream(200, FAILED).at("secondary"));
        slow.answer_all(Manner::InOrder);
        assert!(slow.exchange.is_ended() && slow.answers() == 1, "{:?}", slow.effects);
        assert_eq!(slow.states(), ["closed"], "both have said so, lost: {is_lost}");
    }
}

/// The next gateway's claim was written late: that one is not asked either.
#[test]
fn a_follow_up_whose_next_claim_was_won_too_late_goes_no_further() {
    let mut slow = Slow::new(Slow::healthy(), World::new());
    slow.begin(&post(REFUND, OF_REFUND));
    slow.answer_all(Manner::InOrder);
    slow.answered(upstream(404, r#"{"responseCode":"4045801"}"#));
    while slow.open.iter().all(|(_, request)| !matches!(request, StoreRequest::Commit(_))) {
        slow.answer(Manner::InOrder);
    }
    slow.world.pass(slow.world.policy.claims.lease.get());
    slow.answer_all(Manner::InOrder);
    assert!(slow.exchange.is_ended());
    assert_eq!((slow.sent(), slow.answers()), (1, 1), "{:?}", slow.effects);
}

/// How long the store takes says nothing of a gateway.
#[test]
fn a_slow_store_makes_no_gateway_slow() {
    let mut slow = Slow::new(Slow::healthy(), World::new());
    slow.begin(&post(CREATE, ORDER));
    while slow.answer(Manner::InOrder) {
        slow.world.pass(4000);
    }
    assert!(slow.exchange.is_sent());
    slow.world.pass(100);
    slow.executed();
    slow.answer_all(Manner::InOrder);
    let counted = slow.world.counters.take();
    let slow_calls: u32 = counted.iter().map(|batch| batch.tally.slow).sum();
    assert_eq!((counted.len(), slow_calls), (1, 0), "{counted:?}");
}

/// Its permit was written later than it was decided, and its claim later still.
#[test]
fn a_trial_that_is_never_sent_frees_its_header_key() {
    let mut world = World::new();
    world.trip("primary");
    world.pass(20_000);
    let records = Records { health: (world.store.health(), 1), ..Records::default() };
    let mut slow = Slow::new(records, world);
    slow.begin(&post(CREATE, ORDER).with("idempotency-key", "k-1"));
    while slow.answer(Manner::InOrder) {
        slow.world.pass(7);
    }
    assert!(slow.exchange.is_sent() && slow.records.aliases() == 1);
    slow.answered(REFUSED);
    slow.answer_all(Manner::InOrder);
    assert_eq!((slow.states(), slow.records.aliases()), (vec![], 0));
}

#[test]
fn what_is_told_of_a_client_that_left_before_its_answer_is_that() {
    let mut slow = Slow::new(Slow::healthy(), World::new());
    slow.begin(&post(CREATE, ORDER));
    slow.answer_all(Manner::InOrder);
    slow.answered(TIMEOUT.at("primary"));
    slow.feed(Input::Event(ExchangeEvent::ClientGone));
    slow.answer_all(Manner::InOrder);
    let decided = slow.effects.iter().filter_map(|effect| {
        if let ExchangeEffect::Decided(decision) = effect { Some(decision.decision) } else { None }
    });
    assert_eq!(decided.collect::<Vec<_>>(), ["unanswered"]);
}
