//! What a gateway's status does to a claim: every state against every status, none left to a default.

use super::Claim;
use super::evidence::{PaymentStatus as Status, Step};
use super::rules::ClaimRules;
use super::state::{ClaimState as State, Closed};
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::time::Timestamp;

impl Claim {
    pub(super) fn told(
        &self,
        by: GatewayId,
        status: Status,
        now: Timestamp,
        rules: &ClaimRules,
    ) -> Step {
        let claim = self.at(now);
        let executed = claim.executed_at(by, rules);
        let closed = |how| State::Closed { how, gateways: Gateways::only(by) };
        // The answer may be older than what the record says.
        let asked_before = now < claim.changed_at;
        match (claim.state, status) {
            (State::Settled { gateways, .. }, status) => {
                claim.told_when_settled(gateways, by, status, asked_before, rules)
            }
            (State::Closed { how: Closed::Failed, .. }, Status::Executed) => {
                Step::Overturned(executed)
            }
            // What was given back was executed: so says also the answer to a further refund.
            (State::Closed { how: Closed::Refunded, gateways }, Status::Executed)
                if gateways.contains(by) || rules.shared_ledger =>
            {
                Step::Stays
            }
            (State::Closed { .. }, Status::Executed) if asked_before => Step::Stays,
            (State::Closed { .. }, Status::Executed) => Step::Contradicted(claim.state),
            (State::Closed { .. }, Status::Pending | Status::Closed(_) | Status::NotFound) => {
                Step::Stays
            }
            (
                State::InFlight { .. } | State::Rejected { .. } | State::InDoubt { .. },
                Status::Executed,
            ) => Step::To(executed),
            // While the attempt is under way, an answer about it may be older than the attempt.
            (State::InFlight { .. }, Status::Pending | Status::Closed(_) | Status::NotFound) => {
                Step::Stays
            }
            (State::Rejected { gateway }, Status::Pending) if gateway == by => {
                Step::To(State::in_doubt(Gateways::only(by), now))
            }
            (State::Rejected { .. }, Status::Pending | Status::NotFound) => Step::Stays,
            (State::Rejected { .. }, Status::Closed(how)) => Step::To(closed(how)),
            // Only a candidate can speak of itself.
            (State::InDoubt { candidates, .. }, _) if !candidates.contains(by) => Step::Stays,
            (State::InDoubt { candidates, ended_at, .. }, Status::Pending) => {
                match candidates.single() {
                    None => Step::To(State::in_doubt(Gateways::only(by), ended_at)),
                    Some(_) => Step::Stays,
                }
            }
            // The question is older than the attempt, or a repeat may yet succeed where an earlier
            // attempt failed. What was undone is undone: a repeat has the same name, and finds it so.
            (State::InDoubt { ended_at, .. }, Status::Closed(_)) if now < ended_at => Step::Stays,
            (State::InDoubt { repeat_until: Some(_), .. }, Status::Closed(Closed::Failed)) => {
                Step::Stays
            }
            // It may be an earlier attempt that failed, while the last one still travels. The first one of
            // this record need not be the first one of all: a record ends, and a restart forgets it.
            (State::InDoubt { ended_at, .. }, Status::Closed(Closed::Failed))
                if now < ended_at.plus(rules.settle_delay) =>
            {
                Step::Stays
            }
            (State::InDoubt { candidates, ended_at, .. }, Status::Closed(Closed::Failed)) => {
                clear(candidates, by, ended_at, closed(Closed::Failed))
            }
            // What was undone there had reached it, and so reached nobody else.
            (
                State::InDoubt { .. },
                Status::Closed(how @ (Closed::Cancelled | Closed::Refunded)),
            ) => Step::To(closed(how)),
            (State::InDoubt { .. }, Status::NotFound) => claim.not_found(by, now, rules),
        }
    }

    /// The same of what was executed, by one of `gateways`.
    fn told_when_settled(
        &self,
        gateways: Gateways,
        by: GatewayId,
        status: Status,
        asked_before: bool,
        rules: &ClaimRules,
    ) -> Step {
        let contradicts = match status {
            Status::Closed(how @ (Closed::Cancelled | Closed::Refunded))
                if gateways.contains(by) =>
            {
                return Step::To(State::Closed { how, gateways: Gateways::only(by) });
            }
            // Envoy could not tell which of them it was, and now one says so.
            Status::Executed
                if self.state == State::settled(gateways)
                    && self.is_one_of(gateways, by, rules) =>
            {
                return Step::To(State::settled(Gateways::only(by)));
            }
            Status::Executed | Status::Pending => false,
            Status::Closed(Closed::Cancelled | Closed::Refunded) => true,
            Status::Closed(Closed::Failed) => !asked_before,
            // Only who has executed it must know it.
            Status::NotFound => !asked_before && gateways.single() == Some(by),
        };
        if contradicts { Step::Contradicted(self.state) } else { Step::Stays }
    }

    /// Whether `by` is one of several of which one has executed it. Of copies that were only observed each
    /// may have been.
    pub(super) fn is_one_of(&self, gateways: Gateways, by: GatewayId, rules: &ClaimRules) -> bool {
        let several = gateways.single().is_none() && gateways.contains(by);
        several && !self.observed && !rules.shared_ledger
    }

    /// Executed by `by`, as it says of itself. If that gateway never had the payment from here, then
    /// whoever had it may have executed it too: it is asked for the answer by nobody, because what
    /// it takes for a repeat would be a second payment.
    fn executed_at(&self, by: GatewayId, rules: &ClaimRules) -> State {
        let had_it = match self.state {
            // Of several it is not known yet which one has it.
            State::InFlight { candidates, .. } => candidates.single() == Some(by),
            State::Settled { .. }
            | State::Rejected { .. }
            | State::InDoubt { .. }
            | State::Closed { .. } => self.holders().contains(by),
        };
        let gateways = Gateways::only(by);
        if had_it || rules.shared_ledger {
            State::settled(gateways)
        } else {
            State::said_settled(gateways)
        }
    }

    /// "Not found" may be said of a request that is still travelling. It proves something only
    /// when a first one came `settle_delay` after the last attempt ended, and this one at least as
    /// much later, both from the same candidate.
    pub(super) fn not_found(&self, by: GatewayId, now: Timestamp, rules: &ClaimRules) -> Step {
        let State::InDoubt { candidates, ended_at, repeat_until, not_found } = self.state else {
            return Step::Stays;
        };
        if repeat_until.is_some() || now < ended_at.plus(rules.settle_delay) {
            return Step::Stays;
        }
        match not_found {
            None => Step::To(State::InDoubt {
                candidates,
                ended_at,
                repeat_until,
                not_found: Some((by, now)),
            }),
            Some((first, at)) if first == by && now >= at.plus(rules.settle_delay) => {
                clear(candidates, by, ended_at, State::Rejected { gateway: by })
            }
            Some(_) => Step::Stays,
        }
    }
}

/// `by` is no candidate any longer; if it was the only one, the claim ends in `alone`.
fn clear(candidates: Gateways, by: GatewayId, ended_at: Timestamp, alone: State) -> Step {
    let left = candidates.without(by);
    if left.is_empty() {
        return Step::To(alone);
    }
    Step::To(State::in_doubt(left, ended_at))
}
