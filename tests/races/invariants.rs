//! What must hold at each step of every schedule.

use dana_failover::engine::Forward;
use dana_failover::engine::Timestamp;
use dana_failover::engine::{
    AttemptId, Claim, ClaimState as Standing, Evidence, Fingerprint, Incarnation, KeyPrefix,
    Outcome,
};
use dana_failover::engine::{Bucket, Entry};
use dana_failover::engine::{GatewayId, Gateways};
use serde_json::Value;

use super::proof::{Cause, evidence};
use super::reference::Reference;
use super::schedules::{Place, Said};
use super::wishes::What;
use super::world::{State, Walk, Wire};

/// What the checks are made with.
pub(crate) struct Invariants {
    pub(crate) reference: Reference,
    /// The gateways' ids, in order.
    pub(crate) order: Vec<GatewayId>,
    pub(crate) key: KeyPrefix,
    /// The keys of the other records, if the bucket has any.
    pub(crate) others: Vec<KeyPrefix>,
    /// What the payment asks for, with its amount and with the other one.
    pub(crate) prints: [Fingerprint; 2],
}

/// Claimed at, nonce, number.
fn attempt(known: Option<(u64, u32, u64)>) -> Option<AttemptId> {
    known.map(|(claimed_at, nonce, attempt)| AttemptId {
        incarnation: Incarnation { claimed_at: Timestamp::from_millis(claimed_at), nonce },
        attempt: attempt.try_into().unwrap(),
    })
}

fn is_expired(found: &Entry, now: Timestamp) -> bool {
    match found {
        Entry::Claim(claim) => {
            let kept = now.since(claim.changed_at).get();
            claim.is_resolved() && kept >= super::RETENTION_MS.cast_unsigned()
        }
        Entry::Absent | Entry::Alias(_) | Entry::Unreadable => false,
    }
}

impl Walk<'_> {
    pub(crate) fn bucket(&self, state: &State) -> Bucket {
        let value = state.cells[Place::Claims as usize];
        let bytes = if value.version == 0 { &[] } else { self.plays.bytes(value.bytes) };
        Bucket::decode(bytes.to_vec()).expect("only buckets are written")
    }

    /// The record of the payment.
    pub(crate) fn claim(&self, state: &State) -> Option<Claim> {
        match self.find(state) {
            Entry::Claim(claim) => Some(claim),
            Entry::Absent => None,
            Entry::Alias(_) | Entry::Unreadable => panic!("nothing unreadable was written"),
        }
    }

    const fn payment(&self) -> usize {
        self.race.whats[0].payment()
    }

    /// Whether a charge exists, or something is on its way that would make one.
    pub(crate) fn may_be_charged(&self, state: &State) -> bool {
        let payment = self.payment();
        let sent = state
            .runs
            .iter()
            .zip(self.race.whats)
            .filter(|(run, what)| run.wire == Wire::Sent && what.pays(payment));
        let mut reachable =
            sent.flat_map(|(run, _)| run.members.into_iter().flatten()).chain(state.travels);
        self.ledger(state).is_charged(payment)
            || reachable.any(|gateway| self.ledger(state).would_execute(gateway, payment))
    }

    /// The payments that were let go and whose end nobody has told yet.
    fn under_way(&self, state: &State) -> usize {
        let runs = state.runs.iter().zip(self.race.whats);
        runs.filter(|(run, what)| {
            matches!(run.wire, Wire::Sent | Wire::Back(_)) && matches!(what, What::Pay { .. })
        })
        .count()
    }

    /// Of every state.
    pub(crate) fn check(&self, state: &State) {
        let executed = self.ledger(state).executed_at(self.payment());
        assert!(executed.len() <= 1, "executed at {executed:?}");
        // Of one that was executed both ask for its answer, by clocks that are a lease apart.
        let is_settled =
            || matches!(self.claim(state), Some(Claim { state: Standing::Settled { .. }, .. }));
        assert!(self.under_way(state) <= 1 || is_settled(), "two attempts under way");
    }

    /// Of every step: what it writes is a step of the table, and no other record suffers. Tells
    /// whether the payment's own record, resolved and past its retention, has made room.
    pub(crate) fn check_step(&mut self, at: usize, before: &State, after: &State) -> bool {
        let [old, new] = [before, after].map(|state| state.cells[Place::Claims as usize]);
        if old == new {
            return false;
        }
        if self.harmless.insert((old.bytes, new.bytes, at)) {
            self.check_others(at, before, after);
        }
        let now = Timestamp::from_millis(self.race.clocks[at]);
        let (old, new) = (self.find(before), self.find(after));
        if old == new {
            return false;
        }
        if new == Entry::Absent && is_expired(&old, now) {
            return true;
        }
        let cause = self.cause(at, before, &old).expect("it knows nothing that could change it");
        self.truth.reference.check(&old, &new, cause, now);
        false
    }

    /// No record of others changes, and none leaves but what is resolved and past its retention.
    fn check_others(&self, at: usize, before: &State, after: &State) {
        let now = Timestamp::from_millis(self.race.clocks[at]);
        let (before, after) = (self.bucket(before), self.bucket(after));
        for key in &self.truth.others {
            let (old, new) = (before.find(key), after.find(key));
            let gone = new == Entry::Absent && is_expired(&old, now);
            assert!(old == new || gone, "another record: {old:?} to {new:?}");
        }
    }

    /// Why the request `at` may write now.
    fn cause(&self, at: usize, state: &State, record: &Entry) -> Option<Cause> {
        let (run, what) = (state.runs[at], self.race.whats[at]);
        let now = Timestamp::from_millis(self.race.clocks[at]);
        if let (Wire::Held, true, Some(of)) = (run.wire, run.left, attempt(run.attempt)) {
            let gateways = self.truth.order.iter().copied().collect();
            let outcome = Outcome::NeverSent;
            return Some(Cause::Evidence(Evidence::Answer { of, outcome, gateways }, now));
        }
        let Wire::Over(number) = run.wire else {
            let What::Pay { other_amount, .. } = what else {
                return None;
            };
            let asked = self.truth.prints[usize::from(other_amount)];
            let same = matches!(record, Entry::Claim(claim)
                if claim.fingerprint == asked || claim.fingerprint == Fingerprint::UNKNOWN);
            return Some(Cause::Sends { same });
        };
        let arrival = &self.plays.arrivals[number];
        let members = run.members.into_iter().flatten();
        let spoken = members.filter(|m| arrival.gateway().is_none_or(|gateway| gateway == *m));
        let gateways: Gateways = spoken.map(|member| self.truth.order[member]).collect();
        let wire = arrival.wire();
        let said = evidence(what, attempt(run.attempt), arrival.origin(), wire.as_ref(), gateways)?;
        Some(Cause::Evidence(said, now))
    }

    /// When a request is let go: whom it reaches. A payment's claim names just them.
    pub(crate) fn check_forward(
        &self,
        state: &State,
        at: usize,
        forward: &Forward,
    ) -> [Option<usize>; 2] {
        let cluster = forward.headers.iter().find(|(name, _)| name == "x-dana-cluster").unwrap();
        let members = match cluster.1.as_str() {
            "dana_primary" => [Some(0), None],
            "dana_secondary" => [Some(1), None],
            "dana_primary_first" => [Some(0), Some(1)],
            "dana_secondary_first" => [Some(1), Some(0)],
            other => panic!("{other}"),
        };
        if !matches!(self.race.whats[at], What::Pay { .. }) {
            return members;
        }
        let meant: Gateways = members.iter().flatten().map(|m| self.truth.order[*m]).collect();
        let claim = self.claim(state).expect("let go without a claim");
        let is_named = match claim.state {
            Standing::InFlight { candidates, .. } => candidates == meant,
            Standing::InDoubt { candidates, repeat_until, .. } => {
                candidates == meant && repeat_until.is_some()
            }
            // A status has proven it between the claim and this moment: a repeat like any other.
            Standing::Settled { gateways, .. } => gateways == meant,
            // It was cancelled there between the claim and this moment: a repeat finds it so.
            Standing::Closed { gateways, .. } => gateways == meant,
            Standing::Rejected { .. } => false,
        };
        assert!(is_named, "let go to {members:?} under {claim:?}");
        members
    }

    /// An answer of ours: nothing that it denies was there both when the claims were last looked
    /// at and now.
    pub(crate) fn check_reply(&self, state: &State, at: usize, said: &Said) {
        if said.reason == "relayed" {
            return self.check_relay(state, at);
        }
        let differ = matches!(self.race.whats[1], What::Pay { other_amount: true, .. });
        let is_exempt = matches!(self.race.whats[at], What::Cancel { .. })
            || (differ && said.reason == "mismatch");
        let doubtful = || state.runs[at].was_doubtful && self.may_be_charged(state);
        let lies = !is_exempt && said.fails && doubtful();
        assert!(!lies, "{} while money may be taken", said.reason);
        let executed = !self.ledger(state).executed_at(self.payment()).is_empty();
        assert!(executed || !said.executed, "{} while nothing was executed", said.reason);
    }

    /// An answer of a gateway, let through.
    pub(crate) fn check_relay(&self, state: &State, at: usize) {
        let (run, what) = (state.runs[at], self.race.whats[at]);
        let Wire::Over(number) = run.wire else {
            panic!("there is no answer to be let through");
        };
        let wire = self.plays.arrivals[number].wire().expect("an answer");
        let body: Value = serde_json::from_str(&wire.body).unwrap();
        let told = body["latestTransactionStatus"].as_str().unwrap_or_default();
        let fails = match what {
            What::Pay { .. } => matches!(wire.status, 400..=428 | 430..=500),
            What::Ask { .. } => wire.status == 404 || matches!(told, "05" | "06" | "07"),
            What::Cancel { .. } => false,
        };
        let doubtful = run.was_doubtful && self.may_be_charged(state);
        assert!(!fails || !doubtful, "let through while money may be taken: {}", wire.body);
    }

    /// Of the end of every schedule.
    pub(crate) fn check_end(&self, state: &State) {
        for (at, run) in state.runs.iter().enumerate() {
            assert_eq!(run.answers, u8::from(!run.left), "request {at} is answered once");
            assert!(self.plays.nodes[run.node].is_ended, "request {at} has ended");
        }
        let free = self.claim(state).is_none();
        assert!(!(free && self.may_be_charged(state)), "the key is free, and it was sent");
    }
}
