//! The wall to Envoy: what the filter asks of its host. The calls themselves stand in `envoy`.
//!
//! The wrappers of the proxy-wasm SDK panic on a status they do not expect, and a panic costs every
//! payment in flight on that worker. So the ABI's functions are declared there and every status
//! becomes a typed error; what depends on the failed call fails closed.

use crate::engine::Expected;
use crate::engine::Reply;
use crate::engine::Timestamp;
use crate::engine::metrics::MetricKind;
use crate::engine::{Call, Probe, RpcRequest};

/// A host call that did not do what it should, with the ABI's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostError(pub u32);

impl std::fmt::Display for HostError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the host answered with status {}", self.0)
    }
}

/// How a conditional write went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The value is no longer the one that was read.
    Conflict,
    /// Something else; whether the write happened is not known.
    Failed(HostError),
}

/// Whose headers and body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client's request.
    Request,
    /// The answer to it.
    Response,
    /// The answer to a heartbeat or a call of ours.
    Call,
}

/// Whether a header field of an answer to a call of ours says that the gateway gave it. No route and
/// no filter touches such an answer, and what Envoy says in the gateway's place has no such field.
/// Envoy's `header_prefix` may have made anything of `x-envoy`.
#[must_use]
pub fn is_service_time(name: &[u8]) -> bool {
    name.ends_with(b"-upstream-service-time")
}

/// A request that is kept, so that it can be sent to another gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BufferedRequest {
    /// Its header fields in the ABI's serialised form.
    pub headers: Vec<u8>,
    /// Its body.
    pub body: Vec<u8>,
}

/// What the filter asks of Envoy.
pub trait Host {
    /// The host's wall clock.
    ///
    /// # Errors
    /// When the host refuses.
    fn now(&self) -> Result<Timestamp, HostError>;
    /// Bytes that an outsider cannot foresee in whole. The ABI has no entropy to give: these are
    /// the finest readings of the clock in a row, which tell microseconds and how evenly the
    /// machine runs. Good enough to hide where things stand, not to make keys of.
    ///
    /// # Errors
    /// When the host refuses.
    fn noise(&self) -> Result<Vec<u8>, HostError>;
    /// All header fields of one side, in the ABI's serialised form.
    ///
    /// # Errors
    /// When there are none to be read.
    fn headers(&self, side: Side) -> Result<Vec<u8>, HostError>;
    /// Sets a header field of one side.
    ///
    /// # Errors
    /// When the headers have already gone.
    fn set_header(&self, side: Side, name: &str, value: &str) -> Result<(), HostError>;
    /// Up to `bytes_max` of one side's body.
    ///
    /// # Errors
    /// When there is none to be read.
    fn body(&self, side: Side, bytes_max: usize) -> Result<Vec<u8>, HostError>;
    /// An attribute of the stream, by its path with a zero between names; `None` when it is not set.
    ///
    /// # Errors
    /// When it cannot be read.
    fn property(&self, path: &str) -> Result<Option<Vec<u8>>, HostError>;
    /// Makes `value` visible to the access log as `%FILTER_STATE(wasm.NAME:PLAIN)%`.
    ///
    /// # Errors
    /// When the host refuses.
    fn set_property(&self, name: &str, value: &str) -> Result<(), HostError>;
    /// A value that all workers share, with its version; `None` when it was never written.
    ///
    /// # Errors
    /// When the host refuses.
    fn load(&self, key: &[u8]) -> Result<Option<(Vec<u8>, u32)>, HostError>;
    /// Writes a value that all workers share.
    ///
    /// # Errors
    /// When it is not as expected, or the host refuses.
    fn store(&self, key: &[u8], value: &[u8], expected: Expected) -> Result<(), StoreError>;
    /// Answers the client in the place of whatever else would have come.
    ///
    /// # Errors
    /// When the client is gone.
    fn reply(&self, reply: &Reply) -> Result<(), HostError>;
    /// Lets what is held of one side go on, from a callback that is not its own.
    ///
    /// # Errors
    /// When the client is gone.
    fn resume(&self, side: Side) -> Result<(), HostError>;
    /// Sends a heartbeat; its answer will carry the token.
    ///
    /// # Errors
    /// When it cannot be sent, a cluster without hosts among the reasons.
    fn probe(&self, beat: &Probe) -> Result<u32, HostError>;
    /// Sends a request to a cluster, past the router; its answer will carry the token.
    ///
    /// # Errors
    /// When it cannot be sent, a cluster without hosts among the reasons. Then it was not.
    fn call(&self, call: &Call, request: &BufferedRequest) -> Result<u32, HostError>;
    /// Hands events to the listener that `cluster` reaches; its answer will carry the token.
    ///
    /// # Errors
    /// When they cannot be sent, a cluster without hosts among the reasons.
    fn hand_over(&self, cluster: &str, events: &[u8]) -> Result<u32, HostError>;
    /// Calls a method of the store that `cluster` reaches, by gRPC; its answer will carry the token.
    ///
    /// # Errors
    /// When it cannot be sent, a cluster without hosts among the reasons. Then it was not.
    fn rpc(&self, cluster: &str, request: &RpcRequest) -> Result<u32, HostError>;
    /// What a store that is far away needs of the host, and the capability list withholds.
    fn withheld(&self) -> Option<&'static str>;
    /// A counter or gauge of this name, which the whole process shares.
    ///
    /// # Errors
    /// When the host refuses.
    fn define_metric(&self, kind: MetricKind, name: &str) -> Result<u32, HostError>;
    /// Adds to a counter.
    ///
    /// # Errors
    /// When the host refuses.
    fn increment(&self, metric: u32, by: u32) -> Result<(), HostError>;
    /// What a counter or gauge says, whoever has moved it.
    ///
    /// # Errors
    /// When the host refuses.
    fn metric(&self, metric: u32) -> Result<u64, HostError>;
    /// Sets a gauge, or sorts a number into a histogram.
    ///
    /// # Errors
    /// When the host refuses.
    fn record(&self, metric: u32, value: u64) -> Result<(), HostError>;
    /// How many calls of the host have failed since this was asked last.
    fn take_errors(&self) -> u32;
}

#[cfg(target_family = "wasm")]
pub(super) use envoy::Envoy;
#[cfg(target_family = "wasm")]
pub(super) use logger::install as install_log;

#[cfg(target_family = "wasm")]
#[cfg_attr(feature = "operators", allow(dead_code, reason = "the payments' module asks for more"))]
#[expect(unsafe_code, reason = "the ABI passes pointers; all that does is here")]
mod envoy;
#[cfg(target_family = "wasm")]
mod logger;
