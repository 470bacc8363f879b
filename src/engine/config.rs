//! The configuration: parsed once into types that cannot hold a bad value.
//!
//! `values` has these types and `parse` reads them, with one module for each larger part. `policy`
//! joins a configuration to the store. Tests check the README's table and `envoy/envoy.yaml`
//! against this parser.

mod admin;
mod audit;
mod delays;
mod gateways;
mod health;
mod idempotency;
mod names;
mod notify;
mod operations;
mod parse;
mod policy;
mod protobuf;
mod reader;
mod rights;
mod values;

pub use admin::{ETCD_MODULE, NOTIFY_MODULE, OPERATORS_MODULE, PAYMENTS_MODULE, Role};
pub use audit::AuditConfig;
pub use notify::{NotifyConfig, NotifyKey};
pub use policy::{Composite, Gateway, JoinError, Policy, RouteTarget};
pub use reader::ConfigError;
pub use values::{
    AnswersIn, CompositeConfig, Config, EtcdConfig, GATEWAY_HEADER, GatewayConfig, Ledger,
    StoreConfig, StoreEngine, Timeouts, VERIFIED_HEADER,
};

pub(in crate::engine) use reader::{Errors, Fields, Node};
pub(in crate::engine) use values::PARTNER_HEADER;

#[cfg(test)]
mod tests;
