//! What tests ask of etcd themselves, past the filter: its own API as JSON over HTTP.

use std::sync::Mutex;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use ureq::Agent;

use super::Etcd;
use super::tls::{ROOT, ROOT_PASSWORD, Tls};

/// Longer than etcd itself waits for a majority: 7 s.
const LIMIT: Duration = Duration::from_secs(10);

/// A key with its value, as it is in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The key. What is not UTF-8 of it is replaced.
    pub(crate) key: String,
    /// The value.
    pub(crate) value: Vec<u8>,
    /// Revision of the write that made it what it is.
    pub(crate) mod_revision: u64,
    /// Revision of the write that made it be there.
    pub(crate) create_revision: u64,
    /// The lease that it ends with; 0 without one.
    pub(crate) lease: u64,
}

/// A lease, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// Seconds that are left; -1 when it is over, or was never there.
    pub(crate) left_s: i64,
    /// Seconds that it was granted for.
    pub(crate) granted_s: i64,
    /// The keys that end with it.
    pub(crate) keys: Vec<String>,
}

/// The API of one member.
pub(crate) struct Api {
    origin: String,
    agent: Agent,
    /// Without users there is none.
    token: Mutex<Option<String>>,
}

impl Api {
    pub(super) fn new(origin: &str, tls: Option<&Tls>) -> Self {
        let config = Agent::config_builder().http_status_as_error(false);
        let config = match tls {
            Some(tls) => config.tls_config(tls.agent_config()),
            None => config,
        };
        let (origin, agent) = (origin.to_owned(), config.build().into());
        Self { origin, agent, token: Mutex::default() }
    }

    /// Whether it answers for itself, with others or without.
    pub(super) fn serves(&self, limit: Duration) -> bool {
        let request = self.agent.get(format!("{}/health?serializable=true", self.origin));
        let answer = request.config().timeout_global(Some(limit)).build().call();
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Logs the root user in.
    pub(super) fn log_in(&self) {
        let root = json!({"name": ROOT, "password": ROOT_PASSWORD});
        let answer = self.post_once("/v3/auth/authenticate", &root, LIMIT).unwrap();
        *self.token.lock().unwrap() = Some(answer["token"].as_str().unwrap().to_owned());
    }

    /// One call. Where it is not answered with success, what was said instead; whether it did
    /// anything is then unknown.
    pub(crate) fn post(&self, path: &str, body: &Value, limit: Duration) -> Result<Value, String> {
        let answer = self.post_once(path, body, limit);
        // A member forgets tokens when it restarts, and five minutes after their last use.
        if !answer.as_ref().is_err_and(|error| error.contains("invalid auth token")) {
            return answer;
        }
        self.log_in();
        self.post_once(path, body, limit)
    }

    fn post_once(&self, path: &str, body: &Value, limit: Duration) -> Result<Value, String> {
        let mut request = self.agent.post(format!("{}{path}", self.origin));
        if let Some(token) = &*self.token.lock().unwrap() {
            request = request.header("authorization", token);
        }
        let request = request.config().timeout_global(Some(limit)).build();
        let mut answer = request.send(body.to_string()).map_err(|error| error.to_string())?;
        let text = answer.body_mut().with_config().limit(1 << 28).read_to_string();
        let text = text.map_err(|error| error.to_string())?;
        if !answer.status().is_success() {
            return Err(format!("{}: {text}", answer.status()));
        }
        serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))
    }

    /// The store's revision, as a majority knows it.
    pub(crate) fn try_revision(&self, limit: Duration) -> Result<u64, String> {
        let range = json!({"key": encode(b"\0"), "count_only": true});
        Ok(number(&self.post("/v3/kv/range", &range, limit)?["header"]["revision"]))
    }

    /// Writes a value; its revision.
    pub(crate) fn try_put(&self, key: &str, value: &[u8], limit: Duration) -> Result<u64, String> {
        let put = json!({"key": encode(key.as_bytes()), "value": encode(value)});
        Ok(number(&self.post("/v3/kv/put", &put, limit)?["header"]["revision"]))
    }
}

/// What the leader is asked, so that a member that is missing is in nobody's way.
impl Etcd {
    fn ask(&self, path: &str, body: &Value) -> Value {
        let answer = self.api(self.leader()).post(path, body, LIMIT);
        answer.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn range(&self, range: &Value) -> Vec<Record> {
        let answer = self.ask("/v3/kv/range", range);
        answer["kvs"].as_array().into_iter().flatten().map(record).collect()
    }

    /// Everything with this prefix, in the order of keys.
    pub(crate) fn list(&self, prefix: &str) -> Vec<Record> {
        let [key, range_end] = with_prefix(prefix);
        self.range(&json!({"key": key, "range_end": range_end}))
    }

    /// What stands at this key.
    pub(crate) fn get(&self, key: &str) -> Option<Record> {
        self.range(&json!({"key": encode(key.as_bytes())})).pop()
    }

    /// Writes a value; its revision.
    pub(crate) fn put(&self, key: &str, value: &[u8]) -> u64 {
        let leader = self.leader();
        self.api(leader).try_put(key, value, LIMIT).unwrap_or_else(|error| panic!("{key}: {error}"))
    }

    /// Removes everything with this prefix; how much there was.
    pub(crate) fn delete_prefix(&self, prefix: &str) -> u64 {
        let [key, range_end] = with_prefix(prefix);
        let answer = self.ask("/v3/kv/deleterange", &json!({"key": key, "range_end": range_end}));
        number(&answer["deleted"])
    }

    /// A transaction, as the API has it; its whole answer.
    pub(crate) fn transact(&self, transaction: &Value) -> Value {
        self.ask("/v3/kv/txn", transaction)
    }

    /// The store's revision.
    pub(crate) fn revision(&self) -> u64 {
        self.api(self.leader()).try_revision(LIMIT).unwrap()
    }

    /// Forgets everything but what counts now.
    pub(crate) fn compact(&self) {
        let compacted = json!({"revision": self.revision().to_string(), "physical": true});
        self.ask("/v3/kv/compaction", &compacted);
    }

    /// Bytes of the leader's file that are in use.
    pub(crate) fn bytes_in_use(&self) -> u64 {
        let status = self.ask("/v3/maintenance/status", &json!({}));
        number(&status["dbSizeInUse"])
    }

    /// Gives room that is free within the files back to the disk, at each member.
    pub(crate) fn defragment(&self) {
        for member in 0..self.members.len() {
            self.api(member).post("/v3/maintenance/defragment", &json!({}), LIMIT).unwrap();
        }
    }

    /// Makes all members behave as when there is no space left, or no longer.
    pub(crate) fn set_full(&self, is_full: bool) {
        let action = if is_full { "ACTIVATE" } else { "DEACTIVATE" };
        for member in 0..self.members.len() {
            let status =
                self.api(member).post("/v3/maintenance/status", &json!({}), LIMIT).unwrap();
            let id = &status["header"]["member_id"];
            let alarm = json!({"action": action, "memberID": id, "alarm": "NOSPACE"});
            self.ask("/v3/maintenance/alarm", &alarm);
        }
    }

    /// The leases that are there.
    pub(crate) fn leases(&self) -> Vec<u64> {
        let answer = self.ask("/v3/lease/leases", &json!({}));
        answer["leases"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|lease| number(&lease["ID"]))
            .collect()
    }

    /// A lease.
    pub(crate) fn lease(&self, id: u64) -> Lease {
        let asked = json!({"ID": id.to_string(), "keys": true});
        let answer = self.ask("/v3/lease/timetolive", &asked);
        let seconds = |value: &Value| value.as_str().map_or(0, |text| text.parse().unwrap());
        let keys = answer["keys"].as_array().into_iter().flatten().map(text).collect();
        Lease { left_s: seconds(&answer["TTL"]), granted_s: seconds(&answer["grantedTTL"]), keys }
    }
}

/// Bytes, as the API has them.
pub(crate) fn encode(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// Bytes of the API. What is empty is left out there.
pub(crate) fn decode(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().unwrap_or_default()).unwrap()
}

fn text(value: &Value) -> String {
    String::from_utf8_lossy(&decode(value)).into_owned()
}

/// Numbers are text in the API. 0 is left out there.
fn number(value: &Value) -> u64 {
    value.as_str().map_or(0, |text| text.parse().unwrap())
}

fn record(kv: &Value) -> Record {
    Record {
        key: text(&kv["key"]),
        value: decode(&kv["value"]),
        mod_revision: number(&kv["mod_revision"]),
        create_revision: number(&kv["create_revision"]),
        lease: number(&kv["lease"]),
    }
}

/// The first key with this prefix, and the first one after them all.
fn with_prefix(prefix: &str) -> [String; 2] {
    let mut end = prefix.as_bytes().to_vec();
    // UTF-8 has no byte 255.
    let last = end.last_mut().expect("everything is not a prefix");
    *last += 1;
    [encode(prefix.as_bytes()), encode(&end)]
}
