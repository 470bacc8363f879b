//! The label sets that a configuration implies. They are there from the first moment, with the
//! value 0: of a counter that begins with its first event nobody sees that event.
//!
//! What is implied: the writes of health; every gauge of each gateway; every pair of gateways for each kind of switch;
//! every move that a breaker has a rule for; both kinds of anomalies; both ways for heartbeats to
//! contradict traffic; every override; every breach, where connections are watched; how calls to a
//! store in etcd end, where there is one. Of requests:
//! each operation with each decision, state and gateway that its class leads to, and requests of no
//! operation.
//!
//! Not implied, and there only once they happen:
//!
//! - names of gateways that are no longer configured, and sets of gateways that no composite has:
//!   there are too many, and few of them ever happen;
//! - what the store holds: until it is counted 0 would say that no money is in doubt, and of the
//!   time of the last count that it is old. Currencies are what merchants write;
//! - how far the audit trail is: its listener shows that when it publishes it;
//! - what is more than [`limits::METRICS_IMPLIED_MAX`].

use super::outcome::PaymentOutcome;
use super::{
    ANOMALIES, BARRED, BREACHES, BREAKER_STATE, CONFIGURED, DISAGREES, DOUBTS_OPENED,
    DOUBTS_RESOLVED, DURATIONS, Family, HEALTH_WRITES, HEARTBEAT_UP, HOST_ERRORS, IN_FLIGHT,
    NOTIFICATIONS, OVERRIDE, OVERRIDES, RAMP, REQUESTS, STORE_AHEAD, STORE_CALLS, STORE_UNFINISHED,
    STORE_UP, SWITCHES, TRANSITIONS,
};
use crate::engine::config::Policy;
use crate::engine::gateway::Gateways;
use crate::engine::health::{Breach, BreakerState, Cause, OverrideKind, Rule};
use crate::engine::limits;
use crate::engine::payment::{AnomalyKind, ResolvedBy};
use crate::engine::protocol::{Class, Compiled, Repeat, dana_notifications};
use crate::engine::store::RpcEvent;

/// A metric of a family, with the values of its labels.
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
pub fn all(policy: &Policy) -> Vec<Implied> {
    let mut all = Vec::new();
    add_of_gateways(policy, &mut all);
    add_of_store(policy, &mut all);
    add_of_requests(policy, &mut all);
    all
}

/// Those of the module that takes notifications in.
#[must_use]
pub fn of_notifications(policy: &Policy) -> Vec<Implied> {
    let mut all = Vec::new();
    let mut add = |values: &[&str]| add(&mut all, &NOTIFICATIONS, values);
    add(&["", "unmatched", "", ""]);
    for operation in dana_notifications() {
        let name = operation.name.as_ref();
        for why in ["unverified", "malformed"] {
            add(&[name, why, "", ""]);
        }
        for gateway in &policy.gateways {
            let gateway = gateway.name.as_str();
            for decision in ["deliver", "replay", "under_way", "not_confirmed", "application_away"]
            {
                for claim in ["settled", "closed"] {
                    add(&[name, decision, claim, gateway]);
                }
            }
            add(&[name, "store_failed", "", gateway]);
        }
    }
    all
}

fn add_of_gateways(policy: &Policy, all: &mut Vec<Implied>) {
    let mut add = |family, values: &[&str]| add(all, family, values);
    add(&HEALTH_WRITES, &[]);
    add(&HOST_ERRORS, &[]);
    for by in ResolvedBy::ALL {
        add(&DOUBTS_RESOLVED, &[by.name()]);
    }
    for kind in AnomalyKind::ALL {
        add(&ANOMALIES, &[kind.name()]);
    }
    let names: Vec<&str> = policy.gateways.iter().map(|gateway| gateway.name.as_str()).collect();
    for gateway in &names {
        for family in [&RAMP, &HEARTBEAT_UP, &IN_FLIGHT, &BARRED, &CONFIGURED] {
            add(family, &[gateway]);
        }
        for state in BreakerState::NAMES {
            add(&BREAKER_STATE, &[gateway, state]);
        }
        for state in OverrideKind::STATES {
            add(&OVERRIDE, &[gateway, state]);
        }
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
}

/// Of a store in etcd, if it is one.
fn add_of_store(policy: &Policy, all: &mut Vec<Implied>) {
    if policy.config.store.etcd().is_none() {
        return;
    }
    for family in [&STORE_UP, &STORE_UNFINISHED, &STORE_AHEAD] {
        add(all, family, &[]);
    }
    for result in RpcEvent::RESULTS {
        add(all, &STORE_CALLS, &[result]);
    }
}

fn add_of_requests(policy: &Policy, all: &mut Vec<Implied>) {
    let sets = Sets::of(policy);
    for gateway in &sets.any {
        add(all, &DOUBTS_OPENED, &[gateway]);
        for compiled in policy.operations.iter() {
            add(all, &DURATIONS, &[&compiled.operation.name, gateway]);
        }
    }
    let mut add_of = |operation: &str, moves_money: bool, paths: Paths| {
        for (decision, claims, to) in paths.into_iter().flatten() {
            for claim in *claims {
                let outcomes = moves_money.then(|| PaymentOutcome::all_of(decision, claim));
                for outcome in outcomes.unwrap_or_else(|| vec![None]) {
                    let outcome = outcome.map_or("", PaymentOutcome::name);
                    for gateway in sets.of_kind(*to) {
                        add(all, &REQUESTS, &[operation, decision, claim, gateway, outcome]);
                    }
                }
            }
        }
    };
    add_of("", false, paths_of_none(policy));
    for compiled in policy.operations.iter() {
        let operation = &compiled.operation;
        let moves_money = matches!(operation.class, Class::Charge | Class::FollowUp);
        add_of(&operation.name, moves_money, paths(compiled, policy));
    }
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
/// Where it was never sent.
const UNSENT: &[&str] = &["", "settle_lost"];
/// Where it had ended before.
const ENDED: &[&str] = &["settled", "rejected", "closed"];
const NOTHING: &[&str] = &[""];

/// Of whatever is no known payment yet.
const REFUSED: [Path; 5] = [
    ("method", NOTHING, To::Nobody),
    ("bad_field", NOTHING, To::Nobody),
    ("body_too_large", NOTHING, To::Nobody),
    ("claim_store_failed", NOTHING, To::Nobody),
    // Its client left while the store was asked.
    ("client_gone", NOTHING, To::Nobody),
];

/// Of what moves money.
const PAYMENT: [Path; 34] = [
    // Nothing was sent.
    ("no_identity", NOTHING, To::Nobody),
    ("mismatch", NOTHING, To::Nobody),
    ("no_gateway", NOTHING, To::Nobody),
    ("claim_store_full", NOTHING, To::Nobody),
    ("pinned_gateway_down", NOTHING, To::Any),
    ("in_progress", NOTHING, To::Nobody),
    ("in_progress", NOTHING, To::Any),
    ("unknown", NOTHING, To::Nobody),
    ("unknown", NOTHING, To::Any),
    ("replay", &["settled"], To::Any),
    ("already_executed", NOTHING, To::Any),
    ("closed_failed", NOTHING, To::One),
    ("closed_cancelled", NOTHING, To::One),
    ("closed_refunded", NOTHING, To::One),
    // It is malformed, and its payment was made before.
    ("method", NOTHING, To::One),
    ("bad_field", NOTHING, To::One),
    ("no_identity", NOTHING, To::One),
    ("refused_in_doubt", NOTHING, To::Nobody),
    ("refused_in_doubt", NOTHING, To::Any),
    ("refused_executed", NOTHING, To::Any),
    // The gateway's answer was let through.
    ("forward", AFTER, To::Any),
    ("retry", AFTER, To::One),
    // An answer of ours took its place.
    ("unknown", UNPROVEN, To::Any),
    ("never_sent", UNSENT, To::Any),
    ("never_sent", &["rejected"], To::One),
    ("rate_limited", UNSENT, To::Any),
    ("rate_limited", &["rejected"], To::One),
    ("already_executed", &["settled", "settle_lost"], To::One),
    ("closed_failed", &["closed"], To::One),
    ("closed_cancelled", &["closed"], To::One),
    ("closed_refunded", &["closed"], To::One),
    // Nobody waited for it any more.
    ("unanswered", NOTHING, To::Any),
    ("unanswered", UNPROVEN, To::Any),
    ("unanswered", ENDED, To::One),
];

/// Of what follows up on a payment.
const FOLLOW_UP: [Path; 2] = [("follow", AFTER, To::One), ("unknown", &["rejected"], To::One)];

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
const STATUS: [Path; 7] = [
    ("forward", CONCERNED, To::One),
    ("follow", CONCERNED, To::One),
    ("unknown", CONCERNED, To::One),
    ("unknown", NOTHING, To::Any),
    ("no_answer", CONCERNED, To::Any),
    ("unanswered", CONCERNED, To::One),
    ("contradicted", &["settled"], To::One),
];

/// Of what changes something that is not money.
const STATE: [Path; 7] = [
    ("forward", NOTHING, To::Any),
    ("unknown", NOTHING, To::Any),
    ("unanswered", NOTHING, To::Any),
    ("never_sent", NOTHING, To::Any),
    ("rate_limited", NOTHING, To::Any),
    ("no_gateway", NOTHING, To::Nobody),
    ("pinned_gateway_down", NOTHING, To::One),
];

/// Where whoever calls has to prove who that is.
const PEER: Path = ("peer", NOTHING, To::Nobody);

/// Where not everybody may call everything; then of a payment that was made before.
const RIGHT: Path = ("operation", NOTHING, To::Nobody);
const RIGHT_TO_KNOWN: Path = ("operation", NOTHING, To::One);

/// Of a payment that may be repeated.
const REPEAT: Path = ("repeat", AFTER, To::One);

/// Of what is only observed; then of payments, and of what asks for one.
const OBSERVED: [Path; 2] = [("observe", NOTHING, To::Nobody), ("observe", NOTHING, To::One)];
const OBSERVED_PAYMENT: Path = ("observe", AFTER, To::One);
const OBSERVED_STATUS: Path = ("observe", CONCERNED, To::One);

/// Of what is of no operation.
const NAMELESS: [Path; 3] = [
    ("ambiguous_path", NOTHING, To::Nobody),
    ("bad_field", NOTHING, To::Nobody),
    ("body_too_large", NOTHING, To::Nobody),
];
/// The same, where it is refused.
const UNMATCHED: Path = ("unmatched", NOTHING, To::Nobody);
/// The same, where it is passed on.
const PASSED: [Path; 3] = [
    ("no_gateway", NOTHING, To::Nobody),
    ("claim_store_failed", NOTHING, To::Nobody),
    ("unknown", NOTHING, To::Any),
];

type Paths = Vec<&'static [Path]>;

/// What can become of a request of no operation.
#[inline(never)]
fn paths_of_none(policy: &Policy) -> Paths {
    let config = &policy.config;
    if policy.observes(None) {
        return vec![&OBSERVED];
    }
    let mut paths: Paths = vec![&NAMELESS];
    if !config.peers.is_empty() {
        paths.push(&[PEER]);
    }
    paths.push(if config.pass_unmatched { &PASSED } else { &[UNMATCHED] });
    paths
}

/// What can become of a request of this operation.
#[inline(never)]
fn paths(compiled: &Compiled, policy: &Policy) -> Paths {
    let operation = &compiled.operation;
    let config = &policy.config;
    let pays = matches!(operation.class, Class::Charge | Class::FollowUp);
    let asks = operation.class == Class::Inquiry && operation.status.is_some();
    let mut paths: Paths = Vec::with_capacity(8);
    let mut add = |is_so: bool, more: &'static [Path]| {
        if is_so {
            paths.push(more);
        }
    };
    if policy.observes(Some(compiled)) {
        add(true, &OBSERVED);
        add(pays, &[OBSERVED_PAYMENT]);
        add(asks, &[OBSERVED_STATUS]);
        return paths;
    }
    let has_rights =
        !config.partners.is_empty() || config.gateways.iter().any(|one| one.operations.is_some());
    add(true, &REFUSED);
    add(!config.peers.is_empty(), &[PEER]);
    add(has_rights, &[RIGHT]);
    add(has_rights && pays, &[RIGHT_TO_KNOWN]);
    add(pays, &PAYMENT);
    add(pays && operation.repeat == Repeat::ByReference, &[REPEAT]);
    add(operation.class == Class::FollowUp, &FOLLOW_UP);
    add(operation.class == Class::Inquiry, &INQUIRY);
    add(asks, &STATUS);
    add(operation.class == Class::State, &STATE);
    paths
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{
        AT_RISK, BUCKET_FILL, BUILD, CLAIMS, CONFIG, CONFIGURED_AT, COUNTED_AT, OLDEST, Row,
        STORE_FILL, TABLE, UNSUMMED,
    };
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
        let mut layout = Layout::new(Placement::new(config.store.claims_max, Seed::default()));
        Policy::join(config, &mut layout, Timestamp::default()).unwrap().0
    }

    #[test]
    fn what_two_gateways_imply_is_whole_and_each_is_there_once() {
        let all = all(&policy(2, ""));
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
            "dana_requests_total;operation=create-order;decision=forward;claim=settled;gateway=g0;outcome=executed",
            "dana_requests_total;operation=create-order;decision=claim_store_full;outcome=unavailable",
            "dana_requests_total;operation=create-order;decision=unknown;claim=in_doubt;gateway=g0+g1;outcome=unknown",
            "dana_requests_total;operation=refund;decision=replay;claim=settled;gateway=g1;outcome=executed",
            "dana_requests_total;operation=balance;decision=no_answer",
            "dana_requests_total;decision=unmatched",
            "dana_breaker_state;gateway=g1;state=open",
            "dana_gateway_duration_milliseconds;operation=balance;gateway=g0+g1",
            "dana_doubts_opened_total;gateway=g0+g1",
            "dana_doubts_resolved_total;by=operator",
        ] {
            assert!(names.iter().any(|other| other == name), "{name}");
        }
        assert!((1000..2000).contains(&names.len()), "{}", names.len());
        // Where connections are not watched there are no breaches.
        assert!(!names.iter().any(|name| name.starts_with("dana_channel_breaches_total")));
    }

    /// Whoever adds a metric says what is implied of it, or here why nothing is.
    #[test]
    fn each_metric_is_implied_or_begins_with_the_first_count() {
        let all = all(&policy(2, ""));
        let is_left_out = |row: &&Row| !all.iter().any(|one| *one.family == row.family);
        let left_out: Vec<Family> =
            TABLE.iter().filter(is_left_out).map(|row| row.family).collect();
        // No connections are watched here.
        let counted = [CLAIMS, OLDEST, AT_RISK, UNSUMMED, STORE_FILL, BUCKET_FILL, COUNTED_AT];
        // Nor is there a store in etcd.
        let etcd = [STORE_UP, STORE_CALLS, STORE_UNFINISHED, STORE_AHEAD];
        let (told, last) = counted.split_at(6);
        // Notifications and what is published of the audit trail are other modules'.
        let audit = TABLE.iter().map(|row| row.family).filter(|one| one.name.contains("_audit_"));
        let audit: Vec<Family> = audit.collect();
        assert_eq!(audit.len(), 6);
        // These are told at the start, as they are.
        let start = [BUILD, CONFIG, CONFIGURED_AT];
        let others = [NOTIFICATIONS, BREACHES];
        assert_eq!(left_out, [others.as_slice(), told, &etcd, last, &start, &audit].concat());
    }

    #[test]
    fn a_store_in_etcd_implies_how_its_calls_end() {
        let etcd = r#", "idempotency": {"store": {"etcd": {"cluster": "c", "realm": "r"}}}"#;
        let (all, local) = (all(&policy(2, etcd)), all(&policy(2, "")));
        let more: Vec<String> = all
            .iter()
            .filter(|one| !local.contains(one))
            .map(|one| {
                let values: Vec<&str> = one.values.iter().map(String::as_str).collect();
                one.family.full_name(&values)
            })
            .collect();
        let expected = [
            "dana_store_up",
            "dana_store_unfinished",
            "dana_store_clock_ahead_total",
            "dana_store_calls_total;result=ok",
            "dana_store_calls_total;result=refused",
            "dana_store_calls_total;result=unsent",
            "dana_store_calls_total;result=unclear",
        ];
        assert_eq!(more, expected);
    }

    #[test]
    fn a_very_large_configuration_stays_below_the_bound() {
        let all = all(&policy(16, ""));
        assert_eq!(all.len(), limits::METRICS_IMPLIED_MAX);
        let switches = all.iter().filter(|one| *one.family == SWITCHES).count();
        assert_eq!(switches, 16 * 15 * 3, "those of gateways are all there");
        const { assert!(limits::METRICS_IMPLIED_MAX < limits::METRICS_MAX) };
    }

    #[test]
    fn what_only_observes_refuses_nothing() {
        let all = all(&policy(2, r#", "mode": "observe""#));
        let requests = all.iter().filter(|one| *one.family == REQUESTS);
        assert!(requests.clone().count() > 20);
        assert!(requests.clone().all(|one| one.values[1] == "observe"));
    }
}
