//! `make demo`: the main job on a real Envoy, told step by step.
//!
//! Each step says what it does and what came of it, and is checked: if anything is not so, the
//! demo says what and fails.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "people read what it prints")]

#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use support::application::Application;
use support::client::{CREATE, STATUS, Seen, about, call, order};
use support::envoy::{Envoy, rendered, with_notifications};
use support::sandbox::Sandbox;
use support::until;

fn main() -> ExitCode {
    let began = support::now();
    let story = std::panic::catch_unwind(tell);
    match story {
        Ok(()) => {
            println!("\nAll of it is so ({:.1} s).", began.elapsed().as_secs_f32());
            ExitCode::SUCCESS
        }
        Err(_) => {
            println!("\nThe demo failed: the message above says which step is not so.");
            ExitCode::FAILURE
        }
    }
}

/// The reference configuration with waits that a person does not mind.
fn patient_no_longer() -> Value {
    json!({
        "testing": {"unsafe_timings": true},
        "heartbeat": {"interval_ms": 200, "timeout_ms": 500},
        "breaker": {"open_ms": 1500, "open_ms_max": 1500, "open_jitter_pct": 0},
        "failback": {"stable_ms": 1000, "dwell_ms": 1000, "ramp_ms": 0},
    })
}

struct Stage {
    sandbox: Sandbox,
    application: Application,
    envoy: Envoy,
    step: u32,
}

fn tell() {
    println!("Starting two stand-in gateways with separate ledgers, and Envoy with the filter.");
    let sandbox = Sandbox::start();
    let (application, changes) = (Application::start(), patient_no_longer());
    let config = rendered(&sandbox, &changes);
    let envoy = Envoy::start(&with_notifications(config, &application.address, &changes));
    println!("  merchant -> http://{} (Envoy + dana-failover, 2 workers)", envoy.listener);
    let inbound = envoy.listening("dana_notify").unwrap();
    println!("  gateways -> http://{inbound} (notifications) -> the merchant's application");
    println!("  primary   = http://{}", sandbox.primary);
    println!("  secondary = http://{}", sandbox.secondary);
    let mut stage = Stage { sandbox, application, envoy, step: 0 };
    stage.a_payment_and_its_repeat();
    stage.the_primary_refuses_connections();
    stage.the_breaker_opens();
    stage.the_primary_heals();
    stage.an_answer_is_lost();
    stage.the_gateway_notifies();
    stage.the_ledgers();
}

impl Stage {
    fn a_payment_and_its_repeat(&mut self) {
        self.step("A payment goes over the primary.");
        let first = self.pay("ORDER-1");
        assert_eq!((first.status, first.header("x-dana-gateway")), (200, Some("primary")));
        self.step("The merchant repeats it: it gets the same answer, and nothing is sent.");
        let again = self.pay("ORDER-1");
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        assert_eq!(again.body, first.body, "byte for byte");
        assert_eq!(self.copies("ORDER-1"), (1, 0));
    }

    fn the_primary_refuses_connections(&mut self) {
        self.step("The primary refuses connections: the payment moves within its own request.");
        self.sandbox.fault("primary", &json!({"fault": "refuse"}));
        let moved = self.pay("ORDER-2");
        assert_eq!((moved.status, moved.header("x-dana-gateway")), (200, Some("secondary")));
        assert_eq!(self.sandbox.executed_at("ORDER-2"), ["secondary"]);
    }

    fn the_breaker_opens(&mut self) {
        self.step("After five failures in a row the primary's breaker opens.");
        let mut number = 2;
        until("the breaker opens", Duration::from_secs(10), || {
            number += 1;
            let paid = self.pay(&format!("ORDER-{number}"));
            assert_eq!(paid.status, 200, "no payment fails meanwhile");
            (self.envoy.metric("dana_switches_total", "kind=\"failover\"") == 1).then_some(())
        });
        println!("    breaker of primary: open; new payments go straight to the secondary:");
        let direct = self.pay("ORDER-20");
        assert_eq!((direct.status, direct.header("x-dana-gateway")), (200, Some("secondary")));
    }

    fn the_primary_heals(&mut self) {
        self.step("The primary heals: heartbeat, a few trial payments, and traffic returns.");
        self.sandbox.heal("primary");
        let mut number = 30;
        until("traffic returns to the primary", Duration::from_secs(30), || {
            number += 1;
            support::pause(Duration::from_millis(200));
            let paid = call(&self.envoy.listener, CREATE, &order(&format!("ORDER-{number}")));
            assert_eq!(paid.status, 200, "no payment fails meanwhile");
            (self.envoy.metric("dana_switches_total", "kind=\"failback\"") == 1).then_some(())
        });
        let home = self.pay("ORDER-90");
        assert_eq!((home.status, home.header("x-dana-gateway")), (200, Some("primary")));
    }

    fn an_answer_is_lost(&mut self) {
        self.step("The primary takes a payment, and the connection breaks before it answers.");
        self.sandbox.fault("primary", &json!({"fault": "reset", "count": 1}));
        let lost = self.pay("ORDER-91");
        assert_eq!((lost.status, lost.outcome().as_str()), (504, "unknown"));
        assert_eq!(lost.json()["safe_new_key"], false);
        let again = self.pay("ORDER-91");
        assert_eq!(again.outcome(), "unknown", "a repeat is not sent elsewhere either");
        assert_eq!(self.copies("ORDER-91"), (1, 0), "never at the secondary");
        self.step("The merchant asks for its status: it goes to the primary, and settles it.");
        let status = call(&self.envoy.listener, STATUS, &about("ORDER-91"));
        println!("    status of ORDER-91 -> {} {}", status.status, brief(&status));
        assert_eq!(status.json()["latestTransactionStatus"], "00");
        self.step("A repeat fetches the lost answer from where the payment was executed.");
        let fetched = self.pay("ORDER-91");
        assert_eq!((fetched.status, fetched.header("x-dana-gateway")), (200, Some("primary")));
        // The payment, the question and the repeat.
        assert_eq!(self.copies("ORDER-91"), (3, 0), "never at the secondary");
    }

    fn the_gateway_notifies(&mut self) {
        self.step(
            "Another answer is lost, and nobody asks: the primary's notification settles it.",
        );
        self.sandbox.fault("primary", &json!({"fault": "reset", "count": 1}));
        let lost = self.pay("ORDER-92");
        assert_eq!((lost.status, lost.outcome().as_str()), (504, "unknown"));
        let forged =
            self.notify("primary", &json!({"reference": "ORDER-92", "forge": "wrong-key"}));
        assert_eq!(forged, ["4015600"], "whoever has not the gateway's key is not believed");
        let told = self.notify("primary", &json!({"reference": "ORDER-92", "times": 3}));
        assert_eq!(told, ["2005600"; 3], "the application's own answer, each time");
        let received = self.application.received().len();
        println!("    the merchant's application has got {received} notification");
        assert_eq!(received, 1, "the application has got it once");
        let settled = self.pay("ORDER-92");
        assert_eq!((settled.status, settled.header("x-dana-gateway")), (200, Some("primary")));
        assert_eq!(self.copies("ORDER-92").1, 0, "never at the secondary");
    }

    fn the_ledgers(&mut self) {
        self.step("The ledgers of both gateways, at the end:");
        let ledger = self.sandbox.ledger();
        let payments = ledger["payments"].as_array().unwrap();
        let at = |gateway| {
            let here = |p: &&Value| p["executed_at"].as_array().unwrap().contains(&json!(gateway));
            payments.iter().filter(here).count()
        };
        println!("    executed at primary    {:>4}", at("primary"));
        println!("    executed at secondary  {:>4}", at("secondary"));
        let doubled = payments.iter().filter(|p| p["executions"] != 1).count()
            + usize::try_from(ledger["executed_at_both"].as_u64().unwrap()).unwrap();
        println!("    double charges         {doubled:>4}");
        assert_eq!(doubled, 0);
        assert_eq!(at("primary") + at("secondary"), payments.len());
    }

    fn step(&mut self, text: &str) {
        self.step += 1;
        println!("\n{}. {text}", self.step);
    }

    fn pay(&self, reference: &str) -> Seen {
        let seen = call(&self.envoy.listener, CREATE, &order(reference));
        let gateway = seen.header("x-dana-gateway").map(|g| format!("by {g}")).unwrap_or_default();
        let replayed = seen.header("idempotent-replayed").map_or("", |_| ", replayed");
        println!("    pay {reference:<9} -> {} {} {gateway}{replayed}", seen.status, brief(&seen));
        seen
    }

    /// Has a gateway notify the merchant; the codes that it is told.
    fn notify(&self, gateway: &str, notice: &Value) -> Vec<String> {
        let to = self.envoy.listening("dana_notify").unwrap();
        let mut notice = notice.clone();
        notice["to"] = json!(format!("http://{to}"));
        let answers = self.sandbox.notify(gateway, &notice);
        let read = |answer: &Value| {
            let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
            body["responseCode"].as_str().unwrap().to_owned()
        };
        let codes: Vec<String> = answers.iter().map(read).collect();
        let forged = notice.get("forge").map_or("", |_| ", by somebody else's key");
        println!(
            "    {gateway} notifies of {}{forged} -> {}",
            notice["reference"].as_str().unwrap(),
            codes.join(" ")
        );
        codes
    }

    /// How many copies of a payment each gateway received.
    fn copies(&self, reference: &str) -> (usize, usize) {
        let at = |gateway| self.sandbox.requests(gateway, reference).len();
        (at("primary"), at("secondary"))
    }
}

/// An answer in a few words.
fn brief(seen: &Seen) -> String {
    let outcome = seen.outcome();
    let code = seen.code();
    if outcome.is_empty() { code } else { format!("{code} outcome={outcome}") }
}
