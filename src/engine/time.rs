//! Time as a value: the engine reads no clock, each event brings its own time.
//!
//! The host's clock is wall time and may step. Every difference therefore saturates at zero: a
//! step back makes leases and waits last longer, never shorter than nothing.

mod display;
mod leaps;
mod rfc3339;
mod timestamp;
mod zone;

pub use display::{Length, Utc};
pub(in crate::engine) use leaps::ClockWatch;
pub use leaps::Leaps;
pub use timestamp::{Millis, Timestamp};
pub use zone::Clock;
pub use zone::Zone;
