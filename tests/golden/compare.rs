//! Two plays of one story, compared.

use std::collections::BTreeSet;
use std::fmt;

use crate::record::Record;
use crate::stage::Played;

/// Of a value that differs so much is shown, and of what is equal before it.
const SHOWN_CHARS: usize = 400;
const SHOWN_BEFORE: usize = 60;

/// Something that is not equal.
#[derive(Debug)]
pub(crate) struct Difference {
    place: String,
    /// What in it; for metrics, which.
    pub(crate) field: String,
    /// Nothing where it is missing.
    expected: Option<String>,
    found: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, field, expected, found } = self;
        let equal = match (expected, found) {
            (Some(mine), Some(other)) => {
                mine.chars().zip(other.chars()).take_while(|(one, two)| one == two).count()
            }
            (None, _) | (_, None) => 0,
        };
        let shown = |value: &Option<String>| match value {
            Some(value) => {
                let skipped = equal.saturating_sub(SHOWN_BEFORE);
                let dots = if skipped > 0 { "..." } else { "" };
                let part: String = value.chars().skip(skipped).take(SHOWN_CHARS).collect();
                format!("{dots}{part}")
            }
            None => "(nothing)".to_owned(),
        };
        write!(
            f,
            "{place}: {field}\n    expected {}\n    found    {}",
            shown(expected),
            shown(found)
        )
    }
}

/// All that differs.
pub(crate) fn compare(expected: &Played, found: &Played) -> Vec<Difference> {
    let mut all = Vec::new();
    compare_records("answer", &expected.records, &found.records, &mut all);
    compare_records("received", &expected.received, &found.received, &mut all);
    let names: BTreeSet<_> = expected.samples.keys().chain(found.samples.keys()).collect();
    for name in names {
        let (mine, other) = (expected.samples.get(name), found.samples.get(name));
        if mine != other && !is_said_sooner(mine, other) {
            all.push(Difference {
                place: "metrics".to_owned(),
                field: name.clone(),
                expected: mine.cloned(),
                found: other.cloned(),
            });
        }
    }
    all
}

/// One of them says 0 from the start, and the other one nothing until there is something.
fn is_said_sooner(mine: Option<&String>, other: Option<&String>) -> bool {
    matches!((mine, other), (Some(only), None) | (None, Some(only)) if only == "0" || only.is_empty())
}

fn compare_records(kind: &str, expected: &[Record], found: &[Record], all: &mut Vec<Difference>) {
    for number in 0..expected.len().max(found.len()) {
        let (mine, other) = (expected.get(number), found.get(number));
        let what = mine.or(other).map_or("", |record| record.what.as_str());
        let place = format!("{kind} {number} ({what})");
        match (mine, other) {
            (Some(mine), Some(other)) if mine.what == other.what => {
                compare_fields(&place, &mine.fields, &other.fields, all);
            }
            (mine, other) => {
                let told = |record: Option<&Record>| record.map(|record| record.what.clone());
                let (expected, found) = (told(mine), told(other));
                all.push(Difference { place, field: "what it is".to_owned(), expected, found });
                // From here on others stand beside each other.
                return;
            }
        }
    }
}

type Field = (String, String);

fn compare_fields(place: &str, expected: &[Field], found: &[Field], all: &mut Vec<Difference>) {
    if expected == found {
        return;
    }
    let names: BTreeSet<_> = expected.iter().chain(found).map(|(name, _)| name).collect();
    for name in names {
        let values = |fields: &[Field]| -> Vec<String> {
            let own = fields.iter().filter(|(other, _)| other == name);
            own.map(|(_, value)| value.clone()).collect()
        };
        let (mine, other) = (values(expected), values(found));
        if mine != other {
            let told = |values: Vec<String>| (!values.is_empty()).then(|| values.join(" | "));
            let (place, field) = (place.to_owned(), name.clone());
            all.push(Difference { place, field, expected: told(mine), found: told(other) });
        }
    }
}
