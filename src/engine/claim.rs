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
//! InDoubt --> Settled | Rejected | Closed     by evidence alone
//! ```
//!
//! [`Claim::admit`] says what the same payment may do when it comes again, [`Claim::apply`] what
//! evidence does to it. Both are exhaustive: every state against every event.

use super::gateway::{GatewayId, Gateways};
use super::key::Fingerprint;
use super::time::{Millis, Timestamp};

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
    pub attempt: u8,
    /// Which claim of this key it is.
    pub incarnation: Incarnation,
    /// When its state last changed; a resolved claim is kept this long and `retention_s`.
    pub changed_at: Timestamp,
    /// How much money it is about, for whoever looks at what is in doubt.
    pub money: Money,
}

/// The attempt that an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptId {
    /// Which claim of the key.
    pub incarnation: Incarnation,
    /// Which attempt of that claim, from 1.
    pub attempt: u8,
}

/// What became of an attempt, as far as the evidence goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Success, proven by an equal reference.
    Executed,
    /// A definite NO.
    No,
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
    /// It stays, and the evidence contradicts it.
    Contradicted,
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
    /// It was executed: the stored answer, if it is still kept.
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
    /// From the end of an attempt to its repeat.
    pub repeat_after: Millis,
    /// From the claim to its last repeat.
    pub repeat_max_age: Millis,
    /// From the end of the last attempt to the first "not found" that counts, and from that to the
    /// one that proves.
    pub settle_delay: Millis,
}

impl Claim {
    /// The claim as it is at `now`: one whose lease has ended is in doubt, whatever its bytes say.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        match &mut self.state {
            State::InFlight { candidates, until, .. } if now >= *until => {
                self.state = State::InDoubt {
                    candidates: *candidates,
                    ended_at: *until,
                    repeat_until: None,
                    not_found: None,
                };
            }
            State::InDoubt { ended_at, repeat_until, .. } => {
                if let Some(until) = repeat_until.filter(|until| now >= *until) {
                    *ended_at = until;
                    *repeat_until = None;
                }
            }
            State::InFlight { .. }
            | State::Settled { .. }
            | State::Rejected { .. }
            | State::Closed { .. } => {}
        }
        self
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
        match claim.state {
            State::InFlight { until, .. } => {
                Admission::InProgress { unknown: false, retry_after: until.since(now) }
            }
            State::Settled { .. } | State::Closed { .. } if !same => Admission::Mismatch,
            State::Settled { gateways } => Admission::Replay { gateways },
            State::Closed { how, .. } => Admission::Closed(how),
            State::Rejected { gateway } => Admission::Retry { gateway },
            State::InDoubt { .. } if !same => {
                Admission::InProgress { unknown: true, retry_after: rules.repeat_after }
            }
            State::InDoubt { repeat_until: Some(until), .. } => {
                Admission::InProgress { unknown: true, retry_after: until.since(now) }
            }
            State::InDoubt { candidates, ended_at, .. } => {
                let wait = ended_at.plus(rules.repeat_after).since(now);
                let age = now.since(claim.incarnation.claimed_at);
                match candidates.single() {
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

    /// This claim with a further attempt under way at `candidates`: after a NO it is in flight
    /// anew and takes `fingerprint` over; in doubt it stays in doubt and notes the repeat.
    #[must_use]
    pub fn further_attempt(mut self, fingerprint: Fingerprint, now: Timestamp, rules: &Rules) -> Self {
        let until = now.plus(rules.lease);
        self = self.at(now);
        self.attempt = self.attempt.saturating_add(1);
        match &mut self.state {
            State::InDoubt { repeat_until, .. } => *repeat_until = Some(until),
            State::Rejected { gateway } => {
                let candidates = Gateways::only(*gateway);
                self.state = State::InFlight { candidates, until, after_no: true };
                self.fingerprint = fingerprint;
            }
            State::InFlight { .. } | State::Settled { .. } | State::Closed { .. } => {}
        }
        self.changed_at = now;
        self
    }

    /// What `event` does to the claim at `now`.
    #[must_use]
    pub fn apply(&self, event: Event, now: Timestamp, rules: &Rules) -> Step {
        match event {
            Event::Answer { of, outcome, gateways } => self.answered(of, outcome, gateways, now),
            Event::Told { gateway, status } => self.told(gateway, status, now, rules),
        }
    }

    /// Evidence speaks of its own attempt only. An answer of another incarnation, or of an attempt
    /// that is not the last, may prove that the payment was executed and nothing else.
    fn answered(
        &self,
        of: AttemptId,
        outcome: Outcome,
        gateways: Gateways,
        now: Timestamp,
    ) -> Step {
        let claim = self.at(now);
        let current = of.incarnation == claim.incarnation && of.attempt == claim.attempt;
        match (claim.state, outcome) {
            (State::Settled { .. }, _) => Step::Stays,
            (State::Closed { how: Closed::Failed, .. }, Outcome::Executed) => {
                Step::Overturned(State::Settled { gateways })
            }
            (State::Closed { .. }, Outcome::Executed) => Step::Contradicted,
            (State::Closed { .. }, _) => Step::Stays,
            (
                State::InFlight { .. } | State::Rejected { .. } | State::InDoubt { .. },
                Outcome::Executed,
            ) => Step::To(State::Settled { gateways }),
            (State::InFlight { .. } | State::Rejected { .. } | State::InDoubt { .. }, _)
                if !current =>
            {
                Step::Stays
            }
            (State::InFlight { .. }, Outcome::No | Outcome::FailedBefore) => {
                match gateways.single() {
                    Some(gateway) => Step::To(State::Rejected { gateway }),
                    None => Step::To(in_doubt(gateways, now)),
                }
            }
            (State::InFlight { .. }, Outcome::Doubtful) => Step::To(in_doubt(gateways, now)),
            (State::InFlight { candidates, after_no, .. }, Outcome::NeverSent) => {
                match candidates.single() {
                    Some(gateway) if after_no => Step::To(State::Rejected { gateway }),
                    Some(_) | None => Step::Released,
                }
            }
            (
                State::Rejected { .. },
                Outcome::No | Outcome::FailedBefore | Outcome::NeverSent,
            ) => Step::Stays,
            (State::Rejected { gateway }, Outcome::Doubtful) => {
                Step::To(in_doubt(Gateways::only(gateway), now))
            }
            (State::InDoubt { candidates, repeat_until: Some(_), .. }, Outcome::FailedBefore) => {
                Step::To(State::Closed { how: Closed::Failed, gateways: candidates })
            }
            // A repeat's NO, failure or silence says nothing of the first copy: it may have taken
            // the money, the limit or the order. The repeat has ended, that is all.
            (
                State::InDoubt { candidates, repeat_until: Some(_), .. },
                Outcome::No | Outcome::Doubtful | Outcome::NeverSent,
            ) => Step::To(in_doubt(candidates, now)),
            (
                State::InDoubt { repeat_until: None, .. },
                Outcome::No | Outcome::FailedBefore | Outcome::Doubtful | Outcome::NeverSent,
            ) => Step::Stays,
        }
    }

    fn told(&self, by: GatewayId, status: Status, now: Timestamp, rules: &Rules) -> Step {
        let claim = self.at(now);
        let executed = State::Settled { gateways: Gateways::only(by) };
        let closed = |how| State::Closed { how, gateways: Gateways::only(by) };
        match (claim.state, status) {
            (State::Settled { .. }, Status::Executed | Status::Pending) => Step::Stays,
            (State::Settled { .. }, Status::Closed(how @ (Closed::Cancelled | Closed::Refunded))) => {
                Step::To(closed(how))
            }
            (State::Settled { .. }, Status::Closed(Closed::Failed) | Status::NotFound) => {
                Step::Contradicted
            }
            (State::Closed { how: Closed::Failed, .. }, Status::Executed) => {
                Step::Overturned(executed)
            }
            (State::Closed { .. }, Status::Executed) => Step::Contradicted,
            (State::Closed { .. }, Status::Pending | Status::Closed(_) | Status::NotFound) => {
                Step::Stays
            }
            (
                State::InFlight { .. } | State::Rejected { .. } | State::InDoubt { .. },
                Status::Executed,
            ) => Step::To(executed),
            // While the attempt is under way, an answer about it may be older than the attempt.
            (State::InFlight { .. }, Status::Pending | Status::Closed(_) | Status::NotFound) => {
                Step::Stays
            }
            (State::Rejected { .. }, Status::Pending | Status::NotFound) => Step::Stays,
            (State::Rejected { .. }, Status::Closed(how)) => Step::To(closed(how)),
            (State::InDoubt { candidates, ended_at, .. }, Status::Pending) => {
                match candidates.single() {
                    None if candidates.contains(by) => {
                        Step::To(in_doubt(Gateways::only(by), ended_at))
                    }
                    Some(_) | None => Step::Stays,
                }
            }
            // Only a candidate can clear itself.
            (State::InDoubt { candidates, .. }, Status::Closed(_) | Status::NotFound)
                if !candidates.contains(by) =>
            {
                Step::Stays
            }
            (State::InDoubt { candidates, ended_at, .. }, Status::Closed(how)) => {
                clear(candidates, by, ended_at, closed(how))
            }
            (State::InDoubt { .. }, Status::NotFound) => claim.not_found(by, now, rules),
        }
    }

    /// "Not found" may be said of a request that is still travelling. It proves something only
    /// when a first one came `settle_delay` after the last attempt ended, and this one at least as
    /// much later, both from the same candidate.
    fn not_found(&self, by: GatewayId, now: Timestamp, rules: &Rules) -> Step {
        let State::InDoubt { candidates, ended_at, repeat_until, not_found } = self.state else {
            return Step::Stays;
        };
        if repeat_until.is_some() || now < ended_at.plus(rules.settle_delay) {
            return Step::Stays;
        }
        match not_found {
            None => Step::To(State::InDoubt {
                candidates,
                ended_at,
                repeat_until,
                not_found: Some((by, now)),
            }),
            Some((first, at)) if first == by && now >= at.plus(rules.settle_delay) => {
                clear(candidates, by, ended_at, State::Rejected { gateway: by })
            }
            Some(_) => Step::Stays,
        }
    }
}

/// `by` is no candidate any longer; if it was the only one, the claim ends in `alone`.
fn clear(candidates: Gateways, by: GatewayId, ended_at: Timestamp, alone: State) -> Step {
    let left = candidates.without(by);
    if left.is_empty() {
        return Step::To(alone);
    }
    Step::To(in_doubt(left, ended_at))
}

const fn in_doubt(candidates: Gateways, ended_at: Timestamp) -> State {
    State::InDoubt { candidates, ended_at, repeat_until: None, not_found: None }
}

#[cfg(test)]
mod tests;
