//! One request's callbacks: facts to events, effects to host calls.
//!
//! A request ends at its headers, its body or its trailers, and so does an answer. Whichever comes
//! is the moment: Envoy's default for a callback that is left out would let a held request go
//! undecided.

use std::rc::Rc;

use super::host::{BufferedRequest, Host, HostError, Side, is_service_time};
use super::pairs;
use super::worker::Worker;
use crate::engine::event::{Answer, Call, ExchangeEffect, ExchangeEvent, Forward, Request};
use crate::engine::exchange::Exchange;
use crate::engine::health::Peer;
use crate::engine::limits;
use crate::engine::machine::{Input, Shell, Ticket, drive};
use crate::engine::protocol::{Body, Flags, Origin, Response};
use crate::engine::store::{CellEvent, CellRequest, Local};
use crate::engine::time::{Millis, Timestamp};

/// What a callback tells Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Go on.
    Continue,
    /// Hold, or stop for good after an answer of ours.
    Hold,
}

/// One request in Envoy.
#[derive(Debug)]
pub(super) struct Stream<H> {
    exchange: Local<Exchange>,
    wire: Wire<H>,
    head: Option<Head>,
}

/// What the request's effects are carried out on.
#[derive(Debug)]
struct Wire<H> {
    worker: Rc<Worker<H>>,
    context: u32,
    request: Phase,
    response: Phase,
    /// Envoy may use any of several gateways, so the endpoint's metadata must say which.
    composite: bool,
    /// The request, where it may have to be sent to another gateway.
    kept: BufferedRequest,
    /// The call that is under way, which Envoy knows by this token.
    calling: Option<u32>,
    /// When it was decided: what the clock says later, where it says nothing.
    decided_at: Timestamp,
    /// The exchange goes on without its stream.
    handed_off: bool,
}

/// How far one direction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Held until it is complete.
    Held,
    /// Complete, and held until something is decided.
    Deciding,
    /// Let go.
    Released,
    /// Ended by an answer of ours.
    Replied,
}

/// What the head of an answer says.
#[derive(Debug)]
struct Head {
    origin: Origin,
    status: u16,
    endpoint: Option<String>,
    /// The connection that it came over, where that is watched.
    peer: Option<Connection>,
    content_type: Option<String>,
    retry_after: Option<Millis>,
    content_encoding: Option<String>,
}

/// What Envoy tells of a connection to a gateway.
#[derive(Debug)]
struct Connection {
    version: Option<String>,
    names: [Option<String>; 2],
}

impl Connection {
    fn peer(&self) -> Peer<'_> {
        let names = self.names.each_ref().map(Option::as_deref);
        Peer { version: self.version.as_deref(), names }
    }
}

impl<H: Host> Stream<H> {
    pub(super) fn new(worker: Rc<Worker<H>>, context: u32) -> Self {
        let exchange = Local::new(Exchange::new(Rc::clone(&worker.policy)));
        let wire = Wire {
            worker,
            context,
            request: Phase::Held,
            response: Phase::Held,
            composite: false,
            kept: BufferedRequest::default(),
            calling: None,
            decided_at: Timestamp::default(),
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
        let (read, now) = (self.wire.read_request(), host.now());
        let (Ok(BufferedRequest { headers, body }), Ok(now)) = (read, now) else {
            return self.fail_closed();
        };
        self.wire.decided_at = now;
        let peer = self.peer();
        let Some(fields) = pairs::decode(&headers) else {
            return self.fail_closed();
        };
        let context = self.wire.context;
        #[cfg(feature = "slow")]
        self.wire.worker.slow.read(context, &fields);
        let request = Request { headers: &fields, body: &body, peer: &peer, context };
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

    /// The names in the client's certificate, where the configuration wants to know them. Envoy
    /// tells one of each kind.
    fn peer(&self) -> Vec<String> {
        if self.wire.worker.policy.config.peers.is_empty() {
            return Vec::new();
        }
        let host = &self.wire.worker.host;
        if host.property(&["connection", "mtls"]) != Ok(Some(vec![1])) {
            return Vec::new();
        }
        let names = ["uri_san_peer_certificate", "dns_san_peer_certificate"];
        let read = |name| host.property(&["connection", name]).ok().flatten();
        names.into_iter().filter_map(|name| String::from_utf8(read(name)?).ok()).collect()
    }

    fn fail_closed(&mut self) -> Flow {
        let host = &self.wire.worker.host;
        let id = host.property(&["request", "id"]).ok().flatten().unwrap_or_default();
        let reply = self.exchange.fail_closed(&String::from_utf8_lossy(&id));
        // If even this fails, the request stays held until the client gives up.
        let _ = host.reply(&reply);
        self.wire.request = Phase::Replied;
        Flow::Hold
    }

    pub(super) fn response_headers(&mut self, ends: bool) -> Flow {
        if !self.exchange.is_sent() {
            // Our own answer, or one that Envoy made before anything was decided.
            self.wire.response = Phase::Released;
            return Flow::Continue;
        }
        self.head = Some(self.read_head());
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
        let now = self.now();
        if !self.exchange.is_sent() {
            if !self.exchange.is_ended() {
                self.drive(Input::Event(ExchangeEvent::ClientGone), now);
            }
            return self.hand_off();
        }
        let origin = match self.wire.calling {
            Some(_) => Origin::Envoy { flags: Flags::CLIENT_GONE, attached: true },
            None => self.origin_without_answer(),
        };
        let evidence = Response { origin, status: 0, body: Body::Unreadable };
        let endpoint = self.endpoint();
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
        if std::mem::take(&mut self.wire.handed_off) {
            let worker = Rc::clone(&self.wire.worker);
            let ended = Local::new(Exchange::new(Rc::clone(&worker.policy)));
            let exchange = std::mem::replace(&mut self.exchange, ended);
            worker.take_over(self.wire.context, exchange, self.now());
        }
    }

    /// The store answers a question that it was asked in an earlier callback.
    pub(super) fn told(&mut self, ticket: Ticket, event: CellEvent) {
        let before = (self.wire.request, self.wire.response);
        let now = self.now();
        self.drive(Input::Told(ticket, event), now);
        if before.0 == Phase::Deciding {
            let _ = self.undecided();
        }
        let host = &self.wire.worker.host;
        for (before, after, side) in [
            (before.0, self.wire.request, Side::Request),
            (before.1, self.wire.response, Side::Response),
        ] {
            if before == Phase::Deciding && after == Phase::Released {
                // Whoever has left meanwhile is told of by `log`.
                let _ = host.resume(side);
            }
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
        let mut head = self.read_fields(Side::Call);
        let answered = head.origin == Origin::Upstream;
        head.origin = if answered { Origin::Upstream } else { failed };
        self.wire.composite = false;
        self.complete(&head, Side::Call, answered);
    }

    fn read_head(&self) -> Head {
        let mut head = self.read_fields(Side::Response);
        if self.is_from_upstream() {
            head.origin = Origin::Upstream;
            if self.wire.worker.policy.watches_channels() {
                head.peer = Some(self.connection());
            }
        } else {
            head.origin = self.origin_without_answer();
        }
        head.endpoint = self.endpoint();
        head
    }

    /// Whether Envoy's router relays an answer of the gateway. It says so itself, beside the
    /// answer: header fields can be removed, renamed and added, by filters, routes and Envoy's own
    /// local replies.
    fn is_from_upstream(&self) -> bool {
        let details = self.wire.worker.host.property(&["response", "code_details"]);
        matches!(details, Ok(Some(details)) if details == b"via_upstream")
    }

    /// What cannot be read is not there: then the connection is not what it must be.
    fn connection(&self) -> Connection {
        let read = |name| self.wire.worker.host.property(&["upstream", name]).ok().flatten();
        let text = |name| read(name).and_then(|bytes| String::from_utf8(bytes).ok());
        let names = ["dns_san_peer_certificate", "uri_san_peer_certificate"].map(text);
        Connection { version: text("tls_version").filter(|name| !name.is_empty()), names }
    }

    fn read_fields(&self, side: Side) -> Head {
        let bytes = self.wire.worker.host.headers(side).unwrap_or_default();
        let mut head = Head {
            origin: Origin::Envoy { flags: Flags::default(), attached: true },
            status: 0,
            endpoint: None,
            peer: None,
            content_type: None,
            retry_after: None,
            content_encoding: None,
        };
        for (name, value) in pairs::decode(&bytes).unwrap_or_default() {
            let text = || std::str::from_utf8(value).ok();
            match name {
                b":status" => head.status = text().and_then(|t| t.parse().ok()).unwrap_or(0),
                _ if side == Side::Call && is_service_time(name) => head.origin = Origin::Upstream,
                b"content-type" => head.content_type = text().map(str::to_owned),
                b"retry-after" => head.retry_after = text().and_then(seconds),
                b"content-encoding" => head.content_encoding = text().map(str::to_owned),
                _ => {}
            }
        }
        head
    }

    /// Why Envoy answered in the gateway's place. What cannot be read counts against "never sent".
    fn origin_without_answer(&self) -> Origin {
        let host = &self.wire.worker.host;
        // Asked twice, and before the flags: a host that fails for a moment, or from some moment on,
        // must not make a payment one that was never sent.
        let is_unattached = || host.property(&["upstream", "local_address"]) == Ok(None);
        let attached = !(is_unattached() && is_unattached());
        let flags = match host.property(&["response", "flags"]) {
            Ok(Some(bytes)) => bytes.try_into().map_or(u64::MAX, u64::from_le_bytes),
            Ok(None) | Err(_) => u64::MAX,
        };
        Origin::Envoy { flags: Flags::new(flags), attached }
    }

    fn endpoint(&self) -> Option<String> {
        if !self.wire.composite {
            return None;
        }
        let path = ["xds", "upstream_host_metadata", "filter_metadata", "dana.failover", "gateway"];
        let name = self.wire.worker.host.property(&path).ok().flatten()?;
        String::from_utf8(name).ok()
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

    fn drive(&mut self, input: Input<ExchangeEvent<'_>, CellEvent>, now: Timestamp) {
        let worker = Rc::clone(&self.wire.worker);
        let counters = &mut worker.counters.borrow_mut();
        drive(&mut self.exchange, input, now, counters, &mut self.wire);
    }
}

impl<H: Host> Shell<Local<Exchange>> for Wire<H> {
    fn ask(&mut self, ticket: Ticket, request: CellRequest) -> Option<CellEvent> {
        self.worker.ask(self.context, ticket, request)
    }

    fn carry_out(&mut self, effect: ExchangeEffect) -> Option<ExchangeEvent<'static>> {
        match effect {
            ExchangeEffect::Forward(forward) => return self.forward(&forward),
            ExchangeEffect::Call(call) => return self.call(&call),
            ExchangeEffect::Reply(reply) => {
                let _ = self.worker.host.reply(&reply);
                if matches!(self.request, Phase::Held | Phase::Deciding) {
                    self.request = Phase::Replied;
                }
                self.response = Phase::Replied;
            }
            ExchangeEffect::Relay { gateway } => {
                if let Some(gateway) = gateway {
                    let host = &self.worker.host;
                    let _ = host.set_header(Side::Response, "x-dana-gateway", &gateway);
                }
                self.response = Phase::Released;
            }
            ExchangeEffect::Changed(change) => self.worker.changed(&change),
            ExchangeEffect::Anomaly(anomaly) => self.worker.anomaly(&anomaly),
            ExchangeEffect::Decided(decision) => self.worker.note(&decision),
            ExchangeEffect::HandOff => self.handed_off = true,
        }
        None
    }
}

impl<H: Host> Wire<H> {
    fn read_request(&self) -> Result<BufferedRequest, HostError> {
        let host = &self.worker.host;
        // One byte more than allowed is enough to see that it is too long.
        let bytes_max = self.worker.policy.config.request_body_bytes_max + 1;
        let headers = host.headers(Side::Request)?;
        Ok(BufferedRequest { headers, body: host.body(Side::Request, bytes_max)? })
    }

    /// Names the cluster and lets the request go. If a header cannot be set it must not go, and
    /// then it provably did not.
    fn forward(&mut self, forward: &Forward) -> Option<ExchangeEvent<'static>> {
        if forward.keep {
            match self.read_request() {
                Ok(kept) => self.kept = kept,
                Err(_) => return Some(ExchangeEvent::Answered(Answer::never_left(true))),
            }
        }
        let host = &self.worker.host;
        let set = |(name, value): &(String, String)| host.set_header(Side::Request, name, value);
        if forward.headers.iter().try_for_each(set).is_ok() {
            self.composite = forward.composite;
            self.request = Phase::Released;
            return None;
        }
        Some(ExchangeEvent::Answered(Answer::never_left(true)))
    }

    /// Sends the kept request to another gateway. If it cannot be, it provably was not.
    fn call(&mut self, call: &Call) -> Option<ExchangeEvent<'static>> {
        self.calling = self.worker.host.call(call, &self.kept).ok();
        self.calling.is_none().then_some(ExchangeEvent::Answered(Answer::never_left(true)))
    }
}

/// A `retry-after` in seconds; a date is taken as none.
fn seconds(value: &str) -> Option<Millis> {
    let seconds: u64 = value.trim().parse().ok()?;
    Some(Millis::new(seconds.saturating_mul(1000)))
}

impl Phase {
    const fn flow(self) -> Flow {
        match self {
            Self::Released => Flow::Continue,
            Self::Held | Self::Deciding | Self::Replied => Flow::Hold,
        }
    }
}
