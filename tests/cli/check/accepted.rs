//! Findings that somebody accepts: shown, counted, and no longer a reason to fail.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Base, files};
use crate::playground::BINARY;

/// One error and one warning.
const EDITS: [(&str, &str); 2] = [
    ("failure_policy: FAIL_RELOAD", "§failure_policy: FAIL_OPEN"),
    ("stream_idle_timeout: 35s", "stream_idle_timeout: 600s"),
];

const PROXY: &str = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config";

fn check(accepted: &str, options: &[&str]) -> Output {
    let dir = TempDir::new().unwrap();
    let (texts, _) = files(Base::Plain, &EDITS);
    let place = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let (config, file) = (place("envoy.yaml", &texts[0]), place("accepted.yaml", accepted));
    let mut command = Command::new(BINARY);
    command.arg("check").args(options).arg("--accept").arg(file).arg(config).output().unwrap()
}

fn document(accepted: &str, form: &str) -> (Value, Option<i32>) {
    let output = check(accepted, &["--format", form]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let document = serde_json::from_slice(&output.stdout);
    (document.unwrap_or_else(|_| panic!("{told}")), output.status.code())
}

fn both() -> String {
    format!(
        "- {{rule: fail-open, at: '{PROXY}.http_filters[0]', reason: for a drill}}\n\
         - rule: idle-timeout-long\n  reason: ' the platform waits for ever '\n"
    )
}

#[test]
fn what_is_accepted_is_shown_and_does_not_fail() {
    let (told, code) = document(&both(), "json");
    assert_eq!(code, Some(0), "{told}");
    let summary = json!({"errors": 0, "warnings": 0, "notes": 0, "accepted": 2});
    assert_eq!(told["summary"], summary);
    let reasons: Vec<&Value> =
        told["findings"].as_array().unwrap().iter().map(|one| &one["accepted"]).collect();
    assert_eq!(reasons, ["for a drill", "the platform waits for ever"]);
    let (told, code) = document(&both(), "sarif");
    assert_eq!(code, Some(0));
    let first = &told["runs"][0]["results"][0];
    assert_eq!((&first["ruleId"], &first["level"]), (&json!("fail-open"), &json!("error")));
    let suppressed = json!([{"kind": "external", "justification": "for a drill"}]);
    assert_eq!(first["suppressions"], suppressed);
    let text = String::from_utf8(check(&both(), &[]).stdout).unwrap();
    assert!(text.contains("accepted: fail-open  ") && text.contains("  for a drill\n"), "{text}");
    assert!(text.ends_with(": 2 accepted\n") && !text.contains("fix:"), "{text}");
}

#[test]
fn what_is_not_named_is_not_accepted() {
    let half = both().lines().next().unwrap().to_owned();
    let (told, code) = document(&half, "json");
    assert_eq!((code, &told["summary"]["warnings"]), (Some(1), &json!(1)), "the other one");
    let (told, _) = document("[]", "sarif");
    assert!(told["runs"][0]["results"][0].get("suppressions").is_none());
    // Half a name is another name.
    for at in [&PROXY[..PROXY.len() - 1], "static_resources.listeners[1]", "failure_policy"] {
        let entry = format!("- {{rule: fail-open, at: '{at}', reason: x}}\n");
        let (told, code) = document(&entry, "json");
        assert_eq!(code, Some(1));
        assert_eq!(told["summary"], json!({"errors": 1, "warnings": 2, "notes": 0, "accepted": 0}));
        let unused = told["findings"].as_array().unwrap();
        let unused = unused.iter().find(|one| one["rule"] == "acceptance-unused").unwrap();
        assert_eq!(
            (&unused["line"], unused["file"].as_str().unwrap().ends_with("accepted.yaml")),
            (&json!(1), true)
        );
        assert!(unused["expected"].as_str().unwrap().contains(at), "{unused}");
    }
}

#[test]
fn an_entry_that_says_too_little_is_refused_with_its_line() {
    for (text, expected) in [
        ("- rule: fail-open\n", ":1:3: expected a reason why it is accepted, found nothing"),
        ("- {rule: fail-open, reason: ' '}\n", "expected a reason why it is accepted, found \" \""),
        ("- {reason: x}\n", "expected the name of a rule; `--explain` lists them, found nothing"),
        ("\n- {rule: nonsense, reason: x}\n", ":2:4: expected the name of a rule"),
        ("- {rule: fail-open, because: x}\n", "expected rule, at or reason, found because"),
        ("- {rule: fail-open, at: [1], reason: x}\n", "expected the beginning of a path"),
        ("rule: fail-open\n", "expected a list of {rule, at, reason}, found an object"),
        ("- [\n", "expected YAML"),
    ] {
        let output = check(text, &[]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}: {told}");
        assert!(told.contains("accepted.yaml") && told.contains(expected), "{text}: {told}");
    }
}
