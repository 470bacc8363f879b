//! One request's callbacks: facts to events, effects to host calls.
//!
//! A request ends at its headers, its body or its trailers, and so does an answer. Whichever comes
//! is the moment: Envoy's default for a callback that is left out would let a held request go
//! undecided.

use std::rc::Rc;

use super::host::{BufferedRequest, Host, Side};
use super::pairs;
use super::stores::{EventOf, OverStore, Stores};
use super::worker::Worker;
use crate::engine::Exchange;
use crate::engine::Stored;
use crate::engine::Timestamp;
use crate::engine::limits;
use crate::engine::{Answer, ExchangeEvent, Request};
use crate::engine::{Body, Flags, Origin, Response};
use crate::engine::{Input, Ticket, drive};

mod facts;
mod wire;

use facts::{Connection, Head};
use wire::Wire;
pub(super) use wire::{Flow, Phase};

/// One request in Envoy.
#[derive(Debug)]
pub(super) struct Stream<H, S: Stores> {
    exchange: OverStore<S>,
    wire: Wire<H, S>,
    head: Option<Head>,
}

impl<H: Host, S: Stores> Stream<H, S> {
    pub(super) fn new(worker: Rc<Worker<H, S>>, context: u32) -> Self {
        let exchange = Exchange::new(Rc::clone(&worker.policy));
        let exchange = Stored::over(exchange, worker.stores.session());
        let wire = Wire {
            worker,
            context,
            request: Phase::Held,
            response: Phase::Held,
            composite: false,
            held: Rc::default(),
            calling: None,
            decided_at: Timestamp::default(),
            decision: None,
            handed_off: false,
        };
        Self { exchange, wire, head: None }
    }

    pub(super) fn request_headers(&mut self, ends: bool) -> Flow {
        if ends { self.request_complete() } else { Flow::Hold }
    }

    pub(super) fn request_body(&mut self, size: usize, ends: bool) -> Flow {
        let too_large = size > self.wire.worker.policy.config.request_body_bytes_max;
        if self.wire.request == Phase::Held && (ends || too_large) {
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

    /// The request is whole, or longer than is allowed: it is decided now, or as soon as the store
    /// has answered.
    fn request_complete(&mut self) -> Flow {
        self.wire.request = Phase::Deciding;
        let host = &self.wire.worker.host;
        let (Ok(held), Ok(now)) = (self.wire.read_request(), host.now()) else {
            return self.fail_closed();
        };
        let held = Rc::new(held);
        self.wire.held = Rc::clone(&held);
        let BufferedRequest { headers, body } = &*held;
        self.wire.decided_at = now;
        let peer = self.wire.peer();
        let Some(fields) = pairs::decode(headers) else {
            return self.fail_closed();
        };
        let context = self.wire.context;
        #[cfg(feature = "slow")]
        self.wire.worker.stores.slow_down(context, &fields);
        let request = Request { headers: &fields, body, peer: &peer, context };
        self.drive(Input::Event(ExchangeEvent::Request(request)), now);
        self.undecided()
    }

    /// A request about which nothing is decided, and nothing awaited, is not sent.
    fn undecided(&mut self) -> Flow {
        if self.wire.request == Phase::Deciding && !self.exchange.awaits_store() {
            return self.fail_closed();
        }
        self.wire.request.flow()
    }

    fn fail_closed(&mut self) -> Flow {
        let host = &self.wire.worker.host;
        let id = host.property("request\0id").ok().flatten().unwrap_or_default();
        let reply = self.exchange.fail_closed(&String::from_utf8_lossy(&id));
        // If even this fails, the request stays held until the client gives up.
        let _ = host.reply(&reply);
        self.wire.request = Phase::Replied;
        Flow::Hold
    }

    pub(super) fn response_headers(&mut self, ends: bool) -> Flow {
        if !self.exchange.is_sent() {
            // Our own answer, or one that Envoy made before anything was decided.
            if self.exchange.awaits_store() {
                let now = self.now();
                self.drive(Input::Event(ExchangeEvent::ClientGone), now);
            }
            self.wire.response = Phase::Released;
            return Flow::Continue;
        }
        self.head = Some(self.wire.read_head());
        if ends || !self.exchange.reads_answer() {
            return self.response_complete(ends);
        }
        Flow::Hold
    }

    pub(super) fn response_body(&mut self, size: usize, ends: bool) -> Flow {
        let too_long = size > limits::EVIDENCE_BYTES_MAX;
        if self.wire.response == Phase::Held && (ends || too_long) {
            return self.response_complete(!too_long);
        }
        self.wire.response.flow()
    }

    pub(super) fn response_trailers(&mut self) -> Flow {
        if self.wire.response == Phase::Held {
            return self.response_complete(true);
        }
        self.wire.response.flow()
    }

    /// The stream is over. If no answer was settled, the client has left, or Envoy has dropped a
    /// broken one: what that means is settled here.
    pub(super) fn log(&mut self) {
        self.end();
        self.wire.write_entry();
    }

    fn end(&mut self) {
        if self.exchange.is_ended() {
            return;
        }
        let now = self.now();
        if !self.exchange.is_sent() {
            self.drive(Input::Event(ExchangeEvent::ClientGone), now);
            return self.hand_off();
        }
        let origin = match self.wire.calling {
            Some(_) => Origin::Envoy { flags: Flags::CLIENT_GONE, attached: true },
            None => self.wire.origin_without_answer(),
        };
        let evidence = Response { origin, status: 0, body: Body::Unreadable };
        let endpoint = self.wire.endpoint();
        let answer =
            Answer { evidence, endpoint: endpoint.as_deref(), ..Answer::never_left(false) };
        self.drive(Input::Event(ExchangeEvent::Answered(answer)), now);
        if !self.exchange.is_ended() {
            self.drive(Input::Event(ExchangeEvent::ClientGone), now);
        }
        self.hand_off();
    }

    /// What is not written down goes on at the worker.
    fn hand_off(&mut self) {
        if std::mem::take(&mut self.wire.handed_off) && !self.exchange.is_ended() {
            let worker = Rc::clone(&self.wire.worker);
            let ended = Exchange::new(Rc::clone(&worker.policy));
            let ended = Stored::over(ended, worker.stores.session());
            let exchange = std::mem::replace(&mut self.exchange, ended);
            S::take_over(&worker, self.wire.context, exchange, self.now());
        }
    }

    /// The store answers a question that it was asked in an earlier callback.
    pub(super) fn told(&mut self, ticket: Ticket, event: EventOf<S>) {
        let before = (self.wire.request, self.wire.response);
        let now = self.now();
        self.drive(Input::Told(ticket, event), now);
        if before.0 == Phase::Deciding {
            let _ = self.undecided();
        }
        let is_let_go = |before, after| before == Phase::Deciding && after == Phase::Released;
        if is_let_go(before.0, self.wire.request)
            && self.wire.worker.host.resume(Side::Request).is_err()
        {
            // It stays where it is, and provably did not leave.
            self.wire.request = Phase::Deciding;
            self.drive(Input::Event(ExchangeEvent::Answered(Answer::never_left(true))), now);
        }
        if is_let_go(before.1, self.wire.response) {
            // Whoever has left meanwhile is told of by `log`.
            let _ = self.wire.worker.host.resume(Side::Response);
        }
    }

    /// Whether the answer with this token is the one that it waits for.
    pub(super) fn awaits(&self, token: u32) -> bool {
        self.wire.calling == Some(token)
    }

    /// A call of ours was answered, by the gateway or in its place by Envoy. It carries no facts
    /// about its connection, so nothing but an answer shows that it was not sent.
    pub(super) fn call_answered(&mut self, token: u32) {
        if self.wire.calling.take_if(|calling| *calling == token).is_none() {
            return;
        }
        let failed = Origin::Envoy { flags: Flags::default(), attached: true };
        let mut head = self.wire.read_fields(Side::Call);
        let answered = head.origin == Origin::Upstream;
        head.origin = if answered { Origin::Upstream } else { failed };
        self.wire.composite = false;
        self.complete(&head, Side::Call, answered);
    }

    fn response_complete(&mut self, complete: bool) -> Flow {
        // With its head gone it was judged already: more of it waits for what is decided then.
        if let Some(head) = self.head.take() {
            self.wire.response = Phase::Deciding;
            self.complete(&head, Side::Response, complete);
        }
        self.wire.response.flow()
    }

    fn complete(&mut self, head: &Head, side: Side, complete: bool) {
        let host = &self.wire.worker.host;
        let reads = self.exchange.reads_answer() && complete;
        // One byte more shows that it is longer than what is read.
        let bytes_max = limits::EVIDENCE_BYTES_MAX + 1;
        let bytes = if reads { host.body(side, bytes_max).ok() } else { None };
        let bytes = bytes.filter(|bytes| bytes.len() < bytes_max);
        let body = bytes.as_deref().map_or(Body::Unreadable, Body::Complete);
        let evidence = Response { origin: head.origin, status: head.status, body };
        let answer = Answer {
            evidence,
            endpoint: head.endpoint.as_deref(),
            peer: head.peer.as_ref().map(Connection::peer),
            content_type: head.content_type.as_deref(),
            retry_after: head.retry_after,
            content_encoding: head.content_encoding.as_deref(),
            client_waits: true,
        };
        let now = self.now();
        self.drive(Input::Event(ExchangeEvent::Answered(answer)), now);
    }

    fn now(&self) -> Timestamp {
        self.wire.worker.host.now().unwrap_or(self.wire.decided_at)
    }

    fn drive(&mut self, input: Input<ExchangeEvent<'_>, EventOf<S>>, now: Timestamp) {
        let worker = Rc::clone(&self.wire.worker);
        let counters = &mut worker.counters.borrow_mut();
        drive(&mut self.exchange, input, now, counters, &mut self.wire);
    }
}
