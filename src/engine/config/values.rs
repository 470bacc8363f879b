//! The values of a configuration without mistakes.

use std::collections::BTreeMap;

use super::admin::Role;
use super::audit::AuditConfig;
use crate::engine::codec::json::Pointer;
use crate::engine::health::{BreakerLimits, Demand, Failback, HeartbeatLimits, ProbeSpec};
use crate::engine::payment::ClaimRules;
use crate::engine::protocol::{Class, Identity, Mode, Operation, Protocol};
use crate::engine::store::{Capacity, KeptAnswer, KeyDefinition, layout_hash};
use crate::engine::time::{Millis, Zone};

/// The header that names the partner, where the configuration names no other.
pub(in crate::engine) const PARTNER_HEADER: &str = "x-partner-id";

/// The header that names the gateway of an answer.
pub const GATEWAY_HEADER: &str = "x-dana-gateway";

/// The header that says of a notification that its signature was verified; [`GATEWAY_HEADER`] says whose it
/// is. The route to the application asks for it, so that nothing passes where the filter was left out.
pub const VERIFIED_HEADER: &str = "x-dana-verified";

/// The entry for every partner that has none of its own.
const ANY_PARTNER: &str = "*";

/// A configuration without mistakes.
#[derive(Clone, Debug)]
pub struct Config {
    /// In order of preference, two or more.
    pub gateways: Vec<GatewayConfig>,
    /// Which composite cluster tries which gateways.
    pub composites: Vec<CompositeConfig>,
    /// The request header by which Envoy's route chooses the cluster.
    pub route_header: String,
    /// The protocol of the gateways.
    pub protocol: Protocol,
    /// Whether the gateways share one ledger.
    pub ledger: Ledger,
    /// Whether decisions are enforced. An operation may have a mode of its own.
    pub mode: Mode,
    /// Whether a request that matches no operation is forwarded. Nothing protects it then.
    pub pass_unmatched: bool,
    /// The header that names the partner.
    pub partner_header: String,
    /// Names in client certificates, and the partners that each may send requests for. Empty where
    /// the network decides who may.
    pub peers: BTreeMap<String, Vec<String>>,
    /// Which operations a partner may call. Empty if each partner may call all of them.
    pub partners: BTreeMap<String, Vec<String>>,
    /// The operations of the preset and the configured ones.
    pub operations: Vec<Operation>,
    /// How long a gateway may take to answer.
    pub timeouts: Timeouts,
    /// How claims are kept.
    pub store: StoreConfig,
    /// The delays that money waits for.
    pub claims: ClaimRules,
    /// When a breaker opens, and how it closes again.
    pub breaker: BreakerLimits,
    /// When heartbeats make a gateway up or down.
    pub heartbeat: HeartbeatLimits,
    /// When an earlier gateway takes over again.
    pub failback: Failback,
    /// The largest body of a request in bytes. A larger one is refused with 413.
    pub request_body_bytes_max: usize,
    /// Whose listener this is: the merchants' or the operators'.
    pub role: Role,
    /// The time zone of the operators' page.
    pub time_zone: Zone,
    /// How the audit trail is written, if it is.
    pub audit: Option<AuditConfig>,
    /// How notifications are taken in, as JSON, which [`NotifyConfig`](super::NotifyConfig) reads: other
    /// modules need not know how.
    pub notify: Option<String>,
    /// SHA-256 in hexadecimal of the configuration as compact JSON, its members in the order of their
    /// names.
    pub digest: String,
}

/// A gateway as it is configured.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Its name, also in the metadata of the endpoints.
    pub name: String,
    /// The Envoy cluster that reaches this gateway and no other.
    pub cluster: String,
    /// The `Host` of requests that the filter itself sends there, past the route.
    pub host: Option<String>,
    /// What its heartbeats request and what they expect.
    pub probe: ProbeSpec,
    /// The operations that may go there. All of them if there is no list.
    pub operations: Option<Vec<String>>,
    /// What the connection to it must be like, if that is checked.
    pub channel: Option<Demand>,
}

/// Whether the gateways share one ledger, and so know of each other's payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ledger {
    /// They do not: only this filter keeps a payment from being executed at both.
    Separate,
    /// They do: the operator declares that each recognises the references of the others.
    Shared,
}

/// A composite cluster as it is configured.
#[derive(Clone, Debug)]
pub struct CompositeConfig {
    /// Names of the gateways that it tries, in this order.
    pub members: Vec<String>,
    /// Its name in Envoy.
    pub cluster: String,
}

/// How long a gateway may take to answer, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For operations that move money or change state.
    pub response: Millis,
    /// For operations that only read.
    pub inquiry: Millis,
}

/// How claims are kept.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Where new payments are claimed.
    pub engine: StoreEngine,
    /// The number of claims that the store in this process is laid out for. The smallest one where
    /// nothing is claimed in it.
    pub claims_max: u32,
    /// How long a resolved claim is kept.
    pub retention: Millis,
    /// How long after its last use a customer's token leads to the gateway that issued it.
    pub token_retention: Millis,
    /// The number of answers that can be kept for replays.
    pub bodies_max: u32,
    /// The largest answer that is kept, in bytes.
    pub body_bytes_max: usize,
}

/// Where new payments are claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreEngine {
    /// In the memory of this Envoy process.
    Local,
    /// In an etcd, which several Envoys share.
    Etcd(EtcdConfig),
}

/// An etcd that keeps the claims of several Envoys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdConfig {
    /// The Envoy cluster that reaches its members.
    pub cluster: String,
    /// Which claims these are: Envoys with the same realm share theirs. It is part of every key.
    pub realm: String,
    /// Where answers are kept for replays.
    pub answers: AnswersIn,
    /// How far the clocks of two Envoys may differ, in milliseconds.
    pub clock_skew: Millis,
    /// Whether `local` is given beside it, on the way from one store to the other: shared data is
    /// laid out as it was for that.
    pub beside_local: bool,
}

/// Where the answers to executed payments are kept for replays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswersIn {
    /// In the memory of this Envoy process: another one asks the gateway again.
    Local,
    /// In the shared record, up to 1 KiB.
    Store,
}

impl StoreConfig {
    /// The etcd in which new payments are claimed, if it is one.
    #[must_use]
    pub const fn etcd(&self) -> Option<&EtcdConfig> {
        match &self.engine {
            StoreEngine::Local => None,
            StoreEngine::Etcd(etcd) => Some(etcd),
        }
    }

    /// Keeps answers in this process, wherever claims stand.
    pub fn keep_answers_here(&mut self) {
        if let StoreEngine::Etcd(etcd) = &mut self.engine {
            etcd.answers = AnswersIn::Local;
        }
    }

    /// Whether `local` is configured, alone or beside etcd.
    #[must_use]
    pub const fn has_local(&self) -> bool {
        match &self.engine {
            StoreEngine::Local => true,
            StoreEngine::Etcd(etcd) => etcd.beside_local,
        }
    }
}

impl Config {
    /// How the keys of an operation's payments are made.
    #[must_use]
    pub fn key_definition(&self, operation: &Operation) -> KeyDefinition {
        let moves_money = matches!(operation.class, Class::Charge | Class::FollowUp);
        let pointers = |pointers: &[Pointer]| -> Vec<String> {
            pointers.iter().map(ToString::to_string).collect()
        };
        let identity = match &operation.identity {
            Identity::Header => Vec::new(),
            Identity::Body(identity) => pointers(identity),
        };
        let concerns = operation.concerns.as_ref();
        let definition = format!(
            "{:?} {} {:?} {} {identity:?} {:?}",
            self.protocol,
            self.partner_header,
            operation.class,
            operation.namespace,
            concerns.map(|concerns| (concerns.namespace.as_ref(), pointers(&concerns.identity))),
        );
        KeyDefinition {
            operation: operation.name.to_string(),
            path: operation.path.to_string(),
            digest: moves_money.then(|| layout_hash(&definition)),
        }
    }

    /// Whether `partner` may call the operation of this name.
    #[must_use]
    pub fn may_call(&self, partner: &str, operation: &str) -> bool {
        let own = self.partners.get(partner).or_else(|| self.partners.get(ANY_PARTNER));
        let named = |names: &Vec<String>| names.iter().any(|name| name == operation);
        self.partners.is_empty() || own.is_some_and(named)
    }

    /// The number of sets of kept answers.
    #[must_use]
    pub const fn kept_sets(&self) -> u32 {
        KeptAnswer::sets(self.store.bodies_max)
    }

    /// Which rate of payments the store sustains.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        Capacity::new(self.store.claims_max, self.store.retention)
    }
}
