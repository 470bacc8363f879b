//! What messages mean: DANA's operations, what a gateway's answer proves, and the answers that the
//! filter gives in a gateway's place.

pub mod local_reply;
pub mod operation;
pub mod verdict;
