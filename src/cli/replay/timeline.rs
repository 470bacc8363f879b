//! What the gateways were over time, in constant memory: when the slices are used up, each two
//! neighbours become one.

use crate::engine::Timestamp;

/// More than the columns of any terminal.
const SLICES: usize = 4096;

/// What a gateway was at some moment within a slice; several bits, as time went on.
pub(super) type Seen = u8;

pub(super) const CLOSED: Seen = 1;
pub(super) const OPEN: Seen = 2;
pub(super) const HALF_OPEN: Seen = 4;
/// New payments go to it.
pub(super) const ACTIVE: Seen = 8;
/// Without a fresh good heartbeat.
pub(super) const SILENT: Seen = 16;

/// One row for each gateway.
pub(super) struct Timeline {
    from: Timestamp,
    /// Milliseconds of a slice.
    width: u64,
    rows: Vec<Vec<Seen>>,
}

impl Timeline {
    pub(super) fn new(from: Timestamp, rows: usize) -> Self {
        Self { from, width: 1, rows: vec![Vec::new(); rows] }
    }

    /// Notes what each gateway was from `from` until `to`.
    pub(super) fn mark(&mut self, seen: &[Seen], from: Timestamp, to: Timestamp) {
        while self.slice(to) >= SLICES {
            self.width *= 2;
            for row in &mut self.rows {
                *row =
                    row.chunks(2).map(|pair| pair.iter().fold(0, |all, one| all | one)).collect();
            }
        }
        // What ends with a slice is not in the next one.
        let before = Timestamp::from_millis(to.as_millis().saturating_sub(1)).max(from);
        let (first, last) = (self.slice(from), self.slice(before));
        for (row, seen) in self.rows.iter_mut().zip(seen) {
            row.resize(row.len().max(last + 1), 0);
            for slice in row.iter_mut().take(last + 1).skip(first) {
                *slice |= *seen;
            }
        }
    }

    fn slice(&self, at: Timestamp) -> usize {
        usize::try_from(at.since(self.from).get() / self.width).unwrap_or(usize::MAX)
    }

    /// One letter for each column. A letter shows the gravest thing in its time, so that no
    /// outage is too short to be seen.
    pub(super) fn rows(&self, columns: usize) -> Vec<String> {
        let draw = |row: &Vec<Seen>| {
            let columns = columns.min(row.len()).max(1);
            let column = |at: usize| {
                let (from, to) = (at * row.len() / columns, (at + 1) * row.len() / columns);
                let slices = row.iter().take(to.max(from + 1)).skip(from);
                letter(slices.fold(0, |all, one| all | one))
            };
            (0..columns).map(column).collect()
        };
        self.rows.iter().map(draw).collect()
    }
}

const fn letter(seen: Seen) -> char {
    match seen {
        seen if seen & OPEN != 0 => 'O',
        seen if seen & HALF_OPEN != 0 => 'T',
        seen if seen & ACTIVE != 0 => 'A',
        seen if seen & SILENT != 0 => '-',
        seen if seen & CLOSED != 0 => '.',
        _ => ' ',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1000 + millis)
    }

    #[test]
    fn the_shortest_outage_is_seen_in_the_longest_time() {
        let mut timeline = Timeline::new(at(0), 2);
        timeline.mark(&[CLOSED | ACTIVE, CLOSED], at(0), at(40_000_000));
        timeline.mark(&[OPEN, CLOSED | ACTIVE], at(40_000_000), at(40_000_001));
        timeline.mark(&[CLOSED | ACTIVE, CLOSED | SILENT], at(40_000_001), at(80_000_000));
        assert_eq!(timeline.rows(10), ["AAAAOAAAAA", "....A-----"]);
        assert!(timeline.rows.iter().all(|row| row.len() <= SLICES));
    }

    #[test]
    fn a_moment_is_one_letter() {
        let mut timeline = Timeline::new(at(0), 1);
        timeline.mark(&[CLOSED | ACTIVE], at(0), at(0));
        assert_eq!(timeline.rows(80), ["A"]);
    }
}
