//! Where a race begins: what the store says of the payment, what the gateways really did, and what
//! is still on its way.

use dana_failover::engine::Bucket;
use dana_failover::engine::limits::{BUCKET_RECORDS_MAX, BUCKET_RECORDS_MEAN};
use dana_failover::engine::{
    Claim, ClaimKey, ClaimState, Closed, Fingerprint, Incarnation, KeyPrefix,
};
use dana_failover::engine::{GatewayId, Gateways};
use dana_failover::engine::{Millis, Timestamp};

use super::ledger::{Deed, Ledger};
use super::reference::record;
use super::{NOW, RETENTION_MS};

/// The second gateway: whoever forgets where the payment is asks the first one.
const HOLDER: usize = 1;

/// A beginning.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) name: String,
    pub(crate) claim: Option<Claim>,
    pub(crate) ledger: Ledger,
    /// The answer to an executed payment is kept.
    pub(crate) is_kept: bool,
    pub(crate) travels: Option<usize>,
    pub(crate) others: Vec<(KeyPrefix, Claim)>,
}

/// What the starts are made of.
pub(crate) struct Makings {
    pub(crate) order: Vec<GatewayId>,
    pub(crate) print: Fingerprint,
    pub(crate) lease: u64,
    pub(crate) repeat_after: u64,
}

const fn at(offset: i64) -> Timestamp {
    Timestamp::from_millis(NOW.saturating_add_signed(offset))
}

fn other(number: usize) -> KeyPrefix {
    ClaimKey::derive("another partner", "order", [number.to_string().as_str()]).prefix()
}

impl Makings {
    fn only(&self, gateway: usize) -> Gateways {
        Gateways::only(self.order[gateway])
    }

    fn start(&self, name: &str, state: ClaimState) -> Start {
        let incarnation = Incarnation { claimed_at: at(-300_000), nonce: 9 };
        let claim = Claim { fingerprint: self.print, ..record(state, 1, incarnation) };
        let (ledger, travels) = (Ledger::default(), None);
        let (name, claim, others) = (name.to_owned(), Some(claim), Vec::new());
        Start { name, claim, ledger, is_kept: true, travels, others }
    }

    /// Everything that a race begins with. Times stand around the clock of the first worker.
    pub(crate) fn starts(&self) -> Vec<Start> {
        let mut starts = vec![Start { claim: None, ..self.start("absent", self.settled()) }];
        let holder = self.order[HOLDER];
        starts.push(self.start("rejected", ClaimState::Rejected { gateway: holder }));
        for (how, name) in [(Closed::Failed, "failed"), (Closed::Cancelled, "cancelled")] {
            let closed = ClaimState::Closed { how, gateways: self.only(HOLDER) };
            let mut start = self.start(name, closed);
            if how == Closed::Cancelled {
                start.ledger = executed();
                start.ledger.cancel(HOLDER, 0);
            }
            starts.push(start);
        }
        for edge in [-1, 0, 1] {
            starts.push(self.expiring(edge));
            starts.push(self.unkept(Some(edge)));
            starts.extend(self.in_flight(edge));
            starts.extend(self.in_doubt(edge));
        }
        starts.push(self.unkept(None));
        starts.push(self.told());
        starts.extend([false, true].map(|expired| self.full(expired)));
        starts
    }

    fn settled(&self) -> ClaimState {
        ClaimState::settled(self.only(HOLDER))
    }

    /// Settled, and about to expire or just expired, in a bucket that makes room.
    fn expiring(&self, edge: i64) -> Start {
        let mut start = self.start(&format!("settled, expires at {edge}"), self.settled());
        start.ledger = executed();
        let changed_at = at(edge - RETENTION_MS);
        start.claim = start.claim.map(|claim| Claim { changed_at, ..claim });
        start.others = self.others(BUCKET_RECORDS_MEAN as usize + 2);
        start
    }

    /// Executed, and its answer is not kept: it is asked for again, and perhaps by a repeat of a
    /// worker that died.
    fn unkept(&self, edge: Option<i64>) -> Start {
        let (gateways, repeat_until) = (self.only(HOLDER), edge.map(at));
        let name = format!("settled, unkept, repeat ends at {edge:?}");
        let start = self.start(&name, ClaimState::Settled { gateways, repeat_until });
        Start { ledger: executed(), is_kept: false, ..start }
    }

    /// Executed as a status said, and of no known amount.
    fn told(&self) -> Start {
        let mut start = Start { name: "told".to_owned(), ..self.unkept(None) };
        start.claim = start.claim.map(|claim| Claim { fingerprint: Fingerprint::UNKNOWN, ..claim });
        start
    }

    /// In flight by a worker that died, its copy executed, on its way, or lost.
    fn in_flight(&self, edge: i64) -> Vec<Start> {
        let both: Gateways = self.order.iter().copied().collect();
        let state =
            |candidates| ClaimState::InFlight { candidates, until: at(edge), after_no: false };
        let mut starts = Vec::new();
        for (name, candidates, to) in
            [("both, first", both, 0), ("both, second", both, 1), ("one", self.only(HOLDER), 1)]
        {
            let name = format!("in flight to {name}, lease ends at {edge}");
            starts.push(Start { travels: Some(to), ..self.start(&name, state(candidates)) });
        }
        starts
    }

    /// In doubt, its copy on its way: a repeat is allowed from `edge` on, or one runs until then.
    fn in_doubt(&self, edge: i64) -> Vec<Start> {
        let both: Gateways = self.order.iter().copied().collect();
        let rested = at(edge - self.repeat_after.cast_signed());
        let doubt = |candidates, ended_at, repeat_until| ClaimState::InDoubt {
            candidates,
            ended_at,
            repeat_until,
            not_found: None,
        };
        let one = self.only(HOLDER);
        let repeated_at = at(edge - self.lease.cast_signed() - 20_000);
        let first = |name: &str, state| {
            let name = format!("in doubt {name} at {edge}");
            Start { travels: Some(HOLDER), ..self.start(&name, state) }
        };
        let mut repeats = first("repeat ends", doubt(one, repeated_at, Some(at(edge))));
        repeats.claim = repeats.claim.map(|claim| Claim { attempt: 2, ..claim });
        vec![
            first("repeatable", doubt(one, rested, None)),
            first("of both", doubt(both, rested, None)),
            repeats,
        ]
    }

    /// A bucket without room for one more, but for one that has expired.
    fn full(&self, expired: bool) -> Start {
        let name = if expired { "full, one expired" } else { "full" };
        let mut start = Start { claim: None, ..self.start(name, self.settled()) };
        start.others = self.others(BUCKET_RECORDS_MAX);
        if expired {
            let changed_at = at(-RETENTION_MS - self.lease.cast_signed());
            start.others[7].1 = Claim { changed_at, ..record(self.settled(), 1, incarnation(7)) };
        }
        start
    }

    /// Records of others: every second one is in doubt, all others settled a moment ago.
    fn others(&self, count: usize) -> Vec<(KeyPrefix, Claim)> {
        let candidates = self.only(0);
        let (ended_at, repeat_until, not_found) = (at(-100_000), None, None);
        let doubt = ClaimState::InDoubt { candidates, ended_at, repeat_until, not_found };
        let claim = |number: usize| {
            let state = if number.is_multiple_of(2) { doubt } else { self.settled() };
            Claim { changed_at: at(-100_000), ..record(state, 1, incarnation(number)) }
        };
        (0..count).map(|number| (other(number), claim(number))).collect()
    }
}

fn incarnation(number: usize) -> Incarnation {
    let nonce = u32::try_from(number).unwrap();
    Incarnation { claimed_at: at(-200_000), nonce }
}

fn executed() -> Ledger {
    let mut ledger = Ledger::default();
    ledger.pay(HOLDER, 0, false, Deed::Execute);
    ledger
}

impl Start {
    /// The bucket with all records.
    pub(crate) fn bucket(&self, key: &KeyPrefix) -> Bucket {
        let mut bucket = Bucket::default();
        let own = self.claim.iter().map(|claim| (*key, *claim));
        for (key, claim) in own.chain(self.others.iter().copied()) {
            // Nothing makes room while it is put together.
            let for_ever = Millis::new(u64::MAX);
            bucket.put(&key, &claim, Timestamp::default(), for_ever).unwrap();
        }
        bucket
    }
}
