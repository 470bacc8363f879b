//! How claims are kept, and the delays that money waits for.

use super::delays::{Floor, HOUR_MS};
use super::names::{CLUSTER, REALM, is_cluster, is_realm};
use super::reader::{Errors, Fields};
use super::values::{AnswersIn, Config, EtcdConfig, StoreConfig, StoreEngine, Timeouts};
use crate::engine::limits;
use crate::engine::payment::ClaimRules;
use crate::engine::time::Millis;

/// Thirty days without a use.
const TOKEN_RETENTION_S: u64 = 2_592_000;

pub(super) fn read_idempotency(
    fields: &Fields<'_>,
    floor: Floor,
    timeouts: Timeouts,
) -> (StoreConfig, ClaimRules) {
    let (engine, claims_max) = read_stores(&fields.object("store"), floor);
    let retention = fields.number(
        "retention_s",
        if floor.unsafe_timings { 1 } else { 3600 }..=2_592_000,
        86_400,
    );
    // Ten years at most: a customer's token may be valid for as long.
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
        engine,
        claims_max,
        retention: Millis::new(retention * 1000),
        token_retention: Millis::new(token_retention * 1000),
        bodies_max: u32::try_from(bodies_max).unwrap_or(u32::MAX),
        body_bytes_max: usize::try_from(body_bytes_max).unwrap_or(0),
    };
    (store, rules)
}

/// The smallest store in this process.
const CLAIMS_LEAST: u32 = 16;

/// Where new payments are claimed, and how many the store in this process is laid out for.
fn read_stores(fields: &Fields<'_>, floor: Floor) -> (StoreEngine, u32) {
    let has_local = fields.get("local").is_some();
    let range = CLAIMS_LEAST.into()..=16_777_216;
    let claims_max = fields.object("local").number("claims_max", range, 1_048_576);
    let claims_max = u32::try_from(claims_max).unwrap_or(u32::MAX);
    match fields.get("etcd").and_then(|node| read_etcd(&node.fields(), floor, has_local)) {
        None => (StoreEngine::Local, claims_max),
        Some(etcd) if has_local => (StoreEngine::Etcd(etcd), claims_max),
        // Nothing is claimed in this process.
        Some(etcd) => (StoreEngine::Etcd(etcd), CLAIMS_LEAST),
    }
}

fn read_etcd(fields: &Fields<'_>, floor: Floor, beside_local: bool) -> Option<EtcdConfig> {
    let cluster = fields.demand("cluster", CLUSTER).and_then(|node| node.text(CLUSTER, is_cluster));
    let realm = fields.demand("realm", REALM).and_then(|node| node.text(REALM, is_realm));
    let answers = [("local", AnswersIn::Local), ("store", AnswersIn::Store)];
    let answers = fields.choice("answers", &answers, AnswersIn::Local);
    let clock_skew = floor.millis(fields, "clock_skew_ms", 100, 60_000, 2000);
    Some(EtcdConfig { cluster: cluster?, realm: realm?, answers, clock_skew, beside_local })
}

/// What no part of an etcd's settings shows by itself.
pub(super) fn check_etcd(config: &Config, floor: Floor, errors: &Errors) {
    const PATH: &str = "idempotency.store.etcd";
    let Some(etcd) = config.store.etcd() else { return };
    let gateways = config.gateways.iter().map(|gateway| &gateway.cluster);
    let mut others = gateways.chain(config.composites.iter().map(|composite| &composite.cluster));
    if others.any(|other| other == &etcd.cluster) {
        let expected = "another cluster than those of gateways and composites";
        errors.add(&format!("{PATH}.cluster"), expected, &etcd.cluster);
    }
    // A claim of another Envoy is believed for so much longer than its lease, and a record that lies
    // further ahead is not repeated: both stay small beside the lease.
    let (skew, lease) = (etcd.clock_skew.get(), config.claims.lease.get());
    if skew.saturating_mul(4) >= lease {
        let expected = format!("less than a quarter of idempotency.lease_ms ({lease})");
        errors.add(&format!("{PATH}.clock_skew_ms"), expected, skew.to_string());
    }
    // A claim that is won so late that its answer may come after its lease is given back, not sent.
    let response = config.timeouts.response.get();
    let least = response.saturating_add(limits::SHARED_STORE_MS_MAX);
    if lease <= least && !floor.unsafe_timings {
        let expected =
            format!("more than timeouts.response_ms and what etcd may take ({least} ms)");
        errors.add("idempotency.lease_ms", expected, lease.to_string());
    }
}
