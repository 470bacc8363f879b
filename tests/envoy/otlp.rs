//! The audit trail to a collector, by OTLP over HTTP (`envoy/otlp.yaml`): the same lines as in the file.

use std::collections::BTreeSet;
use std::time::Duration;

use dana_failover::cli::audit::{Kind, verify_bytes};
use serde_json::{Value, json};

use crate::support::application::{Application, Received, Says};
use crate::support::client::{CREATE, call, order};
use crate::support::envoy::{Envoy, file, quick, rendered, with};
use crate::support::sandbox::Sandbox;
use crate::support::until;

const PATIENCE: Duration = Duration::from_secs(10);

/// The reference with the piece, before a collector at this address.
fn config(sandbox: &Sandbox, collector: &str) -> Value {
    let lively = json!({"breaker": {"consecutive_failures": 5}});
    let mut config = rendered(sandbox, &with(quick(), &lively));
    let piece = file("otlp.yaml");
    let (log, mut cluster) = (piece[0].clone(), piece[1].clone());
    let (host, port) = collector.rsplit_once(':').unwrap();
    let endpoint = &mut cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
    endpoint["address"]["socket_address"] =
        json!({"address": host, "port_value": port.parse::<u16>().unwrap()});
    for listener in config["static_resources"]["listeners"].as_array_mut().unwrap() {
        let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
        manager["access_log"].as_array_mut().unwrap().push(log.clone());
    }
    config["static_resources"]["clusters"].as_array_mut().unwrap().push(cluster);
    config
}

/// The fields of a protobuf message that have a length: numbers and contents.
fn fields(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
    fn number(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let (first, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            shift += 7;
            if first & 0x80 == 0 {
                return value;
            }
        }
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = number(&mut bytes);
        let length = match key & 7 {
            0 => {
                number(&mut bytes);
                continue;
            }
            1 => 8,
            5 => 4,
            _ => usize::try_from(number(&mut bytes)).unwrap(),
        };
        let (content, rest) = bytes.split_at(length);
        bytes = rest;
        fields.push((key >> 3, content));
    }
    fields
}

/// The lines in the bodies of all records: `resource_logs`, `scope_logs`, `log_records`, `body`, `string_value`.
fn lines(received: &[Received]) -> String {
    let mut lines = String::new();
    for Received { line, body, .. } in received {
        assert_eq!(line, "POST /v1/logs HTTP/1.1");
        let mut messages: Vec<&[u8]> = vec![body];
        for field in [1, 2, 2, 5, 1] {
            let inner = messages.into_iter().flat_map(fields);
            messages =
                inner.filter(|(number, _)| *number == field).map(|(_, inner)| inner).collect();
        }
        messages.iter().for_each(|text| lines.push_str(std::str::from_utf8(text).unwrap()));
    }
    lines
}

fn pay(envoy: &Envoy, name: &str) {
    for number in 0..20 {
        call(&envoy.listener, CREATE, &order(&format!("{name}-{number}")));
    }
}

fn set(text: &str) -> BTreeSet<String> {
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn a_collector_gets_the_lines_that_the_file_has() {
    let sandbox = Sandbox::start();
    let collector = Application::start();
    let envoy = Envoy::start(&config(&sandbox, &collector.address));
    pay(&envoy, "PAID");
    // A failover: what happens without a request is in it too.
    sandbox.fault("primary", &json!({"fault": "code", "code": "5005400"}));
    pay(&envoy, "MOVED");
    assert_eq!(call(&envoy.listener, CREATE, &json!({})).status, 400);
    let of_file = || std::fs::read_to_string(envoy.trail()).unwrap();
    let got = until("the collector has all lines", PATIENCE, || {
        let got = lines(&collector.received());
        (got.contains("\"switch\"") && set(&got) == set(&of_file())).then_some(got)
    });
    let verified = verify_bytes(got.as_bytes(), b"", b"");
    let found: Vec<_> = verified.findings().filter(|(kind, _)| !kind.is_harmless()).collect();
    assert_eq!(found, []);
    assert!(!got.contains("\n-"), "a request without an entry has no record");
}

#[test]
fn a_collector_that_is_away_stops_no_payment_and_what_it_missed_has_a_number() {
    let sandbox = Sandbox::start();
    let collector = Application::start();
    let envoy = Envoy::start(&config(&sandbox, &collector.address));
    pay(&envoy, "BEFORE");
    let has = |name: &str| lines(&collector.received()).contains(name);
    until("it has the first ones", PATIENCE, || has("BEFORE-19").then_some(()));
    collector.says(Says::Close);
    let before = collector.received().len();
    for number in 0..20 {
        let answer = call(&envoy.listener, CREATE, &order(&format!("AWAY-{number}")));
        assert_eq!(answer.status, 200);
    }
    until("it hangs up", PATIENCE, || (collector.received().len() > before).then_some(()));
    let dropped = "access_logs.open_telemetry_access_log.dana_audit.logs_dropped";
    // Events that happen meanwhile are lost with them.
    until("they are counted", PATIENCE, || (envoy.stat(dropped) >= 20).then_some(()));
    collector.confirms();
    pay(&envoy, "AFTER");
    until("it has the last ones", PATIENCE, || has("AFTER-19").then_some(()));
    // What it answered nothing to it does not have, whatever it has read.
    let kept: Vec<Received> = collector.received();
    let kept: String = kept
        .iter()
        .map(|one| lines(std::slice::from_ref(one)))
        .filter(|text| !text.contains("AWAY-"))
        .collect();
    let verified = verify_bytes(kept.as_bytes(), b"", b"");
    let missing = verified.findings().any(|(kind, _)| kind == Kind::Missing);
    assert!(missing, "{:?}", verified.findings().collect::<Vec<_>>());
    let trail = std::fs::read(envoy.trail()).unwrap();
    assert!(!verify_bytes(&trail, b"", b"").is_untrue(), "the file has all");
}
