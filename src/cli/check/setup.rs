//! What an Envoy is told to be, in the terms of payments: listeners, the HTTP proxies on them, our
//! filter in those, the clusters, and which of them reach which gateway.

mod cluster;
mod parts;
mod plugin;
mod proxy;
mod tls;

use super::document::Document;
use super::view::View;

pub(crate) use cluster::{Cluster, Kind, Socket, is_local};
pub(crate) use parts::{is_bootstrap, is_envoys};
pub(crate) use plugin::{Plugin, Role};
pub(crate) use proxy::{Listener, Proxy};
pub(crate) use tls::Tls;

/// One Envoy.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    /// The files it is made of.
    pub(crate) roots: Vec<View>,
    /// Where second documents begin, which are passed over.
    pub(crate) second: Vec<View>,
    /// Nothing, if there are only parts.
    pub(crate) bootstrap: View,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) proxies: Vec<Proxy>,
    /// TCP proxies, by what they carry to which cluster.
    pub(crate) pipes: Vec<View>,
    pub(crate) clusters: Vec<Cluster>,
    /// Our filter, wherever it stands.
    pub(crate) plugins: Vec<Plugin>,
    pub(crate) gateways: Vec<Gateway>,
    /// What is told by somebody else, and cannot be seen from here.
    pub(crate) unseen: Vec<(View, &'static str)>,
}

/// A gateway, and the clusters that reach it and nothing else.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) name: String,
    /// The cluster that the plugin names for it.
    pub(crate) cluster: String,
    /// Where the plugin does.
    pub(crate) view: View,
    /// Numbers of the clusters with its endpoints: one, unless its own cluster is a composite.
    pub(crate) leaves: Vec<usize>,
}

impl Setup {
    /// Everything that `documents` tell about one Envoy.
    pub(crate) fn of(documents: &[&Document]) -> Self {
        let parts = parts::Parts::of(documents);
        let mut setup = Self {
            roots: parts.roots,
            second: parts.second,
            bootstrap: parts.bootstrap,
            unseen: parts.unseen,
            ..Self::default()
        };
        let secrets = tls::Secrets(parts.secrets);
        for view in parts.clusters {
            setup.clusters.push(Cluster::of(&view, &secrets, &mut setup.unseen));
        }
        for view in parts.listeners {
            proxy::add_listener(&view, &parts.routes, &secrets, &mut setup);
        }
        for proxy in 0..setup.proxies.len() {
            plugin::add_plugins(proxy, &mut setup);
        }
        setup.gateways = setup.find_gateways();
        setup
    }

    pub(crate) fn cluster(&self, name: &str) -> Option<&Cluster> {
        self.clusters.iter().find(|cluster| cluster.name == name)
    }

    /// The plugins that decide about payments.
    pub(crate) fn payments(&self) -> impl Iterator<Item = &Plugin> {
        self.plugins.iter().filter(|plugin| plugin.role == Role::Payments)
    }

    /// The plugins of operators' listeners.
    pub(crate) fn admins(&self) -> impl Iterator<Item = &Plugin> {
        self.plugins.iter().filter(|plugin| plugin.role == Role::Admin)
    }

    pub(crate) fn proxy_of(&self, plugin: &Plugin) -> Option<&Proxy> {
        self.proxies.get(plugin.proxy)
    }

    /// The proxies whose requests are payments, each with its plugin.
    pub(crate) fn payment_proxies(&self) -> impl Iterator<Item = (&Plugin, &Proxy)> {
        self.payments().filter_map(|plugin| Some((plugin, self.proxy_of(plugin)?)))
    }

    /// Whether clusters, or listeners, may come from elsewhere.
    pub(crate) fn is_complete(&self, source: &str) -> bool {
        self.bootstrap.exists() && !self.bootstrap.down(&["dynamic_resources", source]).exists()
    }

    /// The clusters of gateways, each with its gateway.
    pub(crate) fn gateway_clusters(&self) -> impl Iterator<Item = (&Gateway, &Cluster)> {
        self.gateways.iter().flat_map(move |gateway| {
            let clusters = gateway.leaves.iter().filter_map(|leaf| self.clusters.get(*leaf));
            clusters.map(move |cluster| (gateway, cluster))
        })
    }

    /// Pairs of clusters that should be alike: that of the first gateway, and each later one's.
    pub(crate) fn gateway_pairs(&self) -> Vec<(&Cluster, &Cluster)> {
        let mut clusters = self.gateway_clusters().map(|(_, cluster)| cluster);
        let Some(first) = clusters.next() else { return Vec::new() };
        clusters.map(|other| (first, other)).collect()
    }

    /// The clusters that hold endpoints, within a cluster; itself, if it is no composite.
    pub(crate) fn leaves(&self, name: &str) -> Vec<usize> {
        let (mut found, mut seen, mut open) = (Vec::new(), Vec::new(), vec![name.to_owned()]);
        while let Some(name) = open.pop() {
            let Some(at) = self.clusters.iter().position(|cluster| cluster.name == name) else {
                continue;
            };
            if seen.contains(&at) {
                continue;
            }
            seen.push(at);
            match self.clusters.get(at).map(|cluster| &cluster.kind) {
                Some(Kind::Composite(members) | Kind::Aggregate(members)) => {
                    open.extend(members.iter().rev().map(|member| member.word().to_owned()));
                }
                Some(_) | None => found.push(at),
            }
        }
        found
    }

    /// The gateway that a cluster with endpoints belongs to.
    pub(crate) fn gateway_of(&self, leaf: usize) -> Option<&Gateway> {
        self.gateways.iter().find(|gateway| gateway.leaves.contains(&leaf))
    }

    /// Those that plugins name; without a plugin, those that endpoints name.
    fn find_gateways(&self) -> Vec<Gateway> {
        let mut gateways: Vec<Gateway> = Vec::new();
        for named in self.plugins.iter().flat_map(|plugin| plugin.gateways()) {
            let is_new =
                |other: &Gateway| (&other.name, &other.cluster) != (&named.name, &named.cluster);
            if gateways.iter().all(is_new) {
                let leaves = self.leaves(&named.cluster);
                gateways.push(Gateway { leaves, ..named });
            }
        }
        if !self.plugins.is_empty() {
            return gateways;
        }
        for (at, cluster) in self.clusters.iter().enumerate() {
            let names = cluster.endpoints.iter().map(|endpoint| endpoint.gateway.clone());
            let Some(view) = names.into_iter().find(View::exists) else { continue };
            let (name, cluster) = (view.word().to_owned(), cluster.name.clone());
            gateways.push(Gateway { name, cluster, view, leaves: vec![at] });
        }
        gateways
    }
}
