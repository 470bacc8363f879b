//! The door: events and time in, effects out.
//!
//! The engine reads no clock, performs no effect, logs nothing and holds no unordered map. The
//! store that all workers share is outside: a value is asked for by an effect and comes in as an
//! event, and so does a lost race. The same events at the same times give the same effects, so a
//! test, a simulation and the filter inside Envoy all use this one door.
//!
//! - [`Exchange`](exchange::Exchange): one request, from the hold to the answer.
//! - [`Tick`](tick::Tick): one worker's tick, heartbeats and what it counted.
//! - [`Admin`](admin::Admin): one request of an operator.

pub mod admin;
mod codec;
pub mod config;
pub mod event;
pub mod exchange;
pub mod gateway;
pub mod health;
pub mod json;
pub mod limits;
pub mod machine;
pub mod metrics;
pub mod payment;
pub mod protocol;
pub mod store;
pub mod tick;
pub mod time;
