//! Who may do what where: operations of gateways and of partners, and connections that are not
//! what they must be.

use super::*;
use crate::engine::health::{Breach, Peer};

const GATEWAYS: &str = r#"
        {"name": "primary", "cluster": "dana_primary"},
        {"name": "secondary", "cluster": "dana_secondary"}]"#;

/// The usual world with other gateways.
fn world(gateways: &str) -> World {
    assert!(CONFIG.contains(GATEWAYS));
    World::with(&CONFIG.replace(GATEWAYS, gateways))
}

const LIMITED: &str = r#"
        {"name": "primary", "cluster": "dana_primary"},
        {"name": "secondary", "cluster": "dana_secondary", "operations": ["create-order"]}]"#;

const WATCHED: &str = r#"
        {"name": "primary", "cluster": "dana_primary", "tls": {"sans": ["api.dana.id"]}},
        {"name": "secondary", "cluster": "dana_secondary",
         "tls": {"min_version": "TLSv1.3", "sans": ["reserve.dana.id"]}}]"#;

#[test]
fn a_gateway_gets_only_what_it_may() {
    let mut world = world(LIMITED);
    let order = post(CREATE, ORDER);
    assert_eq!(world.ask(&order, None), "to dana_primary_first");
    let top_up = r#"{"partnerReferenceNo":"t-1","customerNumber":"62811","amount":{"value":"1.00","currency":"IDR"}}"#;
    assert_eq!(world.ask(&post(TOP_UP, top_up), None), "to dana_primary", "no composite either");
    world.trip("primary");
    assert_eq!(world.ask(&post(CREATE, &ORDER.replace("r-1", "r-2")), None), "to dana_secondary");
    let refused = world.ask(&post(TOP_UP, &top_up.replace("t-1", "t-2")), None);
    assert_eq!(refused, "503 no_gateway not_executed safe");
}

#[test]
fn not_found_is_not_everyones_word_while_a_gateway_may_not_be_asked() {
    let mut world = world(LIMITED);
    let not_found = upstream(404, r#"{"responseCode":"4045501"}"#);
    let told = world.ask_around(&post(STATUS, OF_ORDER), &[not_found]);
    assert_eq!(told, "to dana_primary, 504 unknown unknown");
}

#[test]
fn a_partner_calls_what_it_may() {
    let mut world = World::with(&CONFIG.replacen(
        '{',
        r#"{"scope": {"partners": {"partner-1": ["order-status"], "*": ["create-order"]}},"#,
        1,
    ));
    assert_eq!(world.ask(&post(CREATE, ORDER), None), "403 operation not_executed");
    assert_eq!(world.ask(&post(STATUS, OF_ORDER), None), "to dana_primary_first");
    let mut other = post(CREATE, ORDER);
    for (name, value) in &mut other.headers {
        if name == "x-partner-id" {
            "partner-2".clone_into(value);
        }
    }
    assert_eq!(world.ask(&other, None), "to dana_primary_first");
}

const B2B: &str = "/v1.0/access-token/b2b";
const CUSTOMERS: &str = "/v1.0/access-token/b2b2c.htm";

/// As SNAP's token service is called: `X-CLIENT-KEY`, and no `X-PARTNER-ID`.
fn token_call(path: &str, client: &str) -> Asked {
    post(path, "{}").without("x-partner-id").with("x-client-key", client)
}

#[test]
fn a_token_call_speaks_for_the_partner_of_its_client_key() {
    assert_eq!(World::new().ask(&token_call(B2B, "partner-1"), None), "to dana_primary_first");
    let scoped = |scope: &str| World::with(&CONFIG.replacen('{', &format!("{{{scope},"), 1));
    let mut world = scoped(
        r#""scope": {"partners": {"partner-1": ["apply-b2b-token"], "*": ["create-order"]}}"#,
    );
    let (sent, refused) = ("to dana_primary_first", "403 operation not_executed");
    for (asked, expected) in [
        (token_call(B2B, "partner-1"), sent),
        (token_call(CUSTOMERS, "partner-1"), refused),
        (token_call(B2B, "partner-2"), refused),
        // Whoever names a partner in both speaks as the one under which payments are made.
        (token_call(B2B, "partner-1").with("x-partner-id", "partner-2"), refused),
        (post(B2B, "{}").without("x-partner-id"), refused),
        // A client key is a partner's name for the token service alone.
        (token_call(STATUS, "partner-1"), refused),
    ] {
        assert_eq!(world.ask(&asked, None), expected, "{:?}", asked.headers);
    }
    let mut world = scoped(r#""scope": {"peers": {"a.shop": ["partner-1"]}}"#);
    for (client, expected) in [("partner-1", sent), ("partner-2", "403 peer not_executed")] {
        let asked = Asked { peer: vec!["a.shop".to_owned()], ..token_call(B2B, client) };
        assert_eq!(world.ask(&asked, None), expected, "{client}");
    }
    // Where partners have a header of their own, it alone names them.
    let mut world = scoped(
        r#""scope": {"partner_header": "x-tenant", "partners": {"partner-1": ["apply-b2b-token"]}}"#,
    );
    assert_eq!(world.ask(&token_call(B2B, "partner-1"), None), refused);
    let twice = token_call(B2B, "partner-1").with("x-client-key", "partner-1");
    assert!(World::new().ask(&twice, None).starts_with("400 "), "two speakers are none");
}

#[test]
fn a_customers_token_of_a_client_key_leads_its_partners_payments() {
    let mut world = World::new();
    let issued = upstream(200, r#"{"responseCode":"2007400","accessToken":"t-1"}"#);
    let told = world.ask(&token_call(CUSTOMERS, "partner-1"), Some(issued.at("secondary")));
    assert_eq!(told, "relayed from secondary");
    let order = post(CREATE, ORDER).with("authorization-customer", "Bearer t-1");
    assert_eq!(world.ask(&order, None), "to dana_secondary");
}

/// The executed order's answer, over a connection to `name`.
fn over<'a>(name: &'a str, version: &'a str) -> Option<Peer<'a>> {
    let version = Some(version).filter(|version| !version.is_empty());
    Some(Peer { version, names: [Some(name).filter(|name| !name.is_empty()), None] })
}

impl World {
    fn answer_over(&mut self, run: &mut Run, endpoint: &str, peer: Option<Peer<'_>>) {
        let answer = Answer {
            evidence: upstream(200, OK).evidence,
            endpoint: Some(endpoint),
            peer,
            content_type: None,
            retry_after: None,
            content_encoding: None,
            client_waits: true,
        };
        self.feed(run, Input::Event(ExchangeEvent::Answered(answer)));
        self.go_on(run);
    }

    fn barred(&self, name: &str) -> Option<Breach> {
        let health = self.store.health();
        health.member(self.id(name)).and_then(|member| member.barred).map(|(_, breach)| breach)
    }
}

#[test]
fn an_answer_over_the_right_connection_is_an_answer() {
    for (endpoint, peer) in [
        ("primary", over("api.dana.id", "TLSv1.2")),
        ("secondary", over("reserve.dana.id", "TLSv1.3")),
    ] {
        let mut world = world(WATCHED);
        let mut run = world.begin(&post(CREATE, ORDER));
        world.answer_over(&mut run, endpoint, peer);
        assert_eq!(run.told(), format!("relayed from {endpoint}"));
        assert_eq!((world.barred("primary"), world.barred("secondary")), (None, None));
    }
}

#[test]
fn an_answer_over_another_connection_proves_nothing_and_bars_the_gateway() {
    for (peer, breach) in [
        (over("evil.example", "TLSv1.3"), Breach::Name),
        (over("reserve.dana.id", "TLSv1.3"), Breach::Name),
        (over("api.dana.id", "TLSv1.1"), Breach::Version),
        (over("", ""), Breach::Plaintext),
    ] {
        let mut world = world(WATCHED);
        let mut run = world.begin(&post(CREATE, ORDER));
        world.answer_over(&mut run, "primary", peer);
        assert_eq!(run.told(), "504 unknown unknown", "{breach:?}");
        assert_eq!(world.state(), "in_doubt");
        assert_eq!((world.barred("primary"), world.barred("secondary")), (Some(breach), None));
        assert!(run.changes.iter().any(|change| matches!(change, HealthEvent::Barred(_, Some(_)))));
        // New payments go to the other one, at once and alone.
        let next = post(CREATE, &ORDER.replace("r-1", "r-2"));
        assert_eq!(world.ask(&next, None), "to dana_secondary");
        // Neither the payment's repeat nor its status is sent there.
        world.pass(10_000);
        assert_eq!(world.pay(upstream(200, OK)), "504 unknown unknown");
        assert_eq!(world.ask(&post(STATUS, OF_ORDER), None), "to dana_secondary");
    }
}

#[test]
fn no_traffic_and_no_wait_lifts_a_bar_and_an_operator_does() {
    let mut world = world(WATCHED);
    let mut run = world.begin(&post(CREATE, ORDER));
    let late = world.begin(&post(CREATE, &ORDER.replace("r-1", "r-2")));
    world.answer_over(&mut run, "primary", over("evil.example", "TLSv1.3"));
    // Another answer of the same gateway is all right.
    let mut late = late;
    world.answer_over(&mut late, "primary", over("api.dana.id", "TLSv1.3"));
    world.pass(3_000_000);
    let next = post(CREATE, &ORDER.replace("r-1", "r-3"));
    assert_eq!(world.ask(&next, None), "to dana_secondary");
    let primary = world.id("primary");
    world.health(|health, _, _| {
        assert_eq!(health.admit(primary), Some(HealthEvent::Barred(primary, None)));
        assert_eq!(health.admit(primary), None);
    });
    let next = post(CREATE, &ORDER.replace("r-1", "r-4"));
    assert!(world.ask(&next, None).starts_with("to dana_"), "admitted");
    assert_eq!(world.barred("primary"), None);
}

#[test]
fn of_several_that_may_have_answered_one_that_fits_is_enough_to_bar_nobody() {
    let mut world = world(WATCHED);
    let mut run = world.begin(&post(CREATE, ORDER));
    world.answer_over(&mut run, "(nobody we know)", over("api.dana.id", "TLSv1.2"));
    assert_eq!((world.barred("primary"), world.barred("secondary")), (None, None));
    let mut run = world.begin(&post(CREATE, &ORDER.replace("r-1", "r-2")));
    world.answer_over(&mut run, "(nobody we know)", over("evil.example", "TLSv1.3"));
    assert_eq!(world.barred("primary"), Some(Breach::Name));
    assert_eq!(world.barred("secondary"), Some(Breach::Name));
    let next = post(CREATE, &ORDER.replace("r-1", "r-3"));
    assert_eq!(world.ask(&next, None), "503 no_gateway not_executed safe");
}
