//! `dana-failover audit`: what is to be known of an audit trail from its lines alone.

mod chains;
mod entry;
mod finding;
mod heads;
mod report;
mod story;
mod told;
mod verify;
mod writer;

use std::fmt;
use std::io;
use std::path::PathBuf;

use clap::{Args, Subcommand};

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
}

/// Tells whether something was found.
pub(crate) fn run(options: &Options) -> Result<bool, Error> {
    match &options.command {
        Command::Verify(options) => verify::run(options),
        Command::Report(options) => report::run(options),
    }
}

/// Why nothing can be told.
#[derive(Debug)]
pub(crate) enum Error {
    Read { path: PathBuf, error: io::Error },
    Empty,
    Write(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Empty => f.write_str("expected entries of an audit trail, found none"),
            Self::Write(error) => write!(f, "standard output: {error}"),
        }
    }
}

impl std::error::Error for Error {}
