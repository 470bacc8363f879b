//! Heads that were published: in Envoy's log, or in what an earlier `audit verify` has told.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::{AuditWriter, Digest, Head};

/// Heads of one writer that are kept: those of eleven days, one each 10 s. Of more the later ones count.
const HEADS_MAX: usize = 100_000;

/// What the filter's lines in Envoy's log begin with, after Envoy's own words.
const PREFIX: &str = "dana: ";

/// Heads that were published.
#[derive(Debug, Default)]
pub(super) struct Heads {
    all: BTreeMap<AuditWriter, BTreeMap<u64, Digest>>,
    /// Heads of what came before the files: there a chain may begin.
    earlier: BTreeMap<(AuditWriter, u64), Digest>,
    /// Writers that have said that they begin.
    started: BTreeSet<AuditWriter>,
    /// Writers that have said that they end, and with which entry.
    closed: BTreeMap<AuditWriter, u64>,
    /// Two heads of one number, which no honest writer publishes.
    pub(super) twofold: Vec<Head>,
}

impl Heads {
    /// Looks for a head in any line of text. What stands elsewhere in a line than where the filter's
    /// words do may be a client's.
    pub(super) fn take_line(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let said =
            text.split_once(PREFIX).map_or(&*text, |(_, said)| said.trim_start_matches(PREFIX));
        let Some((word, rest)) = said.strip_prefix("audit ").and_then(|said| said.split_once(' '))
        else {
            return;
        };
        // A log that is JSON closes its string and object behind it.
        let rest = rest.split(['"', '\\']).next().unwrap_or_default().trim();
        match word {
            "start" => self.started.extend(AuditWriter::parse(rest)),
            "head" => Head::parse(rest).into_iter().for_each(|head| self.add(head)),
            "close" => {
                if let Some(head) = Head::parse(rest) {
                    self.add(head);
                    self.closed.insert(head.writer, head.number);
                }
            }
            _ => {}
        }
    }

    pub(super) fn add(&mut self, head: Head) {
        let known = self.all.entry(head.writer).or_default();
        match known.insert(head.number, head.digest) {
            Some(other) if other != head.digest => self.twofold.push(head),
            Some(_) | None => {}
        }
        if known.len() > HEADS_MAX {
            known.pop_first();
        }
    }

    /// Takes in what another one has: it is about what came before the files.
    pub(super) fn come_after(&mut self, earlier: &Self) {
        self.earlier =
            earlier.last().map(|head| ((head.writer, head.number), head.digest)).collect();
    }

    /// The digest of the entry before the files, if it is this one.
    pub(super) fn earlier(&self, writer: AuditWriter, number: u64) -> Option<Digest> {
        self.earlier.get(&(writer, number)).copied()
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

    /// Whether a writer has ever said anything.
    pub(super) fn knows(&self, writer: AuditWriter) -> bool {
        let mut earlier = self.earlier.range((writer, 0)..=(writer, u64::MAX));
        self.all.contains_key(&writer) || self.started.contains(&writer) || earlier.next().is_some()
    }

    /// With which entry a writer has ended, if it has said so.
    pub(super) fn closed(&self, writer: AuditWriter) -> Option<u64> {
        self.closed.get(&writer).copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.started.is_empty()
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
        for text in [
            format!(
                "[2026-11-29 20:49:27.550][15877][warning][wasm] [context.cc:1] wasm log dana dana: dana: \
                 audit head {line}"
            ),
            format!(r#"{{"log":"dana: audit head {line}\n","stream":"stderr"}}"#),
            format!("audit head {line}"),
        ] {
            let mut heads = Heads::default();
            heads.take_line(text.as_bytes());
            assert_eq!(heads.digest(writer, 7), Some(head.digest), "{text}");
        }
        let mut heads = Heads::default();
        heads.take_line(format!("dana: audit start {writer}").as_bytes());
        assert!(heads.knows(writer) && heads.closed(writer).is_none());
        heads.take_line(format!("audit close {line}").as_bytes());
        assert_eq!((heads.closed(writer), heads.last().next()), (Some(7), Some(head)));
        let other = Head { digest: Digest::of(b"z"), ..head };
        heads.take_line(format!("audit head {}", other.line()).as_bytes());
        assert_eq!(heads.twofold, [other]);
    }

    #[test]
    fn what_a_client_says_is_no_head() {
        let line = Head {
            writer: AuditWriter { epoch: 36, number: 2 },
            number: 7,
            digest: Digest::of(b"x"),
        }
        .line();
        for text in [
            format!(r#"dana: dana: audit intent {{"rid":"audit head {line}"}}"#),
            format!(r#"dana: audit intent {{"rid":"dana: audit head {line}"}}"#),
            format!("dana: override of {line}: dana: audit head {line}"),
            format!("dana: audit head {line} x"),
            "dana: audit head nothing".to_owned(),
        ] {
            let mut heads = Heads::default();
            heads.take_line(text.as_bytes());
            assert!(heads.is_empty(), "{text}");
        }
    }

    #[test]
    fn of_many_heads_the_later_ones_are_kept_for_each_writer() {
        let of = |number, at| Head {
            writer: AuditWriter { epoch: 1, number },
            number: at,
            digest: Digest::of(b"x"),
        };
        let mut heads = Heads::default();
        (0..HEADS_MAX as u64 + 10).for_each(|at| heads.add(of(1, at)));
        heads.add(of(2, 0));
        assert_eq!(heads.digest(of(1, 0).writer, 9), None);
        assert!(heads.digest(of(1, 0).writer, 10).is_some() && heads.knows(of(2, 0).writer));
    }
}
