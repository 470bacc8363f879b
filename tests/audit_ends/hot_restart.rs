//! One Envoy takes over from another (hot restart) while payments go on: both write into one trail.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::client;
use crate::support::envoy::program;
use crate::support::{free_ports, until};

/// Longer than an Envoy takes to start, or the older one to end after that.
const PATIENCE: Duration = Duration::from_secs(40);

/// Two Envoys, one after the other, over the same sockets and files.
pub(crate) struct Restarting {
    dir: TempDir,
    pub(crate) port: u16,
    running: Vec<Child>,
}

impl Drop for Restarting {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Restarting {
    /// The first one, once it serves.
    pub(crate) fn start(config: &Value) -> Self {
        let dir = TempDir::new().unwrap();
        let port = free_ports(1)[0];
        let mut config = config.clone();
        let listeners = &mut config["static_resources"]["listeners"];
        listeners[0]["address"]["socket_address"]["port_value"] = json!(port);
        let place = dir.path().join("dana-audit");
        let config = config.to_string().replace("/tmp/dana-audit", place.to_str().unwrap());
        std::fs::write(dir.path().join("envoy.json"), config).unwrap();
        let mut restarting = Self { dir, port, running: Vec::new() };
        restarting.next();
        restarting
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// One that takes over, once it serves.
    fn next(&mut self) {
        let epoch = self.running.len().to_string();
        let (admin, log) = (self.path(&format!("admin-{epoch}")), self.path("envoy.log"));
        let log = File::options().create(true).append(true).open(log).unwrap();
        // Envoys of other tests have others.
        let base = (std::process::id() % 60_000).to_string();
        let child = Command::new(program())
            .arg("-c")
            .arg(self.path("envoy.json"))
            .args(["--concurrency", "2", "-l", "warning", "--component-log-level", "wasm:info"])
            .args(["--base-id", &base, "--restart-epoch", &epoch])
            .args(["--drain-time-s", "1", "--parent-shutdown-time-s", "3"])
            .args(["--file-flush-min-size-kb", "0", "--admin-address-path"])
            .arg(&admin)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.running.push(child);
        until("it serves, and both gateways are up", PATIENCE, || {
            let address = std::fs::read_to_string(&admin).ok().filter(|text| !text.is_empty())?;
            let metrics = client::get(&address, "/stats/prometheus").body;
            let metrics = String::from_utf8_lossy(&metrics);
            let is_up =
                |line: &&str| line.starts_with("dana_heartbeat_up{") && line.ends_with(" 1");
            (metrics.lines().filter(is_up).count() >= 2).then_some(())
        });
    }

    /// Another one takes over, and the one before it ends by itself.
    pub(crate) fn restart(&mut self) {
        self.next();
        let before = self.running.len() - 2;
        until("the older one has ended", PATIENCE, || {
            self.running[before].try_wait().unwrap().map(|_| ())
        });
    }

    /// The last one is told to end; the log and the trail of both.
    pub(crate) fn end(mut self) -> (String, Vec<u8>) {
        let mut last = self.running.pop().unwrap();
        let pid = last.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        last.wait().unwrap();
        let log = std::fs::read_to_string(self.path("envoy.log")).unwrap();
        (log, std::fs::read(self.trail()).unwrap())
    }

    fn trail(&self) -> impl AsRef<Path> {
        self.path("dana-audit.jsonl")
    }
}
