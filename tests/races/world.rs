//! Two requests on two workers, one store, two gateways: every schedule of their steps.
//!
//! Depth first, and a state that was reached before is not walked again: the state is everything
//! that what follows can depend on (store with versions, ledgers, both requests with all that they
//! were fed, what each was told), so what follows was seen. Schedules are counted, not skipped.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use dana_failover::engine::{Claim, Incarnation};
use dana_failover::engine::{Entry, Expected};

use super::ledger::{Deed, Ledger};
use super::schedules::{Arrival, Input, Place, Root, Schedules, Value, Want};
use super::wishes::What;

/// What becomes of a request that was let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The gateway does it and says so.
    Done,
    /// The gateway says NO, unless it has it already.
    No,
    /// The gateway does it, and the answer is lost.
    Timeout,
    /// The first gateway cannot be connected to; the next one, if there is one, does it.
    Refused,
}

pub(crate) const FATES: [Fate; 4] = [Fate::Done, Fate::No, Fate::Timeout, Fate::Refused];

/// How far a request is with the gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wire {
    /// Held.
    Held,
    /// Let go.
    Sent,
    /// It was there, and this comes back.
    Back(usize),
    /// Its end was told.
    Over(usize),
}

/// One of the two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Run {
    pub(crate) node: usize,
    pub(crate) wire: Wire,
    /// Whom it was let go to, in this order.
    pub(crate) members: [Option<usize>; 2],
    /// The filter calls the gateway itself.
    pub(crate) called: bool,
    /// The attempt that it is: claimed at, nonce, number.
    pub(crate) attempt: Option<(u64, u32, u64)>,
    /// Whether a charge could exist when the claims were last read or written for it.
    pub(crate) was_doubtful: bool,
    pub(crate) answers: u8,
    /// Its client has left while the store was asked.
    pub(crate) left: bool,
}

/// Everything that what follows depends on. What differs most comes first: states are compared
/// often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct State {
    pub(crate) runs: [Run; 2],
    /// Health, claims, kept answer.
    pub(crate) cells: [Value; 3],
    /// The ledgers of this number.
    ledger: usize,
    /// A copy of the payment, sent by a worker that died, is on its way to this gateway.
    pub(crate) travels: Option<usize>,
}

/// One race: what both want, and what their clocks show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Race {
    pub(crate) whats: [What; 2],
    pub(crate) clocks: [u64; 2],
}

/// The walk over all schedules of a race.
pub(crate) struct Walk<'a> {
    pub(crate) race: Race,
    pub(crate) plays: &'a mut Schedules,
    pub(crate) truth: &'a super::invariants::Invariants,
    ledgers: Vec<Ledger>,
    seen: BTreeMap<State, f64>,
    /// The payment's record in the buckets of these numbers.
    found: RefCell<BTreeMap<usize, Entry>>,
    /// Writes of a bucket in which no other record suffered: before, after, by whom.
    pub(crate) harmless: BTreeSet<(usize, usize, usize)>,
    /// The schedule that is being walked: who does what, by the node that it is at.
    trail: Vec<(&'static str, Move)>,
    pub(crate) steps: u64,
    /// Steps by which a request was let go while the other one had not been, and after it.
    pub(crate) sent: [u64; 2],
    /// Steps by which a client left.
    pub(crate) left: u64,
    name: String,
}

/// A step of a schedule.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// The next thing that the request of this node wants.
    Next(usize),
    /// It reaches a gateway, or none.
    Reach(Fate),
    /// Its end is told.
    Told,
    /// Its client leaves.
    Leaves,
    /// The copy of the worker that died arrives.
    Arrives(usize),
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        name: String,
        race: Race,
        plays: &'a mut Schedules,
        truth: &'a super::invariants::Invariants,
    ) -> Self {
        Self {
            race,
            plays,
            truth,
            ledgers: Vec::new(),
            seen: BTreeMap::new(),
            found: RefCell::default(),
            harmless: BTreeSet::new(),
            trail: Vec::new(),
            steps: 0,
            sent: [0; 2],
            left: 0,
            name,
        }
    }

    /// The two requests at their beginning.
    pub(crate) fn begin(
        &mut self,
        cells: [Value; 3],
        ledger: Ledger,
        travels: Option<usize>,
    ) -> State {
        let Race { whats, clocks } = self.race;
        let runs = [0, 1].map(|at| Run {
            node: self.plays.root(Root {
                what: whats[at],
                now: clocks[at],
                context: u32::try_from(at).unwrap(),
            }),
            wire: Wire::Held,
            members: [None; 2],
            called: false,
            attempt: None,
            was_doubtful: true,
            answers: 0,
            left: false,
        });
        State { cells, ledger: self.number(ledger), travels, runs }
    }

    fn number(&mut self, ledger: Ledger) -> usize {
        let known = self.ledgers.iter().position(|known| *known == ledger);
        known.unwrap_or_else(|| {
            self.ledgers.push(ledger);
            self.ledgers.len() - 1
        })
    }

    pub(crate) fn ledger(&self, state: &State) -> &Ledger {
        &self.ledgers[state.ledger]
    }

    /// What the store says of the payment.
    pub(crate) fn find(&self, state: &State) -> Entry {
        let value = state.cells[Place::Claims as usize];
        if value.version == 0 {
            return Entry::Absent;
        }
        let mut found = self.found.borrow_mut();
        *found.entry(value.bytes).or_insert_with(|| self.bucket(state).find(&self.truth.key))
    }

    pub(crate) fn states(&self) -> usize {
        self.seen.len()
    }

    /// Walks every schedule from `state`; their number.
    pub(crate) fn go(&mut self, state: &State) -> f64 {
        if let Some(known) = self.seen.get(state) {
            return *known;
        }
        self.check(state);
        let moves: Vec<(usize, Move)> =
            (0..2).flat_map(|at| self.moves(state, at).into_iter().map(move |m| (at, m))).collect();
        let mut schedules = 0.0;
        for (at, what) in &moves {
            self.steps += 1;
            self.trail.push((["A", "B"][*at], *what));
            let next = self.step(state, *at, *what);
            // What the store may forget it does not protect any longer.
            let forgets = self.check_step(*at, state, &next);
            schedules += if forgets { 1.0 } else { self.go(&next) };
            self.trail.pop();
        }
        if let Some(gateway) = state.travels {
            self.trail.push(("the copy", Move::Arrives(gateway)));
            let mut ledger = self.ledger(state).clone();
            ledger.pay(gateway, self.race.whats[0].payment(), false, Deed::Execute);
            let next = State { travels: None, ledger: self.number(ledger), ..*state };
            schedules += self.go(&next);
            self.trail.pop();
        }
        if moves.is_empty() {
            self.check_end(state);
            schedules += 1.0;
        }
        self.seen.insert(*state, schedules);
        schedules
    }

    /// Everything that the request `at` can do next.
    fn moves(&self, state: &State, at: usize) -> Vec<Move> {
        let run = state.runs[at];
        if let Some(want) = self.plays.nodes[run.node].todo.first() {
            let asks = matches!(want, Want::Load(_) | Want::Store(..));
            // One of the two is enough, and beside a cancellation neither: the schedules are many as it
            // is.
            let cancels = matches!(self.race.whats[1], What::Cancel { .. });
            let may_leave = asks && at == 0 && !cancels && !run.left;
            let leaves = may_leave && !self.plays.nodes[run.node].is_ended;
            return [Some(Move::Next(run.node)), leaves.then_some(Move::Leaves)]
                .into_iter()
                .flatten()
                .collect();
        }
        match run.wire {
            Wire::Held | Wire::Over(_) => Vec::new(),
            Wire::Sent => {
                // Who asks or cancels is told what is so.
                let pays = matches!(self.race.whats[at], What::Pay { .. });
                let fates = FATES.into_iter().filter(|fate| pays || *fate != Fate::No);
                fates.map(Move::Reach).collect()
            }
            Wire::Back(_) => vec![Move::Told],
        }
    }

    fn step(&mut self, state: &State, at: usize, what: Move) -> State {
        let run = state.runs[at];
        match (what, run.wire) {
            (Move::Next(node), _) => {
                let want = self.plays.nodes[node].todo[0].clone();
                self.carry_out(state, at, want)
            }
            (Move::Reach(fate), _) => self.reach(state, at, fate),
            (Move::Told, Wire::Back(number)) => {
                let mut next = *state;
                next.runs[at].node = self.plays.next(run.node, Input::Arrived(number));
                next.runs[at].wire = Wire::Over(number);
                next
            }
            (Move::Leaves, _) => {
                let mut next = *state;
                next.runs[at].node = self.plays.next(run.node, Input::Gone);
                next.runs[at].left = true;
                self.left += 1;
                next
            }
            (Move::Told | Move::Arrives(_), _) => unreachable!("no step of this request"),
        }
    }

    fn carry_out(&mut self, state: &State, at: usize, want: Want) -> State {
        let mut next = *state;
        let is_told = !matches!(want, Want::Load(_) | Want::Store(..));
        assert!(!(is_told && state.runs[at].left), "{want:?} for a client that has left");
        let input = match want {
            Want::Load(place) => Input::Loaded(place, state.cells[place as usize]),
            Want::Store(place, bytes, expected) => {
                let value = &mut next.cells[place as usize];
                let as_expected = match expected {
                    Expected::Absent => value.version == 0,
                    Expected::At(version) => value.version == version,
                    Expected::Any => true,
                };
                if as_expected {
                    *value = Value { bytes, version: value.version + 1 };
                    Input::Stored(place)
                } else {
                    Input::Conflict(place)
                }
            }
            Want::Forward(forward) => {
                let members = self.check_forward(state, at, &forward);
                let is_second = state.runs[1 - at].wire != Wire::Held;
                self.sent[usize::from(is_second)] += 1;
                let attempt = self.claim(state).map(|claim| attempt_of(&claim));
                let run = &mut next.runs[at];
                (run.members, run.wire, run.attempt) = (members, Wire::Sent, attempt);
                Input::Done
            }
            Want::Call(gateway) => {
                let run = &mut next.runs[at];
                (run.members, run.wire, run.called) = ([Some(gateway), None], Wire::Sent, true);
                Input::Done
            }
            Want::Reply(reply) => {
                self.check_reply(state, at, &reply);
                next.runs[at].answers += 1;
                Input::Done
            }
            Want::Relay => {
                self.check_relay(state, at);
                next.runs[at].answers += 1;
                Input::Done
            }
        };
        if let Input::Loaded(Place::Claims, _) | Input::Stored(Place::Claims) = input {
            next.runs[at].was_doubtful = self.may_be_charged(&next);
        }
        let claimed = self.claim(&next);
        let run = &mut next.runs[at];
        let is_claimed = run.left && run.wire == Wire::Held && run.attempt.is_none();
        if let (true, Input::Stored(Place::Claims), Some(claim)) = (is_claimed, input, claimed) {
            // Won for nobody: it is given back.
            run.attempt = Some(attempt_of(&claim));
        }
        run.node = self.plays.next(run.node, input);
        next
    }

    /// Envoy tries one gateway after the other.
    fn reach(&mut self, state: &State, at: usize, fate: Fate) -> State {
        let mut next = *state;
        let run = state.runs[at];
        let gateway = run.members[usize::from(fate == Fate::Refused)];
        let arrival = match gateway {
            // A call of the filter's own says nothing of its connection.
            None if run.called => Arrival::Timeout { gateway: run.members[0].unwrap() },
            None => Arrival::Refused,
            Some(gateway) => {
                let deed = if fate == Fate::No { Deed::Refuse } else { Deed::Execute };
                let mut ledger = self.ledger(state).clone();
                let wire = match self.race.whats[at] {
                    What::Pay { payment, other_amount } => {
                        ledger.pay(gateway, payment, other_amount, deed)
                    }
                    What::Ask { payment } => ledger.ask(gateway, payment),
                    What::Cancel { payment } => ledger.cancel(gateway, payment),
                };
                next.ledger = self.number(ledger);
                match fate {
                    Fate::Timeout => Arrival::Timeout { gateway },
                    Fate::Done | Fate::No | Fate::Refused => {
                        Arrival::Answered { gateway, status: wire.status, body: wire.body }
                    }
                }
            }
        };
        next.runs[at].wire = Wire::Back(self.plays.arrival(arrival));
        next
    }
}

/// Claimed at, nonce, number.
fn attempt_of(claim: &Claim) -> (u64, u32, u64) {
    let Incarnation { claimed_at, nonce } = claim.incarnation;
    (claimed_at.as_millis(), nonce, u64::from(claim.attempt))
}

impl Walk<'_> {
    fn show(&self, what: Move) -> String {
        let node = match what {
            Move::Next(node) => node,
            Move::Reach(fate) => return format!("reaches a gateway or none: {fate:?}"),
            Move::Told => return "is told its end".to_owned(),
            Move::Leaves => return "has no client any longer".to_owned(),
            Move::Arrives(gateway) => return format!("arrives at {gateway}"),
        };
        match &self.plays.nodes[node].todo[0] {
            Want::Load(place) => format!("reads {place:?}"),
            Want::Store(place, _, expected) => format!("writes {place:?}, {expected:?}"),
            Want::Forward(_) => "lets it go".to_owned(),
            Want::Call(gateway) => format!("calls gateway {gateway} itself"),
            Want::Reply(reply) => format!("says {} {}", reply.status, reply.reason),
            Want::Relay => "lets the answer through".to_owned(),
        }
    }
}

impl Drop for Walk<'_> {
    /// A check that fails panics: then the schedule is what one wants to see.
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}, {:?}", self.name, self.race);
            for (who, what) in &self.trail {
                println!("  {who}: {}", self.show(*what));
            }
        }
    }
}
