//! Claims in an etcd that several Envoys share: which lines of the references change for it, and what
//! `check` says then.

use std::fs;

use serde_json::{Value, json};

use super::{KNOWN, check, edited, findings, parts, reference, root};

/// What the filter is told, in the payments' listener and in the operators' one.
const STORE: &str =
    "idempotency: &idempotency {store: {etcd: {cluster: dana_etcd, realm: production}}}";
const SAME: &str = "idempotency: *idempotency";

/// The payments' module.
const MODULE: &str = "dana_failover_etcd.wasm";

/// What it is allowed besides.
const PAYMENTS: [&str; 4] =
    ["proxy_grpc_call", "proxy_continue_stream", "proxy_on_grpc_receive", "proxy_on_grpc_close"];
const OPERATORS: [&str; 4] = [
    "proxy_grpc_call",
    "proxy_set_effective_context",
    "proxy_on_grpc_receive",
    "proxy_on_grpc_close",
];

/// A reference with its claims in etcd, as docs/etcd.md tells.
pub(super) fn shared(reference: &str) -> String {
    let [payments, operators, rest] = parts(reference);
    let allow = |names: &[&str]| {
        let lines = names.iter().map(|name| format!("                    {name}: {{}}\n"));
        format!("{}                    proxy_on_delete: {{}}\n", lines.collect::<String>())
    };
    let change = |text: &str, timeouts: &str, store: &str, names: &[&str]| {
        let timeouts = format!("                    {timeouts}\n");
        let told = format!("{timeouts}                    {store}\n");
        let last = "                    proxy_on_delete: {}\n";
        edited(text, &[(timeouts, told), (last.to_owned(), allow(names))])
    };
    let own = "timeouts: &timeouts {response_ms: 10000, inquiry_ms: 8000}";
    let payments = edited(payments, &[("dana_failover.wasm", MODULE)]);
    let payments = change(&payments, own, STORE, &PAYMENTS);
    let operators = change(operators, "timeouts: *timeouts", SAME, &OPERATORS);
    format!("{payments}{operators}{rest}")
}

fn file(name: &str) -> String {
    fs::read_to_string(root(name)).unwrap()
}

#[test]
fn the_references_with_etcd_have_no_errors_and_no_warnings() {
    let [plain, tls] = ["envoy/etcd.yaml", "envoy/etcd-tls.yaml"].map(file);
    for texts in [
        vec![shared(&reference()), plain.clone()],
        vec![shared(&file("envoy/tls.yaml")), tls.clone()],
        // The cluster may be there before it is used.
        vec![reference(), plain],
        vec![file("envoy/tls.yaml"), tls],
    ] {
        let has_etcd = texts[0].contains(STORE);
        let (findings, code) = findings(&texts);
        let rules: Vec<_> = findings.iter().map(|one| one["rule"].as_str().unwrap()).collect();
        assert!(rules.iter().all(|rule| KNOWN.contains(rule)), "{findings:#?}");
        assert_eq!(code, Some(0));
        // Several Envoys may stand there.
        let is_open = texts[0].contains("address: 0.0.0.0");
        assert_eq!(rules.contains(&"claims-in-one-process"), is_open && !has_etcd, "{rules:?}");
    }
}

#[test]
fn the_page_about_it_tells_these_lines() {
    let page = file("docs/etcd.md");
    let capabilities = PAYMENTS.iter().chain(&OPERATORS);
    for line in [STORE, SAME, MODULE].iter().chain(capabilities) {
        assert!(page.contains(line), "docs/etcd.md lacks {line}");
    }
}

/// One with TLS differs by that, and by nothing else.
#[test]
fn the_two_clusters_do_the_same() {
    let read = |name: &str| -> Value { serde_norway::from_str(&file(name)).unwrap() };
    let (plain, mut tls) = (read("envoy/etcd.yaml"), read("envoy/etcd-tls.yaml"));
    assert!(tls[0].as_object_mut().unwrap().remove("transport_socket").is_some());
    let check = tls[0]["health_checks"][0].as_object_mut().unwrap();
    assert!(check.remove("tls_options").is_some());
    assert_eq!(tls, plain);
}

#[test]
fn what_half_of_etcd_holds_is_told() {
    let etcd = file("envoy/etcd.yaml");
    let texts = [shared(&reference()), etcd.clone()];
    let told = String::from_utf8(check(&texts, &[]).stdout).unwrap();
    let line = "claim store in etcd, realm \"production\": about 350 bytes a claim, kept 86400 s: with 8 GiB, \
                half of them left free, 142.0 new payments a second, sustained\n";
    assert!(told.contains(line), "{told}");
    let document = check(&texts, &["--format", "json"]).stdout;
    let document: Value = serde_json::from_slice(&document).unwrap();
    let expected = json!({
        "vm_id": "dana", "engine": "etcd", "realm": "production", "claims_max": 12_271_335,
        "bytes_per_claim": 350, "retention_s": 86400, "refused_share": null,
        "payments_per_second": 12_271_335.0 / 86400.0,
    });
    assert_eq!(document["stores"], json!([expected]));
    // Answers take room; that of the store in the process is no remedy.
    let answers = "realm: production, answers: store}}, retention_s: 2592000";
    let answers = edited(&texts[0], &[("realm: production}}", answers)]);
    let told = String::from_utf8(check(&[answers, etcd], &[]).stdout).unwrap();
    let line =
        "about 1800 bytes a claim, kept 2592000 s: with 8 GiB, half of them left free, 0.9 new";
    assert!(told.contains(line) && !told.contains("store-small"), "{told}");
}

#[test]
fn a_module_without_etcd_is_found() {
    let text = edited(&shared(&reference()), &[(MODULE, "dana_failover.wasm")]);
    let (found, code) = findings(&[text, file("envoy/etcd.yaml")]);
    let bad: Vec<_> = found.iter().filter(|one| one["severity"] == "error").collect();
    assert_eq!((bad.len(), code), (1, Some(1)), "{bad:#?}");
    assert_eq!(
        (&bad[0]["rule"], &bad[0]["expected"]),
        (&json!("module-misplaced"), &json!(MODULE))
    );
}

/// The names, and the parts of a reference that each filter stands in.
fn without(name: &str, listener: usize) -> String {
    let text = shared(&reference());
    let line = format!("                    {name}: {{}}\n");
    let part = parts(&text)[listener].to_owned();
    edited(&text, &[(part.clone(), edited(&part, &[(line, String::new())]))])
}

#[test]
fn each_capability_is_asked_for_with_etcd_and_not_without() {
    let etcd = file("envoy/etcd.yaml");
    for (listener, names) in [&PAYMENTS[..], &OPERATORS].into_iter().enumerate() {
        for name in names {
            let (found, code) = findings(&[without(name, listener), etcd.clone()]);
            let bad: Vec<_> = found.iter().filter(|one| one["severity"] == "error").collect();
            assert_eq!((bad.len(), code), (1, Some(1)), "{name}: {bad:#?}");
            assert_eq!(bad[0]["rule"], "capability-missing");
            assert_eq!(bad[0]["expected"], format!("{name}: {{}}"));
        }
    }
    // With the store in the process all of them are too much.
    let local = edited(
        &shared(&reference()),
        &[
            (format!("                    {STORE}\n"), String::new()),
            (format!("                    {SAME}\n"), String::new()),
        ],
    );
    let (found, code) = findings(&[local, etcd]);
    let surplus = found.iter().filter(|one| one["rule"] == "capability-surplus");
    assert_eq!((surplus.count(), code), (PAYMENTS.len() + OPERATORS.len(), Some(0)), "{found:#?}");
}

/// What is written otherwise and is as good.
#[test]
fn other_ways_to_reach_etcd_are_none_the_worse() {
    let (listeners, etcd) = (shared(&reference()), file("envoy/etcd.yaml"));
    let begin = etcd.find("  health_checks:").unwrap();
    let end = etcd.find("  load_assignment:").unwrap();
    let ejecting = format!("{}  outlier_detection: {{}}\n{}", &etcd[..begin], &etcd[end..]);
    let options = etcd.find("  typed_extension").unwrap();
    let older = "  http2_protocol_options: {connection_keepalive: {interval: 5s, timeout: 1s}}\n";
    let older = format!("{}{older}{}", &etcd[..options], &etcd[begin..]);
    let found_by_name = edited(&etcd, &[("STATIC", "STRICT_DNS")]);
    // As an Envoy that is asked tells it.
    let dumped =
        edited(&etcd, &[("healthy_panic_threshold: {value: 0}", "healthy_panic_threshold: {}")]);
    let tls = |edit: (&str, &str)| {
        vec![shared(&file("envoy/tls.yaml")), edited(&file("envoy/etcd-tls.yaml"), &[edit])]
    };
    let http2 = tls((
        "    # The check is HTTP/1: asked for HTTP/2, as above, etcd would answer in it.\n    tls_options: \
         {alpn_protocols: [http/1.1]}\n",
        "      codec_client_type: HTTP2\n",
    ));
    let plain = [ejecting, older, found_by_name, dumped].map(|etcd| vec![listeners.clone(), etcd]);
    for texts in plain.into_iter().chain([http2]) {
        let (found, code) = findings(&texts);
        let others = found.iter().filter(|one| !KNOWN.contains(&one["rule"].as_str().unwrap()));
        assert_eq!((others.count(), code), (0, Some(0)), "{}\n{found:#?}", texts[1]);
    }
}

/// Two listeners whose filters share a realm see each other's claims, whatever their vm_id is.
#[test]
fn filters_of_one_realm_are_not_apart() {
    let text = shared(&reference());
    let [payments, operators, rest] = parts(&text);
    let from = payments.find("  - name: dana\n").unwrap();
    let second = edited(
        &payments[from..],
        &[
            ("  - name: dana\n    address", "  - name: second\n    address"),
            ("10000}", "10002}"),
            ("vm_id: dana", "vm_id: other"),
        ],
    );
    let etcd = file("envoy/etcd.yaml");
    let rules = |second: &str| {
        let (found, _) = findings(&[format!("{payments}{second}{operators}{rest}"), etcd.clone()]);
        let rules = found.iter().map(|one| one["rule"].as_str().unwrap().to_owned());
        rules.filter(|rule| rule == "claims-apart").count()
    };
    assert_eq!(rules(&second), 0);
    assert_eq!(rules(&second.replace("realm: production", "realm: staging")), 1);
    // What stands in the process is seen by its vm_id alone.
    let local = second.replace("{store: {etcd", "{store: {local: {}, etcd");
    assert_eq!(rules(&local), 0, "only one of them has any");
}
