//! The command line tool: `dana-failover --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    dana_failover::cli::run()
}
