//! The claim: the record that a payment is taken, and its state machine.
//!
//! A claim is written by compare-and-set **before any byte leaves**. Afterwards evidence moves it,
//! and only evidence: a lease that ends frees nothing, it means that the outcome is unknown.
//!
//! ```text
//! (absent) --claim--> InFlight --> Settled    executed; repeats get a replay
//!                              --> Rejected   a definite NO; a repeat goes to the same gateway
//!                              --> (released) never sent; the key is free again
//!                              --> InDoubt    sent, outcome unknown
//! InDoubt --> Settled | Rejected | Closed     by evidence alone, an operator's included
//! ```
//!
//! These are the main ways; all of them stand in `tests/model/table.md`.
//!
//! [`Claim::admit`] says what the same payment may do when it comes again, [`Claim::apply`] what
//! evidence does to it. Both are exhaustive: every state against every event.

use super::key::Fingerprint;
use evidence::{AttemptId, Incarnation};
use rules::ClaimRules;
use state::ClaimState;

use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::time::Timestamp;

pub(super) mod admit;
mod apply;
mod attempt;
mod clock;
pub(super) mod evidence;
pub(super) mod fetch;
pub(super) mod rules;
pub(super) mod state;
mod told;

/// An amount in the smallest unit of its currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Money {
    /// In hundredths: SNAP writes amounts with two decimals.
    pub minor: u64,
    /// ISO 4217 letters; zeros when not known.
    pub currency: [u8; 3],
}

impl Money {
    /// The letters of its currency; empty when not known.
    #[must_use]
    pub fn letters(&self) -> &str {
        std::str::from_utf8(&self.currency).unwrap_or_default().trim_end_matches('\0')
    }

    /// The amount as SNAP writes it, `10000.00`; empty where its currency is not known.
    #[must_use]
    pub fn amount(&self) -> String {
        if self.letters().is_empty() {
            return String::new();
        }
        let (whole, cents) = (self.minor / 100, self.minor % 100);
        format!("{whole}.{cents:02}")
    }
}

/// The claim on one payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What the payment asks for.
    pub fingerprint: Fingerprint,
    /// Where it stands.
    pub state: ClaimState,
    /// How often it was sent, the attempt under way included.
    pub attempt: u16,
    /// Which claim of this key it is.
    pub incarnation: Incarnation,
    /// When its state last changed; a resolved claim is kept this long and `retention_s`.
    pub changed_at: Timestamp,
    /// How much money it is about, for whoever looks at what is in doubt.
    pub money: Money,
    /// It was written while the filter only observed: others may have been sent beside it.
    pub observed: bool,
    /// How many `Idempotency-Key` headers are bound to it.
    pub header_keys: u8,
    /// While it is in flight: the candidate that Envoy tries first.
    pub first: GatewayId,
}

impl Claim {
    /// When the attempt under way ends, if there is one.
    #[must_use]
    pub const fn lease_end(&self) -> Option<Timestamp> {
        match self.state {
            ClaimState::InFlight { until, .. } => Some(until),
            ClaimState::InDoubt { repeat_until, .. } | ClaimState::Settled { repeat_until, .. } => {
                repeat_until
            }
            ClaimState::Rejected { .. } | ClaimState::Closed { .. } => None,
        }
    }

    /// A payment's first claim, or what is learnt of one that was never claimed here.
    #[must_use]
    pub const fn new(
        fingerprint: Fingerprint,
        state: ClaimState,
        incarnation: Incarnation,
        money: Money,
    ) -> Self {
        Self {
            fingerprint,
            state,
            attempt: 1,
            incarnation,
            changed_at: incarnation.claimed_at,
            money,
            observed: false,
            header_keys: 0,
            first: GatewayId::FIRST,
        }
    }

    /// The claim as it is at `now`: one whose lease has ended is in doubt, whatever its bytes say.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        match &mut self.state {
            ClaimState::InFlight { candidates, until, .. } if now >= *until => {
                self.state = ClaimState::in_doubt(*candidates, *until);
            }
            ClaimState::InDoubt { ended_at, repeat_until, not_found, .. } => {
                if let Some(until) = repeat_until.filter(|until| now >= *until) {
                    *ended_at = until;
                    *repeat_until = None;
                    *not_found = None;
                }
            }
            ClaimState::Settled { repeat_until, .. } => {
                *repeat_until = repeat_until.filter(|until| now < *until);
            }
            ClaimState::InFlight { .. }
            | ClaimState::Rejected { .. }
            | ClaimState::Closed { .. } => {}
        }
        self
    }

    /// The claim as it counts where claims are enforced. While the filter only observed, nothing
    /// kept the same payment from being sent again: whatever the record says is in doubt, and its
    /// last copy may be under way as long as a lease.
    #[must_use]
    pub const fn enforced(mut self, rules: &ClaimRules) -> Self {
        if self.observed {
            self.state = ClaimState::in_doubt(self.holders(), self.changed_at.plus(rules.lease));
            self.observed = false;
        }
        self
    }

    /// The claim with its gateways by other names; `None` if one of them has none.
    #[inline(never)]
    pub(in crate::engine) fn map_gateways(
        mut self,
        map: &dyn Fn(Gateways) -> Option<Gateways>,
    ) -> Option<Self> {
        let one = |gateway: GatewayId| map(Gateways::only(gateway))?.single();
        match &mut self.state {
            ClaimState::InFlight { candidates, .. } => {
                *candidates = map(*candidates)?;
                self.first = one(self.first)?;
            }
            ClaimState::InDoubt { candidates, not_found, .. } => {
                *candidates = map(*candidates)?;
                if let Some((gateway, _)) = not_found {
                    *gateway = one(*gateway)?;
                }
            }
            ClaimState::Settled { gateways, .. } | ClaimState::Closed { gateways, .. } => {
                *gateways = map(*gateways)?;
            }
            ClaimState::Rejected { gateway } => *gateway = one(*gateway)?,
        }
        Some(self)
    }

    /// The gateways that hold the payment, or may.
    #[must_use]
    pub const fn holders(&self) -> Gateways {
        self.state.holders()
    }

    fn is_current(&self, of: AttemptId) -> bool {
        of.incarnation == self.incarnation && of.attempt == self.attempt
    }

    /// Whether an attempt is believed to be under way.
    #[must_use]
    pub const fn is_in_flight(&self) -> bool {
        matches!(self.state, ClaimState::InFlight { .. })
    }

    /// Whether the payment's outcome is known, so that its record may expire.
    #[must_use]
    pub const fn is_resolved(&self) -> bool {
        match self.state {
            ClaimState::Settled { .. }
            | ClaimState::Rejected { .. }
            | ClaimState::Closed { .. } => true,
            ClaimState::InFlight { .. } | ClaimState::InDoubt { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests;
