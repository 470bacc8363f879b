//! What happens on the wires: requests reach gateways, answers come back or are lost, copies travel.

use super::super::ledger::{Deed, Wire};
use super::super::proof::evidence;
use super::super::setup::Milestone;
use super::super::steps::{Answer, Fate};
use super::super::wishes::What;
use super::{Copy, NAMES, ON_THE_WIRE_MS, Past, Run, World};
use dana_failover::engine::GatewayId;
use dana_failover::engine::Input;
use dana_failover::engine::{Answer as EndOfExchange, ExchangeEvent};
use dana_failover::engine::{Body, Flags, Origin, Response};

impl World<'_> {
    /// Envoy tries one gateway after the other until one can be connected to.
    pub(super) fn deliver(&mut self, at: usize, fate: Fate) {
        self.finish_now(at);
        let Some((members, since)) = self.runs[at].sent.take() else {
            return;
        };
        let Some(gateway) = members.get(fate.refuse).copied() else {
            let called = self.runs[at].called;
            self.runs[at].members = members;
            let absence = if called { absent(0, true) } else { absent(0x20, false) };
            return self.end(at, absence, None);
        };
        self.reached.note(Milestone::MovedOn, fate.refuse > 0);
        let wire = self.reach(at, gateway, since, fate.deed);
        let named = (fate.named || members.len() == 1).then_some(NAMES[gateway]);
        self.runs[at].members = members;
        self.answer(at, wire, named, fate.answer);
    }

    /// The request is at the gateway, or on its way to it.
    fn reach(&mut self, at: usize, gateway: usize, since: u64, deed: Deed) -> Wire {
        match self.runs[at].what {
            What::Pay { payment, other_amount } => {
                if deed == Deed::Later && self.ledger.would_execute(gateway, payment) {
                    let (key, until) = (self.runs[at].key, since + self.setup.travels());
                    self.copies.push(Copy { payment, other_amount, key, gateway, until });
                }
                self.past.push(Past { payment, gateway, ended: self.ended(since) });
                let before = self.ledger.is_charged(payment);
                let wire = self.pay(gateway, payment, other_amount, self.runs[at].key, deed);
                self.reached.note(Milestone::Executed, !before && self.ledger.is_charged(payment));
                wire
            }
            What::Ask { payment } => self.ledger.ask(gateway, payment),
            What::Cancel { payment } => self.ledger.cancel(gateway, payment),
        }
    }

    /// When an attempt ended that began then, as far as anybody can know: with its lease, though
    /// here a request may stay on the wire for longer.
    fn ended(&self, since: u64) -> u64 {
        self.now.min(since + self.setup.policy.claims.lease.get())
    }

    /// A payment is at a gateway; under which header key it is executed is remembered.
    fn pay(&mut self, at: usize, payment: usize, other: bool, key: usize, deed: Deed) -> Wire {
        let before = self.ledger.executions(payment);
        let wire = self.ledger.pay(at, payment, other, deed);
        if self.ledger.executions(payment) > before {
            self.used.executed.insert((key, payment));
        }
        wire
    }

    fn answer(&mut self, at: usize, honest: Wire, named: Option<&str>, answer: Answer) {
        let service = self.runs[at].what.service();
        let code = |http: u16, case: u8| Wire {
            status: http,
            body: format!(r#"{{"responseCode":"{http}{service}{case:02}"}}"#),
        };
        let wire = match answer {
            Answer::Timeout => return self.end(at, absent(0x4, true), named),
            Answer::Reset => return self.end(at, absent(0x40, true), named),
            Answer::ClientGone => {
                let gone = End { client_waits: false, ..absent(0x4000, true) };
                return self.end(at, gone, named);
            }
            Answer::Honest | Answer::Truncated => honest,
            Answer::Internal => code(500, 1),
            Answer::Pending => code(202, 0),
            Answer::Page(status) => Wire { status, body: "<html>".to_owned() },
            Answer::OtherReference => {
                Wire { body: honest.body.replace("\"r-", "\"other-"), ..honest }
            }
        };
        let readable = answer != Answer::Truncated;
        let (origin, wire) = (Origin::Upstream, Some(wire));
        self.end(at, End { origin, wire, readable, client_waits: true }, named);
    }

    fn end(&mut self, at: usize, end: End, endpoint: Option<&str>) {
        let status = end.wire.as_ref().map_or(503, |wire| wire.status);
        let text = end.wire.as_ref().map(|wire| wire.body.clone()).unwrap_or_default();
        let body = if end.readable { Body::Complete(text.as_bytes()) } else { Body::Unreadable };
        self.note_evidence(at, &end, endpoint);
        self.runs[at].answer = end.wire;
        let evidence = Response { origin: end.origin, status, body };
        let unknown = EndOfExchange::never_left(end.client_waits);
        let answer = EndOfExchange { evidence, endpoint, ..unknown };
        self.feed(at, Input::Event(ExchangeEvent::Answered(answer)));
    }

    pub(super) fn arrive(&mut self, number: usize, executes: bool) {
        if self.copies.is_empty() {
            return;
        }
        let copy = self.copies.remove(number % self.copies.len());
        let deed = if executes { Deed::Execute } else { Deed::Refuse };
        self.pay(copy.gateway, copy.payment, copy.other_amount, copy.key, deed);
    }

    /// Callbacks take no time: effects are carried out before the clock moves, and nothing stays
    /// on the wire for ever.
    pub(crate) fn pass(&mut self, millis: u64) {
        let target = self.now + millis;
        for at in 0..self.runs.len() {
            self.finish_now(at);
        }
        let overdue = |run: &Run| run.sent.as_ref().map(|(_, since)| since + ON_THE_WIRE_MS);
        let due = |run: &Run| {
            let awaited = run.awaited.as_ref().map(|(due, ..)| *due);
            overdue(run).into_iter().chain(awaited).min()
        };
        while let Some((at, time)) = self.first_due(&due).filter(|(_, time)| *time <= target) {
            self.now = self.now.max(time);
            self.ledger.pass(self.now);
            if self.runs[at].awaited.is_some() {
                self.arrives(at);
            } else {
                let named = !millis.is_multiple_of(2);
                let fate = Fate { refuse: 0, deed: Deed::Later, answer: Answer::Timeout, named };
                self.deliver(at, fate);
            }
            self.finish_now(at);
        }
        self.now = target;
        self.ledger.pass(target);
        self.copies.retain(|copy| copy.until > target);
        self.tick_members();
    }

    /// What happens first by itself, and when.
    fn first_due(&self, due: &dyn Fn(&Run) -> Option<u64>) -> Option<(usize, u64)> {
        let all = self.runs.iter().enumerate().filter(|(_, run)| !run.gone);
        all.filter_map(|(at, run)| Some((at, due(run)?))).min_by_key(|(at, time)| (*time, *at))
    }

    pub(super) fn crash(&mut self, at: usize, gateway: usize, travels: bool) {
        self.reached.note(Milestone::Crashed, true);
        let run = &mut self.runs[at];
        run.gone = true;
        run.todo.clear();
        run.awaited = None;
        if let (Some((members, since)), What::Pay { payment, other_amount }, true) =
            (run.sent.take(), run.what, travels)
        {
            let gateway = members[gateway % members.len()];
            let (key, until) = (run.key, since + self.setup.travels());
            self.copies.push(Copy { payment, other_amount, key, gateway, until });
            self.past.push(Past { payment, gateway, ended: self.ended(since) });
        }
    }

    /// A claim was won for a client that has left: it is never sent, and that is what is known.
    pub(super) fn note_claim_of_nobody(&mut self, at: usize) {
        let run = &mut self.runs[at];
        if run.left && run.attempt.is_some() && !run.is_answered {
            run.members = vec![0, 1];
            self.note_evidence(at, &NEVER_LEFT, None);
        }
    }

    /// What the end of a request says of its payment.
    fn note_evidence(&mut self, at: usize, end: &End, endpoint: Option<&str>) {
        let run = &self.runs[at];
        let named = endpoint.and_then(|name| NAMES.iter().position(|known| *known == name));
        let spoken = run.members.iter().filter(|member| named.is_none_or(|name| name == **member));
        let order: Vec<GatewayId> = self.setup.policy.order().collect();
        let gateways = spoken.map(|member| order[*member]).collect();
        let wire = end.wire.as_ref().filter(|_| end.readable);
        let said = evidence(run.what, run.attempt, end.origin, wire, gateways);
        let pays = matches!(run.what, What::Pay { .. });
        let when = if pays { self.clock(run.worker) } else { run.asked_at };
        let run = &mut self.runs[at];
        run.said = said.map(|said| (said, when));
        run.heard.extend(run.said);
        run.is_answered = true;
    }
}

/// How an exchange with a gateway ends.
struct End {
    origin: Origin,
    wire: Option<Wire>,
    readable: bool,
    client_waits: bool,
}

const NEVER_LEFT: End =
    End { origin: Origin::NeverLeft, wire: None, readable: false, client_waits: false };

/// Without an answer, and why.
const fn absent(bits: u64, attached: bool) -> End {
    let origin = Origin::Envoy { flags: Flags::new(bits), attached };
    End { origin, wire: None, readable: false, client_waits: true }
}
