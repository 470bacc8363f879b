//! What the store holds, as gauges.

use super::Worker;
use crate::engine::census::Counted;
use crate::engine::limits;
use crate::filter::host::{Host, Metric};

const AT_RISK: &str = "dana_value_at_risk";

impl<H: Host> Worker<H> {
    /// Tells operators what a census has counted.
    pub(in crate::filter) fn counted(&self, counted: &Counted) {
        let census = &counted.census;
        let states = &census.states;
        for (state, claims) in [
            ("in_flight", states.in_flight),
            ("in_doubt", states.in_doubt),
            ("settled", states.settled),
            ("rejected", states.rejected),
            ("closed", states.closed),
            ("unreadable", states.unreadable),
        ] {
            self.set("dana_claims", &[("state", state)], claims);
        }
        self.set("dana_in_doubt_oldest_seconds", &[], census.oldest_age().get() / 1000);
        self.set("dana_in_doubt_unsummed", &[], census.unsummed);
        for (currency, minor) in &census.at_risk {
            self.at_risk(currency, *minor);
        }
        for currency in &counted.gone {
            self.at_risk(currency, 0);
        }
        self.set("dana_store_fill_pct", &[], census.fill_pct());
        self.set("dana_store_bucket_fill_pct", &[], census.bucket_fill_pct());
        // Whoever looks at all these must see when nobody counts any more.
        self.set("dana_census_timestamp_seconds", &[], census.ended_at.as_millis() / 1000);
    }

    /// Merchants write currencies, and a name once given to a gauge is there for ever. So there
    /// are never more of them than one census can have.
    fn at_risk(&self, currency: &[u8; 3], minor: u64) {
        let Ok(currency) = std::str::from_utf8(currency) else {
            return;
        };
        let of_another = |name: &String| name.starts_with(AT_RISK) && !name.ends_with(currency);
        let others = self.metrics.borrow().keys().filter(|name| of_another(name)).count();
        if others < limits::CENSUS_CURRENCIES_MAX {
            self.set(AT_RISK, &[("currency", currency)], minor);
        }
    }

    fn set(&self, name: &str, labels: &[(&str, &str)], value: u64) {
        if let Some(metric) = self.metric(Metric::Gauge, name, labels) {
            let _ = self.host.record(metric, value);
        }
    }
}
