//! What came out, for people and for machines.

use std::io::{self, Write};

use crate::engine::{Breach, BreakerState, HealthEvent, OverrideKind, Transition};
use crate::engine::{Length, Millis, Utc};
use serde_json::{Map, Value, json};

use super::Lines;
use super::course::{Course, Decision};
use super::line::OUTCOMES;

/// Tells it to people.
pub(super) fn tell(
    out: &mut impl Write,
    course: &Course<'_>,
    lines: &Lines,
    width: usize,
) -> io::Result<()> {
    for decision in &course.decisions {
        let Decision { at, line, change } = decision;
        let line = line.map_or_else(String::new, |line| format!("  (line {line})"));
        writeln!(out, "{}  {}{line}", Utc(*at), sentence(course, change))?;
    }
    let left_out = course.decided - course.decisions.len() as u64;
    if left_out > 0 {
        writeln!(out, "... and {left_out} more")?;
    }
    if course.decided > 0 {
        writeln!(out)?;
    }
    let names = course.policy.gateways.iter().map(|gateway| gateway.name.as_str());
    let longest = names.clone().map(str::len).max().unwrap_or(0);
    let rows = course.timeline.rows(width.saturating_sub(longest + 2));
    let columns = rows.iter().map(String::len).max().unwrap_or(1).max(1);
    for (name, row) in names.clone().zip(&rows) {
        writeln!(out, "{name:<longest$}  {row}")?;
    }
    let span = course.now.since(course.from).get();
    let each = Length(Millis::new(span / columns as u64));
    writeln!(out, "{:<longest$}  {}, {} a column", "", Utc(course.from), each)?;
    writeln!(
        out,
        "{:<longest$}  A new payments go there  . ready  O open  T trials  - no heartbeat\n",
        ""
    )?;
    for (name, totals) in names.zip(&course.totals) {
        let outcomes: Vec<String> = OUTCOMES
            .iter()
            .zip(totals.outcomes)
            .filter(|(_, count)| *count > 0)
            .map(|((name, _), count)| format!("{count} {name}"))
            .collect();
        let outcomes = if outcomes.is_empty() { "no outcomes".into() } else { outcomes.join(", ") };
        writeln!(
            out,
            "{name:<longest$}  active {}, open {}, half-open {}, {} trips; {outcomes}; {} slow",
            Length(Millis::new(totals.active_ms)),
            Length(Millis::new(totals.open_ms)),
            Length(Millis::new(totals.half_open_ms)),
            totals.trips,
            totals.slow
        )?;
    }
    tell_sums(out, course, lines)
}

fn tell_sums(out: &mut impl Write, course: &Course<'_>, lines: &Lines) -> io::Result<()> {
    let span = course.now.since(course.from).get();
    let payments = &course.payments;
    writeln!(
        out,
        "\n{} payments in {}: {} would have gone to another gateway ({} of them failed where they \
         went), {} would have been refused, {} would have been trials",
        payments.all,
        Length(Millis::new(span)),
        payments.moved,
        payments.moved_failures,
        payments.refused,
        payments.trials
    )?;
    writeln!(
        out,
        "{} failovers, {} failbacks; {} lines: {} outcomes, {} heartbeats, {} of no gateway",
        course.failovers,
        course.failbacks,
        lines.all,
        lines.outcomes,
        lines.heartbeats,
        lines.nothing
    )?;
    if lines.skipped.all() > 0 {
        writeln!(out, "passed over {}", lines.skipped)?;
    }
    if lines.late > 0 {
        let most = Length(Millis::new(lines.late_ms_max));
        writeln!(out, "{} lines were late, by at most {most}: taken as they came", lines.late)?;
    }
    Ok(())
}

fn sentence(course: &Course<'_>, change: &HealthEvent) -> String {
    match change {
        HealthEvent::Breaker(gateway, moved) => {
            let name = course.name(*gateway);
            format!("{name}: breaker {}: {}", moved.to.name(), reason(course, moved))
        }
        HealthEvent::Heartbeat(gateway, true) => format!("{}: heartbeat up", course.name(*gateway)),
        HealthEvent::Heartbeat(gateway, false) => {
            format!("{}: heartbeat down", course.name(*gateway))
        }
        HealthEvent::Disagree(gateway, up) => {
            let says = if *up { "up" } else { "down" };
            format!("{}: heartbeat says {says}, and traffic otherwise", course.name(*gateway))
        }
        HealthEvent::Switch { from, to, cause } => {
            format!("{}: {} -> {}", cause.name(), course.name(*from), course.name(*to))
        }
        HealthEvent::Ramp(gateway, percent) => {
            format!("{percent} % of the new payments go to {} first", course.name(*gateway))
        }
        HealthEvent::Override(gateway, steer) => {
            let steer = steer.map_or("auto", OverrideKind::name);
            format!("{}: override {steer}", course.name(*gateway))
        }
        HealthEvent::Barred(gateway, breach) => {
            let why = breach.map_or("admitted", Breach::name);
            format!("{}: {why}", course.name(*gateway))
        }
        HealthEvent::Refusing(why) => format!("payments are refused: {}", why.sentence()),
    }
}

fn reason(course: &Course<'_>, moved: &Transition) -> String {
    let why = moved.rule.sentence(&course.policy.health.breaker);
    match moved.to {
        BreakerState::Open { until } => format!("{why}, until {}", Utc(until)),
        BreakerState::Closed { .. } | BreakerState::HalfOpen { .. } => why,
    }
}

/// Tells it to machines: one document, of which the long help names each field.
pub(super) fn tell_json(
    out: &mut impl Write,
    course: &Course<'_>,
    lines: &Lines,
    width: usize,
) -> io::Result<()> {
    let decisions: Vec<Value> = course.decisions.iter().map(|one| decision(course, one)).collect();
    let names = || course.policy.gateways.iter().map(|gateway| gateway.name.as_str());
    let gateways: Vec<Value> = names()
        .zip(&course.totals)
        .map(|(name, totals)| {
            let outcomes = OUTCOMES.iter().zip(totals.outcomes);
            let outcomes: Map<String, Value> =
                outcomes.map(|((name, _), count)| ((*name).to_owned(), count.into())).collect();
            json!({
                "name": name,
                "active_ms": totals.active_ms,
                "closed_ms": totals.closed_ms,
                "open_ms": totals.open_ms,
                "half_open_ms": totals.half_open_ms,
                "silent_ms": totals.silent_ms,
                "trips": totals.trips,
                "slow": totals.slow,
                "outcomes": outcomes,
            })
        })
        .collect();
    let rows = course.timeline.rows(width);
    let columns = rows.iter().map(String::len).max().unwrap_or(1).max(1) as u64;
    let span = course.now.since(course.from).get();
    let rows: Vec<Value> =
        names().zip(rows).map(|(name, row)| json!({"gateway": name, "states": row})).collect();
    let payments = &course.payments;
    let document = json!({
        "decisions": decisions,
        "decisions_left_out": course.decided - course.decisions.len() as u64,
        "lines": {
            "all": lines.all,
            "outcomes": lines.outcomes,
            "heartbeats": lines.heartbeats,
            "passed_over": lines.nothing,
            "late": lines.late,
            "late_ms_max": lines.late_ms_max,
            "skipped": {
                "envoys_log": lines.skipped.envoys,
                "operators": lines.skipped.operators,
                "other_text": lines.skipped.text,
                "first_other_text_line": lines.skipped.first_text,
                "unfinished": lines.skipped.unfinished,
            },
        },
        "from": Utc(course.from).to_string(),
        "to": Utc(course.now).to_string(),
        "switches": {"failovers": course.failovers, "failbacks": course.failbacks},
        "payments": {
            "all": payments.all,
            "moved": payments.moved,
            "failures_avoided": payments.moved_failures,
            "refused": payments.refused,
            "trials": payments.trials,
        },
        "gateways": gateways,
        "timeline": {"column_ms": span / columns, "rows": rows},
    });
    serde_json::to_writer(&mut *out, &document)?;
    writeln!(out)
}

fn decision(course: &Course<'_>, decision: &Decision) -> Value {
    let Decision { at, line, change } = decision;
    let mut told = match change {
        HealthEvent::Breaker(gateway, moved) => {
            let numbers: Map<String, Value> = moved
                .rule
                .numbers()
                .into_iter()
                .map(|(name, number)| (name.to_owned(), number.into()))
                .collect();
            json!({
                "kind": "breaker",
                "gateway": course.name(*gateway),
                "to": moved.to.name(),
                "rule": moved.rule.name(),
                "numbers": numbers,
                "generation": moved.generation,
            })
        }
        HealthEvent::Heartbeat(gateway, up) => {
            json!({"kind": "heartbeat", "gateway": course.name(*gateway), "up": up})
        }
        HealthEvent::Disagree(gateway, up) => {
            json!({"kind": "disagree", "gateway": course.name(*gateway), "heartbeat_up": up})
        }
        HealthEvent::Switch { from, to, cause } => json!({
            "kind": "switch",
            "from": course.name(*from),
            "to": course.name(*to),
            "cause": cause.name(),
        }),
        HealthEvent::Ramp(gateway, percent) => {
            json!({"kind": "ramp", "gateway": course.name(*gateway), "percent": percent})
        }
        HealthEvent::Override(gateway, steer) => {
            let steer = steer.map_or("auto", OverrideKind::name);
            json!({"kind": "override", "gateway": course.name(*gateway), "to": steer})
        }
        HealthEvent::Barred(gateway, breach) => {
            let why = breach.map(Breach::name);
            json!({"kind": "barred", "gateway": course.name(*gateway), "why": why})
        }
        HealthEvent::Refusing(why) => json!({"kind": "refusing", "why": why.name()}),
    };
    if let Some(members) = told.as_object_mut() {
        members.insert("at".to_owned(), Utc(*at).to_string().into());
        members.insert("line".to_owned(), (*line).into());
        if let HealthEvent::Breaker(_, Transition { to: BreakerState::Open { until }, .. }) = change
        {
            members.insert("until".to_owned(), Utc(*until).to_string().into());
        }
    }
    told
}
