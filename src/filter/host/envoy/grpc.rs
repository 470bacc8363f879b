//! Calls by gRPC.

use super::{Envoy, OK, buffer};
use crate::engine::RpcRequest;
use crate::engine::limits;
use crate::filter::host::HostError;
use crate::filter::pairs;

unsafe extern "C" {
    fn proxy_grpc_call(
        service: *const u8,
        service_size: usize,
        name: *const u8,
        name_size: usize,
        method: *const u8,
        method_size: usize,
        metadata: *const u8,
        metadata_size: usize,
        message: *const u8,
        message_size: usize,
        timeout_millis: u32,
        token: *mut u32,
    ) -> u32;
}

const BAD_ARGUMENT: u32 = 2;

#[allow(dead_code, reason = "called by the modules that call a store")]
impl Envoy {
    /// The answer to a call of the store.
    pub(in crate::filter) fn rpc_answer(self) -> Result<Vec<u8>, HostError> {
        const GRPC_RECEIVE: u32 = 5;
        buffer(GRPC_RECEIVE, limits::ETCD_ANSWER_MESSAGE_BYTES_MAX)
    }
}

/// Calls a method of what `cluster` reaches. Envoy makes it the root's: it goes on when the stream
/// ends.
pub(super) fn call(cluster: &str, request: &RpcRequest) -> Result<u32, HostError> {
    let target = grpc_service(cluster).ok_or(HostError(BAD_ARGUMENT))?;
    let (service, method) = request.method.names();
    let metadata = pairs::encode::<&str>(&[]);
    let timeout = u32::try_from(request.timeout.get()).unwrap_or(u32::MAX);
    let mut token = 0;
    let status = send(
        [&target, service.as_bytes(), method.as_bytes(), &metadata, &request.message],
        timeout,
        &mut token,
    );
    // As with other calls: a cluster without hosts is no fault of the host's.
    if status == OK { Ok(token) } else { Err(HostError(status)) }
}

/// The status where there is no such cluster, and no message: nothing is called.
pub(super) fn call_nobody() -> u32 {
    send([b"\xff", b"", b"", b"", b""], 1, &mut 0)
}

/// The target, the service, the method, the metadata and the message.
fn send(
    [target, service, method, metadata, message]: [&[u8]; 5],
    timeout_millis: u32,
    token: &mut u32,
) -> u32 {
    // SAFETY: pointers and lengths are those of live slices, the out-pointer is a live reference.
    unsafe {
        proxy_grpc_call(
            target.as_ptr(),
            target.len(),
            service.as_ptr(),
            service.len(),
            method.as_ptr(),
            method.len(),
            metadata.as_ptr(),
            metadata.len(),
            message.as_ptr(),
            message.len(),
            timeout_millis,
            token,
        )
    }
}

/// Envoy's `GrpcService` with an `envoy_grpc` of this cluster, serialised. Envoy also takes a bare name,
/// but tries to read it as this message first, and ends at once where a name happens to be one
/// without a target ("etcd0", "payments-etcd").
fn grpc_service(cluster: &str) -> Option<Vec<u8>> {
    const LENGTH_DELIMITED_1: u8 = 0x0A;
    let mut inner = vec![LENGTH_DELIMITED_1];
    inner.extend(varint(cluster.len())?);
    inner.extend(cluster.bytes());
    let mut message = vec![LENGTH_DELIMITED_1];
    message.extend(varint(inner.len())?);
    message.extend(inner);
    Some(message)
}

/// A length in groups of seven bits, the lowest first. No name is longer than two groups can say.
fn varint(length: usize) -> Option<Vec<u8>> {
    let length = u16::try_from(length).ok().filter(|length| *length < 1 << 14)?;
    let [low, high] = (length & 0x7F | (length >> 7) << 8).to_le_bytes();
    Some(if high == 0 { vec![low] } else { vec![low | 0x80, high] })
}
