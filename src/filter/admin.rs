//! The operators' listener: requests to events, effects to host calls. Nothing is decided here.
//!
//! It shares the store with the payments' workers, and nothing else. It has a VM of its own and never
//! ticks; a crash here does not affect payments.

use std::cell::RefCell;
use std::rc::Rc;

use super::driver::cell;
use super::host::{Host, Side};
use super::pairs;
use super::stream::Flow;
use super::worker::Worker;
use crate::engine::limits;
use crate::engine::{Admin, Instance};
use crate::engine::{AdminEffect, AdminEvent, Request};
use crate::engine::{CellEvent, CellRequest, Local};
use crate::engine::{Config, Policy};
use crate::engine::{Input, Shell, Ticket, drive};

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
        let mut reporter = self.reporter.borrow_mut();
        let same = |worker: &&Rc<Worker<H>>| worker.policy.order().eq(policy.order());
        let known = reporter.as_ref().filter(same).cloned();
        let worker = known
            .unwrap_or_else(|| Rc::new(Worker::new(self.host.clone(), Rc::clone(policy), 0, None)));
        *reporter = Some(Rc::clone(&worker));
        worker
    }
}

/// One request of an operator.
#[derive(Debug)]
pub(super) struct AdminStream<H> {
    root: Rc<AdminRoot<H>>,
    admin: Local<Admin>,
    context: u32,
    /// It was answered, or at least tried to be.
    answered: bool,
}

impl<H: Host + Clone> AdminStream<H> {
    pub(super) fn new(root: Rc<AdminRoot<H>>, context: u32) -> Self {
        let admin = Admin::new(Rc::clone(&root.config)).at(Rc::clone(&root.instance));
        Self { root, admin: Local::new(admin), context, answered: false }
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
        self.answered = true;
        if self.decide().is_none() {
            // If the host takes no answer, the request stays held until the client gives up.
            let _ = self.root.host.reply(&Admin::failed());
        }
    }

    /// Answers the request; `None` where the host does not let it.
    fn decide(&mut self) -> Option<()> {
        let host = &self.root.host;
        // One byte more than allowed is enough to see that it is too long.
        let bytes_max = limits::ADMIN_BODY_BYTES_MAX + 1;
        let headers = host.headers(Side::Request).ok()?;
        let body = host.body(Side::Request, bytes_max).ok()?;
        let now = host.now().ok()?;
        let fields = pairs::decode(&headers)?;
        let request = Request { headers: &fields, body: &body, peer: &[], context: self.context };
        let mut shell = AdminShell { root: &self.root, todo: Vec::new() };
        let input = Input::Event(AdminEvent::Request(request));
        drive(&mut self.admin, input, now, &mut (), &mut shell);
        let todo = shell.todo;
        self.tell(todo);
        self.admin.is_ended().then_some(())
    }

    fn tell(&self, effects: Vec<AdminEffect>) {
        let reporter = || self.admin.policy().map(|policy| self.root.reporter(policy));
        for effect in effects {
            match effect {
                AdminEffect::Told(line) => log::warn!("{line}"),
                AdminEffect::Changed(change) => {
                    reporter().into_iter().for_each(|reporter| reporter.changed(&change));
                }
                AdminEffect::Anomaly(anomaly) => {
                    reporter().into_iter().for_each(|reporter| reporter.anomaly(&anomaly));
                }
                AdminEffect::Reply(reply) => {
                    let _ = self.root.host.reply(&reply);
                }
            }
        }
    }
}

/// Reads and writes at once, and gathers what is to be told: by whose names is known at the end.
struct AdminShell<'a, H> {
    root: &'a AdminRoot<H>,
    todo: Vec<AdminEffect>,
}

impl<H: Host> Shell<Local<Admin>> for AdminShell<'_, H> {
    fn ask(&mut self, _: Ticket, request: CellRequest) -> Option<CellEvent> {
        Some(cell(&self.root.host, request))
    }

    fn carry_out(&mut self, effect: AdminEffect) -> Option<AdminEvent<'static>> {
        self.todo.push(effect);
        None
    }
}
