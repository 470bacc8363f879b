//! The payments' module: what it is made of, and the callbacks that it alone has.

use std::rc::Rc;

use super::{STREAMS, at_root, at_stream};
use crate::engine::Config;
use crate::filter::host::Envoy;
use crate::filter::root;
use crate::filter::stream;

#[cfg(feature = "etcd")]
mod etcd;
#[cfg(not(feature = "etcd"))]
mod local;

#[cfg(feature = "etcd")]
use etcd as kept;
#[cfg(not(feature = "etcd"))]
use local as kept;

pub(super) type Root = root::Root<Envoy, kept::Stores>;
pub(super) type Stream = stream::Stream<Envoy, kept::Stores>;

#[cfg(feature = "etcd")]
pub(super) use kept::called;
pub(super) use kept::{MODULE, tick};

/// # Errors
/// When the configuration cannot work on the store that is there.
pub(super) fn start(config: Config) -> Result<Root, String> {
    let root = Root::configure(Envoy, config)?;
    let period = u32::try_from(root.period().get()).unwrap_or(1000);
    #[cfg(feature = "slow")]
    let period = period.min(50);
    Envoy.set_tick_period(period).map_err(|error| error.to_string())?;
    Ok(root)
}

pub(super) fn open(root: &Root, number: u32) -> Box<Stream> {
    Box::new(Stream::new(Rc::clone(root.worker()), number))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(number: u32, _count: usize, ends: u32) -> u32 {
    #[cfg(feature = "trap")]
    crate::filter::trap::spring(&Envoy, crate::filter::host::Side::Response);
    at_stream(number, |stream| stream.response_headers(ends != 0))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_body(number: u32, size: usize, ends: u32) -> u32 {
    at_stream(number, |stream| stream.response_body(size, ends != 0))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_trailers(number: u32, _count: usize) -> u32 {
    at_stream(number, Stream::response_trailers)
}

/// Envoy makes every call the root's, and its answer too. One that a request waits for is told apart
/// by its token, and Envoy must know for whom it is read.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(
    number: u32,
    token: u32,
    _headers: usize,
    _body_size: usize,
    _trailers: usize,
) {
    let taken = STREAMS.with(|streams| {
        let mut streams = streams.try_borrow_mut().ok()?;
        let (number, stream) = streams.first(|stream| stream.awaits(token))?;
        // If that fails nobody can be answered: the request stays held until its client leaves.
        if Envoy.speak_for(number).is_ok() {
            stream.call_answered(token);
        }
        Some(())
    });
    if taken.is_none() {
        let _ = at_root(number, |root| root.answered(token));
    }
}
