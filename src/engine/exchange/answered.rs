//! What is known when a request's exchange with the gateway has ended. It is filled in `judge.rs`, and read
//! in `settle.rs` and `respond.rs`.

use super::attempt::Attempt;
use super::request::ParsedRequest;
use crate::engine::config::{GATEWAY_HEADER, Policy, RouteTarget};
use crate::engine::event::{After, Answer};
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::payment::{Anomaly, ClaimState, DoubtEvents};
use crate::engine::protocol::{Body, Reply, Verdict};
use crate::engine::store::Entry;
use crate::engine::time::Millis;

/// What is known when a request's exchange with the gateway has ended.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) parsed: Box<ParsedRequest>,
    pub(super) attempt: Box<Attempt>,
    pub(super) verdict: Verdict,
    /// The gateways that the answer can speak of.
    pub(super) gateways: Gateways,
    pub(super) from_upstream: bool,
    /// The answer's status; 0 where there is none.
    pub(super) status: u16,
    pub(super) client_waits: bool,
    /// How long it took until the answer came, or Envoy gave up; none where nothing was sent.
    pub(super) took: Option<Millis>,
    /// The gateway that is asked next, with its breaker's generation.
    pub(super) onward: Option<(GatewayId, u32)>,
    /// Nobody is left to be asked.
    pub(super) asked_all: bool,
    /// The answer, where Envoy does not hold it because the filter has called the gateway itself.
    pub(super) called: Option<CallAnswer>,
    /// Where the payment's own claim stands afterwards.
    pub(super) own: After,
    /// Where the claim of the payment concerned stands afterwards.
    pub(super) concerned: After,
}

impl Answered {
    /// Whom to ask next, and its cluster.
    pub(super) fn next<'p>(
        &self,
        policy: &'p Policy,
    ) -> Option<(RouteTarget<'p>, (GatewayId, u32))> {
        let next = self.onward?;
        Some((policy.plain(next.0)?, next))
    }
}

/// What evidence made of a claim.
#[derive(Default)]
pub(super) struct Worked {
    /// Where it stands afterwards.
    pub(super) after: After,
    /// What is to stand there, if that changed.
    pub(super) put: Option<Entry>,
    /// What operators are told of it.
    pub(super) anomaly: Option<Anomaly>,
    /// Whether it came into doubt by that, or out of it.
    pub(super) doubts: DoubtEvents,
}

impl Worked {
    /// It cannot be read.
    pub(super) const LOST: Self = Self {
        after: After { state: None, lost: true },
        put: None,
        anomaly: None,
        doubts: [None; 2],
    };

    pub(super) fn at(state: ClaimState) -> Self {
        Self { after: After::at(state), ..Self::default() }
    }
}

/// A gateway's answer to a call of the filter's own.
#[derive(Debug)]
pub(super) struct CallAnswer {
    status: u16,
    content_type: Option<String>,
    content_encoding: Option<String>,
    body: Vec<u8>,
}

impl CallAnswer {
    pub(super) fn new(answer: &Answer<'_>) -> Self {
        let body = match answer.evidence.body {
            Body::Complete(body) => body.to_vec(),
            Body::Unreadable => Vec::new(),
        };
        let content_type = answer.content_type.map(str::to_owned);
        let content_encoding = answer.content_encoding.map(str::to_owned);
        Self { status: answer.evidence.status, content_type, content_encoding, body }
    }

    pub(super) fn reply(self, gateway: String) -> Reply {
        let mut headers = vec![(GATEWAY_HEADER, gateway)];
        headers.extend(self.content_type.map(|value| ("content-type", value)));
        headers.extend(self.content_encoding.map(|value| ("content-encoding", value)));
        Reply { status: self.status, headers, body: self.body, reason: "relayed" }
    }
}
