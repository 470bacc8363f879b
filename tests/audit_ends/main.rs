//! How the audit trail ends with its Envoy: killed, told to end, its file rotated and its listener changed
//! under load. What counts is that no payment is missing of which a client was told.
//!
//! - `load`: who pays meanwhile
//! - `hot_restart`: two Envoys over one set of sockets
//! - `scenes`: what happens to Envoy
//!
//! From the environment: `KILLS`, how often it is killed in each way; `make audit-kills` kills it 200 times.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "people read what it prints")]

#[path = "../race_etcd/gateway.rs"]
mod gateway;
mod hot_restart;
#[path = "../../benches/envoy/http.rs"]
mod http;
mod load;
mod scenes;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use scenes::Scene;

/// Kills of a run that nobody has asked for by hand.
const KILLS: u32 = 4;

#[expect(clippy::disallowed_methods, reason = "a run by hand says what it wants")]
fn kills() -> u32 {
    let kills = std::env::var("KILLS").ok().filter(|text| !text.is_empty());
    kills.map_or(KILLS, |text| text.parse().unwrap())
}

fn main() -> ExitCode {
    // Whoever names another test does not wait for this one.
    let named = std::env::args().nth(1).filter(|arg| !arg.starts_with('-'));
    if named.is_some_and(|name| !"audit_ends".contains(&name)) {
        return ExitCode::SUCCESS;
    }
    let kills = kills();
    let mut is_well = true;
    for scene in Scene::ALL {
        let times = if scene.is_kill() { kills } else { 1 };
        match std::panic::catch_unwind(|| scenes::play(scene, times)) {
            Ok(account) => {
                println!("{account}");
                is_well &= account.is_well();
            }
            Err(_) => is_well = false,
        }
    }
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
