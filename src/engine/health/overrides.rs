//! Overrides of operators: a gateway forced or drained, for a while.
//!
//! An override changes only where new payments go. A payment that a gateway holds still goes to that
//! gateway, and no claim changes. Each override has an end, so that nobody has to remember it.

use crate::engine::codec::Reader;
use crate::engine::gateway::GatewayId;
use crate::engine::limits;
use crate::engine::time::{Millis, Timestamp};

/// What an override does to a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverrideKind {
    /// All new payments go to it and to no other gateway, whatever its breaker and heartbeats say.
    Force = 1,
    /// No new payments go to it.
    Drain = 2,
}

impl OverrideKind {
    /// The names of all of them, behind that of none.
    pub const STATES: [&'static str; 3] = ["none", "force", "drain"];

    /// Its name in logs, metrics and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Force => "force",
            Self::Drain => "drain",
        }
    }
}

/// A gateway that is forced or drained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The gateway.
    pub gateway: GatewayId,
    /// What the override does.
    pub kind: OverrideKind,
    /// When it began.
    pub since: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// Who set it; at most [`limits::OVERRIDE_ACTOR_BYTES_MAX`].
    pub actor: String,
    /// Why; at most [`limits::OVERRIDE_REASON_BYTES_MAX`].
    pub reason: String,
}

impl Override {
    /// Whether it is over. One whose time is longer than the longest is over too.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.until || self.length().get() > limits::OVERRIDE_TTL_MS_MAX
    }

    fn length(&self) -> Millis {
        self.until.since(self.since)
    }
}

/// Why an override is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverrideError {
    /// No other gateway can take a payment now.
    NobodyLeft,
    /// This gateway is forced, so it cannot be drained.
    Forced,
    /// It is barred because of its connection, so it cannot be forced.
    Barred,
    /// Its end is in the past, or too far ahead.
    Ttl,
}

/// All overrides: at most one for each gateway, and at most one that forces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Overrides(Vec<Override>);

impl Overrides {
    /// The overrides that are not over.
    pub(super) fn standing(&self, now: Timestamp) -> impl Iterator<Item = &Override> {
        self.0.iter().filter(move |one| !one.is_over(now))
    }

    /// The gateway that is forced.
    #[must_use]
    pub(super) fn forced(&self, now: Timestamp) -> Option<GatewayId> {
        self.standing(now).find(|one| one.kind == OverrideKind::Force).map(|one| one.gateway)
    }

    /// Whether `gateway` is drained.
    #[must_use]
    pub(super) fn is_drained(&self, gateway: GatewayId, now: Timestamp) -> bool {
        self.standing(now).any(|one| one.gateway == gateway && one.kind == OverrideKind::Drain)
    }

    /// Adds one. It replaces the one of its gateway and, if it forces, the one that forced before.
    pub(in crate::engine) fn put(&mut self, new: Override) {
        let gives_way = |one: &Override| {
            one.gateway == new.gateway
                || (one.kind == OverrideKind::Force && new.kind == OverrideKind::Force)
        };
        self.0.retain(|one| !gives_way(one));
        self.0.push(new);
    }

    /// Removes the one of a gateway. Returns whether there was one.
    pub(in crate::engine) fn lift(&mut self, gateway: GatewayId) -> bool {
        let before = self.0.len();
        self.0.retain(|one| one.gateway != gateway);
        self.0.len() < before
    }

    /// Removes those that are over. Returns their gateways.
    pub(in crate::engine) fn expire(&mut self, now: Timestamp) -> Vec<GatewayId> {
        let over = self.0.iter().filter(|one| one.is_over(now)).map(|one| one.gateway).collect();
        self.0.retain(|one| !one.is_over(now));
        over
    }

    /// One that begins ahead of `now` begins now: the clock was put back.
    pub(in crate::engine) fn mend(&mut self, now: Timestamp) {
        for one in &mut self.0 {
            if one.since > now {
                (one.since, one.until) = (now, now.plus(one.length()));
            }
        }
    }

    pub(in crate::engine) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::try_from(self.0.len()).unwrap_or(u8::MAX));
        for one in &self.0 {
            bytes.extend([one.gateway.byte(), u8::from(one.kind == OverrideKind::Drain)]);
            bytes.extend(one.since.as_millis().to_le_bytes());
            bytes.extend(one.until.as_millis().to_le_bytes());
            for text in [&one.actor, &one.reason] {
                bytes.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
                bytes.extend(text.as_bytes());
            }
        }
    }

    pub(in crate::engine) fn decode(bytes: &mut Reader<'_>) -> Option<Self> {
        let mut overrides = Vec::new();
        for _ in 0..bytes.byte()? {
            let gateway = GatewayId::new(usize::from(bytes.byte()?))?;
            let kind = if bytes.byte()? == 0 { OverrideKind::Force } else { OverrideKind::Drain };
            let (since, until) = (bytes.time()?, bytes.time()?);
            let mut text = || {
                let length = usize::from(bytes.short()?);
                String::from_utf8(bytes.slice(length)?.to_vec()).ok()
            };
            let (actor, reason) = (text()?, text()?);
            overrides.push(Override { gateway, kind, since, until, actor, reason });
        }
        Some(Self(overrides))
    }
}
