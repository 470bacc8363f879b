//! Why a breaker moved: the rule and the numbers that decided.

use super::limits::BreakerLimits;
use crate::engine::codec::Reader;
use crate::engine::health::window::Tally;

/// Why a breaker moved, with the numbers that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Too many failures in a row.
    ConsecutiveFailures {
        /// How many.
        run: u16,
    },
    /// Too many failures among the calls in the window.
    FailureRate {
        /// The calls in the window.
        seen: Tally,
    },
    /// Too many slow answers among the calls in the window.
    SlowRate {
        /// The calls in the window.
        seen: Tally,
    },
    /// Too many requests in flight.
    InFlight {
        /// How many, over all workers.
        requests: u32,
    },
    /// Too many payments in a row without any answer.
    Unheard {
        /// How many.
        requests: u16,
    },
    /// A trial failed.
    TrialFailed,
    /// A trial was answered with "too many requests".
    TrialThrottled,
    /// The wait is over.
    WaitOver,
    /// An operator forces payments to the gateway.
    Forced,
    /// Enough trials passed.
    TrialsPassed {
        /// How many.
        passed: u8,
    },
}

impl Rule {
    /// Every move that a breaker makes: the new state and the rule. Each has a metric from the start.
    pub const MOVES: [(&'static str, &'static str); 10] = [
        ("open", "consecutive_failures"),
        ("open", "failure_rate"),
        ("open", "slow_rate"),
        ("open", "in_flight"),
        ("open", "unheard"),
        ("open", "trial_failed"),
        ("open", "trial_throttled"),
        ("half_open", "wait_over"),
        ("half_open", "forced"),
        ("closed", "trials_passed"),
    ];

    /// The rate that trips, if any. `failures` and `slow` are as many of the calls as count.
    pub(super) fn for_rates(
        seen: Tally,
        failures: u32,
        slow: u32,
        limits: &BreakerLimits,
    ) -> Option<Self> {
        if seen.calls < limits.min_calls {
            return None;
        }
        let reaches =
            |part: u32, pct: u32| u64::from(part) * 100 >= u64::from(pct) * u64::from(seen.calls);
        if reaches(failures, limits.failure_rate_pct) {
            return Some(Self::FailureRate { seen });
        }
        reaches(slow, limits.slow_rate_pct).then_some(Self::SlowRate { seen })
    }

    /// Its name in logs, metrics and reports.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ConsecutiveFailures { .. } => "consecutive_failures",
            Self::FailureRate { .. } => "failure_rate",
            Self::SlowRate { .. } => "slow_rate",
            Self::InFlight { .. } => "in_flight",
            Self::Unheard { .. } => "unheard",
            Self::TrialFailed => "trial_failed",
            Self::TrialThrottled => "trial_throttled",
            Self::WaitOver => "wait_over",
            Self::Forced => "forced",
            Self::TrialsPassed { .. } => "trials_passed",
        }
    }

    /// The numbers that decided, with their names in reports.
    #[must_use]
    pub fn numbers(&self) -> Vec<(&'static str, u64)> {
        let tally = |seen: &Tally| {
            let numbers = [("calls", seen.calls), ("failures", seen.failures), ("slow", seen.slow)];
            numbers.map(|(name, number)| (name, u64::from(number))).to_vec()
        };
        match self {
            Self::ConsecutiveFailures { run } => vec![("failures", u64::from(*run))],
            Self::FailureRate { seen } | Self::SlowRate { seen } => tally(seen),
            Self::InFlight { requests } => vec![("requests", u64::from(*requests))],
            Self::Unheard { requests } => vec![("requests", u64::from(*requests))],
            Self::TrialFailed | Self::TrialThrottled | Self::WaitOver | Self::Forced => Vec::new(),
            Self::TrialsPassed { passed } => vec![("passed", u64::from(*passed))],
        }
    }

    /// The same as a sentence for people, with the limit that was reached.
    #[must_use]
    pub fn sentence(&self, limits: &BreakerLimits) -> String {
        match self {
            Self::ConsecutiveFailures { run } => {
                format!("{run} failures in a row (limit {})", limits.consecutive_failures)
            }
            Self::FailureRate { seen: Tally { calls, failures, .. } } => {
                format!("{failures} of {calls} calls failed (limit {}%)", limits.failure_rate_pct)
            }
            Self::SlowRate { seen: Tally { calls, slow, .. } } => {
                format!("{slow} of {calls} calls were slow (limit {}%)", limits.slow_rate_pct)
            }
            Self::InFlight { requests } => {
                format!("{requests} requests under way (limit {})", limits.in_flight_max)
            }
            Self::Unheard { requests } => {
                format!(
                    "nothing was heard of {requests} payments in a row (limit {})",
                    limits.consecutive_failures
                )
            }
            Self::TrialFailed => "a trial failed".to_owned(),
            Self::TrialThrottled => "the gateway asked for fewer requests on trial".to_owned(),
            Self::WaitOver => "the wait is over".to_owned(),
            Self::Forced => "an operator forces payments on it".to_owned(),
            Self::TrialsPassed { passed } => format!("{passed} trials passed"),
        }
    }

    pub(super) fn encode(rule: Option<Self>, bytes: &mut Vec<u8>) {
        let (tag, seen) = match rule {
            None => (0, Tally::default()),
            Some(Self::ConsecutiveFailures { run }) => (1, number(run.into())),
            Some(Self::FailureRate { seen }) => (2, seen),
            Some(Self::SlowRate { seen }) => (3, seen),
            Some(Self::TrialFailed) => (4, Tally::default()),
            Some(Self::WaitOver) => (5, Tally::default()),
            Some(Self::TrialsPassed { passed }) => (6, number(passed.into())),
            Some(Self::InFlight { requests }) => (7, number(requests)),
            Some(Self::Unheard { requests }) => (8, number(requests.into())),
            Some(Self::TrialThrottled) => (9, Tally::default()),
            Some(Self::Forced) => (10, Tally::default()),
        };
        bytes.push(tag);
        seen.encode(bytes);
    }

    /// The outer `None` is for bytes that cannot be read.
    #[expect(clippy::option_option, reason = "a breaker that never moved has no rule")]
    pub(super) fn decode(bytes: &mut Reader<'_>) -> Option<Option<Self>> {
        let (tag, seen) = (bytes.byte()?, Tally::decode(bytes)?);
        Some(Some(match tag {
            0 => return Some(None),
            1 => Self::ConsecutiveFailures { run: u16::try_from(seen.calls).ok()? },
            2 => Self::FailureRate { seen },
            3 => Self::SlowRate { seen },
            4 => Self::TrialFailed,
            5 => Self::WaitOver,
            6 => Self::TrialsPassed { passed: u8::try_from(seen.calls).ok()? },
            7 => Self::InFlight { requests: seen.calls },
            8 => Self::Unheard { requests: u16::try_from(seen.calls).ok()? },
            9 => Self::TrialThrottled,
            10 => Self::Forced,
            _ => return None,
        }))
    }
}

/// A tally that holds one number.
const fn number(calls: u32) -> Tally {
    Tally { calls, failures: 0, slow: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_among_the_moves() {
        let mut rules = Vec::new();
        for tag in 1..=u8::MAX {
            let mut bytes = vec![tag];
            Tally::default().encode(&mut bytes);
            rules.extend(Rule::decode(&mut Reader(&bytes)).flatten());
        }
        assert!(rules.len() >= 7, "{rules:?}");
        for rule in &rules {
            let named = |(_, name): &&(&str, &str)| *name == rule.name();
            assert!(Rule::MOVES.iter().any(|one| named(&one)), "{rule:?}");
        }
        assert_eq!(rules.len(), Rule::MOVES.len());
    }
}
