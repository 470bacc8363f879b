//! The answer, or its absence: what it proves of payments and of gateways.

use std::collections::VecDeque;

use super::answered::{Answered, CallAnswer};
use super::attempt::Attempt;
use super::permit::Permit;
use super::request::{ParsedRequest, token_key};
use super::settling::{Settling, Update};
use super::stage::{Context, Next, Sent};
use crate::engine::event::{After, Answer, ExchangeEffect};
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::health::{Breach, Heard, Report, Signal};
use crate::engine::payment::{ClaimKey, Closed, Evidence, Outcome, PaymentStatus};
use crate::engine::protocol::{
    ANSWER_REFERENCE, Absence, Body, Compiled, Flags, LocalReply, Origin, Protocol,
    Response as Facts, Unknown, Verdict, is_failed_before, judge, text_of,
};
use crate::engine::store::KeptAnswer;
use crate::engine::time::Millis;

impl Context<'_> {
    /// The exchange with the gateway has ended, one way or another.
    pub(super) fn answered(self, sent: Sent, answer: &Answer<'_>) -> Next {
        if let Some(first) = sent.attempt.members.first() {
            self.counters.comes_back(*first, sent.parsed.source);
        }
        let barred = self.breaches(&sent.attempt, answer);
        if barred.is_empty() {
            return self.take_in(sent, answer, VecDeque::new());
        }
        let bars = barred.into_iter().map(|(gateway, breach)| Update::Bar { gateway, breach });
        // What came over such a connection is nobody's answer. Only where the filter observes is
        // it let through.
        let nothing = Origin::Envoy { flags: Flags::default(), attached: true };
        let evidence = Facts { origin: nothing, status: 0, body: Body::Unreadable };
        let answer =
            if sent.attempt.is_observed() { *answer } else { Answer { evidence, ..*answer } };
        self.take_in(sent, &answer, bars.collect())
    }

    /// The gateways whose answer this may be, if its connection is not what each of them demands.
    fn breaches(&self, attempt: &Attempt, answer: &Answer<'_>) -> Vec<(GatewayId, Breach)> {
        let (Origin::Upstream, Some(peer)) = (answer.evidence.origin, &answer.peer) else {
            return Vec::new();
        };
        let breach = |gateway| {
            let demand = self.policy.gateway(gateway)?.channel.as_ref()?;
            Some((gateway, demand.breach(peer)?))
        };
        let meant = self.spoken_of(attempt, answer);
        let breaches: Vec<(GatewayId, Breach)> = meant.iter().filter_map(breach).collect();
        if breaches.len() == meant.iter().count() { breaches } else { Vec::new() }
    }

    fn take_in(self, sent: Sent, answer: &Answer<'_>, mut updates: VecDeque<Update>) -> Next {
        let Sent { mut parsed, attempt, at, called, unwritten } = sent;
        let Some(operation) = parsed.operation.clone() else {
            return self.pass_back(&parsed, &attempt, updates);
        };
        let verdict = self.verdict(&operation, &parsed, &attempt, answer);
        let gateways = self.spoken_of(&attempt, answer);
        if let Some(later) = &parsed.named_later {
            let named = text_of(&operation, &answer.evidence, ANSWER_REFERENCE);
            parsed.concerns = named.map(|named| later.key(&parsed.subject.partner, &named));
        }
        let asked = gateways.single();
        let class = operation.operation.class;
        let onward = asked.and_then(|asked| attempt.lookup.next(class, &verdict, asked));
        let onward = onward.filter(|_| answer.client_waits);
        if let (Some(payment), Some(of)) = (&parsed.payment, attempt.id()) {
            let evidence = Evidence::Answer { of, outcome: verdict.outcome, gateways };
            let onward = onward.map(|(gateway, _)| gateway);
            // An answer ends its attempt when it comes, however late that can be written. "Not known" is
            // as old as the question.
            let at = if verdict.outcome == Outcome::NotKnown { at } else { self.now };
            updates.push_back(Update::Own { key: payment.key, evidence, onward, at });
        }
        if let Some(gateway) = asked {
            let tokens = tokens(&parsed, &attempt, &verdict, answer);
            updates.extend(tokens.map(|key| Update::Issued { key, gateway }));
        }
        let speaks_of_it = verdict.echoes || !parsed.named_twice;
        let told_of_it = verdict.payment_status.filter(|_| speaks_of_it);
        if let Some(key) = parsed.concerns {
            let told = told_of_it.zip(gateways.single());
            let evidence = told.map(|(status, gateway)| Evidence::Told { gateway, status });
            updates.push_back(Update::Concerned { key, evidence, asked_at: at });
        }
        if let (Some(key), Some(gateway), Some(PaymentStatus::Closed(Closed::Cancelled))) =
            (parsed.cancel, asked, told_of_it)
        {
            updates.push_back(Update::Cancel { key, gateway, asked_at: at });
        }
        let (signal, source) = (verdict.signal, parsed.source);
        let waited = self.now.since(at);
        let report = Report { signal, source, ..self.report_after(waited, answer) };
        let reports = reports(&attempt, gateways, &verdict, report);
        if answer.evidence.origin == Origin::NeverLeft {
            updates.extend(unmade_trial(&attempt));
        } else if !reports.is_empty() {
            updates.push_back(Update::Health(reports));
        }
        // The answer is kept before the claim says that there is one: whoever finds the claim
        // settled finds the answer too.
        if let Some(keep) = self.keep(&parsed, &attempt, &verdict, answer) {
            updates.push_front(keep);
        }
        let answered = Answered {
            from_upstream: answer.evidence.origin == Origin::Upstream,
            status: answer.evidence.status,
            client_waits: answer.client_waits,
            took: answer.evidence.origin.took(waited).filter(|_| !has_moved_on(&attempt, gateways)),
            onward,
            asked_all: asked.is_some_and(|asked| attempt.lookup.ends_with(asked)),
            called: called.then(|| CallAnswer::new(answer)),
            parsed,
            attempt,
            verdict,
            gateways,
            own: After::default(),
            concerned: After::default(),
        };
        self.next_update(Box::new(Settling::answering(updates, unwritten, answered)))
    }

    /// What an answer proves.
    fn verdict(
        &self,
        operation: &Compiled,
        parsed: &ParsedRequest,
        attempt: &Attempt,
        answer: &Answer<'_>,
    ) -> Verdict {
        let reference = parsed.subject.reference.as_deref();
        let protocol = self.policy.config.protocol;
        let mut verdict = judge(protocol, operation, reference, &answer.evidence);
        if is_failed_before(operation, verdict.code) {
            verdict.outcome = Outcome::FailedBefore;
        }
        if attempt.astray && verdict.outcome == Outcome::No && verdict.not_found {
            verdict.outcome = Outcome::NotKnown;
        }
        verdict
    }

    /// What an answer says of a gateway by itself, and by the time that it took.
    fn report_after(&self, waited: Millis, answer: &Answer<'_>) -> Report {
        let heard = answer.evidence.origin.heard(waited);
        let slow = waited >= self.policy.health.breaker.slow;
        Report { slow, heard, retry_after: answer.retry_after, ..Report::default() }
    }

    /// What was passed on without promises comes back the same way, unless it came from nobody
    /// knows where.
    fn pass_back(
        self,
        parsed: &ParsedRequest,
        attempt: &Attempt,
        mut updates: VecDeque<Update>,
    ) -> Next {
        let gateway = attempt.members.first().copied();
        let effects = if updates.is_empty() || attempt.is_observed() {
            let name = gateway.map(|gateway| self.policy.names(Gateways::only(gateway)));
            vec![ExchangeEffect::Relay { gateway: name.filter(|_| !attempt.is_observed()) }]
        } else {
            let retry_after = self.policy.claims.repeat_after;
            let unknown = LocalReply::Unknown { what: Unknown::Sent, retry_after };
            self.say(parsed, &unknown, attempt.candidates())
        };
        updates.extend(unmade_trial(attempt));
        self.next_update(Box::new(Settling::ending(updates, effects)))
    }

    /// Whom an answer can speak of: the gateway that the endpoint's metadata names, if it is one
    /// that was meant; otherwise everyone who was.
    fn spoken_of(&self, attempt: &Attempt, answer: &Answer<'_>) -> Gateways {
        let candidates = attempt.candidates();
        let named = answer.endpoint.and_then(|name| self.policy.named(name)).map(|g| g.id);
        match named.filter(|gateway| candidates.contains(*gateway)) {
            Some(gateway) => Gateways::only(gateway),
            None => candidates,
        }
    }

    /// Keeps the answer to an executed payment for its replays.
    fn keep(
        &self,
        parsed: &ParsedRequest,
        attempt: &Attempt,
        verdict: &Verdict,
        answer: &Answer<'_>,
    ) -> Option<Update> {
        let store = &self.policy.config.store;
        let Body::Complete(body) = answer.evidence.body else {
            return None;
        };
        if verdict.outcome != Outcome::Executed || body.len() > store.body_bytes_max {
            return None;
        }
        // Where the body was read as JSON it is plain, and replayed without its label. Elsewhere
        // nobody has read it, and without the label nobody could.
        let labelled =
            answer.content_encoding.is_some_and(|label| !label.eq_ignore_ascii_case("identity"));
        if labelled && self.policy.config.protocol == Protocol::Http {
            return None;
        }
        let (payment, of) = (parsed.payment.as_ref()?, attempt.id()?);
        let kept = KeptAnswer {
            status: answer.evidence.status,
            content_type: answer.content_type.map(str::to_owned),
            body: body.to_vec(),
        };
        Some(Update::Keep { key: payment.key, of: of.incarnation, kept })
    }
}

/// Whether Envoy has waited for another gateway first: what the request took says nothing of the one that
/// answered.
fn has_moved_on(attempt: &Attempt, answered: Gateways) -> bool {
    answered.single().is_some_and(|by| attempt.members.first() != Some(&by))
}

/// The permit of a trial that proves nothing because it was not made.
fn unmade_trial(attempt: &Attempt) -> Option<Update> {
    let gateway = attempt.members.first().copied().filter(|_| attempt.trial)?;
    let generation = attempt.generations.first().copied()?;
    Some(Update::ReturnPermit(Permit { gateway, generation }))
}

/// The customers' tokens that lead to whoever gave this answer: one that it issues, and one that was
/// used there and would be forgotten.
fn tokens(
    parsed: &ParsedRequest,
    attempt: &Attempt,
    verdict: &Verdict,
    answer: &Answer<'_>,
) -> impl Iterator<Item = ClaimKey> {
    let issued = parsed.operation.as_ref().and_then(|operation| {
        let token = text_of(operation, &answer.evidence, operation.token?)?;
        Some(token_key(&parsed.subject.partner, &token))
    });
    let is_used = attempt.renews_token && verdict.outcome == Outcome::Executed;
    issued.into_iter().chain(parsed.token.filter(|_| is_used))
}

/// What an answer says of each gateway that Envoy tried; `answering` is what it says of the one that
/// it speaks of.
fn reports(
    attempt: &Attempt,
    spoken_of: Gateways,
    verdict: &Verdict,
    answering: Report,
) -> Vec<(GatewayId, Report)> {
    let position = spoken_of.single();
    let position = attempt.members.iter().position(|member| Some(*member) == position);
    // The first one was tried in any case.
    let waits = verdict.absence == Absence::StillConnecting;
    let position = if waits { position.or(Some(0)) } else { position };
    let all =
        verdict.outcome == Outcome::NeverSent && answering.signal == Signal::Failure && !waits;
    let unconnected =
        Report { signal: Signal::Failure, slow: false, heard: Heard::Unsent, ..answering };
    let mut reports = Vec::new();
    for (at, (gateway, generation)) in attempt.members.iter().zip(&attempt.generations).enumerate()
    {
        let report = match position {
            // Envoy moves on from a gateway only when it could not be connected to.
            _ if all => unconnected,
            Some(position) if at < position => unconnected,
            Some(position) if at == position => answering,
            Some(_) | None => Report { signal: Signal::Neutral, heard: Heard::Unsent, ..answering },
        };
        let trial = attempt.trial && at == 0;
        let slow = report.slow && report.signal == Signal::Success;
        if trial || report.signal != Signal::Neutral {
            reports.push((*gateway, Report { slow, generation: *generation, trial, ..report }));
        }
    }
    reports
}
