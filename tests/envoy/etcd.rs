//! The cluster of an etcd that several Envoys share (`envoy/etcd.yaml`, `envoy/etcd-tls.yaml`): a real
//! Envoy takes it as it is, beside a filter that is told of it.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::client::{CREATE, call_anew, order};
use crate::support::envoy::{
    Envoy, admin_plugin, plugin, quick, rendered, rendered_from, tls_reference, validate,
};
use crate::support::etcd::cluster::allow_calls;
use crate::support::sandbox::Sandbox;
use crate::support::{read, root, until};

const PATIENCE: Duration = Duration::from_secs(15);

/// Claims there.
fn store() -> Value {
    json!({"idempotency": {"store": {"etcd": {"cluster": "dana_etcd", "realm": "production"}}}})
}

/// Puts the cluster of this file beside the gateways', and allows both filters to call it.
fn add_cluster(config: &mut Value, name: &str) {
    allow_calls(config);
    let text = read(&root().join("envoy").join(name));
    let clusters: Vec<Value> = serde_norway::from_str(&text).unwrap();
    config["static_resources"]["clusters"].as_array_mut().unwrap().extend(clusters);
}

#[test]
fn the_cluster_fits_into_the_reference_configuration() {
    let sandbox = Sandbox::start();
    let mut config = rendered(&sandbox, &store());
    add_cluster(&mut config, "etcd.yaml");
    assert_eq!(validate(&config), (true, String::new()));
    // The filter would not take it without a realm.
    let etcd =
        &mut admin_plugin(&mut config)["configuration"]["value"]["idempotency"]["store"]["etcd"];
    etcd["realm"] = json!("Production");
    let (accepted, log) = validate(&config);
    assert!(!accepted && log.contains("idempotency.store.etcd.realm: expected a realm"), "{log}");
}

#[test]
fn the_cluster_with_tls_fits_into_the_one_for_production() {
    let dir = TempDir::new().unwrap();
    let made = Command::new(root().join("envoy/certs.sh")).arg(dir.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let place = dir.path().to_string_lossy();
    let secrets = ["client", "server", "gateway_ca", "platform_ca", "etcd_client", "etcd_ca"];
    for name in secrets {
        let text = read(&root().join(format!("envoy/sds/{name}.yaml")));
        let text = text.replace("/etc/envoy/tls", &place);
        std::fs::write(dir.path().join(format!("{name}.yaml")), text).unwrap();
    }
    let sandbox = Sandbox::start();
    let gateways = [sandbox.primary.as_str(), sandbox.secondary.as_str()];
    let mut config = rendered_from(tls_reference(), gateways, &store());
    add_cluster(&mut config, "etcd-tls.yaml");
    let text = config.to_string().replace("/etc/envoy/sds", &place);
    assert_eq!(validate(&serde_json::from_str(&text).unwrap()), (true, String::new()));
}

/// The way from one store to the other (docs/etcd.md): the store's own capabilities come with a listener
/// that is changed while payments go on. That they are taken at once is Envoy's doing, and no matter of
/// course: VMs are shared.
#[test]
fn capabilities_are_changed_with_a_listener() {
    let sandbox = Sandbox::start();
    let mut config = rendered(&sandbox, &quick());
    let list = |config: &mut Value| {
        let list = &mut plugin(config)["capability_restriction_config"]["allowed_capabilities"];
        list.as_object_mut().unwrap().clone()
    };
    let all = list(&mut config);
    let mut fewer = all.clone();
    assert!(fewer.remove("proxy_set_property").is_some());
    let mut allow = |names| {
        let restriction = &mut plugin(&mut config)["capability_restriction_config"];
        restriction["allowed_capabilities"] = Value::Object(names);
        config.clone()
    };
    let envoy = Envoy::start_updatable(&allow(fewer));
    let mut number = 0;
    let mut is_noted = || {
        number += 1;
        let paid = call_anew(&envoy.listener, CREATE, &order(&format!("PAY-{number}")));
        assert_eq!(paid.status, 200, "{paid:?}");
        let lines = until("a line for each payment", PATIENCE, || {
            Some(envoy.access_log()).filter(|lines| lines.len() == number)
        });
        lines.iter().filter(|line| line["dana"].is_string()).count() > 0
    };
    assert!(!is_noted());
    assert!(envoy.update(&allow(all)), "{}", envoy.log());
    until("the filter may note what it decided", PATIENCE, || is_noted().then_some(()));
    // What was withheld stands in Envoy's log, as it should.
    envoy.may_leak();
}
