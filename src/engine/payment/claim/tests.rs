//! The table of states and events, as data: each cell says what becomes of the claim.

use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::payment::*;
use crate::engine::time::{Millis, Timestamp};

mod fetched;

const NOW: u64 = 10_000_000;
const RULES: ClaimRules = ClaimRules {
    lease: Millis::new(30_000),
    response: Millis::new(10_000),
    repeat_after: Millis::new(5000),
    repeat_max_age: Millis::new(3_600_000),
    settle_delay: Millis::new(60_000),
    shared_ledger: false,
};
const MINE: Fingerprint = Fingerprint([7; 16]);
const MONEY: Money = Money { minor: 1_000_000, currency: *b"IDR" };
/// Of another request under the same name.
const LESS: Money = Money { minor: 600_000, currency: *b"IDR" };
const OTHER: Fingerprint = Fingerprint([8; 16]);
const BIRTH: Incarnation = Incarnation { claimed_at: at(-200_000), nonce: 5 };
const ATTEMPT: u16 = 2;

/// So many milliseconds after (or before) the present.
const fn at(offset: i64) -> Timestamp {
    Timestamp::from_millis(NOW.saturating_add_signed(offset))
}

fn gateway(letter: char) -> GatewayId {
    GatewayId::new("abc".find(letter).unwrap()).unwrap()
}

/// `ab` is the set of the first and the second gateway.
fn set(letters: &str) -> Gateways {
    letters.chars().map(gateway).collect()
}

fn letters(gateways: Gateways) -> String {
    gateways.iter().map(|gateway| char::from(b"abc"[gateway.index()])).collect()
}

fn claim(state: ClaimState) -> Claim {
    let claim = Claim::new(MINE, state, BIRTH, MONEY);
    Claim { attempt: ATTEMPT, changed_at: at(-100_000), ..claim }
}

fn doubt(candidates: &str, ended: i64) -> ClaimState {
    ClaimState::InDoubt {
        candidates: set(candidates),
        ended_at: at(ended),
        repeat_until: None,
        not_found: None,
    }
}

/// The states of the table by name. `ab` stands for the gateways, `!` for a repeat under way, and
/// `?a` for a first "not found" of gateway a.
fn state(name: &str) -> ClaimState {
    let (kind, rest) = name.rsplit_once(' ').unwrap();
    let in_flight =
        |after_no| ClaimState::InFlight { candidates: set(rest), until: at(10_000), after_no };
    let closed = |how| ClaimState::Closed { how, gateways: set(rest) };
    match kind {
        "in flight" => in_flight(false),
        "in flight after NO" => in_flight(true),
        "settled" => match rest.strip_suffix('!') {
            Some(gateways) => {
                ClaimState::Settled { gateways: set(gateways), repeat_until: Some(at(10_000)) }
            }
            None => ClaimState::settled(set(rest)),
        },
        "rejected" => ClaimState::Rejected { gateway: set(rest).single().unwrap() },
        "in doubt" => match (rest.strip_suffix('!'), rest.split_once('?')) {
            (Some(candidates), _) => ClaimState::InDoubt {
                candidates: set(candidates),
                ended_at: at(-70_000),
                repeat_until: Some(at(10_000)),
                not_found: None,
            },
            (None, Some((candidates, by))) => ClaimState::InDoubt {
                candidates: set(candidates),
                ended_at: at(-130_000),
                repeat_until: None,
                not_found: Some((set(by).single().unwrap(), at(-60_000))),
            },
            (None, None) => doubt(rest, -70_000),
        },
        "failed" => closed(Closed::Failed),
        "cancelled" => closed(Closed::Cancelled),
        "refunded" => closed(Closed::Refunded),
        other => panic!("{other}"),
    }
}

fn show_state(state: ClaimState) -> String {
    match state {
        ClaimState::InFlight { candidates, after_no: false, .. } => {
            format!("in flight {}", letters(candidates))
        }
        ClaimState::InFlight { candidates, after_no: true, .. } => {
            format!("in flight after NO {}", letters(candidates))
        }
        ClaimState::Settled { gateways, repeat_until } => match repeat_until {
            Some(Timestamp::NEVER) => format!("said {}", letters(gateways)),
            Some(_) => format!("settled {}!", letters(gateways)),
            None => format!("settled {}", letters(gateways)),
        },
        ClaimState::Rejected { gateway } => {
            format!("rejected {}", letters(Gateways::only(gateway)))
        }
        ClaimState::InDoubt { candidates, ended_at, repeat_until, not_found } => {
            let repeat = if repeat_until.is_some() { "!" } else { "" };
            let told = not_found
                .map_or_else(String::new, |(by, _)| format!("?{}", letters(Gateways::only(by))));
            let ended = if ended_at == at(0) { "*" } else { "" };
            format!("in doubt {}{repeat}{told}{ended}", letters(candidates))
        }
        ClaimState::Closed { how, gateways } => {
            let how = match how {
                Closed::Failed => "failed",
                Closed::Cancelled => "cancelled",
                Closed::Refunded => "refunded",
            };
            format!("{how} {}", letters(gateways))
        }
    }
}

fn show(step: Step) -> String {
    match step {
        Step::Stays => "-".to_owned(),
        Step::To(state) => show_state(state),
        Step::Released => "released".to_owned(),
        Step::Contradicted(_) => "contradicted".to_owned(),
        Step::Overturned(state) => format!("overturned: {}", show_state(state)),
    }
}

fn answer(outcome: Outcome, gateways: &str) -> Evidence {
    let of = AttemptId { incarnation: BIRTH, attempt: ATTEMPT };
    Evidence::Answer { of, outcome, gateways: set(gateways) }
}

fn told(by: char, status: PaymentStatus) -> Evidence {
    Evidence::Told { gateway: gateway(by), status }
}

/// The columns by name; the answers are of the last attempt and speak of gateway a.
fn event(name: &str) -> Evidence {
    match name {
        "200xx00" => answer(Outcome::Executed, "a"),
        "NO" => answer(Outcome::No, "a"),
        "5003800" => answer(Outcome::FailedBefore, "a"),
        "doubtful" => answer(Outcome::Doubtful, "a"),
        "never sent" => answer(Outcome::NeverSent, "a"),
        "success" => told('a', PaymentStatus::Executed),
        "pending" => told('a', PaymentStatus::Pending),
        "failed" => told('a', PaymentStatus::Closed(Closed::Failed)),
        "cancelled" => told('a', PaymentStatus::Closed(Closed::Cancelled)),
        "refunded" => told('a', PaymentStatus::Closed(Closed::Refunded)),
        "not found" => told('a', PaymentStatus::NotFound),
        "executed at a" => Evidence::Operator(Resolution::ExecutedAt(gateway('a'))),
        "not executed" => Evidence::Operator(Resolution::NotExecuted),
        other => panic!("{other}"),
    }
}

/// The one door of the tables: the first line names the columns, each further line begins with a
/// state. `-` stays, `*` the attempt has ended now, `?a` a first "not found" of a is noted, `said` settled
/// and asked for the answer by nobody.
fn check(table: &str, cell: impl Fn(&str, &str) -> String) {
    fn cells(line: &str) -> Vec<&str> {
        line.split('|').map(str::trim).collect()
    }
    let mut lines = table.lines().map(str::trim).filter(|line| !line.is_empty());
    let columns = cells(lines.next().unwrap());
    let mut wrong = Vec::new();
    for line in lines {
        let row = cells(line);
        assert_eq!(row.len(), columns.len(), "{line}");
        for (column, expected) in columns.iter().zip(&row).skip(1) {
            let found = cell(row[0], column);
            if found != *expected {
                wrong.push(format!("{} x {column}: expected {expected}, found {found}", row[0]));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Answers of the last attempt. The right half of the table is [`BY_STATUS`].
const BY_ANSWER: &str = "
state                | 200xx00               | NO          | 5003800     | doubtful    | never sent
in flight a          | settled a             | rejected a  | rejected a  | in doubt a* | released
in flight after NO a | settled a             | rejected a  | rejected a  | in doubt a* | rejected a
in flight ab         | settled a             | rejected a  | rejected a  | in doubt a* | released
settled a            | -                     | -           | -           | -           | -
settled b            | said b                | -           | -           | -           | -
rejected a           | settled a             | -           | -           | in doubt a* | -
in doubt a           | settled a             | -           | -           | -           | -
in doubt a?a         | settled a             | -           | -           | -           | -
in doubt a!          | settled a             | in doubt a* | failed a    | in doubt a* | in doubt a*
in doubt ab          | settled a             | -           | -           | -           | -
in doubt ab?a        | settled a             | -           | -           | -           | -
failed a             | overturned: settled a | -           | -           | -           | -
cancelled a          | contradicted          | -           | -           | -           | -
refunded a           | contradicted          | -           | -           | -           | -
";

/// What gateway a tells of the payment, long after the last attempt ended.
const BY_STATUS: &str = "
state                | success               | pending    | failed       | cancelled   | refunded   | not found
in flight a          | settled a             | -          | -            | -           | -          | -
in flight after NO a | settled a             | -          | -            | -           | -          | -
in flight ab         | said a                | -          | -            | -           | -          | -
settled a            | -                     | -          | contradicted | cancelled a | refunded a | contradicted
settled ab           | settled a             | -          | contradicted | cancelled a | refunded a | -
rejected a           | settled a             | in doubt a* | failed a     | cancelled a | refunded a | -
rejected b           | said a                | -          | failed a     | cancelled a | refunded a | -
in doubt a           | settled a             | -          | failed a     | cancelled a | refunded a | in doubt a?a
in doubt a?a         | settled a             | -          | failed a     | cancelled a | refunded a | rejected a
in doubt a!          | settled a             | -          | -            | cancelled a | refunded a | -
in doubt b           | said a                | -          | -            | -           | -          | -
in doubt b?b         | said a                | -          | -            | -           | -          | -
in doubt ab          | settled a             | in doubt a | in doubt b   | cancelled a | refunded a | in doubt ab?a
in doubt ab?a        | settled a             | in doubt a | in doubt b   | cancelled a | refunded a | in doubt b
in doubt ab?b        | settled a             | in doubt a | in doubt b   | cancelled a | refunded a | -
in doubt abc         | settled a             | in doubt a | in doubt bc  | cancelled a | refunded a | in doubt abc?a
in doubt bc          | said a                | -          | -            | -           | -          | -
failed a             | overturned: settled a | -          | -            | -           | -          | -
cancelled a          | contradicted          | -          | -            | -           | -          | -
refunded a           | -                     | -          | -            | -           | -          | -
refunded b           | contradicted          | -          | -            | -           | -          | -
";

/// What an operator says, long after the last attempt ended.
const BY_OPERATOR: &str = "
state                | executed at a         | not executed
in flight a          | -                     | -
in flight after NO a | -                     | -
in flight ab         | -                     | -
settled a            | -                     | contradicted
settled b            | contradicted          | contradicted
settled ab           | said a                | contradicted
rejected a           | said a                | -
rejected b           | said a                | -
in doubt a           | said a                | failed a
in doubt a?a         | said a                | failed a
in doubt a!          | -                     | -
in doubt b           | contradicted          | failed b
in doubt ab          | said a                | failed ab
in doubt ab?b        | said a                | failed ab
in doubt bc          | contradicted          | failed bc
failed a             | overturned: said a    | -
failed b             | overturned: said a    | -
cancelled a          | contradicted          | -
refunded a           | contradicted          | -
";

#[test]
fn evidence_moves_a_claim_as_the_table_says() {
    let cell =
        |row: &str, column: &str| show(claim(state(row)).apply(event(column), at(0), &RULES));
    check(BY_ANSWER, cell);
    check(BY_STATUS, cell);
    check(BY_OPERATOR, cell);
}

#[test]
fn an_operator_waits_for_every_lease_and_frees_no_key() {
    for column in ["executed at a", "not executed"] {
        let late = i64::try_from(RULES.settle_delay.get()).unwrap();
        // What was not executed is known only when all has settled down.
        let (resolved, wait) =
            if column == "not executed" { ("failed a", late) } else { ("said a", 0) };
        let over = 10_000 + wait;
        for (offset, expected) in [(9999, "-"), (over - 1, "-"), (over, resolved)] {
            for name in ["in flight a", "in flight after NO a", "in doubt a!"] {
                let step = claim(state(name)).apply(event(column), at(offset), &RULES);
                assert_eq!(show(step), expected, "{name} {column} at {offset}");
            }
        }
        // A copy that was only observed ends with its lease, too.
        let observed =
            Claim { observed: true, changed_at: at(-20_000), ..claim(state("settled a")) };
        for (offset, expected) in [(9999, "-"), (over - 1, "-"), (over, resolved)] {
            let step = observed.enforced(&RULES).apply(event(column), at(offset), &RULES);
            assert_eq!(show(step), expected, "observed, {column} at {offset}");
        }
        for name in all_states() {
            let step = claim(state(name)).apply(event(column), at(20_000), &RULES);
            assert_ne!(step, Step::Released, "{name} {column}");
        }
    }
}

#[test]
fn only_the_gateway_that_executed_a_payment_can_undo_it() {
    for how in [Closed::Cancelled, Closed::Refunded, Closed::Failed] {
        let step =
            claim(state("settled b")).apply(told('a', PaymentStatus::Closed(how)), at(0), &RULES);
        assert!(matches!(step, Step::Stays | Step::Contradicted(_)), "{how:?}: {}", show(step));
    }
}

#[test]
fn an_answer_that_may_be_of_several_gateways_clears_none_of_them() {
    check(
        "
        state         | 200xx00    | NO           | 5003800      | doubtful     | never sent
        in flight ab  | settled ab | in doubt ab* | in doubt ab* | in doubt ab* | released
        in flight abc | settled ab | in doubt ab* | in doubt ab* | in doubt ab* | released
        in doubt ab   | settled ab | -            | -            | -            | -
        ",
        |row, column| {
            let Evidence::Answer { outcome, .. } = event(column) else { unreachable!() };
            show(claim(state(row)).apply(answer(outcome, "ab"), at(0), &RULES))
        },
    );
}

/// Every state that stands in a table.
fn all_states() -> Vec<&'static str> {
    let rows = BY_ANSWER.lines().chain(BY_STATUS.lines()).chain(BY_OPERATOR.lines());
    let names = rows.filter_map(|row| row.split('|').next()).map(str::trim);
    names.filter(|name| !name.is_empty() && *name != "state").collect()
}

#[test]
fn a_foreign_incarnation_or_an_earlier_attempt_may_settle_and_nothing_else() {
    let foreign = [
        AttemptId { incarnation: Incarnation { nonce: 6, ..BIRTH }, attempt: ATTEMPT },
        AttemptId {
            incarnation: Incarnation { claimed_at: at(-200_001), ..BIRTH },
            attempt: ATTEMPT,
        },
        AttemptId { incarnation: BIRTH, attempt: ATTEMPT - 1 },
        AttemptId { incarnation: BIRTH, attempt: ATTEMPT + 1 },
    ];
    let others = [Outcome::No, Outcome::FailedBefore, Outcome::Doubtful, Outcome::NeverSent];
    for (name, of) in all_states().into_iter().flat_map(|name| foreign.map(|of| (name, of))) {
        let claim = claim(state(name));
        for outcome in others {
            let event = Evidence::Answer { of, outcome, gateways: set("a") };
            assert_eq!(claim.apply(event, at(0), &RULES), Step::Stays, "{name} {outcome:?} {of:?}");
        }
        let event = Evidence::Answer { of, outcome: Outcome::Executed, gateways: set("a") };
        let own = claim.apply(answer(Outcome::Executed, "a"), at(0), &RULES);
        assert_eq!(claim.apply(event, at(0), &RULES), own, "{name} {of:?}");
    }
}

#[test]
fn a_late_answer_of_the_first_attempt_never_clears_the_second() {
    for first in ["rejected a", "in doubt a"] {
        let before = claim(state(first));
        let second = before.further_attempt((MINE, MONEY), gateway('a'), at(0), &RULES);
        assert_eq!(second.attempt, before.attempt + 1);
        for outcome in [Outcome::No, Outcome::FailedBefore, Outcome::Doubtful, Outcome::NeverSent] {
            let late = answer(outcome, "a");
            assert_eq!(second.apply(late, at(1), &RULES), Step::Stays, "{first} {outcome:?}");
        }
        let late = answer(Outcome::Executed, "a");
        assert_eq!(show(second.apply(late, at(1), &RULES)), "settled a");
    }
}

#[test]
fn a_lease_frees_nothing_and_ends_at_its_end() {
    // Within the lease a NO rejects; from its end on the claim is in doubt and a NO is too late.
    for (offset, expected) in [(9999, "rejected a"), (10_000, "-"), (10_001, "-")] {
        for name in ["in flight a", "in flight after NO a"] {
            let step = claim(state(name)).apply(event("NO"), at(offset), &RULES);
            assert_eq!(show(step), expected, "{name} at {offset}");
        }
    }
    for (offset, expected) in [(9999, "in flight ab"), (10_000, "in doubt ab")] {
        assert_eq!(show_state(claim(state("in flight ab")).at(at(offset)).state), expected);
    }
    let lapsed = claim(state("in flight ab")).at(at(99_999));
    assert_eq!(lapsed.state, doubt("ab", 10_000), "the attempt ended with its lease");
    // A repeat's lease ends the repeat and nothing else.
    for (offset, expected) in [(9999, "in doubt a!"), (10_000, "in doubt a")] {
        assert_eq!(show_state(claim(state("in doubt a!")).at(at(offset)).state), expected);
    }
    let ClaimState::InDoubt { ended_at, .. } = claim(state("in doubt a!")).at(at(20_000)).state
    else {
        panic!("not in doubt")
    };
    assert_eq!(ended_at, at(10_000));
}

#[test]
fn time_alone_changes_no_other_state() {
    for name in all_states() {
        let before = claim(state(name));
        let leased = name.contains('!') || name.starts_with("in flight");
        for offset in [-1_000_000_000, 0, if leased { 0 } else { 1_000_000_000 }] {
            assert_eq!(before.at(at(offset)), before, "{name} at {offset}");
        }
    }
}

fn show_admission(admission: Admission) -> String {
    match admission {
        Admission::InProgress { unknown, retry_after } => {
            let outcome = if unknown { "in progress, unknown" } else { "in progress" };
            format!("{outcome}, {} ms", retry_after.get())
        }
        Admission::Replay { gateways } => format!("replay {}", letters(gateways)),
        Admission::Retry { gateway } => format!("retry {}", letters(Gateways::only(gateway))),
        Admission::Repeat { gateway } => format!("repeat {}", letters(Gateways::only(gateway))),
        Admission::Unknown { retry_after } => format!("unknown, {} ms", retry_after.get()),
        Admission::Mismatch => "mismatch".to_owned(),
        Admission::Closed(how) => format!("closed {how:?}"),
    }
}

#[test]
fn the_same_payment_again_gets_what_the_table_says() {
    check(
        "
        state                | same                           | another
        in flight a          | in progress, 1000 ms           | in progress, 1000 ms
        in flight ab         | in progress, 1000 ms           | in progress, 1000 ms
        in flight after NO a | in progress, 1000 ms           | in progress, 1000 ms
        settled a            | replay a                       | mismatch
        settled ab           | replay ab                      | mismatch
        settled a!           | replay a                       | mismatch
        rejected a           | retry a                        | retry a
        in doubt a           | repeat a                       | in progress, unknown, 5000 ms
        in doubt a?a         | repeat a                       | in progress, unknown, 5000 ms
        in doubt a!          | in progress, unknown, 1000 ms  | in progress, unknown, 5000 ms
        in doubt ab          | unknown, 5000 ms               | in progress, unknown, 5000 ms
        in doubt ab?a        | unknown, 5000 ms               | in progress, unknown, 5000 ms
        failed a             | closed Failed                  | mismatch
        cancelled a          | closed Cancelled               | mismatch
        refunded a           | closed Refunded                | mismatch
        ",
        |row, column| {
            let fingerprint = if column == "same" { MINE } else { OTHER };
            show_admission(claim(state(row)).admit(fingerprint, at(0), &RULES))
        },
    );
}

#[test]
fn of_a_record_learnt_from_a_status_nothing_is_a_mismatch() {
    for (name, expected) in [("settled a", "replay a"), ("failed a", "closed Failed")] {
        let claim = Claim { fingerprint: Fingerprint::UNKNOWN, ..claim(state(name)) };
        assert_eq!(show_admission(claim.admit(OTHER, at(0), &RULES)), expected);
    }
}

#[test]
fn a_repeat_waits_after_the_last_attempt_and_comes_not_too_late() {
    let check = |state: ClaimState, age: i64, now: i64, expected: &str| {
        let incarnation = Incarnation { claimed_at: at(now - age), nonce: 5 };
        let claim = Claim { incarnation, ..claim(state) };
        let found = show_admission(claim.admit(MINE, at(now), &RULES));
        assert_eq!(found, expected, "{state:?}, {age} ms old, at {now}");
    };
    check(doubt("a", 0), 40_000, 0, "unknown, 5000 ms");
    check(doubt("a", 0), 40_000, 4999, "unknown, 5000 ms");
    check(doubt("a", 0), 40_000, 5000, "repeat a");
    check(doubt("a", -90_000), 3_600_000, 0, "repeat a");
    check(doubt("a", -90_000), 3_600_001, 0, "unknown, 5000 ms");
    // The clock stepped back: the wait lasts longer, never shorter, and nobody is told to wait for
    // longer than the longest wait there is.
    check(doubt("a", 50_000), 40_000, 0, "unknown, 55000 ms");
    check(doubt("a", 60_000), 40_000, 0, "unknown, 60000 ms");
    // A lease that has ended was an attempt that ended then.
    check(state("in flight a"), 40_000, 9999, "in progress, 1000 ms");
    check(state("in flight a"), 40_000, 10_000, "unknown, 5000 ms");
    check(state("in flight a"), 40_000, 15_000, "repeat a");
    check(state("in flight ab"), 40_000, 15_000, "unknown, 5000 ms");
    check(state("in doubt a!"), 40_000, 9999, "in progress, unknown, 1000 ms");
    check(state("in doubt a!"), 40_000, 10_000, "unknown, 5000 ms");
    check(state("in doubt a!"), 40_000, 15_000, "repeat a");
}

#[test]
fn of_copies_that_were_only_observed_each_may_have_been_executed() {
    let observed = Claim { observed: true, ..claim(state("settled ab")) };
    for said in ["success", "executed at a"] {
        assert_eq!(show(observed.apply(event(said), at(0), &RULES)), "-", "{said}");
    }
}

#[test]
fn a_further_attempt_after_a_no_is_in_flight_and_takes_fingerprint_and_money_over() {
    let before = claim(state("rejected a"));
    let state = ClaimState::InFlight { candidates: set("a"), until: at(30_000), after_no: true };
    let (attempt, changed_at) = (ATTEMPT + 1, at(0));
    let expected = Claim { fingerprint: OTHER, money: LESS, state, attempt, changed_at, ..before };
    assert_eq!(before.further_attempt((OTHER, LESS), gateway('a'), at(0), &RULES), expected);
}

#[test]
fn a_repeat_stays_in_doubt_and_keeps_the_fingerprint() {
    for name in ["in doubt a", "in flight a"] {
        let before = claim(state(name));
        let after = before.further_attempt((OTHER, LESS), gateway('a'), at(20_000), &RULES);
        assert_eq!(show_state(after.state), "in doubt a!", "{name}");
        let ClaimState::InDoubt { repeat_until, .. } = after.state else { unreachable!() };
        assert_eq!(repeat_until, Some(at(50_000)));
        assert_eq!((after.fingerprint, after.attempt), (MINE, ATTEMPT + 1));
        assert_eq!((after.incarnation, after.money), (before.incarnation, before.money));
        let again = show_admission(after.admit(MINE, at(20_000), &RULES));
        assert_eq!(again, "in progress, unknown, 10000 ms", "one repeat at a time");
    }
}

#[test]
fn failed_may_be_said_of_an_earlier_attempt_while_the_last_one_travels() {
    let failed = PaymentStatus::Closed(Closed::Failed);
    let check = |attempt: u16, ended: i64, closes: bool| {
        let claim = Claim { attempt, ..claim(doubt("a", ended)) };
        let step = claim.apply(told('a', failed), at(0), &RULES);
        let expected = if closes { "failed a" } else { "-" };
        assert_eq!(show(step), expected, "attempt {attempt}, ended {ended}");
    };
    // The first one of a record may follow one whose record has ended.
    for attempt in [1, 2, 3] {
        check(attempt, 0, false);
        check(attempt, -59_999, false);
        check(attempt, -60_000, true);
        check(attempt, -60_001, true);
    }
}

#[test]
fn a_walk_goes_on_from_the_only_gateway_that_its_last_attempt_went_to() {
    let of = AttemptId { incarnation: BIRTH, attempt: ATTEMPT };
    let foreign = AttemptId { incarnation: Incarnation { nonce: 6, ..BIRTH }, ..of };
    let check = |name: &str, of: AttemptId, offset: i64, goes_on: bool| {
        let before = claim(state(name));
        let after = before.onward(of, gateway('b'), at(offset), &RULES);
        let until = at(offset + 30_000);
        let under_way = ClaimState::InFlight { candidates: set("b"), until, after_no: false };
        let expected =
            Claim { state: under_way, attempt: ATTEMPT + 1, changed_at: at(offset), ..before };
        assert_eq!(after, goes_on.then_some(expected), "{name} {of:?}");
    };
    check("in flight a", of, 0, true);
    check("in flight a", of, 9999, true);
    // Its lease is over: it is in doubt.
    check("in flight a", of, 10_000, false);
    check("in flight ab", of, 0, false);
    check("in flight a", AttemptId { attempt: ATTEMPT - 1, ..of }, 0, false);
    check("in flight a", foreign, 0, false);
    for name in ["settled a", "rejected a", "in doubt a", "in doubt a!", "failed a"] {
        check(name, of, 0, false);
    }
}

/// What happens to a claim in doubt since the present: `60000 a` is a's "not found" then, `repeat`
/// begins a repeat, `end` brings its answer. The last word is where the claim stands afterwards.
fn story(candidates: &str, script: &[(i64, &str)]) -> String {
    let mut claim = claim(doubt(candidates, 0));
    for (offset, what) in script {
        let step = match *what {
            "repeat" => {
                claim = claim.further_attempt((MINE, MONEY), gateway('a'), at(*offset), &RULES);
                continue;
            }
            "end" => {
                let of = AttemptId { incarnation: BIRTH, attempt: claim.attempt };
                let answer = Evidence::Answer { of, outcome: Outcome::No, gateways: set("a") };
                claim.apply(answer, at(*offset), &RULES)
            }
            by => {
                let by = by.chars().next().unwrap();
                claim.apply(told(by, PaymentStatus::NotFound), at(*offset), &RULES)
            }
        };
        match step {
            Step::To(state) => claim.state = state,
            Step::Stays => {}
            Step::Released | Step::Contradicted(_) | Step::Overturned(_) => panic!("{step:?}"),
        }
    }
    show_state(claim.state).replace('*', "")
}

#[test]
fn not_found_is_proof_only_twice_and_late_enough() {
    let check = |candidates: &str, script: &[(i64, &str)], expected: &str| {
        assert_eq!(story(candidates, script), expected, "{candidates} {script:?}");
    };
    check("a", &[(59_999, "a")], "in doubt a");
    check("a", &[(60_000, "a")], "in doubt a?a");
    check("a", &[(60_000, "a"), (119_999, "a")], "in doubt a?a");
    check("a", &[(60_000, "a"), (120_000, "a")], "rejected a");
    check("a", &[(59_999, "a"), (120_000, "a")], "in doubt a?a");
    check("a", &[(60_000, "a"), (90_000, "a"), (119_999, "a")], "in doubt a?a");
    check("a", &[(60_000, "b"), (120_000, "b")], "in doubt a");
    check("a", &[(60_000, "b"), (120_000, "a")], "in doubt a?a");
    check("ab", &[(60_000, "a"), (120_000, "b")], "in doubt ab?a");
    check("ab", &[(60_000, "a"), (120_000, "a")], "in doubt b");
    check("ab", &[(60_000, "a"), (120_000, "a"), (200_000, "b")], "in doubt b?b");
    check("ab", &[(60_000, "a"), (120_000, "a"), (200_000, "b"), (260_000, "b")], "rejected b");
}

#[test]
fn a_repeat_makes_every_earlier_not_found_worthless() {
    let check = |script: &[(i64, &str)], expected: &str| {
        assert_eq!(story("a", script), expected, "{script:?}");
    };
    check(&[(60_000, "repeat"), (70_000, "a")], "in doubt a!");
    let noted = [(60_000, "a"), (70_000, "repeat"), (75_000, "end")];
    let then = |more: &[(i64, &'static str)]| [&noted[..], more].concat();
    check(&then(&[(134_999, "a")]), "in doubt a");
    check(&then(&[(135_000, "a")]), "in doubt a?a");
    check(&then(&[(135_000, "a"), (195_000, "a")]), "rejected a");
    // The repeat's answer is lost: it ended with its lease, at 100 s.
    let noted = [(60_000, "a"), (70_000, "repeat")];
    let then = |more: &[(i64, &'static str)]| [&noted[..], more].concat();
    check(&then(&[(160_000, "a")]), "in doubt a?a");
    check(&then(&[(160_000, "a"), (219_999, "a")]), "in doubt a?a");
    check(&then(&[(160_000, "a"), (220_000, "a")]), "rejected a");
}

#[test]
fn only_what_is_resolved_may_expire() {
    for name in all_states() {
        let unresolved = name.starts_with("in ");
        assert_eq!(claim(state(name)).is_resolved(), !unresolved, "{name}");
    }
}
