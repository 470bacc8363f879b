//! All rows, sorted: those of one payment stand together. There may be more than memory holds.
//!
//! Text and tables are read beside each other, and two halves of the rows are sorted beside each other,
//! each by a thread of its own.

use std::io;
use std::mem;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use extsort::ExternalSorter;

use super::Error;
use super::entries::ByKey;
use super::inputs::{Counts, Inputs};
use super::row::Row;

/// Parts of the rows, by the payments that they are about.
const PARTS: usize = 2;

/// Rows of a part that are sorted in memory at a time, 60 bytes each and as much again: the rest waits in
/// files.
const SORTED_MAX: usize = 250_000;

/// Rows that are handed from one thread to another at a time.
const BATCH: usize = 1024;

/// Such batches that wait for the next thread.
const WAITING: usize = 8;

/// Some of the rows in their order: of each payment in it all of them.
pub(super) type Part = Box<dyn Iterator<Item = io::Result<Row>> + Send>;

/// Hands each row over to the one who sorts its part, batch by batch.
struct Sender([(SyncSender<Vec<Row>>, Vec<Row>); PARTS]);

impl Sender {
    fn new(to: &[SyncSender<Vec<Row>>; PARTS]) -> Self {
        Self(to.each_ref().map(|to| (to.clone(), Vec::with_capacity(BATCH))))
    }

    fn push(&mut self, row: Row) {
        let [first, ..] = row.id;
        if let Some((to, batch)) = self.0.get_mut(usize::from(first) % PARTS) {
            batch.push(row);
            if batch.len() == BATCH {
                // Whoever takes them tells why it does no longer.
                let _ = to.send(mem::replace(batch, Vec::with_capacity(BATCH)));
            }
        }
    }

    fn end(self) {
        for (to, batch) in self.0 {
            let _ = to.send(batch);
        }
    }
}

/// Reads everything, and sorts it.
pub(super) fn sorted(
    inputs: &mut Inputs,
    by_key: &mut ByKey,
) -> Result<([Part; PARTS], Counts), Error> {
    let Inputs { trail, sheets } = inputs;
    let channels = [(); PARTS].map(|()| sync_channel::<Vec<Row>>(WAITING));
    let (send, receive) = {
        let [(one, first), (other, second)] = channels;
        ([one, other], [first, second])
    };
    let (counts, lines, parts) = thread::scope(|scope| {
        let [mut of_trail, mut of_sheets] = [Sender::new(&send), Sender::new(&send)];
        drop(send);
        let reads_trail = scope.spawn(move || {
            let counts = trail.each(by_key, &mut |row| of_trail.push(row));
            of_trail.end();
            counts
        });
        let reads_sheets = scope.spawn(move || {
            let lines = sheets.each(&mut |row| of_sheets.push(row));
            of_sheets.end();
            lines
        });
        let sorts = receive.map(|rows| scope.spawn(|| part(rows)));
        let parts = sorts.map(|sorts| sorts.join().map_err(died).flatten());
        (reads_trail.join().map_err(died), reads_sheets.join().map_err(died), parts)
    });
    let (counts, lines) = (counts??, lines??);
    let [one, other] = parts;
    Ok(([one?, other?], Counts { lines: counts.lines + lines, ..counts }))
}

fn part(rows: Receiver<Vec<Row>>) -> Result<Part, Error> {
    let sorter = ExternalSorter::new().with_segment_size(SORTED_MAX);
    let sorted = sorter.sort(rows.into_iter().flatten());
    Ok(Box::new(sorted.map_err(|error| Error::Sort(error.to_string()))?))
}

/// A thread has died, which none does but by a mistake of ours.
pub(super) fn died(_: Box<dyn std::any::Any + Send>) -> Error {
    Error::Sort("a thread has died".to_owned())
}
