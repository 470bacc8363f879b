//! The claim as the table has it, beside the claim as the engine has it.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a result that does not fit its event is a mistake in the table"
)]

use std::cell::RefCell;

use dana_failover::engine::{
    Admission, Claim, ClaimRules, ClaimState, Closed, Evidence, Fetch, Fingerprint, Incarnation,
    Money, Outcome, PaymentStatus, Resolution, Step,
};
use dana_failover::engine::{GatewayId, Gateways};
use dana_failover::engine::{Millis, Timestamp};

use super::table::{Becomes, Condition, Ended, Table, Who};

/// The table at work.
pub(crate) struct Reference {
    table: Table,
    rules: ClaimRules,
    /// How often each row was taken.
    taken: RefCell<Vec<u64>>,
}

/// What a row's conditions and results look at.
#[derive(Clone, Copy)]
struct Facts<'a> {
    /// As written; none where the key is free.
    claim: Option<&'a Claim>,
    event: Option<Evidence>,
    same: bool,
    now: Timestamp,
    rules: &'a ClaimRules,
}

/// A record of which only `state` and `attempt` matter. The one place that lists its members.
pub(crate) fn record(state: ClaimState, attempt: u16, incarnation: Incarnation) -> Claim {
    let claim = Claim::new(Fingerprint::UNKNOWN, state, incarnation, Money::default());
    Claim { attempt, ..claim }
}

impl Reference {
    pub(crate) fn new(rules: ClaimRules) -> Self {
        let table = Table::read();
        let taken = RefCell::new(vec![0; table.rows().len()]);
        Self { table, rules, taken }
    }

    pub(crate) const fn rules(&self) -> &ClaimRules {
        &self.rules
    }

    /// The rows that were never taken.
    pub(crate) fn idle(&self) -> Vec<String> {
        let taken = self.taken.borrow();
        let idle = self.table.rows().iter().zip(taken.iter()).filter(|(_, taken)| **taken == 0);
        idle.map(|(row, _)| row.text.clone()).collect()
    }

    /// The record as it is at `now`.
    pub(crate) fn at(&self, claim: &Claim, now: Timestamp) -> Claim {
        let facts = Facts { claim: Some(claim), event: None, same: true, now, rules: &self.rules };
        match self.take("time", &facts) {
            Becomes::Stays => *claim,
            Becomes::InDoubt(who, ended) => Claim { state: facts.in_doubt(who, ended), ..*claim },
            Becomes::AsBefore => Claim { state: facts.as_before(), ..*claim },
            other => panic!("time makes it {other:?}"),
        }
    }

    /// What `event`, of `now`, does to a record, or to a free key.
    pub(crate) fn step(&self, claim: Option<&Claim>, event: Evidence, now: Timestamp) -> Step {
        let claim = claim.map(|claim| self.at(claim, now));
        let facts = Facts {
            claim: claim.as_ref(),
            event: Some(event),
            same: true,
            now,
            rules: &self.rules,
        };
        let single = |who| facts.who(who).single().expect("one gateway says so");
        let closed = |who, how| ClaimState::Closed { how, gateways: facts.who(who) };
        Step::To(match self.take(column(event), &facts) {
            Becomes::Stays => return Step::Stays,
            Becomes::Contradicted => return Step::Contradicted(facts.state()),
            Becomes::ContradictedAsBefore => return Step::Contradicted(facts.as_before()),
            Becomes::AsBefore => facts.as_before(),
            Becomes::Released => return Step::Released,
            Becomes::Overturned(who) => {
                return Step::Overturned(ClaimState::settled(facts.who(who)));
            }
            Becomes::OverturnedBySaying(who) => {
                return Step::Overturned(ClaimState::said_settled(facts.who(who)));
            }
            Becomes::Settled(who) => ClaimState::settled(facts.who(who)),
            Becomes::SaidSettled(who) => ClaimState::said_settled(facts.who(who)),
            Becomes::Rejected(who) => ClaimState::Rejected { gateway: single(who) },
            Becomes::Failed(who) => closed(who, Closed::Failed),
            Becomes::Cancelled(who) => closed(who, Closed::Cancelled),
            Becomes::Refunded(who) => closed(who, Closed::Refunded),
            Becomes::InDoubt(who, ended) => facts.in_doubt(who, ended),
            Becomes::Noted(who) => {
                let ClaimState::InDoubt { candidates, ended_at, .. } = facts.state() else {
                    panic!("only in doubt is anything noted")
                };
                let (repeat_until, not_found) = (None, Some((single(who), now)));
                ClaimState::InDoubt { candidates, ended_at, repeat_until, not_found }
            }
            Becomes::InDoubtAsBefore => {
                let ClaimState::InDoubt { candidates, ended_at, not_found, .. } = facts.state()
                else {
                    panic!("it was not in doubt before")
                };
                ClaimState::InDoubt { candidates, ended_at, repeat_until: None, not_found }
            }
            other => panic!("{event:?} makes it {other:?}"),
        })
    }

    /// What the same payment, or one of the same name that asks for something else, may do.
    pub(crate) fn admit(&self, claim: &Claim, same: bool, now: Timestamp) -> Admission {
        let claim = self.at(claim, now);
        let facts = Facts { claim: Some(&claim), event: None, same, now, rules: &self.rules };
        let them = facts.who(Who::Them);
        // Nobody is told to wait for longer than the longest wait there is.
        let ClaimRules { lease, repeat_after, settle_delay, .. } = self.rules;
        let longest = lease.max(repeat_after).max(settle_delay);
        let rest = parts(claim.state).ended_at.plus(repeat_after).since(now).min(longest);
        let due = self.due(&claim, now);
        let parts = parts(claim.state);
        let in_progress = |unknown, retry_after| Admission::InProgress { unknown, retry_after };
        match self.take("again", &facts) {
            Becomes::InProgress => in_progress(false, due),
            Becomes::InProgressRepeat => in_progress(true, due),
            Becomes::InProgressUnknown => in_progress(true, self.rules.repeat_after),
            Becomes::Replay => Admission::Replay { gateways: them },
            Becomes::Mismatch => Admission::Mismatch,
            Becomes::Retry => Admission::Retry { gateway: them.single().unwrap() },
            Becomes::Repeat => Admission::Repeat { gateway: them.single().unwrap() },
            Becomes::Unknown => {
                Admission::Unknown { retry_after: rest.max(self.rules.repeat_after) }
            }
            Becomes::Closed => Admission::Closed(parts.how.unwrap()),
            other => panic!("again makes it {other:?}"),
        }
    }

    /// When an attempt under way is answered, or nobody waits for that any longer.
    fn due(&self, claim: &Claim, now: Timestamp) -> Millis {
        let waited = now.since(claim.changed_at).get();
        Millis::new(self.rules.response.get().saturating_sub(waited).max(1000))
    }

    /// The same of a payment that was executed, where its answer is not kept.
    pub(crate) fn fetch(&self, claim: &Claim, now: Timestamp) -> Fetch {
        let claim = self.at(claim, now);
        let facts = Facts { claim: Some(&claim), event: None, same: true, now, rules: &self.rules };
        match self.take("again unkept", &facts) {
            Becomes::ExecutedRepeat => Fetch::Wait { retry_after: self.due(&claim, now) },
            Becomes::Executed => Fetch::Never,
            Becomes::Repeat => Fetch::Repeat { gateway: facts.who(Who::Them).single().unwrap() },
            other => panic!("again makes it {other:?}"),
        }
    }

    /// The state of a record whose payment is sent once more, as [`Self::admit`] allowed.
    pub(crate) fn sent(&self, claim: &Claim, now: Timestamp) -> ClaimState {
        let claim = self.at(claim, now);
        let facts = Facts { claim: Some(&claim), event: None, same: true, now, rules: &self.rules };
        let (candidates, until) = (facts.who(Who::Them), now.plus(self.rules.lease));
        match self.take("sent", &facts) {
            Becomes::InFlightAfterNo => ClaimState::InFlight { candidates, until, after_no: true },
            Becomes::RepeatRuns if matches!(claim.state, ClaimState::Settled { .. }) => {
                ClaimState::Settled { gateways: candidates, repeat_until: Some(until) }
            }
            Becomes::RepeatRuns => {
                let Parts { ended_at, noted, .. } = parts(claim.state);
                let repeat_until = Some(until);
                ClaimState::InDoubt { candidates, ended_at, repeat_until, not_found: noted }
            }
            other => panic!("sent makes it {other:?}"),
        }
    }

    fn take(&self, event: &str, facts: &Facts<'_>) -> Becomes {
        let (at, row) = self.table.row(facts.name(), event, |condition| facts.holds(condition));
        self.taken.borrow_mut()[at] += 1;
        row.becomes
    }
}

/// The column of an event.
pub(crate) const fn column(event: Evidence) -> &'static str {
    match event {
        Evidence::Answer { outcome, .. } => match outcome {
            Outcome::Executed => "200xx00",
            Outcome::No => "NO",
            Outcome::NotKnown => "not known",
            Outcome::FailedBefore => "5003800",
            Outcome::Doubtful => "doubtful",
            Outcome::NeverSent => "never sent",
        },
        Evidence::Told { status, .. } => match status {
            PaymentStatus::Executed => "success",
            PaymentStatus::Pending => "pending",
            PaymentStatus::Closed(Closed::Failed) => "failed",
            PaymentStatus::Closed(Closed::Cancelled) => "cancelled",
            PaymentStatus::Closed(Closed::Refunded) => "refunded",
            PaymentStatus::NotFound => "not found",
        },
        Evidence::Operator(Resolution::ExecutedAt(_)) => "executed at g",
        Evidence::Operator(Resolution::NotExecuted) => "not executed",
    }
}

/// A state laid out flat.
#[derive(Clone, Copy, Default)]
struct Parts {
    them: Gateways,
    lease: Option<Timestamp>,
    after_no: bool,
    ended_at: Timestamp,
    repeat: Option<Timestamp>,
    noted: Option<(GatewayId, Timestamp)>,
    how: Option<Closed>,
    /// Only an operator says so.
    said: bool,
}

fn parts(state: ClaimState) -> Parts {
    let nothing = Parts::default();
    match state {
        ClaimState::InFlight { candidates, until, after_no } => {
            Parts { them: candidates, lease: Some(until), after_no, ..nothing }
        }
        ClaimState::Settled { gateways, repeat_until } => {
            let said = repeat_until == Some(Timestamp::NEVER);
            let repeat = repeat_until.filter(|_| !said);
            Parts { them: gateways, repeat, said, ..nothing }
        }
        ClaimState::Rejected { gateway } => Parts { them: Gateways::only(gateway), ..nothing },
        ClaimState::InDoubt { candidates, ended_at, repeat_until, not_found } => {
            let (repeat, noted) = (repeat_until, not_found);
            Parts { them: candidates, ended_at, repeat, noted, ..nothing }
        }
        ClaimState::Closed { how, gateways } => Parts { them: gateways, how: Some(how), ..nothing },
    }
}

impl Facts<'_> {
    const fn name(&self) -> &'static str {
        match self.claim {
            None => "absent",
            Some(claim) => match claim.state {
                ClaimState::InFlight { .. } => "in flight",
                ClaimState::Settled { .. } => "settled",
                ClaimState::Rejected { .. } => "rejected",
                ClaimState::InDoubt { .. } => "in doubt",
                ClaimState::Closed { how: Closed::Failed, .. } => "failed",
                ClaimState::Closed { how: Closed::Cancelled, .. } => "cancelled",
                ClaimState::Closed { how: Closed::Refunded, .. } => "refunded",
            },
        }
    }

    fn state(&self) -> ClaimState {
        self.claim.expect("a record").state
    }

    fn parts(&self) -> Parts {
        parts(self.state())
    }

    const fn teller(&self) -> Option<GatewayId> {
        match self.event {
            Some(
                Evidence::Told { gateway, .. }
                | Evidence::Operator(Resolution::ExecutedAt(gateway)),
            ) => Some(gateway),
            Some(Evidence::Answer { .. } | Evidence::Operator(Resolution::NotExecuted)) | None => {
                None
            }
        }
    }

    fn who(&self, who: Who) -> Gateways {
        match (who, self.event) {
            (Who::Them, _) => self.parts().them,
            (Who::ThemWithoutTeller, _) => {
                let teller = self.teller();
                self.parts().them.iter().filter(|gateway| Some(*gateway) != teller).collect()
            }
            (Who::ThemWithoutSpoken, _) => {
                let spoken = self.who(Who::Spoken);
                self.parts().them.iter().filter(|gateway| !spoken.contains(*gateway)).collect()
            }
            (Who::Teller, event) => {
                Gateways::only(self.teller().unwrap_or_else(|| panic!("nobody tells {event:?}")))
            }
            (Who::Spoken, Some(Evidence::Answer { gateways, .. })) => gateways,
            (Who::Spoken, event) => panic!("{who:?} of {event:?}"),
        }
    }

    /// Executed, and nothing is under way any longer.
    fn as_before(&self) -> ClaimState {
        ClaimState::settled(self.parts().them)
    }

    fn in_doubt(&self, who: Who, ended: Ended) -> ClaimState {
        let ended_at = match ended {
            Ended::Now => self.now,
            Ended::AsBefore => self.parts().ended_at,
            Ended::WithItsLease => self.parts().lease.expect("a lease"),
            Ended::WithItsRepeat => self.parts().repeat.expect("a repeat"),
        };
        let (repeat_until, not_found) = (None, None);
        ClaimState::InDoubt { candidates: self.who(who), ended_at, repeat_until, not_found }
    }

    fn holds(&self, condition: Condition) -> bool {
        let (now, rules, parts) = (self.now, self.rules, self.parts());
        let over = |end: Option<Timestamp>| end.is_some_and(|end| now >= end);
        let waited = |since: Timestamp, wait| now >= since.plus(wait);
        let claim = self.claim.expect("a record");
        let is_last = |event| match event {
            Evidence::Answer { of, .. } => {
                (of.incarnation, of.attempt) == (claim.incarnation, claim.attempt)
            }
            Evidence::Told { .. } | Evidence::Operator(_) => false,
        };
        match condition {
            Condition::LastAttempt => self.event.is_some_and(is_last),
            Condition::OneSpoken => self.who(Who::Spoken).iter().count() == 1,
            Condition::SpokenIsOne => {
                self.who(Who::Spoken).single().is_some_and(|one| parts.them.contains(one))
            }
            Condition::AfterNo => parts.after_no,
            Condition::LeaseOver => over(parts.lease),
            Condition::RepeatOver => over(parts.repeat),
            Condition::RepeatRuns => parts.repeat.is_some(),
            Condition::TellerIsOne => self.teller().is_some_and(|g| parts.them.contains(g)),
            Condition::Alone => parts.them.iter().count() == 1,
            Condition::AskedBeforeTheEnd => now < parts.ended_at,
            Condition::Said => parts.said,
            Condition::SpokenMeetsThem => {
                self.who(Who::Spoken).iter().any(|one| parts.them.contains(one))
            }
            Condition::SharedLedger => rules.shared_ledger,
            Condition::AskedBeforeTheChange => now < claim.changed_at,
            Condition::OneOfSeveral => {
                let is_one = self.teller().is_some_and(|g| parts.them.contains(g));
                is_one && parts.them.iter().count() > 1 && !claim.observed && !rules.shared_ledger
            }
            Condition::SettledDown => waited(parts.ended_at, rules.settle_delay),
            Condition::Noted => parts.noted.is_some(),
            Condition::NotedByTeller => parts.noted.map(|(by, _)| by) == self.teller(),
            Condition::NotedBySpoken => {
                parts.noted.is_some_and(|(by, _)| self.who(Who::Spoken) == Gateways::only(by))
            }
            Condition::LongNoted => {
                parts.noted.is_some_and(|(_, at)| waited(at, rules.settle_delay))
            }
            Condition::Same => self.same,
            Condition::Rested => waited(parts.ended_at, rules.repeat_after),
            Condition::Young => now.since(claim.incarnation.claimed_at) <= rules.repeat_max_age,
        }
    }
}
