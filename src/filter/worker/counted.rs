//! What the store holds, as gauges.

use super::Worker;
use crate::engine::Counted;
use crate::engine::limits;
use crate::engine::metrics::{self, AT_RISK};
use crate::engine::{Cell, CellEvent, CellRequest};
use crate::engine::{RealmWorkers, RpcEvent, StoreLink};
use crate::filter::driver::cell;
use crate::filter::host::Host;

impl<H: Host> Worker<H> {
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

    /// Counts a call to the store.
    pub(in crate::filter) fn count_call(&self, event: &RpcEvent) {
        self.count_many(&metrics::STORE_CALLS, &[event.result()], 1);
    }

    /// Says to the other workers how this one stands with the store in etcd, and tells operators how all
    /// of them do.
    pub(in crate::filter) fn say_link(&self, link: StoreLink) {
        let request = CellRequest::Load(Cell::Realm);
        let (CellEvent::Loaded(_, loaded), Ok(now)) = (cell(&self.host, request), self.host.now())
        else {
            return;
        };
        let mut workers = RealmWorkers::decode(&loaded.bytes);
        let unfinished = u32::try_from(self.unfinished.borrow().len()).unwrap_or(u32::MAX);
        if workers.say(self.owner, link, unfinished, now) {
            let (bytes, expected) = (workers.encode(), loaded.version);
            // If another worker is quicker, this one says it again on its next tick.
            let _ = cell(&self.host, CellRequest::Store { cell: Cell::Realm, bytes, expected });
        }
        let is_up = workers.worst(now) == Some(StoreLink::Joined);
        self.set(&metrics::STORE_UP, &[], is_up.into());
        self.set(&metrics::STORE_UNFINISHED, &[], workers.unfinished(now));
        let ahead = self.etcd.as_ref().map_or(0, |store| store.ahead());
        let news = ahead.saturating_sub(self.told_ahead.replace(ahead));
        if news > 0 {
            let news = u32::try_from(news).unwrap_or(u32::MAX);
            self.count_many(&metrics::STORE_AHEAD, &[], news);
        }
    }

    /// Merchants write currencies, and a name once given to a gauge is there for ever. So there
    /// are never more of them than one census can have.
    fn at_risk(&self, currency: &[u8; 3], minor: u64) {
        let Ok(currency) = std::str::from_utf8(currency) else {
            return;
        };
        let of_another =
            |name: &String| name.starts_with(AT_RISK.name) && !name.ends_with(currency);
        let others = self.metrics.borrow().keys().filter(|name| of_another(name)).count();
        if others < limits::CENSUS_CURRENCIES_MAX {
            self.set(&AT_RISK, &[currency], minor);
        }
    }
}
