//! What the store holds, as gauges.

use super::Worker;
use crate::engine::Counted;
use crate::engine::limits;
use crate::engine::metrics::{self, AT_RISK};
use crate::filter::host::Host;

impl<H: Host, S> Worker<H, S> {
    /// Tells operators what a census has counted.
    pub(in crate::filter) fn counted(&self, counted: &Counted) {
        let census = &counted.census;
        for (state, claims) in census.by_state() {
            self.set(&metrics::CLAIMS, &[state], claims);
        }
        self.set(&metrics::OLDEST, &[], census.oldest_age().get() / 1000);
        self.set(&metrics::UNSUMMED, &[], census.unsummed);
        for (currency, minor) in &census.at_risk {
            self.at_risk(currency, *minor);
        }
        for currency in &counted.gone {
            self.at_risk(currency, 0);
        }
        // Of one in etcd nobody knows here how full it is.
        if census.resolved.is_none() {
            self.set(&metrics::STORE_FILL, &[], census.fill_pct());
            self.set(&metrics::BUCKET_FILL, &[], census.bucket_fill_pct());
        }
        // Whoever looks at all these must see when nobody counts any more.
        self.set(&metrics::COUNTED_AT, &[], census.ended_at.as_millis() / 1000);
    }

    /// Merchants write currencies, and a name once given to a gauge is there for ever. So there
    /// are never more of them than one census can have.
    fn at_risk(&self, currency: &[u8; 3], minor: u64) {
        let Ok(currency) = std::str::from_utf8(currency) else {
            return;
        };
        let of_another = |name: &&str| name.starts_with(AT_RISK.name) && !name.ends_with(currency);
        let others = self.metrics.borrow().names().filter(of_another).count();
        if others < limits::CENSUS_CURRENCIES_MAX {
            self.set(&AT_RISK, &[currency], minor);
        }
    }
}
