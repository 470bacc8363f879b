//! Payments that were executed and whose answer is not kept: it is asked for again, by a repeat.

use super::*;

fn fetch(name: &str, age: i64) -> Fetch {
    let incarnation = Incarnation { claimed_at: at(-age), nonce: 5 };
    Claim { incarnation, ..claim(state(name)) }.fetch(at(0), &RULES)
}

#[test]
fn an_answer_is_fetched_where_the_payment_was_executed_and_not_too_late() {
    let repeat = Fetch::Repeat { gateway: gateway('a') };
    assert_eq!(fetch("settled a", 3_600_000), repeat);
    assert_eq!(fetch("settled a", 3_600_001), Fetch::Never);
    assert_eq!(fetch("settled ab", 0), Fetch::Never, "nobody knows which of them");
    let said = claim(ClaimState::said_settled(set("a")));
    assert_eq!(said.fetch(at(0), &RULES), Fetch::Never, "no gateway has proven it");
    assert_eq!(said.at(at(1_000_000_000)), said);
    let wait = Fetch::Wait { retry_after: Millis::new(1000) };
    assert_eq!(fetch("settled a!", 0), wait, "one at a time");
    for name in ["in flight a", "rejected a", "in doubt a", "in doubt a!", "failed a"] {
        assert_eq!(fetch(name, 0), Fetch::Never, "{name}");
    }
}

#[test]
fn an_answer_is_fetched_from_nobody_who_never_had_the_payment() {
    let after =
        |name: &str, event, rules: &ClaimRules| match claim(state(name)).apply(event, at(0), rules)
        {
            Step::To(state) | Step::Overturned(state) => claim(state).fetch(at(0), rules),
            step @ (Step::Stays | Step::Released | Step::Contradicted(_)) => {
                panic!("{name}: {step:?}")
            }
        };
    let repeat = Fetch::Repeat { gateway: gateway('a') };
    let success = told('a', PaymentStatus::Executed);
    for (name, expected) in [
        ("in flight a", repeat),
        ("in flight ab", Fetch::Never),
        ("in flight b", Fetch::Never),
        ("in doubt a", repeat),
        ("in doubt ab", repeat),
        ("in doubt b", Fetch::Never),
        ("rejected a", repeat),
        ("rejected b", Fetch::Never),
        ("failed a", repeat),
        ("failed b", Fetch::Never),
    ] {
        assert_eq!(after(name, success, &RULES), expected, "{name}");
        let shared = ClaimRules { shared_ledger: true, ..RULES };
        assert_eq!(after(name, success, &shared), repeat, "{name}: all know what one has");
    }
    let executed = answer(Outcome::Executed, "b");
    assert_eq!(after("settled a", executed, &RULES), Fetch::Never, "two say that they have it");
}

#[test]
fn a_fetch_ends_with_its_answer_or_its_lease_and_the_payment_stays_executed() {
    let before = claim(state("settled a"));
    let sent = before.further_attempt((OTHER, LESS), gateway('a'), at(0), &RULES);
    let repeat_until = Some(at(30_000));
    let under_way = ClaimState::Settled { gateways: set("a"), repeat_until };
    let attempt = ATTEMPT + 1;
    assert_eq!(sent, Claim { state: under_way, attempt, changed_at: at(0), ..before });
    assert_eq!(sent.fetch(at(2500), &RULES), Fetch::Wait { retry_after: Millis::new(7500) });
    assert_eq!(sent.at(at(29_999)).state, under_way);
    assert_eq!(sent.at(at(30_000)).state, before.state);
    let of = AttemptId { incarnation: BIRTH, attempt };
    let ends = |of, outcome| {
        sent.apply(Evidence::Answer { of, outcome, gateways: set("a") }, at(1), &RULES)
    };
    for outcome in [Outcome::Executed, Outcome::No, Outcome::Doubtful, Outcome::NeverSent] {
        assert_eq!(ends(of, outcome), Step::To(before.state), "{outcome:?}");
        let earlier = AttemptId { attempt: ATTEMPT, ..of };
        assert_eq!(ends(earlier, outcome), Step::Stays, "{outcome:?}");
    }
    assert_eq!(ends(of, Outcome::FailedBefore), Step::Contradicted(before.state));
}

/// What a status alone has told is of no known amount. Whose amount the gateway has recognised, that
/// it is.
#[test]
fn what_the_payment_asks_for_is_learnt_from_a_success_and_from_nothing_else() {
    let unknown = Claim { fingerprint: Fingerprint::UNKNOWN, ..claim(state("settled a!")) };
    let learn = |claim: Claim, event| claim.learn(event, OTHER).fingerprint;
    assert_eq!(learn(unknown, answer(Outcome::Executed, "a")), OTHER);
    assert_eq!(learn(claim(state("settled a!")), answer(Outcome::Executed, "a")), MINE);
    for outcome in [Outcome::No, Outcome::FailedBefore, Outcome::Doubtful, Outcome::NeverSent] {
        assert_eq!(learn(unknown, answer(outcome, "a")), Fingerprint::UNKNOWN, "{outcome:?}");
    }
    assert_eq!(learn(unknown, told('a', PaymentStatus::Executed)), Fingerprint::UNKNOWN);
    let of = AttemptId { incarnation: BIRTH, attempt: ATTEMPT - 1 };
    let earlier = Evidence::Answer { of, outcome: Outcome::Executed, gateways: set("a") };
    assert_eq!(learn(unknown, earlier), Fingerprint::UNKNOWN);
}

#[test]
fn whoever_waits_for_an_answer_comes_again_when_it_is_due_and_not_with_the_lease() {
    let until = at(30_000);
    let under_way = ClaimState::InFlight { candidates: set("a"), until, after_no: false };
    let sent = Claim { changed_at: at(0), ..claim(under_way) };
    for (offset, expected) in [(0, 10_000), (2500, 7500), (9500, 1000), (29_999, 1000)] {
        let retry_after = Millis::new(expected);
        let in_progress = Admission::InProgress { unknown: false, retry_after };
        assert_eq!(sent.admit(MINE, at(offset), &RULES), in_progress, "{offset}");
    }
}

/// An answer that is older than what the record says contradicts nothing.
#[test]
fn only_what_was_asked_afterwards_contradicts() {
    let settled = Claim { changed_at: at(0), ..claim(state("settled a")) };
    let cancelled = Claim { changed_at: at(0), ..claim(state("cancelled a")) };
    let failed = PaymentStatus::Closed(Closed::Failed);
    for (claim, by, status, asked_at, contradicts) in [
        (settled, 'a', PaymentStatus::NotFound, 0, true),
        (settled, 'a', PaymentStatus::NotFound, -1, false),
        (settled, 'b', PaymentStatus::NotFound, 0, false),
        (settled, 'a', failed, 0, true),
        (settled, 'a', failed, -1, false),
        (settled, 'b', failed, 0, true),
        (settled, 'b', PaymentStatus::Closed(Closed::Cancelled), -1, true),
        (cancelled, 'a', PaymentStatus::Executed, 0, true),
        (cancelled, 'a', PaymentStatus::Executed, -1, false),
    ] {
        let step = claim.apply(told(by, status), at(asked_at), &RULES);
        let expected = if contradicts { Step::Contradicted(claim.state) } else { Step::Stays };
        assert_eq!(step, expected, "{by} {status:?} at {asked_at} of {claim:?}");
    }
}
