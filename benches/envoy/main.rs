//! What a payment costs a real Envoy, with and without this filter.
//!
//! ```text
//! cargo bench --bench envoy -- --envoy PATH --filter PATH --noop PATH [--quick]
//! cargo bench --bench envoy -- --envoy PATH --filter PATH recycle | fill | profile | notify | audit
//! ```
//!
//! The second form measures memory instead, see [`capacity`], counts instructions, see [`profile`], or measures
//! notifications, see [`notify`], or the audit trail, see [`audit`].
//!
//! Compared are Envoy without any filter (bare), a filter of the same SDK that does nothing, this
//! filter, a Lua filter that does the same job as far as Lua can, and this filter when a payment is
//! repeated, which no gateway sees. All run the reference configuration; see [`config`].
//!
//! The measure is processor time of the Envoy process, user and system, per payment. It is taken in
//! **pairs**: bare and candidate run at the same time on one core, each under the same load, and a
//! round is the ratio of the two. Whatever else slows the machine down slows both. Load and gateways
//! run on another core. Rounds of all pairs take turns, so that a slow minute hits all of them, and
//! each Envoy is warmed up first, because V8 compiles anew what is used much. The pair of bare with
//! bare is the error of the method. Intervals are bootstrapped over rounds.
//!
//! Linux only: it reads `/proc`. All traffic is on loopback.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark talks to its terminal")]

mod audit;
mod capacity;
mod config;
mod http;
mod load;
mod notify;
mod process;
mod profile;
mod random;
mod report;
mod upstream;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{fs, thread};

use clap::{Parser, Subcommand};
use serde_json::json;

use config::Filter;
use load::{Load, Pace};
use process::{Cores, Envoy, Setup};
use report::{Contender, Round, Series};

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
}

fn main() -> ExitCode {
    let mut options = Options::parse();
    if options.quick {
        (options.rounds, options.seconds, options.warm_up) = (3, 1, 500);
    }
    let outcome = match &options.instead {
        None => run(&options),
        Some(Measure::Recycle(wanted)) => capacity::recycle(&options, wanted),
        Some(Measure::Fill(wanted)) => capacity::fill(&options, wanted),
        Some(Measure::Profile(wanted)) => profile::run(&options, wanted),
        Some(Measure::Notify(wanted)) => notify::run(&options, wanted),
        Some(Measure::Audit) => audit::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Outcome<()> {
    let cores = Cores::split();
    if cores.is_none() {
        eprintln!("warning: no core of its own for Envoy (two cores and taskset are needed)");
    }
    let payments = Arc::new(AtomicU64::new(0));
    let folder = tempfile::tempdir()?;
    let reference = read(&options.config)?;
    let setup = Setup {
        under: &[],
        binary: &binary(options)?,
        reference: &reference,
        folder: folder.path(),
        cores,
        workers: 1,
        gateways: [upstream::start(&payments)?, upstream::start(&payments)?],
    };
    let envoys = Envoys::start(&setup, options)?;
    let series = envoys.measure(options, &payments)?;
    let settings = json!({
        "rounds": options.rounds,
        "seconds": options.seconds,
        "payments_per_second": options.rate,
        "warm_up": options.warm_up,
        "cores_split": cores.is_some(),
    });
    let (json, table) = report::report(&series, &settings);
    if let Some(folder) = options.output.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&options.output, serde_json::to_vec_pretty(&json)?)?;
    println!("{table}");
    println!("Medians of {} rounds [95 %]; also in {}", options.rounds, options.output.display());
    Ok(())
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

/// An Envoy and what it runs.
struct Variant {
    envoy: Envoy,
    bytes: Option<u64>,
    rss_kib: u64,
}

/// All that are compared.
struct Envoys {
    bare: Variant,
    bare_again: Variant,
    noop: Variant,
    calls: Variant,
    ours: Variant,
    lua: Variant,
}

impl Envoys {
    fn start(setup: &Setup<'_>, options: &Options) -> Outcome<Self> {
        let (noop, noop_bytes) = module(&options.noop)?;
        let (calls, calls_bytes) = module(&options.calls)?;
        let (ours, our_bytes) = module(&options.filter)?;
        let script = include_str!("../filters/claims.lua");
        // The store is laid out for about the payments of this run, so on average it is half full.
        let paid = u64::from(options.rate * options.seconds * options.rounds + options.warm_up);
        let start = |name, filter: Filter<'_>, bytes| -> Outcome<Variant> {
            eprintln!("starting {name}");
            let envoy = Envoy::start(setup, name, &filter)?;
            load::run(envoy.port, Load::Payments, Pace::All(u64::from(options.warm_up)))?;
            let rss_kib = envoy.rss_kib()?;
            Ok(Variant { envoy, bytes, rss_kib })
        };
        let store = json!({"store": {"local": {"claims_max": paid + paid / 4}}});
        // Its entries are measured by themselves.
        let settings = json!({"idempotency": store, "audit": null});
        let envoys = Self {
            bare: start("bare", Filter::None, None)?,
            bare_again: start("bare-again", Filter::None, None)?,
            noop: start("noop", Filter::Noop { module: &noop }, Some(noop_bytes))?,
            calls: start("calls", Filter::Calls { module: &calls }, Some(calls_bytes))?,
            ours: start(
                "ours",
                Filter::Ours { module: &ours, settings: &settings },
                Some(our_bytes),
            )?,
            lua: start("lua", Filter::Lua { script }, Some(script.len() as u64))?,
        };
        let warm_up = Pace::All(u64::from(options.warm_up));
        load::run(envoys.ours.envoy.port, Load::Repeats, warm_up)?;
        Ok(envoys)
    }

    /// All pairs, in turns.
    fn measure(&self, options: &Options, payments: &AtomicU64) -> Outcome<Vec<Series>> {
        let pairs = [
            ("bare again (A/A)", None, &self.bare_again, Load::Payments),
            ("no-op filter", Some(Contender::Noop), &self.noop, Load::Payments),
            ("its host calls alone", Some(Contender::Calls), &self.calls, Load::Payments),
            ("Lua filter", Some(Contender::Lua), &self.lua, Load::Payments),
            ("this filter", Some(Contender::Ours), &self.ours, Load::Payments),
            ("this filter, repeats", None, &self.ours, Load::Repeats),
        ];
        let mut all: Vec<Series> = pairs
            .iter()
            .map(|(name, contender, variant, _)| Series {
                name,
                contender: *contender,
                rounds: Vec::new(),
                bytes: variant.bytes,
                rss_kib: variant.rss_kib,
            })
            .collect();
        for number in 1..=options.rounds {
            let mut line = format!("round {number} of {}:", options.rounds);
            for ((.., candidate, load), series) in pairs.iter().zip(&mut all) {
                let pair = [&self.bare.envoy, &candidate.envoy];
                let round = measure_round(pair, *load, options, payments)?;
                line.push_str(&format!(" {:.3}", round.candidate / round.base));
                series.rounds.push(round);
            }
            eprintln!("{line}");
        }
        Ok(all)
    }
}

/// Loads both Envoys of a pair at once.
fn measure_round(
    [base, candidate]: [&Envoy; 2],
    load: Load,
    options: &Options,
    payments: &AtomicU64,
) -> Outcome<Round> {
    let lasts = Duration::from_secs(u64::from(options.seconds));
    let pace = Pace::Rate { per_second: options.rate, lasts };
    let paid_before = payments.load(Ordering::Relaxed);
    let before = [base.cpu_us()?, candidate.cpu_us()?];
    let (of_base, of_candidate) = thread::scope(|scope| {
        let of_base = scope.spawn(|| load::run(base.port, Load::Payments, pace));
        let of_candidate = load::run(candidate.port, load, pace);
        (of_base.join(), of_candidate)
    });
    let of_base = of_base.map_err(|_| "the load's thread panicked")??;
    let of_candidate = of_candidate?;
    let after = [base.cpu_us()?, candidate.cpu_us()?];
    let expected = match load {
        Load::Payments => of_base + of_candidate,
        // Each connection makes the payment once that it then repeats.
        Load::Repeats => of_base + u64::from(load::CONNECTIONS),
    };
    let paid = payments.load(Ordering::Relaxed) - paid_before;
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
