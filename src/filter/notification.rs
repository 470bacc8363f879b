//! The listener for gateways' notifications: requests to events, effects to host calls. Nothing is decided
//! here.
//!
//! It shares the store with the payments' workers and is a member of the realm as they are, but it sends no
//! heartbeats, leads nothing, and counts nothing.

use std::rc::Rc;

use super::host::{Host, Side};
use super::membership::Membership;
use super::pairs;
use super::root;
use super::store_calls::Asker;
use super::stores::Stores as _;
use super::stream::{Flow, Phase};
use super::with_etcd::WithEtcd;
use super::worker::Worker;
use crate::engine::AnySession;
use crate::engine::limits;
use crate::engine::metrics::implied;
use crate::engine::{ApplicationAnswer, Inbound, Notification};
use crate::engine::{BackendEvent, BackendRequest};
use crate::engine::{Config, Decision, Stored};
use crate::engine::{Input, Shell, Ticket, Timestamp, drive};
use crate::engine::{NotificationEffect, NotificationEvent, Request};

type OverStore = Stored<Notification, AnySession>;

/// One worker's part of the listener.
#[derive(Debug)]
pub(super) struct NotificationRoot<H> {
    pub(super) worker: Rc<Worker<H, WithEtcd>>,
    inbound: Rc<Inbound>,
    member: Option<Membership>,
}

impl<H: Host> NotificationRoot<H> {
    /// # Errors
    /// Every mistake in the configuration, or why it cannot work on the store that is there.
    pub(super) fn configure(host: H, mut config: Config) -> Result<Self, String> {
        // An answer that etcd keeps stands with its payment's claim, and this one is to no payment.
        config.store.keep_answers_here();
        let (policy, owner, _) = root::join(&host, config)?;
        let told = |errors: Vec<crate::engine::ConfigError>| {
            errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        let inbound = Rc::new(Inbound::new(&policy).map_err(told)?);
        let (stores, member) = WithEtcd::open(&host, &policy, owner)?;
        let worker = Rc::new(Worker::new(host, policy, owner, stores).audited("notify"));
        worker.define(implied::of_notifications(&worker.policy));
        let mut root = Self { worker, inbound, member };
        WithEtcd::called(&mut root.member, &root.worker);
        WithEtcd::ticked(&mut root.member, &root.worker, false, None);
        Ok(root)
    }

    pub(super) fn tick(&mut self) {
        WithEtcd::called(&mut self.member, &self.worker);
        if let Some(audit) = &self.worker.audit {
            audit.hand_over(&self.worker.host);
        }
        WithEtcd::ticked(&mut self.member, &self.worker, false, None);
    }

    /// A call that handed over events was answered.
    pub(super) fn answered(&self, token: u32) {
        if let Some(audit) = &self.worker.audit {
            let _ = audit.answered(&self.worker.host, token);
        }
    }

    /// The store answers what the worker itself has asked.
    pub(super) fn told(&mut self, asker: Asker, ticket: Ticket, event: BackendEvent) {
        if let Some(member) = &mut self.member {
            member.told(&self.worker, asker, ticket, event);
        }
    }

    pub(super) fn open(&self, context: u32) -> NotificationStream<H> {
        let worker = Rc::clone(&self.worker);
        let notification = Notification::new(Rc::clone(&worker.policy), Rc::clone(&self.inbound));
        let notification = Stored::over(notification, worker.stores.session());
        let wire = Wire {
            worker,
            context,
            request: Phase::Held,
            response: Phase::Held,
            began: Timestamp::default(),
            decision: None,
        };
        NotificationStream { notification, wire, head: None }
    }

    /// Envoy is done with it.
    pub(super) fn close(&self) {
        self.worker.audit.iter().for_each(super::audit::Auditor::close);
    }
}

/// One notification in Envoy.
#[derive(Debug)]
pub(super) struct NotificationStream<H> {
    notification: OverStore,
    wire: Wire<H>,
    head: Option<Head>,
}

/// What the head of the application's answer says.
#[derive(Debug)]
struct Head {
    from_application: bool,
    was_reached: bool,
    status: u16,
    content_type: Option<String>,
}

/// What its effects are carried out on.
#[derive(Debug)]
struct Wire<H> {
    worker: Rc<Worker<H, WithEtcd>>,
    context: u32,
    request: Phase,
    response: Phase,
    /// When it was complete.
    began: Timestamp,
    /// What was decided, for the audit trail.
    decision: Option<Box<Decision>>,
}

impl<H: Host> NotificationStream<H> {
    pub(super) fn request_headers(&mut self, ends: bool) -> Flow {
        if ends { self.request_complete() } else { Flow::Hold }
    }

    pub(super) fn request_body(&mut self, size: usize, ends: bool) -> Flow {
        let is_too_large = size > self.wire.worker.policy.config.request_body_bytes_max;
        if self.wire.request == Phase::Held && (ends || is_too_large) {
            return self.request_complete();
        }
        self.wire.request.flow()
    }

    pub(super) fn request_trailers(&mut self) -> Flow {
        if self.wire.request == Phase::Held {
            return self.request_complete();
        }
        self.wire.request.flow()
    }

    fn request_complete(&mut self) -> Flow {
        self.wire.request = Phase::Deciding;
        if self.decide().is_none() {
            return self.fail_closed();
        }
        self.undecided()
    }

    /// `None` where the host does not let it be read.
    fn decide(&mut self) -> Option<()> {
        let worker = Rc::clone(&self.wire.worker);
        let now = worker.host.now().ok()?;
        self.wire.began = now;
        // One byte more than allowed is enough to see that it is too long.
        let bytes_max = worker.policy.config.request_body_bytes_max + 1;
        let headers = worker.host.headers(Side::Request).ok()?;
        let body = worker.host.body(Side::Request, bytes_max).ok()?;
        let fields = pairs::decode(&headers)?;
        let context = self.wire.context;
        let request = Request { headers: &fields, body: &body, peer: &[], context };
        self.drive(Input::Event(NotificationEvent::Request(request)), now);
        Some(())
    }

    /// One about which nothing is decided, and nothing awaited, is not passed on.
    fn undecided(&mut self) -> Flow {
        if self.wire.request == Phase::Deciding && !self.notification.awaits_store() {
            return self.fail_closed();
        }
        self.wire.request.flow()
    }

    fn fail_closed(&mut self) -> Flow {
        let reply = self.notification.fail_closed();
        // If even this fails it stays held until the gateway gives up, and comes again.
        let _ = self.wire.worker.host.reply(&reply);
        self.wire.request = Phase::Replied;
        Flow::Hold
    }

    pub(super) fn response_headers(&mut self, ends: bool) -> Flow {
        if !self.notification.is_sent() {
            // An answer of ours, or one that Envoy made before anything was decided.
            self.gone();
            self.wire.response = Phase::Released;
            return Flow::Continue;
        }
        self.head = Some(self.wire.read_head());
        if ends {
            return self.response_complete(true);
        }
        Flow::Hold
    }

    pub(super) fn response_body(&mut self, size: usize, ends: bool) -> Flow {
        let is_too_long = size > limits::EVIDENCE_BYTES_MAX;
        if self.wire.response == Phase::Held && (ends || is_too_long) {
            return self.response_complete(!is_too_long);
        }
        self.wire.response.flow()
    }

    pub(super) fn response_trailers(&mut self) -> Flow {
        if self.wire.response == Phase::Held {
            return self.response_complete(true);
        }
        self.wire.response.flow()
    }

    fn response_complete(&mut self, is_whole: bool) -> Flow {
        if let Some(head) = self.head.take() {
            self.wire.response = Phase::Deciding;
            let host = &self.wire.worker.host;
            let body = host.body(Side::Response, limits::EVIDENCE_BYTES_MAX).ok();
            let body = body.filter(|_| is_whole);
            let answer = ApplicationAnswer {
                from_application: head.from_application,
                was_reached: head.was_reached,
                status: head.status,
                content_type: head.content_type.as_deref(),
                body: body.as_deref(),
            };
            let now = self.now();
            self.drive(Input::Event(NotificationEvent::Answered(answer)), now);
        }
        self.wire.response.flow()
    }

    /// The store answers a question that it was asked in an earlier callback.
    pub(super) fn told(&mut self, ticket: Ticket, event: BackendEvent) {
        let before = (self.wire.request, self.wire.response);
        let now = self.now();
        self.drive(Input::Told(ticket, event), now);
        if before.0 == Phase::Deciding {
            let _ = self.undecided();
        }
        let is_let_go = |before, after| before == Phase::Deciding && after == Phase::Released;
        let host = &self.wire.worker.host;
        if is_let_go(before.0, self.wire.request) && host.resume(Side::Request).is_err() {
            // It stays where it is until the gateway gives up, and is free again.
            self.gone();
        }
        if is_let_go(before.1, self.wire.response) {
            let _ = self.wire.worker.host.resume(Side::Response);
        }
    }

    /// The stream is over.
    pub(super) fn log(&mut self) {
        self.gone();
        let worker = &self.wire.worker;
        if let (Some(audit), Some(decision)) = (&worker.audit, self.wire.decision.take()) {
            let from = worker.host.property("source\0address").ok().flatten().unwrap_or_default();
            let from = String::from_utf8_lossy(&from);
            let entry = decision.entry(self.wire.began, &from, audit.pepper());
            audit.write(&worker.host, &[entry]);
        }
    }

    fn gone(&mut self) {
        if !self.notification.is_ended() {
            let now = self.now();
            self.drive(Input::Event(NotificationEvent::GatewayGone), now);
        }
    }

    fn now(&self) -> Timestamp {
        self.wire.worker.host.now().unwrap_or(self.wire.began)
    }

    fn drive(&mut self, input: Input<NotificationEvent<'_>, BackendEvent>, now: Timestamp) {
        let worker = Rc::clone(&self.wire.worker);
        let counters = &mut worker.counters.borrow_mut();
        drive(&mut self.notification, input, now, counters, &mut self.wire);
    }
}

impl<H: Host> Wire<H> {
    fn read_head(&self) -> Head {
        let host = &self.worker.host;
        let bytes = host.headers(Side::Response).unwrap_or_default();
        let fields = pairs::decode(&bytes).unwrap_or_default();
        let text = |wanted: &[u8]| {
            let found = fields.iter().find(|(name, _)| *name == wanted);
            found.and_then(|(_, value)| std::str::from_utf8(value).ok())
        };
        // Envoy says so itself, beside the answer: header fields can be made by anybody.
        let details = host.property("response\0code_details");
        // Asked twice: a host that fails for a moment must not make it one that never went.
        let is_unattached = || host.property("upstream\0local_address") == Ok(None);
        Head {
            was_reached: !(is_unattached() && is_unattached()),
            from_application: matches!(details, Ok(Some(details)) if details == b"via_upstream"),
            status: text(b":status").and_then(|text| text.parse().ok()).unwrap_or(0),
            content_type: text(b"content-type").map(str::to_owned),
        }
    }
}

impl<H: Host> Shell<OverStore> for Wire<H> {
    fn ask(&mut self, ticket: Ticket, request: BackendRequest) -> Option<BackendEvent> {
        WithEtcd::ask(&self.worker, Asker::Request(self.context), ticket, request)
    }

    fn carry_out(&mut self, effect: NotificationEffect) -> Option<NotificationEvent<'static>> {
        let host = &self.worker.host;
        match effect {
            NotificationEffect::Forward(headers) => {
                let set =
                    |(name, value): &(&str, String)| host.set_header(Side::Request, name, value);
                if headers.iter().try_for_each(set).is_err() {
                    return Some(NotificationEvent::Answered(ApplicationAnswer::NEVER_REACHED));
                }
                self.request = Phase::Released;
            }
            NotificationEffect::Relay => self.response = Phase::Released,
            NotificationEffect::Reply(reply) => {
                let _ = host.reply(&reply);
                if matches!(self.request, Phase::Held | Phase::Deciding) {
                    self.request = Phase::Replied;
                }
                self.response = Phase::Replied;
            }
            NotificationEffect::Anomaly(anomaly) => self.worker.anomaly(&anomaly),
            NotificationEffect::Doubt(event) => self.worker.doubt(event),
            NotificationEffect::Decided(decision) => {
                self.worker.note(&decision);
                self.decision = self.worker.audit.is_some().then_some(decision);
            }
        }
        None
    }
}
