//! Envoy's configurations: the reference configuration, with the filter exchanged.
//!
//! All of them are made from `envoy/envoy.yaml`, so what is compared differs in the filter and the
//! route it needs and in nothing else: listener options, local replies, gateways are the same.
//! The access log is left out of all.

use serde_json::{Value, json};

use super::Outcome;
use super::peer::Way;

/// Where the filter's own part stands.
const PLUGIN: &str = "/typed_config/config/configuration/value";

/// What stands before the router.
#[derive(Clone, Debug)]
pub(crate) enum Filter<'a> {
    /// Nothing.
    None,
    /// A wasm module that needs no configuration.
    Noop { module: &'a str },
    /// The same, which sends requests by the header that this filter sets.
    Calls { module: &'a str },
    /// This filter, with these settings of its own beside the reference configuration's.
    Ours { module: &'a str, settings: &'a Value },
    /// A Lua script.
    Lua { script: &'a str },
    /// A service that listens at this port.
    Service { way: Way, port: u16 },
}

/// Where Envoy and the gateways listen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) listener: u16,
    pub(crate) admin: u16,
    pub(crate) primary: u16,
    pub(crate) secondary: u16,
}

/// Envoy's configuration, made from the reference one.
pub(crate) fn render(reference: &str, filter: &Filter<'_>, ports: Ports) -> Outcome<Value> {
    let mut config: Value = serde_norway::from_str(reference)?;
    *at(&mut config, "/admin/address/socket_address/port_value")? = json!(ports.admin);
    let gateways = [("dana_primary", ports.primary), ("dana_secondary", ports.secondary)];
    for (name, port) in gateways {
        let cluster = named(at(&mut config, "/static_resources/clusters")?, name)?;
        let endpoint = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint";
        *at(cluster, &format!("{endpoint}/address/socket_address/port_value"))? = json!(port);
    }
    let listeners = at(&mut config, "/static_resources/listeners")?;
    if let Value::Array(listeners) = listeners {
        // What is compared has no operators.
        listeners.retain(|listener| listener["name"] == "dana");
    }
    let listener = named(listeners, "dana")?;
    *at(listener, "/address/socket_address/port_value")? = json!(ports.listener);
    let manager = at(listener, "/filter_chains/0/filters/0/typed_config")?;
    *at(manager, "/access_log")? = json!([]);
    exchange(named(at(manager, "/http_filters")?, "dana")?, filter)?;
    match filter {
        Filter::None | Filter::Noop { .. } => {
            let routes = at(manager, "/route_config/virtual_hosts/0/routes")?;
            let route = json!({"cluster": "dana_primary", "timeout": "10s"});
            *routes = json!([{"match": {"prefix": "/"}, "route": route}]);
        }
        Filter::Calls { .. }
        | Filter::Ours { .. }
        | Filter::Lua { .. }
        | Filter::Service { .. } => {}
    }
    if let Filter::Ours { settings, .. } = filter {
        reserves(at(&mut config, "/static_resources/clusters")?, settings)?;
    }
    if let Filter::Service { port, .. } = filter
        && let Value::Array(clusters) = at(&mut config, "/static_resources/clusters")?
    {
        clusters.push(peer(*port));
    }
    let manager =
        at(&mut config, "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config")?;
    if let (Filter::None, Value::Array(filters)) = (filter, at(manager, "/http_filters")?) {
        filters.retain(|filter| filter["name"] != "dana");
    }
    Ok(config)
}

/// The filter's own part of the reference configuration, with these settings.
pub(crate) fn plugin(reference: &str, settings: &Value) -> Outcome<Value> {
    let mut config: Value = serde_norway::from_str(reference)?;
    let listener = named(at(&mut config, "/static_resources/listeners")?, "dana")?;
    let filters = at(listener, "/filter_chains/0/filters/0/typed_config/http_filters")?;
    let plugin = at(named(filters, "dana")?, PLUGIN)?;
    set(plugin, settings);
    Ok(plugin.take())
}

/// Nothing takes a setting away.
fn set(plugin: &mut Value, settings: &Value) {
    let Some(plugin) = plugin.as_object_mut() else {
        return;
    };
    for (name, setting) in settings.as_object().into_iter().flatten() {
        if setting.is_null() {
            plugin.remove(name);
        } else {
            plugin.insert(name.clone(), setting.clone());
        }
    }
}

/// Puts `filter` in the place of the reference configuration's.
fn exchange(place: &mut Value, filter: &Filter<'_>) -> Outcome<()> {
    const CODE: &str = "/typed_config/config/vm_config/code";
    match filter {
        Filter::None => {}
        Filter::Noop { module } | Filter::Calls { module } => {
            *at(place, CODE)? = json!({"local": {"filename": module}});
            if let Value::Object(config) = at(place, "/typed_config/config")? {
                config.remove("configuration");
            }
        }
        Filter::Ours { module, settings } => {
            *at(place, CODE)? = json!({"local": {"filename": module}});
            set(at(place, PLUGIN)?, settings);
        }
        Filter::Lua { script } => {
            let kind = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua";
            let source = json!({"inline_string": script});
            place["typed_config"] = json!({"@type": kind, "default_source_code": source});
        }
        Filter::Service { way, .. } => place["typed_config"] = service(*way),
    }
    Ok(())
}

/// Envoy's filter that asks a service about whole requests, and where it can about whole answers.
fn service(way: Way) -> Value {
    let service = json!({"envoy_grpc": {"cluster_name": "peer"}, "timeout": "5s"});
    match way {
        Way::ExtAuthz => json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
            "transport_api_version": "V3",
            "grpc_service": service,
            "with_request_body": {"max_request_bytes": 65536, "pack_as_bytes": true},
            "clear_route_cache": true,
        }),
        Way::ExtProc => json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
            "grpc_service": service,
            "processing_mode": {
                "request_header_mode": "SEND",
                "request_body_mode": "BUFFERED",
                "response_header_mode": "SEND",
                "response_body_mode": "BUFFERED",
            },
        }),
    }
}

/// Adds a cluster for each of the settings' gateways that has none: the second gateway's under its name.
fn reserves(clusters: &mut Value, settings: &Value) -> Outcome<()> {
    for gateway in settings["gateways"].as_array().into_iter().flatten() {
        if named(clusters, gateway["cluster"].as_str().unwrap_or_default()).is_ok() {
            continue;
        }
        let mut cluster = named(clusters, "dana_secondary")?.clone();
        *at(&mut cluster, "/name")? = gateway["cluster"].clone();
        *at(&mut cluster, "/load_assignment/cluster_name")? = gateway["cluster"].clone();
        let endpoint = "/load_assignment/endpoints/0/lb_endpoints/0";
        *at(&mut cluster, &format!("{endpoint}/endpoint/hostname"))? = gateway["host"].clone();
        let place = format!("{endpoint}/metadata/filter_metadata/dana.failover/gateway");
        *at(&mut cluster, &place)? = gateway["name"].clone();
        clusters.as_array_mut().ok_or("envoy.yaml has no list of clusters")?.push(cluster);
    }
    Ok(())
}

/// The cluster of a service that speaks gRPC.
fn peer(port: u16) -> Value {
    const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    json!({
        "name": "peer",
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {OPTIONS: {
            "@type": format!("type.googleapis.com/{OPTIONS}"),
            "explicit_http_config": {"http2_protocol_options": {}},
        }},
        "load_assignment": {
            "cluster_name": "peer",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    })
}

fn at<'v>(value: &'v mut Value, path: &str) -> Outcome<&'v mut Value> {
    value.pointer_mut(path).ok_or_else(|| format!("envoy.yaml has no {path}").into())
}

fn named<'v>(list: &'v mut Value, name: &str) -> Outcome<&'v mut Value> {
    let mut items = list.as_array_mut().into_iter().flatten();
    let found = items.find(|item| item["name"] == name);
    found.ok_or_else(|| format!("envoy.yaml has no {name}").into())
}
