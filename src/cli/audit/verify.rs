//! `dana-failover audit verify`: is the trail as it was written, and is all of it there?

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::Error;
use super::chains::{Again, Chains, Comparison};
use super::entry::Link;
use super::finding::{Finding, Kind, Place};
use super::heads::Heads;
use super::log::{Checkpoint, PublicKey, Signed, Trees};
use super::told;
use crate::cli::lines::{self, Source};
use crate::engine::{AuditWriter, Digest};

/// Tells whether an audit trail is as it was written, and what is missing.
///
/// Each entry has the digest of the one before, so nothing can be changed, left out, doubled or moved
/// without a trace; only the last entries of each writer need a head that was published elsewhere. Exits
/// with 1 if something is found.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, after_long_help = AFTER)]
pub(crate) struct Options {
    /// The trail, rotated and packed files too, in any order; `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Where heads were published: Envoy's logs of the same time. May be given more than once.
    #[arg(long, value_name = "FILE")]
    heads: Vec<PathBuf>,

    /// What `verify` has told of what came before these files: there a chain may begin.
    #[arg(long, value_name = "FILE")]
    before: Vec<PathBuf>,

    /// Checkpoints that were signed: files, or directories of `audit checkpoint`. Needs --signer.
    #[arg(long, value_name = "PATH", requires = "signer")]
    checkpoint: Vec<PathBuf>,

    /// The public key of whoever signs them; where keys have changed, each of them.
    #[arg(long, value_name = "KEY", requires = "checkpoint", value_parser = PublicKey::parse)]
    signer: Vec<PublicKey>,

    /// Text for people, or one JSON document for machines.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

const AFTER: &str = "\
Examples:
  dana-failover audit verify /var/log/dana/audit.jsonl --heads /var/log/envoy.log
  dana-failover audit verify audit.jsonl.1 --heads envoy.log --before monday.txt | tee tuesday.txt
  dana-failover audit verify audit.jsonl* --checkpoint checkpoints --signer \"$(cat dana.pub)\"";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// What was found in an audit trail.
#[derive(Debug)]
pub struct Verified {
    pub(super) files: Vec<String>,
    pub(super) chains: Chains,
    /// What was signed, and is what there is.
    pub(super) compared: Vec<Checkpoint>,
    /// What was signed of logs whose beginnings are not there.
    pub(super) unchecked: Vec<Checkpoint>,
}

impl Verified {
    /// What is wrong, each by its kind, writer, and first entry; in the order of the files.
    pub fn findings(&self) -> impl Iterator<Item = (Kind, Option<(AuditWriter, u64)>)> + '_ {
        self.chains.found.iter().map(|one| {
            let of = one.writer.zip(one.numbers).map(|(writer, (first, _))| (writer, first));
            (one.kind, of)
        })
    }

    /// Whether anything was changed, added or left out.
    #[must_use]
    pub fn is_untrue(&self) -> bool {
        self.chains.is_untrue()
    }

    /// Lines that were broken off when a process was killed.
    #[must_use]
    pub fn torn(&self) -> usize {
        self.chains.kills.len()
    }

    /// How many entries there are.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.chains.entries
    }
}

/// Where lines come from.
pub(super) enum Input<'a> {
    File(PathBuf),
    Bytes(&'a [u8]),
}

/// Verifies the trail in these files against the heads in these others.
///
/// # Errors
/// What cannot be read.
pub fn verify(files: &[PathBuf], heads: &[PathBuf]) -> Result<Verified, String> {
    let trail = Trail { files: inputs(files), heads: inputs(heads), before: Vec::new() };
    trail.look(&[], None).map_err(|error| error.to_string())
}

/// The same of a trail and of heads that are at hand, and of what an earlier one has told.
#[must_use]
pub fn verify_bytes(trail: &[u8], heads: &[u8], before: &[u8]) -> Verified {
    let bytes = |bytes| vec![Input::Bytes(bytes)];
    let trail = Trail { files: bytes(trail), heads: bytes(heads), before: bytes(before) };
    trail.look(&[], None).unwrap_or_else(|_| Verified {
        files: Vec::new(),
        chains: Chains::new(Heads::default()),
        compared: Vec::new(),
        unchecked: Vec::new(),
    })
}

pub(super) fn inputs<'a>(files: &[PathBuf]) -> Vec<Input<'a>> {
    files.iter().cloned().map(Input::File).collect()
}

fn published(inputs: &[Input<'_>]) -> Result<Heads, Error> {
    let mut heads = Heads::default();
    for input in inputs {
        input.each_line(|_, line| line.into_iter().for_each(|line| heads.take_line(line)))?;
    }
    Ok(heads)
}

/// A trail, and what was published of it.
pub(super) struct Trail<'a> {
    pub(super) files: Vec<Input<'a>>,
    pub(super) heads: Vec<Input<'a>>,
    pub(super) before: Vec<Input<'a>>,
}

impl Trail<'_> {
    /// Reads all of it. `trees` grow with it; they are those of the checkpoints at least.
    pub(super) fn look(
        &self,
        signed: &[Signed],
        mut trees: Option<&mut Trees>,
    ) -> Result<Verified, Error> {
        let mut heads = published(&self.heads)?;
        heads.come_after(&published(&self.before)?);
        let trail = in_order(&self.files)?;
        let mut chains = Chains::new(heads);
        for (file, input) in trail.iter().enumerate() {
            input.each_line(|line, bytes| {
                let entry = chains.take(Place { file, line }, bytes);
                if let (Some((writer, number)), Some(trees)) = (entry, trees.as_deref_mut()) {
                    trees.take(writer, number, bytes.unwrap_or_default());
                }
            })?;
            chains.end_file();
        }
        chains.end();
        name_again(&trail, &mut chains)?;
        let (mut compared, mut unchecked) = (Vec::new(), Vec::new());
        for Signed { checkpoint, .. } in signed {
            let root =
                trees.as_ref().and_then(|trees| trees.root(checkpoint.writer, checkpoint.size));
            match chains.compare(checkpoint, root) {
                Comparison::Agrees => compared.push(*checkpoint),
                Comparison::Unknown => unchecked.push(*checkpoint),
                Comparison::Contradicts => {}
            }
        }
        chains.found.sort_by_key(|finding| finding.place);
        let files = trail.iter().map(|input| input.name()).collect();
        Ok(Verified { files, chains, compared, unchecked })
    }
}

pub(crate) fn run(options: &Options) -> Result<bool, Error> {
    let trail = Trail {
        files: inputs(&options.files),
        heads: inputs(&options.heads),
        before: inputs(&options.before),
    };
    let signed = super::signed(&options.checkpoint, &options.signer)?;
    let mut trees = Trees::until(signed.iter().map(|one| &one.checkpoint));
    let trees = (!signed.is_empty()).then_some(&mut trees);
    let verified = trail.look(&signed, trees)?;
    if verified.chains.entries == 0 {
        return Err(Error::Empty);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let written = match options.format {
        Format::Text => told::text(&mut out, &verified),
        Format::Json => told::json(&mut out, &verified),
    };
    match written.and_then(|()| out.flush()) {
        // Whoever closed the pipe has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::Write(error)),
        Ok(()) | Err(_) => Ok(verified.is_untrue()),
    }
}

impl Input<'_> {
    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Bytes(_) => String::new(),
        }
    }

    fn open(&self) -> Result<Source<'_>, Error> {
        match self {
            Self::File(path) => {
                Source::open(path).map_err(|error| Error::Read { path: path.clone(), error })
            }
            Self::Bytes(bytes) => Ok(Source::over(Box::new(*bytes))),
        }
    }

    /// Standard input can be read once.
    pub(super) fn is_read_again(&self) -> bool {
        !matches!(self, Self::File(path) if path == Path::new("-"))
    }

    /// Hands over each line with its number; `None` for one that is too long.
    pub(super) fn each_line(&self, mut take: impl FnMut(u64, Option<&[u8]>)) -> Result<(), Error> {
        let read = lines::each(self.open()?, |line| take(line.number, line.bytes));
        read.map_err(|error| Error::Read { path: PathBuf::from(self.name()), error })
    }

    /// The time of its first entry, as it stands there.
    fn begins_at(&self) -> Result<Option<String>, Error> {
        let mut source = self.open()?;
        while let Some((_, line)) = source.next_whole() {
            let line = line.ok();
            let value = line.and_then(|line| serde_json::from_slice::<Value>(line).ok());
            if let Some(time) = value.as_ref().and_then(|value| value.get("t")?.as_str()) {
                return Ok(Some(time.to_owned()));
            }
        }
        Ok(None)
    }
}

/// The files in the order in which they were written: by their first entries.
pub(super) fn in_order<'i, 'a>(trail: &'i [Input<'a>]) -> Result<Vec<&'i Input<'a>>, Error> {
    if let [only] = trail {
        return Ok(vec![only]);
    }
    let mut keyed = Vec::new();
    for input in trail {
        let begins_at = if input.is_read_again() { input.begins_at()? } else { None };
        keyed.push((begins_at, input));
    }
    keyed.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(keyed.into_iter().map(|(_, input)| input).collect())
}

/// What a second look finds under a number: the first entry, and how many there are.
#[derive(Clone, Copy, Debug, Default)]
struct Others {
    first: Option<(Digest, Option<Digest>)>,
    count: u64,
}

/// Entries that came when their turn was over: looks for others with their numbers, and for those before
/// and after them.
fn name_again(trail: &[&Input<'_>], chains: &mut Chains) -> Result<(), Error> {
    let again = std::mem::take(&mut chains.again);
    let near = |one: &Again| {
        let numbers = [one.number.saturating_sub(1), one.number, one.number.saturating_add(1)];
        numbers.map(|number| ((one.writer, number), Others::default()))
    };
    let mut others: BTreeMap<(AuditWriter, u64), Others> = again.iter().flat_map(near).collect();
    let trail = if again.is_empty() { &[] } else { trail };
    for input in trail.iter().filter(|input| input.is_read_again()) {
        input.each_line(|_, line| {
            let Some((line, link)) = line.and_then(|line| Some((line, Link::parse(line)?))) else {
                return;
            };
            if let Some(others) = others.get_mut(&(link.writer, link.number)) {
                others.first.get_or_insert_with(|| (Digest::of(line), link.prev));
                others.count += 1;
            }
        })?;
    }
    for one in again {
        let kind = kind_of(&one, &others, &chains.heads);
        let (writer, numbers) = (Some(one.writer), Some((one.number, one.number)));
        if matches!(kind, Kind::Reordered | Kind::Altered) {
            let is_it = |one: &Finding| {
                one.kind == Kind::Missing && one.writer == writer && one.numbers == numbers
            };
            chains.found.retain(|one| !is_it(one));
        }
        chains.found.push(Finding { kind, place: Some(one.place), writer, numbers });
    }
    Ok(())
}

fn kind_of(one: &Again, others: &BTreeMap<(AuditWriter, u64), Others>, heads: &Heads) -> Kind {
    let Again { writer, number, digest, prev, .. } = *one;
    let of = |number| others.get(&(writer, number)).copied().unwrap_or_default();
    let before = number.checked_sub(1).and_then(|number| of(number).first);
    let (here, after) = (of(number), of(number.saturating_add(1)).first);
    let fits = before.is_none_or(|(before, _)| prev == Some(before))
        && after.is_none_or(|(_, of_next)| of_next == Some(digest))
        && heads.digest(writer, number).is_none_or(|head| head == digest);
    match here.first {
        Some((first, _)) if first != digest => Kind::Forked,
        Some(_) if here.count > 1 => Kind::Duplicate,
        Some(_) if fits => Kind::Reordered,
        Some(_) => Kind::Altered,
        None => Kind::Duplicate,
    }
}
