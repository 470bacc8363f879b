//! What the filter's VMs may do: the references' lists are enough, and nothing in them is too much.
//! Each name is withheld once, and something that an operator would miss must be missing then.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::application::{Application, CONFIRMED, Received, Says};
use crate::support::client::{CREATE, Line, STATUS, Seen};
use crate::support::client::{about, bytes, call, glance, hurry, order, raw};
use crate::support::envoy::{Envoy, TOKEN, file, quick, reference, rendered, rendered_from};
use crate::support::envoy::{plugin_within, with, with_notifications};
use crate::support::sandbox::Sandbox;
use crate::support::{now, pause};

/// What works.
type Works = BTreeSet<&'static str>;

const PARTNER: [(&str, &str); 1] = [("x-partner-id", "2025021312345678901234")];

/// Longer than anything takes that works.
const QUICK: Duration = Duration::from_secs(2);

/// What is tried by a test of its own.
const FORGETTING: &str = "proxy_on_delete";
/// Without it what counters tell is read from where it stands.
const COUNTING: &str = "proxy_get_metric";

/// A gateway of one thread per connection: answers with trailers, without, or not at all, as the
/// reference of the payment says.
fn gateway() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(socket));
        }
    });
    address
}

fn serve(mut socket: TcpStream) {
    let (mut seen, mut buffer) = (Vec::new(), [0; 8192]);
    while let Ok(1..) = socket.read(&mut buffer).inspect(|n| seen.extend_from_slice(&buffer[..*n]))
    {
        let text = String::from_utf8_lossy(&seen).into_owned();
        // No body, a body of a length, or chunks and what trails them.
        let is_whole = text.ends_with('}')
            || text.ends_with("\r\n\r\n")
                && (text.starts_with("GET") || text.contains("\r\n0\r\n"));
        if !is_whole {
            continue;
        }
        seen.clear();
        let name = text.split_once("partnerReferenceNo\":\"").map_or("", |(_, rest)| rest);
        let name = name.split('"').next().unwrap_or_default();
        let body = format!(r#"{{"responseCode":"2005400","partnerReferenceNo":"{name}"}}"#);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
        let answer = match name {
            // No gateway has the payment that is asked for: the other one is asked too.
            _ if text.contains("/debit/status") => {
                let body = r#"{"responseCode":"4045501"}"#;
                let head = head.replace("200 OK", "404 Not Found");
                format!("{head}content-length: {}\r\n\r\n{body}", body.len())
            }
            "SILENCE" => continue,
            "TRAILERS" => format!(
                "{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\nx-end: 1\r\n\r\n",
                body.len()
            ),
            _ => format!("{head}content-length: {}\r\n\r\n{body}", body.len()),
        };
        if socket.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// The plain reference, with the name withheld from the VM of one of its two listeners.
fn config(gateway: &str, listener: usize, withheld: Option<&str>) -> Value {
    let changes = json!({"idempotency": {"store": {"local": {"claims_max": 1024}}}});
    let mut config = rendered_from(reference(), [gateway, gateway], &with(quick(), &changes));
    for listener in [0, 1] {
        pass_trailers(&mut config, listener);
    }
    for cluster in [0, 1] {
        take_trailers(&mut config, cluster);
    }
    config["node"] = json!({"id": "node-1", "cluster": "test"});
    withhold(&mut config, listener, withheld);
    if listener == 1 {
        // The listener for events has the same list, and is in the same VM.
        withhold(&mut config, 2, withheld);
    }
    config
}

/// A listener passes trailers on.
fn pass_trailers(config: &mut Value, listener: usize) {
    let chain = &mut config["static_resources"]["listeners"][listener]["filter_chains"][0];
    let manager = &mut chain["filters"][0]["typed_config"];
    manager["http_protocol_options"] = json!({"enable_trailers": true});
    // Whoever is told that the connection ends does not wait for it.
    manager["delayed_close_timeout"] = json!("0s");
}

/// A cluster takes trailers in.
fn take_trailers(config: &mut Value, cluster: usize) {
    const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let cluster = &mut config["static_resources"]["clusters"][cluster];
    let options = &mut cluster["typed_extension_protocol_options"][OPTIONS];
    options["@type"] = json!(format!("type.googleapis.com/{OPTIONS}"));
    options["explicit_http_config"]["http_protocol_options"] = json!({"enable_trailers": true});
}

fn withhold(config: &mut Value, listener: usize, name: Option<&str>) {
    if let Some(name) = name {
        let list = capabilities(&mut config["static_resources"]["listeners"][listener]);
        assert!(list.as_object_mut().unwrap().remove(name).is_some(), "{name} is in the list");
    }
}

/// What a listener's VM may do.
fn capabilities(listener: &mut Value) -> &mut Value {
    let plugin = plugin_within(&mut listener["filter_chains"][0]["filters"][0]["typed_config"]);
    &mut plugin["capability_restriction_config"]["allowed_capabilities"]
}

fn names(listener: &mut Value) -> Vec<String> {
    capabilities(listener).as_object().unwrap().keys().cloned().collect()
}

/// Whether it comes true soon.
fn soon(mut condition: impl FnMut() -> bool) -> bool {
    let begin = now();
    while begin.elapsed() < QUICK {
        if condition() {
            return true;
        }
        pause(Duration::from_millis(20));
    }
    false
}

fn is_paid(seen: &Seen) -> bool {
    (seen.status, seen.code().as_str()) == (200, "2005400")
}

/// What works for merchants.
fn payments(envoy: &Envoy) -> Works {
    let mut works = Works::new();
    let mut note = |what, is_so| {
        if is_so {
            works.insert(what);
        }
    };
    note("heartbeats", soon(|| envoy.metric("dana_heartbeat_up", "") == 2));
    note("its log", envoy.log().contains("heartbeat of primary: up"));
    let pay = |reference: &str| hurry(&envoy.listener, CREATE, &PARTNER, &order(reference));
    let is_replay = |seen: &Seen| seen.header("idempotent-replayed") == Some("true");
    let first = pay("ONE");
    note("payments", is_paid(&first) && first.header("x-dana-gateway") == Some("primary"));
    note("replays", is_replay(&pay("ONE")));
    note("answers with trailers", is_paid(&pay("TRAILERS")) && is_replay(&pay("TRAILERS")));
    note("refusals", pay("").status == 400);
    let trailed = raw(&envoy.listener, &with_trailers("TRAILED"), QUICK);
    let again = raw(&envoy.listener, &with_trailers("TRAILED"), QUICK).to_lowercase();
    note(
        "requests with trailers",
        trailed.starts_with("HTTP/1.1 200") && again.contains("idempotent-replayed"),
    );
    let wrong = hurry(&envoy.listener, "/nothing", &[("x-request-id", "NOTED")], &json!({}));
    note("questions without a body", wrong.status == 403);
    let asked = hurry(&envoy.listener, STATUS, &PARTNER, &about("NOWHERE"));
    note("questions that go on", asked.code() == "4045501");
    note("counters", envoy.metric("dana_requests_total", "") > 0);
    let logged = |id: &str| envoy.access_log().into_iter().find(|line| line["request_id"] == id);
    note(
        "decisions in the access log",
        soon(|| logged("NOTED").is_some_and(|line| line["dana"].is_string())),
    );
    // Somebody pays and leaves. Its end is known at once, long before its lease ends.
    let _ = raw(&envoy.listener, &bytes(CREATE, &order("SILENCE")), Duration::from_millis(100));
    let is_told = || pay("SILENCE").outcome() == "unknown";
    note("ends of clients that leave", {
        pause(Duration::from_millis(200));
        is_told()
    });

    works
}

/// A create order in chunks, with trailers at its end.
fn with_trailers(reference: &str) -> Vec<u8> {
    let body = order(reference).to_string();
    let head = format!(
        "POST {CREATE} HTTP/1.1\r\nhost: dana\r\nconnection: close\r\nx-partner-id: p\r\n\
         transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\nx-sum: 1\r\n\r\n",
        body.len()
    );
    head.into_bytes()
}

/// What works for operators.
fn operators(envoy: &Envoy) -> Works {
    let bearer = format!("Bearer {TOKEN}");
    let token = [("authorization", bearer.as_str())];
    let mut works = Works::new();
    let mut note = |what, is_so| {
        if is_so {
            works.insert(what);
        }
    };
    let status = |headers: &[(&str, &str)]| glance(&envoy.operators, "/status", headers);
    // Draining one takes another one that works.
    let _ = soon(|| envoy.metric("dana_heartbeat_up", "") == 2);
    note("the status", soon(|| status(&token).status == 200));
    note("the lock", status(&[]).status == 401);
    let told: Value = serde_json::from_slice(&status(&token).body).unwrap_or_default();
    note("the node's name", told["instance"]["node"] == "node-1");
    let steer = |to: &str| {
        let mut wish = json!({"gateway": "primary", "steer": to, "reason": "x", "actor": "ops"});
        if to == "drain" {
            wish["ttl_s"] = json!(60);
        }
        hurry(&envoy.operators, "/override", &token, &wish).status == 200
    };
    note("overrides", steer("drain"));
    note("their log", envoy.log().contains("dana: override {"));
    note("their gauge", envoy.state("dana_override", "primary") == "drain");
    note("their counter", envoy.metric("dana_overrides_total", "primary") == 1);
    note("their end", steer("auto"));
    let trailed = format!(
        "POST /override HTTP/1.1\r\nhost: d\r\nconnection: close\r\nauthorization: {bearer}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\nx: 1\r\n\r\n"
    );
    note(
        "requests with trailers",
        raw(&envoy.operators, trailed.as_bytes(), QUICK).starts_with("HTTP/1.1 400"),
    );
    note("its heads", soon(|| envoy.metric("dana_audit_published_timestamp_seconds", "") > 0));
    note("their audit trail", soon(|| envoy.entries().iter().any(|entry| entry["who"] == "ops")));
    works
}

/// What works for gateways that notify, and for the application behind. Both have executed all of these payments.
fn notifications(envoy: &Envoy, sandbox: &Sandbox, application: &Application) -> Works {
    let address = envoy.listening("dana_notify").unwrap();
    let mut works = Works::new();
    let mut note = |what, is_so| {
        if is_so {
            works.insert(what);
        }
        is_so
    };
    let notify = |gateway: &str, reference: &str| {
        let to = format!("http://{address}");
        let answers = sandbox.try_notify(gateway, &json!({"reference": reference, "to": to}));
        answers.is_some_and(|answers| answers[0]["status"] == 200)
    };
    let unsigned = b"POST /v1.0/debit/notify HTTP/1.1\r\nhost: d\r\nconnection: close\r\n";
    let send = |rest: &[u8]| raw(&address, &[unsigned, rest].concat(), QUICK);
    let answer = send(b"content-length: 2\r\n\r\n{}");
    if answer.is_empty() {
        return works;
    }
    let is_refusal = |answer: &str| answer.starts_with("HTTP/1.1 401");
    note("refusals", is_refusal(&answer));
    let trailed = b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx-sum: 1\r\n\r\n";
    note("requests with trailers", is_refusal(&send(trailed)));
    // What does not work takes as long as a gateway waits.
    let is_told = notify("primary", "ONE");
    // Whatever is withheld, nothing passes that was not verified.
    let is_verified = |got: &Received| got.header("x-dana-verified") == Some("true");
    assert!(application.received().iter().all(is_verified), "it came past the filter");
    if !note("notifications", is_told) {
        return works;
    }
    note("replays", notify("primary", "ONE") && application.received().len() == 1);
    note("their gateways' names", application.received()[0].header("x-dana-gateway").is_some());
    let counted = |decision| envoy.metric("dana_notifications_total", decision);
    note("counters", counted(r#"decision="deliver""#) == 1);
    application.says(Says::Trailed(200, CONFIRMED.to_owned()));
    note("answers with trailers", notify("primary", "TWO") && notify("primary", "TWO"));
    application.confirms();
    let written = |kind: &str| envoy.entries().iter().filter(|entry| entry["e"] == kind).count();
    note("the audit trail", soon(|| written("notify") > 0));
    notify("secondary", "ONE");
    note("alarms in the log", envoy.log().contains("executed_twice"));
    note("alarms in the audit trail", soon(|| written("anomaly") == 1));
    // Of two workers one has two of them, and hands the next one over when the last one was taken.
    notify("primary", "THREE");
    let comes = |(reference, count)| {
        notify("secondary", reference);
        soon(|| written("anomaly") == count)
    };
    note("one alarm after another", [("TWO", 2), ("THREE", 3)].into_iter().all(comes));
    works
}

/// What works with a name withheld; nothing if it does not even start.
fn try_without(gateway: &str, listener: usize, name: Option<&str>) -> Works {
    let config = config(gateway, listener, name);
    let Some(envoy) = Envoy::try_start(&config) else {
        return Works::new();
    };
    let works = if listener == 0 { payments(&envoy) } else { operators(&envoy) };
    envoy.may_leak();
    works
}

/// The same of notifications.
fn notify_without(sandbox: &Sandbox, name: Option<&str>) -> Works {
    let application = Application::start();
    let config = rendered(sandbox, &quick());
    let mut config = with_notifications(config, &application.address, &quick());
    let lists = &config["static_resources"];
    let last = |list: &str| lists[list].as_array().map_or(0, Vec::len) - 1;
    let (listener, cluster) = (last("listeners"), last("clusters"));
    pass_trailers(&mut config, listener);
    take_trailers(&mut config, cluster);
    withhold(&mut config, listener, name);
    let Some(envoy) = Envoy::try_start(&config) else {
        return Works::new();
    };
    let works = notifications(&envoy, sandbox, &application);
    envoy.may_leak();
    works
}

/// What is lost without a name. One that is lost with it may be missing for another reason: a slow
/// machine, an Envoy that did not start.
fn lost_without(name: &str) -> &'static str {
    match name.trim_start_matches("proxy_") {
        "log" => "its log",
        "set_property" => "decisions in the access log",
        "increment_metric" => "counters",
        "define_metric" | "record_metric" | "http_call" | "on_tick" | "on_http_call_response" => {
            "heartbeats"
        }
        "on_response_trailers" => "answers with trailers",
        "on_request_trailers" => "requests with trailers",
        "set_effective_context" => "questions that go on",
        "on_log" => "ends of clients that leave",
        "send_local_response" => "refusals",
        _ => "payments",
    }
}

/// The same for operators.
fn operators_lose_without(name: &str) -> &'static str {
    match name.trim_start_matches("proxy_") {
        "log" => "their log",
        "define_metric" | "record_metric" => "their gauge",
        "increment_metric" => "their counter",
        "get_property" => "the node's name",
        "set_property" | "on_log" => "their audit trail",
        "on_tick" => "its heads",
        "on_request_trailers" => "requests with trailers",
        "set_shared_data"
        | "get_buffer_bytes"
        | "on_request_body"
        | "get_current_time_nanoseconds" => "overrides",
        _ => "the status",
    }
}

/// The same for notifications.
fn notifications_lose_without(name: &str) -> &'static str {
    match name.trim_start_matches("proxy_") {
        "log" => "alarms in the log",
        "define_metric" | "increment_metric" => "counters",
        "set_property" | "on_log" => "the audit trail",
        "on_tick" | "http_call" => "alarms in the audit trail",
        "on_http_call_response" => "one alarm after another",
        "on_request_trailers" => "requests with trailers",
        "on_response_trailers" => "answers with trailers",
        "on_response_body" => "replays",
        "send_local_response" => "refusals",
        _ => "notifications",
    }
}

/// Withholds each name in turn, two at a time: an Envoy has two workers, and so has a small machine.
fn each_is_needed(
    mut names: Vec<String>,
    try_without: impl Fn(Option<&str>) -> Works + Sync,
    lost_without: fn(&str) -> &'static str,
) {
    let all = try_without(None);
    let works_with_all = |name: &String| all.contains(lost_without(name));
    assert!(names.iter().all(works_with_all), "with all of them: {all:?}");
    // Of these nothing is seen but memory and time.
    names.retain(|name| ![FORGETTING, COUNTING].contains(&name.as_str()));
    let (names, missed) = (Mutex::new(names), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(name) = names.lock().unwrap().pop() else {
                        return;
                    };
                    let works = try_without(Some(&name));
                    if works.contains(lost_without(&name)) {
                        missed.lock().unwrap().push(name);
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "nothing is lost without {missed:?}");
}

#[test]
fn payments_need_each_capability_of_the_reference() {
    the_reference_needs_each(0, lost_without);
}

#[test]
fn operators_need_each_capability_of_the_reference() {
    the_reference_needs_each(1, operators_lose_without);
}

fn the_reference_needs_each(listener: usize, lost_without: fn(&str) -> &'static str) {
    let gateway = gateway();
    let names = names(&mut reference()["static_resources"]["listeners"][listener]);
    each_is_needed(names, |name| try_without(&gateway, listener, name), lost_without);
}

#[test]
fn notifications_need_each_capability_of_the_reference() {
    let sandbox = Sandbox::start();
    for reference in ["ONE", "TWO", "THREE"] {
        for gateway in [&sandbox.primary, &sandbox.secondary] {
            assert_eq!(call(gateway, CREATE, &order(reference)).status, 200);
        }
    }
    let names = names(&mut file("notify.yaml")[0]);
    each_is_needed(names, |name| notify_without(&sandbox, name), notifications_lose_without);
}

/// Without it no request is ever forgotten.
#[test]
fn requests_are_forgotten_by_the_capability_for_that() {
    let gateway = gateway();
    let [with, without] = [None, Some(FORGETTING)].map(|withheld| {
        let envoy = Envoy::start(&config(&gateway, 0, withheld));
        let line = Line::new();
        let fire = |times: usize| {
            for _ in 0..times {
                assert_eq!(line.call(&envoy.listener, "/nothing", &json!({})).status, 403);
            }
        };
        fire(2000);
        let before = envoy.resident_kib();
        fire(6000);
        envoy.resident_kib().saturating_sub(before)
    });
    assert!(without > with + 1024, "{with} KiB with it, {without} KiB without");
}
