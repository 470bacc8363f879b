//! A YAML or JSON file as Envoy understands it, in which every value knows where it stands.
//!
//! Reading is total: no bytes make it panic, recurse without end or grow without bound. A value
//! that an alias stands for is shared and not copied, and what a file would be with all aliases
//! written out is bounded before anybody walks over it.

mod json;
mod manifest;
mod scalar;
mod yaml;

use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;

use serde_json::Value;
use yaml::Origin;

/// A large bootstrap is some hundred kilobytes.
pub(crate) const BYTES_MAX: usize = 4 * 1024 * 1024;
/// Envoy's own limit for nested messages.
const DEPTH_MAX: u32 = 100;
/// Values, with all aliases written out.
const VALUES_MAX: u64 = 1_000_000;
/// Members of one map: they are looked up one by one.
const MEMBERS_MAX: usize = 10_000;

/// Where something stands; lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Which of the files.
    pub(crate) file: usize,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A value.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) kind: Kind,
    /// Values in it with all aliases written out, and how deep they are nested.
    values: u64,
    depth: u32,
}

/// What a value is.
#[derive(Debug)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Whole(i64),
    Decimal(f64),
    Text(Text),
    List(Vec<Rc<Node>>),
    Map(Vec<Member>),
}

/// A string, and where its first line begins if it is written down line by line.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) block: Option<Place>,
}

/// A named value of a map.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) value: Rc<Node>,
}

/// Why a file cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) place: Place,
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found {}", self.expected, self.found)
    }
}

fn mistake<T>(place: Place, expected: impl Into<String>, found: &str) -> Result<T, Mistake> {
    Err(Mistake { place, expected: expected.into(), found: found.to_owned() })
}

/// A file, or a file within a Kubernetes manifest.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) root: Rc<Node>,
    /// Where a second YAML document begins, which Envoy passes over.
    pub(crate) second: Option<Place>,
    /// The way to it: empty for a file of its own.
    pub(crate) path: String,
    /// What runs with it in Kubernetes, each with the way to it: as far as its manifest tells.
    pub(crate) workloads: Vec<(String, Rc<Node>)>,
}

impl Document {
    const fn new(root: Rc<Node>, second: Option<Place>) -> Self {
        Self { root, second, path: String::new(), workloads: Vec::new() }
    }

    /// Reads the file with this number. Envoy tells the two forms apart by the file's ending;
    /// here it is enough that a text is JSON.
    pub(crate) fn read(file: usize, bytes: &[u8], is_json: bool) -> Result<Self, Mistake> {
        let begin = Place { file, line: 1, column: 1 };
        if bytes.len() > BYTES_MAX {
            return mistake(begin, format!("at most {BYTES_MAX} bytes"), "more");
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
            Err(error) => {
                let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
                let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
                let place = Place { line, ..begin };
                return mistake(place, "text in UTF-8", "other bytes");
            }
        };
        if is_json {
            let root = json::read(text, begin)?;
            return Ok(Self::new(root, None));
        }
        match text.trim_start().starts_with('{').then(|| json::read(text, begin)) {
            Some(Ok(root)) => Ok(Self::new(root, None)),
            Some(Err(_)) | None => yaml::read(text, Origin::At(begin)),
        }
    }

    /// Reads a file that may hold several: the data of Kubernetes' ConfigMaps, which are Envoy's
    /// files as far as `is_wanted` says so. Any other file is one.
    pub(crate) fn read_all(
        file: usize,
        bytes: &[u8],
        is_json: bool,
        is_wanted: fn(&Self) -> bool,
    ) -> Result<Vec<Self>, Mistake> {
        let document = Self::read(file, bytes, is_json)?;
        if !manifest::is_one(&document.root) {
            return Ok(vec![document]);
        }
        manifest::read(document, bytes, file, is_wanted)
    }
}

impl Node {
    /// The text that it is.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(&text.text),
            Kind::Null
            | Kind::Bool(_)
            | Kind::Whole(_)
            | Kind::Decimal(_)
            | Kind::List(_)
            | Kind::Map(_) => None,
        }
    }

    fn new(place: Place, kind: Kind) -> Result<Rc<Self>, Mistake> {
        let inner: Vec<&Rc<Self>> = match &kind {
            Kind::List(items) => items.iter().collect(),
            Kind::Map(members) => members.iter().map(|member| &member.value).collect(),
            Kind::Null | Kind::Bool(_) | Kind::Whole(_) | Kind::Decimal(_) | Kind::Text(_) => {
                Vec::new()
            }
        };
        let add = |sum: u64, node: &&Rc<Self>| sum.saturating_add(node.values);
        let values = inner.iter().fold(1, add);
        let depth = 1 + inner.iter().map(|node| node.depth).max().unwrap_or(0);
        if values > VALUES_MAX {
            let expected = format!("at most {VALUES_MAX} values, with all aliases written out");
            return mistake(place, expected, "more");
        }
        if depth > DEPTH_MAX {
            return too_deep(place);
        }
        if let Kind::Map(members) = &kind
            && members.len() > MEMBERS_MAX
        {
            return mistake(place, format!("at most {MEMBERS_MAX} fields in one place"), "more");
        }
        Ok(Rc::new(Self { place, kind, values, depth }))
    }

    /// JSON in a string, as a value of its own whose places are those in the file where it is
    /// written line by line.
    pub(crate) fn of_json(text: &Text, place: Place) -> Result<Rc<Self>, Mistake> {
        json::read_within(&text.text, place, text.block)
    }

    /// The member of this name. Of several, Envoy takes the last.
    pub(crate) fn member(&self, name: &str) -> Option<&Member> {
        let Kind::Map(members) = &self.kind else { return None };
        members.iter().rev().find(|member| is_same_field(&member.name, name))
    }

    /// The value without places. `Struct` values of a YAML file: whole numbers that 32 bits do not
    /// hold and all decimal ones arrive as text.
    pub(crate) fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(flag) => Value::Bool(*flag),
            Kind::Whole(number) => Value::from(*number),
            Kind::Decimal(number) => Value::from(*number),
            Kind::Text(text) => Value::String(text.text.clone()),
            Kind::List(items) => items.iter().map(|item| item.to_json()).collect(),
            Kind::Map(members) => members
                .iter()
                .map(|member| (member.name.clone(), member.value.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    /// Shows every member within, with its path, and whether one of its name stands before it.
    pub(crate) fn each_member(&self, path: &str, see: &mut impl FnMut(&str, &Member, bool)) {
        match &self.kind {
            Kind::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    item.each_member(&format!("{path}[{at}]"), see);
                }
            }
            Kind::Map(members) => {
                let mut seen = BTreeSet::new();
                for member in members {
                    let path = join(path, &member.name);
                    see(&path, member, !seen.insert(camel(&member.name)));
                    member.value.each_member(&path, see);
                }
            }
            Kind::Null | Kind::Bool(_) | Kind::Whole(_) | Kind::Decimal(_) | Kind::Text(_) => {}
        }
    }
}

fn too_deep<T>(place: Place) -> Result<T, Mistake> {
    mistake(place, format!("values nested at most {DEPTH_MAX} deep"), "deeper ones")
}

/// A path and a member's name.
pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Whether a member is the field: Envoy takes `connectTimeout` for `connect_timeout` too.
fn is_same_field(member: &str, field: &str) -> bool {
    member == field || (field.contains('_') && member == camel(field))
}

fn camel(name: &str) -> String {
    let mut raise = false;
    let letter = |letter: char| {
        if letter == '_' {
            raise = true;
            return None;
        }
        let letter = if raise { letter.to_ascii_uppercase() } else { letter };
        raise = false;
        Some(letter)
    };
    name.chars().filter_map(letter).collect()
}

#[cfg(test)]
mod tests;
