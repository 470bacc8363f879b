//! The engine's transitions against the table, for every state, event and boundary in time.

use dana_failover::engine::{
    Admission, AttemptId, Claim, ClaimKey, ClaimRules, ClaimState, Closed, Evidence, Fetch,
    Fingerprint, Incarnation, Outcome, PaymentStatus, Resolution, Step,
};
use dana_failover::engine::{GatewayId, Gateways};
use dana_failover::engine::{Millis, Money, Timestamp};

use super::reference::{Reference, record};

/// Each its own order of magnitude, so that no two boundaries fall together.
/// Of a request that comes again.
const MONEY: Money = Money { minor: 900, currency: *b"IDR" };

const RULES: ClaimRules = ClaimRules {
    lease: Millis::new(30_000),
    response: Millis::new(10_000),
    repeat_after: Millis::new(5000),
    repeat_max_age: Millis::new(3_600_000),
    settle_delay: Millis::new(60_000),
    shared_ledger: false,
};
const BIRTH: Incarnation =
    Incarnation { claimed_at: Timestamp::from_millis(1_790_000_000_000), nonce: 5 };
const GATEWAYS: usize = 3;

fn after(time: Timestamp, millis: u64) -> Timestamp {
    time.plus(Millis::new(millis))
}

fn gateways() -> impl Iterator<Item = GatewayId> + Clone {
    (0..GATEWAYS).map(|at| GatewayId::new(at).unwrap())
}

/// Every set of gateways but the empty one.
fn sets() -> impl Iterator<Item = Gateways> + Clone {
    (1usize..1 << GATEWAYS)
        .map(|bits| gateways().filter(|gateway| bits & (1 << gateway.index()) != 0).collect())
}

/// Every state that a record can have. An attempt after a NO and a repeat go to one gateway;
/// [`is_possible`] holds the engine to that. A repeat may go to one of several that share a ledger.
fn states() -> Vec<ClaimState> {
    let (early, late) = (after(BIRTH.claimed_at, 10_000), after(BIRTH.claimed_at, 3_597_000));
    let until = after(BIRTH.claimed_at, 30_000);
    let mut states = Vec::new();
    for candidates in sets() {
        states.push(ClaimState::InFlight { candidates, until, after_no: false });
        states.extend([ClaimState::settled(candidates), ClaimState::said_settled(candidates)]);
        if candidates.single().is_some() {
            states.push(ClaimState::Settled { gateways: candidates, repeat_until: Some(until) });
        }
        for how in [Closed::Failed, Closed::Cancelled, Closed::Refunded] {
            states.push(ClaimState::Closed { how, gateways: candidates });
        }
        for ended_at in [early, late] {
            let doubt = |repeat_until, not_found| ClaimState::InDoubt {
                candidates,
                ended_at,
                repeat_until,
                not_found,
            };
            states.push(doubt(None, None));
            for by in gateways() {
                let first = after(ended_at, 60_000);
                states.extend([first, after(first, 7000)].map(|at| doubt(None, Some((by, at)))));
            }
            let repeat = |after_end| Some(after(ended_at, after_end));
            if candidates.single().is_some() {
                states.extend([40_000, 90_000].map(|until| doubt(repeat(until), None)));
            }
            for by in gateways() {
                let noted = Some((by, after(ended_at, 60_000)));
                states.extend([61_000, 130_000].map(|sent| doubt(repeat(sent + 30_000), noted)));
            }
        }
        if let Some(gateway) = candidates.single() {
            states.push(ClaimState::InFlight { candidates, until, after_no: true });
            states.push(ClaimState::Rejected { gateway });
        }
    }
    states
}

fn is_possible(state: ClaimState) -> bool {
    match state {
        ClaimState::InFlight { candidates, after_no, .. } => {
            !candidates.is_empty() && (!after_no || candidates.single().is_some())
        }
        ClaimState::InDoubt { candidates, .. } => !candidates.is_empty(),
        ClaimState::Settled { gateways, repeat_until } => {
            let repeats = repeat_until.is_some_and(|until| until != Timestamp::NEVER);
            !gateways.is_empty() && (!repeats || gateways.single().is_some())
        }
        ClaimState::Closed { gateways, .. } => !gateways.is_empty(),
        ClaimState::Rejected { .. } => true,
    }
}

/// Every time at which something may change for `state`, one before and one after.
fn times(state: ClaimState) -> Vec<Timestamp> {
    let claimed_at = BIRTH.claimed_at;
    let mut edges = vec![claimed_at, after(claimed_at, RULES.repeat_max_age.get())];
    let mut ends = Vec::new();
    match state {
        ClaimState::InFlight { until, .. } => ends.push(until),
        ClaimState::InDoubt { ended_at, repeat_until, not_found, .. } => {
            ends.push(ended_at);
            ends.extend(repeat_until);
            edges.extend(not_found.map(|(_, at)| after(at, RULES.settle_delay.get())));
        }
        ClaimState::Settled { repeat_until, .. } => {
            ends.extend(repeat_until.filter(|until| *until != Timestamp::NEVER));
        }
        ClaimState::Rejected { .. } | ClaimState::Closed { .. } => {}
    }
    for end in ends {
        edges.extend([end, end.plus(RULES.repeat_after), end.plus(RULES.settle_delay)]);
    }
    let around = |edge: Timestamp| [edge.as_millis() - 1, edge.as_millis(), edge.as_millis() + 1];
    let mut times: Vec<u64> = edges.into_iter().flat_map(around).collect();
    times.sort_unstable();
    times.dedup();
    times.into_iter().map(Timestamp::from_millis).collect()
}

const OUTCOMES: [Outcome; 6] = [
    Outcome::Executed,
    Outcome::No,
    Outcome::NotKnown,
    Outcome::FailedBefore,
    Outcome::Doubtful,
    Outcome::NeverSent,
];
const STATUSES: [PaymentStatus; 6] = [
    PaymentStatus::Executed,
    PaymentStatus::Pending,
    PaymentStatus::Closed(Closed::Failed),
    PaymentStatus::Closed(Closed::Cancelled),
    PaymentStatus::Closed(Closed::Refunded),
    PaymentStatus::NotFound,
];

/// Every answer, of the last attempt and of all others, and everything a gateway or an operator
/// can tell.
fn events(attempt: u16) -> Vec<Evidence> {
    let of = |incarnation, attempt| AttemptId { incarnation, attempt };
    let attempts = [
        of(BIRTH, attempt),
        of(BIRTH, attempt - 1),
        of(BIRTH, attempt + 1),
        of(Incarnation { nonce: 6, ..BIRTH }, attempt),
        of(Incarnation { claimed_at: after(BIRTH.claimed_at, 1), ..BIRTH }, attempt),
    ];
    let mut events = Vec::new();
    for gateways in sets() {
        for of in attempts {
            events.extend(OUTCOMES.map(|outcome| Evidence::Answer { of, outcome, gateways }));
        }
    }
    for gateway in gateways() {
        events.extend(STATUSES.map(|status| Evidence::Told { gateway, status }));
        events.push(Evidence::Operator(Resolution::ExecutedAt(gateway)));
    }
    events.push(Evidence::Operator(Resolution::NotExecuted));
    events
}

fn claims() -> impl Iterator<Item = Claim> {
    states().into_iter().flat_map(|state| [1, 2].map(|attempt| record(state, attempt, BIRTH)))
}

#[test]
fn every_state_meets_every_event_as_the_table_says() {
    let reference = Reference::new(RULES);
    // What a shared ledger lets a payment do again, the stories tell (`shared.rs`).
    let shared = Reference::new(ClaimRules { shared_ledger: true, ..RULES });
    let (mut steps, mut admissions) = (0u64, 0u64);
    for claim in claims() {
        let events = events(claim.attempt);
        for now in times(claim.state) {
            assert_eq!(claim.at(now), reference.at(&claim, now), "{claim:?} at {now:?}");
            for (reference, event) in events.iter().flat_map(|e| [(&reference, e), (&shared, e)]) {
                let step = claim.apply(*event, now, reference.rules());
                let expected = reference.step(Some(&claim), *event, now);
                assert_eq!(step, expected, "{event:?} at {now:?} of {claim:?}");
                if let Step::To(state) | Step::Overturned(state) | Step::Contradicted(state) = step
                {
                    assert!(is_possible(state), "{event:?} makes {claim:?} {state:?}");
                }
                steps += 1;
            }
            check_admission(&reference, &claim, now);
            admissions += 1;
        }
    }
    println!("{steps} steps, {admissions} admissions");
    assert!(steps > 1_000_000, "{steps}: most of the table was left out");
    let never = shared.idle();
    let idle: Vec<String> =
        reference.idle().into_iter().filter(|row| never.contains(row)).collect();
    // What becomes of a free key is the request's business: the stories see to it.
    let idle: Vec<&String> = idle.iter().filter(|row| !row.contains(": absent ")).collect();
    assert!(idle.is_empty(), "rows that no state and event ever meets: {idle:#?}");
}

fn check_admission(reference: &Reference, claim: &Claim, now: Timestamp) {
    let print = |of: &str| {
        let key = ClaimKey::derive("partner", "order", [of]);
        Fingerprint::of_body(&key, of.as_bytes())
    };
    let (mine, other) = (print("mine"), print("other"));
    let known = Claim { fingerprint: mine, ..*claim };
    // Of a record that was learnt from a status nothing is known, so that nothing differs.
    for (claim, asks, same) in [(known, mine, true), (known, other, false), (*claim, other, true)] {
        let admission = claim.admit(asks, now, &RULES);
        assert_eq!(admission, reference.admit(&claim, same, now), "{claim:?} at {now:?}");
        let gateway = match admission {
            Admission::Retry { gateway } | Admission::Repeat { gateway } => gateway,
            Admission::Replay { .. } => {
                let fetch = claim.fetch(now, &RULES);
                assert_eq!(fetch, reference.fetch(&claim, now), "{claim:?} at {now:?}");
                let Fetch::Repeat { gateway } = fetch else {
                    continue;
                };
                gateway
            }
            Admission::InProgress { .. }
            | Admission::Unknown { .. }
            | Admission::Mismatch
            | Admission::Closed(_) => continue,
        };
        let sent = claim.further_attempt((asks, MONEY), gateway, now, &RULES);
        let state = reference.sent(&claim, now);
        assert_eq!(sent.state, state, "{claim:?} sent again at {now:?}");
        assert!(is_possible(sent.state), "{sent:?}");
        assert_eq!((sent.attempt, sent.incarnation), (claim.attempt + 1, claim.incarnation));
        let taken_over = matches!(admission, Admission::Retry { .. });
        let own = (claim.fingerprint, claim.money);
        let (print, money) = if taken_over { (asks, MONEY) } else { own };
        assert_eq!((sent.fingerprint, sent.money, sent.changed_at), (print, money, now));
    }
}
