//! Which rate of payments a store sustains.
//!
//! A claim is refused only when its bucket holds as many as a bucket may, all of them unresolved or
//! still within their retention. So each bucket is a house with that many rooms, in which every
//! guest stays for the retention and who finds no room is sent away: Erlang's loss formula. What
//! counts is the mean over a retention; a peak of minutes does no harm. A claim that nobody
//! resolves keeps its room for ever and is not in the formula.

use crate::engine::config::Config;
use crate::engine::limits::{BUCKET_RECORDS_MAX, BUCKET_RECORDS_MEAN};

/// A store, as far as its rate depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    buckets: f64,
    retention_s: f64,
}

impl Capacity {
    /// The store that a configuration lays out.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let retention_s = config.store.retention.get() as f64 / 1000.0;
        Self { buckets: f64::from(config.buckets()), retention_s }
    }

    /// Payments a second with which buckets are as full as they are laid out for.
    #[must_use]
    pub fn mean_rate(self) -> f64 {
        self.rate(f64::from(BUCKET_RECORDS_MEAN))
    }

    /// Payments a second with which this share of new charges is refused.
    #[must_use]
    pub fn rate_that_refuses(self, share: f64) -> f64 {
        self.rate(mean_that_refuses(share))
    }

    fn rate(self, per_bucket: f64) -> f64 {
        per_bucket * self.buckets / self.retention_s
    }
}

/// Of new charges so few are refused by a store that is as full as it should ever be.
pub const REFUSED_SHARE_MAX: f64 = 1e-6;

/// The mean of claims in a bucket with which this share of new charges is refused.
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

/// How full a store of so many buckets is whose buckets keep so many records that they must not
/// forget, in percent of what it sustains: below 100, because nobody is refused yet.
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

/// The share of new charges that is refused when so many claims would stand in a bucket on average
/// if there were room for all.
#[must_use]
pub fn refused(mean: f64) -> f64 {
    let rooms = (1..=BUCKET_RECORDS_MAX).map(|room| room as f64);
    rooms.fold(1.0, |refused, room| mean * refused / (room + mean * refused))
}
