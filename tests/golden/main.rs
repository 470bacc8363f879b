//! `make golden OLD=...`: the modules of this checkout answer as an older pair did, byte for byte, and
//! each reads what the other has stored.
//!
//! Every story is a fixed course of requests and faults. It is played on a real Envoy by each cast of
//! [`world::Cast`]: by the older modules alone, by the new ones alone, by both of them side by side on
//! one store, and by one after the other on one store. All must be told the same. What is compared,
//! and what may differ by which rule, is in `record.rs`.
//!
//! - `outcomes`: every way for an answer to be good or bad, against everything that may come next
//! - `follows`: cancels, refunds and statuses, also of payments that this Envoy never saw
//! - `operations`: every operation of the table
//! - `shapes`: how a request may be shaped, and which ones are refused
//! - `names`: header keys and customers' tokens
//! - `meanwhile`: requests that come while another one is under way, and clients that leave
//! - `failover`: to the secondary, by breakers and by operators, and back
//! - `doubts`: what operators are shown and say of payments in doubt
//! - `small`: a store that is full, and answers that are no longer kept
//! - `rights`, `observed`, `plain`: other configurations
//! - `mix`: all of it in an order that a seed gives

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "it tells what it does and fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod compare;
mod record;
mod stage;
mod stories;
mod world;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use compare::Difference;
use stage::Played;
use stories::{STORIES, Story};
use world::{Cast, Modules};

/// So many Envoys play at once. They wait for most of their time.
const AT_ONCE: usize = 3;
/// Of two plays that differ so many fields are shown.
const SHOWN: usize = 12;

fn main() -> ExitCode {
    let Some(old) = std::env::var_os("GOLDEN_OLD").map(PathBuf::from) else {
        println!("Which modules are the older ones? Run this by `make golden OLD=<git revision>`.");
        return ExitCode::FAILURE;
    };
    let (old, new) = (Modules::old(&old), Modules::new());
    println!("old: {}\nnew: {}", old.told(), new.told());
    if old.payments_bytes() == new.payments_bytes() {
        println!("Both are the same file: that proves nothing.");
        return ExitCode::FAILURE;
    }
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let began = support::now();
    let mut sum = Sum::default();
    for story in STORIES.iter().filter(|story| story.name.contains(&wanted)) {
        sum.add(play(story, &old, &new));
    }
    println!("{} ({:.0} s)", sum.told(), began.elapsed().as_secs_f32());
    if wanted.is_empty() {
        println!("{}", sum.coverage());
    }
    let is_equal = sum.differences == 0 && sum.stories > 0;
    if is_equal { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What was compared.
#[derive(Default)]
struct Sum {
    stories: usize,
    requests: usize,
    answers: usize,
    received: usize,
    samples: usize,
    differences: usize,
    /// How often each decision was made, by each operation's requests: also those that none was.
    decisions: BTreeMap<(String, String), u64>,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.stories += other.stories;
        self.requests += other.requests;
        self.answers += other.answers;
        self.received += other.received;
        self.samples += other.samples;
        self.differences += other.differences;
        for (decision, count) in other.decisions {
            *self.decisions.entry(decision).or_default() += count;
        }
    }

    /// Which decisions and operations were met, of those that the filter has counters for.
    fn coverage(&self) -> String {
        let mut told = Vec::new();
        for (kind, of) in [("decisions", 0), ("operations", 1)] {
            let mut met: BTreeMap<&str, u64> = BTreeMap::new();
            for ((decision, operation), count) in &self.decisions {
                *met.entry([decision, operation][of]).or_default() += count;
            }
            let missed: Vec<&str> =
                met.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
            let missed = if missed.is_empty() { "none".to_owned() } else { missed.join(", ") };
            told.push(format!("{kind}: {} known, not met: {missed}", met.len()));
        }
        told.join("\n")
    }

    fn told(&self) -> String {
        format!(
            "{} stories, {} requests each; {} answers with their lines in the access log, {} requests \
             at gateways and {} samples of metrics compared: {} differences",
            self.stories,
            self.requests,
            self.answers,
            self.received,
            self.samples,
            self.differences
        )
    }
}

/// Plays a story by each cast, a few at a time, and compares all with the older modules alone.
fn play(story: &Story, old: &Modules, new: &Modules) -> Sum {
    let casts = Cast::all(old, new);
    let mut played: Vec<Played> = Vec::new();
    for few in casts.chunks(AT_ONCE) {
        let ends = std::thread::scope(|scope| {
            let threads = few.iter().map(|cast| scope.spawn(|| stage::play(story, cast)));
            let threads: Vec<_> = threads.collect();
            threads.into_iter().map(|one| one.join()).collect::<Vec<_>>()
        });
        for (one, cast) in ends.into_iter().zip(few) {
            let name = format!("{}, {}", story.name, cast.told());
            played.push(one.unwrap_or_else(|_| panic!("{name}: it did not come to its end")));
        }
    }
    let (reference, others) = played.split_first().unwrap();
    let (requests, decisions) = (reference.records.len(), reference.decisions());
    let mut sum = Sum { stories: 1, requests, decisions, ..Sum::default() };
    for (other, cast) in others.iter().zip(&casts[1..]) {
        let found = compare::compare(reference, other);
        show(story, cast, &found);
        sum.answers += other.records.len();
        sum.received += other.received.len();
        sum.samples += other.samples.len();
        sum.differences += found.len();
    }
    println!(
        "{:<11} {:>4} requests, {:>4} at gateways, {:>4} samples: {} differences",
        story.name,
        sum.requests,
        reference.received.len(),
        reference.samples.len(),
        sum.differences
    );
    sum
}

/// Shows the first difference of each field: what differs once often differs everywhere.
fn show(story: &Story, cast: &Cast, found: &[Difference]) {
    let mut fields: Vec<(&Difference, usize)> = Vec::new();
    for difference in found {
        match fields.iter_mut().find(|(first, _)| first.field == difference.field) {
            Some((_, count)) => *count += 1,
            None => fields.push((difference, 1)),
        }
    }
    for (first, count) in fields.iter().take(SHOWN) {
        println!("{}, {}, {count} times: {first}", story.name, cast.told());
    }
    if fields.len() > SHOWN {
        println!("{}, {}: and {} fields more", story.name, cast.told(), fields.len() - SHOWN);
    }
}
