//! What messages mean: DANA's operations, what a gateway's answer proves, and the answers that the
//! filter gives in a gateway's place.

mod local_reply;
mod operation;
mod response;
mod signature;
mod snap_code;
mod verdict;

pub use local_reply::{
    LocalReply, Memory, NotExecuted, Reply, ReplyContext, RequestError, Standing, Unknown,
};
pub use operation::dana::{dana_notifications, dana_snap};
pub(in crate::engine) use operation::{ANSWER_REFERENCE, CANCEL};
pub use operation::{
    Class, Compiled, Concerns, Identity, Matched, Mode, Operation, Reference, Repeat, RequestSlots,
    StatusTable, Table,
};
pub use response::{Body, Flags, Origin, Response};
pub use signature::PublicKey;
pub use snap_code::SnapCode;
pub use verdict::{Absence, Protocol, Verdict, judge};
pub(in crate::engine) use verdict::{is_failed_before, text_of};
