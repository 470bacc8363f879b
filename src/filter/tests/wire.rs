//! Bytes and callbacks in the order in which Envoy brings them.

use serde_json::Value;

use super::envoy::{Leaves, Saw, Shape, Way, Wish};
use super::fake::FakeHost;
use crate::engine::limits;
use crate::filter::stream::{Flow, Stream};
use crate::filter::with_etcd::WithEtcd;

const ORDER: &str = r#"{"merchantId":"m-1","partnerReferenceNo":"r-1","amount":{"value":"10000.00","currency":"IDR"}}"#;
const OF_ORDER: &str = r#"{"merchantId":"m-1","originalPartnerReferenceNo":"r-1"}"#;
const CODE_DETAILS: &str = "response.code_details";
const GATEWAY: &str = "xds.upstream_host_metadata.filter_metadata.dana.failover.gateway";
const LOCAL_ADDRESS: &str = "upstream.local_address";

fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

impl FakeHost {
    /// A request begins: nothing of the one before is left.
    pub(super) fn prepare(&self, wish: Wish) {
        let create = "/payment-gateway/v1.0/debit/payment-host-to-host.htm";
        let (path, body) = match wish {
            Wish::Pay => (create, ORDER),
            Wish::Nothing => (create, ""),
            Wish::Ask => ("/payment-gateway/v1.0/debit/status.htm", OF_ORDER),
            Wish::Cancel => ("/payment-gateway/v1.0/debit/cancel.htm", OF_ORDER),
        };
        let mut inside = self.0.borrow_mut();
        inside.request = fields(&[
            (":method", "POST"),
            (":path", path),
            ("x-partner-id", "partner-1"),
            ("x-request-id", "id-1"),
        ]);
        inside.request_body = body.as_bytes().to_vec();
        inside.response.clear();
        inside.response_body.clear();
        inside.properties.clear();
        inside.calling = None;
        inside.flow = None;
        inside.replies.clear();
        inside.replies_lost = 0;
    }

    pub(super) fn field(&self, wanted: &str) -> Option<String> {
        let inside = self.0.borrow();
        inside.request.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
    }

    /// Brings the request, as long as the filter holds it and does not answer it itself.
    pub(super) fn bring_request(&self, stream: &mut Stream<Self, WithEtcd>, way: Way) -> Flow {
        let body = self.0.borrow().request_body.clone();
        let whole = way.shape == Shape::Whole;
        let mut flow = stream.request_headers(body.is_empty() && whole);
        if body.is_empty() && whole {
            return flow;
        }
        assert_eq!(flow, Flow::Hold, "nothing is let go before it is whole");
        if way.leaves == Leaves::BeforeItsEnd {
            return flow;
        }
        // What is held grows: each callback tells the whole size so far.
        let cuts: &[usize] = if whole { &[body.len()] } else { &[7, 7, body.len()] };
        for (at, size) in cuts.iter().enumerate() {
            let ends = at + 1 == cuts.len() && way.shape != Shape::Trailers;
            self.0.borrow_mut().request_body = body[..*size].to_vec();
            flow = stream.request_body(*size, ends);
            if flow == Flow::Continue || self.is_answered() {
                return flow;
            }
        }
        if way.shape == Shape::Trailers { stream.request_trailers() } else { flow }
    }

    fn is_answered(&self) -> bool {
        let inside = self.0.borrow();
        !inside.replies.is_empty() || inside.replies_lost > 0
    }

    /// The request is with this gateway.
    pub(super) fn reach(&self, name: &str) {
        let mut inside = self.0.borrow_mut();
        inside.properties.insert(GATEWAY.to_owned(), name.as_bytes().to_vec());
        inside.properties.insert(LOCAL_ADDRESS.to_owned(), b"10.0.0.1:4000".to_vec());
        drop(inside);
        self.set_flags(0);
    }

    pub(super) fn set_flags(&self, flags: u64) {
        let path = "response.flags".to_owned();
        self.0.borrow_mut().properties.insert(path, flags.to_le_bytes().to_vec());
    }

    /// Envoy answers in the gateway's place.
    pub(super) fn bring_absence(
        &self,
        stream: &mut Stream<Self, WithEtcd>,
        flags: u64,
        attached: bool,
    ) {
        self.set_flags(flags);
        let mut inside = self.0.borrow_mut();
        if !attached {
            inside.properties.remove(LOCAL_ADDRESS);
        }
        let status = if flags == 0x4 { "504" } else { "503" };
        // What says that it took so long may be added by anybody.
        let service_time = ("x-envoy-upstream-service-time", "3");
        inside.response =
            fields(&[(":status", status), ("content-type", "text/plain"), service_time]);
        let details = b"upstream_reset_before_response_started{connection_failure}".to_vec();
        inside.properties.insert(CODE_DETAILS.to_owned(), details);
        inside.response_body = b"no upstream".to_vec();
        drop(inside);
        self.bring(stream, Shape::Whole, Leaves::Never);
    }

    /// The gateway's answer.
    pub(super) fn bring_answer(
        &self,
        stream: &mut Stream<Self, WithEtcd>,
        status: u16,
        body: &str,
        shape: Shape,
        leaves: Leaves,
    ) {
        let mut inside = self.0.borrow_mut();
        inside.response =
            fields(&[(":status", &status.to_string()), ("content-type", "application/json")]);
        inside.response_body = body.as_bytes().to_vec();
        inside.properties.insert(CODE_DETAILS.to_owned(), b"via_upstream".to_vec());
        drop(inside);
        self.bring(stream, shape, leaves);
    }

    /// An answer that is longer than what is read, in pieces: what Envoy is told of each.
    pub(super) fn bring_long_answer(&self, stream: &mut Stream<Self, WithEtcd>) -> Vec<Flow> {
        let piece = limits::EVIDENCE_BYTES_MAX / 2;
        let mut inside = self.0.borrow_mut();
        inside.response = fields(&[(":status", "404"), ("content-type", "application/json")]);
        inside.response_body = vec![b' '; 4 * piece];
        inside.properties.insert(CODE_DETAILS.to_owned(), b"via_upstream".to_vec());
        drop(inside);
        let mut flows = vec![stream.response_headers(false)];
        flows.extend((1..=4).map(|pieces| stream.response_body(pieces * piece, pieces == 4)));
        flows
    }

    /// What a gateway says to a call of ours, or Envoy in its place.
    pub(super) fn answer_call(&self, answer: Option<(u16, String)>) {
        let mut inside = self.0.borrow_mut();
        let (status, body) = answer.clone().unwrap_or_else(|| (504, "timeout".to_owned()));
        inside.called = fields(&[(":status", &status.to_string())]);
        if answer.is_some() {
            let more =
                [("content-type", "application/json"), ("x-envoy-upstream-service-time", "3")];
            inside.called.extend(fields(&more));
        }
        inside.called_body = body.into_bytes();
    }

    fn bring(&self, stream: &mut Stream<Self, WithEtcd>, shape: Shape, leaves: Leaves) {
        let body = self.0.borrow().response_body.clone();
        let ends = body.is_empty();
        let mut flow = stream.response_headers(ends);
        if leaves != Leaves::AmidTheAnswer && !ends && flow == Flow::Hold && !self.is_answered() {
            let cuts: &[usize] =
                if shape == Shape::Whole { &[body.len()] } else { &[5, 5, body.len()] };
            for (at, size) in cuts.iter().enumerate() {
                let ends = at + 1 == cuts.len() && shape != Shape::Trailers;
                self.0.borrow_mut().response_body = body[..*size].to_vec();
                flow = stream.response_body(*size, ends);
                if self.is_answered() {
                    break;
                }
            }
            if shape == Shape::Trailers && !self.is_answered() {
                flow = stream.response_trailers();
            }
        }
        self.0.borrow_mut().flow = Some(flow);
    }

    /// What the client sees, once nothing more is called.
    pub(super) fn seen(&self, stream: &mut Stream<Self, WithEtcd>, leaves: Leaves) -> Saw {
        if leaves == Leaves::AmidTheAnswer {
            return Saw::Left;
        }
        if self.is_answered() {
            return self.replied(stream);
        }
        let inside = self.0.borrow();
        assert_eq!(inside.flow, Some(Flow::Continue), "an answer that is held for ever");
        let status = inside.response.iter().find(|(name, _)| name == ":status").unwrap();
        let body = serde_json::from_slice(&inside.response_body).unwrap_or_default();
        Saw::Relay(status.1.parse().unwrap(), body)
    }

    /// An answer of ours runs through the filter like any other, and must get past it.
    pub(super) fn replied(&self, stream: &mut Stream<Self, WithEtcd>) -> Saw {
        let inside = self.0.borrow();
        let Some(reply) = inside.replies.first().cloned() else {
            assert!(inside.replies_lost > 0, "held for ever, and nobody was told");
            return Saw::ReplyLost;
        };
        assert_eq!(inside.replies.len(), 1, "one answer");
        drop(inside);
        if stream.response_headers(false) == Flow::Continue {
            assert_eq!(stream.response_body(reply.body.len(), true), Flow::Continue);
        }
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        Saw::Reply(reply.status, body)
    }
}
