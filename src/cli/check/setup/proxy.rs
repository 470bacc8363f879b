//! Listeners, and the HTTP proxies behind them.

use super::super::view::View;
use super::Setup;
use super::cluster::is_local;
use super::tls::{Secrets, Tls};

/// A listener.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) view: View,
    pub(crate) addresses: Vec<View>,
}

/// An HTTP connection manager.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) view: View,
    /// Number of its listener.
    pub(crate) listener: usize,
    /// TLS of its clients.
    pub(crate) tls: Option<Tls>,
    pub(crate) filters: Vec<Filter>,
    pub(crate) routes: Routes,
}

/// Where a proxy's routes are.
#[derive(Debug)]
pub(crate) struct Routes {
    /// The route configuration; absent if it comes from elsewhere.
    pub(crate) view: View,
}

/// One of a proxy's filters.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) view: View,
    /// The name of its settings' type.
    pub(crate) kind: String,
    pub(crate) settings: View,
}

impl Listener {
    /// The first address that others can reach.
    pub(crate) fn open_address(&self) -> Option<&View> {
        self.addresses.iter().find(|address| address.exists() && !is_local(address))
    }
}

impl Routes {
    pub(crate) fn hosts(&self) -> Vec<View> {
        self.view.at("virtual_hosts").items()
    }

    /// Every route, in order, with its virtual host.
    pub(crate) fn all(&self) -> Vec<(View, View)> {
        let hosts = self.hosts().into_iter();
        hosts
            .flat_map(|host| {
                let routes = host.at("routes").items().into_iter();
                routes.map(move |route| (host.clone(), route)).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Everything that may carry settings for routes: the whole, hosts, and routes.
    pub(crate) fn levels(&self) -> Vec<View> {
        let mut levels = vec![self.view.clone()];
        levels.extend(self.hosts());
        levels.extend(self.all().into_iter().map(|(_, route)| route));
        levels
    }
}

impl Proxy {
    /// The actions of routes that send a request on, and those that a cluster header decides.
    pub(crate) fn actions(&self) -> Vec<View> {
        let routes = self.routes.all().into_iter();
        routes.map(|(_, route)| route.at("route")).filter(View::exists).collect()
    }
}

/// Takes a listener apart.
pub(super) fn add_listener(view: &View, routes: &[View], secrets: &Secrets, setup: &mut Setup) {
    let mut addresses = vec![view.at("address")];
    let further = view.at("additional_addresses").items();
    addresses.extend(further.iter().map(|one| one.at("address")));
    let listener = setup.listeners.len();
    setup.listeners.push(Listener { view: view.clone(), addresses });
    let mut chains = view.at("filter_chains").items();
    chains.push(view.at("default_filter_chain"));
    for chain in chains.into_iter().filter(View::exists) {
        for filter in chain.at("filters").items() {
            let (kind, message) = filter.at("typed_config").typed();
            match kind.as_str() {
                "HttpConnectionManager" => {
                    let tls = downstream(&chain, secrets, &mut setup.unseen);
                    let routes = find_routes(&message, routes, &mut setup.unseen);
                    let filters = filters(&message, &mut setup.unseen);
                    setup.proxies.push(Proxy { view: message, listener, tls, filters, routes });
                }
                "TcpProxy" => setup.pipes.push(message),
                _ => {}
            }
        }
    }
}

fn downstream(
    chain: &View,
    secrets: &Secrets,
    unseen: &mut Vec<(View, &'static str)>,
) -> Option<Tls> {
    let (kind, message) = chain.down(&["transport_socket", "typed_config"]).typed();
    let (kind, message) = match kind.as_str() {
        "QuicDownstreamTransport" => {
            ("DownstreamTlsContext".to_owned(), message.at("downstream_tls_context"))
        }
        _ => (kind, message),
    };
    (kind == "DownstreamTlsContext").then(|| Tls::of(&message, secrets, unseen))
}

fn find_routes(message: &View, known: &[View], unseen: &mut Vec<(View, &'static str)>) -> Routes {
    let wanted = message.at("rds");
    if !wanted.exists() {
        if message.at("scoped_routes").exists() {
            unseen.push((message.at("scoped_routes"), "routes"));
        }
        return Routes { view: message.at("route_config") };
    }
    let name = wanted.at("route_config_name");
    match known.iter().find(|routes| routes.at("name").is_same_as(&name)) {
        Some(view) => Routes { view: view.clone() },
        None => {
            unseen.push((wanted, "routes"));
            Routes { view: message.at("route_config") }
        }
    }
}

fn filters(message: &View, unseen: &mut Vec<(View, &'static str)>) -> Vec<Filter> {
    let filters = message.at("http_filters").items().into_iter();
    filters
        .map(|view| {
            if view.at("config_discovery").exists() {
                unseen.push((view.at("config_discovery"), "a filter's settings"));
            }
            let (kind, settings) = view.at("typed_config").typed();
            Filter { view, kind, settings }
        })
        .collect()
}
