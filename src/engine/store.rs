//! What is written down about payments, and how it is read again.

pub mod alias;
pub mod census;
pub mod kept_answer;
pub mod layout;
pub mod local;
