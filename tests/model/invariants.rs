//! What must hold whatever happens. The ledgers are the truth; what the engine wrote, sent or said
//! is compared with them.

use dana_failover::engine::Entry;
use dana_failover::engine::Reply;
use dana_failover::engine::Timestamp;
use dana_failover::engine::{AttemptId, Claim, ClaimState, Closed};
use serde_json::Value;

use super::handover::Copies;
use super::ledger::{GATEWAYS, Ledger, Standing};
use super::setup::Milestone;
use super::wishes::What;
use super::world::{Run, World};

impl World<'_> {
    /// After every effect.
    pub(crate) fn check(&mut self) {
        for payment in 0..self.setup.payments {
            let executed = self.ledger.executed_at(payment);
            let once = self.ledger.executions(payment) <= 1 || self.known[payment].mixed;
            assert!(once, "payment {payment} executed at {executed:?}");
            match self.find(payment) {
                Entry::Absent => {
                    let is_clean = executed.is_empty() && !self.may_execute(payment);
                    assert!(is_clean, "payment {payment}: its key is free, and it was sent");
                    let pin = self.pins[payment];
                    assert_eq!(pin, None, "payment {payment}: its key is free, and a NO was said");
                    self.known[payment] = Copies::default();
                }
                Entry::Alias(_) | Entry::Unreadable => panic!("nothing unreadable was written"),
                Entry::Claim(claim) => {
                    let claim = self.setup.reference.counted(claim).at(self.time());
                    self.check_claim(payment, &claim);
                }
            }
        }
    }

    fn check_claim(&mut self, payment: usize, claim: &Claim) {
        let no_money = |what: &str| {
            if self.known[payment].mixed {
                return;
            }
            let charged = self.ledger.is_charged(payment);
            assert!(!charged, "payment {payment} is {what}, and it was charged");
            let may = self.may_execute(payment);
            assert!(!may, "payment {payment} is {what}, and a copy of it may be executed");
        };
        match claim.state {
            ClaimState::Settled { gateways, .. } => {
                let executed = self.ledger.executed_at(payment);
                let held = gateways.iter().any(|gateway| {
                    executed.contains(&self.place(gateway))
                        || (self.setup.is_shared() && !executed.is_empty())
                });
                assert!(
                    held,
                    "payment {payment} settled at {gateways:?}, executed at {executed:?}"
                );
            }
            ClaimState::Rejected { gateway } => {
                no_money("rejected");
                self.pins[payment] = Some(self.place(gateway));
            }
            ClaimState::Closed { how: Closed::Failed, .. } => no_money("failed"),
            ClaimState::Closed { how: Closed::Cancelled | Closed::Refunded, .. } => {
                no_money("cancelled");
                let cancelled = (0..GATEWAYS).any(|gateway| {
                    self.ledger.standing(gateway, payment) == Some(Standing::Cancelled)
                });
                assert!(cancelled, "payment {payment} is cancelled, and nobody cancelled it");
            }
            ClaimState::InDoubt { .. } => self.reached.note(Milestone::InDoubt, true),
            // A retry goes nowhere but where the NO came from: only one gateway can have it.
            ClaimState::InFlight { .. } => {}
        }
    }

    /// Whether a charge exists, or a copy is on its way to a gateway that would execute it.
    pub(crate) fn may_be_charged(&self, payment: usize) -> bool {
        self.ledger.is_charged(payment) || self.may_execute(payment)
    }

    pub(crate) fn may_execute(&self, payment: usize) -> bool {
        let copies = self.copies.iter().filter(|copy| copy.payment == payment);
        let mut on_the_way = copies.map(|copy| copy.gateway).chain(
            self.runs.iter().filter(|run| run.what.pays(payment)).flat_map(Run::on_the_wire),
        );
        on_the_way.any(|gateway| self.ledger.would_execute(gateway, payment))
    }

    /// When a payment is let go: its claim is written, and nobody else has or may get it.
    pub(crate) fn check_forward(&mut self, at: usize, members: &[usize]) {
        let run = &self.runs[at];
        let What::Pay { payment, .. } = run.what else {
            return;
        };
        let Entry::Claim(claim) = self.find(payment) else {
            panic!("payment {payment} was let go without a claim");
        };
        self.check_key(at, payment);
        self.check_handed_over(at, payment, members);
        if self.runs[at].overtaken {
            return;
        }
        let (incarnation, attempt) = (claim.incarnation, claim.attempt);
        self.runs[at].attempt = Some(AttemptId { incarnation, attempt });
        let under_way = match claim.at(self.time()).state {
            ClaimState::InFlight { candidates, .. } => {
                assert_eq!(candidates.iter().count(), members.len(), "all of them are candidates");
                true
            }
            ClaimState::InDoubt { repeat_until, .. } => repeat_until.is_some(),
            // Proven, or cancelled, between the claim and this moment, and there: it is a repeat like
            // any other.
            ClaimState::Settled { gateways, .. } | ClaimState::Closed { gateways, .. } => {
                self.setup.is_shared()
                    || members.iter().all(|m| gateways.iter().any(|g| self.place(g) == *m))
            }
            ClaimState::Rejected { .. } => false,
        };
        assert!(under_way, "payment {payment} was let go under {:?}", claim.state);
        if matches!(claim.state, ClaimState::Settled { repeat_until: Some(until), .. } if until != Timestamp::NEVER)
        {
            // Whoever is asked for the answer knows the payment, whoever else may have it.
            let knows = |member: &usize| !self.ledger.would_execute(*member, payment);
            assert!(members.iter().all(knows), "payment {payment} to {members:?} for its answer");
            self.reached.note(Milestone::Fetched, true);
            return;
        }
        if self.setup.is_shared() {
            return self.check_shared_forward(at, payment, members);
        }
        if let Some(pin) = self.pins[payment] {
            assert_eq!(members, [pin], "payment {payment}: after a NO nobody else is asked");
        }
        let copies = self.copies.iter().filter(|copy| copy.payment == payment);
        let others = self.runs.iter().enumerate().filter(|(other, _)| *other != at);
        let holders: Vec<usize> = copies
            .map(|copy| copy.gateway)
            .chain(
                others
                    .filter(|(_, run)| run.what.pays(payment))
                    .flat_map(|(_, run)| run.on_the_wire()),
            )
            .chain(self.ledger.executed_at(payment))
            .collect();
        for member in members {
            // The first gateway has had a copy of what was mixed.
            let again = self.known[payment].mixed && members == [0];
            let elsewhere = !again && holders.iter().any(|holder| holder != member);
            assert!(!elsewhere, "payment {payment} to {members:?}, and {holders:?} may have it");
        }
    }

    /// An answer of ours. What it denies must not be there, neither when it was decided nor now.
    pub(crate) fn check_reply(&mut self, at: usize, reply: &Reply) {
        if reply.reason == "relayed" {
            return self.check_relay(at);
        }
        let run = &self.runs[at];
        assert!(!run.observed, "what is observed is never answered: {}", reply.reason);
        let What::Pay { payment, .. } = run.what else {
            return;
        };
        if reply.reason == "replay" {
            let executed = self.ledger.executed_at(payment).into_iter();
            let bodies: Vec<_> = executed.map(|g| Ledger::success(g, payment)).collect();
            let body = String::from_utf8_lossy(&reply.body).into_owned();
            assert!(bodies.contains(&body), "the first answer, byte for byte: {body}");
            self.reached.note(Milestone::Replayed, true);
            return;
        }
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        let denies = body["outcome"] == "not_executed" || body["safe_new_key"] == true;
        let exempt = reply.reason == "closed_refunded";
        if reply.reason == "mismatch" {
            return self.check_mismatch(at, body["safe_new_key"] == true);
        }
        if denies && !exempt && run.was_doubtful && !self.known[payment].mixed {
            let may = self.may_be_charged(payment);
            assert!(!may, "payment {payment}: told {}, and a charge may exist", reply.reason);
        }
        if body["outcome"] == "executed" {
            let executed = self.ledger.executed_at(payment);
            assert!(!executed.is_empty(), "payment {payment}: told {}", reply.reason);
        }
    }

    /// What is only observed goes back as it came.
    pub(crate) fn check_let_through(&self, at: usize, named: bool) {
        if !self.runs[at].observed {
            return self.check_relay(at);
        }
        assert!(!named, "what is observed goes back as it came");
    }

    /// An answer of a gateway that was let through. None that DANA's merchants read as failed may
    /// pass while a charge may exist.
    pub(crate) fn check_relay(&self, at: usize) {
        let run = &self.runs[at];
        let (What::Pay { payment, .. } | What::Ask { payment }) = run.what else {
            return;
        };
        let Some(wire) = &run.answer else {
            panic!("nothing to let through");
        };
        let body: Value = serde_json::from_str(&wire.body).unwrap_or_default();
        let code = body["responseCode"].as_str().unwrap_or_default();
        let failed = match run.what {
            What::Pay { .. } => {
                let is_no = matches!(wire.status, 400..=428 | 430..=499);
                is_no || (wire.status == 500 && code.ends_with("00"))
            }
            What::Ask { .. } | What::Cancel { .. } => {
                let told = body["latestTransactionStatus"].as_str().unwrap_or_default();
                code.starts_with("404") || matches!(told, "05" | "06" | "07")
            }
        };
        if failed && run.was_doubtful && !self.known[payment].mixed {
            let may = self.may_be_charged(payment);
            assert!(!may, "payment {payment}: {} let through, and a charge may exist", wire.body);
        }
    }

    /// Of several gateways that share a ledger only the first healthy one is asked; if another one
    /// was the first to say "not found", that is never said twice.
    fn is_asked_in_vain(claim: &Claim) -> bool {
        matches!(claim.state, ClaimState::InDoubt { candidates, not_found: Some(_), .. }
            if candidates.single().is_none())
    }

    /// Once the noise is over, everything in doubt is resolved by asking.
    pub(crate) fn check_resolved(&self) {
        for payment in 0..self.setup.payments {
            let state = match self.find(payment) {
                Entry::Absent => continue,
                Entry::Alias(_) | Entry::Unreadable => panic!("nothing unreadable was written"),
                Entry::Claim(claim) => self.setup.reference.counted(claim).at(self.time()),
            };
            if self.setup.is_shared() && Self::is_asked_in_vain(&state) {
                continue;
            }
            assert!(state.is_resolved(), "payment {payment} stays {state:?}");
            if self.known[payment].mixed {
                continue;
            }
            let charged = self.ledger.is_charged(payment);
            match state.state {
                ClaimState::Settled { .. } => assert!(charged, "payment {payment}: {state:?}"),
                ClaimState::InFlight { .. }
                | ClaimState::Rejected { .. }
                | ClaimState::InDoubt { .. }
                | ClaimState::Closed { .. } => assert!(!charged, "payment {payment}: {state:?}"),
            }
        }
    }
}
