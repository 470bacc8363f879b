//! A payment that was executed and whose answer is no longer kept: it is asked for again.

use super::Claim;
use super::evidence::{Evidence, Outcome};
use super::rules::ClaimRules;
use super::state::ClaimState;
use crate::engine::gateway::GatewayId;
use crate::engine::payment::key::Fingerprint;
use crate::engine::time::{Millis, Timestamp};

/// What the same payment may do whose answer is no longer kept, though it was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// Once more to the gateway that executed it, which recognises it and answers as before.
    Repeat {
        /// That gateway.
        gateway: GatewayId,
    },
    /// Nothing: such a repeat is under way.
    Wait {
        /// When to ask again.
        retry_after: Millis,
    },
    /// Nothing: it is too old, or more than one gateway may have executed it.
    Never,
}

impl Claim {
    /// What the same payment may do at `now` that was executed and whose answer is not kept. It is
    /// sent at most as late as a repeat of one in doubt, and to nobody but who executed it.
    #[must_use]
    pub fn fetch(&self, now: Timestamp, rules: &ClaimRules) -> Fetch {
        let claim = self.at(now);
        let ClaimState::Settled { gateways, repeat_until } = claim.state else {
            return Fetch::Never;
        };
        let is_young = now.since(claim.incarnation.claimed_at) <= rules.repeat_max_age;
        match (repeat_until, gateways.single()) {
            (Some(Timestamp::NEVER), _) => Fetch::Never,
            (Some(_), _) => Fetch::Wait { retry_after: claim.answer_due(now, rules) },
            (None, Some(gateway)) if is_young => Fetch::Repeat { gateway },
            (None, Some(_) | None) => Fetch::Never,
        }
    }

    /// In how long the attempt under way has its answer, or nobody waits for that any longer: at
    /// least a second, and never longer than an answer takes. Its lease is longer, for the case that
    /// nobody is left to say so.
    #[must_use]
    pub fn answer_due(&self, now: Timestamp, rules: &ClaimRules) -> Millis {
        let left = self.changed_at.plus(rules.response).since(now);
        left.min(rules.response).max(Millis::new(1000))
    }

    /// The claim after an attempt was answered, and `fingerprint` is what that asked for. What is
    /// known from a status alone learns it when the gateway has recognised the payment by it.
    #[must_use]
    pub fn learn(mut self, event: Evidence, fingerprint: Fingerprint) -> Self {
        if let Evidence::Answer { of, outcome: Outcome::Executed, .. } = event
            && self.fingerprint == Fingerprint::UNKNOWN
            && self.is_current(of)
        {
            self.fingerprint = fingerprint;
        }
        self
    }
}
