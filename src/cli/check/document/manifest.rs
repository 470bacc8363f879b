//! Kubernetes manifests: the files in their ConfigMaps, each with its places in the manifest.

use std::rc::Rc;

use super::yaml::{self, Origin};
use super::{Document, Kind, Mistake, Node, Place, Text, VALUES_MAX, json, mistake};

/// Documents of one file, and files in all its ConfigMaps: far more than an Envoy is made of.
const DOCUMENTS_MAX: usize = 256;
const FILES_MAX: usize = 256;

/// Whether a document is a manifest: of whatever, or a list of them.
pub(super) fn is_one(root: &Node) -> bool {
    let has = |name: &str| root.member(name).is_some_and(|one| one.value.text().is_some());
    has("apiVersion") && has("kind")
}

/// The files in it that are wanted. One that cannot be read is a mistake if Envoy's words are in it,
/// and somebody else's file otherwise.
pub(super) fn read(
    first: Document,
    bytes: &[u8],
    file: usize,
    is_wanted: fn(&Document) -> bool,
) -> Result<Vec<Document>, Mistake> {
    let begin = Place { file, line: 1, column: 1 };
    let roots = match (first.second, std::str::from_utf8(bytes)) {
        (Some(_), Ok(text)) => {
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            yaml::read_every(text, Origin::At(begin), DOCUMENTS_MAX)?
        }
        (None, _) | (_, Err(_)) => vec![first.root],
    };
    let (mut documents, mut left, mut files) = (Vec::new(), VALUES_MAX, 0);
    for (path, name, value) in roots.iter().flat_map(maps).flat_map(data) {
        files += 1;
        if files > FILES_MAX {
            return mistake(value.place, format!("at most {FILES_MAX} files"), "more");
        }
        let Kind::Text(text) = &value.kind else { continue };
        let document = match within(text, value.place, name.ends_with(".json")) {
            Ok(root) => root,
            Err(mistake) if is_envoys(&text.text) => return Err(mistake),
            Err(_) => continue,
        };
        let document = Document { path, ..document };
        left = match left.checked_sub(document.root.values) {
            Some(left) => left,
            None => return mistake(value.place, format!("at most {VALUES_MAX} values"), "more"),
        };
        if is_wanted(&document) {
            documents.push(document);
        }
    }
    Ok(documents)
}

/// A ConfigMap, or those of a list.
fn maps(root: &Rc<Node>) -> Vec<(String, Rc<Node>)> {
    let is_map =
        |node: &Node| node.member("kind").and_then(|kind| kind.value.text()) == Some("ConfigMap");
    if is_map(root) {
        return vec![(String::new(), Rc::clone(root))];
    }
    let items = root.member("items").map(|items| &items.value.kind);
    let Some(Kind::List(items)) = items else { return Vec::new() };
    let items = items.iter().enumerate().filter(|(_, item)| is_map(item));
    items.map(|(at, item)| (format!("items[{at}]."), Rc::clone(item))).collect()
}

/// The path, the name and the value of each file in a ConfigMap.
fn data((path, map): (String, Rc<Node>)) -> Vec<(String, String, Rc<Node>)> {
    let Some(Kind::Map(members)) = map.member("data").map(|data| &data.value.kind) else {
        return Vec::new();
    };
    let file = |member: &super::Member| {
        let name = member.name.clone();
        (format!("{path}data[{name}]"), name, Rc::clone(&member.value))
    };
    members.iter().map(file).collect()
}

/// A file that is written in a string.
fn within(text: &Text, place: Place, is_json: bool) -> Result<Document, Mistake> {
    let looks_like_json = text.text.trim_start().starts_with('{');
    let read =
        (is_json || looks_like_json).then(|| json::read_within(&text.text, place, text.block));
    match read {
        Some(Ok(root)) => Ok(Document { root, second: None, path: String::new() }),
        Some(Err(mistake)) if is_json => Err(mistake),
        Some(Err(_)) | None => {
            yaml::read(&text.text, text.block.map_or(Origin::Fixed(place), Origin::At))
        }
    }
}

/// Whether a file that cannot be read was meant for Envoy.
fn is_envoys(text: &str) -> bool {
    let words = ["static_resources", "dynamic_resources", "envoy.", "load_assignment"];
    words.iter().any(|word| text.contains(word))
}
