//! The connection that an answer came over, against what the gateway's configuration demands.
//!
//! What Envoy tells of the peer's certificate is evidence of *which* peer answered, and not that
//! the certificate was verified: that is the cluster's business (`trusted_ca`, SAN matchers). Both
//! together make sure that a payment which ended at the wrong party is seen at once.

/// Versions of TLS, the older ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

impl TlsVersion {
    /// The version that Envoy calls so (`upstream.tls_version`); `None` for anything older.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "TLSv1.2" => Some(Self::V1_2),
            "TLSv1.3" => Some(Self::V1_3),
            _ => None,
        }
    }
}

/// What the connection to a gateway must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// TLS of this version or a newer one.
    pub min_version: TlsVersion,
    /// The gateway's certificate carries one of these names. Envoy tells the first DNS name and
    /// the first URI of a certificate.
    pub names: Vec<String>,
}

/// What Envoy tells of the connection that an answer came over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peer<'a> {
    /// The version of TLS; `None` on a connection without.
    pub version: Option<&'a str>,
    /// The first name of each kind in the peer's certificate.
    pub names: [Option<&'a str>; 2],
}

/// What was wrong with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// It had no TLS.
    Plaintext = 1,
    /// Its TLS was too old.
    Version = 2,
    /// The peer's certificate has another name.
    Name = 3,
}

impl Breach {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Plaintext, Self::Version, Self::Name];

    /// What it is called in logs, metrics and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Version => "tls_version",
            Self::Name => "certificate_name",
        }
    }

    /// The same for people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Plaintext => "it answered over a connection without TLS",
            Self::Version => "it answered over a connection with too old a TLS",
            Self::Name => "the certificate of whoever answered has another name",
        }
    }

    pub(in crate::engine) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Plaintext),
            2 => Some(Self::Version),
            3 => Some(Self::Name),
            _ => None,
        }
    }
}

impl Demand {
    /// What is wrong with a connection to `peer`, if anything.
    #[must_use]
    pub fn breach(&self, peer: &Peer<'_>) -> Option<Breach> {
        let Some(version) = peer.version else {
            return Some(Breach::Plaintext);
        };
        if TlsVersion::parse(version).is_none_or(|version| version < self.min_version) {
            return Some(Breach::Version);
        }
        // Names of hosts are compared without regard to case (RFC 5890), as Envoy's matchers do.
        let is_named = |name: &str| self.names.iter().any(|own| own.eq_ignore_ascii_case(name));
        let fits = peer.names.iter().flatten().any(|name| is_named(name));
        (!fits).then_some(Breach::Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_what_was_demanded_or_says_what_is_wrong() {
        let names = ["api.dana.id", "spiffe://dana/gateway"].map(str::to_owned).to_vec();
        let demand = |min_version| Demand { min_version, names: names.clone() };
        let [old, new] = [TlsVersion::V1_2, TlsVersion::V1_3].map(demand);
        let (dns, uri) = (Some("api.dana.id"), Some("spiffe://dana/gateway"));
        for (version, names, of_old, of_new) in [
            (Some("TLSv1.2"), [dns, None], None, Some(Breach::Version)),
            (Some("TLSv1.3"), [dns, None], None, None),
            (Some("TLSv1.3"), [None, uri], None, None),
            (Some("TLSv1.3"), [Some("API.dana.ID"), Some("spiffe://x")], None, None),
            (Some("TLSv1.3"), [Some("evil.example"), None], Some(Breach::Name), Some(Breach::Name)),
            (
                Some("TLSv1.3"),
                [Some("x.api.dana.id"), None],
                Some(Breach::Name),
                Some(Breach::Name),
            ),
            (Some("TLSv1.3"), [None, None], Some(Breach::Name), Some(Breach::Name)),
            (Some("TLSv1.1"), [dns, uri], Some(Breach::Version), Some(Breach::Version)),
            (Some(""), [dns, uri], Some(Breach::Version), Some(Breach::Version)),
            (None, [dns, uri], Some(Breach::Plaintext), Some(Breach::Plaintext)),
            (None, [None, None], Some(Breach::Plaintext), Some(Breach::Plaintext)),
        ] {
            let peer = Peer { version, names };
            assert_eq!((old.breach(&peer), new.breach(&peer)), (of_old, of_new), "{peer:?}");
        }
    }

    #[test]
    fn a_breach_is_kept_as_a_byte() {
        for breach in [Breach::Plaintext, Breach::Version, Breach::Name] {
            assert_eq!(Breach::from_byte(breach as u8), Some(breach));
        }
        assert_eq!(Breach::from_byte(0), None);
    }
}
