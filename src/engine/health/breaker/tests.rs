//! The breaker: against a naive account of the same rules (`account`), each rule by itself
//! (`rules`), whose trouble counts for what (`sources`), and what trials and payments prove of which
//! nothing was heard (`silence`).

use super::*;
use crate::engine::codec::Reader;
use crate::engine::health::batch::Batch;
use crate::engine::health::fair_share::{Payers, Source};

mod account;
mod fair_share;
mod rules;
mod silence;

/// Small numbers, so that short stories reach every rule. Without jitter, so that times are exact.
const LIMITS: BreakerLimits = BreakerLimits {
    consecutive_failures: 3,
    window: Millis::new(3000),
    min_calls: 4,
    rate_age_min: Millis::ZERO,
    failure_rate_pct: 50,
    slow: Millis::new(1),
    slow_rate_pct: 75,
    in_flight_max: 8,
    unheard: Millis::new(100),
    silence_max: Millis::new(500),
    partner_failures_pct: 50,
    open: Millis::new(1000),
    open_max: Millis::new(4000),
    open_jitter_pct: 0,
    half_open_permits: 2,
    half_open_max: Millis::new(2500),
};

const START: u64 = 1_800_000_000_000;

const fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(START + millis)
}

fn batch(tally: Tally, pays: bool) -> Batch {
    let gateway = crate::engine::gateway::GatewayId::new(0).unwrap();
    Batch { gateway, generation: 0, pays, tally, seen: Payers::default() }
}
