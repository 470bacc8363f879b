//! One writer's chain, entry by entry.

use std::collections::{BTreeMap, VecDeque};

use super::finding::{Finding, Kind, Place};
use super::heads::Heads;
use crate::engine::{AuditWriter, Digest, Head};

/// Entries of one writer that may stand before one that comes late. Whoever merges files of several
/// writers keeps the order of each.
const WINDOW: usize = 1024;

/// Entries whose digests are kept for the heads that other writers name.
const RECENT: usize = 64;

/// An entry as far as its chain goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) digest: Digest,
    pub(super) prev: Option<Digest>,
    pub(super) place: Place,
    /// It is what a writer begins with.
    pub(super) is_start: bool,
}

/// One writer's chain.
#[derive(Debug)]
pub(super) struct WriterChain {
    writer: AuditWriter,
    /// The number that comes next, and the entry before it, if that was there.
    pub(super) next: u64,
    last: Option<Seen>,
    /// Entries that have come before their turn.
    early: BTreeMap<u64, Seen>,
    /// The last entry does not fit the one before it; where that one stands.
    is_broken: Option<Place>,
    /// The last entry is not the one that was published.
    is_unlike: bool,
    /// The last number whose digest was published, and is as published.
    confirmed: Option<u64>,
    pub(super) entries: u64,
    /// The number that it began with, where that is not 0: what was before has been checked another time.
    pub(super) begun: Option<u64>,
    /// Digests of the last entries, the newest last: writers that begin name the heads of others.
    recent: VecDeque<(u64, Digest)>,
}

impl WriterChain {
    pub(super) const fn new(writer: AuditWriter) -> Self {
        Self {
            writer,
            next: 0,
            last: None,
            early: BTreeMap::new(),
            is_broken: None,
            is_unlike: false,
            confirmed: None,
            entries: 0,
            begun: None,
            recent: VecDeque::new(),
        }
    }

    /// The head of what there is.
    pub(super) fn head(&self) -> Option<Head> {
        let (number, digest) = (self.next.checked_sub(1)?, self.last?.digest);
        Some(Head { writer: self.writer, number, digest })
    }

    /// Takes in an entry; tells whether there was one of its number before.
    pub(super) fn take(
        &mut self,
        number: u64,
        seen: Seen,
        heads: &Heads,
        found: &mut Vec<Finding>,
    ) -> bool {
        if number < self.next || self.early.contains_key(&number) {
            return true;
        }
        self.entries += 1;
        if number > self.next {
            self.early.insert(number, seen);
            if self.early.len() > WINDOW {
                self.pass_over(heads, found);
            }
            return false;
        }
        if !self.early.is_empty() {
            found.push(self.finding(Kind::Reordered, Some(seen.place), (number, number)));
        }
        self.accept(seen, heads, found);
        self.catch_up(heads, found);
        false
    }

    /// Entries that have come before their turn, as far as it is their turn now.
    fn catch_up(&mut self, heads: &Heads, found: &mut Vec<Finding>) {
        while let Some(seen) = self.early.remove(&self.next) {
            self.accept(seen, heads, found);
        }
    }

    /// What has not come by now is not there.
    fn pass_over(&mut self, heads: &Heads, found: &mut Vec<Finding>) {
        let Some((&number, &seen)) = self.early.first_key_value() else {
            return;
        };
        let before = number.checked_sub(1).and_then(|before| heads.earlier(self.writer, before));
        // What is before it was checked another time: its head is known, and this entry follows it.
        let begins = self.next == 0 && before.is_some() && before == seen.prev;
        if begins {
            self.begun = Some(number);
        } else {
            self.settle(None, found);
            let after = self.last.map_or(seen.place, |last| last.place);
            let numbers = (self.next, number.saturating_sub(1));
            found.push(self.finding(Kind::Missing, Some(after), numbers));
        }
        (self.last, self.next) = (None, number);
        self.catch_up(heads, found);
    }

    /// Takes in the entry whose turn it is.
    fn accept(&mut self, seen: Seen, heads: &Heads, found: &mut Vec<Finding>) {
        let number = self.next;
        let before = self.last.map(|last| last.digest);
        let before = before.or_else(|| {
            let number = number.checked_sub(1)?;
            heads.digest(self.writer, number).or_else(|| heads.earlier(self.writer, number))
        });
        let fits = match before {
            Some(before) => seen.prev == Some(before),
            None if number == 0 => seen.prev.is_none() && seen.is_start,
            None => seen.prev.is_some(),
        };
        let was_settled = self.settle(Some(fits), found);
        if !fits && !was_settled {
            match self.last {
                Some(last) => self.is_broken = Some(last.place),
                None => found.push(self.finding(Kind::Altered, Some(seen.place), (number, number))),
            }
        }
        let published = heads.digest(self.writer, number);
        self.is_unlike = published.is_some_and(|published| published != seen.digest);
        if published == Some(seen.digest) {
            self.confirmed = Some(number);
        }
        (self.last, self.next) = (Some(seen), number.saturating_add(1));
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((number, seen.digest));
    }

    /// Another writer has named this head when it began; whether it is one to come.
    pub(super) fn compare(&self, named: Head, found: &mut Vec<Finding>) -> bool {
        let known = self.recent.iter().find(|(number, _)| *number == named.number);
        if known.is_some_and(|(_, digest)| *digest != named.digest) {
            let place = self.last.map(|last| last.place);
            found.push(self.finding(Kind::Rewritten, place, (named.number, named.number)));
        }
        named.number >= self.next
    }

    /// Whether the entry after the last one fits says which of two entries was altered; where there is none
    /// after it, nobody knows. Tells whether that explains why it does not fit.
    fn settle(&mut self, next_fits: Option<bool>, found: &mut Vec<Finding>) -> bool {
        let (Some(last), Some(number)) = (self.last, self.next.checked_sub(1)) else {
            return false;
        };
        let (broken, unlike) = (self.is_broken.take(), std::mem::take(&mut self.is_unlike));
        let misfits = next_fits == Some(false);
        let first = self.confirmed.map_or(0, |number| number.saturating_add(1));
        let (kind, place, numbers) = match broken {
            Some(_) if misfits || unlike => (Kind::Altered, last.place, (number, number)),
            // Of two entries that do not fit, the first one is named: its content was changed.
            Some(before) => {
                let number = number.saturating_sub(1);
                (Kind::Altered, before, (number, number))
            }
            None if unlike && (misfits || first == number) => {
                (Kind::Altered, last.place, (number, number))
            }
            None if unlike => (Kind::Rewritten, last.place, (first, number)),
            None => return false,
        };
        found.push(self.finding(kind, Some(place), numbers));
        misfits
    }

    /// There are no more lines.
    pub(super) fn end(&mut self, heads: &Heads, found: &mut Vec<Finding>) {
        while !self.early.is_empty() {
            self.pass_over(heads, found);
        }
        self.settle(None, found);
    }

    /// What was published beyond the last line.
    pub(super) fn check_end(&self, published: Head, found: &mut Vec<Finding>) {
        let place = self.last.map(|last| last.place);
        if published.number >= self.next {
            found.push(self.finding(Kind::Cut, place, (self.next, published.number)));
        } else if self
            .head()
            .is_some_and(|head| head.number == published.number && head.digest != published.digest)
            && !found.iter().any(|one| one.writer == Some(self.writer))
        {
            let numbers = (published.number, published.number);
            found.push(self.finding(Kind::Altered, place, numbers));
        }
    }

    /// What its writer has written after it had ended, or at all where nobody knows it.
    pub(super) fn check_writer(&self, heads: &Heads, found: &mut Vec<Finding>) {
        let place = self.last.map(|last| last.place);
        let last = self.next.saturating_sub(1);
        match heads.closed(self.writer) {
            _ if !heads.knows(self.writer) => {
                found.push(self.finding(Kind::Added, place, (self.begun.unwrap_or(0), last)));
            }
            Some(closed) if closed < last => {
                found.push(self.finding(Kind::Added, place, (closed.saturating_add(1), last)));
            }
            Some(_) | None => {}
        }
    }

    const fn finding(&self, kind: Kind, place: Option<Place>, numbers: (u64, u64)) -> Finding {
        Finding { kind, place, writer: Some(self.writer), numbers: Some(numbers) }
    }
}
