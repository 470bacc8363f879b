//! `dana-failover audit new-key` and `audit checkpoint`: how far the logs are, signed.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::finding::Kind;
use super::log::{CHECKPOINT, Checkpoint, PublicKey, SecretKey, Signed, Trees};
use super::verify::{Trail, Verified, inputs};
use super::{Error, told, unread};
use crate::engine::AuditWriter;

/// Makes a key that signs checkpoints: the secret one into a file that only you can read, the public one,
/// which everybody may have, to standard output.
#[derive(Debug, Args)]
pub(crate) struct NewKey {
    /// Whose logs they are, such as `pay.example.com/dana`: a name that is yours alone.
    #[arg(value_name = "NAME")]
    name: String,

    /// Where to keep the secret key. Not on the machine that writes the trail.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

pub(super) fn new_key(options: &NewKey) -> Result<bool, Error> {
    let unlike = |unlike| Error::Unlike { path: PathBuf::from("NAME"), unlike };
    let key = SecretKey::new(&options.name).map_err(unlike)?;
    let mut open = OpenOptions::new();
    open.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
    open.open(&options.key)
        .and_then(|mut file| file.write_all(key.text().as_bytes()))
        .map_err(unread(&options.key))?;
    writeln!(io::stdout(), "{}", key.public()).map_err(Error::Write)?;
    Ok(false)
}

/// Prints the public key of a secret one.
#[derive(Debug, Args)]
pub(crate) struct PublicKeyOf {
    /// The secret key of `audit new-key`.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

pub(super) fn public_key(options: &PublicKeyOf) -> Result<bool, Error> {
    writeln!(io::stdout(), "{}", secret(&options.key)?.public()).map_err(Error::Write)?;
    Ok(false)
}

fn secret(path: &Path) -> Result<SecretKey, Error> {
    let key = fs::read_to_string(path).map_err(unread(path))?;
    SecretKey::parse(&key).map_err(|unlike| Error::Unlike { path: path.to_owned(), unlike })
}

/// Signs how far the trail is: for each writer a C2SP checkpoint, `WRITER.checkpoint`.
///
/// Give copies of them away: to an auditor, to another department. Whoever has one knows by `audit verify`
/// whether what was before has changed since, and `audit prove` shows single payments to them. The trail is
/// verified first, and compared with what was signed before. A writer with anything that was changed is
/// not signed. One of which entries are missing is signed up to the first of them, and never less
/// than before. Exits with 1 if anything is found.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, after_long_help = AFTER)]
pub(crate) struct Options {
    /// The trail from its beginning, rotated and packed files too, in any order.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The secret key of `audit new-key`.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// Where heads were published: Envoy's logs of the same time. May be given more than once.
    #[arg(long, value_name = "FILE")]
    heads: Vec<PathBuf>,

    /// The directory of the checkpoints, those of before among them.
    #[arg(long, value_name = "DIRECTORY")]
    out: PathBuf,

    /// The public key of whoever has signed those of before, where that was another one.
    #[arg(long, value_name = "KEY", value_parser = PublicKey::parse)]
    signer: Vec<PublicKey>,
}

const AFTER: &str = "\
Example, once a day:
  dana-failover audit new-key pay.example.com/dana --key dana.key > dana.pub     # once
  dana-failover audit checkpoint audit.jsonl* --heads envoy.log --key dana.key --out checkpoints";

pub(super) fn run(options: &Options) -> Result<bool, Error> {
    let key = secret(&options.key)?;
    fs::create_dir_all(&options.out).map_err(unread(&options.out))?;
    let signers = [options.signer.as_slice(), &[key.public().clone()]].concat();
    let before = Signed::read(&options.out, &signers).map_err(unread(&options.out))?;
    let trail =
        Trail { files: inputs(&options.files), heads: inputs(&options.heads), before: Vec::new() };
    let mut trees = Trees::until(before.iter().map(|one| &one.checkpoint));
    let verified = trail.look(&before, Some(&mut trees))?;
    if verified.chains.entries == 0 {
        return Err(Error::Empty);
    }
    told::findings(&mut io::stdout().lock(), &verified).map_err(Error::Write)?;
    for checkpoint in trees.checkpoints() {
        let last = before.iter().filter(|one| one.checkpoint.writer == checkpoint.writer);
        let last = last.map(|one| one.checkpoint.size).max();
        if may_be_signed(&verified, checkpoint.writer) && checkpoint.size > last.unwrap_or(0) {
            publish(&checkpoint, last, &key, &options.out)?;
        }
    }
    tell(&verified).map_err(Error::Write)?;
    Ok(verified.is_untrue())
}

/// What is there of a writer is as it was written, up to where something is missing.
fn may_be_signed(verified: &Verified, writer: AuditWriter) -> bool {
    let of_it = verified.findings().filter(|(_, of)| of.is_some_and(|(of, _)| of == writer));
    verified.chains.untold == 0
        && of_it.map(|(kind, _)| kind).all(|kind| match kind {
            Kind::Missing | Kind::Cut | Kind::Reordered => true,
            Kind::Altered
            | Kind::Rewritten
            | Kind::Duplicate
            | Kind::Forked
            | Kind::Added
            | Kind::Unreadable
            | Kind::Scattered => false,
        })
}

/// A checkpoint is whole or not there.
fn publish(
    checkpoint: &Checkpoint,
    last: Option<u64>,
    key: &SecretKey,
    out: &Path,
) -> Result<(), Error> {
    let path = out.join(format!("{}.{CHECKPOINT}", checkpoint.writer));
    let beside = path.with_extension("new");
    let write = fs::write(&beside, checkpoint.sign(key)).and_then(|()| fs::rename(&beside, &path));
    write.map_err(unread(&path))?;
    let (writer, size) = (checkpoint.writer, checkpoint.size);
    let before = last.map_or_else(|| "never before".to_owned(), |last| format!("{last} before"));
    writeln!(io::stdout(), "{writer}: {size} entries signed, {before}, {}", path.display())
        .map_err(Error::Write)
}

fn tell(verified: &Verified) -> io::Result<()> {
    let (entries, writers) = (verified.chains.entries, verified.chains.writers().count());
    let is = if verified.is_untrue() { "see above" } else { "as they were written" };
    let compared = verified.compared.len();
    let heads = if verified.chains.is_published { "heads" } else { "no heads (--heads)" };
    writeln!(
        io::stdout(),
        "{entries} entries of {writers} writers: {is}; compared with {compared} checkpoints and {heads}"
    )
}
