//! Every path that DANA's own SDKs call is an operation of the table, as the SDKs are installed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use dana_failover::engine::{Matched, Table, dana_snap};

use crate::support::root;

/// What stands between `before` and the next `after`, in all files below `folder` with this ending.
fn quoted(folder: &Path, ending: &str, before: &str, after: char) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|other| other == ending) {
                let text = fs::read_to_string(&path).unwrap();
                let parts = text.split(before).skip(1);
                found.extend(parts.filter_map(|part| Some(part.split_once(after)?.0.to_owned())));
            }
        }
    }
    found
}

fn python() -> BTreeSet<String> {
    let libraries = root().join(".tools/venv/lib");
    let version = fs::read_dir(libraries).unwrap().next().unwrap().unwrap().path();
    quoted(&version.join("site-packages/dana"), "py", "resource_path='", '\'')
}

fn node() -> BTreeSet<String> {
    let package = root().join(".tools/node/node_modules/dana-node/dist");
    quoted(&package, "js", "endpointUrl = `", '`')
}

#[test]
fn every_path_of_the_sdks_is_an_operation() {
    let table = Table::new(dana_snap());
    for (sdk, paths, least) in [("python", python(), 29), ("node", node(), 24)] {
        assert!(paths.len() >= least, "{sdk} names {} paths: {paths:?}", paths.len());
        for path in paths {
            let found = table.find(&path);
            assert!(matches!(found, Matched::Operation(_)), "{sdk}: {path}: {found:?}");
        }
    }
}
