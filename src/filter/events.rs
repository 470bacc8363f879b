//! The listener for events: what other plugins of this Envoy hand over becomes entries of the audit
//! trail. It stands on a socket that nobody else can open. On its ticks it publishes how far all writers are.

use std::rc::Rc;

use super::audit::{Auditor, head_of};
use super::driver::cell;
use super::host::{Host, Side};
use super::stream::Flow;
use crate::engine::limits;
use crate::engine::metrics::{self, Family, MetricKind};
use crate::engine::{AuditEntry, Config, Reply};
use crate::engine::{Cell, CellEvent, CellRequest};
use crate::engine::{Head, PublishedHeads, Timestamp, Writers};

/// Bytes of a call that hands over events.
const BODY_BYTES_MAX: usize = limits::AUDIT_EVENTS_PER_CALL * limits::AUDIT_EVENT_BYTES_MAX;

/// One worker's part of the listener.
#[derive(Debug)]
pub(super) struct EventRoot<H> {
    host: H,
    pub(super) audit: Auditor,
}

impl<H: Host> EventRoot<H> {
    /// # Errors
    /// When the configuration wants no audit trail.
    pub(super) fn new(host: H, config: &Config) -> Result<Self, String> {
        // It hands nothing over itself.
        let audit = Auditor::of(config, "events", 0);
        let audit = audit
            .ok_or("audit: expected an object where admin.role is \"audit\", found nothing")?;
        Ok(Self { host, audit })
    }

    /// Publishes how far all writers of this process are, those that have died too, if it is time and no
    /// other worker does.
    pub(super) fn tick(&self) {
        let Ok(now) = self.host.now() else {
            return;
        };
        let CellEvent::Loaded(place, loaded) =
            cell(&self.host, CellRequest::Load(Cell::AuditPublished))
        else {
            return;
        };
        let before = PublishedHeads::decode(&loaded.bytes).unwrap_or_default();
        if !before.is_due(now) {
            return;
        }
        // What cannot be read is not published: the time of the last publication tells.
        let Some(heads) = self.heads() else {
            return;
        };
        let published = PublishedHeads { at: now, heads };
        let (bytes, expected) = (published.encode(), loaded.version);
        let store = CellRequest::Store { cell: place, bytes, expected };
        // Another worker does. Where nobody knows whether it was written it is told all the same.
        if let CellEvent::Conflict(_) = cell(&self.host, store) {
            return;
        }
        for head in before.moved(&published.heads) {
            log::warn!("audit head {}", head.line());
        }
        self.show(&published.heads, now);
    }

    /// The heads of all writers; `None` where one of them cannot be read.
    fn heads(&self) -> Option<Vec<Head>> {
        let load = CellRequest::Load(Cell::AuditWriters);
        let CellEvent::Loaded(_, loaded) = cell(&self.host, load) else {
            return None;
        };
        let Some(writers) = Writers::decode(&loaded.bytes) else {
            // Nobody has written anything.
            return loaded.bytes.is_empty().then(Vec::new);
        };
        let mut heads = Vec::new();
        for writer in writers.latest(limits::AUDIT_WRITERS_MAX) {
            heads.extend(head_of(&self.host, writer).ok()?);
        }
        Some(heads)
    }

    /// The latest writers' heads as gauges. A metric is there for as long as Envoy runs, so later writers
    /// take the places of earlier ones.
    fn show(&self, heads: &[Head], now: Timestamp) {
        self.set(&metrics::AUDIT_PUBLISHED, "", now.as_millis() / 1000);
        if let Some(head) = heads.first() {
            self.set(&metrics::AUDIT_EPOCH, "", head.writer.epoch);
        }
        for head in heads.iter().take(limits::AUDIT_WRITERS_SHOWN) {
            let place = head.writer.number % limits::AUDIT_WRITERS_SHOWN as u64;
            let [high, low] = head.halves();
            for (family, value) in [
                (&metrics::AUDIT_WRITER, head.writer.number),
                (&metrics::AUDIT_ENTRIES, head.number.saturating_add(1)),
                (&metrics::AUDIT_HEAD_HIGH, high),
                (&metrics::AUDIT_HEAD_LOW, low),
            ] {
                self.set(family, &place.to_string(), value);
            }
        }
    }

    fn set(&self, family: &Family, place: &str, value: u64) {
        let name = family.full_name(&[place]);
        if let Ok(metric) = self.host.define_metric(MetricKind::Gauge, &name) {
            let _ = self.host.record(metric, value);
        }
    }
}

/// One call that hands over events.
#[derive(Debug)]
pub(super) struct EventStream<H> {
    root: Rc<EventRoot<H>>,
    entries: Vec<AuditEntry>,
    taken: bool,
}

impl<H: Host> EventStream<H> {
    pub(super) const fn new(root: Rc<EventRoot<H>>) -> Self {
        Self { root, entries: Vec::new(), taken: false }
    }

    pub(super) fn request_headers(&mut self, ends: bool) -> Flow {
        if ends {
            self.complete();
        }
        Flow::Hold
    }

    pub(super) fn request_body(&mut self, size: usize, ends: bool) -> Flow {
        if ends || size > BODY_BYTES_MAX {
            self.complete();
        }
        Flow::Hold
    }

    pub(super) fn request_trailers(&mut self) -> Flow {
        self.complete();
        Flow::Hold
    }

    /// All of it, or nothing: what is refused is handed over again.
    fn complete(&mut self) {
        if std::mem::replace(&mut self.taken, true) {
            return;
        }
        let host = &self.root.host;
        let body = host.body(Side::Request, BODY_BYTES_MAX + 1).unwrap_or_default();
        let whole = std::str::from_utf8(&body).ok().filter(|_| body.len() <= BODY_BYTES_MAX);
        let entries: Option<Vec<AuditEntry>> =
            whole.and_then(|text| text.lines().map(AuditEntry::parse).collect());
        self.entries = entries.unwrap_or_default();
        let status = if self.entries.is_empty() { 400 } else { 204 };
        let reply = Reply { status, headers: Vec::new(), body: Vec::new(), reason: "events" };
        if host.reply(&reply).is_err() {
            self.entries.clear();
        }
    }

    /// The call is over, and its access log is written.
    pub(super) fn log(&mut self) {
        if !self.entries.is_empty() {
            self.root.audit.write(&self.root.host, &self.entries);
        }
    }
}
