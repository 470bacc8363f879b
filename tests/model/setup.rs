//! What all stories of one kind share, and how far they get.

use std::rc::Rc;

use dana_failover::engine::config::{Config, Policy};
use dana_failover::engine::payment::{ClaimKey, KeyPrefix};
use dana_failover::engine::store::{Layout, Placement, Seed};
use dana_failover::engine::time::Timestamp;

use super::ledger::PAYMENTS;
use super::reference::Reference;
use super::wishes::key;

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
    /// The clock is put a day ahead or back, and right again. The bucket is as full as it was laid
    /// out for, so that whatever seems old makes room.
    Clock,
}

/// One bucket, so that all payments race for one value; a breaker that trips and recovers often.
const CONFIG: &str = r#"{
    "gateways": [
        {"name": "primary", "cluster": "dana_primary"},
        {"name": "secondary", "cluster": "dana_secondary"}],
    "composites": [
        {"members": ["primary", "secondary"], "cluster": "dana_primary_first"},
        {"members": ["secondary", "primary"], "cluster": "dana_secondary_first"}],
    "heartbeat": {"stale_ms": 3600000},
    "breaker": {"consecutive_failures": 2, "min_calls": 4, "open_ms": 1000, "open_ms_max": 30000,
                "half_open_permits": 1},
    "idempotency": {"store": {"local": {"claims_max": 16}}}
}"#;

/// What all stories of a kind share.
pub(crate) struct Setup {
    pub(crate) kind: Kind,
    pub(crate) policy: Rc<Policy>,
    /// The same, where nothing is enforced.
    pub(crate) observing: Rc<Policy>,
    pub(crate) reference: Reference,
    pub(crate) payments: usize,
    /// Where each payment's claim is.
    pub(crate) keys: [(u32, KeyPrefix); PAYMENTS],
}

fn policy(setting: &str, buckets: u32) -> Rc<Policy> {
    let config = CONFIG.replacen('{', &format!("{{{setting}"), 1);
    let claims_max = format!(r#""claims_max": {}"#, buckets * 16);
    let config = config.replace(r#""claims_max": 16"#, &claims_max);
    let config = Config::parse(config.as_bytes()).unwrap();
    let mut layout = Layout::new(Placement::new(config.buckets(), Seed::default()));
    Rc::new(Policy::join(config, &mut layout, Timestamp::default()).unwrap().0)
}

impl Setup {
    pub(crate) fn new(kind: Kind) -> Self {
        let (setting, buckets, payments) = match kind {
            Kind::Plain | Kind::HandOver | Kind::Clock => ("", 1, 3),
            Kind::HeaderKeys => ("", 4, PAYMENTS),
            Kind::SharedLedger { .. } => (r#""ledger": "shared","#, 1, 3),
        };
        let policy = policy(setting, buckets);
        let observing = self::policy(r#""mode": "observe","#, buckets);
        let reference = Reference::new(policy.claims);
        let place = |key: ClaimKey| (policy.placement.bucket(key.reference()), key.prefix());
        let keys = std::array::from_fn(|payment| place(key(payment)));
        Self { kind, policy, observing, reference, payments, keys }
    }

    /// Whether the clock leaps.
    pub(crate) fn leaps(&self) -> bool {
        self.kind == Kind::Clock
    }

    /// Whether the gateways share their ledger.
    pub(crate) const fn is_shared(&self) -> bool {
        matches!(self.kind, Kind::SharedLedger { .. })
    }

    pub(crate) const fn lag(&self) -> Option<u64> {
        match self.kind {
            Kind::SharedLedger { lag } => Some(lag),
            Kind::Plain | Kind::HeaderKeys | Kind::HandOver | Kind::Clock => None,
        }
    }

    /// A copy that travels arrives before that, or never. With ledgers of their own: after a first
    /// "not found" may be noted, and before a second one can be proof. With a shared one: early
    /// enough to be known everywhere when another gateway may be asked.
    pub(crate) fn travels(&self) -> u64 {
        self.lag().map_or(119_000, |lag| self.policy.claims.settle_delay.get() - lag)
    }
}

/// How far the stories got.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reached {
    pub(crate) transitions: u64,
    pub(crate) executed: u64,
    pub(crate) in_doubt: u64,
    pub(crate) moved_on: u64,
    pub(crate) replayed: u64,
    pub(crate) repeated: u64,
    /// Answers that were not kept asked for again.
    pub(crate) fetched: u64,
    pub(crate) crashed: u64,
    pub(crate) walked: u64,
    pub(crate) steps: u64,
    /// Records moved by an operator's word.
    pub(crate) resolved: u64,
    /// Header keys bound apart from their claims.
    pub(crate) bound: u64,
    /// Header keys of another payment that was proven.
    pub(crate) mismatched: u64,
    /// Payments taken to another gateway than before.
    pub(crate) taken_over: u64,
    /// Copies that were only observed.
    pub(crate) observed: u64,
    /// Payments sent while observed and again while enforced.
    pub(crate) handed_over: u64,
    /// How often the clock leapt.
    pub(crate) leaps: u64,
    /// Clients that left while the store was asked.
    pub(crate) left: u64,
}

impl Reached {
    pub(crate) const fn plus(self, more: Self) -> Self {
        Self {
            transitions: self.transitions + more.transitions,
            executed: self.executed + more.executed,
            in_doubt: self.in_doubt + more.in_doubt,
            moved_on: self.moved_on + more.moved_on,
            replayed: self.replayed + more.replayed,
            repeated: self.repeated + more.repeated,
            fetched: self.fetched + more.fetched,
            crashed: self.crashed + more.crashed,
            walked: self.walked + more.walked,
            steps: self.steps + more.steps,
            resolved: self.resolved + more.resolved,
            bound: self.bound + more.bound,
            mismatched: self.mismatched + more.mismatched,
            taken_over: self.taken_over + more.taken_over,
            observed: self.observed + more.observed,
            handed_over: self.handed_over + more.handed_over,
            leaps: self.leaps + more.leaps,
            left: self.left + more.left,
        }
    }
}
