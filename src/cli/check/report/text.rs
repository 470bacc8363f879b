//! For people: each rule once, with all its places, the worst first.

use std::io::{self, Write};

use super::super::finding::{Finding, Rule, Severity};
use super::super::rules;
use super::super::rules::{Capability, NEEDED};
use super::Report;

/// How a terminal is told to write something.
struct Style {
    bold: &'static str,
    plain: &'static str,
    is_coloured: bool,
}

impl Style {
    const fn new(is_coloured: bool) -> Self {
        let (bold, plain) = if is_coloured { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        Self { bold, plain, is_coloured }
    }

    const fn colour(&self, severity: Severity) -> &'static str {
        match severity {
            _ if !self.is_coloured => "",
            Severity::Error => "\x1b[1;31m",
            Severity::Warning => "\x1b[1;33m",
            Severity::Note => "\x1b[1;36m",
        }
    }
}

pub(crate) fn write(out: &mut impl Write, report: &Report, is_coloured: bool) -> io::Result<()> {
    let style = Style::new(is_coloured);
    let open: Vec<&Finding> = report.open().collect();
    for group in open.chunk_by(|one, other| one.rule.id == other.rule.id) {
        let Some(first) = group.first() else { continue };
        head(out, first.rule, &style)?;
        for finding in group {
            place(out, report, finding, &style)?;
        }
        writeln!(out)?;
    }
    for (finding, reason) in report.accepted() {
        let (place, rule) = (finding.place, finding.rule.id);
        let file = report.file(finding);
        writeln!(out, "accepted: {rule}  {file}:{}:{}  {reason}", place.line, place.column)?;
    }
    for store in &report.stores {
        writeln!(out, "{store}")?;
    }
    summary(out, report, &style)
}

fn head(out: &mut impl Write, rule: &Rule, style: &Style) -> io::Result<()> {
    let Style { bold, plain, .. } = style;
    let (colour, word) = (style.colour(rule.severity), rule.severity.word());
    writeln!(out, "{colour}{word}{plain}{bold}: {}{plain}  [{}]", rule.title, rule.id)?;
    writeln!(out, "  why:  {}", rule.why)?;
    writeln!(out, "  fix: {}", rule.fix)
}

fn place(out: &mut impl Write, report: &Report, one: &Finding, style: &Style) -> io::Result<()> {
    let Style { bold, plain, .. } = style;
    let (line, column) = (one.place.line, one.place.column);
    writeln!(out, "  {bold}{}:{line}:{column}{plain}  {}", report.file(one), one.path)?;
    writeln!(out, "      expected {}", one.expected)?;
    writeln!(out, "      found    {}", one.found)
}

fn summary(out: &mut impl Write, report: &Report, style: &Style) -> io::Result<()> {
    let files = report.files.join(", ");
    let mut counts: Vec<String> = Severity::ALL
        .into_iter()
        .filter(|severity| report.count(*severity) > 0)
        .map(|severity| {
            let count = report.count(severity);
            let plural = if count == 1 { "" } else { "s" };
            format!("{count} {}{}{}{plural}", style.colour(severity), severity.word(), style.plain)
        })
        .collect();
    if report.accepted().next().is_some() {
        counts.push(format!("{} accepted", report.accepted().count()));
    }
    if counts.is_empty() {
        return writeln!(out, "{files}: nothing found");
    }
    writeln!(out, "{files}: {}", counts.join(", "))
}

/// One rule, in full.
pub(crate) fn explain(out: &mut impl Write, rule: &Rule) -> io::Result<()> {
    writeln!(out, "{} ({})\n\n{}.\n", rule.id, rule.severity.word(), rule.title)?;
    writeln!(out, "Why: {}\nFix: {}", rule.why, rule.fix)?;
    if rule.id == "capability-missing" {
        writeln!(
            out,
            "\nWhat the two filters need, always or with a store in etcd, and what is lost without it:"
        )?;
        writeln!(out, "  {:<36} payments operators notify", "")?;
        for Capability { name, without, payments, operators, notify } in NEEDED {
            let [payments, operators, notify] =
                [payments, operators, notify].map(|need| need.word());
            writeln!(out, "  {name:<36} {payments:<8} {operators:<9} {notify:<6} {without}")?;
        }
    }
    Ok(())
}

/// The names of all rules.
pub(crate) fn list(out: &mut impl Write) -> io::Result<()> {
    for rule in rules::all() {
        writeln!(out, "{:<26} {:<8} {}", rule.id, rule.severity.word(), rule.title)?;
    }
    Ok(())
}
