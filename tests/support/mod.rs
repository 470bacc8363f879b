//! What tests on a real Envoy share: the processes they run, and how they talk to them.
//!
//! Everything listens on loopback, on ports that the system chooses. A process is stopped by the
//! handle it was started with, also when a test fails.

#![allow(dead_code, reason = "each test crate uses its own part")]

#[allow(dead_code, reason = "used by one crate of tests")]
pub(crate) mod application;
pub(crate) mod client;
pub(crate) mod dns;
pub(crate) mod envoy;
pub(crate) mod etcd;
pub(crate) mod merchant;
pub(crate) mod operator;
pub(crate) mod sandbox;
pub(crate) mod schema;
pub(crate) mod secrets;
pub(crate) mod tls;
pub(crate) mod tls_gateway;

use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The checkout.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A tool that `make tools` has put into the checkout.
pub(crate) fn tool(name: &str) -> PathBuf {
    let path = root().join(".tools/venv/bin").join(name);
    assert!(path.exists(), "{} is missing: run `make tools`", path.display());
    path
}

/// The filter, or another module built beside it.
pub(crate) fn module(name: &str) -> PathBuf {
    let path = root().join("target/wasm32-unknown-unknown/release").join(name);
    assert!(path.exists(), "{} is missing: run `make wasm`", path.display());
    path
}

/// A module as it is, but for dying on an answer, or an operator's request, with the header
/// `x-trap`.
pub(crate) fn trapping_module(name: &str) -> PathBuf {
    let path = root().join("target/trapping").join(name);
    assert!(path.exists(), "{} is missing: run `make wasm`", path.display());
    path
}

/// A process that ends with this, whatever else goes wrong.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    /// Processor time that all its threads have used, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap();
        let used = threads.map_while(Result::ok).map(|thread| {
            let text = read(&thread.path().join("schedstat"));
            text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0.0)
        });
        used.sum::<f64>() / 1000.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Says to others that it is over when it is dropped, also when a test fails: who waits for that would wait for
/// ever.
pub(crate) struct Ends<'a>(pub(crate) &'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until `condition` holds and gives what it gave; fails with `what` after `limit`.
pub(crate) fn until<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let begin = now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(begin.elapsed() < limit, "not within {limit:?}: {what}");
        pause(Duration::from_millis(10));
    }
}

/// Between two looks at a condition, or where a delay itself is what is tested.
pub(crate) fn pause(length: Duration) {
    std::thread::sleep(length);
}

/// Tests live in real time.
#[expect(clippy::disallowed_methods, reason = "the clock of a native test, not of the engine")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A text file, as far as it is written.
pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
