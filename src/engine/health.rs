//! What all workers know of all gateways, in one shared value, and the choice that follows from it.
//!
//! The first gateway is usable while its breaker is closed; any other one also needs a fresh good
//! heartbeat. One gateway is active. It is left at once when it is no longer usable, and an
//! earlier one in the order takes over again only after it has been well for `stable_ms` and
//! `dwell_ms` have passed since the last switch, and then step by step (`ramp`). There is no panic
//! mode: if none is usable, none is used.

mod batch;
mod breaker;
mod cause;
mod climb;
mod event;
mod failover;
mod fair_share;
mod heartbeat;
mod history;
mod in_flight;
mod overrides;
mod peer_tls;
mod ramp;
mod rules;
mod shared;
mod window;
mod worker_counts;

pub use batch::Batch;
pub use breaker::{Breaker, BreakerLimits, BreakerState, Heard, Report, Rule, Signal, Transition};
pub use cause::Cause;
pub use event::HealthEvent;
pub use failover::{NewRequest, RequestKind, Selection};
pub use fair_share::{Payers, Source};
pub use heartbeat::{Expect, Heartbeat, HeartbeatLimits, ProbeSpec, Punctuality};
pub use history::{History, RefusalRun, Switched, Why};
pub use overrides::{Override, OverrideError, OverrideKind};
pub use peer_tls::{Breach, Demand, Peer, TlsVersion};
pub use rules::{Failback, HealthRules};
pub use shared::{Health, Member};
pub use window::Tally;
pub use worker_counts::WorkerCounters;
