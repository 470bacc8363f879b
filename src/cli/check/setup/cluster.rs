//! A cluster: how it finds its endpoints, and how it speaks to them.

use super::super::view::View;
use super::tls::{Secrets, Tls};

/// A cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) view: View,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) endpoints: Vec<Endpoint>,
    /// One for each way in which its endpoints may be reached.
    pub(crate) sockets: Vec<Socket>,
    /// Envoy's options for HTTP to it.
    pub(crate) http: View,
}

/// How a cluster finds its endpoints.
#[derive(Debug)]
pub(crate) enum Kind {
    /// By address.
    Static,
    /// By a name whose addresses are one endpoint.
    LogicalDns,
    /// By a name whose addresses are an endpoint each.
    StrictDns,
    /// The endpoints come from elsewhere.
    Eds,
    /// One cluster after the other.
    Composite(Vec<View>),
    /// One cluster after the other, by priority.
    Aggregate(Vec<View>),
    /// Something else.
    Other,
}

/// An endpoint.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// Where it is.
    pub(crate) address: View,
    /// Which gateway it says it belongs to.
    pub(crate) gateway: View,
    /// What it is called, where it is found by address.
    pub(crate) hostname: View,
}

/// How a connection is made.
#[derive(Debug)]
pub(crate) struct Socket {
    /// Where it says so; the cluster, where nothing does.
    pub(crate) view: View,
    /// `None`: in the clear.
    pub(crate) tls: Option<Tls>,
}

const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

impl Cluster {
    pub(super) fn of(
        view: &View,
        secrets: &Secrets,
        unseen: &mut Vec<(View, &'static str)>,
    ) -> Self {
        let kind = kind(view);
        if matches!(kind, Kind::Eds) {
            unseen.push((view.at("eds_cluster_config"), "endpoints"));
        }
        Self {
            view: view.clone(),
            name: view.at("name").word().to_owned(),
            kind,
            endpoints: endpoints(view),
            sockets: sockets(view, secrets, unseen),
            http: view.at("typed_extension_protocol_options").at(HTTP_OPTIONS),
        }
    }

    /// The clusters that it tries; none, if it has endpoints of its own.
    pub(crate) fn members(&self) -> &[View] {
        match &self.kind {
            Kind::Composite(members) | Kind::Aggregate(members) => members,
            Kind::Static | Kind::LogicalDns | Kind::StrictDns | Kind::Eds | Kind::Other => &[],
        }
    }

    /// How long a connection without requests is kept: where that stands, in either place.
    pub(crate) fn idle_timeout(&self) -> View {
        let now = self.http.down(&["common_http_protocol_options", "idle_timeout"]);
        let before = self.view.down(&["common_http_protocol_options", "idle_timeout"]);
        if before.exists() && !now.exists() { before } else { now }
    }

    /// The settings of a DNS cluster that is found in the newer way.
    pub(crate) fn dns(&self) -> View {
        self.view.down(&["cluster_type", "typed_config"]).typed().1
    }

    /// A number of the circuit breaker for requests of usual priority.
    pub(crate) fn breaker(&self, name: &str) -> View {
        let thresholds = self.view.down(&["circuit_breakers", "thresholds"]);
        let is_usual =
            |view: &View| view.at("priority").choice(&["DEFAULT", "HIGH"]) == Some("DEFAULT");
        let usual = thresholds.items().into_iter().find(is_usual);
        usual.unwrap_or(thresholds).at(name)
    }
}

fn kind(view: &View) -> Kind {
    let (kind, message) = view.down(&["cluster_type", "typed_config"]).typed();
    let name = view.down(&["cluster_type", "name"]);
    let members = |field: &str| {
        let members = message.at("clusters").items();
        members
            .iter()
            .map(|member| if field.is_empty() { member.clone() } else { member.at(field) })
            .collect()
    };
    match (name.word(), kind.as_str()) {
        ("envoy.clusters.composite", _) => Kind::Composite(members("name")),
        ("envoy.clusters.aggregate", _) => Kind::Aggregate(members("")),
        (_, "DnsCluster") if message.at("all_addresses_in_single_endpoint").is_true() => {
            Kind::LogicalDns
        }
        ("envoy.clusters.dns" | "envoy.cluster.strict_dns", _) | (_, "DnsCluster") => {
            Kind::StrictDns
        }
        ("envoy.cluster.logical_dns", _) => Kind::LogicalDns,
        ("", _) => {
            let kinds = ["STATIC", "STRICT_DNS", "LOGICAL_DNS", "EDS", "ORIGINAL_DST"];
            match view.at("type").choice(&kinds) {
                Some("STATIC") => Kind::Static,
                Some("STRICT_DNS") => Kind::StrictDns,
                Some("LOGICAL_DNS") => Kind::LogicalDns,
                Some("EDS") => Kind::Eds,
                Some(_) | None => Kind::Other,
            }
        }
        (_, _) => Kind::Other,
    }
}

fn endpoints(view: &View) -> Vec<Endpoint> {
    let localities = view.down(&["load_assignment", "endpoints"]).items();
    let endpoints = localities.iter().flat_map(|locality| locality.at("lb_endpoints").items());
    endpoints
        .map(|view| {
            let address = view.down(&["endpoint", "address"]);
            let gateway = view.down(&["metadata", "filter_metadata", "dana.failover", "gateway"]);
            Endpoint { address, gateway, hostname: view.down(&["endpoint", "hostname"]) }
        })
        .collect()
}

fn sockets(view: &View, secrets: &Secrets, unseen: &mut Vec<(View, &'static str)>) -> Vec<Socket> {
    let usual = view.at("transport_socket");
    let mut places = vec![usual];
    let matches = view.at("transport_socket_matches").items();
    places.extend(matches.iter().map(|one| one.at("transport_socket")));
    let mut socket = |place: View| {
        let (mut kind, mut message) = place.at("typed_config").typed();
        // One transport may wrap another.
        for _ in 0..4 {
            if kind == "UpstreamTlsContext" || !message.at("transport_socket").exists() {
                break;
            }
            (kind, message) = message.down(&["transport_socket", "typed_config"]).typed();
        }
        let tls = (kind == "UpstreamTlsContext").then(|| Tls::of(&message, secrets, unseen));
        Socket { view: place, tls }
    };
    places.drain(..).map(&mut socket).collect()
}

impl Endpoint {
    /// Host and port, if it is a network address.
    pub(crate) fn socket(&self) -> Option<(String, u64)> {
        socket(&self.address)
    }

    /// Whether what is sent there stays on this machine.
    pub(crate) fn is_local(&self) -> bool {
        is_local(&self.address)
    }
}

/// Host and port of an address, if it is one of the network.
pub(crate) fn socket(address: &View) -> Option<(String, u64)> {
    let socket = address.at("socket_address");
    let host = socket.at("address").text()?.to_ascii_lowercase();
    Some((host, socket.at("port_value").number().unwrap_or_default()))
}

/// Whether an address is one of this machine alone.
pub(crate) fn is_local(address: &View) -> bool {
    match socket(address) {
        Some((host, _)) => match host.parse::<std::net::IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => host == "localhost" || host.ends_with(".localhost"),
        },
        // A pipe, or a listener within this Envoy.
        None => address.at("pipe").exists() || address.at("envoy_internal_address").exists(),
    }
}
