//! The whole vocabulary across the wall: what the engine is told, and what it wants done.

use crate::engine::gateway::GatewayId;
use crate::engine::health::{HealthEvent, Peer, ProbeSpec};
use crate::engine::payment::Anomaly;
use crate::engine::protocol::{Reply, Response};
use crate::engine::store::{Cell, Counted, Expected, Loaded};
use crate::engine::time::Millis;

mod decision;

pub use decision::{After, Decision};

/// A whole request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Names in lower case and values, in their order, pseudo headers included.
    pub headers: &'a [(&'a [u8], &'a [u8])],
    /// The body.
    pub body: &'a [u8],
    /// The first name of each kind in the client's verified certificate, where peers matter.
    pub peer: &'a [String],
    /// A number that differs between requests of one worker.
    pub context: u32,
}

/// A whole answer, or the news that there is none.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// What came.
    pub evidence: Response<'a>,
    /// The gateway named by the metadata of the endpoint that was used.
    pub endpoint: Option<&'a str>,
    /// The connection that it came over, where channels are watched and Envoy tells.
    pub peer: Option<Peer<'a>>,
    /// Its `content-type`.
    pub content_type: Option<&'a str>,
    /// Its `retry-after`, where that is a number of seconds.
    pub retry_after: Option<Millis>,
    /// Its `content-encoding`. Gateways label plain bodies too, so no more than what the bytes
    /// themselves say is taken from it.
    pub content_encoding: Option<&'a str>,
    /// Whether the client is still there to be answered.
    pub client_waits: bool,
}

/// What a request's life tells the engine.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// The request is complete and held.
    Request(Request<'a>),
    /// A value that was asked for.
    Loaded(Cell, Loaded),
    /// A value was written.
    Stored(Cell),
    /// A value was not written: it is no longer the one that was read.
    Conflict(Cell),
    /// The store failed; whether a write happened is not known.
    StoreFailed(Cell),
    /// The request's exchange with the gateway has ended.
    Answered(Answer<'a>),
}

/// What the engine wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Read a value and say what it is.
    Load(Cell),
    /// Write a value, if it is as expected, and say how that went.
    Store {
        /// Which.
        cell: Cell,
        /// To be this.
        bytes: Vec<u8>,
        /// If it is still this.
        expected: Expected,
    },
    /// Let the held request go.
    Forward(Forward),
    /// Send the same request to a further gateway, past the router; the answer that is held stays
    /// held.
    Call(Call),
    /// Answer the client; nothing more is sent.
    Reply(Reply),
    /// Let the held answer go.
    Relay {
        /// The gateway that gave it, for `x-dana-gateway`.
        gateway: Option<String>,
    },
    /// Send a heartbeat.
    Probe(Probe),
    /// Tell operators.
    Changed(HealthEvent),
    /// Tell operators that evidence contradicts what was known.
    Anomaly(Anomaly),
    /// Tell operators how many requests are with a gateway, over all workers.
    InFlight(GatewayId, u32),
    /// Tell operators what the store holds.
    Counted(Box<Counted>),
    /// Put it into the access log, and count it.
    Decided(Decision),
}

/// Where a request goes and with which headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Header fields to set, the one that names the cluster among them.
    pub headers: Vec<(String, String)>,
    /// Whether Envoy may reach more than one gateway, so that endpoint metadata will be needed.
    pub composite: bool,
    /// Whether a [`Call`] may follow, so that the request must be kept.
    pub keep: bool,
}

/// The same request once more, to another gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Envoy's cluster, which reaches that gateway alone.
    pub cluster: String,
    /// How long the gateway may take to answer.
    pub timeout: Millis,
    /// Header fields to set.
    pub headers: Vec<(String, String)>,
}

/// A heartbeat to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The gateway's place in the table of names.
    pub gateway: GatewayId,
    /// Envoy's cluster.
    pub cluster: String,
    /// The `Host` to name.
    pub host: String,
    /// What is asked and expected.
    pub spec: ProbeSpec,
}
