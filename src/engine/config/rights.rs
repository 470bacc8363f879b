//! Rights: which partner may call which operation, which gateway may get it, and what the connection
//! to a gateway must be like. A later gateway never has more rights, nor a weaker connection, than
//! the first one.

use std::collections::BTreeMap;

use super::reader::{Errors, Fields, Node};
use super::values::{Config, GatewayConfig};
use crate::engine::health::{Demand, TlsVersion};
use crate::engine::limits;

/// Names in certificates are the names of the members, so they are free text.
pub(super) fn read_peers(scope: &Fields<'_>) -> BTreeMap<String, Vec<String>> {
    let expected = "a partner id of at most 128 characters";
    read_lists(scope, "peers", &|node| node.text(expected, is_partner))
}

/// Partners, and the operations that each may call.
pub(super) fn read_partners(scope: &Fields<'_>) -> BTreeMap<String, Vec<String>> {
    read_lists(scope, "partners", &operation)
}

fn read_lists(
    fields: &Fields<'_>,
    name: &'static str,
    read: &dyn Fn(&Node<'_>) -> Option<String>,
) -> BTreeMap<String, Vec<String>> {
    let members = fields.get(name).map_or_else(Vec::new, |node| node.members());
    // Inserted one by one: `collect` into a map would link a sort, 13 kB of the module.
    let mut lists = BTreeMap::new();
    for (name, node) in members {
        lists.insert(name.to_owned(), node.items().iter().filter_map(read).collect());
    }
    lists
}

fn is_partner(text: &str) -> bool {
    (1..=limits::PARTNER_CHARS_MAX).contains(&text.len())
}

fn operation(node: &Node<'_>) -> Option<String> {
    node.text("the name of an operation", |text| (1..=64).contains(&text.len()))
}

pub(super) fn read_operations(gateway: &Fields<'_>) -> Option<Vec<String>> {
    let node = gateway.get("operations")?;
    Some(node.items().iter().filter_map(operation).collect())
}

pub(super) fn read_channel(gateway: &Fields<'_>) -> Option<Demand> {
    let fields = gateway.get("tls")?.fields();
    let versions = [("TLSv1.2", TlsVersion::V1_2), ("TLSv1.3", TlsVersion::V1_3)];
    let min_version = fields.choice("min_version", &versions, TlsVersion::V1_2);
    let expected = "a DNS name or URI of the gateway's certificate";
    let is_name = |text: &str| {
        (1..=255).contains(&text.len())
            && !text.contains('*')
            && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let node = fields.demand("sans", "a list of names in the gateway's certificate")?;
    let names: Vec<String> =
        node.items().iter().filter_map(|node| node.text(expected, is_name)).collect();
    if names.is_empty() {
        node.wrong("at least one name in the gateway's certificate");
    }
    Some(Demand { min_version, names })
}

/// Checks what no single field shows.
pub(super) fn check(config: &Config, errors: &Errors) {
    let is_known = |name: &String| config.operations.iter().any(|one| one.name == name.as_str());
    let check_names = |path: &str, names: &[String]| {
        for (at, name) in names.iter().enumerate().filter(|(_, name)| !is_known(name)) {
            errors.add(&format!("{path}[{at}]"), "the name of an operation", name);
        }
    };
    for (partner, names) in &config.partners {
        check_names(&format!("scope.partners[{partner}]"), names);
    }
    for (at, gateway) in config.gateways.iter().enumerate() {
        let names = gateway.operations.as_deref().unwrap_or_default();
        check_names(&format!("gateways[{at}].operations"), names);
    }
    if let Some((first, later)) = config.gateways.split_first() {
        for (at, gateway) in (1..).zip(later) {
            check_parity(first, gateway, at, errors);
        }
    }
}

/// A later gateway has at most the rights of the first one, and a connection at least as strong.
fn check_parity(first: &GatewayConfig, later: &GatewayConfig, at: usize, errors: &Errors) {
    let path = |field: &str| format!("gateways[{at}].{field}");
    if let Some(allowed) = &first.operations {
        let expected = format!("at most the operations of {}", first.name);
        match &later.operations {
            None => errors.add(&path("operations"), expected, "all of them"),
            Some(names) => {
                for name in names.iter().filter(|name| !allowed.contains(name)) {
                    errors.add(&path("operations"), expected.clone(), name);
                }
            }
        }
    }
    match (&first.channel, &later.channel) {
        (Some(_), None) => {
            let expected = format!("tls to be watched as it is at {}", first.name);
            errors.add(&path("tls"), expected, "nothing");
        }
        (Some(first), Some(later)) if later.min_version < first.min_version => {
            errors.add(&path("tls.min_version"), "TLSv1.3, as at the first gateway", "TLSv1.2");
        }
        (None | Some(_), _) => {}
    }
}
