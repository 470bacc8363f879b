//! What came of it, for people and for machines.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::account::{Account, Sums, TOLD_MAX, Told};
use super::row::Id;
use super::state::State;
use crate::cli::money;

/// Payments of one state that are shown to people; all of them are in the other formats.
const SHOWN: usize = 20;

/// For people.
pub(super) fn text(out: &mut impl Write, account: &Account) -> io::Result<()> {
    let all = State::ALL.into_iter();
    for state in all.clone().filter(|state| state.is_break()) {
        let of_state = account.told.iter().filter(|one| one.verdict.states.contains(&state));
        let of_state: Vec<&Told> = of_state.collect();
        if of_state.is_empty() {
            continue;
        }
        writeln!(out, "{}: {}", state.name(), state.advice())?;
        for told in of_state.iter().take(SHOWN) {
            line(out, account, told)?;
        }
        if let Some(more) = more(account, state, SHOWN) {
            writeln!(out, "  {more}")?;
        }
        writeln!(out)?;
    }
    for state in all {
        if let Some((count, sums)) = account.states.get(&state) {
            writeln!(out, "{:<26} {count:>12}  {}", state.name(), amounts(sums))?;
        }
    }
    let (entries, lines) = (account.counts.entries, account.counts.lines);
    writeln!(
        out,
        "{entries} entries and {lines} other lines speak of {} payments",
        account.payments
    )?;
    let by = &account.confirmed;
    writeln!(
        out,
        "{} executed, confirmed by their answers {}, by a status {}, by a notification {}, by nothing {}",
        by.executed, by.answer, by.status, by.notification, by.nothing
    )?;
    writeln!(out, "{}", proof(account))
}

/// What is said where a state has more payments than are shown.
pub(super) fn more(account: &Account, state: State, shown: usize) -> Option<String> {
    let all = account.states.get(&state).map_or(0, |(count, _)| *count);
    let more = all.checked_sub(shown as u64).filter(|more| *more > 0)?;
    Some(match account.untold {
        0 => format!("and {more} more: --format csv has all"),
        _ => format!("and {more} more: no more than {TOLD_MAX} payments are told, the gravest"),
    })
}

fn line(out: &mut impl Write, account: &Account, told: &Told) -> io::Result<()> {
    let verdict = &told.verdict;
    let (audit, reports) =
        (account.gateways.names(verdict.by_audit), account.gateways.names(verdict.by_reports));
    let known = |names: String| if names.is_empty() { "nobody".to_owned() } else { names };
    writeln!(
        out,
        "  {}  {} {}  audit: {}, reports: {}",
        told.reference,
        money::text(verdict.amount.into()),
        letters(&verdict.currency),
        known(audit),
        known(reports)
    )
}

/// That nobody was charged twice, or who was: in one line.
pub(super) fn proof(account: &Account) -> String {
    let Account { once, more, .. } = account;
    if *more == 0 {
        return format!("NO DOUBLE CHARGE: {once} payments are in the reports, each of them once");
    }
    let sums = account.states.get(&State::DoubleCharged).map(|(_, sums)| amounts(sums));
    let all = once + more;
    format!(
        "DOUBLE CHARGE: {more} of {all} payments were executed more than once, {}",
        sums.unwrap_or_default()
    )
}

pub(super) fn letters(currency: &[u8; 3]) -> String {
    String::from_utf8_lossy(currency).trim_end_matches('\0').to_owned()
}

pub(super) fn amounts(sums: &Sums) -> String {
    let sums =
        sums.iter().map(|(currency, sum)| format!("{} {}", money::text(*sum), letters(currency)));
    sums.collect::<Vec<_>>().join(", ").trim().to_owned()
}

fn hex(id: &Id) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// For machines.
pub(super) fn json(out: &mut impl Write, account: &Account) -> io::Result<()> {
    let states = account.states.iter().map(|(state, (count, sums))| {
        let sums = sums.iter().map(|(currency, sum)| (letters(currency), json!(money::text(*sum))));
        let sums: serde_json::Map<String, Value> = sums.collect();
        (state.name().to_owned(), json!({"payments": count, "amounts": sums}))
    });
    let payments = account.told.iter().map(|told| {
        let verdict = &told.verdict;
        json!({
            "reference": told.reference,
            "key": Some(hex(&verdict.key)).filter(|_| verdict.key != Id::default()),
            "states": Vec::from_iter(verdict.states.iter().map(|state| state.name())),
            "amount": money::text(verdict.amount.into()),
            "currency": letters(&verdict.currency),
            "audit": account.gateways.names(verdict.by_audit),
            "reports": account.gateways.names(verdict.by_reports),
            "executions": verdict.executions,
        })
    });
    let report = json!({
        "payments": account.payments,
        "entries": account.counts.entries,
        "lines": account.counts.lines,
        "states": serde_json::Map::from_iter(states),
        "in_reports_once": account.once,
        "in_reports_more_than_once": account.more,
        "confirmed": {
            "executed": account.confirmed.executed,
            "by_answer": account.confirmed.answer,
            "by_status": account.confirmed.status,
            "by_notification": account.confirmed.notification,
            "by_nothing": account.confirmed.nothing,
        },
        "breaks": Vec::from_iter(payments),
        "untold": account.untold,
    });
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)
}

/// A line for each payment that a person must see.
pub(super) fn csv(out: &mut impl Write, account: &Account) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record([
        "reference",
        "state",
        "amount",
        "currency",
        "audit",
        "reports",
        "advice",
    ])?;
    for told in &account.told {
        let verdict = &told.verdict;
        for state in &verdict.states {
            writer.write_record([
                told.reference.as_str(),
                state.name(),
                &money::text(verdict.amount.into()),
                &letters(&verdict.currency),
                &account.gateways.names(verdict.by_audit),
                &account.gateways.names(verdict.by_reports),
                state.advice(),
            ])?;
        }
    }
    writer.flush()
}

/// What `POST /resolve` takes, for a person to look through. Who says so, and by what, stands in it as
/// what they have to fill in.
pub(super) fn resolve(mut out: impl Write, account: &Account) -> io::Result<()> {
    for told in &account.told {
        let verdict = &told.verdict;
        let has = |state| verdict.states.contains(&state);
        let executed = if has(State::Ambiguous) || has(State::DoubleCharged) {
            continue;
        } else if has(State::DoubtExecuted) && verdict.by_reports.is_power_of_two() {
            ("executed_at", json!(account.gateways.names(verdict.by_reports)))
        } else if has(State::DoubtOpen) && verdict.is_covered {
            ("executed", json!(false))
        } else {
            continue;
        };
        let mut object = json!({
            "key": hex(&verdict.key),
            "evidence": "",
            "reason": format!("reconciled: {}", told.reference),
        });
        if let Some(members) = object.as_object_mut() {
            members.insert(executed.0.to_owned(), executed.1);
        }
        writeln!(out, "{object}")?;
    }
    out.flush()
}
