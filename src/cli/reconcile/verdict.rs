//! All that was said of one payment, put together.

use super::entries::ByKey;
use super::row::{Id, Place, Row, Said, Source};
use super::state::State;

/// An execution that a report has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Execution {
    gateway: u16,
    amount: i64,
    currency: [u8; 3],
    number: Id,
}

/// All that was said of one payment.
#[derive(Debug, Default)]
pub(super) struct Payment {
    /// What the audit trail says; none where it has no entry of it.
    audit: Option<Audit>,
    intent: u16,
    executions: Vec<Execution>,
    refunds: Vec<Execution>,
    /// Whether the merchant counts it as paid, and how much.
    ledger: Option<(bool, Option<i64>)>,
    time: u32,
    /// The first line of it.
    place: Option<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Audit {
    said: Said,
    /// The gateways at which it was executed, or those of its doubt.
    gateways: u16,
    amount: Option<i64>,
    currency: [u8; 3],
    own: Id,
    /// Reports may not have it yet.
    at: u32,
}

/// How a payment stands, and with how much money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Of everything that is wrong with it, the gravest first; or how it stands.
    pub(super) states: Vec<State>,
    pub(super) amount: i64,
    pub(super) currency: [u8; 3],
    /// The gateways of the audit trail, and those of the reports.
    pub(super) by_audit: u16,
    pub(super) by_reports: u16,
    /// The front of its key, where that is known.
    pub(super) key: Id,
    pub(super) executions: usize,
    pub(super) time: u32,
    /// Where one of its lines stands.
    pub(super) place: Place,
}

impl Payment {
    /// Executions of one payment that a report may have.
    const LINES_MAX: usize = 1000;

    /// Takes in a row; those of one payment come in the order of their sources, and of their lines.
    pub(super) fn take(&mut self, row: &Row) {
        self.time = self.time.max(row.time);
        self.place.get_or_insert(row.place);
        let Row { gateways, amount, currency, own, .. } = *row;
        match (row.source, row.said) {
            (Source::Audit, _) => self.take_entry(row),
            (Source::Intent, _) => self.intent |= gateways,
            (Source::Gateway, Said::Executed | Said::Refunded) => {
                let list = if row.said == Said::Refunded {
                    &mut self.refunds
                } else {
                    &mut self.executions
                };
                let amount = amount.unwrap_or_default();
                let one = Execution { gateway: gateways, amount, currency, number: own };
                // The same line in two reports that overlap.
                let is_new = !list.contains(&one);
                if is_new && list.len() < Self::LINES_MAX {
                    list.push(one);
                }
            }
            (Source::Gateway, Said::NotExecuted | Said::InDoubt | Said::Nothing) => {}
            (Source::Ledger, said) => self.ledger = Some((said == Said::Executed, amount)),
        }
    }

    fn take_entry(&mut self, row: &Row) {
        let Row { said, gateways, amount, currency, own, time, .. } = *row;
        let audit = self.audit.get_or_insert(Audit {
            said: Said::Nothing,
            gateways: 0,
            amount: None,
            currency: [0; 3],
            own,
            at: time,
        });
        if amount.is_some() {
            (audit.amount, audit.currency) = (amount, currency);
        }
        match (audit.said, said) {
            (_, Said::Nothing | Said::Refunded) => {}
            (Said::Executed, Said::Executed) => audit.gateways |= gateways,
            // What was executed stays so, whatever a later entry says of a repeat.
            (Said::Executed, Said::NotExecuted | Said::InDoubt) => {}
            (_, Said::Executed | Said::NotExecuted | Said::InDoubt) => {
                (audit.said, audit.gateways) = (said, gateways);
                audit.at = audit.at.max(time);
            }
        }
    }

    /// `until`: the reports have all payments that were made before this time.
    pub(super) fn verdict(&self, by_key: &ByKey, until: Option<u32>) -> Verdict {
        let key = self.audit.map(|audit| audit.own).unwrap_or_default();
        let is_due = |time: u32| until.is_none_or(|until| time < until);
        let mut states = Vec::new();
        if self.executions.len() > 1 {
            states.push(State::DoubleCharged);
        }
        let resolved = self.audit.and_then(|audit| by_key.resolved.get(&audit.own)).copied();
        states.extend(resolved.and_then(|bits| self.against(bits)));
        match self.audit {
            Some(audit) => states.extend(self.of_audit(audit, resolved, is_due(audit.at))),
            None if !self.executions.is_empty() => states.push(State::MissingInAudit),
            None if self.intent != 0 => states.push(State::AskedFor),
            None => {}
        }
        let was_executed = !self.executions.is_empty()
            || states
                .iter()
                .any(|state| matches!(state, State::Expected | State::MissingAtGateway));
        if let Some((true, _)) = self.ledger
            && !was_executed
        {
            states.push(State::PhantomSuccess);
        }
        states.extend(self.of_refunds(by_key, key, is_due(self.time)));
        states.extend(self.of_amounts());
        states.sort();
        states.dedup();
        // Whatever is wrong is told, and nothing beside it.
        if states.iter().any(|state| state.is_break()) {
            states.retain(|state| state.is_break());
        }
        if states.is_empty() {
            states.push(State::NotExecuted);
        }
        let execution = self.executions.first();
        let of_audit = self.audit.and_then(|audit| Some((audit.amount?, audit.currency)));
        let (amount, currency) = execution
            .map(|one| (one.amount, one.currency))
            .or(of_audit)
            .or_else(|| Some((self.ledger?.1?, [0; 3])))
            .unwrap_or_default();
        let currency =
            if currency == [0; 3] { of_audit.map_or(currency, |(_, one)| one) } else { currency };
        let by_reports = self.executions.iter().fold(0, |bits, one| bits | one.gateway);
        Verdict {
            states,
            amount,
            currency,
            by_audit: self.audit.map_or(self.intent, |audit| audit.gateways),
            by_reports,
            key,
            executions: self.executions.len(),
            time: self.time,
            place: self.place.unwrap_or_default(),
        }
    }

    /// An operator's word that the reports contradict.
    fn against(&self, resolved: u16) -> Option<State> {
        let is_there = self.executions.iter().any(|one| one.gateway & resolved != 0);
        let contradicts = match resolved {
            0 => !self.executions.is_empty(),
            _ => !is_there && !self.executions.is_empty(),
        };
        contradicts.then_some(State::ResolvedAgainstEvidence)
    }

    fn of_audit(&self, audit: Audit, resolved: Option<u16>, is_due: bool) -> Option<State> {
        let execution = self.executions.first();
        // An operator's word is newer than the doubt that it ends.
        let (said, gateways) = match (audit.said, resolved) {
            (Said::InDoubt, Some(0)) => (Said::NotExecuted, 0),
            (Said::InDoubt, Some(bits)) => (Said::Executed, bits),
            (said, _) => (said, audit.gateways),
        };
        Some(match (said, execution) {
            (Said::Executed, Some(_))
                if self.executions.iter().any(|one| one.gateway & gateways != 0) =>
            {
                State::Matched
            }
            (Said::Executed, Some(_)) => State::WrongChannel,
            (Said::Executed, None) if is_due => State::MissingAtGateway,
            (Said::Executed | Said::InDoubt, None) if !is_due => State::Expected,
            (Said::InDoubt, None) => State::DoubtOpen,
            (Said::InDoubt, Some(_)) => State::DoubtExecuted,
            (Said::NotExecuted | Said::Nothing | Said::Refunded, Some(_)) => State::OrphanCharge,
            (Said::NotExecuted | Said::Nothing | Said::Refunded | Said::Executed, None) => {
                State::NotExecuted
            }
        })
    }

    fn of_refunds(&self, by_key: &ByKey, key: Id, is_due: bool) -> Vec<State> {
        let mut states = Vec::new();
        let given_back: i64 =
            self.refunds.iter().fold(0, |sum, one| sum.saturating_add(one.amount));
        let asked = by_key.refunded.get(&key).copied().unwrap_or_default();
        if given_back > asked {
            states.push(State::RefundWithoutRequest);
        } else if given_back < asked && is_due {
            states.push(State::RefundMissing);
        }
        let paid = self.executions.iter().map(|one| one.amount).max();
        let paid = paid.or_else(|| self.audit.and_then(|audit| audit.amount));
        if paid.is_some_and(|paid| given_back.max(asked) > paid) {
            states.push(State::RefundBeyondPayment);
        }
        states
    }

    /// Amounts and currencies are compared where two sides name them.
    fn of_amounts(&self) -> Vec<State> {
        let mut states = Vec::new();
        let Some(execution) = self.executions.first() else {
            return states;
        };
        let asked = self.audit.and_then(|audit| audit.amount);
        let booked = self.ledger.filter(|(is_paid, _)| *is_paid).and_then(|(_, amount)| amount);
        let differs = |amount: Option<i64>| amount.is_some_and(|amount| amount != execution.amount);
        if differs(asked) || differs(booked) {
            states.push(State::AmountMismatch);
        }
        let currency = self.audit.map(|audit| audit.currency).unwrap_or_default();
        let is_told = currency != [0; 3] && execution.currency != [0; 3];
        if is_told && currency != execution.currency {
            states.push(State::CurrencyMismatch);
        }
        states
    }
}
