//! What evidence does to a claim: every state against every event, none left to a default.

use super::Claim;
use super::evidence::{AttemptId, Evidence, Outcome, Resolution, Step};
use super::rules::ClaimRules;
use super::state::{ClaimState as State, Closed};
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::time::Timestamp;

impl Claim {
    /// What `event` does to the claim. `now` is when an attempt's answer came, or an operator spoke;
    /// of a status it is when it was asked for, because the answer may be as old as the question.
    #[must_use]
    pub fn apply(&self, event: Evidence, now: Timestamp, rules: &ClaimRules) -> Step {
        match event {
            Evidence::Answer { of, outcome, gateways } => {
                self.answered(of, outcome, gateways, now, rules)
            }
            Evidence::Told { gateway, status } => self.told(gateway, status, now, rules),
            Evidence::Operator(resolution) => self.resolved(resolution, now, rules),
        }
    }

    /// An operator speaks last, and never makes room for a second charge: what was not executed is
    /// closed and not released, because somebody who looked too early must not free the key. While
    /// an attempt is under way nobody can know how it ends.
    fn resolved(&self, resolution: Resolution, now: Timestamp, rules: &ClaimRules) -> Step {
        let claim = self.at(now);
        match (claim.state, resolution) {
            (State::InFlight { .. }, Resolution::ExecutedAt(_) | Resolution::NotExecuted) => {
                Step::Stays
            }
            (
                State::InDoubt { ended_at, repeat_until, .. },
                Resolution::ExecutedAt(_) | Resolution::NotExecuted,
            ) if repeat_until.is_some() || now < ended_at => Step::Stays,
            // Another gateway's name is a slip: only a candidate can have executed it.
            (State::InDoubt { candidates, .. }, Resolution::ExecutedAt(by))
                if !candidates.contains(by) =>
            {
                Step::Contradicted(claim.state)
            }
            // Of a NO the record names who said it last, and not who had been asked before: a
            // retry must not follow what was executed, wherever that was.
            (State::InDoubt { .. } | State::Rejected { .. }, Resolution::ExecutedAt(by)) => {
                Step::To(State::said_settled(Gateways::only(by)))
            }
            // What was looked for too early may still be on its way, as with a gateway's "not found".
            (State::InDoubt { ended_at, .. }, Resolution::NotExecuted)
                if now < ended_at.plus(rules.settle_delay) =>
            {
                Step::Stays
            }
            (State::InDoubt { candidates, .. }, Resolution::NotExecuted) => {
                Step::To(State::Closed { how: Closed::Failed, gateways: candidates })
            }
            // It says so already, and still admits a retry at that gateway.
            (State::Rejected { .. }, Resolution::NotExecuted) => Step::Stays,
            (State::Settled { gateways, .. }, Resolution::ExecutedAt(by))
                if claim.is_one_of(gateways, by, rules) =>
            {
                Step::To(State::said_settled(Gateways::only(by)))
            }
            (State::Settled { gateways, .. }, Resolution::ExecutedAt(by))
                if gateways.contains(by) =>
            {
                Step::Stays
            }
            (State::Settled { .. }, Resolution::ExecutedAt(_) | Resolution::NotExecuted) => {
                Step::Contradicted(claim.state)
            }
            (State::Closed { .. }, Resolution::NotExecuted) => Step::Stays,
            (State::Closed { how: Closed::Failed, .. }, Resolution::ExecutedAt(by)) => {
                Step::Overturned(State::said_settled(Gateways::only(by)))
            }
            (
                State::Closed { how: Closed::Cancelled | Closed::Refunded, .. },
                Resolution::ExecutedAt(_),
            ) => Step::Contradicted(claim.state),
        }
    }

    /// Evidence speaks of its own attempt only. An answer of another incarnation, or of an attempt
    /// that is not the last, may prove that the payment was executed and nothing else.
    fn answered(
        &self,
        of: AttemptId,
        outcome: Outcome,
        gateways: Gateways,
        now: Timestamp,
        rules: &ClaimRules,
    ) -> Step {
        let claim = self.at(now);
        let current = claim.is_current(of);
        match (claim.state, outcome) {
            // The repeat has ended. Its NO says nothing of the first copy, but that it had failed
            // does.
            (State::Settled { repeat_until: Some(Timestamp::NEVER), .. }, _) => Step::Stays,
            // Executed by one that it was sent to, and by another one as that says of itself.
            (State::Settled { .. }, Outcome::Executed) if claim.is_elsewhere(gateways, rules) => {
                Step::To(State::said_settled(claim.holders()))
            }
            (State::Settled { gateways, repeat_until: Some(_) }, outcome) if current => {
                fetched(gateways, outcome)
            }
            (State::Settled { .. }, _) => Step::Stays,
            (State::Closed { how: Closed::Failed, .. }, Outcome::Executed) => {
                Step::Overturned(State::settled(gateways))
            }
            (State::Closed { .. }, Outcome::Executed) => Step::Contradicted(claim.state),
            (State::Closed { .. }, _) => Step::Stays,
            (
                State::InFlight { .. } | State::Rejected { .. } | State::InDoubt { .. },
                Outcome::Executed,
            ) => Step::To(State::settled(gateways)),
            (State::InFlight { .. } | State::Rejected { .. } | State::InDoubt { .. }, _)
                if !current =>
            {
                Step::Stays
            }
            (State::InFlight { .. }, Outcome::No | Outcome::NotKnown | Outcome::FailedBefore) => {
                match gateways.single() {
                    Some(gateway) => Step::To(State::Rejected { gateway }),
                    None => Step::To(State::in_doubt(gateways, now)),
                }
            }
            (State::InFlight { .. }, Outcome::Doubtful) => Step::To(State::in_doubt(gateways, now)),
            (State::InFlight { candidates, after_no, .. }, Outcome::NeverSent) => {
                match candidates.single() {
                    Some(gateway) if after_no => Step::To(State::Rejected { gateway }),
                    Some(_) | None => Step::Released,
                }
            }
            (
                State::Rejected { .. },
                Outcome::No | Outcome::NotKnown | Outcome::FailedBefore | Outcome::NeverSent,
            ) => Step::Stays,
            (State::Rejected { gateway }, Outcome::Doubtful) => {
                Step::To(State::in_doubt(Gateways::only(gateway), now))
            }
            (State::InDoubt { candidates, repeat_until: Some(_), .. }, Outcome::FailedBefore) => {
                Step::To(State::Closed { how: Closed::Failed, gateways: candidates })
            }
            // A repeat's NO, failure or silence says nothing of the first copy: it may have taken
            // the money, the limit or the order. The repeat has ended, that is all.
            (
                State::InDoubt { candidates, repeat_until: Some(_), .. },
                Outcome::No | Outcome::Doubtful | Outcome::NeverSent,
            ) => Step::To(State::in_doubt(candidates, now)),
            // Of a cancel whose payment is elsewhere it does: what this gateway does not know it
            // can have cancelled only if that arrives later still, so it is proven like any "not
            // found". Its own copy is answered; what may travel is what ended before it.
            (
                State::InDoubt { candidates, ended_at, not_found, repeat_until: Some(_) },
                Outcome::NotKnown,
            ) => {
                let state = State::InDoubt { candidates, ended_at, not_found, repeat_until: None };
                let by = gateways.single().filter(|by| candidates.contains(*by));
                Self { state, ..claim }.not_known(by, now, rules)
            }
            (
                State::InDoubt { repeat_until: None, .. },
                Outcome::No
                | Outcome::NotKnown
                | Outcome::FailedBefore
                | Outcome::Doubtful
                | Outcome::NeverSent,
            ) => Step::Stays,
        }
    }

    /// A repeat has ended with "not known", which counts like any other "not found".
    fn not_known(&self, by: Option<GatewayId>, now: Timestamp, rules: &ClaimRules) -> Step {
        match by.map(|by| self.not_found(by, now, rules)) {
            Some(Step::To(state)) => Step::To(state),
            _ => Step::To(self.state),
        }
    }

    /// Whether none of `gateways` is one that the record knows to have the payment.
    fn is_elsewhere(&self, gateways: Gateways, rules: &ClaimRules) -> bool {
        !rules.shared_ledger && !gateways.iter().any(|by| self.holders().contains(by))
    }
}

/// The repeat of a payment that was executed has ended, whatever it brought.
const fn fetched(gateways: Gateways, outcome: Outcome) -> Step {
    match outcome {
        Outcome::FailedBefore => Step::Contradicted(State::settled(gateways)),
        Outcome::Executed
        | Outcome::No
        | Outcome::NotKnown
        | Outcome::Doubtful
        | Outcome::NeverSent => Step::To(State::settled(gateways)),
    }
}
