//! Kubernetes manifests: the files in their ConfigMaps, each with its places in the manifest.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::yaml::{self, Origin};
use super::{Document, Kind, Mistake, Node, Place, Text, VALUES_MAX, join, json, mistake};

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
    let objects: Vec<Object> = roots.iter().flat_map(objects).collect();
    let workloads: Vec<Workload<'_>> =
        objects.iter().filter_map(workload).take(FILES_MAX).collect();
    let maps = objects.iter().filter(is_map).flat_map(data);
    for DataFile { map, path, name, value } in maps {
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
        let document = Document { path, workloads: with(&workloads, map), ..document };
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

/// What a manifest describes, and the way to it.
type Object = (String, Rc<Node>);

/// An object, or those of a list.
fn objects(root: &Rc<Node>) -> Vec<Object> {
    match items(root, "items") {
        [] => vec![(String::new(), Rc::clone(root))],
        items => {
            let items = items.iter().enumerate();
            items.map(|(at, item)| (format!("items[{at}]"), Rc::clone(item))).collect()
        }
    }
}

fn is_map((_, object): &&Object) -> bool {
    text(object, &["kind"]) == Some("ConfigMap")
}

/// A file in a ConfigMap.
struct DataFile<'m> {
    /// The name of the map.
    map: Option<&'m str>,
    path: String,
    name: &'m str,
    value: &'m Rc<Node>,
}

fn data((path, object): &Object) -> Vec<DataFile<'_>> {
    let map = text(object, &["metadata", "name"]);
    let Some(Kind::Map(members)) = object.member("data").map(|data| &data.value.kind) else {
        return Vec::new();
    };
    let files = members.iter().map(|member| DataFile {
        map,
        path: join(path, &format!("data[{}]", member.name)),
        name: &member.name,
        value: &member.value,
    });
    files.collect()
}

/// Something that runs, and the names of the ConfigMaps that it mounts.
struct Workload<'m> {
    path: &'m str,
    object: &'m Rc<Node>,
    mounts: BTreeSet<&'m str>,
}

fn workload((path, object): &Object) -> Option<Workload<'_>> {
    let volumes = down(object, &["spec", "template", "spec"]).map(|pod| items(pod, "volumes"))?;
    let sources =
        |volume| down(volume, &["projected"]).map_or(&[][..], |one| items(one, "sources"));
    let places = volumes.iter().flat_map(|volume| sources(volume).iter().chain([volume]));
    let mounts = places.filter_map(|place| text(place, &["configMap", "name"])).collect();
    Some(Workload { path, object, mounts })
}

/// Those that mount the ConfigMap of this name.
fn with(workloads: &[Workload<'_>], map: Option<&str>) -> Vec<Object> {
    let mounts = |one: &&Workload<'_>| map.is_some_and(|map| one.mounts.contains(map));
    let mounting = workloads.iter().filter(mounts);
    mounting.map(|one| (one.path.to_owned(), Rc::clone(one.object))).collect()
}

fn down<'n>(node: &'n Rc<Node>, names: &[&str]) -> Option<&'n Rc<Node>> {
    names.iter().try_fold(node, |node, name| node.member(name).map(|member| &member.value))
}

fn text<'n>(node: &'n Rc<Node>, names: &[&str]) -> Option<&'n str> {
    down(node, names).and_then(|node| node.text())
}

fn items<'n>(node: &'n Rc<Node>, name: &str) -> &'n [Rc<Node>] {
    match node.member(name).map(|member| &member.value.kind) {
        Some(Kind::List(items)) => items,
        Some(_) | None => &[],
    }
}

/// A file that is written in a string.
fn within(text: &Text, place: Place, is_json: bool) -> Result<Document, Mistake> {
    let looks_like_json = text.text.trim_start().starts_with('{');
    let read =
        (is_json || looks_like_json).then(|| json::read_within(&text.text, place, text.block));
    match read {
        Some(Ok(root)) => Ok(Document::new(root, None)),
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
