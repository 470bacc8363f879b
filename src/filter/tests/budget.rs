//! How many calls of the host each kind of request makes. They are most of what a payment costs, and
//! those that return bytes cost five times the others: so one more is a decision.

use std::collections::BTreeMap;

use super::*;

/// Those that return bytes, each of which allocates in the VM.
const RETURN_BYTES: [&str; 4] = ["headers", "body", "property", "load"];

/// Of stories by their name, without the calls that define metrics once.
const KNOWN: [(&str, &str); 4] = [
    (
        "a first payment",
        "body 2 headers 2 load 3 property 2 | increment 1 metric 2 now 2 record 1 set_header 5 set_property 1 store 3",
    ),
    ("a replay", "body 1 headers 1 load 2 | increment 1 metric 1 now 1 reply 1 set_property 1"),
    (
        "a status",
        "body 2 headers 2 load 2 property 1 | increment 2 metric 2 now 2 record 1 set_header 5 set_property 1 store 1",
    ),
    (
        "a cancel",
        "body 2 headers 2 load 4 property 1 | increment 1 metric 2 now 2 record 1 set_header 6 set_property 1 store 4",
    ),
];

fn counted(calls: &[&'static str]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for call in calls.iter().filter(|call| **call != "define_metric") {
        *counts.entry(call).or_default() += 1;
    }
    let of = |returning: bool| {
        let some = counts.iter().filter(|(name, _)| RETURN_BYTES.contains(name) == returning);
        let some: Vec<String> = some.map(|(name, many)| format!("{name} {many}")).collect();
        some.join(" ")
    };
    format!("{} | {}", of(true), of(false))
}

#[test]
fn no_request_makes_more_calls_than_it_is_known_for() {
    let ready = Ready::new();
    let found = KNOWN.map(|(name, _)| {
        let stories = stories();
        let story = stories.iter().find(|story| story.name == name).unwrap();
        (name, counted(&story.tell_once(&ready)))
    });
    assert_eq!(found, KNOWN.map(|(name, calls)| (name, calls.to_owned())));
}
