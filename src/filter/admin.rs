//! The operators' listener: requests to events, effects to host calls. Nothing is decided here.
//!
//! It shares the store with the payments' workers, and nothing else: it has a VM of its own, it
//! never ticks, and what it dies of does not reach them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::host::{Host, Side};
use super::pairs;
use super::stream::Flow;
use super::worker::{Worker, load, store};
use crate::engine::admin::{Admin, AdminEffect, Instance};
use crate::engine::config::{Config, Policy};
use crate::engine::event::{Event, Request};
use crate::engine::limits;
use crate::engine::protocol::Reply;

/// One worker's part of the operators' listener.
#[derive(Debug)]
pub(super) struct AdminRoot<H> {
    host: H,
    config: Rc<Config>,
    /// Which Envoy this is.
    instance: Rc<Instance>,
    /// Tells of changes, by the names and ids of the policy it was made with.
    reporter: RefCell<Option<Rc<Worker<H>>>>,
}

impl<H: Host + Clone> AdminRoot<H> {
    pub(super) fn new(host: H, config: Config) -> Self {
        let node = |name| host.property(&["xds", "node", name]).ok().flatten().unwrap_or_default();
        let instance = Rc::new(Instance::new(&node("id"), &node("cluster")));
        Self { config: Rc::new(config), instance, reporter: RefCell::default(), host }
    }

    fn reporter(&self, policy: &Rc<Policy>) -> Rc<Worker<H>> {
        let mut teller = self.reporter.borrow_mut();
        let same = |worker: &&Rc<Worker<H>>| worker.policy.order().eq(policy.order());
        let known = teller.as_ref().filter(same).cloned();
        let worker =
            known.unwrap_or_else(|| Rc::new(Worker::new(self.host.clone(), Rc::clone(policy), 0)));
        *teller = Some(Rc::clone(&worker));
        worker
    }
}

/// One request of an operator.
#[derive(Debug)]
pub(super) struct AdminStream<H> {
    root: Rc<AdminRoot<H>>,
    admin: Admin,
    context: u32,
    /// It was answered, or at least tried to be.
    answered: bool,
}

impl<H: Host + Clone> AdminStream<H> {
    pub(super) fn new(desk: Rc<AdminRoot<H>>, context: u32) -> Self {
        let admin = Admin::new(Rc::clone(&desk.config)).at(Rc::clone(&desk.instance));
        Self { root: desk, admin, context, answered: false }
    }

    pub(super) fn request_headers(&mut self, ends: bool) -> Flow {
        if ends {
            self.complete();
        }
        Flow::Hold
    }

    pub(super) fn request_body(&mut self, size: usize, ends: bool) -> Flow {
        if ends || size > limits::ADMIN_BODY_BYTES_MAX {
            self.complete();
        }
        Flow::Hold
    }

    pub(super) fn request_trailers(&mut self) -> Flow {
        self.complete();
        Flow::Hold
    }

    fn complete(&mut self) {
        if self.answered {
            return;
        }
        let host = &self.root.host;
        // One byte more than allowed is enough to see that it is too long.
        let bytes_max = limits::ADMIN_BODY_BYTES_MAX + 1;
        let read = (host.headers(Side::Request), host.body(Side::Request, bytes_max));
        let (Ok(headers), Ok(body)) = read else {
            return self.reply(&Admin::failed());
        };
        let Some(fields) = pairs::decode(&headers) else {
            return self.reply(&Admin::failed());
        };
        let context = self.context;
        let request = Request { headers: &fields, body: &body, peer: &[], context };
        self.drive(Event::Request(request));
        if !self.answered {
            self.reply(&Admin::failed());
        }
    }

    /// Feeds the engine and does what it says, until it has no more to say.
    fn drive(&mut self, event: Event<'_>) {
        let desk = Rc::clone(&self.root);
        let host = &desk.host;
        let Ok(now) = host.now() else {
            return;
        };
        let mut effects: VecDeque<AdminEffect> = self.admin.handle(event, now).into();
        while let Some(effect) = effects.pop_front() {
            let event = match effect {
                AdminEffect::Load(cell) => load(host, cell),
                AdminEffect::Store { cell, bytes, expected } => store(host, cell, &bytes, expected),
                AdminEffect::Told(line) => {
                    log::warn!("{line}");
                    continue;
                }
                AdminEffect::Changed(change) => {
                    if let Some(policy) = self.admin.policy() {
                        desk.reporter(policy).changed(&change);
                    }
                    continue;
                }
                AdminEffect::Anomaly(anomaly) => {
                    if let Some(policy) = self.admin.policy() {
                        desk.reporter(policy).anomaly(&anomaly);
                    }
                    continue;
                }
                AdminEffect::Reply(reply) => {
                    self.reply(&reply);
                    continue;
                }
            };
            effects.extend(self.admin.handle(event, now));
        }
    }

    /// If the host takes no answer, the request stays held until the client gives up.
    fn reply(&mut self, reply: &Reply) {
        let _ = self.root.host.reply(reply);
        self.answered = true;
    }
}
