//! A way into a document: a value, or its absence, with its path and where that would stand.

use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use super::document::{Document, Kind, Node, Place, join};

/// What stands at a path, if anything does.
///
/// What is absent has the place of what it is absent from, so that every rule can look anywhere,
/// and every finding has a line.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    node: Option<Rc<Node>>,
    /// Of its name, if it has one.
    pub(crate) place: Place,
    /// As in `static_resources.clusters[0].name`.
    pub(crate) path: String,
}

impl View {
    /// All of a document.
    pub(crate) fn of(document: &Document) -> Self {
        let Document { root, path, .. } = document;
        Self { node: Some(Rc::clone(root)), place: root.place, path: path.clone() }
    }

    /// A place without a value that could be looked into.
    pub(crate) const fn bare(place: Place, path: String) -> Self {
        Self { node: None, place, path }
    }

    /// The same with another value, for what is written in a string.
    pub(crate) fn holding(&self, node: Rc<Node>) -> Self {
        Self { node: Some(node), ..self.clone() }
    }

    /// The member of this name.
    pub(crate) fn at(&self, name: &str) -> Self {
        let member = self.node.as_ref().and_then(|node| node.member(name));
        let node = member.map(|member| Rc::clone(&member.value));
        let place = member.map_or(self.place, |member| member.place);
        Self { node, place, path: join(&self.path, name) }
    }

    /// The member of the member, and so on.
    pub(crate) fn down(&self, names: &[&str]) -> Self {
        names.iter().fold(self.clone(), |view, name| view.at(name))
    }

    /// What a path such as `gateways[1].cluster` or `scope.peers[a.b][0]` leads to.
    pub(crate) fn along(&self, path: &str) -> Self {
        let (mut view, mut rest) = (self.clone(), path);
        while !rest.is_empty() {
            let inner = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
            if let Some((name, tail)) = inner {
                view = match name.parse::<usize>() {
                    Ok(at) if !view.is_map() => view.item(at),
                    Ok(_) | Err(_) => view.at(name),
                };
                rest = tail;
                continue;
            }
            rest = rest.trim_start_matches('.');
            let end = rest.find(['.', '[']).unwrap_or(rest.len()).max(1);
            let Some((name, tail)) = rest.split_at_checked(end) else { break };
            (view, rest) = (view.at(name), tail);
        }
        view
    }

    /// Whether there is a value. `null` is none.
    pub(crate) fn exists(&self) -> bool {
        self.node.as_ref().is_some_and(|node| !matches!(node.kind, Kind::Null))
    }

    pub(crate) fn is_list(&self) -> bool {
        self.node.as_ref().is_some_and(|node| matches!(node.kind, Kind::List(_)))
    }

    fn is_map(&self) -> bool {
        self.node.as_ref().is_some_and(|node| matches!(node.kind, Kind::Map(_)))
    }

    fn item(&self, at: usize) -> Self {
        let path = format!("{}[{at}]", self.path);
        let item = self.list().and_then(|items| items.get(at));
        let place = item.map_or(self.place, |item| item.place);
        Self { node: item.map(Rc::clone), place, path }
    }

    fn list(&self) -> Option<&[Rc<Node>]> {
        match &self.node.as_ref()?.kind {
            Kind::List(items) => Some(items),
            Kind::Null
            | Kind::Bool(_)
            | Kind::Whole(_)
            | Kind::Decimal(_)
            | Kind::Text(_)
            | Kind::Map(_) => None,
        }
    }

    /// The elements of a list.
    pub(crate) fn items(&self) -> Vec<Self> {
        (0..self.list().unwrap_or_default().len()).map(|at| self.item(at)).collect()
    }

    /// The names of a map's members, without those that stand behind another of the same name.
    pub(crate) fn names(&self) -> Vec<String> {
        let Some(Kind::Map(members)) = self.node.as_ref().map(|node| &node.kind) else {
            return Vec::new();
        };
        let mut names: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// What is there.
    pub(crate) const fn node(&self) -> Option<&Rc<Node>> {
        self.node.as_ref()
    }

    pub(crate) fn text(&self) -> Option<&str> {
        self.node.as_ref()?.text()
    }

    /// The text; empty if there is none.
    pub(crate) fn word(&self) -> &str {
        self.text().unwrap_or_default()
    }

    /// One of the words of an enumeration, which may be given by number; the first if absent.
    pub(crate) fn choice(&self, words: &[&'static str]) -> Option<&'static str> {
        if !self.exists() {
            return words.first().copied();
        }
        match self.text() {
            Some(text) => words.iter().find(|word| **word == text).copied(),
            None => words.get(usize::try_from(self.number()?).ok()?).copied(),
        }
    }

    /// A flag that is set.
    pub(crate) fn is_true(&self) -> bool {
        self.node.as_ref().is_some_and(|node| matches!(node.kind, Kind::Bool(true)))
    }

    /// A whole number, which may stand in a string.
    pub(crate) fn number(&self) -> Option<u64> {
        match &self.node.as_ref()?.kind {
            Kind::Whole(number) => u64::try_from(*number).ok(),
            Kind::Text(text) => text.text.parse().ok(),
            Kind::Null | Kind::Bool(_) | Kind::Decimal(_) | Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// A length of time as Envoy writes it: `1.5s`.
    pub(crate) fn duration(&self) -> Option<Duration> {
        let seconds = self.text()?.strip_suffix('s')?;
        Duration::try_from_secs_f64(seconds.parse().ok()?).ok()
    }

    /// The value without places.
    pub(crate) fn json(&self) -> Value {
        self.node.as_ref().map_or(Value::Null, |node| node.to_json())
    }

    /// Whether both are there with equal values, or neither.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        match (self.exists(), other.exists()) {
            (true, true) => self.json() == other.json(),
            (one, other) => one == other,
        }
    }

    /// The value as it may stand in a message: short, on one line, and never what is within.
    pub(crate) fn shows(&self) -> String {
        const CHARS_MAX: usize = 60;
        let Some(node) = self.node.as_ref() else { return "nothing".to_owned() };
        let text = match &node.kind {
            Kind::Null => "nothing".to_owned(),
            Kind::Bool(flag) => flag.to_string(),
            Kind::Whole(number) => number.to_string(),
            Kind::Decimal(number) => number.to_string(),
            Kind::Text(text) => format!("{:?}", text.text),
            Kind::List(items) if items.is_empty() => "an empty list".to_owned(),
            Kind::List(items) => format!("a list of {}", items.len()),
            Kind::Map(_) => "an object".to_owned(),
        };
        if text.chars().count() <= CHARS_MAX {
            return text;
        }
        text.chars().take(CHARS_MAX).chain(['…']).collect()
    }

    /// The name of a message's type behind its package, and the message: a field `typed_config`
    /// holds one, with its type's address beside it.
    pub(crate) fn typed(&self) -> (String, Self) {
        let short = |address: &str| {
            let name = address.rsplit('/').next().unwrap_or_default();
            name.rsplit('.').next().unwrap_or_default().to_owned()
        };
        let kind = short(self.at("@type").word());
        if kind == "TypedStruct" {
            return (short(self.at("type_url").word()), self.at("value"));
        }
        (kind, self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::Document;
    use super::*;

    fn view(text: &str) -> View {
        View::of(&Document::read(0, text.as_bytes(), false).unwrap())
    }

    #[test]
    fn what_is_absent_has_the_place_of_what_it_is_absent_from() {
        let view = view("a:\n- b: {}\n");
        let absent = view.along("a[0].b.c[3].d");
        assert!(!absent.exists());
        assert_eq!((absent.path.as_str(), absent.place.line), ("a[0].b.c[3].d", 2));
        assert_eq!(absent.shows(), "nothing");
        for odd in ["", "[", "]", "..", "a[", "a]b", "[x]", "é.[é]"] {
            view.along(odd);
        }
    }

    #[test]
    fn values_are_read_as_envoy_reads_them() {
        let view = view(
            "{a: 1.5s, b: '7', c: 2, d: {'@type': a/b.C}, e: {'@type': x/y.TypedStruct, type_url: p/q.R, value: {f: 1}}}",
        );
        assert_eq!(view.at("a").duration(), Some(Duration::from_millis(1500)));
        assert_eq!(view.at("b").number(), Some(7));
        assert_eq!(view.at("c").choice(&["A", "B", "C"]), Some("C"));
        assert_eq!(view.at("z").choice(&["A", "B", "C"]), Some("A"));
        assert_eq!(view.at("d").typed().0, "C");
        let (kind, message) = view.at("e").typed();
        assert_eq!((kind.as_str(), message.at("f").number()), ("R", Some(1)));
    }

    #[test]
    fn what_is_long_or_within_is_not_shown() {
        let long = "x".repeat(100);
        let view = view(&format!("{{a: {long}, b: {{secret: s}}, c: [s]}}"));
        assert_eq!(view.at("a").shows().chars().count(), 61);
        assert_eq!(
            (view.at("b").shows().as_str(), view.at("c").shows().as_str()),
            ("an object", "a list of 1")
        );
    }
}
