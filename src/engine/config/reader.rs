//! Reads a JSON value member by member, with ranges, and remembers what was wrong where.
//!
//! All mistakes are collected, so that one try shows them all. A member that nobody asked for is
//! a mistake: a misspelt limit that is silently ignored is worse than one that is refused.
//!
//! A configuration is read once, so what many readers call is not inlined into each of them: that
//! would be 8 kB of the module.

use std::cell::RefCell;
use std::fmt;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

/// A mistake in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where: `breaker.open_ms`, `gateways[1].cluster`; empty for the whole.
    pub path: String,
    /// What was expected there.
    pub expected: String,
    /// What was found.
    pub found: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "configuration" } else { &self.path };
        write!(f, "{path}: expected {}, found {}", self.expected, self.found)
    }
}

/// Where mistakes are collected.
#[derive(Default)]
pub(in crate::engine) struct Errors(RefCell<Vec<ConfigError>>);

impl Errors {
    #[inline(never)]
    pub(in crate::engine) fn add(
        &self,
        path: &str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) {
        let (path, expected, found) = (path.to_owned(), expected.into(), found.into());
        self.0.borrow_mut().push(ConfigError { path, expected, found });
    }

    pub(in crate::engine) fn into_vec(self) -> Vec<ConfigError> {
        self.0.into_inner()
    }
}

/// One value and its path.
#[derive(Clone)]
pub(in crate::engine) struct Node<'v> {
    value: &'v Value,
    pub(in crate::engine) path: String,
    errors: &'v Errors,
}

impl<'v> Node<'v> {
    pub(in crate::engine) const fn root(value: &'v Value, errors: &'v Errors) -> Self {
        Self { value, path: String::new(), errors }
    }

    /// A value that stands at this path.
    pub(super) fn at(path: &str, value: &'v Value, errors: &'v Errors) -> Self {
        Self { value, path: path.to_owned(), errors }
    }

    pub(super) const fn value(&self) -> &'v Value {
        self.value
    }

    /// The members, if it is an object; a mistake otherwise.
    #[inline(never)]
    pub(in crate::engine) fn fields(&self) -> Fields<'v> {
        let map = self.value.as_object();
        if map.is_none() {
            self.wrong("an object");
        }
        let (path, errors) = (self.path.clone(), self.errors);
        Fields { map, path, known: RefCell::default(), errors, is_secret: false }
    }

    /// The elements, if it is a list; a mistake otherwise.
    #[inline(never)]
    pub(super) fn items(&self) -> Vec<Self> {
        let Some(items) = self.value.as_array() else {
            self.wrong("a list");
            return Vec::new();
        };
        let item =
            |(at, value)| Node { value, path: format!("{}[{at}]", self.path), errors: self.errors };
        items.iter().enumerate().map(item).collect()
    }

    /// The members of an object whose names are free.
    #[inline(never)]
    pub(super) fn members(&self) -> Vec<(&'v str, Self)> {
        let Some(members) = self.value.as_object() else {
            self.wrong("an object");
            return Vec::new();
        };
        let member = |(name, value): (&'v String, &'v Value)| {
            let path = format!("{}[{name}]", self.path);
            (name.as_str(), Node { value, path, errors: self.errors })
        };
        members.iter().map(member).collect()
    }

    /// The text, if it is a string that passes `check`.
    pub(in crate::engine) fn text(
        &self,
        expected: &str,
        check: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let text = self.value.as_str().filter(|text| check(text));
        if text.is_none() {
            self.wrong(expected);
        }
        text.map(str::to_owned)
    }

    /// The text, whatever it is; no mistake if it is none.
    pub(in crate::engine) fn as_text(&self) -> Option<&str> {
        self.value.as_str()
    }

    /// A whole number within `range`, or nothing for `word`.
    #[inline(never)]
    pub(super) fn number_unless(&self, word: &str, range: &RangeInclusive<u64>) -> Option<u64> {
        if self.value.as_str() == Some(word) {
            return None;
        }
        let number = self.value.as_u64().filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            self.wrong(&format!("\"{word}\" or a whole number from {least} to {most}"));
        }
        number
    }

    #[inline(never)]
    pub(in crate::engine) fn number(&self, range: &RangeInclusive<u64>) -> Option<u64> {
        let number = self.value.as_u64().filter(|number| range.contains(number));
        if number.is_none() {
            self.wrong(&format!("a whole number from {} to {}", range.start(), range.end()));
        }
        number
    }

    #[inline(never)]
    pub(in crate::engine) fn flag(&self) -> Option<bool> {
        let flag = self.value.as_bool();
        if flag.is_none() {
            self.wrong("true or false");
        }
        flag
    }

    #[inline(never)]
    pub(in crate::engine) fn wrong(&self, expected: &str) {
        self.errors.add(&self.path, expected, brief(self.value));
    }
}

/// The members of an object.
pub(in crate::engine) struct Fields<'v> {
    map: Option<&'v Map<String, Value>>,
    path: String,
    known: RefCell<Vec<&'static str>>,
    errors: &'v Errors,
    /// What stands in unknown members may be a secret.
    is_secret: bool,
}

impl<'v> Fields<'v> {
    /// These members, of which messages do not say what stands in unknown ones.
    pub(super) const fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }

    /// The member `name`, if it is there.
    #[inline(never)]
    pub(in crate::engine) fn get(&self, name: &'static str) -> Option<Node<'v>> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&name) {
            known.push(name);
        }
        let value = self.map?.get(name)?;
        Some(Node { value, path: self.path_of(name), errors: self.errors })
    }

    /// The member `name`, whose absence is a mistake.
    #[inline(never)]
    pub(in crate::engine) fn demand(&self, name: &'static str, expected: &str) -> Option<Node<'v>> {
        let node = self.get(name);
        if node.is_none() && self.map.is_some() {
            self.errors.add(&self.path_of(name), expected, "nothing");
        }
        node
    }

    /// The members of the object `name`; of an empty one if it is absent.
    #[inline(never)]
    pub(super) fn object(&self, name: &'static str) -> Self {
        self.get(name).map_or_else(
            || Self {
                map: None,
                path: self.path_of(name),
                known: RefCell::default(),
                errors: self.errors,
                is_secret: false,
            },
            |node| node.fields(),
        )
    }

    /// A whole number within `range`.
    #[inline(never)]
    pub(super) fn number(
        &self,
        name: &'static str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> u64 {
        self.get(name).and_then(|node| node.number(&range)).unwrap_or(default)
    }

    /// A text that passes `check`.
    pub(super) fn text(
        &self,
        name: &'static str,
        default: &str,
        expected: &str,
        check: impl Fn(&str) -> bool,
    ) -> String {
        let text = self.get(name).and_then(|node| node.text(expected, check));
        text.unwrap_or_else(|| default.to_owned())
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, name: &'static str, words: &[(&str, T)], default: T) -> T {
        let Some(node) = self.get(name) else {
            return default;
        };
        node.choice(words).unwrap_or(default)
    }

    #[inline(never)]
    pub(super) fn flag(&self, name: &'static str, default: bool) -> bool {
        self.get(name).and_then(|node| node.flag()).unwrap_or(default)
    }

    #[inline(never)]
    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

/// Every member that was not asked for is a mistake. Looked for at the end of each object's life,
/// so that no reader can forget it.
impl Drop for Fields<'_> {
    fn drop(&mut self) {
        let known = self.known.borrow();
        for (name, value) in self.map.into_iter().flatten() {
            if !known.contains(&name.as_str()) {
                let expected = format!("one of {}", known.join(", "));
                let value = if self.is_secret { "a secret".to_owned() } else { brief(value) };
                let found = format!("the unknown field \"{name}\" ({value})");
                self.errors.add(&self.path_of(name), expected, found);
            }
        }
    }
}

impl Node<'_> {
    pub(in crate::engine) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let word = self.value.as_str();
        let chosen = words.iter().find(|(known, _)| Some(*known) == word).map(|(_, value)| *value);
        if chosen.is_none() {
            let known: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            self.wrong(&known.join(" or "));
        }
        chosen
    }
}

/// A value as it may stand in a message: short, and on one line.
fn brief(value: &Value) -> String {
    const CHARS_MAX: usize = 60;
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let text = value.to_string();
            if text.chars().count() <= CHARS_MAX {
                return text;
            }
            text.chars().take(CHARS_MAX).chain(['…']).collect()
        }
    }
}
