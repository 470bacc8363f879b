//! `dana-failover audit`: what is to be known of an audit trail from its lines alone.

mod chains;
mod entry;
mod finding;
mod heads;
mod told;
mod verify;
mod writer;

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
}

/// Tells whether something was found.
pub(crate) fn run(options: &Options) -> Result<bool, verify::Error> {
    match &options.command {
        Command::Verify(options) => verify::run(options),
    }
}
