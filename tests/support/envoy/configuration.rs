//! The reference configuration, changed only where a test must: ports, the module's place, shorter waits.

use serde_json::{Value, json};

use crate::support::sandbox::Sandbox;
use crate::support::{module, read, root, trapping_module};

/// The reference configuration, as JSON.
pub(crate) fn reference() -> Value {
    variant(file("envoy.yaml"))
}

/// The one for production, with TLS.
pub(crate) fn tls_reference() -> Value {
    variant(file("tls.yaml"))
}

/// The variant that is tested: with composite clusters, or with aggregate ones where the environment says so.
pub(crate) fn variant(config: Value) -> Value {
    let clusters = std::env::var_os("ENVOY_CLUSTERS").unwrap_or_else(|| "composite".into());
    match clusters.to_str() {
        Some("aggregate") => with_aggregates(config),
        Some("composite") => config,
        _ => panic!("ENVOY_CLUSTERS: expected composite or aggregate, found {clusters:?}"),
    }
}

/// A reference with the pieces of `envoy/aggregate.yaml` in their places.
pub(crate) fn with_aggregates(mut config: Value) -> Value {
    let pieces = file("aggregate.yaml");
    let [policy, clusters @ ..] = pieces.as_array().unwrap().as_slice() else {
        panic!("aggregate.yaml is empty")
    };
    let route = &mut manager(&mut config)["route_config"]["virtual_hosts"][0]["routes"][0];
    assert_eq!(route["name"], "chosen");
    route["route"]["retry_policy"] = policy["retry_policy"].clone();
    for cluster in config["static_resources"]["clusters"].as_array_mut().unwrap() {
        let same = clusters.iter().find(|one| one["name"] == cluster["name"]);
        *cluster = same.unwrap_or(cluster).clone();
    }
    assert_eq!(config.to_string().matches("envoy.clusters.aggregate").count(), clusters.len());
    assert!(!config.to_string().contains("envoy.clusters.composite"));
    config
}

pub(crate) fn file(name: &str) -> Value {
    let text = read(&root().join("envoy").join(name));
    serde_norway::from_str(&text).unwrap_or_else(|error| panic!("envoy/{name}: {error}"))
}

/// The HTTP connection manager in a configuration.
pub(crate) fn manager(config: &mut Value) -> &mut Value {
    &mut config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
}

/// The filter's own part of a configuration.
pub(crate) fn plugin(config: &mut Value) -> &mut Value {
    plugin_of(config, 0)
}

/// The same of the operators' listener.
pub(crate) fn admin_plugin(config: &mut Value) -> &mut Value {
    plugin_of(config, 1)
}

/// The same of the listener for notifications.
pub(crate) fn notify_plugin(config: &mut Value) -> &mut Value {
    plugin_of(config, 3)
}

fn plugin_of(config: &mut Value, listener: usize) -> &mut Value {
    let chain = &mut config["static_resources"]["listeners"][listener]["filter_chains"][0];
    plugin_within(&mut chain["filters"][0]["typed_config"])
}

/// This product's own filter among those of a connection manager.
pub(crate) fn plugin_within(manager: &mut Value) -> &mut Value {
    let mut filters = manager["http_filters"].as_array_mut().unwrap().iter_mut();
    let ours = filters.find(|filter| filter["name"].as_str().unwrap().starts_with("dana"));
    &mut ours.unwrap()["typed_config"]["config"]
}

/// The modules of the merchants' listener and of the operators' one.
pub(crate) const MODULES: [&str; 2] = ["dana_failover.wasm", "dana_failover_operators.wasm"];

/// The operators' token in all tests.
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The reference configuration on free ports, in front of `sandbox`, with `changes` merged into
/// the filter's own part.
pub(crate) fn rendered(sandbox: &Sandbox, changes: &Value) -> Value {
    let gateways = [sandbox.primary.as_str(), sandbox.secondary.as_str()];
    rendered_from(reference(), gateways, changes)
}

/// The same of another reference, in front of these gateways.
pub(crate) fn rendered_from(mut config: Value, gateways: [&str; 2], changes: &Value) -> Value {
    config["admin"]["address"]["socket_address"]["port_value"] = json!(0);
    for listener in [0, 1] {
        let listener = &mut config["static_resources"]["listeners"][listener];
        listener["address"]["socket_address"]["port_value"] = json!(0);
    }
    for (cluster, address) in gateways.into_iter().enumerate() {
        set_address(&mut config, cluster, address);
    }
    for (listener, name) in MODULES.into_iter().enumerate() {
        let plugin = plugin_of(&mut config, listener);
        let code = &mut plugin["vm_config"]["code"]["local"]["filename"];
        assert_eq!(*code, format!("/etc/envoy/{name}"));
        *code = json!(module(name));
        merge(&mut plugin["configuration"]["value"], changes);
    }
    let events = &mut config["static_resources"]["listeners"][2];
    if !events.is_null() {
        let filter =
            &mut events["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"][0];
        let vm = &mut filter["typed_config"]["config"]["vm_config"];
        vm["code"]["local"]["filename"] = json!(module(MODULES[1]));
    }
    let digest = <sha2::Sha256 as sha2::Digest>::digest(TOKEN);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    admin_plugin(&mut config)["configuration"]["value"]["admin"]["token_sha256"] = json!(digest);
    config
}

/// The same with the listener for notifications, before an application at this address.
pub(crate) fn with_notifications(mut config: Value, application: &str, changes: &Value) -> Value {
    let mut piece = file("notify.yaml");
    let listener = &mut piece[0];
    listener["address"]["socket_address"]["port_value"] = json!(0);
    let filter = &mut listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"][0];
    let plugin = &mut filter["typed_config"]["config"];
    let code = &mut plugin["vm_config"]["code"]["local"]["filename"];
    assert_eq!(*code, "/etc/envoy/dana_failover_notify.wasm");
    *code = json!(module("dana_failover_notify.wasm"));
    // The one whose payments the tests make.
    let partner = json!({"notify": {"partner": "2025021312345678901234"}});
    merge(&mut plugin["configuration"]["value"], &partner);
    merge(&mut plugin["configuration"]["value"], changes);
    let listener = listener.clone();
    config["static_resources"]["listeners"].as_array_mut().unwrap().push(listener);
    let clusters = config["static_resources"]["clusters"].as_array_mut().unwrap();
    clusters.push(piece[1].clone());
    let last = clusters.len() - 1;
    set_address(&mut config, last, application);
    config
}

/// As [`rendered`], with `apart` merged into the operators' part alone.
pub(crate) fn rendered_apart(sandbox: &Sandbox, changes: &Value, apart: &Value) -> Value {
    let mut config = rendered(sandbox, changes);
    merge(&mut admin_plugin(&mut config)["configuration"]["value"], apart);
    config
}

/// As [`rendered`], with the filter that dies on demand and comes back at once, or whose store
/// answers late.
pub(crate) fn trapping(sandbox: &Sandbox, changes: &Value) -> Value {
    let mut config = rendered(sandbox, changes);
    for (listener, name) in MODULES.into_iter().enumerate() {
        let plugin = plugin_of(&mut config, listener);
        plugin["vm_config"]["code"]["local"]["filename"] = json!(trapping_module(name));
        // Envoy waits this long between two deaths before it makes another VM.
        let backoff = json!({"base_interval": "0.02s", "max_interval": "0.05s"});
        plugin["reload_config"] = json!({"backoff": backoff});
    }
    // What is held for a slow store goes on from another callback than its own.
    let restriction = &mut plugin_of(&mut config, 0)["capability_restriction_config"];
    restriction["allowed_capabilities"]["proxy_continue_stream"] = json!({});
    config
}

/// Makes a gateway's cluster reach `address`.
pub(crate) fn set_address(config: &mut Value, cluster: usize, address: &str) {
    let (host, port) = address.rsplit_once(':').unwrap();
    let cluster = &mut config["static_resources"]["clusters"][cluster];
    let endpoint = &mut cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
    endpoint["address"]["socket_address"] =
        json!({"address": host, "port_value": port.parse::<u16>().unwrap()});
}

fn merge(target: &mut Value, changes: &Value) {
    match (target, changes) {
        (Value::Object(target), Value::Object(changes)) => {
            for (name, change) in changes {
                merge(target.entry(name.clone()).or_insert(Value::Null), change);
            }
        }
        (target, change) => *target = change.clone(),
    }
}

/// Waits short enough for tests.
pub(crate) fn quick() -> Value {
    json!({
        "testing": {"unsafe_timings": true},
        "timeouts": {"response_ms": 1000, "inquiry_ms": 1000},
        "idempotency": {"lease_ms": 3000, "repeat_after_ms": 300, "settle_delay_ms": 400},
        "heartbeat": {"interval_ms": 100, "timeout_ms": 500, "stale_ms": 2000},
        "breaker": {"consecutive_failures": 1000, "failure_rate_pct": 100, "min_calls": 1000000},
        "failback": {"ramp_ms": 0},
    })
}

/// Both, the second one's members winning.
pub(crate) fn with(mut base: Value, changes: &Value) -> Value {
    merge(&mut base, changes);
    base
}
