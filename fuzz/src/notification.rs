//! A notification, as a gateway or anybody else may send it, and the same once more.
//!
//! Nobody finds a signature by trying. A field `signed-by` in the input is replaced by what its signer,
//! a gateway or a stranger, makes of the rest, so that what lies behind the signature is reached too.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use dana_failover::engine::{
    ApplicationAnswer, CellEvent, CellRequest, ClaimKey, ClaimState, Entry, Inbound, Input, Local,
    MemoryStore, Notification, NotificationEffect, NotificationEvent, Reply, Request, Shell,
    Ticket, Utc, WorkerCounters, drive,
};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::Value;

use super::text::{Asked, contains};
use super::world::World;

const SIGNERS: [(&str, &str); 3] = [
    ("primary", include_str!("../../src/cli/sandbox/keys/primary.pem")),
    ("secondary", include_str!("../../src/cli/sandbox/keys/secondary.pem")),
    ("stranger", include_str!("../../src/cli/sandbox/keys/stranger.pem")),
];
const PUBLIC: [&str; 2] = [
    include_str!("../../src/cli/sandbox/keys/primary.pub.pem"),
    include_str!("../../src/cli/sandbox/keys/secondary.pub.pem"),
];
const PARTNER: &str = "p";

/// One bucket, so that every claim is found.
static CONFIG: LazyLock<String> = LazyLock::new(|| {
    let [primary, secondary] = PUBLIC.map(|pem| pem.replace('\n', "\\n"));
    format!(
        r#"{{"gateways": [{{"name": "primary", "cluster": "one"}}, {{"name": "secondary", "cluster": "two"}}],
            "idempotency": {{"store": {{"local": {{"claims_max": 16}}}}}},
            "admin": {{"role": "notify"}},
            "notify": {{"partner": "{PARTNER}",
                        "keys": [{{"gateway": "primary", "key": "{primary}"}},
                                 {{"gateway": "secondary", "key": "{secondary}"}}]}}}}"#
    )
});

/// What must never be told or kept; nobody who does not know this line sends it.
const SECRET: &str = "Bearer 7c0f6a2be1d94e12b0aa";
const YES: &[u8] = br#"{"responseCode":"2005600"}"#;
/// Steps of one notification are a dozen; more means that it never ends.
const STEPS_MAX: usize = 1000;

/// # Panics
/// Where something is passed on or written that no gateway has signed, a payment is believed executed that
/// the body does not name, it is passed on twice, or a secret is told.
pub fn run(data: &[u8]) {
    let asked = Asked::read(data);
    let mut world = World::prepared(&CONFIG);
    let inbound = inbound(&world);
    let signed_at = Utc(world.time()).to_string();
    let signer = asked.fields.iter().find_map(|(name, value)| {
        let known = SIGNERS.iter().position(|(signer, _)| signer.as_bytes() == *value);
        known.filter(|_| *name == b"signed-by")
    });
    let signature = signer.map(|signer| sign(signer, &asked, &signed_at)).unwrap_or_default();
    let mut seal = vec![("authorization", SECRET)];
    if signer.is_some() {
        seal.extend([("x-timestamp", signed_at.as_str()), ("x-signature", signature.as_str())]);
    }
    let headers = asked.headers(&seal);
    let before = world.store.clone();
    let (mut first, seen) = send(&mut world, &inbound, &headers, asked.body);
    let is_genuine = signer.is_some_and(|signer| signer < PUBLIC.len());
    assert!(!seen.forwarded || is_genuine, "nobody has signed it, and it was passed on");
    check_told(&seen, data);
    if !seen.forwarded {
        let unwritten = world.store == before;
        assert!(unwritten, "what was refused has changed what is known");
        return;
    }
    check_claim(&world, signer, asked.body);
    let again = send(&mut world, &inbound, &headers, asked.body).1;
    let reason = again.reply.as_ref().map(|reply| reply.reason);
    assert!(!again.forwarded && reason == Some("under_way"), "the application has it: {reason:?}");
    let answer = ApplicationAnswer {
        from_application: true,
        was_reached: true,
        status: 200,
        content_type: Some("application/json"),
        body: Some(YES),
    };
    let confirmed = feed(&mut world, &mut first, NotificationEvent::Answered(answer));
    assert!(confirmed.relayed && first.is_ended(), "the application's answer goes back");
    let replayed = send(&mut world, &inbound, &headers, asked.body).1;
    assert_eq!(replayed.reply.map(|reply| reply.body).as_deref(), Some(YES), "its first answer");
    for cell in world.store.cells() {
        let is_hidden = !contains(&world.store.load(cell).bytes, SECRET.as_bytes());
        assert!(is_hidden || contains(data, SECRET.as_bytes()), "{cell:?}");
    }
}

fn inbound(world: &World) -> Rc<Inbound> {
    thread_local! {
        static INBOUND: OnceCell<Rc<Inbound>> = const { OnceCell::new() };
    }
    INBOUND.with(|inbound| {
        let read = || Rc::new(Inbound::new(&world.policy).expect("the configuration is right"));
        Rc::clone(inbound.get_or_init(read))
    })
}

/// SNAP's signature over the bytes as they are.
fn sign(signer: usize, asked: &Asked<'_>, timestamp: &str) -> String {
    static PAIRS: LazyLock<[RsaKeyPair; 3]> = LazyLock::new(|| {
        SIGNERS.map(|(_, pem)| {
            let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
            let key = BASE64_STANDARD.decode(text).expect("a key in PEM");
            RsaKeyPair::from_pkcs8(&key).expect("a key in PKCS #8")
        })
    });
    let hash = digest(&SHA256, asked.body);
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!("POST:{}:{hash}:{timestamp}", String::from_utf8_lossy(asked.path));
    let pair = &PAIRS[signer];
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
        .expect("a signature");
    BASE64_STANDARD.encode(signature)
}

/// What was done for a notification.
#[derive(Default)]
struct Seen {
    forwarded: bool,
    relayed: bool,
    reply: Option<Reply>,
    told: Vec<u8>,
}

fn send(
    world: &mut World,
    inbound: &Rc<Inbound>,
    headers: &[(&[u8], &[u8])],
    body: &[u8],
) -> (Local<Notification>, Seen) {
    let request = Request { headers, body, peer: &[], context: 1 };
    let notification = Notification::new(Rc::clone(&world.policy), Rc::clone(inbound));
    let mut machine = Local::new(notification);
    let seen = feed(world, &mut machine, NotificationEvent::Request(request));
    assert!(seen.forwarded != seen.reply.is_some(), "it is passed on or answered");
    assert_eq!(machine.is_sent(), seen.forwarded, "what is passed on waits for its answer");
    (machine, seen)
}

fn feed(
    world: &mut World,
    machine: &mut Local<Notification>,
    event: NotificationEvent<'_>,
) -> Seen {
    let now = world.time();
    let mut outside = Outside { store: &mut world.store, seen: Seen::default(), steps: 0 };
    let mut counters = WorkerCounters::default();
    drive(machine, Input::Event(event), now, &mut counters, &mut outside);
    outside.seen
}

struct Outside<'a> {
    store: &'a mut MemoryStore,
    seen: Seen,
    steps: usize,
}

impl Shell<Local<Notification>> for Outside<'_> {
    fn ask(&mut self, _: Ticket, request: CellRequest) -> Option<CellEvent> {
        self.steps += 1;
        assert!(self.steps < STEPS_MAX, "a notification does not end");
        Some(self.store.ask(request))
    }

    fn carry_out(&mut self, effect: NotificationEffect) -> Option<NotificationEvent<'static>> {
        match effect {
            NotificationEffect::Forward(_) => self.seen.forwarded = true,
            NotificationEffect::Relay => self.seen.relayed = true,
            NotificationEffect::Reply(reply) => {
                self.seen.told.extend_from_slice(&reply.body);
                self.seen.reply = Some(reply);
            }
            NotificationEffect::Decided(note) => {
                self.seen.told.extend(format!("{} {note:?}", note.line()).into_bytes());
            }
            NotificationEffect::Doubt(doubt) => panic!("nothing was known: {doubt:?}"),
            NotificationEffect::Anomaly(anomaly) => panic!("nothing was known: {anomaly:?}"),
        }
        None
    }
}

/// In the form that DANA reads, and without a secret.
fn check_told(seen: &Seen, data: &[u8]) {
    let needle = SECRET.as_bytes();
    assert!(contains(data, needle) || !contains(&seen.told, needle), "a secret is told");
    let Some(reply) = &seen.reply else {
        return;
    };
    let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
    let (code, message) = (body["responseCode"].as_str(), body["responseMessage"].as_str());
    let code = code.expect("a code");
    assert!(code.len() == 7 && code.starts_with(&reply.status.to_string()), "{code}");
    assert!(message.is_some_and(|message| message.chars().count() <= 150), "{message:?}");
}

/// What is believed is what the body says, as a reader takes it that knows nothing of ours.
fn check_claim(world: &World, signer: Option<usize>, body: &[u8]) {
    let claims = world.store.claims();
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    let is_executed = body["latestTransactionStatus"] == "00";
    assert_eq!(claims.len(), usize::from(is_executed), "only what was executed is known by it");
    let named = [&body["merchantId"], &body["originalPartnerReferenceNo"]].map(Value::as_str);
    let ([Some(merchant), Some(reference)], true) = (named, is_executed) else {
        return;
    };
    let key = ClaimKey::derive(PARTNER, "order", [merchant, reference]);
    let number = world.policy.placement.bucket(key.reference());
    let bucket = world.store.bucket(number).expect("it was written");
    let Entry::Claim(claim) = bucket.find(&key.prefix()) else {
        panic!("another payment is believed executed");
    };
    let ClaimState::Settled { gateways, .. } = claim.state else {
        panic!("executed, and not settled: {claim:?}");
    };
    let signer = world.policy.order().nth(signer.expect("somebody has signed it"));
    assert_eq!(gateways.single(), signer, "it speaks for itself alone");
}
