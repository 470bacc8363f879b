//! The audit trail is changed in one place, ten thousand times: each change is found, and named rightly.
//!
//! `MUTATIONS` says how many; `ENTRIES` of how many entries the trail is.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod mutations;
mod trail;

use dana_failover::cli::audit::{Kind, verify_bytes};

use mutations::Mutation;
use trail::{Random, Trail};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn an_untouched_trail_is_as_it_was_written() {
    let trail = Trail::new(3000, &mut Random::new(1));
    for heads in ["", &trail.heads()] {
        let verified = verify_bytes(&trail.bytes(), heads.as_bytes());
        assert_eq!(verified.findings().count(), 0);
        assert_eq!((verified.entries(), verified.torn()), (3000, 0));
    }
    // Its first half is nothing new once its heads are known.
    let (first, second) = trail.halves();
    let verified = verify_bytes(&second.bytes(), first.last_heads().as_bytes());
    assert_eq!(verified.findings().collect::<Vec<_>>(), []);
    let verified = verify_bytes(&second.bytes(), b"");
    assert!(verified.findings().all(|(kind, _)| kind == Kind::Missing), "and if not it is missing");
}

#[test]
fn a_trail_that_a_kill_broke_off_is_no_tampering() {
    let trail = Trail::new(300, &mut Random::new(2));
    let mut bytes = trail.bytes();
    bytes.truncate(bytes.len() - 100);
    let verified = verify_bytes(&bytes, b"");
    assert_eq!((verified.findings().count(), verified.torn()), (0, 1));
    let again = Trail::new(10, &mut Random::new(3));
    bytes.push(b'\n');
    bytes.extend(again.bytes());
    let verified = verify_bytes(&bytes, b"");
    assert_eq!((verified.findings().count(), verified.torn()), (0, 1));
    assert_eq!(verified.entries(), 309);
}

#[test]
fn each_change_is_found_and_named() {
    let (mutations, entries) = (number("MUTATIONS", 1500), number("ENTRIES", 1500));
    let mut random = Random::new(4);
    let trail = Trail::new(entries, &mut random);
    let mut seen = [0_u64; Mutation::ALL.len()];
    for seed in 0..mutations {
        let mut random = Random::new(seed + 1000);
        let which = random.below(Mutation::ALL.len() as u64) as usize;
        let mutation = Mutation::ALL[which];
        let changed = mutation.apply(&trail, &mut random);
        let verified = verify_bytes(&changed.bytes, trail.heads().as_bytes());
        let found: Vec<_> = verified.findings().collect();
        changed.check(&found, verified.torn()).unwrap_or_else(|why| {
            panic!("mutation {seed}, {mutation:?} of entry {:?}: {why}: {found:?}", changed.of)
        });
        seen[which] += 1;
    }
    assert!(seen.iter().all(|count| *count > mutations / 20), "{seen:?}");
}
