//! What may happen, as plain data, so that a story that goes wrong can be told in fewer acts.

use proptest::prelude::*;

use super::ledger::Deed;
use super::notices::{Application, Notifying, Signature};
use super::remote::{First, Net};
use super::setup::Kind;

/// One thing that happens. Numbers choose among what is there, so that every act is possible.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// A client sends a payment, perhaps with another amount than before, perhaps with a header key.
    Pay { payment: usize, other_amount: bool, key: usize, worker: usize },
    /// A client asks for a payment's status.
    Ask { payment: usize, worker: usize },
    /// A client cancels a payment.
    Cancel { payment: usize, worker: usize },
    /// A client's request runs through at once: pays, asks or cancels.
    Through { wish: usize, payment: usize, key: usize, fate: Fate },
    /// A worker carries out the next effect of a request.
    Step { run: usize },
    /// It carries out all that are left.
    Finish { run: usize },
    /// A request that was let go reaches a gateway, and its answer comes back.
    Deliver { run: usize, fate: Fate },
    /// A copy that was travelling arrives at its gateway.
    Arrive { copy: usize, executes: bool },
    /// So much time passes.
    Pass { millis: u64 },
    /// A worker drops a request where it stands.
    Crash { run: usize, gateway: usize, travels: bool },
    /// The client of a request leaves while the store is asked.
    Leave { run: usize },
    /// A heartbeat's result.
    Beat { gateway: usize, good: bool },
    /// The store's next call but so many goes wrong.
    Fault { after: usize, written: bool },
    /// An operator says what became of a payment.
    Resolve { payment: usize },
    /// What was enforced is only observed, or the other way round.
    Flip,
    /// The clock is put so many days ahead of what it should say, or back.
    Leap { days: i64 },
    /// A gateway notifies of a payment.
    Notify(Notifying),
    /// The application has a notification, and answers it or does not.
    Confirm { notice: usize, how: Application },
    /// Something happens to an etcd, on the way to it, or to an Envoy that uses it.
    Etcd(EtcdAct),
}

/// What happens where claims stand in an etcd.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EtcdAct {
    /// The next call but so many goes wrong.
    Net { after: usize, how: Net },
    /// A call that was on its way arrives.
    Land { call: usize },
    /// An Envoy dies and comes back.
    Restart { worker: usize, gateway: usize, travels: bool },
    /// An Envoy with another table joins.
    Fence,
}

/// What becomes of a request on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    /// So many gateways cannot be connected to.
    pub(crate) refuse: usize,
    /// What the gateway that is reached does with it.
    pub(crate) deed: Deed,
    /// What comes back.
    pub(crate) answer: Answer,
    /// Whether Envoy says which endpoint it used.
    pub(crate) named: bool,
}

/// What comes back from a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// What it did.
    Honest,
    /// Nothing until the timeout.
    Timeout,
    /// A reset connection.
    Reset,
    /// A page of a middlebox.
    Page(u16),
    /// SNAP's "internal server error", whatever happened.
    Internal,
    /// SNAP's "in progress", whatever happened.
    Pending,
    /// The answer to another payment.
    OtherReference,
    /// Half of it.
    Truncated,
    /// The client has left by then.
    ClientGone,
}

fn fate() -> impl Strategy<Value = Fate> {
    let refuse = prop_oneof![5 => Just(0), 2 => Just(1), 1 => Just(2)];
    let deed = prop_oneof![
        4 => Just(Deed::Execute),
        2 => Just(Deed::Refuse),
        1 => Just(Deed::Fail),
        3 => Just(Deed::Later),
    ];
    let answer = prop_oneof![
        8 => Just(Answer::Honest),
        3 => Just(Answer::Timeout),
        1 => Just(Answer::Reset),
        1 => prop_oneof![Just(403), Just(404), Just(502), Just(200)].prop_map(Answer::Page),
        1 => Just(Answer::Internal),
        1 => Just(Answer::Pending),
        1 => Just(Answer::OtherReference),
        1 => Just(Answer::Truncated),
        1 => Just(Answer::ClientGone),
    ];
    (refuse, deed, answer, prop::bool::weighted(0.8))
        .prop_map(|(refuse, deed, answer, named)| Fate { refuse, deed, answer, named })
}

fn notify() -> impl Strategy<Value = Act> {
    let signature = prop_oneof![
        12 => Just(Signature::Genuine),
        1 => Just(Signature::Strangers),
        1 => Just(Signature::OfAnotherStatus),
        1 => Just(Signature::OfAnotherAmount),
    ];
    let payment = prop_oneof![6 => Just(0usize), 1 => Just(2), 1 => Just(3)];
    let is_old = prop::bool::weighted(0.2);
    let between = prop::option::of(0usize..8);
    (payment, 0usize..2, is_old, prop::bool::weighted(0.7), signature, between).prop_map(
        |(payment, gateway, is_old, is_dated, signature, between)| {
            Act::Notify(Notifying { payment, gateway, is_old, is_dated, signature, between })
        },
    )
}

fn confirm() -> impl Strategy<Value = Act> {
    let how = prop_oneof![
        4 => Just(Application::Confirms),
        1 => Just(Application::Fails),
        1 => Just(Application::Away { reached: true }),
        1 => Just(Application::Away { reached: false }),
        1 => Just(Application::GatewayLeft),
    ];
    (0usize..4, how).prop_map(|(notice, how)| Act::Confirm { notice, how })
}

fn net() -> impl Strategy<Value = Net> {
    prop_oneof![
        1 => Just(Net::Lost),
        2 => Just(Net::AnswerLost),
        2 => Just(Net::Late),
        3 => Just(Net::Slow),
        2 => Just(Net::Repeated),
        1 => Just(Net::Reset),
        1 => Just(Net::Refused),
        1 => Just(Net::Unsent),
        1 => Just(Net::Outage(First::Lost)),
        4 => Just(Net::Outage(First::AnswerLost)),
        4 => Just(Net::Outage(First::Late)),
        3 => Just(Net::Outage(First::Slow)),
    ]
}

fn etcd_act() -> impl Strategy<Value = EtcdAct> {
    let restart = (0usize..2, 0usize..2, any::<bool>());
    prop_oneof![
        14 => (0usize..3, net()).prop_map(|(after, how)| EtcdAct::Net { after, how }),
        8 => (0usize..4).prop_map(|call| EtcdAct::Land { call }),
        1 => restart.prop_map(|(worker, gateway, travels)| EtcdAct::Restart {
            worker, gateway, travels
        }),
        1 => Just(EtcdAct::Fence),
    ]
}

fn act(kind: Kind) -> BoxedStrategy<Act> {
    // Most stories are about one payment: that is where the races are.
    let payment = || match kind {
        Kind::HeaderKeys => prop_oneof![5 => Just(0usize), 4 => Just(3), 1 => Just(1)].boxed(),
        Kind::Plain
        | Kind::SharedLedger { .. }
        | Kind::HandOver
        | Kind::Clock
        | Kind::Remote { .. } => prop_oneof![6 => Just(0usize), 2 => Just(1), 1 => Just(2)].boxed(),
    };
    let key = || match kind {
        Kind::HeaderKeys => {
            prop_oneof![1 => Just(0usize), 6 => Just(1), 2 => Just(2), 1 => Just(3)].boxed()
        }
        Kind::Plain
        | Kind::SharedLedger { .. }
        | Kind::HandOver
        | Kind::Clock
        | Kind::Remote { .. } => Just(0).boxed(),
    };
    let (run, worker) = (|| 0usize..8, || 0usize..2);
    let pay = (payment(), prop::bool::weighted(0.1), key(), worker()).prop_map(
        |(payment, other_amount, key, worker)| Act::Pay { payment, other_amount, key, worker },
    );
    // Delays that the rules wait for, a little less, and much more.
    let delays =
        [1, 999, 1000, 4999, 5000, 10_000, 29_999, 30_000, 59_999, 60_000, 61_000, 600_000];
    let any = prop_oneof![
        8 => pay,
        4 => (payment(), worker()).prop_map(|(payment, worker)| Act::Ask { payment, worker }),
        1 => (payment(), worker()).prop_map(|(payment, worker)| Act::Cancel { payment, worker }),
        10 => (prop_oneof![4 => Just(0usize), 4 => Just(1), 1 => Just(2)], payment(), key(), fate())
            .prop_map(|(wish, payment, key, fate)| Act::Through { wish, payment, key, fate }),
        8 => run().prop_map(|run| Act::Step { run }),
        10 => run().prop_map(|run| Act::Finish { run }),
        12 => (run(), fate()).prop_map(|(run, fate)| Act::Deliver { run, fate }),
        2 => (0usize..4, any::<bool>())
            .prop_map(|(copy, executes)| Act::Arrive { copy, executes }),
        7 => prop::sample::select(delays.to_vec()).prop_map(|millis| Act::Pass { millis }),
        1 => (run(), 0usize..2, any::<bool>())
            .prop_map(|(run, gateway, travels)| Act::Crash { run, gateway, travels }),
        2 => run().prop_map(|run| Act::Leave { run }),
        1 => (0usize..2, prop::bool::weighted(0.7))
            .prop_map(|(gateway, good)| Act::Beat { gateway, good }),
        1 => (0usize..6, any::<bool>()).prop_map(|(after, written)| Act::Fault { after, written }),
        2 => payment().prop_map(|payment| Act::Resolve { payment }),
    ];
    let any = match kind {
        Kind::HandOver => any.boxed(),
        Kind::Plain
        | Kind::HeaderKeys
        | Kind::SharedLedger { .. }
        | Kind::Clock
        | Kind::Remote { .. } => prop_oneof![72 => any, 8 => notify(), 3 => confirm()].boxed(),
    };
    match kind {
        Kind::Plain | Kind::HeaderKeys => any,
        Kind::Remote { .. } => prop_oneof![40 => any, 24 => etcd_act().prop_map(Act::Etcd)].boxed(),
        // The gateway that has it must fail for another one to be asked.
        Kind::SharedLedger { .. } => {
            let fails = Just(Act::Beat { gateway: 0, good: false });
            prop_oneof![12 => any, 1 => fails].boxed()
        }
        Kind::Clock => {
            let leaps = prop::sample::select(vec![-1, 0, 0, 1, 29]);
            prop_oneof![12 => any, 1 => leaps.prop_map(|days| Act::Leap { days })].boxed()
        }
        Kind::HandOver => prop_oneof![20 => any, 1 => Just(Act::Flip)].boxed(),
    }
}

/// Stories of many acts.
pub(crate) fn stories(kind: Kind) -> impl Strategy<Value = Vec<Act>> {
    prop::collection::vec(act(kind), 1..100)
}
