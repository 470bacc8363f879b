//! What must hold after each write of the shared value and of each payment that is sent, judged
//! by what was seen from outside.

use dana_failover::engine::GatewayId;
use dana_failover::engine::Policy;
use dana_failover::engine::Timestamp;
use dana_failover::engine::{
    BreakerState, Health, HealthEvent, Member, OverrideError, OverrideKind,
};

/// A worker may be so late with what it read or heard: reads are a little old, and are made anew
/// after a lost race.
const LATE_MS: u64 = 60;

/// The value that all workers share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) bytes: Vec<u8>,
    pub(crate) version: u32,
    pub(crate) health: Health,
}

impl Shared {
    pub(crate) fn new(bytes: Vec<u8>, version: u32) -> Self {
        let health = Health::decode(&bytes);
        Self { bytes, version, health }
    }

    /// When the last override is over of those that stand at `heals`.
    pub(crate) fn left_alone(&self, heals: u64, start: u64) -> u64 {
        let healed = Timestamp::from_millis(start + heals);
        let ends = self.health.overrides(healed).map(|one| one.until.as_millis() - start);
        ends.fold(heals, u64::max)
    }

    /// The active gateway and since when, as they are stored: behind the version and the lease.
    fn active(&self) -> (Option<GatewayId>, Timestamp) {
        let Some(since) = self.bytes.get(26..34) else {
            return (None, Timestamp::default());
        };
        let since = u64::from_le_bytes(since.try_into().unwrap());
        (GatewayId::new(usize::from(self.bytes[25])), Timestamp::from_millis(since))
    }
}

/// Whether an operator has drained it.
fn is_drained(health: &Health, gateway: GatewayId, now: Timestamp) -> bool {
    let drains = |steer| matches!(steer, OverrideKind::Drain);
    health.overrides(now).any(|one| one.gateway == gateway && drains(one.kind))
}

/// How often things happened that a story is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) payments: u64,
    sent: u64,
    pub(super) trips: u64,
    pub(super) closings: u64,
    permits: u64,
    failovers: u64,
    failbacks: u64,
    stale: u64,
    heartbeat_turns: u64,
    merges: u64,
    /// Sent to the first gateway though its heartbeats were bad.
    in_spite_of_heartbeat: u64,
    stays_unheard: u64,
    pub(crate) conflicts: u64,
    pub(crate) lost: u64,
    pub(crate) restarts: u64,
    /// What operators did, what they were refused, and switches that follow at once.
    steered: u64,
    refused: u64,
    switched_by_override: u64,
    /// To a forced gateway that would not have been chosen.
    forced: u64,
    /// To another gateway while the first one got its payments back step by step.
    ramped: u64,
    /// Trials that failed and opened a breaker anew.
    pub(super) reopened: u64,
    /// Breakers of gateways that answered nothing, opened in time.
    pub(super) left: u64,
    /// Past a drained gateway that would have been the first.
    past_drained: u64,
    /// Moves that were told to operators, and moves that happened.
    told: u64,
    moved: u64,
    pub(crate) heals_ms_max: u64,
}

impl Reached {
    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self {
            payments: self.payments + other.payments,
            sent: self.sent + other.sent,
            trips: self.trips + other.trips,
            closings: self.closings + other.closings,
            permits: self.permits + other.permits,
            failovers: self.failovers + other.failovers,
            failbacks: self.failbacks + other.failbacks,
            stale: self.stale + other.stale,
            heartbeat_turns: self.heartbeat_turns + other.heartbeat_turns,
            merges: self.merges + other.merges,
            in_spite_of_heartbeat: self.in_spite_of_heartbeat + other.in_spite_of_heartbeat,
            stays_unheard: self.stays_unheard + other.stays_unheard,
            conflicts: self.conflicts + other.conflicts,
            lost: self.lost + other.lost,
            restarts: self.restarts + other.restarts,
            steered: self.steered + other.steered,
            refused: self.refused + other.refused,
            switched_by_override: self.switched_by_override + other.switched_by_override,
            forced: self.forced + other.forced,
            ramped: self.ramped + other.ramped,
            reopened: self.reopened + other.reopened,
            left: self.left + other.left,
            past_drained: self.past_drained + other.past_drained,
            told: self.told + other.told,
            moved: self.moved + other.moved,
            heals_ms_max: self.heals_ms_max.max(other.heals_ms_max),
        }
    }

    pub(crate) fn assert_each_happened(&self, seeds: u64) {
        for (what, count) in [
            ("trips", self.trips),
            ("closings", self.closings),
            ("permits", self.permits),
            ("failovers", self.failovers),
            ("stale results", self.stale),
            ("conflicts", self.conflicts),
            ("merges", self.merges),
            ("turns of heartbeats", self.heartbeat_turns),
            ("overrides", self.steered),
            ("payments to a forced gateway", self.forced),
        ] {
            assert!(count > seeds, "only {count} {what} in {seeds} stories: {self:?}");
        }
        for (what, count) in [
            ("failbacks", self.failbacks),
            ("payments shared while a gateway came back", self.ramped),
            ("lost calls", self.lost),
            ("restarts", self.restarts),
            ("overrides refused", self.refused),
            ("payments past a drained gateway", self.past_drained),
            ("switches by override", self.switched_by_override),
            ("payments in spite of bad heartbeats", self.in_spite_of_heartbeat),
            ("payments to a later gateway that needs no heartbeat to stay", self.stays_unheard),
        ] {
            assert!(count > seeds / 4, "only {count} {what} in {seeds} stories: {self:?}");
        }
    }
}

/// What is known of a payment.
#[derive(Default)]
struct Call {
    read: Health,
    /// Gateway, generation, when it was taken.
    permit: Option<(GatewayId, u32, Timestamp)>,
    /// Where it went, and under which generations.
    sent: Vec<(GatewayId, u32)>,
}

impl Call {
    /// It went there, under the generations that it has read or brought about by its trial.
    fn note_sent(&mut self, members: &[GatewayId]) {
        let generation = |gateway: &GatewayId| match self.permit {
            Some((id, generation, _)) if id == *gateway => generation,
            _ => self.read.generation(*gateway),
        };
        self.sent = members.iter().map(|id| (*id, generation(id))).collect();
    }
}

pub(crate) struct Invariants<'s> {
    pub(super) policy: &'s Policy,
    calls: Vec<Call>,
    /// Of each gateway, newest last.
    probes: Vec<Vec<(Timestamp, bool)>>,
    last_switch: Option<Timestamp>,
    /// When a payment last went to the first gateway first, and no trial.
    first_used: Timestamp,
    /// Of each gateway: trials that opened its breaker anew since it was last closed.
    pub(super) failed_trials: Vec<u32>,
    /// From then on every worker knows that others than the bad partner pay.
    pub(super) others_known: Option<Timestamp>,
    /// When payments were sent to the first gateway first since it began to hang.
    pub(super) sent_to_first: Vec<Timestamp>,
    pub(crate) reached: Reached,
}

impl<'s> Invariants<'s> {
    pub(crate) fn new(policy: &'s Policy) -> Self {
        Self {
            policy,
            calls: Vec::new(),
            probes: vec![Vec::new(); policy.gateways.len()],
            last_switch: None,
            first_used: Timestamp::default(),
            failed_trials: vec![0; policy.gateways.len()],
            others_known: None,
            sent_to_first: Vec::new(),
            reached: Reached::default(),
        }
    }

    pub(super) fn first(&self) -> GatewayId {
        self.policy.gateways[0].id
    }

    pub(crate) fn arrived(&mut self) {
        self.reached.payments += 1;
        self.calls.push(Call::default());
    }

    /// A payment has read the shared value, as it was then.
    pub(crate) fn read(&mut self, call: usize, health: Health) {
        if self.calls[call].sent.is_empty() {
            self.calls[call].read = health;
        }
    }

    pub(crate) fn beaten(&mut self, gateway: GatewayId, good: bool, now: Timestamp) {
        let place = self.policy.order().position(|id| id == gateway).unwrap();
        self.probes[place].push((now, good));
    }

    pub(crate) fn told(&mut self, change: &HealthEvent) {
        match change {
            HealthEvent::Breaker(..) => self.reached.told += 1,
            HealthEvent::Heartbeat(..) => self.reached.heartbeat_turns += 1,
            HealthEvent::Switch { .. }
            | HealthEvent::Ramp(..)
            | HealthEvent::Disagree(..)
            | HealthEvent::Override(..)
            | HealthEvent::Barred(..)
            | HealthEvent::Refusing(_) => {}
        }
    }

    pub(crate) fn ended(&mut self, call: usize) {
        self.calls[call].permit = None;
    }

    /// An operator wrote the shared value.
    pub(crate) fn steered(&mut self, before: &Shared, after: &Shared, now: Timestamp) {
        self.reached.steered += 1;
        for gateway in self.policy.order() {
            let of = |shared: &Shared| shared.health.member(gateway).cloned();
            assert_eq!(of(before), of(after), "an override changes the choice and nothing else");
        }
        self.check_switch(None, before, after, now);
    }

    /// An operator was told that this cannot be.
    pub(crate) fn refused(
        &mut self,
        gateway: GatewayId,
        refusal: OverrideError,
        shared: &Shared,
        now: Timestamp,
    ) {
        self.reached.refused += 1;
        match refusal {
            OverrideError::Ttl => panic!("none was too short or too long"),
            OverrideError::Barred => panic!("no gateway is barred here"),
            OverrideError::Forced => {
                assert_eq!(shared.health.forced(&self.policy.health, now), Some(gateway));
            }
            OverrideError::NobodyLeft => {
                let others = self.policy.order().filter(|other| *other != gateway);
                for other in others.filter(|other| !is_drained(&shared.health, *other, now)) {
                    let member = shared.health.member(other).cloned().unwrap_or_default();
                    let is_heard = other == self.first()
                        || (shared.health.active(&self.policy.health, now) == Some(other)
                            && member.breaker.is_proven(now, &self.policy.health.breaker))
                        || member.heartbeat.is_target(now, &self.policy.health.heartbeat);
                    assert!(!member.breaker.is_closed() || !is_heard, "{other:?} would be left");
                }
            }
        }
    }

    /// The shared value was written, by a payment or by a pulse.
    pub(crate) fn wrote(
        &mut self,
        call: Option<usize>,
        before: &Shared,
        after: &Shared,
        now: Timestamp,
    ) {
        assert!(
            before.health.overrides(now).eq(after.health.overrides(now)),
            "only an operator or time ends an override"
        );
        self.count_failed_trials(before, after, now);
        for (gateway, began) in call.iter().flat_map(|call| &self.calls[*call].sent) {
            self.reached.stale += u64::from(before.health.generation(*gateway) != *began);
        }
        for gateway in self.policy.order() {
            let was = before.health.member(gateway).cloned().unwrap_or_default();
            let is = after.health.member(gateway).cloned().unwrap_or_default();
            if was == is {
                continue;
            }
            match call {
                Some(call) if self.speaks_of(call, gateway, &was) => {
                    self.payment_wrote(call, gateway, &was, &is, now);
                }
                // What its worker had counted for itself comes along with the payment's result.
                Some(_) | None => self.pulse_wrote(&was, &is),
            }
            self.check_permits(gateway, &is, now);
            if was.breaker.generation() != is.breaker.generation() {
                self.reached.moved += 1;
                self.reached.trips +=
                    u64::from(matches!(is.breaker.state(), BreakerState::Open { .. }));
                self.reached.closings += u64::from(is.breaker.is_closed());
            }
        }
        self.check_switch(call, before, after, now);
    }

    /// Whether a payment takes a permit there, or brings a result of the present generation.
    fn speaks_of(&self, call: usize, gateway: GatewayId, was: &Member) -> bool {
        let sent = &self.calls[call].sent;
        let current = (gateway, was.breaker.generation());
        sent.is_empty() || sent.contains(&current)
    }

    fn pulse_wrote(&mut self, was: &Member, is: &Member) {
        if was.breaker.is_closed() {
            self.reached.merges += u64::from(was.breaker != is.breaker);
            return;
        }
        assert_eq!(was.breaker, is.breaker, "neither heartbeats nor time move an open breaker");
    }

    fn payment_wrote(
        &mut self,
        call: usize,
        gateway: GatewayId,
        was: &Member,
        is: &Member,
        now: Timestamp,
    ) {
        assert_eq!(was.heartbeat, is.heartbeat, "a payment is no heartbeat");
        let generation = was.breaker.generation();
        let call = &mut self.calls[call];
        if let BreakerState::HalfOpen { out, since, .. } = is.breaker.state()
            && call.sent.is_empty()
        {
            let taken = match was.breaker.state() {
                BreakerState::HalfOpen { out: before, since: taken, .. } => {
                    out > before || since != taken
                }
                BreakerState::Open { .. } => true,
                BreakerState::Closed { .. } => panic!("nobody tries what is closed"),
            };
            if taken {
                assert_eq!(call.permit, None, "one permit for one payment");
                call.permit = Some((gateway, is.breaker.generation(), now));
                self.reached.permits += 1;
            } else {
                call.permit = None;
            }
            return;
        }
        let began = call.sent.iter().find(|(id, _)| *id == gateway);
        let (_, began) = began.expect("a payment speaks of the gateways it was sent to");
        assert_eq!(*began, generation, "a result of an older generation moves nothing");
        if is.breaker.is_closed() && !was.breaker.is_closed() {
            let permit = call.permit.map(|(id, generation, _)| (id, generation));
            assert_eq!(permit, Some((gateway, generation)), "only a trial closes a breaker");
        }
        // A trial's result brings its permit back.
        call.permit = call.permit.filter(|(id, ..)| *id != gateway);
    }

    fn check_permits(&self, gateway: GatewayId, is: &Member, now: Timestamp) {
        let BreakerState::HalfOpen { out, passed, .. } = is.breaker.state() else {
            return;
        };
        let limits = &self.policy.health.breaker;
        assert!(out + passed <= limits.half_open_permits, "{out} out, {passed} passed");
        let is_out = |(id, generation, taken): &(GatewayId, u32, Timestamp)| {
            *id == gateway
                && *generation == is.breaker.generation()
                && now.since(*taken) < limits.half_open_max
        };
        let seen =
            self.calls.iter().filter(|call| call.permit.as_ref().is_some_and(is_out)).count();
        let most = usize::from(limits.half_open_permits - passed);
        assert!(seen <= most, "{seen} trials are out of {most}");
    }

    fn check_switch(
        &mut self,
        call: Option<usize>,
        before: &Shared,
        after: &Shared,
        now: Timestamp,
    ) {
        let ((was, _), (is, since)) = (before.active(), after.active());
        let was = was.unwrap_or_else(|| self.first());
        let Some(is) = is.filter(|is| *is != was) else {
            return;
        };
        assert_eq!(since, now);
        let last = after.health.history().switches().last();
        assert!(last.is_some_and(|one| (one.from, one.to, one.at) == (was, is, now)), "{last:?}");
        if let Some(forced) = after.health.forced(&self.policy.health, now) {
            assert_eq!(is, forced, "all new payments go to the forced one");
            return self.switched_by_override(now);
        }
        assert!(!is_drained(&after.health, is, now), "{is:?} is drained");
        let place = |gateway| self.policy.order().position(|id| id == gateway).unwrap();
        let well = |gateway: GatewayId| {
            let is_closed = |shared: &Shared| {
                shared.health.member(gateway).is_none_or(|member| member.breaker.is_closed())
            };
            // An answer that speaks of several gateways is worked in one by one: the first one
            // fails and is left for the next, which then fails too.
            let failed_at_once = call.is_some() && is_closed(before);
            (is_closed(after) || failed_at_once)
                && (gateway == self.first() || self.may_be_heard(gateway, now))
        };
        assert!(
            well(is),
            "at {now:?} it went to {is:?}, which is not usable: {:?}, heartbeats {:?}",
            after.health.member(is),
            self.probes
        );
        if is_drained(&after.health, was, now) {
            return self.switched_by_override(now);
        }
        // The news of one write are worked in one by one, so that what was not usable before may
        // be afterwards and yet was left in between.
        let was_well = [before, after].iter().all(|shared| {
            let left = shared.health.member(was).cloned().unwrap_or_default();
            let is_heard = left.heartbeat.is_target(now, &self.policy.health.heartbeat);
            left.breaker.is_closed() && (was == self.first() || is_heard)
        });
        if was_well {
            assert!(place(is) < place(was), "no reason to leave a gateway that is well");
            let rests = self
                .last_switch
                .is_none_or(|last| now.since(last) >= self.policy.health.failback.dwell);
            assert!(
                rests,
                "it flaps: from {was:?} back to {is:?} at {now:?}, after a switch at {:?}",
                self.last_switch
            );
            let stable = after.health.member(is).unwrap().breaker.since();
            assert!(
                now.since(stable) >= self.policy.health.failback.stable,
                "not well for long enough"
            );
            self.reached.failbacks += 1;
        } else {
            self.reached.failovers += 1;
        }
        self.last_switch = Some(now);
    }

    const fn switched_by_override(&mut self, now: Timestamp) {
        self.reached.switched_by_override += 1;
        self.last_switch = Some(now);
    }

    /// Whether a good heartbeat of it is fresh, and not all of the last ones were bad; a worker
    /// may not yet have written down the very last ones.
    fn may_be_heard(&self, gateway: GatewayId, now: Timestamp) -> bool {
        let limits = &self.policy.health.heartbeat;
        let probes = &self.probes[self.policy.order().position(|id| id == gateway).unwrap()];
        let fresh = probes
            .iter()
            .rev()
            .find(|(_, good)| *good)
            .is_some_and(|(at, _)| now.since(*at).get() <= limits.stale.get() + LATE_MS);
        let rose =
            probes.windows(usize::from(limits.rise)).any(|run| run.iter().all(|(_, good)| *good));
        let late =
            probes.iter().rev().take_while(|(at, _)| now.since(*at).get() <= LATE_MS).count();
        let known = &probes[..probes.len() - late];
        let last = known.iter().rev().take(usize::from(limits.fall));
        let fell = known.len() >= usize::from(limits.fall) && last.clone().all(|(_, good)| !good);
        fresh && rose && (!fell || late > 0)
    }

    /// A payment is on its way.
    pub(crate) fn sent(&mut self, call: usize, members: &[GatewayId], now: Timestamp) {
        self.reached.sent += 1;
        let first = self.first();
        if members.first() == Some(&first) {
            self.sent_to_first.push(now);
        }
        let Call { read, permit, .. } = &self.calls[call];
        let trial = permit.as_ref().map(|(gateway, ..)| *gateway);
        if let Some(forced) = read.forced(&self.policy.health, now) {
            assert_eq!(members, &[forced][..], "all goes to the forced one");
            assert!(trial.is_none_or(|trial| trial == forced), "and so do trials");
            let member = read.member(forced).cloned().unwrap_or_default();
            let is_heard = member.heartbeat.is_target(now, &self.policy.health.heartbeat);
            let well = member.breaker.is_closed() && (forced == first || is_heard);
            self.reached.forced += u64::from(!well);
            self.calls[call].note_sent(members);
            return;
        }
        for gateway in members {
            assert!(!is_drained(read, *gateway, now), "{gateway:?} is drained");
        }
        for (at, gateway) in members.iter().enumerate() {
            if at == 0 && trial == Some(*gateway) {
                continue;
            }
            let closed = read.member(*gateway).is_none_or(|member| member.breaker.is_closed());
            assert!(closed, "a payment to an open breaker without a permit");
            // Whoever is in use and does well needs no heartbeat to stay.
            let stays = read.active(&self.policy.health, now) == Some(*gateway)
                && read.member(*gateway).is_some_and(|member| {
                    member.breaker.is_proven(now, &self.policy.health.breaker)
                });
            self.reached.stays_unheard += u64::from(stays && !self.may_be_heard(*gateway, now));
            let heard = *gateway == first || stays || self.may_be_heard(*gateway, now);
            assert!(heard, "a payment to a later gateway without a fresh good heartbeat");
        }
        if let Some(trial) = trial {
            assert_eq!(members.first(), Some(&trial), "a permit is for the gateway tried first");
        } else {
            let active = read.active(&self.policy.health, now);
            let first_member = read.member(first).cloned().unwrap_or_default();
            if members[0] == first {
                self.first_used = now;
                let bad = self.probes[0].last().is_some_and(|(_, good)| !good);
                self.reached.in_spite_of_heartbeat += u64::from(bad);
            } else if active == Some(first) {
                let share = read.share(&self.policy.health, now);
                assert!(share < 100, "{first_member:?} is left though its breaker is closed");
                self.reached.ramped += 1;
            } else if is_drained(read, first, now) {
                let closed = first_member.breaker.is_closed();
                self.reached.past_drained += u64::from(closed);
            }
        }
        self.calls[call].note_sent(members);
    }

    /// Whether every breaker is closed and payments go to the first gateway again.
    pub(crate) fn is_well(&self, shared: &Shared, now: Timestamp, healed: u64) -> bool {
        let healed = Timestamp::from_millis(healed);
        let closed = self.policy.order().all(|gateway| {
            shared.health.member(gateway).is_none_or(|member| member.breaker.is_closed())
        });
        let (active, since) = shared.active();
        closed
            && active.is_none_or(|active| active == self.first())
            && self.first_used > healed.max(since)
            && shared.health.active(&self.policy.health, now) == Some(self.first())
            && shared.health.share(&self.policy.health, now) == 100
    }
}
