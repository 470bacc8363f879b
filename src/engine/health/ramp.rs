//! The way back: a gateway that takes over again gets its payments step by step.
//!
//! Trials prove that a gateway answers, not that it carries the load. So its share grows by equal
//! steps over `ramp_ms`, each of them only while few of its payments fail, and the gateway that was
//! in use until then takes the rest. If that one is not usable any more, there is nothing to share.

use crate::engine::codec::Reader;
use crate::engine::gateway::GatewayId;
use crate::engine::limits::RAMP_STEPS;
use crate::engine::time::Timestamp;

/// How far the active gateway has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ramp {
    /// Who takes what the active gateway does not.
    pub(super) from: GatewayId,
    /// The step under way, from 1 to one less than [`RAMP_STEPS`].
    pub(super) step: u8,
    /// When it began.
    pub(super) since: Timestamp,
}

impl Ramp {
    pub(super) const fn begin(from: GatewayId, now: Timestamp) -> Self {
        Self { from, step: 1, since: now }
    }

    /// The share of the active gateway, in percent.
    pub(super) fn share(self) -> u32 {
        u32::from(self.step) * 100 / u32::from(RAMP_STEPS)
    }

    pub(super) fn encode(ramp: Option<Self>, bytes: &mut Vec<u8>) {
        let (from, step, since) =
            ramp.map_or((0, 0, 0), |ramp| (ramp.from.byte(), ramp.step, ramp.since.as_millis()));
        bytes.extend([from, step]);
        bytes.extend(since.to_le_bytes());
    }

    /// The outer `None` is for bytes that say nothing.
    #[expect(clippy::option_option, reason = "mostly there is no ramp")]
    pub(super) fn decode(bytes: &mut Reader<'_>) -> Option<Option<Self>> {
        let ([from, step], since) = (bytes.take()?, bytes.time()?);
        let from = GatewayId::new(usize::from(from))?;
        Some((step > 0).then_some(Self { from, step: step.min(RAMP_STEPS - 1), since }))
    }
}
