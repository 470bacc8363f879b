//! What a gateway holds to be true about payments. Pure: no sockets, no clock, no JSON.
//!
//! A ledger may hold millions of entries under load, so an entry is a few words and its key is one
//! string.

use std::collections::BTreeMap;

use super::key::Key;
use super::money::Money;
use super::operations::Namespace;

/// How many gateways one sandbox can stand in for; the copies of an entry are counted for each.
pub(super) const GATEWAYS_MAX: usize = 4;
/// How many entries a ledger holds before it refuses new ones.
pub(super) const LEDGER_MAX: usize = 2_000_000;

/// Where a gateway stands in the sandbox's list of gateways.
pub(super) type Site = usize;

/// How a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Success,
    /// Executed, while the gateway answered that it is still at it.
    Paying,
    Refunded,
    Cancelled,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Paying => "paying",
            Self::Refunded => "refunded",
            Self::Cancelled => "cancelled",
        }
    }
}

/// An executed payment, as stored: executed exactly once, however many copies came.
#[derive(Debug)]
struct Entry {
    money: Box<str>,
    serial: u64,
    refunded: u64,
    copies: [u32; GATEWAYS_MAX],
    site: u8,
    state: State,
}

/// An executed payment, as told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) key: Key,
    pub(super) reference_no: String,
    pub(super) money: Money,
    pub(super) state: State,
    /// The sum of the refunds, in hundredths.
    pub(super) refunded: u64,
    /// The gateway that executed it.
    pub(super) site: Site,
    /// How many requests for it reached each gateway.
    pub(super) copies: [u32; GATEWAYS_MAX],
}

/// What became of a request to execute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Posting {
    Executed(Receipt),
    /// The same request stood in the ledger already; nothing was executed.
    Repeated(Receipt),
    /// The reference stands in the ledger with another amount; nothing was executed.
    Inconsistent,
    /// The ledger holds as much as it can; nothing was executed.
    Full,
}

/// The payments that one gateway, or two that share it, executed.
#[derive(Debug)]
pub(super) struct Ledger {
    entries: BTreeMap<Box<str>, Entry>,
    entries_max: usize,
    serial: u64,
}

impl Ledger {
    pub(super) fn new(entries_max: usize) -> Self {
        Self { entries: BTreeMap::new(), entries_max, serial: 0 }
    }

    /// Executes a payment unless its reference stands here already.
    pub(super) fn post(&mut self, key: &Key, money: &Money, site: Site, state: State) -> Posting {
        let text = key.encode();
        if let Some(entry) = self.entries.get_mut(&text) {
            count_copy(entry, site);
            if *entry.money != *money.encode() {
                return Posting::Inconsistent;
            }
            return Posting::Repeated(receipt(key.clone(), entry));
        }
        let Ok(short_site) = u8::try_from(site) else {
            return Posting::Full;
        };
        if self.entries.len() >= self.entries_max {
            return Posting::Full;
        }
        self.serial += 1;
        let mut entry = Entry {
            money: money.encode(),
            serial: self.serial,
            refunded: 0,
            copies: [0; GATEWAYS_MAX],
            site: short_site,
            state,
        };
        count_copy(&mut entry, site);
        let receipt = receipt(key.clone(), &entry);
        self.entries.insert(text, entry);
        Posting::Executed(receipt)
    }

    /// Counts a copy that a fault kept from being executed, if its payment stands here at all.
    pub(super) fn count_unexecuted(&mut self, key: &Key, site: Site) {
        if let Some(entry) = self.entries.get_mut(&key.encode()) {
            count_copy(entry, site);
        }
    }

    pub(super) fn find(&self, key: &Key) -> Option<Receipt> {
        self.entries.get(&key.encode()).map(|entry| receipt(key.clone(), entry))
    }

    /// The payment a gateway gave this number. Walks the ledger: such inquiries are rare.
    pub(super) fn find_by_number(
        &self,
        namespace: Namespace,
        reference_no: &str,
    ) -> Option<Receipt> {
        self.entries
            .iter()
            .find(|(_, entry)| number(entry) == reference_no)
            .and_then(|(text, entry)| Some(receipt(Key::decode(text)?, entry)))
            .filter(|receipt| receipt.key.namespace == namespace)
    }

    /// The payment that a merchant gave this reference. Walks the ledger: whoever asks for it is a person,
    /// or a test.
    pub(super) fn find_by_reference(&self, reference: &str) -> Option<Receipt> {
        let pays = [Namespace::Order, Namespace::Transfer, Namespace::Topup];
        self.entries
            .iter()
            .filter_map(|(text, entry)| Some(receipt(Key::decode(text)?, entry)))
            .find(|one| one.key.reference == reference && pays.contains(&one.key.namespace))
    }

    pub(super) fn cancel(&mut self, key: &Key) {
        if let Some(entry) = self.entries.get_mut(&key.encode()) {
            entry.state = State::Cancelled;
        }
    }

    pub(super) fn refund(&mut self, key: &Key, units: u64) {
        if let Some(entry) = self.entries.get_mut(&key.encode()) {
            entry.state = State::Refunded;
            entry.refunded = entry.refunded.saturating_add(units);
        }
    }

    /// Forgets all payments. Numbers go on counting, so that no number is ever given twice.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Every payment of several ledgers, with its receipt from each ledger it stands in.
pub(super) fn joined<'a>(ledgers: &'a [&'a Ledger]) -> impl Iterator<Item = Vec<Receipt>> + 'a {
    ledgers.iter().enumerate().flat_map(move |(index, ledger)| {
        let (earlier, from_here) = ledgers.split_at(index);
        ledger
            .entries
            .keys()
            .filter(move |text| !earlier.iter().any(|ledger| ledger.entries.contains_key(*text)))
            .filter_map(move |text| {
                let key = Key::decode(text)?;
                let entries = from_here.iter().filter_map(|ledger| ledger.entries.get(text));
                Some(entries.map(|entry| receipt(key.clone(), entry)).collect())
            })
    })
}

fn count_copy(entry: &mut Entry, site: Site) {
    if let Some(count) = entry.copies.get_mut(site) {
        *count = count.saturating_add(1);
    }
}

fn receipt(key: Key, entry: &Entry) -> Receipt {
    Receipt {
        key,
        reference_no: number(entry),
        money: Money::decode(&entry.money),
        state: entry.state,
        refunded: entry.refunded,
        site: usize::from(entry.site),
        copies: entry.copies,
    }
}

/// The gateway's own number of a payment: never the same at two gateways.
fn number(entry: &Entry) -> String {
    format!("{:02}{:018}", 10 + entry.site, entry.serial)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(namespace: Namespace, reference: &str) -> Key {
        Key {
            namespace,
            partner: "partner".to_owned(),
            merchant: "merchant".to_owned(),
            reference: reference.to_owned(),
            refund: String::new(),
        }
    }

    fn money(value: &str) -> Money {
        Money { value: value.to_owned(), currency: "IDR".to_owned() }
    }

    fn executed(posting: Posting) -> Receipt {
        let Posting::Executed(receipt) = posting else {
            panic!("expected Executed, got {posting:?}");
        };
        receipt
    }

    #[test]
    fn a_copy_is_answered_from_the_ledger_and_counted() {
        let mut ledger = Ledger::new(10);
        let order = key(Namespace::Order, "r-1");
        let first = executed(ledger.post(&order, &money("1.00"), 0, State::Success));
        let Posting::Repeated(again) = ledger.post(&order, &money("1.00"), 1, State::Success)
        else {
            panic!("a copy was executed");
        };
        assert_eq!(first.reference_no, again.reference_no);
        assert_eq!((again.site, &again.copies[..2]), (0, &[1, 1][..]));
        assert_eq!(ledger.len(), 1);
    }

    #[test]
    fn another_amount_under_the_same_reference_is_inconsistent() {
        let mut ledger = Ledger::new(10);
        let order = key(Namespace::Order, "r-1");
        executed(ledger.post(&order, &money("1.00"), 0, State::Success));
        let posting = ledger.post(&order, &money("2.00"), 0, State::Success);
        assert_eq!(posting, Posting::Inconsistent);
        let dollars = Money { currency: "USD".to_owned(), ..money("1.00") };
        assert_eq!(ledger.post(&order, &dollars, 0, State::Success), Posting::Inconsistent);
        assert_eq!(ledger.find(&order).unwrap().money, money("1.00"));
    }

    #[test]
    fn every_part_of_the_key_counts() {
        let mut ledger = Ledger::new(10);
        let base = key(Namespace::Order, "r-1");
        let others = [
            base.clone(),
            Key { namespace: Namespace::Topup, ..base.clone() },
            Key { partner: "other".to_owned(), ..base.clone() },
            Key { merchant: String::new(), ..base.clone() },
            Key { reference: "r-2".to_owned(), ..base.clone() },
            Key { refund: "f-1".to_owned(), ..base },
        ];
        let mut numbers: Vec<String> = others
            .iter()
            .map(|key| executed(ledger.post(key, &money("1.00"), 0, State::Success)).reference_no)
            .collect();
        numbers.dedup();
        assert_eq!(numbers.len(), others.len());
        assert_eq!(joined(&[&ledger]).count(), others.len());
        assert!(others.iter().all(|key| ledger.find(key).unwrap().key == *key));
    }

    #[test]
    fn a_full_ledger_refuses_new_payments_but_still_answers_copies() {
        let mut ledger = Ledger::new(1);
        let order = key(Namespace::Order, "r-1");
        executed(ledger.post(&order, &money("1.00"), 0, State::Success));
        let other = key(Namespace::Order, "r-2");
        assert_eq!(ledger.post(&other, &money("1.00"), 0, State::Success), Posting::Full);
        let copy = ledger.post(&order, &money("1.00"), 0, State::Success);
        assert!(matches!(copy, Posting::Repeated(_)));
    }

    #[test]
    fn a_number_leads_back_to_its_payment_and_is_never_given_twice() {
        let mut ledger = Ledger::new(10);
        let order = key(Namespace::Order, "r-1");
        let first = executed(ledger.post(&order, &money("1.00"), 0, State::Success));
        let found = ledger.find_by_number(Namespace::Order, &first.reference_no);
        assert_eq!(found, Some(first.clone()));
        assert_eq!(ledger.find_by_number(Namespace::Topup, &first.reference_no), None);
        ledger.clear();
        let second = executed(ledger.post(&order, &money("1.00"), 0, State::Success));
        assert_ne!(first.reference_no, second.reference_no);
    }

    #[test]
    fn ledgers_are_joined_by_payment() {
        let (mut left, mut right) = (Ledger::new(10), Ledger::new(10));
        for reference in ["a", "b"] {
            executed(left.post(
                &key(Namespace::Order, reference),
                &money("1.00"),
                0,
                State::Success,
            ));
        }
        for reference in ["b", "c"] {
            executed(right.post(
                &key(Namespace::Order, reference),
                &money("1.00"),
                1,
                State::Success,
            ));
        }
        let payments: Vec<(String, Vec<Site>)> = joined(&[&left, &right])
            .map(|receipts| {
                let sites = receipts.iter().map(|receipt| receipt.site).collect();
                (receipts[0].key.reference.clone(), sites)
            })
            .collect();
        let expected = [("a", vec![0]), ("b", vec![0, 1]), ("c", vec![1])];
        assert_eq!(payments, expected.map(|(name, sites)| (name.to_owned(), sites)));
    }
}
