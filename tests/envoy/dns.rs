//! Gateways found by DNS (`envoy/dns.yaml`): names that move, that fail, that have several
//! addresses. Waits are a twentieth of the file's; what was measured is printed with `--nocapture`.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{self, CREATE, STATUS, Seen, about, call, call_anew, order};
use crate::support::dns::{Dns, Says};
use crate::support::envoy::{Envoy, manager, plugin, quick, rendered, set_address, validate, with};
use crate::support::sandbox::Sandbox;
use crate::support::tls::Authority;
use crate::support::{Ends, now, read, root, until};

const PRIMARY: &str = "primary.dana.test";
const SECONDARY: &str = "secondary.dana.test";
const OTHER_NAME: &str = "other.dana.test";
/// Two addresses of the first gateway, for the sandbox two gateways with a ledger each: so a
/// payment that goes to both is seen to have been made twice.
const OLD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const NEW: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// Nobody listens there.
const UNUSED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);
const UNUSED_TOO: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);
/// For whatever must happen in the end.
const PATIENCE: Duration = Duration::from_secs(10);

/// The gateways, and the server that says where they are.
struct Net {
    sandbox: Sandbox,
    dns: Dns,
    port: u16,
}

impl Net {
    /// The first gateway is at [`OLD`].
    fn start() -> Self {
        let port = TcpListener::bind((OLD, 0)).unwrap().local_addr().unwrap().port();
        let place = |name, address| format!("--gateway={name}={address}:{port}");
        let sandbox = Sandbox::start_with(&[&place("old", OLD), &place("new", NEW)]);
        let dns = Dns::start();
        dns.say(PRIMARY, Says::At(vec![OLD]));
        dns.say(SECONDARY, Says::At(vec![Ipv4Addr::LOCALHOST]));
        Self { sandbox, dns, port }
    }

    /// The reference configuration with `envoy/dns.yaml`, and waits short enough for tests.
    fn config(&self, changes: &Value) -> Value {
        let mut config = rendered(&self.sandbox, &with(quick(), changes));
        put_dns_clusters(&mut config);
        let (_, secondary) = self.sandbox.secondary.rsplit_once(':').unwrap();
        let gateways = [(PRIMARY, self.port), (SECONDARY, secondary.parse().unwrap())];
        for (cluster, (name, port)) in gateways.into_iter().enumerate() {
            set_address(&mut config, cluster, &format!("{name}:{port}"));
            let dns = dns_part(&mut config, cluster);
            dns["dns_refresh_rate"] = json!("0.25s");
            dns["dns_jitter"] = json!("0.05s");
            dns["dns_failure_refresh_rate"] =
                json!({"base_interval": "0.05s", "max_interval": "0.5s"});
            dns["typed_dns_resolver_config"]["typed_config"]["query_tries"] = json!(1);
        }
        set_resolvers(&mut config, &[&self.dns]);
        config
    }

    /// Whether a payment stands where it was told to have been made, and nowhere else.
    fn assert_once(&self, reference: &str, answer: &Seen) {
        assert_eq!((answer.status, answer.code().as_str()), (200, "2005400"), "{answer:?}");
        let places = self.sandbox.executed_at(reference);
        assert_eq!(places.len(), 1, "{reference}: {places:?}");
        let gateway = if places[0] == "secondary" { "secondary" } else { "primary" };
        assert_eq!(answer.header("x-dana-gateway"), Some(gateway), "{reference}: {places:?}");
    }

    /// Pays, and gives the place where the payment was made.
    fn pay(&self, envoy: &Envoy, reference: &str) -> String {
        let answer = call_anew(&envoy.listener, CREATE, &order(reference));
        self.assert_once(reference, &answer);
        self.sandbox.executed_at(reference).remove(0)
    }

    /// Pays until a payment is made at `place`; how long that took.
    fn pay_until_at(&self, envoy: &Envoy, place: &str, stem: &str) -> Duration {
        let begin = now();
        let mut n = 0;
        until(&format!("a payment is made at {place}"), PATIENCE, || {
            n += 1;
            (self.pay(envoy, &format!("{stem}-{n}")) == place).then_some(())
        });
        begin.elapsed()
    }
}

/// Puts the clusters of `envoy/dns.yaml` in place of those of the same names.
fn put_dns_clusters(config: &mut Value) {
    put_dns_clusters_with_tls(config);
    for cluster in 0..2 {
        // The stand-in gateways have no certificates.
        let cluster = &mut config["static_resources"]["clusters"][cluster];
        cluster.as_object_mut().unwrap().remove("transport_socket");
    }
}

fn put_dns_clusters_with_tls(config: &mut Value) {
    let text = read(&root().join("envoy/dns.yaml"));
    let clusters: Vec<Value> = serde_norway::from_str(&text).expect("envoy/dns.yaml is YAML");
    for cluster in clusters {
        let all = config["static_resources"]["clusters"].as_array_mut().unwrap();
        let other = all.iter_mut().find(|other| other["name"] == cluster["name"]);
        *other.unwrap() = cluster;
    }
}

fn dns_part(config: &mut Value, cluster: usize) -> &mut Value {
    &mut config["static_resources"]["clusters"][cluster]["cluster_type"]["typed_config"]
}

fn set_resolvers(config: &mut Value, servers: &[&Dns]) {
    let resolver = |dns: &&Dns| {
        let (address, port) = (dns.address.ip().to_string(), dns.address.port());
        json!({"socket_address": {"address": address, "port_value": port}})
    };
    let resolvers: Vec<Value> = servers.iter().map(resolver).collect();
    for cluster in 0..2 {
        let resolver = &mut dns_part(config, cluster)["typed_dns_resolver_config"];
        resolver["typed_config"]["resolvers"] = json!(resolvers);
    }
}

#[expect(clippy::print_stdout, reason = "a row of the table for whoever asks for it")]
fn measured(what: &str, took: Duration, bound: Duration) {
    println!("| {what} | {} ms |", took.as_millis());
    assert!(took < bound, "{what}: {took:?}");
}

fn heartbeat(envoy: &Envoy, gateway: &str) -> u64 {
    envoy.metric("dana_heartbeat_up", gateway)
}

/// Lookups of the first gateway that ended in this way.
fn lookups(envoy: &Envoy, how: &str) -> u64 {
    envoy.stat(&format!("cluster.dana_primary.update_{how}"))
}

fn until_failed_lookup(envoy: &Envoy) {
    let before = lookups(envoy, "failure");
    until("a lookup fails", PATIENCE, || (lookups(envoy, "failure") > before).then_some(()));
}

#[test]
fn the_file_fits_into_the_reference_configuration() {
    let net = Net::start();
    let mut config = rendered(&net.sandbox, &quick());
    put_dns_clusters(&mut config);
    assert_eq!(validate(&config), (true, String::new()));
    let [first, second] = [0, 1].map(|cluster| {
        let text = config["static_resources"]["clusters"][cluster].to_string();
        text.replace("dana_secondary", "dana_primary")
            .replace(r#""secondary""#, r#""primary""#)
            .replace("dana-two", "dana-one")
    });
    assert_eq!(first, second, "the reserve is set up as the first");
    // Several names are for several clusters.
    let endpoints = &mut config["static_resources"]["clusters"][0]["load_assignment"]["endpoints"];
    let one = endpoints[0]["lb_endpoints"][0].clone();
    endpoints[0]["lb_endpoints"].as_array_mut().unwrap().push(one);
    let (accepted, reason) = validate(&config);
    assert!(!accepted && reason.contains("must have a single"), "{reason}");
}

/// On every Envoy that the references load on.
#[test]
fn payments_go_where_the_names_lead() {
    let net = Net::start();
    net.sandbox.fault("old", &json!({"fault": "refuse"}));
    let envoy = Envoy::start_without_heartbeat(&net.config(&json!({})));
    until("the secondary is up", PATIENCE, || (heartbeat(&envoy, "secondary") == 1).then_some(()));
    assert_eq!(net.pay(&envoy, "MOVED"), "secondary");
    net.sandbox.heal("old");
    net.pay_until_at(&envoy, "old", "HEALED");
    assert_eq!(net.sandbox.ledger()["executed_at_both"], 0);
}

#[test]
fn payments_follow_a_name_to_its_new_address() {
    let net = Net::start();
    let envoy = Envoy::start(&net.config(&json!({})));
    let (is_over, paid) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let ends = Ends(&is_over);
        for payer in 0..2 {
            let (net, envoy, is_over, paid) = (&net, &envoy, &is_over, &paid);
            // One keeps its connection, the other makes a new one for each payment.
            let call = if payer == 0 { call } else { call_anew };
            scope.spawn(move || {
                let mut n = 0;
                while !is_over.load(Ordering::Relaxed) {
                    n += 1;
                    let reference = format!("MOVE-{payer}-{n}");
                    let answer = call(&envoy.listener, CREATE, &order(&reference));
                    net.assert_once(&reference, &answer);
                    assert_eq!(answer.header("x-dana-gateway"), Some("primary"), "{answer:?}");
                    paid.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let requests = |place: &str| net.sandbox.stats()[place]["requests"].as_u64().unwrap();
        until("payments are made", PATIENCE, || (requests("old") > 20).then_some(()));
        net.dns.say(PRIMARY, Says::At(vec![NEW]));
        let begin = now();
        until("payments go to the new address", PATIENCE, || (requests("new") > 0).then_some(()));
        measured("address changed: first payment there", begin.elapsed(), Duration::from_secs(3));
        until("both workers have left the old one", PATIENCE, || {
            (net.sandbox.stats()["old"]["connections_open"] == 0).then_some(())
        });
        measured("address changed: old connections gone", begin.elapsed(), Duration::from_secs(4));
        let before = requests("old");
        let paid_before = paid.load(Ordering::Relaxed);
        until("twenty more", PATIENCE, || {
            (paid.load(Ordering::Relaxed) > paid_before + 20).then_some(())
        });
        assert_eq!(requests("old"), before);
        drop(ends);
    });
    assert_eq!(net.sandbox.ledger()["executed_at_both"], 0);
    assert_eq!((heartbeat(&envoy, "primary"), envoy.metric("dana_switches_total", "")), (1, 0));
}

#[test]
fn a_payment_in_flight_ends_where_it_began() {
    let net = Net::start();
    let patient = json!({
        "timeouts": {"response_ms": 8000}, "idempotency": {"lease_ms": 20000},
    });
    let envoy = Envoy::start(&net.config(&patient));
    let slow = json!({"fault": "slow", "delay_ms": 2500, "reference": "HELD"});
    net.sandbox.fault("old", &slow);
    std::thread::scope(|scope| {
        let held = scope.spawn(|| call_anew(&envoy.listener, CREATE, &order("HELD")));
        until("it has arrived", PATIENCE, || {
            (net.sandbox.requests("old", "HELD").len() == 1).then_some(())
        });
        net.dns.say(PRIMARY, Says::At(vec![NEW]));
        net.pay_until_at(&envoy, "new", "NEXT");
        assert!(!held.is_finished(), "the others had moved before it ended");
        net.assert_once("HELD", &held.join().unwrap());
    });
    assert_eq!(net.sandbox.executed_at("HELD"), ["old"]);
    assert_eq!(net.sandbox.requests("new", "HELD").len(), 0);
}

#[test]
fn the_last_good_address_stays_while_lookups_fail() {
    let mut net = Net::start();
    let envoy = Envoy::start(&net.config(&json!({})));
    let (mut here, mut there) = ((OLD, "old"), (NEW, "new"));
    for says in [Says::NoSuchName, Says::Failure, Says::NoAddress, Says::Nothing] {
        net.dns.say(PRIMARY, says.clone());
        let begin = now();
        until_failed_lookup(&envoy);
        measured(&format!("{says:?}: noticed"), begin.elapsed(), Duration::from_secs(4));
        for n in 0..5 {
            assert_eq!(net.pay(&envoy, &format!("STAYS-{says:?}-{n}")), here.1);
        }
        assert_eq!(envoy.stat("cluster.dana_primary.membership_total"), 1);
        assert_eq!(heartbeat(&envoy, "primary"), 1, "{says:?}");
        net.dns.say(PRIMARY, Says::At(vec![there.0]));
        let took = net.pay_until_at(&envoy, there.1, &format!("{says:?}"));
        measured(&format!("{says:?} ended: new address"), took, Duration::from_secs(5));
        (here, there) = (there, here);
    }
    // Not hung but gone, and back.
    let place = net.dns.address;
    drop(std::mem::replace(&mut net.dns, Dns::start()));
    until_failed_lookup(&envoy);
    assert_eq!(net.pay(&envoy, "GONE"), here.1);
    net.dns = until("the server's place is free", PATIENCE, || Dns::start_at(place));
    net.dns.say(PRIMARY, Says::At(vec![there.0]));
    let took = net.pay_until_at(&envoy, there.1, "RETURNED");
    measured("server gone and back: new address", took, Duration::from_secs(5));
    assert_eq!((heartbeat(&envoy, "primary"), envoy.metric("dana_switches_total", "")), (1, 0));
    assert_eq!(net.sandbox.ledger()["executed_at_both"], 0);
}

#[test]
fn a_gateway_without_an_address_from_the_start_is_passed_over() {
    for says in [Says::NoSuchName, Says::Failure, Says::NoAddress, Says::Nothing] {
        let net = Net::start();
        net.dns.say(PRIMARY, says.clone());
        let begin = now();
        let envoy = Envoy::start_without_heartbeat(&net.config(&json!({})));
        measured(&format!("{says:?} at the start: serves"), begin.elapsed(), PATIENCE);
        until("the secondary is up", PATIENCE, || {
            (heartbeat(&envoy, "secondary") == 1).then_some(())
        });
        for n in 0..5 {
            assert_eq!(net.pay(&envoy, &format!("PASSED-{n}")), "secondary", "{says:?}");
        }
        let membership = envoy.stat("cluster.dana_primary.membership_total");
        assert_eq!((membership, heartbeat(&envoy, "primary")), (0, 0), "{says:?}");
        net.dns.say(PRIMARY, Says::At(vec![OLD]));
        let took = net.pay_until_at(&envoy, "old", "BACK");
        measured(&format!("{says:?} at the start, ended: primary is used"), took, PATIENCE);
        assert_eq!(net.sandbox.ledger()["executed_at_both"], 0);
    }
}

#[test]
fn an_address_that_refuses_costs_nothing_while_the_name_has_another() {
    let net = Net::start();
    net.dns.say(PRIMARY, Says::At(vec![UNUSED, NEW]));
    let envoy = Envoy::start(&net.config(&json!({})));
    for n in 0..5 {
        let answer = call_anew(&envoy.listener, CREATE, &order(&format!("EYES-{n}")));
        net.assert_once(&format!("EYES-{n}"), &answer);
        assert_eq!(net.sandbox.executed_at(&format!("EYES-{n}")), ["new"]);
    }
    let line = until("logged", PATIENCE, || envoy.access_log().pop());
    // Not an attempt of the router's: the connection itself tries one address after the other,
    // and the host keeps the first one as its name.
    assert_eq!(line["attempts"], json!(1), "{line}");
    assert_eq!(line["upstream"], json!(format!("{UNUSED}:{}", net.port)), "{line}");
    assert_eq!(line["connected"], json!(format!("{NEW}:{}", net.port)), "{line}");
    assert_eq!(heartbeat(&envoy, "primary"), 1);
    assert_eq!(envoy.stat("cluster.dana_primary.upstream_cx_connect_fail"), 0);
    // When none is left, the payment moves on in its own request.
    net.dns.say(PRIMARY, Says::At(vec![UNUSED, UNUSED_TOO]));
    let took = net.pay_until_at(&envoy, "secondary", "NONE");
    measured("all addresses refuse: paid at secondary", took, Duration::from_secs(3));
    assert!(envoy.stat("cluster.dana_primary.upstream_cx_connect_fail") > 0);
    until("the heartbeat is down", PATIENCE, || (heartbeat(&envoy, "primary") == 0).then_some(()));
    assert_eq!(net.sandbox.ledger()["executed_at_both"], 0);
}

#[test]
fn addresses_that_take_turns_lose_nothing() {
    let net = Net::start();
    net.dns.say(PRIMARY, Says::InTurn(vec![OLD, NEW]));
    let envoy = Envoy::start(&net.config(&json!({})));
    let before = net.dns.asked(PRIMARY);
    let mut places = Vec::new();
    until("ten lookups", PATIENCE, || {
        places.push(net.pay(&envoy, &format!("TURN-{}", places.len())));
        (net.dns.asked(PRIMARY) > before + 10).then_some(())
    });
    places.sort();
    places.dedup();
    assert_eq!(places, ["new", "old"]);
    assert_eq!(net.sandbox.ledger()["executed_at_both"], 0);
}

#[test]
fn a_resolver_that_hangs_is_passed_over() {
    let net = Net::start();
    let hung = Dns::start();
    hung.say(PRIMARY, Says::Nothing);
    hung.say(SECONDARY, Says::Nothing);
    let mut config = net.config(&json!({}));
    set_resolvers(&mut config, &[&hung, &net.dns]);
    let begin = now();
    let envoy = Envoy::start(&config);
    measured("first resolver hangs: both gateways up", begin.elapsed(), PATIENCE);
    assert_eq!(net.pay(&envoy, "FIRST"), "old");
    net.dns.say(PRIMARY, Says::At(vec![NEW]));
    let took = net.pay_until_at(&envoy, "new", "NEXT");
    measured("first resolver hangs: address changed", took, Duration::from_secs(5));
}

/// Why `envoy/dns.yaml` says `all_addresses_in_single_endpoint`.
#[test]
fn without_one_endpoint_for_all_a_missing_name_takes_a_working_gateway_away() {
    let net = Net::start();
    let mut config = net.config(&json!({}));
    for cluster in 0..2 {
        dns_part(&mut config, cluster)["all_addresses_in_single_endpoint"] = json!(false);
    }
    let envoy = Envoy::start(&config);
    assert_eq!(net.pay(&envoy, "BEFORE"), "old");
    net.dns.say(PRIMARY, Says::NoSuchName);
    net.pay_until_at(&envoy, "secondary", "GONE");
    assert_eq!(envoy.stat("cluster.dana_primary.membership_total"), 0);
    assert_eq!(lookups(&envoy, "failure"), 0, "Envoy calls it a success");
}

/// What `envoy/dns.yaml` says each endpoint's metadata is for.
#[test]
fn only_metadata_tells_the_gateway_behind_a_composite() {
    let net = Net::start();
    let mut config = net.config(&json!({}));
    let told = |config: &Value| {
        let envoy = Envoy::start(config);
        let answer = call_anew(&envoy.listener, CREATE, &order("WHOSE"));
        let line = until("logged", PATIENCE, || envoy.access_log().pop());
        assert_eq!(line["cluster"], json!("dana_primary_first"));
        answer.header("x-dana-gateway").unwrap_or_default().to_owned()
    };
    assert_eq!(told(&config), "primary");
    for cluster in 0..2 {
        let cluster = &mut config["static_resources"]["clusters"][cluster];
        let place = &mut cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0];
        place["metadata"] = json!({});
    }
    assert_eq!(told(&config), "primary+secondary", "either may have it");
}

#[test]
fn an_address_that_is_silent_is_left_for_the_next_before_anything_is_sent() {
    let net = Net::start();
    let (hole, other) = (Hole::dig(net.port, UNUSED), Hole::dig(net.port, UNUSED_TOO));
    net.dns.say(PRIMARY, Says::At(vec![UNUSED, NEW]));
    let patient = json!({
        "timeouts": {"response_ms": 8000}, "idempotency": {"lease_ms": 20000},
        // Else their connection is there before the payment's.
        "heartbeat": {"interval_ms": 1000, "stale_ms": 9000},
    });
    let envoy = Envoy::start_without_heartbeat(&net.config(&patient));
    let begin = now();
    assert_eq!(net.pay(&envoy, "HOLE"), "new");
    measured("one address silent: paid at the other", begin.elapsed(), Duration::from_secs(1));
    until("the secondary is up", PATIENCE, || (heartbeat(&envoy, "secondary") == 1).then_some(()));
    net.dns.say(PRIMARY, Says::At(vec![UNUSED_TOO, UNUSED]));
    until("the addresses are taken over", PATIENCE, || {
        // It tells the first address of each host.
        let clusters = client::get(&envoy.admin, "/clusters").body;
        String::from_utf8_lossy(&clusters).contains(&UNUSED_TOO.to_string()).then_some(())
    });
    let begin = now();
    assert_eq!(net.pay(&envoy, "HOLES"), "secondary");
    measured("all addresses silent: paid at secondary", begin.elapsed(), Duration::from_secs(4));
    until("the heartbeat is down", PATIENCE, || (heartbeat(&envoy, "primary") == 0).then_some(()));
    drop((hole, other));
    assert_eq!(net.sandbox.ledger()["executed_at_both"], 0);
}

/// An address at which connections are neither taken nor refused.
struct Hole {
    _listener: tokio::net::TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Hole {
    /// Fills the queue of a socket that nobody accepts from: what comes after gets no answer.
    fn dig(port: u16, address: Ipv4Addr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let _context = runtime.enter();
        let place = SocketAddr::from((address, port));
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(place).unwrap();
        let listener = socket.listen(1).unwrap();
        let patience = Duration::from_millis(300);
        let enter = || TcpStream::connect_timeout(&place, patience).ok();
        Self { _listener: listener, _waiting: std::iter::from_fn(enter).collect() }
    }
}

#[test]
fn while_no_gateway_has_an_address_nothing_is_sent_and_the_key_stays_free() {
    let net = Net::start();
    net.dns.say(PRIMARY, Says::NoSuchName);
    net.dns.say(SECONDARY, Says::NoSuchName);
    let envoy = Envoy::start_without_heartbeat(&net.config(&json!({})));
    for _ in 0..3 {
        let none = call_anew(&envoy.listener, CREATE, &order("NOWHERE"));
        assert_eq!((none.status, none.outcome().as_str()), (503, "not_executed"), "{none:?}");
        assert_eq!(none.json()["type"], "urn:dana-failover:never_sent");
    }
    net.dns.say(PRIMARY, Says::At(vec![OLD]));
    until("it is paid", PATIENCE, || {
        let answer = call_anew(&envoy.listener, CREATE, &order("NOWHERE"));
        (answer.status == 200).then_some(())
    });
    assert_eq!(net.sandbox.executed_at("NOWHERE"), ["old"]);
}

/// With the file's own timeout and tries, so that what a start may cost is known.
#[test]
fn resolvers_that_hang_do_not_keep_envoy_from_starting() {
    let net = Net::start();
    let other = Dns::start();
    for server in [&net.dns, &other] {
        server.say(PRIMARY, Says::Nothing);
        server.say(SECONDARY, Says::Nothing);
    }
    let mut reference = rendered(&net.sandbox, &quick());
    put_dns_clusters(&mut reference);
    let resolver = &dns_part(&mut reference, 0)["typed_dns_resolver_config"];
    let tries = resolver["typed_config"]["query_tries"].clone();
    let mut config = net.config(&json!({}));
    set_resolvers(&mut config, &[&net.dns, &other]);
    for cluster in 0..2 {
        let resolver = &mut dns_part(&mut config, cluster)["typed_dns_resolver_config"];
        resolver["typed_config"]["query_tries"] = tries.clone();
    }
    let begin = now();
    let envoy = Envoy::start_without_heartbeat(&config);
    measured("both resolvers hang at the start: serves", begin.elapsed(), Duration::from_secs(12));
    let none = call_anew(&envoy.listener, CREATE, &order("NOWHERE"));
    assert_eq!((none.status, none.outcome().as_str()), (503, "not_executed"), "{none:?}");
}

/// Two names of one gateway are two clusters, and a composite of them is the gateway's own. Made to
/// know its limits: a name with two addresses has none of them.
#[test]
fn a_gateway_may_have_two_names_for_payments() {
    let net = Net::start();
    net.dns.say(PRIMARY, Says::NoSuchName);
    net.dns.say(OTHER_NAME, Says::At(vec![NEW]));
    let mut config = net.config(&json!({}));
    give_two_names(&mut config);
    let envoy = Envoy::start(&config);
    let ask = |reference: &str| call_anew(&envoy.listener, STATUS, &about(reference)).status;
    assert_eq!(net.pay(&envoy, "UNKNOWN"), "new");
    assert_eq!((ask("UNKNOWN"), heartbeat(&envoy, "primary")), (200, 1));

    net.dns.say(PRIMARY, Says::At(vec![UNUSED]));
    until("the name is there", PATIENCE, || (lookups(&envoy, "success") > 0).then_some(()));
    until("the heartbeat is down", PATIENCE, || (heartbeat(&envoy, "primary") == 0).then_some(()));
    assert_eq!(net.pay(&envoy, "REFUSED"), "new", "the route tries the next name");
    assert_eq!(ask("REFUSED"), 504, "what is never retried knows the first name only");
    net.dns.say(OTHER_NAME, Says::At(vec![UNUSED]));
    net.pay_until_at(&envoy, "secondary", "NONE");
    assert_eq!(net.sandbox.ledger()["executed_at_both"], 0);
}

fn give_two_names(config: &mut Value) {
    plugin(config)["configuration"]["value"]["gateways"][0]["cluster"] = json!("dana_one");
    let host = &mut manager(config)["route_config"]["virtual_hosts"][0];
    host["routes"][0]["route"]["retry_policy"]["num_retries"] = json!(2);
    let clusters = config["static_resources"]["clusters"].as_array_mut().unwrap();
    let (mut other, mut one) = (clusters[0].clone(), clusters[2].clone());
    other["name"] = json!("dana_primary_other");
    other["load_assignment"]["cluster_name"] = json!("dana_primary_other");
    let place = &mut other["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
    place["address"]["socket_address"]["address"] = json!(OTHER_NAME);
    let first = clusters[2]["cluster_type"]["typed_config"]["clusters"].as_array_mut().unwrap();
    // Aggregates have names, composites objects.
    let name = |name: &str| if first[0].is_string() { json!(name) } else { json!({"name": name}) };
    let names = [name("dana_primary"), name("dana_primary_other")];
    first.insert(1, names[1].clone());
    one["name"] = json!("dana_one");
    one["cluster_type"]["typed_config"]["clusters"] = json!(names);
    clusters.extend([other, one]);
}

#[test]
fn envoy_takes_the_tls_of_the_file_as_it_is() {
    let sandbox = Sandbox::start();
    let mut config = rendered(&sandbox, &json!({}));
    put_dns_clusters_with_tls(&mut config);
    let authority = Authority::new();
    let merchant = authority.vouch_for("merchant.example");
    let dir = tempfile::TempDir::new().unwrap();
    let mut text = config.to_string();
    for (name, pem) in [
        ("merchant.crt", merchant.certificate),
        ("merchant.key", merchant.key),
        ("dana_ca.crt", authority.certificate()),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, pem).unwrap();
        text = text.replace(&format!("/etc/envoy/{name}"), path.to_str().unwrap());
    }
    let (accepted, log) = validate(&serde_json::from_str(&text).unwrap());
    assert!(accepted, "{log}");
}
