//! The claim: the record that a payment is taken, and its whole state machine.
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
//! [`Claim::admit`] says what the same payment may do when it comes again, [`Claim::apply`] what
//! evidence does to it. Both are exhaustive: every state against every event.

use super::key::Fingerprint;
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::time::{Millis, Timestamp};

mod apply;
mod clock;
mod fetch;
mod state;

use apply::in_doubt;
pub use fetch::Fetch;

/// Where a claim stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Sent, or about to be, and believed until the lease ends.
    InFlight {
        /// Every gateway that the attempt can reach.
        candidates: Gateways,
        /// End of the lease.
        until: Timestamp,
        /// This attempt follows a definite NO: if it is never sent, that NO stands again.
        after_no: bool,
    },
    /// Executed. More than one gateway only where Envoy could not say which one answered.
    Settled {
        /// Who executed it.
        gateways: Gateways,
        /// While a repeat asks for the answer that is no longer kept: the end of its lease. Where none
        /// may be sent ([`State::said_settled`]) this is [`Timestamp::NEVER`].
        repeat_until: Option<Timestamp>,
    },
    /// A definite NO on the only attempt.
    Rejected {
        /// Who said so. A repeat goes there and nowhere else.
        gateway: GatewayId,
    },
    /// Sent, and nobody knows what became of it.
    InDoubt {
        /// Every gateway that may have executed it.
        candidates: Gateways,
        /// When the last attempt ended; before that nothing can be proven by its absence.
        ended_at: Timestamp,
        /// While a repeat is under way: the end of its lease.
        repeat_until: Option<Timestamp>,
        /// Who first said "not found", and when.
        not_found: Option<(GatewayId, Timestamp)>,
    },
    /// Ended without money, or with the money given back.
    Closed {
        /// How it ended.
        how: Closed,
        /// Who held it, as far as is known.
        gateways: Gateways,
    },
}

/// How a payment ended that was not executed, or was undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// It was refunded.
    Refunded,
}

/// Tells one claim of a key from a later one: a claim released and taken anew is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation {
    /// When it was claimed.
    pub claimed_at: Timestamp,
    /// Made from the request's id and context, so that two claims of one millisecond differ.
    pub nonce: u32,
}

/// An amount in the smallest unit of its currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Money {
    /// In hundredths: SNAP writes amounts with two decimals.
    pub minor: u64,
    /// ISO 4217 letters; zeros when not known.
    pub currency: [u8; 3],
}

/// The claim on one payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What the payment asks for.
    pub fingerprint: Fingerprint,
    /// Where it stands.
    pub state: State,
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

/// The attempt that an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptId {
    /// Which claim of the key.
    pub incarnation: Incarnation,
    /// Which attempt of that claim, from 1.
    pub attempt: u16,
}

/// What became of an attempt, as far as the evidence goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Success, proven by an equal reference.
    Executed,
    /// A definite NO.
    No,
    /// The same, in the words "I know no such payment", to a cancel or refund whose payment is
    /// proven at another gateway. The time of such an answer is when the attempt was sent.
    NotKnown,
    /// The gateway's documented answer to a repeat of a payment that had failed (top-up 5003800).
    FailedBefore,
    /// Anything that proves neither.
    Doubtful,
    /// No byte reached a gateway.
    NeverSent,
}

/// What a gateway's status answer says about a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Executed, or (an order) proven to exist there.
    Executed,
    /// Known there, outcome open.
    Pending,
    /// Ended there.
    Closed(Closed),
    /// Not known there.
    NotFound,
}

/// Evidence about a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An attempt of ours ended.
    Answer {
        /// Which one.
        of: AttemptId,
        /// What the evidence says.
        outcome: Outcome,
        /// The gateways that it can speak of.
        gateways: Gateways,
    },
    /// A gateway told the payment's status, or cancelled it.
    Told {
        /// Who said so.
        gateway: GatewayId,
        /// What it said.
        status: Status,
    },
    /// An operator has looked it up where the money is.
    Operator(Resolution),
}

/// What an operator found out about a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// This gateway has executed it.
    ExecutedAt(GatewayId),
    /// Nobody has executed it, and nobody will.
    NotExecuted,
}

/// What evidence did to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: it stays as it was.
    Stays,
    /// It moved.
    To(State),
    /// The claim is gone and the key is free.
    Released,
    /// The evidence contradicts it. It stays as it was, but for a repeat that has ended by that.
    Contradicted(State),
    /// It moved although it had been resolved otherwise.
    Overturned(State),
}

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

/// The delays that money waits for.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How long an attempt is believed without news.
    pub lease: Millis,
    /// How long a gateway may take to answer: when whoever waits for that may ask again.
    pub response: Millis,
    /// From the end of an attempt to its repeat.
    pub repeat_after: Millis,
    /// From the claim to its last repeat.
    pub repeat_max_age: Millis,
    /// From the end of the last attempt to the first "not found" that counts, and from that to the
    /// one that proves.
    pub settle_delay: Millis,
    /// The gateways recognise each other's payments, so that one of several candidates can be sent
    /// a repeat.
    pub shared_ledger: bool,
}

impl Claim {
    /// A payment's first claim, or what is learnt of one that was never claimed here.
    #[must_use]
    pub const fn new(
        fingerprint: Fingerprint,
        state: State,
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
            State::InFlight { candidates, until, .. } if now >= *until => {
                self.state = in_doubt(*candidates, *until);
            }
            State::InDoubt { ended_at, repeat_until, not_found, .. } => {
                if let Some(until) = repeat_until.filter(|until| now >= *until) {
                    *ended_at = until;
                    *repeat_until = None;
                    *not_found = None;
                }
            }
            State::Settled { repeat_until, .. } => {
                *repeat_until = repeat_until.filter(|until| now < *until);
            }
            State::InFlight { .. } | State::Rejected { .. } | State::Closed { .. } => {}
        }
        self
    }

    /// The claim as it counts where claims are enforced. While the filter only observed, nothing
    /// kept the same payment from being sent again: whatever the record says is in doubt, and its
    /// last copy may be under way as long as a lease.
    #[must_use]
    pub const fn enforced(mut self, rules: &Rules) -> Self {
        if self.observed {
            self.state = in_doubt(self.holders(), self.changed_at.plus(rules.lease));
            self.observed = false;
        }
        self
    }

    /// This claim with a further copy under way at `gateway`, whatever was decided, because the
    /// filter only observes. Unless the payment is known to be executed or over, that puts it in
    /// doubt, and whoever had it before still may.
    #[must_use]
    pub fn observed_at(mut self, gateway: GatewayId, now: Timestamp, rules: &Rules) -> Self {
        self = self.at(now);
        let all = self.holders().with(gateway);
        self.state = match self.state {
            State::Settled { .. } => State::settled(all),
            State::Closed { how, .. } => State::Closed { how, gateways: all },
            State::InFlight { .. } | State::Rejected { .. } | State::InDoubt { .. } => {
                State::InDoubt {
                    candidates: all,
                    ended_at: now,
                    repeat_until: Some(now.plus(rules.lease)),
                    not_found: None,
                }
            }
        };
        self.attempt = self.attempt.saturating_add(1);
        self.observed = true;
        self.changed_at = now;
        self
    }

    /// The gateways that hold the payment, or may.
    #[must_use]
    pub const fn holders(&self) -> Gateways {
        self.state.holders()
    }

    /// The attempt `of` was answered with a definite "not found" by the only gateway it went to,
    /// so that it may go on to `gateway`: the claim with that attempt under way. `None` when the
    /// claim has meanwhile become another one.
    #[must_use]
    pub fn onward(
        mut self,
        of: AttemptId,
        gateway: GatewayId,
        now: Timestamp,
        rules: &Rules,
    ) -> Option<Self> {
        let is_current = self.is_current(of);
        self = self.at(now);
        match &mut self.state {
            State::InFlight { candidates, until, .. }
                if is_current && candidates.single().is_some() =>
            {
                *candidates = Gateways::only(gateway);
                *until = now.plus(rules.lease);
            }
            State::InFlight { .. }
            | State::Settled { .. }
            | State::Rejected { .. }
            | State::InDoubt { .. }
            | State::Closed { .. } => return None,
        }
        self.attempt = self.attempt.saturating_add(1);
        self.changed_at = now;
        Some(self)
    }

    fn is_current(&self, of: AttemptId) -> bool {
        of.incarnation == self.incarnation && of.attempt == self.attempt
    }

    /// Whether an attempt is believed to be under way.
    #[must_use]
    pub const fn is_in_flight(&self) -> bool {
        matches!(self.state, State::InFlight { .. })
    }

    /// Whether the payment's outcome is known, so that its record may expire.
    #[must_use]
    pub const fn is_resolved(&self) -> bool {
        match self.state {
            State::Settled { .. } | State::Rejected { .. } | State::Closed { .. } => true,
            State::InFlight { .. } | State::InDoubt { .. } => false,
        }
    }

    /// What the same payment, asking for `fingerprint`, may do at `now`.
    #[must_use]
    pub fn admit(&self, fingerprint: Fingerprint, now: Timestamp, rules: &Rules) -> Admission {
        let claim = self.at(now);
        // Of a record learnt from a status answer nothing is known of the request.
        let same = claim.fingerprint == fingerprint || claim.fingerprint == Fingerprint::UNKNOWN;
        let left = |until: Timestamp| until.since(now).min(rules.longest_wait());
        match claim.state {
            State::InFlight { .. } => {
                let retry_after = claim.answer_due(now, rules);
                Admission::InProgress { unknown: false, retry_after }
            }
            State::Settled { .. } | State::Closed { .. } if !same => Admission::Mismatch,
            State::Settled { gateways, .. } => Admission::Replay { gateways },
            State::Closed { how, .. } => Admission::Closed(how),
            State::Rejected { gateway } => Admission::Retry { gateway },
            State::InDoubt { .. } if !same => {
                Admission::InProgress { unknown: true, retry_after: rules.repeat_after }
            }
            State::InDoubt { repeat_until: Some(_), .. } => {
                let retry_after = claim.answer_due(now, rules);
                Admission::InProgress { unknown: true, retry_after }
            }
            State::InDoubt { candidates, ended_at, .. } => {
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

    /// This claim with a further attempt under way at `gateway`: after a NO it is in flight anew
    /// and takes `fingerprint` over; in doubt it stays in doubt and notes the repeat, and so it
    /// does where it was executed.
    #[must_use]
    pub fn further_attempt(
        mut self,
        fingerprint: Fingerprint,
        gateway: GatewayId,
        now: Timestamp,
        rules: &Rules,
    ) -> Self {
        let until = now.plus(rules.lease);
        self = self.at(now);
        self.attempt = self.attempt.saturating_add(1);
        match &mut self.state {
            State::InDoubt { candidates, repeat_until, .. } => {
                // What was said before this attempt says nothing about it. It stays noted, because
                // this attempt may be told the same.
                *candidates = candidates.with(gateway);
                *repeat_until = Some(until);
            }
            State::Rejected { .. } => {
                let candidates = Gateways::only(gateway);
                self.state = State::InFlight { candidates, until, after_no: true };
                self.fingerprint = fingerprint;
            }
            State::Settled { repeat_until, .. } => *repeat_until = Some(until),
            State::InFlight { .. } | State::Closed { .. } => {}
        }
        self.changed_at = now;
        self
    }
}

#[cfg(test)]
mod tests;
