//! What follows from one event of an operator's request.

use super::answer::Problem;
use crate::engine::event::AdminEffect;
use crate::engine::limits;
use crate::engine::protocol::Reply;
use crate::engine::store::OperatorRequest;

/// What follows from one event.
#[derive(Debug)]
pub(super) enum Turn<T> {
    /// The store is asked, and this waits for the answer.
    Ask(T, OperatorRequest),
    /// Nothing more happens but this.
    End(Vec<AdminEffect>),
}

impl<T> Turn<T> {
    /// The operator is answered.
    pub(super) fn end(reply: Reply) -> Self {
        Self::End(vec![AdminEffect::Reply(reply)])
    }

    /// Somebody else was quicker: everything is read again, and decided anew.
    pub(super) fn again(attempts: u8, waits: T, request: OperatorRequest) -> Self {
        if attempts >= limits::STORE_ATTEMPTS_MAX {
            return Self::end(Problem::Contended.reply());
        }
        Self::Ask(waits, request)
    }

    /// The same as part of a greater whole.
    pub(super) fn map<U>(self, whole: impl FnOnce(T) -> U) -> Turn<U> {
        match self {
            Self::Ask(waits, request) => Turn::Ask(whole(waits), request),
            Self::End(effects) => Turn::End(effects),
        }
    }
}
