//! Two modules of this filter against each other: what a change brings.
//!
//! ```text
//! cargo bench --bench envoy -- --envoy PATH versus OLD.wasm
//! ```
//!
//! Pairs, as in [`compare`](super::compare): the older module and this one run at the same time on one core,
//! with the same settings. That tells a hundredth of what Envoy does for a payment apart, where two runs
//! beside bare Envoy do not. The older one beside itself is the error of the method. Each pair has its own two
//! Envoys, so that both of them have made as many payments.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::config::Filter;
use super::ground::Ground;
use super::load::{self, Load, Pace};
use super::process::Envoy;
use super::report::{Round, ratio_of};
use super::{Cores, Options, Outcome, measure_round, module};

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
    let ground = Ground::new(options)?;
    let setup = ground.setup(Cores::split());
    let lasts = u64::from(options.seconds) * u64::from(options.rounds);
    let paid = 2 * (u64::from(options.rate) * lasts + u64::from(options.warm_up));
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
    let alike = [start("old-one", &wanted.old)?, start("old-other", &wanted.old)?];
    let pair = [start("old", &wanted.old)?, start("new", &options.filter)?];
    let rows = [("old again (A/A)", &alike, Load::Payments)].into_iter();
    let rows = rows.chain(KINDS.map(|(name, load)| (name, &pair, load)));
    let mut rows: Vec<_> = rows.map(|row| (row, Vec::<Round>::new())).collect();
    for number in 1..=options.rounds {
        let mut line = format!("round {number} of {}:", options.rounds);
        for ((_, [old, new], load), rounds) in &mut rows {
            let round = measure_round([old, new], [*load; 2], options, &ground)?;
            line.push_str(&format!(" {:.3}", round.candidate / round.base));
            rounds.push(round);
        }
        eprintln!("{line}");
    }
    println!("{:<18}{:>12}   {:<24}", "processor time", "us of old", "of old");
    for ((name, ..), rounds) in &rows {
        let (us, ratio) = ratio_of(rounds);
        println!("{name:<18}{us:>12.1}   {ratio:<24}");
    }
    println!("Medians of {} rounds, of all that Envoy does for a request", options.rounds);
    Ok(())
}
