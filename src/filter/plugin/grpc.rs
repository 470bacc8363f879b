//! What Envoy calls in modules that call a store.

use super::served;
use crate::engine::RpcEvent;
use crate::filter::host::Envoy;

/// Envoy makes every call of the store the root's. One that is answered ends with this callback.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_grpc_receive(number: u32, token: u32, _size: usize) {
    let answer = Envoy.rpc_answer().map_or(RpcEvent::Failed(GRPC_UNKNOWN), RpcEvent::Answered);
    served::called(number, token, answer);
}

/// One that is not answered, with this.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_grpc_close(number: u32, token: u32, status: u32) {
    served::called(number, token, RpcEvent::Failed(status));
}

/// gRPC's status for what the host does not let us read.
const GRPC_UNKNOWN: u32 = 2;
