//! What claims in an etcd cost, beside claims in Envoy's memory: how much later a payment is sent and
//! answered, processor time of Envoy and of the members, and space on disk.
//!
//! ```text
//! cargo bench --bench etcd [-- --quick]
//! ```
//!
//! Two Envoys with the reference configuration stand before one gateway that answers at once: one keeps
//! its claims in memory, the other in an etcd of three members whose writes wait for the disk. Both are
//! loaded in turns. All of it, the load too, shares this machine, so times are upper bounds.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark talks to its terminal")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "it uses what tests use")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "it uses what tests use")]

mod faults;
mod gateway;
#[path = "../envoy/http.rs"]
mod http;
mod load;
mod report;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use clap::Parser;
use serde_json::json;

use gateway::Gateway;
use load::{Client, Spent};
use support::envoy::{Envoy, manager, reference, rendered_from};
use support::etcd::{Etcd, Setup};
use support::until;

/// What claims in an etcd cost.
#[derive(Debug, Parser)]
struct Options {
    /// A few short rounds: shows that it works, not what it costs
    #[arg(long)]
    quick: bool,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// How much is measured.
struct Plan {
    /// Rounds, in each of which both Envoys are loaded.
    rounds: usize,
    /// Payments of one connection in a round.
    payments: usize,
    /// How long many connections pay in a round.
    lasts: Duration,
}

/// How soon another leader is found, as docs/etcd.md advises it for members in one region.
const ELECTION: [&str; 4] = ["--heartbeat-interval", "50", "--election-timeout", "500"];

/// How long each Envoy pays before anything is measured: V8 compiles anew what is used much.
const WARM_UP: Duration = Duration::from_secs(5);

/// Connections that pay at once.
const CROWDS: [usize; 2] = [8, 32];

/// An Envoy, and what was measured of it.
struct Variant {
    name: &'static str,
    envoy: Envoy,
    alone: Vec<Spent>,
    /// Of each of [`CROWDS`], by round.
    crowded: [Vec<Crowd>; CROWDS.len()],
}

/// What many connections at once came to.
#[derive(Clone, Copy)]
struct Crowd {
    per_second: f64,
    /// Microseconds of processor time for each payment.
    envoy_us: f64,
    etcd_us: f64,
    /// Calls of etcd for each payment.
    calls: f64,
}

fn main() {
    let options = Options::parse();
    let plan = if options.quick {
        Plan { rounds: 2, payments: 100, lasts: Duration::from_millis(500) }
    } else {
        Plan { rounds: 10, payments: 300, lasts: Duration::from_secs(4) }
    };
    let etcd = Etcd::start_with(&Setup { is_synced: true, flags: &ELECTION, ..Setup::default() });
    let gateway = Gateway::start();
    let mut variants = ["memory", "etcd"].map(|name| Variant::start(name, &etcd, &gateway));
    for variant in &variants {
        load::crowd(&variant.envoy, variant.name, CROWDS[0], WARM_UP);
    }
    etcd.compact();
    etcd.defragment();
    let (before, claimed) = (etcd.bytes_in_use(), gateway.claimed_in_etcd());
    for round in 1..=plan.rounds {
        eprintln!("round {round} of {}", plan.rounds);
        for variant in &mut variants {
            variant.measure(&plan, &etcd, &gateway);
        }
    }
    let payments = (gateway.claimed_in_etcd() - claimed) as f64;
    let each = |bytes: u64| bytes.saturating_sub(before) as f64 / payments;
    etcd.compact();
    let compacted = each(etcd.bytes_in_use());
    etcd.defragment();
    let space = [compacted, each(etcd.bytes_in_use())];
    let met = faults::measure(&variants[1].envoy, &etcd);
    report::tell(&variants, &plan, space, &met);
    variants.into_iter().for_each(|variant| variant.envoy.may_leak());
}

impl Variant {
    fn start(name: &'static str, etcd: &Etcd, gateway: &Gateway) -> Self {
        let gateways = [gateway.address.as_str(); 2];
        // Whoever pays faster than any merchant needs room for it.
        let local = json!({"idempotency": {"store": {"local": {"claims_max": 600_000}}}});
        let is_local = name == "memory";
        let changes = if is_local { local } else { json!({}) };
        let mut config = rendered_from(reference(), gateways, &changes);
        if !is_local {
            etcd.keep_claims_of(&mut config);
        }
        manager(&mut config)["access_log"] = json!([]);
        let envoy = Envoy::start(&config);
        if !is_local {
            until("its workers have joined the store", Duration::from_secs(30), || {
                (envoy.log().matches("joined the claim store").count() >= 3).then_some(())
            });
        }
        Self { name, envoy, alone: Vec::new(), crowded: Default::default() }
    }

    fn measure(&mut self, plan: &Plan, etcd: &Etcd, gateway: &Gateway) {
        let mut client = Client::new(&self.envoy, self.name);
        self.alone.extend((0..plan.payments).map(|_| client.pay_alone(gateway)));
        for (connections, rounds) in CROWDS.into_iter().zip(&mut self.crowded) {
            let calls = || self.envoy.stat("cluster.dana_etcd.upstream_rq_total") as f64;
            let before = [self.envoy.cpu_us(), etcd.cpu_us(), calls()];
            let made = load::crowd(&self.envoy, self.name, connections, plan.lasts) as f64;
            rounds.push(Crowd {
                per_second: made / plan.lasts.as_secs_f64(),
                envoy_us: (self.envoy.cpu_us() - before[0]) / made,
                etcd_us: (etcd.cpu_us() - before[1]) / made,
                calls: (calls() - before[2]) / made,
            });
        }
    }
}
