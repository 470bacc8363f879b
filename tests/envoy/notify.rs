//! Gateways' notifications: what is believed, what reaches the merchant's application, and how often.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::application::{Application, CONFIRMED, Received, Says};
use crate::support::client::{self, CANCEL, CREATE, Seen, about, call, order};
use crate::support::envoy::{Envoy, quick, rendered, with, with_notifications};
use crate::support::merchant::{Sdk, parse_webhook};
use crate::support::sandbox::Sandbox;
use crate::support::{free_ports, root, until};

const PATIENCE: Duration = Duration::from_secs(5);

/// A sandbox, an application, and an Envoy before both.
struct Scene {
    sandbox: Sandbox,
    application: Application,
    envoy: Envoy,
}

impl Scene {
    fn start() -> Self {
        Self::of(Sandbox::start(), &json!({}), &json!({}))
    }

    /// With these changes to all filters, and these to the one for notifications.
    fn of(sandbox: Sandbox, changes: &Value, inbound: &Value) -> Self {
        let application = Application::start();
        let changes = with(quick(), changes);
        let config = rendered(&sandbox, &changes);
        let inbound = with(changes, inbound);
        let config = with_notifications(config, &application.address, &inbound);
        Self { envoy: Envoy::start(&config), sandbox, application }
    }

    fn pay(&self, reference: &str) -> Seen {
        call(&self.envoy.listener, CREATE, &order(reference))
    }

    /// A payment that was executed at the primary, and of which nobody here knows that.
    fn doubt(&self, reference: &str) {
        let fault = json!({"fault": "reset", "executes": true, "count": 1});
        self.sandbox.fault("primary", &fault);
        assert_eq!(self.pay(reference).outcome(), "unknown");
    }

    /// Has a gateway notify; what it was answered each time.
    fn notify(&self, gateway: &str, reference: &str, more: &Value) -> Vec<Answer> {
        let to = self.envoy.listening("dana_notify").unwrap();
        let notice = json!({"reference": reference, "to": format!("http://{to}")});
        let answers = self.sandbox.notify(gateway, &with(notice, more));
        let read = |answer: &Value| {
            (answer["status"].as_u64().unwrap(), answer["body"].as_str().unwrap().to_owned())
        };
        answers.iter().map(read).collect()
    }

    fn received(&self) -> Vec<Received> {
        self.application.received()
    }

    /// The entry that is wanted, once it is written.
    fn entry(&self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        until("it is written down", PATIENCE, || {
            let mut entries = self.envoy.entries().into_iter();
            entries.find(|entry| entry["e"] == kind && wanted(entry))
        })
    }
}

/// Status and body.
type Answer = (u64, String);

fn confirmed() -> Answer {
    (200, CONFIRMED.to_owned())
}

fn code(answer: &Answer) -> String {
    let body: Value = serde_json::from_str(&answer.1).unwrap();
    body["responseCode"].as_str().unwrap().to_owned()
}

#[test]
fn a_payment_in_doubt_is_settled_by_its_notification() {
    let scene = Scene::start();
    scene.doubt("DOUBT");
    assert_eq!(scene.notify("primary", "DOUBT", &json!({})), [confirmed()]);
    let entry = scene.entry("notify", |entry| entry["ref"] == "DOUBT");
    for (name, value) in [
        ("do", "deliver"),
        ("claim", "settled"),
        ("ev", "executed"),
        ("gw", "primary"),
        ("amt", "10000.00"),
        ("op", "order-notify"),
        ("code", "2005600"),
    ] {
        assert_eq!(entry[name], value, "{name}: {entry}");
    }
    // The gateway itself is asked for the answer, which knows the payment.
    let repeat = scene.pay("DOUBT");
    assert_eq!((repeat.status, repeat.code()), (200, "2005400".to_owned()), "{repeat:?}");
    assert_eq!(scene.sandbox.executed_at("DOUBT"), ["primary"]);
    let labels = [r#"decision="deliver""#, r#"claim="settled""#, r#"gateway="primary""#];
    for label in labels {
        assert_eq!(scene.envoy.metric("dana_notifications_total", label), 1, "{label}");
    }
}

#[test]
fn what_passes_is_as_it_was_sent_and_danas_own_parsers_take_it() {
    let scene = Scene::start();
    assert_eq!(scene.pay("PARSED").status, 200);
    assert_eq!(scene.notify("primary", "PARSED", &json!({})), [confirmed()]);
    let received = scene.received();
    let [got] = received.as_slice() else { panic!("{received:?}") };
    assert_eq!(got.line, "POST /v1.0/debit/notify HTTP/1.1");
    assert_eq!(got.header("x-dana-gateway"), Some("primary"));
    assert_eq!(got.header("x-dana-verified"), Some("true"));
    let keys = root().join("src/cli/sandbox/keys");
    for sdk in [Sdk::Python, Sdk::Node] {
        let parsed = parse_webhook(sdk, &keys.join("primary.pub.pem"), got);
        assert_eq!(parsed["value"]["originalPartnerReferenceNo"], "PARSED", "{sdk:?}: {parsed}");
        assert_eq!(parsed["value"]["latestTransactionStatus"], "00", "{sdk:?}");
        let parsed = parse_webhook(sdk, &keys.join("secondary.pub.pem"), got);
        assert!(parsed["error"].as_str().unwrap().contains("ignature"), "{sdk:?}: {parsed}");
    }
}

/// Each forgery, the code that refuses it, and a word of the reason.
const FORGERIES: [(&str, &str, &str); 9] = [
    ("wrong-key", "4015600", "none of a key that counts"),
    ("old", "4015600", "too long ago"),
    ("ahead", "4015600", "lies ahead"),
    ("body", "4015600", "none of a key that counts"),
    ("path", "4015600", "none of a key that counts"),
    ("unsigned", "4015600", "X-SIGNATURE is missing"),
    ("untimed", "4015600", "X-TIMESTAMP is missing"),
    ("cut", "4015600", "none of a key that counts"),
    ("not-base64", "4015600", "not base64"),
];

#[test]
fn a_forgery_is_refused_and_changes_nothing() {
    let scene = Scene::start();
    scene.doubt("FORGED");
    for (forgery, expected, reason) in FORGERIES {
        let answers = scene.notify("primary", "FORGED", &json!({"forge": forgery}));
        assert_eq!((answers[0].0, code(&answers[0]).as_str()), (401, expected), "{forgery}");
        assert!(answers[0].1.contains(reason), "{forgery}: {answers:?}");
    }
    assert_eq!(scene.received(), []);
    let unverified = r#"decision="unverified""#;
    let count = || scene.envoy.metric("dana_notifications_total", unverified);
    assert_eq!(count(), FORGERIES.len() as u64);
    // Nobody knows yet how the payment ended; the genuine one tells.
    assert_eq!(scene.envoy.metric("dana_notifications_total", r#"claim="settled""#), 0);
    assert_eq!(scene.notify("primary", "FORGED", &json!({})), [confirmed()]);
    assert_eq!(scene.entry("notify", |entry| entry["do"] == "deliver")["claim"], "settled");
}

/// A listener of one gateway's own believes that gateway alone.
#[test]
fn another_gateways_key_counts_for_nothing_on_a_gateways_own_channel() {
    let channel = json!({"notify": {"gateway": "primary"}});
    let scene = Scene::of(Sandbox::start(), &json!({}), &channel);
    assert_eq!(scene.pay("CHANNEL").status, 200);
    let answers = scene.notify("primary", "CHANNEL", &json!({"forge": "other-key"}));
    assert_eq!(code(&answers[0]), "4015600", "{answers:?}");
    assert_eq!(scene.notify("primary", "CHANNEL", &json!({})), [confirmed()]);
    assert_eq!(scene.received().len(), 1);
}

#[test]
fn the_same_notification_over_both_channels_reaches_the_application_once() {
    let sandbox = Sandbox::start_with(&["--ledger", "shared"]);
    let scene = Scene::of(sandbox, &json!({"ledger": "shared"}), &json!({}));
    assert_eq!(scene.pay("TEN").status, 200);
    for gateway in ["primary", "secondary"] {
        let answers = scene.notify(gateway, "TEN", &json!({"times": 5}));
        assert_eq!(answers, vec![confirmed(); 5], "{gateway}");
    }
    assert_eq!(scene.received().len(), 1);
    // Another status of the same payment is another notification.
    assert_eq!(scene.notify("primary", "TEN", &json!({"status": "05"})), [confirmed()]);
    assert_eq!(scene.received().len(), 2);
}

#[test]
fn an_application_that_does_not_confirm_gets_it_again_until_it_does() {
    let scene = Scene::start();
    assert_eq!(scene.pay("AGAIN").status, 200);
    let refusals = [
        (Says::Answer(500, "oops".to_owned()), (500, "oops".to_owned())),
        // DANA takes an answer without a code as none, and so do we.
        (Says::Answer(200, "{}".to_owned()), (200, "{}".to_owned())),
    ];
    for (says, answer) in refusals {
        scene.application.says(says);
        assert_eq!(scene.notify("primary", "AGAIN", &json!({})), [answer]);
    }
    scene.application.confirms();
    assert_eq!(scene.notify("primary", "AGAIN", &json!({"times": 2})), vec![confirmed(); 2]);
    assert_eq!(scene.received().len(), 3);
    assert_eq!(scene.envoy.metric("dana_notifications_total", r#"decision="replay""#), 1);
}

/// Whoever hangs up may have it: it is given anew when nobody can be at it any longer.
#[test]
fn an_application_that_hangs_up_gets_it_again_later() {
    let scene = Scene::start();
    assert_eq!(scene.pay("AWAY").status, 200);
    scene.application.says(Says::Close);
    let away = |answers: &[Answer], why: &str| {
        assert_eq!((answers[0].0, code(&answers[0]).as_str()), (500, "5005601"), "{answers:?}");
        assert!(answers[0].1.contains(why), "{why}: {answers:?}");
    };
    away(&scene.notify("primary", "AWAY", &json!({})), "did not answer");
    away(&scene.notify("primary", "AWAY", &json!({})), "being processed");
    scene.application.confirms();
    until("it is given anew", PATIENCE, || {
        (scene.notify("primary", "AWAY", &json!({})) == [confirmed()]).then_some(())
    });
    assert_eq!(scene.received().len(), 2);
}

/// Nobody listens where the application should, and then it does.
#[test]
fn an_application_that_was_down_gets_once_what_the_gateway_repeats() {
    let sandbox = Sandbox::start();
    let address = format!("127.0.0.1:{}", free_ports(1)[0]);
    let config = with_notifications(rendered(&sandbox, &quick()), &address, &quick());
    let envoy = Envoy::start(&config);
    assert_eq!(call(&envoy.listener, CREATE, &order("DOWN")).status, 200);
    let notify = |times: u64| {
        let to = format!("http://{}", envoy.listening("dana_notify").unwrap());
        let notice = json!({"reference": "DOWN", "to": to, "times": times});
        sandbox.notify("primary", &notice)
    };
    for answer in notify(3) {
        let body = answer["body"].as_str().unwrap();
        assert!(answer["status"] == 500 && body.contains("5005601"), "{answer}");
        assert!(body.contains("did not answer"), "{answer}");
    }
    let application = Application::start_at(&address);
    let answers = notify(3);
    assert!(answers.iter().all(|answer| answer["status"] == 200), "{answers:?}");
    assert_eq!(application.received().len(), 1);
    assert_eq!(envoy.metric("dana_notifications_total", r#"decision="application_away""#), 3);
}

#[test]
fn while_the_application_has_it_a_repeat_is_told_to_come_again() {
    let scene = Scene::start();
    assert_eq!(scene.pay("SLOW").status, 200);
    scene.application.says(Says::Nothing);
    thread::scope(|threads| {
        let first = threads.spawn(|| scene.notify("primary", "SLOW", &json!({})));
        until("the application has it", PATIENCE, || (scene.received().len() == 1).then_some(()));
        let answers = scene.notify("primary", "SLOW", &json!({"times": 3}));
        for answer in &answers {
            assert_eq!((answer.0, code(answer).as_str()), (500, "5005601"), "{answers:?}");
            assert!(answer.1.contains("being processed"), "{answers:?}");
        }
        scene.application.confirms();
        assert_eq!(first.join().unwrap(), [confirmed()]);
    });
    assert_eq!(scene.received().len(), 1);
    assert_eq!(scene.notify("primary", "SLOW", &json!({})), [confirmed()]);
    assert_eq!(scene.received().len(), 1);
}

#[test]
fn a_payment_that_two_gateways_have_executed_is_an_alarm() {
    let scene = Scene::start();
    assert_eq!(scene.pay("TWICE").status, 200);
    // Somebody has paid past the filter.
    assert_eq!(call(&scene.sandbox.secondary, CREATE, &order("TWICE")).status, 200);
    assert_eq!(scene.notify("primary", "TWICE", &json!({})), [confirmed()]);
    let twice = || scene.envoy.metric("dana_anomalies_total", r#"kind="executed_twice""#);
    assert_eq!(twice(), 0);
    // It has another number of the gateway's own, so the application hears of both.
    assert_eq!(scene.notify("secondary", "TWICE", &json!({"times": 2})), vec![confirmed(); 2]);
    assert_eq!((scene.received().len(), twice()), (2, 1));
    let entry = scene.entry("anomaly", |entry| entry["rule"] == "executed_twice");
    for (name, value) in [("gw", "secondary"), ("was", "settled"), ("amt", "10000.00")] {
        assert_eq!(entry[name], value, "{name}: {entry}");
    }
}

#[test]
fn a_payment_that_was_not_known_is_known_by_its_notification() {
    let scene = Scene::start();
    assert_eq!(call(&scene.sandbox.secondary, CREATE, &order("FOREIGN")).status, 200);
    assert_eq!(scene.notify("secondary", "FOREIGN", &json!({})), [confirmed()]);
    // It is cancelled where it is, though the primary is preferred.
    let cancel = call(&scene.envoy.listener, CANCEL, &about("FOREIGN"));
    assert_eq!(cancel.header("x-dana-gateway"), Some("secondary"), "{cancel:?}");
    assert_eq!(scene.sandbox.requests("primary", "FOREIGN"), Vec::<Value>::new());
}

#[test]
fn what_is_no_notification_goes_nowhere() {
    let scene = Scene::start();
    let address = scene.envoy.listening("dana_notify").unwrap();
    for (path, status) in [("/", 404), (CREATE, 404), ("/v1.0/debit/notify/x", 404)] {
        let seen = client::send(&address, path, &[], b"{}");
        assert_eq!(seen.status, status, "{path}: {seen:?}");
    }
    let stranger = [("x-partner-id", "somebody else"), ("x-timestamp", "1"), ("x-signature", "1")];
    let seen = client::send(&address, "/v1.0/debit/notify", &stranger, b"{}");
    assert_eq!((seen.status, seen.code()), (401, "4015600".to_owned()), "{seen:?}");
    let seen = client::get(&address, "/v1.0/debit/notify");
    assert_eq!((seen.status, seen.code()), (400, "4005601".to_owned()), "{seen:?}");
    assert_eq!(scene.received(), []);
}
