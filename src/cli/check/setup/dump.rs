//! `config_dump`: what a running Envoy was given, from its admin interface.

use super::super::view::View;

/// A kind of dump, its lists, and the way from an element to the resource.
type List = (&'static str, &'static [&'static str]);

const ACTIVE: &[&str] = &["active_state", "listener"];

const LISTS: [(&str, &[List]); 4] = [
    ("ListenersConfigDump", &[("static_listeners", &["listener"]), ("dynamic_listeners", ACTIVE)]),
    (
        "ClustersConfigDump",
        &[("static_clusters", &["cluster"]), ("dynamic_active_clusters", &["cluster"])],
    ),
    (
        "RoutesConfigDump",
        &[
            ("static_route_configs", &["route_config"]),
            ("dynamic_route_configs", &["route_config"]),
        ],
    ),
    (
        "SecretsConfigDump",
        &[("static_secrets", &["secret"]), ("dynamic_active_secrets", &["secret"])],
    ),
];

/// Whether a document is such a dump.
pub(super) fn is_one(root: &View) -> bool {
    let is_dump = |view: &View| view.typed().0.ends_with("ConfigDump");
    root.at("configs").items().iter().any(is_dump)
}

fn dump(root: &View, kind: &str) -> Option<View> {
    root.at("configs").items().into_iter().find(|view| view.typed().0 == kind)
}

/// The bootstrap; a place without one where it was not asked for.
pub(super) fn bootstrap(root: &View) -> View {
    dump(root, "BootstrapConfigDump").map_or_else(|| root.clone(), |view| view.at("bootstrap"))
}

/// Everything else that it tells.
pub(super) fn resources(root: &View) -> Vec<View> {
    let mut resources = Vec::new();
    for (kind, lists) in LISTS {
        let Some(dump) = dump(root, kind) else { continue };
        for (name, way) in lists {
            let items = dump.at(name).items();
            resources.extend(items.iter().map(|item| item.down(way)).filter(View::exists));
        }
    }
    resources
}

/// Whether the dump tells what is sent by the source at `view`.
pub(super) fn tells(root: &View, view: &View) -> bool {
    let has = |kind: &str| dump(root, kind).is_some();
    match view.path.rsplit('.').next() {
        Some("lds_config") => has("ListenersConfigDump"),
        Some("cds_config") => has("ClustersConfigDump"),
        Some("ads_config") => has("ListenersConfigDump") && has("ClustersConfigDump"),
        Some(_) | None => false,
    }
}
