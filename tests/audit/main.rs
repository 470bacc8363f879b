//! The audit trail is changed in one place, ten thousand times: each change is found, and named rightly.
//!
//! `MUTATIONS` says how many; `ENTRIES` of how many entries the trail is.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod mutations;
mod trail;

use dana_failover::cli::audit::{Kind, verify_bytes};

use dana_failover::engine::{AuditEntry, AuditWriter, Chain, Timestamp};
use mutations::Mutation;
use trail::{Entry, Random, Trail, lines};

#[expect(clippy::disallowed_methods, reason = "a run by hand says what it wants")]
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn an_untouched_trail_is_as_it_was_written() {
    let trail = Trail::new(3000, &mut Random::new(1));
    for heads in ["", &trail.heads()] {
        let verified = verify_bytes(&trail.bytes(), heads.as_bytes(), b"");
        assert_eq!(verified.findings().count(), 0);
        assert_eq!((verified.entries(), verified.torn()), (3000, 0));
    }
    // Its first half is nothing new once its heads are known.
    let (first, second) = trail.halves();
    let verified = verify_bytes(&second.bytes(), b"", first.last_heads().as_bytes());
    assert_eq!(verified.findings().collect::<Vec<_>>(), []);
    // A head within the files does not allow a chain to begin after it.
    let verified = verify_bytes(&second.bytes(), trail.heads().as_bytes(), b"");
    assert!(verified.is_untrue());
    let verified = verify_bytes(&second.bytes(), b"", b"");
    assert!(verified.findings().all(|(kind, _)| kind == Kind::Missing), "and if not it is missing");
}

#[test]
fn a_trail_that_a_kill_broke_off_is_no_tampering() {
    let trail = Trail::new(300, &mut Random::new(2));
    let mut bytes = trail.bytes();
    bytes.truncate(bytes.len() - 100);
    let verified = verify_bytes(&bytes, b"", b"");
    assert_eq!((verified.findings().count(), verified.torn()), (0, 1));
    let again = Trail::new(10, &mut Random::new(3));
    bytes.push(b'\n');
    bytes.extend(again.bytes());
    let verified = verify_bytes(&bytes, b"", b"");
    assert_eq!((verified.findings().count(), verified.torn()), (0, 1));
    assert_eq!(verified.entries(), 309);
}

/// Each of these would hide what was done by another one of them.
#[test]
fn changes_together_are_found() {
    let trail = Trail::new(6000, &mut Random::new(5));
    let heads = trail.heads();
    let untrue_by = |entries: &[Entry], heads: &str| {
        let bytes = lines(entries.iter().map(|entry| entry.line.as_str()));
        verify_bytes(&bytes, heads.as_bytes(), b"").is_untrue()
    };
    let untrue = |entries: &[Entry]| untrue_by(entries, &heads);
    assert!(!untrue(&trail.entries));
    // An entry is changed, and moved to where it seems to come late.
    let mut entries = trail.entries.clone();
    let mut moved = entries.remove(100);
    moved.line = moved.line.replace("amt", "amu");
    entries.insert(5500, moved);
    assert!(untrue(&entries));
    // A writer that nobody knows.
    let stranger = AuditWriter { number: 9, ..trail.entries[0].writer };
    let mut entries = trail.entries.clone();
    entries.push(Entry { line: first_of(stranger, "start"), ..entries[0].clone() });
    assert!(untrue(&entries));
    // One that goes on after its end.
    let first = heads.lines().next().unwrap();
    let closed = first.replace("audit head", "audit close");
    assert!(untrue_by(&trail.entries, &format!("{heads}{closed}\n")));
    // Its beginning is cut off, up to a head.
    let words: Vec<&str> = first.split(' ').collect();
    let (writer, number) = (words[3], words[4].parse::<u64>().unwrap());
    let mut entries = trail.entries;
    entries.retain(|entry| entry.writer.to_string() != writer || entry.number > number);
    assert!(untrue(&entries));
}

/// Notes must not take the room of what is worse.
#[test]
fn many_notes_hide_nothing() {
    let mut trail = Trail::new(45_000, &mut Random::new(6));
    let heads = trail.heads();
    // The entries of each writer in pairs, the later one first.
    for writer in 1..=3 {
        let places: Vec<usize> = (0..trail.entries.len())
            .filter(|at| trail.entries[*at].writer.number == writer)
            .collect();
        for pair in places.chunks_exact(2) {
            trail.entries.swap(pair[0], pair[1]);
        }
    }
    let verified = verify_bytes(&trail.bytes(), heads.as_bytes(), b"");
    assert!(!verified.is_untrue(), "only out of order");
    let last = trail.entries.len() - 10;
    trail.entries[last].line = trail.entries[last].line.replace("amt", "amu");
    assert!(verify_bytes(&trail.bytes(), heads.as_bytes(), b"").is_untrue());
}

/// Heads that stand in the trail itself say nothing of which writers there are.
#[test]
fn a_writer_that_names_others_needs_no_heads() {
    let mut one = Chain::new(AuditWriter { epoch: 1, number: 1 });
    let first = one.append(&AuditEntry::new("start", Timestamp::from_millis(1)));
    let named = one.head().unwrap().line();
    let start = AuditEntry::new("start", Timestamp::from_millis(2)).texts("before", &[named]);
    let second = Chain::new(AuditWriter { epoch: 1, number: 2 }).append(&start);
    let trail = format!("{first}\n{second}\n");
    assert!(!verify_bytes(trail.as_bytes(), b"", b"").is_untrue());
    // What it names is compared.
    let first = first.replace("start", "start ");
    assert!(verify_bytes(format!("{first}\n{second}\n").as_bytes(), b"", b"").is_untrue());
}

fn first_of(writer: AuditWriter, kind: &str) -> String {
    Chain::new(writer).append(&AuditEntry::new(kind, Timestamp::from_millis(1)))
}

#[test]
fn a_chain_begins_with_its_start() {
    let writer = AuditWriter { epoch: 1, number: 1 };
    assert!(!verify_bytes(first_of(writer, "start").as_bytes(), b"", b"").is_untrue());
    assert!(verify_bytes(first_of(writer, "resolve").as_bytes(), b"", b"").is_untrue());
}

#[test]
fn each_change_is_found_and_named() {
    let (mutations, entries) = (number("MUTATIONS", 1500), number("ENTRIES", 1500));
    let mut random = Random::new(4);
    let trail = Trail::new(entries, &mut random);
    let mut seen = [0_u64; Mutation::ALL.len()];
    for seed in 0..mutations {
        let mut random = Random::new(seed + 1000);
        let which = random.place(Mutation::ALL.len());
        let mutation = Mutation::ALL[which];
        let changed = mutation.apply(&trail, &mut random);
        let verified = verify_bytes(&changed.bytes, trail.heads().as_bytes(), b"");
        let found: Vec<_> = verified.findings().collect();
        changed.check(&found, verified.torn()).unwrap_or_else(|why| {
            panic!("mutation {seed}, {mutation:?} of entry {:?}: {why}: {found:?}", changed.of)
        });
        seen[which] += 1;
    }
    assert!(seen.iter().all(|count| *count > mutations / 20), "{seen:?}");
}
