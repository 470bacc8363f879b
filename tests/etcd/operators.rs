//! Operators of Envoys that share their claims: what one of them has in doubt, each of them sees and
//! resolves.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::scene::{PATIENCE, Scene, await_joined, pay};
use crate::support::client::{CREATE, Seen, about, call_anew};
use crate::support::envoy::{Envoy, TOKEN, with};
use crate::support::operator::{await_list, get, post, status};
use crate::support::schema::{checked, schema};
use crate::support::{pause, until};

/// Payments in doubt stay so until somebody says how they ended.
fn scene() -> Scene {
    Scene::new(&json!({"idempotency": {"repeat_after_ms": 3_600_000}}))
}

/// A payment that nobody knows the outcome of; executed or not.
fn put_in_doubt(scene: &Scene, envoy: &Envoy, reference: &str, executes: bool) {
    let reset = json!({"fault": "reset", "reference": reference, "count": 1, "executes": executes});
    scene.sandbox.fault("primary", &reset);
    let seen = pay(envoy, reference);
    assert_eq!((seen.status, seen.outcome().as_str()), (504, "unknown"), "{seen:?}");
}

fn word(key: &str, verdict: &Value) -> Value {
    let word = json!({"key": key, "evidence": "CASE-7", "reason": "asked DANA", "actor": "anna"});
    with(word, verdict)
}

fn resolve(envoy: &Envoy, key: &str, verdict: &Value) -> Seen {
    post(envoy, "/resolve", &word(key, verdict))
}

/// The same once enough time has passed for it to count.
fn resolve_in_time(envoy: &Envoy, key: &str, verdict: &Value) -> Seen {
    until("it may be said", PATIENCE, || {
        let seen = resolve(envoy, key, verdict);
        let is_early = seen.status == 409 && seen.json()["title"] == "Payment Is Under Way";
        (!is_early).then_some(seen)
    })
}

/// The key that a gateway was told.
fn whole_key(scene: &Scene, reference: &str) -> String {
    let request = scene.sandbox.requests("primary", reference)[0].clone();
    let key = request["headers"]["idempotency-key"].as_str().unwrap().trim_matches('"').to_owned();
    assert_eq!(key.len(), 64);
    key
}

fn executed_at(gateway: &str) -> Value {
    json!({ "executed_at": gateway })
}

fn not_executed() -> Value {
    json!({"executed": false})
}

fn of_metric(envoy: &Envoy, name: &str) -> u64 {
    envoy.metric(name, "")
}

#[test]
fn what_is_in_doubt_at_one_envoy_is_resolved_at_another() {
    let scene = scene();
    let (one, other) = (scene.envoy(), scene.envoy());
    put_in_doubt(&scene, &one, "r-1", true);
    let listed = await_list(&other, 1);
    assert_eq!(
        listed,
        [{
            let mut same = await_list(&one, 1)[0].clone();
            // Whichever worker counts: what another one has written ends later by as much as clocks
            // may differ.
            for name in ["age_ms", "ended_at"] {
                same[name] = listed[0][name].clone();
            }
            same
        }]
    );
    let payment = &listed[0];
    assert_eq!((&payment["amount"], &payment["currency"]), (&json!("10000.00"), &json!("IDR")));
    assert_eq!((&payment["gateways"], &payment["attempts"]), (&json!(["primary"]), &json!(1)));
    let key = payment["key"].as_str().unwrap();
    let elsewhere = resolve_in_time(&other, key, &executed_at("secondary"));
    assert_eq!(
        (elsewhere.status, elsewhere.json()["title"].as_str()),
        (409, Some("The Record Says Otherwise"))
    );

    // As few digits as a front has.
    let seen = resolve_in_time(&other, &key[..16], &executed_at("primary"));
    assert_eq!(seen.status, 200, "{seen:?}");
    let settled = json!({"state": "settled", "how": null, "gateways": ["primary"]});
    assert_eq!(
        (&seen.json()["before"]["state"], &seen.json()["after"]),
        (&json!("in_doubt"), &settled)
    );
    let line = until("it is in the log", PATIENCE, || {
        other.log().lines().find(|line| line.contains("dana: resolve {")).map(str::to_owned)
    });
    assert!(line.contains("CASE-7") && line.contains("anna") && line.contains(key), "{line}");
    // It stands elsewhere now, and ends with its retention.
    assert_eq!(scene.open(), 0);
    let settled = scene.etcd.list("/dana/v1/test/s/");
    assert_eq!(settled.len(), 1);
    let lease = scene.etcd.lease(settled[0].lease);
    assert!(lease.granted_s >= 86_400, "{lease:?}");

    let told = pay(&one, "r-1");
    assert_eq!((told.status, told.outcome().as_str()), (504, "executed"), "{told:?}");
    assert_eq!(scene.sandbox.requests("primary", "r-1").len(), 1);
    for envoy in [&one, &other] {
        await_list(envoy, 0);
        assert_eq!(envoy.metric("dana_claims", "state=\"in_doubt\""), 0);
    }
    let again = resolve(&one, key, &executed_at("primary"));
    assert_eq!((again.status, &again.json()["changed"]), (200, &json!(false)));
}

#[test]
fn what_was_not_executed_is_closed_for_all_and_never_sent_again() {
    let scene = scene();
    let (one, other) = (scene.envoy(), scene.envoy());
    put_in_doubt(&scene, &one, "r-1", false);
    let key = whole_key(&scene, "r-1");
    // By the whole key, and more of it than etcd has.
    let seen = resolve_in_time(&other, &key, &not_executed());
    assert_eq!((seen.status, &seen.json()["after"]["how"]), (200, &json!("failed")), "{seen:?}");
    for envoy in [&one, &other] {
        let told = pay(envoy, "r-1");
        let told = (told.outcome(), told.json()["safe_new_key"].clone());
        assert_eq!(told, ("not_executed".to_owned(), json!(true)));
    }
    assert_eq!(scene.sandbox.requests("primary", "r-1").len(), 1);
    // What had been looked up too early is set right, and that is told as an anomaly.
    let seen = resolve(&one, &key[..40], &executed_at("primary"));
    assert_eq!((seen.status, &seen.json()["overturned"]), (200, &json!(true)), "{seen:?}");
    assert_eq!(one.metric("dana_anomalies_total", "kind=\"overturned\""), 1);
    for envoy in [&one, &other] {
        assert_eq!(pay(envoy, "r-1").outcome(), "executed");
    }
}

#[test]
fn fronts_that_fit_several_or_nobody_and_payments_under_way_are_refused() {
    let scene = scene();
    let (one, other) = (scene.envoy(), scene.envoy());
    let slow = json!({"fault": "slow", "delay_ms": 700, "reference": "FLYING"});
    scene.sandbox.fault("primary", &slow);
    let listener = one.listener.clone();
    let flying = std::thread::spawn(move || {
        call_anew(&listener, CREATE, &crate::support::client::order("FLYING"))
    });
    until("the gateway has it", PATIENCE, || {
        (scene.sandbox.requests("primary", "FLYING").len() == 1).then_some(())
    });
    let flies = whole_key(&scene, "FLYING");
    let title = |seen: &Seen| (seen.status, seen.json()["title"].as_str().unwrap().to_owned());
    let told = |status, title: &str| (status, title.to_owned());
    let seen = resolve(&other, &flies, &not_executed());
    assert_eq!(title(&seen), told(409, "Payment Is Under Way"));
    assert_eq!(flying.join().unwrap().status, 200);
    let seen = resolve(&other, &flies, &not_executed());
    assert_eq!(title(&seen), told(409, "The Record Says Otherwise"));

    put_in_doubt(&scene, &one, "r-1", true);
    let key = whole_key(&scene, "r-1")[..40].to_owned();
    // Another one that begins alike, and one whose key begins with what is no front of the first.
    let record = scene.etcd.get(&format!("/dana/v1/test/o/{key}")).unwrap();
    let last = if key.ends_with('0') { '1' } else { '0' };
    let twin = format!("{}{last}", &key[..39]);
    scene.etcd.put(&format!("/dana/v1/test/s/{twin}"), &record.value);
    for digits in [16, 32, 38] {
        let seen = resolve_in_time(&other, &key[..digits], &executed_at("primary"));
        assert_eq!(title(&seen), told(409, "Several Such Payments"), "{digits}");
    }
    for nobody in ["ab".repeat(8), "ab".repeat(20), "ab".repeat(32)] {
        let seen = resolve(&other, &nobody, &not_executed());
        assert_eq!(title(&seen), told(404, "No Such Payment"), "{nobody}");
    }
    // What another version has written is left as it is.
    let strange = "cd".repeat(20);
    scene.etcd.put(&format!("/dana/v1/test/o/{strange}"), b"\x09 of another version");
    let seen = resolve(&other, &strange, &not_executed());
    assert_eq!(title(&seen), told(503, "Record Cannot Be Read Here"));
    let seen = resolve_in_time(&other, &key, &executed_at("primary"));
    assert_eq!(seen.status, 200, "{seen:?}");
    let status = until("it is counted", PATIENCE, || {
        let status = status(&other);
        (status["store"]["claims"]["in_doubt"] == 0).then_some(status)
    });
    assert_eq!(status["store"]["claims"]["unreadable"], 1, "{status:#}");
}

#[test]
fn of_two_words_at_once_one_is_written() {
    let scene = scene();
    let (one, other) = (scene.envoy(), scene.envoy());
    let references: Vec<String> = (0..8).map(|number| format!("r-{number}")).collect();
    for reference in &references {
        put_in_doubt(&scene, &one, reference, true);
    }
    pause(Duration::from_millis(1500));
    for reference in &references {
        let key = whole_key(&scene, reference);
        let words = [(&one, executed_at("primary")), (&other, not_executed())];
        let seen = std::thread::scope(|scope| {
            let said = words.map(|(envoy, verdict)| {
                let key = &key;
                scope.spawn(move || resolve(envoy, key, &verdict))
            });
            said.map(|said| said.join().unwrap())
        });
        let changed = seen.iter().filter(|seen| seen.status == 200).count();
        // "Not executed" is overturned by who knows better, and "executed" by nobody.
        assert!(seen.iter().all(|seen| matches!(seen.status, 200 | 409)), "{seen:?}");
        assert!(seen[0].status == 200 && changed > 0, "{seen:?}");
        let overturned = seen[0].json()["overturned"] == true;
        assert_eq!(changed == 2, overturned, "{seen:?}");
    }
    assert_eq!(scene.open(), 0);
    for reference in &references {
        for envoy in [&one, &other] {
            assert_eq!(pay(envoy, reference).outcome(), "executed");
        }
        assert_eq!(scene.sandbox.requests("primary", reference).len(), 1);
    }
}

#[test]
fn a_store_that_is_away_is_told_and_so_is_that_it_is_back() {
    let (_, validator) = schema();
    let scene = scene();
    let (one, other) = (scene.envoy(), scene.envoy());
    put_in_doubt(&scene, &one, "r-1", true);
    let key = await_list(&other, 1)[0]["key"].as_str().unwrap().to_owned();
    let is_up = |envoy: &Envoy| of_metric(envoy, "dana_store_up");
    let well = until("all workers have said so", PATIENCE, || {
        let status = checked(&other, &validator);
        let is_well = status["store"]["link"] == "joined" && is_up(&other) == 1;
        (is_well && status["store"]["claims"].is_object()).then_some(status)
    });
    let scope = json!({"claims": "realm", "health": "process", "overrides": "process"});
    assert_eq!(well["scope"], scope);
    let store = &well["store"];
    let named = json!(["etcd", "dana_etcd", "test"]);
    assert_eq!(json!([store["engine"], store["cluster"], store["realm"]]), named);
    let claims = json!({"in_flight": 0, "in_doubt": 1, "resolved": 0, "resolved_is_exact": true,
                        "unreadable": 0});
    assert_eq!(store["claims"], claims);
    assert!(store["workers"]["joined"].as_u64() >= Some(2), "{store:#}");
    let ok = other.metric("dana_store_calls_total", "result=\"ok\"");
    assert!(ok > 0);

    let page = |envoy: &Envoy| String::from_utf8(get(envoy, "/").body).unwrap();
    assert!(page(&other).contains("etcd answers"), "{}", page(&other));
    let frozen = scene.freeze_majority();
    let away = until("that it is away is told", PATIENCE, || {
        let status = checked(&other, &validator);
        (status["store"]["link"] == "away" && is_up(&other) == 0).then_some(status)
    });
    assert_eq!(away["in_doubt"]["count"], 1, "as it was counted last");
    let page_away = page(&other);
    for part in ["etcd cannot be used now", "payments refused", "Payments are refused", "Realm"] {
        assert!(page_away.contains(part), "{part} in {page_away}");
    }
    let seen = resolve(&other, &key, &executed_at("primary"));
    assert_eq!((seen.status, &seen.json()["title"]), (503, &json!("Store Does Not Answer")));
    assert!(seen.json()["detail"].as_str().unwrap().ends_with("Nothing was changed."));
    assert_eq!(seen.header("retry-after"), Some("1"));
    // What this process knows itself is told and changed as ever.
    assert_eq!(await_list(&other, 1).len(), 1);
    let wish = json!({"gateway": "secondary", "steer": "drain", "ttl_s": 60, "reason": "work",
                      "actor": "anna"});
    assert_eq!(post(&other, "/override", &wish).status, 200);
    assert_eq!(checked(&one, &validator)["overrides"], json!([]), "it is of one Envoy");
    let lost = ["unclear", "unsent"];
    let lost =
        lost.map(|result| other.metric("dana_store_calls_total", &format!("result=\"{result}\"")));
    assert!(lost.iter().sum::<u64>() > 0, "{lost:?}");

    scene.thaw(&frozen);
    until("that it is back is told", PATIENCE, || {
        let status = checked(&other, &validator);
        (status["store"]["link"] == "joined" && is_up(&other) == 1).then_some(())
    });
    let seen = until("a word is taken again", PATIENCE, || {
        let seen = resolve(&other, &key, &executed_at("primary"));
        (seen.status == 200).then_some(seen)
    });
    assert_eq!(seen.json()["after"]["state"], "settled");
    assert_eq!(pay(&one, "r-1").outcome(), "executed");
}

/// Who leaves is not waited for, and what was asked for is done and told all the same.
#[test]
fn an_operator_who_leaves_changes_nothing_of_what_was_asked_for() {
    let scene = scene();
    let envoy = scene.envoy();
    put_in_doubt(&scene, &envoy, "r-1", true);
    let key = whole_key(&scene, "r-1");
    pause(Duration::from_millis(1000));
    // So short that nobody is elected meanwhile.
    (0..3).for_each(|member| scene.etcd.freeze(member));
    let body = word(&key, &executed_at("primary")).to_string();
    let request = format!(
        "POST /resolve HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let active = || envoy.stat("cluster.dana_etcd.upstream_rq_active");
    let before = active();
    let mut client = TcpStream::connect(&envoy.operators).unwrap();
    client.write_all(request.as_bytes()).unwrap();
    until("etcd is asked", PATIENCE, || (active() > before).then_some(()));
    drop(client);
    let left = "http.dana_admin.downstream_rq_active";
    until("the client has left", PATIENCE, || (envoy.stat(left) == 0).then_some(()));
    (0..3).for_each(|member| scene.etcd.thaw(member));
    let line = until("it is written and told", PATIENCE, || {
        envoy.log().lines().find(|line| line.contains("dana: resolve {")).map(str::to_owned)
    });
    assert!(line.contains("CASE-7"), "{line}");
    until("nothing is open", PATIENCE, || (scene.open() == 0).then_some(()));
    assert_eq!(pay(&envoy, "r-1").outcome(), "executed");
    // Others are served.
    assert_eq!(get(&envoy, "/status").status, 200);
}

/// Exchanges that cannot be written yet are counted, and so is that they are written at last.
#[test]
fn what_is_still_to_be_written_is_told() {
    let scene = scene();
    let envoy = scene.envoy();
    let slow = json!({"fault": "slow", "delay_ms": 600, "reference": "r-1"});
    scene.sandbox.fault("primary", &slow);
    let mut client = TcpStream::connect(&envoy.listener).unwrap();
    client.write_all(&crate::support::client::order_bytes("r-1")).unwrap();
    until("the gateway has it", PATIENCE, || {
        (scene.sandbox.requests("primary", "r-1").len() == 1).then_some(())
    });
    let frozen = scene.freeze_majority();
    drop(client);
    until("it is counted", PATIENCE, || {
        (of_metric(&envoy, "dana_store_unfinished") == 1).then_some(())
    });
    let status = status(&envoy);
    assert_eq!(status["store"]["unfinished"], 1, "{status:#}");
    scene.thaw(&frozen);
    until("it is written", PATIENCE, || {
        (of_metric(&envoy, "dana_store_unfinished") == 0 && scene.open() <= 1).then_some(())
    });
    let told = call_anew(&envoy.listener, "/v1.0/debit/status.htm", &about("r-1"));
    assert_eq!(told.status, 200, "{told:?}");
}

/// Whoever leaves a callback out is told so, and nobody waits for ever.
#[test]
fn an_answer_that_is_never_heard_is_given_up() {
    let scene = scene();
    let mut config = scene.config().clone();
    let plugin = crate::support::envoy::admin_plugin(&mut config);
    let allowed = &mut plugin["capability_restriction_config"]["allowed_capabilities"];
    allowed.as_object_mut().unwrap().remove("proxy_on_grpc_receive").unwrap();
    let envoy = Envoy::start_without_heartbeat(&config);
    await_joined(&envoy);
    let seen = resolve(&envoy, &"ab".repeat(20), &not_executed());
    assert_eq!((seen.status, &seen.json()["title"]), (503, &json!("Store Failed")), "{seen:?}");
    assert!(envoy.log().contains("proxy_on_grpc_receive"));
    for name in
        ["proxy_grpc_call", "proxy_set_effective_context", "proxy_set_tick_period_milliseconds"]
    {
        let mut config = scene.config().clone();
        let plugin = crate::support::envoy::admin_plugin(&mut config);
        let allowed = &mut plugin["capability_restriction_config"]["allowed_capabilities"];
        allowed.as_object_mut().unwrap().remove(name).unwrap();
        assert!(Envoy::try_start(&config).is_none(), "{name}");
    }
}
