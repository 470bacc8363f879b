//! What Envoy calls: the callbacks of the proxy-wasm ABI, version 0.2.1, by the names it knows.
//!
//! Each module exports what its listener needs and nothing else; for what is not there Envoy goes on
//! by itself. The modules are built from one package: the feature `operators` or `notify` says which, and
//! none is the payments' module. None carries another's code.
//!
//! A number that is not known cannot come from Envoy. If one does, its request is held: what was
//! not decided is not sent.

use std::cell::RefCell;

use super::contexts::Contexts;
use super::heap::Heap;
use super::host::{Envoy, install_log};
use super::stream::Flow;
use crate::engine::Config;

#[cfg(any(feature = "etcd", feature = "operators", feature = "notify"))]
mod grpc;
#[cfg(feature = "notify")]
mod notify;
#[cfg(feature = "operators")]
mod operators;
#[cfg(not(any(feature = "operators", feature = "notify")))]
mod payments;

#[cfg(feature = "notify")]
use notify as served;
#[cfg(feature = "operators")]
use operators as served;
#[cfg(not(any(feature = "operators", feature = "notify")))]
use payments as served;

#[global_allocator]
static HEAP: Heap<std::alloc::System> = Heap::over(std::alloc::System);

thread_local! {
    /// Plugins, one for each configuration that is in use. `None` until it is accepted.
    static ROOTS: RefCell<Contexts<Option<served::Root>>> = const { RefCell::new(Contexts::new()) };
    static STREAMS: RefCell<Contexts<Box<served::Stream>>> =
        const { RefCell::new(Contexts::new()) };
}

/// Hands a callback to the request it is for.
fn at_stream(number: u32, callback: impl FnOnce(&mut served::Stream) -> Flow) -> u32 {
    let flow = STREAMS.with(|streams| {
        let mut streams = streams.try_borrow_mut().ok()?;
        streams.by_number(number).map(|stream| callback(stream))
    });
    match flow {
        Some(Flow::Continue) => 0,
        Some(Flow::Hold) | None => 1,
    }
}

/// Does something with a plugin that has its configuration.
fn at_root<T>(number: u32, callback: impl FnOnce(&mut served::Root) -> T) -> Option<T> {
    ROOTS.with(|roots| {
        let mut roots = roots.try_borrow_mut().ok()?;
        roots.by_number(number)?.as_mut().map(callback)
    })
}

/// # Errors
/// Every mistake in the configuration, one line each.
fn configure() -> Result<served::Root, Vec<String>> {
    let bytes = Envoy.configuration().map_err(|error| vec![error.to_string()])?;
    let config = Config::parse(&bytes)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    config.role.check_module(served::MODULE).map_err(|error| vec![error])?;
    served::start(config).map_err(|error| vec![error])
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    install_log();
}

/// Where the host puts what it hands over. `host::envoy` takes it as a vector of just this size.
#[unsafe(export_name = "malloc")]
extern "C" fn allocate(size: usize) -> *mut u8 {
    Box::into_raw(Box::<[u8]>::new_uninit_slice(size)).cast()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(number: u32, root: u32) {
    if root == 0 {
        let _ = ROOTS.with(|roots| roots.try_borrow_mut().map(|mut all| all.insert(number, None)));
    } else if let Some(stream) = at_root(root, |root| served::open(root, number)) {
        let insert = |mut all: std::cell::RefMut<'_, Contexts<_>>| all.insert(number, stream);
        let _ = STREAMS.with(|streams| streams.try_borrow_mut().map(insert));
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(number: u32, _size: usize) -> u32 {
    let configured = configure();
    for mistake in configured.as_ref().err().into_iter().flatten() {
        log::error!("{mistake}");
    }
    let Ok(root) = configured else {
        return 0;
    };
    let insert = |mut all: std::cell::RefMut<'_, Contexts<_>>| all.insert(number, Some(root));
    u32::from(ROOTS.with(|roots| roots.try_borrow_mut().map(insert)).is_ok())
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(number: u32, _count: usize, ends: u32) -> u32 {
    #[cfg(all(feature = "trap", feature = "operators"))]
    super::trap::spring(&Envoy, super::host::Side::Request);
    at_stream(number, |stream| stream.request_headers(ends != 0))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(number: u32, size: usize, ends: u32) -> u32 {
    at_stream(number, |stream| stream.request_body(size, ends != 0))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(number: u32, _count: usize) -> u32 {
    at_stream(number, served::Stream::request_trailers)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(number: u32) {
    served::tick(number);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_log(number: u32) {
    let _ = at_stream(number, |stream| {
        stream.log();
        Flow::Continue
    });
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(number: u32) {
    let _ = at_root(number, |root| root.close());
    let _ = STREAMS.with(|streams| streams.try_borrow_mut().map(|mut all| all.remove(number)));
    let _ = ROOTS.with(|roots| roots.try_borrow_mut().map(|mut all| all.remove(number)));
}
