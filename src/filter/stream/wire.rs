//! One request's effects, carried out.

use std::rc::Rc;

use crate::engine::GATEWAY_HEADER;
use crate::engine::Timestamp;
use crate::engine::{Answer, Call, ExchangeEffect, ExchangeEvent, Forward};
use crate::engine::{AuditEntry, Decision};
use crate::engine::{Shell, Ticket};
use crate::filter::host::{BufferedRequest, Host, HostError, Side};
use crate::filter::store_calls::Asker;
use crate::filter::stores::{EventOf, OverStore, RequestOf, Stores};
use crate::filter::worker::Worker;

/// What a callback tells Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::filter) enum Flow {
    /// Go on.
    Continue,
    /// Hold, or stop for good after an answer of ours.
    Hold,
}

/// What the request's effects are carried out on.
#[derive(Debug)]
pub(super) struct Wire<H, S> {
    pub(super) worker: Rc<Worker<H, S>>,
    pub(super) context: u32,
    pub(super) request: Phase,
    pub(super) response: Phase,
    /// Envoy may use any of several gateways, so the endpoint's metadata must say which.
    pub(super) composite: bool,
    /// The request, until it is let go, or as long as it may have to be sent to another gateway.
    pub(super) held: Rc<BufferedRequest>,
    /// The call that is under way, which Envoy knows by this token.
    pub(super) calling: Option<u32>,
    /// When it was decided: what the clock says later, where it says nothing.
    pub(super) decided_at: Timestamp,
    /// What was decided, for the audit trail.
    pub(super) decision: Option<Box<Decision>>,
    /// The exchange goes on without its stream.
    pub(super) handed_off: bool,
}

/// How far one direction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::filter) enum Phase {
    /// Held until it is complete.
    Held,
    /// Complete, and held until something is decided.
    Deciding,
    /// Let go.
    Released,
    /// Ended by an answer of ours.
    Replied,
}

impl<H: Host, S: Stores> Shell<OverStore<S>> for Wire<H, S> {
    fn ask(&mut self, ticket: Ticket, request: RequestOf<S>) -> Option<EventOf<S>> {
        S::ask(&self.worker, Asker::Request(self.context), ticket, request)
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
                if let Some(gateway) = &gateway {
                    let host = &self.worker.host;
                    let _ = host.set_header(Side::Response, GATEWAY_HEADER, gateway);
                }
                self.response = Phase::Released;
            }
            ExchangeEffect::Changed(change) => self.worker.changed(&change),
            ExchangeEffect::Anomaly(anomaly) => self.worker.anomaly(&anomaly),
            ExchangeEffect::Doubt(event) => self.worker.doubt(event),
            ExchangeEffect::Decided(decision) => {
                self.worker.note(&decision);
                self.decision = self.worker.audit.is_some().then_some(decision);
            }
            ExchangeEffect::HandOff => self.handed_off = true,
        }
        None
    }
}

impl<H: Host, S: Stores> Wire<H, S> {
    pub(super) fn read_request(&self) -> Result<BufferedRequest, HostError> {
        let host = &self.worker.host;
        // One byte more than allowed is enough to see that it is too long.
        let bytes_max = self.worker.policy.config.request_body_bytes_max + 1;
        let headers = host.headers(Side::Request)?;
        Ok(BufferedRequest { headers, body: host.body(Side::Request, bytes_max)? })
    }

    /// Writes down what was decided. A request about which nothing was decided has no entry.
    pub(super) fn write_entry(&mut self) {
        if let (Some(audit), Some(decision)) = (&self.worker.audit, self.decision.take()) {
            let host = &self.worker.host;
            let from = host.property("source\0address").ok().flatten().unwrap_or_default();
            let from = String::from_utf8_lossy(&from);
            let entry = decision.entry(self.decided_at, &from, audit.pepper());
            audit.write(host, &[entry]);
        }
    }

    /// Names the cluster and lets the request go. If a header cannot be set it must not go, and
    /// then it provably did not.
    fn forward(&mut self, forward: &Forward) -> Option<ExchangeEvent<'static>> {
        if !forward.keep {
            self.held = Rc::default();
        }
        say_intent(forward.intent.as_ref());
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
        say_intent(call.intent.as_ref());
        self.calling = self.worker.host.call(call, &self.held).ok();
        self.calling.is_none().then_some(ExchangeEvent::Answered(Answer::never_left(true)))
    }
}

/// Envoy's log is told before a payment goes: whatever becomes of this process, it names the payment.
fn say_intent(intent: Option<&AuditEntry>) {
    if let Some(intent) = intent {
        log::warn!("audit intent {{{}}}", intent.as_str());
    }
}

impl Phase {
    pub(in crate::filter) const fn flow(self) -> Flow {
        match self {
            Self::Released => Flow::Continue,
            Self::Held | Self::Deciding | Self::Replied => Flow::Hold,
        }
    }
}
