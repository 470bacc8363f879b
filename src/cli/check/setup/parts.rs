//! What files hold: a bootstrap, resources that would come to Envoy by themselves, or what a running
//! Envoy says it has (`config_dump` of its admin interface).

use std::rc::Rc;

use super::super::document::Document;
use super::super::view::View;
use super::dump;

/// Everything that is told about one Envoy, by kind.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) roots: Vec<View>,
    pub(super) second: Vec<View>,
    pub(super) bootstrap: View,
    pub(super) listeners: Vec<View>,
    pub(super) clusters: Vec<View>,
    pub(super) routes: Vec<View>,
    pub(super) secrets: Vec<View>,
    pub(super) unseen: Vec<(View, &'static str)>,
    pub(super) replicas: Vec<View>,
    /// Whether this is what a running Envoy has, with all that was sent to it.
    pub(super) is_dump: bool,
}

/// Members by which a bootstrap is known.
const BOOTSTRAP: [&str; 6] = [
    "static_resources",
    "dynamic_resources",
    "admin",
    "node",
    "layered_runtime",
    "bootstrap_extensions",
];

/// Whether a document is a whole bootstrap.
pub(crate) fn is_bootstrap(root: &View) -> bool {
    dump::is_one(root) || BOOTSTRAP.iter().any(|name| root.at(name).exists())
}

/// Whether there is anything to check in a document.
pub(crate) fn is_envoys(root: &View) -> bool {
    is_bootstrap(root) || resources(root).iter().any(|view| kind(view).is_some())
}

impl Parts {
    pub(super) fn of(documents: &[&Document]) -> Self {
        let mut parts = Self::default();
        for document in documents {
            let root = View::of(document);
            for (path, workload) in &document.workloads {
                let view = View::bare(workload.place, path.clone()).holding(Rc::clone(workload));
                parts.replicas.push(view.down(&["spec", "replicas"]));
            }
            if let Some(place) = document.second {
                parts.second.push(View::bare(place, String::new()));
            }
            if dump::is_one(&root) {
                parts.add_dump(&root);
            } else if is_bootstrap(&root) {
                parts.add_bootstrap(&root);
            } else {
                resources(&root).into_iter().for_each(|view| parts.add_resource(view));
            }
            parts.roots.push(root);
        }
        parts
    }

    /// What was sent to it stands beside its bootstrap, and takes the place of that.
    fn add_dump(&mut self, root: &View) {
        self.is_dump = true;
        self.add_bootstrap(&dump::bootstrap(root));
        self.unseen.retain(|(view, _)| !dump::tells(root, view));
        dump::resources(root).into_iter().for_each(|view| self.add_resource(view));
    }

    fn add_bootstrap(&mut self, root: &View) {
        let fixed = root.at("static_resources");
        self.listeners.extend(fixed.at("listeners").items());
        self.clusters.extend(fixed.at("clusters").items());
        self.secrets.extend(fixed.at("secrets").items());
        for (source, what) in [
            ("lds_config", "listeners"),
            ("cds_config", "clusters"),
            ("ads_config", "what the management server sends"),
        ] {
            let view = root.down(&["dynamic_resources", source]);
            if view.exists() {
                self.unseen.push((view, what));
            }
        }
        self.bootstrap = root.clone();
    }

    /// A resource takes the place of one of its name.
    fn add_resource(&mut self, view: View) {
        let list = match kind(&view) {
            Some(Resource::Listener) => &mut self.listeners,
            Some(Resource::Cluster) => &mut self.clusters,
            Some(Resource::Routes) => &mut self.routes,
            Some(Resource::Secret) => &mut self.secrets,
            None => return,
        };
        let name = view.at("name");
        let is_named = |other: &&mut View| name.exists() && other.at("name").is_same_as(&name);
        match list.iter_mut().find(is_named) {
            Some(other) => *other = view,
            None => list.push(view),
        }
    }
}

enum Resource {
    Listener,
    Cluster,
    Routes,
    Secret,
}

/// A list, the `resources` of an xDS file, or one resource alone.
fn resources(root: &View) -> Vec<View> {
    if root.is_list() {
        return root.items();
    }
    match root.at("resources") {
        list if list.is_list() => list.items(),
        _ => vec![root.clone()],
    }
}

/// By its type, or by what it has.
fn kind(view: &View) -> Option<Resource> {
    let has = |name: &str| view.at(name).exists();
    match view.typed().0.as_str() {
        "Listener" => Some(Resource::Listener),
        "Cluster" => Some(Resource::Cluster),
        "RouteConfiguration" => Some(Resource::Routes),
        "Secret" => Some(Resource::Secret),
        "" if has("filter_chains") || has("default_filter_chain") => Some(Resource::Listener),
        "" if has("load_assignment") || has("cluster_type") || has("lb_policy") => {
            Some(Resource::Cluster)
        }
        "" if has("virtual_hosts") => Some(Resource::Routes),
        "" if has("validation_context") || has("tls_certificate") => Some(Resource::Secret),
        _ => None,
    }
}
