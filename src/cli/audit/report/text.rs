//! The story for a terminal.

use std::io::{self, Write};

use super::super::story::{Event, Story, Sums};
use crate::cli::money;
use crate::engine::{Clock, Length, Millis, Timestamp, Zone};

/// Doubts that are shown one by one.
pub(super) const DOUBTS_SHOWN: usize = 100;

pub(super) fn write(out: &mut impl Write, story: &Story, zone: &Zone) -> io::Result<()> {
    let clock = |at| Clock(Timestamp::from_millis(at), zone).to_string();
    writeln!(out, "{} to {}", clock(story.begin), clock(story.end))?;
    writeln!(
        out,
        "{} entries of {} writers, {} configurations\n",
        story.entries,
        story.writers.len(),
        story.configs.len()
    )?;
    writeln!(out, "executed")?;
    for (name, taken) in &story.gateways {
        let sums = sums(&taken.sums);
        writeln!(out, "  {name:<22} {:>10}  {sums}", taken.executed)?;
    }
    writeln!(out, "first for new payments")?;
    for (name, length) in totals(story) {
        writeln!(out, "  {name:<22} {length:>16}")?;
    }
    if story.replayed > 0 {
        writeln!(out, "answered again, as before: {}", story.replayed)?;
    }
    for (reason, count) in &story.refused {
        writeln!(out, "not sent, {reason}: {count}")?;
    }
    switches(out, story, &clock)?;
    others(out, story, &clock)?;
    doubts(out, story, &clock)?;
    if story.lost > 0 {
        writeln!(out, "\n{} events are not told here, or not in the trail", story.lost)?;
    }
    writeln!(out, "\n{}", drill(story, zone))
}

type ClockOf<'a> = dyn Fn(u64) -> String + 'a;

fn switches(out: &mut impl Write, story: &Story, clock: &ClockOf<'_>) -> io::Result<()> {
    writeln!(out, "\nswitches: {}", story.switches().count())?;
    for switch in story.switches() {
        writeln!(out, "  {}  {}", clock(switch.at), switch.sentence())?;
        for evidence in story.evidence(switch) {
            writeln!(out, "      {}  {}", clock(evidence.at), evidence.sentence())?;
        }
    }
    Ok(())
}

/// What people look for beside the switches: operators, contradictions, refusals, starts.
pub(super) fn is_told(event: &Event) -> bool {
    let kinds =
        ["override", "resolve", "anomaly", "barred", "admitted", "refusing", "start", "refused"];
    kinds.contains(&event.kind.as_str())
}

fn others(out: &mut impl Write, story: &Story, clock: &ClockOf<'_>) -> io::Result<()> {
    let others: Vec<&Event> = story.events.iter().filter(|event| is_told(event)).collect();
    if !others.is_empty() {
        writeln!(out, "\nbeside them")?;
    }
    for event in others {
        writeln!(out, "  {}  {}", clock(event.at), event.sentence())?;
    }
    Ok(())
}

fn doubts(out: &mut impl Write, story: &Story, clock: &ClockOf<'_>) -> io::Result<()> {
    let doubts = &story.doubts;
    writeln!(out, "\nin doubt: {}", doubts.opened)?;
    for (how, count) in &doubts.closed {
        writeln!(out, "  ended by {how}: {count}")?;
    }
    if doubts.longest > 0 {
        writeln!(out, "  the longest: {}", Length(Millis::new(doubts.longest)))?;
    }
    let mut open: Vec<_> = doubts.open.values().collect();
    open.sort();
    let many = open.len() as u64 + doubts.untold;
    if many > 0 {
        writeln!(out, "  still open: {many}")?;
    }
    for doubt in open.iter().take(DOUBTS_SHOWN) {
        let (since, amount) = (clock(doubt.since), [&*doubt.amount, &*doubt.currency].join(" "));
        writeln!(out, "    since {since}  {}  {amount} at {}", doubt.reference, doubt.gateway)?;
    }
    Ok(())
}

/// How long each gateway was first.
pub(super) fn totals(story: &Story) -> Vec<(String, String)> {
    let mut totals: Vec<(String, u64)> = Vec::new();
    for stay in story.stays() {
        let length = stay.to.saturating_sub(stay.from);
        match totals.iter_mut().find(|(name, _)| *name == stay.gateway) {
            Some((_, total)) => *total += length,
            None => totals.push((stay.gateway, length)),
        }
    }
    totals.into_iter().map(|(name, total)| (name, Length(Millis::new(total)).to_string())).collect()
}

pub(super) fn sums(sums: &Sums) -> String {
    let sums = sums.iter().map(|(currency, sum)| format!("{} {currency}", money::text(*sum)));
    sums.collect::<Vec<_>>().join(", ")
}

/// Whether the reserve was exercised, and by what that is known.
pub(super) fn drill(story: &Story, zone: &Zone) -> String {
    let clock = |at| Clock(Timestamp::from_millis(at), zone);
    let told: Vec<String> = story
        .reserves()
        .map(|(name, taken)| {
            let (first, last) = (clock(taken.first), clock(taken.last));
            format!("{} payments were executed at {name}, from {first} to {last}", taken.executed)
        })
        .collect();
    if told.is_empty() {
        return format!(
            "THE RESERVE WAS NOT EXERCISED: all payments went to {}",
            story.preferred()
        );
    }
    format!("THE RESERVE WORKS: {}", told.join("; "))
}
