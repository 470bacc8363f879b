//! Delays, and how short each may be.

use super::reader::Fields;
use crate::engine::time::Millis;

pub(super) const HOUR_MS: u64 = 3_600_000;

/// Whether a delay may be shorter than its safe minimum, which only tests may ask for.
#[derive(Clone, Copy)]
pub(super) struct Floor {
    pub(super) unsafe_timings: bool,
}

impl Floor {
    /// A delay of `safe` to `max` milliseconds.
    pub(super) fn millis(
        self,
        fields: &Fields<'_>,
        name: &'static str,
        safe: u64,
        max: u64,
        default: u64,
    ) -> Millis {
        let least = if self.unsafe_timings { 1 } else { safe };
        Millis::new(fields.number(name, least..=max, default))
    }
}
