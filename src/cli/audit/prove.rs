//! `dana-failover audit prove` and `audit check-proof`: one payment, for somebody who sees nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::entry::Link;
use super::log::{Growing, PROOF_BYTES_MAX, Proof, PublicKey, Signed, Unlike};
use super::verify::{Input, in_order, inputs};
use super::{Error, unread};
use crate::cli::entry::Entry;
use crate::engine::AuditWriter;

/// Entries of one payment: its repeats, questions for its status, and notifications too.
const ENTRIES_MAX: usize = 1024;

/// Payments of one reference that are told.
const KEYS_MAX: usize = 16;

/// Digits of a payment's key that tell it apart: as many as `GET /in-doubt` has.
const KEY_DIGITS: usize = 32;

/// Writes proofs that the entries of one payment are in the log, without showing the others.
///
/// Each is a file WRITER.NUMBER.tlog-proof (C2SP), with the entry in it, for `audit check-proof`. They show
/// what is there, and never that nothing else is.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Options {
    /// The trail from its beginning up to the checkpoints.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The merchant's reference of the payment. Where several payments have it, their keys are told.
    #[arg(
        long,
        value_name = "REFERENCE",
        required_unless_present = "payment",
        conflicts_with = "payment"
    )]
    reference: Option<String>,

    /// The key of the payment, as in the trail and the access log: 32 digits of it at least.
    #[arg(long, value_name = "KEY", value_parser = key)]
    payment: Option<String>,

    /// Checkpoints that were signed: files, or directories of `audit checkpoint`.
    #[arg(long, value_name = "PATH", required = true)]
    checkpoint: Vec<PathBuf>,

    /// The public key of whoever signs them; where keys have changed, each of them.
    #[arg(long, value_name = "KEY", required = true, value_parser = PublicKey::parse)]
    signer: Vec<PublicKey>,

    /// The directory of the proofs.
    #[arg(long, value_name = "DIRECTORY")]
    out: PathBuf,
}

fn key(text: &str) -> Result<String, String> {
    let is_key = text.len() >= KEY_DIGITS && text.chars().all(|one| one.is_ascii_hexdigit());
    let found = || format!("expected {KEY_DIGITS} hexadecimal digits or more, found {text:?}");
    is_key.then(|| text.to_ascii_lowercase()).ok_or_else(found)
}

/// Entries of a payment, by writer and number.
type Wanted = BTreeMap<(AuditWriter, u64), Vec<u8>>;

pub(super) fn run(options: &Options) -> Result<bool, Error> {
    let mut signed = BTreeMap::new();
    for one in super::signed(&options.checkpoint, &options.signer)? {
        signed.insert((one.checkpoint.writer, one.checkpoint.size), one);
    }
    let files = inputs(&options.files);
    if !files.iter().all(Input::is_read_again) {
        return Err(Error::Usage(
            "expected files, which are read twice; found standard input".to_owned(),
        ));
    }
    let files = in_order(&files)?;
    let key = match &options.payment {
        Some(key) => key.clone(),
        None => key_of(&files, options.reference.as_deref().unwrap_or_default())?,
    };
    let wanted = wanted(&files, &key)?;
    if wanted.is_empty() {
        return Err(Error::Usage("expected entries of this payment, found none".to_owned()));
    }
    fs::create_dir_all(&options.out).map_err(unread(&options.out))?;
    let mut writers: Vec<AuditWriter> = wanted.keys().map(|(writer, _)| *writer).collect();
    writers.dedup();
    for writer in writers {
        // The latest one of this writer.
        let signed = signed.range((writer, 0)..=(writer, u64::MAX)).next_back();
        let (_, signed) = signed.ok_or_else(|| {
            Error::Usage(format!("--checkpoint: expected one of {writer}, found none"))
        })?;
        for proof in proofs(&files, signed, &wanted)? {
            let path = options.out.join(format!("{writer}.{}.tlog-proof", proof.index));
            let text = proof.text();
            // What does not prove anything is not given away.
            let proves = options.signer.iter().any(|signer| prove(&text, signer).is_ok());
            if !proves {
                return Err(not_signed(writer));
            }
            fs::write(&path, text).map_err(unread(&path))?;
            writeln!(io::stdout(), "{}", path.display()).map_err(Error::Write)?;
        }
    }
    Ok(false)
}

/// The key of the one payment that has this reference.
fn key_of(files: &[&Input<'_>], reference: &str) -> Result<String, Error> {
    let mut keys = BTreeSet::new();
    for input in files {
        input.each_line(|_, line| {
            let entry = line.and_then(Entry::read).filter(|entry| entry.reference == reference);
            if let Some(entry) = entry.filter(|_| keys.len() < KEYS_MAX) {
                keys.extend(entry.key.get(..KEY_DIGITS).map(str::to_owned));
            }
        })?;
    }
    let keys: Vec<String> = keys.into_iter().collect();
    match keys.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Error::Usage("expected entries of this payment, found none".to_owned())),
        several => Err(Error::Usage(format!(
            "several payments have this reference: choose one by --payment: {}",
            several.join(", ")
        ))),
    }
}

/// The entries of the payment: its own, those of what followed it, and an operator's word on it.
fn wanted(files: &[&Input<'_>], key: &str) -> Result<Wanted, Error> {
    let mut wanted = Wanted::new();
    let is_it = |entry: &Entry<'_>| {
        [&entry.key, &entry.of]
            .into_iter()
            .any(|of| of.len() >= KEY_DIGITS && (of.starts_with(key) || key.starts_with(&**of)))
    };
    for input in files {
        input.each_line(|_, line| {
            let entry = line.and_then(|line| Some((line, Entry::read(line)?)));
            let Some((line, link)) = entry
                .filter(|(_, entry)| is_it(entry))
                .and_then(|(line, _)| Some((line, Link::parse(line)?)))
            else {
                return;
            };
            if wanted.len() < ENTRIES_MAX {
                wanted.entry((link.writer, link.number)).or_insert_with(|| line.to_owned());
            }
        })?;
    }
    if wanted.len() == ENTRIES_MAX {
        return Err(Error::Usage(format!(
            "expected fewer than {ENTRIES_MAX} entries of a payment"
        )));
    }
    Ok(wanted)
}

/// Proofs of one writer's entries, for one checkpoint.
fn proofs(files: &[&Input<'_>], signed: &Signed, wanted: &Wanted) -> Result<Vec<Proof>, Error> {
    let checkpoint = signed.checkpoint;
    let of_writer = wanted.range((checkpoint.writer, 0)..=(checkpoint.writer, u64::MAX));
    let of_writer: Vec<(u64, &Vec<u8>)> =
        of_writer.map(|((_, number), line)| (*number, line)).collect();
    if let Some((late, _)) = of_writer.iter().find(|(number, _)| *number >= checkpoint.size) {
        let (writer, size) = (checkpoint.writer, checkpoint.size);
        return Err(Error::Usage(format!(
            "entry {late} of {writer} is younger than its checkpoint, which has {size}: \
             sign a new one (audit checkpoint)"
        )));
    }
    let mut growing = Growing::following(of_writer.iter().map(|(number, _)| *number));
    for input in files {
        input.each_line(|_, line| {
            let link = line.and_then(|line| Some((line, Link::parse(line)?)));
            let is_in_it =
                |link: &Link| link.writer == checkpoint.writer && link.number < checkpoint.size;
            if let Some((line, link)) = link.filter(|(_, link)| is_in_it(link)) {
                growing.take(link.number, line);
            }
        })?;
    }
    let (root, paths) = growing.tree.root();
    if growing.tree.size() != checkpoint.size || root != checkpoint.root {
        return Err(not_signed(checkpoint.writer));
    }
    let proofs = of_writer.into_iter().zip(paths).map(|((index, entry), path)| Proof {
        entry: entry.clone(),
        index,
        path,
        signed: signed.clone(),
    });
    Ok(proofs.collect())
}

fn not_signed(writer: AuditWriter) -> Error {
    Error::Usage(format!(
        "the entries of {writer} are not those that were signed, or not all are here from the first one: \
         audit verify --checkpoint tells more"
    ))
}

/// Tells whether an entry was in a log when it was signed, and shows the entry.
///
/// Exits with 1 if a proof proves nothing. Whoever has the public key needs nothing else.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Check {
    /// Proofs of `audit prove`.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The public key of whoever has signed the checkpoints, from a place that you trust.
    #[arg(long, value_name = "KEY", value_parser = PublicKey::parse)]
    signer: PublicKey,
}

pub(super) fn check(options: &Check) -> Result<bool, Error> {
    let mut is_unproven = false;
    for path in &options.files {
        let text = read(path).map_err(unread(path))?;
        let told = match prove(&text, &options.signer) {
            Ok(proof) => {
                let Signed { checkpoint, .. } = &proof.signed;
                let (writer, size, index) = (checkpoint.writer, checkpoint.size, proof.index);
                let (name, line) = (options.signer.name(), String::from_utf8_lossy(&proof.entry));
                format!(
                    "proven: entry {index} of {writer}, of {size} that {name} has signed\n{line}"
                )
            }
            Err(unlike) => {
                is_unproven = true;
                format!("NOT PROVEN: {unlike}")
            }
        };
        writeln!(io::stdout(), "{}: {told}", path.display()).map_err(Error::Write)?;
    }
    Ok(is_unproven)
}

/// It must be the entry that it says it is, too.
fn prove(text: &str, signer: &PublicKey) -> Result<Proof, Unlike> {
    let proof = Proof::check(text, signer)?;
    let is_itself = Link::parse(&proof.entry).is_some_and(|link| {
        link.writer == proof.signed.checkpoint.writer && link.number == proof.index
    });
    if is_itself { Ok(proof) } else { Err(Unlike("an entry with the number of its place")) }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(PROOF_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}
