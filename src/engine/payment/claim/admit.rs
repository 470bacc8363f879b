//! What the same payment may do when it comes again.

use super::Claim;
use super::rules::ClaimRules;
use super::state::{ClaimState, Closed};
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::payment::key::Fingerprint;
use crate::engine::time::{Millis, Timestamp};

/// What the same payment may do when it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Nothing: another request carries it, or its outcome is unknown and it asks for something
    /// else.
    InProgress {
        /// Whether the outcome of what was sent is unknown.
        unknown: bool,
        /// When to ask again.
        retry_after: Millis,
    },
    /// It was executed: the stored answer, or [`Claim::fetch`] if that is no longer kept.
    Replay {
        /// By whom.
        gateways: Gateways,
    },
    /// A fresh attempt, at this gateway only: it said NO before.
    Retry {
        /// The gateway that said NO.
        gateway: GatewayId,
    },
    /// The same payment once more to the only gateway that can have it.
    Repeat {
        /// The only candidate.
        gateway: GatewayId,
    },
    /// Nothing: the outcome is unknown.
    Unknown {
        /// When to ask again.
        retry_after: Millis,
    },
    /// Nothing: this key belongs to another payment.
    Mismatch,
    /// Nothing: the payment ended this way.
    Closed(Closed),
}

impl Claim {
    /// What the same payment, asking for `fingerprint`, may do at `now`.
    #[must_use]
    pub fn admit(&self, fingerprint: Fingerprint, now: Timestamp, rules: &ClaimRules) -> Admission {
        let claim = self.at(now);
        // Of a record learnt from a status answer nothing is known of the request.
        let same = claim.fingerprint == fingerprint || claim.fingerprint == Fingerprint::UNKNOWN;
        let left = |until: Timestamp| until.since(now).min(rules.longest_wait());
        match claim.state {
            ClaimState::InFlight { .. } => {
                let retry_after = claim.answer_due(now, rules);
                Admission::InProgress { unknown: false, retry_after }
            }
            ClaimState::Settled { .. } | ClaimState::Closed { .. } if !same => Admission::Mismatch,
            ClaimState::Settled { gateways, .. } => Admission::Replay { gateways },
            ClaimState::Closed { how, .. } => Admission::Closed(how),
            ClaimState::Rejected { gateway } => Admission::Retry { gateway },
            ClaimState::InDoubt { .. } if !same => {
                Admission::InProgress { unknown: true, retry_after: rules.repeat_after }
            }
            ClaimState::InDoubt { repeat_until: Some(_), .. } => {
                let retry_after = claim.answer_due(now, rules);
                Admission::InProgress { unknown: true, retry_after }
            }
            ClaimState::InDoubt { candidates, ended_at, .. } => {
                let wait = left(ended_at.plus(rules.repeat_after));
                let age = now.since(claim.incarnation.claimed_at);
                let shared = candidates.iter().find(|_| rules.shared_ledger);
                match candidates.single().or(shared) {
                    Some(gateway) if wait.get() == 0 && age <= rules.repeat_max_age => {
                        Admission::Repeat { gateway }
                    }
                    Some(_) | None => {
                        Admission::Unknown { retry_after: wait.max(rules.repeat_after) }
                    }
                }
            }
        }
    }
}
