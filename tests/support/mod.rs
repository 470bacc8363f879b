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

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
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

/// Ports that nobody listens on now, and that no client is ever given by the system: what is about to listen there,
/// or does again after it was killed, finds its own free, and who calls it meanwhile does not happen to be connected
/// to himself.
pub(crate) fn free_ports(many: usize) -> Vec<u16> {
    const FIRST: u32 = 12_000;
    const MANY: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes that run at the same time begin in different places.
    let begin = std::process::id() % MANY * 97;
    let numbers = std::iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed));
    let ports = numbers
        .take(MANY as usize)
        .map(|number| u16::try_from(FIRST + (begin + number) % MANY).unwrap());
    let ports = ports.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    let ports: Vec<u16> = ports.take(many).collect();
    assert_eq!(ports.len(), many, "so many ports are not free");
    ports
}
