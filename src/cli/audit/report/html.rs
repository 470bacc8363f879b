//! The story as one page that needs nothing else: for finance, auditors and the archive.

use std::io::{self, Write};

use super::super::story::Story;
use super::{picture, text};
use crate::engine::{Clock, Length, Millis, Timestamp, Zone};

const STYLE: &str = include_str!("page.css");

pub(super) fn write(out: &mut impl Write, story: &Story, zone: &Zone) -> io::Result<()> {
    let clock = |at| escaped(&Clock(Timestamp::from_millis(at), zone).to_string());
    write!(
        out,
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>Payments, {begin} to {end}</title><style>{STYLE}</style><h1>Payments over two gateways</h1>\
         <p>{begin} to {end}. {} entries of {} writers.</p>",
        story.entries,
        story.writers.len(),
        begin = clock(story.begin),
        end = clock(story.end),
    )?;
    let is_proven = story.reserves().next().is_some();
    let class = if is_proven { "good" } else { "open" };
    writeln!(out, "<p class={class}>{}</p>", escaped(&text::drill(story, zone)))?;
    writeln!(out, "{}", picture::svg(story, zone))?;
    let totals = text::totals(story);
    let first =
        |name: &str| totals.iter().find(|(known, _)| known == name).map(|(_, total)| total.clone());
    let rows = story.gateways.iter().map(|(name, taken)| {
        let executed = taken.executed.to_string();
        vec![
            name.clone(),
            executed,
            text::sums(&taken.sums),
            taken.rejected.to_string(),
            first(name).unwrap_or_default(),
        ]
    });
    table(out, "Gateways", &["gateway", "executed", "amount", "refused by it", "first for"], rows)?;
    let rows = story.switches().map(|switch| {
        let evidence: Vec<String> =
            story.evidence(switch).iter().map(|event| event.sentence()).collect();
        vec![
            Clock(Timestamp::from_millis(switch.at), zone).to_string(),
            switch.sentence(),
            evidence.join("\n"),
        ]
    });
    table(out, "Switches", &["when", "what", "evidence of the minute before"], rows)?;
    let told = story.events.iter().filter(|event| text::is_told(event));
    let rows = told.map(|event| {
        vec![
            Clock(Timestamp::from_millis(event.at), zone).to_string(),
            event.kind.clone(),
            event.sentence(),
        ]
    });
    table(out, "Operators, contradictions, starts", &["when", "kind", "what"], rows)?;
    doubts(out, story, zone)?;
    let rows = story.refused.iter().map(|(reason, count)| vec![reason.clone(), count.to_string()]);
    table(out, "Not sent", &["reason", "requests"], rows)?;
    writeln!(
        out,
        "<p>Answered again, as before: {}. Made from the audit trail by dana-failover {}.</p></html>",
        story.replayed,
        env!("CARGO_PKG_VERSION")
    )
}

fn doubts(out: &mut impl Write, story: &Story, zone: &Zone) -> io::Result<()> {
    let doubts = &story.doubts;
    let open = doubts.open.len() as u64 + doubts.untold;
    let rows =
        doubts.closed.iter().map(|(how, count)| vec![format!("ended by {how}"), count.to_string()]);
    let rows = rows.chain(std::iter::once(vec!["still open".to_owned(), open.to_string()]));
    let longest = Length(Millis::new(doubts.longest));
    let title =
        format!("In doubt: {}, of those that ended the longest for {longest}", doubts.opened);
    table(out, &title, &["how", "payments"], rows)?;
    let mut open: Vec<_> = doubts.open.values().collect();
    open.sort();
    let rows = open.into_iter().take(text::DOUBTS_SHOWN).map(|doubt| {
        let since = Clock(Timestamp::from_millis(doubt.since), zone).to_string();
        let amount = [&*doubt.amount, &*doubt.currency].join(" ");
        vec![since, doubt.reference.clone(), amount, doubt.gateway.clone()]
    });
    table(out, "Still in doubt", &["since", "reference", "amount", "gateway"], rows)
}

/// A table; nothing where it has no rows.
fn table(
    out: &mut impl Write,
    title: &str,
    heads: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> io::Result<()> {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return Ok(());
    }
    write!(out, "<h2>{}</h2><table><tr>", escaped(title))?;
    heads.iter().try_for_each(|head| write!(out, "<th>{}", escaped(head)))?;
    for row in rows {
        write!(out, "<tr>")?;
        row.iter().try_for_each(|cell| write!(out, "<td>{}", escaped(cell)))?;
    }
    writeln!(out, "</table>")
}

/// A text as it stands in markup.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            character => escaped.push(character),
        }
    }
    escaped
}
