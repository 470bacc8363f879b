//! The audit trail's part in Envoy: entries to the access log, events to the listener that writes them
//! down, and heads to where others see them.
//!
//! An entry is made in Envoy's log callback and nowhere else: only there the order of the lines in the
//! file is the order in which they were made. What happens without a request is handed to a listener of
//! this Envoy, by a socket of its own, so that it becomes a request.

use std::cell::RefCell;

use super::driver::cell;
use super::host::{Host, Side};
use super::pairs;
use crate::engine::limits;
use crate::engine::{AuditConfig, Config};
use crate::engine::{AuditEntry, AuditWriter, Chain, Head, Pepper, Writers};
use crate::engine::{Cell, CellEvent, CellRequest, Expected};

/// The name under which the access log finds an entry.
const PROPERTY: &str = "dana_audit";

/// One plugin's part in the audit trail.
#[derive(Debug)]
pub(super) struct Auditor {
    config: AuditConfig,
    /// What its first entry says of it.
    role: &'static str,
    /// Tells its events from those of other plugins.
    owner: u64,
    digest: String,
    /// None before its first entry.
    chain: RefCell<Option<Chain>>,
    events: RefCell<Events>,
}

/// What happened without a request and is not written down yet.
#[derive(Debug, Default)]
struct Events {
    waiting: Vec<AuditEntry>,
    /// How many of them are under way, and Envoy's token of the call.
    calling: Option<(usize, u32)>,
    /// How many there was no room for.
    lost: u64,
    /// How many there were.
    count: u64,
}

impl Auditor {
    /// That of a plugin of this configuration, if it has one.
    pub(super) fn of(config: &Config, role: &'static str, owner: u64) -> Option<Self> {
        let (chain, events) = Default::default();
        let digest = config.digest.clone();
        let config = config.audit.clone()?;
        Some(Self { config, role, owner, digest, chain, events })
    }

    /// What references are hashed with, if they are.
    pub(super) const fn pepper(&self) -> Option<&Pepper> {
        self.config.pepper.as_ref()
    }

    /// Writes entries into the access log of the request whose callback this is.
    pub(super) fn write<H: Host>(&self, host: &H, entries: &[AuditEntry]) {
        let mut chain = self.chain.borrow_mut();
        let mut text = String::new();
        if chain.is_none() {
            let Some((begun, first)) = self.begin(host) else {
                log::error!("an entry of the audit trail is lost: it has no writer's number");
                return;
            };
            // The file may end in the middle of a line of a process that was killed.
            text.push('\n');
            text.push_str(&chain.insert(begun).append(&first));
            text.push('\n');
        }
        let Some(chain) = chain.as_mut() else {
            return;
        };
        for entry in entries {
            text.push_str(&chain.append(entry));
            text.push('\n');
        }
        // Before the entry itself: if what follows fails, it is known that there should be one.
        if let Some(head) = chain.head() {
            let (cell_of, bytes) = (slot(head.writer), head.encode());
            let _ =
                cell(host, CellRequest::Store { cell: cell_of, bytes, expected: Expected::Any });
        }
        if host.set_property(PROPERTY, &text).is_err() {
            log::error!("an entry of the audit trail is lost: Envoy does not take it");
        }
    }

    /// A writer's number that nobody else has, and its first entry: who it is, and how far those before
    /// it are.
    #[inline(never)]
    fn begin<H: Host>(&self, host: &H) -> Option<(Chain, AuditEntry)> {
        let now = host.now().ok()?;
        let mut tries = 0..limits::STORE_ATTEMPTS_MAX;
        let (writers, writer) = loop {
            tries.next()?;
            let load = CellRequest::Load(Cell::AuditWriters);
            let CellEvent::Loaded(place, loaded) = cell(host, load) else {
                return None;
            };
            let (writers, writer) = Writers::next(&loaded.bytes, now);
            let (bytes, expected) = (writers.encode(), loaded.version);
            match cell(host, CellRequest::Store { cell: place, bytes, expected }) {
                CellEvent::Stored(_) => break (writers, writer),
                CellEvent::Conflict(_) => {}
                CellEvent::Loaded(..) | CellEvent::Failed(_) => return None,
            }
        };
        let before: Vec<String> = writers
            .latest(limits::AUDIT_WRITERS_NAMED + 1)
            .skip(1)
            .filter_map(|writer| head_of(host, writer).ok().flatten())
            .map(|head| head.line())
            .collect();
        let node = host.property("xds\0node\0id").ok().flatten().unwrap_or_default();
        let first = AuditEntry::new("start", now)
            .text("role", self.role)
            .text("node", &String::from_utf8_lossy(&node))
            .text("version", env!("CARGO_PKG_VERSION"))
            .text("config", &self.digest)
            .texts("before", &before);
        log::warn!("audit start {writer}");
        Some((Chain::new(writer), first))
    }

    /// Keeps what happened, until a tick hands it over.
    #[inline(never)]
    pub(super) fn keep(&self, event: AuditEntry) {
        let mut events = self.events.borrow_mut();
        if events.waiting.len() < limits::AUDIT_EVENTS_MAX {
            // Whoever finds it twice, because a call was not answered in time, knows by this.
            events.count += 1;
            let id = format!("{}-{}", self.owner, events.count);
            events.waiting.push(event.text("id", &id));
        } else {
            events.lost += 1;
        }
    }

    /// Hands over what happened, a few at a time and one call at a time, so that they keep their order.
    pub(super) fn hand_over<H: Host>(&self, host: &H) {
        let mut events = self.events.borrow_mut();
        if events.lost > 0
            && events.waiting.len() < limits::AUDIT_EVENTS_MAX
            && let Ok(now) = host.now()
        {
            let lost = std::mem::take(&mut events.lost);
            events.waiting.push(AuditEntry::new("lost", now).number("events", lost));
        }
        if events.calling.is_some() || events.waiting.is_empty() {
            return;
        }
        let mut body = String::new();
        let few = events.waiting.iter().take(limits::AUDIT_EVENTS_PER_CALL);
        let many = few.len();
        for event in few {
            body.extend(["{", event.as_str(), "}\n"]);
        }
        // What cannot be sent waits for the next tick.
        if let Ok(token) = host.hand_over(&self.config.cluster, body.as_bytes()) {
            events.calling = Some((many, token));
        }
    }

    /// A call was answered; whether it was one of these.
    pub(super) fn answered<H: Host>(&self, host: &H, token: u32) -> bool {
        let mut events = self.events.borrow_mut();
        let Some((many, _)) = events.calling.take_if(|(_, calling)| *calling == token) else {
            return false;
        };
        let bytes = host.headers(Side::Call).unwrap_or_default();
        let headers = pairs::decode(&bytes).unwrap_or_default();
        // Only whoever has written them down answers so.
        if headers.contains(&(b":status", b"204")) {
            let written = many.min(events.waiting.len());
            events.waiting.drain(..written);
        }
        true
    }

    /// How far it is.
    #[cfg(test)]
    pub(super) fn head(&self) -> Option<Head> {
        self.chain.borrow().as_ref().and_then(Chain::head)
    }

    /// The plugin ends: the last word of its chain.
    pub(super) fn close(&self) {
        if let Some(head) = self.chain.borrow().as_ref().and_then(Chain::head) {
            log::warn!("audit close {}", head.line());
        }
        let events = self.events.borrow();
        let unwritten = events.waiting.len() as u64 + events.lost;
        if unwritten > 0 {
            log::warn!(
                "{unwritten} events are not in the audit trail: the filter ends before it has them"
            );
        }
    }
}

/// Where a writer's head stands.
fn slot(writer: AuditWriter) -> Cell {
    Cell::AuditHead(u32::try_from(writer.number % limits::AUDIT_WRITERS_MAX).unwrap_or_default())
}

/// How far a writer is; `None` where it has written nothing, or a later one has its place.
///
/// # Errors
/// Where that cannot be read.
pub(super) fn head_of<H: Host>(host: &H, writer: AuditWriter) -> Result<Option<Head>, ()> {
    let CellEvent::Loaded(_, loaded) = cell(host, CellRequest::Load(slot(writer))) else {
        return Err(());
    };
    match Head::decode(&loaded.bytes) {
        Some(head) => Ok(Some(head).filter(|head| head.writer == writer)),
        None if loaded.bytes.is_empty() => Ok(None),
        None => Err(()),
    }
}
