//! The ABI, version 0.2.1, as Envoy implements it.

use std::cell::Cell;

use super::{
    BufferedRequest, Call, Expected, Host, HostError, MetricKind, Probe, Reply, RpcRequest, Side,
    StoreError, Timestamp,
};
use crate::engine::Millis;
use crate::engine::limits;
use crate::filter::pairs;

mod abi;
mod given;
mod grpc;

use abi::{
    proxy_continue_stream, proxy_define_metric, proxy_get_buffer_bytes,
    proxy_get_current_time_nanoseconds, proxy_get_header_map_pairs, proxy_get_metric,
    proxy_get_property, proxy_get_shared_data, proxy_http_call, proxy_increment_metric, proxy_log,
    proxy_record_metric, proxy_replace_header_map_value, proxy_send_local_response,
    proxy_set_effective_context, proxy_set_property, proxy_set_shared_data,
    proxy_set_tick_period_milliseconds,
};
use given::Given;

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const CAS_MISMATCH: u32 = 8;
const INTERNAL_FAILURE: u32 = 10;

/// A version that no value has: versions count up from 1. Envoy compares it only with the one
/// of a value that exists, so writing with it creates a value or loses. (0 would overwrite.)
const NEVER: u32 = u32::MAX;

thread_local! {
    /// Calls that have failed since somebody asked last.
    static ERRORS: Cell<u32> = const { Cell::new(0) };
}

fn check(status: u32) -> Result<(), HostError> {
    if status == OK {
        return Ok(());
    }
    ERRORS.set(ERRORS.get().saturating_add(1));
    Err(HostError(status))
}

/// The host of a filter that runs inside Envoy.
#[derive(Clone, Copy, Debug)]
pub(in crate::filter) struct Envoy;

impl Envoy {
    /// How often the root context is called.
    pub(in crate::filter) fn set_tick_period(self, millis: u32) -> Result<(), HostError> {
        // SAFETY: no pointer is passed.
        check(unsafe { proxy_set_tick_period_milliseconds(millis) })
    }

    /// From now on, within this callback, host calls are about the request of `context`.
    pub(in crate::filter) fn speak_for(self, context: u32) -> Result<(), HostError> {
        // SAFETY: no pointer is passed.
        check(unsafe { proxy_set_effective_context(context) })
    }

    /// The plugin's configuration.
    pub(in crate::filter) fn configuration(self) -> Result<Vec<u8>, HostError> {
        const PLUGIN_CONFIGURATION: u32 = 7;
        buffer(PLUGIN_CONFIGURATION, usize::MAX)
    }
}

fn nanoseconds() -> Result<u64, HostError> {
    let mut nanos = 0;
    // SAFETY: the out-pointer is to a live local.
    check(unsafe { proxy_get_current_time_nanoseconds(&raw mut nanos) })?;
    Ok(nanos)
}

fn buffer(buffer: u32, size_max: usize) -> Result<Vec<u8>, HostError> {
    let mut given = Given::new();
    // SAFETY: both out-pointers are to live locals.
    let status = unsafe {
        proxy_get_buffer_bytes(buffer, 0, size_max, &raw mut given.data, &raw mut given.size)
    };
    match status {
        NOT_FOUND => Ok(Vec::new()),
        status => check(status).map(|()| given.into_vec()),
    }
}

/// Sends a request to a cluster, past the router. Envoy makes it the root's: it goes on when the
/// stream ends.
fn send(
    cluster: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    timeout: Millis,
) -> Result<u32, HostError> {
    let headers = pairs::encode(headers);
    let trailers = pairs::encode::<&str>(&[]);
    let timeout = u32::try_from(timeout.get()).unwrap_or(u32::MAX);
    let mut token = 0;
    // SAFETY: pointers and lengths are those of live slices, the out-pointer is to a live local.
    let status = unsafe {
        proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            trailers.as_ptr(),
            trailers.len(),
            timeout,
            &raw mut token,
        )
    };
    // A cluster without hosts is no fault of the host's: whoever asked tells of it.
    if status == OK { Ok(token) } else { Err(HostError(status)) }
}

impl Host for Envoy {
    fn now(&self) -> Result<Timestamp, HostError> {
        Ok(Timestamp::from_millis(nanoseconds()? / 1_000_000))
    }

    fn noise(&self) -> Result<Vec<u8>, HostError> {
        /// About a fifth of a millisecond.
        const READINGS: usize = 1024;
        let mut noise = Vec::with_capacity(READINGS * size_of::<u64>());
        for _ in 0..READINGS {
            noise.extend(nanoseconds()?.to_le_bytes());
        }
        Ok(noise)
    }

    fn headers(&self, side: Side) -> Result<Vec<u8>, HostError> {
        let map = match side {
            Side::Request => 0,
            Side::Response => 2,
            Side::Call => 6,
        };
        let mut given = Given::new();
        // SAFETY: both out-pointers are to live locals.
        let status =
            unsafe { proxy_get_header_map_pairs(map, &raw mut given.data, &raw mut given.size) };
        check(status).map(|()| given.into_vec())
    }

    fn set_header(&self, side: Side, name: &str, value: &str) -> Result<(), HostError> {
        let map = match side {
            Side::Request => 0,
            Side::Response => 2,
            Side::Call => return Err(HostError(INTERNAL_FAILURE)),
        };
        // SAFETY: pointers and lengths are those of live slices.
        check(unsafe {
            proxy_replace_header_map_value(
                map,
                name.as_ptr(),
                name.len(),
                value.as_ptr(),
                value.len(),
            )
        })
    }

    fn body(&self, side: Side, bytes_max: usize) -> Result<Vec<u8>, HostError> {
        let kind = match side {
            Side::Request => 0,
            Side::Response => 1,
            Side::Call => 4,
        };
        buffer(kind, bytes_max)
    }

    fn property(&self, path: &str) -> Result<Option<Vec<u8>>, HostError> {
        let mut given = Given::new();
        // SAFETY: pointer and length are those of a live slice, both out-pointers are to live
        // locals.
        let status = unsafe {
            proxy_get_property(path.as_ptr(), path.len(), &raw mut given.data, &raw mut given.size)
        };
        match status {
            NOT_FOUND => Ok(None),
            status => check(status).map(|()| Some(given.into_vec())),
        }
    }

    fn set_property(&self, name: &str, value: &str) -> Result<(), HostError> {
        // SAFETY: pointers and lengths are those of live slices.
        check(unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
    }

    fn load(&self, key: &[u8]) -> Result<Option<(Vec<u8>, u32)>, HostError> {
        let mut given = Given::new();
        let mut version = 0;
        // SAFETY: pointer and length are those of a live slice, all out-pointers are to live
        // locals.
        let status = unsafe {
            proxy_get_shared_data(
                key.as_ptr(),
                key.len(),
                &raw mut given.data,
                &raw mut given.size,
                &raw mut version,
            )
        };
        match status {
            NOT_FOUND => Ok(None),
            status => check(status).map(|()| Some((given.into_vec(), version))),
        }
    }

    fn store(&self, key: &[u8], value: &[u8], expected: Expected) -> Result<(), StoreError> {
        let version = match expected {
            Expected::Absent => NEVER,
            Expected::Any => 0,
            Expected::At(0) => return Err(StoreError::Failed(HostError(INTERNAL_FAILURE))),
            Expected::At(version) => version,
        };
        // SAFETY: pointers and lengths are those of live slices.
        let status = unsafe {
            proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), version)
        };
        match status {
            CAS_MISMATCH => Err(StoreError::Conflict),
            status => check(status).map_err(StoreError::Failed),
        }
    }

    fn reply(&self, reply: &Reply) -> Result<(), HostError> {
        let headers = pairs::encode(&reply.headers);
        let details = format!("dana{{{}}}", reply.reason);
        // SAFETY: pointers and lengths are those of live slices.
        check(unsafe {
            proxy_send_local_response(
                u32::from(reply.status),
                details.as_ptr(),
                details.len(),
                reply.body.as_ptr(),
                reply.body.len(),
                headers.as_ptr(),
                headers.len(),
                -1,
            )
        })
    }

    fn resume(&self, side: Side) -> Result<(), HostError> {
        let stream = match side {
            Side::Request => 0,
            Side::Response => 1,
            // The answer to a call of ours is nothing that Envoy holds.
            Side::Call => return Ok(()),
        };
        // SAFETY: no pointer is passed.
        check(unsafe { proxy_continue_stream(stream) })
    }

    fn probe(&self, probe: &Probe) -> Result<u32, HostError> {
        let headers = [
            (":method", probe.spec.method.as_str()),
            (":path", probe.spec.path.as_str()),
            (":authority", probe.host.as_str()),
            ("user-agent", "dana-failover-heartbeat"),
        ];
        send(&probe.cluster, &headers, &[], probe.spec.timeout)
    }

    fn hand_over(&self, cluster: &str, events: &[u8]) -> Result<u32, HostError> {
        let headers = [(":method", "POST"), (":path", "/"), (":authority", "dana-audit")];
        send(cluster, &headers, events, Millis::new(limits::AUDIT_CALL_MS))
    }

    /// Envoy itself sets the length of the body.
    fn call(&self, call: &Call, request: &BufferedRequest) -> Result<u32, HostError> {
        let fields = pairs::decode(&request.headers).unwrap_or_default();
        let set = |name: &str| call.headers.iter().any(|(other, _)| other == name);
        let mut headers: Vec<(&str, &str)> = fields
            .iter()
            .filter_map(|(name, value)| {
                let name = std::str::from_utf8(name).ok()?;
                (!is_of_one_hop(name) && !set(name))
                    .then_some((name, std::str::from_utf8(value).ok()?))
            })
            .collect();
        headers.extend(call.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        send(&call.cluster, &headers, &request.body, call.timeout)
    }

    fn rpc(&self, cluster: &str, request: &RpcRequest) -> Result<u32, HostError> {
        grpc::call(cluster, request)
    }

    /// Nothing is called, and there is no stream. Only what the list withholds answers with a failure of
    /// the host. Callbacks that it withholds show when the worker joins.
    fn withheld(&self) -> Option<&'static str> {
        // Operators are answered, and nothing goes on. No context has the last number.
        let other = if cfg!(feature = "operators") {
            let status = self.speak_for(u32::MAX).map_or_else(|error| error.0, |()| OK);
            ("proxy_set_effective_context", status)
        } else {
            // SAFETY: no pointer is passed.
            ("proxy_continue_stream", unsafe { proxy_continue_stream(0) })
        };
        let named = [("proxy_grpc_call", grpc::call_nobody()), other];
        named.into_iter().find(|(_, status)| *status == INTERNAL_FAILURE).map(|(name, _)| name)
    }

    fn define_metric(&self, kind: MetricKind, name: &str) -> Result<u32, HostError> {
        let mut id = 0;
        let kind = match kind {
            MetricKind::Counter => 0,
            MetricKind::Gauge => 1,
            MetricKind::Histogram => 2,
        };
        // SAFETY: pointer and length are those of a live slice, the out-pointer is to a live
        // local.
        check(unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) })?;
        Ok(id)
    }

    fn increment(&self, metric: u32, by: u32) -> Result<(), HostError> {
        // SAFETY: no pointer is passed.
        check(unsafe { proxy_increment_metric(metric, by.into()) })
    }

    fn metric(&self, metric: u32) -> Result<u64, HostError> {
        let mut value = 0;
        // SAFETY: the out-pointer is to a live local.
        check(unsafe { proxy_get_metric(metric, &raw mut value) })?;
        Ok(value)
    }

    fn record(&self, metric: u32, value: u64) -> Result<(), HostError> {
        // SAFETY: no pointer is passed.
        check(unsafe { proxy_record_metric(metric, value) })
    }

    fn take_errors(&self) -> u32 {
        ERRORS.take()
    }
}

/// Fields that speak of the client's connection or of Envoy's own doing.
fn is_of_one_hop(name: &str) -> bool {
    let exact = ["connection", "content-length", "expect", "keep-alive", "te", "upgrade"];
    let more = ["transfer-encoding", "proxy-connection", ":protocol"];
    exact.contains(&name)
        || more.contains(&name)
        || name.starts_with("x-envoy-")
        || name.starts_with("x-dana-")
}

/// Writes a line into Envoy's log. One that the host will not take is not worth failing for.
pub(super) fn write_log(level: u32, line: &str) {
    // SAFETY: pointer and length are those of a live string.
    let _ = unsafe { proxy_log(level, line.as_ptr(), line.len()) };
}
