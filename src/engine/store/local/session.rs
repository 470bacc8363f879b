//! One request's dealings with the store in shared data: what is asked for by key becomes loads and
//! stores of cells, one after the other.
//!
//! A commit is worked into the buckets as they were read, so that compare-and-set tells whether any
//! of them has changed since.

use std::collections::VecDeque;

mod places;

use super::bucket::{Bucket, Retention};
use crate::engine::health::Health;
use crate::engine::limits;
use crate::engine::machine::{Ticket, Tickets};
use crate::engine::payment::{ClaimKey, Incarnation};
use crate::engine::store::cell::{Cell, CellEvent, CellRequest, Expected, Loaded};
use crate::engine::store::contract::{
    Commit, Key, Seen, StoreError, StoreEvent, StoreRequest, Version,
};
use crate::engine::store::conversation::{Conversation, Outbox};
use crate::engine::store::kept_answer::KeptAnswer;
use crate::engine::store::record::Entry;
use crate::engine::store::terms::Terms;
use places::Places;

/// One request's dealings with the store.
#[derive(Debug, Default)]
pub struct Session {
    waiting: VecDeque<(Ticket, StoreRequest)>,
    /// The question that is under way, and its number.
    doing: Option<(Ticket, Doing)>,
    /// The buckets that were looked at together, until one of them is written.
    look: Vec<Look>,
    /// The cell that was asked for last.
    asked: Tickets,
    places: Places,
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
        answer: Box<KeptAnswer>,
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

/// What comes next.
enum SessionStep {
    /// This cell is read or written for that.
    Cell(Doing, CellRequest),
    /// The question is answered.
    Done(StoreEvent),
}

impl Conversation for Session {
    type Ask = StoreRequest;
    type Told = StoreEvent;
    type Request = CellRequest;
    type Event = CellEvent;
    type Terms<'a> = Terms<'a>;

    fn ask<E>(
        &mut self,
        ticket: Ticket,
        ask: StoreRequest,
        terms: &Terms<'_>,
        outbox: &mut Outbox<CellRequest, StoreEvent, E>,
    ) {
        self.take_question(ticket, ask, terms, outbox);
    }

    fn told<E>(
        &mut self,
        ticket: Ticket,
        event: CellEvent,
        terms: &Terms<'_>,
        outbox: &mut Outbox<CellRequest, StoreEvent, E>,
    ) {
        self.take_cell(ticket, event, terms, outbox);
    }
}

/// Whatever else a host is asked, cells are among it.
impl Session {
    pub(in crate::engine::store) fn take_question<R: From<CellRequest>, E>(
        &mut self,
        ticket: Ticket,
        ask: StoreRequest,
        terms: &Terms<'_>,
        outbox: &mut Outbox<R, StoreEvent, E>,
    ) {
        self.waiting.push_back((ticket, ask));
        self.begin_next(terms, outbox);
    }

    pub(in crate::engine::store) fn take_cell<R: From<CellRequest>, E>(
        &mut self,
        ticket: Ticket,
        event: CellEvent,
        terms: &Terms<'_>,
        outbox: &mut Outbox<R, StoreEvent, E>,
    ) {
        if !self.asked.close(ticket) {
            return;
        }
        if let Some((ticket, doing)) = self.doing.take() {
            let step = self.go_on(doing, event, terms);
            self.step(ticket, step, outbox);
        }
        self.begin_next(terms, outbox);
    }
}

impl Session {
    /// Reads or writes the next cell, or is done.
    fn step<R: From<CellRequest>, E>(
        &mut self,
        ticket: Ticket,
        step: SessionStep,
        outbox: &mut Outbox<R, StoreEvent, E>,
    ) {
        match step {
            SessionStep::Cell(doing, request) => {
                self.doing = Some((ticket, doing));
                outbox.ask(self.asked.open(), R::from(request));
            }
            SessionStep::Done(event) => outbox.tell(ticket, event),
        }
    }

    /// Requests are answered one after the other.
    fn begin_next<R: From<CellRequest>, E>(
        &mut self,
        terms: &Terms<'_>,
        outbox: &mut Outbox<R, StoreEvent, E>,
    ) {
        while self.doing.is_none()
            && let Some((ticket, request)) = self.waiting.pop_front()
        {
            let step = self.begin(request, terms);
            self.step(ticket, step, outbox);
        }
    }

    fn begin(&mut self, request: StoreRequest, terms: &Terms<'_>) -> SessionStep {
        match request {
            StoreRequest::Read(keys) | StoreRequest::Peek(keys) => {
                self.look.clear();
                self.read(keys, terms)
            }
            StoreRequest::ReadMore(keys) => self.read(keys, terms),
            // A write that failed here is as it is, and asking again changes nothing.
            StoreRequest::Retract => SessionStep::Done(StoreEvent::Retracted),
            StoreRequest::Pause => SessionStep::Done(UNAVAILABLE),
            StoreRequest::Commit(commit) => match self.prepare(&commit, terms) {
                Ok(left) => write_next(left),
                Err(event) => SessionStep::Done(event),
            },
            StoreRequest::ReadHealth => load(Doing::ReadingHealth, Cell::Health),
            StoreRequest::WriteHealth(health, version) => {
                store(Doing::WritingHealth, Cell::Health, health.encode(), version.expected())
            }
            StoreRequest::FindAnswer(key, of) => {
                load(Doing::Finding { key, of }, terms.answers_of(&key))
            }
            StoreRequest::KeepAnswer(key, of, answer) => {
                let cell = terms.answers_of(&key);
                load(Doing::Keeping { key, of, answer, attempts: 0 }, cell)
            }
        }
    }

    /// Reads the buckets of `keys` that the look does not have, in the order in which they are last
    /// named: what was read longest ago is what a race is lost by.
    fn read(&mut self, keys: Vec<Key>, terms: &Terms<'_>) -> SessionStep {
        let mut left = VecDeque::with_capacity(keys.len());
        for key in &keys {
            let number = self.places.bucket(*key, terms);
            left.retain(|other| *other != number);
            if !self.look.iter().any(|one| one.number == number) {
                left.push_back(number);
            }
        }
        self.read_next(Reading { keys, left, attempts: 0 }, terms)
    }

    fn read_next(&mut self, reading: Reading, terms: &Terms<'_>) -> SessionStep {
        let Some(number) = reading.left.front().copied() else {
            let seen = reading.keys.iter().map(|key| self.seen(*key, terms)).collect();
            return SessionStep::Done(StoreEvent::Seen(seen));
        };
        load(Doing::Reading(reading), Cell::Claims(number))
    }

    fn seen(&mut self, key: Key, terms: &Terms<'_>) -> Seen {
        let number = self.places.bucket(key, terms);
        let Some(look) = self.look.iter().find(|one| one.number == number) else {
            return Seen { key, entry: Entry::Unreadable, version: Version(0) };
        };
        let prefix = key.reference().prefix();
        let alias = || look.bucket.find_alias(&prefix).map(Entry::Alias);
        let entry = match key {
            Key::Payment(_) => match look.bucket.find(&prefix) {
                // A mark in the place of a claim is no claim, and can be read.
                Entry::Unreadable => alias().unwrap_or(Entry::Unreadable),
                found @ (Entry::Absent | Entry::Claim(_) | Entry::Alias(_)) => found,
            },
            Key::Alias(_) => alias().unwrap_or(Entry::Absent),
        };
        Seen { key, entry, version: Version::of(look.version) }
    }

    fn go_on(&mut self, doing: Doing, event: CellEvent, terms: &Terms<'_>) -> SessionStep {
        match doing {
            Doing::Reading(reading) => self.go_on_reading(reading, event, terms),
            Doing::Mending(mut reading) => match event {
                CellEvent::Stored(_) | CellEvent::Conflict(_) => {
                    reading.attempts = reading.attempts.saturating_add(1);
                    if reading.attempts >= limits::STORE_ATTEMPTS_MAX {
                        return SessionStep::Done(UNAVAILABLE);
                    }
                    self.read_next(reading, terms)
                }
                CellEvent::Failed(_) | CellEvent::Loaded(..) => SessionStep::Done(UNAVAILABLE),
            },
            Doing::Committing { left } => match event {
                CellEvent::Stored(_) => write_next(left),
                CellEvent::Conflict(_) => SessionStep::Done(StoreEvent::Conflict),
                CellEvent::Failed(_) | CellEvent::Loaded(..) => {
                    SessionStep::Done(StoreEvent::Unclear)
                }
            },
            Doing::ReadingHealth => SessionStep::Done(match event {
                CellEvent::Loaded(_, Loaded { bytes, version }) => {
                    let version = Version::of(version);
                    let known = terms.counters.recall(version.0);
                    let decode = || Box::new(Health::decode(&bytes));
                    StoreEvent::Health(known.unwrap_or_else(decode), version)
                }
                CellEvent::Stored(_) | CellEvent::Conflict(_) | CellEvent::Failed(_) => {
                    StoreEvent::HealthUnclear
                }
            }),
            Doing::WritingHealth => SessionStep::Done(match event {
                CellEvent::Stored(_) => StoreEvent::HealthWritten,
                CellEvent::Conflict(_) => StoreEvent::HealthConflict,
                CellEvent::Failed(_) | CellEvent::Loaded(..) => StoreEvent::HealthUnclear,
            }),
            Doing::Finding { key, of } => SessionStep::Done(match event {
                CellEvent::Loaded(_, loaded) => {
                    StoreEvent::Answer(KeptAnswer::find(&loaded.bytes, &key, of))
                }
                CellEvent::Stored(_) | CellEvent::Conflict(_) | CellEvent::Failed(_) => UNAVAILABLE,
            }),
            Doing::Keeping { key, of, answer, attempts } => match event {
                CellEvent::Loaded(cell, Loaded { bytes, version }) => {
                    let bytes = answer.put(&bytes, &key, of);
                    store(Doing::Keeping { key, of, answer, attempts }, cell, bytes, version)
                }
                CellEvent::Conflict(cell) if attempts < limits::STORE_ATTEMPTS_MAX => {
                    let attempts = attempts.saturating_add(1);
                    load(Doing::Keeping { key, of, answer, attempts }, cell)
                }
                CellEvent::Stored(_) | CellEvent::Conflict(_) | CellEvent::Failed(_) => {
                    SessionStep::Done(StoreEvent::AnswerKept)
                }
            },
        }
    }

    fn go_on_reading(
        &mut self,
        mut reading: Reading,
        event: CellEvent,
        terms: &Terms<'_>,
    ) -> SessionStep {
        let CellEvent::Loaded(Cell::Claims(number), Loaded { bytes, version }) = event else {
            return SessionStep::Done(UNAVAILABLE);
        };
        let Some(mut bucket) = Bucket::decode(bytes) else {
            return SessionStep::Done(UNAVAILABLE);
        };
        if bucket.mend(terms.now, terms.rules) {
            let (cell, bytes) = (Cell::Claims(number), bucket.into_bytes());
            return store(Doing::Mending(reading), cell, bytes, version);
        }
        self.look.push(Look { number, bucket, version });
        reading.left.pop_front();
        self.read_next(reading, terms)
    }

    /// Works a commit into the buckets that were read. Those of aliases are written first.
    fn prepare(
        &mut self,
        commit: &Commit,
        terms: &Terms<'_>,
    ) -> Result<VecDeque<Write>, StoreEvent> {
        let mut look = std::mem::take(&mut self.look);
        let places = &mut self.places;
        let mut bucket = |key: &Key| places.bucket(*key, terms);
        let mut is_as_expected = |(key, version): &(Key, Version)| {
            let number = bucket(key);
            look.iter().any(|one| one.number == number && Version::of(one.version) == *version)
        };
        if !commit.expect.iter().all(&mut is_as_expected) {
            return Err(StoreEvent::Conflict);
        }
        let of = |is_payment: bool| {
            let wanted = move |key: &Key| matches!(key, Key::Payment(_)) == is_payment;
            commit.put.iter().filter(move |(key, _)| wanted(key))
        };
        let mut order: Vec<u32> = Vec::with_capacity(commit.put.len());
        for (key, _) in of(false).chain(of(true)) {
            let number = bucket(key);
            order.retain(|other| *other != number);
            order.push(number);
        }
        let leaps = terms.counters.leaps(terms.now);
        let retention = Retention { claims: terms.claims, tokens: terms.tokens, leaps: &leaps };
        let mut writes = VecDeque::with_capacity(order.len());
        for number in order {
            let place = look.iter().position(|one| one.number == number);
            let Some(Look { bucket: mut records, version, .. }) =
                place.map(|at| look.swap_remove(at))
            else {
                return Err(StoreEvent::Conflict);
            };
            // A record that is there finds room again: claims come first.
            for (key, entry) in of(true).chain(of(false)) {
                if bucket(key) == number {
                    let put = records.put_entry(*key, entry, terms.now, retention);
                    put.map_err(StoreEvent::Refused)?;
                }
            }
            writes.push_back(Write { number, bytes: records.into_bytes(), expected: version });
        }
        Ok(writes)
    }
}

fn write_next(mut left: VecDeque<Write>) -> SessionStep {
    let Some(Write { number, bytes, expected }) = left.pop_front() else {
        return SessionStep::Done(StoreEvent::Committed);
    };
    store(Doing::Committing { left }, Cell::Claims(number), bytes, expected)
}

const fn load(doing: Doing, cell: Cell) -> SessionStep {
    SessionStep::Cell(doing, CellRequest::Load(cell))
}

const fn store(doing: Doing, cell: Cell, bytes: Vec<u8>, expected: Expected) -> SessionStep {
    SessionStep::Cell(doing, CellRequest::Store { cell, bytes, expected })
}

const UNAVAILABLE: StoreEvent = StoreEvent::Refused(StoreError::Unavailable);

#[cfg(test)]
mod tests;
