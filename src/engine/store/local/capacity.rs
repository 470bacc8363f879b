//! Which rate of payments a store sustains.
//!
//! A new claim is refused only when its bucket is full of claims that must be kept: unresolved, or
//! still within their retention. So a bucket is a loss system: it has [`BUCKET_RECORDS_MAX`] servers,
//! each claim occupies one for the retention, and a claim that finds none free is refused. Erlang's
//! loss formula (Erlang B) gives the share that is refused. It depends on the mean rate over a
//! retention; a peak of minutes does no harm. A claim that nobody resolves stays for ever, and the
//! formula does not count it.

use super::placement::{Placement, Seed};
use crate::engine::limits::{BUCKET_RECORDS_MAX, BUCKET_RECORDS_MEAN};
use crate::engine::time::Millis;

/// What the rate of a store depends on.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    buckets: f64,
    retention_s: f64,
}

impl Capacity {
    /// A store with room for `claims_max` claims, which keeps resolved ones for `retention`.
    #[must_use]
    pub fn new(claims_max: u32, retention: Millis) -> Self {
        let buckets = Placement::new(claims_max, Seed::default()).buckets();
        Self { buckets: f64::from(buckets), retention_s: retention.get() as f64 / 1000.0 }
    }

    /// Payments per second at which buckets are as full as the store is laid out for.
    #[must_use]
    pub fn mean_rate(self) -> f64 {
        self.rate(f64::from(BUCKET_RECORDS_MEAN))
    }

    /// Payments per second at which this share of new charges (0 to 1) is refused.
    #[must_use]
    pub fn rate_that_refuses(self, share: f64) -> f64 {
        self.rate(mean_that_refuses(share))
    }

    fn rate(self, per_bucket: f64) -> f64 {
        per_bucket * self.buckets / self.retention_s
    }
}

/// The share of new charges that a store refuses when it is as full as it should ever be.
pub const REFUSED_SHARE_MAX: f64 = 1e-6;

/// The mean number of claims in a bucket at which this share of new charges is refused.
fn mean_that_refuses(share: f64) -> f64 {
    let (mut low, mut high) = (0.0, BUCKET_RECORDS_MAX as f64);
    for _ in 0..64 {
        let middle = f64::midpoint(low, high);
        if refused(middle) < share {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// How full a store is, in percent of what it sustains, 0 to 99. `kept` is the number of records in
/// all buckets that must not be evicted. It is never 100, because nobody is refused yet.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a percentage from 0 to 99"
)]
pub fn fill_pct(kept: u64, buckets: u32) -> u64 {
    let mean = kept as f64 / f64::from(buckets.max(1));
    (mean * 100.0 / mean_that_refuses(REFUSED_SHARE_MAX)).clamp(0.0, 99.0) as u64
}

/// The share of new charges that is refused. `mean` is how many claims a bucket would hold on average
/// if there were room for all of them.
#[must_use]
pub fn refused(mean: f64) -> f64 {
    let servers = (1..=BUCKET_RECORDS_MAX).map(|servers| servers as f64);
    servers.fold(1.0, |refused, servers| mean * refused / (servers + mean * refused))
}
