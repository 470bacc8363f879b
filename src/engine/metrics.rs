//! Every metric of the filter, in one table: name, kind, labels, unit and help.
//!
//! The filter defines metrics from it. `docs/metrics.md` is written from it, and a test holds the
//! two, the README and the labels in `envoy/envoy.yaml` together. Which label sets are there from
//! the start is said in [`implied`].

pub mod implied;
mod outcome;

pub use outcome::PaymentOutcome;

/// Kinds of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Is set.
    Gauge,
    /// Sorts numbers into the buckets that Envoy is configured with.
    Histogram,
}

/// A metric, whatever its labels' values: as much of a row as the filter needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// What it is called on `/stats/prometheus`.
    pub name: &'static str,
    /// Its kind.
    pub kind: MetricKind,
    /// Its labels, in their order.
    pub labels: &'static [&'static str],
}

/// A row of the table. Envoy takes no help text, so the modules carry none of this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The metric.
    pub family: Family,
    /// What its value counts or measures.
    pub unit: &'static str,
    /// What it tells.
    pub help: &'static str,
}

/// Makes a constant of each row's family, and [`TABLE`] of all rows.
macro_rules! table {
    ($($name:ident: $kind:ident $full:literal $labels:tt in $unit:literal, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $name: Family =
                Family { name: $full, kind: MetricKind::$kind, labels: &$labels };
        )*

        /// All of them.
        pub const TABLE: &[Row] = &[$(Row { family: $name, unit: $unit, help: $help }),*];
    };
}

table! {
    REQUESTS: Counter "dana_requests_total" ["operation", "decision", "claim", "gateway", "outcome"]
        in "requests",
        "requests, by what was decided and where the claim stands afterwards; of what moves money also by how \
         it ended for its merchant: `executed`, `declined`, `failed`, `invalid`, `unavailable`, `unknown`, \
         `in_progress`, `client_gone`";
    DURATIONS: Histogram "dana_gateway_duration_milliseconds" ["operation", "gateway"]
        in "milliseconds",
        "how long a gateway took until its answer was complete, or Envoy gave up; of several that were \
         asked for one request the last one. Left out is what Envoy moved on within the request: there the time \
         is that of both";
    DOUBTS_OPENED: Counter "dana_doubts_opened_total" ["gateway"]
        in "payments",
        "payments that came into doubt. One whose answer never came, because Envoy was killed or a client \
         left, is counted when something is next heard of it; `dana_claims` knows it before. What was opened and what was \
         resolved are no balance: that is `dana_claims{state=\"in_doubt\"}`";
    DOUBTS_RESOLVED: Counter "dana_doubts_resolved_total" ["by"]
        in "payments",
        "payments that came out of doubt: by an `answer` to the payment itself, the answer to a `status` \
         inquiry or a cancel, a `notification`, or an `operator`";
    NOTIFICATIONS: Counter "dana_notifications_total" ["operation", "decision", "claim", "gateway"]
        in "notifications",
        "gateways' notifications, by what was decided and where the claim of the payment stands afterwards";
    TRANSITIONS: Counter "dana_breaker_transitions_total" ["gateway", "to", "rule"]
        in "moves",
        "moves of a breaker, and the rule that decided";
    DISAGREES: Counter "dana_heartbeat_disagrees_total" ["gateway", "says"]
        in "contradictions",
        "heartbeats say `up` when a breaker opens, or turn `down` while traffic goes well";
    SWITCHES: Counter "dana_switches_total" ["from", "to", "kind"]
        in "switches",
        "new payments go to another gateway first: `failover`, `failback`, `override`";
    BREACHES: Counter "dana_channel_breaches_total" ["gateway", "why"]
        in "answers",
        "an answer came over a connection that is not what the gateway's `tls` demands";
    OVERRIDES: Counter "dana_overrides_total" ["gateway", "to"]
        in "overrides",
        "operators force, drain, or leave a gateway to itself (`auto`)";
    ANOMALIES: Counter "dana_anomalies_total" ["kind"]
        in "payments",
        "evidence against what a record says: `executed_twice` (by two gateways: refund one), \
         `overturned` (it was closed as failed and is executed after all), `contradicted`; Envoy's log names \
         the payment";
    BREAKER_STATE: Gauge "dana_breaker_state" ["gateway", "state"]
        in "0 or 1",
        "1 for the state that the breaker is in: `closed`, `half_open`, `open`; 0 for the others";
    HEALTH_WRITES: Counter "dana_health_writes_total" []
        in "writes",
        "what all workers know of the gateways was written: by it they see whether to read it again";
    RAMP: Gauge "dana_ramp_pct" ["gateway"]
        in "percent",
        "how far the active gateway has come in taking over again, in percent of the new payments; the one \
         before it gets the rest as long as it is usable. 100 without a ramp; 0: not the active one";
    HEARTBEAT_UP: Gauge "dana_heartbeat_up" ["gateway"]
        in "0 or 1",
        "1 up, 0 down";
    IN_FLIGHT: Gauge "dana_in_flight" ["gateway"]
        in "requests",
        "requests that are with a gateway, over all workers";
    BARRED: Gauge "dana_barred" ["gateway"]
        in "0 or 1",
        "1: nothing is sent there until an operator admits it";
    CONFIGURED: Gauge "dana_gateway_configured" ["gateway"]
        in "0 or 1",
        "1 for each gateway of the configuration, 0 for one that was in it before: what else is told of that one is old";
    OVERRIDE: Gauge "dana_override" ["gateway", "state"]
        in "0 or 1",
        "1 for what operators have ordered: `none`, `force`, `drain`; 0 for the others";
    CLAIMS: Gauge "dana_claims" ["state"]
        in "claims",
        "claims that are `in_flight`, `in_doubt`, `settled`, `rejected`, `closed` (in etcd these three are one, \
         `resolved`, and estimated where there are many); `unreadable` are records of another version";
    OLDEST: Gauge "dana_in_doubt_oldest_seconds" []
        in "seconds",
        "age of the oldest payment in doubt, from its claim; 0 if there is none";
    AT_RISK: Gauge "dana_value_at_risk" ["currency"]
        in "hundredths of the currency",
        "money in doubt, in hundredths of the currency: 1000000 are 10,000.00 rupiah";
    UNSUMMED: Gauge "dana_in_doubt_unsummed" []
        in "payments",
        "payments in doubt that are in no such sum: no amount known, or more than 16 currencies";
    STORE_FILL: Gauge "dana_store_fill_pct" []
        in "percent",
        "how full the store is: at 100 new claims are refused; alarm at 80";
    BUCKET_FILL: Gauge "dana_store_bucket_fill_pct" []
        in "percent",
        "records of the fullest bucket, of whatever age, in percent of its room";
    STORE_UP: Gauge "dana_store_up" []
        in "0 or 1",
        "where claims stand in etcd: 1 if each worker has joined and etcd answers. That it has no \
         space is told late, with the next lease: watch `claim_store_failed`";
    STORE_CALLS: Counter "dana_store_calls_total" ["result"]
        in "calls",
        "calls to etcd and each try that is made again: `ok`; `refused`, etcd says no; `unsent`, no member can \
         be reached; `unclear`, not answered in time or broken off";
    STORE_UNFINISHED: Gauge "dana_store_unfinished" []
        in "requests",
        "requests that are over and whose outcome is still to be written into etcd, over all workers";
    STORE_AHEAD: Counter "dana_store_clock_ahead_total" []
        in "reads",
        "records were read in etcd that come from a clock further ahead than `clock_skew_ms`, and count as \
         unreadable";
    COUNTED_AT: Gauge "dana_census_timestamp_seconds" []
        in "seconds since 1970",
        "when the last count ended; alarm when it stands still";
    HOST_ERRORS: Counter "dana_host_errors_total" []
        in "calls",
        "calls of the payments' filter to Envoy that failed, for whatever reason but the usual ones: not \
         found, changed by another worker, or a request of its own for a cluster without hosts";
    BUILD: Gauge "dana_build_info" ["version", "module"]
        in "1",
        "the version of the payments' module; after an update without a restart that of the one before too";
    CONFIG: Gauge "dana_config_digest" []
        in "48 bits",
        "the front of the SHA-256 of the payments' configuration, as the audit trail has it: Envoys that say \
         different numbers are configured differently";
    CONFIGURED_AT: Gauge "dana_config_timestamp_seconds" []
        in "seconds since 1970",
        "when a worker has last taken on its configuration: after a start, an update, or a crash of its VM";
    AUDIT_PUBLISHED: Gauge "dana_audit_published_timestamp_seconds" []
        in "seconds since 1970",
        "when the heads of the audit trail were published last; alarm when it stands still";
    AUDIT_EPOCH: Gauge "dana_audit_epoch_milliseconds" []
        in "milliseconds since 1970",
        "the front of the writers' names, which stands there in base 36: when the first of them began";
    AUDIT_WRITER: Gauge "dana_audit_writer" ["place"]
        in "number",
        "the writer whose head stands in this place: its number, modulo 64";
    AUDIT_ENTRIES: Gauge "dana_audit_entries" ["place"]
        in "entries",
        "entries that this writer has written";
    AUDIT_HEAD_HIGH: Gauge "dana_audit_head_high" ["place"]
        in "48 bits",
        "the front of the digest of its last entry, as `audit verify --format json` tells it";
    AUDIT_HEAD_LOW: Gauge "dana_audit_head_low" ["place"]
        in "48 bits",
        "the 48 bits after these";
}

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

    /// Whether [`Family::full_name`] of these values is `name`.
    #[must_use]
    pub fn is_named(&self, values: &[&str], name: &str) -> bool {
        let labels = self.labels.iter().zip(values).filter(|(_, value)| !value.is_empty());
        let rest = labels.flat_map(|(label, value)| [";", label, "=", value]);
        let rest = std::iter::once(self.name)
            .chain(rest)
            .try_fold(name, |name, part| name.strip_prefix(part));
        rest == Some("")
    }
}
