//! `dana-failover audit`: what is to be known of an audit trail from its lines alone.

mod chains;
mod entry;
mod finding;
mod heads;
mod log;
mod prove;
mod report;
mod sign;
mod story;
mod told;
mod verify;
mod writer;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use log::{PublicKey, Signed, Unlike};

pub use finding::Kind;
pub use verify::{Verified, verify, verify_bytes};

/// Checks the audit trail that the filter writes.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Verify(verify::Options),
    Report(report::Options),
    NewKey(sign::NewKey),
    PublicKey(sign::PublicKeyOf),
    Checkpoint(sign::Options),
    Prove(prove::Options),
    CheckProof(prove::Check),
}

/// Tells whether something was found.
pub(crate) fn run(options: &Options) -> Result<bool, Error> {
    match &options.command {
        Command::Verify(options) => verify::run(options),
        Command::Report(options) => report::run(options),
        Command::NewKey(options) => sign::new_key(options),
        Command::PublicKey(options) => sign::public_key(options),
        Command::Checkpoint(options) => sign::run(options),
        Command::Prove(options) => prove::run(options),
        Command::CheckProof(options) => prove::check(options),
    }
}

/// Why nothing can be told.
#[derive(Debug)]
pub(crate) enum Error {
    Read { path: PathBuf, error: io::Error },
    Empty,
    Write(io::Error),
    Unlike { path: PathBuf, unlike: Unlike },
    Usage(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Empty => f.write_str("expected entries of an audit trail, found none"),
            Self::Write(error) => write!(f, "standard output: {error}"),
            Self::Unlike { path, unlike } => write!(f, "{}: {unlike}", path.display()),
            Self::Usage(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {}

/// What these have signed, in files and directories of which there must be some.
fn signed(paths: &[PathBuf], signers: &[PublicKey]) -> Result<Vec<Signed>, Error> {
    let mut signed = Vec::new();
    for path in paths {
        signed.extend(Signed::read(path, signers).map_err(unread(path))?);
    }
    if signed.is_empty() && !paths.is_empty() {
        let found = "--checkpoint: expected files that are called *.checkpoint, found none";
        return Err(Error::Usage(found.to_owned()));
    }
    Ok(signed)
}

fn unread(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
    |error| Error::Read { path: path.to_owned(), error }
}
