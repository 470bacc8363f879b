//! From rounds to numbers with their errors: the table and the JSON file.

use serde_json::{Value, json};

use super::random::Random;

/// Microseconds of processor time per payment in one round, of both Envoys of a pair.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub(crate) base: f64,
    pub(crate) candidate: f64,
}

/// One pair's rounds, and what is known of its candidate.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: &'static str,
    /// Which filter it is, in a pair that compares filters.
    pub(crate) contender: Option<Contender>,
    pub(crate) rounds: Vec<Round>,
    /// Bytes of the module or script.
    pub(crate) bytes: Option<u64>,
    /// Memory of the whole Envoy after its warm-up.
    pub(crate) rss_kib: u64,
}

/// Filters whose costs are compared with each other, each with those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contender {
    Noop,
    Calls,
    Lua,
    Ours,
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
}

/// The comparison as JSON and as a table.
pub(crate) fn report(all: &[Series], settings: &Value) -> (Value, String) {
    let bare_us = median(all.iter().flat_map(|series| &series.rounds).map(|round| round.base));
    let rows: Vec<Row<'_>> = all.iter().map(|series| row(series, all, bare_us)).collect();
    let json = json!({
        "settings": settings,
        "bare_us_per_payment": bare_us,
        "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
        "rounds": all.iter().map(rounds).collect::<Vec<_>>(),
    });
    let mut table = format!(
        "{:<22}{:>9}  {:<24}{:<24}{:<20}{:<20}{:<20}{:>9}{:>9}\n",
        "processor time",
        "us each",
        "added us",
        "to bare",
        "added to no-op's",
        "to its host calls'",
        "to Lua's",
        "bytes",
        "RSS MiB"
    );
    table.push_str(&format!("{:<22}{bare_us:>9.1}\n", "bare"));
    for row in &rows {
        table.push_str(&row.text());
    }
    (json, table)
}

/// What one pair says. All comes from each round's ratio: noise that slows a round down slows
/// both of its Envoys.
fn row<'a>(series: &'a Series, all: &[Series], bare_us: f64) -> Row<'a> {
    let count = all.iter().map(|series| series.rounds.len()).min().unwrap_or(0);
    let added = |series: &Series, picked: &[usize]| ratio(series, picked) - 1.0;
    let compared = |with: Contender| {
        let other = all.iter().find(|other| other.contender == Some(with))?;
        let compares = series.contender.is_some_and(|contender| contender > with);
        compares.then(|| estimate(count, |picked| added(series, picked) / added(other, picked)))
    };
    Row {
        us: bare_us * ratio(series, &(0..count).collect::<Vec<_>>()),
        added_us: estimate(count, |picked| bare_us * added(series, picked)),
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
            "bytes": self.series.bytes,
            "rss_kib": self.series.rss_kib,
        })
    }

    fn text(&self) -> String {
        let column = |estimate: Option<Estimate>, digits| {
            estimate.map_or_else(String::new, |estimate| estimate.text(digits))
        };
        format!(
            "{:<22}{:>9.1}  {:<24}{:<24}{:<20}{:<20}{:<20}{:>9}{:>9.1}\n",
            self.series.name,
            self.us,
            self.added_us.text(1),
            self.to_bare.text(3),
            column(self.to_noop, 2),
            column(self.to_calls, 2),
            column(self.to_lua, 2),
            self.series.bytes.map_or_else(String::new, |bytes| bytes.to_string()),
            self.series.rss_kib as f64 / 1024.0,
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

fn median(values: impl Iterator<Item = f64>) -> f64 {
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
