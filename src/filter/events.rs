//! The listener for events: what other plugins of this Envoy hand over becomes entries of the audit
//! trail. It stands on a socket that nobody else can open.

use std::rc::Rc;

use super::audit::Auditor;
use super::host::{Host, Side};
use super::stream::Flow;
use crate::engine::limits;
use crate::engine::{AuditEntry, Config, Reply};

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
