//! The sum of it: how many payments stand how, with how much money, and which a person must see.

use std::collections::BTreeMap;
use std::mem;

use extsort::ExternalSorter;

use super::Error;
use super::entries::ByKey;
use super::gateways::Gateways;
use super::inputs::{Counts, Inputs};
use super::row::{Id, Place, Row};
use super::state::State;
use super::verdict::{Confirmed, Payment, Scope, Verdict};

/// Rows that are sorted in memory at a time, 60 bytes each and as much again: the rest waits in files.
const SORTED_MAX: usize = 500_000;

/// Payments that are told one by one. All are counted.
const TOLD_MAX: usize = 100_000;

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
}

/// The sum of it.
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
    pub(super) fn of(mut inputs: Inputs, until: Option<u64>) -> Result<Self, Error> {
        let mut by_key = ByKey::default();
        let (reported, has_ledger) = inputs.reported();
        let scope = Scope { until, reported, has_ledger };
        let (rows, counts) = sorted(&mut inputs, &mut by_key)?;
        let mut account = Self {
            counts,
            states: BTreeMap::new(),
            told: Vec::new(),
            untold: 0,
            payments: 0,
            once: 0,
            more: 0,
            confirmed: ConfirmedCounts::default(),
            gateways: Gateways::default(),
        };
        let (mut payment, mut id) = (Payment::default(), None);
        for row in rows {
            let row = row?;
            if id.is_some_and(|id| id != row.id) {
                account.add(id, &mem::take(&mut payment), &by_key, scope);
            }
            id = Some(row.id);
            payment.take(&row);
        }
        account.add(id, &payment, &by_key, scope);
        account.name(&inputs)?;
        account.gateways = inputs.gateways;
        Ok(account)
    }

    fn add(&mut self, id: Option<Id>, payment: &Payment, by_key: &ByKey, scope: Scope) {
        if id.is_none() {
            return;
        }
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
        if self.told.len() < TOLD_MAX {
            self.told.push(Told { reference: String::new(), verdict });
        } else {
            self.untold += 1;
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

type Rows = Box<dyn Iterator<Item = Result<Row, Error>>>;

/// All rows, those of one payment together.
fn sorted(inputs: &mut Inputs, by_key: &mut ByKey) -> Result<(Rows, Counts), Error> {
    let sorter = ExternalSorter::new().with_segment_size(SORTED_MAX);
    let (send, receive) = std::sync::mpsc::sync_channel::<Vec<Row>>(4);
    let (counts, rows) = std::thread::scope(|scope| {
        let reads = scope.spawn(move || {
            let mut batch = Vec::with_capacity(BATCH);
            let counts = inputs.each(by_key, &mut |row| {
                batch.push(row);
                if batch.len() == BATCH {
                    let full = mem::replace(&mut batch, Vec::with_capacity(BATCH));
                    // Whoever sorts tells why it does no longer.
                    let _ = send.send(full);
                }
            });
            let _ = send.send(batch);
            counts
        });
        let rows = sorter.sort(receive.into_iter().flatten());
        (reads.join(), rows)
    });
    let counts = counts.map_err(|_| Error::Sort("a reader has died".to_owned()))??;
    let rows = rows.map_err(|error| Error::Sort(error.to_string()))?;
    let rows = rows.map(|row| row.map_err(|error| Error::Sort(error.to_string())));
    Ok((Box::new(rows), counts))
}

/// Rows that are handed from the one who reads to the one who sorts.
const BATCH: usize = 1024;
