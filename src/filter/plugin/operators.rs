//! The operators' module: what it is made of. Its answers are its own, so nothing comes back that
//! it would have to see, but for what a store in etcd answers.

use std::rc::Rc;

use super::{STREAMS, at_root, at_stream};
use crate::engine::limits;
use crate::engine::{BackendEvent, RpcEvent, Ticket};
use crate::engine::{Config, OPERATORS_MODULE};
use crate::filter::admin::{AdminRoot, AdminStream};
use crate::filter::host::Envoy;
use crate::filter::store_calls::Asker;
use crate::filter::stream::Flow;

pub(super) type Root = Rc<AdminRoot<Envoy>>;
pub(super) type Stream = AdminStream<Envoy>;

pub(super) const MODULE: &str = OPERATORS_MODULE;

/// # Errors
/// When the store in etcd cannot be called, or Envoy does not let it tick for that.
pub(super) fn start(config: Config) -> Result<Root, String> {
    let root = AdminRoot::new(Envoy, config)?;
    if root.ticks() {
        let period = u32::try_from(limits::ETCD_TICK_MS).unwrap_or(1000);
        Envoy.set_tick_period(period).map_err(|error| error.to_string())?;
    }
    Ok(Rc::new(root))
}

pub(super) fn open(root: &Root, number: u32) -> Box<Stream> {
    Box::new(Stream::new(Rc::clone(root), number))
}

pub(super) fn tick(number: u32) {
    let Some(root) = at_root(number, |root| Rc::clone(root)) else {
        return;
    };
    let Some(now) = root.now() else {
        return;
    };
    for (asker, ticket) in root.calls.due(now) {
        tell(&root, asker, ticket, BackendEvent::Waited);
    }
    root.forget_left(now);
    STREAMS.with(|streams| {
        let Ok(mut streams) = streams.try_borrow_mut() else {
            return;
        };
        while let Some((number, stream)) = streams.first(|stream| stream.is_unheard(now)) {
            let _ = Envoy.speak_for(number);
            stream.give_up();
        }
    });
}

pub(super) fn called(number: u32, token: u32, event: RpcEvent) {
    let Some(root) = at_root(number, |root| Rc::clone(root)) else {
        return;
    };
    if let Some((asker, ticket)) = root.calls.take(token) {
        tell(&root, asker, ticket, BackendEvent::Rpc(event));
    }
}

/// Hands what the store answers to the request that has asked, also where that is over.
fn tell(root: &Root, asker: Asker, ticket: Ticket, event: BackendEvent) {
    let Asker::Request(context) = asker else {
        return;
    };
    if let Some(event) = root.tell_left(context, ticket, event) {
        let _ = at_stream(context, |stream| {
            if Envoy.speak_for(context).is_ok() {
                stream.told(ticket, event);
            }
            Flow::Hold
        });
    }
}
