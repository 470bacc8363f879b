//! What is true of one payment, whoever carries it: its key, its claim, and what contradicts that.

pub mod anomaly;
pub mod claim;
pub mod key;
