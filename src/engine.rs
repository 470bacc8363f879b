//! The door: events and time in, effects out.
//!
//! The engine reads no clock, performs no effect, logs nothing and holds no unordered map. The
//! store that all workers share is outside: a value is asked for by an effect and comes in as an
//! event, and so does a lost race. The same events at the same times give the same effects, so a
//! test, a simulation and the filter inside Envoy all use this one door.
//!
//! - [`Exchange`](exchange::Exchange): one request, from the hold to the answer.
//! - [`Pulse`](pulse::Pulse): one worker's tick, heartbeats and what it counted.
//! - [`Admin`](admin::Admin): one request of an operator.

pub mod admin;
pub mod anomaly;
pub mod answer;
pub mod breaker;
mod bytes;
pub mod census;
pub mod channel;
pub mod chronicle;
pub mod claim;
pub mod config;
pub mod event;
pub mod evidence;
pub mod exchange;
pub mod gateway;
pub mod health;
pub mod heartbeat;
pub mod in_flight;
pub mod json;
pub mod key;
pub mod layout;
pub mod leaps;
pub mod limits;
pub mod metrics;
pub mod operation;
pub mod overrides;
pub mod placement;
pub mod policy;
pub mod pulse;
pub mod rate;
pub mod record;
pub mod replay;
pub mod resolve;
pub mod sources;
pub mod tally;
pub mod time;
pub mod window;
pub mod zone;
