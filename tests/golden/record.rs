//! What is compared, and by which rules two that differ still count as equal.
//!
//! Compared are, of each request: status, all headers, the body, byte for byte; its line in the access
//! log (status, flags, details, cluster, gateway, attempts and what the filter decided); of each
//! gateway: all requests that it received, with their headers; both ledgers; of the filter's metrics: all
//! names, labels and values.
//!
//! Equal counts, whatever it says:
//!
//! 1. when something was: the headers in [`CLOCKS`] and, in answers that are made here, each time in
//!    the form of RFC 3339 and each member that ends in [`AGE`], and the length of such a body; start
//!    and duration in the access log; the metrics in [`TIMES`], where they are not 0;
//! 2. on which port a gateway or a listener is: its name stands in the place of its address;
//! 3. how full the fullest bucket of a store is, unless that is 0 or 100 %: which payments share a
//!    bucket follows from a seed that each store draws;
//! 4. which version answered: the `server` header, which the stage has checked;
//! 5. how much of a timeout is left when Envoy tries a further gateway
//!    (`x-envoy-expected-rq-timeout-ms`), if it is more than half of the whole;
//! 6. an `X-EXTERNAL-ID` that was made here, because the merchant sent none;
//! 7. whether a metric is there with 0 before anything is counted.

use serde_json::Value;

use crate::stories::TIMEOUT_MS;
use crate::support::client::Seen;
use crate::support::sandbox::Sandbox;

/// Headers that tell a time, and of whom.
const CLOCKS: [&str; 3] = ["date", "x-timestamp", "x-envoy-upstream-service-time"];
/// How the names end of what tells how long ago something was, in what operators are shown.
const AGE: &str = "age_ms\":";
/// Metrics that tell a time.
const TIMES: [&str; 2] = ["dana_census_timestamp_seconds", "dana_in_doubt_oldest_seconds"];
/// Follows from the store's seed.
const SEEDED: &str = "dana_store_bucket_fill_pct";
/// Members of the access log that tell a time, or who asked.
const LOG_TIMES: [&str; 4] = ["time", "duration_ms", "client", "request_id"];
/// What stands for something that need not be equal.
const ANY: &str = "<any>";

/// Something that is compared, field by field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// What it is, for people; compared as well.
    pub(crate) what: String,
    /// Names and values.
    pub(crate) fields: Vec<(String, String)>,
}

impl Record {
    /// What a client was answered.
    pub(crate) fn of_answer(what: String, seen: &Seen) -> Self {
        let body = String::from_utf8_lossy(&seen.body);
        let is_ours = seen
            .header("content-type")
            .is_some_and(|kind| kind == "application/problem+json" || what.starts_with("operator"));
        let told = if is_ours { without_times(&body) } else { body.to_string() };
        let mut fields = vec![("status".to_owned(), seen.status.to_string())];
        let mut headers: Vec<_> = seen.headers.iter().collect();
        headers.sort_by_key(|(name, _)| name.as_str());
        for (name, value) in headers {
            let is_any = match name.as_str() {
                "server" => true,
                "content-length" => told != body,
                name => CLOCKS.contains(&name),
            };
            let value = if is_any { ANY.to_owned() } else { value.clone() };
            fields.push((format!("header {name}"), value));
        }
        fields.push(("body".to_owned(), told));
        Self { what, fields }
    }

    /// Adds a line of the access log.
    pub(crate) fn add_line(&mut self, line: &Value, places: &Places) {
        for (name, value) in line.as_object().unwrap() {
            if !LOG_TIMES.contains(&name.as_str()) {
                self.fields.push((format!("log {name}"), places.named(&value.to_string())));
            }
        }
    }

    /// A request as a gateway received it.
    pub(crate) fn of_received(gateway: &str, request: &Value, places: &Places) -> Self {
        let text = |name: &str| request[name].as_str().unwrap_or_default();
        let what = format!("{gateway}: {} {}", text("operation"), text("reference"));
        let mut fields = Vec::new();
        for (name, value) in request.as_object().unwrap() {
            match name.as_str() {
                "seq" | "time" => {}
                "headers" => {
                    for (name, value) in value.as_object().unwrap() {
                        let value = value.as_str().unwrap_or_default();
                        fields.push((format!("header {name}"), header(name, value, places)));
                    }
                }
                _ => fields.push((name.clone(), value.to_string())),
            }
        }
        Self { what, fields }
    }
}

fn header(name: &str, value: &str, places: &Places) -> String {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_minted = name == "x-external-id" && value.len() == 32 && value.bytes().all(is_hex);
    let is_left = |rest: u64| (TIMEOUT_MS / 2..=TIMEOUT_MS).contains(&rest);
    let is_rest =
        name == "x-envoy-expected-rq-timeout-ms" && value.parse::<u64>().is_ok_and(is_left);
    if is_minted || is_rest { ANY.to_owned() } else { places.named(value) }
}

/// The addresses of one world, by what they are.
pub(crate) struct Places(Vec<(String, &'static str)>);

impl Places {
    pub(crate) fn of(sandbox: &Sandbox) -> Self {
        let all = [(&sandbox.primary, "<primary>"), (&sandbox.secondary, "<secondary>")];
        Self(all.map(|(address, name)| (address.clone(), name)).to_vec())
    }

    fn named(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (address, name)| text.replace(address, name))
    }
}

/// A sample of a metric, from a line in the text form of Prometheus.
pub(crate) fn sample(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    if let Some(kind) = line.strip_prefix("# TYPE dana_") {
        return Some((format!("# TYPE dana_{kind}"), String::new()));
    }
    let (name, value) = line.strip_prefix("dana_")?.rsplit_once(' ')?;
    let name = format!("dana_{name}");
    let tells_time = TIMES.iter().any(|time| name.starts_with(time));
    let is_seeded = name.starts_with(SEEDED) && value != "100";
    let value = if (tells_time || is_seeded) && value != "0" { ANY } else { value };
    Some((name, value.to_owned()))
}

/// A text in which each time, and each age, is the same.
fn without_times(text: &str) -> String {
    const FORM: &[u8; 19] = b"0000-00-00T00:00:00";
    let is_time = |at: &[u8]| {
        at.iter().zip(FORM).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            form => byte == form,
        })
    };
    let mut told = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        if rest.len() >= FORM.len() && is_time(&rest[..FORM.len()]) {
            told.extend_from_slice(ANY.as_bytes());
            rest = &rest[FORM.len()..];
            let is_rest = |byte: &&u8| byte.is_ascii_digit() || **byte == b'.';
            rest = &rest[rest.iter().take_while(is_rest).count()..];
        } else {
            told.push(*first);
            rest = after;
        }
    }
    without_ages(String::from_utf8(told).unwrap())
}

fn without_ages(mut text: String) -> String {
    let mut from = 0;
    while let Some(at) = text[from..].find(AGE) {
        from += at + AGE.len();
        let length = text[from..].bytes().take_while(u8::is_ascii_digit).count();
        text.replace_range(from..from + length, ANY);
    }
    text
}
