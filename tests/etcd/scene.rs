//! Envoys in front of two stand-in gateways whose claims stand in one etcd.

use std::time::Duration;

use serde_json::{Value, json};

use crate::payments::config;
use crate::support::client::{CREATE, Seen, call_anew, order};
use crate::support::envoy::Envoy;
use crate::support::etcd::{Etcd, Setup};
use crate::support::sandbox::Sandbox;
use crate::support::until;

/// Longer than anything takes that comes by itself, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Open claims in etcd.
const OPEN: &str = "/dana/v1/test/o/";

/// Two gateways and an etcd.
pub(crate) struct Scene {
    pub(crate) sandbox: Sandbox,
    pub(crate) etcd: Etcd,
    config: Value,
}

impl Scene {
    /// With three members, and `changes` to the filter's settings.
    pub(crate) fn new(changes: &Value) -> Self {
        Self::with(changes, &Setup::default())
    }

    /// The same, with a leader that stays one while it hears of nobody for a few seconds. What it was
    /// asked meanwhile is written when the others are back, and not forgotten with it.
    pub(crate) fn with_lasting_leader(changes: &Value) -> Self {
        let flags = ["--election-timeout", "5000"];
        Self::with(changes, &Setup { flags: &flags, ..Setup::default() })
    }

    fn with(changes: &Value, setup: &Setup<'_>) -> Self {
        let (sandbox, etcd) = (Sandbox::start(), Etcd::start_with(setup));
        let config = config(&sandbox, &etcd, changes);
        Self { sandbox, etcd, config }
    }

    /// One more Envoy, whose workers have joined.
    pub(crate) fn envoy(&self) -> Envoy {
        let envoy = Envoy::start_without_heartbeat(&self.config);
        await_joined(&envoy);
        envoy
    }

    /// The configuration of each Envoy.
    pub(crate) const fn config(&self) -> &Value {
        &self.config
    }

    /// How many payments are not resolved.
    pub(crate) fn open(&self) -> usize {
        self.etcd.list(OPEN).len()
    }

    /// Takes the majority away: who is left can neither read nor write.
    pub(crate) fn freeze_majority(&self) -> [usize; 2] {
        let leader = self.etcd.leader();
        let others = [(leader + 1) % 3, (leader + 2) % 3];
        others.iter().for_each(|member| self.etcd.freeze(*member));
        others
    }

    /// Gives it back, and waits until it reads and writes.
    pub(crate) fn thaw(&self, members: &[usize]) {
        members.iter().for_each(|member| self.etcd.thaw(*member));
        self.etcd.wait_healthy();
    }
}

/// Waits until both workers have joined the store; Envoy's main thread has a VM too.
pub(crate) fn await_joined(envoy: &Envoy) {
    until("both workers have joined", PATIENCE, || {
        let joined = envoy.log().matches("joined the claim store in etcd").count();
        (joined >= 3).then_some(())
    });
}

/// Calls to etcd that an Envoy waits for.
pub(crate) fn calls_under_way(envoy: &Envoy) -> u64 {
    envoy.stat("cluster.dana_etcd.upstream_rq_active")
}

/// A payment over a connection of its own.
pub(crate) fn pay(envoy: &Envoy, reference: &str) -> Seen {
    call_anew(&envoy.listener, CREATE, &order(reference))
}

/// A setting that is changed.
pub(crate) fn timeouts(response_ms: u64, lease_ms: u64) -> Value {
    json!({
        "timeouts": {"response_ms": response_ms, "inquiry_ms": response_ms},
        "idempotency": {"lease_ms": lease_ms},
    })
}
