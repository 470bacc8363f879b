//! Workers that join a realm, and stay in it.

use super::*;
use crate::engine::gateway::GatewayId;
use crate::engine::gateway::Gateways;
use crate::engine::machine::Ticket;
use crate::engine::store::etcd::MemoryEtcd;
use crate::engine::store::etcd::fixture::{
    CallFault, FaultyEtcd, Impostor, REALM, RETENTION, TERMS, joined, stranger, stranger_by, tick,
};
use crate::engine::store::layout::KeyDefinition;

const GATEWAYS: [&str; 2] = ["primary", "secondary"];

fn layout_of(etcd: &FaultyEtcd) -> (Layout, u64) {
    let kept = etcd.etcd.get(format!("{REALM}layout").as_bytes()).unwrap();
    assert_eq!(kept.lease, 0, "it never ends");
    (Layout::decode(&kept.value).unwrap(), kept.mod_revision)
}

fn definition(path: &str, digest: u64) -> KeyDefinition {
    KeyDefinition { operation: path.to_owned(), path: path.to_owned(), digest: Some(digest) }
}

fn refusal(told: &[RealmEffect]) -> &str {
    match told {
        [RealmEffect::NotJoined(why)] => why,
        other => panic!("{other:?}"),
    }
}

/// Ticks until nothing more is told, as a worker does.
fn tick_for(etcd: &mut FaultyEtcd, member: &mut RealmMember, millis: u64) -> Vec<RealmEffect> {
    let until = etcd.now + millis;
    let mut told = Vec::new();
    while etcd.now < until {
        etcd.now += limits::ETCD_TICK_MS;
        told.extend(tick(etcd, member));
    }
    told
}

#[test]
fn the_first_worker_begins_the_realm() {
    let mut etcd = FaultyEtcd::new();
    let (store, mut member) = stranger("one", &GATEWAYS);
    assert!(store.ready().is_none());
    let told = tick(&mut etcd, &mut member);
    let [RealmEffect::Joined { born, began: true }] = told.as_slice() else {
        panic!("{told:?}");
    };
    let (layout, fence) = layout_of(&etcd);
    assert_eq!((layout.born(), layout.name(GatewayId::FIRST)), (Some(*born), Some("primary")));
    assert!(etcd.now - born.as_millis() < 10);
    let membership = store.ready().unwrap();
    assert_eq!(membership.fence, fence);
    assert_eq!(etcd.etcd.leases().count(), 2);
    // What it has claimed to try the store ends by itself.
    let probe = etcd.etcd.get(&store.realm.probe(store.life())).unwrap();
    assert_eq!(probe.lease, membership.claims_lease);
    // Nothing is due before the next look, which is one call.
    etcd.forget_calls();
    assert_eq!((tick(&mut etcd, &mut member), etcd.calls.len()), (vec![], 0));
    assert_eq!(tick_for(&mut etcd, &mut member, limits::ETCD_LOOK_MS), []);
    assert_eq!(etcd.calls.len(), 1);
}

#[test]
fn whoever_comes_later_finds_the_layout_and_changes_nothing() {
    let mut etcd = FaultyEtcd::new();
    let (one, _) = joined(&mut etcd, "one", &GATEWAYS);
    let before = layout_of(&etcd);
    etcd.now += 5000;
    // Its own order is its own affair.
    let (other, mut member) = stranger("other", &["secondary", "primary"]);
    let told = tick(&mut etcd, &mut member);
    let born = before.0.born().unwrap();
    assert_eq!(told, [RealmEffect::Joined { born, began: false }]);
    assert_eq!(layout_of(&etcd), before);
    let fences = [one, other].map(|store| store.ready().unwrap().fence);
    assert_eq!(fences, [before.1; 2]);
}

#[test]
fn a_table_that_grows_fences_off_whoever_has_not_read_it() {
    let mut etcd = FaultyEtcd::new();
    let (one, mut first) = joined(&mut etcd, "one", &GATEWAYS);
    let (other, _) = joined(&mut etcd, "other", &["third", "secondary"]);
    let (layout, fence) = layout_of(&etcd);
    let names = [0, 1, 2].map(|at| layout.name(GatewayId::new(at).unwrap()).unwrap().to_owned());
    assert_eq!(names, ["primary", "secondary", "third"]);
    assert!(one.ready().unwrap().fence < fence);
    assert_eq!(other.ready().unwrap().fence, fence);
    // The first one finds out by its next look at the latest.
    assert_eq!(tick_for(&mut etcd, &mut first, limits::ETCD_LOOK_MS), []);
    assert_eq!(one.ready().unwrap().fence, fence);
}

#[test]
fn what_the_first_claim_finds_out_is_looked_at_with_the_next_tick() {
    let mut etcd = FaultyEtcd::new();
    let (store, mut member) = joined(&mut etcd, "one", &GATEWAYS);
    store.note_stale();
    let before = store.ready().unwrap();
    etcd.now += limits::ETCD_TICK_MS;
    assert_eq!(tick(&mut etcd, &mut member), []);
    let after = store.ready().unwrap();
    assert!(!store.is_stale());
    assert_ne!(before.claims_lease, after.claims_lease, "with other leases");
}

#[test]
fn whoever_makes_other_keys_or_has_another_version_does_not_join() {
    let mut etcd = FaultyEtcd::new();
    let (_, mut first) = stranger_by("one", &GATEWAYS, vec![definition("/pay", 1)], TERMS);
    tick(&mut etcd, &mut first);
    let before = layout_of(&etcd);
    let (store, mut member) = stranger_by("other", &GATEWAYS, vec![definition("/pay", 2)], TERMS);
    let told = tick(&mut etcd, &mut member);
    assert!(refusal(&told).contains("/pay"), "{told:?}");
    assert!(store.ready().is_none());
    // It tries again, and says so again.
    assert!(!tick_for(&mut etcd, &mut member, 2000).is_empty());
    assert_eq!(layout_of(&etcd), before);
    // More operations are no other keys.
    let keys = vec![definition("/pay", 1), definition("/refund", 3)];
    let (store, mut member) = stranger_by("third", &GATEWAYS, keys, TERMS);
    assert!(matches!(tick(&mut etcd, &mut member)[..], [RealmEffect::Joined { .. }]));
    assert!(store.ready().is_some());
    for bytes in [&b""[..], b"{}", &[99; 40]] {
        etcd.etcd.put(format!("{REALM}layout").as_bytes(), bytes);
        let (store, mut member) = stranger("fourth", &GATEWAYS);
        refusal(&tick(&mut etcd, &mut member));
        assert!(store.ready().is_none());
        let kept = etcd.etcd.get(format!("{REALM}layout").as_bytes()).unwrap();
        assert_eq!(kept.value, bytes, "what nobody here understands stays");
    }
}

/// The table has sixteen places.
#[test]
fn a_seventeenth_gateway_of_a_realm_does_not_join() {
    let mut etcd = FaultyEtcd::new();
    let names: Vec<String> = (0..limits::GATEWAY_NAMES_MAX).map(|at| format!("g{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    joined(&mut etcd, "one", &names);
    let (_, mut member) = stranger("other", &["another"]);
    assert!(refusal(&tick(&mut etcd, &mut member)).contains("names"));
}

/// What answers as an etcd and does not compare is found before anything is claimed.
#[test]
fn whatever_is_no_etcd_is_not_joined() {
    for impostor in [Impostor::ComparesNothing, Impostor::Forgets, Impostor::SaysYes] {
        for grown in [false, true] {
            let mut etcd = FaultyEtcd::new();
            if grown {
                joined(&mut etcd, "another", &GATEWAYS);
            }
            etcd.impostor = Some(impostor);
            let (store, mut member) = stranger("one", &GATEWAYS);
            for _ in 0..5 {
                let told = tick(&mut etcd, &mut member);
                assert!(refusal(&told).contains("idempotency.store.etcd"), "{told:?}");
                assert!(store.ready().is_none(), "{impostor:?}");
                etcd.now += limits::ETCD_SEARCH_MS;
            }
            // It is one at last. What was claimed twice stays claimed by this life.
            etcd.impostor = None;
            if impostor == Impostor::ComparesNothing {
                continue;
            }
            tick_for(&mut etcd, &mut member, 1000);
            assert!(store.ready().is_some(), "{impostor:?}");
        }
    }
    let mut etcd = FaultyEtcd { outage: Some(CallFault::Garbage), ..FaultyEtcd::new() };
    let (store, mut member) = stranger("one", &GATEWAYS);
    let told = tick_for(&mut etcd, &mut member, 5000);
    assert!(told.iter().all(|one| matches!(one, RealmEffect::NotJoined(_) | RealmEffect::Away)));
    assert!(!told.is_empty() && store.ready().is_none());
}

/// Without the right to write, or without space.
#[test]
fn whoever_is_refused_says_so_and_joins_later() {
    for status in [7, 8, 16] {
        let mut etcd = FaultyEtcd::new();
        let (store, mut member) = stranger("one", &GATEWAYS);
        // A call without a key is refused, and the layout read.
        etcd.outage = Some(CallFault::Refused(status));
        let told = tick(&mut etcd, &mut member);
        assert!(refusal(&told).contains("etcd refuses"), "{told:?}");
        assert!(store.ready().is_none());
        etcd.heal();
        let told = tick_for(&mut etcd, &mut member, 1000);
        assert!(matches!(told[..], [RealmEffect::Joined { .. }]), "{told:?}");
    }
}

#[test]
fn leases_are_replaced_long_before_what_is_written_with_them_would_end() {
    let mut etcd = FaultyEtcd::new();
    let (store, mut member) = joined(&mut etcd, "one", &GATEWAYS);
    let share = RETENTION.get() / limits::ETCD_LEASES_IN_RETENTION;
    let first = store.ready().unwrap();
    etcd.now += share - 5000;
    assert_eq!(tick(&mut etcd, &mut member), []);
    assert_eq!(store.ready().unwrap(), first);
    etcd.now += 5000;
    assert_eq!(tick(&mut etcd, &mut member), []);
    let second = store.ready().unwrap();
    assert_ne!(
        (first.claims_lease, first.tokens_lease),
        (second.claims_lease, second.tokens_lease)
    );
    assert_eq!(first.fence, second.fence);
    // The seconds that were asked for, as the messages have them: the retention and a part of it.
    let ttl_s = (RETENTION.get() + share) / 1000;
    assert_eq!(ttl_s, 90_000);
    let asked = etcd.calls.iter().filter(|call| call.method == RpcMethod::LeaseGrant);
    let expected = LeaseGrant { ttl_s }.encode();
    assert!(asked.map(|call| &call.message).all(|message| *message == expected));
}

/// A clock that was put back says nothing of how long a lease still lasts.
#[test]
fn a_clock_that_was_put_back_keeps_no_lease_for_longer() {
    let mut etcd = FaultyEtcd::new();
    let (store, mut member) = joined(&mut etcd, "one", &GATEWAYS);
    let first = store.ready().unwrap();
    etcd.now -= 7 * 86_400_000;
    assert_eq!(tick(&mut etcd, &mut member), []);
    assert_ne!(store.ready().unwrap().claims_lease, first.claims_lease);
    // Once.
    let second = store.ready().unwrap();
    tick_for(&mut etcd, &mut member, 5000);
    assert_eq!(store.ready().unwrap(), second);
}

#[test]
fn a_store_that_does_not_answer_is_away_until_it_does() {
    for outage in [CallFault::Lost, CallFault::Unsent, CallFault::Reset] {
        let mut etcd = FaultyEtcd::new();
        let (store, mut member) = joined(&mut etcd, "one", &GATEWAYS);
        let before = store.ready().unwrap();
        etcd.outage = Some(outage);
        let told = tick_for(&mut etcd, &mut member, 10_000);
        assert_eq!(told, [RealmEffect::Away], "{outage:?}: once");
        assert!(store.ready().is_none());
        etcd.heal();
        let since = etcd.now;
        assert_eq!(tick_for(&mut etcd, &mut member, 1000), [RealmEffect::Back], "{outage:?}");
        assert_eq!(store.ready().unwrap(), before);
        // Soon, and what was found is looked at as seldom as before.
        assert!(etcd.now - since < 1200);
    }
}

/// A request has found that it does not answer. Nobody tells operators of what is over at the next
/// look.
#[test]
fn a_store_that_only_one_request_missed_is_found_with_the_next_look() {
    let mut etcd = FaultyEtcd::new();
    let (store, mut member) = joined(&mut etcd, "one", &GATEWAYS);
    store.note_away();
    assert!(store.ready().is_none());
    assert_eq!(tick_for(&mut etcd, &mut member, limits::ETCD_SEARCH_MS + 200), []);
    assert!(store.ready().is_some());
}

/// Envoy does not hand over how a call ends.
#[test]
fn a_call_of_which_nothing_is_heard_is_given_up() {
    let mut etcd = FaultyEtcd::new();
    let (store, mut member) = stranger("one", &GATEWAYS);
    let asked = member.handle(Input::Event(()), etcd.time(), &mut ());
    assert!(matches!(asked[..], [Output::Ask(..)]));
    etcd.now += limits::ETCD_UNHEARD_MS;
    assert_eq!(member.handle(Input::Event(()), etcd.time(), &mut ()), []);
    etcd.now += 1;
    let told = member.handle(Input::Event(()), etcd.time(), &mut ());
    assert!(matches!(&told[..], [Output::Do(RealmEffect::NotJoined(why))]
        if why.contains("proxy_on_grpc_close")));
    // If it comes after all, nobody waits for it.
    let [Output::Ask(ticket, request)] = &asked[..] else { panic!() };
    let event = etcd.carry_out(request.clone());
    assert_eq!(member.handle(Input::Told(*ticket, event), etcd.time(), &mut ()), []);
    assert!(store.ready().is_none());
    let told = tick_for(&mut etcd, &mut member, 2000);
    assert!(matches!(told[..], [RealmEffect::Joined { .. }]), "{told:?}");
}

/// Each call goes wrong in each way, alone and with the next one: whoever joins in the end works by
/// the layout that stands there, and what is late changes nothing.
#[test]
fn whichever_calls_go_wrong_the_worker_joins_in_the_end() {
    let (mut stories, mut late) = (0, 0);
    let all = CallFault::ALL.map(Some).into_iter().chain([None]);
    for is_first in [true, false] {
        for at in 0..8 {
            for fault in CallFault::ALL {
                for then in all.clone() {
                    let mut etcd = FaultyEtcd::new();
                    if !is_first {
                        joined(&mut etcd, "another", &["secondary", "third"]);
                        etcd.forget_calls();
                    }
                    etcd.faults.insert(at, fault);
                    etcd.faults.extend(then.map(|then| (at + 1, then)));
                    let what = format!("{is_first} {at} {fault:?} {then:?}");
                    let (store, mut member) = stranger("one", &GATEWAYS);
                    let mut told = tick(&mut etcd, &mut member);
                    told.extend(tick_for(&mut etcd, &mut member, 15_000));
                    assert!(store.ready().is_some(), "{what}: {told:?}");
                    late += etcd.late.len();
                    etcd.land();
                    told.extend(tick_for(&mut etcd, &mut member, 3000));
                    let (layout, fence) = layout_of(&etcd);
                    assert_eq!(store.ready().unwrap().fence, fence, "{what}");
                    let names = GATEWAYS.map(|name| Gateways::only(layout.find(name).unwrap()));
                    let there = [0, 1].map(|here| Gateways::only(GatewayId::new(here).unwrap()));
                    let there = there.map(|here| store.ready().unwrap().names.there(here));
                    assert_eq!(there, names.map(Some), "{what}");
                    let joins = |one: &&RealmEffect| matches!(one, RealmEffect::Joined { .. });
                    assert_eq!(told.iter().filter(joins).count(), 1, "{what}: {told:?}");
                    stories += 1;
                }
            }
        }
    }
    assert!(stories > 2000 && late > 200, "{stories} {late}");
}

/// Two workers begin the realm at the same time, in each order of their calls: one layout, which both
/// work by in the end.
#[test]
fn of_two_that_begin_a_realm_one_begins_it() {
    for order in 0..1 << 10 {
        let mut etcd = FaultyEtcd::new();
        let mut all = [["primary", "secondary"], ["second", "primary"]]
            .map(|names| stranger(names[0], &names));
        let mut asked: [Vec<(Ticket, BackendRequest)>; 2] = Default::default();
        let mut began = 0;
        let mut go_on = |at: usize, etcd: &mut FaultyEtcd| {
            let input = match asked[at].pop() {
                Some((ticket, request)) => Input::Told(ticket, etcd.carry_out(request)),
                None => Input::Event(()),
            };
            for output in all[at].1.handle(input, etcd.time(), &mut ()) {
                match output {
                    Output::Ask(ticket, request) => asked[at].push((ticket, request)),
                    Output::Do(RealmEffect::Joined { began: true, .. }) => began += 1,
                    Output::Do(_) => {}
                }
            }
        };
        for step in 0..10 {
            go_on(order >> step & 1, &mut etcd);
        }
        for _ in 0..200 {
            etcd.now += 50;
            go_on(0, &mut etcd);
            go_on(1, &mut etcd);
        }
        let (layout, fence) = layout_of(&etcd);
        assert_eq!(layout.gateways().iter().count(), 3);
        let fences = all.map(|(store, _)| store.ready().unwrap().fence);
        assert_eq!((fences, began), ([fence; 2], 1), "{order:b}");
    }
}

/// etcd was emptied, or restored from a backup, under a worker that has joined: what was claimed may be
/// missing. A worker that starts then takes it as it is.
#[test]
fn a_store_that_knows_less_than_before_is_another_one() {
    let emptied = |etcd: &mut FaultyEtcd| etcd.etcd = MemoryEtcd::default();
    let without_layout = |etcd: &mut FaultyEtcd| {
        etcd.etcd.delete(format!("{REALM}layout").as_bytes());
    };
    let begun_anew = |etcd: &mut FaultyEtcd| {
        etcd.etcd = MemoryEtcd::default();
        for number in 0..40_u8 {
            etcd.etcd.put(b"/dana/v1/shop/s/x", &[number]);
        }
        etcd.now += 1000;
        joined(etcd, "another", &GATEWAYS);
    };
    let losses: [fn(&mut FaultyEtcd); 3] = [emptied, without_layout, begun_anew];
    for (case, lose) in losses.into_iter().enumerate() {
        let mut etcd = FaultyEtcd::new();
        let (store, mut member) = joined(&mut etcd, "one", &GATEWAYS);
        lose(&mut etcd);
        let told = tick_for(&mut etcd, &mut member, limits::ETCD_LOOK_MS);
        assert!(refusal(&told[..1]).contains("etcd knows less than it did"), "{case}: {told:?}");
        assert!(store.ready().is_none(), "{case}");
        // Whatever it holds later, and however often it is found.
        let _ = tick_for(&mut etcd, &mut member, 20_000);
        assert!(store.ready().is_none(), "{case}");
        let (fresh, _) = joined(&mut etcd, "fresh", &GATEWAYS);
        assert!(fresh.ready().is_some(), "{case}");
        let _ = tick_for(&mut etcd, &mut member, 20_000);
        assert!(store.ready().is_none(), "{case}");
    }
}

#[test]
fn a_backup_that_was_restored_is_found_by_its_revision() {
    let mut etcd = FaultyEtcd::new();
    let (store, mut member) = joined(&mut etcd, "one", &GATEWAYS);
    let backup = etcd.etcd.clone();
    etcd.etcd.put(b"/dana/v1/shop/o/of-another-envoy", b"");
    assert_eq!(tick_for(&mut etcd, &mut member, limits::ETCD_LOOK_MS), []);
    assert!(store.ready().is_some());
    etcd.etcd = backup;
    let told = tick_for(&mut etcd, &mut member, limits::ETCD_LOOK_MS);
    assert!(refusal(&told[..1]).contains("restored from a backup"), "{told:?}");
    assert!(store.ready().is_none());
}

/// What follows a name's payments would go to the wrong ledger, whichever Envoy it is.
#[test]
fn a_name_does_not_take_over_another_ones_cluster_after_a_restart_either() {
    let mut etcd = FaultyEtcd::new();
    joined(&mut etcd, "one", &GATEWAYS);
    let swap = |member: &mut RealmMember| {
        let [one, other] = [0, 1].map(|at| member.terms.gateways[at].cluster.clone());
        member.terms.gateways[0].cluster = other;
        member.terms.gateways[1].cluster = one;
    };
    let (store, mut member) = stranger("other", &GATEWAYS);
    swap(&mut member);
    let told = tick(&mut etcd, &mut member);
    let why = refusal(&told);
    assert!(why.contains("expected cluster cluster-of-secondary to stay with gateway secondary"));
    assert!(why.contains("choose a new realm") && !why.contains("vm_id"), "{why}");
    assert!(store.ready().is_none());
    // A cluster that nobody has used is another name for the same gateway.
    let (store, mut member) = stranger("third", &GATEWAYS);
    member.terms.gateways[1].cluster = "elsewhere".to_owned();
    tick(&mut etcd, &mut member);
    assert!(store.ready().is_some());
}
