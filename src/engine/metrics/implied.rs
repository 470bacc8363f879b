//! The counters that a configuration implies. They are there from the first moment, with the value
//! 0: of a counter that begins with its first event nobody sees that event.
//!
//! What is implied: every pair of gateways for each kind of switch; every move that a breaker has a
//! rule for; both kinds of anomalies; both ways for heartbeats to contradict traffic; every override; every breach, where
//! connections are watched. Of requests: each operation with each decision, state and gateway that
//! its class leads to in the ordinary course of things. Not implied, and there only once they
//! happen: names of gateways that are no longer configured, sets of gateways that no composite has,
//! and requests of no known operation.

use super::{ANOMALIES, BREACHES, DISAGREES, Family, OVERRIDES, REQUESTS, SWITCHES, TRANSITIONS};
use crate::engine::config::Policy;
use crate::engine::gateway::Gateways;
use crate::engine::health::{Breach, Cause, Rule};
use crate::engine::limits;
use crate::engine::protocol::{Class, Compiled, Repeat};

/// A counter of a family, with the values of its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Implied {
    /// Whose.
    pub family: &'static Family,
    /// In the order of its labels.
    pub values: Vec<String>,
}

/// All of them, at most [`limits::METRICS_IMPLIED_MAX`]: those of gateways first, so that what is
/// left out of a very large configuration are requests.
#[must_use]
pub fn counters(policy: &Policy) -> Vec<Implied> {
    let mut all = Vec::new();
    let mut add = |family, values: &[&str]| add(&mut all, family, values);
    for kind in crate::engine::payment::AnomalyKind::ALL {
        add(&ANOMALIES, &[kind.name()]);
    }
    let names: Vec<&str> = policy.gateways.iter().map(|gateway| gateway.name.as_str()).collect();
    for gateway in &names {
        for (to, rule) in Rule::MOVES {
            add(&TRANSITIONS, &[gateway, to, rule]);
        }
        for says in ["up", "down"] {
            add(&DISAGREES, &[gateway, says]);
        }
        for to in ["force", "drain", "auto"] {
            add(&OVERRIDES, &[gateway, to]);
        }
    }
    for gateway in policy.gateways.iter().filter(|gateway| gateway.channel.is_some()) {
        for breach in Breach::ALL {
            add(&BREACHES, &[&gateway.name, breach.name()]);
        }
    }
    for from in &names {
        for to in names.iter().filter(|to| *to != from) {
            for cause in Cause::ALL {
                add(&SWITCHES, &[from, to, cause.name()]);
            }
        }
    }
    let sets = Sets::of(policy);
    for compiled in policy.operations.iter() {
        for (decision, claims, to) in paths(compiled, policy) {
            for claim in claims {
                for gateway in sets.of_kind(to) {
                    add(&REQUESTS, &[&compiled.operation.name, decision, claim, gateway]);
                }
            }
        }
    }
    all
}

/// Not inlined into each of its callers: that would be kilobytes, for what is done once.
#[inline(never)]
fn add(all: &mut Vec<Implied>, family: &'static Family, values: &[&str]) {
    if all.len() < limits::METRICS_IMPLIED_MAX {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        all.push(Implied { family, values });
    }
}

/// Which gateways a line names.
#[derive(Clone, Copy, Debug)]
enum To {
    /// None: nothing was sent, and nobody is known to have the payment.
    Nobody,
    /// One.
    One,
    /// One, or all that Envoy may have used.
    Any,
}

/// The gateways that lines name.
struct Sets {
    nobody: Vec<String>,
    one: Vec<String>,
    any: Vec<String>,
}

impl Sets {
    fn of(policy: &Policy) -> Self {
        let one: Vec<String> = policy.gateways.iter().map(|gateway| gateway.name.clone()).collect();
        let mut any = one.clone();
        for composite in &policy.composites {
            let members: Gateways = composite.members.iter().copied().collect();
            let names = policy.names(members);
            if !any.contains(&names) {
                any.push(names);
            }
        }
        Self { nobody: vec![String::new()], one, any }
    }

    fn of_kind(&self, to: To) -> &[String] {
        match to {
            To::Nobody => &self.nobody,
            To::One => &self.one,
            To::Any => &self.any,
        }
    }
}

type Path = (&'static str, &'static [&'static str], To);

/// Where the claim of a payment stands after an answer that was let through.
const AFTER: &[&str] = &["settled", "rejected", "in_doubt", "closed", "settle_lost"];
/// The same where an answer of ours took its place.
const UNPROVEN: &[&str] = &["in_doubt", "settle_lost"];
const NOTHING: &[&str] = &[""];

/// Of whatever is no known payment yet.
const REFUSED: [Path; 4] = [
    ("method", NOTHING, To::Nobody),
    ("bad_field", NOTHING, To::Nobody),
    ("body_too_large", NOTHING, To::Nobody),
    ("claim_store_failed", NOTHING, To::Nobody),
];

/// Of what moves money.
const PAYMENT: [Path; 25] = [
    ("no_identity", NOTHING, To::Nobody),
    ("forward", AFTER, To::Any),
    ("retry", AFTER, To::One),
    ("replay", &["settled"], To::One),
    ("unknown", NOTHING, To::Any),
    ("unknown", UNPROVEN, To::Any),
    ("unanswered", UNPROVEN, To::Any),
    ("never_sent", NOTHING, To::Any),
    ("in_progress", NOTHING, To::Any),
    ("mismatch", NOTHING, To::Nobody),
    ("already_executed", NOTHING, To::One),
    ("closed_failed", NOTHING, To::One),
    ("closed_cancelled", NOTHING, To::One),
    ("closed_refunded", NOTHING, To::One),
    ("no_gateway", NOTHING, To::Nobody),
    ("pinned_gateway_down", NOTHING, To::One),
    ("claim_store_full", NOTHING, To::Nobody),
    ("refused_in_doubt", NOTHING, To::Any),
    ("refused_executed", NOTHING, To::One),
    ("rate_limited", NOTHING, To::Any),
    ("never_sent", &["rejected"], To::One),
    ("already_executed", &["settled"], To::One),
    ("closed_failed", &["closed"], To::One),
    ("closed_cancelled", &["closed"], To::One),
    ("closed_refunded", &["closed"], To::One),
];

/// Of what only reads.
const INQUIRY: [Path; 4] = [
    ("no_answer", NOTHING, To::Nobody),
    ("no_answer", NOTHING, To::Any),
    ("unanswered", NOTHING, To::Any),
    ("forward", NOTHING, To::Any),
];

const CONCERNED: &[&str] =
    &["in_flight", "settled", "rejected", "in_doubt", "closed", "settle_lost"];

/// Of what asks for a payment.
const STATUS: [Path; 5] = [
    ("forward", CONCERNED, To::One),
    ("follow", CONCERNED, To::One),
    ("unknown", CONCERNED, To::One),
    ("unknown", NOTHING, To::One),
    ("contradicted", &["settled"], To::One),
];

/// Of what changes something that is not money.
const STATE: [Path; 6] = [
    ("forward", NOTHING, To::Any),
    ("unknown", NOTHING, To::Any),
    ("unanswered", NOTHING, To::Any),
    ("never_sent", NOTHING, To::Any),
    ("no_gateway", NOTHING, To::Nobody),
    ("pinned_gateway_down", NOTHING, To::One),
];

/// What can become of a request of this operation.
fn paths(compiled: &Compiled, policy: &Policy) -> Vec<Path> {
    let operation = &compiled.operation;
    let config = &policy.config;
    let pays = matches!(operation.class, Class::Charge | Class::FollowUp);
    if policy.observes(Some(compiled)) {
        return vec![("observe", if pays { AFTER } else { NOTHING }, To::One)];
    }
    let mut courses = REFUSED.to_vec();
    if !config.peers.is_empty() {
        courses.push(("peer", NOTHING, To::Nobody));
    }
    if !config.partners.is_empty() || config.gateways.iter().any(|one| one.operations.is_some()) {
        courses.push(("operation", NOTHING, To::Nobody));
    }
    courses.extend(match operation.class {
        Class::Charge | Class::FollowUp => PAYMENT.as_slice(),
        Class::Inquiry => &INQUIRY,
        Class::State => &STATE,
    });
    if pays && operation.repeat == Repeat::ByReference {
        courses.push(("repeat", AFTER, To::One));
    }
    if operation.class == Class::FollowUp {
        courses.push(("follow", AFTER, To::One));
    }
    if operation.class == Class::Inquiry && operation.status.is_some() {
        courses.extend(STATUS);
    }
    courses
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::engine::config::Config;
    use crate::engine::store::{Layout, Placement, Seed};
    use crate::engine::time::Timestamp;

    fn policy(gateways: usize, more: &str) -> Policy {
        let names: Vec<String> = (0..gateways).map(|n| format!("g{n}")).collect();
        let each =
            names.iter().map(|name| format!(r#"{{"name": "{name}", "cluster": "c-{name}"}}"#));
        let each: Vec<String> = each.collect();
        let config = format!(
            r#"{{"gateways": [{}], "composites": [
                {{"members": ["g0", "g1"], "cluster": "one"}},
                {{"members": ["g1", "g0"], "cluster": "two"}}]{more}}}"#,
            each.join(", ")
        );
        let config = Config::parse(config.as_bytes()).unwrap();
        let mut layout = Layout::new(Placement::new(config.buckets(), Seed::default()));
        Policy::join(config, &mut layout, Timestamp::default()).unwrap().0
    }

    #[test]
    fn what_two_gateways_imply_is_whole_and_each_is_there_once() {
        let all = counters(&policy(2, ""));
        let names: Vec<String> = all
            .iter()
            .map(|one| {
                let values: Vec<&str> = one.values.iter().map(String::as_str).collect();
                one.family.full_name(&values)
            })
            .collect();
        let set: BTreeSet<&String> = names.iter().collect();
        assert_eq!(set.len(), names.len(), "each once");
        assert!(all.iter().all(|one| one.values.len() == one.family.labels.len()));
        for name in [
            "dana_switches_total;from=g0;to=g1;kind=failover",
            "dana_switches_total;from=g1;to=g0;kind=failback",
            "dana_breaker_transitions_total;gateway=g1;to=open;rule=in_flight",
            "dana_heartbeat_disagrees_total;gateway=g0;says=down",
            "dana_overrides_total;gateway=g0;to=drain",
            "dana_requests_total;operation=create-order;decision=forward;claim=settled;gateway=g0",
            "dana_requests_total;operation=create-order;decision=claim_store_full",
            "dana_requests_total;operation=create-order;decision=unknown;claim=in_doubt;gateway=g0+g1",
            "dana_requests_total;operation=refund;decision=replay;claim=settled;gateway=g1",
            "dana_requests_total;operation=balance;decision=no_answer",
        ] {
            assert!(names.iter().any(|other| other == name), "{name}");
        }
        assert!((900..1500).contains(&names.len()), "{}", names.len());
        // Where connections are not watched there are no breaches.
        assert!(!names.iter().any(|name| name.starts_with("dana_channel_breaches_total")));
    }

    #[test]
    fn a_very_large_configuration_stays_below_the_bound() {
        let all = counters(&policy(16, ""));
        assert_eq!(all.len(), limits::METRICS_IMPLIED_MAX);
        let switches = all.iter().filter(|one| *one.family == SWITCHES).count();
        assert_eq!(switches, 16 * 15 * 3, "those of gateways are all there");
        const { assert!(limits::METRICS_IMPLIED_MAX < limits::METRICS_MAX) };
    }

    #[test]
    fn what_only_observes_refuses_nothing() {
        let all = counters(&policy(2, r#", "mode": "observe""#));
        let requests = all.iter().filter(|one| *one.family == REQUESTS);
        assert!(requests.clone().count() > 20);
        assert!(requests.clone().all(|one| one.values[1] == "observe"));
    }
}
