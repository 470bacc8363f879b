//! Ways to change a trail, and what each of them must be called.

use dana_failover::cli::audit::Kind;
use dana_failover::engine::{AuditWriter, Chain};

use super::trail::{Entry, Random, Trail, lines};

/// A way to change a trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutation {
    BitFlip,
    Removal,
    Swap,
    Duplicate,
    /// A field is edited.
    Edit,
    /// A field is edited, and everything after it chained anew.
    EditAndChain,
    /// A field of an entry is edited, and the entry put beside the one that was.
    Fork,
    /// The last entries are cut off.
    Cut,
}

/// A trail that was changed.
pub(super) struct Changed {
    mutation: Mutation,
    pub(super) bytes: Vec<u8>,
    /// The entry that was changed.
    pub(super) of: (AuditWriter, u64),
    /// The same, and another one where two were changed.
    with: Vec<(AuditWriter, u64)>,
}

impl Mutation {
    pub(super) const ALL: [Self; 8] = [
        Self::BitFlip,
        Self::Removal,
        Self::Swap,
        Self::Duplicate,
        Self::Edit,
        Self::EditAndChain,
        Self::Fork,
        Self::Cut,
    ];

    pub(super) fn apply(self, trail: &Trail, random: &mut Random) -> Changed {
        let mut entries = trail.entries.clone();
        let at = random.place(entries.len());
        let of = of(&entries[at]);
        let mut with = vec![of];
        let mut bytes = None;
        match self {
            Self::BitFlip => bytes = Some(flipped(&entries, at, random)),
            Self::Removal => {
                entries.remove(at);
            }
            Self::Swap => {
                let same = |entry: &&(usize, &Entry)| entry.1.writer == of.0 && entry.0 != at;
                let others: Vec<usize> =
                    entries.iter().enumerate().filter(|one| same(&one)).map(|(n, _)| n).collect();
                let other = others[random.place(others.len())];
                with.push(super::mutations::of(&entries[other]));
                entries.swap(at, other);
            }
            Self::Duplicate => {
                let copy = entries[at].clone();
                let place = at + 1 + random.place(entries.len() - at);
                entries.insert(place, copy);
            }
            Self::Edit => {
                let line = edited(&entries[at].line);
                entries[at].line = line;
            }
            Self::EditAndChain => chain_anew(&mut entries, at),
            Self::Fork => {
                let line = edited(&entries[at].line);
                let copy = Entry { line, ..entries[at].clone() };
                let place = at + 1 + random.place(entries.len() - at);
                entries.insert(place, copy);
            }
            Self::Cut => entries.truncate(at),
        }
        let bytes = bytes.unwrap_or_else(|| lines(entries.iter().map(|entry| entry.line.as_str())));
        Changed { mutation: self, bytes, of, with }
    }
}

fn of(entry: &Entry) -> (AuditWriter, u64) {
    (entry.writer, entry.number)
}

/// Any byte of a line, its line feed too.
fn flipped(entries: &[Entry], at: usize, random: &mut Random) -> Vec<u8> {
    let before: usize = entries[..at].iter().map(|entry| entry.line.len() + 1).sum();
    let mut bytes = lines(entries.iter().map(|entry| entry.line.as_str()));
    let place = before + random.place(entries[at].line.len() + 1);
    bytes[place] ^= 1 << random.below(8);
    bytes
}

fn edited(line: &str) -> String {
    if line.contains("primary") {
        line.replace("primary", "reserve")
    } else {
        line.replace("secondary", "primary")
    }
}

fn chain_anew(entries: &mut [Entry], at: usize) {
    let writer = entries[at].writer;
    let mut chain = Chain::new(writer);
    for (place, entry) in entries.iter_mut().enumerate() {
        if entry.writer == writer {
            let members = entry.members.clone();
            let members = if place == at { members.text("more", "1000000.00") } else { members };
            entry.line = chain.append(&members);
        }
    }
}

impl Changed {
    /// Whether it was found, and called what it is.
    pub(super) fn check(
        &self,
        found: &[(Kind, Option<(AuditWriter, u64)>)],
        torn: usize,
    ) -> Result<(), &'static str> {
        let (writer, number) = self.of;
        let named = |kinds: &[Kind]| {
            found.iter().any(|(kind, of)| {
                kinds.contains(kind) && of.is_some_and(|of| self.with.contains(&of))
            })
        };
        let of_writer = |kinds: &[Kind]| {
            found.iter().any(|(kind, of)| {
                kinds.contains(kind)
                    && of.is_some_and(|(other, first)| other == writer && first <= number)
            })
        };
        let is_named = match self.mutation {
            // A letter of its name or number makes it another writer's, or another number's.
            Mutation::BitFlip => {
                let near = [number.saturating_sub(1), number, number + 1];
                found.iter().any(|(kind, of)| match of {
                    Some((other, first)) => {
                        *other != writer
                            || near.contains(first)
                            || *kind == Kind::Rewritten
                            || *kind == Kind::Cut
                    }
                    None => *kind == Kind::Unreadable,
                }) || torn > 0
            }
            Mutation::Removal => named(&[Kind::Missing, Kind::Cut]),
            Mutation::Swap => named(&[Kind::Reordered]),
            Mutation::Duplicate => named(&[Kind::Duplicate]),
            Mutation::Edit => named(&[Kind::Altered]) || of_writer(&[Kind::Rewritten]),
            Mutation::EditAndChain => of_writer(&[Kind::Rewritten, Kind::Altered]),
            Mutation::Fork => named(&[Kind::Forked]),
            Mutation::Cut => found.iter().any(|(kind, _)| *kind == Kind::Cut),
        };
        // Nothing else is accused.
        let of_others = found.iter().any(|(_, of)| of.is_some_and(|(other, _)| other != writer));
        let may_name_others = matches!(self.mutation, Mutation::BitFlip | Mutation::Cut);
        match (found.is_empty() && torn == 0, is_named) {
            (true, _) => Err("not found"),
            (false, false) => Err("named wrongly"),
            (false, true) if of_others && !may_name_others => Err("others are accused"),
            (false, true) => Ok(()),
        }
    }
}
