//! What a session with the store works by.

use super::local::placement::Placement;
use crate::engine::health::WorkerCounters;
use crate::engine::payment::{ClaimKey, ClaimRules};
use crate::engine::store::cell::{Cell, Expected};
use crate::engine::store::contract::Version;
use crate::engine::time::{Millis, Timestamp};

/// What a session works by.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Now.
    pub now: Timestamp,
    /// Where records stand.
    pub placement: Placement,
    /// How many sets there are of kept answers.
    pub answer_sets: u32,
    /// The delays that tell which times cannot be.
    pub rules: &'a ClaimRules,
    /// How long a resolved claim and a header key are kept.
    pub claims: Millis,
    /// How long a customer's token is kept, from its last use.
    pub tokens: Millis,
    /// They know where the clock leapt, and nothing grew older.
    pub counters: &'a WorkerCounters,
}

impl Terms<'_> {
    pub(super) fn answers_of(&self, key: &ClaimKey) -> Cell {
        Cell::Body(self.placement.body(key.reference(), self.answer_sets))
    }
}

impl Version {
    pub(super) fn of(expected: Expected) -> Self {
        match expected {
            Expected::Absent | Expected::Any => Self(0),
            Expected::At(version) => Self(version.into()),
        }
    }

    pub(super) fn expected(self) -> Expected {
        u32::try_from(self.0)
            .ok()
            .filter(|version| *version > 0)
            .map_or(Expected::Absent, Expected::At)
    }
}
