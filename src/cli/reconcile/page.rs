//! What came of it, as one page.

use std::io::{self, Write};

use super::account::{Account, Told};
use super::state::State;
use super::told::{amounts, letters, more, proof};
use crate::cli::{html, money};

/// Payments of one state that are shown one by one; the other formats have all of them.
const SHOWN: usize = 1000;

pub(super) fn write(out: &mut impl Write, account: &Account) -> io::Result<()> {
    html::begin(out, "Reconciliation", "Do the records agree?")?;
    let class = if account.more == 0 { "good" } else { "bad" };
    html::paragraph(out, class, proof(account))?;
    let (class, verdict) = if account.needs_person() {
        ("open", "A person is needed: see what stands below.")
    } else {
        ("good", "The records agree: nobody is needed.")
    };
    html::paragraph(out, class, verdict)?;
    let rows = State::ALL.into_iter().filter_map(|state| {
        let (count, sums) = account.states.get(&state)?;
        let row = [state.name(), &count.to_string(), &amounts(sums), state.advice()];
        Some(row.map(str::to_owned).to_vec())
    });
    html::table(out, "All payments", &["state", "payments", "amount", "what to do"], rows)?;
    for state in State::ALL.into_iter().filter(|state| state.is_break()) {
        breaks(out, account, state)?;
    }
    let by = &account.confirmed;
    let rows = [
        ("their answers", by.answer),
        ("a status", by.status),
        ("a notification", by.notification),
        ("nothing but a report, the ledger or an operator", by.nothing),
    ];
    let rows = rows.into_iter().map(|(by, count)| vec![by.to_owned(), count.to_string()]);
    let title = format!("Executed: {}, and confirmed by", by.executed);
    html::table(out, &title, &["by", "payments"], rows)?;
    let (entries, lines) = (account.counts.entries, account.counts.lines);
    let made = format!(
        "{entries} entries of the audit trail and {lines} other lines speak of {} payments. Made by \
         dana-failover {}.",
        account.payments,
        env!("CARGO_PKG_VERSION")
    );
    html::paragraph(out, "", made)?;
    html::end(out)
}

fn breaks(out: &mut impl Write, account: &Account, state: State) -> io::Result<()> {
    let of_state = |told: &&Told| told.verdict.states.contains(&state);
    let known = |names: String| if names.is_empty() { "nobody".to_owned() } else { names };
    let rows = account.told.iter().filter(of_state).take(SHOWN).map(|told| {
        let verdict = &told.verdict;
        let amount = [money::text(verdict.amount.into()), letters(&verdict.currency)].join(" ");
        vec![
            told.reference.clone(),
            amount,
            known(account.gateways.names(verdict.by_audit)),
            known(account.gateways.names(verdict.by_reports)),
        ]
    });
    let title = format!("{}: {}", state.name(), state.advice());
    html::table(out, &title, &["reference", "amount", "audit", "reports"], rows)?;
    if let Some(more) = more(account, state, SHOWN) {
        html::paragraph(out, "", more)?;
    }
    Ok(())
}
