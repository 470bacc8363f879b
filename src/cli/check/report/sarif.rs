//! SARIF 2.1.0, which code hosts show beside the lines.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::super::finding::{Finding, Rule};
use super::super::rules;
use super::{Report, write_json};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

pub(crate) fn write(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let rules: Vec<Value> = rules::all().map(rule).collect();
    let results = report.findings.iter().map(|one| result(report, one));
    let document = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": env!("CARGO_PKG_NAME"),
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "artifacts": report.files.iter().map(|file| json!({"location": {"uri": uri(file)}}))
                .collect::<Vec<_>>(),
            "results": results.collect::<Vec<_>>(),
        }],
    });
    write_json(out, &document)
}

fn rule(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {
            "text": format!("{} {}", rule.why, rule.fix),
            "markdown": format!("{}\n\n**How to fix it:** {}", rule.why, rule.fix),
        },
        "defaultConfiguration": {"level": rule.severity.word()},
    })
}

fn result(report: &Report, finding: &Finding) -> Value {
    let index = rules::all().position(|rule| rule.id == finding.rule.id);
    let text = format!(
        "{}: expected {}, found {}. {}",
        finding.rule.title, finding.expected, finding.found, finding.rule.fix
    );
    let mut result = json!({
        "ruleId": finding.rule.id,
        "ruleIndex": index,
        "level": finding.rule.severity.word(),
        "message": {"text": text},
        "locations": [{
            "physicalLocation": {
                "artifactLocation": {"uri": uri(report.file(finding)), "index": finding.place.file},
                "region": {"startLine": finding.place.line, "startColumn": finding.place.column},
            },
            "logicalLocations": [{"fullyQualifiedName": finding.path, "kind": "member"}],
        }],
    });
    if let (Some(reason), Some(members)) = (&finding.accepted, result.as_object_mut()) {
        let suppression = json!({"kind": "external", "justification": reason});
        members.insert("suppressions".to_owned(), json!([suppression]));
    }
    result
}

/// A file's name as part of an address.
fn uri(file: &str) -> String {
    let mut uri = String::from(if file.starts_with('/') { "file://" } else { "" });
    for byte in file.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}
