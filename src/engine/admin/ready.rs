//! Whether an Envoy that has just started can take payments. It is asked by balancers and by
//! orchestrators, so it says nothing that needs a token.
//!
//! Once it is ready it stays so whatever becomes of gateways and of the store: they are the same for
//! all Envoys, and whoever took all of them out of service would stop status inquiries too, and
//! merchants would get no answers instead of those that say what to do.

use super::status::StatusReport;
use crate::engine::store::StoreLink;

/// What is still to come before the first payment can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotReady {
    /// No gateway has answered a heartbeat well.
    NoHeartbeat,
    /// A worker has not joined the store in etcd, or cannot use it.
    NotJoined,
}

impl NotReady {
    pub(super) const fn detail(self) -> &'static str {
        match self {
            Self::NoHeartbeat => {
                "No gateway has answered a heartbeat well since Envoy has started."
            }
            Self::NotJoined => {
                "A worker has not joined the claim store in etcd yet. If it lasts, Envoy's log says why."
            }
        }
    }
}

/// What is in the way of the first payment, if anything is.
pub(super) fn hindrance(status: &StatusReport<'_>) -> Option<NotReady> {
    let heard =
        status.policy.order().any(|gateway| status.member(gateway).heartbeat.good_at().is_some());
    if !heard {
        return Some(NotReady::NoHeartbeat);
    }
    let links = status.links?;
    let many = |link| links.count(link, status.now);
    let is_joined = many(StoreLink::Joining) + many(StoreLink::Refused) == 0;
    (!is_joined || links.worst(status.now).is_none()).then_some(NotReady::NotJoined)
}
