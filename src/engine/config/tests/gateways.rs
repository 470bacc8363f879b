//! What one gateway may have otherwise than the others, and what a reserve may not.

use super::*;

#[test]
fn a_gateway_may_be_asked_otherwise_than_the_others() {
    let config = parse(&json!({
        "gateways": [
            {"name": "primary", "cluster": "a"},
            {"name": "secondary", "cluster": "b",
             "heartbeat": {"path": "/ready", "timeout_ms": 250, "expect": {"status": 204}}}],
        "heartbeat": {"method": "HEAD", "path": "/up", "expect": {"status": 200}},
    }));
    let [first, second] = [0, 1].map(|at| config.gateways[at].probe.clone());
    let asked = |probe: &ProbeSpec| {
        (probe.method.clone(), probe.path.clone(), probe.timeout.get(), probe.expect.status)
    };
    assert_eq!(asked(&first), ("HEAD".to_owned(), "/up".to_owned(), 1000, Some(200)));
    assert_eq!(asked(&second), ("HEAD".to_owned(), "/ready".to_owned(), 250, Some(204)));
    let mistaken = json!({
        "gateways": [
            {"name": "primary", "cluster": "a", "heartbeat": {"path": "up", "rise": 3}},
            {"name": "secondary", "cluster": "b"}],
    });
    let errors = Config::parse(mistaken.to_string().as_bytes()).unwrap_err();
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].starts_with("gateways[0].heartbeat.path: expected a path"), "{errors:?}");
    assert!(errors[1].starts_with("gateways[0].heartbeat.rise: "), "{errors:?}");
}

#[test]
fn a_reserve_has_no_more_rights_and_no_weaker_channel() {
    let errors_of = |first: Value, second: Value| {
        let gateway = |name: &str, rest: &Value| {
            let mut gateway = json!({"name": name, "cluster": format!("c_{name}")});
            gateway.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            gateway
        };
        let gateways = json!({"gateways": [gateway("a", &first), gateway("b", &second)]});
        let parsed = Config::parse(gateways.to_string().as_bytes());
        parsed.err().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let tls = |version: &str| json!({"tls": {"min_version": version, "sans": ["api.dana.id"]}});
    let lists = |names: &[&str]| json!({"operations": names});
    for (first, second) in [
        (json!({}), json!({})),
        (json!({}), lists(&["top-up"])),
        (lists(&["top-up", "cancel"]), lists(&["cancel"])),
        (tls("TLSv1.2"), tls("TLSv1.3")),
        (json!({}), tls("TLSv1.3")),
    ] {
        assert_eq!(errors_of(first.clone(), second.clone()), [""; 0], "{first} {second}");
    }
    for (first, second, error) in [
        (
            lists(&["top-up"]),
            lists(&["top-up", "cancel"]),
            "gateways[1].operations: expected at most the operations of a, found cancel",
        ),
        (
            lists(&["top-up"]),
            json!({}),
            "gateways[1].operations: expected at most the operations of a, found all of them",
        ),
        (
            json!({}),
            lists(&["topup"]),
            "gateways[1].operations[0]: expected the name of an operation, found topup",
        ),
        (
            tls("TLSv1.2"),
            json!({}),
            "gateways[1].tls: expected tls to be watched as it is at a, found nothing",
        ),
        (
            tls("TLSv1.3"),
            tls("TLSv1.2"),
            "gateways[1].tls.min_version: expected TLSv1.3, as at the first gateway, found TLSv1.2",
        ),
        (
            json!({}),
            json!({"tls": {"sans": []}}),
            "gateways[1].tls.sans: expected at least one name in the gateway's certificate, found \
             a list",
        ),
        (
            json!({}),
            json!({"tls": {"sans": ["*.dana.id"]}}),
            "gateways[1].tls.sans[0]: expected a DNS name or URI of the gateway's certificate, \
             found \"*.dana.id\"",
        ),
    ] {
        let errors = errors_of(first.clone(), second.clone());
        assert_eq!(errors.first().map(String::as_str), Some(error), "{first} {second}: {errors:?}");
    }
    let scope = json!({"scope": {"partners": {"p-1": ["order-statu"]}}});
    let errors = Config::parse(with(&scope).to_string().as_bytes()).unwrap_err();
    assert!(errors[0].to_string().starts_with("scope.partners[p-1][0]: expected the name of an"));
}

#[test]
fn a_gateway_has_a_host_of_its_own_or_none() {
    let config = |host: &str| {
        json!({"gateways": [
            {"name": "primary", "cluster": "a", "host": host}, {"name": "secondary", "cluster": "b"}]})
    };
    for host in ["api.dana.example", "API.dana.example:8443", "[2001:db8::1]:443"] {
        let gateways = parse(&config(host)).gateways;
        assert_eq!((gateways[0].host.as_deref(), &gateways[1].host), (Some(host), &None));
    }
    for host in ["", "a b", "a/b", "a\r\nx: y", "user@host", "\u{e9}"] {
        let errors = Config::parse(config(host).to_string().as_bytes()).unwrap_err();
        assert!(
            errors[0].to_string().starts_with("gateways[0].host: expected a host name"),
            "{host}"
        );
    }
}
