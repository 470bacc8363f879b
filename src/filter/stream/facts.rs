//! What Envoy tells of a request and of the answer to it.

use super::wire::Wire;
use crate::engine::Millis;
use crate::engine::Peer;
use crate::engine::{Flags, Origin};
use crate::filter::host::{Host, Side, is_service_time};
use crate::filter::pairs;

/// What the head of an answer says.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) origin: Origin,
    pub(super) status: u16,
    pub(super) endpoint: Option<String>,
    /// The connection that it came over, where that is watched.
    pub(super) peer: Option<Connection>,
    pub(super) content_type: Option<String>,
    pub(super) retry_after: Option<Millis>,
    pub(super) content_encoding: Option<String>,
}

/// What Envoy tells of a connection to a gateway.
#[derive(Debug)]
pub(super) struct Connection {
    version: Option<String>,
    names: [Option<String>; 2],
}

impl Connection {
    pub(super) fn peer(&self) -> Peer<'_> {
        let names = self.names.each_ref().map(Option::as_deref);
        Peer { version: self.version.as_deref(), names }
    }
}

impl<H: Host, S> Wire<H, S> {
    /// The names in the client's certificate, where the configuration wants to know them. Envoy
    /// tells one of each kind.
    pub(super) fn peer(&self) -> Vec<String> {
        if self.worker.policy.config.peers.is_empty() {
            return Vec::new();
        }
        let host = &self.worker.host;
        if host.property("connection\0mtls") != Ok(Some(vec![1])) {
            return Vec::new();
        }
        let names =
            ["connection\0uri_san_peer_certificate", "connection\0dns_san_peer_certificate"];
        let read = |name| host.property(name).ok().flatten();
        names.into_iter().filter_map(|name| String::from_utf8(read(name)?).ok()).collect()
    }

    pub(super) fn read_head(&self) -> Head {
        let mut head = self.read_fields(Side::Response);
        if self.is_from_upstream() {
            head.origin = Origin::Upstream;
            if self.worker.policy.watches_channels() {
                head.peer = Some(self.connection());
            }
        } else {
            head.origin = self.origin_without_answer();
        }
        head.endpoint = self.endpoint();
        head
    }

    /// Whether Envoy's router relays an answer of the gateway. It says so itself, beside the
    /// answer: header fields can be removed, renamed and added, by filters, routes and Envoy's own
    /// local replies.
    pub(super) fn is_from_upstream(&self) -> bool {
        let details = self.worker.host.property("response\0code_details");
        matches!(details, Ok(Some(details)) if details == b"via_upstream")
    }

    /// What cannot be read is not there: then the connection is not what it must be.
    pub(super) fn connection(&self) -> Connection {
        let read = |name| self.worker.host.property(name).ok().flatten();
        let text = |name| read(name).and_then(|bytes| String::from_utf8(bytes).ok());
        let names = ["upstream\0dns_san_peer_certificate", "upstream\0uri_san_peer_certificate"];
        let names = names.map(text);
        Connection { version: text("upstream\0tls_version").filter(|name| !name.is_empty()), names }
    }

    pub(super) fn read_fields(&self, side: Side) -> Head {
        let bytes = self.worker.host.headers(side).unwrap_or_default();
        let mut head = Head {
            origin: Origin::Envoy { flags: Flags::default(), attached: true },
            status: 0,
            endpoint: None,
            peer: None,
            content_type: None,
            retry_after: None,
            content_encoding: None,
        };
        for (name, value) in pairs::decode(&bytes).unwrap_or_default() {
            let text = || std::str::from_utf8(value).ok();
            match name {
                b":status" => head.status = text().and_then(|t| t.parse().ok()).unwrap_or(0),
                _ if side == Side::Call && is_service_time(name) => head.origin = Origin::Upstream,
                b"content-type" => head.content_type = text().map(str::to_owned),
                b"retry-after" => head.retry_after = text().and_then(seconds),
                b"content-encoding" => head.content_encoding = text().map(str::to_owned),
                _ => {}
            }
        }
        head
    }

    /// Why Envoy answered in the gateway's place. What cannot be read counts against "never sent".
    pub(super) fn origin_without_answer(&self) -> Origin {
        let host = &self.worker.host;
        // Asked twice, and before the flags: a host that fails for a moment, or from some moment on,
        // must not make a payment one that was never sent.
        let is_unattached = || host.property("upstream\0local_address") == Ok(None);
        let attached = !(is_unattached() && is_unattached());
        let flags = match host.property("response\0flags") {
            Ok(Some(bytes)) => bytes.try_into().map_or(u64::MAX, u64::from_le_bytes),
            Ok(None) | Err(_) => u64::MAX,
        };
        Origin::Envoy { flags: Flags::new(flags), attached }
    }

    pub(super) fn endpoint(&self) -> Option<String> {
        const PATH: &str = "xds\0upstream_host_metadata\0filter_metadata\0dana.failover\0gateway";
        if !self.composite {
            return None;
        }
        let name = self.worker.host.property(PATH).ok().flatten()?;
        String::from_utf8(name).ok()
    }
}

/// A `retry-after` in seconds; a date is taken as none.
fn seconds(value: &str) -> Option<Millis> {
    let seconds: u64 = value.trim().parse().ok()?;
    Some(Millis::new(seconds.saturating_mul(1000)))
}
