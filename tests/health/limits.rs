//! The configurations under which stories play, and the bound of "well again" that follows from
//! each.

use std::rc::Rc;

use dana_failover::engine::Timestamp;
use dana_failover::engine::limits;
use dana_failover::engine::{Config, Policy};
use dana_failover::engine::{Layout, Placement, Seed};

pub(crate) const NAMES: [&str; 3] = ["one", "two", "three"];

/// A configuration.
pub(crate) struct Setting {
    pub(crate) policy: Rc<Policy>,
    /// Longest time from one payment to the next.
    pub(crate) gap: u64,
}

/// Two gateways and the default limits.
pub(crate) fn defaults() -> Vec<Setting> {
    let config = format!(
        r#"{{"gateways": [{{"name": "{0}", "cluster": "c_{0}"}}, {{"name": "{1}", "cluster": "c_{1}"}}],
            "composites": [{{"members": ["{0}", "{1}"], "cluster": "c_{0}_{1}"}},
                {{"members": ["{1}", "{0}"], "cluster": "c_{1}_{0}"}}],
            "idempotency": {{"store": {{"local": {{"claims_max": 16}}}}}}}}"#,
        NAMES[0], NAMES[1],
    );
    vec![setting(&config, 250)]
}

fn setting(config: &str, gap: u64) -> Setting {
    let config = Config::parse(config.as_bytes()).unwrap();
    let mut layout = Layout::new(Placement::new(config.store.claims_max, Seed::default()));
    Setting {
        policy: Rc::new(Policy::join(config, &mut layout, Timestamp::default()).unwrap().0),
        gap,
    }
}

/// One thread's configurations.
pub(crate) fn all() -> Vec<Setting> {
    [
        // gateways, failures, permits, open_ms, jitter, stable_ms, dwell_ms
        (2, 3, 2, 1000, 0, 4000, 3000),
        (2, 2, 1, 500, 20, 1000, 6000),
        (3, 3, 3, 2000, 50, 3000, 2000),
        (3, 5, 2, 1000, 100, 6000, 5000),
    ]
    .into_iter()
    .map(|(gateways, failures, permits, open, jitter, stable, dwell)| {
        let names = &NAMES[..gateways];
        let list: Vec<String> = names
            .iter()
            .map(|name| format!(r#"{{"name": "{name}", "cluster": "c_{name}"}}"#))
            .collect();
        let pairs = names.iter().flat_map(|a| names.iter().map(move |b| (a, b)));
        let composites: Vec<String> = pairs
            .filter(|(a, b)| a != b)
            .map(|(a, b)| format!(r#"{{"members": ["{a}", "{b}"], "cluster": "c_{a}_{b}"}}"#))
            .collect();
        let config = format!(
            r#"{{"gateways": [{}], "composites": [{}],
                "timeouts": {{"response_ms": 1500, "inquiry_ms": 1500}},
                "idempotency": {{"lease_ms": 4000, "store": {{"local": {{"claims_max": 16}}}}}},
                "breaker": {{"consecutive_failures": {failures}, "window_ms": 4000, "min_calls": 6,
                    "slow_ms": 800, "unheard_ms": 300, "open_ms": {open}, "open_ms_max": 6000,
                    "open_jitter_pct": {jitter}, "half_open_permits": {permits},
                    "half_open_ms_max": 3000}},
                "heartbeat": {{"interval_ms": 1600, "timeout_ms": 400, "stale_ms": 5000}},
                "failback": {{"stable_ms": {stable}, "dwell_ms": {dwell}, "ramp_ms": 2000}},
                "testing": {{"unsafe_timings": true}}}}"#,
            list.join(","),
            composites.join(","),
        );
        setting(&config, 600)
    })
    .collect()
}

impl Setting {
    /// From the moment when all gateways work and nobody lies, the longest time until each breaker
    /// is closed and payments go to the first gateway again. Gateways are tried one after the
    /// other, so their waits may add up.
    pub(crate) fn well_within(&self) -> u64 {
        let policy = &self.policy;
        let (breaker, heartbeat) = (&policy.health.breaker, &policy.health.heartbeat);
        // A call that hangs may still fail, and open a breaker once more.
        let last_failure = policy.config.timeouts.response.get();
        let wait = breaker.open_max.get() * u64::from(100 + breaker.open_jitter_pct) / 100;
        let lost_permits = breaker.half_open_max.get();
        // A lease runs out, and then enough heartbeats are good.
        let probes = policy.health.heartbeat_lease().get()
            + (u64::from(heartbeat.rise) + 1) * heartbeat.interval.get()
            + policy.gateways[0].probe.timeout.get();
        let trials = (u64::from(breaker.half_open_permits) + 1) * (self.gap + 200);
        let each = wait + lost_permits + trials;
        let failback = policy.health.failback.stable.get().max(policy.health.failback.dwell.get());
        // Each step ends with a tick, and may be made again once for failures before all was well.
        let ramp = 2 * policy.health.failback.ramp.get() + u64::from(limits::RAMP_STEPS) * 500;
        let ticks = 2 * 500;
        last_failure + probes + each * policy.gateways.len() as u64 + failback + ramp + ticks
    }
}
