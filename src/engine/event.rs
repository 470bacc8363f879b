//! The whole vocabulary across the wall: what the engine is told, and what it wants done.

use crate::engine::audit::AuditEntry;
use crate::engine::gateway::GatewayId;
use crate::engine::health::{HealthEvent, Peer, ProbeSpec};
use crate::engine::payment::{Anomaly, DoubtEvent};
use crate::engine::protocol::{Body, Origin, Reply, Response};
use crate::engine::store::Counted;
use crate::engine::time::Millis;

mod decision;
mod entry;

pub(in crate::engine) use decision::with_money;
pub use decision::{After, Decision, Subject, Way};
pub use entry::{anomaly_entry, health_entry};

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

impl Answer<'static> {
    /// There is none, because the request provably did not leave.
    #[must_use]
    pub const fn never_left(client_waits: bool) -> Self {
        Self {
            evidence: Response { origin: Origin::NeverLeft, status: 0, body: Body::Unreadable },
            endpoint: None,
            peer: None,
            content_type: None,
            retry_after: None,
            content_encoding: None,
            client_waits,
        }
    }
}

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum ExchangeEvent<'a> {
    /// It is complete and held.
    Request(Request<'a>),
    /// Its exchange with the gateway has ended.
    Answered(Answer<'a>),
    /// Its client has left, or Envoy has answered it, while the store is asked: before the gateway has
    /// the request, or after it has answered.
    ClientGone,
}

/// What is to be done for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExchangeEffect {
    /// Let the held request go.
    Forward(Forward),
    /// Send the same request to a further gateway, past the router; the answer that is held stays
    /// held.
    Call(Call),
    /// Answer the client; nothing more is sent.
    Reply(Reply),
    /// Let the held answer go.
    Relay {
        /// The gateway that gave it, for [`GATEWAY_HEADER`](crate::engine::GATEWAY_HEADER).
        gateway: Option<String>,
    },
    /// Tell operators of a change.
    Changed(HealthEvent),
    /// Tell operators that evidence contradicts what was known.
    Anomaly(Box<Anomaly>),
    /// Count a payment that came into doubt, or out of it.
    Doubt(DoubtEvent),
    /// Put it into the access log, and count it.
    Decided(Box<Decision>),
    /// The client has left, and something is still to be written down: keep the exchange, and tell
    /// it what the store answers, until it has ended.
    HandOff,
}

/// What happens to a worker.
#[derive(Clone, Debug)]
pub enum TickEvent<'a> {
    /// It is time.
    Due,
    /// A heartbeat was answered, by the gateway or in its place by Envoy.
    Probed(ProbeId, ProbeAnswer<'a>),
    /// A heartbeat could not be sent.
    ProbeUnsent(ProbeId),
}

/// What is to be done for a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TickEffect {
    /// Send a heartbeat.
    Probe(Probe),
    /// Tell operators of a change.
    Changed(HealthEvent),
    /// Tell operators how many requests are with a gateway, over all workers.
    InFlight(GatewayId, u32),
    /// Tell operators what the store in shared data holds. Where claims stand in etcd it is a part of
    /// what is counted there.
    Counted(Box<Counted>),
    /// Count what the store in etcd holds: this worker is the one that counts.
    CountRealm,
}

/// What happens to a request of an operator.
#[derive(Clone, Debug)]
pub enum AdminEvent<'a> {
    /// It is complete and held.
    Request(Request<'a>),
}

/// What is to be done for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminEffect {
    /// Tell other operators of a change.
    Changed(HealthEvent),
    /// Tell other operators that evidence contradicts what was known.
    Anomaly(Anomaly),
    /// Count a payment that came out of doubt.
    Doubt(DoubtEvent),
    /// Tell who asked for what, and why.
    Told {
        /// One line for the log, with a JSON object.
        line: String,
        /// The same for the audit trail.
        entry: AuditEntry,
    },
    /// Answer.
    Reply(Reply),
}

/// What happens to a notification.
#[derive(Clone, Debug)]
pub enum NotificationEvent<'a> {
    /// It is complete and held.
    Request(Request<'a>),
    /// The merchant's application has answered, or Envoy in its place.
    Answered(ApplicationAnswer<'a>),
    /// The gateway that has sent it has left.
    GatewayGone,
}

/// What came back for a notification.
#[derive(Clone, Copy, Debug)]
pub struct ApplicationAnswer<'a> {
    /// Whether the application gave it, and not Envoy in its place.
    pub from_application: bool,
    /// Whether the application may have the notification: Envoy had a connection to it.
    pub was_reached: bool,
    /// Its status code.
    pub status: u16,
    /// Its `content-type`.
    pub content_type: Option<&'a str>,
    /// Its body, if all of it was read.
    pub body: Option<&'a [u8]>,
}

impl ApplicationAnswer<'static> {
    /// There is none, because the notification provably did not go.
    pub const NEVER_REACHED: Self = Self {
        from_application: false,
        was_reached: false,
        status: 0,
        content_type: None,
        body: None,
    };
}

/// What is to be done for a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotificationEffect {
    /// Let it go to the merchant's application, with these header fields set.
    Forward(Vec<(&'static str, String)>),
    /// Let the application's answer go.
    Relay,
    /// Answer the gateway; nothing more is sent.
    Reply(Reply),
    /// Tell operators that it contradicts what was known.
    Anomaly(Box<Anomaly>),
    /// Count a payment that came out of doubt.
    Doubt(DoubtEvent),
    /// Put it into the access log and the audit trail, and count it.
    Decided(Box<Decision>),
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
    /// What Envoy's log is told before it goes, where that is wanted of a payment.
    pub intent: Option<AuditEntry>,
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
    /// As in [`Forward`].
    pub intent: Option<AuditEntry>,
}

/// Tells heartbeats of one worker apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeId(pub u32);

/// What came back for a heartbeat.
#[derive(Clone, Copy, Debug)]
pub struct ProbeAnswer<'a> {
    /// Whether the gateway gave it, and not Envoy in its place.
    pub from_gateway: bool,
    /// Its status code; 0 where there is none.
    pub status: u16,
    /// As much of its body as is looked at; empty where [`ProbeSpec::expect`] does not read it.
    pub body: &'a [u8],
}

/// A heartbeat to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Which one.
    pub id: ProbeId,
    /// The gateway's place in the table of names.
    pub gateway: GatewayId,
    /// Envoy's cluster.
    pub cluster: String,
    /// The `Host` to name.
    pub host: String,
    /// What is asked and expected.
    pub spec: ProbeSpec,
}
