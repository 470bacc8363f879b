//! Heads that were published: in Envoy's log, or in what an earlier `audit verify` has told.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::{AuditWriter, Digest, Head};

/// Heads that are kept, of all writers: those of a year of eight workers are 25 million, and of a day
/// 70,000. Of more the later ones count.
const HEADS_MAX: usize = 1_000_000;

/// Heads that were published.
#[derive(Debug, Default)]
pub(super) struct Heads {
    all: BTreeMap<AuditWriter, BTreeMap<u64, Digest>>,
    count: usize,
    /// Writers that have said that they end.
    closed: BTreeSet<AuditWriter>,
    /// Two heads of one number, which no honest writer publishes.
    pub(super) twofold: Vec<Head>,
}

impl Heads {
    /// Looks for a head in any line of text.
    pub(super) fn take_line(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        for (word, closes) in [("audit head ", false), ("audit close ", true)] {
            let Some((_, rest)) = text.split_once(word) else {
                continue;
            };
            // Whatever a log's format puts behind it.
            let words: Vec<&str> = rest.split_ascii_whitespace().take(3).collect();
            if let Some(head) = Head::parse(&words.join(" ")) {
                self.add(head);
                if closes {
                    self.closed.insert(head.writer);
                }
            }
        }
    }

    pub(super) fn add(&mut self, head: Head) {
        let known = self.all.entry(head.writer).or_default();
        match known.insert(head.number, head.digest) {
            Some(other) if other != head.digest => self.twofold.push(head),
            Some(_) => {}
            None => self.count += 1,
        }
        if self.count > HEADS_MAX {
            known.pop_first();
            self.count -= 1;
        }
    }

    pub(super) fn digest(&self, writer: AuditWriter, number: u64) -> Option<Digest> {
        self.all.get(&writer)?.get(&number).copied()
    }

    /// The last head of each writer.
    pub(super) fn last(&self) -> impl Iterator<Item = Head> + '_ {
        self.all.iter().filter_map(|(writer, heads)| {
            let (number, digest) = heads.last_key_value()?;
            Some(Head { writer: *writer, number: *number, digest: *digest })
        })
    }

    pub(super) fn is_closed(&self, writer: AuditWriter) -> bool {
        self.closed.contains(&writer)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_found_in_a_log_of_any_format() {
        let writer = AuditWriter { epoch: 36, number: 2 };
        let head = Head { writer, number: 7, digest: Digest::of(b"x") };
        let line = head.line();
        let mut heads = Heads::default();
        for text in [
            format!(
                "[2026-11-29 20:49:27.550][15877][warning][wasm] wasm log dana: dana: audit head {line}"
            ),
            format!(r#"{{"log":"dana: audit head {line} \n"}}"#),
            "dana: audit head nothing".to_owned(),
        ] {
            heads.take_line(text.as_bytes());
        }
        assert_eq!((heads.digest(writer, 7), heads.count), (Some(head.digest), 1));
        assert!(!heads.is_closed(writer));
        let last = Head { number: 9, digest: Digest::of(b"y"), ..head };
        heads.take_line(format!("audit close {}", last.line()).as_bytes());
        assert!(heads.is_closed(writer) && heads.last().eq([last]));
        let other = Head { digest: Digest::of(b"z"), ..last };
        heads.take_line(format!("audit head {}", other.line()).as_bytes());
        assert_eq!(heads.twofold, [other]);
    }
}
