//! The request on its way: which cluster it names, and what it carries beside the client's fields.

use std::collections::VecDeque;

use super::attempt::Attempt;
use super::request::ParsedRequest;
use super::stage::{Context, Next, Sent, Stage};
use crate::engine::audit::AuditEntry;
use crate::engine::event::{Decision, ExchangeEffect, Forward};
use crate::engine::gateway::Gateways;
use crate::engine::protocol::Class;
use crate::engine::time::Millis;

impl Context<'_> {
    /// The request goes to its gateway. For a payment that is enforced, its claim is written by then.
    pub(super) fn let_go(&mut self, parsed: Box<ParsedRequest>, attempt: Box<Attempt>) -> Next {
        let forward = self.headers(&parsed, &attempt);
        if let Some(first) = attempt.members.first() {
            self.counters.goes_out(*first, parsed.source);
        }
        let unwritten = VecDeque::new();
        let sent = Sent { parsed, attempt, at: self.now, called: false, unwritten };
        Next::to(Stage::Sent(Box::new(sent)), vec![ExchangeEffect::Forward(forward)])
    }

    fn headers(&self, parsed: &ParsedRequest, attempt: &Attempt) -> Forward {
        let mut headers = vec![(self.policy.config.route_header.clone(), attempt.cluster.clone())];
        let mut set = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
        // The route's one retry is enough for two gateways.
        match attempt.members.len() {
            0 | 1 => set("x-envoy-max-retries", "0"),
            2 => {}
            members => set("x-envoy-max-retries", &(members - 1).to_string()),
        }
        if !attempt.is_observed() {
            set("x-envoy-upstream-rq-timeout-ms", &self.timeout(parsed).get().to_string());
            headers.extend(own_headers(parsed));
        }
        let composite = attempt.members.len() > 1;
        let sole = attempt.candidates().single();
        let keep = attempt.lookup.left.iter().any(|(gateway, _)| Some(*gateway) != sole);
        let intent = self.intent(parsed, attempt.candidates());
        Forward { headers, composite, keep, intent }
    }

    /// What is said before a payment goes to one of these gateways.
    pub(super) fn intent(&self, parsed: &ParsedRequest, gateways: Gateways) -> Option<AuditEntry> {
        let audit = self.policy.config.audit.as_ref().filter(|audit| audit.intents)?;
        parsed.payment.as_ref()?;
        let names = self.policy.names(gateways);
        Some(Decision { gateways, names, ..self.note(parsed) }.intent(audit.pepper.as_ref()))
    }

    pub(super) fn timeout(&self, parsed: &ParsedRequest) -> Millis {
        let timeouts = self.policy.config.timeouts;
        match parsed.class() {
            Some(Class::Inquiry) => timeouts.inquiry,
            Some(Class::Charge | Class::FollowUp | Class::State) | None => timeouts.response,
        }
    }
}

/// What the gateway gets beside the client's own header fields.
pub(super) fn own_headers(parsed: &ParsedRequest) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    let mut set = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
    if parsed.accepts_encodings && parsed.operation.is_some() {
        set("accept-encoding", "identity");
    }
    if let Some(payment) = &parsed.payment {
        set("idempotency-key", &payment.idempotency_key);
    }
    if let Some(external_id) = &parsed.external_id {
        set("x-external-id", external_id);
    }
    headers
}
