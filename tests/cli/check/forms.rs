//! What is printed: for people, for machines, for code scanning; and which files belong together.

use std::process::Command;

use serde_json::{Value, json};

use super::{Base, check, files, findings, reference, root};
use crate::playground::BINARY;

/// One error and one warning.
const EDITS: [(&str, &str); 3] = [
    ("failure_policy: FAIL_RELOAD", "§failure_policy: FAIL_OPEN"),
    ("stream_idle_timeout: 35s", "stream_idle_timeout: 600s"),
    ("                capability_restriction_config:", "                other_config:"),
];

fn text(options: &[&str]) -> (String, Option<i32>) {
    let output = Command::new(BINARY).arg("check").args(options).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

#[test]
fn people_read_what_where_why_and_how() {
    let (texts, line) = files(Base::Plain, &EDITS);
    let output = check(&texts, &[]);
    let told = String::from_utf8(output.stdout).unwrap();
    let name = told.rsplit(": 1 error").nth(1).and_then(|line| line.lines().last()).unwrap();
    let idle = 1 + texts[0].lines().position(|line| line.contains("stream_idle")).unwrap();
    let proxy = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config";
    let expected = format!(
        "error: Payments pass when the filter has died  [fail-open]
  why:  They would be sent without a claim, so that a repeat of one is a second payment.
  fix: Set failure_policy: FAIL_RELOAD and remove fail_open.
  {name}:{line}:17  {proxy}.http_filters[0].typed_config.config.failure_policy
      expected FAIL_RELOAD or FAIL_CLOSED
      found    \"FAIL_OPEN\"

warning: A request that nobody answers is kept for long  [idle-timeout-long]
  why:  If the filter dies while it asks a gateway by itself, the merchant waits until this ends.
  fix: Set stream_idle_timeout to no more than idempotency.lease_ms and timeouts.response_ms together.
  {name}:{idle}:11  {proxy}.stream_idle_timeout
      expected at most 40 s
      found    \"600s\"

note: The filter's VM may do everything  [capabilities-unrestricted]"
    );
    assert!(told.starts_with(&expected), "{told}");
    assert!(told.ends_with(": 1 error, 1 warning, 1 note\n"), "{told}");
    assert!(!told.contains('\u{1b}'), "colour only on a terminal");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_rate_that_the_store_sustains_is_told_as_in_the_documents() {
    let path = root("envoy/envoy.yaml");
    let (told, code) = text(&[path.to_str().unwrap()]);
    assert_eq!(code, Some(0));
    let expected = "claim store of vm_id \"dana\": 1048576 claims, kept 86400 s: 20.7 new payments a \
                    second, sustained, of which one in 10^9 is refused\n";
    assert!(told.contains(expected), "{told}");
    let page = std::fs::read_to_string(root("docs/capacity.md")).unwrap();
    assert!(page.contains("| 20 | 1.7 million | one in 10^9 |"));
}

#[test]
fn machines_read_the_same() {
    let (texts, line) = files(Base::Plain, &EDITS);
    let output = check(&texts, &["--format", "json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let first = &document["findings"][0];
    let told = |name: &str| first[name].as_str().unwrap().to_owned();
    assert_eq!((told("rule"), told("severity")), ("fail-open".into(), "error".into()));
    assert_eq!((&first["line"], &first["column"]), (&json!(line), &json!(17)));
    assert_eq!(first["file"], document["files"][0]);
    assert!(told("path").ends_with("config.failure_policy"));
    assert_eq!(
        (told("expected"), told("found")),
        ("FAIL_RELOAD or FAIL_CLOSED".into(), "\"FAIL_OPEN\"".into())
    );
    for name in ["title", "why", "fix"] {
        assert!(!told(name).is_empty());
    }
    let summary = json!({"errors": 1, "warnings": 1, "notes": 1, "accepted": 0});
    assert_eq!(document["summary"], summary);
    let store = &document["stores"][0];
    assert_eq!((&store["vm_id"], &store["claims_max"]), (&json!("dana"), &json!(1_048_576)));
    assert_eq!((&store["retention_s"], &store["refused_share"]), (&json!(86400), &json!(1e-9)));
    assert!((20.0..21.0).contains(&store["payments_per_second"].as_f64().unwrap()));
    // Every member is told in the help.
    let (help, _) = text(&["--help"]);
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for name in [names(&document), names(first), names(store)].concat() {
        assert!(help.contains(&name), "{name} is not in the help");
    }
}

#[test]
fn code_scanning_gets_sarif() {
    let (texts, line) = files(Base::Plain, &EDITS);
    let output = check(&texts, &["--format", "sarif"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["version"], "2.1.0");
    assert!(document["$schema"].as_str().unwrap().ends_with("sarif-schema-2.1.0.json"));
    let run = &document["runs"][0];
    let driver = &run["tool"]["driver"];
    assert_eq!(driver["name"], "dana-failover");
    let rules = driver["rules"].as_array().unwrap();
    for rule in rules {
        for text in
            ["/shortDescription/text", "/fullDescription/text", "/help/text", "/help/markdown"]
        {
            assert!(!rule.pointer(text).unwrap().as_str().unwrap().is_empty(), "{rule}");
        }
        let level = rule["defaultConfiguration"]["level"].as_str().unwrap();
        assert!(["error", "warning", "note"].contains(&level));
    }
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert_eq!(rules[index]["defaultConfiguration"]["level"], result["level"]);
        assert!(result["message"]["text"].as_str().unwrap().contains("expected"));
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], run["artifacts"][0]["location"]["uri"]);
        assert!(place["region"]["startColumn"].as_u64().unwrap() > 0);
    }
    let region = &results[0]["locations"][0]["physicalLocation"]["region"];
    assert_eq!(*region, json!({"startLine": line, "startColumn": 17}));
}

#[test]
fn a_rule_is_explained_and_all_are_listed() {
    let (told, code) = text(&["--explain", "retry-causes"]);
    assert_eq!(code, Some(0));
    for part in ["retry-causes (error)", "Why:", "Fix:", "connect-failure,refused-stream"] {
        assert!(told.contains(part), "{told}");
    }
    let (told, _) = text(&["--explain", "capability-missing"]);
    assert!(told.contains("proxy_on_log "), "{told}");
    let (listed, code) = text(&["--explain"]);
    assert_eq!(code, Some(0));
    assert!(listed.lines().count() > 60, "{listed}");
}

/// What the module's source asks of its host must be in the list.
#[test]
fn the_capabilities_that_are_listed_are_those_that_the_filter_uses() {
    let (told, _) = text(&["--explain", "capability-missing"]);
    let sources = [
        "host/envoy/abi.rs",
        "host/envoy/grpc.rs",
        "plugin.rs",
        "plugin/grpc.rs",
        "plugin/payments.rs",
    ];
    let sources = sources.map(|name| std::fs::read_to_string(root(&format!("src/filter/{name}"))));
    let sources = sources.map(Result::unwrap);
    let used: Vec<&str> = sources
        .iter()
        .flat_map(|source| source.split("fn "))
        .filter(|part| part.starts_with("proxy_") && !part.starts_with("proxy_abi_version"))
        .map(|part| part.split('(').next().unwrap())
        .collect();
    assert_eq!(used.len(), 33, "{used:?}");
    for name in used {
        assert!(told.contains(&format!("  {name} ")), "{name} is not in\n{told}");
    }
}

#[test]
fn what_is_unknown_ends_with_two() {
    for (options, expected) in [
        (vec!["--explain", "nonsense"], "expected the name of a rule"),
        (vec!["/nonexistent.yaml"], "/nonexistent.yaml: No such file"),
        (vec!["."], "Is a directory"),
        (vec![], "ENVOY_CONFIG"),
        (vec!["--format", "xml", "x"], "invalid value"),
    ] {
        let output = Command::new(BINARY).arg("check").args(&options).output().unwrap();
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(2), "{options:?}: {told}");
        assert!(told.contains(expected), "{options:?}: {told}");
    }
}

#[test]
fn resources_join_a_bootstrap_and_bootstraps_stay_apart() {
    // The listener and the clusters in files of their own, as Envoy watches them.
    let whole: Value = serde_norway::from_str(&reference()).unwrap();
    let typed = |list: &str, kind: &str| {
        let mut list = whole["static_resources"][list].clone();
        for one in list.as_array_mut().unwrap() {
            one["@type"] = json!(format!("type.googleapis.com/envoy.config.{kind}"));
        }
        json!({ "resources": list }).to_string()
    };
    let bootstrap = json!({
        "admin": whole["admin"],
        "stats_config": whole["stats_config"],
        "dynamic_resources": {
            "lds_config": {"path_config_source": {"path": "/l"}},
            "cds_config": {"path_config_source": {"path": "/c"}},
        },
    });
    let listeners = typed("listeners", "listener.v3.Listener");
    let clusters = typed("clusters", "cluster.v3.Cluster");
    let parts = vec![bootstrap.to_string(), listeners.clone(), clusters];
    let (found, code) = findings(&parts);
    let rules: Vec<_> = found.iter().map(|one| one["rule"].as_str().unwrap()).collect();
    let expected = vec!["unseen", "unseen", "operators-token-placeholder"];
    assert_eq!((rules, code), (expected, Some(0)));
    // Without clusters nothing is said to be missing: they may come from elsewhere.
    assert_eq!(findings(&parts[..2]).1, Some(0));
    assert_eq!(findings(&[listeners]).1, Some(0));
    // Two whole ones do not see each other's clusters; each is checked.
    let broken =
        reference().replace("  - name: dana_secondary\n    type", "  - name: other\n    type");
    let (found, code) = findings(&[reference(), broken]);
    let is_of_second = |one: &Value| one["file"].as_str().unwrap().ends_with("1.yaml");
    let bad: Vec<_> = found.iter().filter(|one| one["severity"] == "error").collect();
    assert!(!bad.is_empty() && bad.iter().all(|one| is_of_second(one)), "{bad:#?}");
    assert_eq!(code, Some(1));
}

#[test]
fn json_and_either_spelling_are_understood() {
    let mut config: Value = serde_norway::from_str(&reference()).unwrap();
    let text = serde_json::to_string_pretty(&config).unwrap().replace("  ", "\t");
    assert_eq!(findings(&[text]).1, Some(0));
    let listeners = config["static_resources"]["listeners"].take();
    let camel = json!({"staticResources": {
        "listeners": [listeners[0], listeners[2]], "clusters": config["static_resources"]["clusters"].take(),
    }, "statsConfig": config["stats_config"].take()});
    let camel = camel
        .to_string()
        .replace("filter_chains", "filterChains")
        .replace("failure_policy", "failurePolicy");
    let (found, code) = findings(std::slice::from_ref(&camel));
    assert_eq!(code, Some(0), "{found:#?}");
    let (found, _) = findings(&[camel.replace("FAIL_RELOAD", "FAIL_OPEN")]);
    assert!(found.iter().any(|one| one["rule"] == "fail-open"), "{found:#?}");
}

#[test]
fn a_secret_is_never_printed() {
    let key = "-----BEGIN PRIVATE KEY----- s3cr3t";
    let (texts, _) = files(
        Base::Open,
        &[(
            "{filename: /s.key}}]\n            validation_context:\n              trusted_ca: {filename: /merchants.crt}",
            "{inline_string: s3cr3t}}]\n            §validation_context:\n              trusted_ca2: {}",
        )],
    );
    let texts: Vec<String> = texts.iter().map(|text| text.replace("s3cr3t", key)).collect();
    for format in ["text", "json", "sarif"] {
        let output = check(&texts, &["--format", format]);
        assert_eq!(output.status.code(), Some(1));
        assert!(!String::from_utf8_lossy(&output.stdout).contains("s3cr3t"), "{format}");
    }
}
