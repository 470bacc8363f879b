//! From rounds to numbers with their errors: the table and the JSON file.

use std::time::Duration;

use serde_json::{Value, json};

use super::load::{Answered, Load};
use super::random::Random;

/// Microseconds of processor time per payment in one round, of both Envoys of a pair.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub(crate) base: f64,
    pub(crate) candidate: f64,
}

/// One row's rounds.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) contender: Contender,
    pub(crate) load: Load,
    /// Beside bare.
    pub(crate) rounds: Vec<Round>,
    /// By itself.
    pub(crate) alone: Vec<Answered>,
}

impl Series {
    pub(crate) const fn new(name: &'static str, contender: Contender, load: Load) -> Self {
        Self { name, contender, load, rounds: Vec::new(), alone: Vec::new() }
    }

    /// What bare is asked meanwhile: the same, or a payment where only the filter knows a request of this
    /// kind from one.
    pub(crate) const fn base_load(&self) -> Load {
        match self.load {
            Load::Payments | Load::Partners | Load::Repeats | Load::Refusals => Load::Payments,
            Load::Doubts | Load::Statuses => self.load,
        }
    }
}

/// What a contender gets through and takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    pub(crate) contender: Contender,
    /// Payments each second, with one worker and with two.
    pub(crate) per_second: [f64; 2],
    /// How much of its core the Envoy with one worker took meanwhile. Far below 1 the load was the slower one.
    pub(crate) busy: f64,
    /// Memory of the whole Envoy with one worker, after its warm-up, and of what it asks.
    pub(crate) rss_kib: u64,
    /// Of one worker more.
    pub(crate) rss_of_worker_kib: u64,
    /// From its start to its first answer.
    pub(crate) ready: Duration,
    /// Of the module or script.
    pub(crate) bytes: Option<u64>,
}

/// What stands before the router. Some are what those after them are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contender {
    Bare,
    BareAgain,
    Noop,
    Calls,
    Lua,
    Authz,
    Processing,
    Ours,
}

impl Contender {
    pub(crate) const ALL: [Self; 8] = [
        Self::Bare,
        Self::BareAgain,
        Self::Noop,
        Self::Calls,
        Self::Lua,
        Self::Authz,
        Self::Processing,
        Self::Ours,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::BareAgain => "bare again",
            Self::Noop => "no-op filter",
            Self::Calls => "its host calls alone",
            Self::Lua => "Lua filter",
            Self::Authz => "ext_authz, claims only",
            Self::Processing => "ext_proc service",
            Self::Ours => "this filter",
        }
    }
}

/// A number and the interval that holds it with 95 % confidence.
#[derive(Clone, Copy, Debug)]
struct Estimate {
    value: f64,
    low: f64,
    high: f64,
}

/// One line of the table.
struct Row<'a> {
    series: &'a Series,
    us: f64,
    added_us: Estimate,
    to_bare: Estimate,
    to_noop: Option<Estimate>,
    to_calls: Option<Estimate>,
    to_lua: Option<Estimate>,
    /// Of its latencies by itself: the middle one, and what 99 of a hundred are below.
    percentiles_us: [u32; 2],
}

/// The comparison as JSON and as tables.
pub(crate) fn report(all: &[Series], crowds: &[Crowd], settings: &Value) -> (Value, String) {
    let bare_us = base_us(all, Load::Payments);
    let rows: Vec<Row<'_>> = all.iter().map(|series| row(series, all)).collect();
    let json = json!({
        "settings": settings,
        "bare_us_per_payment": bare_us,
        "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
        "contenders": crowds.iter().map(Crowd::json).collect::<Vec<_>>(),
        "rounds": all.iter().map(rounds).collect::<Vec<_>>(),
    });
    let mut tables = format!(
        "{:<22}{:>9}  {:<24}{:<24}{:<20}{:<20}{:<20}{:>9}{:>9}\n",
        "processor time",
        "us each",
        "added us",
        "to bare",
        "added to no-op's",
        "to its host calls'",
        "to Lua's",
        "p50 us",
        "p99 us"
    );
    tables.push_str(&format!("{:<22}{bare_us:>9.1}\n", "bare"));
    for row in &rows {
        tables.push_str(&row.text());
    }
    tables.push_str(&format!(
        "\n{:<22}{:>16}{:>8}{:>16}{:>9}{:>15}{:>10}{:>9}\n",
        "",
        "1 worker, 1/s",
        "busy %",
        "2 workers, 1/s",
        "RSS MiB",
        "a worker's MiB",
        "ready ms",
        "bytes"
    ));
    for crowd in crowds {
        tables.push_str(&crowd.text());
    }
    (json, tables)
}

/// What a request of this kind costs bare Envoy, in all rounds that measured it: rows that are compared
/// with each other begin with the same.
fn base_us(all: &[Series], load: Load) -> f64 {
    let alike = all.iter().filter(|series| series.base_load() == load);
    median(alike.flat_map(|series| &series.rounds).map(|round| round.base))
}

/// What one pair says. All comes from each round's ratio: noise that slows a round down slows
/// both of its Envoys.
fn row<'a>(series: &'a Series, all: &[Series]) -> Row<'a> {
    let count = all.iter().map(|series| series.rounds.len()).min().unwrap_or(0);
    let bare_us = base_us(all, series.base_load());
    let added = |series: &Series, picked: &[usize]| ratio(series, picked) - 1.0;
    let compared = |with: Contender| {
        let alike = |other: &&Series| other.contender == with && other.load == series.load;
        let other = all.iter().find(alike)?;
        let other_us = base_us(all, other.base_load());
        let compares = series.contender > with;
        compares.then(|| {
            estimate(count, |picked| {
                bare_us * added(series, picked) / (other_us * added(other, picked))
            })
        })
    };
    let mut alone = Answered::default();
    for answered in &series.alone {
        alone.requests += answered.requests;
        alone.latencies_us.extend(&answered.latencies_us);
    }
    alone.latencies_us.sort_unstable();
    Row {
        us: bare_us * ratio(series, &(0..count).collect::<Vec<_>>()),
        added_us: estimate(count, |picked| bare_us * added(series, picked)),
        percentiles_us: [alone.percentile_us(50), alone.percentile_us(99)],
        to_bare: estimate(count, |picked| ratio(series, picked)),
        to_noop: compared(Contender::Noop),
        to_calls: compared(Contender::Calls),
        to_lua: compared(Contender::Lua),
        series,
    }
}

impl Row<'_> {
    fn json(&self) -> Value {
        json!({
            "name": self.series.name,
            "us_per_payment": self.us,
            "added_us": self.added_us.json(),
            "ratio_to_bare": self.to_bare.json(),
            "added_to_noop_added": self.to_noop.map(Estimate::json),
            "added_to_calls_added": self.to_calls.map(Estimate::json),
            "added_to_lua_added": self.to_lua.map(Estimate::json),
            "latency_us": {"p50": self.percentiles_us[0], "p99": self.percentiles_us[1]},
        })
    }

    fn text(&self) -> String {
        let column = |estimate: Option<Estimate>, digits| {
            estimate.map_or_else(String::new, |estimate| estimate.text(digits))
        };
        format!(
            "{:<22}{:>9.1}  {:<24}{:<24}{:<20}{:<20}{:<20}{:>9}{:>9}\n",
            self.series.name,
            self.us,
            self.added_us.text(1),
            self.to_bare.text(3),
            column(self.to_noop, 2),
            column(self.to_calls, 2),
            column(self.to_lua, 2),
            self.percentiles_us[0],
            self.percentiles_us[1],
        )
    }
}

impl Crowd {
    fn json(&self) -> Value {
        json!({
            "name": self.contender.name(),
            "per_second": {"1": self.per_second[0], "2": self.per_second[1]},
            "busy": self.busy,
            "rss_kib": self.rss_kib,
            "rss_of_worker_kib": self.rss_of_worker_kib,
            "ready_ms": self.ready.as_secs_f64() * 1000.0,
            "bytes": self.bytes,
        })
    }

    fn text(&self) -> String {
        let mib = |kib: u64| kib as f64 / 1024.0;
        format!(
            "{:<22}{:>16.0}{:>8.0}{:>16.0}{:>9.1}{:>15.1}{:>10}{:>9}\n",
            self.contender.name(),
            self.per_second[0],
            100.0 * self.busy,
            self.per_second[1],
            mib(self.rss_kib),
            mib(self.rss_of_worker_kib),
            self.ready.as_millis(),
            self.bytes.map_or_else(String::new, |bytes| bytes.to_string()),
        )
    }
}

impl Estimate {
    fn text(self, digits: usize) -> String {
        let Self { value, low, high } = self;
        format!("{value:.digits$} [{low:.digits$}, {high:.digits$}]")
    }

    fn json(self) -> Value {
        json!({"value": self.value, "low": self.low, "high": self.high})
    }
}

fn rounds(series: &Series) -> Value {
    let rounds = series.rounds.iter().map(|round| [round.base, round.candidate]);
    json!({"name": series.name, "us_base_and_candidate": rounds.collect::<Vec<_>>()})
}

/// The middle one of the picked rounds' ratios.
fn ratio(series: &Series, picked: &[usize]) -> f64 {
    let rounds = picked.iter().filter_map(|place| series.rounds.get(*place));
    median(rounds.map(|round| round.candidate / round.base))
}

/// What a pair says by itself: microseconds of its base, and the candidate's part of them.
pub(crate) fn ratio_of(rounds: &[Round]) -> (f64, String) {
    let base = median(rounds.iter().map(|round| round.base));
    let part = estimate(rounds.len(), |picked| {
        median(picked.iter().filter_map(|at| rounds.get(*at)).map(|one| one.candidate / one.base))
    });
    (base, part.text(3))
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
    if values.len().is_multiple_of(2) {
        f64::midpoint(at(middle.wrapping_sub(1)), at(middle))
    } else {
        at(middle)
    }
}

/// The bootstrap: what `statistic` says of all rounds, and how far it strays when rounds are
/// drawn anew from those that were measured.
fn estimate(count: usize, statistic: impl Fn(&[usize]) -> f64) -> Estimate {
    const DRAWS: usize = 4000;
    let mut random = Random::new(1);
    let mut seen: Vec<f64> = (0..DRAWS)
        .map(|_| statistic(&(0..count).map(|_| random.below(count)).collect::<Vec<_>>()))
        .collect();
    seen.sort_by(f64::total_cmp);
    let quantile =
        |thousandths: usize| seen.get(DRAWS * thousandths / 1000).copied().unwrap_or(f64::NAN);
    let value = statistic(&(0..count).collect::<Vec<_>>());
    Estimate { value, low: quantile(25), high: quantile(975) }
}
