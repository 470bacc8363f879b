//! The ledgers of all gateways as one text.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::control::Control;
use super::gateway::lock;
use super::ledger::{Ledger, Receipt, State, joined};

/// Lists every payment, or those with this reference.
pub(super) fn list(control: &Control, reference: Option<&str>, listing: &mut Listing) {
    let locked: Vec<_> = control.ledgers.iter().map(|ledger| lock(ledger)).collect();
    let ledgers: Vec<&Ledger> = locked.iter().map(|guard| &**guard).collect();
    for receipts in joined(&ledgers) {
        let is_wanted = |receipt: &Receipt| {
            reference.is_none_or(|reference| receipt.key.reference == reference)
        };
        if receipts.first().is_some_and(is_wanted) {
            listing.add(control, &receipts);
        }
    }
}

/// A ledger in the making as text. Written row by row: a value tree of millions of payments would
/// be many times as large.
pub(super) struct Listing {
    as_text: bool,
    limit: u64,
    total: u64,
    executed_at_both: u64,
    charged_at_both: u64,
    rows: String,
}

impl Listing {
    pub(super) fn new(as_text: bool, limit: u64) -> Self {
        Self {
            as_text,
            limit,
            total: 0,
            executed_at_both: 0,
            charged_at_both: 0,
            rows: String::new(),
        }
    }

    fn add(&mut self, control: &Control, receipts: &[Receipt]) {
        let Some(first) = receipts.first() else {
            return;
        };
        let alive = receipts.iter().filter(|receipt| receipt.state != State::Cancelled);
        let moves_money = first.key.namespace.moves_money();
        self.executed_at_both += u64::from(moves_money && receipts.len() > 1);
        self.charged_at_both += u64::from(moves_money && alive.count() > 1);
        self.total += 1;
        if self.total > self.limit {
            return;
        }
        let row = row(control, first, receipts);
        if self.as_text {
            self.add_text(&row);
        } else {
            if !self.rows.is_empty() {
                self.rows.push_str(",\n");
            }
            self.rows.push_str(&row.to_string());
        }
    }

    fn add_text(&mut self, row: &Value) {
        let text = |field: &str| row.get(field).and_then(Value::as_str).unwrap_or_default();
        let list = |field: &str| row.get(field).map(Value::to_string).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(
            self.rows,
            "{:<9} {:<36} {:>18} {:<4} {:<10} {:<26} {}",
            text("namespace"),
            text("reference"),
            text("amount"),
            text("currency"),
            text("state"),
            list("executed_at"),
            list("copies"),
        );
    }

    pub(super) fn finish(self) -> String {
        let Self { total, executed_at_both, charged_at_both, rows, .. } = self;
        if self.as_text {
            let head = format!(
                "{:<9} {:<36} {:>18} {:<4} {:<10} {:<26} {}\n",
                "namespace", "reference", "amount", "", "state", "executed_at", "copies"
            );
            return format!(
                "{head}{rows}\n{total} payments; at more than one gateway: {executed_at_both} \
                 executed, {charged_at_both} charged\n"
            );
        }
        format!(
            "{{\"payments\":[\n{rows}\n],\"total\":{total},\
             \"executed_at_both\":{executed_at_both},\"charged_at_both\":{charged_at_both}}}\n"
        )
    }
}

fn row(control: &Control, first: &Receipt, receipts: &[Receipt]) -> Value {
    let mut copies: BTreeMap<&str, u32> = BTreeMap::new();
    for (site, gateway) in control.gateways.iter().enumerate() {
        let arrived = receipts.iter().filter_map(|receipt| receipt.copies.get(site)).copied().sum();
        if arrived > 0 {
            copies.insert(gateway.name.as_str(), arrived);
        }
    }
    let by_gateway = |value: fn(&Receipt) -> String| -> BTreeMap<&str, String> {
        receipts.iter().map(|receipt| (control.name(receipt.site), value(receipt))).collect()
    };
    let executed_at: Vec<&str> =
        receipts.iter().map(|receipt| control.name(receipt.site)).collect();
    // The most alive state is the one that costs somebody money.
    let state = receipts.iter().map(|receipt| receipt.state).min().unwrap_or(first.state);
    json!({
        "namespace": first.key.namespace.name(),
        "partner": first.key.partner,
        "merchant": first.key.merchant,
        "reference": first.key.reference,
        "refund": first.key.refund,
        "amount": first.money.value,
        "currency": first.money.currency,
        "executed_at": executed_at,
        "executions": receipts.len(),
        "copies": copies,
        "state": state.name(),
        "states": by_gateway(|receipt| receipt.state.name().to_owned()),
        "reference_nos": by_gateway(|receipt| receipt.reference_no.clone()),
    })
}
