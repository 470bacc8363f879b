//! One request's callbacks: facts to events, effects to host calls.
//!
//! A request ends at its headers, its body or its trailers, and so does an answer. Whichever comes
//! is the moment: Envoy's default for a callback that is left out would let a held request go
//! undecided.

use std::collections::VecDeque;
use std::rc::Rc;

use super::host::{BufferedRequest, Host, Side, is_service_time};
use super::pairs;
use super::worker::Worker;
use crate::engine::event::{Answer, Call, Effect, Event, Forward, Request};
use crate::engine::exchange::Exchange;
use crate::engine::health::Peer;
use crate::engine::limits;
use crate::engine::protocol::{Body, Flags, LocalReply, Origin, ReplyContext, Response};
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
    worker: Rc<Worker<H>>,
    exchange: Exchange,
    context: u32,
    request: Phase,
    response: Phase,
    /// Envoy may use any of several gateways, so the endpoint's metadata must say which.
    composite: bool,
    /// Whether the request may have to be sent to another gateway, and then the request.
    keep: bool,
    kept: BufferedRequest,
    /// The call that is under way, which Envoy knows by this token.
    calling: Option<u32>,
    head: Option<Head>,
    /// When it was decided: what the clock says later, where it says nothing.
    decided_at: Timestamp,
}

/// How far one direction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Held until it is complete.
    Held,
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
        let exchange = Exchange::new(Rc::clone(&worker.policy));
        Self {
            worker,
            exchange,
            context,
            request: Phase::Held,
            response: Phase::Held,
            composite: false,
            keep: false,
            kept: BufferedRequest::default(),
            calling: None,
            head: None,
            decided_at: Timestamp::default(),
        }
    }

    pub(super) fn request_headers(&mut self, ends: bool) -> Flow {
        if ends { self.request_complete() } else { Flow::Hold }
    }

    pub(super) fn request_body(&mut self, size: usize, ends: bool) -> Flow {
        let too_large = size > self.worker.policy.config.request_body_bytes_max;
        if self.request == Phase::Held && (ends || too_large) {
            return self.request_complete();
        }
        self.request.flow()
    }

    pub(super) fn request_trailers(&mut self) -> Flow {
        if self.request == Phase::Held {
            return self.request_complete();
        }
        self.request.flow()
    }

    /// The request is whole, or longer than is allowed: it is decided now.
    fn request_complete(&mut self) -> Flow {
        let host = &self.worker.host;
        // One byte more than allowed is enough to see that it is too long.
        let bytes_max = self.worker.policy.config.request_body_bytes_max + 1;
        let held = (host.headers(Side::Request), host.body(Side::Request, bytes_max), host.now());
        let (Ok(headers), Ok(body), Ok(now)) = held else {
            self.fail_closed();
            return Flow::Hold;
        };
        self.decided_at = now;
        let peer = self.peer();
        let Some(fields) = pairs::decode(&headers) else {
            self.fail_closed();
            return Flow::Hold;
        };
        let context = self.context;
        let request = Request { headers: &fields, body: &body, peer: &peer, context };
        self.drive(Event::Request(request), now);
        if self.keep {
            self.kept = BufferedRequest { headers, body };
        }
        if self.request == Phase::Held {
            self.fail_closed();
        }
        self.request.flow()
    }

    /// The names in the client's certificate, where the configuration wants to know them. Envoy
    /// tells one of each kind.
    fn peer(&self) -> Vec<String> {
        if self.worker.policy.config.peers.is_empty() {
            return Vec::new();
        }
        let host = &self.worker.host;
        if host.property(&["connection", "mtls"]) != Ok(Some(vec![1])) {
            return Vec::new();
        }
        let names = ["uri_san_peer_certificate", "dns_san_peer_certificate"];
        let read = |name| host.property(&["connection", name]).ok().flatten();
        names.into_iter().filter_map(|name| String::from_utf8(read(name)?).ok()).collect()
    }

    /// The host did not let us decide: nothing is sent.
    fn fail_closed(&mut self) {
        let retry_after = Millis::new(1000);
        let saying = LocalReply::StoreFailed { retry_after };
        let protocol = self.worker.policy.config.protocol;
        let id = self.worker.host.property(&["request", "id"]).ok().flatten().unwrap_or_default();
        let about =
            ReplyContext { request_id: &String::from_utf8_lossy(&id), ..ReplyContext::default() };
        // If even this fails, the request stays held until the client gives up.
        let _ = self.worker.host.reply(&saying.reply(protocol, &about));
        self.request = Phase::Replied;
    }

    pub(super) fn response_headers(&mut self, ends: bool) -> Flow {
        if !self.exchange.is_sent() {
            // Our own answer, or one that Envoy made before anything was decided.
            self.response = Phase::Released;
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
        if self.response == Phase::Held && (ends || too_long) {
            return self.response_complete(!too_long);
        }
        self.response.flow()
    }

    pub(super) fn response_trailers(&mut self) -> Flow {
        if self.response == Phase::Held {
            return self.response_complete(true);
        }
        self.response.flow()
    }

    /// The exchange is over. If no answer was settled, the client has left, or Envoy has dropped
    /// a broken one: what that means is settled here.
    pub(super) fn log(&mut self) {
        if !self.exchange.is_sent() {
            return;
        }
        let origin = match self.calling {
            Some(_) => Origin::Envoy { flags: Flags::CLIENT_GONE, attached: true },
            None => self.origin_without_answer(),
        };
        let evidence = Response { origin, status: 0, body: Body::Unreadable };
        let endpoint = self.endpoint();
        let answer = Answer {
            evidence,
            endpoint: endpoint.as_deref(),
            peer: None,
            content_type: None,
            retry_after: None,
            content_encoding: None,
            client_waits: false,
        };
        let now = self.now();
        self.drive(Event::Answered(answer), now);
    }

    /// Whether the answer with this token is the one that it waits for.
    pub(super) fn awaits(&self, token: u32) -> bool {
        self.calling == Some(token)
    }

    /// A call of ours was answered, by the gateway or in its place by Envoy. It carries no facts
    /// about its connection, so nothing but an answer shows that it was not sent.
    pub(super) fn call_answered(&mut self, token: u32) {
        if self.calling.take_if(|calling| *calling == token).is_none() {
            return;
        }
        let failed = Origin::Envoy { flags: Flags::default(), attached: true };
        let mut head = self.read_fields(Side::Call);
        let answered = head.origin == Origin::Upstream;
        head.origin = if answered { Origin::Upstream } else { failed };
        self.composite = false;
        self.complete(&head, Side::Call, answered);
    }

    fn read_head(&self) -> Head {
        let mut head = self.read_fields(Side::Response);
        if self.is_from_upstream() {
            head.origin = Origin::Upstream;
            if self.worker.policy.watches_channels() {
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
        let details = self.worker.host.property(&["response", "code_details"]);
        matches!(details, Ok(Some(details)) if details == b"via_upstream")
    }

    /// What cannot be read is not there: then the connection is not what it must be.
    fn connection(&self) -> Connection {
        let read = |name| self.worker.host.property(&["upstream", name]).ok().flatten();
        let text = |name| read(name).and_then(|bytes| String::from_utf8(bytes).ok());
        let names = ["dns_san_peer_certificate", "uri_san_peer_certificate"].map(text);
        Connection { version: text("tls_version").filter(|name| !name.is_empty()), names }
    }

    fn read_fields(&self, side: Side) -> Head {
        let bytes = self.worker.host.headers(side).unwrap_or_default();
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
        let host = &self.worker.host;
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
        if !self.composite {
            return None;
        }
        let path = ["xds", "upstream_host_metadata", "filter_metadata", "dana.failover", "gateway"];
        let name = self.worker.host.property(&path).ok().flatten()?;
        String::from_utf8(name).ok()
    }

    fn response_complete(&mut self, complete: bool) -> Flow {
        // With its head gone it was judged already: more of it waits for what is decided then.
        if let Some(head) = self.head.take() {
            self.complete(&head, Side::Response, complete);
        }
        self.response.flow()
    }

    fn complete(&mut self, head: &Head, side: Side, complete: bool) {
        let host = &self.worker.host;
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
        self.drive(Event::Answered(answer), now);
    }

    fn now(&self) -> Timestamp {
        self.worker.host.now().unwrap_or(self.decided_at)
    }

    /// Feeds the engine and does what it says, until it has no more to say.
    fn drive(&mut self, event: Event<'_>, now: Timestamp) {
        let worker = Rc::clone(&self.worker);
        let feed = |exchange: &mut Exchange, event: Event<'_>| {
            exchange.handle(event, now, &mut worker.counters.borrow_mut())
        };
        let mut effects: VecDeque<Effect> = feed(&mut self.exchange, event).into();
        while let Some(effect) = effects.pop_front() {
            let event = match effect {
                Effect::Load(cell) => Some(self.worker.load(cell)),
                Effect::Store { cell, bytes, expected } => {
                    Some(self.worker.store(cell, &bytes, expected))
                }
                Effect::Forward(forward) => self.forward(&forward),
                Effect::Call(call) => self.call(&call),
                Effect::Reply(reply) => {
                    let _ = self.worker.host.reply(&reply);
                    self.request =
                        if self.request == Phase::Held { Phase::Replied } else { self.request };
                    self.response = Phase::Replied;
                    None
                }
                Effect::Relay { gateway } => {
                    if let Some(gateway) = gateway {
                        let host = &self.worker.host;
                        let _ = host.set_header(Side::Response, "x-dana-gateway", &gateway);
                    }
                    self.response = Phase::Released;
                    None
                }
                Effect::Changed(change) => {
                    self.worker.changed(&change);
                    None
                }
                Effect::Anomaly(anomaly) => {
                    self.worker.anomaly(&anomaly);
                    None
                }
                Effect::Decided(note) => {
                    self.worker.note(&note);
                    None
                }
                Effect::Probe(_) | Effect::Counted(_) | Effect::InFlight(..) => None,
            };
            if let Some(event) = event {
                effects.extend(feed(&mut self.exchange, event));
            }
        }
    }

    /// Names the cluster and lets the request go. If a header cannot be set it must not go, and
    /// then it provably did not.
    fn forward(&mut self, forward: &Forward) -> Option<Event<'static>> {
        let host = &self.worker.host;
        let set = |(name, value): &(String, String)| host.set_header(Side::Request, name, value);
        if forward.headers.iter().try_for_each(set).is_ok() {
            self.composite = forward.composite;
            self.keep = forward.keep;
            self.request = Phase::Released;
            return None;
        }
        Some(NEVER_LEFT)
    }

    /// Sends the kept request to another gateway. If it cannot be, it provably was not.
    fn call(&mut self, call: &Call) -> Option<Event<'static>> {
        self.calling = self.worker.host.call(call, &self.kept).ok();
        self.calling.is_none().then_some(NEVER_LEFT)
    }
}

/// A `retry-after` in seconds; a date is taken as none.
fn seconds(value: &str) -> Option<Millis> {
    let seconds: u64 = value.trim().parse().ok()?;
    Some(Millis::new(seconds.saturating_mul(1000)))
}

const NEVER_LEFT: Event<'static> = Event::Answered(Answer {
    evidence: Response { origin: Origin::NeverLeft, status: 0, body: Body::Unreadable },
    endpoint: None,
    peer: None,
    content_type: None,
    retry_after: None,
    content_encoding: None,
    client_waits: true,
});

impl Phase {
    const fn flow(self) -> Flow {
        match self {
            Self::Released => Flow::Continue,
            Self::Held | Self::Replied => Flow::Hold,
        }
    }
}
