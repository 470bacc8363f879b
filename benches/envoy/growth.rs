//! What a payment costs when there is more of everything: claims, gateways, partners.
//!
//! ```text
//! cargo bench --bench envoy -- --envoy PATH growth
//! ```
//!
//! Pairs, as in [`compare`](super::compare), but both of a pair run this filter: one has a store that is nearly
//! empty, two gateways and one partner, the other more of one of these. The pair of two that are alike is the
//! error of the method. At retention's edge all claims that there is room for were made, and each that comes
//! takes the place of one that has expired. Kept answers are one set, which is full in all of them: what
//! grows is the claims.

use std::fs;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::config::Filter;
use super::ground::Ground;
use super::load::{self, Load, Pace};
use super::process::{Envoy, Setup};
use super::report::{Round, ratio_of};
use super::{Cores, Options, Outcome, capacity, measure_round, module};

/// How much more there is.
#[derive(Clone, Debug, Args)]
pub(crate) struct Growth {
    /// Claims of the largest store
    #[arg(long, default_value_t = 1_000_000)]
    claims: u64,
}

/// Claims of the default store.
const MANY: u64 = 65_536;
const A_DAY_S: u64 = 86_400;
/// How long claims are kept at retention's edge, in seconds; far below the safe minimum.
const EDGE_S: u64 = 10;

/// One that there is more of.
struct Kind {
    name: String,
    settings: Value,
    load: Load,
    /// What is paid before anything is measured.
    before: Pace,
}

/// Measures all pairs in turns, and prints a table.
pub(crate) fn run(options: &Options, wanted: &Growth) -> Outcome<()> {
    let ground = Ground::new(options)?;
    let setup = ground.setup(Cores::split());
    let kinds = kinds(options, wanted);
    for kind in &kinds {
        capacity::parse(options, &kind.settings)?;
    }
    let [empty, ..] = &kinds;
    let empty = start(&setup, options, empty)?;
    let envoys = kinds.iter().map(|kind| start(&setup, options, kind));
    let envoys = envoys.collect::<Outcome<Vec<Envoy>>>()?;
    let mut rounds: Vec<Vec<Round>> = kinds.iter().map(|_| Vec::new()).collect();
    for number in 1..=options.rounds {
        let mut line = format!("round {number} of {}:", options.rounds);
        for ((envoy, kind), rounds) in envoys.iter().zip(&kinds).zip(&mut rounds) {
            let loads = [Load::Payments, kind.load];
            let round = measure_round([&empty, envoy], loads, options, &ground)?;
            line.push_str(&format!(" {:.3}", round.candidate / round.base));
            rounds.push(round);
        }
        eprintln!("{line}");
    }
    let mut rows = Vec::new();
    println!("{:<28}{:>9}   {:<24}{:>9}", "a payment, with", "us", "of nearly empty", "RSS MiB");
    for ((kind, rounds), envoy) in kinds.iter().zip(&rounds).zip(&envoys) {
        let (us, ratio) = ratio_of(rounds);
        let rss_mib = envoy.rss_kib()? as f64 / 1024.0;
        println!("{:<28}{us:>9.1}   {ratio:<24}{rss_mib:>9.1}", kind.name);
        let each = rounds.iter().map(|round| [round.base, round.candidate]);
        let each: Vec<_> = each.collect();
        rows.push(json!({"kind": kind.name, "us": us, "ratio": ratio, "rss_mib": rss_mib, "rounds": each}));
    }
    println!("Medians of {} rounds, of all that Envoy does for a payment", options.rounds);
    let output = options.output.with_file_name("growth.json");
    fs::create_dir_all(output.parent().unwrap_or(&output))?;
    fs::write(&output, serde_json::to_vec_pretty(&rows)?)?;
    Ok(())
}

/// What is compared, the first with itself.
fn kinds(options: &Options, wanted: &Growth) -> [Kind; 6] {
    let kind =
        |name: &str, settings, load, before| Kind { name: name.to_owned(), settings, load, before };
    let settings = |claims_max: u64, retention_s: u64| {
        let store = json!({"local": {"claims_max": claims_max}});
        json!({
            "testing": {"unsafe_timings": true},
            "idempotency": {"retention_s": retention_s, "store": store, "bodies_max": 1},
            "audit": null,
        })
    };
    // The base pays in each pair, and has a hundred thousand claims at the end.
    let empty = || settings(wanted.claims, A_DAY_S);
    let paid = u64::from(options.rate) * u64::from(options.seconds) * u64::from(options.rounds);
    // As full at the end as a store is laid out to be.
    let live = |claims: u64| settings(claims + paid, A_DAY_S);
    let edge = settings(u64::from(options.rate) * EDGE_S, EDGE_S);
    let lasts = Duration::from_secs(2 * EDGE_S);
    let until_edge = Pace::Rate { per_second: options.rate, lasts };
    let warm = Pace::All(u64::from(options.warm_up));
    [
        kind("nearly empty again (A/A)", empty(), Load::Payments, warm),
        kind(&format!("{MANY} claims"), live(MANY), Load::Payments, Pace::All(MANY)),
        kind(
            &format!("{} claims", wanted.claims),
            live(wanted.claims),
            Load::Payments,
            Pace::All(wanted.claims),
        ),
        kind("claims that have expired", edge, Load::Payments, until_edge),
        kind("eight gateways", eight(empty()), Load::Payments, warm),
        kind("a thousand partners", empty(), Load::Partners, warm),
    ]
}

/// With eight gateways; behind the last six is the second one again.
fn eight(mut settings: Value) -> Value {
    let gateway = |number: usize| {
        let name = match number {
            1 => "primary".to_owned(),
            2 => "secondary".to_owned(),
            number => format!("reserve{number}"),
        };
        json!({"name": name, "cluster": format!("dana_{name}"), "host": format!("{name}.dana.example")})
    };
    if let Some(settings) = settings.as_object_mut() {
        settings.insert("gateways".to_owned(), (1..=8).map(gateway).collect());
    }
    settings
}

/// One that is warm and holds the claims it is to have.
fn start(setup: &Setup<'_>, options: &Options, kind: &Kind) -> Outcome<Envoy> {
    eprintln!("starting with {}: {:?} first", kind.name, kind.before);
    let (module, _) = module(&options.filter)?;
    let filter = Filter::Ours { module: &module, settings: &kind.settings };
    let name = kind.name.replace(['(', ')', '/', ' '], "-");
    let envoy = Envoy::start(setup, &name, &filter)?;
    load::run(envoy.port, kind.load, kind.before)?;
    Ok(envoy)
}
