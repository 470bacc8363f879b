//! How many payments the claim store of a filter sustains.
//!
//! Of etcd, what a payment takes on disk was measured: 350 bytes without its answer, 1,110 with one of 600
//! bytes, 3,370 with one of 2,000. What the largest answer that is kept takes (1 KiB) lies between.

use std::fmt;

use crate::engine::{AnswersIn, Config, EtcdConfig};

use super::setup::Setup;

/// Of new payments so few are refused at the rate that is told.
pub(crate) const REFUSED_SHARE: f64 = 1e-9;

/// Bytes on etcd's disk of a payment, without its answer and with one of 1 KiB.
const ETCD_PAYMENT_BYTES: u64 = 350;
const ETCD_PAYMENT_BYTES_MAX: u64 = 1800;
/// The largest database that etcd's documents advise. Half of it is left: what was removed takes room until
/// it is compacted, and members must be able to catch up.
const ETCD_BYTES: u64 = 8 * 1024 * 1024 * 1024;

/// A store, and what it is good for.
pub(crate) struct Store {
    pub(crate) vm_id: String,
    /// What it is in etcd, if new payments are claimed there.
    pub(crate) etcd: Option<Etcd>,
    pub(crate) claims_max: u64,
    pub(crate) retention_s: u64,
    /// New payments, sustained.
    pub(crate) payments_per_second: f64,
}

/// A store in etcd.
pub(crate) struct Etcd {
    pub(crate) realm: String,
    /// Of each payment, on disk.
    pub(crate) bytes: u64,
}

impl Store {
    /// One for each vm_id.
    pub(crate) fn all(setup: &Setup) -> Vec<Self> {
        let mut stores: Vec<Self> = Vec::new();
        for plugin in setup.payments() {
            let (Ok(config), vm_id) = (&plugin.parsed, plugin.vm_id()) else { continue };
            if stores.iter().any(|store| store.vm_id == vm_id.word()) {
                continue;
            }
            let vm_id = vm_id.word().to_owned();
            stores.push(match config.store.etcd() {
                None => Self::local(vm_id, config),
                Some(etcd) => Self::in_etcd(vm_id, config, etcd),
            });
        }
        stores
    }

    fn local(vm_id: String, config: &Config) -> Self {
        Self {
            vm_id,
            etcd: None,
            claims_max: config.store.claims_max.into(),
            retention_s: config.store.retention.get() / 1000,
            payments_per_second: config.capacity().rate_that_refuses(REFUSED_SHARE),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate that is told in tenths")]
    fn in_etcd(vm_id: String, config: &Config, etcd: &EtcdConfig) -> Self {
        let bytes = match etcd.answers {
            AnswersIn::Local => ETCD_PAYMENT_BYTES,
            AnswersIn::Store => ETCD_PAYMENT_BYTES_MAX,
        };
        let claims_max = ETCD_BYTES / 2 / bytes;
        let retention_s = config.store.retention.get() / 1000;
        Self {
            vm_id,
            etcd: Some(Etcd { realm: etcd.realm.clone(), bytes }),
            claims_max,
            retention_s,
            payments_per_second: claims_max as f64 / retention_s.max(1) as f64,
        }
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vm_id, etcd, claims_max, retention_s, payments_per_second: rate } = self;
        // Rounded down: a rate that is promised is kept.
        let (rate, one_in) = ((rate * 10.0).floor() / 10.0, REFUSED_SHARE.log10().abs());
        if let Some(Etcd { realm, bytes }) = etcd {
            return write!(
                f,
                "claim store in etcd, realm {realm:?}: about {bytes} bytes a claim, kept {retention_s} s: with \
                 8 GiB, half of them left free, {rate:.1} new payments a second, sustained"
            );
        }
        write!(
            f,
            "claim store of vm_id {vm_id:?}: {claims_max} claims, kept {retention_s} s: {rate:.1} new \
             payments a second, sustained, of which one in 10^{one_in:.0} is refused"
        )
    }
}
