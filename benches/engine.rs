//! What the engine's parts cost natively, without Envoy and without wasm.
//!
//! ```text
//! cargo bench --bench engine [-- --quick]
//! ```
//!
//! Each part runs in batches of equal length; told are the median of the batches and how far the
//! middle half of them spreads, in nanoseconds. The store is in memory, so these numbers hold no
//! host calls: they are for finding out which part grew, not for what a payment costs (`--bench
//! envoy` tells that).

#![allow(clippy::print_stdout, reason = "a benchmark talks to its terminal")]
#![allow(clippy::expect_used, reason = "a benchmark that cannot go on has nothing to tell")]

use std::fs;
use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};

use dana_failover::engine::Exchange;
use dana_failover::engine::{Answer, ExchangeEffect, ExchangeEvent, Request};
use dana_failover::engine::{Body, Origin, Response};
use dana_failover::engine::{
    Bucket, CellEvent, CellRequest, Layout, Local, MemoryStore, Placement, Seed,
};
use dana_failover::engine::{Claim, ClaimKey, ClaimState, Fingerprint, Incarnation, Money};
use dana_failover::engine::{Config, Policy};
use dana_failover::engine::{GatewayId, Gateways};
use dana_failover::engine::{Health, WorkerCounters};
use dana_failover::engine::{Input, Machine, Shell, Ticket, drive};
use dana_failover::engine::{Millis, Timestamp};
use serde_json::json;

const OUTPUT: &str = "target/bench/engine.json";
const NOW: Timestamp = Timestamp::from_millis(1_795_364_259_000);
const CONFIG: &[u8] = br#"{
    "gateways": [
        {"name": "primary", "cluster": "dana_primary"},
        {"name": "secondary", "cluster": "dana_secondary"}
    ],
    "composites": [
        {"members": ["primary", "secondary"], "cluster": "dana_primary_first"},
        {"members": ["secondary", "primary"], "cluster": "dana_secondary_first"}
    ],
    "route_header": "x-dana-cluster"
}"#;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let timer = Timer { batches: if quick { 5 } else { 101 }, batch: Duration::from_millis(5) };
    let mut results = Vec::new();
    let mut time = |name: &'static str, work: &mut dyn FnMut()| {
        let timed = timer.time(work);
        println!("{name:<44}{:>10.0} ns  [{:.0}, {:.0}]", timed.median, timed.low, timed.high);
        results
            .push(json!({"name": name, "ns": timed.median, "quartiles": [timed.low, timed.high]}));
    };
    let policy = policy();
    time("payment: request, claim, answer, settlement", &mut payments(&policy));
    time("repeat of a settled payment", &mut repeats(&policy));
    time("request until its loads (parsing, hashing)", &mut requests(&policy, &body("R-1")));
    time("request refused (no identity)", &mut requests(&policy, b"{\"merchantId\":\"1\"}"));
    let health = health(&policy);
    time("health of two gateways: decode", &mut || {
        black_box(Health::decode(black_box(&health)));
    });
    for (records, names) in [
        (16, ["bucket of 16: find, absent", "bucket of 16: put", "bucket of 16: put again"]),
        (63, ["bucket of 63: find, absent", "bucket of 63: put", "bucket of 63: put again"]),
    ] {
        let [find, put, again] = names;
        let bucket = bucket(records);
        let absent = key(u64::MAX).prefix();
        time(find, &mut || {
            black_box(bucket.find(black_box(&absent)));
        });
        let claim = claim();
        let retention = policy.config.store.retention;
        for (name, key) in [(put, absent), (again, key(records / 2).prefix())] {
            time(name, &mut || {
                let mut bucket = bucket.clone();
                bucket.put(black_box(&key), &claim, NOW, retention).expect("there is room");
                black_box(bucket);
            });
        }
    }
    fs::create_dir_all("target/bench").expect("the target folder can be written");
    let json = serde_json::to_vec_pretty(&results).expect("numbers are JSON");
    fs::write(OUTPUT, json).expect("the target folder can be written");
    println!("Median of {} batches [quartiles]; also in {OUTPUT}", timer.batches);
}

/// Repeats work in batches that are long enough for the clock.
struct Timer {
    batches: usize,
    batch: Duration,
}

/// Nanoseconds of one repetition.
struct Timed {
    median: f64,
    low: f64,
    high: f64,
}

impl Timer {
    fn time(&self, work: &mut dyn FnMut()) -> Timed {
        let mut times = 1;
        while measure(times, work) < self.batch {
            times *= 2;
        }
        let mut each: Vec<f64> = (0..self.batches)
            .map(|_| measure(times, work).as_secs_f64() * 1e9 / f64::from(times))
            .collect();
        each.sort_by(f64::total_cmp);
        let at = |quarter: usize| each.get(each.len() * quarter / 4).copied().unwrap_or(f64::NAN);
        Timed { median: at(2), low: at(1), high: at(3) }
    }
}

fn measure(times: u32, work: &mut dyn FnMut()) -> Duration {
    let begin = now();
    for _ in 0..times {
        work();
    }
    now().duration_since(begin)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is native and needs the clock")]
fn now() -> Instant {
    Instant::now()
}

fn policy() -> Rc<Policy> {
    let config = Config::parse(CONFIG).expect("the configuration is right");
    let mut layout = Layout::new(Placement::new(config.store.claims_max, Seed::default()));
    let (policy, _) =
        Policy::join(config, &mut layout, Timestamp::default()).expect("the layout is new");
    Rc::new(policy)
}

/// One worker over the store that all share.
#[derive(Default)]
struct Worker {
    store: MemoryStore,
    counters: WorkerCounters,
}

/// What the engine wants done beside the store is done.
struct Done<'a>(&'a mut MemoryStore);

impl Shell<Local<Exchange>> for Done<'_> {
    fn ask(&mut self, _: Ticket, request: CellRequest) -> Option<CellEvent> {
        Some(self.0.ask(request))
    }

    fn carry_out(&mut self, effect: ExchangeEffect) -> Option<ExchangeEvent<'static>> {
        black_box(effect);
        None
    }
}

/// A request that is answered at once, as long as it is sent at all.
fn exchange(policy: &Rc<Policy>, reference: &str, worker: &mut Worker) {
    let mut exchange = Local::new(Exchange::new(Rc::clone(policy)));
    let body = body(reference);
    let request = Request { headers: &HEADERS, body: &body, peer: &[], context: 1 };
    let mut tell = |exchange: &mut Local<Exchange>, event: ExchangeEvent<'_>| {
        let Worker { store, counters } = worker;
        drive(exchange, Input::Event(event), NOW, counters, &mut Done(store));
    };
    tell(&mut exchange, ExchangeEvent::Request(request));
    if !exchange.is_sent() {
        return;
    }
    let text = format!(
        r#"{{"responseCode":"2005400","responseMessage":"Successful","referenceNo":"2026112211121280010016627001234567","partnerReferenceNo":"{reference}","webRedirectUrl":"https://m.sandbox.dana.id/n/cashier/new/checkout?bizNo=2026112211121280010016627001234567&timestamp=1795364259403&mid=216620010016033632482","additionalInfo":{{}}}}"#
    );
    let answer = Answer {
        evidence: Response {
            origin: Origin::Upstream,
            status: 200,
            body: Body::Complete(text.as_bytes()),
        },
        endpoint: Some("primary"),
        content_type: Some("application/json"),
        ..Answer::never_left(true)
    };
    tell(&mut exchange, ExchangeEvent::Answered(answer));
    assert!(exchange.is_ended(), "an answered payment is at its end");
}

fn payments(policy: &Rc<Policy>) -> impl FnMut() {
    let (policy, mut worker) = (Rc::clone(policy), Worker::default());
    let mut number = 0_u64;
    move || {
        number += 1;
        if number.is_multiple_of(200_000) {
            // The store stays as empty as a new one.
            worker = Worker::default();
        }
        exchange(&policy, &format!("BENCH{number:015}"), &mut worker);
    }
}

fn repeats(policy: &Rc<Policy>) -> impl FnMut() {
    let (policy, mut worker) = (Rc::clone(policy), Worker::default());
    move || exchange(&policy, "BENCH000000000000001", &mut worker)
}

fn requests(policy: &Rc<Policy>, body: &[u8]) -> impl FnMut() {
    let (policy, body, mut counters) =
        (Rc::clone(policy), body.to_vec(), WorkerCounters::default());
    move || {
        let request = Request { headers: &HEADERS, body: &body, peer: &[], context: 1 };
        let mut exchange = Local::new(Exchange::new(Rc::clone(&policy)));
        let input = Input::Event(ExchangeEvent::Request(request));
        black_box(exchange.handle(input, NOW, &mut counters));
    }
}

const HEADERS: [(&[u8], &[u8]); 14] = [
    (b":authority", b"api.sandbox.dana.id"),
    (b":path", b"/payment-gateway/v1.0/debit/payment-host-to-host.htm"),
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b"content-type", b"application/json"),
    (b"x-timestamp", b"2026-11-22T23:17:39+07:00"),
    (b"x-signature", &[b'a'; 344]),
    (b"origin", b"https://merchant.example.id"),
    (b"x-partner-id", b"2025021312345678901234"),
    (b"x-external-id", b"sdk9dd8d-dea6-4a58-a4b3-ead3d27e4e86"),
    (b"channel-id", b"95221"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"content-length", b"577"),
    (b"x-request-id", b"6f1c0f0e-5a3e-9d43-8f0e-6a1c0f0e5a3e"),
];

fn body(reference: &str) -> Vec<u8> {
    format!(
        r#"{{"additionalInfo":{{"mcc":"5732","envInfo":{{"sourcePlatform":"IPG","terminalType":"SYSTEM","orderTerminalType":"WEB"}},"order":{{"orderTitle":"Kopi susu","scenario":"REDIRECT"}}}},"partnerReferenceNo":"{reference}","merchantId":"216620010016033632482","amount":{{"value":"10000.00","currency":"IDR"}},"externalStoreId":"store-1","validUpTo":"2026-11-22T23:43:04+07:00","urlParams":[{{"url":"https://merchant.example.id/ret","type":"PAY_RETURN","isDeeplink":"N"}},{{"url":"https://merchant.example.id/notify","type":"NOTIFICATION","isDeeplink":"N"}}]}}"#
    )
    .into_bytes()
}

/// The stored health after both gateways had a heartbeat.
fn health(policy: &Policy) -> Vec<u8> {
    let mut health = Health::default();
    for gateway in policy.order() {
        health.on_probe(gateway, true, &policy.health, NOW);
    }
    health.encode()
}

fn key(number: u64) -> ClaimKey {
    ClaimKey::derive("partner", "order", [number.to_string().as_str()])
}

fn claim() -> Claim {
    let state = ClaimState::settled(Gateways::only(GatewayId::new(0).expect("0 is one")));
    let incarnation = Incarnation { claimed_at: NOW, nonce: 1 };
    Claim::new(Fingerprint::UNKNOWN, state, incarnation, Money::default())
}

fn bucket(records: u64) -> Bucket {
    let mut bucket = Bucket::default();
    for number in 0..records {
        let put = bucket.put(&key(number).prefix(), &claim(), NOW, Millis::new(1000));
        put.expect("there is room");
    }
    bucket
}
