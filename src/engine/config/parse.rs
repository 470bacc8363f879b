//! Reads a configuration part by part, and checks what no single part shows.

use serde_json::Value;

use super::admin::Role;
use super::delays::Floor;
use super::gateways::{check_composites, read_composites, read_gateways};
use super::health::{read_breaker, read_failback, read_heartbeat, read_probe};
use super::idempotency::{check_etcd, read_idempotency};
use super::names::header;
use super::operations::MODES;
use super::reader::{ConfigError, Errors, Fields, Node};
use super::values::{Config, Ledger, PARTNER_HEADER, Timeouts};
use super::{admin, audit, notify, operations, protobuf, rights};
use crate::engine::codec::{hex, sha256};
use crate::engine::health::ProbeSpec;
use crate::engine::protocol::{Mode, Protocol};

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
        let mut config = read(&Node::root(&value, &errors), &errors);
        config.digest = digest(&value);
        let errors = errors.into_vec();
        if errors.is_empty() { Ok(config) } else { Err(errors) }
    }
}

/// Maps of `serde_json` are sorted.
fn digest(value: &Value) -> String {
    hex(&sha256(value.to_string().as_bytes()))
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
        audit: audit::read(&fields, errors),
        notify: notify::keep(&fields),
        digest: String::new(),
    };
    if config.notify.is_some() && config.role != Role::Notify {
        errors.add("notify", "admin.role notify", "another");
    }
    check_composites(&config, errors);
    check_etcd(&config, floor, errors);
    check_delays(&config, errors);
    rights::check(&config, errors);
    config
}

/// DANA documents an expected timeout of 8 s. A shorter one would give up on payments under way.
fn read_timeouts(fields: &Fields<'_>, floor: Floor) -> Timeouts {
    Timeouts {
        response: floor.millis(fields, "response_ms", 8000, 120_000, 10_000),
        inquiry: floor.millis(fields, "inquiry_ms", 1000, 120_000, 8000),
    }
}

/// Delays that must be longer than others.
fn check_delays(config: &Config, errors: &Errors) {
    let longest = config.timeouts.response.max(config.timeouts.inquiry);
    if config.claims.lease <= longest {
        errors.add(
            "idempotency.lease_ms",
            format!("more than the longest of timeouts ({} ms)", longest.get()),
            config.claims.lease.get().to_string(),
        );
    }
    // A permit that is given back before its trial ended would be taken twice.
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
