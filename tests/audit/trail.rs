//! A trail as several writers leave it, with the heads that they published.

use dana_failover::engine::{AuditEntry, AuditWriter, Chain, Head, Timestamp};

/// Numbers that look random, and are the same each time (xorshift).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        random.below(2);
        random
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        for shift in [13, -7, 17_i32] {
            self.0 ^= if shift > 0 { self.0 << shift } else { self.0 >> -shift };
        }
        (self.0 >> 11) % end
    }
}

impl Random {
    pub(super) fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }
}

/// A line, and whose it is.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) writer: AuditWriter,
    pub(super) number: u64,
    pub(super) line: String,
    pub(super) members: AuditEntry,
}

/// A trail.
#[derive(Clone)]
pub(super) struct Trail {
    pub(super) entries: Vec<Entry>,
    /// Heads that were published, the last ones of all writers among them.
    heads: Vec<Head>,
}

const WRITERS: u64 = 3;
/// Entries between two publications.
const PUBLISHED: u64 = 500;

impl Trail {
    pub(super) fn new(entries: u64, random: &mut Random) -> Self {
        let epoch = 1_795_883_656_659 + random.below(1000);
        let writers = (1..=WRITERS).map(|number| AuditWriter { epoch, number });
        let mut chains: Vec<(AuditWriter, Chain)> =
            writers.map(|writer| (writer, Chain::new(writer))).collect();
        let mut trail = Self { entries: Vec::new(), heads: Vec::new() };
        for at in 0..entries {
            let place = random.place(chains.len());
            let (writer, chain) = &mut chains[place];
            let number = chain.head().map_or(0, |head| head.number + 1);
            let kind = if number == 0 { "start" } else { "charge" };
            let members = AuditEntry::new(kind, Timestamp::from_millis(epoch + at))
                .text("who", "P1")
                .text("ref", &format!("ORDER-{}", random.below(1 << 40)))
                .text("amt", &format!("{}.00", random.below(100_000)))
                .text("gw", if random.below(2) == 0 { "primary" } else { "secondary" });
            let line = chain.append(&members);
            trail.entries.push(Entry { writer: *writer, number, line, members });
            if at % PUBLISHED == PUBLISHED - 1 || at + 1 == entries {
                trail.heads.extend(chains.iter().filter_map(|(_, chain)| chain.head()));
            }
        }
        trail
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        lines(self.entries.iter().map(|entry| entry.line.as_str()))
    }

    /// As they stand in Envoy's log.
    pub(super) fn heads(&self) -> String {
        self.heads.iter().map(|head| format!("dana: audit head {}\n", head.line())).collect()
    }

    /// The last ones of what there is.
    pub(super) fn last_heads(&self) -> String {
        let mut last = std::collections::BTreeMap::new();
        for Entry { writer, number, line, .. } in &self.entries {
            let digest = dana_failover::engine::Digest::of(line.as_bytes());
            last.insert(*writer, Head { writer: *writer, number: *number, digest });
        }
        last.values().map(|head| format!("audit head {}\n", head.line())).collect()
    }

    pub(super) fn halves(&self) -> (Self, Self) {
        let (first, second) = self.entries.split_at(self.entries.len() / 2);
        let of = |entries: &[Entry]| Self { entries: entries.to_vec(), heads: Vec::new() };
        (of(first), of(second))
    }
}

pub(super) fn lines<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        bytes.extend(line.as_bytes());
        bytes.push(b'\n');
    }
    bytes
}
