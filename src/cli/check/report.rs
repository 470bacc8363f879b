//! What was found, in the form that was asked for.

mod json;
mod sarif;
mod text;

use std::io::{self, Write};

use super::finding::{Finding, Severity};
use super::store::Store;

pub(crate) use json::write as json;
pub(crate) use sarif::write as sarif;
pub(crate) use text::{explain, list, write as text};

/// Everything there is to tell.
pub(crate) struct Report {
    /// The files by number, as they were named.
    pub(crate) files: Vec<String>,
    /// In the order in which they are told: the worst first, then as they stand in the files.
    pub(crate) findings: Vec<Finding>,
    pub(crate) stores: Vec<Store>,
}

impl Report {
    pub(crate) fn count(&self, severity: Severity) -> usize {
        self.open().filter(|finding| finding.rule.severity == severity).count()
    }

    /// Findings that nobody accepts.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.accepted.is_none())
    }

    /// Findings that somebody accepts, each with the reason.
    pub(crate) fn accepted(&self) -> impl Iterator<Item = (&Finding, &str)> {
        self.findings.iter().filter_map(|finding| Some((finding, finding.accepted.as_deref()?)))
    }

    /// Whether there is anything that must be fixed.
    pub(crate) fn is_bad(&self) -> bool {
        self.open().any(|finding| finding.rule.severity != Severity::Note)
    }

    pub(crate) fn file(&self, finding: &Finding) -> &str {
        self.files.get(finding.place.file).map_or("", String::as_str)
    }
}

fn write_json(out: &mut impl Write, value: &serde_json::Value) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}
