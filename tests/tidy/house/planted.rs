//! The rules on small trees that somebody made up, each with a fault planted: a rule that never
//! speaks holds nothing.

use super::graph::Graph;
use super::source::Files;
use super::{items, rules};

fn files(tree: &[(&str, &str)]) -> Files {
    tree.iter().map(|(name, text)| (format!("src/{name}.rs"), (*text).to_owned())).collect()
}

/// The engine of these files; its own declares their rooms.
fn graph(tree: &[(&str, &str)]) -> Graph {
    let mut all = files(tree);
    let rooms = tree.iter().filter_map(|(name, _)| name.strip_prefix("engine/"));
    let rooms: String = rooms.filter(|name| !name.contains('/')).map(declared).collect();
    all.entry("src/engine.rs".to_owned()).or_default().push_str(&rooms);
    Graph::of(&all)
}

fn declared(room: &str) -> String {
    format!("pub mod {room};\n")
}

/// Who names whom, by the files' names below `src/engine`.
fn arrows(tree: &[(&str, &str)]) -> Vec<String> {
    let graph = graph(tree);
    let short = |file: &str| file.trim_start_matches("src/").trim_end_matches(".rs").to_owned();
    let mut arrows: Vec<String> = (graph.arrows.iter())
        .map(|arrow| format!("{} -> {}", short(&arrow.from), short(&arrow.to)))
        .collect();
    arrows.sort();
    arrows
}

const PAYMENT: [(&str, &str); 4] = [
    ("engine/payment", "mod key; mod claim; pub use claim::Claim;"),
    ("engine/payment/key", ""),
    ("engine/payment/claim", "pub mod state; pub struct Claim;"),
    ("engine/payment/claim/state", ""),
];

fn named_by_store(code: &str) -> Vec<String> {
    let tree = [("engine/store", code)];
    let all = arrows(&[tree.as_slice(), PAYMENT.as_slice()].concat());
    let of_store = |arrow: &String| arrow.strip_prefix("engine/store -> ").map(ToOwned::to_owned);
    all.iter().filter_map(of_store).collect()
}

#[test]
fn a_name_leads_to_the_innermost_module() {
    let door = ["engine/payment"];
    let state = ["engine/payment/claim/state"];
    let two = ["engine/payment/claim", "engine/payment/key"];
    let three = ["engine/payment", "engine/payment/claim/state", "engine/payment/key"];
    assert_eq!(named_by_store("use crate::engine::payment::Claim;"), door);
    assert_eq!(named_by_store("pub use super::payment::*;"), door);
    assert_eq!(named_by_store("use crate::engine::payment::claim::state::{self};"), state);
    assert_eq!(named_by_store("use super::payment::claim::{state as how};"), state);
    assert_eq!(named_by_store("use super::payment::{key::Key, claim::{Claim, Money}};"), two);
    let nested = "use crate::engine::{payment::{self, key, claim::state::{A, B as C}}};";
    assert_eq!(named_by_store(nested), three);
    let inner = "mod inner { use super::super::payment::Claim; }";
    assert_eq!(named_by_store(inner), door);
    // What a `use` line brought in is followed from there.
    let renamed = "use super::payment as p; fn f() { p::claim::state::g() }";
    assert_eq!(named_by_store(renamed), ["engine/payment", "engine/payment/claim/state"]);
}

#[test]
fn names_in_code_and_macros_count_and_those_in_texts_do_not() {
    let door = ["engine/payment"];
    assert_eq!(named_by_store("fn f() -> crate::engine::payment::Claim { todo!() }"), door);
    assert_eq!(named_by_store("fn f() { assert!(g(super::payment::Claim::is)) }"), door);
    assert_eq!(named_by_store("fn f<T: Into<super::payment::Claim>>() {}"), door);
    assert_eq!(named_by_store("fn f() { use super::payment::Claim; }"), door);
    let nothing = "// use super::payment::Claim;\n/// [`super::payment::Claim`]\n\
                   const A: &str = \"crate::engine::payment::Claim\";\n\
                   pub(in crate::engine) fn f() {}\n\
                   use std::payment::X; fn g() { other::payment::h(); f::<u8>(); }";
    assert_eq!(named_by_store(nothing), Vec::<String>::new());
}

#[test]
fn a_door_points_to_what_it_hands_on_and_not_to_what_it_declares() {
    assert_eq!(arrows(&PAYMENT), ["engine/payment -> engine/payment/claim"]);
    let door = [("engine/codec", "mod a; mod b; fn f() { b::g() }"), ("engine/codec/a", "")];
    let door = [door.as_slice(), &[("engine/codec/b", "use super::X;")]].concat();
    assert_eq!(arrows(&door), ["engine/codec -> engine/codec/b", "engine/codec/b -> engine/codec"]);
    let up = [("engine/time", "use super::X;")];
    assert_eq!(arrows(&up), ["engine/time -> engine"]);
}

#[test]
fn tests_are_left_out() {
    let tests = "#[cfg(test)] mod tests;\n\
                 #[cfg(test)] mod more { use super::super::payment::Claim; }\n\
                 #[cfg(test)] use super::payment::{Claim, key::Key};\n\
                 #[cfg(test)] impl X { const A: u8 = super::payment::B; }\n\
                 impl X { #[cfg(test)] pub(crate) const fn f() { super::payment::f() } }";
    assert_eq!(named_by_store(tests), Vec::<String>::new());
    let after = format!("{tests} use super::payment::key::Key;");
    assert_eq!(named_by_store(&after), ["engine/payment/key"]);
}

/// The lines of a rule, as the test of the real tree would show them.
fn told(arrows: Vec<super::Arrow>) -> Vec<String> {
    arrows.iter().map(ToString::to_string).collect()
}

#[test]
fn an_arrow_up_is_found() {
    let tree = |health, payment, store, tick| {
        graph(&[
            ("engine/health", health),
            ("engine/payment", payment),
            ("engine/store", store),
            ("engine/tick", tick),
            ("engine/admin", ""),
        ])
    };
    let down = tree("", "", "use super::health::H;", "use super::{store, health::H};");
    assert_eq!(told(rules::against_the_direction(&down)), Vec::<String>::new());
    let up = tree("\nuse crate::engine::store::Cell;", "", "", "");
    let told_of = told(rules::against_the_direction(&up));
    assert_eq!(
        told_of,
        ["src/engine/health.rs:2 -> src/engine/store.rs (`crate::engine::store::Cell`)"]
    );
    let apart = tree("", "use super::health::H;", "", "use super::admin::A;");
    assert_eq!(
        told(rules::against_the_direction(&apart)),
        [
            "src/engine/payment.rs:1 -> src/engine/health.rs (`super::health::H`)",
            "src/engine/tick.rs:1 -> src/engine/admin.rs (`super::admin::A`)"
        ]
    );
    let to_the_door = tree("use super::Exchange;", "", "", "");
    assert_eq!(rules::against_the_direction(&to_the_door).len(), 1);
}

#[test]
fn a_cycle_between_files_is_found() {
    let tree = |claim, key| {
        graph(&[
            ("engine/payment", "mod claim; mod key; mod proof; pub use claim::Claim;"),
            ("engine/payment/claim", claim),
            ("engine/payment/key", key),
            ("engine/payment/proof", "use super::claim::Claim;"),
        ])
    };
    let none = tree("use super::key::Key;", "");
    assert_eq!(rules::on_a_cycle(&none), []);
    let ring = tree("use super::key::Key;", "use super::proof::Proof;");
    let found = rules::on_a_cycle(&ring);
    assert_eq!(found.len(), 3, "{found:?}");
    let first = found.iter().find(|arrow| arrow.from.ends_with("key.rs")).unwrap();
    assert_eq!(
        rules::way_back(&ring, first).unwrap(),
        "src/engine/payment/proof.rs -> src/engine/payment/claim.rs -> src/engine/payment/key.rs"
    );
    let by_the_door = tree("", "use super::Claim;");
    assert_eq!(rules::on_a_cycle(&by_the_door), []);
    let by_the_door = tree("use super::Limit;", "");
    assert_eq!(rules::on_a_cycle(&by_the_door).len(), 2);
}

/// No file leads back to itself here, and yet neither room can be understood without the other.
#[test]
fn rooms_in_a_ring_are_found() {
    let tree = |leaps| {
        graph(&[
            ("engine/time", "mod leaps;"),
            ("engine/time/leaps", leaps),
            ("engine/codec", "use super::time::Millis;"),
        ])
    };
    assert_eq!(rules::rooms_in_a_ring(&tree("")), Vec::<String>::new());
    let ring = tree("use crate::engine::codec::Reader;");
    assert_eq!(rules::on_a_cycle(&ring), []);
    assert_eq!(rules::rooms_in_a_ring(&ring), ["codec -> time", "time -> codec"]);
}

#[test]
fn too_many_rooms_and_a_room_without_a_place_are_found() {
    let names: Vec<String> = (0..=rules::ROOMS_MAX).map(|n| format!("engine/room{n}")).collect();
    let tree: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let told = rules::rooms(&graph(&tree));
    assert!(told[0].starts_with("17 rooms, more than 16: room0 "), "{told:?}");
    assert_eq!(told[1], "the room `room0` is on no level: LEVELS lacks it");
    assert_eq!(rules::rooms(&graph(&[("engine/time", ""), ("engine/tick", "")])), [""; 0]);
}

#[test]
fn too_many_floors_are_found() {
    let rooms = [
        "limits", "time", "codec", "gateway", "json", "health", "protocol", "store", "config",
        "exchange",
    ];
    let tower = |height: usize, more: &[(&str, &str)]| {
        let named = |below: &&str| format!("use super::{below}::X;");
        let lines: Vec<(String, String)> = (0..height)
            .map(|n| {
                let below = n.checked_sub(1).and_then(|below| rooms.get(below));
                (format!("engine/{}", rooms[n]), below.map(named).unwrap_or_default())
            })
            .collect();
        let tree: Vec<_> = lines.iter().map(|(n, code)| (n.as_str(), code.as_str())).collect();
        let others = tree.into_iter().filter(|(name, _)| more.iter().all(|(own, _)| own != name));
        rules::floors(&graph(&others.chain(more.iter().copied()).collect::<Vec<_>>()))
    };
    assert_eq!(tower(9, &[]), [""; 0]);
    let told = "10 floors, more than 9: exchange -> config -> store -> protocol -> health -> json \
                -> gateway -> codec -> time -> limits";
    assert_eq!(tower(10, &[]), [told]);
    // A ring is one floor, and what it leads to is below all of it.
    let ring = ("engine/time", "use super::{limits::X, codec::Y};");
    let told = tower(10, &[ring]);
    assert_eq!(told, [""; 0]);
    let higher = [
        ring,
        ("engine/metrics", "use super::config::X;"),
        ("engine/exchange", "use super::metrics::X;"),
    ];
    let told = "10 floors, more than 9: exchange -> metrics -> config -> store -> protocol -> health \
                -> json -> gateway -> codec -> limits";
    assert_eq!(tower(10, &higher), [told]);
}

#[test]
fn a_type_that_is_defined_twice_is_found() {
    let code = "pub struct Kept; impl Iterator for A { type Item = u8; } enum B { Kept(u8) }\n\
                impl Iterator for B { type Item = u8; } trait C { type Item; }\n\
                #[cfg(test)] mod tests { struct Kept; }\n\
                fn f(kept: impl Fn()) -> impl Fn() { type Local = u8; let t: Local = 0; }";
    let other =
        "#[derive(Debug)]\npub(crate) enum Kept { Item } type Local = u8; mod m { union U {} }";
    let files = files(&[("a", code), ("b", other), ("c", "struct Kept;")]);
    let types = items::types(&files, &["src/a.rs", "src/b.rs"].into());
    let found: Vec<(&str, usize)> =
        types.iter().map(|(n, files)| (n.as_str(), files.len())).collect();
    assert_eq!(found, [("B", 1), ("C", 1), ("Kept", 2), ("Local", 2), ("U", 1)]);
}

#[test]
fn lines_of_tests_are_not_counted() {
    let code = "use a::B;\n#[cfg(test)]\nuse c::{\n    D,\n};\n\nfn f() {}\n\n#[cfg(test)]\nmod tests {\n\n}\n";
    assert_eq!(items::lines("a.rs", code), 4);
    assert_eq!(items::lines("a.rs", "fn f() {\n}\n"), 2);
}

/// What is known passes, what is new does not, nor what is mended and still in the table.
#[test]
fn a_table_of_what_is_known_only_ever_gets_shorter() {
    let found = ["a -> b".to_owned()].into();
    assert_eq!(super::differs("RULE", &found, &["a -> b"]), "");
    assert_eq!(super::differs("RULE", &found, &[]), "new, so mend it: a -> b\n");
    let told = super::differs("RULE", &found, &["a -> b", "b -> c"]);
    assert_eq!(told, "mended, so take it out of RULE in known.rs: b -> c\n");
}
