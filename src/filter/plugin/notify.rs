//! The module that takes gateways' notifications in: what it is made of, and the callbacks that it has
//! beside those of all.

use std::rc::Rc;

use super::{at_root, at_stream};
use crate::engine::limits;
use crate::engine::{BackendEvent, RpcEvent, Ticket};
use crate::engine::{Config, NOTIFY_MODULE};
use crate::filter::host::{Envoy, Host};
use crate::filter::notification::{NotificationRoot, NotificationStream};
use crate::filter::store_calls::Asker;
use crate::filter::stream::Flow;
use crate::filter::with_etcd::WithEtcd;
use crate::filter::worker::Worker;

pub(super) type Root = NotificationRoot<Envoy>;
pub(super) type Stream = NotificationStream<Envoy>;

pub(super) const MODULE: &str = NOTIFY_MODULE;

/// # Errors
/// Every mistake in the configuration, or why it cannot work on the store that is there.
pub(super) fn start(config: Config) -> Result<Root, String> {
    let period = match config.store.etcd() {
        Some(_) => limits::ETCD_TICK_MS,
        None => limits::NOTIFY_TICK_MS,
    };
    let root = Root::configure(Envoy, config)?;
    let period = u32::try_from(period).unwrap_or(1000);
    Envoy.set_tick_period(period).map_err(|error| error.to_string())?;
    Ok(root)
}

pub(super) fn open(root: &Root, number: u32) -> Box<Stream> {
    Box::new(root.open(number))
}

pub(super) fn tick(number: u32) {
    let _ = at_root(number, Root::tick);
    let Some(worker) = at_root(number, |root| Rc::clone(&root.worker)) else {
        return;
    };
    if let Ok(now) = worker.host.now() {
        for (asker, ticket) in worker.due(now) {
            tell(number, asker, ticket, BackendEvent::Waited);
        }
    }
}

pub(super) fn called(number: u32, token: u32, event: RpcEvent) {
    let Some(worker) = at_root(number, |root| Rc::clone(&root.worker)) else {
        return;
    };
    let worker: Rc<Worker<Envoy, WithEtcd>> = worker;
    worker.count_call(&event);
    if let Some((asker, ticket)) = worker.stores.calls.take(token) {
        tell(number, asker, ticket, BackendEvent::Rpc(event));
    }
}

/// Hands what the store answers to whoever has asked: a notification, or the worker for itself.
fn tell(root: u32, asker: Asker, ticket: Ticket, event: BackendEvent) {
    let Asker::Request(context) = asker else {
        let _ = at_root(root, |root| root.told(asker, ticket, event));
        return;
    };
    let _ = at_stream(context, |stream| {
        if Envoy.speak_for(context).is_ok() {
            stream.told(ticket, event);
        }
        Flow::Continue
    });
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(number: u32, _count: usize, ends: u32) -> u32 {
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

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(
    number: u32,
    token: u32,
    _headers: usize,
    _body_size: usize,
    _trailers: usize,
) {
    let _ = at_root(number, |root| root.answered(token));
}
