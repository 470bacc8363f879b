//! Three Envoys in front of the same gateways, with one etcd. One of them prefers the second gateway:
//! so what two Envoys send is executed twice, and not fetched.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::envoy::{
    Envoy, admin_plugin, manager, plugin, quick, reference, rendered_from, with,
};
use crate::support::etcd::Etcd;
use crate::support::{now, pause, until};

/// How many Envoys there are.
pub(crate) const ENVOYS: usize = 3;

/// Longer than an Envoy takes to join.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Stand {
    pub(crate) etcd: Etcd,
    configs: [Value; ENVOYS],
    envoys: [Mutex<Option<Envoy>>; ENVOYS],
    ports: [AtomicU16; ENVOYS],
    is_down: [AtomicBool; ENVOYS],
    /// Which Envoys were killed, and when.
    pub(crate) kills: Mutex<Vec<(usize, Instant)>>,
}

impl Stand {
    pub(crate) fn start(gateways: [String; 2]) -> Self {
        let etcd = Etcd::start(3);
        let changes = json!({
            // A claim may take its budget, and the gateway's answer its time.
            "timeouts": {"response_ms": 1000, "inquiry_ms": 1000},
            "idempotency": {"lease_ms": 4500},
        });
        let gateways = [gateways[0].as_str(), gateways[1].as_str()];
        let mut config = rendered_from(reference(), gateways, &with(quick(), &changes));
        etcd.keep_claims_of(&mut config);
        // A hundred thousand lines of it are of no use to anybody.
        manager(&mut config)["access_log"] = json!([]);
        let mut other_way = config.clone();
        for plugin in [plugin, admin_plugin] {
            let settings = &mut plugin(&mut other_way)["configuration"]["value"];
            settings["gateways"].as_array_mut().unwrap().reverse();
        }
        let stand = Self {
            etcd,
            configs: [config.clone(), other_way, config],
            envoys: Default::default(),
            ports: Default::default(),
            is_down: Default::default(),
            kills: Mutex::default(),
        };
        for number in 0..ENVOYS {
            stand.start_envoy(number);
        }
        stand
    }

    fn start_envoy(&self, number: usize) {
        let envoy = Envoy::start_without_heartbeat(&self.configs[number]);
        until("its workers have joined the store", PATIENCE, || {
            (envoy.log().matches("joined the claim store").count() >= 3).then_some(())
        });
        let port = envoy.listener.rsplit_once(':').unwrap().1.parse().unwrap();
        self.ports[number].store(port, Ordering::Relaxed);
        *self.envoys[number].lock().unwrap() = Some(envoy);
    }

    /// Where an Envoy listens, or has listened before it was killed.
    pub(crate) fn port(&self, number: usize) -> u16 {
        self.ports[number].load(Ordering::Relaxed)
    }

    /// This Envoy, or the next one that is up, as a balancer chooses them.
    pub(crate) fn up(&self, number: usize) -> usize {
        let all = (0..ENVOYS).map(|more| (number + more) % ENVOYS);
        let mut up = all.filter(|number| !self.is_down[*number].load(Ordering::Relaxed));
        up.next().unwrap_or(number)
    }

    /// Kills an Envoy.
    pub(crate) fn kill(&self, number: usize) {
        self.is_down[number].store(true, Ordering::Relaxed);
        let envoy = self.envoys[number].lock().unwrap().take().unwrap();
        envoy.end("-KILL");
        self.kills.lock().unwrap().push((number, now()));
    }

    /// Starts one that was killed.
    pub(crate) fn restart(&self, number: usize) {
        self.start_envoy(number);
        self.is_down[number].store(false, Ordering::Relaxed);
    }

    /// Lets an Envoy stand still for so long, with all that it has.
    pub(crate) fn freeze(&self, number: usize, lasts: Duration) {
        let envoy = self.envoys[number].lock().unwrap();
        let envoy = envoy.as_ref().unwrap();
        envoy.signal("-STOP");
        self.is_down[number].store(true, Ordering::Relaxed);
        pause(lasts);
        envoy.signal("-CONT");
        self.is_down[number].store(false, Ordering::Relaxed);
    }

    /// Members that cannot go on without each other.
    pub(crate) fn majority(&self) -> [usize; 2] {
        let leader = self.etcd.leader();
        [leader, (leader + 1) % 3]
    }

    /// What the Envoys have logged that is worth a look.
    pub(crate) fn lines(&self) -> Vec<String> {
        let logs = self.envoys.iter().enumerate().map(|(number, envoy)| {
            let log = envoy.lock().unwrap().as_ref().map_or_else(String::new, Envoy::log);
            let lines = log.lines().filter(|line| line.contains("wasm log"));
            let lines = lines.map(|line| format!("envoy {number}: {line}"));
            lines.collect::<Vec<_>>()
        });
        logs.flatten().collect()
    }

    pub(crate) fn end(self) {
        self.envoys
            .into_iter()
            .filter_map(|one| one.into_inner().unwrap())
            .for_each(Envoy::may_leak);
    }
}
