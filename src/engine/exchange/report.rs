//! What a payment says of the gateways: worked into the health that all workers share.

use super::stage::Context;
use crate::engine::gateway::GatewayId;
use crate::engine::health::{Batch, Health, HealthEvent, Report};

impl Context<'_> {
    /// Tells health what was seen, and whether that changes it. Successes that end nothing are only counted, and come along with
    /// the next thing that is written: a failure alone would say that nothing goes well.
    pub(super) fn report(
        &mut self,
        health: &mut Health,
        reports: &[(GatewayId, Report)],
        counted: &mut Vec<Batch>,
    ) -> (Vec<HealthEvent>, bool) {
        if reports.iter().all(|(gateway, report)| is_quiet(health, *gateway, report)) {
            for (gateway, report) in reports {
                self.counters.add(Batch {
                    gateway: *gateway,
                    generation: report.generation,
                    pays: report.source.pays(),
                    tally: report.tally(),
                    seen: report.source.seen(),
                });
            }
            // Another worker has ended the run that an earlier try was to end.
            self.counters.put_back(&std::mem::take(counted));
            return (Vec::new(), false);
        }
        counted.extend(self.counters.take());
        let mut changes = Vec::new();
        for batch in counted.iter() {
            changes.extend(health.merge(batch, &self.policy.health, self.now));
        }
        for (gateway, report) in reports {
            changes.extend(health.record(*gateway, *report, &self.policy.health, self.now));
        }
        if !changes.is_empty() {
            changes.extend(health.update_active(&self.policy.health, self.now));
        }
        (changes, true)
    }
}

/// Whether a result changes nothing that others must know at once.
fn is_quiet(health: &Health, gateway: GatewayId, report: &Report) -> bool {
    report.is_quiet()
        && report.generation == health.generation(gateway)
        && health.member(gateway).is_some_and(|member| {
            member.breaker.is_closed() && !member.breaker.has_run(report.source.pays())
        })
}
