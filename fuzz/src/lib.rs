//! What outsiders can send, each kind as a target: bytes in, and a panic where something that must
//! hold does not. `make fuzz` looks for such bytes; the tests run every target over its corpus, so
//! these files name nothing but the library, serde_json, and what signs a notification.
//!
//! A target asks for more than survival: that money goes to one gateway, that nothing is told or
//! kept that should not be, that what is written reads back the same.

pub mod answer;
pub mod config;
pub mod envoy_config;
pub mod etcd;
pub mod headers;
pub mod log_lines;
pub mod notification;
pub mod operator;
pub mod request;
pub mod stored;
mod text;
pub mod trail;
mod world;

/// A target.
pub type Target = fn(&[u8]);

/// All of them, by name, which is also that of the corpus' folder.
pub const TARGETS: [(&str, Target); 11] = [
    ("answer", answer::run),
    ("config", config::run),
    ("envoy_config", envoy_config::run),
    ("etcd", etcd::run),
    ("headers", headers::run),
    ("log_lines", log_lines::run),
    ("notification", notification::run),
    ("operator", operator::run),
    ("request", request::run),
    ("stored", stored::run),
    ("trail", trail::run),
];
