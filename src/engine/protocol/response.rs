//! An answer, or its absence, as far as it can be evidence: who made it, Envoy's response flags,
//! status and body.

use crate::engine::health::Heard;
use crate::engine::time::Millis;

/// Envoy's response flags, as its access log documents them: a bit mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub(super) u64);

impl Flags {
    pub(super) const NO_HEALTHY_UPSTREAM: u64 = 0x2;
    pub(super) const UPSTREAM_REQUEST_TIMEOUT: u64 = 0x4;
    pub(super) const UPSTREAM_CONNECTION_FAILURE: u64 = 0x20;
    pub(super) const UPSTREAM_OVERFLOW: u64 = 0x80;
    pub(super) const RATE_LIMITED: u64 = 0x800;
    pub(super) const DOWNSTREAM_CONNECTION_TERMINATION: u64 = 0x4000;
    pub(super) const UPSTREAM_RETRY_LIMIT_EXCEEDED: u64 = 0x8000;
    pub(super) const NO_CLUSTER_FOUND: u64 = 0x0100_0000;
    /// The client has left.
    pub const CLIENT_GONE: Self = Self(Self::DOWNSTREAM_CONNECTION_TERMINATION);

    /// The flags of a mask as Envoy's `response.flags` attribute gives it.
    #[must_use]
    pub const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// Whether the route's timeout ended the request, also after a failed connection and another try.
    pub(super) const fn timed_out(self) -> bool {
        self.is(Self::UPSTREAM_REQUEST_TIMEOUT)
            || self.is(Self::UPSTREAM_REQUEST_TIMEOUT | Self::UPSTREAM_CONNECTION_FAILURE)
    }

    /// Whether exactly `flag` is set. The flag for used-up retries is ignored.
    pub(super) const fn is(self, flag: u64) -> bool {
        self.0 & !Self::UPSTREAM_RETRY_LIMIT_EXCEEDED == flag
    }
}

/// Who made the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The gateway, or a proxy in front of it. Envoy relays it.
    Upstream,
    /// Envoy itself, because the gateway gave none. Or nobody, if there was no answer at all.
    Envoy {
        /// Envoy's reason.
        flags: Flags,
        /// Whether the request was given to an upstream connection (`upstream.local_address` is
        /// set).
        attached: bool,
    },
    /// The filter itself, because the request could not be forwarded.
    NeverLeft,
}

impl Origin {
    /// Whether the gateway answered a request that ended `waited` after it was sent.
    #[must_use]
    pub const fn heard(self, waited: Millis) -> Heard {
        match self {
            Self::Upstream => Heard::Answer,
            Self::Envoy { attached: true, .. } => Heard::Silence(waited),
            Self::Envoy { attached: false, .. } | Self::NeverLeft => Heard::Unsent,
        }
    }

    /// How long the gateway took, if it had the request.
    #[must_use]
    pub fn took(self, waited: Millis) -> Option<Millis> {
        match self.heard(waited) {
            Heard::Answer | Heard::Silence(_) => Some(waited),
            Heard::Unsent => None,
        }
    }
}

/// The body of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// The whole body as it came. It is not decompressed.
    Complete(&'a [u8]),
    /// The body was cut off, or is longer than the filter reads.
    Unreadable,
}

/// An answer, or its absence, as far as it can be evidence.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// Who made the answer.
    pub origin: Origin,
    /// The HTTP status, or 0 if there was no answer.
    pub status: u16,
    /// The body.
    pub body: Body<'a>,
}
