//! Calls of etcd that requests make, some of which go wrong. What is written in time must be a step of
//! the table; what comes late is judged by the ledgers alone.

use dana_failover::engine::{AnySession, BackendEvent, Entry, Input, RpcEvent, RpcRequest, Ticket};
use dana_failover::engine::{Evidence as Said, Step, Timestamp};

use super::super::remote::Carried;
use super::super::setup::{Kind, Milestone};
use super::super::steps::EtcdAct;
use super::super::wishes::What;
use super::{Run, World};

impl World<'_> {
    pub(super) fn store_of(&self, at: usize) -> usize {
        if self.remote.is_some() { self.runs[at].worker } else { 0 }
    }

    pub(crate) fn session(&self, worker: usize) -> AnySession {
        let local = || AnySession::new(None);
        self.remote.as_ref().map_or_else(local, |remote| remote.session(worker))
    }

    pub(super) fn heal(&mut self) {
        if let Some(remote) = &mut self.remote {
            remote.heal();
        }
    }

    pub(super) fn is_anything_late(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| !remote.late.is_empty())
    }

    /// The workers look whether they still know the store.
    pub(super) fn tick_members(&mut self) {
        let clocks = self.clocks();
        if let Some(remote) = &mut self.remote {
            remote.tick(clocks);
        }
    }

    pub(super) fn act_on_etcd(&mut self, act: EtcdAct) {
        let (clocks, policy) = (self.clocks(), &self.setup.policy);
        let Some(remote) = &mut self.remote else {
            return;
        };
        match act {
            EtcdAct::Net { after, how } => remote.fault = Some((after, how)),
            EtcdAct::Land { call } => self.land(call),
            EtcdAct::Fence => remote.fence(policy, clocks[0]),
            EtcdAct::Restart { worker, gateway, travels } => {
                remote.restart(worker, policy, clocks[worker]);
                for at in 0..self.runs.len() {
                    if self.runs[at].worker == worker && !self.runs[at].gone {
                        self.crash(at, gateway, travels);
                    }
                }
                self.merchant.forget(worker);
                self.counters[worker] = Default::default();
                self.stores[worker] = Default::default();
                for gateway in [0, 1, 0, 1] {
                    self.beat(gateway, true);
                }
                self.reached.note(Milestone::Restarted, true);
            }
        }
    }

    /// A call that was on its way arrives. Whoever has sent it may take back what it claimed.
    fn land(&mut self, call: usize) {
        let before = self.entries();
        let landed = self.remote.as_mut().and_then(|remote| remote.land(call));
        self.reached.note(Milestone::Landed, landed.is_some());
        let sends = |run: &Run| {
            let sent = run.sends.as_ref().map(|(message, _)| message);
            sent == landed.as_ref().map(|request| &request.message) && !run.is_answered
        };
        let Some(at) = self.runs.iter().position(sends) else {
            return;
        };
        let payment = self.runs[at].what.payment();
        let (before, after) = (before[payment], self.find(payment));
        if before != after {
            let (message, _) = self.runs[at].sends.clone().expect("it was sent");
            self.runs[at].claims = Some((message, before));
            self.learn_attempt(at, payment, &after);
            if let What::Pay { other_amount, .. } = self.runs[at].what {
                self.is_same(payment, other_amount, &before, &after);
            }
        }
    }

    /// What a request waits for comes, and with it the time.
    pub(super) fn wait_for(&mut self, at: usize) {
        let due = self.runs[at].awaited.as_ref().map(|(due, ..)| *due);
        if let Some(due) = due {
            self.pass(due.saturating_sub(self.now));
        }
    }

    /// It has come.
    pub(super) fn arrives(&mut self, at: usize) {
        if let Some((_, ticket, event)) = self.runs[at].awaited.take() {
            self.feed(at, Input::Told(ticket, event));
        }
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        (0..self.setup.payments).map(|payment| self.find(payment)).collect()
    }

    pub(super) fn call_etcd(&mut self, at: usize, ticket: Ticket, request: &RpcRequest) {
        let worker = self.runs[at].worker;
        let now = self.clock(worker);
        if self.runs[at].sends.as_ref().is_none_or(|(message, _)| *message != request.message) {
            self.runs[at].sends = Some((request.message.clone(), now));
        }
        let before = self.entries();
        let remote = self.remote.as_mut().expect("claims stand in etcd");
        let revision = remote.etcd.revision();
        let carried = remote.call(request);
        let is_written = remote.etcd.revision() > revision;
        self.runs[at].has_written = is_written;
        if is_written {
            self.check_written(at, &before, request);
            self.check();
            self.reached.note(Milestone::Unclear, matches!(carried, Carried::After(..)));
        }
        match carried {
            Carried::Now(event) => {
                let is_answered = matches!(event, RpcEvent::Answered(_));
                let claims = self.runs[at].claims.as_ref();
                let is_claim = claims.is_some_and(|(message, _)| *message == request.message);
                if is_answered && is_claim {
                    self.note_claim_of_nobody(at);
                }
                self.feed(at, Input::Told(ticket, BackendEvent::Rpc(event)));
            }
            Carried::After(millis, event) => {
                let due = self.now + millis;
                self.runs[at].awaited = Some((due, ticket, BackendEvent::Rpc(event)));
            }
        }
    }

    /// Every record that a call has changed takes a step of the table, or is as it was before the
    /// claim that is taken back.
    fn check_written(&mut self, at: usize, before: &[Entry], request: &RpcRequest) {
        let since = self.runs[at].sends.as_ref().expect("it was sent").1;
        for (payment, before) in before.iter().enumerate() {
            let after = self.find(payment);
            if *before == after {
                continue;
            }
            if self.is_taken_back(at, payment, before, &after) {
                self.reached.note(Milestone::Retracted, true);
                self.runs[at].claims = None;
                continue;
            }
            if !self.runs[at].is_answered {
                self.runs[at].claims = Some((request.message.clone(), *before));
            }
            if self.setup.kind == (Kind::Remote { ahead: 0 }) {
                assert_eq!(self.runs[at].what.payment(), payment);
                if let Some(written) = self.written(at, before, &after) {
                    self.runs[at].said = Some(written);
                }
                let cause = self.cause(at, payment, before, &after);
                self.check_step(at, *before, &after, cause, since);
                self.reached.note(Milestone::Steps, true);
            } else {
                // By which time a step was taken only the engine knows: the ledgers judge it.
                self.learn_attempt(at, payment, &after);
            }
        }
    }

    /// What was heard first of all that leads to this record.
    fn written(&self, at: usize, before: &Entry, after: &Entry) -> Option<(Said, Timestamp)> {
        let reference = &self.setup.reference;
        let before = match before {
            Entry::Claim(claim) => Some(reference.counted(*claim)),
            Entry::Absent | Entry::Alias(_) | Entry::Unreadable => None,
        };
        let leads_there = |(said, when): &&(Said, Timestamp)| match (
            reference.step(before.as_ref(), *said, *when),
            after,
        ) {
            (
                Step::To(state) | Step::Overturned(state) | Step::Contradicted(state),
                Entry::Claim(after),
            ) => state == after.state,
            (Step::Released, Entry::Absent) => true,
            _ => false,
        };
        self.runs[at].heard.iter().find(leads_there).copied()
    }

    /// A claim that was never sent, in the place of which stands again what stood before.
    fn is_taken_back(&self, at: usize, payment: usize, before: &Entry, after: &Entry) -> bool {
        let run = &self.runs[at];
        let Some((message, stood)) = &run.claims else {
            return false;
        };
        let is_mine = match (before, run.attempt) {
            (Entry::Claim(claim), Some(of)) => {
                (claim.incarnation, claim.attempt) == (of.incarnation, of.attempt)
            }
            (Entry::Claim(_), None) | (Entry::Absent | Entry::Alias(_) | Entry::Unreadable, _) => {
                false
            }
        };
        let is_another = run.sends.as_ref().is_some_and(|(sent, _)| sent != message);
        let is_pay = matches!(run.what, What::Pay { .. }) && run.what.payment() == payment;
        is_mine && is_another && is_pay && !run.let_go && !run.is_answered && after == stood
    }
}
