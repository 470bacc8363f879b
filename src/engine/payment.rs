//! What is true of one payment, whoever carries it: its key, its claim, and what contradicts that.

mod anomaly;
mod claim;
mod doubt;
mod key;

pub use anomaly::{Anomaly, AnomalyKind};
pub use claim::admit::Admission;
pub use claim::evidence::{
    AttemptId, Evidence, Incarnation, Outcome, PaymentStatus, Resolution, Step,
};
pub use claim::fetch::Fetch;
pub use claim::rules::ClaimRules;
pub use claim::state::{ClaimState, Closed};
pub use claim::{Claim, Money};
pub use doubt::{DoubtEvent, ResolvedBy};
pub(in crate::engine) use doubt::{DoubtEvents, doubts};
pub use key::{
    ClaimKey, Fingerprint, KeyFront, KeyPrefix, PaymentRef, parse_idempotency_key, quote,
};
