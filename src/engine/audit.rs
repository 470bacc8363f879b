//! The audit trail: one line of JSON for each request that was decided and for each event, chained so
//! that nothing can be changed, left out or added unnoticed.
//!
//! A line's bytes are what is hashed; nobody writes them anew to check them. Each writer has a chain of
//! its own, and publishes how far it is where the file's owner cannot reach.

mod chain;
mod entry;
mod pepper;
mod published;
mod writers;

pub use chain::{Chain, Digest, Head};
pub use entry::AuditEntry;
pub use pepper::Pepper;
pub use published::PublishedHeads;
pub use writers::{AuditWriter, Writers};
