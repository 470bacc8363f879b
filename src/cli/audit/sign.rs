//! `dana-failover audit new-key` and `audit checkpoint`: how far the logs are, signed.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::log::{CHECKPOINT, Checkpoint, SecretKey, Signed, Trees};
use super::verify::{Trail, Verified, inputs};
use super::{Error, told, unread};

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

/// Signs how far the trail is: for each writer a C2SP checkpoint, `WRITER.checkpoint`.
///
/// Give them away: to an auditor, to another department, to a public witness. Whoever has them knows by
/// `audit verify` whether what was before has changed since, and `audit prove` shows single payments to
/// them. Verifies the trail first, and what was signed before: where anything is found it signs nothing,
/// tells it and exits with 1.
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
}

const AFTER: &str = "\
Example, once a day:
  dana-failover audit new-key pay.example.com/dana --key dana.key > dana.pub     # once
  dana-failover audit checkpoint audit.jsonl* --heads envoy.log --key dana.key --out checkpoints";

pub(super) fn run(options: &Options) -> Result<bool, Error> {
    let key = fs::read_to_string(&options.key).map_err(unread(&options.key))?;
    let key = SecretKey::parse(&key)
        .map_err(|unlike| Error::Unlike { path: options.key.clone(), unlike })?;
    fs::create_dir_all(&options.out).map_err(unread(&options.out))?;
    let before = super::signed(std::slice::from_ref(&options.out), Some(key.public()))?;
    let trail =
        Trail { files: inputs(&options.files), heads: inputs(&options.heads), before: Vec::new() };
    let mut trees = Trees::until(before.iter().map(|one| &one.checkpoint));
    let verified = trail.look(&before, Some(&mut trees))?;
    if verified.chains.entries == 0 {
        return Err(Error::Empty);
    }
    if verified.is_untrue() {
        told::text(&mut io::stdout().lock(), &verified).map_err(Error::Write)?;
        return Ok(true);
    }
    for checkpoint in trees.checkpoints().filter(|checkpoint| is_new(checkpoint, &before)) {
        publish(&checkpoint, &key, &options.out)?;
    }
    tell(&verified).map_err(Error::Write)?;
    Ok(false)
}

/// What was signed already is left as it is.
fn is_new(checkpoint: &Checkpoint, before: &[Signed]) -> bool {
    checkpoint.size > 0 && !before.iter().any(|one| one.checkpoint == *checkpoint)
}

/// A checkpoint is whole or not there.
fn publish(checkpoint: &Checkpoint, key: &SecretKey, out: &Path) -> Result<(), Error> {
    let path = out.join(format!("{}.{CHECKPOINT}", checkpoint.writer));
    let beside = path.with_extension("new");
    let write = fs::write(&beside, checkpoint.sign(key)).and_then(|()| fs::rename(&beside, &path));
    write.map_err(unread(&path))?;
    let (writer, size) = (checkpoint.writer, checkpoint.size);
    writeln!(io::stdout(), "{writer}: {size} entries signed, {}", path.display())
        .map_err(Error::Write)
}

fn tell(verified: &Verified) -> io::Result<()> {
    let (entries, writers) = (verified.chains.entries, verified.chains.writers().count());
    let heads =
        if verified.chains.is_published { "" } else { "; compared with no heads (--heads)" };
    writeln!(io::stdout(), "{entries} entries of {writers} writers are as they were written{heads}")
}
