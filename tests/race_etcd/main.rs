//! `make race`: payments are raced through three Envoys with one etcd, whose members and whose Envoys
//! are killed and frozen meanwhile. Each payment is asked for by four connections at the same moment.
//! What counts is what the gateways have executed: each payment once, or not at all.
//!
//! - `gateway`: stand-in gateways with one ledger
//! - `stand`: the Envoys and the etcd
//! - `clients`: who asks for payments
//! - `faults`: what goes wrong
//! - `account`: what came of it
//!
//! From the environment: `KEYS`, how many payments; `KILLS=0` spares the Envoys; `REPORT`, where the
//! figures are written.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "people read what it prints")]

mod account;
mod clients;
mod faults;
mod gateway;
#[path = "../../benches/envoy/http.rs"]
mod http;
mod stand;
#[path = "../support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use clients::Clients;
use faults::Faults;
use gateway::Ledger;
use stand::Stand;

/// Payments of a run that nobody has asked for by hand.
const KEYS: u32 = 5000;

fn main() -> ExitCode {
    // Whoever names another test does not wait for this one.
    let named = std::env::args().nth(1).filter(|arg| !arg.starts_with('-'));
    if named.is_some_and(|name| !"race_etcd".contains(&name)) {
        return ExitCode::SUCCESS;
    }
    match std::panic::catch_unwind(run) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

#[expect(clippy::disallowed_methods, reason = "a run by hand says what it wants")]
fn setting(name: &str, default: u32) -> u32 {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty());
    text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text}")))
}

/// Whether all is as it must be.
fn run() -> bool {
    let (keys, kills) = (setting("KEYS", KEYS), setting("KILLS", 1) != 0);
    println!("{keys} payments, each over 4 connections, by 3 Envoys with 3 members of etcd");
    let ledger = Ledger::default();
    let gateways = ["primary", "secondary"].map(|name| gateway::start(name, &ledger));
    let stand = Stand::start(gateways);
    let (faults, clients) = (Faults::default(), Clients::new(keys));
    let (taken, were_injected) = thread::scope(|scope| {
        let progress = scope.spawn(|| show_progress(&clients, &faults));
        let trouble = scope.spawn(|| faults.inject(&stand, &clients, kills));
        clients.run(&stand, &faults);
        // What came of it counts even if a fault could not be mended.
        let were_injected = trouble.join().is_ok();
        (progress.join().unwrap(), were_injected)
    });
    let account = account::take(&stand, &clients, &faults, &ledger, taken);
    let report = std::env::var_os("REPORT").map(PathBuf::from);
    let report = report.unwrap_or_else(|| support::root().join("target/race_etcd.json"));
    std::fs::write(&report, format!("{:#}\n", account.to_json())).unwrap();
    println!("figures: {}", report.display());
    let is_well = were_injected && account.is_well(kills);
    if !is_well {
        stand.lines().iter().for_each(|line| println!("{line}"));
    }
    account.tell(kills);
    stand.end();
    is_well
}

/// Tells how it goes, until all is done; how long that took.
fn show_progress(clients: &Clients, faults: &Faults) -> Duration {
    let begin = support::now();
    let (told, mut due) = (AtomicU32::new(0), Duration::from_secs(5));
    while !clients.is_done() {
        support::pause(Duration::from_millis(50));
        if begin.elapsed() >= due {
            due += Duration::from_secs(5);
            let made = clients.made();
            let since = made - told.swap(made, Ordering::Relaxed);
            println!(
                "{:>5.0} s {made:>7} payments, {:>4} a second, {:>3} faults",
                begin.elapsed().as_secs_f64(),
                since / 5,
                faults.injected(),
            );
        }
    }
    begin.elapsed()
}
