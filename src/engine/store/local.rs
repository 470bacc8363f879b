//! The store in Envoy's shared data: buckets of records, and how many payments they sustain.

pub(super) mod bucket;
pub mod capacity;
pub(super) mod lookup;
pub(super) mod placement;
pub(super) mod session;
