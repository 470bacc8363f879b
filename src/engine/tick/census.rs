//! The walk over all buckets, a few on each tick: many where there is nothing in them.
//!
//! One load is asked for at a time: the next one when a bucket has come, until a tick has had
//! enough. So a load that fails says nothing and brings nothing; the next tick finds it missing
//! and begins the pass anew. A pass that misses a bucket is no census.

use super::output::TickOutput;
use crate::engine::event::TickEffect;
use crate::engine::limits;
use crate::engine::store::{Bucket, Cell, CellRequest, Counted, Counts, Draft, Expected, Loaded};
use crate::engine::time::{Millis, Timestamp};

/// What is walked over, and how its records count.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Walked<'a> {
    pub(in crate::engine) buckets: u32,
    pub(in crate::engine) retention: Millis,
    /// Others of these claims stand in etcd: what is counted here is a part, and not written down.
    pub(in crate::engine) is_part: bool,
    pub(in crate::engine) how: Counts<'a>,
}

/// Where the walk stands.
#[derive(Debug, Default)]
pub(in crate::engine) struct CensusPass {
    pass: Option<Pass>,
    /// When the last pass that ended began.
    last: Option<Timestamp>,
}

/// A pass under way.
#[derive(Debug)]
struct Pass {
    began_at: Timestamp,
    draft: Draft,
    /// The next bucket to be read.
    next: u32,
    /// What was asked for and has not come.
    awaits: Option<Cell>,
    /// What may still be spent on this tick; a bucket costs [`cost`].
    left: u32,
}

impl CensusPass {
    /// A tick of the worker that counts.
    pub(in crate::engine) fn tick(&mut self, now: Timestamp) -> Vec<TickOutput> {
        if self.pass.as_ref().is_some_and(|pass| pass.awaits.is_some()) {
            self.pass = None;
        }
        if self.pass.is_none() && !self.is_due(now) {
            return Vec::new();
        }
        let pass = self.pass.get_or_insert_with(|| Pass {
            began_at: now,
            draft: Draft::new(now),
            next: 0,
            awaits: None,
            left: 0,
        });
        pass.left = WORK_PER_TICK;
        vec![pass.ask(Cell::Claims(pass.next))]
    }

    /// A small store is counted in one tick, and not on every one. A pass that begins ahead of the
    /// present began before the clock stepped back.
    fn is_due(&self, now: Timestamp) -> bool {
        self.last.is_none_or(|last| {
            last > now || now >= last.plus(Millis::new(limits::CENSUS_PERIOD_MS_MIN))
        })
    }

    /// Another worker counts.
    pub(in crate::engine) fn stop(&mut self) {
        *self = Self::default();
    }

    /// A bucket has come. What it says of a time that the clock was put back from is
    /// mended; another worker that is quicker leaves it to the next pass.
    pub(in crate::engine) fn bucket(
        &mut self,
        number: u32,
        loaded: Loaded,
        of: Walked<'_>,
        now: Timestamp,
    ) -> Vec<TickOutput> {
        let Walked { buckets, retention, is_part, how } = of;
        let Some(pass) = self.awaited(Cell::Claims(number)) else {
            return Vec::new();
        };
        let Loaded { mut bytes, version: expected } = loaded;
        let mut effects = Vec::new();
        if let Some(mut bucket) = Bucket::decode(bytes.clone())
            && bucket.mend(now, how.rules)
        {
            bytes = bucket.into_bytes();
            let cell = Cell::Claims(number);
            let store = CellRequest::Store { cell, bytes: bytes.clone(), expected };
            effects.push(TickOutput::Cell(store));
        }
        let records = pass.draft.count_bucket(number, bytes, retention, how, now);
        pass.next = number.saturating_add(1);
        pass.left = pass.left.saturating_sub(cost(records));
        if pass.next >= buckets && is_part {
            effects.extend(self.end_part());
        } else if pass.next >= buckets {
            effects.push(pass.ask(Cell::Census));
        } else if pass.left > 0 {
            effects.push(pass.ask(Cell::Claims(pass.next)));
        }
        effects
    }

    fn end_part(&mut self) -> Option<TickOutput> {
        let Pass { began_at, draft, .. } = self.pass.take()?;
        self.last = Some(began_at);
        let counted = Counted { census: draft.finish(), gone: Vec::new() };
        Some(TickOutput::Do(TickEffect::Counted(Box::new(counted))))
    }

    /// The census before has come, which tells what is there no longer.
    pub(in crate::engine) fn before(&mut self, bytes: &[u8]) -> Vec<TickOutput> {
        if self.awaited(Cell::Census).is_none() {
            return Vec::new();
        }
        let Some(Pass { began_at, draft, .. }) = self.pass.take() else {
            return Vec::new();
        };
        self.last = Some(began_at);
        let counted = Counted::after(draft.finish(), bytes);
        let bytes = counted.census.encode();
        let store = CellRequest::Store { cell: Cell::Census, bytes, expected: Expected::Any };
        vec![TickOutput::Cell(store), TickOutput::Do(TickEffect::Counted(Box::new(counted)))]
    }

    /// The pass that waits for `cell`, which it no longer does.
    fn awaited(&mut self, cell: Cell) -> Option<&mut Pass> {
        let pass = self.pass.as_mut().filter(|pass| pass.awaits == Some(cell))?;
        pass.awaits = None;
        Some(pass)
    }
}

const WORK_PER_TICK: u32 = limits::CENSUS_BUCKETS_PER_TICK * limits::CENSUS_EMPTY_PER_BUCKET;

/// What it takes to read a bucket of so many records, in empty ones. One that holds more than it
/// was laid out for costs no more than that, so that a full store is counted in time.
fn cost(records: u32) -> u32 {
    let part = records.saturating_mul(limits::CENSUS_EMPTY_PER_BUCKET);
    (part / limits::BUCKET_RECORDS_MEAN).clamp(1, limits::CENSUS_EMPTY_PER_BUCKET)
}

impl Pass {
    const fn ask(&mut self, cell: Cell) -> TickOutput {
        self.awaits = Some(cell);
        TickOutput::Cell(CellRequest::Load(cell))
    }
}

#[cfg(test)]
mod tests;
