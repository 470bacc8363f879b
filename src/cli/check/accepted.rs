//! Findings that somebody accepts, each with a reason that others can read.

use super::document::{Document, Mistake, Place};
use super::finding::Finding;
use super::rules::{self, UNUSED};
use super::view::View;

/// As many entries as one file may have: each is compared with each finding.
const ENTRIES_MAX: usize = 1000;
/// Of a reason so much is kept.
const REASON_CHARS_MAX: usize = 500;

/// An entry of the file.
#[derive(Debug)]
pub(super) struct Accepted {
    rule: String,
    /// The beginning of the path where it is accepted; everywhere, if it is empty.
    at: String,
    reason: String,
    place: Place,
    path: String,
}

/// Reads a list of `{rule, at, reason}`.
pub(super) fn read(file: usize, bytes: &[u8]) -> Result<Vec<Accepted>, Mistake> {
    let root = View::of(&Document::read(file, bytes, false)?);
    let wrong = |view: &View, expected: &str, found: String| {
        Err(Mistake { place: view.place, expected: expected.to_owned(), found })
    };
    if !root.is_list() {
        return wrong(&root, "a list of {rule, at, reason}", root.shows());
    }
    let items = root.items();
    if items.len() > ENTRIES_MAX {
        return wrong(&root, "at most 1000 entries", items.len().to_string());
    }
    let mut entries = Vec::new();
    for item in items {
        let names = item.names();
        if let Some(name) = names.iter().find(|name| !["rule", "at", "reason"].contains(&&***name))
        {
            return wrong(&item.at(name), "rule, at or reason", name.clone());
        }
        let (rule, at, reason) = (item.at("rule"), item.at("at"), item.at("reason"));
        if !rules::all().any(|known| known.id == rule.word()) {
            let expected = "the name of a rule; `--explain` lists them";
            return wrong(&rule, expected, rule.shows());
        }
        if reason.word().trim().is_empty() {
            return wrong(&reason, "a reason why it is accepted", reason.shows());
        }
        if at.exists() && at.text().is_none() {
            return wrong(&at, "the beginning of a path, as a finding tells it", at.shows());
        }
        entries.push(Accepted {
            rule: rule.word().to_owned(),
            at: at.word().to_owned(),
            reason: reason.word().trim().chars().take(REASON_CHARS_MAX).collect(),
            place: item.place,
            path: item.path.clone(),
        });
    }
    Ok(entries)
}

/// Marks what is accepted, and finds entries that accept nothing.
pub(super) fn apply(entries: Vec<Accepted>, findings: &mut Vec<Finding>) {
    for entry in entries {
        let mut is_used = false;
        for finding in findings.iter_mut().filter(|finding| entry.is_about(finding)) {
            is_used = true;
            finding.accepted.get_or_insert_with(|| entry.reason.clone());
        }
        if !is_used {
            findings.push(Finding {
                rule: &UNUSED,
                place: entry.place,
                path: entry.path,
                expected: format!("a finding of {} at {}", entry.rule, or_anywhere(&entry.at)),
                found: "none".to_owned(),
                accepted: None,
            });
        }
    }
}

fn or_anywhere(at: &str) -> &str {
    if at.is_empty() { "any place" } else { at }
}

impl Accepted {
    /// A path begins with another one where a member's name ends.
    fn is_about(&self, finding: &Finding) -> bool {
        let rest = finding.path.strip_prefix(&self.at);
        let is_at =
            |rest: &str| self.at.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']);
        finding.rule.id == self.rule && rest.is_some_and(is_at)
    }
}
