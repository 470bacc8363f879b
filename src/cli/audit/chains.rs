//! The chains of all writers, line by line.

use std::collections::BTreeMap;

use super::entry::Link;
use super::finding::{Finding, Kind, Place};
use super::heads::Heads;
use super::log::{Checkpoint, Hash};
use super::writer::{Seen, WriterChain};
use crate::engine::{AuditWriter, Digest, Head};

/// Writers that are told apart: each worker of Envoy has one for each of its configurations.
const WRITERS_MAX: usize = 16_384;

/// Findings that are told one by one. All are counted.
const FINDINGS_MAX: usize = 10_000;

/// An entry whose number was there before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Again {
    pub(super) writer: AuditWriter,
    pub(super) number: u64,
    pub(super) digest: Digest,
    pub(super) prev: Option<Digest>,
    pub(super) place: Place,
}

/// What came of a comparison with a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Agrees,
    Contradicts,
    /// A chain that begins in the middle has no root.
    Unknown,
}

/// The chains of all writers.
#[derive(Debug)]
pub(super) struct Chains {
    pub(super) heads: Heads,
    /// Heads were given from elsewhere; those that writers name themselves are in the trail.
    pub(super) is_published: bool,
    writers: BTreeMap<AuditWriter, WriterChain>,
    pub(super) found: Vec<Finding>,
    /// Entries whose numbers were there before: the same or others, which a second look tells.
    pub(super) again: Vec<Again>,
    /// Lines that are no entries, and may be what is left of one that is missing.
    unreadable: Vec<Place>,
    /// The line before was broken off, so perhaps by a kill.
    torn: Option<Place>,
    /// Lines that were.
    pub(super) kills: Vec<Place>,
    pub(super) entries: u64,
    /// How many findings there was no room for.
    pub(super) untold: u64,
    /// One of those was no mere note.
    is_harmed: bool,
}

impl Chains {
    pub(super) fn new(heads: Heads) -> Self {
        Self {
            is_published: !heads.is_empty(),
            heads,
            writers: BTreeMap::new(),
            found: Vec::new(),
            again: Vec::new(),
            unreadable: Vec::new(),
            torn: None,
            kills: Vec::new(),
            entries: 0,
            untold: 0,
            is_harmed: false,
        }
    }

    /// Takes in a line, `None` if it is longer than any of ours; tells whose entry it is, and which.
    pub(super) fn take(&mut self, place: Place, line: Option<&[u8]>) -> Option<(AuditWriter, u64)> {
        let Some((line, link)) = line.and_then(|line| Some((line, Link::parse(line)?))) else {
            self.settle_torn(false);
            let is_torn = line.is_some_and(|line| line.starts_with(b"{") && !line.ends_with(b"}"));
            if is_torn {
                self.torn = Some(place);
            } else {
                self.note_unreadable(place);
            }
            return None;
        };
        self.settle_torn(link.is_start);
        self.entries += 1;
        let Link { writer, number, prev, before, is_start } = link;
        before.into_iter().for_each(|head| self.take_named(head));
        if !self.writers.contains_key(&writer) && self.writers.len() >= WRITERS_MAX {
            self.note_unreadable(place);
            return None;
        }
        let chain = self.writers.entry(writer).or_insert_with(|| WriterChain::new(writer));
        let seen = Seen { digest: Digest::of(line), prev, place, is_start };
        if chain.take(number, seen, &self.heads, &mut self.found) {
            if self.again.len() < FINDINGS_MAX {
                self.again.push(Again { writer, number, digest: seen.digest, prev, place });
            } else {
                (self.untold, self.is_harmed) = (self.untold + 1, true);
            }
        }
        self.limit();
        Some((writer, number))
    }

    /// A file ends.
    pub(super) fn end_file(&mut self) {
        self.settle_torn(true);
    }

    /// A process that is killed leaves its last line broken off; the next one begins anew.
    fn settle_torn(&mut self, was_killed: bool) {
        match self.torn.take() {
            Some(place) if was_killed && self.kills.len() < FINDINGS_MAX => self.kills.push(place),
            Some(place) => self.note_unreadable(place),
            None => {}
        }
    }

    fn note_unreadable(&mut self, place: Place) {
        if self.unreadable.len() < FINDINGS_MAX {
            self.unreadable.push(place);
        } else {
            (self.untold, self.is_harmed) = (self.untold + 1, true);
        }
    }

    /// A head that a writer names when it begins.
    fn take_named(&mut self, head: Head) {
        let is_to_come =
            self.writers.get(&head.writer).is_none_or(|chain| chain.compare(head, &mut self.found));
        if is_to_come {
            self.heads.add(head);
        }
    }

    /// Notes make room for whatever is worse.
    fn limit(&mut self) {
        if self.found.len() <= FINDINGS_MAX {
            return;
        }
        let before = self.found.len();
        self.found.retain(|one| !one.kind.is_harmless());
        self.is_harmed |= self.found.len() > FINDINGS_MAX;
        self.found.truncate(FINDINGS_MAX);
        self.untold += (before - self.found.len()) as u64;
    }

    /// Whether anything is wrong that is no mere note.
    pub(super) fn is_untrue(&self) -> bool {
        self.is_harmed || self.found.iter().any(|one| !one.kind.is_harmless())
    }

    /// There are no more lines.
    pub(super) fn end(&mut self) {
        for chain in self.writers.values_mut() {
            chain.end(&self.heads, &mut self.found);
        }
        if self.is_published {
            self.writers
                .values()
                .for_each(|chain| chain.check_writer(&self.heads, &mut self.found));
        }
        for head in self.heads.last() {
            match self.writers.get(&head.writer) {
                Some(chain) => chain.check_end(head, &mut self.found),
                None => self.found.push(Finding {
                    kind: Kind::Cut,
                    place: None,
                    writer: Some(head.writer),
                    numbers: Some((0, head.number)),
                }),
            }
        }
        for head in &self.heads.twofold {
            let (writer, numbers) = (Some(head.writer), Some((head.number, head.number)));
            self.found.push(Finding { kind: Kind::Forked, place: None, writer, numbers });
        }
        self.name_unreadable();
        self.limit();
    }

    /// A line that cannot be read, in the place of an entry that is missing, is that entry.
    fn name_unreadable(&mut self) {
        let mut unreadable = std::mem::take(&mut self.unreadable);
        for finding in &mut self.found {
            let (Kind::Missing | Kind::Cut, Some((first, last))) = (finding.kind, finding.numbers)
            else {
                continue;
            };
            let after = finding.place.filter(|_| first == last);
            let place = unreadable.iter().position(|place| {
                after.is_some_and(|after| {
                    place.file == after.file && place.line >= after.line.saturating_sub(1)
                })
            });
            if let Some(place) = place {
                finding.kind = Kind::Altered;
                finding.place = Some(unreadable.remove(place));
            }
        }
        self.found.extend(unreadable.into_iter().map(|place| Finding {
            kind: Kind::Unreadable,
            place: Some(place),
            writer: None,
            numbers: None,
        }));
    }

    /// Compares what was signed of a writer's log with the root of what there is at that size. What is not
    /// known to be as it was signed is never passed over: it is a finding, or is one already.
    pub(super) fn compare(&mut self, signed: &Checkpoint, root: Option<Hash>) -> Comparison {
        let chain = self.writers.get(&signed.writer);
        let next = chain.map_or(0, |chain| chain.next);
        let (kind, first) = match root {
            _ if chain.is_some_and(|chain| chain.begun.is_some()) => return Comparison::Unknown,
            Some(root) if root == signed.root => return Comparison::Agrees,
            Some(_) => (Kind::Rewritten, 0),
            None if next < signed.size => (Kind::Cut, next),
            // A tree ends at a gap, which has been found.
            None if self.is_missing_in(signed.writer) => return Comparison::Contradicts,
            None => (Kind::Scattered, 0),
        };
        let numbers = Some((first, signed.size.saturating_sub(1)));
        self.found.push(Finding { kind, place: None, writer: Some(signed.writer), numbers });
        Comparison::Contradicts
    }

    fn is_missing_in(&self, writer: AuditWriter) -> bool {
        self.found.iter().any(|one| one.kind == Kind::Missing && one.writer == Some(writer))
    }

    /// All of them.
    pub(super) fn writers(&self) -> impl Iterator<Item = (AuditWriter, &WriterChain)> + '_ {
        self.writers.iter().map(|(writer, chain)| (*writer, chain))
    }
}
