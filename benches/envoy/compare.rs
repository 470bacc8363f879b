//! What a payment costs Envoy, by what stands before its router.
//!
//! Compared are Envoy without any filter (bare); a filter of an SDK that does nothing; one that makes the
//! host calls of a charge and decides nothing; a Lua filter, and services that are asked by `ext_authz` and
//! `ext_proc`, that do this filter's job as far as each of them can; and this filter, with each kind of request
//! that it knows. All run the reference configuration; see [`config`](super::config).
//!
//! The measure is processor time, user and system, per request: of Envoy, and of the service that it asks. It
//! is taken in **pairs**: bare and candidate run at the same time on one core, each under the same load, and a
//! round is the ratio of the two. Whatever else slows the machine down slows both. Load and gateways
//! run on another core. Rounds of all pairs take turns, so that a slow minute hits all of them, and
//! each Envoy is warmed up first. The pair of bare with bare is the error of the method. Intervals are
//! bootstrapped over rounds.
//!
//! Latencies are of one Envoy at the same rate while the others idle, in turns too, from sending to the whole
//! answer. Throughput is what four connections for each worker get through without a pause; with two workers
//! they share both cores with load and gateways.

use std::time::Duration;
use std::{fs, thread};

use serde_json::{Value, json};

use super::config::Filter;
use super::ground::Ground;
use super::load::{self, Load, Pace};
use super::peer::Way;
use super::process::{Cores, Envoy, Setup, free_ports};
use super::report::{self, Contender, Crowd, Series};
use super::{Options, Outcome, measure_round, module};

/// Rounds of each row's latencies.
const ALONE: u32 = 3;
/// Workers of the Envoys that are to get through as much as they can, beside those with one.
const WORKERS: u32 = 2;
/// Workers of the Envoys that show what one more takes.
const MANY_WORKERS: u32 = 5;
/// Payments each second that no Envoy here comes to.
const CROWD_MAX: u64 = 30_000;

/// What is in the table, in its order: what stands before the router, and what it is asked.
const ROWS: [(&str, Contender, Load); 13] = [
    ("bare again (A/A)", Contender::BareAgain, Load::Payments),
    ("no-op filter", Contender::Noop, Load::Payments),
    ("its host calls alone", Contender::Calls, Load::Payments),
    ("Lua filter", Contender::Lua, Load::Payments),
    ("ext_authz, claims only", Contender::Authz, Load::Payments),
    ("ext_proc service", Contender::Processing, Load::Payments),
    ("this filter, charge", Contender::Ours, Load::Payments),
    ("  ends in doubt", Contender::Ours, Load::Doubts),
    ("  inquiry", Contender::Ours, Load::Statuses),
    ("  replay", Contender::Ours, Load::Repeats),
    ("  refusal", Contender::Ours, Load::Refusals),
    ("bare again, inquiry", Contender::BareAgain, Load::Statuses),
    ("no-op, inquiry", Contender::Noop, Load::Statuses),
];

/// Measures everything, and prints the tables.
pub(crate) fn run(options: &Options) -> Outcome<()> {
    let cores = Cores::split();
    if cores.is_none() {
        eprintln!("warning: no core of its own for Envoy (two cores and taskset are needed)");
    }
    let ground = Ground::new(options)?;
    let setup = ground.setup(cores);
    let filters = Filters::new(options)?;
    let started = filters.started(&setup, options)?;
    let mut series = pairs(&started, options, &ground)?;
    alone(&started, &mut series, options)?;
    let crowds = crowds(&filters, &setup, started, options)?;
    let settings = json!({
        "rounds": options.rounds,
        "seconds": options.seconds,
        "payments_per_second": options.rate,
        "warm_up": options.warm_up,
        "cores_split": cores.is_some(),
    });
    let (json, tables) = report::report(&series, &crowds, &settings);
    if let Some(folder) = options.output.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&options.output, serde_json::to_vec_pretty(&json)?)?;
    println!("{tables}");
    println!("Medians of {} rounds [95 %]; also in {}", options.rounds, options.output.display());
    Ok(())
}

/// What each contender runs.
struct Filters {
    noop: (String, u64),
    calls: (String, u64),
    ours: (String, u64),
    settings: Value,
    script: &'static str,
}

/// An Envoy and what it runs.
struct Started {
    contender: Contender,
    envoy: Envoy,
    rss_kib: u64,
}

impl Filters {
    fn new(options: &Options) -> Outcome<Self> {
        // The store has room for all payments of this run.
        let rounds = u64::from(2 * options.rounds + 3 * ALONE);
        let paid = u64::from(options.rate) * u64::from(options.seconds) * rounds;
        let crowds = u64::from(options.seconds) * CROWD_MAX;
        let claims = paid + 4 * u64::from(options.warm_up) + crowds;
        Ok(Self {
            noop: module(&options.noop)?,
            calls: module(&options.calls)?,
            ours: module(&options.filter)?,
            // Its entries are measured by themselves.
            settings: json!({
                "idempotency": {"store": {"local": {"claims_max": claims}}}, "audit": null,
            }),
            script: include_str!("../filters/claims.lua"),
        })
    }

    fn filter(&self, contender: Contender) -> Outcome<Filter<'_>> {
        let service = |way| -> Outcome<Filter<'_>> {
            let [port] = free_ports()?;
            Ok(Filter::Service { way, port })
        };
        Ok(match contender {
            Contender::Bare | Contender::BareAgain => Filter::None,
            Contender::Noop => Filter::Noop { module: &self.noop.0 },
            Contender::Calls => Filter::Calls { module: &self.calls.0 },
            Contender::Lua => Filter::Lua { script: self.script },
            Contender::Authz => service(Way::ExtAuthz)?,
            Contender::Processing => service(Way::ExtProc)?,
            Contender::Ours => Filter::Ours { module: &self.ours.0, settings: &self.settings },
        })
    }

    /// Bytes of the module or script.
    fn bytes(&self, contender: Contender) -> Option<u64> {
        match contender {
            Contender::Bare | Contender::BareAgain | Contender::Authz | Contender::Processing => {
                None
            }
            Contender::Noop => Some(self.noop.1),
            Contender::Calls => Some(self.calls.1),
            Contender::Lua => Some(self.script.len() as u64),
            Contender::Ours => Some(self.ours.1),
        }
    }

    /// One that is warm.
    fn start(
        &self,
        setup: &Setup<'_>,
        options: &Options,
        contender: Contender,
    ) -> Outcome<Started> {
        let name = format!("{contender:?}-{}", setup.workers);
        eprintln!("starting {name}");
        let envoy = Envoy::start(setup, &name, &self.filter(contender)?)?;
        crowd(&envoy, setup.workers, Pace::All(u64::from(options.warm_up / setup.workers)))?;
        let rss_kib = envoy.rss_kib()?;
        Ok(Started { contender, envoy, rss_kib })
    }

    fn started(&self, setup: &Setup<'_>, options: &Options) -> Outcome<Vec<Started>> {
        let all = Contender::ALL.into_iter();
        let started = all.map(|contender| self.start(setup, options, contender));
        let started = started.collect::<Outcome<Vec<_>>>()?;
        let warm_up = Pace::All(u64::from(options.warm_up));
        for load in [Load::Repeats, Load::Statuses, Load::Refusals] {
            load::run(of(&started, Contender::Ours)?.envoy.port, load, warm_up)?;
        }
        // What settles a payment can answer its repeat: else it does less than is said of it.
        for contender in [Contender::Lua, Contender::Processing] {
            load::run(of(&started, contender)?.envoy.port, Load::Repeats, Pace::All(100))?;
        }
        Ok(started)
    }
}

fn of(started: &[Started], contender: Contender) -> Outcome<&Started> {
    let mut found = started.iter().filter(|one| one.contender == contender);
    Ok(found.next().ok_or("a contender was not started")?)
}

/// All pairs, in turns.
fn pairs(started: &[Started], options: &Options, ground: &Ground) -> Outcome<Vec<Series>> {
    let mut all = ROWS.map(|(name, contender, load)| Series::new(name, contender, load));
    let bare = &of(started, Contender::Bare)?.envoy;
    for number in 1..=options.rounds {
        let mut line = format!("round {number} of {}:", options.rounds);
        for series in &mut all {
            let candidate = &of(started, series.contender)?.envoy;
            let loads = [series.base_load(), series.load];
            let round = measure_round([bare, candidate], loads, options, ground)?;
            line.push_str(&format!(" {:.3}", round.candidate / round.base));
            series.rounds.push(round);
        }
        eprintln!("{line}");
    }
    Ok(all.into())
}

/// How long each kind of request takes one Envoy while the others idle, in turns.
fn alone(started: &[Started], all: &mut [Series], options: &Options) -> Outcome<()> {
    let lasts = Duration::from_secs(u64::from(options.seconds));
    for number in 1..=ALONE {
        eprintln!("latencies, round {number} of {ALONE}");
        for series in &mut *all {
            let port = of(started, series.contender)?.envoy.port;
            let pace = Pace::Rate { per_second: options.rate, lasts };
            series.alone.push(load::run(port, series.load, pace)?);
        }
    }
    Ok(())
}

/// What each contender gets through, with one worker and with two, and what starts and holds.
fn crowds(
    filters: &Filters,
    setup: &Setup<'_>,
    started: Vec<Started>,
    options: &Options,
) -> Outcome<Vec<Crowd>> {
    let pace = Pace::Full { lasts: Duration::from_secs(u64::from(options.seconds)) };
    let mut crowds = Vec::new();
    for one in started.iter().filter(|one| one.contender != Contender::BareAgain) {
        let (begin, used) = (load::now(), one.envoy.cpu_us()?);
        let per_second = crowd(&one.envoy, 1, pace)?;
        let busy_us = one.envoy.cpu_us()? - used;
        crowds.push(Crowd {
            contender: one.contender,
            per_second: [per_second, 0.0],
            busy: busy_us / begin.elapsed().as_secs_f64() / 1e6,
            rss_kib: one.rss_kib,
            rss_of_worker_kib: 0,
            ready: one.envoy.ready,
            bytes: filters.bytes(one.contender),
        });
    }
    drop(started);
    let cores = setup.cores.map(Cores::spread).transpose()?;
    let with = |workers| Setup { cores, workers, ..*setup };
    for crowd_of in &mut crowds {
        let [_, of_two] = &mut crowd_of.per_second;
        let two = filters.start(&with(WORKERS), options, crowd_of.contender)?;
        *of_two = crowd(&two.envoy, WORKERS, pace)?;
        drop(two);
        let many = filters.start(&with(MANY_WORKERS), options, crowd_of.contender)?;
        let more = many.rss_kib.saturating_sub(crowd_of.rss_kib);
        crowd_of.rss_of_worker_kib = more / u64::from(MANY_WORKERS - 1);
    }
    Ok(crowds)
}

/// Payments from so many loads at once; how many each second.
fn crowd(envoy: &Envoy, loads: u32, pace: Pace) -> Outcome<f64> {
    let begin = load::now();
    let answered = thread::scope(|scope| {
        let loads: Vec<_> = (0..loads)
            .map(|_| scope.spawn(|| load::run(envoy.port, Load::Payments, pace)))
            .collect();
        loads.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    let mut requests = 0;
    for answered in answered {
        requests += answered.map_err(|_| "the load's thread panicked")??.requests;
    }
    Ok(requests as f64 / begin.elapsed().as_secs_f64())
}
