//! The house that ARCHITECTURE.md describes, held to the code: how many rooms and floors
//! `src/engine` has, who names whom, how long files are, and that no name is given twice.
//!
//! What still breaks a rule is in `known.rs`, to be worked off: something new fails a test here, and
//! so does something there that is mended and was left in the table.

mod graph;
mod items;
mod known;
mod planted;
mod rules;
mod source;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use graph::{Arrow, Graph};
use source::Files;

use super::{files, read};

const LINES_MAX: usize = 400;

static ENGINE: LazyLock<Files> = LazyLock::new(|| {
    let all = files("src/engine", ".rs").into_iter();
    all.chain([("src/engine.rs".to_owned(), read("src/engine.rs"))]).collect()
});
static GRAPH: LazyLock<Graph> = LazyLock::new(|| Graph::of(&ENGINE));

/// What differs between what is found and the table of what is known; nothing, if all is well.
fn differs(rule: &str, found: &BTreeSet<String>, known: &[&str]) -> String {
    let known: BTreeSet<String> = known.iter().map(|line| (*line).to_owned()).collect();
    let new = found.difference(&known).map(|line| format!("new, so mend it: {line}\n"));
    let gone = known.difference(found);
    let gone = gone.map(|line| format!("mended, so take it out of {rule} in known.rs: {line}\n"));
    new.chain(gone).collect()
}

/// Compares arrows with a table; the table has no lines and no names, which change often.
fn hold_arrows(rule: &str, found: &[Arrow], known: &[&str]) {
    let short = |arrow: &Arrow| {
        let name = |file: &str| file.trim_start_matches("src/engine/").to_owned();
        format!("{} -> {}", name(&arrow.from), name(&arrow.to))
    };
    let differs = differs(rule, &found.iter().map(short).collect(), known);
    let told = found.iter().filter(|arrow| !known.contains(&short(arrow).as_str())).map(|arrow| {
        let back = rules::way_back(&GRAPH, arrow).map(|back| format!("\n    and back: {back}\n"));
        format!("{arrow}{}", back.unwrap_or_else(|| "\n".to_owned()))
    });
    let told: String = told.collect();
    assert!(differs.is_empty(), "{rule}:\n{differs}\nwhere:\n{told}");
}

#[test]
fn the_engine_has_few_rooms_and_floors() {
    assert!(GRAPH.arrows.len() > 50, "{} arrows are too few to be all", GRAPH.arrows.len());
    let wrong: Vec<String> =
        rules::rooms(&GRAPH).into_iter().chain(rules::floors(&GRAPH)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_rooms_name_each_other_in_a_ring() {
    let found = rules::rooms_in_a_ring(&GRAPH).into_iter().collect();
    let differs = differs("ROOMS_IN_A_RING", &found, known::ROOMS_IN_A_RING);
    assert!(differs.is_empty(), "rooms in a ring:\n{differs}");
}

#[test]
fn no_room_names_one_above() {
    let found = rules::against_the_direction(&GRAPH);
    hold_arrows("AGAINST_THE_DIRECTION", &found, known::AGAINST_THE_DIRECTION);
}

#[test]
fn no_files_name_each_other_in_a_ring() {
    let found = rules::on_a_cycle(&GRAPH);
    hold_arrows("ON_A_CYCLE", &found, known::ON_A_CYCLE);
}

#[test]
fn no_two_types_of_the_engine_share_a_name() {
    let types = items::types(&ENGINE, &GRAPH.files());
    assert!(types.len() > 100, "{} types are too few to be all", types.len());
    let twice = types.into_iter().filter(|(_, files)| files.len() > 1);
    let twice = twice.map(|(name, files)| format!("{name}: {}", files.join(" ")));
    let differs = differs("DEFINED_TWICE", &twice.collect(), known::DEFINED_TWICE);
    assert!(differs.is_empty(), "a type's name, and who defines it:\n{differs}");
}

#[test]
fn files_are_short() {
    let is_test = |name: &str| name.contains("/tests");
    let all = files("src", ".rs").into_iter().filter(|(name, _)| !is_test(name));
    let long = all.map(|(name, text)| (items::lines(&name, &text), name));
    let long: Vec<(usize, String)> = long.filter(|(lines, _)| *lines > LINES_MAX).collect();
    let names = long.iter().map(|(_, name)| name.clone()).collect();
    let differs = differs("LONG_FILES", &names, known::LONG_FILES);
    assert!(differs.is_empty(), "more than {LINES_MAX} lines without tests:\n{differs}\n{long:?}");
    let longest = long.iter().filter(|(lines, _)| *lines > known::LONG_FILES_LINES_MAX);
    assert_eq!(longest.count(), 0, "{long:?}");
}

/// Only the store knows where a record stands, the tick that keeps the store up, and the filter.
/// Others may name it where it is a word of the operators: in the status, on the page, in a metric.
#[test]
fn decisions_do_not_know_where_records_stand() {
    let is_tests = |name: &&String| name.contains("/tests");
    let knows = |name: &String| {
        let name = name.trim_start_matches("src/engine/");
        let tables = ["src/engine.rs", "limits.rs", "metrics.rs"];
        let words = ["admin/page/store.rs", "admin/doubt.rs"];
        ["store", "tick"].iter().any(|room| name.starts_with(room))
            || tables.contains(&name)
            || words.contains(&name)
    };
    let others = ENGINE.iter().filter(|(name, _)| !knows(name) && !is_tests(name));
    let found: Vec<String> =
        others.flat_map(|(name, text)| items::names_of_standing(name, text)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    let store = &ENGINE["src/engine/store/local/session.rs"];
    assert!(!items::names_of_standing("session.rs", store).is_empty(), "it would be found");
}

/// What others may name of the engine stands in its door, name by name. Two rooms are tables, which
/// are read with their names.
#[test]
fn the_engine_has_one_door() {
    let door = read("src/engine.rs");
    let open = |line: &&str| line.starts_with("pub mod ");
    assert_eq!(Vec::from_iter(door.lines().filter(open)), ["pub mod limits;", "pub mod metrics;"]);
    assert!(!door.contains("::*"), "each name is chosen");
}

/// Clippy counts the lines of functions. It does so with this number, and nothing is excused.
#[test]
fn functions_are_short() {
    assert!(read("clippy.toml").contains("\ntoo-many-lines-threshold = 70\n"));
    assert!(read("Cargo.toml").contains("\ntoo_many_lines = \"warn\"\n"));
    super::check(&files("src", ".rs"), "excused from being short", |_, line| {
        line.contains("clippy::too_many_lines")
    });
}
