//! A real Envoy, and what it writes and shows. What it is configured with stands in `configuration`.

mod configuration;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use dana_failover::cli::audit::{Kind, verify_bytes};
use dana_failover::engine::AuditWriter;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) use configuration::*;

use super::client::Line;
use super::{Process, client, pause, read, secrets, tool, until};

/// The Envoy that is tested: the one of `make tools`, or any other that the environment names.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("ENVOY_BINARY").map_or_else(|| tool("envoy"), PathBuf::from)
}

/// The file of an updatable Envoy's listeners.
const LISTENER: &str = "listener.json";

/// Puts a configuration's listeners where Envoy watches for them, whole from the first moment.
fn put_listener(dir: &Path, config: &Value) {
    let place = dir.join("dana-audit");
    let text = config["static_resources"]["listeners"].to_string();
    let text = text.replace("/tmp/dana-audit", place.to_str().unwrap());
    let mut listeners: Value = serde_json::from_str(&text).unwrap();
    for listener in listeners.as_array_mut().unwrap() {
        listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
    }
    let half = dir.join("listener.half");
    std::fs::write(&half, json!({ "resources": listeners }).to_string()).unwrap();
    std::fs::rename(half, dir.join(LISTENER)).unwrap();
}

/// The access log as far as it was read, by request id.
#[derive(Default)]
struct LogRead {
    bytes: u64,
    lines: BTreeMap<String, Value>,
}

impl LogRead {
    fn read_on(&mut self, path: &Path) {
        let mut file = File::open(path).unwrap();
        file.seek(SeekFrom::Start(self.bytes)).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        // The last line may be half written yet.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        for line in text[..whole].lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            self.lines.insert(line["request_id"].as_str().unwrap_or_default().to_owned(), line);
        }
        self.bytes += whole as u64;
    }
}

/// A running Envoy.
pub(crate) struct Envoy {
    child: Process,
    dir: TempDir,
    log_read: Mutex<LogRead>,
    /// Whether its outputs are searched for secrets at its end.
    is_searched: bool,
    /// Whether the filter's lines in its log must have their prefix and be in words.
    is_in_words: bool,
    /// Where merchants call.
    pub(crate) listener: String,
    /// Where operators call.
    pub(crate) operators: String,
    /// Envoy's own admin interface.
    pub(crate) admin: String,
}

impl Envoy {
    /// Starts one with two workers and waits until both gateways' heartbeats are up.
    pub(crate) fn start(config: &Value) -> Self {
        let envoy = Self::start_without_heartbeat(config);
        envoy.await_heartbeats();
        envoy
    }

    fn await_heartbeats(&self) {
        until("both gateways are up", Duration::from_secs(20), || {
            (self.metric("dana_heartbeat_up", "") >= 2).then_some(())
        });
    }

    /// Starts one with two workers and waits until it serves.
    pub(crate) fn start_without_heartbeat(config: &Value) -> Self {
        Self::start_in(TempDir::new().unwrap(), config)
    }

    /// Starts one that reads its listener from a file, as from a control plane, and waits until
    /// both gateways' heartbeats are up.
    pub(crate) fn start_updatable(config: &Value) -> Self {
        let dir = TempDir::new().unwrap();
        put_listener(dir.path(), config);
        let mut config = config.clone();
        config["static_resources"]["listeners"] = json!([]);
        let source = json!({"path": dir.path().join(LISTENER)});
        config["dynamic_resources"] = json!({"lds_config": {"path_config_source": source}});
        config["node"] = json!({"id": "test", "cluster": "test"});
        let envoy = Self::start_in(dir, &config);
        envoy.await_heartbeats();
        envoy
    }

    /// Starts one whose bootstrap says itself that its listeners stand in a file, at which path,
    /// and waits until both gateways' heartbeats are up.
    pub(crate) fn start_by_files(config: &Value) -> Self {
        let dir = TempDir::new().unwrap();
        put_listener(dir.path(), config);
        let mut config = config.clone();
        config["static_resources"]["listeners"] = json!([]);
        let source = &mut config["dynamic_resources"]["lds_config"]["path_config_source"];
        assert_eq!(source["path"], "/etc/envoy/lds/listeners.yaml");
        assert_eq!(source["watched_directory"]["path"], "/etc/envoy/lds");
        source["path"] = json!(dir.path().join(LISTENER));
        source["watched_directory"]["path"] = json!(dir.path());
        let envoy = Self::start_in(dir, &config);
        envoy.await_heartbeats();
        envoy
    }

    /// Gives it the listener of another configuration; whether it was accepted.
    pub(crate) fn update(&self, config: &Value) -> bool {
        let count = |what| self.stat(&format!("listener_manager.lds.update_{what}"));
        let (accepted, rejected) = (count("success"), count("rejected"));
        put_listener(self.dir.path(), config);
        until("the listener is updated", Duration::from_secs(10), || {
            if count("rejected") > rejected {
                return Some(false);
            }
            (count("success") > accepted).then_some(true)
        })
    }

    /// Starts one that may not be able to: `None` when it ends by itself instead of serving.
    pub(crate) fn try_start(config: &Value) -> Option<Self> {
        Self::run_in(TempDir::new().unwrap(), config).ok()
    }

    /// Starts one without the filter, and waits until it serves. What it tells is not searched for
    /// secrets.
    pub(crate) fn start_bare(config: &Value) -> Self {
        let mut envoy = Self::start_without_heartbeat(config);
        envoy.is_searched = false;
        envoy
    }

    /// Starts one with further arguments, and waits until both gateways' heartbeats are up.
    pub(crate) fn start_with(config: &Value, arguments: &[&str]) -> Self {
        let run = Self::run_with(TempDir::new().unwrap(), config, arguments);
        let envoy = run.unwrap_or_else(|log| panic!("Envoy does not start: {log}"));
        envoy.await_heartbeats();
        envoy
    }

    /// The same; writing into a file that has become too long is an error to it, as on a full disk, and does
    /// not end it.
    pub(crate) fn start_on_a_small_disk(config: &Value, arguments: &[&str]) -> Self {
        let shell = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];
        let run = Self::run_by(&shell, TempDir::new().unwrap(), config, arguments);
        let envoy = run.unwrap_or_else(|log| panic!("Envoy does not start: {log}"));
        envoy.await_heartbeats();
        envoy
    }

    /// From now on its files may have so many bytes.
    pub(crate) fn fill_disk(&self, bytes: u64) {
        let limit = format!("--fsize={bytes}");
        let pid = self.pid().to_string();
        assert!(Command::new("prlimit").args([&limit, "--pid", &pid]).status().unwrap().success());
    }

    fn start_in(dir: TempDir, config: &Value) -> Self {
        Self::run_in(dir, config).unwrap_or_else(|log| panic!("Envoy does not start: {log}"))
    }

    /// What it has logged is what explains that it does not start.
    fn run_in(dir: TempDir, config: &Value) -> Result<Self, String> {
        Self::run_with(dir, config, &[])
    }

    fn run_with(dir: TempDir, config: &Value, arguments: &[&str]) -> Result<Self, String> {
        Self::run_by(&[], dir, config, arguments)
    }

    /// By these words, with Envoy's program behind them.
    fn run_by(
        words: &[&str],
        dir: TempDir,
        config: &Value,
        arguments: &[&str],
    ) -> Result<Self, String> {
        let path = dir.path().join("envoy.json");
        // Each Envoy has an audit trail of its own.
        let place = dir.path().join("dana-audit");
        let config = config.to_string().replace("/tmp/dana-audit", place.to_str().unwrap());
        std::fs::write(&path, config).unwrap();
        let file = |name| Stdio::from(File::create(dir.path().join(name)).unwrap());
        let words = words.iter().map(OsString::from).chain([program().into()]);
        let words: Vec<OsString> = words.collect();
        let child = Command::new(&words[0])
            .args(&words[1..])
            .arg("-c")
            .arg(&path)
            .args(["--concurrency", "2", "--disable-hot-restart", "-l", "warning"])
            // The filter tells at info what is well again.
            .args(["--component-log-level", "wasm:info"])
            .args(["--file-flush-interval-msec", "20", "--admin-address-path"])
            .arg(dir.path().join("admin"))
            .args(arguments)
            .stdout(file("access.log"))
            .stderr(file("envoy.log"))
            .spawn()
            .unwrap();
        let (listener, operators, admin) = Default::default();
        let log_read = Mutex::default();
        let (is_searched, is_in_words) = (true, true);
        let child = Process(child);
        let mut envoy =
            Self { child, dir, log_read, is_searched, is_in_words, listener, operators, admin };
        envoy.admin = until("Envoy tells its admin address", Duration::from_secs(30), || {
            let address = read(&envoy.dir.path().join("admin"));
            let has_ended = envoy.child.0.try_wait().unwrap().is_some();
            (has_ended || !address.is_empty()).then_some(address)
        });
        let serves = until("Envoy is ready", Duration::from_secs(30), || {
            let has_ended = envoy.child.0.try_wait().unwrap().is_some();
            (has_ended || client::get(&envoy.admin, "/ready").status == 200).then_some(!has_ended)
        });
        if !serves {
            let log = envoy.log();
            envoy.may_leak();
            return Err(log);
        }
        let address_of = |name| envoy.listening(name).unwrap_or_default();
        (envoy.listener, envoy.operators) = (address_of("dana"), address_of("dana_admin"));
        Ok(envoy)
    }

    /// Where the listener with this name listens, if there is one.
    pub(crate) fn listening(&self, name: &str) -> Option<String> {
        let listeners = client::get(&self.admin, "/listeners?format=json").json();
        let mut listeners = listeners["listener_statuses"].as_array().unwrap().iter();
        let found = listeners.find(|status| status["name"] == name)?;
        Some(format!("127.0.0.1:{}", found["local_address"]["socket_address"]["port_value"]))
    }

    /// A kept connection to each of its two workers. They are told apart by which of them counts
    /// it; nobody else may connect meanwhile.
    pub(crate) fn lines(&self) -> [Line; 2] {
        // Named after the port that was asked for: any.
        let taken = |worker: usize| {
            self.stat(&format!("listener.127.0.0.1_0.worker_{worker}.downstream_cx_total"))
        };
        let mut lines = [None, None];
        until("each worker has a connection", Duration::from_secs(20), || {
            let before = [taken(0), taken(1)];
            let line = Line::new();
            // The filter itself refuses it: no gateway sees it, and no breaker counts it.
            assert_eq!(line.call(&self.listener, "/nothing", &json!({})).status, 403);
            let worker = (0..2).find(|worker| taken(*worker) > before[*worker]).unwrap();
            lines[worker].get_or_insert(line);
            lines.iter().all(Option::is_some).then_some(())
        });
        lines.map(Option::unwrap)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Processor time that it has used, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.child.cpu_us()
    }

    /// Sends it a signal, as in `-STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.pid().to_string()]).status();
        assert!(sent.unwrap().success(), "{signal}");
    }

    /// Ends it with a signal, as in `-KILL`; what it had logged.
    pub(crate) fn end(self, signal: &str) -> String {
        self.end_with_trail(signal).0
    }

    /// The same, and its audit trail.
    pub(crate) fn end_with_trail(mut self, signal: &str) -> (String, Vec<u8>) {
        self.signal(signal);
        let _ = self.child.0.wait();
        let (log, trail) = (self.log(), std::fs::read(self.trail()).unwrap_or_default());
        self.may_leak();
        (log, trail)
    }

    /// Memory that it holds, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = read(Path::new(&format!("/proc/{}/status", self.pid())));
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        read(&self.dir.path().join("envoy.log"))
    }

    /// The access log's lines so far.
    pub(crate) fn access_log(&self) -> Vec<Value> {
        let text = read(&self.dir.path().join("access.log"));
        // The last line may be half written yet.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        whole.lines().map(parse).collect()
    }

    /// The access log's line of the request with this id, once it is there.
    pub(crate) fn logged(&self, request_id: &str) -> Value {
        until(&format!("the access log has {request_id}"), Duration::from_secs(10), || {
            let mut log = self.log_read.lock().unwrap();
            log.read_on(&self.dir.path().join("access.log"));
            log.lines.get(request_id).cloned()
        })
    }

    /// Its audit trail.
    pub(crate) fn trail(&self) -> PathBuf {
        self.dir.path().join("dana-audit.jsonl")
    }

    /// The entries of that so far.
    pub(crate) fn entries(&self) -> Vec<Value> {
        let text = read(&self.trail());
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        whole.lines().filter(|line| !line.is_empty()).map(parse).collect()
    }

    /// The sum of a metric of the filter over all label sets that contain `labels`.
    pub(crate) fn metric(&self, name: &str, labels: &str) -> u64 {
        let text = client::get(&self.admin, "/stats/prometheus").body;
        let text = String::from_utf8_lossy(&text).into_owned();
        let sample = format!("{name}{{");
        let lines = text.lines().filter(|l| l.starts_with(&sample) && l.contains(labels));
        // Counters and gauges of the filter are whole numbers.
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// The state that a set of states says a gateway is in.
    pub(crate) fn state(&self, name: &str, gateway: &str) -> String {
        let text = client::get(&self.admin, "/stats/prometheus").body;
        let text = String::from_utf8_lossy(&text).into_owned();
        let (sample, of) = (format!("{name}{{"), format!("gateway=\"{gateway}\""));
        let is_it =
            |line: &&str| line.starts_with(&sample) && line.contains(&of) && line.ends_with(" 1");
        let set: Vec<&str> = text.lines().filter(is_it).collect();
        let [line] = set.as_slice() else { panic!("{name} of {gateway}: {set:?}") };
        let state = line.split("state=\"").nth(1).and_then(|rest| rest.split('"').next());
        state.unwrap_or_default().to_owned()
    }

    /// A counter of Envoy's own.
    pub(crate) fn stat(&self, name: &str) -> u64 {
        let stats = client::get(&self.admin, &format!("/stats?filter={name}&format=json")).json();
        let stats = stats["stats"].as_array().cloned().unwrap_or_default();
        stats.iter().filter(|s| s["name"] == name).filter_map(|s| s["value"].as_u64()).sum()
    }
}

impl Envoy {
    /// Everything that it has written and shows: both logs, all statistics, what operators see.
    pub(crate) fn outputs(&self) -> Vec<(String, String)> {
        let bearer = format!("Bearer {TOKEN}");
        let token = [("authorization", bearer.as_str())];
        let shown = ["/stats", "/stats/prometheus"].map(|path| (&self.admin, path, &token[..0]));
        let told = ["/status", "/", "/in-doubt"].map(|path| (&self.operators, path, &token[..]));
        let pages = shown.into_iter().chain(told).map(|(address, path, headers)| {
            let seen = client::glance(address, path, headers);
            let text = String::from_utf8_lossy(&seen.body).into_owned();
            // What was not shown was not searched. A store may not have been counted yet, and a
            // listener that was drained shows nothing to anybody.
            let is_drained = seen.status == 0 && text.contains("Connection refused");
            assert!(is_drained || matches!(seen.status, 200 | 503), "{path}: {seen:?}");
            (path.to_owned(), text)
        });
        let logs = ["envoy.log", "access.log", "dana-audit.jsonl"];
        let logs = logs.map(|name| (name.to_owned(), read(&self.dir.path().join(name))));
        pages.chain(logs).collect()
    }

    /// The secrets that stand in any of that, each with where it stands.
    pub(crate) fn leaks(&self) -> Vec<String> {
        let outputs = self.outputs();
        let found = outputs.iter().flat_map(|(place, text)| {
            secrets::found_in(text).into_iter().map(move |secret| format!("{secret} in {place}"))
        });
        found.collect()
    }

    /// What is wrong with its audit trail, by the heads in its log.
    fn untrue(&self, log: &str) -> Vec<(Kind, Option<(AuditWriter, u64)>)> {
        let trail = std::fs::read(self.trail()).unwrap_or_default();
        // Writers may have begun since that log was read, and entries may not have been there yet.
        let later = self.log();
        let began = later.lines().filter(|line| line.contains("audit start "));
        let log = began.fold(log.to_owned(), |log, line| format!("{log}\n{line}"));
        let verified = verify_bytes(&trail, log.as_bytes(), b"");
        verified.findings().filter(|(kind, _)| !kind.is_harmless()).collect()
    }

    /// A filter in it is of an older version, whose log may have other lines.
    pub(crate) fn of_an_older_version(mut self) -> Self {
        self.is_in_words = false;
        self
    }

    /// Its secrets are not looked for at its end.
    pub(crate) fn may_leak(mut self) {
        self.is_searched = false;
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let has_ended = self.child.0.try_wait().ok().flatten();
        if let Some(status) = has_ended.filter(|_| self.is_searched) {
            show(&format!("it had ended by itself: {status}"));
        }
        let searched = self.is_searched && !std::thread::panicking();
        // Longer than Envoy keeps lines before it writes them.
        pause(if searched { Duration::from_millis(40) } else { Duration::ZERO });
        let log = if searched { self.log() } else { String::new() };
        // A head in the log may be younger than what Envoy has written of the trail.
        pause(if searched { Duration::from_millis(40) } else { Duration::ZERO });
        let leaks = if searched { self.leaks() } else { Vec::new() };
        assert!(leaks.is_empty(), "secrets are told: {leaks:?}");
        let untrue = if searched { self.untrue(&log) } else { Vec::new() };
        assert!(untrue.is_empty(), "the audit trail is not as it was written: {untrue:?}");
        let restricted = log.lines().find(|line| line.contains("restricted proxy-wasm capability"));
        assert_eq!(restricted, None, "the reference allows less than the filter uses");
        let unlike = unlike_the_filter(&log).filter(|_| self.is_in_words);
        assert_eq!(unlike, None, "each line has our prefix, and is in words");
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(15).collect();
            for line in tail.iter().rev() {
                show(line);
            }
        }
    }
}

/// A line of the filter's in Envoy's log that has not its prefix, or has a Debug form in it.
fn unlike_the_filter(log: &str) -> Option<&str> {
    log.lines().find(|line| {
        // Before it stand Envoy's own words and the plugin's name.
        let said = line.split_once("wasm log ").and_then(|(_, rest)| rest.split_once(": "));
        said.is_some_and(|(_, said)| !said.starts_with("dana: ") || said.contains(" { "))
    })
}

#[expect(clippy::print_stderr, reason = "what Envoy said is what explains a failed test")]
fn show(line: &str) {
    eprintln!("envoy: {line}");
}

/// What `envoy --mode validate` says of a configuration: whether it is accepted, and why not.
pub(crate) fn validate(config: &Value) -> (bool, String) {
    let dir = TempDir::new().unwrap();
    let path: PathBuf = dir.path().join("envoy.json");
    std::fs::write(&path, config.to_string()).unwrap();
    let output = Command::new(program())
        .arg("-c")
        .arg(&path)
        .args(["--mode", "validate", "-l", "error"])
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}
