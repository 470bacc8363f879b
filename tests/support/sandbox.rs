//! Two stand-in gateways: the sandbox that users play with, as a process.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::{client, secrets};

/// A running sandbox.
pub(crate) struct Sandbox {
    child: Child,
    pub(crate) control: String,
    /// Address of the first gateway.
    pub(crate) primary: String,
    /// Address of the second.
    pub(crate) secondary: String,
}

impl Sandbox {
    /// Starts one with separate ledgers.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with further flags.
    pub(crate) fn start_with(flags: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dana-failover"))
            .args(["sandbox", "--quiet", "--control", "127.0.0.1:0"])
            .args(["--gateway", "primary=127.0.0.1:0", "--gateway", "secondary=127.0.0.1:0"])
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines
            .map_while(Result::ok)
            .find_map(|line| serde_json::from_str::<Value>(&line).ok())
            .expect("the sandbox tells its addresses");
        let address = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            child,
            control: address(&ready["control"]),
            primary: address(&ready["gateways"]["primary"]),
            secondary: address(&ready["gateways"]["secondary"]),
        }
    }

    /// Makes a gateway fail in this way.
    pub(crate) fn fault(&self, gateway: &str, fault: &Value) {
        let answer = client::post(&self.control, &format!("/gateways/{gateway}/fault"), fault);
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Has a gateway notify the merchant's application; what it was answered each time.
    pub(crate) fn notify(&self, gateway: &str, notice: &Value) -> Vec<Value> {
        self.try_notify(gateway, notice).expect("an answer within the gateway's patience")
    }

    /// The same; `None` where nobody answers within the gateway's patience.
    pub(crate) fn try_notify(&self, gateway: &str, notice: &Value) -> Option<Vec<Value>> {
        let answer = client::post(&self.control, &format!("/gateways/{gateway}/notify"), notice);
        if answer.status == 502 {
            return None;
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["answers"].as_array().cloned()
    }

    /// Ends a gateway's faults.
    pub(crate) fn heal(&self, gateway: &str) {
        self.fault(gateway, &serde_json::json!({"fault": "none"}));
    }

    /// Every payment of both ledgers.
    pub(crate) fn ledger(&self) -> Value {
        client::get(&self.control, "/ledger").json()
    }

    /// What both ledgers hold with this reference: the payment, and what followed it.
    pub(crate) fn entries(&self, reference: &str) -> Vec<Value> {
        let path = format!("/ledger?reference={reference}");
        client::get(&self.control, &path).json()["payments"].as_array().cloned().unwrap()
    }

    /// One payment of the ledgers, whatever was cancelled of it.
    pub(crate) fn payment(&self, reference: &str) -> Option<Value> {
        let entries = self.entries(reference);
        entries.into_iter().find(|entry| entry["namespace"] != "cancel")
    }

    /// Whether money is taken for a payment: executed somewhere, and not cancelled there.
    pub(crate) fn is_charged(&self, reference: &str) -> bool {
        let payment = self.payment(reference).unwrap_or_default();
        let states = payment["states"].as_object().cloned().unwrap_or_default();
        states.values().any(|state| state != "cancelled")
    }

    /// Where a payment was executed.
    pub(crate) fn executed_at(&self, reference: &str) -> Vec<String> {
        let payment = self.payment(reference);
        let places = payment.and_then(|payment| payment["executed_at"].as_array().cloned());
        let places = places.unwrap_or_default();
        places.iter().map(|place| place.as_str().unwrap().to_owned()).collect()
    }

    /// The requests with this reference that a gateway received, heartbeats not among them.
    pub(crate) fn requests(&self, gateway: &str, reference: &str) -> Vec<Value> {
        let path = format!("/requests?gateway={gateway}&reference={reference}");
        client::get(&self.control, &path).json()["requests"].as_array().cloned().unwrap()
    }

    /// The requests that a gateway received after the one with this number.
    pub(crate) fn requests_since(&self, gateway: &str, seq: u64) -> Vec<Value> {
        let path = format!("/requests?gateway={gateway}&since={seq}");
        client::get(&self.control, &path).json()["requests"].as_array().cloned().unwrap()
    }

    /// Has the gateways count anew.
    pub(crate) fn forget_stats(&self) {
        let answer = client::delete(&self.control, "/stats");
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Counts of each gateway.
    pub(crate) fn stats(&self) -> Value {
        client::get(&self.control, "/stats").json()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // A stand-in gateway knows whose payments it holds; how they were signed it shows nobody.
        if !std::thread::panicking() {
            let requests = client::glance(&self.control, "/requests", &[]).body;
            let told = secrets::found_in(&String::from_utf8_lossy(&requests));
            let _ = self.child.kill();
            assert!(told.is_empty(), "the sandbox tells secrets: {told:?}");
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
