//! Carries the engine's decisions out inside Envoy, and decides nothing itself.
//!
//! The only part that names the proxy-wasm ABI; all host calls stand in [`host`]. What does not
//! need them is generic over [`host::Host`], so it compiles and is tested natively.

// Natively all of it is tested and nothing called; a module calls one half of it.
#[allow(dead_code, reason = "called by the operators' module only")]
mod admin;
#[allow(dead_code, reason = "called by Envoy only")]
mod audit;
#[allow(dead_code, reason = "called by Envoy only, and for the most part by the payments' module")]
mod contexts;
#[allow(dead_code, reason = "called by Envoy only")]
mod driver;
#[allow(dead_code, reason = "called by the operators' module only")]
mod events;
#[allow(dead_code, reason = "called by the payments' module, and a part by the operators'")]
mod health_cell;
#[cfg(any(test, target_family = "wasm"))]
#[expect(unsafe_code, reason = "an allocator hands out memory")]
mod heap;
pub mod host;
#[allow(dead_code, reason = "called by the payments' module only")]
mod membership;
#[allow(dead_code, reason = "called by the notifications' module only")]
mod notification;
pub mod pairs;
#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "the ABI finds functions by their names, which must not be mangled")]
mod plugin;
#[allow(dead_code, reason = "called by the payments' module only")]
mod root;
#[cfg(any(test, feature = "slow"))]
mod slow;
#[allow(dead_code, reason = "called by the payments' module only")]
mod store_calls;
#[allow(dead_code, reason = "called by the payments' module only")]
mod stores;
#[allow(dead_code, reason = "called by the payments' module only")]
mod stream;
#[allow(dead_code, reason = "called by the payments' module only")]
mod unfinished;
#[allow(dead_code, reason = "called by the payments' module that has etcd only")]
mod with_etcd;
#[allow(dead_code, reason = "called by Envoy only, and for the most part by the payments' module")]
mod worker;

/// A way to die on demand, for tests: the claims of a real VM must outlive it.
#[cfg(all(feature = "trap", target_family = "wasm"))]
mod trap {
    use super::host::{Host, Side};
    use super::pairs;

    /// Dies where a gateway's answer, or an operator's request, has the header `x-trap`.
    #[expect(clippy::panic, reason = "to die is what it is for")]
    pub(super) fn spring(host: &impl Host, side: Side) {
        let headers = host.headers(side).unwrap_or_default();
        if pairs::decode(&headers)
            .is_some_and(|pairs| pairs.iter().any(|(name, _)| *name == b"x-trap"))
        {
            panic!("died of x-trap");
        }
    }
}

#[cfg(test)]
mod tests;
