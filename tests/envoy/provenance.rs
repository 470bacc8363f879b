//! Who gave an answer: the gateway, or somebody in its place. Whatever Envoy is set up to remove,
//! rename or add, what the gateway says is believed, and what others say is not.

use serde_json::{Value, json};

use crate::support::client::{CREATE, STATUS, Seen, about, call, order, send};
use crate::support::envoy::{Envoy, manager, quick, rendered};
use crate::support::sandbox::Sandbox;

const SERVICE_TIME: &str = "x-envoy-upstream-service-time";
const PREFIX: &str = "type.googleapis.com/envoy.extensions";

fn routes(config: &mut Value) -> &mut Value {
    &mut manager(config)["route_config"]
}

/// A filter between ours and the router.
fn behind(config: &mut Value, filter: Value) {
    let filters = manager(config)["http_filters"].as_array_mut().unwrap();
    filters.insert(filters.len() - 1, filter);
}

/// A filter of the clusters' own, behind the router.
fn upstream(config: &mut Value, filter: &Value) {
    let codec = json!({"name": "codec", "typed_config":
        {"@type": format!("{PREFIX}.filters.http.upstream_codec.v3.UpstreamCodec")}});
    for cluster in config["static_resources"]["clusters"].as_array_mut().unwrap() {
        let options = &mut cluster["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
        if options.is_null() {
            *options = json!({
                "@type": format!("{PREFIX}.upstreams.http.v3.HttpProtocolOptions"),
                "explicit_http_config": {"http_protocol_options": {}}});
        }
        options["http_filters"] = json!([filter, codec]);
    }
}

fn removing() -> Value {
    json!({"name": "mutation", "typed_config": {
        "@type": format!("{PREFIX}.filters.http.header_mutation.v3.HeaderMutation"),
        "mutations": {"response_mutations": [{"remove": SERVICE_TIME}]}}})
}

fn lua(code: &str) -> Value {
    json!({"name": "lua", "typed_config": {
        "@type": format!("{PREFIX}.filters.http.lua.v3.Lua"),
        "default_source_code": {"inline_string": code}}})
}

/// An answer of DANA's, made by somebody else, who also claims that it came from upstream.
fn forging() -> Value {
    lua(&format!(
        r#"function envoy_on_request(handle)
             if handle:headers():get("x-forge") then
               handle:respond({{[":status"] = "200", ["content-type"] = "application/json", ["{SERVICE_TIME}"] = "3"}},
                 '{{"responseCode":"2005400","partnerReferenceNo":"FORGED"}}')
             end
           end"#
    ))
}

type Change = fn(&mut Value);

/// Each of Envoy's ways to remove or rename what tells how long the gateway took.
const WAYS: [(&str, Change); 8] = [
    ("nothing", |_| {}),
    ("suppress_envoy_headers", |config| {
        let filters = manager(config)["http_filters"].as_array_mut().unwrap();
        filters.last_mut().unwrap()["typed_config"]["suppress_envoy_headers"] = json!(true);
    }),
    ("removed by the route", |config| {
        let route = &mut routes(config)["virtual_hosts"][0]["routes"][0];
        route["response_headers_to_remove"] = json!([SERVICE_TIME]);
    }),
    ("removed by the virtual host", |config| {
        let host = &mut routes(config)["virtual_hosts"][0];
        host["response_headers_to_remove"] = json!([SERVICE_TIME]);
    }),
    ("removed by the routes", |config| {
        routes(config)["response_headers_to_remove"] = json!([SERVICE_TIME]);
    }),
    ("removed by a filter", |config| behind(config, removing())),
    ("removed by an upstream filter", |config| upstream(config, &removing())),
    ("renamed", |config| config["header_prefix"] = json!("x-shop")),
];

#[test]
fn what_a_gateway_says_is_believed_whatever_envoy_removes_or_renames() {
    for (way, change) in WAYS {
        let sandbox = Sandbox::start();
        let mut config = rendered(&sandbox, &quick());
        change(&mut config);
        // Heartbeats come up, too: calls of the filter's own are no stream.
        let envoy = Envoy::start(&config);
        let paid = call(&envoy.listener, CREATE, &order("PAID"));
        assert_eq!((paid.status, paid.code().as_str()), (200, "2005400"), "{way}: {paid:?}");
        let again = call(&envoy.listener, CREATE, &order("PAID"));
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{way}: {again:?}");
        // By a call of its own the filter finds what was paid past it.
        assert_eq!(call(&sandbox.secondary, CREATE, &order("PAST")).status, 200);
        let told = call(&envoy.listener, STATUS, &about("PAST"));
        assert_eq!(told.header("x-dana-gateway"), Some("secondary"), "{way}: {told:?}");
        // What nobody said is still told apart from it.
        // Renamed, Envoy does not know the timeout that the filter names: the route's own holds.
        if way != "renamed" {
            sandbox.fault("primary", &json!({"fault": "hang"}));
            let hung = call(&envoy.listener, CREATE, &order("HUNG"));
            assert_eq!((hung.status, hung.outcome().as_str()), (504, "unknown"), "{way}: {hung:?}");
        }
        sandbox.fault("primary", &json!({"fault": "refuse"}));
        let moved = call(&envoy.listener, CREATE, &order("MOVED"));
        assert_eq!(moved.header("x-dana-gateway"), Some("secondary"), "{way}: {moved:?}");
        sandbox.fault("secondary", &json!({"fault": "refuse"}));
        let nobody = call(&envoy.listener, CREATE, &order("NOBODY"));
        assert_eq!((nobody.status, nobody.outcome().as_str()), (503, "not_executed"), "{way}");
    }
}

/// Whoever pays with the header that makes a filter behind ours answer.
fn pay_forged(envoy: &Envoy) -> Seen {
    let headers = [("x-partner-id", "partner-1"), ("x-forge", "1")];
    let body = order("FORGED").to_string();
    send(&envoy.listener, CREATE, &headers, body.as_bytes())
}

#[test]
fn what_others_say_in_a_gateways_place_is_not_believed() {
    let by_envoy: Change = |config| {
        let mapper = &mut manager(config)["local_reply_config"]["mappers"][0];
        let added = json!([{"header": {"key": SERVICE_TIME, "value": "3"}}]);
        mapper["headers_to_add"] = added;
    };
    let by_filter: Change = |config| behind(config, forging());
    let by_upstream: Change = |config| upstream(config, &forging());
    for (who, change) in
        [("Envoy", by_envoy), ("a filter", by_filter), ("an upstream filter", by_upstream)]
    {
        let sandbox = Sandbox::start();
        let mut config = rendered(&sandbox, &quick());
        change(&mut config);
        let envoy = Envoy::start(&config);
        let seen = if who == "Envoy" {
            sandbox.fault("primary", &json!({"fault": "hang"}));
            call(&envoy.listener, CREATE, &order("FORGED"))
        } else {
            pay_forged(&envoy)
        };
        assert_eq!((seen.status, seen.outcome().as_str()), (504, "unknown"), "{who}: {seen:?}");
        assert!(sandbox.executed_at("FORGED").is_empty() || who == "Envoy", "{who}");
        if who == "Envoy" {
            sandbox.fault("primary", &json!({"fault": "refuse"}));
            sandbox.fault("secondary", &json!({"fault": "refuse"}));
            let nobody = call(&envoy.listener, CREATE, &order("NOBODY"));
            assert_eq!((nobody.status, nobody.outcome().as_str()), (503, "not_executed"), "{who}");
        }
    }
}

#[test]
fn a_label_on_a_plain_body_says_nothing() {
    let sandbox = Sandbox::start();
    let mut config = rendered(&sandbox, &quick());
    for label in ["UTF-8", "Identity", "gzip"] {
        let route = &mut routes(&mut config)["virtual_hosts"][0]["routes"][0];
        route["response_headers_to_add"] = json!([{
            "header": {"key": "content-encoding", "value": label},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]);
        let envoy = Envoy::start(&config);
        let reference = format!("LABEL-{label}");
        // The body is read here as it came: a client that believes the label could not.
        let headers = [("x-partner-id", "partner-1")];
        let body = order(&reference).to_string();
        let first = send(&envoy.listener, CREATE, &headers, body.as_bytes());
        let again = send(&envoy.listener, CREATE, &headers, body.as_bytes());
        assert_eq!((again.status, again.code().as_str()), (200, "2005400"), "{label}: {again:?}");
        assert_eq!(again.header("idempotent-replayed"), Some("true"), "{label}");
        assert_eq!(again.header("content-encoding"), None, "{label}: what is replayed is plain");
        if label != "gzip" {
            assert_eq!(first.body, again.body, "{label}");
        }
    }
}
