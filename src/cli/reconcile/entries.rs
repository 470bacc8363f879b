//! What entries of the audit trail say of payments.

use std::collections::{HashMap, HashSet};

use super::gateways::Gateways;
use super::references::References;
use super::row::{By, Id, Place, Row, Said, Source};
use crate::cli::entry::Entry;
use crate::cli::{money, times};

/// What operators have said of payments, and what was given back, by the front of a payment's key.
#[derive(Debug, Default)]
pub(super) struct ByKey {
    /// The last word, and when it was said: the gateway's bit where it was executed; 0 where it was not.
    resolved: HashMap<Id, (u64, u16)>,
    /// In hundredths.
    refunded: HashMap<Id, i64>,
    /// Refunds by their payments, each once however often it was repeated.
    refunds: HashSet<(Id, Id)>,
    cancelled: HashSet<Id>,
    /// Two gateways have executed them, as was found out at the time.
    executed_twice: HashSet<Id>,
}

impl ByKey {
    /// Takes an entry in; the row that it makes, if it speaks of a payment by its reference.
    pub(super) fn take(
        &mut self,
        entry: &Entry<'_>,
        place: Place,
        gateways: &mut Gateways,
        references: &References,
    ) -> Option<Row> {
        let bits = gateways.bits(&entry.gateways);
        let time = times::millis(&entry.time).unwrap_or_default();
        match &*entry.kind {
            // One of which nobody knows whether it was written ends no doubt.
            "resolve" if entry.decision != "unclear" => {
                let bits = if entry.claim == "settled" { bits } else { 0 };
                let word = self.resolved.entry(front(&entry.key)?).or_default();
                *word = (*word).max((time, bits));
                None
            }
            "anomaly" if entry.rule == "executed_twice" => {
                self.executed_twice.insert(front(&entry.key)?);
                None
            }
            "follow_up" if is_executed(entry) => {
                let of = front(&entry.of)?;
                if entry.operation == "cancel" {
                    self.cancelled.insert(of);
                } else if self.refunds.insert((of, front(&entry.key)?)) {
                    let amount = money::parse(&entry.amount).unwrap_or_default();
                    let sum = self.refunded.entry(of).or_default();
                    *sum = sum.saturating_add(amount);
                }
                None
            }
            // A payment's own entry, a question for its status, and a gateway's notification.
            "charge" | "inquiry" | "notify"
                if !entry.reference.is_empty() && !entry.key.is_empty() =>
            {
                let by = match &*entry.kind {
                    _ if entry.evidence.is_empty() => By::Nothing,
                    "charge" => By::Answer,
                    "notify" => By::Notification,
                    _ => By::Status,
                };
                Some(Row {
                    id: references.id(&entry.reference),
                    source: Source::Audit,
                    place,
                    said: said(entry),
                    gateways: bits,
                    // What is refused may name another amount.
                    amount: money::parse(&entry.amount).filter(|_| by == By::Answer),
                    currency: currency(&entry.currency),
                    time,
                    by,
                    own: front(&entry.key)?,
                })
            }
            _ => None,
        }
    }

    /// An operator's word on a payment: the bit of the gateway that has executed it, or 0.
    pub(super) fn resolved(&self, key: Id) -> Option<u16> {
        self.resolved.get(&key).map(|(_, bits)| *bits)
    }

    /// What was given back by refunds that were asked for here.
    pub(super) fn refunded(&self, key: Id) -> i64 {
        self.refunded.get(&key).copied().unwrap_or_default()
    }

    pub(super) fn is_executed_twice(&self, key: Id) -> bool {
        self.executed_twice.contains(&key)
    }

    pub(super) fn is_cancelled(&self, key: Id) -> bool {
        self.cancelled.contains(&key)
    }
}

/// The gateway's own word counts where what it proves could not be written down.
fn is_executed(entry: &Entry<'_>) -> bool {
    entry.evidence == "executed" || entry.claim == "settled"
}

fn said(entry: &Entry<'_>) -> Said {
    match (&*entry.claim, &*entry.evidence) {
        // A gateway that notifies speaks for itself: where the claim stands, others have said.
        (_, evidence) if entry.kind == "notify" && evidence != "executed" => match evidence {
            "failed" | "cancelled" if entry.claim == "closed" => Said::NotExecuted,
            _ => Said::Nothing,
        },
        _ if is_executed(entry) => Said::Executed,
        // It was executed, and given back after that.
        (_, "refunded") => Said::Nothing,
        ("in_doubt" | "in_flight" | "settle_lost", _) => Said::InDoubt,
        ("rejected" | "closed", _) | (_, "never_sent") => Said::NotExecuted,
        (_, "doubtful") => Said::InDoubt,
        (_, "no") => Said::NotExecuted,
        _ => Said::Nothing,
    }
}

/// The first 32 digits of a payment's key.
pub(super) fn front(key: &str) -> Option<Id> {
    let mut front = Id::default();
    let digits = key.as_bytes().first_chunk::<32>()?;
    for (to, [high, low]) in front.iter_mut().zip(digits.as_chunks::<2>().0) {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|one| u8::try_from(one).ok());
        *to = digit(*high)? << 4 | digit(*low)?;
    }
    Some(front)
}

pub(super) fn currency(text: &str) -> [u8; 3] {
    let letters: Option<[u8; 3]> = text.trim().as_bytes().try_into().ok();
    letters.map(|letters| letters.map(|letter| letter.to_ascii_uppercase())).unwrap_or_default()
}
