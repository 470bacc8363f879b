//! An Envoy configuration for `check`, in YAML or JSON: people's files, or files made to hurt.
//!
//! The first byte says which of the two.

use dana_failover::cli::check;

/// # Panics
/// Where the same file is told of differently, or nothing is said of what is wrong.
pub fn run(data: &[u8]) {
    let Some((first, content)) = data.split_first() else {
        return;
    };
    let name = if first % 2 == 0 { "a.yaml" } else { "a.json" };
    let told = check::told(name, content);
    assert!(
        told.as_ref().err().is_none_or(|why| why.contains("a.") || why.contains("at most")),
        "{told:?}"
    );
    assert_eq!(told, check::told(name, content));
}
