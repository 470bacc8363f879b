//! Two modules of this filter against each other: what a change brings.
//!
//! ```text
//! cargo bench --bench envoy -- --envoy PATH versus OLD.wasm
//! ```
//!
//! Pairs, as in [`compare`](super::compare): the older module and this one run at the same time on one core,
//! with the same settings. That tells a hundredth of what Envoy does for a payment apart, where two runs
//! beside bare Envoy do not. The older one beside itself is the error of the method.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use clap::Args;
use serde_json::json;

use super::config::Filter;
use super::load::{self, Load, Pace};
use super::process::{Envoy, Setup};
use super::report::{Round, median};
use super::{Cores, Options, Outcome, binary, measure_round, module, read, upstream};

/// What this module is compared with.
#[derive(Clone, Debug, Args)]
pub(crate) struct Versus {
    /// The older module
    old: PathBuf,
}

/// Kinds of requests that are compared.
const KINDS: [(&str, Load); 3] =
    [("charge", Load::Payments), ("inquiry", Load::Statuses), ("replay", Load::Repeats)];

/// Measures all pairs in turns, and prints a table.
pub(crate) fn run(options: &Options, wanted: &Versus) -> Outcome<()> {
    let payments = Arc::new(AtomicU64::new(0));
    let folder = tempfile::tempdir()?;
    let reference = read(&options.config)?;
    let setup = Setup {
        under: &[],
        binary: &binary(options)?,
        reference: &reference,
        folder: folder.path(),
        cores: Cores::split(),
        workers: 1,
        gateways: [upstream::start(&payments)?, upstream::start(&payments)?],
    };
    let paid = u64::from(options.rate * options.seconds * options.rounds * 4 + options.warm_up);
    let settings = json!({
        "idempotency": {"store": {"local": {"claims_max": paid}}}, "audit": null,
    });
    let start = |name, path| -> Outcome<Envoy> {
        let (module, _) = module(path)?;
        let filter = Filter::Ours { module: &module, settings: &settings };
        let envoy = Envoy::start(&setup, name, &filter)?;
        for (_, load) in KINDS {
            load::run(envoy.port, load, Pace::All(u64::from(options.warm_up)))?;
        }
        Ok(envoy)
    };
    let (old, old_again) = (start("old", &wanted.old)?, start("old-again", &wanted.old)?);
    let new = start("new", &options.filter)?;
    let alike = [("old again (A/A)", &old_again, Load::Payments)];
    let rows = alike.into_iter().chain(KINDS.map(|(name, load)| (name, &new, load)));
    let mut rows: Vec<_> = rows.map(|row| (row, Vec::<Round>::new())).collect();
    for number in 1..=options.rounds {
        let mut line = format!("round {number} of {}:", options.rounds);
        for ((_, envoy, load), rounds) in &mut rows {
            let round = measure_round([&old, envoy], [*load; 2], options, &payments)?;
            line.push_str(&format!(" {:.3}", round.candidate / round.base));
            rounds.push(round);
        }
        eprintln!("{line}");
    }
    println!("{:<18}{:>12}{:>12}{:>12}", "processor time", "us of old", "of old", "us saved");
    for ((name, ..), rounds) in &rows {
        let us = median(rounds.iter().map(|round| round.base));
        let ratio = median(rounds.iter().map(|round| round.candidate / round.base));
        println!("{name:<18}{us:>12.1}{ratio:>12.3}{:>12.1}", us * (1.0 - ratio));
    }
    println!("Medians of {} rounds, of all that Envoy does for a request", options.rounds);
    Ok(())
}
