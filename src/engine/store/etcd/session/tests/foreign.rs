//! What others have written: other Envoys with other clocks and other tables, and whoever writes what
//! nobody understands.

use super::*;

/// Two Envoys of one realm.
fn two(gateways: [&[&str]; 2]) -> (FaultyEtcd, [Rc<EtcdStore>; 2]) {
    let mut etcd = FaultyEtcd::new();
    let (one, mut member) = joined(&mut etcd, "one", gateways[0]);
    let (other, _) = joined(&mut etcd, "other", gateways[1]);
    // The first one learns what the second one has added.
    etcd.now += limits::ETCD_LOOK_MS;
    tick(&mut etcd, &mut member);
    etcd.forget_calls();
    (etcd, [one, other])
}

fn claimed(seen: &[Seen]) -> Claim {
    match seen {
        [Seen { entry: Entry::Claim(claim), .. }] => *claim,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_gateway_has_its_place_in_each_table() {
    let (mut etcd, [one, other]) = two([&GATEWAYS, &["third", "secondary", "primary"]]);
    let mut session = EtcdSession::new(Rc::clone(&one));
    claim(&mut etcd, &mut session, "r-1", None);
    settle(&mut etcd, &mut session, "r-1", to_settled);
    let mut theirs = EtcdSession::new(other);
    let found = claimed(&read(&mut etcd, &mut theirs, &[payment("r-1")]));
    assert_eq!(found.holders(), Gateways::only(gateway(2)), "primary");
    // In the realm `primary` is the first one, and `third` came last.
    let (Entry::Claim(stored), _) = etcd.record('s', of("r-1")).unwrap() else { panic!() };
    assert_eq!(stored.holders(), Gateways::only(gateway(0)));
    let at_third = |claim: Claim, now| {
        let state = ClaimState::Rejected { gateway: gateway(0) };
        Entry::Claim(Claim { state, changed_at: now, ..claim })
    };
    claim(&mut etcd, &mut theirs, "r-2", None);
    settle(&mut etcd, &mut theirs, "r-2", at_third);
    let (Entry::Claim(stored), _) = etcd.record('s', of("r-2")).unwrap() else { panic!() };
    assert_eq!(stored.holders(), Gateways::only(gateway(2)));
    // Nobody here knows that gateway: who has it, or what it may say, nobody can tell.
    let mut session = EtcdSession::new(one);
    let found = read(&mut etcd, &mut session, &[payment("r-2")]);
    assert_eq!(found[0].entry, Entry::Unreadable);
}

#[test]
fn whoever_names_a_gateway_that_is_not_configured_writes_nothing() {
    let (mut etcd, _, mut session) = alone();
    let absent = guessed(ask(&mut etcd, &mut session, StoreRequest::Peek(vec![payment("r-1")])));
    let mut claim = in_flight(etcd.time());
    claim.state = ClaimState::Rejected { gateway: gateway(5) };
    let put = vec![(payment("r-1"), Entry::Claim(claim))];
    assert_eq!(ask(&mut etcd, &mut session, commit(&absent, put)), UNAVAILABLE);
    let token = Alias { to: AliasTarget::Gateway(gateway(5)), used_at: etcd.time(), nonce: 0 };
    let absent = guessed(ask(&mut etcd, &mut session, StoreRequest::Peek(vec![header_key("t")])));
    let put = vec![(header_key("t"), Entry::Alias(token))];
    assert_eq!(ask(&mut etcd, &mut session, commit(&absent, put)), UNAVAILABLE);
    assert_eq!(etcd.calls, []);
}

#[test]
fn a_token_leads_to_its_gateway_in_each_table_and_ends_with_its_lease() {
    let (mut etcd, [one, other]) = two([&GATEWAYS, &["secondary", "primary"]]);
    let mut session = EtcdSession::new(one);
    let absent = guessed(ask(&mut etcd, &mut session, StoreRequest::Peek(vec![header_key("t")])));
    let token = Alias { to: AliasTarget::Gateway(gateway(1)), used_at: etcd.time(), nonce: 0 };
    let put = vec![(header_key("t"), Entry::Alias(token))];
    assert_eq!(ask(&mut etcd, &mut session, commit(&absent, put)), StoreEvent::Committed);
    assert_eq!(etcd.places(), [('a', true)]);
    let mut session = EtcdSession::new(other);
    let found = read(&mut etcd, &mut session, &[header_key("t")]);
    let there = Alias { to: AliasTarget::Gateway(gateway(0)), ..token };
    assert_eq!(found[0].entry, Entry::Alias(there));
}

/// Nobody takes for over what another Envoy still sends: its clock may be ahead.
#[test]
fn a_lease_of_another_envoy_ends_later_by_what_clocks_may_differ() {
    let (mut etcd, [one, other]) = two([&GATEWAYS, &GATEWAYS]);
    let mut session = EtcdSession::new(Rc::clone(&one));
    let began = etcd.time();
    claim(&mut etcd, &mut session, "r-1", None);
    let until = began.plus(RULES.lease);
    let mut same = EtcdSession::new(one);
    assert_eq!(claimed(&read(&mut etcd, &mut same, &[payment("r-1")])).lease_end(), Some(until));
    let mut theirs = EtcdSession::new(Rc::clone(&other));
    let found = claimed(&read(&mut etcd, &mut theirs, &[payment("r-1")]));
    assert_eq!(found.lease_end(), Some(until.plus(SKEW)));
    // The same of everything that others wait for.
    let by = gateway(1);
    let ended_at = etcd.time();
    let in_doubt = |claim: Claim, now| {
        let state = ClaimState::InDoubt {
            candidates: both(),
            ended_at: now,
            repeat_until: Some(now),
            not_found: Some((by, now)),
        };
        Entry::Claim(Claim { state, changed_at: now, ..claim })
    };
    settle(&mut etcd, &mut session, "r-1", in_doubt);
    let found = claimed(&read(&mut etcd, &mut theirs, &[payment("r-1")]));
    let later = ended_at.plus(SKEW);
    let state = ClaimState::InDoubt {
        candidates: both(),
        ended_at: later,
        repeat_until: Some(later),
        not_found: Some((by, later)),
    };
    assert_eq!((found.state, found.changed_at), (state, ended_at));
    // What an operator has said has no end, and stays so.
    let said = |claim: Claim, now| {
        let state = ClaimState::said_settled(Gateways::only(by));
        Entry::Claim(Claim { state, changed_at: now, ..claim })
    };
    settle(&mut etcd, &mut session, "r-1", said);
    let found = claimed(&read(&mut etcd, &mut theirs, &[payment("r-1")]));
    assert_eq!(found.state, ClaimState::said_settled(Gateways::only(by)));
    assert_eq!(other.ahead(), 0);
}

/// As far ahead as clocks may differ is understood, and a millisecond more is not.
#[test]
fn what_was_written_on_a_clock_too_far_ahead_is_not_understood() {
    let (mut etcd, [one, other]) = two([&GATEWAYS, &GATEWAYS]);
    let began = etcd.now;
    etcd.now += SKEW.get() + 500;
    let written = etcd.now;
    let mut session = EtcdSession::new(Rc::clone(&one));
    claim(&mut etcd, &mut session, "r-1", None);
    let mut theirs = EtcdSession::new(Rc::clone(&other));
    // Its own Envoy understands it, whatever the clock says.
    let mut own = EtcdSession::new(one);
    for (ahead, counted) in [(SKEW.get(), 0), (SKEW.get() + 1, 1)] {
        // The answer comes a millisecond later.
        etcd.now = written - ahead - 1;
        assert!(etcd.now >= began);
        let found = read(&mut etcd, &mut theirs, &[payment("r-1")]);
        assert_eq!(found[0].entry == Entry::Unreadable, counted > 0, "{ahead}");
        assert_eq!(other.ahead(), counted);
        etcd.now = written - ahead;
        claimed(&read(&mut etcd, &mut own, &[payment("r-1")]));
    }
}

/// A record never becomes younger by a clock that is behind.
#[test]
fn a_record_is_not_dated_back() {
    let (mut etcd, [one, other]) = two([&GATEWAYS, &GATEWAYS]);
    etcd.now += 1500;
    let written = etcd.time();
    let mut session = EtcdSession::new(one);
    claim(&mut etcd, &mut session, "r-1", None);
    etcd.now -= 1500;
    let mut theirs = EtcdSession::new(other);
    let known = read(&mut etcd, &mut theirs, &[payment("r-1")]);
    let put = vec![(payment("r-1"), to_settled(claimed(&known), etcd.time()))];
    assert_eq!(ask(&mut etcd, &mut theirs, commit(&known, put)), StoreEvent::Committed);
    let (Entry::Claim(stored), _) = etcd.record('s', of("r-1")).unwrap() else { panic!() };
    assert_eq!(stored.changed_at, written);
}

/// Whatever stands there that nobody can read is a payment that is not resolved, and no claim is made
/// as if nothing stood there.
#[test]
fn what_cannot_be_read_counts_as_a_payment_that_is_not_resolved() {
    let (mut etcd, store, mut session) = alone();
    claim(&mut etcd, &mut session, "r-1", Some("k-1"));
    let name = |place| format!("{REALM}{place}/{}", of("r-1")).into_bytes();
    let open = etcd.etcd.get(&name('o')).unwrap().value.clone();
    let alias = format!("{REALM}a/{}", of("k-1")).into_bytes();
    let bound = etcd.etcd.get(&alias).unwrap().value.clone();
    let changed = |at: usize, by: u8| {
        let mut bytes = open.clone();
        bytes[at] ^= by;
        bytes
    };
    let unreadable = [
        Vec::new(),
        b"{}".to_vec(),
        vec![0; 300],
        open[..open.len() - 1].to_vec(),
        // Another version, another kind, another version of the record within.
        changed(0, 2),
        changed(1, 4),
        changed(19, 2),
        [&[1, 3], &open[2..18], b"more"].concat(),
    ];
    for place in ['o', 's'] {
        for bytes in &unreadable {
            etcd.etcd.delete(&name('o'));
            etcd.etcd.delete(&name('s'));
            etcd.etcd.put(&name(place), bytes);
            let mut next = EtcdSession::new(Rc::clone(&store));
            let found = read(&mut etcd, &mut next, &[payment("r-1")]);
            assert_eq!(found[0].entry, Entry::Unreadable, "{bytes:?}");
            let mut next = EtcdSession::new(Rc::clone(&store));
            assert_eq!(claim(&mut etcd, &mut next, "r-1", None), StoreEvent::Conflict);
        }
    }
    // An alias where a claim should be leads nowhere, and neither does a claim where an alias should.
    etcd.etcd.put(&name('s'), &bound);
    etcd.etcd.put(&alias, &open);
    let found = read(&mut etcd, &mut session, &[payment("r-1"), header_key("k-1")]);
    assert!(matches!(found[0].entry, Entry::Alias(_) | Entry::Unreadable), "{found:?}");
    assert!(matches!(found[1].entry, Entry::Claim(_) | Entry::Unreadable), "{found:?}");
}

/// No transaction leaves a payment in both places. Whoever did, it is not resolved, and nothing is
/// written over it.
#[test]
fn a_payment_in_both_places_is_not_resolved() {
    let (mut etcd, store, mut session) = alone();
    claim(&mut etcd, &mut session, "r-1", None);
    let name = |place| format!("{REALM}{place}/{}", of("r-1")).into_bytes();
    let open = etcd.etcd.get(&name('o')).unwrap().value.clone();
    settle(&mut etcd, &mut session, "r-1", to_settled);
    etcd.etcd.put(&name('o'), &open);
    let mut next = EtcdSession::new(store);
    let found = read(&mut etcd, &mut next, &[payment("r-1")]);
    assert_eq!(found[0].entry, Entry::Unreadable);
    let before = etcd.etcd.clone();
    let put = vec![(payment("r-1"), Entry::Claim(in_flight(etcd.time())))];
    assert_eq!(ask(&mut etcd, &mut next, commit(&found, put)), StoreEvent::Conflict);
    assert_eq!(etcd.etcd, before);
}
