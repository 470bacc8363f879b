//! What an Envoy is told to be, in the terms of payments: listeners, the HTTP proxies on them, our
//! filter in those, the clusters, and which of them reach which gateway.

mod cluster;
mod dump;
mod parts;
mod plugin;
mod proxy;
mod tls;

use std::collections::{BTreeMap, BTreeSet};

use super::document::Document;
use super::view::View;

pub(crate) use cluster::{Cluster, Kind, Socket, is_local};
pub(crate) use parts::{is_bootstrap, is_envoys};
pub(crate) use plugin::{Plugin, Role};
pub(crate) use proxy::{Listener, Proxy};
pub(crate) use tls::Tls;

/// Filters of ours in one Envoy, their gateways, and composites of one: far more than anybody has,
/// since rules compare each with each.
const FILTERS_MAX: usize = 64;
const GATEWAYS_MAX: usize = 256;
const COMPOSITES_MAX: usize = 512;
/// Clusters within a composite that are looked at.
const WITHIN_MAX: usize = 1000;

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
    /// Their numbers by name.
    names: BTreeMap<String, usize>,
    /// Our filter, wherever it stands.
    pub(crate) plugins: Vec<Plugin>,
    pub(crate) gateways: Vec<Gateway>,
    /// Numbers of the clusters by which any gateway can be reached.
    reaching: BTreeSet<usize>,
    /// How many replicas Kubernetes runs of it, wherever its manifest says so.
    pub(crate) replicas: Vec<View>,
    /// What is told by somebody else, and cannot be seen from here.
    pub(crate) unseen: Vec<(View, &'static str)>,
    /// Whether this is what a running Envoy has, with all that was sent to it.
    is_dump: bool,
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
            replicas: parts.replicas,
            is_dump: parts.is_dump,
            ..Self::default()
        };
        let secrets = tls::Secrets { known: parts.secrets, are_all: parts.is_dump };
        for view in parts.clusters {
            let cluster = Cluster::of(&view, &secrets, &mut setup.unseen);
            setup.names.entry(cluster.name.clone()).or_insert(setup.clusters.len());
            setup.clusters.push(cluster);
        }
        for view in parts.listeners {
            proxy::add_listener(&view, &parts.routes, &secrets, &mut setup);
        }
        for proxy in 0..setup.proxies.len() {
            plugin::add_plugins(proxy, &mut setup);
        }
        setup.gateways = setup.find_gateways();
        setup.reaching = setup.find_reaching();
        setup
    }

    /// What there is more of than can be checked, and how much would be.
    pub(crate) fn too_many(&self) -> Option<(usize, &'static str)> {
        let composites = self.plugins.iter().map(|plugin| plugin.config.at("composites"));
        let composites = composites.map(|list| list.items().len()).max().unwrap_or(0);
        let counts = [
            (self.plugins.len(), FILTERS_MAX, "filters"),
            (self.gateways.len(), GATEWAYS_MAX, "gateways"),
            (composites, COMPOSITES_MAX, "composites"),
        ];
        let over = counts.into_iter().find(|(count, most, _)| count > most);
        over.map(|(_, most, what)| (most, what))
    }

    /// Whether anything here is about payments: our filter, or endpoints that say which gateway they
    /// are.
    pub(crate) fn is_ours(&self) -> bool {
        !self.plugins.is_empty() || !self.gateways.is_empty()
    }

    pub(crate) fn cluster(&self, name: &str) -> Option<&Cluster> {
        self.names.get(name).and_then(|at| self.clusters.get(*at))
    }

    /// The plugins that decide about payments.
    pub(crate) fn payments(&self) -> impl Iterator<Item = &Plugin> {
        self.plugins.iter().filter(|plugin| plugin.role == Role::Payments)
    }

    /// The plugins of operators' listeners.
    pub(crate) fn admins(&self) -> impl Iterator<Item = &Plugin> {
        self.plugins.iter().filter(|plugin| plugin.role == Role::Admin)
    }

    /// The plugins that work on the store of payments.
    pub(crate) fn with_store(&self) -> impl Iterator<Item = &Plugin> {
        self.plugins.iter().filter(|plugin| plugin.role != Role::Audit)
    }

    pub(crate) fn stands_in(&self, plugin: &Plugin) -> Option<&Proxy> {
        self.proxies.get(plugin.proxy)
    }

    /// The proxies whose requests are payments, each with its plugin.
    pub(crate) fn payment_proxies(&self) -> impl Iterator<Item = (&Plugin, &Proxy)> {
        self.payments().filter_map(|plugin| Some((plugin, self.stands_in(plugin)?)))
    }

    /// Whether clusters, or listeners, may come from elsewhere.
    pub(crate) fn is_complete(&self, source: &str) -> bool {
        if self.is_dump {
            return self.unseen.iter().all(|(view, _)| !view.path.ends_with(source));
        }
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

    /// The clusters of etcd that plugins name. One that reaches a gateway is another mistake.
    pub(crate) fn etcd_clusters(&self) -> impl Iterator<Item = &Cluster> {
        let names = self.plugins.iter().map(|plugin| plugin.etcd().at("cluster"));
        let names: BTreeSet<String> = names.map(|name| name.word().to_owned()).collect();
        let clusters = names.into_iter().filter(|name| !self.reaches_gateway(name));
        clusters.filter_map(|name| self.cluster(&name))
    }

    /// The clusters that hold endpoints, within a cluster; itself, if it is no composite.
    pub(crate) fn leaves(&self, name: &str) -> Vec<usize> {
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        let mut open = vec![name.to_owned()];
        while let Some(name) = open.pop() {
            let Some(&at) = self.names.get(&name) else { continue };
            if seen.len() > WITHIN_MAX || !seen.insert(at) {
                continue;
            }
            let members = self.clusters.get(at).map(Cluster::members).unwrap_or_default();
            if members.is_empty() {
                found.push(at);
            }
            open.extend(members.iter().rev().map(|member| member.word().to_owned()));
        }
        found
    }

    /// Whether any gateway can be reached by the cluster of this name.
    pub(crate) fn reaches_gateway(&self, name: &str) -> bool {
        self.names.get(name).is_some_and(|at| self.reaching.contains(at))
    }

    /// From gateways' own clusters up to the composites that have them.
    fn find_reaching(&self) -> BTreeSet<usize> {
        let mut users: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, cluster) in self.clusters.iter().enumerate() {
            for member in cluster.members().iter().filter_map(|one| self.names.get(one.word())) {
                users.entry(*member).or_default().push(at);
            }
        }
        let leaves = self.gateways.iter().flat_map(|gateway| gateway.leaves.iter().copied());
        let (mut open, mut reaching): (Vec<usize>, _) = (leaves.collect(), BTreeSet::new());
        while let Some(at) = open.pop() {
            if reaching.insert(at) {
                open.extend(users.get(&at).into_iter().flatten());
            }
        }
        reaching
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
            if gateways.len() <= GATEWAYS_MAX && gateways.iter().all(is_new) {
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
            if gateways.len() > GATEWAYS_MAX {
                break;
            }
            let (name, cluster) = (view.word().to_owned(), cluster.name.clone());
            gateways.push(Gateway { name, cluster, view, leaves: vec![at] });
        }
        gateways
    }
}
