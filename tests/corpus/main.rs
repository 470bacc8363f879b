//! Every fuzz target over its corpus: what was once found, or is worth trying, is tried for ever.
//!
//! `make fuzz` looks for more and adds it to the corpus. Here each file is also cut short and
//! changed in some places, by a fixed seed, so that a new mistake near an old one is found without a
//! fuzzer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::cast_possible_truncation, reason = "lengths are small")]

mod archive;

#[path = "../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "for the fuzzer it is a crate of its own")]
mod fuzz;

/// Changed copies of each file.
const CHANGES: u64 = 8;

/// xorshift64: the same changes every time.
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state >> 16).unwrap()
}

fn changed(data: &[u8], other: &[u8], state: &mut u64) -> Vec<u8> {
    let mut data = data.to_vec();
    for _ in 0..=next(state) % 4 {
        let at = next(state) % (data.len() + 1);
        match next(state) % 5 {
            0 => data.truncate(at),
            1 => data.insert(at, u8::try_from(next(state) % 256).unwrap()),
            2 if at < data.len() => data[at] ^= 1 << (next(state) % 8),
            3 => {
                let from = next(state) % (other.len() + 1);
                data.splice(at..at, other[from..].iter().copied().take(64));
            }
            _ => data.splice(at..at, data.get(..at).unwrap_or_default().to_vec()).for_each(drop),
        }
    }
    data
}

fn play(target: &str) {
    let (_, run) = fuzz::TARGETS.into_iter().find(|(name, _)| *name == target).unwrap();
    let files = archive::files(target);
    assert!(files.len() >= 10, "{} files are no corpus", files.len());
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for (number, (name, data)) in files.iter().enumerate() {
        let other = &files[(number * 7 + 1) % files.len()].1;
        let copies = (0..CHANGES).map(|_| changed(data, other, &mut state));
        for input in [data.clone()].into_iter().chain(copies) {
            let outcome = std::panic::catch_unwind(|| run(&input));
            assert!(outcome.is_ok(), "{name}: {:?}", String::from_utf8_lossy(&input));
        }
    }
}

macro_rules! targets {
    ($($target:ident),*) => {
        $(#[test]
        fn $target() {
            play(stringify!($target));
        })*

        #[test]
        fn each_target_is_here() {
            assert_eq!(fuzz::TARGETS.map(|(name, _)| name), [$(stringify!($target)),*]);
        }
    };
}

targets!(
    answer,
    config,
    envoy_config,
    etcd,
    headers,
    log_lines,
    notification,
    operator,
    request,
    stored,
    trail
);
