//! What was found in an audit trail, for people and for machines.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::finding::{Finding, Kind, Place};
use super::log::Checkpoint;
use super::verify::Verified;

impl Verified {
    fn place(&self, place: Option<Place>) -> String {
        place.map_or_else(String::new, |place| {
            let file = self.files.get(place.file).map_or("", String::as_str);
            format!("{file}:{}", place.line)
        })
    }

    /// Writers that have not said that they end.
    fn open(&self) -> Vec<String> {
        let heads = &self.chains.heads;
        let open = self.chains.writers().filter(|(writer, _)| heads.closed(*writer).is_none());
        open.map(|(writer, _)| writer.to_string()).collect()
    }
}

/// What was found, line by line.
pub(super) fn findings(out: &mut impl Write, verified: &Verified) -> io::Result<()> {
    let chains = &verified.chains;
    for finding in &chains.found {
        let place = verified.place(finding.place);
        let what = what(finding);
        let kind = finding.kind;
        let before = if place.is_empty() { "" } else { ": " };
        let note = if kind.is_harmless() { "note: " } else { "" };
        writeln!(out, "{place}{before}{note}{}: {what} {}", kind.name(), kind.sentence())?;
    }
    for place in &chains.kills {
        let place = verified.place(Some(*place));
        writeln!(out, "{place}: note: broken off, as when a process is killed")?;
    }
    Ok(())
}

/// For people. Its heads are read again by `--heads`.
pub(super) fn text(out: &mut impl Write, verified: &Verified) -> io::Result<()> {
    let chains = &verified.chains;
    findings(out, verified)?;
    if chains.is_published && !verified.open().is_empty() {
        let open = verified.open().join(", ");
        writeln!(out, "note: still writing, or killed: nobody has said that it ended: {open}")?;
    }
    for Checkpoint { writer, size, .. } in &verified.compared {
        writeln!(out, "as was signed of {writer}: its first {size} entries")?;
    }
    for Checkpoint { writer, size, .. } in &verified.unchecked {
        writeln!(
            out,
            "note: {writer} was signed up to entry {size}, which can be checked only with its first entries"
        )?;
    }
    for (writer, chain) in chains.writers() {
        if let Some(number) = chain.begun {
            writeln!(out, "note: {writer} begins with entry {number}, after a head of --before")?;
        }
        if let Some(head) = chain.head() {
            writeln!(out, "audit head {}", head.line())?;
        }
    }
    let (entries, writers) = (chains.entries, chains.writers().count());
    write!(out, "{entries} entries of {writers} writers: ")?;
    if !verified.is_untrue() {
        let checked = match chains.is_published {
            false => "chained; whether they are all, and of whom, nothing says (--heads)",
            true => "as they were written, up to the heads that were published",
        };
        write!(out, "{checked}")?;
        return more(out, chains.untold);
    }
    let count = |kind: Kind| chains.found.iter().filter(|one| one.kind == kind).count();
    let counts = Kind::ALL.map(|kind| (count(kind), kind.name()));
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts.map(|(count, name)| format!("{count} {name}")).collect();
    write!(out, "{}", counts.join(", "))?;
    more(out, chains.untold)
}

/// What there was no room for.
fn more(out: &mut impl Write, untold: u64) -> io::Result<()> {
    let more = if untold > 0 { format!("; and {untold} findings more") } else { String::new() };
    writeln!(out, "{more}")
}

/// Which entries a finding is about.
fn what(finding: &Finding) -> String {
    match (finding.writer, finding.numbers) {
        (Some(writer), Some((first, last))) if first == last => {
            format!("entry {first} of {writer}")
        }
        (Some(writer), Some((first, last))) => {
            format!("each of entries {first} to {last} of {writer}")
        }
        (Some(writer), None) => format!("writer {writer}"),
        (None, _) => "the line".to_owned(),
    }
}

/// What was signed, writer by writer.
fn checkpoints(all: &[Checkpoint]) -> Value {
    let told = all.iter().map(|one| json!({"writer": one.writer.to_string(), "entries": one.size}));
    told.collect()
}

/// For machines.
pub(super) fn json(out: &mut impl Write, verified: &Verified) -> io::Result<()> {
    let chains = &verified.chains;
    let place = |place: Option<Place>| -> (Value, Value) {
        let file = place.and_then(|place| verified.files.get(place.file));
        (json!(file), json!(place.map(|place| place.line)))
    };
    let findings = chains.found.iter().map(|finding| {
        let (file, line) = place(finding.place);
        json!({
            "kind": finding.kind.name(),
            "file": file,
            "line": line,
            "writer": finding.writer.map(|writer| writer.to_string()),
            "first": finding.numbers.map(|(first, _)| first),
            "last": finding.numbers.map(|(_, last)| last),
        })
    });
    let torn = chains.kills.iter().map(|torn| {
        let (file, line) = place(Some(*torn));
        json!({"file": file, "line": line})
    });
    let writers = chains.writers().map(|(writer, chain)| {
        json!({
            "writer": writer.to_string(),
            "entries": chain.entries,
            "begins_with": chain.begun.unwrap_or(0),
            "head": chain.head().map(|head| head.line()),
            "gauges": chain.head().map(|head| head.halves()),
            "closed": chains.heads.closed(writer).is_some(),
        })
    });
    let report = json!({
        "entries": chains.entries,
        "findings": Vec::from_iter(findings),
        "untold": chains.untold,
        "torn": Vec::from_iter(torn),
        "checkpoints": checkpoints(&verified.compared),
        "checkpoints_not_compared": checkpoints(&verified.unchecked),
        "writers": Vec::from_iter(writers),
    });
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)
}
