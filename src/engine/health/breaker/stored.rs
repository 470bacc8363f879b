//! The stored form of a breaker.

use super::rule::Rule;
use super::silence::Silence;
use super::state::BreakerState;
use super::{Breaker, Inquiries};
use crate::engine::codec::Reader;
use crate::engine::health::fair_share::FairShare;
use crate::engine::health::window::Window;
use crate::engine::time::Timestamp;

impl Breaker {
    pub(in crate::engine) fn encode(&self, bytes: &mut Vec<u8>) {
        let (tag, a, b, at) = match self.state {
            BreakerState::Closed { run } => (0, run, 0, Timestamp::default()),
            BreakerState::Open { until } => (1, 0, 0, until),
            BreakerState::HalfOpen { out, passed, failed, since } => {
                (2, u16::from_le_bytes([out, failed]), passed, since)
            }
        };
        bytes.push(tag);
        bytes.extend(a.to_le_bytes());
        bytes.push(b);
        bytes.extend(at.as_millis().to_le_bytes());
        bytes.extend(self.generation.to_le_bytes());
        bytes.extend([self.trips, u8::from(self.inquiry_first)]);
        bytes.extend(self.since.as_millis().to_le_bytes());
        Rule::encode(self.cause, bytes);
        self.window.encode(bytes);
        bytes.extend(self.run_began.as_millis().to_le_bytes());
        self.silence.encode(bytes);
        self.fair_share.encode(bytes);
        bytes.extend(self.suspects.to_le_bytes());
        bytes.extend(self.failed_last.to_le_bytes());
        self.inquiries.window.encode(bytes);
        bytes.extend(self.inquiries.run.to_le_bytes());
    }

    pub(in crate::engine) fn decode(bytes: &mut Reader<'_>) -> Option<Self> {
        let (tag, a, b, at) = (bytes.byte()?, bytes.short()?, bytes.byte()?, bytes.time()?);
        let state = match tag {
            0 => BreakerState::Closed { run: a },
            1 => BreakerState::Open { until: at },
            2 => {
                let [out, failed] = a.to_le_bytes();
                BreakerState::HalfOpen { out, passed: b, failed, since: at }
            }
            _ => return None,
        };
        Some(Self {
            state,
            generation: bytes.word()?,
            trips: bytes.byte()?,
            inquiry_first: bytes.byte()? != 0,
            since: bytes.time()?,
            cause: Rule::decode(bytes)?,
            window: Window::decode(bytes)?,
            run_began: bytes.time()?,
            silence: Silence::decode(bytes)?,
            fair_share: FairShare::decode(bytes)?,
            suspects: bytes.word()?,
            failed_last: bytes.word()?,
            inquiries: Inquiries { window: Window::decode(bytes)?, run: bytes.short()? },
        })
    }
}
