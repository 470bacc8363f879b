//! The configuration: parsed once into types that cannot hold a bad value.
//!
//! The README's table and `envoy/envoy.yaml` are checked against this parser by tests.

use crate::engine::health::{BreakerLimits, Failback, HeartbeatLimits};
use crate::engine::payment::ClaimRules;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::engine::health::{Demand, ProbeSpec};
use crate::engine::json::Pointer;
use crate::engine::limits;
use crate::engine::protocol::{Class, Identity, Mode, Operation, Protocol};
use crate::engine::store::{Capacity, KeptAnswer, KeyDefinition, layout_hash};
use crate::engine::time::{Millis, Zone};

mod admin;
mod health;
mod operations;
mod policy;
mod protobuf;
pub(super) mod reader;
mod rights;

pub use policy::{Composite, Gateway, JoinError, Policy, RouteTarget};
pub(in crate::engine) use reader::{Errors, Fields, Node};

pub use admin::{OPERATORS_MODULE, PAYMENTS_MODULE, Role};
use health::{read_breaker, read_failback, read_heartbeat, read_probe};
pub use reader::ConfigError;

/// The header that names the partner, where the configuration names no other.
pub(super) const PARTNER_HEADER: &str = "x-partner-id";

/// A configuration without mistakes.
#[derive(Clone, Debug)]
pub struct Config {
    /// In order of preference, two or more.
    pub gateways: Vec<GatewayConfig>,
    /// Which composite cluster tries which gateways.
    pub composites: Vec<CompositeConfig>,
    /// The request header by which Envoy's route chooses the cluster.
    pub route_header: String,
    /// How the gateways speak.
    pub protocol: Protocol,
    /// Whether the gateways know of each other's payments.
    pub ledger: Ledger,
    /// Whether decisions are carried out, where an operation does not say otherwise.
    pub mode: Mode,
    /// Whether a request of no known operation is sent on, without promises.
    pub pass_unmatched: bool,
    /// The header that names the partner.
    pub partner_header: String,
    /// Names in client certificates, and the partners that each may speak for. Empty where the
    /// network decides who may.
    pub peers: BTreeMap<String, Vec<String>>,
    /// Which operations a partner may call. Empty where each may call all.
    pub partners: BTreeMap<String, Vec<String>>,
    /// The preset's operations and the configured ones.
    pub operations: Vec<Operation>,
    /// How long a gateway may take to answer.
    pub timeouts: Timeouts,
    /// How claims are kept.
    pub store: StoreConfig,
    /// The delays that money waits for.
    pub claims: ClaimRules,
    /// When breakers move.
    pub breaker: BreakerLimits,
    /// When a gateway is up.
    pub heartbeat: HeartbeatLimits,
    /// When an earlier gateway takes over again.
    pub failback: Failback,
    /// Bytes of a request's body; a longer one is refused with 413.
    pub request_body_bytes_max: usize,
    /// Whose listener this is.
    pub role: Role,
    /// In which time zone operators are told times.
    pub time_zone: Zone,
}

/// A gateway as it is configured.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// What it is called, also in the endpoints' metadata.
    pub name: String,
    /// Envoy's cluster that reaches it alone.
    pub cluster: String,
    /// The `Host` of what the filter itself sends there, past the route.
    pub host: Option<String>,
    /// What its heartbeats ask and expect.
    pub probe: ProbeSpec,
    /// The operations that may go there; all of them where there is no list.
    pub operations: Option<Vec<String>>,
    /// What the connection to it must be, where that is watched.
    pub channel: Option<Demand>,
}

/// Whether the gateways know of each other's payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ledger {
    /// No: nothing but this filter keeps a payment from being executed at both.
    Separate,
    /// Yes: the operator declares that they recognise each other's references.
    Shared,
}

/// A composite cluster as it is configured.
#[derive(Clone, Debug)]
pub struct CompositeConfig {
    /// The gateways it tries, in its order.
    pub members: Vec<String>,
    /// Envoy's name for it.
    pub cluster: String,
}

/// How long a gateway may take to answer.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For what moves money or changes state.
    pub response: Millis,
    /// For what only reads.
    pub inquiry: Millis,
}

/// How claims are kept.
#[derive(Clone, Copy, Debug)]
pub struct StoreConfig {
    /// Claims that the store is laid out for.
    pub claims_max: u32,
    /// How long a resolved claim is kept.
    pub retention: Millis,
    /// How long a customer's token leads to the gateway that issued it, from its last use.
    pub token_retention: Millis,
    /// Answers that can be kept for replays.
    pub bodies_max: u32,
    /// Bytes of an answer that is kept.
    pub body_bytes_max: usize,
}

impl Config {
    /// Parses a configuration: JSON, or a `google.protobuf.Struct`.
    ///
    /// # Errors
    /// Every mistake, each with its path, what was expected there and what was found.
    pub fn parse(bytes: &[u8]) -> Result<Self, Vec<ConfigError>> {
        let value = match serde_json::from_slice::<Value>(bytes) {
            Ok(value) => value,
            Err(error) => protobuf::decode_struct(bytes).ok_or_else(|| {
                vec![ConfigError {
                    path: String::new(),
                    expected: "JSON in a StringValue, or a Struct".to_owned(),
                    found: if bytes.is_empty() {
                        "nothing".to_owned()
                    } else {
                        format!("something else ({error})")
                    },
                }]
            })?,
        };
        let errors = Errors::default();
        let config = read(&Node::root(&value, &errors), &errors);
        let errors = errors.into_vec();
        if errors.is_empty() { Ok(config) } else { Err(errors) }
    }

    /// How the payments of an operation are named.
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

    /// Whether `partner` may call `operation`.
    #[must_use]
    pub fn may_call(&self, partner: &str, operation: &str) -> bool {
        let own = self.partners.get(partner).or_else(|| self.partners.get(rights::ANY_PARTNER));
        let named = |names: &Vec<String>| names.iter().any(|name| name == operation);
        self.partners.is_empty() || own.is_some_and(named)
    }

    /// The number of sets of kept answers.
    #[must_use]
    pub const fn kept_sets(&self) -> u32 {
        KeptAnswer::sets(self.store.bodies_max)
    }

    /// The number of buckets of the store.
    #[must_use]
    pub const fn buckets(&self) -> u32 {
        self.store.claims_max.div_ceil(limits::BUCKET_RECORDS_MEAN)
    }

    /// Which rate of payments the store sustains.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        Capacity::new(self.buckets(), self.store.retention)
    }
}

fn read(root: &Node<'_>, errors: &Errors) -> Config {
    let fields = root.fields();
    let protocol = fields.choice(
        "protocol",
        &[("dana-snap", Protocol::DanaSnap), ("http", Protocol::Http)],
        Protocol::DanaSnap,
    );
    let testing = fields.object("testing");
    let floor = Floor { unsafe_timings: testing.flag("unsafe_timings", false) };
    let scope = fields.object("scope");
    let partner_header = header(&scope, "partner_header", PARTNER_HEADER);
    let (peers, partners) = (rights::read_peers(&scope), rights::read_partners(&scope));
    let limits = fields.object("limits");
    let request_body_bytes_max = limits.number("request_body_bytes_max", 1024..=1_048_576, 65_536);
    let timeouts = read_timeouts(&fields.object("timeouts"), floor);
    let ledgers = [("separate", Ledger::Separate), ("shared", Ledger::Shared)];
    let ledger = fields.choice("ledger", &ledgers, Ledger::Separate);
    let (store, mut claims) = read_idempotency(&fields.object("idempotency"), floor, timeouts);
    claims.shared_ledger = ledger == Ledger::Shared;
    let heartbeat = fields.object("heartbeat");
    let probe = read_probe(&heartbeat, floor, &ProbeSpec::default());
    let heartbeat = read_heartbeat(&heartbeat, floor, errors);
    let tick = heartbeat.tick_period();
    let admin = fields.object("admin").secret();
    let config = Config {
        gateways: read_gateways(&fields, floor, &probe, errors),
        composites: read_composites(&fields),
        route_header: header(&fields, "route_header", "x-dana-cluster"),
        protocol,
        ledger,
        mode: fields.choice("mode", &MODES, Mode::Enforce),
        pass_unmatched: fields.choice("unmatched", &[("refuse", false), ("pass", true)], false),
        partner_header,
        peers,
        partners,
        operations: operations::read(&fields, protocol, errors),
        timeouts,
        store,
        claims,
        breaker: read_breaker(&fields.object("breaker"), floor, tick, timeouts.response),
        heartbeat,
        failback: read_failback(&fields.object("failback"), floor),
        request_body_bytes_max: usize::try_from(request_body_bytes_max).unwrap_or(usize::MAX),
        role: admin::read(&admin, errors),
        time_zone: admin::read_zone(&admin),
    };
    check_relations(&config, errors);
    rights::check(&config, errors);
    config
}

/// The safe minimum of a delay, which tests may go below.
#[derive(Clone, Copy)]
struct Floor {
    unsafe_timings: bool,
}

impl Floor {
    fn millis(
        self,
        fields: &Fields<'_>,
        name: &'static str,
        safe: u64,
        max: u64,
        default: u64,
    ) -> Millis {
        let least = if self.unsafe_timings { 1 } else { safe };
        Millis::new(fields.number(name, least..=max, default))
    }
}

const HOUR_MS: u64 = 3_600_000;

/// Thirty days without a payment.
const TOKEN_RETENTION_S: u64 = 2_592_000;

/// DANA documents an expected timeout of 8 s: a shorter one would give up on payments that live.
fn read_timeouts(fields: &Fields<'_>, floor: Floor) -> Timeouts {
    Timeouts {
        response: floor.millis(fields, "response_ms", 8000, 120_000, 10_000),
        inquiry: floor.millis(fields, "inquiry_ms", 1000, 120_000, 8000),
    }
}

fn read_idempotency(
    fields: &Fields<'_>,
    floor: Floor,
    timeouts: Timeouts,
) -> (StoreConfig, ClaimRules) {
    let stores = fields.object("store");
    let local = stores.object("local");
    let claims_max = local.number("claims_max", 16..=16_777_216, 1_048_576);
    let retention = fields.number(
        "retention_s",
        if floor.unsafe_timings { 1 } else { 3600 }..=2_592_000,
        86_400,
    );
    // Ten years at most: that is how long a customer's token may be good for.
    let token_retention = fields.number(
        "token_retention_s",
        retention..=315_360_000,
        TOKEN_RETENTION_S.max(retention),
    );
    let repeat_max_age = fields.number("repeat_max_age_s", 0..=86_400, 3600);
    let bodies_max = fields.number("bodies_max", 1..=1_048_576, 16_384);
    let body_bytes_max =
        fields.number("body_bytes_max", 0..=limits::EVIDENCE_BYTES_MAX as u64, 4096);
    let rules = ClaimRules {
        lease: floor.millis(fields, "lease_ms", 10_000, HOUR_MS, 30_000),
        response: timeouts.response,
        repeat_after: floor.millis(fields, "repeat_after_ms", 1000, HOUR_MS, 5000),
        repeat_max_age: Millis::new(repeat_max_age * 1000),
        settle_delay: floor.millis(fields, "settle_delay_ms", 30_000, HOUR_MS, 60_000),
        shared_ledger: false,
    };
    let store = StoreConfig {
        claims_max: u32::try_from(claims_max).unwrap_or(u32::MAX),
        retention: Millis::new(retention * 1000),
        token_retention: Millis::new(token_retention * 1000),
        bodies_max: u32::try_from(bodies_max).unwrap_or(u32::MAX),
        body_bytes_max: usize::try_from(body_bytes_max).unwrap_or(0),
    };
    (store, rules)
}

fn read_gateways(
    fields: &Fields<'_>,
    floor: Floor,
    probe: &ProbeSpec,
    errors: &Errors,
) -> Vec<GatewayConfig> {
    let expected = "a list of two or more gateways in order of preference";
    let items = fields.demand("gateways", expected).map_or_else(Vec::new, |node| {
        let items = node.items();
        if !(2..=limits::GATEWAY_NAMES_MAX).contains(&items.len()) {
            errors.add(&node.path, "2 to 16 gateways", items.len().to_string());
        }
        items
    });
    let gateways: Vec<GatewayConfig> =
        items.iter().filter_map(|node| read_gateway(node, floor, probe)).collect();
    for (at, gateway) in gateways.iter().enumerate() {
        let earlier = gateways.iter().take(at);
        if earlier.clone().any(|other| other.name == gateway.name) {
            errors.add(&format!("gateways[{at}].name"), "a name of its own", &gateway.name);
        }
        if earlier.clone().any(|other| other.cluster == gateway.cluster) {
            errors.add(
                &format!("gateways[{at}].cluster"),
                "a cluster of its own",
                &gateway.cluster,
            );
        }
    }
    gateways
}

fn read_gateway(node: &Node<'_>, floor: Floor, probe: &ProbeSpec) -> Option<GatewayConfig> {
    let fields = node.fields();
    let name = fields.demand("name", NAME).and_then(|node| node.text(NAME, is_name));
    let cluster = fields.demand("cluster", CLUSTER).and_then(|node| node.text(CLUSTER, is_cluster));
    let probe = read_probe(&fields.object("heartbeat"), floor, probe);
    let (operations, channel) = (rights::read_operations(&fields), rights::read_channel(&fields));
    let host = fields.get("host").and_then(|node| node.text(HOST, is_host));
    Some(GatewayConfig { name: name?, cluster: cluster?, host, probe, operations, channel })
}

fn read_composites(fields: &Fields<'_>) -> Vec<CompositeConfig> {
    let read_one = |node: &Node<'_>| {
        let fields = node.fields();
        let members = fields.demand("members", "a list of gateway names");
        let cluster =
            fields.demand("cluster", CLUSTER).and_then(|node| node.text(CLUSTER, is_cluster));
        let members = members?.items().iter().filter_map(|node| node.text(NAME, is_name)).collect();
        Some(CompositeConfig { members, cluster: cluster? })
    };
    fields
        .get("composites")
        .map_or_else(Vec::new, |node| node.items().iter().filter_map(read_one).collect())
}

const MODES: [(&str, Mode); 2] = [("enforce", Mode::Enforce), ("observe", Mode::Observe)];

fn header(fields: &Fields<'_>, name: &'static str, default: &str) -> String {
    fields.text(name, default, "a header name in lower case", |text| {
        !text.is_empty()
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
    })
}

const NAME: &str = "a name of 1 to 32 letters, digits, - or _";
const HOST: &str = "a host name, with a port if it needs one";

/// Letters, digits, dots and hyphens, and what addresses and ports are written with.
fn is_host(text: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b);
    (1..=255).contains(&text.len()) && text.bytes().all(is_part)
}

const CLUSTER: &str = "the name of an Envoy cluster";

fn is_name(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn is_cluster(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// What no single field shows.
fn check_relations(config: &Config, errors: &Errors) {
    for (at, composite) in config.composites.iter().enumerate() {
        let path = format!("composites[{at}].members");
        if composite.members.len() < 2 {
            errors.add(&path, "two or more gateway names", composite.members.len().to_string());
        }
        for (place, member) in composite.members.iter().enumerate() {
            if !config.gateways.iter().any(|gateway| &gateway.name == member) {
                errors.add(&format!("{path}[{place}]"), "the name of one of gateways", member);
            }
            if composite.members.iter().take(place).any(|other| other == member) {
                errors.add(&format!("{path}[{place}]"), "each gateway once", member);
            }
        }
        if config.gateways.iter().any(|gateway| gateway.cluster == composite.cluster) {
            let expected = "another cluster than any gateway's own";
            errors.add(&format!("composites[{at}].cluster"), expected, &composite.cluster);
        }
    }
    let longest = config.timeouts.response.max(config.timeouts.inquiry);
    if config.claims.lease <= longest {
        errors.add(
            "idempotency.lease_ms",
            format!("more than the longest of timeouts ({} ms)", longest.get()),
            config.claims.lease.get().to_string(),
        );
    }
    // A permit that came back before its trial ended would be given twice.
    if config.breaker.half_open_max <= longest {
        errors.add(
            "breaker.half_open_ms_max",
            format!("more than the longest of timeouts ({} ms)", longest.get()),
            config.breaker.half_open_max.get().to_string(),
        );
    }
    if config.breaker.open_max < config.breaker.open {
        errors.add(
            "breaker.open_ms_max",
            format!("at least breaker.open_ms ({})", config.breaker.open.get()),
            config.breaker.open_max.get().to_string(),
        );
    }
}

#[cfg(test)]
mod tests;
