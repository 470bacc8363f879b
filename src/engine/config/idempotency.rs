//! How claims are kept, and the delays that money waits for.

use super::delays::{Floor, HOUR_MS};
use super::reader::Fields;
use super::values::{StoreConfig, Timeouts};
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
    let stores = fields.object("store");
    let local = stores.object("local");
    let claims_max = local.number("claims_max", 16..=16_777_216, 1_048_576);
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
        claims_max: u32::try_from(claims_max).unwrap_or(u32::MAX),
        retention: Millis::new(retention * 1000),
        token_retention: Millis::new(token_retention * 1000),
        bodies_max: u32::try_from(bodies_max).unwrap_or(u32::MAX),
        body_bytes_max: usize::try_from(body_bytes_max).unwrap_or(0),
    };
    (store, rules)
}
