//! What decisions ask of a store, and what it tells: records by key, and nothing of where they
//! stand or how they get there.
//!
//! One store may answer in the same call, another one later, or never. Whatever it is: a commit is
//! all or nothing where the store can; where it cannot, aliases come before claims, so that an alias
//! may be left without its claim and never the other way round.

use super::kept_answer::KeptAnswer;
use super::record::Entry;
use crate::engine::health::Health;
use crate::engine::payment::{ClaimKey, Incarnation, PaymentRef};

/// What a record stands under. A header key and a customer's token know the payment that they lead
/// to by as much of its key as it takes to find it, and so this is all that a key is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A payment's claim.
    Payment(PaymentRef),
    /// What leads to a payment or a gateway.
    Alias(PaymentRef),
}

impl Key {
    /// What it is made of.
    #[must_use]
    pub const fn reference(self) -> PaymentRef {
        match self {
            Self::Payment(reference) | Self::Alias(reference) => reference,
        }
    }
}

/// Tells whether a record is still the one that was read. Only the store knows what it means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version(pub(super) u64);

impl Version {
    /// Another one for each value that was written lately, and 0 where none ever was. Envoy counts all
    /// writes of a process in 32 bits.
    pub(in crate::engine) const fn number(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
impl Version {
    /// That of a store in tests.
    pub(in crate::engine) const fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// A record as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it stands under.
    pub key: Key,
    /// What stands there.
    pub entry: Entry,
    /// What a commit that builds on it must expect.
    pub version: Version,
}

/// How long a store tries to write before it says [`StoreEvent::Unclear`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Once: somebody waits for what is true anyhow.
    Short,
    /// As often as the store has time for.
    Long,
}

/// Records to be written together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// What must still be as it was read.
    pub expect: Vec<(Key, Version)>,
    /// What is to stand there; [`Entry::Absent`] takes a record out.
    pub put: Vec<(Key, Entry)>,
    /// How long the store tries.
    pub patience: Patience,
}

/// What is asked of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreRequest {
    /// Read these, as they are now.
    Read(Vec<Key>),
    /// Read these too: they are looked at together with what was read last.
    ReadMore(Vec<Key>),
    /// Say what these are, for whoever is about to commit and so finds out. A store that is far away
    /// may guess: what it last knew of them, or else that they are absent.
    Peek(Vec<Key>),
    /// Write these, if they are as expected.
    Commit(Commit),
    /// See to it that the last commit, which was unclear, never counts. What others have written
    /// stays.
    Retract,
    /// Tell when the store may be asked again. One that answers in the same call refuses: asking it
    /// again brings nothing.
    Pause,
    /// Read what this process knows of the gateways.
    ReadHealth,
    /// Write that, if it is as expected.
    WriteHealth(Box<Health>, Version),
    /// Look for the answer to this incarnation of a payment.
    FindAnswer(ClaimKey, Incarnation),
    /// Keep the answer to this incarnation of a payment. It is kept for comfort: nothing depends on
    /// it.
    KeepAnswer(ClaimKey, Incarnation, Box<KeptAnswer>),
}

/// What a store tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreEvent {
    /// What was asked for, in its order.
    Seen(Vec<Seen>),
    /// The same, as it may be: a commit that expects it tells.
    Guessed(Vec<Seen>),
    /// All of it is written.
    Committed,
    /// Nothing of it is written but aliases, because a record is not as expected.
    Conflict,
    /// It may be written, or still be.
    Unclear,
    /// It does not count, whatever became of it.
    Retracted,
    /// The store may be asked again.
    Resumed,
    /// It is not there, and will not be.
    Refused(StoreError),
    /// What this process knows of the gateways.
    Health(Box<Health>, Version),
    /// That is written.
    HealthWritten,
    /// It is not, because it is no longer what it was.
    HealthConflict,
    /// It could not be read, or it is not known whether it was written.
    HealthUnclear,
    /// The answer that was looked for, if it is kept.
    Answer(Option<KeptAnswer>),
    /// It is kept, or was given up.
    AnswerKept,
}

/// Why a store has refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// It cannot be asked now, or says what cannot be read.
    Unavailable,
    /// It has no room.
    Full,
}
