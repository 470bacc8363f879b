//! The story for machines. Times are RFC 3339, UTC.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::super::story::{Event, Story, Sums};
use crate::cli::money;
use crate::engine::{Timestamp, Utc};

pub(super) fn write(out: &mut impl Write, story: &Story) -> io::Result<()> {
    let gateways = story.gateways.iter().map(|(name, taken)| {
        let taken = json!({
            "executed": taken.executed,
            "rejected": taken.rejected,
            "amounts": amounts(&taken.sums),
            "first": (taken.executed > 0).then(|| time(taken.first)),
            "last": (taken.executed > 0).then(|| time(taken.last)),
        });
        (name.clone(), taken)
    });
    let stays = story
        .stays()
        .into_iter()
        .map(|stay| json!({"gateway": stay.gateway, "from": time(stay.from), "to": time(stay.to)}));
    let switches = story.switches().map(|switch| {
        let evidence = story.evidence(switch).into_iter().map(event);
        let mut members = members(switch);
        members.insert("evidence".to_owned(), evidence.collect());
        Value::Object(members)
    });
    let others = story.events.iter().filter(|event| event.kind != "switch").map(event);
    let mut open: Vec<_> = story.doubts.open.iter().collect();
    open.sort_by_key(|(_, doubt)| (*doubt).clone());
    let open = open.into_iter().map(|(key, doubt)| {
        json!({
            "key": key, "since": time(doubt.since), "gateway": doubt.gateway,
            "reference": doubt.reference, "amount": doubt.amount, "currency": doubt.currency,
        })
    });
    let report = json!({
        "from": time(story.begin),
        "to": time(story.end),
        "entries": story.entries,
        "writers": story.writers,
        "configurations": story.configs,
        "gateways": Map::from_iter(gateways),
        "first": Vec::from_iter(stays),
        "switches": Vec::from_iter(switches),
        "events": Vec::from_iter(others),
        "replayed": story.replayed,
        "not_sent": story.refused,
        "doubts": {
            "opened": story.doubts.opened,
            "closed": story.doubts.closed,
            "longest_ms": story.doubts.longest,
            "open": Vec::from_iter(open),
            "untold": story.doubts.untold,
        },
        "reserve_exercised": story.reserves().next().is_some(),
        "untold_events": story.lost,
    });
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)
}

fn time(at: u64) -> String {
    Utc(Timestamp::from_millis(at)).to_string()
}

fn amounts(sums: &Sums) -> Map<String, Value> {
    sums.iter().map(|(currency, sum)| (currency.clone(), json!(money::text(*sum)))).collect()
}

fn event(event: &Event) -> Value {
    Value::Object(members(event))
}

fn members(event: &Event) -> Map<String, Value> {
    let members = [
        ("kind", &event.kind),
        ("gateway", &event.gateway),
        ("from", &event.from),
        ("to", &event.to),
        ("why", &event.why),
        ("who", &event.who),
        ("more", &event.more),
    ];
    let members = members.into_iter().filter(|(_, text)| !text.is_empty());
    let members = members.map(|(name, text)| (name.to_owned(), json!(text)));
    let at = std::iter::once(("at".to_owned(), json!(time(event.at))));
    at.chain(members).collect()
}
