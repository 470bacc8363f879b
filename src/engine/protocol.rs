//! What messages mean: DANA's operations, what a gateway's answer proves, and the answers that the
//! filter gives in a gateway's place.

mod local_reply;
mod operation;
mod verdict;

pub use local_reply::{
    LocalReply, Memory, NotExecuted, Reply, ReplyContext, RequestError, Standing, Unknown,
};
pub use operation::{
    ANSWER_REFERENCE, CANCEL, Class, Compiled, Concerns, Identity, Matched, Mode, Operation,
    Reference, Repeat, RequestSlots, StatusTable, Table, dana_snap,
};
pub use verdict::{
    Absence, Body, Flags, Origin, Protocol, Response, SnapCode, Verdict, is_failed_before, judge,
    text_of,
};
