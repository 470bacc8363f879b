//! All that was said of one payment, put together.

use super::entries::ByKey;
use super::row::{By, Id, Place, Row, Said, Source};
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
    /// How often Envoy was about to send it, and how often an entry says that it did.
    intents: u64,
    sent: u64,
    /// The gateways of intents.
    intended: u16,
    executions: Vec<Execution>,
    refunds: Vec<Execution>,
    /// How often the ledger counts it as paid, and how much.
    booked: u64,
    booked_amount: Option<i64>,
    time: u64,
    /// When the trail first speaks of it.
    began: Option<u64>,
    /// The first line of it.
    place: Option<Place>,
    confirmed: Confirmed,
}

/// What has said that a payment was executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Confirmed {
    pub(super) answer: bool,
    pub(super) status: bool,
    pub(super) notification: bool,
}

impl Confirmed {
    fn note(&mut self, by: By) {
        match by {
            By::Nothing => {}
            By::Answer => self.answer = true,
            By::Status => self.status = true,
            By::Notification => self.notification = true,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Audit {
    said: Said,
    /// The gateways at which it was executed, or those of its doubt.
    gateways: u16,
    /// What has named them.
    by: By,
    /// It was executed at gateways that no one answer can speak of.
    is_double: bool,
    amount: Option<i64>,
    currency: [u8; 3],
    own: Id,
    /// Another payment has the same reference.
    is_ambiguous: bool,
    /// Since when it stands so.
    at: u64,
}

/// What the reports can say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scope {
    /// They have no payments that were made before this time, in milliseconds since the Unix epoch.
    pub(super) from: Option<u64>,
    /// They have all payments that were made before this time, in milliseconds since the Unix epoch.
    pub(super) until: Option<u64>,
    /// The gateways whose reports are there.
    pub(super) reported: u16,
    pub(super) has_ledger: bool,
}

impl Scope {
    fn is_due(self, time: u64) -> bool {
        !self.is_before(time) && self.until.is_none_or(|until| time < until)
    }

    fn is_before(self, time: u64) -> bool {
        self.from.is_some_and(|from| time < from)
    }
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
    /// All its gateways have reports of its time, so that what is in none of them was not executed.
    pub(super) is_covered: bool,
    /// Where one of its lines stands.
    pub(super) place: Place,
    /// It was executed, by the trail or by a report, and this has said so.
    pub(super) confirmed: Option<Confirmed>,
}

impl Payment {
    /// Executions of one payment that a report may have.
    const LINES_MAX: usize = 1000;

    /// Takes in a row; those of one payment come in the order of their sources, and of their times.
    pub(super) fn take(&mut self, row: &Row) {
        self.time = self.time.max(row.time);
        if matches!(row.source, Source::Audit | Source::Intent) {
            self.began = Some(self.began.map_or(row.time, |began| began.min(row.time)));
        }
        self.place.get_or_insert(row.place);
        let Row { gateways, amount, currency, own, .. } = *row;
        match (row.source, row.said) {
            (Source::Audit, _) => self.take_entry(row),
            (Source::Intent, _) => {
                self.intents += 1;
                self.intended |= gateways;
            }
            (Source::Gateway, Said::Executed | Said::Refunded) => {
                let is_refund = row.said == Said::Refunded;
                let list = if is_refund { &mut self.refunds } else { &mut self.executions };
                let amount = amount.unwrap_or_default();
                let one = Execution { gateway: gateways, amount, currency, number: own };
                // The same line in two reports that overlap.
                if !list.contains(&one) && list.len() < Self::LINES_MAX {
                    list.push(one);
                }
            }
            (Source::Gateway, Said::NotExecuted | Said::InDoubt | Said::Nothing) => {}
            (Source::Ledger, Said::Executed) => {
                self.booked += 1;
                self.booked_amount = amount;
            }
            (Source::Ledger, _) => {}
        }
    }

    fn take_entry(&mut self, row: &Row) {
        let Row { said, gateways, amount, currency, own, time, .. } = *row;
        self.sent += u64::from(row.by == By::Answer);
        if row.said == Said::Executed {
            self.confirmed.note(row.by);
        }
        let audit = self.audit.get_or_insert(Audit {
            said: Said::Nothing,
            gateways: 0,
            by: By::Nothing,
            is_double: false,
            amount: None,
            currency: [0; 3],
            own,
            is_ambiguous: false,
            at: time,
        });
        audit.is_ambiguous |= audit.own != own;
        if amount.is_some() {
            (audit.amount, audit.currency) = (amount, currency);
        }
        match (audit.said, said) {
            (_, Said::Nothing | Said::Refunded) => {}
            (Said::Executed, Said::Executed) => {
                // A notification may come over another channel than the payment went: where that is a
                // second payment, the filter has said so.
                match (audit.by, row.by) {
                    (_, By::Notification) => {}
                    (By::Notification, _) => (audit.gateways, audit.by) = (gateways, row.by),
                    (_, _) => {
                        audit.is_double |= gateways != 0 && audit.gateways & gateways == 0;
                        audit.gateways |= gateways;
                    }
                }
            }
            // What was executed stays so, whatever a later entry says of a repeat.
            (Said::Executed, Said::NotExecuted | Said::InDoubt) => {}
            (before, said) => {
                if before != said {
                    audit.at = time;
                }
                (audit.said, audit.gateways, audit.by) = (said, gateways, row.by);
            }
        }
    }

    pub(super) fn verdict(&self, by_key: &ByKey, scope: Scope) -> Verdict {
        let key = self.audit.map(|audit| audit.own).unwrap_or_default();
        let mut states = Vec::new();
        let is_double = |audit: Audit| audit.is_double || by_key.is_executed_twice(audit.own);
        if self.executions.len() > 1 || self.audit.is_some_and(is_double) {
            states.push(State::DoubleCharged);
        }
        let resolved = self.audit.and_then(|audit| by_key.resolved(audit.own));
        states.extend(resolved.and_then(|bits| self.against(bits)));
        match self.audit {
            Some(audit) => states.push(self.of_audit(audit, resolved, scope)),
            None if !self.executions.is_empty() => states.push(State::MissingInAudit),
            None => {}
        }
        if self.audit.is_some_and(|audit| audit.is_ambiguous) {
            states.push(State::Ambiguous);
        }
        if self.intents > self.sent {
            states.push(State::AskedFor);
        }
        states.extend(self.of_ledger(&states, scope));
        states.extend(self.of_refunds(by_key, key, scope.is_due(self.time)));
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
        let by_audit = self.audit.map_or(self.intended, |audit| audit.gateways);
        // What was sent before the reports begin may have been executed then, whenever that was learnt.
        let has_all = scope.until.is_some() && scope.from.is_none();
        let is_due = has_all && self.audit.is_some_and(|audit| scope.is_due(audit.at));
        let (amount, currency) = self.money();
        Verdict {
            states,
            amount,
            currency,
            by_audit,
            by_reports: self.executions.iter().fold(0, |bits, one| bits | one.gateway),
            key,
            executions: self.executions.len(),
            is_covered: is_due && by_audit != 0 && by_audit & !scope.reported == 0,
            place: self.place.unwrap_or_default(),
            confirmed: self.is_executed().then_some(self.confirmed),
        }
    }

    fn is_executed(&self) -> bool {
        !self.executions.is_empty() || self.audit.is_some_and(|audit| audit.said == Said::Executed)
    }

    /// How much it is about: by the reports, or else by the trail, or else by the ledger.
    fn money(&self) -> (i64, [u8; 3]) {
        let of_audit = self.audit.and_then(|audit| Some((audit.amount?, audit.currency)));
        let execution = self.executions.first().map(|one| (one.amount, one.currency));
        let booked = self.booked_amount.map(|amount| (amount, [0; 3]));
        let (amount, currency) = execution.or(of_audit).or(booked).unwrap_or_default();
        let known = of_audit.map_or(currency, |(_, known)| known);
        (amount, if currency == [0; 3] { known } else { currency })
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

    fn of_audit(&self, audit: Audit, resolved: Option<u16>, scope: Scope) -> State {
        let is_before = self.began.is_some_and(|began| scope.is_before(began));
        let is_due = !is_before && scope.is_due(audit.at);
        // An operator's word is newer than the doubt that it ends.
        let (said, gateways) = match (audit.said, resolved) {
            (Said::InDoubt, Some(0)) => (Said::NotExecuted, 0),
            (Said::InDoubt, Some(bits)) => (Said::Executed, bits),
            (said, _) => (said, audit.gateways),
        };
        let is_there = self.executions.iter().any(|one| one.gateway & gateways != 0);
        match (said, self.executions.is_empty()) {
            (Said::Executed, false) if is_there => State::Matched,
            (Said::Executed, false) => State::WrongChannel,
            (Said::Executed, true) if gateways & scope.reported == 0 => State::Unreported,
            // A doubt of before is as open as it was.
            (Said::InDoubt, true) if is_before => State::DoubtOpen,
            (Said::Executed | Said::InDoubt, true) if !is_due => State::Expected,
            (Said::Executed, true) => State::MissingAtGateway,
            (Said::InDoubt, true) => State::DoubtOpen,
            (Said::InDoubt, false) => State::DoubtExecuted,
            (Said::NotExecuted | Said::Nothing | Said::Refunded, false) => State::OrphanCharge,
            (Said::NotExecuted | Said::Nothing | Said::Refunded, true) => State::NotExecuted,
        }
    }

    fn of_ledger(&self, states: &[State], scope: Scope) -> Vec<State> {
        let mut found = Vec::new();
        let executed = [State::Expected, State::MissingAtGateway, State::Unreported];
        let was_executed =
            !self.executions.is_empty() || states.iter().any(|state| executed.contains(state));
        if self.booked > 1 {
            found.push(State::BookedTwice);
        }
        if self.booked > 0 && !was_executed {
            found.push(State::PhantomSuccess);
        }
        if scope.has_ledger && self.booked == 0 && !self.executions.is_empty() {
            found.push(State::NotInLedger);
        }
        found
    }

    fn of_refunds(&self, by_key: &ByKey, key: Id, is_due: bool) -> Vec<State> {
        let mut states = Vec::new();
        let given_back: i64 =
            self.refunds.iter().fold(0, |sum, one| sum.saturating_add(one.amount));
        let asked = by_key.refunded(key);
        let is_cancelled = by_key.is_cancelled(key);
        if given_back > asked && !is_cancelled {
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
        let differs = |amount: Option<i64>| amount.is_some_and(|amount| amount != execution.amount);
        if differs(asked) || differs(self.booked_amount) {
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
