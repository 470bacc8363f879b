//! An Envoy is lost with payments under way, and the merchant pays again: through another Envoy, or
//! through the one that is started anew. A rolling restart does that every week, and a store that ends
//! with its Envoy charges such a payment at both gateways.

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::scene::{PATIENCE, Scene, calls_under_way, pay, timeouts};
use crate::support::client::{CREATE, STATUS, Seen, about, call_anew, order};
use crate::support::envoy::Envoy;
use crate::support::{now, pause, until};

/// When it is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// While it asks for the claim, which etcd may write later.
    Claiming,
    /// The claim is written, and nothing is sent.
    Claimed,
    /// The gateway has executed it, and has not answered.
    Sent,
    /// The gateway has answered, and nothing of that is written.
    Answered,
    /// As `Sent`, by SIGTERM: Envoy does not wait for what is under way.
    Terminated,
}

impl Moment {
    /// Whether the payments were sent.
    const fn is_sent(self) -> bool {
        matches!(self, Self::Sent | Self::Answered | Self::Terminated)
    }
}

/// How it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Primary {
    Down,
    Up,
}

/// Whom the merchant pays with then.
#[derive(Clone, Copy, Debug)]
enum Through {
    /// An Envoy that ran all the time.
    Another,
    /// The same, started anew.
    Restarted,
}

const WAYS: [Through; 2] = [Through::Another, Through::Restarted];

/// An attempt ends so long after it began, by the clock of another Envoy: 2.1 s and 0.5 s. Some more,
/// so that payments come while they are in doubt too.
const LEASE: Duration = Duration::from_millis(3400);

/// One row of the table.
struct Case<'s> {
    scene: &'s Scene,
    moment: Moment,
    primary: Primary,
}

/// The Envoys that are left.
struct Left {
    another: Envoy,
    restarted: Envoy,
}

impl Case<'_> {
    fn run(&self) {
        let (one, another) = (self.scene.envoy(), self.scene.envoy());
        self.lose(one);
        match self.primary {
            Primary::Down => self.scene.sandbox.fault("primary", &json!({"fault": "refuse"})),
            Primary::Up => self.scene.sandbox.heal("primary"),
        }
        let left = Left { another, restarted: self.scene.envoy() };
        let begin = now();
        while begin.elapsed() < LEASE {
            self.each(&left, "pay", pay);
            pause(Duration::from_millis(300));
        }
        self.each(&left, "ask", ask);
        self.each(&left, "pay", pay);
        self.scene.sandbox.heal("primary");
        for envoy in [&left.another, &left.restarted] {
            until("the primary takes payments", PATIENCE, || {
                (envoy.metric("dana_heartbeat_up", "") == 2).then_some(())
            });
        }
        // Status inquiries, as merchants make them, find out what became of it.
        until("all are paid", PATIENCE, || {
            self.each(&left, "ask", ask);
            let paid = self.each(&left, "pay", pay);
            pause(Duration::from_millis(200));
            paid.iter().all(|seen| seen.status == 200 && seen.code() == "2005400").then_some(())
        });
        for way in WAYS {
            let at = self.scene.sandbox.executed_at(&self.reference(way));
            assert_eq!(at.len(), 1, "{:?} {:?} {way:?}", self.moment, self.primary);
        }
        until("all are resolved", PATIENCE, || (self.scene.open() == 0).then_some(()));
    }

    fn reference(&self, way: Through) -> String {
        format!("R-{:?}-{:?}-{way:?}", self.moment, self.primary)
    }

    /// Puts a payment for each way under way, and ends the Envoy that has them.
    fn lose(&self, one: Envoy) {
        let Scene { sandbox, .. } = self.scene;
        let begin = || {
            WAYS.map(|way| {
                let (listener, reference) = (one.listener.clone(), self.reference(way));
                thread::spawn(move || call_anew(&listener, CREATE, &order(&reference)))
            })
        };
        let await_executed = || {
            until("the primary has executed both", PATIENCE, || {
                let at = WAYS.map(|way| sandbox.executed_at(&self.reference(way)));
                at.iter().all(|at| *at == ["primary"]).then_some(())
            });
        };
        let await_asked =
            || until("etcd is asked", PATIENCE, || (calls_under_way(&one) >= 2).then_some(()));
        let clients = match self.moment {
            Moment::Claiming | Moment::Claimed => {
                let frozen = self.scene.freeze_majority();
                let clients = begin();
                await_asked();
                if self.moment == Moment::Claimed {
                    // It never learns that it has won.
                    one.signal("-STOP");
                    self.scene.thaw(&frozen);
                    until("both are claimed", PATIENCE, || (self.scene.open() == 2).then_some(()));
                    one.end("-KILL");
                } else {
                    one.end("-KILL");
                    self.scene.thaw(&frozen);
                }
                clients
            }
            Moment::Sent | Moment::Terminated => {
                sandbox.fault("primary", &json!({"fault": "hang"}));
                let clients = begin();
                await_executed();
                one.end(if self.moment == Moment::Sent { "-KILL" } else { "-TERM" });
                clients
            }
            Moment::Answered => {
                sandbox.fault("primary", &json!({"fault": "slow", "delay_ms": 500}));
                let clients = begin();
                await_executed();
                let frozen = self.scene.freeze_majority();
                await_asked();
                one.end("-KILL");
                self.scene.thaw(&frozen);
                clients
            }
        };
        for client in clients {
            assert_eq!(client.join().unwrap().status, 0, "nobody was answered");
        }
        for way in WAYS {
            let at = sandbox.executed_at(&self.reference(way));
            assert_eq!(!at.is_empty(), self.moment.is_sent(), "{:?}", self.moment);
        }
    }

    /// Does something about each payment, and judges what is told.
    fn each(&self, left: &Left, what: &str, act: impl Fn(&Envoy, &str) -> Seen) -> Vec<Seen> {
        let seen = WAYS.map(|way| {
            let envoy = match way {
                Through::Another => &left.another,
                Through::Restarted => &left.restarted,
            };
            let reference = self.reference(way);
            let before = self.scene.sandbox.executed_at(&reference);
            let seen = act(envoy, &reference);
            let after = self.scene.sandbox.executed_at(&reference);
            let case = format!("{what} {reference}: {before:?} -> {after:?}, {seen:?}");
            assert!(after.len() <= 1, "charged twice: {case}");
            match seen.outcome().as_str() {
                "unknown" | "in_progress" => {}
                "executed" => assert_eq!(after.len(), 1, "{case}"),
                "not_executed" => assert!(after.is_empty(), "{case}"),
                // A gateway's answer, or a copy of one.
                _ if seen.code() == "2005400" => assert_eq!(after.len(), 1, "{case}"),
                _ => assert_eq!(seen.code(), "2005500", "{case}"),
            }
            seen
        });
        seen.into()
    }
}

fn ask(envoy: &Envoy, reference: &str) -> Seen {
    call_anew(&envoy.listener, STATUS, &about(reference))
}

fn is_never_charged_twice(moment: Moment) {
    let scene = Scene::with_lasting_leader(&timeouts(800, 2100));
    for primary in [Primary::Down, Primary::Up] {
        Case { scene: &scene, moment, primary }.run();
    }
}

#[test]
fn killed_while_it_claims() {
    is_never_charged_twice(Moment::Claiming);
}

#[test]
fn killed_between_claim_and_send() {
    is_never_charged_twice(Moment::Claimed);
}

#[test]
fn killed_between_send_and_answer() {
    is_never_charged_twice(Moment::Sent);
}

#[test]
fn killed_between_answer_and_settle() {
    is_never_charged_twice(Moment::Answered);
}

#[test]
fn terminated_with_payments_under_way() {
    is_never_charged_twice(Moment::Terminated);
}
