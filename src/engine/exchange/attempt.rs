//! A request on its way: to which cluster, under which claim, and who is asked after that.

use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::payment::{AttemptId, Claim, Closed, Outcome, PaymentStatus};
use crate::engine::protocol::{Class, Verdict};

/// A request on its way.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// Envoy's cluster.
    pub(super) cluster: String,
    /// Whom the cluster reaches, in the order in which Envoy tries them.
    pub(super) members: Vec<GatewayId>,
    /// The breakers' generations, which the results must bring back.
    pub(super) generations: Vec<u32>,
    /// The first member is on trial and needs a permit.
    pub(super) trial: bool,
    /// The claim to be written first.
    pub(super) claim: Option<Claim>,
    /// The client's `Idempotency-Key` is to be bound to the payment first.
    pub(super) binds: bool,
    /// A cancel or refund whose payment is proven at another gateway than this one.
    pub(super) astray: bool,
    /// The customer's token leads here, and not for much longer unless that is written anew.
    pub(super) renews_token: bool,
    /// Who is asked if these do not have the payment.
    pub(super) lookup: Lookup,
    /// Word for logs.
    pub(super) decision: &'static str,
    /// What would have been decided, where the filter only observes.
    pub(super) would: &'static str,
}

/// The way from gateway to gateway of a request that none of those asked so far could answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Lookup {
    /// Who is left, with their breakers' generations.
    pub(super) left: Vec<(GatewayId, u32)>,
    /// When to go on.
    pub(super) when: ContinueOn,
    /// Whether those that were asked and those that are left are all there are.
    pub(super) asks_all: bool,
    /// Whether all that were asked before the last one said that the payment had ended.
    pub(super) said_closed: bool,
}

/// When a walk goes on to the next gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ContinueOn {
    /// Only when this one says, in SNAP's words, that it knows no such payment.
    #[default]
    NotFound,
    /// When it says so, or that the payment has ended: which one that is cannot be looked up, so it
    /// may have been executed at another one.
    Unnamed,
    /// Whenever this one proves nothing: each of them may have the payment.
    Inconclusive,
}

impl Attempt {
    /// The attempt that is being made.
    pub(super) fn id(&self) -> Option<AttemptId> {
        let claim = self.claim?;
        Some(AttemptId { incarnation: claim.incarnation, attempt: claim.attempt })
    }

    /// Everyone who can get it.
    pub(super) fn candidates(&self) -> Gateways {
        self.members.iter().copied().collect()
    }

    /// Whether the filter only observes it.
    pub(super) const fn is_observed(&self) -> bool {
        !self.would.is_empty()
    }
}

impl Lookup {
    /// Who is asked next, if `asked` leaves it open what became of a payment.
    pub(super) fn next(
        &self,
        class: Class,
        verdict: &Verdict,
        asked: GatewayId,
    ) -> Option<(GatewayId, u32)> {
        let goes_on = match (class, self.when) {
            // Only a definite NO shows that nothing was done there.
            (Class::FollowUp, _) => verdict.outcome == Outcome::No && verdict.not_found,
            (Class::Inquiry, ContinueOn::NotFound) => verdict.not_found,
            (Class::Inquiry, ContinueOn::Unnamed) => {
                verdict.not_found
                    || matches!(verdict.payment_status, Some(PaymentStatus::Closed(_)))
            }
            (Class::Inquiry, ContinueOn::Inconclusive) => !matches!(
                verdict.payment_status,
                Some(
                    PaymentStatus::Executed
                        | PaymentStatus::Pending
                        | PaymentStatus::Closed(Closed::Cancelled | Closed::Refunded)
                )
            ),
            (Class::Charge | Class::State, _) => false,
        };
        let mut left = self.left.iter().filter(|(gateway, _)| *gateway != asked);
        left.next().copied().filter(|_| goes_on)
    }

    /// Whether `asked` is the last of all there are.
    pub(super) fn ends_with(&self, asked: GatewayId) -> bool {
        self.asks_all && self.left.iter().all(|(gateway, _)| *gateway == asked)
    }
}
