//! One call to the store, tried again with the same bytes until it is answered or its time is over.
//!
//! A call that fails may have been carried out. It is sent again all the same: what is sent compares
//! what it expects, and carries a mark of its writer, so it counts once however often it comes.
//! Retries of a client library that do neither are the known way to break etcd (Jepsen on jetcd
//! 0.8.2), so Envoy's cluster must have none.

use crate::engine::limits;
use crate::engine::store::backend::{
    BackendEvent, BackendRequest, RpcEvent, RpcMethod, RpcRequest,
};
use crate::engine::store::contract::Patience;
use crate::engine::time::{Millis, Timestamp};

/// A call, and how it goes.
#[derive(Debug)]
pub(super) struct RetriedCall {
    method: RpcMethod,
    message: Vec<u8>,
    patience: Patience,
    began_at: Timestamp,
    tried_at: Timestamp,
    is_unclear: bool,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CallStep {
    /// The host is asked this.
    Ask(BackendRequest),
    /// It is answered with this message, which may be anything.
    Answered(Vec<u8>),
    /// It is given up.
    Failed(CallError),
}

/// Why a call is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallError {
    /// It may have been carried out, or still be.
    Unclear,
    /// It was not carried out, and will not be.
    Refused(CallRefusal),
}

/// Why a call was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallRefusal {
    /// No member can be reached.
    Unsent,
    /// It names a lease that has ended.
    NoLease,
    /// etcd says no: it has no space, the role has no right, the request is none.
    Denied,
}

impl RetriedCall {
    pub(super) const fn new(
        method: RpcMethod,
        message: Vec<u8>,
        patience: Patience,
        now: Timestamp,
    ) -> Self {
        Self { method, message, patience, began_at: now, tried_at: now, is_unclear: false }
    }

    /// Sends it, or sends it again.
    pub(super) fn send(&mut self, now: Timestamp) -> BackendRequest {
        self.tried_at = now;
        let left = limits::ETCD_BUDGET_MS.saturating_sub(now.since(self.began_at).get());
        let timeout = limits::ETCD_ATTEMPT_MS.min(left).max(limits::ETCD_ATTEMPT_MS_MIN);
        BackendRequest::Rpc(RpcRequest {
            method: self.method,
            message: self.message.clone(),
            timeout: Millis::new(timeout),
        })
    }

    /// Whether Envoy should have told long ago how the last try has ended.
    pub(super) const fn is_unheard(&self, now: Timestamp) -> bool {
        now.since(self.tried_at).get() > limits::ETCD_UNHEARD_MS
    }

    /// Takes in what became of what was asked last.
    pub(super) fn after(&mut self, event: BackendEvent, now: Timestamp) -> CallStep {
        match event {
            BackendEvent::Rpc(event) => self.told(event, now),
            BackendEvent::Waited | BackendEvent::Cell(_) => CallStep::Ask(self.send(now)),
        }
    }

    /// Takes in how a try has ended.
    fn told(&mut self, event: RpcEvent, now: Timestamp) -> CallStep {
        let refusal = match event {
            RpcEvent::Answered(message) => return CallStep::Answered(message),
            RpcEvent::Unsent => Some(CallRefusal::Unsent),
            RpcEvent::Failed(status) => refusal(status),
        };
        match refusal {
            // It says nothing of an earlier try that was unclear.
            Some(why) if !self.is_unclear => CallStep::Failed(CallError::Refused(why)),
            Some(CallRefusal::Unsent) => self.again(now),
            Some(_) => CallStep::Failed(CallError::Unclear),
            None => self.unreadable(now),
        }
    }

    /// A try was not answered, or with what is no answer: it may have been carried out.
    pub(super) fn unreadable(&mut self, now: Timestamp) -> CallStep {
        self.is_unclear = true;
        self.again(now)
    }

    fn again(&mut self, now: Timestamp) -> CallStep {
        let spent = now.since(self.began_at).get();
        if self.patience == Patience::Short || spent >= limits::ETCD_BUDGET_MS {
            return CallStep::Failed(CallError::Unclear);
        }
        // A member that fails at once would have all tries in a moment.
        let rest = limits::ETCD_RETRY_MS.saturating_sub(now.since(self.tried_at).get());
        CallStep::Ask(match rest {
            0 => self.send(now),
            rest => BackendRequest::Wait(Millis::new(rest)),
        })
    }
}

impl RpcEvent {
    /// All results of calls, by their names in metrics.
    pub const RESULTS: [&str; 4] = ["ok", "refused", "unsent", "unclear"];

    /// How the call ended, for metrics.
    #[must_use]
    pub const fn result(&self) -> &'static str {
        match self {
            Self::Answered(_) => "ok",
            Self::Unsent => "unsent",
            Self::Failed(status) => match refusal(*status) {
                Some(_) => "refused",
                None => "unclear",
            },
        }
    }
}

/// What gRPC's status says, where it says that nothing was done. A definite refusal comes before the
/// proposal: of what was proposed nobody knows.
const fn refusal(status: u32) -> Option<CallRefusal> {
    match status {
        // Not found: in a transaction, a lease.
        5 => Some(CallRefusal::NoLease),
        // Invalid argument, permission denied, resource exhausted (no space, too many requests),
        // failed precondition, out of range, unimplemented, unauthenticated.
        3 | 7 | 8 | 9 | 11 | 12 | 16 => Some(CallRefusal::Denied),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn call(patience: Patience) -> RetriedCall {
        let mut call = RetriedCall::new(RpcMethod::Txn, vec![1, 2, 3], patience, NOW);
        assert!(matches!(call.send(NOW), BackendRequest::Rpc(_)));
        call
    }

    fn after(ms: u64) -> Timestamp {
        NOW.plus(Millis::new(ms))
    }

    #[test]
    fn it_is_tried_six_times_with_the_same_bytes_and_then_unclear() {
        let mut call = call(Patience::Long);
        let mut tries = 1;
        for number in 1.. {
            match call.told(RpcEvent::Failed(14), after(400 * number)) {
                CallStep::Ask(BackendRequest::Rpc(request)) => {
                    assert_eq!(request.message, [1, 2, 3]);
                    tries += 1;
                }
                CallStep::Failed(error) => {
                    assert_eq!(error, CallError::Unclear);
                    break;
                }
                step @ (CallStep::Ask(_) | CallStep::Answered(_)) => panic!("{step:?}"),
            }
        }
        assert_eq!(tries, 6);
    }

    #[test]
    fn what_fails_at_once_waits_before_it_is_tried_again() {
        let mut call = call(Patience::Long);
        let step = call.told(RpcEvent::Failed(14), after(1));
        assert_eq!(step, CallStep::Ask(BackendRequest::Wait(Millis::new(99))));
        assert!(matches!(call.send(after(100)), BackendRequest::Rpc(_)));
    }

    #[test]
    fn a_refusal_is_one_only_if_no_try_before_it_was_unclear() {
        for (event, why) in [
            (RpcEvent::Unsent, CallRefusal::Unsent),
            (RpcEvent::Failed(5), CallRefusal::NoLease),
            (RpcEvent::Failed(7), CallRefusal::Denied),
            (RpcEvent::Failed(8), CallRefusal::Denied),
        ] {
            let refused = CallStep::Failed(CallError::Refused(why));
            assert_eq!(call(Patience::Long).told(event.clone(), after(1)), refused);
            let mut second = call(Patience::Long);
            let _ = second.told(RpcEvent::Failed(4), after(400));
            let step = second.told(event, after(500));
            assert_ne!(step, refused);
            assert!(!matches!(step, CallStep::Answered(_)));
        }
    }

    #[test]
    fn whoever_has_no_time_tries_once() {
        let unclear = CallStep::Failed(CallError::Unclear);
        assert_eq!(call(Patience::Short).told(RpcEvent::Failed(4), after(400)), unclear);
        assert_eq!(call(Patience::Short).unreadable(after(1)), unclear);
    }

    #[test]
    fn statuses_that_may_come_after_the_proposal_are_no_refusals() {
        for status in [1, 2, 4, 6, 10, 13, 14, 15, 17, 99, u32::MAX] {
            assert_eq!(refusal(status), None, "{status}");
        }
    }
}
