//! The last word: what the client gets, once everything is written down.

use std::collections::VecDeque;

use super::answered::Answered;
use super::forward::own_headers;
use super::settling::Update;
use super::stage::{Context, Next, Sent, Stage};
use crate::engine::config::RouteTarget;
use crate::engine::event::{Call, Decision, ExchangeEffect};
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::payment::{ClaimState, Outcome, PaymentStatus};
use crate::engine::protocol::{
    Absence, Class, LocalReply, NotExecuted, Protocol, ReplyContext, SnapCode, Unknown,
};
use crate::engine::time::Millis;

impl Context<'_> {
    /// The next gateway is asked. What the store has not confirmed yet is written at the end of the way.
    pub(super) fn go_on_asking(
        self,
        answered: Answered,
        unwritten: VecDeque<Update>,
        target: RouteTarget<'_>,
        (gateway, generation): (GatewayId, u32),
    ) -> Next {
        let Answered { parsed, mut attempt, gateways: asked, verdict, .. } = answered;
        let mut headers = own_headers(&parsed);
        let host = self.policy.gateway(gateway).and_then(|gateway| gateway.host.clone());
        headers.extend(host.map(|host| (":authority".to_owned(), host)));
        let cluster = target.cluster.to_owned();
        let intent = self.intent(&parsed, Gateways::only(gateway));
        let call = Call { cluster, timeout: self.timeout(&parsed), headers, intent };
        attempt.lookup.said_closed &=
            matches!(verdict.payment_status, Some(PaymentStatus::Closed(_)));
        attempt.lookup.left.retain(|(other, _)| *other != gateway && !asked.contains(*other));
        attempt.cluster.clone_from(&call.cluster);
        attempt.members = target.members;
        attempt.generations = vec![generation];
        attempt.trial = false;
        self.counters.goes_out(gateway, parsed.source);
        let sent = Sent { parsed, attempt, at: self.now, called: true, unwritten };
        Next::to(Stage::Sent(Box::new(sent)), vec![ExchangeEffect::Call(call)])
    }

    pub(super) fn end(&self, answered: Answered) -> Vec<ExchangeEffect> {
        let mut effects = Vec::new();
        let gateway = self.policy.names(answered.gateways);
        let local_reply = self.local_reply(&answered);
        let claim =
            if answered.parsed.payment.is_some() { answered.own } else { answered.concerned };
        let (decision, would) = (answered.attempt.decision, answered.attempt.would);
        let observed = answered.attempt.is_observed();
        let line = Decision {
            claim,
            gateways: answered.gateways,
            names: gateway.clone(),
            code: answered.verdict.code,
            evidence: answered.proven(),
            status: if answered.client_waits { answered.status } else { 0 },
            took: answered.took,
            ..self.note(&answered.parsed)
        };
        match local_reply {
            None => {
                effects.push(ExchangeEffect::Decided(Box::new(Decision {
                    decision,
                    would,
                    ..line
                })));
                effects.push(match answered.called {
                    Some(answer) => ExchangeEffect::Reply(answer.reply(gateway)),
                    None => ExchangeEffect::Relay { gateway: Some(gateway).filter(|_| !observed) },
                });
            }
            Some(local_reply) => {
                let code = answered.verdict.code.map(SnapCode::digits).unwrap_or_default();
                let (about, protocol) = self.about(&answered, &gateway, &code);
                let reply = local_reply.reply(protocol, &about);
                let (decision, status) = if answered.client_waits {
                    (reply.reason, reply.status)
                } else {
                    ("unanswered", 0)
                };
                effects.push(ExchangeEffect::Decided(Box::new(Decision {
                    decision,
                    status,
                    ..line
                })));
                effects.push(ExchangeEffect::Reply(reply));
            }
        }
        if !answered.client_waits {
            effects.retain(|effect| {
                !matches!(effect, ExchangeEffect::Reply(_) | ExchangeEffect::Relay { .. })
            });
        }
        effects
    }

    fn about<'a>(
        &self,
        answered: &'a Answered,
        gateway: &'a str,
        code: &'a str,
    ) -> (ReplyContext<'a>, Protocol) {
        let line = answered.parsed.operation.as_ref().map(|compiled| &compiled.operation);
        let about = ReplyContext {
            service_code: line.and_then(|line| line.service_codes.first()).map(AsRef::as_ref),
            inquiry_path: line.and_then(|line| line.inquiry_path.as_deref()),
            gateway: Some(gateway).filter(|name| !name.is_empty()),
            gateway_code: Some(code).filter(|code| !code.is_empty()),
            follows_up: line.is_some_and(|line| line.class == Class::FollowUp),
            memory: self.memory_of(line.map(|line| line.class)),
            request_id: &answered.parsed.subject.request_id,
        };
        (about, self.policy.config.protocol)
    }

    /// What to say in the place of the gateway's answer; `None` to let that through.
    fn local_reply(&self, answered: &Answered) -> Option<LocalReply> {
        let left = answered.verdict.outcome != Outcome::NeverSent;
        let unknown = LocalReply::Unknown {
            what: match answered.parsed.class() {
                Some(Class::Inquiry) => Unknown::Asked,
                Some(Class::Charge | Class::FollowUp | Class::State) | None if left => {
                    Unknown::Sent
                }
                Some(Class::Charge | Class::FollowUp | Class::State) | None => Unknown::Earlier,
            },
            retry_after: self.policy.claims.repeat_after,
        };
        if answered.attempt.is_observed() {
            return None;
        }
        match answered.parsed.class() {
            Some(Class::Charge | Class::FollowUp) => answered.saying_of_payment(unknown),
            Some(Class::Inquiry) => answered.saying_of_inquiry(unknown),
            Some(Class::State) if answered.from_upstream => None,
            Some(Class::State) => match answered.verdict.outcome {
                Outcome::NeverSent => Some(answered.never_sent()),
                Outcome::Executed
                | Outcome::No
                | Outcome::NotKnown
                | Outcome::FailedBefore
                | Outcome::Doubtful => Some(unknown),
            },
            None => None,
        }
    }
}

impl Answered {
    fn saying_of_payment(&self, unknown: LocalReply) -> Option<LocalReply> {
        let outcome = self.verdict.outcome;
        if self.own.lost {
            // What could not be written is still true of this answer, but of a repeat's only its
            // success says anything about the payment.
            let is_first = self.is_first();
            let was_executed = self
                .attempt
                .claim
                .is_some_and(|claim| matches!(claim.state, ClaimState::Settled { .. }));
            return match outcome {
                Outcome::Executed => None,
                _ if was_executed => Some(LocalReply::AlreadyExecuted { retry_after: None }),
                _ if self.speaks_of_unknown_payment() => Some(unknown),
                Outcome::No | Outcome::FailedBefore if is_first => None,
                Outcome::NeverSent if is_first => Some(self.never_sent()),
                Outcome::No | Outcome::NotKnown | Outcome::FailedBefore | Outcome::NeverSent => {
                    Some(unknown)
                }
                Outcome::Doubtful if self.verdict.reads_as_pending => None,
                Outcome::Doubtful => Some(unknown),
            };
        }
        match (self.own.state, outcome) {
            (_, Outcome::Executed) => None,
            (Some(ClaimState::Rejected { .. }), Outcome::NeverSent) => Some(self.never_sent()),
            // Gone with the record is what became of the attempts before this one.
            (None, Outcome::NeverSent) if self.is_first() => Some(self.never_sent()),
            (Some(ClaimState::Rejected { .. }), Outcome::No | Outcome::FailedBefore) => {
                self.speaks_of_unknown_payment().then_some(unknown)
            }
            // Its payment is elsewhere, and there it begins anew when it comes again.
            (Some(ClaimState::Rejected { .. }), Outcome::NotKnown | Outcome::Doubtful) => {
                Some(unknown)
            }
            (Some(ClaimState::Closed { .. }), Outcome::FailedBefore) => None,
            // Another attempt or a status has proven success meanwhile.
            (Some(ClaimState::Settled { .. }), _) => {
                Some(LocalReply::AlreadyExecuted { retry_after: None })
            }
            (Some(ClaimState::Closed { how, .. }), _) => Some(LocalReply::Closed(how)),
            (Some(ClaimState::InDoubt { .. } | ClaimState::InFlight { .. }) | None, _) => {
                if self.from_upstream && self.verdict.reads_as_pending {
                    None
                } else {
                    Some(unknown)
                }
            }
        }
    }

    /// What the answer proves of the payment that it makes, or says of the one that it is about.
    fn proven(&self) -> &'static str {
        match self.parsed.class() {
            Some(Class::Charge | Class::FollowUp) => self.verdict.outcome.name(),
            Some(Class::Inquiry) => self.verdict.payment_status.map_or("", PaymentStatus::name),
            Some(Class::State) | None => "",
        }
    }

    const fn never_sent(&self) -> LocalReply {
        let why = match self.verdict.absence {
            Absence::RateLimited => NotExecuted::RateLimited,
            Absence::StillConnecting | Absence::Other => NotExecuted::NeverSent,
        };
        LocalReply::NotExecuted { why, retry_after: Millis::new(1000) }
    }

    fn is_first(&self) -> bool {
        self.attempt.id().is_some_and(|of| of.attempt == 1)
    }

    /// A cancel or refund that the gateway calls "not found", of a payment that may still reach
    /// it: relayed, it would read as "there is no such payment".
    fn speaks_of_unknown_payment(&self) -> bool {
        let ended = match self.concerned.state {
            Some(ClaimState::Rejected { .. } | ClaimState::Closed { .. }) => true,
            // Nothing is known of it here, and nobody else knows it.
            None => self.asked_all && !self.concerned.lost,
            Some(
                ClaimState::Settled { .. }
                | ClaimState::InDoubt { .. }
                | ClaimState::InFlight { .. },
            ) => false,
        };
        self.parsed.class() == Some(Class::FollowUp) && self.verdict.not_found && !ended
    }

    /// "Not found" and "failed" are told only when no charge can exist.
    fn saying_of_inquiry(&self, unknown: LocalReply) -> Option<LocalReply> {
        if !self.from_upstream {
            // Of several that were asked, the last one said nothing.
            let several = self.called.is_some();
            let no_answer = LocalReply::NoAnswer { retry_after: Millis::new(1000) };
            return Some(if several { unknown } else { no_answer });
        }
        let reads_as_failed = match self.verdict.payment_status {
            _ if !self.asks_for_payment() => false,
            Some(PaymentStatus::Executed | PaymentStatus::Pending) => false,
            Some(PaymentStatus::Closed(_) | PaymentStatus::NotFound) => true,
            // Whoever reads "404", or a status that we cannot, may take it for a failure.
            None => self.verdict.code.is_none_or(|code| matches!(code.http, 200 | 404)),
        };
        if !reads_as_failed {
            return None;
        }
        match (self.concerned.state, self.verdict.payment_status) {
            _ if self.concerned.lost => Some(unknown),
            (Some(ClaimState::Rejected { .. } | ClaimState::Closed { .. }), _) => None,
            (Some(ClaimState::Settled { .. }), _) => Some(LocalReply::Contradicted),
            (Some(ClaimState::InDoubt { .. } | ClaimState::InFlight { .. }), _) => Some(unknown),
            // Nothing is known of it here: a gateway that says how it ended has it.
            (None, Some(PaymentStatus::Closed(_))) if self.parsed.concerns.is_some() => None,
            // What cannot be looked up may be known here all the same, and be somebody else's.
            (None, Some(PaymentStatus::Closed(_)))
                if self.asked_all && self.attempt.lookup.said_closed =>
            {
                None
            }
            (None, Some(PaymentStatus::NotFound)) if self.asked_all && self.parsed.is_named() => {
                None
            }
            // Other gateways were not asked.
            (None, Some(_) | None) => Some(unknown),
        }
    }

    fn asks_for_payment(&self) -> bool {
        let operation = self.parsed.operation.as_ref();
        operation.is_some_and(|compiled| compiled.operation.status.is_some())
    }
}
