//! The payments' module that can keep claims in etcd: what is called back is handed to whoever has asked.

use std::rc::Rc;

use super::Root;
use crate::engine::{BackendEvent, ETCD_MODULE, RpcEvent, Ticket};
use crate::filter::host::{Envoy, Host};
use crate::filter::plugin::{at_root, at_stream};
use crate::filter::store_calls::Asker;
use crate::filter::stream::Flow;
use crate::filter::with_etcd::WithEtcd;
use crate::filter::worker::Worker;

pub(super) type Stores = WithEtcd;

pub(in super::super) const MODULE: &str = ETCD_MODULE;

pub(in super::super) fn tick(number: u32) {
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
    for (asker, ticket, event) in worker.stores.slow.answers(&worker.host, &worker.health) {
        tell(number, &worker, asker, ticket, BackendEvent::Cell(event));
    }
}

pub(in super::super) fn called(number: u32, token: u32, event: RpcEvent) {
    let Some(worker) = at_root(number, |root| Rc::clone(root.worker())) else {
        return;
    };
    worker.count_call(&event);
    if let Some((asker, ticket)) = worker.stores.calls.take(token) {
        tell(number, &worker, asker, ticket, BackendEvent::Rpc(event));
    }
}

/// Hands what the store answers to whoever has asked: a request, or the worker where that is over, or
/// the worker for itself.
fn tell(
    root: u32,
    worker: &Worker<Envoy, WithEtcd>,
    asker: Asker,
    ticket: Ticket,
    event: BackendEvent,
) {
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
