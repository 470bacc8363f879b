//! Instructions for each payment, counted by valgrind: they repeat within 1 % where times do not, so a
//! change of a few can be seen.
//!
//! ```text
//! cargo bench --bench envoy -- --envoy PATH profile
//! ```
//!
//! Each Envoy runs under callgrind. After the warm-up its counts are set to zero, payments are made one
//! after the other, and the counts are taken. Then it is left alone for as long: what it does by itself,
//! such as heartbeats and walks over the store, is taken away.
//!
//! Code that V8 made of a module belongs to no file, and is told apart by that.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use clap::Args;
use serde_json::json;

use super::config::Filter;
use super::ground::Ground;
use super::load::{self, Load, Pace};
use super::process::{Envoy, Setup};
use super::{Options, Outcome, module};

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
    let ground = Ground::new(options)?;
    let folder = ground.folder.path();
    let out = format!("--callgrind-out-file={}", folder.join("counts").display());
    let under = ["valgrind", "-q", "--trace-children=yes", "--tool=callgrind", &out];
    let setup = Setup { under: &under, ..ground.setup(None) };
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
    let mut bare: Option<Counts> = None;
    println!("{:<24}{:>16}{:>12}{:>12}", "instructions", "each payment", "added", "in the VM");
    for (name, filter, load) in &variants {
        eprintln!("{name}");
        let envoy = Envoy::start(&setup, "profile", filter)?;
        load::run(envoy.port, *load, Pace::All(wanted.before))?;
        let begin = load::now();
        let busy = counted(&envoy, folder, || {
            load::run(envoy.port, *load, Pace::All(wanted.payments)).map(drop)
        })?;
        let lasted = load::now().duration_since(begin);
        let idle = counted(&envoy, folder, || {
            thread::sleep(lasted);
            Ok(())
        })?;
        drop(envoy);
        let each = busy.without(idle).each(wanted.payments);
        let added = each.without(*bare.get_or_insert(each));
        println!("{name:<24}{:>16}{:>12}{:>12}", each.all, added.all, added.nameless);
    }
    Ok(())
}

/// Instructions that were executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    all: u64,
    /// Of code that belongs to no file.
    nameless: u64,
}

impl Counts {
    const fn without(self, other: Self) -> Self {
        let all = self.all.saturating_sub(other.all);
        Self { all, nameless: self.nameless.saturating_sub(other.nameless) }
    }

    fn each(self, payments: u64) -> Self {
        let payments = payments.max(1);
        Self { all: self.all / payments, nameless: self.nameless / payments }
    }
}

/// What is executed while something is done.
fn counted(envoy: &Envoy, folder: &Path, what: impl FnOnce() -> Outcome<()>) -> Outcome<Counts> {
    control(envoy, "--zero")?;
    what()?;
    control(envoy, "--dump")?;
    taken(folder)
}

fn control(envoy: &Envoy, what: &str) -> Outcome<()> {
    let told = Command::new("callgrind_control").arg(what).arg(envoy.pid().to_string()).output()?;
    if told.status.success() {
        return Ok(());
    }
    Err(format!("callgrind_control {what}: {}", String::from_utf8_lossy(&told.stderr)).into())
}

/// The counts that were dumped, which are removed.
fn taken(folder: &Path) -> Outcome<Counts> {
    let mut most = Counts::default();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("counts")) {
            continue;
        }
        let counts = read_counts(&fs::read_to_string(&path)?);
        if counts.all > most.all {
            most = counts;
        }
        fs::remove_file(&path)?;
    }
    if most.all == 0 {
        return Err("valgrind has dumped no counts".into());
    }
    Ok(most)
}

/// Adds up callgrind's lines (its format is in valgrind's manual). Each has a place and a count, and
/// belongs to the object that was named last. The one after `calls=` counts what was called, which
/// has lines of its own.
fn read_counts(text: &str) -> Counts {
    let mut counts = Counts::default();
    let mut nameless = None;
    let (mut in_nameless, mut is_called) = (false, false);
    for line in text.lines() {
        let own = line.strip_prefix("ob=");
        if let Some(object) = own.or_else(|| line.strip_prefix("cob=")) {
            // Named once, and by its number from then on.
            let number = object.split(' ').next();
            if object.ends_with(" ???") {
                nameless = number;
            }
            if own.is_some() {
                in_nameless = nameless.is_some() && number == nameless;
            }
        } else if line.starts_with("calls=") {
            is_called = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let count = line.split(' ').nth(1).and_then(|count| count.parse().ok()).unwrap_or(0);
            if !std::mem::take(&mut is_called) {
                counts.all += count;
                counts.nameless += if in_nameless { count } else { 0 };
            }
        }
    }
    counts
}
