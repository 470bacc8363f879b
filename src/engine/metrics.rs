//! Every metric of the filter, in one table: name, kind, labels, and what it tells. The README's
//! tables are held to it by a test, and so is `envoy/envoy.yaml`, which makes labels of the names.

pub mod implied;

pub use implied::Implied;

/// Kinds of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Is set.
    Gauge,
}

/// A metric, whatever its labels' values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// What it is called on `/stats/prometheus`.
    pub name: &'static str,
    /// Its kind.
    pub kind: MetricKind,
    /// Its labels, in their order.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    Family { name, kind: MetricKind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: MetricKind::Gauge, labels, help }
}

/// Requests.
pub const REQUESTS: Family = counter(
    "dana_requests_total",
    &["operation", "decision", "claim", "gateway"],
    "requests, by what was decided and where the claim stands afterwards",
);
/// Moves of breakers.
pub const TRANSITIONS: Family = counter(
    "dana_breaker_transitions_total",
    &["gateway", "to", "rule"],
    "moves of a breaker, and the rule that decided",
);
/// Heartbeats against traffic.
pub const DISAGREES: Family = counter(
    "dana_heartbeat_disagrees_total",
    &["gateway", "says"],
    "heartbeats say `up` when a breaker opens, or turn `down` while traffic goes well",
);
/// Switches.
pub const SWITCHES: Family = counter(
    "dana_switches_total",
    &["from", "to", "kind"],
    "new payments go to another gateway first: `failover`, `failback`, `override`",
);
/// Connections that are not what they must be.
pub const BREACHES: Family = counter(
    "dana_channel_breaches_total",
    &["gateway", "why"],
    "an answer came over a connection that is not what the gateway's `tls` demands",
);
/// What operators asked for.
pub const OVERRIDES: Family = counter(
    "dana_overrides_total",
    &["gateway", "to"],
    "operators force, drain, or leave a gateway to itself (`auto`)",
);
/// Evidence that contradicts what was known.
pub const ANOMALIES: Family = counter(
    "dana_anomalies_total",
    &["kind"],
    "evidence against what a record says: `overturned` (it was closed as failed and is executed after \
     all), `contradicted`; Envoy's log names the payment",
);
/// Where breakers stand.
pub const BREAKER_STATE: Family =
    gauge("dana_breaker_state", &["gateway"], "0 closed, 1 half-open, 2 open");
/// How far the way back has come.
pub const RAMP: Family = gauge(
    "dana_ramp_pct",
    &["gateway"],
    "how far the active gateway has come in taking over again, in percent of the new payments; the one \
     before it gets the rest as long as it is usable. 100 without a ramp; 0: not the active one",
);
/// What heartbeats say.
pub const HEARTBEAT_UP: Family = gauge("dana_heartbeat_up", &["gateway"], "1 up, 0 down");
/// Requests under way.
pub const IN_FLIGHT: Family =
    gauge("dana_in_flight", &["gateway"], "requests that are with a gateway, over all workers");
/// Gateways that are barred.
pub const BARRED: Family =
    gauge("dana_barred", &["gateway"], "1: nothing is sent there until an operator admits it");
/// Overrides that stand.
pub const OVERRIDE: Family = gauge("dana_override", &["gateway"], "0 none, 1 force, 2 drain");
/// Claims by state.
pub const CLAIMS: Family = gauge(
    "dana_claims",
    &["state"],
    "claims that are `in_flight`, `in_doubt`, `settled`, `rejected`, `closed`; `unreadable` are \
     records of another version",
);
/// The oldest doubt.
pub const OLDEST: Family = gauge(
    "dana_in_doubt_oldest_seconds",
    &[],
    "age of the oldest payment in doubt, from its claim; 0 if there is none",
);
/// Money in doubt.
pub const AT_RISK: Family = gauge(
    "dana_value_at_risk",
    &["currency"],
    "money in doubt, in hundredths of the currency: 1000000 are 10,000.00 rupiah",
);
/// Doubts without an amount.
pub const UNSUMMED: Family = gauge(
    "dana_in_doubt_unsummed",
    &[],
    "payments in doubt that are in no such sum: no amount known, or more than 16 currencies",
);
/// How full the store is.
pub const STORE_FILL: Family = gauge(
    "dana_store_fill_pct",
    &[],
    "how full the store is: at 100 new claims are refused; alarm at 80",
);
/// How full its fullest bucket is.
pub const BUCKET_FILL: Family = gauge(
    "dana_store_bucket_fill_pct",
    &[],
    "records of the fullest bucket, of whatever age, in percent of its room",
);
/// When it was counted.
pub const COUNTED_AT: Family = gauge(
    "dana_census_timestamp_seconds",
    &[],
    "when the last count ended; alarm when it stands still",
);

/// All of them.
pub const ALL: [&Family; 20] = [
    &REQUESTS,
    &TRANSITIONS,
    &DISAGREES,
    &SWITCHES,
    &BREACHES,
    &OVERRIDES,
    &ANOMALIES,
    &BREAKER_STATE,
    &RAMP,
    &HEARTBEAT_UP,
    &IN_FLIGHT,
    &BARRED,
    &OVERRIDE,
    &CLAIMS,
    &OLDEST,
    &AT_RISK,
    &UNSUMMED,
    &STORE_FILL,
    &BUCKET_FILL,
    &COUNTED_AT,
];

impl Family {
    /// The name of one of its metrics, as the host is told it: each label that has a value stands
    /// in it, and Envoy's `stats_tags` take it out again.
    #[must_use]
    pub fn full_name(&self, values: &[&str]) -> String {
        let mut full = String::with_capacity(128);
        full.push_str(self.name);
        for (label, value) in self.labels.iter().zip(values).filter(|(_, value)| !value.is_empty())
        {
            full.extend([";", label, "=", value]);
        }
        full
    }
}
