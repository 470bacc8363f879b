//! What an operator found out about a payment, worked into its record.
//!
//! Pure, as everything here: whoever calls has read the record, writes what comes back by
//! compare-and-set, and on a conflict reads and calls again. What is refused is refused with the
//! reason, and changes nothing.

use crate::engine::gateway::GatewayId;
use crate::engine::payment::{
    Claim, ClaimRules, ClaimState, DoubtEvent, Evidence, KeyPrefix, Resolution, ResolvedBy, Step,
    doubts,
};
use crate::engine::store::Entry;
use crate::engine::time::{Leaps, Timestamp};

/// A payment's record moved by an operator's word, not yet written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Of the payment.
    pub key: KeyPrefix,
    /// Where it stood, as it counted: a lease that is over and a copy that was only observed are
    /// in doubt.
    pub before: ClaimState,
    /// Where it stands from now on.
    pub after: ClaimState,
    /// It was resolved before, and otherwise: somebody may have been told that it failed.
    pub overturned: bool,
    /// The whole claim as it is from now on.
    pub claim: Claim,
    /// That it is out of doubt, and came into it where nothing has said so since its lease ended.
    pub doubts: [Option<DoubtEvent>; 2],
}

/// Why an operator's word changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// No record has this key.
    NotFound,
    /// Several records have a key with this front.
    Ambiguous,
    /// The record was not written by this version.
    Unreadable,
    /// An attempt is under way, and may be until then.
    LeaseRuns {
        /// End of the lease.
        until: Timestamp,
    },
    /// The record has evidence of the contrary, or the gateway named is none of its candidates.
    Contradicts(ClaimState),
    /// The record says so already, or says how the payment ended without money.
    AlreadySo(ClaimState),
}

/// Works `resolution` into the one claim that was found. All but the state stays: money,
/// fingerprint, incarnation.
///
/// Time that the clock skipped ends no lease and no delay.
///
/// # Errors
/// When nothing is to be written, and why.
pub fn resolve(
    found: &[(KeyPrefix, Entry)],
    resolution: Resolution,
    leaps: &Leaps,
    now: Timestamp,
    rules: &ClaimRules,
) -> Result<Resolved, ResolveError> {
    let (key, stored) = only(found)?;
    let claim = stored.seen(now, leaps).enforced(rules).at(now);
    let before = claim.state;
    let (after, overturned) = match claim.apply(Evidence::Operator(resolution), now, rules) {
        Step::To(state) => (state, false),
        Step::Overturned(state) => (state, true),
        Step::Stays => return Err(stays(before, resolution, rules)),
        // Nobody's word frees a key.
        Step::Contradicted(_) | Step::Released => return Err(ResolveError::Contradicts(before)),
    };
    let claim = Claim { state: after, changed_at: now, first: GatewayId::FIRST, ..claim };
    let doubts = doubts(&stored, before, after, ResolvedBy::Operator);
    Ok(Resolved { key, before, after, overturned, claim, doubts })
}

fn only(found: &[(KeyPrefix, Entry)]) -> Result<(KeyPrefix, Claim), ResolveError> {
    match found {
        [] | [(_, Entry::Absent | Entry::Alias(_))] => Err(ResolveError::NotFound),
        [(key, Entry::Claim(claim))] => Ok((*key, *claim)),
        [(_, Entry::Unreadable)] => Err(ResolveError::Unreadable),
        [_, _, ..] => Err(ResolveError::Ambiguous),
    }
}

fn stays(state: ClaimState, resolution: Resolution, rules: &ClaimRules) -> ResolveError {
    match state {
        ClaimState::InFlight { until, .. }
        | ClaimState::InDoubt { repeat_until: Some(until), .. } => {
            ResolveError::LeaseRuns { until }
        }
        ClaimState::InDoubt { ended_at, repeat_until: None, .. } => {
            let until = match resolution {
                Resolution::ExecutedAt(_) => ended_at,
                Resolution::NotExecuted => ended_at.plus(rules.settle_delay),
            };
            ResolveError::LeaseRuns { until }
        }
        ClaimState::Settled { .. } | ClaimState::Rejected { .. } | ClaimState::Closed { .. } => {
            ResolveError::AlreadySo(state)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::gateway::{GatewayId, Gateways};
    use crate::engine::limits;
    use crate::engine::payment::{Closed, Fingerprint, Incarnation, KeyFront, Money};
    use crate::engine::store::Bucket;
    use crate::engine::time::Millis;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
    const RETENTION: Millis = Millis::new(86_400_000);
    const KEY: KeyPrefix = [0xAB; 16];
    const RULES: ClaimRules = ClaimRules {
        lease: Millis::new(30_000),
        response: Millis::new(10_000),
        repeat_after: Millis::new(5000),
        repeat_max_age: Millis::new(3_600_000),
        settle_delay: Millis::new(60_000),
        shared_ledger: false,
    };
    const NOT_EXECUTED: Resolution = Resolution::NotExecuted;

    const fn at(offset: i64) -> Timestamp {
        Timestamp::from_millis(NOW.as_millis().saturating_add_signed(offset))
    }

    fn gateway(index: usize) -> GatewayId {
        GatewayId::new(index).unwrap()
    }

    fn executed_at(index: usize) -> Resolution {
        Resolution::ExecutedAt(gateway(index))
    }

    fn both() -> Gateways {
        [gateway(0), gateway(1)].into_iter().collect()
    }

    fn doubt(ended: i64, repeat: Option<i64>) -> ClaimState {
        ClaimState::InDoubt {
            candidates: both(),
            ended_at: at(ended),
            repeat_until: repeat.map(at),
            not_found: None,
        }
    }

    fn claim(state: ClaimState) -> Claim {
        let incarnation = Incarnation { claimed_at: at(-100_000), nonce: 77 };
        let money = Money { minor: 12_345_678, currency: *b"IDR" };
        let claim = Claim::new(Fingerprint::of_body(&key(), b"body"), state, incarnation, money);
        Claim { attempt: 3, header_keys: 2, ..claim }
    }

    fn key() -> crate::engine::payment::ClaimKey {
        crate::engine::payment::ClaimKey::derive("partner", "order", ["reference"])
    }

    fn bucket(claims: &[(KeyPrefix, Claim)]) -> Vec<u8> {
        let mut bucket = Bucket::default();
        for (key, claim) in claims {
            bucket.put(key, claim, NOW, RETENTION).unwrap();
        }
        bucket.into_bytes()
    }

    fn front(digits: usize) -> KeyFront {
        KeyFront::parse(&"ab".repeat(digits / 2)).unwrap()
    }

    fn say(bytes: &[u8], resolution: Resolution) -> Result<(Resolved, Vec<u8>), ResolveError> {
        say_of(bytes, &front(16), resolution)
    }

    fn say_of(
        bytes: &[u8],
        front: &KeyFront,
        resolution: Resolution,
    ) -> Result<(Resolved, Vec<u8>), ResolveError> {
        let mut bucket = Bucket::decode(bytes.to_vec()).unwrap();
        let found: Vec<(KeyPrefix, Entry)> = bucket.find_front(front).collect();
        let resolved = resolve(&found, resolution, Leaps::NONE, NOW, &RULES)?;
        assert!(bucket.replace(&resolved.key, &resolved.claim));
        Ok((resolved, bucket.into_bytes()))
    }

    fn refused(claim: Claim, resolution: Resolution, why: ResolveError) {
        let answer = say(&bucket(&[(KEY, claim)]), resolution);
        assert_eq!(answer, Err(why), "{claim:?} {resolution:?}");
    }

    #[test]
    fn a_doubt_ends_as_the_operator_says_and_all_else_is_kept() {
        let failed = ClaimState::Closed { how: Closed::Failed, gateways: both() };
        let settled = ClaimState::said_settled(Gateways::only(gateway(1)));
        for (resolution, after) in [(executed_at(1), settled), (NOT_EXECUTED, failed)] {
            let mut other = KEY;
            other[3] = 0;
            let (mine, theirs) = (claim(doubt(-70_000, None)), claim(settled));
            let (resolved, bytes) =
                say(&bucket(&[(KEY, mine), (other, theirs)]), resolution).unwrap();
            assert_eq!((resolved.key, resolved.before), (KEY, mine.state));
            assert_eq!((resolved.after, resolved.overturned), (after, false));
            let expected = Claim { state: after, changed_at: NOW, ..mine };
            assert_eq!(resolved.claim, expected);
            let written = Bucket::decode(bytes.clone()).unwrap();
            assert_eq!(written.find(&KEY), Entry::Claim(expected));
            assert_eq!(written.find(&other), Entry::Claim(theirs));
            // A lost race that was won all the same: nothing is done twice.
            assert_eq!(say(&bytes, resolution), Err(ResolveError::AlreadySo(after)));
        }
    }

    #[test]
    fn while_an_attempt_may_be_under_way_nobody_can_know_how_it_ends() {
        for resolution in [executed_at(0), NOT_EXECUTED] {
            let in_flight = |until| {
                claim(ClaimState::InFlight {
                    candidates: both(),
                    until: at(until),
                    after_no: false,
                })
            };
            let runs = ResolveError::LeaseRuns { until: at(1) };
            refused(in_flight(1), resolution, runs);
            refused(claim(doubt(-70_000, Some(1))), resolution, runs);
        }
        // The clock stepped back.
        refused(claim(doubt(1, None)), executed_at(0), ResolveError::LeaseRuns { until: at(1) });
        let over = |until| {
            let in_flight =
                ClaimState::InFlight { candidates: both(), until: at(until), after_no: false };
            [claim(in_flight), claim(doubt(-130_000, Some(until))), claim(doubt(until, None))]
        };
        for claim in over(0) {
            assert!(say(&bucket(&[(KEY, claim)]), executed_at(0)).is_ok(), "{claim:?}");
            // Whoever looked so soon may have looked too soon.
            refused(claim, NOT_EXECUTED, ResolveError::LeaseRuns { until: at(60_000) });
        }
        for claim in over(-60_000) {
            assert!(say(&bucket(&[(KEY, claim)]), NOT_EXECUTED).is_ok(), "{claim:?}");
        }
    }

    #[test]
    fn an_observed_claim_is_resolved_as_the_doubt_that_it_is() {
        let settled = ClaimState::settled(both());
        let observed =
            |changed| Claim { observed: true, changed_at: at(changed), ..claim(settled) };
        refused(observed(-29_999), executed_at(0), ResolveError::LeaseRuns { until: at(1) });
        refused(observed(-89_999), NOT_EXECUTED, ResolveError::LeaseRuns { until: at(1) });
        let (resolved, _) = say(&bucket(&[(KEY, observed(-90_000))]), NOT_EXECUTED).unwrap();
        assert_eq!(resolved.before, doubt(-60_000, None));
        let failed = ClaimState::Closed { how: Closed::Failed, gateways: both() };
        assert_eq!((resolved.after, resolved.claim.observed), (failed, false));
    }

    #[test]
    fn what_is_proven_otherwise_is_refused_and_what_had_failed_is_overturned() {
        let settled = ClaimState::said_settled(Gateways::only(gateway(0)));
        for resolution in [NOT_EXECUTED, executed_at(1)] {
            refused(claim(settled), resolution, ResolveError::Contradicts(settled));
        }
        refused(claim(settled), executed_at(0), ResolveError::AlreadySo(settled));
        let doubt = doubt(-70_000, None);
        refused(claim(doubt), executed_at(2), ResolveError::Contradicts(doubt));
        let cancelled = ClaimState::Closed { how: Closed::Cancelled, gateways: both() };
        refused(claim(cancelled), executed_at(0), ResolveError::Contradicts(cancelled));
        refused(claim(cancelled), NOT_EXECUTED, ResolveError::AlreadySo(cancelled));
        let failed = ClaimState::Closed { how: Closed::Failed, gateways: both() };
        let (resolved, _) = say(&bucket(&[(KEY, claim(failed))]), executed_at(0)).unwrap();
        assert_eq!((resolved.after, resolved.overturned), (settled, true));
    }

    #[test]
    fn a_key_that_is_not_there_or_not_the_only_one_is_refused() {
        let mine = claim(doubt(-70_000, None));
        let mut near = KEY;
        near[15] = 0;
        assert_eq!(say(&[], NOT_EXECUTED), Err(ResolveError::NotFound));
        let two = bucket(&[(KEY, mine), (near, mine)]);
        assert_eq!(say(&two, NOT_EXECUTED), Err(ResolveError::Ambiguous));
        assert_eq!(say_of(&two, &front(32), NOT_EXECUTED).unwrap().0.key, KEY);
        let mut foreign = bucket(&[(KEY, mine)]);
        foreign[1] = 9;
        assert_eq!(say(&foreign, NOT_EXECUTED), Err(ResolveError::Unreadable));
        let both = [foreign, bucket(&[(near, mine)])].concat();
        assert_eq!(say(&both, NOT_EXECUTED), Err(ResolveError::Ambiguous));
    }

    #[test]
    fn a_full_bucket_still_takes_the_word_on_what_it_holds() {
        let mine = claim(doubt(-70_000, None));
        let others = |count: u8| {
            let key = |number| std::array::from_fn(|at| if at == 0 { number } else { KEY[at] });
            (0..count).map(|number| (key(number), mine)).collect()
        };
        let max = u8::try_from(limits::BUCKET_RECORDS_MAX).unwrap();
        let full: Vec<(KeyPrefix, Claim)> = others(max - 1);
        let more: Vec<(KeyPrefix, Claim)> = others(max);
        for others in [full, more] {
            let bytes = [bucket(&others), bucket(&[(KEY, mine)])].concat();
            let (_, bytes) = say(&bytes, NOT_EXECUTED).unwrap();
            let written = Bucket::decode(bytes).unwrap();
            assert_eq!(written.claims().count(), others.len() + 1);
        }
    }
}
