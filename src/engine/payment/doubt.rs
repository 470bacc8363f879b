//! Payments that come into doubt, and what takes them out of it again.

use super::claim::Claim;
use super::claim::evidence::Evidence;
use super::claim::state::ClaimState;
use crate::engine::gateway::Gateways;

/// A change of whether anybody knows what became of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoubtEvent {
    /// Nobody knows it any longer. One of these gateways may have it.
    Opened(Gateways),
    /// It is known again.
    Resolved(ResolvedBy),
}

/// What has told how a payment in doubt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolvedBy {
    /// A gateway's answer to the payment itself: a late one, or to a repeat.
    Answer,
    /// A gateway's answer to somebody who asked for the payment's status, or cancelled it.
    Status,
    /// A gateway's notification.
    Notification,
    /// An operator.
    Operator,
}

impl ResolvedBy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Answer, Self::Status, Self::Notification, Self::Operator];

    /// What it is called in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Status => "status",
            Self::Notification => "notification",
            Self::Operator => "operator",
        }
    }

    pub(in crate::engine) const fn evidence(event: Evidence) -> Self {
        match event {
            Evidence::Answer { .. } => Self::Answer,
            Evidence::Told { .. } => Self::Status,
            Evidence::Operator(_) => Self::Operator,
        }
    }
}

/// What there is to be told when a record is written: at most that a doubt was opened and resolved.
pub(in crate::engine) type DoubtEvents = [Option<DoubtEvent>; 2];

/// What there is to be told when `stored`, which counted as `was`, is written as `is`. A lease that has
/// ended opens a doubt and writes nothing, so that is told with whatever is written next. Records of a
/// filter that only observed are left out.
pub(in crate::engine) const fn doubts(
    stored: &Claim,
    was: ClaimState,
    is: ClaimState,
    by: ResolvedBy,
) -> DoubtEvents {
    if stored.observed {
        return [None, None];
    }
    let ((ClaimState::InDoubt { candidates: doubted, .. }, _)
    | (_, ClaimState::InDoubt { candidates: doubted, .. })) = (was, is)
    else {
        return [None, None];
    };
    let is_new = !matches!(stored.state, ClaimState::InDoubt { .. });
    let is_over = !matches!(is, ClaimState::InDoubt { .. });
    [
        if is_new { Some(DoubtEvent::Opened(doubted)) } else { None },
        if is_over { Some(DoubtEvent::Resolved(by)) } else { None },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::gateway::GatewayId;
    use crate::engine::payment::{Fingerprint, Incarnation, Money};
    use crate::engine::time::Timestamp;

    const GATEWAY: Gateways = Gateways::only(GatewayId::FIRST);
    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn stored(state: ClaimState) -> Claim {
        let incarnation = Incarnation { claimed_at: NOW, nonce: 1 };
        Claim::new(Fingerprint::UNKNOWN, state, incarnation, Money::default())
    }

    #[test]
    fn a_doubt_is_opened_once_and_resolved_once() {
        let in_doubt = ClaimState::in_doubt(GATEWAY, NOW);
        let settled = ClaimState::settled(GATEWAY);
        let sent = ClaimState::InFlight { candidates: GATEWAY, until: NOW, after_no: false };
        let opened = Some(DoubtEvent::Opened(GATEWAY));
        let resolved = Some(DoubtEvent::Resolved(ResolvedBy::Status));
        for (as_stored, was, is, expected) in [
            (sent, sent, settled, [None, None]),
            (sent, sent, in_doubt, [opened, None]),
            (in_doubt, in_doubt, in_doubt, [None, None]),
            (in_doubt, in_doubt, settled, [None, resolved]),
            // Its lease has ended since.
            (sent, in_doubt, in_doubt, [opened, None]),
            (sent, in_doubt, settled, [opened, resolved]),
        ] {
            let found = doubts(&stored(as_stored), was, is, ResolvedBy::Status);
            assert_eq!(found, expected, "{as_stored:?} {was:?} {is:?}");
        }
        let observed = Claim { observed: true, ..stored(in_doubt) };
        assert_eq!(doubts(&observed, in_doubt, settled, ResolvedBy::Status), [None, None]);
    }
}
