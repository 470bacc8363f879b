//! What an entry of the audit trail costs Envoy, by how its lines get to the disk.
//!
//! ```text
//! cargo bench --bench envoy -- --envoy PATH audit
//! ```
//!
//! Pairs, as in the table of all filters; here both of a pair run this filter, and one of them has no audit
//! trail. The pair of two that have none is the error of the method. Both are made from the reference
//! configuration with its audit log. Events have no listener here, and there are none.

use std::fs;

use serde_json::{Value, json};

use super::config::{self, Filter, Ports};
use super::ground::Ground;
use super::load::{self, Load, Pace};
use super::process::{Envoy, Setup, free_ports};
use super::report::{Round, median};
use super::{Cores, Options, Outcome, measure_round, module};

/// What an entry may cost, in microseconds: with lines as Envoy flushes them by itself, and with
/// each line at once.
const EACH: [f64; 2] = [5.0, 35.0];

/// An Envoy with or without an audit trail.
struct Kind {
    name: &'static str,
    audit: Value,
    flush: &'static [&'static str],
}

/// Measures all pairs in turns, and prints a table.
pub(crate) fn run(options: &Options) -> Outcome<()> {
    let ground = Ground::new(options)?;
    let setup = ground.setup(Cores::split());
    // Intents are warnings, and Envoy's log is a file here as in production.
    let at_once =
        ["--file-flush-min-size-kb", "0", "--component-log-level", "wasm:warning"].as_slice();
    let kind = |name, audit, flush| Kind { name, audit, flush };
    let kinds = [
        kind("none again (A/A)", Value::Null, [].as_slice()),
        kind("as Envoy flushes", json!({}), &[]),
        kind("each line at once", json!({}), at_once),
        kind("at once, intents", json!({"intents": true}), at_once),
    ];
    let none = start(&setup, options, &kind("none", Value::Null, &[]))?;
    let envoys = kinds.iter().map(|kind| start(&setup, options, kind));
    let envoys = envoys.collect::<Outcome<Vec<Envoy>>>()?;
    let mut rounds: Vec<Vec<Round>> = kinds.iter().map(|_| Vec::new()).collect();
    for number in 1..=options.rounds {
        let mut line = format!("round {number} of {}:", options.rounds);
        for (envoy, rounds) in envoys.iter().zip(&mut rounds) {
            let round = measure_round([&none, envoy], [Load::Payments; 2], options, &ground)?;
            line.push_str(&format!(" {:+.1}", round.candidate - round.base));
            rounds.push(round);
        }
        eprintln!("{line}");
    }
    let mut rows = Vec::new();
    println!("{:<22}{:>16}{:>16}", "an audit trail", "us a payment", "of no trail");
    for (kind, rounds) in kinds.iter().zip(&rounds) {
        let added = median(rounds.iter().map(|round| round.candidate - round.base));
        let ratio = median(rounds.iter().map(|round| round.candidate / round.base));
        println!("{:<22}{added:>+16.1}{ratio:>16.3}", kind.name);
        rows.push(json!({"kind": kind.name, "us": added, "ratio": ratio}));
    }
    let [own, at_once] = EACH;
    println!("Medians of {} rounds; {own} us and {at_once} us are asked for", options.rounds);
    let output = options.output.with_file_name("audit.json");
    fs::create_dir_all(output.parent().unwrap_or(&output))?;
    fs::write(&output, serde_json::to_vec_pretty(&rows)?)?;
    Ok(())
}

/// One that is warm.
fn start(setup: &Setup<'_>, options: &Options, kind: &Kind) -> Outcome<Envoy> {
    eprintln!("starting {}", kind.name);
    let (module, _) = module(&options.filter)?;
    let paid = options.rate * options.seconds * options.rounds + options.warm_up;
    let store = json!({"store": {"local": {"claims_max": u64::from(paid) * 5 / 4}}});
    let settings = json!({"idempotency": store, "audit": kind.audit});
    let filter = Filter::Ours { module: &module, settings: &settings };
    let [listener, admin] = free_ports()?;
    let [primary, secondary] = setup.gateways;
    let ports = Ports { listener, admin, primary, secondary };
    let mut config = config::render(setup.reference, &filter, ports)?;
    // The audit log of the reference, into a file of its own.
    let place = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/access_log";
    let reference: Value = serde_norway::from_str(setup.reference)?;
    let mut logs = reference.pointer(place).cloned().ok_or("envoy.yaml has no access log")?;
    let of_trail = |log: &Value| log.to_string().contains("wasm.dana_audit");
    let logs = logs.as_array_mut().ok_or("envoy.yaml has no list of access logs")?;
    logs.retain(|log| of_trail(log) && !kind.audit.is_null());
    for log in &mut *logs {
        let path = log.pointer_mut("/typed_config/path").ok_or("the audit log has no path")?;
        *path = json!(setup.folder.join(format!("{}.jsonl", kind.name)));
    }
    *config.pointer_mut(place).ok_or("the listener has no access log")? = json!(logs);
    let name = kind.name.replace(['(', ')', '/', ' '], "-");
    let mut envoy = Envoy::start_config(setup, &name, &config, [listener, admin], kind.flush)?;
    envoy.wait_for(load::try_one)?;
    load::run(envoy.port, Load::Payments, Pace::All(u64::from(options.warm_up)))?;
    Ok(envoy)
}
