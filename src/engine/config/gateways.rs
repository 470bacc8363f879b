//! The gateways of a configuration, and the composite clusters that try several of them.

use super::delays::Floor;
use super::health::read_probe;
use super::names::{CLUSTER, HOST, NAME, is_cluster, is_host, is_name};
use super::reader::{Errors, Fields, Node};
use super::rights::{read_channel, read_operations};
use super::values::{CompositeConfig, Config, GatewayConfig};
use crate::engine::health::ProbeSpec;
use crate::engine::limits;

/// Two or more gateways, in order of preference.
pub(super) fn read_gateways(
    fields: &Fields<'_>,
    floor: Floor,
    probe: &ProbeSpec,
    errors: &Errors,
) -> Vec<GatewayConfig> {
    let expected = "a list of two or more gateways in order of preference";
    let items = fields.demand("gateways", expected).map_or_else(Vec::new, |node| {
        let items = node.items();
        if !(2..=limits::GATEWAY_NAMES_MAX).contains(&items.len()) {
            errors.add(&node.path, "2 to 16 gateways", items.len().to_string());
        }
        items
    });
    let gateways: Vec<GatewayConfig> =
        items.iter().filter_map(|node| read_gateway(node, floor, probe)).collect();
    for (at, gateway) in gateways.iter().enumerate() {
        let earlier = gateways.iter().take(at);
        if earlier.clone().any(|other| other.name == gateway.name) {
            errors.add(&format!("gateways[{at}].name"), "a name of its own", &gateway.name);
        }
        if earlier.clone().any(|other| other.cluster == gateway.cluster) {
            errors.add(
                &format!("gateways[{at}].cluster"),
                "a cluster of its own",
                &gateway.cluster,
            );
        }
    }
    gateways
}

fn read_gateway(node: &Node<'_>, floor: Floor, probe: &ProbeSpec) -> Option<GatewayConfig> {
    let fields = node.fields();
    let name = fields.demand("name", NAME).and_then(|node| node.text(NAME, is_name));
    let cluster = fields.demand("cluster", CLUSTER).and_then(|node| node.text(CLUSTER, is_cluster));
    let probe = read_probe(&fields.object("heartbeat"), floor, probe);
    let (operations, channel) = (read_operations(&fields), read_channel(&fields));
    let host = fields.get("host").and_then(|node| node.text(HOST, is_host));
    Some(GatewayConfig { name: name?, cluster: cluster?, host, probe, operations, channel })
}

pub(super) fn read_composites(fields: &Fields<'_>) -> Vec<CompositeConfig> {
    let read_one = |node: &Node<'_>| {
        let fields = node.fields();
        let members = fields.demand("members", "a list of gateway names");
        let cluster =
            fields.demand("cluster", CLUSTER).and_then(|node| node.text(CLUSTER, is_cluster));
        let members = members?.items().iter().filter_map(|node| node.text(NAME, is_name)).collect();
        Some(CompositeConfig { members, cluster: cluster? })
    };
    fields
        .get("composites")
        .map_or_else(Vec::new, |node| node.items().iter().filter_map(read_one).collect())
}

/// What no single composite shows.
pub(super) fn check_composites(config: &Config, errors: &Errors) {
    for (at, composite) in config.composites.iter().enumerate() {
        let path = format!("composites[{at}].members");
        if composite.members.len() < 2 {
            errors.add(&path, "two or more gateway names", composite.members.len().to_string());
        }
        for (place, member) in composite.members.iter().enumerate() {
            if !config.gateways.iter().any(|gateway| &gateway.name == member) {
                errors.add(&format!("{path}[{place}]"), "the name of one of gateways", member);
            }
            if composite.members.iter().take(place).any(|other| other == member) {
                errors.add(&format!("{path}[{place}]"), "each gateway once", member);
            }
        }
        if config.gateways.iter().any(|gateway| gateway.cluster == composite.cluster) {
            let expected = "another cluster than any gateway's own";
            errors.add(&format!("composites[{at}].cluster"), expected, &composite.cluster);
        }
    }
}
