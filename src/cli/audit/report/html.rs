//! The story as one page that needs nothing else: for finance, auditors and the archive.

use std::io::{self, Write};

use super::super::story::Story;
use super::{picture, text};
use crate::cli::html::{self, table};
use crate::engine::{Clock, Length, Millis, Timestamp, Zone};

pub(super) fn write(out: &mut impl Write, story: &Story, zone: &Zone) -> io::Result<()> {
    let clock = |at| Clock(Timestamp::from_millis(at), zone).to_string();
    let period = format!("{} to {}", clock(story.begin), clock(story.end));
    html::begin(out, &format!("Payments, {period}"), "Payments over two gateways")?;
    let (entries, writers) = (story.entries, story.writers.len());
    html::paragraph(out, "", format!("{period}. {entries} entries of {writers} writers."))?;
    let is_proven = story.reserves().next().is_some();
    let class = if is_proven { "good" } else { "open" };
    html::paragraph(out, class, text::drill(story, zone))?;
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
    let (replayed, version) = (story.replayed, env!("CARGO_PKG_VERSION"));
    let made = format!(
        "Answered again, as before: {replayed}. Made from the audit trail by dana-failover {version}."
    );
    html::paragraph(out, "", made)?;
    html::end(out)
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
