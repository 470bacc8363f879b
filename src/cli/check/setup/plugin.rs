//! Our filter where it stands, and its own configuration.

use std::rc::Rc;

use crate::engine::{Config, ConfigError};
use serde_json::json;

use super::super::document::{Kind, Mistake, Node, Text};
use super::super::view::View;
use super::{FILTERS_MAX, Gateway, Setup};

/// Our filter.
#[derive(Debug)]
pub(crate) struct Plugin {
    /// Number of the proxy it stands in, and of it among that one's filters.
    pub(crate) proxy: usize,
    pub(crate) at: usize,
    /// What Envoy is told about it.
    pub(crate) settings: View,
    /// What it is told itself.
    pub(crate) config: View,
    pub(crate) role: Role,
    /// What it makes of that.
    pub(crate) parsed: Result<Config, Vec<ConfigError>>,
    /// Why what it is told is not even JSON.
    pub(crate) unreadable: Option<Mistake>,
}

/// Whose listener it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The merchants'.
    Payments,
    /// The operators'.
    Admin,
    /// Envoy's own, for events of the audit trail.
    Audit,
    /// The gateways', for notifications.
    Notify,
}

/// A composite as the plugin knows it.
pub(crate) struct Composite {
    pub(crate) members: Vec<String>,
    pub(crate) cluster: String,
}

/// Finds our filter among those of a proxy.
pub(super) fn add_plugins(proxy: usize, setup: &mut Setup) {
    let Some(filters) = setup.proxies.get(proxy).map(|proxy| &proxy.filters) else { return };
    let mut plugins = Vec::new();
    for (at, filter) in filters.iter().enumerate() {
        if filter.kind != "Wasm" || setup.plugins.len() + plugins.len() > FILTERS_MAX {
            continue;
        }
        let settings = filter.settings.at("config");
        let (config, unreadable) = config(&settings);
        if is_ours(&settings, &config) {
            plugins.push(Plugin::new(proxy, at, settings, config, unreadable));
        }
    }
    setup.plugins.extend(plugins);
}

/// By what it is told, or by the module's name.
fn is_ours(settings: &View, config: &View) -> bool {
    let code = settings.down(&["vm_config", "code"]);
    let places = [
        code.down(&["local", "filename"]),
        code.down(&["remote", "http_uri", "uri"]),
        settings.at("name"),
    ];
    let is_named = |view: &View| view.word().replace('-', "_").contains("dana_failover");
    config.at("gateways").exists() || places.iter().any(is_named)
}

/// A `Struct`, or JSON in a `StringValue`.
fn config(settings: &View) -> (View, Option<Mistake>) {
    let configuration = settings.at("configuration");
    let value = configuration.at("value");
    let Some(Kind::Text(text)) = value.node().map(|node| &node.kind) else {
        return (value, None);
    };
    match read(text, &value) {
        Ok(node) => (value.holding(node), None),
        Err(mistake) => (value, Some(mistake)),
    }
}

fn read(text: &Text, view: &View) -> Result<Rc<Node>, Mistake> {
    Node::of_json(text, view.place)
}

impl Plugin {
    fn new(
        proxy: usize,
        at: usize,
        settings: View,
        config: View,
        unreadable: Option<Mistake>,
    ) -> Self {
        let role = match config.down(&["admin", "role"]).word() {
            "admin" => Role::Admin,
            "audit" => Role::Audit,
            "notify" => Role::Notify,
            _ => Role::Payments,
        };
        let bytes = match config.exists() {
            true => config.json().to_string().into_bytes(),
            false => Vec::new(),
        };
        let parsed = Config::parse(&bytes);
        Self { proxy, at, settings, config, role, parsed, unreadable }
    }

    /// What it works by; where that is wrong, the defaults.
    pub(crate) fn config_or_default(&self) -> Option<Config> {
        let default = || {
            let gateway = |name: &str| json!({"name": name, "cluster": name});
            let config = json!({"gateways": [gateway("a"), gateway("b")]}).to_string();
            Config::parse(config.as_bytes()).ok()
        };
        self.parsed.as_ref().ok().cloned().or_else(default)
    }

    /// The gateways as they are named, also in a configuration with mistakes.
    pub(crate) fn gateways(&self) -> Vec<Gateway> {
        let gateways = self.config.at("gateways").items().into_iter();
        gateways
            .filter_map(|view| {
                let name = view.at("name").text()?.to_owned();
                let cluster = view.at("cluster").text()?.to_owned();
                Some(Gateway { name, cluster, view, leaves: Vec::new() })
            })
            .collect()
    }

    pub(crate) fn composites(&self) -> Vec<Composite> {
        let composites = self.config.at("composites").items().into_iter();
        composites
            .filter_map(|view| {
                let members = view.at("members").items();
                let members = members.iter().map(|member| member.word().to_owned()).collect();
                let cluster = view.at("cluster").text()?.to_owned();
                Some(Composite { members, cluster })
            })
            .collect()
    }

    /// The header by which routes choose a cluster.
    pub(crate) fn route_header(&self) -> String {
        let view = self.config.at("route_header");
        let default = || self.config_or_default().map(|config| config.route_header);
        view.text().map(str::to_owned).or_else(default).unwrap_or_default()
    }

    /// The etcd that it keeps claims in; absent where they stay in the process.
    pub(crate) fn etcd(&self) -> View {
        self.config.down(&["idempotency", "store", "etcd"])
    }

    pub(crate) fn vm_id(&self) -> View {
        self.settings.down(&["vm_config", "vm_id"])
    }
}
