//! The door: events and time in, effects out.
//!
//! The engine reads no clock, performs no effect, logs nothing and holds no unordered map. The store is
//! outside: what a machine asks of it is an output, and the answer is an input, and so is a lost race.
//! The same inputs at the same times give the same outputs, so a test, a simulation and the filter
//! inside Envoy all use this one door.
//!
//! Three state machines stand behind one trait, [`Machine`], and [`drive`] is the loop that carries out
//! what they want:
//!
//! - [`Exchange`]: one request, from the hold to the answer.
//! - [`Tick`]: one worker's tick, its heartbeats and what it counted. A worker begins with [`Join`].
//! - [`Admin`]: one request of an operator.
//!
//! Everything else is private to the engine, but for the names below.

mod admin;
mod codec;
mod config;
mod event;
mod exchange;
mod gateway;
mod health;
mod json;
pub mod limits;
mod machine;
pub mod metrics;
mod payment;
mod protocol;
mod store;
mod tick;
mod time;

pub use admin::{Admin, Instance, ResolveError, resolve};
pub use config::{Config, ConfigError, OPERATORS_MODULE, PAYMENTS_MODULE, Policy};
pub use event::{
    AdminEffect, AdminEvent, Answer, Call, Decision, ExchangeEffect, ExchangeEvent, Forward, Probe,
    ProbeAnswer, ProbeId, Request, TickEffect, TickEvent,
};
pub use exchange::Exchange;
pub use gateway::{GatewayId, Gateways};
pub use health::{
    Breach, BreakerState, Cause, Health, HealthEvent, Heard, Member, NewRequest, Override,
    OverrideError, OverrideKind, Peer, Punctuality, Report, RequestKind, Rule, Signal, Source,
    Tally, Transition, Why, WorkerCounters,
};
pub use machine::{Input, InputOf, Machine, Output, OutputOf, Shell, Ticket, drive};
pub use payment::{
    Admission, Anomaly, AttemptId, Claim, ClaimKey, ClaimRules, ClaimState, Closed, Evidence,
    Fetch, Fingerprint, Incarnation, KeyFront, KeyPrefix, Money, Outcome, PaymentStatus,
    Resolution, Step, parse_idempotency_key, quote,
};
pub use protocol::{
    Body, Class, Flags, Identity, LocalReply, Matched, NotExecuted, Operation, Origin, Protocol,
    Repeat, Reply, ReplyContext, RequestError, Response, SnapCode, Standing, Table, Unknown,
    dana_snap, judge,
};
pub use store::{
    Bucket, Cell, CellEvent, CellRequest, Census, Counted, Entry, Expected, KeptAnswer, Layout,
    Loaded, Local, MAKES_ROOM, MemoryStore, Placement, Seed, capacity,
};
pub use tick::{Join, JoinEffect, Tick};
pub use time::{Leaps, Length, Millis, Timestamp, Utc};
