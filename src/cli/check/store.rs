//! How many payments the claim store of a filter sustains.

use std::fmt;

use super::setup::Setup;

/// Of new payments so few are refused at the rate that is told.
pub(crate) const REFUSED_SHARE: f64 = 1e-9;

/// A store, and what it is good for.
pub(crate) struct Store {
    pub(crate) vm_id: String,
    pub(crate) claims_max: u32,
    pub(crate) retention_s: u64,
    /// New payments, sustained.
    pub(crate) payments_per_second: f64,
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
            stores.push(Self {
                vm_id: vm_id.word().to_owned(),
                claims_max: config.store.claims_max,
                retention_s: config.store.retention.get() / 1000,
                payments_per_second: config.capacity().rate_that_refuses(REFUSED_SHARE),
            });
        }
        stores
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vm_id, claims_max, retention_s, payments_per_second: rate } = self;
        // Rounded down: a rate that is promised is kept.
        let (rate, one_in) = ((rate * 10.0).floor() / 10.0, REFUSED_SHARE.log10().abs());
        write!(
            f,
            "claim store of vm_id {vm_id:?}: {claims_max} claims, kept {retention_s} s: {rate:.1} new \
             payments a second, sustained, of which one in 10^{one_in:.0} is refused"
        )
    }
}
