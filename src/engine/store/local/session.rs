//! One request's dealings with the store in shared data: what is asked for by key becomes loads and
//! stores of cells, one after the other.
//!
//! A commit is worked into the buckets as they were read, so that compare-and-set tells whether any
//! of them has changed since.

use std::collections::VecDeque;

use super::bucket::Bucket;
use super::terms::Terms;
use crate::engine::health::Health;
use crate::engine::limits;
use crate::engine::payment::{ClaimKey, Incarnation};
use crate::engine::store::cell::{Cell, CellEvent, CellRequest, Expected, Loaded};
use crate::engine::store::contract::{
    Commit, Key, Seen, StoreError, StoreEvent, StoreRequest, Version,
};
use crate::engine::store::kept_answer::KeptAnswer;
use crate::engine::store::record::Entry;

/// One request's dealings with the store.
#[derive(Debug, Default)]
pub struct Session {
    waiting: VecDeque<StoreRequest>,
    doing: Option<Doing>,
    /// The buckets that were looked at together, until one of them is written.
    look: Vec<Look>,
    /// The cell that was last asked for. News of another one is older than that.
    awaits: Option<Cell>,
}

#[derive(Debug)]
struct Look {
    number: u32,
    bucket: Bucket,
    version: Expected,
}

/// What is under way.
#[derive(Debug)]
enum Doing {
    Reading(Reading),
    /// A bucket with times that the clock was put back from is written before it counts as read.
    Mending(Reading),
    Committing {
        left: VecDeque<Write>,
    },
    ReadingHealth,
    WritingHealth,
    Finding {
        key: ClaimKey,
        of: Incarnation,
    },
    Keeping {
        key: ClaimKey,
        of: Incarnation,
        answer: KeptAnswer,
        attempts: u8,
    },
}

#[derive(Debug)]
struct Reading {
    keys: Vec<Key>,
    /// The buckets that were not read yet, the one under way first.
    left: VecDeque<u32>,
    attempts: u8,
}

#[derive(Debug)]
struct Write {
    number: u32,
    bytes: Vec<u8>,
    expected: Expected,
}

/// What a session wants done, or tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A cell is to be read or written, and what became of it told to [`Session::cell`].
    Cell(CellRequest),
    /// The answer to the request that was asked first.
    Told(StoreEvent),
}

impl Session {
    /// Asks for something. Requests are answered one after the other.
    #[must_use]
    pub fn ask(&mut self, request: StoreRequest, terms: &Terms<'_>) -> Vec<Output> {
        self.waiting.push_back(request);
        let mut outputs = Vec::new();
        self.begin_next(terms, &mut outputs);
        self.note_awaited(&outputs);
        outputs
    }

    /// Nobody waits for what was asked for any longer.
    pub fn abandon(&mut self) {
        *self = Self::default();
    }

    /// Takes in what became of a cell.
    #[must_use]
    pub fn cell(&mut self, event: CellEvent, terms: &Terms<'_>) -> Vec<Output> {
        let mut outputs = Vec::new();
        if self.awaits != Some(event.cell()) {
            return outputs;
        }
        self.awaits = None;
        if let Some(doing) = self.doing.take() {
            self.doing = self.go_on(doing, event, terms, &mut outputs);
        }
        self.begin_next(terms, &mut outputs);
        self.note_awaited(&outputs);
        outputs
    }

    /// A request is under way as long as a cell is: of the outputs the last one says which.
    fn note_awaited(&mut self, outputs: &[Output]) {
        if let Some(Output::Cell(request)) = outputs.last() {
            self.awaits = Some(request.cell());
        }
    }

    fn begin_next(&mut self, terms: &Terms<'_>, outputs: &mut Vec<Output>) {
        while self.doing.is_none()
            && let Some(request) = self.waiting.pop_front()
        {
            self.doing = self.begin(request, terms, outputs);
        }
    }

    fn begin(
        &mut self,
        request: StoreRequest,
        terms: &Terms<'_>,
        outputs: &mut Vec<Output>,
    ) -> Option<Doing> {
        match request {
            StoreRequest::Read(keys) => {
                self.look.clear();
                self.read(keys, terms, outputs)
            }
            StoreRequest::ReadMore(keys) => self.read(keys, terms, outputs),
            StoreRequest::Commit(commit) => match self.prepare(&commit, terms) {
                Ok(left) => write_next(left, outputs),
                Err(event) => tell(event, outputs),
            },
            StoreRequest::ReadHealth => {
                outputs.push(load(Cell::Health));
                Some(Doing::ReadingHealth)
            }
            StoreRequest::WriteHealth(health, version) => {
                outputs.push(store(Cell::Health, health.encode(), version.expected()));
                Some(Doing::WritingHealth)
            }
            StoreRequest::FindAnswer(key, of) => {
                outputs.push(load(terms.answers_of(&key)));
                Some(Doing::Finding { key, of })
            }
            StoreRequest::KeepAnswer(key, of, answer) => {
                outputs.push(load(terms.answers_of(&key)));
                Some(Doing::Keeping { key, of, answer, attempts: 0 })
            }
        }
    }

    /// Reads the buckets of `keys` that the look does not have, in the order in which they are last
    /// named: what was read longest ago is what a race is lost by.
    fn read(&self, keys: Vec<Key>, terms: &Terms<'_>, outputs: &mut Vec<Output>) -> Option<Doing> {
        let mut left = VecDeque::with_capacity(keys.len());
        for number in keys.iter().map(|key| terms.bucket_of(*key)) {
            left.retain(|other| *other != number);
            if !self.look.iter().any(|one| one.number == number) {
                left.push_back(number);
            }
        }
        self.read_next(Reading { keys, left, attempts: 0 }, terms, outputs)
    }

    fn read_next(
        &self,
        reading: Reading,
        terms: &Terms<'_>,
        outputs: &mut Vec<Output>,
    ) -> Option<Doing> {
        let Some(number) = reading.left.front() else {
            let seen = reading.keys.iter().map(|key| self.seen(*key, terms)).collect();
            return tell(StoreEvent::Seen(seen), outputs);
        };
        outputs.push(load(Cell::Claims(*number)));
        Some(Doing::Reading(reading))
    }

    fn seen(&self, key: Key, terms: &Terms<'_>) -> Seen {
        let number = terms.bucket_of(key);
        let Some(look) = self.look.iter().find(|one| one.number == number) else {
            return Seen { key, entry: Entry::Unreadable, version: Version(0) };
        };
        let prefix = key.reference().prefix();
        let entry = match key {
            Key::Payment(_) => look.bucket.find(&prefix),
            Key::Alias(_) => look.bucket.find_alias(&prefix).map_or(Entry::Absent, Entry::Alias),
        };
        Seen { key, entry, version: Version::of(look.version) }
    }

    fn go_on(
        &mut self,
        doing: Doing,
        event: CellEvent,
        terms: &Terms<'_>,
        outputs: &mut Vec<Output>,
    ) -> Option<Doing> {
        match doing {
            Doing::Reading(reading) => self.go_on_reading(reading, event, terms, outputs),
            Doing::Mending(mut reading) => match event {
                CellEvent::Stored(_) | CellEvent::Conflict(_) => {
                    reading.attempts = reading.attempts.saturating_add(1);
                    if reading.attempts >= limits::STORE_ATTEMPTS_MAX {
                        return tell(UNAVAILABLE, outputs);
                    }
                    self.read_next(reading, terms, outputs)
                }
                CellEvent::Failed(_) | CellEvent::Loaded(..) => tell(UNAVAILABLE, outputs),
            },
            Doing::Committing { left } => match event {
                CellEvent::Stored(_) => write_next(left, outputs),
                CellEvent::Conflict(_) => tell(StoreEvent::Conflict, outputs),
                CellEvent::Failed(_) | CellEvent::Loaded(..) => tell(StoreEvent::Unclear, outputs),
            },
            Doing::ReadingHealth => match event {
                CellEvent::Loaded(_, Loaded { bytes, version }) => {
                    let health = Box::new(Health::decode(&bytes));
                    tell(StoreEvent::Health(health, Version::of(version)), outputs)
                }
                CellEvent::Stored(_) | CellEvent::Conflict(_) | CellEvent::Failed(_) => {
                    tell(StoreEvent::HealthUnclear, outputs)
                }
            },
            Doing::WritingHealth => match event {
                CellEvent::Stored(_) => tell(StoreEvent::HealthWritten, outputs),
                CellEvent::Conflict(_) => tell(StoreEvent::HealthConflict, outputs),
                CellEvent::Failed(_) | CellEvent::Loaded(..) => {
                    tell(StoreEvent::HealthUnclear, outputs)
                }
            },
            Doing::Finding { key, of } => match event {
                CellEvent::Loaded(_, loaded) => {
                    tell(StoreEvent::Answer(KeptAnswer::find(&loaded.bytes, &key, of)), outputs)
                }
                CellEvent::Stored(_) | CellEvent::Conflict(_) | CellEvent::Failed(_) => {
                    tell(UNAVAILABLE, outputs)
                }
            },
            Doing::Keeping { key, of, answer, attempts } => match event {
                CellEvent::Loaded(cell, Loaded { bytes, version }) => {
                    outputs.push(store(cell, answer.put(&bytes, &key, of), version));
                    Some(Doing::Keeping { key, of, answer, attempts })
                }
                CellEvent::Conflict(cell) if attempts < limits::STORE_ATTEMPTS_MAX => {
                    outputs.push(load(cell));
                    Some(Doing::Keeping { key, of, answer, attempts: attempts.saturating_add(1) })
                }
                CellEvent::Stored(_) | CellEvent::Conflict(_) | CellEvent::Failed(_) => {
                    tell(StoreEvent::AnswerKept, outputs)
                }
            },
        }
    }

    fn go_on_reading(
        &mut self,
        mut reading: Reading,
        event: CellEvent,
        terms: &Terms<'_>,
        outputs: &mut Vec<Output>,
    ) -> Option<Doing> {
        let CellEvent::Loaded(Cell::Claims(number), Loaded { bytes, version }) = event else {
            return tell(UNAVAILABLE, outputs);
        };
        let Some(mut bucket) = Bucket::decode(bytes) else {
            return tell(UNAVAILABLE, outputs);
        };
        if bucket.mend(terms.now, terms.rules) {
            outputs.push(store(Cell::Claims(number), bucket.into_bytes(), version));
            return Some(Doing::Mending(reading));
        }
        self.look.push(Look { number, bucket, version });
        reading.left.pop_front();
        self.read_next(reading, terms, outputs)
    }

    /// Works a commit into the buckets that were read. Those of aliases are written first.
    fn prepare(
        &mut self,
        commit: &Commit,
        terms: &Terms<'_>,
    ) -> Result<VecDeque<Write>, StoreEvent> {
        let mut look = std::mem::take(&mut self.look);
        let is_as_expected = |(key, version): &(Key, Version)| {
            let number = terms.bucket_of(*key);
            look.iter().any(|one| one.number == number && Version::of(one.version) == *version)
        };
        if !commit.expect.iter().all(is_as_expected) {
            return Err(StoreEvent::Conflict);
        }
        let of = |is_payment: bool| {
            let wanted = move |key: &Key| matches!(key, Key::Payment(_)) == is_payment;
            commit.put.iter().filter(move |(key, _)| wanted(key))
        };
        let mut order: Vec<u32> = Vec::with_capacity(commit.put.len());
        for (key, _) in of(false).chain(of(true)) {
            let number = terms.bucket_of(*key);
            order.retain(|other| *other != number);
            order.push(number);
        }
        let mut writes = VecDeque::with_capacity(order.len());
        for number in order {
            let place = look.iter().position(|one| one.number == number);
            let Some(Look { mut bucket, version, .. }) = place.map(|at| look.swap_remove(at))
            else {
                return Err(StoreEvent::Conflict);
            };
            // A record that is there finds room again: claims come first.
            for (key, entry) in of(true).chain(of(false)) {
                if terms.bucket_of(*key) == number {
                    put(&mut bucket, *key, entry, terms).map_err(StoreEvent::Refused)?;
                }
            }
            writes.push_back(Write { number, bytes: bucket.into_bytes(), expected: version });
        }
        Ok(writes)
    }
}

fn put(bucket: &mut Bucket, key: Key, entry: &Entry, terms: &Terms<'_>) -> Result<(), StoreError> {
    let (prefix, now, retention) = (key.reference().prefix(), terms.now, terms.retention);
    let put = match entry {
        Entry::Absent => {
            bucket.remove(&prefix);
            Ok(())
        }
        Entry::Claim(claim) => bucket.put(&prefix, claim, now, retention),
        Entry::Alias(alias) => bucket.put_alias(&prefix, alias, now, retention),
        Entry::Unreadable => return Err(StoreError::Unavailable),
    };
    put.map_err(|_| StoreError::Full)
}

fn write_next(mut left: VecDeque<Write>, outputs: &mut Vec<Output>) -> Option<Doing> {
    let Some(Write { number, bytes, expected }) = left.pop_front() else {
        return tell(StoreEvent::Committed, outputs);
    };
    outputs.push(store(Cell::Claims(number), bytes, expected));
    Some(Doing::Committing { left })
}

fn tell(event: StoreEvent, outputs: &mut Vec<Output>) -> Option<Doing> {
    outputs.push(Output::Told(event));
    None
}

const fn load(cell: Cell) -> Output {
    Output::Cell(CellRequest::Load(cell))
}

const fn store(cell: Cell, bytes: Vec<u8>, expected: Expected) -> Output {
    Output::Cell(CellRequest::Store { cell, bytes, expected })
}

const UNAVAILABLE: StoreEvent = StoreEvent::Refused(StoreError::Unavailable);

#[cfg(test)]
mod tests;
