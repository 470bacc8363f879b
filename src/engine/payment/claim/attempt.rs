//! The claim with a further attempt under way.

use super::Claim;
use super::evidence::AttemptId;
use super::rules::ClaimRules;
use super::state::ClaimState;
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::payment::Money;
use crate::engine::payment::key::Fingerprint;
use crate::engine::time::Timestamp;

impl Claim {
    /// This claim with a further attempt under way at `gateway`: after a NO it is in flight anew
    /// and takes `fingerprint` and `money` over, because another amount may be asked for then; in doubt
    /// it stays in doubt and notes the repeat, and so it does where it was executed.
    #[must_use]
    pub fn further_attempt(
        mut self,
        (fingerprint, money): (Fingerprint, Money),
        gateway: GatewayId,
        now: Timestamp,
        rules: &ClaimRules,
    ) -> Self {
        let until = now.plus(rules.lease);
        self = self.at(now);
        self.attempt = self.attempt.saturating_add(1);
        match &mut self.state {
            ClaimState::InDoubt { candidates, repeat_until, .. } => {
                // What was said before this attempt says nothing about it. It stays noted, because
                // this attempt may be told the same.
                *candidates = candidates.with(gateway);
                *repeat_until = Some(until);
            }
            ClaimState::Rejected { .. } => {
                let candidates = Gateways::only(gateway);
                self.state = ClaimState::InFlight { candidates, until, after_no: true };
                (self.fingerprint, self.money) = (fingerprint, money);
            }
            ClaimState::Settled { repeat_until, .. } => *repeat_until = Some(until),
            ClaimState::InFlight { .. } | ClaimState::Closed { .. } => {}
        }
        self.changed_at = now;
        self
    }

    /// The attempt `of` was answered with a definite "not found" by the only gateway it went to,
    /// so that it may go on to `gateway`: the claim with that attempt under way. `None` when the
    /// claim has meanwhile become another one.
    #[must_use]
    pub fn onward(
        mut self,
        of: AttemptId,
        gateway: GatewayId,
        now: Timestamp,
        rules: &ClaimRules,
    ) -> Option<Self> {
        let is_current = self.is_current(of);
        self = self.at(now);
        match &mut self.state {
            ClaimState::InFlight { candidates, until, .. }
                if is_current && candidates.single().is_some() =>
            {
                *candidates = Gateways::only(gateway);
                *until = now.plus(rules.lease);
            }
            ClaimState::InFlight { .. }
            | ClaimState::Settled { .. }
            | ClaimState::Rejected { .. }
            | ClaimState::InDoubt { .. }
            | ClaimState::Closed { .. } => return None,
        }
        self.attempt = self.attempt.saturating_add(1);
        self.changed_at = now;
        Some(self)
    }

    /// This claim with a further copy under way at `gateway`, whatever was decided, because the
    /// filter only observes. Unless the payment is known to be executed or over, that puts it in
    /// doubt, and whoever had it before still may.
    #[must_use]
    pub fn observed_at(mut self, gateway: GatewayId, now: Timestamp, rules: &ClaimRules) -> Self {
        self = self.at(now);
        let all = self.holders().with(gateway);
        self.state = match self.state {
            ClaimState::Settled { .. } => ClaimState::settled(all),
            ClaimState::Closed { how, .. } => ClaimState::Closed { how, gateways: all },
            ClaimState::InFlight { .. }
            | ClaimState::Rejected { .. }
            | ClaimState::InDoubt { .. } => ClaimState::InDoubt {
                candidates: all,
                ended_at: now,
                repeat_until: Some(now.plus(rules.lease)),
                not_found: None,
            },
        };
        self.attempt = self.attempt.saturating_add(1);
        self.observed = true;
        self.changed_at = now;
        self
    }
}
