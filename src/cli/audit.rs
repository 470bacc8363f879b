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

use std::error::Error;

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
pub(crate) fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    match &options.command {
        Command::Verify(options) => Ok(verify::run(options)?),
        Command::Report(options) => Ok(report::run(options)?),
    }
}
