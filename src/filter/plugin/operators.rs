//! The operators' module: what it is made of. It serves operators, and the listener for events of the
//! audit trail. Its answers are its own, so nothing comes back that it would have to see, but for what a
//! store in etcd answers.

use std::rc::Rc;

use super::{STREAMS, at_root, at_stream};
use crate::engine::limits;
use crate::engine::{BackendEvent, RpcEvent, Ticket};
use crate::engine::{Config, OPERATORS_MODULE, Role};
use crate::filter::admin::{AdminRoot, AdminStream};
use crate::filter::events::{EventRoot, EventStream};
use crate::filter::host::Envoy;
use crate::filter::store_calls::Asker;
use crate::filter::stream::Flow;

pub(super) enum Root {
    Operators(Rc<AdminRoot<Envoy>>),
    Events(Rc<EventRoot<Envoy>>),
}

pub(super) enum Stream {
    Operator(Box<AdminStream<Envoy>>),
    Events(EventStream<Envoy>),
}

pub(super) const MODULE: &str = OPERATORS_MODULE;

/// # Errors
/// When the store in etcd cannot be called, or Envoy does not let it tick for that.
pub(super) fn start(config: Config) -> Result<Root, String> {
    if config.role == Role::Audit {
        let root = EventRoot::new(Envoy, &config)?;
        Envoy.set_tick_period(limits::AUDIT_TICK_MS).map_err(|error| error.to_string())?;
        return Ok(Root::Events(Rc::new(root)));
    }
    let root = AdminRoot::new(Envoy, config)?;
    if root.ticks() {
        let period = u32::try_from(limits::ETCD_TICK_MS).unwrap_or(1000);
        Envoy.set_tick_period(period).map_err(|error| error.to_string())?;
    }
    Ok(Root::Operators(Rc::new(root)))
}

pub(super) fn open(root: &Root, number: u32) -> Box<Stream> {
    Box::new(match root {
        Root::Operators(root) => {
            Stream::Operator(Box::new(AdminStream::new(Rc::clone(root), number)))
        }
        Root::Events(root) => Stream::Events(EventStream::new(Rc::clone(root))),
    })
}

impl Root {
    pub(super) fn close(&self) {
        match self {
            Self::Operators(root) => root.close(),
            Self::Events(root) => root.audit.close(),
        }
    }
}

impl Stream {
    pub(super) fn request_headers(&mut self, ends: bool) -> Flow {
        match self {
            Self::Operator(stream) => stream.request_headers(ends),
            Self::Events(stream) => stream.request_headers(ends),
        }
    }

    pub(super) fn request_body(&mut self, size: usize, ends: bool) -> Flow {
        match self {
            Self::Operator(stream) => stream.request_body(size, ends),
            Self::Events(stream) => stream.request_body(size, ends),
        }
    }

    pub(super) fn request_trailers(&mut self) -> Flow {
        match self {
            Self::Operator(stream) => stream.request_trailers(),
            Self::Events(stream) => stream.request_trailers(),
        }
    }

    pub(super) fn log(&mut self) {
        match self {
            Self::Operator(stream) => stream.log(),
            Self::Events(stream) => stream.log(),
        }
    }

    fn operator(&mut self) -> Option<&mut AdminStream<Envoy>> {
        match self {
            Self::Operator(stream) => Some(stream),
            Self::Events(_) => None,
        }
    }
}

/// A plugin that serves operators.
fn operators_root(number: u32) -> Option<Rc<AdminRoot<Envoy>>> {
    at_root(number, |root| match root {
        Root::Operators(root) => Some(Rc::clone(root)),
        Root::Events(_) => None,
    })?
}

pub(super) fn tick(number: u32) {
    let _ = at_root(number, |root| match root {
        Root::Operators(_) => {}
        Root::Events(root) => root.tick(),
    });
    let Some(root) = operators_root(number) else {
        return;
    };
    let Some(now) = root.now() else {
        return;
    };
    for (asker, ticket) in root.calls.due(now) {
        tell(&root, asker, ticket, BackendEvent::Waited);
    }
    root.forget_left(now);
    let is_unheard =
        |stream: &Stream| matches!(stream, Stream::Operator(stream) if stream.is_unheard(now));
    STREAMS.with(|streams| {
        let Ok(mut streams) = streams.try_borrow_mut() else {
            return;
        };
        while let Some((number, stream)) = streams.first(|stream| is_unheard(stream)) {
            let _ = Envoy.speak_for(number);
            stream.operator().into_iter().for_each(|stream| stream.give_up());
        }
    });
}

pub(super) fn called(number: u32, token: u32, event: RpcEvent) {
    let Some(root) = operators_root(number) else {
        return;
    };
    if let Some((asker, ticket)) = root.calls.take(token) {
        tell(&root, asker, ticket, BackendEvent::Rpc(event));
    }
}

/// Hands what the store answers to the request that has asked, also where that is over.
fn tell(root: &AdminRoot<Envoy>, asker: Asker, ticket: Ticket, event: BackendEvent) {
    let Asker::Request(context) = asker else {
        return;
    };
    if let Some(event) = root.tell_left(context, ticket, event) {
        let _ = at_stream(context, |stream| {
            if Envoy.speak_for(context).is_ok()
                && let Some(stream) = stream.operator()
            {
                stream.told(ticket, event);
            }
            Flow::Hold
        });
    }
}
