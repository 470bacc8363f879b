//! Instructions for each payment, counted by valgrind: they repeat within 1 % where times do not, so a
//! change of a few can be seen.
//!
//! ```text
//! cargo bench --bench envoy -- --envoy PATH profile
//! ```
//!
//! Each Envoy runs under callgrind. After the warm-up its counts are set to zero, payments are made one
//! after the other, and the counts are taken. What Envoy does by itself meanwhile, such as heartbeats, is
//! in them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use clap::Args;
use serde_json::json;

use super::config::Filter;
use super::load::{self, Load, Pace};
use super::process::{Envoy, Setup};
use super::{Options, Outcome, binary, module, read, upstream};

/// How much is counted.
#[derive(Debug, Args)]
pub(crate) struct Profile {
    /// Payments that are counted
    #[arg(long, default_value_t = 400)]
    payments: u64,
    /// Payments before that; an Envoy under valgrind takes fifty times as long as usual
    #[arg(long, default_value_t = 1500)]
    before: u64,
}

/// Counts all variants, and prints a table.
pub(crate) fn run(options: &Options, wanted: &Profile) -> Outcome<()> {
    let payments = Arc::new(AtomicU64::new(0));
    let folder = tempfile::tempdir()?;
    let reference = read(&options.config)?;
    let counts = folder.path().join("counts");
    let out = format!("--callgrind-out-file={}", counts.display());
    let setup = Setup {
        under: &["valgrind", "-q", "--trace-children=yes", "--tool=callgrind", &out],
        binary: &binary(options)?,
        reference: &reference,
        folder: folder.path(),
        cores: None,
        workers: 1,
        gateways: [upstream::start(&payments)?, upstream::start(&payments)?],
    };
    let (noop, _) = module(&options.noop)?;
    let (ours, _) = module(&options.filter)?;
    let settings = json!({});
    let ours = || Filter::Ours { module: &ours, settings: &settings };
    let variants: [(&str, Filter<'_>, Load); 4] = [
        ("bare", Filter::None, Load::Payments),
        ("no-op filter", Filter::Noop { module: &noop }, Load::Payments),
        ("this filter", ours(), Load::Payments),
        ("this filter, repeats", ours(), Load::Repeats),
    ];
    let mut bare = None;
    println!("{:<24}{:>16}{:>12}", "instructions", "each payment", "added");
    for (name, filter, load) in &variants {
        eprintln!("{name}");
        let envoy = Envoy::start(&setup, "profile", filter)?;
        load::run(envoy.port, *load, Pace::All(wanted.before))?;
        control(&envoy, "--zero")?;
        load::run(envoy.port, *load, Pace::All(wanted.payments))?;
        control(&envoy, "--dump")?;
        let each = taken(folder.path())? / wanted.payments;
        drop(envoy);
        let added = each.saturating_sub(*bare.get_or_insert(each));
        println!("{name:<24}{each:>16}{added:>12}");
    }
    Ok(())
}

fn control(envoy: &Envoy, what: &str) -> Outcome<()> {
    let told = Command::new("callgrind_control").arg(what).arg(envoy.pid().to_string()).output()?;
    if told.status.success() {
        return Ok(());
    }
    Err(format!("callgrind_control {what}: {}", String::from_utf8_lossy(&told.stderr)).into())
}

/// The counts that were dumped, which are removed.
fn taken(folder: &Path) -> Outcome<u64> {
    let mut total = None;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("counts")) {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        let line = text.lines().find_map(|line| {
            line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:"))
        });
        total = total.max(line.and_then(|line| line.trim().parse().ok()));
        fs::remove_file(&path)?;
    }
    Ok(total.ok_or("valgrind has dumped no counts")?)
}
