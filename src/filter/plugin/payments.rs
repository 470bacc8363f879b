//! The payments' module: what it is made of, and the callbacks that it alone has.

use std::rc::Rc;

use super::{STREAMS, at_root, at_stream};
use crate::engine::{BackendEvent, RpcEvent, Ticket};
use crate::engine::{Config, PAYMENTS_MODULE};
use crate::filter::host::{Envoy, Host};
use crate::filter::root;
use crate::filter::store_calls::Asker;
use crate::filter::stream::{self, Flow};
use crate::filter::worker::Worker;

pub(super) type Root = root::Root<Envoy>;
pub(super) type Stream = stream::Stream<Envoy>;

pub(super) const MODULE: &str = PAYMENTS_MODULE;

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

pub(super) fn tick(number: u32) {
    let _ = at_root(number, Root::tick);
    let Some(worker) = at_root(number, |root| Rc::clone(root.worker())) else {
        return;
    };
    if let Ok(now) = worker.host.now() {
        for (asker, ticket) in worker.due(now) {
            tell(number, &worker, asker, ticket, BackendEvent::Waited);
        }
    }
    #[cfg(feature = "slow")]
    for (asker, ticket, event) in worker.slow.answers(&worker.host) {
        tell(number, &worker, asker, ticket, BackendEvent::Cell(event));
    }
}

pub(super) fn called(number: u32, token: u32, event: RpcEvent) {
    let Some(worker) = at_root(number, |root| Rc::clone(root.worker())) else {
        return;
    };
    worker.count_call(&event);
    if let Some((asker, ticket)) = worker.calls.take(token) {
        tell(number, &worker, asker, ticket, BackendEvent::Rpc(event));
    }
}

/// Hands what the store answers to whoever has asked: a request, or the worker where that is over, or
/// the worker for itself.
fn tell(root: u32, worker: &Worker<Envoy>, asker: Asker, ticket: Ticket, event: BackendEvent) {
    let context = match asker {
        Asker::Worker | Asker::Census => {
            let _ = at_root(root, |root| root.told(asker, ticket, event));
            return;
        }
        Asker::Request(context) => context,
    };
    if let Some(event) = worker.tell_unfinished(context, ticket, event) {
        let _ = at_stream(context, |stream| {
            if Envoy.speak_for(context).is_ok() {
                stream.told(ticket, event);
            }
            Flow::Continue
        });
    }
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

#[unsafe(no_mangle)]
extern "C" fn proxy_on_log(number: u32) {
    let _ = at_stream(number, |stream| {
        stream.log();
        Flow::Continue
    });
}
