//! What a payment costs a real Envoy, with and without this filter.
//!
//! ```text
//! cargo bench --bench envoy -- --envoy PATH --filter PATH --noop PATH [--quick]
//! cargo bench --bench envoy -- --envoy PATH --filter PATH growth | versus | recycle | fill | profile | notify | audit
//! ```
//!
//! The first form compares ways to do the job, see [`compare`]. The second measures what this filter costs
//! when there is more of everything, see [`growth`], what a change brings, see [`versus`], its memory, see [`capacity`], counts instructions, see
//! [`profile`], or measures notifications, see [`notify`], or the audit trail, see [`audit`].
//!
//! Linux only: it reads `/proc`. All traffic is on loopback.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark talks to its terminal")]

mod audit;
mod capacity;
mod compare;
mod config;
mod ground;
mod growth;
mod http;
mod load;
mod notify;
mod peer;
mod process;
mod profile;
mod random;
mod report;
mod upstream;
mod versus;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use std::{fs, thread};

use clap::{Parser, Subcommand};
use ground::Ground;
use load::{Load, Pace};
use process::{Cores, Envoy};
use report::Round;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What a payment costs Envoy with and without this filter, by processor time; or what its store
/// costs in memory.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    instead: Option<Measure>,
    /// Envoy's binary [default: the environment's ENVOY_BIN]
    #[arg(long)]
    envoy: Option<PathBuf>,
    /// This filter's module
    #[arg(long, default_value = "target/wasm32-unknown-unknown/release/dana_failover.wasm")]
    filter: PathBuf,
    /// The module that does nothing
    #[arg(long, default_value = "target/wasm32-unknown-unknown/release/examples/noop.wasm")]
    noop: PathBuf,
    /// The module that only makes the host calls of a charge
    #[arg(long, default_value = "target/wasm32-unknown-unknown/release/examples/calls.wasm")]
    calls: PathBuf,
    /// The configuration that all are made from
    #[arg(long, default_value = "envoy/envoy.yaml")]
    config: PathBuf,
    /// Where the numbers go
    #[arg(long, default_value = "target/bench/envoy.json")]
    output: PathBuf,
    /// Rounds of each pair
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Seconds of each round
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Payments per second to each Envoy
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Payments to each Envoy before anything is measured
    #[arg(long, default_value_t = 6000)]
    warm_up: u32,
    /// A few short rounds: shows that it works, not what it costs
    #[arg(long)]
    quick: bool,
    /// Given by `cargo bench`
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

/// What else is measured.
#[derive(Debug, Subcommand)]
enum Measure {
    /// Memory of a small store through which many payments with distinct keys pass
    Recycle(capacity::Recycle),
    /// Memory of the default store, filled
    Fill(capacity::Fill),
    /// Instructions for each payment (needs valgrind)
    Profile(profile::Profile),
    /// Processor time for each notification, and for the verification of a signature
    Notify(notify::Notify),
    /// Processor time for each entry of the audit trail
    Audit,
    /// Processor time for each payment as the store fills, with more gateways, with more partners
    Growth(growth::Growth),
    /// Processor time for each request, beside an older module of this filter
    Versus(versus::Versus),
    /// Serves what an Envoy asks by ext_authz or ext_proc
    #[command(hide = true)]
    Peer(peer::Serve),
}

fn main() -> ExitCode {
    let mut options = Options::parse();
    if options.quick {
        (options.rounds, options.seconds, options.warm_up) = (3, 1, 500);
    }
    let outcome = match &options.instead {
        None => compare::run(&options),
        Some(Measure::Recycle(wanted)) => capacity::recycle(&options, wanted),
        Some(Measure::Fill(wanted)) => capacity::fill(&options, wanted),
        Some(Measure::Profile(wanted)) => profile::run(&options, wanted),
        Some(Measure::Notify(wanted)) => notify::run(&options, wanted),
        Some(Measure::Audit) => audit::run(&options),
        Some(Measure::Growth(wanted)) => growth::run(&options, wanted),
        Some(Measure::Versus(wanted)) => versus::run(&options, wanted),
        Some(Measure::Peer(wanted)) => peer::serve(wanted),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is told by make where Envoy is")]
fn binary(options: &Options) -> Outcome<PathBuf> {
    let given =
        options.envoy.clone().or_else(|| std::env::var("ENVOY_BIN").ok().map(PathBuf::from));
    given.ok_or_else(|| "where is Envoy? Give --envoy or set ENVOY_BIN".into())
}

fn read(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// A module's path as Envoy takes it, and its size.
fn module(path: &Path) -> Outcome<(String, u64)> {
    let path = path.canonicalize().map_err(|e| format!("{}: {e}", path.display()))?;
    let bytes = fs::metadata(&path)?.len();
    Ok((path.to_string_lossy().into_owned(), bytes))
}

/// Loads both Envoys of a pair at once.
fn measure_round(
    [base, candidate]: [&Envoy; 2],
    [base_load, load]: [Load; 2],
    options: &Options,
    ground: &Ground,
) -> Outcome<Round> {
    let lasts = Duration::from_secs(u64::from(options.seconds));
    let pace = Pace::Rate { per_second: options.rate, lasts };
    let paid_before = ground.paid();
    let before = [base.cpu_us()?, candidate.cpu_us()?];
    let (of_base, of_candidate) = thread::scope(|scope| {
        let of_base = scope.spawn(|| load::run(base.port, base_load, pace));
        let of_candidate = load::run(candidate.port, load, pace);
        (of_base.join(), of_candidate)
    });
    let of_base = of_base.map_err(|_| "the load's thread panicked")??.requests;
    let of_candidate = of_candidate?.requests;
    let after = [base.cpu_us()?, candidate.cpu_us()?];
    let expected = base_load.arrivals(of_base) + load.arrivals(of_candidate);
    let paid = ground.paid() - paid_before;
    if paid != expected {
        return Err(format!("gateways got {paid} payments instead of {expected}").into());
    }
    let each = |before: f64, after: f64, answered: u64| (after - before) / answered.max(1) as f64;
    let [base_before, candidate_before] = before;
    let [base_after, candidate_after] = after;
    Ok(Round {
        base: each(base_before, base_after, of_base),
        candidate: each(candidate_before, candidate_after, of_candidate),
    })
}
