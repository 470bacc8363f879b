//! What all workers know of all gateways, in one shared value, and the choice that follows from it.
//!
//! The first gateway is usable while its breaker is closed; any other one also needs a fresh good
//! heartbeat. One gateway is active. It is left at once when it is no longer usable, and an
//! earlier one in the order takes over again only after it has been well for `stable_ms` and
//! `dwell_ms` have passed since the last switch. There is no panic mode: if none is usable, none
//! is used.

use super::breaker::{Breaker, Report, State, Transition};
use super::bytes::Reader;
use super::gateway::GatewayId;
use super::heartbeat::Heartbeat;
use super::policy::Policy;
use super::time::Timestamp;
use super::window::Tally;

/// The shared value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Who sends the heartbeats, and until when nobody else does.
    lease: Lease,
    active: Option<GatewayId>,
    active_since: Timestamp,
    /// Of every gateway that was ever seen; no order.
    members: Vec<(GatewayId, Member)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lease {
    owner: u64,
    /// When the owner began: of two, the later one has the newer configuration.
    born: Timestamp,
    until: Timestamp,
}

/// What is known of one gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// What traffic says.
    pub breaker: Breaker,
    /// What heartbeats say.
    pub heartbeat: Heartbeat,
}

/// Something that operators want to know happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A breaker moved.
    Breaker(GatewayId, Transition),
    /// Heartbeats say that a gateway came up (true) or went down.
    Heartbeat(GatewayId, bool),
    /// Heartbeats and traffic contradict each other: a breaker opened while heartbeats were good
    /// (true), or heartbeats turned bad while traffic went well.
    Disagree(GatewayId, bool),
    /// New payments go to another gateway first.
    Switch {
        /// Before.
        from: GatewayId,
        /// From now on.
        to: GatewayId,
        /// Whether it returned to an earlier gateway of the order because that one is well again,
        /// and not because the other one failed.
        failback: bool,
    },
}

/// Who may take a new payment now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Takers {
    /// In the order in which they are tried.
    pub order: Vec<GatewayId>,
    /// Whether the first of them is on trial and needs a permit.
    pub trial: bool,
}

impl Health {
    /// What is known of `gateway`.
    #[must_use]
    pub fn member(&self, gateway: GatewayId) -> Option<&Member> {
        self.members.iter().find(|(id, _)| *id == gateway).map(|(_, member)| member)
    }

    /// What is known of `gateway`, to be changed.
    pub fn member_mut(&mut self, gateway: GatewayId) -> &mut Member {
        let at = self.members.iter().position(|(id, _)| *id == gateway).unwrap_or_else(|| {
            self.members.push((gateway, Member::default()));
            self.members.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "the line above found or made this place")]
        &mut self.members[at].1
    }

    /// The breaker's generation of `gateway`, which a result must bring back to count.
    #[must_use]
    pub fn generation(&self, gateway: GatewayId) -> u32 {
        self.member(gateway).map_or(0, |member| member.breaker.generation())
    }

    /// The gateway that new payments go to first.
    #[must_use]
    pub fn active(&self, policy: &Policy, now: Timestamp) -> Option<GatewayId> {
        let current = self.active.filter(|gateway| self.is_usable(*gateway, policy, now));
        current.or_else(|| policy.order().find(|gateway| self.is_usable(*gateway, policy, now)))
    }

    /// Who may take a new payment at `now`. Empty when nobody may.
    #[must_use]
    pub fn takers(&self, policy: &Policy, now: Timestamp) -> Takers {
        let active = self.active(policy, now);
        let trial = policy.order().find(|gateway| self.may_try(*gateway, active, policy, now));
        let others = policy
            .order()
            .filter(|gateway| Some(*gateway) != active && self.is_usable(*gateway, policy, now));
        let order: Vec<GatewayId> = trial.into_iter().chain(active).chain(others).collect();
        Takers { order, trial: trial.is_some() }
    }

    /// A heartbeat argues for a trial. Without one, a gateway is tried only when there is nobody
    /// else to take the payment.
    fn may_try(
        &self,
        gateway: GatewayId,
        active: Option<GatewayId>,
        policy: &Policy,
        now: Timestamp,
    ) -> bool {
        self.member(gateway).is_some_and(|member| {
            member.breaker.may_try(now, &policy.breaker)
                && (active.is_none() || member.heartbeat.is_target(now, &policy.heartbeat))
        })
    }

    fn is_usable(&self, gateway: GatewayId, policy: &Policy, now: Timestamp) -> bool {
        let first = policy.order().next() == Some(gateway);
        match self.member(gateway) {
            // A name that is no longer configured.
            _ if policy.gateway(gateway).is_none() => false,
            None => first,
            Some(member) => {
                member.breaker.is_closed()
                    && (first || member.heartbeat.is_target(now, &policy.heartbeat))
            }
        }
    }

    /// Takes a permit for a trial at `gateway`.
    pub fn take_permit(
        &mut self,
        gateway: GatewayId,
        policy: &Policy,
        now: Timestamp,
    ) -> Option<Change> {
        let transition = self.member_mut(gateway).breaker.take_permit(now, &policy.breaker);
        transition.map(|transition| Change::Breaker(gateway, transition))
    }

    /// Takes in the result of a call.
    pub fn record(
        &mut self,
        gateway: GatewayId,
        report: Report,
        policy: &Policy,
        now: Timestamp,
    ) -> Vec<Change> {
        let transition = self.member_mut(gateway).breaker.record(report, now, &policy.breaker);
        self.moved(gateway, transition, policy, now)
    }

    /// Takes in the successes that a worker counted for itself.
    pub fn merge(
        &mut self,
        gateway: GatewayId,
        tally: Tally,
        policy: &Policy,
        now: Timestamp,
    ) -> Vec<Change> {
        let transition = self.member_mut(gateway).breaker.merge(tally, now, &policy.breaker);
        self.moved(gateway, transition, policy, now)
    }

    fn moved(
        &mut self,
        gateway: GatewayId,
        transition: Option<Transition>,
        policy: &Policy,
        now: Timestamp,
    ) -> Vec<Change> {
        let opened = transition.is_some_and(|moved| matches!(moved.to, State::Open { .. }));
        let good = self
            .member(gateway)
            .is_some_and(|member| member.heartbeat.is_target(now, &policy.heartbeat));
        let breaker = transition.map(|moved| Change::Breaker(gateway, moved));
        let disagree = (opened && good).then_some(Change::Disagree(gateway, true));
        self.changed(breaker.into_iter().chain(disagree), policy, now)
    }

    /// Takes in the result of a heartbeat.
    pub fn beaten(
        &mut self,
        gateway: GatewayId,
        good: bool,
        policy: &Policy,
        now: Timestamp,
    ) -> Vec<Change> {
        let member = self.member_mut(gateway);
        let turned = member.heartbeat.record(good, now, &policy.heartbeat);
        let well = member.breaker.goes_well(now, &policy.breaker);
        let heartbeat = turned.map(|up| Change::Heartbeat(gateway, up));
        let disagree = (turned == Some(false) && well).then_some(Change::Disagree(gateway, false));
        self.changed(heartbeat.into_iter().chain(disagree), policy, now)
    }

    /// Leaves an active gateway that is not usable, or returns to an earlier one that is well.
    pub fn steer(&mut self, policy: &Policy, now: Timestamp) -> Option<Change> {
        let from = self.active.or_else(|| policy.order().next())?;
        let usable = self.active(policy, now)?;
        let (to, failback) = if usable == from {
            (self.failback_target(from, policy, now)?, true)
        } else {
            (usable, false)
        };
        self.active = Some(to);
        self.active_since = now;
        Some(Change::Switch { from, to, failback })
    }

    fn failback_target(
        &self,
        from: GatewayId,
        policy: &Policy,
        now: Timestamp,
    ) -> Option<GatewayId> {
        if policy.failback.manual || now.since(self.active_since) < policy.failback.dwell {
            return None;
        }
        policy.order().take_while(|gateway| *gateway != from).find(|gateway| {
            self.is_usable(*gateway, policy, now)
                && self.member(*gateway).is_some_and(|member| {
                    member.heartbeat.is_target(now, &policy.heartbeat)
                        && now.since(member.breaker.since()) >= policy.failback.stable
                })
        })
    }

    fn changed(
        &mut self,
        first: impl Iterator<Item = Change>,
        policy: &Policy,
        now: Timestamp,
    ) -> Vec<Change> {
        let first: Vec<Change> = first.collect();
        first.into_iter().chain(self.steer(policy, now)).collect()
    }

    /// Takes or keeps the right to send heartbeats for `owner`, which began at `born`; false when
    /// another one has it. After a configuration update the old worker ticks beside the new one,
    /// which takes over at once; the old one may take the right back once it has run out.
    /// A lease that lasts longer than any lease does was taken before the clock stepped back.
    pub fn take_lease(
        &mut self,
        owner: u64,
        born: Timestamp,
        policy: &Policy,
        now: Timestamp,
    ) -> bool {
        let length = policy.heartbeat_lease();
        let left = self.lease.until.since(now);
        let free = left.get() == 0 || left > length;
        if self.lease.owner != owner && !free && self.lease.born >= born {
            return false;
        }
        self.lease = Lease { owner, born, until: now.plus(length) };
        true
    }

    /// Whether `owner` must write the value to keep its right.
    #[must_use]
    pub fn lease_is_running_out(&self, policy: &Policy, now: Timestamp) -> bool {
        self.lease.until.since(now).get() < policy.heartbeat_lease().get() / 2
    }

    const VERSION: u8 = 1;

    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![Self::VERSION];
        bytes.extend(self.lease.owner.to_le_bytes());
        bytes.extend(self.lease.born.as_millis().to_le_bytes());
        bytes.extend(self.lease.until.as_millis().to_le_bytes());
        bytes.push(self.active.map_or(u8::MAX, GatewayId::byte));
        bytes.extend(self.active_since.as_millis().to_le_bytes());
        for (id, member) in &self.members {
            bytes.push(id.byte());
            member.breaker.encode(&mut bytes);
            member.heartbeat.encode(&mut bytes);
        }
        bytes
    }

    /// Reads the stored form. Bytes of another version start anew: health is learnt again within
    /// seconds, and unlike a claim it protects no money.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        Self::read(bytes).unwrap_or_default()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Reader(bytes);
        if bytes.byte()? != Self::VERSION {
            return None;
        }
        let lease = Lease { owner: bytes.long()?, born: bytes.time()?, until: bytes.time()? };
        let active = GatewayId::new(usize::from(bytes.byte()?));
        let active_since = bytes.time()?;
        let mut members = Vec::new();
        while let Some(id) = bytes.byte() {
            let member = Member {
                breaker: Breaker::decode(&mut bytes)?,
                heartbeat: Heartbeat::decode(&mut bytes)?,
            };
            members.push((GatewayId::new(usize::from(id))?, member));
        }
        Some(Self { lease, active, active_since, members })
    }
}

#[cfg(test)]
mod tests;
