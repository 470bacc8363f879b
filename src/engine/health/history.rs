//! The latest switches and refusals, for operators.
//!
//! They are in the shared health, so that every worker adds to them and the operators' listener can
//! show them. No decision depends on them, and each list has a bound.

use super::cause::Cause;
use crate::engine::codec::Reader;
use crate::engine::gateway::GatewayId;
use crate::engine::limits;
use crate::engine::time::{Millis, Timestamp};

/// The latest switches and refusals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The oldest first; at most [`limits::SWITCHES_KEPT`].
    switches: Vec<Switched>,
    /// The last run of refusals for each [`Why`].
    refused: [RefusalRun; Why::ALL.len()],
}

/// New payments went to another gateway first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switched {
    /// When it happened.
    pub at: Timestamp,
    /// The gateway before.
    pub from: GatewayId,
    /// The gateway from then on.
    pub to: GatewayId,
    /// Why it happened.
    pub cause: Cause,
}

/// Why requests that would have moved money were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// No gateway was usable.
    NoGateway,
    /// The only gateway that may get the request was not usable.
    PinnedGatewayDown,
    /// No connection could be made.
    NeverSent,
    /// The claim store had no room for them.
    StoreFull,
}

/// A run of refusals for one reason: no two of them are [`limits::REFUSALS_APART_MS`] apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefusalRun {
    /// When the first one was counted: up to a tick after it happened.
    pub since: Timestamp,
    /// When the last one was counted: up to a tick after it happened.
    pub last: Timestamp,
    /// How many there were.
    pub requests: u64,
}

impl Why {
    /// All reasons.
    pub const ALL: [Self; 4] =
        [Self::NoGateway, Self::PinnedGatewayDown, Self::NeverSent, Self::StoreFull];

    /// Its name in answers, metrics and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoGateway => "no_gateway",
            Self::PinnedGatewayDown => "pinned_gateway_down",
            Self::NeverSent => "never_sent",
            Self::StoreFull => "claim_store_full",
        }
    }

    /// The reason with this name, which is the `reason` of an answer.
    #[must_use]
    pub fn named(reason: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.name() == reason)
    }

    /// The same for people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::NoGateway => "no gateway was usable",
            Self::PinnedGatewayDown => "the gateway that holds the payment was not usable",
            Self::NeverSent => "no connection could be made",
            Self::StoreFull => "the claim store has no room",
        }
    }
}

impl RefusalRun {
    /// Whether another refusal at `now` belongs to this run. A clock that stepped back ends a run.
    #[must_use]
    pub fn is_recent(&self, now: Timestamp) -> bool {
        let is_past = self.last <= now.plus(Millis::new(limits::REFUSALS_APART_MS));
        self.requests > 0 && is_past && now.since(self.last).get() <= limits::REFUSALS_APART_MS
    }
}

impl History {
    /// Adds a switch, and drops the oldest one if there are too many.
    pub fn switched(&mut self, switched: Switched) {
        if self.switches.len() >= limits::SWITCHES_KEPT {
            self.switches.remove(0);
        }
        self.switches.push(switched);
    }

    /// The switches, the oldest first.
    #[must_use]
    pub fn switches(&self) -> &[Switched] {
        &self.switches
    }

    /// Takes in how many requests a worker has refused since its last report. Returns whether a run
    /// begins.
    pub fn refused(&mut self, why: Why, requests: u32, now: Timestamp) -> bool {
        let Some(run) = self.refused.get_mut(why as usize).filter(|_| requests > 0) else {
            return false;
        };
        let begins = !run.is_recent(now);
        if begins {
            *run = RefusalRun { since: now, ..RefusalRun::default() };
        }
        run.last = now;
        run.requests = run.requests.saturating_add(requests.into());
        begins
    }

    /// The last run of refusals for each reason that there was.
    pub fn refusals(&self) -> impl Iterator<Item = (Why, RefusalRun)> {
        let runs = Why::ALL.into_iter().zip(self.refused);
        runs.filter(|(_, run)| run.requests > 0)
    }

    pub(in crate::engine) fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::try_from(self.switches.len()).unwrap_or(u8::MAX));
        for one in &self.switches {
            bytes.extend(one.at.as_millis().to_le_bytes());
            bytes.extend([one.from.byte(), one.to.byte(), one.cause as u8]);
        }
        for run in &self.refused {
            for number in [run.since.as_millis(), run.last.as_millis(), run.requests] {
                bytes.extend(number.to_le_bytes());
            }
        }
    }

    pub(in crate::engine) fn decode(bytes: &mut Reader<'_>) -> Option<Self> {
        let kept = usize::from(bytes.byte()?);
        if kept > limits::SWITCHES_KEPT {
            return None;
        }
        let switches = (0..kept).map(|_| {
            let at = bytes.time()?;
            let [from, to, cause] = bytes.take()?;
            let gateway = |byte: u8| GatewayId::new(usize::from(byte));
            let cause = Cause::ALL.into_iter().find(|one| *one as u8 == cause)?;
            Some(Switched { at, from: gateway(from)?, to: gateway(to)?, cause })
        });
        let switches = switches.collect::<Option<Vec<_>>>()?;
        let mut refused = [RefusalRun::default(); Why::ALL.len()];
        for run in &mut refused {
            *run =
                RefusalRun { since: bytes.time()?, last: bytes.time()?, requests: bytes.long()? };
        }
        Some(Self { switches, refused })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::protocol::{LocalReply, NotExecuted, Protocol, ReplyContext};
    use crate::engine::time::Millis;

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000 + millis)
    }

    fn gateway(index: usize) -> GatewayId {
        GatewayId::new(index).unwrap()
    }

    #[test]
    fn the_last_switches_are_kept_and_no_more() {
        let mut history = History::default();
        for number in 0..100 {
            let (from, to) = (gateway(0), gateway(1));
            let cause = Cause::ALL[number % Cause::ALL.len()];
            history.switched(Switched { at: at(number as u64), from, to, cause });
        }
        assert_eq!(history.switches().len(), limits::SWITCHES_KEPT);
        assert_eq!(history.switches().last().unwrap().at, at(99));
        let mut bytes = Vec::new();
        history.encode(&mut bytes);
        assert!(bytes.len() < 300, "{} bytes are read for each payment", bytes.len());
        assert_eq!(History::decode(&mut Reader(&bytes)), Some(history));
        bytes[0] = 200;
        assert_eq!(History::decode(&mut Reader(&bytes)), None);
    }

    #[test]
    fn a_run_of_refusals_ends_with_a_pause() {
        let mut history = History::default();
        assert!(!history.refused(Why::StoreFull, 0, at(0)));
        assert_eq!(history.refusals().count(), 0);
        assert!(history.refused(Why::StoreFull, 3, at(1000)));
        assert!(!history.refused(Why::StoreFull, 4, at(31_000)));
        assert!(history.refused(Why::NoGateway, 1, at(31_000)));
        let run = RefusalRun { since: at(1000), last: at(31_000), requests: 7 };
        assert!(history.refusals().any(|one| one == (Why::StoreFull, run)));
        assert!(run.is_recent(at(91_000)) && !run.is_recent(at(91_001)));
        assert!(history.refused(Why::StoreFull, 1, at(91_001)), "another one begins");
        // The clock was ahead, and is put right.
        assert!(history.refused(Why::NeverSent, 1, at(9_000_000)));
        assert!(history.refused(Why::NeverSent, 1, at(0)));
        let mut bytes = Vec::new();
        history.encode(&mut bytes);
        assert_eq!(History::decode(&mut Reader(&bytes)), Some(history));
    }

    #[test]
    fn every_answer_that_nothing_was_executed_is_counted() {
        let whys = [
            NotExecuted::NoGateway,
            NotExecuted::PinnedGatewayDown,
            NotExecuted::NeverSent,
            NotExecuted::StoreFull,
        ];
        for (why, counted) in whys.into_iter().zip(Why::ALL) {
            let saying = LocalReply::NotExecuted { why, retry_after: Millis::new(1) };
            let reply = saying.reply(Protocol::DanaSnap, &ReplyContext::default());
            assert_eq!(Why::named(reply.reason), Some(counted), "{}", reply.reason);
        }
        assert_eq!(Why::named("unknown"), None);
    }
}
