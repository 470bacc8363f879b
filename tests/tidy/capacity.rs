//! Which rate the store sustains: that the formula is that of the store's own code, and that the
//! README tells what comes out of it.

use std::time::Duration;

use dana_failover::engine::Config;
use dana_failover::engine::Gateways;
use dana_failover::engine::limits::BUCKET_RECORDS_MEAN;
use dana_failover::engine::{Bucket, capacity};
use dana_failover::engine::{Claim, ClaimState, Fingerprint, Incarnation, Money};
use dana_failover::engine::{Millis, Timestamp};

/// The default store.
fn defaults() -> Config {
    let gateway = |name: &str| serde_json::json!({"name": name, "cluster": name});
    let config = serde_json::json!({"gateways": [gateway("a"), gateway("b")]});
    Config::parse(config.to_string().as_bytes()).unwrap()
}

/// Random gaps between payments, of a second on average; the same in each run.
fn gaps() -> impl Iterator<Item = Duration> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let uniform = (state >> 11) as f64 / (1_u64 << 53) as f64;
        Duration::from_secs_f64(-(1.0 - uniform).ln())
    })
}

const PAYMENTS: u32 = 20_000;

/// How many payments of those a bucket refuses if `mean` of them come within a retention.
fn refused_by_a_bucket(mean: u32) -> u32 {
    let retention = Millis::new(u64::from(mean) * 1000);
    let (mut bucket, mut time, mut refused) = (Bucket::default(), Duration::ZERO, 0);
    for (number, gap) in (0..PAYMENTS).zip(gaps()) {
        time += gap;
        let now = Timestamp::from_millis(u64::try_from(time.as_millis()).unwrap());
        let state = ClaimState::settled(Gateways::default());
        let incarnation = Incarnation { claimed_at: now, nonce: 0 };
        let claim = Claim::new(Fingerprint::UNKNOWN, state, incarnation, Money::default());
        let key = u128::from(number).to_le_bytes();
        refused += u32::from(bucket.put(&key, &claim, now, retention).is_err());
    }
    refused
}

#[test]
fn a_bucket_refuses_as_many_as_the_formula_says() {
    for mean in [64, 96] {
        let found = f64::from(refused_by_a_bucket(mean));
        let expected = f64::from(PAYMENTS) * capacity::refused(f64::from(mean));
        assert!((found / expected - 1.0).abs() < 0.1, "{mean}: {found}, by formula {expected}");
    }
    assert_eq!(refused_by_a_bucket(BUCKET_RECORDS_MEAN), 0);
}

#[test]
fn the_page_tells_what_the_default_store_sustains() {
    let store = defaults().capacity();
    assert!(capacity::refused(f64::from(BUCKET_RECORDS_MEAN)) < 1e-18);
    let readme = super::read("docs/capacity.md");
    let rows = [
        (store.mean_rate(), "10^18"),
        (store.rate_that_refuses(1e-9), "10^9"),
        (store.rate_that_refuses(1e-6), "10^6"),
        (store.rate_that_refuses(1e-3), "10^3"),
    ];
    for (rate, one_in) in rows {
        // Rounded down: a rate that is promised is kept.
        let row = format!("| {} | {:.1} million | one in {one_in} |", rate.floor(), day(rate));
        assert!(readme.contains(&row), "docs/capacity.md lacks {row}");
    }
}

/// Millions of payments a day with this rate, rounded down to a tenth as well.
fn day(rate: f64) -> f64 {
    (rate.floor() * 86_400.0 / 100_000.0).floor() / 10.0
}
