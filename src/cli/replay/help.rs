//! The long help: what goes in, what comes out.

pub(super) const TEXT: &str = r#"INPUT, one JSON object a line; blank lines are passed over:
  {"time": "2026-11-22T23:17:39.123+07:00", "gateway": "primary", "outcome": "failure", "latency_ms": 812}
      time        when the call ended: RFC 3339, or milliseconds since 1970
      gateway     a name from the configuration
      outcome     success    it works
                  failure    it fails: 5xx, timeout, no connection
                  throttled  429: counts to the failure rate only
                  alive      a NO or "in progress": ends a run of failures, counts to no rate
                  abandoned  sent, and the client left before anything was heard: many in a row, with
                             nothing heard in between, open the breaker
                  neutral    nothing
      latency_ms  how long it took, or how long the client waited; 0 unless given
      pinned      true for a status, refund or repeat, which goes where its payment is
  {"time": 1795364259123, "gateway": "secondary", "heartbeat": "good"}      or "bad"
  Or lines of the access log as envoy/envoy.yaml writes it (time, duration_ms, status, flags,
  attempts, cluster, connected, dana), judged again. Requests that the filter or Envoy answered
  itself say nothing of a gateway and are passed over.
  It may come as `docker logs`, `docker compose logs` and `kubectl logs` print it, with time stamps
  and names before each line, or from a runtime's file (`... stdout F {...}`, lines in parts
  joined). Lines of Envoy's own log, of the operators' listener (with a member `listener`) and other
  text are passed over and counted. A line that begins like JSON and is not as above is an error.

ORDER: a line up to 60 s older than one before it counts at the later one's time, and is counted as
late; an older one is an error. All times lie within 31 days.

WHAT IS ASSUMED: outcomes are what they were, wherever a payment would have gone. So a gateway that
the file shows no calls to, while its breaker is open, is never tried and never comes back; and a
failure is "avoided" if the other gateway would have taken the payment.

TIMELINE: A new payments go there, . ready, O breaker open, T trials (half-open), - no fresh
heartbeat. Each column shows the gravest state in its time: O before T before A.

OUTPUT of --format json, one object:
  decisions[]      {at, line, kind, ...}; line is null where time alone decided
                   kind breaker: gateway, to (closed, open, half_open), rule, numbers, generation,
                   until (open only); kind switch: from, to, cause; kind heartbeat: gateway, up;
                   kind disagree (heartbeat and traffic): gateway, heartbeat_up
  decisions_left_out  beyond the first 100000
  lines            {all, outcomes, heartbeats, passed_over (of no gateway), late, late_ms_max,
                   skipped {envoys_log, operators, other_text, first_other_text_line, unfinished
                   (parts without their end)}}
  from, to         first and last time
  switches         {failovers, failbacks}
  payments         {all, moved, failures_avoided, refused, trials}
  gateways[]       {name, active_ms, closed_ms, open_ms, half_open_ms, silent_ms, trips, slow,
                   outcomes {success, failure, throttled, alive, abandoned, neutral}}
  timeline         {column_ms, rows[] {gateway, states}}

EXIT: 0 it would not have switched, 1 it would have, 2 usage or input error."#;
