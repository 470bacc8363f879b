//! Requests of operators, from the token to the answer, over a store in memory.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::*;
use crate::engine::gateway::GatewayId;
use crate::engine::health::{HealthEvent, Override, OverrideKind, Report, Signal, Source};
use crate::engine::limits;
use crate::engine::machine::{Shell, Ticket, drive};
use crate::engine::payment::{Anomaly, DoubtEvent};
use crate::engine::store::{
    Cell, CellEvent, CellRequest, Loaded, Local, MemoryStore, Placement, Seed,
};
use crate::engine::time::Millis;

mod apart;
mod doubting;
mod lately;
mod ready;
mod realm;
mod steering;
mod telling;

const START: u64 = 1_790_000_000_000;
const TOKEN: &str = "s3cret";

fn config(role: &str, gateways: &str) -> Config {
    config_with(role, gateways, "")
}

/// The same with `more` members.
fn config_with(role: &str, gateways: &str, more: &str) -> Config {
    let digest: String = Sha256::digest(TOKEN).iter().map(|byte| format!("{byte:02x}")).collect();
    let admin = match role {
        "admin" => format!(r#", "admin": {{"role": "admin", "token_sha256": "{digest}"}}"#),
        _ => String::new(),
    };
    let config = format!(
        r#"{{"gateways": [{gateways}],
            "breaker": {{"consecutive_failures": 2, "half_open_permits": 2, "open_jitter_pct": 0}}
            {admin}{more}}}"#
    );
    Config::parse(config.as_bytes()).unwrap()
}

const TWO: &str =
    r#"{"name": "primary", "cluster": "c_1"}, {"name": "secondary", "cluster": "c_2"}"#;

/// What an operator gets.
struct Got {
    status: u16,
    headers: Vec<(&'static str, String)>,
    text: String,
    told: Vec<String>,
    changes: Vec<HealthEvent>,
    anomalies: Vec<Anomaly>,
    doubts: Vec<DoubtEvent>,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

/// A store, a clock, and what the payments' workers make of both.
struct Scene {
    now: u64,
    policy: Rc<Policy>,
    store: MemoryStore,
    /// Before each of so many writes of this value another writer is quicker.
    rival: Option<(Cell, u32)>,
    /// The store fails at this.
    fails: Option<Cell>,
    admin: Rc<Config>,
    instance: Rc<Instance>,
}

impl Scene {
    fn new() -> Self {
        let mut layout =
            Layout::new(Placement::new(config("payments", TWO).store.claims_max, Seed::default()));
        let policy = Rc::new(
            Policy::join(config("payments", TWO), &mut layout, Timestamp::default()).unwrap().0,
        );
        let mut store = MemoryStore::default();
        store.put(Cell::Layout, layout.encode());
        let admin = Rc::new(config("admin", TWO));
        let mut scene = Self {
            now: START,
            policy,
            store,
            rival: None,
            fails: None,
            admin,
            instance: Rc::default(),
        };
        for name in ["primary", "secondary"] {
            scene.beat(name, true);
            scene.beat(name, true);
        }
        scene
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    /// Time passes, while a worker ticks.
    fn pass(&mut self, millis: u64) {
        self.now += millis;
        self.health(|health, policy, now| health.take_lease(1, now, &policy.health, now));
    }

    fn id(&self, name: &str) -> GatewayId {
        self.policy.named(name).unwrap().id
    }

    fn loaded(&self, cell: Cell) -> Loaded {
        self.store.load(cell)
    }

    fn put(&mut self, cell: Cell, bytes: Vec<u8>) {
        self.store.put(cell, bytes);
    }

    fn health<T>(&mut self, change: impl FnOnce(&mut Health, &Policy, Timestamp) -> T) -> T {
        let (now, policy) = (self.time(), &self.policy);
        self.store.change_health(|health| change(health, policy, now))
    }

    fn beat(&mut self, name: &str, good: bool) {
        let id = self.id(name);
        self.health(|health, policy, now| {
            health.on_probe(id, good, &policy.health, now);
            health.update_active(&policy.health, now)
        });
    }

    fn report(&mut self, name: &str, signal: Signal, trial: bool) {
        let id = self.id(name);
        self.health(|health, policy, now| {
            let generation = health.generation(id);
            let source = Source::default();
            health.record(
                id,
                Report { signal, slow: false, generation, trial, source, ..Report::default() },
                &policy.health,
                now,
            );
            health.update_active(&policy.health, now)
        });
    }

    fn trip(&mut self, name: &str) {
        self.report(name, Signal::Failure, false);
        self.report(name, Signal::Failure, false);
    }

    /// A request of anna's.
    fn ask(&mut self, method: &str, target: &str, body: &str) -> Got {
        // anna:s3cret
        let headers = [("authorization", "Basic YW5uYTpzM2NyZXQ=")];
        self.send(method, target, &headers, body)
    }

    fn get(&mut self, target: &str) -> Got {
        self.ask("GET", target, "")
    }

    fn page(&mut self) -> String {
        let got = self.get("/");
        assert_eq!(got.status, 200, "{}", got.text);
        got.text
    }

    fn override_of(&mut self, name: &str, steer: &str) -> Got {
        let ttl = if steer == "auto" { "" } else { r#""ttl_s": 60, "# };
        let body =
            format!(r#"{{"gateway": "{name}", "steer": "{steer}", {ttl}"reason": "planned"}}"#);
        self.ask("POST", "/override", &body)
    }

    fn send(&mut self, method: &str, target: &str, more: &[(&str, &str)], body: &str) -> Got {
        let mut fields = vec![(":method", method), (":path", target)];
        fields.push(("content-type", "application/json"));
        fields.extend(more);
        let headers: Vec<(&[u8], &[u8])> =
            fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let request = Request { headers: &headers, body: body.as_bytes(), peer: &[], context: 1 };
        let admin = Admin::new(Rc::clone(&self.admin)).at(Rc::clone(&self.instance));
        let mut admin = Local::new(admin);
        let now = self.time();
        let mut shell = Desk { scene: self, asks: 0, effects: Vec::new() };
        let input = Input::Event(AdminEvent::Request(request));
        drive(&mut admin, input, now, &mut (), &mut shell);
        assert!(admin.is_ended());
        let (mut told, mut changes) = (Vec::new(), Vec::new());
        let (mut anomalies, mut doubts) = (Vec::new(), Vec::new());
        let mut effects = shell.effects;
        let Some(AdminEffect::Reply(Reply { status, headers, body, .. })) = effects.pop() else {
            panic!("it ends with an answer")
        };
        for effect in effects {
            match effect {
                AdminEffect::Told { line, .. } => told.push(line),
                AdminEffect::Changed(change) => changes.push(change),
                AdminEffect::Anomaly(anomaly) => anomalies.push(anomaly),
                AdminEffect::Doubt(doubt) => doubts.push(doubt),
                AdminEffect::Reply(reply) => panic!("two answers: {reply:?}"),
            }
        }
        let text = String::from_utf8(body).unwrap();
        Got { status, headers, text, told, changes, anomalies, doubts }
    }
}

/// What an operator's request is carried out on.
struct Desk<'a> {
    scene: &'a mut Scene,
    asks: u32,
    effects: Vec<AdminEffect>,
}

impl Shell<Local<Admin>> for Desk<'_> {
    fn ask(&mut self, _: Ticket, request: CellRequest) -> Option<CellEvent> {
        self.asks += 1;
        assert!(self.asks < 100, "it comes to an end");
        let (cell, scene) = (request.cell(), &mut *self.scene);
        if scene.fails == Some(cell) {
            return Some(CellEvent::Failed(cell));
        }
        let writes = matches!(request, CellRequest::Store { .. });
        let rival = scene.rival.as_mut().filter(|(other, left)| *other == cell && *left > 0);
        if let Some((_, left)) = rival.filter(|_| writes) {
            *left -= 1;
            let same = scene.store.load(cell).bytes;
            scene.store.put(cell, same);
        }
        Some(scene.store.ask(request))
    }

    fn carry_out(&mut self, effect: AdminEffect) -> Option<AdminEvent<'static>> {
        self.effects.push(effect);
        None
    }
}

#[test]
fn nothing_is_told_without_the_token() {
    let mut scene = Scene::new();
    for (method, target) in
        [("GET", "/"), ("GET", "/status"), ("GET", "/nothing"), ("PUT", "/"), ("POST", "/override")]
    {
        for field in [("authorization", "Bearer wrong"), ("x-nothing", "")] {
            let got = scene.send(method, target, &[field], "{");
            assert_eq!(got.status, 401, "{method} {target}");
            let challenges = got.headers.iter().filter(|(name, _)| *name == "www-authenticate");
            let challenges: Vec<&str> = challenges.map(|(_, value)| value.as_str()).collect();
            assert_eq!(challenges[0], "Bearer");
            assert!(challenges[1].starts_with("Basic realm=\"dana-failover\""));
            assert!(!got.text.contains("status "), "no routes: {}", got.text);
        }
    }
    let got = scene.send("GET", "/status", &[("authorization", "Bearer s3cret")], "");
    assert_eq!(got.status, 200);
    // A listener that has no token lets nobody in.
    scene.admin = Rc::new(config("payments", TWO));
    assert_eq!(scene.get("/status").status, 401);
}

#[test]
fn no_answer_is_kept_or_guessed_at_by_a_browser() {
    let mut scene = Scene::new();
    for (method, target) in [("GET", "/"), ("GET", "/status"), ("GET", "/x"), ("POST", "/override")]
    {
        let got = scene.ask(method, target, "{}");
        for (name, value) in [("cache-control", "no-store"), ("x-content-type-options", "nosniff")]
        {
            assert!(got.headers.contains(&(name, value.to_owned())), "{target}: {:?}", got.headers);
        }
    }
    let page = scene.get("/");
    let policy = page.headers.iter().find(|(name, _)| *name == "content-security-policy").unwrap();
    assert!(policy.1.starts_with("default-src 'none'; style-src 'unsafe-inline'"), "{policy:?}");
}

#[test]
fn before_the_payments_are_configured_there_is_nothing_to_tell() {
    let mut scene = Scene::new();
    scene.admin =
        Rc::new(config("admin", &format!(r#"{TWO}, {{"name": "third", "cluster": "c_3"}}"#)));
    let got = scene.get("/status");
    assert_eq!(got.status, 503);
    assert!(got.text.contains("a gateway third yet"), "{}", got.text);

    scene.admin = Rc::new(config("admin", TWO));
    let layout = scene.loaded(Cell::Layout);
    scene.store.retain(|cell, _| cell != Cell::Layout);
    let got = scene.override_of("primary", "drain");
    assert_eq!(got.status, 503);
    assert!(got.text.contains("has not configured this vm_id yet"), "{}", got.text);
    assert!(got.headers.contains(&("retry-after", "1".to_owned())));

    let mut policy = Layout::new(Placement::new(112, Seed::default()));
    policy.join(112, &[("primary", "c_1"), ("secondary", "c_2")], &[]).unwrap();
    scene.put(Cell::Layout, policy.encode());
    let got = scene.get("/status");
    assert!(got.status == 503 && got.text.contains("(112, here "), "{}", got.text);

    scene.put(Cell::Layout, vec![99, 0, 0]);
    let got = scene.get("/status");
    assert!(got.status == 503 && got.text.contains("another version"), "{}", got.text);
    scene.put(Cell::Layout, layout.bytes);
    assert_eq!(scene.get("/status").status, 200);
}

#[test]
fn a_store_that_fails_is_told_and_so_is_health_of_another_version() {
    let mut scene = Scene::new();
    for cell in [Cell::Layout, Cell::Health] {
        scene.fails = Some(cell);
        let got = scene.get("/status");
        assert_eq!(
            (got.status, got.json()["type"].as_str()),
            (503, Some("urn:dana-failover:admin:store_failed"))
        );
    }
    scene.fails = None;
    scene.put(Cell::Health, vec![99, 1, 2, 3]);
    let got = scene.override_of("primary", "drain");
    assert!(got.status == 503 && got.text.contains("another version"), "{}", got.text);
    assert_eq!(scene.loaded(Cell::Health).bytes, [99, 1, 2, 3], "left as it is");
}

#[test]
fn an_answer_that_comes_twice_or_to_nothing_changes_nothing() {
    let mut admin = Admin::new(Rc::new(config("admin", TWO)));
    let now = Timestamp::from_millis(START);
    let unasked = Input::Told(Ticket::default(), OperatorEvent::Written);
    assert!(admin.handle(unasked, now, &mut ()).is_empty());
    let headers: [(&[u8], &[u8]); 3] =
        [(b":method", b"GET"), (b":path", b"/"), (b"authorization", b"Bearer s3cret")];
    let request = Request { headers: &headers, body: b"", peer: &[], context: 1 };
    let asked = admin.handle(Input::Event(AdminEvent::Request(request)), now, &mut ());
    let [Output::Ask(ticket, OperatorRequest::Layout)] = asked[..] else { panic!("{asked:?}") };
    // Another answer than the question's.
    let answer = admin.handle(Input::Told(ticket, OperatorEvent::Written), now, &mut ());
    assert!(
        matches!(&answer[..], [Output::Do(AdminEffect::Reply(reply))] if reply.status == 503),
        "{answer:?}"
    );
    let late = Input::Told(ticket, OperatorEvent::Layout(Ok(None)));
    assert!(admin.handle(late, now, &mut ()).is_empty());
}
