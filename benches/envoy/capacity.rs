//! What the store costs in memory: filled to what it is laid out for, and over many more payments
//! than it has places, when every key that comes takes the place of one that has expired.

use std::fs;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;
use dana_failover::engine::Config;
use dana_failover::engine::limits::{BUCKET_RECORDS_MAX, BUCKET_RECORDS_MEAN};
use dana_failover::engine::{Placement, Seed, capacity};
use serde_json::{Value, json};

use super::config::Filter;
use super::ground::Ground;
use super::load::{self, Load, Pace};
use super::process::{Envoy, Memory, Setup};
use super::{Options, Outcome, module, read};

/// Envoy's threads, as in the tests.
const WORKERS: u32 = 2;
/// Payments between two looks at the memory.
const STRIDE: u64 = 25_000;
const MIB: f64 = 1024.0 * 1024.0;

/// Payments with distinct keys through a store that is much smaller.
#[derive(Clone, Debug, Args)]
pub(crate) struct Recycle {
    /// How many payments
    #[arg(long, default_value_t = 1_000_000)]
    payments: u64,
    /// Claims that the store is laid out for
    #[arg(long, default_value_t = 65_536)]
    claims_max: u32,
    /// How long claims are kept, in seconds; far below the safe minimum
    #[arg(long, default_value_t = 2)]
    retention_s: u32,
    /// After how many payments every place has been used before
    #[arg(long, default_value_t = 300_000)]
    from: u64,
    /// MiB by which the memory may grow from then on
    #[arg(long, default_value_t = 5.0)]
    growth_max: f64,
}

/// As many payments as a store is laid out for, none of which expires.
#[derive(Clone, Debug, Args)]
pub(crate) struct Fill {
    /// Claims that the store is laid out for [default: the filter's]
    #[arg(long)]
    claims_max: Option<u32>,
    /// How many payments [default: as many]
    #[arg(long)]
    payments: Option<u64>,
    /// MiB that Envoy may hold then
    #[arg(long, default_value_t = 320.0)]
    rss_max: f64,
}

/// A look at Envoy's memory.
#[derive(Clone, Copy, Debug)]
struct Sample {
    payments: u64,
    lasted: Duration,
    memory: Memory,
}

pub(crate) fn recycle(options: &Options, wanted: &Recycle) -> Outcome<()> {
    let settings = json!({
        "testing": {"unsafe_timings": true},
        "idempotency": {
            "retention_s": wanted.retention_s,
            "store": {"local": {"claims_max": wanted.claims_max}},
        },
    });
    let config = parse(options, &settings)?;
    let places = u64::from(Placement::new(config.store.claims_max, Seed::default()).buckets())
        * BUCKET_RECORDS_MAX as u64;
    if wanted.from < places || wanted.payments <= wanted.from {
        let rule = "--from must be at least the store's places, and --payments more";
        return Err(format!("{rule}: there are {places} places").into());
    }
    println!(
        "{} payments through {places} places, kept for {} s",
        wanted.payments, wanted.retention_s
    );
    let samples = run(options, &settings, wanted.payments)?;
    let mut later = samples.iter().filter(|sample| sample.payments >= wanted.from);
    let base = later.next().ok_or("no sample after --from")?;
    let most = later.map(|sample| sample.memory.rss).max().ok_or("no second sample")?;
    let growth = (most as f64 - base.memory.rss as f64) / MIB;
    write(
        options,
        "recycle",
        &settings,
        &samples,
        &json!({
            "places": places, "from_payments": base.payments, "growth_mib": growth,
        }),
    )?;
    println!("RSS grew by {growth:.2} MiB at most after {} payments", base.payments);
    if growth > wanted.growth_max {
        return Err(format!("more than {} MiB", wanted.growth_max).into());
    }
    Ok(())
}

pub(crate) fn fill(options: &Options, wanted: &Fill) -> Outcome<()> {
    let settings = match wanted.claims_max {
        None => json!({}),
        Some(claims) => json!({"idempotency": {"store": {"local": {"claims_max": claims}}}}),
    };
    let config = parse(options, &settings)?;
    sustained(&config);
    let claims = wanted.payments.unwrap_or_else(|| u64::from(config.store.claims_max));
    let samples = run(options, &settings, claims)?;
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return Err("no samples".into());
    };
    let added = last.memory.rss.saturating_sub(first.memory.rss) as f64;
    let rss = last.memory.rss as f64 / MIB;
    let each = added / (last.payments - first.payments) as f64;
    write(
        options,
        "fill",
        &settings,
        &samples,
        &json!({
            "claims": claims, "rss_mib": rss, "bytes_per_claim": each,
        }),
    )?;
    println!(
        "RSS with {claims} claims: {rss:.1} MiB; {each:.0} bytes a claim, kept answers included"
    );
    if rss > wanted.rss_max {
        return Err(format!("more than {} MiB", wanted.rss_max).into());
    }
    Ok(())
}

/// What the store sustains by its own formula.
fn sustained(config: &Config) {
    let store = config.capacity();
    println!(
        "A store for {} claims that keeps them {} s is as full as it is laid out for with {:.1} \
         payments a second; of new charges it then refuses one in {:.0e}.",
        config.store.claims_max,
        config.store.retention.get() / 1000,
        store.mean_rate(),
        1.0 / capacity::refused(f64::from(BUCKET_RECORDS_MEAN)),
    );
    for share in [1e-12, 1e-9, 1e-6, 1e-3] {
        let rate = store.rate_that_refuses(share);
        println!("It refuses one in {:.0e} with {rate:.1} payments a second.", 1.0 / share);
    }
}

/// The filter's own configuration, as it reads it.
pub(crate) fn parse(options: &Options, settings: &Value) -> Outcome<Config> {
    let plugin = super::config::plugin(&read(&options.config)?, settings)?;
    Config::parse(plugin.to_string().as_bytes()).map_err(|errors| format!("{errors:?}").into())
}

/// Makes the payments, and looks at the memory in between. Each must be answered as a success of
/// its own reference, and reach the first gateway once.
fn run(options: &Options, settings: &Value, payments: u64) -> Outcome<Vec<Sample>> {
    let ground = Ground::new(options)?;
    let [arrived, elsewhere] = &ground.arrived;
    let setup = Setup { workers: WORKERS, ..ground.setup(None) };
    let (module, _) = module(&options.filter)?;
    let envoy = Envoy::start(&setup, "capacity", &Filter::Ours { module: &module, settings })?;
    let begin = load::now();
    let look = |payments| -> Outcome<Sample> {
        let sample = Sample { payments, lasted: begin.elapsed(), memory: envoy.memory()? };
        println!("{}", sample.row());
        Ok(sample)
    };
    println!(
        "{:>10}{:>9}{:>10}{:>12}{:>12}{:>13}",
        "payments", "s", "RSS MiB", "heap, used", "unused", "beside heap"
    );
    // It has answered one payment when it started.
    let mut paid = arrived.load(Ordering::Relaxed);
    let mut samples = vec![look(paid)?];
    while paid < payments {
        let some = STRIDE.min(payments - paid);
        let more = load::run(envoy.port, Load::Payments, Pace::All(some));
        let more = more.map_err(|error| {
            let (arrived, lasted) = (arrived.load(Ordering::Relaxed), begin.elapsed());
            format!("after {arrived} payments in {:.1} s: {error}", lasted.as_secs_f64())
        })?;
        paid += more.requests;
        let found = (arrived.load(Ordering::Relaxed), elsewhere.load(Ordering::Relaxed));
        if found != (paid, 0) {
            return Err(format!("gateways got {found:?} payments instead of {paid}").into());
        }
        samples.push(look(paid)?);
    }
    Ok(samples)
}

impl Sample {
    fn row(&self) -> String {
        let mib = |bytes: u64| bytes as f64 / MIB;
        let Memory { rss, allocated, physical, .. } = self.memory;
        format!(
            "{:>10}{:>9.1}{:>10.2}{:>12.2}{:>12.2}{:>13.2}",
            self.payments,
            self.lasted.as_secs_f64(),
            mib(rss),
            mib(allocated),
            mib(physical.saturating_sub(allocated)),
            // Code, stacks, V8 and the modules' own memories.
            mib(rss.saturating_sub(physical)),
        )
    }

    fn json(&self) -> Value {
        json!({
            "payments": self.payments,
            "seconds": self.lasted.as_secs_f64(),
            "rss_bytes": self.memory.rss,
            "heap_allocated_bytes": self.memory.allocated,
            "heap_physical_bytes": self.memory.physical,
            "heap_free_pages_bytes": self.memory.free_pages,
        })
    }
}

fn write(
    options: &Options,
    name: &str,
    settings: &Value,
    samples: &[Sample],
    result: &Value,
) -> Outcome<()> {
    let folder = options.output.parent().ok_or("--output needs a folder")?;
    fs::create_dir_all(folder)?;
    let path = folder.join(format!("{name}.json"));
    let report = json!({
        "settings": settings,
        "workers": WORKERS,
        "result": result,
        "samples": samples.iter().map(Sample::json).collect::<Vec<_>>(),
    });
    fs::write(&path, serde_json::to_vec_pretty(&report)?)?;
    println!("Numbers are in {}", path.display());
    Ok(())
}
