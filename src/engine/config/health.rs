//! The rules of health: breaker, heartbeat and failback.

use super::delays::{Floor, HOUR_MS};
use super::reader::{Errors, Fields};
use crate::engine::health::{BreakerLimits, Expect, Failback, HeartbeatLimits, ProbeSpec};
use crate::engine::limits;
use crate::engine::time::Millis;

/// `tick` is the period in which workers report their counts, `response` the time a gateway has to
/// answer.
pub(super) fn read_breaker(
    fields: &Fields<'_>,
    floor: Floor,
    tick: Millis,
    response: Millis,
) -> BreakerLimits {
    let percent = |name, default| clamp_u32(fields.number(name, 1..=100, default));
    let window = floor.millis(fields, "window_ms", 1000, HOUR_MS, 30_000);
    BreakerLimits {
        consecutive_failures: u16::try_from(fields.number("consecutive_failures", 1..=1000, 5))
            .unwrap_or(u16::MAX),
        window,
        rate_age_min: Millis::new((2 * tick.get()).min(window.get() / 2)),
        unheard: floor.millis(fields, "unheard_ms", 500, 120_000, 2000),
        silence_max: Millis::new(response.get().min(limits::SILENCE_MS_MAX) / 2),
        min_calls: clamp_u32(fields.number("min_calls", 1..=1_000_000, 10)),
        failure_rate_pct: percent("failure_rate_pct", 50),
        slow: floor.millis(fields, "slow_ms", 100, 120_000, 8000),
        slow_rate_pct: percent("slow_rate_pct", 80),
        in_flight_max: clamp_u32(fields.number("in_flight_max", 1..=1_000_000, 1024)),
        partner_failures_pct: percent("partner_failures_pct", 50),
        open: floor.millis(fields, "open_ms", 1000, HOUR_MS, 10_000),
        open_max: floor.millis(fields, "open_ms_max", 1000, 24 * HOUR_MS, 300_000),
        open_jitter_pct: clamp_u32(fields.number("open_jitter_pct", 0..=100, 20)),
        half_open_permits: u8::try_from(fields.number("half_open_permits", 1..=100, 3))
            .unwrap_or(u8::MAX),
        half_open_max: floor.millis(fields, "half_open_ms_max", 1000, HOUR_MS, 30_000),
    }
}

fn clamp_u32(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

pub(super) fn read_heartbeat(
    fields: &Fields<'_>,
    floor: Floor,
    errors: &Errors,
) -> HeartbeatLimits {
    let limits = HeartbeatLimits {
        interval: floor.millis(fields, "interval_ms", 500, HOUR_MS, 2000),
        stale: floor.millis(fields, "stale_ms", 1000, HOUR_MS, 10_000),
        rise: u8::try_from(fields.number("rise", 1..=100, 2)).unwrap_or(u8::MAX),
        fall: u8::try_from(fields.number("fall", 1..=100, 3)).unwrap_or(u8::MAX),
    };
    if limits.stale <= limits.interval {
        errors.add(
            "heartbeat.stale_ms",
            format!("more than heartbeat.interval_ms ({})", limits.interval.get()),
            limits.stale.get().to_string(),
        );
    }
    limits
}

/// What a heartbeat requests and expects. Fields that are absent are as in `base`.
pub(super) fn read_probe(fields: &Fields<'_>, floor: Floor, base: &ProbeSpec) -> ProbeSpec {
    let methods = [("GET", "GET"), ("HEAD", "HEAD")];
    let method = if base.method == "HEAD" { "HEAD" } else { "GET" };
    ProbeSpec {
        timeout: floor.millis(fields, "timeout_ms", 100, 60_000, base.timeout.get()),
        method: fields.choice("method", &methods, method).to_owned(),
        path: fields.text("path", &base.path, "a path that begins with /", |path| {
            path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic())
        }),
        expect: if fields.get("expect").is_some() {
            read_expect(&fields.object("expect"))
        } else {
            base.expect.clone()
        },
    }
}

fn read_expect(fields: &Fields<'_>) -> Expect {
    let status = fields.get("status").and_then(|node| node.number_unless("answered", &(100..=599)));
    let status = status.and_then(|status| u16::try_from(status).ok());
    let expected = "a text of at most 256 characters";
    let body_contains = fields.text("body_contains", "", expected, |text| text.len() <= 256);
    Expect { status, body_contains }
}

pub(super) fn read_failback(fields: &Fields<'_>, floor: Floor) -> Failback {
    Failback {
        manual: fields.choice("policy", &[("auto", false), ("manual", true)], false),
        stable: floor.millis(fields, "stable_ms", 5000, 24 * HOUR_MS, 60_000),
        dwell: floor.millis(fields, "dwell_ms", 5000, 24 * HOUR_MS, 30_000),
        ramp: Millis::new(fields.number("ramp_ms", 0..=24 * HOUR_MS, 30_000)),
    }
}
