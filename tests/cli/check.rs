//! `dana-failover check`: faults planted into the references, one at a time, and each found where
//! it was planted; forms of output; files that are none.

mod accepted;
mod etcd;
mod forms;
mod hostile;
mod planted;
mod sources;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use super::playground::BINARY;

/// Where a fault is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    /// `envoy/envoy.yaml` without the operators' listener.
    Plain,
    /// `envoy/dns.yaml`, beside the other.
    Dns,
    /// A second listener of merchants, made from the first.
    Second,
    /// The operators' listener of `envoy/envoy.yaml`.
    Operators,
    /// `envoy/tls.yaml` without the operators' listener.
    Tls,
    /// The first listener, open to the network with client certificates.
    Open,
    /// `envoy/etcd.yaml`, beside `envoy/envoy.yaml` with its claims there.
    Etcd,
    /// `envoy/etcd-tls.yaml`, beside `envoy/tls.yaml` with its claims there.
    EtcdTls,
    /// `envoy/envoy.yaml` with its claims in etcd, beside `envoy/etcd.yaml`.
    Shared,
    /// All of `envoy/envoy.yaml`, with its audit trail.
    Audit,
    /// `envoy/notify.yaml`, beside `envoy/envoy.yaml`.
    Notify,
    /// A second listener of it, for the other gateway, beside both.
    NotifyTwice,
}

/// A fault: what is replaced by what, and which rule must find it. The sign § stands where.
#[derive(Clone, Debug)]
struct Fault {
    rule: &'static str,
    severity: &'static str,
    base: Base,
    edits: Vec<(String, String)>,
    /// Other rules that it breaks too.
    also: Vec<&'static str>,
}

const MARK: char = '§';

fn root(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn reference() -> String {
    fs::read_to_string(root("envoy/envoy.yaml")).unwrap()
}

/// `text` with each edit made once.
fn edited(text: &str, edits: &[(impl AsRef<str>, impl AsRef<str>)]) -> String {
    edits.iter().fold(text.to_owned(), |text, (old, new)| {
        let (old, new) = (old.as_ref(), new.as_ref());
        assert_eq!(text.matches(old).count(), 1, "planted once: {old}");
        text.replacen(old, new, 1)
    })
}

/// The line of the mark, and the text without it.
fn unmarked(text: &str) -> (String, usize) {
    let at = text.find(MARK).unwrap();
    let line = text[..at].matches('\n').count() + 1;
    (text.replace(MARK, ""), line)
}

/// Without the audit trail, which the operators' module writes a part of.
fn unaudited(text: &str) -> String {
    edited(text, &[("                    audit: &audit {cluster: dana_audit}\n", "")])
}

/// The reference in three: up to the operators' listener, this with that for events, and the rest.
fn parts(text: &str) -> [&str; 3] {
    let from = text.find("  # For operators").unwrap();
    let to = text.find("\n  clusters:\n").unwrap();
    [&text[..from], &text[from..to], &text[to..]]
}

const SECOND: [(&str, &str); 2] =
    [("  - name: dana\n    address", "  - name: second\n    address"), ("10000}", "10002}")];

const OPEN: [(&str, &str); 1] = [(
    "    address: {socket_address: {address: 127.0.0.1, port_value: 10000}}\n    filter_chains:\n    - filters:",
    r#"    address: {socket_address: {address: 0.0.0.0, port_value: 10000}}
    filter_chains:
    - transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          require_client_certificate: true
          common_tls_context:
            tls_certificates: [{certificate_chain: {filename: /s.crt}, private_key: {filename: /s.key}}]
            validation_context:
              trusted_ca: {filename: /merchants.crt}
              match_typed_subject_alt_names:
              - {san_type: URI, matcher: {exact: "spiffe://shop/a"}}
      filters:"#,
)];

/// The listener for notifications once more, under another name.
fn second_notify(text: &str) -> String {
    let listener = &text[..text.find("# The merchant's application.").unwrap()];
    listener.replace("dana_notify", "dana_notify_second").replace("10002", "10003").replace(
        "                    keys:",
        "                    gateway: secondary\n                    keys:",
    )
}

/// A file, and the one in which the fault is planted.
fn beside(
    first: String,
    text: &str,
    edits: &[(impl AsRef<str>, impl AsRef<str>)],
) -> (Vec<String>, usize) {
    let (text, line) = unmarked(&edited(text, edits));
    (vec![first, text], line)
}

/// The files of a fault, and the line of its mark in the last of them.
fn files(base: Base, edits: &[(impl AsRef<str>, impl AsRef<str>)]) -> (Vec<String>, usize) {
    let reference = reference();
    let file = |name: &str| fs::read_to_string(root(&format!("envoy/{name}"))).unwrap();
    let [start, operators, rest] = parts(&reference);
    let payments = start.find("  - name: dana\n").unwrap();
    let plain = unaudited(&format!("{start}{rest}"));
    let text = match base {
        Base::Plain => edited(&plain, edits),
        Base::Tls => {
            let tls = file("tls.yaml");
            let [start, _, rest] = parts(&tls);
            edited(&unaudited(&format!("{start}{rest}")), edits)
        }
        Base::Open => edited(&edited(&plain, &OPEN), edits),
        Base::Second => {
            let start = unaudited(start);
            let second = edited(&edited(&start[payments..], &SECOND), edits);
            format!("{start}{second}{rest}")
        }
        Base::Operators => {
            let end = operators.find("  # For the filter alone").unwrap();
            let (operators, events) = operators.split_at(end);
            format!("{start}{}{events}{rest}", edited(operators, edits))
        }
        Base::Audit => edited(&reference, edits),
        Base::NotifyTwice => {
            let both = format!("{}\n{}", second_notify(&file("notify.yaml")), file("notify.yaml"));
            return beside(reference, &both, edits);
        }
        Base::Notify => return beside(reference, &file("notify.yaml"), edits),
        Base::Dns => return beside(reference, &file("dns.yaml"), edits),
        Base::Etcd => return beside(etcd::shared(&reference), &file("etcd.yaml"), edits),
        Base::EtcdTls => {
            return beside(etcd::shared(&file("tls.yaml")), &file("etcd-tls.yaml"), edits);
        }
        Base::Shared => return beside(file("etcd.yaml"), &etcd::shared(&reference), edits),
    };
    let (text, line) = unmarked(&text);
    (vec![text], line)
}

fn check(texts: &[String], options: &[&str]) -> Output {
    let dir = TempDir::new().unwrap();
    let names = texts.iter().enumerate().map(|(number, text)| {
        let path = dir.path().join(format!("{number}.yaml"));
        fs::write(&path, text).unwrap();
        path
    });
    let names: Vec<PathBuf> = names.collect();
    Command::new(BINARY).arg("check").args(options).args(names).output().unwrap()
}

fn findings(texts: &[String]) -> (Vec<Value>, Option<i32>) {
    let output = check(texts, &["--format", "json"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let document: Result<Value, _> = serde_json::from_slice(&output.stdout);
    let document = document.unwrap_or_else(|_| panic!("{told}"));
    (document["findings"].as_array().unwrap().clone(), output.status.code())
}

/// Notes that the references have: `dns.yaml` has TLS, and the filter of the plain one beside it knows
/// of none; `tls.yaml` has its secrets in files of their own, speaks TLS 1.3 and listens to the network.
/// The operators' token is everybody's own to make.
const KNOWN: [&str; 5] = [
    "channel-unwatched",
    "unseen",
    "tls-13-client-certificate",
    "operators-token-placeholder",
    "claims-in-one-process",
];

/// What is wrong with how a fault is found, if anything is.
fn missed(fault: &Fault) -> Option<String> {
    let (texts, line) = files(fault.base, &fault.edits);
    let (findings, code) = findings(&texts);
    let last = format!("{}.yaml", texts.len() - 1);
    let is_it = |one: &&Value| {
        one["rule"] == fault.rule
            && one["line"] == line
            && one["severity"] == fault.severity
            && one["file"].as_str().unwrap().ends_with(&last)
    };
    if !findings.iter().any(|one| is_it(&one)) {
        let told = findings.iter().filter(|one| one["rule"] == fault.rule);
        let told: Vec<String> =
            told.map(|one| format!("{}: {}", one["line"], one["path"])).collect();
        return Some(format!("{fault:?}\n  expected in line {line}, found {told:?}"));
    }
    let rules: BTreeSet<&str> = findings.iter().map(|one| one["rule"].as_str().unwrap()).collect();
    let expected: BTreeSet<&str> = [fault.rule].iter().chain(&fault.also).copied().collect();
    let is_other = |rule: &&&str| !expected.contains(**rule) && !KNOWN.contains(rule);
    let others: Vec<_> = rules.iter().filter(is_other).collect();
    let lacks: Vec<_> = expected.difference(&rules).collect();
    if !others.is_empty() || !lacks.is_empty() {
        return Some(format!("{fault:?}\n  others: {others:?}, not found: {lacks:?}"));
    }
    let severities: BTreeSet<&str> =
        findings.iter().map(|one| one["severity"].as_str().unwrap()).collect();
    let is_bad = severities.contains("error") || severities.contains("warning");
    (code != Some(i32::from(is_bad))).then(|| format!("{fault:?}: exit code {code:?}"))
}

#[test]
fn every_planted_fault_is_found_where_it_is() {
    let missed: Vec<String> = planted::all().iter().filter_map(missed).collect();
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed.join("\n"));
    assert!(planted::all().len() > 100);
}

#[test]
fn every_rule_has_a_planted_fault() {
    let output = Command::new(BINARY).args(["check", "--explain"]).output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    let rules: BTreeSet<&str> =
        listed.lines().map(|line| line.split(' ').next().unwrap()).collect();
    let mut planted: BTreeSet<&str> = planted::all().iter().map(|fault| fault.rule).collect();
    // It is about the file of accepted findings: a test of its own finds it.
    planted.insert("acceptance-unused");
    // So does one of manifests.
    planted.insert("replicas-apart");
    assert_eq!(rules, planted);
}

#[test]
fn the_references_have_no_errors_and_no_warnings() {
    let dns = fs::read_to_string(root("envoy/dns.yaml")).unwrap();
    let tls = fs::read_to_string(root("envoy/tls.yaml")).unwrap();
    for texts in [vec![reference()], vec![tls], vec![reference(), dns.clone()], vec![dns]] {
        let (findings, code) = findings(&texts);
        let rules: Vec<_> = findings.iter().map(|one| one["rule"].as_str().unwrap()).collect();
        assert!(rules.iter().all(|rule| KNOWN.contains(rule)), "{findings:#?}");
        assert_eq!(code, Some(0));
    }
    for base in [Base::Second, Base::Open] {
        let mark = [("stat_prefix: dana", "stat_prefix: §dana")];
        let (findings, _) = findings(&files(base, &mark).0);
        assert!(findings.iter().all(|one| one["severity"] == "note"), "{base:?}: {findings:#?}");
    }
}

/// Two names of one gateway, as envoy/README.md tells: a composite is the gateway's own cluster.
#[test]
fn a_gateway_may_have_two_clusters() {
    let from = "  - name: dana_primary\n";
    let reference = reference();
    let own = &reference[reference.find(from).unwrap()..];
    let own = &own[..own.find("  # The same in everything").unwrap()];
    let second = own.replace("dana_primary", "dana_other").replace("18081", "18083");
    let both = "  - name: dana_both
    lb_policy: CLUSTER_PROVIDED
    cluster_type:
      name: envoy.clusters.composite
      typed_config: {clusters: [{name: dana_primary}, {name: dana_other}]}
";
    let text = edited(
        &reference,
        &[
            (from, &format!("{both}{second}{from}") as &str),
            (
                "{name: primary, cluster: dana_primary, host: primary.dana.example}",
                "{name: primary, cluster: dana_both}",
            ),
            (
                "clusters: [{name: dana_primary}, {name: dana_secondary}]",
                "clusters: [{name: dana_primary}, {name: dana_other}, {name: dana_secondary}]",
            ),
            (
                "clusters: [{name: dana_secondary}, {name: dana_primary}]",
                "clusters: [{name: dana_secondary}, {name: dana_primary}, {name: dana_other}]",
            ),
            ("num_retries: 1", "num_retries: 2"),
        ],
    );
    let (findings, _) = findings(&[text]);
    assert!(findings.iter().all(|one| one["severity"] == "note"), "{findings:#?}");
}
