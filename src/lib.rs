//! An Envoy filter that keeps DANA payments going when a gateway fails, and never pays twice.
//!
//! Three promises, in order; when two conflict the earlier one wins:
//!
//! 1. **At most one charge** per payment over all gateways.
//! 2. **Nothing unproven**: what is not known is said to be unknown, never guessed.
//! 3. **Availability**: a payment that provably was not sent goes to a gateway that works.
//!
//! [`engine`] decides: pure and deterministic, events and time in, effects out. `filter` carries
//! the decisions out inside Envoy and decides nothing. The command line tool, `cli`, stands beside
//! both.

#[cfg(not(target_family = "wasm"))]
pub mod cli;
pub mod engine;
pub mod filter;
