//! What an answer proves, told in a few lines beside the engine's own judgement, and which step a
//! record may take by it.

use dana_failover::engine::Entry;
use dana_failover::engine::Gateways;
use dana_failover::engine::Origin;
use dana_failover::engine::Timestamp;
use dana_failover::engine::{
    Admission, AttemptId, Claim, ClaimState, Closed, Evidence, Fetch, Fingerprint, Outcome,
    PaymentStatus, Step,
};
use serde_json::Value;

use super::ledger::{Wire, reference};
use super::reference::Reference;
use super::wishes::What;

/// Why a record is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cause {
    /// The payment is about to be sent; whether it asks for what the record says.
    Sends { same: bool },
    /// An answer came, or a status that was asked for at that time.
    Evidence(Evidence, Timestamp),
}

/// What the end of an exchange says of the payment. `wire` is there if it could be read.
pub(crate) fn evidence(
    what: What,
    of: Option<AttemptId>,
    origin: Origin,
    wire: Option<&Wire>,
    gateways: Gateways,
) -> Option<Evidence> {
    let read = wire.filter(|_| origin == Origin::Upstream).and_then(|wire| read(what, wire));
    if let What::Pay { payment, .. } = what {
        let outcome = match origin {
            Origin::Envoy { attached: false, .. } | Origin::NeverLeft => Outcome::NeverSent,
            Origin::Envoy { attached: true, .. } => Outcome::Doubtful,
            Origin::Upstream => read.map_or(Outcome::Doubtful, |(code, body)| match code {
                (200, 0) if body["partnerReferenceNo"] == reference(payment) => Outcome::Executed,
                (500, 0) if payment == 1 => Outcome::FailedBefore,
                (500, 0) => Outcome::No,
                (404, 18) => Outcome::Doubtful,
                (400 | 401 | 403 | 404 | 405, _) => Outcome::No,
                _ => Outcome::Doubtful,
            }),
        };
        return Some(Evidence::Answer { of: of?, outcome, gateways });
    }
    let ((http, case), body) = read?;
    let ties = body["originalPartnerReferenceNo"] == reference(what.payment());
    let status = match (what, http, case) {
        (What::Ask { .. }, 404, 1) => PaymentStatus::NotFound,
        (What::Ask { .. }, 200, 0) if ties => match body["latestTransactionStatus"].as_str()? {
            "00" => PaymentStatus::Executed,
            "05" => PaymentStatus::Closed(Closed::Cancelled),
            "06" => PaymentStatus::Closed(Closed::Failed),
            other => panic!("the ledgers know no status {other}"),
        },
        (What::Cancel { .. }, 200, 0) if ties => PaymentStatus::Closed(Closed::Cancelled),
        _ => return None,
    };
    Some(Evidence::Told { gateway: gateways.single()?, status })
}

/// HTTP status and case of a code that fits, and the body.
fn read(what: What, wire: &Wire) -> Option<((u16, u8), Value)> {
    let body: Value = serde_json::from_str(&wire.body).ok()?;
    let code = body["responseCode"].as_str()?;
    let case = code.strip_prefix(&format!("{}{}", wire.status, what.service()))?;
    Some(((wire.status, case.parse().ok()?), body))
}

/// What a record is of after an answer: of one that was learnt from a status, what the gateway has
/// recognised.
fn learnt(before: &Claim, event: Evidence, asked: Fingerprint) -> Fingerprint {
    match event {
        Evidence::Answer { of, outcome: Outcome::Executed, .. }
            if before.fingerprint == Fingerprint::UNKNOWN
                && (of.incarnation, of.attempt) == (before.incarnation, before.attempt) =>
        {
            asked
        }
        Evidence::Answer { .. } | Evidence::Told { .. } | Evidence::Operator(_) => {
            before.fingerprint
        }
    }
}

impl Reference {
    /// Panics unless the table has the step from `before` to `after`.
    pub(crate) fn check(&self, before: &Entry, after: &Entry, cause: Cause, now: Timestamp) {
        let wrong = |why: &str| -> ! { panic!("{why}: {before:?} to {after:?} by {cause:?}") };
        let before = match before {
            Entry::Absent => None,
            Entry::Claim(claim) => Some(claim),
            Entry::Alias(_) | Entry::Unreadable => wrong("nothing unreadable was written"),
        };
        let (event, at) = match (cause, after) {
            (Cause::Sends { same }, Entry::Claim(after)) => {
                return self.check_sent(before, after, same, now);
            }
            (Cause::Sends { .. }, _) => wrong("a request takes no record away"),
            (Cause::Evidence(event, at), _) => (event, at),
        };
        match (self.step(before, event, at), after) {
            (Step::Released, Entry::Absent) => {}
            (
                Step::To(state) | Step::Overturned(state) | Step::Contradicted(state),
                Entry::Claim(after),
            ) => match before {
                Some(before) => {
                    let fingerprint = learnt(before, event, after.fingerprint);
                    let changed_at = now;
                    assert_eq!(
                        *after,
                        Claim { state, changed_at, fingerprint, first: after.first, ..*before },
                        "{cause:?}"
                    );
                }
                None => assert_eq!(after.state, state, "{cause:?}"),
            },
            _ => wrong("not a step of the table"),
        }
    }

    fn check_sent(&self, before: Option<&Claim>, after: &Claim, same: bool, now: Timestamp) {
        let Some(before) = before else {
            let until = now.plus(self.rules().lease);
            let ClaimState::InFlight { candidates, until: end, after_no: false } = after.state
            else {
                panic!("a first attempt is in flight, not {after:?}");
            };
            assert!(!candidates.is_empty() && end == until, "{after:?}");
            assert_eq!((after.attempt, after.incarnation.claimed_at), (1, now));
            return;
        };
        let admission = self.admit(before, same, now);
        let further = match admission {
            Admission::Retry { .. } | Admission::Repeat { .. } => true,
            // Whoever sends it has not found the answer.
            Admission::Replay { .. } => matches!(self.fetch(before, now), Fetch::Repeat { .. }),
            Admission::InProgress { .. }
            | Admission::Unknown { .. }
            | Admission::Mismatch
            | Admission::Closed(_) => false,
        };
        assert!(further, "sent although the table says {admission:?}: {before:?} to {after:?}");
        let after_no = matches!(admission, Admission::Retry { .. });
        let expected = Claim {
            state: self.sent(before, now),
            attempt: before.attempt + 1,
            fingerprint: after.fingerprint,
            // After a NO another amount may be asked for.
            money: if after_no { after.money } else { before.money },
            changed_at: now,
            header_keys: after.header_keys,
            first: after.first,
            ..*before
        };
        assert_eq!(*after, expected);
        let bound = before.header_keys..=before.header_keys + 1;
        assert!(bound.contains(&after.header_keys), "{after:?}");
    }
}
