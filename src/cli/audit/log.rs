//! An audit trail as a transparency log: each writer's entries are the leaves of a tree, whose root a
//! person signs and gives away. One entry is proven to be in it without showing the others.
//!
//! The formats are C2SP's: signed notes, `tlog-checkpoint`, `tlog-proof`; the tree is that of RFC 6962.

mod checkpoint;
mod merkle;
mod note;
mod proof;
mod trees;

pub(super) use checkpoint::{CHECKPOINT, Checkpoint, Signed};
pub(super) use merkle::Hash;
use merkle::Tree;
pub(super) use note::{PublicKey, SecretKey};
pub(super) use proof::{PROOF_BYTES_MAX, Proof};
pub(super) use trees::{Growing, Trees};

/// What a text should have been, and is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unlike(pub(super) &'static str);

impl std::fmt::Display for Unlike {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "expected {}", self.0)
    }
}

/// Standard base64, as all of these formats write it (RFC 4648, section 4).
fn decoded(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

fn encoded(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

impl std::error::Error for Unlike {}
