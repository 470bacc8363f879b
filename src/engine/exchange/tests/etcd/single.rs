//! How many calls each kind of request takes, and one or two of them that go wrong.

use super::*;

/// Calls of etcd for each kind of request, what is told, and where claims stand then. A round trip
/// more is a payment that takes longer.
#[test]
fn each_kind_of_request_takes_so_many_calls() {
    let found: Vec<String> = cases()
        .iter()
        .map(|case| {
            let Usual { calls, told, states, .. } = case.usual();
            format!("{}, {}: {calls}, {told}; {}", case.name, case.status(), states.join(" "))
        })
        .collect();
    println!("{found:#?}");
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
        let mut remote = case.set();
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
