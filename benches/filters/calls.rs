//! A filter that makes the host calls of a charge and decides nothing: what the host alone costs.
//!
//! The calls that `src/filter/tests/budget.rs` knows of a first payment, in the same order and of about the
//! same sizes, over the ABI itself. What is read is not looked at. Only Envoy can load it, so natively this
//! file is empty.
#![cfg(target_family = "wasm")]
#![allow(unsafe_code, reason = "the ABI passes pointers")]
#![allow(clippy::missing_safety_doc, clippy::undocumented_unsafe_blocks, reason = "a yardstick")]
#![allow(static_mut_refs, reason = "one thread, and no value that two calls hold")]

#[path = "../../src/filter/host/envoy/abi.rs"]
#[allow(dead_code, reason = "a charge does not take all of them")]
mod abi;

use abi::*;

/// What the host hands over goes here, and is forgotten with the next request.
static mut ROOM: [u8; 64 * 1024] = [0; 64 * 1024];
static mut USED: usize = 0;
static mut COUNTER: u32 = 0;
static mut PAYMENTS: u32 = 0;

/// Bytes of a bucket of claims, and of a set of sixteen kept answers that is half full.
const CLAIMS: usize = 200;
const ANSWERS: usize = 4000;
const REQUEST: u32 = 0;
const RESPONSE: u32 = 2;

#[unsafe(export_name = "malloc")]
extern "C" fn allocate(size: usize) -> *mut u8 {
    unsafe {
        if USED + size > ROOM.len() {
            USED = 0;
        }
        let place = ROOM.as_mut_ptr().add(USED);
        USED += size.next_multiple_of(16);
        place
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn _initialize() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(_: u32, _: u32) {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(_: u32, _: usize) -> u32 {
    let name = b"calls_total";
    unsafe { proxy_define_metric(0, name.as_ptr(), name.len(), &raw mut COUNTER) };
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(_: u32, _: usize, _: u32) -> u32 {
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(_: u32, _: usize, ends: u32) -> u32 {
    if ends == 0 {
        return 1;
    }
    unsafe {
        USED = 0;
        PAYMENTS = PAYMENTS.wrapping_add(1);
    }
    headers(REQUEST);
    body(0);
    now();
    metric();
    let version = load(b'c');
    store(b'c', CLAIMS, version);
    set_header(REQUEST, b"x-dana-cluster", b"dana_primary_first");
    set_header(REQUEST, b"x-envoy-upstream-rq-timeout-ms", b"10000");
    set_header(REQUEST, b"accept-encoding", b"identity");
    set_header(REQUEST, b"idempotency-key", &[b'a'; 66]);
    0
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(_: u32, _: usize, _: u32) -> u32 {
    headers(RESPONSE);
    property(b"response\0code_details");
    property(b"xds\0upstream_host_metadata\0filter_metadata\0dana.failover\0gateway");
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_body(_: u32, _: usize, ends: u32) -> u32 {
    if ends == 0 {
        return 1;
    }
    body(1);
    now();
    let version = load(b'c');
    store(b'c', CLAIMS, version);
    metric();
    let version = load(b'b');
    store(b'b', ANSWERS, version);
    let (name, line) = (b"dana_decision", [b'a'; 120]);
    unsafe { proxy_set_property(name.as_ptr(), name.len(), line.as_ptr(), line.len()) };
    unsafe { proxy_increment_metric(COUNTER, 1) };
    set_header(RESPONSE, b"x-dana-gateway", b"primary");
    0
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_log(_: u32) {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(_: u32) {}

fn given(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) {
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    call(&raw mut data, &raw mut size);
}

fn headers(map: u32) {
    given(|data, size| unsafe { proxy_get_header_map_pairs(map, data, size) });
}

fn body(buffer: u32) {
    given(|data, size| unsafe { proxy_get_buffer_bytes(buffer, 0, 65_536, data, size) });
}

fn property(path: &[u8]) {
    given(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) });
}

fn now() {
    let mut time = 0;
    unsafe { proxy_get_current_time_nanoseconds(&raw mut time) };
}

fn metric() {
    let mut value = 0;
    unsafe { proxy_get_metric(COUNTER, &raw mut value) };
}

fn set_header(map: u32, name: &[u8], value: &[u8]) {
    let (name, name_size, value, value_size) =
        (name.as_ptr(), name.len(), value.as_ptr(), value.len());
    unsafe { proxy_replace_header_map_value(map, name, name_size, value, value_size) };
}

/// One of 4096 values of each kind.
fn key(kind: u8) -> [u8; 19] {
    let mut key = *b"calls.failover.0000";
    let [high, low] = (unsafe { PAYMENTS } % 4096).to_be_bytes().last_chunk().copied().unwrap();
    key[14..17].copy_from_slice(&[kind, high, low]);
    key
}

fn load(kind: u8) -> u32 {
    let (key, mut version) = (key(kind), 0);
    given(|data, size| unsafe {
        proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut version)
    });
    version
}

fn store(kind: u8, size: usize, version: u32) {
    let key = key(kind);
    unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), ROOM.as_ptr(), size, version) };
}
