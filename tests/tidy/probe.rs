//! What the configuration may hold, asked of the parser itself: wrong values are put in each place, and what the
//! parser says it expected there is the schema. So nothing has to be kept in step with it.

#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use dana_failover::engine::{Config, NotifyConfig};
use serde_json::{Value, json};

/// What may stand in a place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    Object(BTreeMap<String, Self>),
    /// An object whose names are free.
    Map(Box<Self>),
    List(Box<Self>),
    Number {
        least: u64,
        most: u64,
    },
    /// The same, or a word.
    NumberOr {
        word: String,
        least: u64,
        most: u64,
    },
    Flag,
    Choice(Vec<String>),
    /// A text, in the parser's own words.
    Text(String),
}

/// Part of a place: a member or the first element.
#[derive(Clone, Debug)]
enum Step {
    Member(String),
    /// A member of an object whose names are free.
    Free,
    First,
}

/// A configuration that the place can be reached in.
struct World {
    base: Value,
}

const UNKNOWN: &str = "?";

impl World {
    fn errors(&self, place: &[Step], value: Value) -> Vec<(String, String)> {
        let mut config = self.base.clone();
        let mut at = &mut config;
        for step in place {
            at = match step {
                Step::Member(name) => &mut at[name.as_str()],
                Step::Free => &mut at[UNKNOWN],
                Step::First => {
                    if !at.is_array() {
                        *at = json!([null]);
                    }
                    &mut at[0]
                }
            };
        }
        *at = value;
        let parsed = Config::parse(config.to_string().as_bytes());
        let errors =
            parsed.and_then(|config| NotifyConfig::read(&config)).err().unwrap_or_default();
        errors.into_iter().map(|error| (error.path, error.expected)).collect()
    }

    /// What may stand in a place.
    fn shape(&self, place: &[Step]) -> Shape {
        let path = path_of(place);
        let told = self.errors(place, json!({ UNKNOWN: 0 }));
        let inside = if path.is_empty() { UNKNOWN.to_owned() } else { format!("{path}.{UNKNOWN}") };
        if let Some((_, expected)) = told.iter().find(|(at, _)| *at == inside) {
            let names = expected.strip_prefix("one of ").unwrap_or_default();
            return Shape::Object(names.split(", ").map(|name| self.member(place, name)).collect());
        }
        if told.iter().any(|(at, _)| *at == format!("{path}[{UNKNOWN}]")) {
            return Shape::Map(Box::new(self.shape(&[place, &[Step::Free]].concat())));
        }
        self.shape_at(place, &path)
    }

    fn member(&self, place: &[Step], name: &str) -> (String, Shape) {
        let inner = [place, &[Step::Member(name.to_owned())]].concat();
        (name.to_owned(), self.shape(&inner))
    }

    /// What the parser says of an object that stands where it is not meant.
    fn shape_at(&self, place: &[Step], path: &str) -> Shape {
        let told = self.errors(place, json!({ UNKNOWN: 0 }));
        let expected = told.iter().find(|(at, _)| at == path);
        let expected = expected.unwrap_or_else(|| panic!("nothing is said of {path}: {told:?}"));
        if expected.1 == "a list" {
            return Shape::List(Box::new(self.shape(&[place, &[Step::First]].concat())));
        }
        scalar(&expected.1)
    }
}

/// What these words of the parser mean.
fn scalar(expected: &str) -> Shape {
    let range = |text: &str| -> Option<(u64, u64)> {
        let (least, most) = text.strip_prefix("a whole number from ")?.split_once(" to ")?;
        Some((least.parse().ok()?, most.parse().ok()?))
    };
    if let Some((least, most)) = range(expected) {
        return Shape::Number { least, most };
    }
    if let Some((word, (least, most))) =
        expected.split_once(" or ").and_then(|(word, rest)| Some((word, range(rest)?)))
    {
        return Shape::NumberOr { word: word.trim_matches('"').to_owned(), least, most };
    }
    if expected == "true or false" {
        return Shape::Flag;
    }
    let words: Vec<&str> = expected.split(" or ").collect();
    let unquoted = |word: &&str| word.strip_prefix('"')?.strip_suffix('"').map(str::to_owned);
    match words.iter().map(unquoted).collect() {
        Some(words) => Shape::Choice(words),
        None => Shape::Text(expected.to_owned()),
    }
}

fn path_of(place: &[Step]) -> String {
    let mut path = String::new();
    for step in place {
        match step {
            Step::Member(name) if path.is_empty() => path.push_str(name),
            Step::Member(name) => path.extend([".", name]),
            Step::Free => path.extend(["[", UNKNOWN, "]"]),
            Step::First => path.push_str("[0]"),
        }
    }
    path
}

/// Every setting, of whatever role, with what may stand there.
pub(crate) fn everything() -> Shape {
    let gateway = |name: &str| json!({"name": name, "cluster": name});
    let of = |role: &str| {
        let base = json!({"gateways": [gateway("a"), gateway("b")], "admin": {"role": role}});
        World { base }.shape(&[])
    };
    let (mut all, mut admin, mut notify) = (of("payments"), of("admin"), of("notify"));
    // Settings that only one role has.
    *member(&mut all, &["admin", "token_sha256"]) =
        member(&mut admin, &["admin", "token_sha256"]).clone();
    let name = Shape::Text("the name of a gateway".to_owned());
    *member(&mut notify, &["notify", "gateway"]) = name.clone();
    let Shape::List(keys) = member(&mut notify, &["notify", "keys"]) else { panic!("no keys") };
    *member(keys, &["gateway"]) = name;
    *member(&mut all, &["notify"]) = member(&mut notify, &["notify"]).clone();
    all
}

fn member<'a>(shape: &'a mut Shape, place: &[&str]) -> &'a mut Shape {
    let [name, rest @ ..] = place else { return shape };
    let Shape::Object(members) = shape else { panic!("{name}: no object") };
    member(members.get_mut(*name).unwrap_or_else(|| panic!("no {name}")), rest)
}

impl Shape {
    /// The settings in it by their paths, in the order of the alphabet.
    pub(crate) fn leaves(&self) -> BTreeMap<String, Self> {
        let mut leaves = BTreeMap::new();
        self.add_leaves("", &mut leaves);
        leaves
    }

    fn add_leaves(&self, path: &str, leaves: &mut BTreeMap<String, Self>) {
        match self {
            Self::Object(members) => {
                for (name, member) in members {
                    let dot = if path.is_empty() { "" } else { "." };
                    member.add_leaves(&format!("{path}{dot}{name}"), leaves);
                }
            }
            Self::Map(inner) => inner.add_leaves(&format!("{path}{{}}"), leaves),
            Self::List(inner) => inner.add_leaves(&format!("{path}[]"), leaves),
            Self::Number { .. }
            | Self::NumberOr { .. }
            | Self::Flag
            | Self::Choice(_)
            | Self::Text(_) => {
                leaves.insert(path.to_owned(), self.clone());
            }
        }
    }

    /// What may stand there, in words.
    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::Number { least, most } => format!("{least} to {most}"),
            Self::NumberOr { word, least, most } => format!("`{word}`, or {least} to {most}"),
            Self::Flag => "`true`, `false`".to_owned(),
            Self::Choice(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
                words.join(", ")
            }
            Self::Text(words) => words.clone(),
            Self::Object(_) | Self::Map(_) | Self::List(_) => panic!("no leaf: {self:?}"),
        }
    }
}

/// Whether a setting of numbers has a safe minimum, which a test may go below.
pub(crate) fn has_safe_minimum(path: &str, least: u64) -> bool {
    let gateway = |name: &str| json!({"name": name, "cluster": name});
    let role = if path.starts_with("notify.") { "notify" } else { "payments" };
    let base = json!({"gateways": [gateway("a"), gateway("b")], "admin": {"role": role},
                      "testing": {"unsafe_timings": true}});
    let world = World { base };
    let step = |name: &str| match name.strip_suffix("[]") {
        Some(name) => vec![Step::Member(name.to_owned()), Step::First],
        None => vec![Step::Member(name.to_owned())],
    };
    let place: Vec<Step> = path.split('.').flat_map(step).collect();
    matches!(world.shape(&place), Shape::Number { least: lowered, .. } if lowered < least)
}
