//! Members of etcd fail under payments: a minority is hardly felt, and without a majority nothing is
//! sent.

use std::io::Write as _;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::scene::{PATIENCE, Scene, calls_under_way, pay, timeouts};
use crate::support::client::{STATUS, Seen, about, call_anew, order_bytes};
use crate::support::envoy::Envoy;
use crate::support::etcd::Etcd;
use crate::support::{now, pause, until};

/// How long a claim is tried for.
const BUDGET: Duration = Duration::from_millis(2400);
/// How long one member is waited for.
const ATTEMPT: Duration = Duration::from_millis(400);
/// What a busy machine adds to anything.
const SLACK: Duration = Duration::from_millis(600);

/// One payment of a load.
#[derive(Debug)]
struct Paid {
    reference: String,
    lasted: Duration,
    seen: Seen,
}

/// Payments in steady succession while `meanwhile` runs, and for as long as this.
fn steadily(
    envoy: &Envoy,
    name: &str,
    per_second: u32,
    lasts: Duration,
    meanwhile: impl FnOnce(),
) -> Vec<Paid> {
    thread::scope(|scope| {
        let begin = now();
        let pays = scope.spawn(move || {
            let step = Duration::from_secs(1) / per_second;
            let many = u32::try_from(lasts.as_millis() / step.as_millis()).unwrap();
            let payments = (0..many).map(|number| {
                pause((step * number).saturating_sub(begin.elapsed()));
                scope.spawn(move || {
                    let (begin, reference) = (now(), format!("{name}-{number}"));
                    let seen = pay(envoy, &reference);
                    Paid { reference, lasted: begin.elapsed(), seen }
                })
            });
            payments.collect::<Vec<_>>().into_iter().map(|one| one.join().unwrap()).collect()
        });
        meanwhile();
        pays.join().unwrap()
    })
}

fn refused(paid: &[Paid]) -> Vec<&Paid> {
    paid.iter().filter(|one| one.seen.status != 200).collect()
}

fn slowest(paid: &[Paid]) -> Duration {
    paid.iter().map(|one| one.lasted).max().unwrap()
}

/// Each is paid, none later than this, and none twice.
fn assert_paid(scene: &Scene, paid: &[Paid], limit: Duration) {
    assert!(refused(paid).is_empty(), "{:#?}", refused(paid));
    assert!(slowest(paid) <= limit, "{:?}", slowest(paid));
    for one in paid {
        assert_eq!(scene.sandbox.executed_at(&one.reference), ["primary"], "{one:?}");
    }
    until("all are resolved", PATIENCE, || (scene.open() == 0).then_some(()));
}

/// What etcd does is no gateway's fault.
fn assert_gateways_are_well(envoy: &Envoy) {
    assert_eq!(envoy.metric("dana_breaker_transitions_total", ""), 0, "{}", envoy.log());
    assert_eq!(envoy.metric("dana_heartbeat_up", ""), 2);
}

/// Longer than a claim may take and a gateway's answer.
fn scene() -> (Scene, Envoy) {
    let scene = Scene::new(&timeouts(1000, 4500));
    let envoy = scene.envoy();
    until("both gateways are up", PATIENCE, || {
        (envoy.metric("dana_heartbeat_up", "") == 2).then_some(())
    });
    assert_eq!(pay(&envoy, "FIRST").status, 200);
    (scene, envoy)
}

/// Payments while etcd has to find another leader. How long it takes for that is its own affair: two members
/// wait for one to two seconds each before they stand for it, and where both wait for long, some claims
/// have been tried for as long as claims are. Then nobody is paid twice, and it is tried again.
fn while_a_leader_is_lost(name: &str, lose: fn(&Etcd, usize), mend: fn(&Etcd, usize)) {
    const ROUNDS: u32 = 4;
    const LONGEST: Duration = Duration::from_millis(1600);
    let (scene, envoy) = scene();
    for round in 0..ROUNDS {
        let mut lasted = Duration::ZERO;
        let paid = steadily(&envoy, &format!("{name}-{round}"), 30, Duration::from_secs(6), || {
            pause(Duration::from_secs(1));
            let leader = scene.etcd.leader();
            lose(&scene.etcd, leader);
            let lost = now();
            scene.etcd.leader();
            lasted = lost.elapsed();
            pause(Duration::from_secs(3).saturating_sub(lasted));
            mend(&scene.etcd, leader);
        });
        assert_gateways_are_well(&envoy);
        if lasted <= LONGEST {
            return assert_paid(&scene, &paid, BUDGET + SLACK);
        }
        for one in &paid {
            let at = scene.sandbox.executed_at(&one.reference);
            let expected: &[&str] = if one.seen.status == 200 { &["primary"] } else { &[] };
            assert_eq!(at, expected, "{one:?}");
        }
        scene.etcd.wait_healthy();
    }
    panic!("in none of {ROUNDS} rounds another leader was found within {LONGEST:?}");
}

#[test]
fn a_leader_that_is_killed_costs_nobody_a_payment() {
    while_a_leader_is_lost("KILLED", Etcd::kill, Etcd::restart);
}

#[test]
fn a_leader_that_stands_still_costs_nobody_a_payment() {
    while_a_leader_is_lost("FROZEN", Etcd::freeze, Etcd::thaw);
}

#[test]
fn a_follower_that_stands_still_costs_nobody_a_payment() {
    let (scene, envoy) = scene();
    let paid = steadily(&envoy, "FOLLOWER", 30, Duration::from_secs(5), || {
        pause(Duration::from_secs(1));
        let follower = scene.etcd.follower();
        scene.etcd.freeze(follower);
        pause(Duration::from_secs(3));
        scene.etcd.thaw(follower);
    });
    assert_paid(&scene, &paid, ATTEMPT + SLACK);
    assert_gateways_are_well(&envoy);
}

#[test]
fn without_a_majority_nothing_is_sent_and_status_inquiries_pass() {
    let (scene, envoy) = scene();
    let frozen = scene.freeze_majority();
    let mut inquiries = Vec::new();
    let refused = steadily(&envoy, "LOST", 10, Duration::from_secs(6), || {
        for _ in 0..6 {
            let begin = now();
            let seen = call_anew(&envoy.listener, STATUS, &about("FIRST"));
            inquiries.push((begin.elapsed(), seen));
            pause(Duration::from_millis(700));
        }
    });
    for one in &refused {
        assert_eq!(one.seen.status, 504, "{one:?}");
        assert_eq!(one.seen.json()["type"], "urn:dana-failover:claim_store_failed", "{one:?}");
        assert_eq!(one.seen.outcome(), "unknown", "{one:?}");
        assert!(one.seen.header("retry-after").is_some(), "{one:?}");
        assert!(one.lasted <= BUDGET + SLACK, "{one:?}");
    }
    for (lasted, seen) in &inquiries {
        assert_eq!((seen.status, seen.code().as_str()), (200, "2005500"), "{seen:?}");
        assert!(*lasted <= BUDGET + SLACK, "{lasted:?}");
    }
    frozen.iter().for_each(|member| scene.etcd.thaw(*member));
    let healed = now();
    let mut tries = 0;
    until("a payment is made", PATIENCE, || {
        tries += 1;
        (pay(&envoy, &format!("HEALED-{tries}")).status == 200).then_some(())
    });
    assert!(healed.elapsed() <= Duration::from_secs(2) + SLACK, "{:?}", healed.elapsed());
    until("all claims that were given up are given back", Duration::from_secs(60), || {
        (scene.open() == 0).then_some(())
    });
    for one in &refused {
        for gateway in ["primary", "secondary"] {
            assert!(scene.sandbox.requests(gateway, &one.reference).is_empty(), "{one:?}");
        }
        // None of them is lost for good. A worker may find the store later than the other one.
        until("it is paid", PATIENCE, || (pay(&envoy, &one.reference).status == 200).then_some(()));
        assert_eq!(scene.sandbox.executed_at(&one.reference), ["primary"], "{one:?}");
    }
    assert_eq!(scene.open(), 0);
    assert_gateways_are_well(&envoy);
}

#[test]
fn a_client_that_leaves_while_its_claim_hangs_leaves_nothing_behind() {
    let (scene, envoy) = scene();
    let frozen = scene.freeze_majority();
    let mut client = TcpStream::connect(&envoy.listener).unwrap();
    client.write_all(&order_bytes("GONE")).unwrap();
    until("etcd is asked", PATIENCE, || (calls_under_way(&envoy) > 0).then_some(()));
    drop(client);
    // It is on its way in whoever stands still.
    pause(Duration::from_millis(500));
    scene.thaw(&frozen);
    let line = "/dana/v1/test/s/";
    until("its claim is given back", PATIENCE, || {
        let settled = scene.etcd.list(line).len();
        (scene.open() == 0 && settled == 2).then_some(())
    });
    for gateway in ["primary", "secondary"] {
        assert!(scene.sandbox.requests(gateway, "GONE").is_empty(), "{gateway}");
    }
    until("the store is found again", PATIENCE, || {
        (pay(&envoy, "NEXT").status == 200).then_some(())
    });
    assert_eq!(pay(&envoy, "GONE").status, 200);
    assert_eq!(scene.sandbox.executed_at("GONE"), ["primary"]);
    assert_eq!(scene.sandbox.requests("primary", "GONE").len(), 1);
}

#[test]
fn without_space_nothing_is_sent_and_status_inquiries_pass() {
    let (scene, envoy) = scene();
    scene.etcd.set_full(true);
    let seen = until("no member takes writes", PATIENCE, || {
        // Each worker, and each member.
        let all: Vec<Seen> = (0..8).map(|n| pay(&envoy, &format!("FULL-{n}"))).collect();
        all.iter().all(|seen| seen.status != 200).then_some(all)
    });
    for (number, seen) in seen.iter().enumerate() {
        assert_eq!(
            seen.json()["type"],
            "urn:dana-failover:claim_store_failed",
            "{number}: {seen:?}"
        );
        assert!(seen.header("retry-after").is_some(), "{seen:?}");
    }
    let asked = call_anew(&envoy.listener, STATUS, &about("FIRST"));
    assert_eq!((asked.status, asked.code().as_str()), (200, "2005500"), "{asked:?}");
    assert_eq!(scene.open(), 0);
    scene.etcd.set_full(false);
    until("payments are made again", PATIENCE, || {
        (pay(&envoy, "FULL-0").status == 200).then_some(())
    });
    assert_eq!(scene.sandbox.executed_at("FULL-0").len(), 1);
    assert_gateways_are_well(&envoy);
}
