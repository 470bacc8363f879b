//! The sum of it: how many payments stand how, with how much money, and which a person must see.

use std::collections::BTreeMap;
use std::mem;
use std::thread;

use super::Error;
use super::entries::ByKey;
use super::gateways::Gateways;
use super::inputs::{Counts, Inputs};
use super::row::Place;
use super::sorted::{Part, died, sorted};
use super::state::State;
use super::verdict::{Confirmed, Payment, Scope, Verdict};

/// Payments that are told one by one. All are counted.
pub(super) const TOLD_MAX: usize = 100_000;

/// Money of one currency.
pub(super) type Sums = BTreeMap<[u8; 3], i128>;

/// A payment that a person must see.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) reference: String,
    pub(super) verdict: Verdict,
}

/// How many executed payments were confirmed, and by what; many by more than one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ConfirmedCounts {
    pub(super) executed: u64,
    pub(super) answer: u64,
    pub(super) status: u64,
    pub(super) notification: u64,
    /// Only a report, a ledger or an operator says so.
    pub(super) nothing: u64,
}

impl ConfirmedCounts {
    fn add(&mut self, by: Confirmed) {
        self.executed += 1;
        self.answer += u64::from(by.answer);
        self.status += u64::from(by.status);
        self.notification += u64::from(by.notification);
        self.nothing += u64::from(by == Confirmed::default());
    }

    const fn add_all(&mut self, other: Self) {
        self.executed += other.executed;
        self.answer += other.answer;
        self.status += other.status;
        self.notification += other.notification;
        self.nothing += other.nothing;
    }
}

/// The sum of it, or of a part of the payments.
#[derive(Default)]
pub(super) struct Account {
    pub(super) counts: Counts,
    /// By how they stand: how many, and how much.
    pub(super) states: BTreeMap<State, (u64, Sums)>,
    pub(super) told: Vec<Told>,
    /// How many there was no room for.
    pub(super) untold: u64,
    pub(super) payments: u64,
    /// Payments with one execution, and with more, in the reports or by the trail.
    pub(super) once: u64,
    pub(super) more: u64,
    pub(super) confirmed: ConfirmedCounts,
    pub(super) gateways: Gateways,
}

impl Account {
    pub(super) fn of(mut inputs: Inputs, [from, until]: [Option<u64>; 2]) -> Result<Self, Error> {
        let mut by_key = ByKey::default();
        let (reported, has_ledger) = inputs.sheets.reported();
        let scope = Scope { from, until, reported, has_ledger };
        let (parts, counts) = sorted(&mut inputs, &mut by_key)?;
        let mut account = Self { counts, ..Self::default() };
        let of_parts = thread::scope(|threads| {
            let by_key = &by_key;
            let sums = parts.map(|part| threads.spawn(move || Self::of_part(part, by_key, scope)));
            sums.map(|sum| sum.join().map_err(died).flatten())
        });
        for of_part in of_parts {
            account.add_all(of_part?);
        }
        account.name(&inputs)?;
        account.gateways = inputs.trail.gateways;
        Ok(account)
    }

    fn of_part(rows: Part, by_key: &ByKey, scope: Scope) -> Result<Self, Error> {
        let mut account = Self::default();
        let (mut payment, mut id) = (Payment::default(), None);
        for row in rows {
            let row = row.map_err(|error| Error::Sort(error.to_string()))?;
            if id.is_some_and(|id| id != row.id) {
                account.add(&mem::take(&mut payment), by_key, scope);
            }
            id = Some(row.id);
            payment.take(&row);
        }
        if id.is_some() {
            account.add(&payment, by_key, scope);
        }
        account.keep_gravest();
        Ok(account)
    }

    /// Takes in what came of a part.
    fn add_all(&mut self, other: Self) {
        self.payments += other.payments;
        self.once += other.once;
        self.more += other.more;
        self.confirmed.add_all(other.confirmed);
        for (state, (count, sums)) in other.states {
            let (all, all_sums) = self.states.entry(state).or_default();
            *all += count;
            for (currency, sum) in sums {
                *all_sums.entry(currency).or_default() += sum;
            }
        }
        self.told.extend(other.told);
        self.untold += other.untold;
        self.keep_gravest();
    }

    fn add(&mut self, payment: &Payment, by_key: &ByKey, scope: Scope) {
        let verdict = payment.verdict(by_key, scope);
        self.payments += 1;
        let is_double = verdict.states.contains(&State::DoubleCharged);
        self.once += u64::from(verdict.executions == 1 && !is_double);
        self.more += u64::from(is_double);
        verdict.confirmed.into_iter().for_each(|by| self.confirmed.add(by));
        for state in &verdict.states {
            let (count, sums) = self.states.entry(*state).or_default();
            *count += 1;
            *sums.entry(verdict.currency).or_default() += i128::from(verdict.amount);
        }
        if !verdict.states.iter().any(|state| state.is_break()) {
            return;
        }
        self.told.push(Told { reference: String::new(), verdict });
        if self.told.len() >= 2 * TOLD_MAX {
            self.keep_gravest();
        }
    }

    /// Of more than can be told, the gravest are, and of those alike the first ones in the files: the same in
    /// each run, whatever order the payments come in.
    fn keep_gravest(&mut self) {
        let untold = self.told.len().saturating_sub(TOLD_MAX);
        if untold > 0 {
            let order = |told: &Told| (told.verdict.states.first().copied(), told.verdict.place);
            self.told.sort_unstable_by_key(order);
            self.told.truncate(TOLD_MAX);
            self.untold += untold as u64;
        }
    }

    /// Reads the references of those that are told.
    fn name(&mut self, inputs: &Inputs) -> Result<(), Error> {
        self.told.sort_by_key(|told| told.verdict.place);
        let places: Vec<Place> = self.told.iter().map(|told| told.verdict.place).collect();
        let references = inputs.references(&places)?;
        self.told
            .iter_mut()
            .zip(references)
            .for_each(|(told, reference)| told.reference = reference);
        let order = |told: &Told| (told.verdict.states.first().copied(), told.reference.clone());
        self.told.sort_by_cached_key(order);
        Ok(())
    }

    /// Whether anything is wrong.
    pub(super) fn needs_person(&self) -> bool {
        self.states.keys().any(|state| state.is_break())
    }
}
