//! Times as they stand in files.

use crate::engine::Timestamp;

/// Milliseconds since the Unix epoch, if it is a time.
pub(crate) fn millis(text: &str) -> Option<u64> {
    Timestamp::read(text).map(Timestamp::as_millis)
}
