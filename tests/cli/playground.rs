//! A sandbox of its own for each test, and the plainest HTTP client that shows every byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The command under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_dana-failover");

/// The command run with this on its standard input.
pub(crate) fn piped(options: &[&str], input: &str) -> Output {
    let mut child = Command::new(BINARY)
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Longer than anything takes that works at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

/// A running sandbox. It ends with its test.
pub(crate) struct Playground {
    child: Child,
    stdout: BufReader<ChildStdout>,
    control: String,
    pub(crate) primary: String,
    pub(crate) secondary: String,
}

impl Playground {
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_loud(&[&["--quiet"], options].concat())
    }

    pub(crate) fn start_loud(options: &[&str]) -> Self {
        let mut child = Command::new(BINARY)
            .args(["sandbox", "--gateway", "primary=127.0.0.1:0"])
            .args(["--gateway", "secondary=127.0.0.1:0", "--control", "127.0.0.1:0"])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with('{') {
            line.clear();
            assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "no line for machines");
        }
        let places: Value = serde_json::from_str(&line).unwrap();
        let place = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            child,
            stdout,
            control: place(&places["control"]),
            primary: place(&places["gateways"]["primary"]),
            secondary: place(&places["gateways"]["secondary"]),
        }
    }

    pub(crate) fn control(&self, method: &str, path: &str, body: &str) -> Reply {
        exchange(&self.control, method, path, "", body)
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.control("GET", path, "").json()
    }

    pub(crate) fn fault(&self, gateway: &str, fault: &Value) -> Value {
        let path = format!("/gateways/{gateway}/fault");
        let reply = self.control("POST", &path, &fault.to_string());
        assert_eq!(reply.status, 200, "{fault}");
        reply.json()
    }

    pub(crate) fn wait_for(&self, path: &str, holds: impl Fn(&Value) -> bool) {
        let attempts = PATIENCE.as_millis() / POLL.as_millis();
        for _ in 0..attempts {
            if holds(&self.get(path)) {
                return;
            }
            thread::sleep(POLL);
        }
        panic!("{path} never became what was expected: {}", self.get(path));
    }

    /// Ends it as a supervisor would: its exit code, and all it printed after its addresses.
    pub(crate) fn terminate(mut self) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        let mut printed = String::new();
        self.stdout.read_to_string(&mut printed).unwrap();
        (status.code(), printed)
    }
}

impl Drop for Playground {
    fn drop(&mut self) {
        // It may have ended by itself already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP answer as it came.
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut lines = head.lines();
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Some(Self { status, headers, body: bytes[end + 4..].to_vec() })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Sends a request over a connection of its own.
pub(crate) fn send(
    address: &str,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: sandbox\r\nconnection: close\r\n{headers}\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    // A gateway may answer and close before it has read a body that is too large.
    let _ = stream.write_all(request.as_bytes());
    stream
}

/// Sends a request and reads the answer until the connection ends.
pub(crate) fn exchange(
    address: &str,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Reply {
    let mut bytes = Vec::new();
    let mut stream = send(address, method, path, headers, body);
    let ended = stream.read_to_end(&mut bytes);
    Reply::parse(&bytes).unwrap_or_else(|| panic!("no answer: {ended:?} {bytes:?}"))
}

/// Runs it: its seconds, and the most memory that it has had, in kB.
#[expect(clippy::disallowed_methods, reason = "it is time that is measured")]
pub(crate) fn measured(command: &mut Command) -> (f64, u64) {
    let begin = Instant::now();
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
        peak = now.unwrap_or_default().max(peak);
        thread::sleep(Duration::from_millis(20));
    }
    (begin.elapsed().as_secs_f64(), peak)
}
