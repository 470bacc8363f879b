//! The door: events and time in, effects out.
//!
//! The engine reads no clock, performs no effect, logs nothing and holds no unordered map. The store is
//! outside: what a machine asks of it is an output, and the answer is an input, and so is a lost race.
//! The same inputs at the same times give the same outputs, so a test, a simulation and the filter
//! inside Envoy all use this one door.
//!
//! Four state machines stand behind one trait, [`Machine`], and [`drive`] is the loop that carries out
//! what they want:
//!
//! - [`Exchange`]: one request, from the hold to the answer.
//! - [`Notification`]: one of a gateway to the merchant, the other direction.
//! - [`Tick`]: one worker's tick, its heartbeats and what it counted. A worker begins with [`Join`].
//! - [`Admin`]: one request of an operator.
//!
//! Everything else is private to the engine, but for the names below.

mod admin;
mod audit;
mod codec;
mod config;
mod event;
mod exchange;
mod gateway;
mod health;
pub mod limits;
mod machine;
pub mod metrics;
mod payment;
mod protocol;
mod store;
mod tick;
mod time;

pub use admin::{Admin, Instance, ResolveError, resolve};
pub use audit::{AuditEntry, AuditWriter, Chain, Digest, Head, Pepper, PublishedHeads, Writers};
pub use codec::json::{Extractor, Pointer, Scalar};
pub use config::{
    AnswersIn, AuditConfig, Composite, CompositeConfig, Config, ConfigError, ETCD_MODULE,
    EtcdConfig, GATEWAY_HEADER, Gateway, GatewayConfig, JoinError, Ledger, NOTIFY_MODULE,
    NotifyConfig, NotifyKey, OPERATORS_MODULE, PAYMENTS_MODULE, Policy, Role, RouteTarget,
    StoreConfig, StoreEngine, Timeouts, VERIFIED_HEADER,
};
pub use event::{
    AdminEffect, AdminEvent, After, Answer, ApplicationAnswer, Call, Decision, ExchangeEffect,
    ExchangeEvent, Forward, NotificationEffect, NotificationEvent, Probe, ProbeAnswer, ProbeId,
    Request, Subject, TickEffect, TickEvent, Way, anomaly_entry, health_entry,
};
pub use exchange::{Exchange, Inbound, Notification};
pub use gateway::{GatewayId, Gateways};
pub use health::{
    Batch, Breach, Breaker, BreakerLimits, BreakerState, Cause, Demand, Expect, Failback, Health,
    HealthEvent, HealthRules, Heard, Heartbeat, HeartbeatLimits, History, Member, NewRequest,
    Override, OverrideError, OverrideKind, Payers, Peer, ProbeSpec, Punctuality, RefusalRun,
    Report, RequestKind, Rule, Selection, Signal, Source, Switched, Tally, TlsVersion, Transition,
    Why, WorkerCounters,
};
pub use machine::{Input, InputOf, Machine, Output, OutputOf, Shell, Ticket, drive};
pub use payment::{
    Admission, Anomaly, AnomalyKind, AttemptId, Claim, ClaimKey, ClaimRules, ClaimState, Closed,
    DoubtEvent, Evidence, Fetch, Fingerprint, Incarnation, KeyFront, KeyPrefix, Money, Outcome,
    PaymentRef, PaymentStatus, Resolution, ResolvedBy, Step, parse_idempotency_key, quote,
};
pub use protocol::{
    Absence, Body, Class, Compiled, Concerns, Flags, Identity, LocalReply, Matched, Memory, Mode,
    NotExecuted, Operation, Origin, Protocol, PublicKey, Reference, Repeat, Reply, ReplyContext,
    RequestError, RequestSlots, Response, SnapCode, Standing, StatusTable, Table, Unknown, Verdict,
    dana_notifications, dana_snap, judge,
};
pub use store::{
    Alias, AliasTarget, AnyOperatorSession, AnySession, BackendEvent, BackendRequest, Bucket,
    BucketError, Cell, CellEvent, CellRequest, Census, Commit, Conversation, Counted, Delivery,
    Entry, EtcdOperatorSession, EtcdSession, EtcdStore, EtcdTerms, Expected, Found, InDoubt,
    KeptAnswer, Key, KeyDefinition, KeyValue, Keyed, Layout, LayoutError, LeaseAnswer, Lineage,
    Lineages, Loaded, Local, LocalClaims, MAKES_ROOM, MemoryEtcd, MemoryKey, MemoryStore,
    OperatorEvent, OperatorRequest, OperatorSession, OperatorTerms, Outbox, Patience, Placement,
    RangeAnswer, Realm, RealmCensus, RealmEffect, RealmGateway, RealmMember, RealmTerms,
    RealmWorkers, ResolvedCount, Retention, Room, RpcEvent, RpcMethod, RpcRequest, Seed, Seen,
    Session, SessionOf, States, StoreError, StoreEvent, StoreLink, StoreRequest, Stored, Terms,
    TxnAnswer, Version, capacity,
};
pub use tick::{Join, JoinEffect, Tick};
pub use time::{Clock, Leaps, Length, Millis, Timestamp, Utc, Zone};
