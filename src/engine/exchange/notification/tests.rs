//! Notifications against a store in memory: each call of it goes wrong, in each way, and whatever happens the
//! application gets one at a time, and what is said of the payment is not lost.

use std::collections::VecDeque;

use ::base64::Engine as _;
use ::base64::prelude::BASE64_STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::engine::codec::{base64, hex};
use crate::engine::config::{Config, NotifyConfig};
use crate::engine::event::{ApplicationAnswer, Decision, Request};
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::limits;
use crate::engine::payment::{
    Anomaly, AnomalyKind, Claim, ClaimKey, ClaimState, Closed, DoubtEvent, Fingerprint,
    Incarnation, Money,
};
use crate::engine::store::{
    Bucket, Cell, CellEvent, CellRequest, Layout, Local, MemoryStore, Placement, Seed,
};
use crate::engine::time::Utc;

const KEYS: [&str; 2] = [
    include_str!("../../../cli/sandbox/keys/primary.pem"),
    include_str!("../../../cli/sandbox/keys/secondary.pem"),
];
const PUBLIC: [&str; 2] = [
    include_str!("../../../cli/sandbox/keys/primary.pub.pem"),
    include_str!("../../../cli/sandbox/keys/secondary.pub.pem"),
];
/// Of a claim, and of a notification that is with the application, in milliseconds.
const LEASE: u64 = 30_000;
const PATH: &str = "/v1.0/debit/notify";
const TIME: &str = "2026-11-30T07:00:00+07:00";
const YES: ApplicationAnswer<'static> = ApplicationAnswer {
    from_application: true,
    was_reached: true,
    status: 200,
    content_type: Some("application/json"),
    body: Some(br#"{"responseCode":"2005600"}"#),
};
/// Envoy answers in its place: it may have it, or not.
const AWAY: ApplicationAnswer<'static> = ApplicationAnswer { from_application: false, ..NO };
const NO: ApplicationAnswer<'static> = ApplicationAnswer { status: 500, ..YES };

fn escaped(pem: &str) -> String {
    pem.replace('\n', "\\n")
}

fn config(more: &str, ledger: &str) -> Config {
    Config::parse(config_text(more, ledger).as_bytes()).unwrap()
}

/// What is said more stands with the listener, or, of times, with the first key.
fn config_text(more: &str, ledger: &str) -> String {
    let [primary, secondary] = PUBLIC.map(escaped);
    let is_time = more.contains("from") || more.contains("until");
    let (time, more) = if is_time { (more, "") } else { ("", more) };
    format!(
        r#"{{"gateways": [{{"name": "primary", "cluster": "one"}}, {{"name": "secondary", "cluster": "two"}}],
            "idempotency": {{"store": {{"local": {{"claims_max": 64}}}}}},
            "admin": {{"role": "notify"}}, "ledger": "{ledger}",
            "notify": {{"partner": "partner-1", {more}
                "keys": [{{"gateway": "primary", {time} "key": "{primary}"}},
                         {{"gateway": "secondary", "key": "{secondary}"}}]}}}}"#
    )
}

fn body(status: &str) -> String {
    format!(
        r#"{{"originalPartnerReferenceNo": "r-1", "originalReferenceNo": "g-1", "merchantId": "m-1",
            "amount": {{"value": "10000.00", "currency": "IDR"}}, "latestTransactionStatus": "{status}"}}"#
    )
}

/// The signature of a body without white space that means nothing, by one of the keys.
fn sign(key: usize, path: &str, body: &str, time: &str) -> String {
    let pem: String = KEYS[key].lines().filter(|line| !line.starts_with("-----")).collect();
    let pair = RsaKeyPair::from_pkcs8(&base64::decode(pem.as_bytes()).unwrap()).unwrap();
    let compact: String = body.split_whitespace().collect();
    let text = format!("POST:{path}:{}:{time}", hex(&Sha256::digest(&compact)));
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    BASE64_STANDARD.encode(&signature)
}

type Fields = Vec<(String, String)>;

fn fields(key: usize, body: &str) -> Fields {
    signed_at(TIME, key, body)
}

fn signed_at(time: &str, key: usize, body: &str) -> Fields {
    let signature = sign(key, PATH, body, time);
    let all = [
        (":method", "POST"),
        (":path", PATH),
        ("x-timestamp", time),
        ("x-signature", &signature),
        ("x-request-id", "id-1"),
    ];
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

/// What a store does wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The call fails and nothing happened.
    Before,
    /// The call fails although the write happened.
    After,
    /// Somebody else was quicker.
    Conflict,
}

struct World {
    policy: Rc<Policy>,
    inbound: Rc<Inbound>,
    now: u64,
    store: MemoryStore,
    counters: WorkerCounters,
    calls: usize,
    fault: Option<(usize, Fault)>,
    context: u32,
}

/// A notification, and what became of it so far.
struct Run {
    machine: Local<Notification>,
    forwards: usize,
    headers: Vec<(&'static str, String)>,
    relayed: bool,
    reply: Option<Reply>,
    anomalies: Vec<Anomaly>,
    doubts: Vec<DoubtEvent>,
    told: Option<Decision>,
}

impl World {
    fn new(more: &str) -> Self {
        Self::of(more, "separate")
    }

    fn of(more: &str, ledger: &str) -> Self {
        Self::with(config(more, ledger))
    }

    fn with(config: Config) -> Self {
        let mut layout = Layout::new(Placement::new(config.store.claims_max, Seed::default()));
        let policy = Policy::join(config, &mut layout, Timestamp::default()).unwrap().0;
        let inbound = Rc::new(Inbound::new(&policy).unwrap());
        let mut store = MemoryStore::default();
        let now = Timestamp::read(TIME).unwrap().as_millis() + 1000;
        let (rules, time) = (&policy.health, Timestamp::from_millis(now));
        store.change_health(|health| health.take_lease(1, Timestamp::default(), rules, time));
        Self {
            policy: Rc::new(policy),
            inbound,
            now,
            store,
            counters: WorkerCounters::default(),
            calls: 0,
            fault: None,
            context: 0,
        }
    }

    /// Time passes, and a worker of payments ticks meanwhile.
    fn pass(&mut self, millis: u64) {
        let until = self.now + millis;
        while self.now < until {
            self.now = until.min(self.now + 1000);
            let (rules, now) = (&self.policy.health, Timestamp::from_millis(self.now));
            self.store
                .change_health(|health| health.take_lease(1, Timestamp::default(), rules, now));
        }
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    fn cell(&mut self, request: CellRequest) -> CellEvent {
        let fault = self.fault.filter(|(call, _)| *call == self.calls).map(|(_, fault)| fault);
        self.calls += 1;
        let cell = match &request {
            CellRequest::Load(cell) | CellRequest::Store { cell, .. } => *cell,
        };
        let is_store = matches!(request, CellRequest::Store { .. });
        match fault {
            Some(Fault::Before) => CellEvent::Failed(cell),
            Some(Fault::Conflict) if is_store => CellEvent::Conflict(cell),
            Some(Fault::After) => {
                let _ = self.store.ask(request);
                CellEvent::Failed(cell)
            }
            Some(Fault::Conflict) | None => self.store.ask(request),
        }
    }

    fn drive(&mut self, run: &mut Run, event: NotificationEvent<'_>) {
        let now = self.time();
        let outputs = run.machine.handle(Input::Event(event), now, &mut self.counters);
        let mut todo: VecDeque<_> = outputs.into();
        while let Some(output) = todo.pop_front() {
            match output {
                Output::Ask(ticket, request) => {
                    let input = Input::Told(ticket, self.cell(request));
                    todo.extend(run.machine.handle(input, now, &mut self.counters));
                }
                Output::Do(NotificationEffect::Forward(headers)) => {
                    run.forwards += 1;
                    run.headers = headers;
                }
                Output::Do(NotificationEffect::Relay) => run.relayed = true,
                Output::Do(NotificationEffect::Reply(reply)) => run.reply = Some(reply),
                Output::Do(NotificationEffect::Anomaly(anomaly)) => run.anomalies.push(*anomaly),
                Output::Do(NotificationEffect::Doubt(doubt)) => run.doubts.push(doubt),
                Output::Do(NotificationEffect::Decided(decision)) => run.told = Some(*decision),
            }
        }
    }

    fn send(&mut self, fields: &Fields, body: &str) -> Run {
        let machine = Notification::new(Rc::clone(&self.policy), Rc::clone(&self.inbound));
        let mut run = Run {
            machine: Local::new(machine),
            forwards: 0,
            headers: Vec::new(),
            relayed: false,
            reply: None,
            anomalies: Vec::new(),
            doubts: Vec::new(),
            told: None,
        };
        let headers: Vec<(&[u8], &[u8])> =
            fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        self.context += 1;
        let context = self.context;
        let request = Request { headers: &headers, body: body.as_bytes(), peer: &[], context };
        self.drive(&mut run, NotificationEvent::Request(request));
        run
    }

    fn notify(&mut self, key: usize, status: &str) -> Run {
        self.send_anew(key, &body(status))
    }

    /// Signed at [`TIME`], whenever that was.
    fn notify_signed_then(&mut self, key: usize, status: &str) -> Run {
        let body = body(status);
        self.send(&fields(key, &body), &body)
    }

    /// Signed at this moment, as gateways do each time.
    fn send_anew(&mut self, key: usize, body: &str) -> Run {
        let time = Utc(self.time()).to_string();
        self.send(&signed_at(&time, key, body), body)
    }

    fn answer(&mut self, run: &mut Run, answer: ApplicationAnswer<'_>) {
        self.drive(run, NotificationEvent::Answered(answer));
    }

    fn state(&self) -> &'static str {
        self.store.claims().first().map_or("absent", |claim| claim.state.name())
    }
}

impl Run {
    fn code(&self) -> String {
        let body = &self.reply.as_ref().unwrap().body;
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        body["responseCode"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_notification_is_given_to_the_application_once_and_then_replayed() {
    let mut world = World::new("");
    let mut first = world.notify(0, "00");
    assert_eq!((first.forwards, world.state()), (1, "settled"));
    let second = world.notify(0, "00");
    assert_eq!((second.forwards, second.code().as_str()), (0, "5005601"));
    world.answer(&mut first, YES);
    assert!(first.relayed && first.machine.is_ended());
    let third = world.notify(0, "00");
    assert_eq!(third.reply.unwrap().body, YES.body.unwrap());
}

#[test]
fn over_the_other_gateway_it_is_the_same_where_both_keep_one_ledger() {
    for (ledger, forwards) in [("shared", 0), ("separate", 1)] {
        let mut world = World::of("", ledger);
        let mut first = world.notify(0, "00");
        world.answer(&mut first, YES);
        let second = world.notify(1, "00");
        assert_eq!((second.forwards, second.anomalies.len()), (forwards, forwards), "{ledger}");
        // The payment is expired, as the other one says.
        let _ = world.notify(1, "05");
        assert_eq!(world.state(), if ledger == "shared" { "closed" } else { "settled" });
    }
}

/// As many keys as may count, and a body that its gateway has signed without its white space.
#[test]
fn the_last_key_counts_as_the_first_one_does() {
    let stranger = escaped(include_str!("../../../cli/sandbox/keys/stranger.pub.pem"));
    let more = format!(r#"{{"gateway": "primary", "key": "{stranger}"}},"#).repeat(6);
    let keys = format!(r#""keys": [{more}"#);
    let text = config_text("", "separate").replacen(r#""keys": ["#, &keys, 1);
    let mut world = World::with(Config::parse(text.as_bytes()).unwrap());
    let mut last = world.notify(1, "00");
    assert_eq!((last.forwards, world.state()), (1, "settled"), "{:?}", last.reply);
    world.answer(&mut last, YES);
    assert!(last.relayed);
}

#[test]
fn what_is_not_confirmed_is_given_anew_as_soon_as_nobody_can_have_it() {
    let unreached = ApplicationAnswer::NEVER_REACHED;
    for (answer, is_free) in
        [(Some(NO), true), (Some(unreached), true), (Some(AWAY), false), (None, false)]
    {
        let mut world = World::new("");
        let mut first = world.notify(0, "00");
        match answer {
            None => world.drive(&mut first, NotificationEvent::GatewayGone),
            Some(answer) => world.answer(&mut first, answer),
        }
        assert!(first.machine.is_ended() && first.told.is_some());
        assert_eq!(world.notify(0, "00").forwards, usize::from(is_free), "{answer:?}");
        // Nobody has ever answered this one.
        world.pass(LEASE - 1);
        assert_eq!(world.notify(0, "00").forwards, 0);
        world.pass(1);
        assert_eq!(world.notify(0, "00").forwards, 1);
    }
}

#[test]
fn an_application_that_is_too_late_confirms_nothing_of_the_next_try() {
    let mut world = World::new("");
    let mut late = world.notify(0, "00");
    world.pass(LEASE);
    let mut next = world.notify(0, "00");
    assert_eq!(next.forwards, 1);
    world.answer(&mut late, YES);
    assert!(late.relayed);
    let again = world.notify(0, "00");
    assert_eq!((again.forwards, again.told.unwrap().decision), (0, "under_way"));
    world.answer(&mut next, NO);
    assert_eq!(world.notify(0, "00").forwards, 1);
}

/// At most one try is with the application, and one that went is never without its mark.
#[test]
fn whichever_call_of_the_store_fails_nothing_is_given_twice_at_a_time() {
    let calls = {
        let mut world = World::new("");
        let mut run = world.notify(0, "00");
        world.answer(&mut run, YES);
        world.calls
    };
    assert!(calls > 5, "{calls}");
    for call in 0..=calls {
        for fault in [Fault::Before, Fault::After, Fault::Conflict] {
            let mut world = World::new("");
            world.fault = Some((call, fault));
            let mut first = world.notify(0, "00");
            assert_eq!(first.forwards + usize::from(first.reply.is_some()), 1, "{call} {fault:?}");
            if first.forwards == 1 {
                let second = world.notify(0, "00");
                assert_eq!(second.forwards, 0, "{call} {fault:?}");
                world.answer(&mut first, YES);
                assert!(first.relayed, "{call} {fault:?}");
            }
            assert!(first.machine.is_ended(), "{call} {fault:?}");
            // In the end it is confirmed, after one more try at most, and the payment is known.
            world.pass(LEASE);
            let mut again = world.notify(0, "00");
            if again.forwards == 1 {
                world.answer(&mut again, YES);
            }
            let last = world.notify(0, "00");
            assert_eq!(last.told.unwrap().decision, "replay", "{call} {fault:?}");
            assert_eq!(world.state(), "settled", "{call} {fault:?}");
        }
    }
}

#[test]
fn what_two_gateways_have_executed_is_told_once() {
    let mut world = World::new("");
    assert!(world.notify(0, "00").anomalies.is_empty());
    let other = body("00").replace("g-1", "g-2");
    let second = world.send(&fields(1, &other), &other);
    let kinds: Vec<AnomalyKind> = second.anomalies.iter().map(|one| one.kind).collect();
    assert_eq!((kinds.as_slice(), second.forwards), ([AnomalyKind::ExecutedTwice].as_slice(), 1));
    assert_eq!(second.anomalies[0].money.amount(), "10000.00");
    let third = world.send(&fields(1, &other), &other);
    assert!(third.anomalies.is_empty());
}

#[test]
fn another_amount_than_the_payments_own_is_told() {
    let mut world = World::new("");
    let _ = world.notify(0, "00");
    let other = body("00").replace("10000.00", "1.00");
    let run = world.send(&fields(0, &other), &other);
    assert_eq!((run.forwards, run.anomalies[0].said), (1, "executed, of another amount"));
}

/// A success that was repeated after the money was given back is no news.
#[test]
fn an_old_success_contradicts_no_refund() {
    let mut world = World::new("");
    let paid = finished("00", "2026-11-30T06:00:00+07:00");
    let mut first = world.send(&fields(0, &paid), &paid);
    world.answer(&mut first, NO);
    let _ = world.notify(0, "04");
    assert_eq!(world.state(), "closed");
    world.pass(100_000);
    let again = world.send_anew(0, &paid);
    assert!(again.anomalies.is_empty() && again.forwards == 1);
    assert_eq!(world.state(), "closed");
}

#[test]
fn whatever_is_changed_of_a_notification_is_refused_and_changes_nothing() {
    let whole = body("00");
    let good = fields(0, &whole);
    let with = |name: &str, value: &str| {
        let mut changed = good.clone();
        changed.retain(|(other, _)| other != name);
        changed.push((name.to_owned(), value.to_owned()));
        changed
    };
    let twice = |name: &str| {
        let mut changed = good.clone();
        let field = changed.iter().find(|(other, _)| other == name).unwrap().clone();
        changed.push(field);
        changed
    };
    let signature = &good[3].1;
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let flipped = format!("{flipped}{}", &signature[1..]);
    let mut cases: Vec<(Fields, String, &str)> = vec![
        (with("x-signature", &flipped), whole.clone(), "4015600"),
        (with("x-signature", ""), whole.clone(), "4015600"),
        (
            with("x-signature", &sign(0, "/v1.0/debit/other", &whole, TIME)),
            whole.clone(),
            "4015600",
        ),
        (with("x-timestamp", "2026-11-30T07:00:01+07:00"), whole.clone(), "4015600"),
        (with("x-timestamp", "yesterday"), whole.clone(), "4015600"),
        (with("x-partner-id", "partner-2"), whole.clone(), "4015600"),
        (with("x-dana-verified", "true"), whole.clone(), "4005601"),
        (with("content-encoding", "gzip"), whole.clone(), "4005601"),
        (with(":method", "PUT"), whole.clone(), "4005601"),
        (with(":path", "/v1.0/debit/notify%2f"), whole.clone(), "4040000"),
        (with(":path", "/debit/notify"), whole.clone(), "4015600"),
        (twice("x-signature"), whole.clone(), "4005601"),
        (twice("x-timestamp"), whole.clone(), "4005601"),
    ];
    // Each byte of the body counts.
    for at in 0..whole.len() {
        let mut changed = whole.clone().into_bytes();
        if changed[at].is_ascii_whitespace() {
            continue;
        }
        changed[at] ^= 1;
        let Ok(changed) = String::from_utf8(changed) else { continue };
        cases.push((good.clone(), changed, "4015600"));
    }
    for (fields, body, code) in cases {
        let mut world = World::new("");
        let run = world.send(&fields, &body);
        assert_eq!((run.forwards, run.code().as_str()), (0, code), "{fields:?} {body}");
        assert_eq!((world.calls, world.state()), (0, "absent"));
    }
    // Signed, but not readable, or without what names the payment.
    for odd in [
        "{".to_owned(),
        whole.replace("\"merchantId\"", "\"merchantid\""),
        whole.replace("latestTransactionStatus", "otherStatus"),
        whole.replace("\"r-1\"", "7"),
        whole.replacen('{', r#"{"merchantId":"m-2","#, 1),
    ] {
        let mut world = World::new("");
        let run = world.send(&fields(0, &odd), &odd);
        assert_eq!((run.forwards, run.code().as_str()), (0, "4005601"), "{odd}");
        assert_eq!(world.state(), "absent");
    }
}

#[test]
fn a_body_is_verified_in_each_form_that_may_have_been_signed() {
    let plain: String = body("00").split_whitespace().collect();
    let spaced = plain.replace(':', ": ").replace(",\"", ", \"");
    let inner = plain.replacen('{', r#"{"info":"{\"a\":1}","#, 1);
    let over_escaped = inner.replace(r#"\""#, r#"\\\""#);
    for (signed, sent) in [(&plain, &spaced), (&spaced, &spaced), (&inner, &over_escaped)] {
        let mut world = World::new("");
        let mut fields = fields(0, signed);
        let text = format!("POST:{PATH}:{}:{TIME}", hex(&Sha256::digest(signed)));
        let pem: String = KEYS[0].lines().filter(|line| !line.starts_with("-----")).collect();
        let pair = RsaKeyPair::from_pkcs8(&base64::decode(pem.as_bytes()).unwrap()).unwrap();
        let mut signature = vec![0; pair.public().modulus_len()];
        let random = SystemRandom::new();
        pair.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).unwrap();
        fields[3].1 = BASE64_STANDARD.encode(&signature);
        assert_eq!(world.send(&fields, sent).forwards, 1, "{sent}");
    }
}

#[test]
fn a_key_counts_for_its_gateway_and_its_time() {
    let mut world = World::new(r#""gateway": "secondary","#);
    assert_eq!(world.notify(0, "00").code(), "4015600");
    assert_eq!(world.notify(1, "00").forwards, 1);
    let mut old = World::new(r#""age_max_s": 60,"#);
    old.now += 58_000;
    assert_eq!(old.notify_signed_then(0, "00").forwards, 1);
    old.now += 2000;
    assert!(old.notify_signed_then(0, "05").told.unwrap().decision == "unverified");
    let mut ahead = World::new("");
    ahead.now -= limits::NOTIFY_AHEAD_MS_MAX + 1000;
    assert_eq!(ahead.notify_signed_then(0, "00").forwards, 1);
    ahead.now -= 1;
    assert_eq!(ahead.notify_signed_then(0, "05").code(), "4015600");
}

/// The world with a claim of the payment, at its second attempt.
fn tried_twice(state: ClaimState) -> World {
    tried(2, state)
}

/// A payment of which so many attempts were made.
fn tried(attempt: u16, state: ClaimState) -> World {
    let mut world = World::new("");
    let key = ClaimKey::derive("partner-1", "order", ["m-1", "r-1"]);
    let incarnation = Incarnation { claimed_at: world.time(), nonce: 1 };
    let claim = Claim::new(Fingerprint::UNKNOWN, state, incarnation, Money::default());
    let mut bucket = Bucket::default();
    let claim = Claim { attempt, ..claim };
    bucket.put(&key.prefix(), &claim, world.time(), Millis::new(1)).unwrap();
    let number = world.policy.placement.bucket(key.reference());
    world.store.put(Cell::Claims(number), bucket.into_bytes());
    world
}

fn finished(status: &str, time: &str) -> String {
    let merchant = "\"merchantId\"";
    body(status).replace(merchant, &format!("\"finishedTime\":\"{time}\",{merchant}"))
}

/// How an earlier attempt ended, told again and signed anew, says nothing of a later one.
#[test]
fn an_old_failure_ends_no_later_attempt() {
    let both = Gateways::only(GatewayId::FIRST);
    let ended = Timestamp::read(TIME).unwrap().plus(Millis::new(1000));
    let doubt = ClaimState::in_doubt(both, ended);
    let old = finished("06", "2026-11-30T06:00:00+07:00");
    for said in [body("06"), old] {
        let mut world = tried_twice(doubt);
        world.pass(100_000);
        let run = world.send_anew(0, &said);
        assert_eq!((world.state(), run.forwards), ("in_doubt", 1), "{said}");
        let mut settled = tried_twice(ClaimState::settled(both));
        settled.pass(100_000);
        assert!(settled.send_anew(0, &said).anomalies.is_empty(), "{said}");
    }
    // What is under way, or not known there, proves nothing at all.
    for status in ["01", "02", "03", "07", "99"] {
        for state in [doubt, ClaimState::Rejected { gateway: GatewayId::FIRST }] {
            let mut world = tried_twice(state);
            let run = world.notify(0, status);
            assert_eq!((world.state(), run.forwards), (state.name(), 1), "{status}");
        }
        let mut world = World::new("");
        assert_eq!((world.notify(0, status).forwards, world.state()), (1, "absent"), "{status}");
    }
}

/// The record of what failed before has ended, or a restart has forgotten it. Then the only attempt that is
/// known is a later one.
#[test]
fn what_had_failed_before_the_record_began_does_not_end_it() {
    let gateway = Gateways::only(GatewayId::FIRST);
    let ended = Timestamp::read(TIME).unwrap().plus(Millis::new(1000));
    for (finished_at, state) in [
        ("2026-11-28T07:00:00+07:00", "in_doubt"),
        // Gateways say it in whole seconds, and the record began at :01.
        ("2026-11-30T07:00:00+07:00", "in_doubt"),
        ("2026-11-30T07:00:01+07:00", "closed"),
    ] {
        let mut world = tried(1, ClaimState::in_doubt(gateway, ended));
        world.pass(100_000);
        world.send_anew(0, &finished("06", finished_at));
        assert_eq!(world.state(), state, "{finished_at}");
    }
}

/// Whatever becomes of its writing.
#[test]
fn what_was_overturned_is_told_whichever_call_fails() {
    let gateways = Gateways::only(GatewayId::FIRST);
    let failed = ClaimState::Closed { how: Closed::Failed, gateways };
    for call in 0..12 {
        for fault in [Fault::Before, Fault::After, Fault::Conflict] {
            let mut world = tried_twice(failed);
            world.fault = Some((call, fault));
            let first = world.notify(0, "00").anomalies;
            world.pass(LEASE);
            let second = world.notify(0, "00").anomalies;
            let told = first.iter().chain(&second);
            let told = told.filter(|one| one.kind == AnomalyKind::Overturned).count();
            assert!(told >= 1, "{call} {fault:?}");
            assert_eq!(world.state(), "settled", "{call} {fault:?}");
        }
    }
}

#[test]
fn a_key_that_was_changed_counts_for_its_time_alone() {
    for (time, counts) in [
        (r#""from": "2026-11-30T07:00:00+07:00","#, true),
        (r#""from": "2026-11-30T07:00:01+07:00","#, false),
        (r#""until": "2026-11-30T07:00:01+07:00","#, true),
        (r#""until": "2026-11-30T07:00:00+07:00","#, false),
    ] {
        let mut world = World::new(time);
        assert_eq!(world.notify_signed_then(0, "00").forwards == 1, counts, "{time}");
        // The other one's is for ever.
        assert_eq!(world.notify(1, "00").forwards, 1);
    }
}

#[test]
fn an_application_is_not_asked_for_what_cannot_be_read() {
    let mut world = World::new("");
    let whole = body("00");
    let mut fields = fields(0, &whole);
    fields.push(("accept-encoding".to_owned(), "gzip".to_owned()));
    let plain = ("accept-encoding", "identity".to_owned());
    assert!(world.send(&fields, &whole).headers.contains(&plain));
}

fn mistakes(text: &str) -> String {
    let config = Config::parse(text.as_bytes()).unwrap();
    let errors = NotifyConfig::read(&config).err().unwrap_or_default();
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[test]
fn what_cannot_be_told_apart_is_refused_at_the_start() {
    let same = |ledger| config_text("", ledger).replace(&escaped(PUBLIC[1]), &escaped(PUBLIC[0]));
    let expected = "notify.keys[1].key: expected a key of no other gateway";
    assert!(mistakes(&same("separate")).starts_with(expected));
    assert_eq!(mistakes(&same("shared")), "");
    let own = r#"{"operations": [{"path": "/debit/payment-host-to-host", "name": "pay",
        "class": "charge", "namespace": "own", "identity": ["/id"]}],"#;
    let other = config_text("", "separate").replacen('{', own, 1);
    assert!(mistakes(&other).starts_with("operations: expected pay"), "{}", mistakes(&other));
    let partner = "notify.partner: expected the partner's id";
    for (from, to, expected) in [
        (r#""partner": "partner-1""#, r#""partner": """#, partner),
        (r#"{"gateway": "primary""#, r#"{"gateway": "third""#, "notify.keys[0].gateway: expected"),
        ("MIIB", "AAAA", "notify.keys[0].key: expected an RSA public key"),
    ] {
        let told = mistakes(&config_text("", "separate").replacen(from, to, 1));
        assert!(told.starts_with(expected), "{told}");
    }
}
