//! Flags to commands, commands to exit codes: 0 fine, 1 finding, 2 usage or input error.

pub mod audit;
pub mod check;
mod entry;
mod html;
mod key;
mod lines;
mod money;
pub mod reconcile;
pub mod replay;
mod sandbox;
mod times;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Keeps DANA payments going over a second gateway and never charges twice.
///
/// The filter itself is a WebAssembly module that Envoy loads; this tool is what stands beside it.
#[derive(Parser)]
#[command(name = "dana-failover", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Audit(audit::Options),
    Check(check::Options),
    Key(key::Options),
    Reconcile(reconcile::Options),
    Replay(replay::Options),
    Sandbox(sandbox::Options),
}

/// Parses the command line and runs the command it names.
pub fn run() -> ExitCode {
    let outcome: Result<ExitCode, Box<dyn Error>> = match Cli::parse().command {
        Command::Audit(options) => match audit::run(&options) {
            Ok(finding) => Ok(ExitCode::from(u8::from(finding))),
            Err(error) => Err(error.into()),
        },
        Command::Check(options) => match check::run(&options) {
            Ok(finding) => Ok(ExitCode::from(u8::from(finding))),
            Err(error) => Err(error.into()),
        },
        Command::Key(options) => match key::run(&options) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => Err(error.into()),
        },
        Command::Reconcile(options) => match reconcile::run(&options) {
            Ok(finding) => Ok(ExitCode::from(u8::from(finding))),
            Err(error) => Err(error.into()),
        },
        Command::Replay(options) => match replay::run(&options) {
            Ok(finding) => Ok(ExitCode::from(u8::from(finding))),
            Err(error) => Err(error.into()),
        },
        Command::Sandbox(options) => match sandbox::run(&options) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => Err(error.into()),
        },
    };
    outcome.unwrap_or_else(|error| {
        report(&*error);
        ExitCode::from(2)
    })
}

#[expect(
    clippy::print_stderr,
    reason = "an error of a command line tool belongs on standard error"
)]
fn report(error: &dyn Error) {
    eprintln!("dana-failover: {error}");
}
