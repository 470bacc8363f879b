//! How many calls each kind of request takes, and one or two of them that go wrong.

use super::*;

/// What is asked and the status of its answer: how many calls, what is told, and where claims stand.
const CALLS: [&str; 50] = [
    "a payment, 200: 2, relayed; settled",
    "a payment, 403: 2, relayed; rejected",
    "a payment, 503: 2, 504 unknown; in_doubt",
    "a payment, 503: 2, 503 never_sent;",
    "with a header key, 200: 2, relayed; settled key",
    "with a header key, 403: 2, relayed; rejected key",
    "with a header key, 503: 2, 504 unknown; in_doubt key",
    "with a header key, 503: 3, 503 never_sent;",
    "a payment that was given back before, 200: 3, relayed; settled key",
    "a payment that was given back before, 403: 3, relayed; rejected key",
    "a payment that was given back before, 503: 3, 504 unknown; in_doubt key",
    "a payment that was given back before, 503: 4, 503 never_sent;",
    "a trial, 200: 2, relayed; settled",
    "a trial, 503: 2, 503 never_sent;",
    "a retry after a NO, 200: 3, relayed; settled key",
    "a retry after a NO, 403: 3, relayed; rejected key",
    "a retry after a NO, 503: 3, 504 unknown; in_doubt key",
    "a retry after a NO, 503: 3, 503 never_sent; rejected key",
    "a repeat in doubt, 200: 3, relayed; settled",
    "a repeat in doubt, 403: 3, 504 unknown; in_doubt",
    "a repeat in doubt, 503: 3, 504 unknown; in_doubt",
    "a repeat in doubt, 503: 3, 504 unknown; in_doubt",
    "a replay, 200: 1, 200 replay; settled",
    "a replay elsewhere, 200: 4, relayed; settled",
    "a replay elsewhere, 403: 4, 504 already_executed; settled",
    "a replay elsewhere, 503: 4, 504 already_executed; settled",
    "a replay elsewhere, 503: 4, 504 already_executed; settled",
    "with a token, 200: 3, relayed; settled key",
    "with a token, 403: 3, relayed; rejected key",
    "a token, 200: 1, relayed; key",
    "a refund, 200: 4, relayed; settled settled",
    "a refund, 404: 4, 504 unknown; rejected settled",
    "a refund, 503: 4, 504 unknown; in_doubt settled",
    "a refund, 503: 4, 503 never_sent; settled",
    "a refund of something unknown, 200: 4, relayed; settled settled",
    "a refund of something unknown, 404: 6, 404 relayed; rejected",
    "a refund of something unknown, 503: 4, 504 unknown; in_doubt",
    "a refund of something unknown, 503: 4, 503 never_sent;",
    "a cancel, 200: 4, relayed; closed settled",
    "a cancel in doubt, 200: 4, relayed; closed settled",
    "a status of something unknown, 200: 2, relayed; settled",
    "a status of something unknown, 404: 3, 404 relayed;",
    "a status of something unknown, 503: 2, 504 no_answer;",
    "a status in doubt, 200: 2, relayed; settled",
    "a status in doubt, 404: 2, 504 unknown; in_doubt",
    "a status in doubt, 503: 2, 504 no_answer; in_doubt",
    "a status of what was paid, 200: 2, relayed; settled",
    "a status of what was paid, 404: 2, 504 contradicted; settled",
    "a status of what was paid, 503: 2, 504 no_answer; settled",
    "a malformed repeat, 200: 1, 429 in_progress; in_doubt",
];

/// Calls of etcd for each kind of request, what is told, and where claims stand then. A round trip
/// more is a payment that takes longer.
#[test]
fn each_kind_of_request_takes_so_many_calls() {
    let found: Vec<String> = cases()
        .iter()
        .map(|case| {
            let Usual { calls, told, states, .. } = case.usual();
            let line =
                format!("{}, {}: {calls}, {told}; {}", case.name, case.status(), states.join(" "));
            line.trim_end().to_owned()
        })
        .collect();
    assert_eq!(found, CALLS, "{found:#?}");
}

/// While payments move from shared data, each payment that is claimed in etcd is there as if nothing
/// else was ever configured, also when it comes again.
#[test]
fn beside_a_store_that_is_left_behind_all_is_as_without_it() {
    let drains = EtcdTerms { drains_local: true, ..TERMS };
    for case in cases() {
        let (usual, beside) = (case.usual(), case.by(drains));
        let what = case.what();
        assert_eq!((usual.told, usual.states), (beside.told, beside.states), "{what}");
        assert_eq!((usual.sent, usual.calls), (beside.sent, beside.calls), "{what}");
    }
}

/// What goes wrong with one request.
#[derive(Clone, Debug, Default)]
struct Wrong {
    faults: Vec<(usize, CallFault)>,
    /// Before which call the late ones arrive.
    lands_before: Option<usize>,
    /// Before which one the client leaves.
    leaves_before: Option<usize>,
}

/// What many stories came to.
#[derive(Debug, Default)]
struct Told {
    stories: usize,
    /// In which something went wrong.
    met: usize,
    left: usize,
    wrong: Vec<String>,
}

impl Told {
    fn play(&mut self, case: &Case, usual: &Usual, wrong: &Wrong) {
        let what = format!("{}, {wrong:?}", case.what());
        let mut remote = case.set(TERMS);
        remote.etcd.faults = wrong.faults.iter().copied().collect();
        remote.etcd.lands_before = wrong.lands_before;
        let mut way = remote.hold(&case.asked);
        way.leaves_before = wrong.leaves_before;
        remote.go_on(&mut way);
        remote.end(&mut way, case.ending);
        self.stories += 1;
        let is_met = |(at, _): &(usize, CallFault)| *at < remote.etcd.calls.len();
        self.met += usize::from(wrong.faults.iter().all(is_met));
        self.left += usize::from(way.has_left);
        check(case, usual, &mut remote, &way, &what, &mut self.wrong);
    }

    fn end(&self, stories: usize) {
        println!("{} stories, {} met, {} left", self.stories, self.met, self.left);
        let some = &self.wrong[..self.wrong.len().min(50)];
        assert!(self.wrong.is_empty(), "{}: {some:#?}", self.wrong.len());
        assert!(self.met >= stories, "{self:?}");
    }
}

fn is_late(fault: CallFault) -> bool {
    matches!(fault, CallFault::Late | CallFault::Repeated)
}

#[test]
fn whichever_call_goes_wrong_claims_stand_as_they_should_in_the_end() {
    let mut told = Told::default();
    for case in cases() {
        let usual = case.usual();
        for at in 0..usual.calls {
            for fault in CallFault::ALL {
                for lands_before in [None, Some(at + 1), Some(at + 2)] {
                    if lands_before.is_none() || is_late(fault) {
                        let faults = vec![(at, fault)];
                        let wrong = Wrong { faults, lands_before, leaves_before: None };
                        told.play(&case, &usual, &wrong);
                    }
                }
            }
        }
    }
    told.end(1500);
}

/// Two calls, one after the other or with one between them.
#[test]
fn whichever_two_calls_go_wrong_claims_stand_as_they_should_in_the_end() {
    let mut told = Told::default();
    let some = [CallFault::AnswerLost, CallFault::Late, CallFault::Refused(5), CallFault::Unsent];
    for case in cases() {
        let usual = case.usual();
        for at in 0..usual.calls {
            for then in [at + 1, at + 2] {
                for one in some {
                    for other in some {
                        let faults = vec![(at, one), (then, other)];
                        let wrong = Wrong { faults, ..Wrong::default() };
                        told.play(&case, &usual, &wrong);
                    }
                }
            }
        }
    }
    told.end(2000);
}

/// A client that leaves before each call, and one that goes wrong beside.
#[test]
fn whenever_the_client_leaves_nothing_is_sent_and_nothing_stays_open() {
    let mut told = Told::default();
    let some = [None, Some(CallFault::AnswerLost), Some(CallFault::Late), Some(CallFault::Reset)];
    for case in cases() {
        let usual = case.usual();
        for leaves_before in 0..usual.calls {
            for at in [leaves_before, leaves_before + 1] {
                for fault in some {
                    let faults = fault.map(|fault| (at, fault)).into_iter().collect();
                    let leaves_before = Some(leaves_before);
                    let wrong = Wrong { faults, lands_before: None, leaves_before };
                    told.play(&case, &usual, &wrong);
                }
            }
        }
    }
    assert!(told.left > 300, "{}", told.left);
    told.end(300);
}
