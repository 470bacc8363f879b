//! What all stories of one kind share, and how far they get.

use std::collections::BTreeMap;
use std::rc::Rc;

use dana_failover::engine::Timestamp;
use dana_failover::engine::{ClaimKey, KeyPrefix};
use dana_failover::engine::{Inbound, Policy};
use dana_failover::engine::{Layout, Placement, Seed};

use super::gateways::configured;
use super::ledger::PAYMENTS;
use super::notices::{Signers, notify_config};
use super::reference::Reference;
use super::wishes::{key, partner};

/// What stories are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Payments named by their bodies, two ledgers, always enforced.
    Plain,
    /// Clients send header keys too; several buckets, so that bindings lie apart from claims.
    HeaderKeys,
    /// One ledger behind both gateways. What happens at one is known at the other after `lag`.
    SharedLedger { lag: u64 },
    /// What is enforced is only observed for a while.
    HandOver,
    /// Two Envoys whose claims stand in one etcd; the second one's clock is so far ahead.
    Remote { ahead: u64 },
    /// The clock is put a day ahead or back, and right again. The bucket is as full as it was laid
    /// out for, so that whatever seems old makes room.
    Clock,
}

/// One bucket, so that all payments race for one value; a breaker that trips and recovers often.
const CONFIG: &str = r#"
    "breaker": {"consecutive_failures": 2, "min_calls": 4, "open_ms": 1000, "open_ms_max": 30000,
                "half_open_permits": 1},
    "idempotency": {"store": {"local": {"claims_max": 16}}}"#;

/// What all stories of a kind share.
pub(crate) struct Setup {
    pub(crate) kind: Kind,
    pub(crate) policy: Rc<Policy>,
    /// The same, where nothing is enforced.
    pub(crate) observing: Rc<Policy>,
    /// The same, where a partner's notifications come in, by payment, and what they are read by.
    pub(crate) notifying: [(Rc<Policy>, Rc<Inbound>); PAYMENTS],
    pub(crate) signers: Signers,
    pub(crate) reference: Reference,
    pub(crate) payments: usize,
    /// Where each payment's claim is.
    pub(crate) keys: [(u32, KeyPrefix); PAYMENTS],
}

fn policy(setting: &str, buckets: u32) -> Rc<Policy> {
    let config = format!("{setting}{CONFIG}");
    let claims_max = format!(r#""claims_max": {}"#, buckets * 16);
    let config = config.replace(r#""claims_max": 16"#, &claims_max);
    let config = configured(&config);
    let mut layout = Layout::new(Placement::new(config.store.claims_max, Seed::default()));
    Rc::new(Policy::join(config, &mut layout, Timestamp::default()).unwrap().0)
}

impl Setup {
    pub(crate) fn new(kind: Kind) -> Self {
        let (setting, buckets, payments) = match kind {
            Kind::Plain | Kind::HandOver | Kind::Clock | Kind::Remote { .. } => ("", 1, 3),
            Kind::HeaderKeys => ("", 4, PAYMENTS),
            Kind::SharedLedger { .. } => (r#""ledger": "shared","#, 1, 3),
        };
        let policy = policy(setting, buckets);
        let observing = self::policy(r#""mode": "observe","#, buckets);
        let notifying = std::array::from_fn(|payment| {
            let config = notify_config(partner(payment));
            let policy = self::policy(&format!("{config}, {setting}"), buckets);
            let inbound = Rc::new(Inbound::new(&policy).unwrap());
            (policy, inbound)
        });
        let signers = Signers::default();
        let reference = Reference::new(policy.claims);
        let place = |key: ClaimKey| (policy.placement.bucket(key.reference()), key.prefix());
        let keys = std::array::from_fn(|payment| place(key(payment)));
        Self { kind, policy, observing, notifying, signers, reference, payments, keys }
    }

    /// Whether the clock leaps.
    pub(crate) fn leaps(&self) -> bool {
        self.kind == Kind::Clock
    }

    /// How Envoys that share an etcd differ, if that is what the stories are about.
    pub(crate) const fn remoteness(&self) -> Option<Remoteness> {
        match self.kind {
            // With equal clocks, times are what the table says.
            Kind::Remote { ahead: 0 } => Some(Remoteness { ahead: [0, 0], skew: 0 }),
            Kind::Remote { ahead } => Some(Remoteness { ahead: [0, ahead], skew: SKEW_MS }),
            Kind::Plain
            | Kind::HeaderKeys
            | Kind::SharedLedger { .. }
            | Kind::HandOver
            | Kind::Clock => None,
        }
    }

    /// Whether gateways notify: where payments are enforced.
    pub(crate) const fn notifies(&self) -> bool {
        match self.kind {
            Kind::Plain
            | Kind::HeaderKeys
            | Kind::SharedLedger { .. }
            | Kind::Clock
            | Kind::Remote { .. } => true,
            Kind::HandOver => false,
        }
    }

    /// Whether the gateways share their ledger.
    pub(crate) const fn is_shared(&self) -> bool {
        matches!(self.kind, Kind::SharedLedger { .. })
    }

    pub(crate) const fn lag(&self) -> Option<u64> {
        match self.kind {
            Kind::SharedLedger { lag } => Some(lag),
            Kind::Plain | Kind::HeaderKeys | Kind::HandOver | Kind::Clock | Kind::Remote { .. } => {
                None
            }
        }
    }

    /// A copy that travels arrives before that, or never. With ledgers of their own: after a first
    /// "not found" may be noted, and before a second one can be proof. With a shared one: early
    /// enough to be known everywhere when another gateway may be asked.
    pub(crate) fn travels(&self) -> u64 {
        self.lag().map_or(119_000, |lag| self.policy.claims.settle_delay.get() - lag)
    }
}

/// How far the clocks of Envoys may differ.
pub(crate) const SKEW_MS: u64 = 2000;

/// How Envoys that share an etcd differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remoteness {
    /// By how much each one's clock is ahead.
    pub(crate) ahead: [u64; 2],
    /// By how much clocks may differ, as each Envoy believes.
    pub(crate) skew: u64,
}

/// Something that stories come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Milestone {
    Transitions,
    Executed,
    InDoubt,
    MovedOn,
    Replayed,
    Repeated,
    /// Answers that were not kept asked for again.
    Fetched,
    Crashed,
    Walked,
    Steps,
    /// Records moved by an operator's word.
    Resolved,
    /// Header keys bound apart from their claims.
    Bound,
    /// Header keys of another payment that was proven.
    Mismatched,
    /// Payments taken to another gateway than before.
    TakenOver,
    /// Copies that were only observed.
    Observed,
    /// Payments sent while observed and again while enforced.
    HandedOver,
    /// How often the clock leapt.
    Leaps,
    /// Clients that left while the store was asked.
    Left,
    /// Claims that were written, and of which their Envoy never learnt.
    Unclear,
    /// Such claims that were taken back.
    Retracted,
    /// Calls of etcd that arrived late.
    Landed,
    /// Late ones that changed something.
    LandedInTime,
    /// Envoys that died.
    Restarted,
    /// Notifications that their application got.
    Notified,
    /// Notifications of payments in doubt that are proven by them.
    ProvenByNotice,
    /// Notifications that came again while their application had them.
    NotifiedMeanwhile,
    /// Notifications that came again once they were confirmed.
    Confirmed,
    /// Notifications that were forged.
    Forged,
}

/// How often stories came to what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reached(BTreeMap<Milestone, u64>);

impl Reached {
    pub(crate) fn note(&mut self, what: Milestone, times: impl Into<u64>) {
        *self.0.entry(what).or_default() += times.into();
    }

    pub(crate) fn times(&self, what: Milestone) -> u64 {
        self.0.get(&what).copied().unwrap_or_default()
    }

    pub(crate) fn add(&mut self, more: &Self) {
        more.0.iter().for_each(|(what, times)| self.note(*what, *times));
    }
}
