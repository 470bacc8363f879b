//! One JSON document. Its members are told in the long help.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::super::finding::{Finding, Severity};
use super::{Report, write_json};

pub(crate) fn write(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let stores = report.stores.iter().map(|store| {
        let etcd = store.etcd.as_ref();
        json!({
            "vm_id": store.vm_id,
            "engine": if etcd.is_some() { "etcd" } else { "local" },
            "claims_max": store.claims_max,
            "retention_s": store.retention_s,
            "payments_per_second": store.payments_per_second,
            "refused_share": etcd.is_none().then_some(super::super::store::REFUSED_SHARE),
            "realm": etcd.map(|etcd| &etcd.realm),
            "bytes_per_claim": etcd.map(|etcd| etcd.bytes),
        })
    });
    let mut summary: serde_json::Map<String, Value> = Severity::ALL
        .iter()
        .map(|severity| (format!("{}s", severity.word()), report.count(*severity).into()))
        .collect();
    summary.insert("accepted".to_owned(), report.accepted().count().into());
    let document = json!({
        "files": report.files,
        "findings": report.findings.iter().map(|one| finding(report, one)).collect::<Vec<_>>(),
        "summary": summary,
        "stores": stores.collect::<Vec<_>>(),
    });
    write_json(out, &document)
}

fn finding(report: &Report, finding: &Finding) -> Value {
    let rule = finding.rule;
    json!({
        "rule": rule.id,
        "severity": rule.severity.word(),
        "title": rule.title,
        "file": report.file(finding),
        "line": finding.place.line,
        "column": finding.place.column,
        "path": finding.path,
        "expected": finding.expected,
        "found": finding.found,
        "why": rule.why,
        "fix": rule.fix,
        "accepted": finding.accepted,
    })
}
