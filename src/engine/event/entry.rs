//! What happened without a request, as entries of the audit trail.

use super::decision::with_money;
use crate::engine::audit::AuditEntry;
use crate::engine::config::Policy;
use crate::engine::gateway::{GatewayId, Gateways};
use crate::engine::health::{HealthEvent, OverrideKind};
use crate::engine::payment::{Anomaly, ClaimState};
use crate::engine::time::Timestamp;

/// The entry of something that happened at `at`, with the names that gateways have in `policy`.
#[must_use]
pub fn health_entry(event: &HealthEvent, policy: &Policy, at: Timestamp) -> AuditEntry {
    let name = |gateway: GatewayId| policy.names(Gateways::only(gateway));
    let of = |kind, gateway| AuditEntry::new(kind, at).text("gw", &name(gateway));
    let up = |up: bool| if up { "up" } else { "down" };
    match event {
        HealthEvent::Breaker(gateway, transition) => of("breaker", *gateway)
            .text("to", transition.to.name())
            .text("rule", transition.rule.name())
            .text("why", &transition.rule.sentence(&policy.health.breaker)),
        HealthEvent::Heartbeat(gateway, is_up) => of("heartbeat", *gateway).text("to", up(*is_up)),
        HealthEvent::Disagree(gateway, is_up) => of("disagree", *gateway).text("says", up(*is_up)),
        HealthEvent::Switch { from, to, cause } => AuditEntry::new("switch", at)
            .text("from", &name(*from))
            .text("to", &name(*to))
            .text("why", cause.name()),
        HealthEvent::Ramp(gateway, percent) => {
            of("ramp", *gateway).number("pct", (*percent).into())
        }
        HealthEvent::Override(gateway, kind) => {
            of("override", *gateway).text("to", kind.map_or("auto", OverrideKind::name))
        }
        HealthEvent::Barred(gateway, Some(breach)) => {
            of("barred", *gateway).text("rule", breach.name()).text("why", breach.sentence())
        }
        HealthEvent::Barred(gateway, None) => of("admitted", *gateway),
        HealthEvent::Refusing(why) => {
            AuditEntry::new("refusing", at).text("rule", why.name()).text("why", why.sentence())
        }
    }
}

/// The entry of evidence that contradicts what was known.
#[must_use]
pub fn anomaly_entry(anomaly: &Anomaly, policy: &Policy, at: Timestamp) -> AuditEntry {
    let Anomaly { kind, key, was, said, by, money } = anomaly;
    let was = if let ClaimState::Closed { how, .. } = was { how.name() } else { was.name() };
    with_money(AuditEntry::new("anomaly", at).text("key", key), money)
        .text("rule", kind.name())
        .text("was", was)
        .text("says", said)
        .text("gw", &policy.names(*by))
}
