//! How an Envoy reaches an etcd's members.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::envoy::{Envoy, admin_plugin, notify_plugin, plugin};
use super::super::{module, until};
use super::Etcd;

/// Waits until this many members are well in Envoy's eyes. Its workers may know a little later.
pub(crate) fn await_healthy(envoy: &Envoy, members: u64) {
    until(&format!("{members} members are well"), Duration::from_secs(10), || {
        (envoy.stat("cluster.dana_etcd.membership_healthy") == members).then_some(())
    });
}

/// What the filter needs to call etcd, beside what the reference allows.
pub(crate) const CAPABILITIES: [&str; 4] =
    ["proxy_grpc_call", "proxy_on_grpc_receive", "proxy_on_grpc_close", "proxy_continue_stream"];

/// The same in the operators' listener.
pub(crate) const CAPABILITIES_OF_OPERATORS: [&str; 4] = [
    "proxy_grpc_call",
    "proxy_on_grpc_receive",
    "proxy_on_grpc_close",
    "proxy_set_effective_context",
];

/// The same in the listener for notifications.
pub(crate) const CAPABILITIES_OF_NOTIFICATIONS: [&str; 6] = [
    "proxy_grpc_call",
    "proxy_on_grpc_receive",
    "proxy_on_grpc_close",
    "proxy_set_effective_context",
    "proxy_continue_stream",
    "proxy_record_metric",
];

/// The payments' module that can keep claims in an etcd.
pub(crate) const ETCD_MODULE: &str = "dana_failover_etcd.wasm";

/// Allows both filters of a configuration to call an etcd, which the payments' one has a module for.
pub(crate) fn allow_calls(config: &mut Value) {
    plugin(config)["vm_config"]["code"]["local"]["filename"] = json!(module(ETCD_MODULE));
    let mut allow = |plugin: fn(&mut Value) -> &mut Value, names: &[&str]| {
        let restriction = &mut plugin(config)["capability_restriction_config"];
        for name in names {
            restriction["allowed_capabilities"][name] = json!({});
        }
    };
    allow(plugin, &CAPABILITIES);
    allow(admin_plugin, &CAPABILITIES_OF_OPERATORS);
}

impl Etcd {
    /// Has the claims of a configuration stand in it, in the realm `test`.
    pub(crate) fn keep_claims_of(&self, config: &mut Value) {
        config["static_resources"]["clusters"].as_array_mut().unwrap().push(self.cluster());
        allow_calls(config);
        for plugin in [plugin, admin_plugin] {
            let store = json!({"cluster": "dana_etcd", "realm": "test", "clock_skew_ms": 500});
            let plugin = &mut plugin(config)["configuration"]["value"];
            plugin["idempotency"]["store"] = json!({ "etcd": store });
        }
    }

    /// The same of the listener for notifications, which has no other module for it.
    pub(crate) fn keep_notifications_of(&self, config: &mut Value) {
        let store = plugin(config)["configuration"]["value"]["idempotency"]["store"].clone();
        let plugin = notify_plugin(config);
        for name in CAPABILITIES_OF_NOTIFICATIONS {
            plugin["capability_restriction_config"]["allowed_capabilities"][name] = json!({});
        }
        plugin["configuration"]["value"]["idempotency"]["store"] = store;
    }

    /// The Envoy cluster `dana_etcd`; where clients need a certificate, without one.
    pub(crate) fn cluster(&self) -> Value {
        self.cluster_of(None)
    }

    /// The same, with the certificate of this user.
    pub(crate) fn cluster_as(&self, user: &str) -> Value {
        self.cluster_of(Some(user))
    }

    fn cluster_of(&self, user: Option<&str>) -> Value {
        let endpoints = self.members.iter().map(|member| {
            let (address, port) = member.address.rsplit_once(':').unwrap();
            let port: u16 = port.parse().unwrap();
            let socket = json!({"address": address, "port_value": port});
            json!({"endpoint": {"address": {"socket_address": socket}}})
        });
        let endpoints: Vec<Value> = endpoints.collect();
        let mut cluster = json!({
            "name": "dana_etcd",
            "type": "STATIC",
            // Whoever does not answer has calls open, and gets no more of them.
            "lb_policy": "LEAST_REQUEST",
            "least_request_lb_config": {"choice_count": 8},
            "connect_timeout": "0.25s",
            "load_assignment": {
                "cluster_name": "dana_etcd",
                "endpoints": [{"lb_endpoints": endpoints}],
            },
            "common_lb_config": {
                // With no member that is well, a call is refused at once instead of sent to any.
                "healthy_panic_threshold": {"value": 0},
                // Workers know at once who is not well, and not a second later.
                "update_merge_window": "0s",
            },
            "health_checks": [{
                "interval": "0.2s",
                // A cluster without calls is not looked at for a minute otherwise.
                "no_traffic_interval": "0.2s",
                "timeout": "0.1s",
                "unhealthy_threshold": 1,
                "healthy_threshold": 1,
                "http_health_check": {
                    // A member is well without a leader, and without space: it tells that itself.
                    "path": "/health?serializable=true&exclude=NOSPACE",
                    "codec_client_type": "HTTP1",
                },
            }],
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}},
                },
            },
        });
        if let Some(tls) = &self.tls {
            cluster["transport_socket"] = tls.transport_socket(user);
            cluster["health_checks"][0]["tls_options"] = json!({"alpn_protocols": ["http/1.1"]});
        }
        cluster
    }
}
