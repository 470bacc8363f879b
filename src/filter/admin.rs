//! The operators' listener: requests to events, effects to host calls. Nothing is decided here.
//!
//! It shares the store with the payments' workers, and nothing else. It has a VM of its own; a crash here
//! does not affect payments. It ticks only where claims stand in etcd, and then a request is held until
//! that has answered.

use std::cell::RefCell;
use std::rc::Rc;

use super::audit::Auditor;
use super::health_cell::HealthCell;
use super::host::{Host, Side};
use super::membership;
use super::pairs;
use super::store_calls::{Asker, StoreCalls};
use super::stores::LocalOnly;
use super::stream::Flow;
use super::worker::Worker;
use crate::engine::AuditEntry;
use crate::engine::Timestamp;
use crate::engine::limits;
use crate::engine::{Admin, Instance};
use crate::engine::{AdminEffect, AdminEvent, Request};
use crate::engine::{AnyOperatorSession, EtcdStore, Stored};
use crate::engine::{BackendEvent, BackendRequest};
use crate::engine::{Config, Policy};
use crate::engine::{Input, Shell, Ticket, drive};

/// A request of an operator over the store that is configured.
type OverStore = Stored<Admin, AnyOperatorSession>;

/// One worker's part of the operators' listener.
#[derive(Debug)]
pub(super) struct AdminRoot<H> {
    host: H,
    config: Rc<Config>,
    /// Which Envoy this is.
    instance: Rc<Instance>,
    /// Tells of changes, by the names and ids of the policy it was made with.
    reporter: RefCell<Option<Rc<Worker<H, LocalOnly>>>>,
    /// Workers of payments must hear of what is changed in it.
    health: HealthCell,
    /// The store that several Envoys share, if there is one.
    etcd: Option<Rc<EtcdStore>>,
    /// What it was asked and has not answered.
    pub(super) calls: StoreCalls,
    /// Its part in the audit trail, if there is one.
    audit: Option<Auditor>,
    /// What is written down with the next request: what became of requests whose client has left.
    unwritten: RefCell<Vec<AuditEntry>>,
    /// Requests whose client has left while the store was asked, by Envoy's number. What is begun is
    /// brought to its end, so that whatever is written is told.
    left: RefCell<Vec<(u32, OverStore, Timestamp)>>,
}

/// No worker of payments has this number.
const NO_WORKER: u64 = u64::MAX;

impl<H: Host + Clone> AdminRoot<H> {
    /// # Errors
    /// When the store in etcd cannot be called.
    pub(super) fn new(host: H, config: Config) -> Result<Self, String> {
        let node = |name| host.property(name).ok().flatten().unwrap_or_default();
        let instance = Rc::new(Instance::new(&node("xds\0node\0id"), &node("xds\0node\0cluster")));
        let etcd = config.store.etcd();
        // A session of operators asks the layout what stands in shared data.
        let open = |config| membership::open(&host, config, false, NO_WORKER);
        let etcd = etcd.map(open).transpose()?;
        let (reporter, health, calls, left, unwritten) = Default::default();
        let audit = Auditor::of(&config, "operators", NO_WORKER);
        let config = Rc::new(config);
        Ok(Self { config, instance, reporter, health, etcd, calls, audit, unwritten, left, host })
    }

    /// Whether it must tick.
    pub(super) const fn ticks(&self) -> bool {
        self.etcd.is_some()
    }

    pub(super) fn now(&self) -> Option<Timestamp> {
        self.host.now().ok()
    }

    fn reporter(&self, policy: &Rc<Policy>) -> Rc<Worker<H, LocalOnly>> {
        let mut reporter = self.reporter.borrow_mut();
        let same = |worker: &&Rc<Worker<H, LocalOnly>>| worker.policy.order().eq(policy.order());
        let known = reporter.as_ref().filter(same).cloned();
        let worker = known.unwrap_or_else(|| {
            Rc::new(Worker::new(self.host.clone(), Rc::clone(policy), 0, LocalOnly))
        });
        *reporter = Some(Rc::clone(&worker));
        worker
    }

    /// Takes in what happens to a request, and carries out what it wants. `is_there`: its client is.
    fn drive(
        &self,
        admin: &mut OverStore,
        context: u32,
        input: Input<AdminEvent<'_>, BackendEvent>,
        now: Timestamp,
        is_there: bool,
    ) {
        let mut record = None;
        let mut shell = AdminShell { root: self, context, todo: Vec::new() };
        drive(admin, input, now, &mut (), &mut shell);
        let todo = shell.todo;
        let reporter = || admin.policy().map(|policy| self.reporter(policy));
        for effect in todo {
            match effect {
                AdminEffect::Told { line, entry } => {
                    log::warn!("{line}");
                    record = Some(entry);
                }
                AdminEffect::Changed(change) => {
                    reporter().into_iter().for_each(|reporter| reporter.changed(&change));
                }
                AdminEffect::Anomaly(anomaly) => {
                    reporter().into_iter().for_each(|reporter| reporter.anomaly(&anomaly));
                }
                AdminEffect::Doubt(event) => {
                    reporter().into_iter().for_each(|reporter| reporter.doubt(event));
                }
                AdminEffect::Reply(reply) => {
                    if (400..500).contains(&reply.status) {
                        record = Some(AuditEntry::new("refused", now).text("do", reply.reason));
                    }
                    if is_there {
                        let _ = self.host.reply(&reply);
                    }
                    self.record(record.take(), if is_there { reply.status } else { 0 });
                }
            }
        }
    }

    /// Keeps what is to be written down, until the log callback of this request or the next one.
    fn record(&self, entry: Option<AuditEntry>, status: u16) {
        let mut unwritten = self.unwritten.borrow_mut();
        if self.audit.is_some() && unwritten.len() < limits::AUDIT_EVENTS_MAX {
            unwritten.extend(entry.map(|entry| entry.number("http", status.into())));
        }
    }

    /// Writes it down.
    fn write_entries(&self) {
        let entries = std::mem::take(&mut *self.unwritten.borrow_mut());
        if let Some(audit) = self.audit.as_ref().filter(|_| !entries.is_empty()) {
            audit.write(&self.host, &entries);
        }
    }

    /// Envoy is done with it.
    pub(super) fn close(&self) {
        self.audit.iter().for_each(Auditor::close);
        let unwritten = self.unwritten.borrow().len();
        if unwritten > 0 {
            log::warn!(
                "{unwritten} words of operators are not in the audit trail, and stand in this log"
            );
        }
    }

    /// What is not answered for long is given up.
    pub(super) fn forget_left(&self, now: Timestamp) {
        let is_young = |since: Timestamp| now.since(since).get() < limits::OPERATORS_LEFT_MS_MAX;
        self.left.borrow_mut().retain(|(.., since)| is_young(*since));
    }

    /// The store answers a question of a request whose client has left; gives the answer back if there
    /// is none.
    pub(super) fn tell_left(
        &self,
        context: u32,
        ticket: Ticket,
        event: BackendEvent,
    ) -> Option<BackendEvent> {
        let place = self.left.borrow().iter().position(|(known, ..)| *known == context);
        let Some(place) = place else {
            return Some(event);
        };
        let (context, mut admin, since) = self.left.borrow_mut().swap_remove(place);
        let now = self.host.now().unwrap_or(since);
        self.drive(&mut admin, context, Input::Told(ticket, event), now, false);
        if admin.awaits_store() {
            self.left.borrow_mut().push((context, admin, since));
        }
        None
    }
}

/// One request of an operator.
#[derive(Debug)]
pub(super) struct AdminStream<H: Host + Clone> {
    root: Rc<AdminRoot<H>>,
    /// `None` once it was left to the root.
    admin: Option<OverStore>,
    context: u32,
    /// It was answered, or at least tried to be, or its store is asked.
    taken: bool,
    /// When something happened to it last.
    moved_at: Timestamp,
}

impl<H: Host + Clone> AdminStream<H> {
    pub(super) fn new(root: Rc<AdminRoot<H>>, context: u32) -> Self {
        let admin = Admin::new(Rc::clone(&root.config)).at(Rc::clone(&root.instance));
        let retention = root.config.store.retention;
        let session = AnyOperatorSession::new(root.etcd.as_ref(), retention);
        let admin = Some(Stored::over(admin, session));
        Self { root, admin, context, taken: false, moved_at: Timestamp::default() }
    }

    pub(super) fn request_headers(&mut self, ends: bool) -> Flow {
        if ends {
            self.complete();
        }
        Flow::Hold
    }

    pub(super) fn request_body(&mut self, size: usize, ends: bool) -> Flow {
        if ends || size > limits::ADMIN_BODY_BYTES_MAX {
            self.complete();
        }
        Flow::Hold
    }

    pub(super) fn request_trailers(&mut self) -> Flow {
        self.complete();
        Flow::Hold
    }

    /// The request is over, and its access log is written.
    pub(super) fn log(&self) {
        self.root.write_entries();
    }

    fn complete(&mut self) {
        if self.taken {
            return;
        }
        self.taken = true;
        if self.decide().is_none() {
            // If the host takes no answer, the request stays held until the client gives up.
            let _ = self.root.host.reply(&Admin::failed());
        }
    }

    /// Answers the request, or asks its store; `None` where the host does not let it.
    fn decide(&mut self) -> Option<()> {
        let host = &self.root.host;
        // One byte more than allowed is enough to see that it is too long.
        let bytes_max = limits::ADMIN_BODY_BYTES_MAX + 1;
        let headers = host.headers(Side::Request).ok()?;
        let body = host.body(Side::Request, bytes_max).ok()?;
        let now = host.now().ok()?;
        let fields = pairs::decode(&headers)?;
        let request = Request { headers: &fields, body: &body, peer: &[], context: self.context };
        self.take_in(Input::Event(AdminEvent::Request(request)), now)
    }

    fn take_in(
        &mut self,
        input: Input<AdminEvent<'_>, BackendEvent>,
        now: Timestamp,
    ) -> Option<()> {
        self.moved_at = now;
        let admin = self.admin.as_mut()?;
        self.root.drive(admin, self.context, input, now, true);
        (admin.is_ended() || admin.awaits_store()).then_some(())
    }

    /// The store answers a question that it was asked in an earlier callback.
    pub(super) fn told(&mut self, ticket: Ticket, event: BackendEvent) {
        let now = self.root.host.now().unwrap_or(self.moved_at);
        if self.take_in(Input::Told(ticket, event), now).is_none() {
            let _ = self.root.host.reply(&Admin::failed());
        }
    }
}

impl<H: Host + Clone> AdminStream<H> {
    /// Whether its store was asked and nothing is heard of that, long after the time for it: Envoy tells
    /// how every call ends.
    pub(super) fn is_unheard(&self, now: Timestamp) -> bool {
        let waits = self.admin.as_ref().is_some_and(|admin| admin.awaits_store());
        waits && now.since(self.moved_at).get() >= limits::ETCD_UNHEARD_MS
    }

    /// It is answered without the store.
    pub(super) fn give_up(&mut self) {
        self.admin = None;
        log::error!(
            "Envoy does not tell how calls to etcd end: allowed_capabilities of \
             capability_restriction_config must have proxy_on_grpc_receive and proxy_on_grpc_close"
        );
        let _ = self.root.host.reply(&Admin::failed());
    }
}

impl<H: Host + Clone> Drop for AdminStream<H> {
    fn drop(&mut self) {
        let waits = |admin: &OverStore| !admin.is_ended() && admin.awaits_store();
        if let Some(admin) = self.admin.take().filter(waits)
            && let Ok(mut left) = self.root.left.try_borrow_mut()
            && left.len() < limits::OPERATORS_LEFT_MAX
        {
            left.push((self.context, admin, self.moved_at));
        }
    }
}

/// Reads and writes, and gathers what is to be told: by whose names is known at the end.
struct AdminShell<'a, H> {
    root: &'a AdminRoot<H>,
    context: u32,
    todo: Vec<AdminEffect>,
}

impl<H: Host> Shell<OverStore> for AdminShell<'_, H> {
    fn ask(&mut self, ticket: Ticket, request: BackendRequest) -> Option<BackendEvent> {
        let AdminRoot { host, config, calls, health, .. } = self.root;
        let asker = Asker::Request(self.context);
        match request {
            BackendRequest::Cell(request) => {
                Some(BackendEvent::Cell(health.cell_anew(host, request)))
            }
            BackendRequest::Rpc(request) => {
                let cluster = &config.store.etcd()?.cluster;
                calls.send(host, cluster, asker, ticket, &request).map(BackendEvent::Rpc)
            }
            BackendRequest::Wait(wait) => {
                calls.wait(host.now().ok()?.plus(wait), asker, ticket);
                None
            }
        }
    }

    fn carry_out(&mut self, effect: AdminEffect) -> Option<AdminEvent<'static>> {
        self.todo.push(effect);
        None
    }
}
