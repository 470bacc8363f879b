//! The shared value: what all workers know about all gateways, and its stored form.

use super::batch::Batch;
use super::breaker::{Breaker, BreakerState, Report, Transition};
use super::event::HealthEvent;
use super::fair_share::Asked;
use super::heartbeat::Heartbeat;
use super::history::{History, Why};
use super::in_flight::InFlight;
use super::overrides::Overrides;
use super::peer_tls::Breach;
use super::ramp::Ramp;
use super::rules::HealthRules;
use crate::engine::codec::Reader;
use crate::engine::gateway::GatewayId;
use crate::engine::time::{Leaps, Timestamp};

/// The shared value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Which worker sends the heartbeats, and until when.
    lease: Lease,
    pub(super) active: Option<GatewayId>,
    pub(super) active_since: Timestamp,
    /// Set while the active gateway gets its payments back step by step.
    pub(super) ramp: Option<Ramp>,
    pub(super) overrides: Overrides,
    pub(super) in_flight: InFlight,
    /// Which partners sent payments lately, while a breaker is not closed.
    pub(super) asked: Asked,
    /// Leaps of the clock.
    pub(super) leaps: Leaps,
    pub(super) history: History,
    /// Every gateway that was ever seen, in no order.
    pub(super) members: Vec<(GatewayId, Member)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lease {
    owner: u64,
    /// When the owner began. Of two workers the later one has the newer configuration.
    born: Timestamp,
    until: Timestamp,
}

/// What is known about one gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Its health by traffic.
    pub breaker: Breaker,
    /// Its health by heartbeats.
    pub heartbeat: Heartbeat,
    /// Since when it is barred, and why. An answer came over a connection that the configuration does
    /// not allow. Nothing is sent there until an operator admits it again.
    pub barred: Option<(Timestamp, Breach)>,
}

impl Health {
    /// What is known about `gateway`.
    #[must_use]
    pub fn member(&self, gateway: GatewayId) -> Option<&Member> {
        self.members.iter().find(|(id, _)| *id == gateway).map(|(_, member)| member)
    }

    /// The same, to be changed. A gateway that was never seen is added.
    pub fn member_mut(&mut self, gateway: GatewayId) -> &mut Member {
        let at = self.members.iter().position(|(id, _)| *id == gateway).unwrap_or_else(|| {
            self.members.push((gateway, Member::default()));
            self.members.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "the line above found or made this place")]
        &mut self.members[at].1
    }

    /// The generation of the breaker of `gateway`. A result of another generation does not count.
    #[must_use]
    pub fn generation(&self, gateway: GatewayId) -> u32 {
        self.member(gateway).map_or(0, |member| member.breaker.generation())
    }

    /// Takes a permit for a trial at `gateway`.
    pub fn take_permit(
        &mut self,
        gateway: GatewayId,
        rules: &HealthRules,
        now: Timestamp,
    ) -> Option<HealthEvent> {
        let forced = self.forced(rules, now) == Some(gateway);
        let breaker = &mut self.member_mut(gateway).breaker;
        let transition = if forced {
            breaker.take_forced_permit(now, &rules.breaker)
        } else {
            breaker.take_permit(now, &rules.breaker)
        };
        transition.map(|transition| HealthEvent::Breaker(gateway, transition))
    }

    /// Takes in the result of a call. [`Health::update_active`] must follow after the last one.
    pub fn record(
        &mut self,
        gateway: GatewayId,
        report: Report,
        rules: &HealthRules,
        now: Timestamp,
    ) -> Vec<HealthEvent> {
        let Member { breaker, heartbeat, .. } = self.member_mut(gateway);
        let limits = &rules.breaker;
        let transition = breaker.record(report, now, limits);
        let transition = transition.or_else(|| breaker.check_heartbeat(heartbeat, now, limits));
        self.moved(gateway, transition, rules, now)
    }

    /// Takes in the successes that a worker has counted, if they are of the breaker's current
    /// generation.
    pub fn merge(
        &mut self,
        counted: &Batch,
        rules: &HealthRules,
        now: Timestamp,
    ) -> Vec<HealthEvent> {
        let gateway = counted.gateway;
        if self.generation(gateway) != counted.generation {
            return Vec::new();
        }
        let breaker = &mut self.member_mut(gateway).breaker;
        let transition = breaker.merge(counted, now, &rules.breaker);
        self.moved(gateway, transition, rules, now)
    }

    /// Bars a gateway. There are events only the first time, and when the reason changes.
    pub fn bar(
        &mut self,
        gateway: GatewayId,
        breach: Breach,
        rules: &HealthRules,
        now: Timestamp,
    ) -> Vec<HealthEvent> {
        let member = self.member_mut(gateway);
        if member.barred.is_some_and(|(_, before)| before == breach) {
            return Vec::new();
        }
        member.barred = Some((now, breach));
        let barred = HealthEvent::Barred(gateway, Some(breach));
        std::iter::once(barred).chain(self.update_active(rules, now)).collect()
    }

    /// An operator admits a gateway that was barred.
    pub fn admit(&mut self, gateway: GatewayId) -> Option<HealthEvent> {
        let was_barred = self.member_mut(gateway).barred.take().is_some();
        was_barred.then_some(HealthEvent::Barred(gateway, None))
    }

    /// Whether nothing may be sent to `gateway`.
    #[must_use]
    pub fn is_barred(&self, gateway: GatewayId) -> bool {
        self.member(gateway).is_some_and(|member| member.barred.is_some())
    }

    /// How many requests are in flight at `gateway`, by the last reports.
    #[must_use]
    pub fn in_flight(&self, gateway: GatewayId, now: Timestamp) -> u32 {
        self.in_flight.at(gateway, now)
    }

    /// Takes in which requests a worker has refused.
    pub fn tell_refused(&mut self, refused: &[(Why, u32)], now: Timestamp) -> Vec<HealthEvent> {
        let began =
            refused.iter().filter(|(why, requests)| self.history.refused(*why, *requests, now));
        began.map(|(why, _)| HealthEvent::Refusing(*why)).collect()
    }

    /// What happened lately.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// Opens the breakers of gateways with too many requests in flight.
    pub fn check_in_flight(&mut self, rules: &HealthRules, now: Timestamp) -> Vec<HealthEvent> {
        let mut changes = Vec::new();
        for gateway in rules.order() {
            let requests = self.in_flight(gateway, now);
            if requests < rules.breaker.in_flight_max {
                continue;
            }
            let breaker = &mut self.member_mut(gateway).breaker;
            let transition = breaker.check_in_flight(requests, now, &rules.breaker);
            changes.extend(self.moved(gateway, transition, rules, now));
        }
        changes
    }

    /// The leaps of the clock that any worker has seen.
    #[must_use]
    pub const fn leaps(&self) -> &Leaps {
        &self.leaps
    }

    /// Corrects times that lie ahead because the clock was put back: they count as written now, so that
    /// nothing waits until the clock is there again. The leading worker does it on its tick.
    pub fn mend(&mut self, rules: &HealthRules, now: Timestamp) {
        self.active_since = self.active_since.min(now);
        self.overrides.mend(now);
        for (_, member) in &mut self.members {
            member.breaker.mend(now, &rules.breaker);
        }
    }

    fn moved(
        &self,
        gateway: GatewayId,
        transition: Option<Transition>,
        rules: &HealthRules,
        now: Timestamp,
    ) -> Vec<HealthEvent> {
        let opened = transition.is_some_and(|moved| matches!(moved.to, BreakerState::Open { .. }));
        let good = self
            .member(gateway)
            .is_some_and(|member| member.heartbeat.is_target(now, &rules.heartbeat));
        let breaker = transition.map(|moved| HealthEvent::Breaker(gateway, moved));
        let disagree = (opened && good).then_some(HealthEvent::Disagree(gateway, true));
        breaker.into_iter().chain(disagree).collect()
    }

    /// Takes in the result of a heartbeat.
    pub fn on_probe(
        &mut self,
        gateway: GatewayId,
        good: bool,
        rules: &HealthRules,
        now: Timestamp,
    ) -> Vec<HealthEvent> {
        let member = self.member_mut(gateway);
        let turned = member.heartbeat.record(good, now, &rules.heartbeat);
        let well = member.breaker.goes_well(now, &rules.breaker);
        let heartbeat = turned.map(|up| HealthEvent::Heartbeat(gateway, up));
        let disagree =
            (turned == Some(false) && well).then_some(HealthEvent::Disagree(gateway, false));
        heartbeat.into_iter().chain(disagree).collect()
    }

    /// Takes or keeps the lease to send heartbeats for the worker `owner`, which began at `born`. False
    /// if another worker has it. After a configuration update the old worker still ticks beside the new
    /// one, which takes the lease at once. The old one may take it back once it has run out.
    /// A lease that is longer than any can be was taken before the clock stepped back.
    /// A kept lease is extended only when half of it is over, so that little is written.
    pub fn take_lease(
        &mut self,
        owner: u64,
        born: Timestamp,
        rules: &HealthRules,
        now: Timestamp,
    ) -> bool {
        let length = rules.heartbeat_lease();
        let left = self.lease.until.since(now);
        let free = left.get() == 0 || left > length;
        let is_mine = self.lease.owner == owner;
        if !is_mine && !free && self.lease.born >= born {
            return false;
        }
        if !is_mine || free || left.get() < length.get() / 2 {
            self.lease = Lease { owner, born, until: now.plus(length) };
        }
        true
    }

    /// All leaps of the clock up to `now`, for a reader that does not tick. A worker that ticks extends
    /// the lease when half of it is over. If none did, the time since then counts as skipped. If there
    /// is no health at all, all time counts as skipped.
    #[must_use]
    pub fn leaps_unticked(&self, rules: &HealthRules, now: Timestamp) -> Leaps {
        let half = rules.heartbeat_lease().get() / 2;
        let ticked_at = self.lease.until.as_millis().saturating_sub(half);
        self.leaps.since_tick(Timestamp::from_millis(ticked_at), now)
    }

    /// Whether the worker `owner` was the last to take the lease.
    #[must_use]
    pub const fn is_led_by(&self, owner: u64) -> bool {
        self.lease.owner == owner
    }

    const VERSION: u8 = 7;

    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![Self::VERSION];
        bytes.extend(self.lease.owner.to_le_bytes());
        bytes.extend(self.lease.born.as_millis().to_le_bytes());
        bytes.extend(self.lease.until.as_millis().to_le_bytes());
        bytes.push(self.active.map_or(u8::MAX, GatewayId::byte));
        bytes.extend(self.active_since.as_millis().to_le_bytes());
        Ramp::encode(self.ramp, &mut bytes);
        self.overrides.encode(&mut bytes);
        self.in_flight.encode(&mut bytes);
        self.asked.encode(&mut bytes);
        self.leaps.encode(&mut bytes);
        self.history.encode(&mut bytes);
        for (id, member) in &self.members {
            bytes.push(id.byte());
            member.breaker.encode(&mut bytes);
            member.heartbeat.encode(&mut bytes);
            let (at, breach) = member.barred.map_or((0, 0), |(at, b)| (at.as_millis(), b as u8));
            bytes.push(breach);
            bytes.extend(at.to_le_bytes());
        }
        bytes
    }

    /// Reads the stored form. Bytes of another version count as none: health is learnt again within
    /// seconds, and unlike a claim it protects no money.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        Self::read(bytes).unwrap_or_default()
    }

    /// Reads the stored form. `None` for bytes of another version, which the operators' listener must
    /// not replace.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let mut bytes = Reader(bytes);
        if bytes.byte()? != Self::VERSION {
            return None;
        }
        let lease = Lease { owner: bytes.long()?, born: bytes.time()?, until: bytes.time()? };
        let active = GatewayId::new(usize::from(bytes.byte()?));
        let active_since = bytes.time()?;
        let ramp = Ramp::decode(&mut bytes)?;
        let overrides = Overrides::decode(&mut bytes)?;
        let in_flight = InFlight::decode(&mut bytes)?;
        let asked = Asked::decode(&mut bytes)?;
        let leaps = Leaps::decode(&mut bytes)?;
        let history = History::decode(&mut bytes)?;
        let mut members = Vec::new();
        while let Some(id) = bytes.byte() {
            let member = Member {
                breaker: Breaker::decode(&mut bytes)?,
                heartbeat: Heartbeat::decode(&mut bytes)?,
                barred: {
                    let (breach, at) = (bytes.byte()?, bytes.time()?);
                    Breach::from_byte(breach).map(|breach| (at, breach))
                },
            };
            members.push((GatewayId::new(usize::from(id))?, member));
        }
        Some(Self {
            lease,
            active,
            active_since,
            ramp,
            overrides,
            in_flight,
            asked,
            leaps,
            history,
            members,
        })
    }
}

#[cfg(test)]
mod tests;
