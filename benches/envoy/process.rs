//! Envoys as processes: started, read, and stopped on every way out.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use super::config::{self, Filter, Ports};
use super::peer::Peer;
use super::{Outcome, load};

/// How long an Envoy may take to answer its first payment; most of it is compiling wasm.
const START_MAX: Duration = Duration::from_secs(30);

/// Two cores: one for the Envoys, one for everything else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    envoys: usize,
    load: usize,
    /// Everything may run on both.
    spread: bool,
}

impl Cores {
    /// Moves this process to a core of its own. `None` when there are no two, or no `taskset`.
    pub(crate) fn split() -> Option<Self> {
        let allowed = allowed_cores()?;
        let (envoys, load) = (*allowed.first()?, *allowed.get(1)?);
        pin(&load.to_string())?;
        Some(Self { envoys, load, spread: false })
    }

    /// Moves this process to both, and what is started then too.
    pub(crate) fn spread(self) -> Outcome<Self> {
        let both = Self { spread: true, ..self };
        pin(&both.of_envoys()).ok_or("taskset does not run")?;
        Ok(both)
    }

    /// Those of Envoys and of what they ask, as `taskset` takes them.
    pub(crate) fn of_envoys(self) -> String {
        let Self { envoys, load, spread } = self;
        if spread { format!("{envoys},{load}") } else { envoys.to_string() }
    }
}

/// Moves this process, with all its threads, to these cores.
fn pin(cores: &str) -> Option<()> {
    let mut pin = Command::new("taskset");
    pin.args(["-a", "-c", "-p", cores, &std::process::id().to_string()]);
    let pinned = pin.stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
    pinned.success().then_some(())
}

/// The cores that this process may run on.
fn allowed_cores() -> Option<Vec<usize>> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let ranges = list.trim().split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    Some(ranges.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect())
}

/// How much longer everything takes under valgrind.
const UNDER_VALGRIND: u32 = 20;

/// How to start an Envoy.
#[derive(Clone, Copy)]
pub(crate) struct Setup<'a> {
    /// The program that runs it, with its arguments; none for Envoy itself.
    pub(crate) under: &'a [&'a str],
    pub(crate) binary: &'a Path,
    /// The reference configuration.
    pub(crate) reference: &'a str,
    /// Where its files go.
    pub(crate) folder: &'a Path,
    pub(crate) cores: Option<Cores>,
    /// Envoy's threads that take requests.
    pub(crate) workers: u32,
    /// Ports of the two gateways.
    pub(crate) gateways: [u16; 2],
}

/// Bytes of memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// That the process holds.
    pub(crate) rss: u64,
    /// That is in use of the allocator's part.
    pub(crate) allocated: u64,
    /// That the allocator holds, some of it not in use.
    pub(crate) physical: u64,
    /// Whole pages of those not in use.
    pub(crate) free_pages: u64,
}

/// A running Envoy. It is stopped when this is dropped.
pub(crate) struct Envoy {
    child: Child,
    log: PathBuf,
    pub(crate) port: u16,
    /// Of its admin interface.
    admin: u16,
    /// What it asks. Its processor time counts as Envoy's.
    peer: Option<Peer>,
    /// From its start to its first answer.
    pub(crate) ready: Duration,
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // It keeps nothing, so it need not be asked.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Envoy {
    /// Starts one and waits until it has answered a payment.
    pub(crate) fn start(setup: &Setup<'_>, name: &str, filter: &Filter<'_>) -> Outcome<Self> {
        let [listener, admin] = free_ports()?;
        let [primary, secondary] = setup.gateways;
        let ports = Ports { listener, admin, primary, secondary };
        let config = config::render(setup.reference, filter, ports)?;
        let peer = match filter {
            Filter::Service { way, port } => Some(Peer::start(*way, *port, setup.cores)?),
            Filter::None
            | Filter::Noop { .. }
            | Filter::Calls { .. }
            | Filter::Ours { .. }
            | Filter::Lua { .. } => None,
        };
        let mut envoy = Self::start_config(setup, name, &config, [listener, admin], &[])?;
        envoy.peer = peer;
        let slower = if setup.under.is_empty() { 1 } else { UNDER_VALGRIND };
        envoy.wait_until(name, START_MAX * slower, load::try_one)?;
        Ok(envoy)
    }

    /// Starts one of this configuration, which listens at these ports, with these switches besides. It may
    /// not be ready yet.
    pub(crate) fn start_config(
        setup: &Setup<'_>,
        name: &str,
        config: &serde_json::Value,
        [listener, admin]: [u16; 2],
        switches: &[&str],
    ) -> Outcome<Self> {
        let path = setup.folder.join(format!("{name}.json"));
        fs::write(&path, serde_json::to_vec_pretty(config)?)?;
        let log = setup.folder.join(format!("{name}.log"));
        let workers = setup.workers.to_string();
        let options = ["--disable-hot-restart", "-l", "error", "--concurrency", &workers, "-c"];
        let mut words: Vec<OsString> = Vec::new();
        if let Some(cores) = setup.cores {
            words.extend(["taskset", "-c", &cores.of_envoys()].map(OsString::from));
        }
        words.extend(setup.under.iter().map(OsString::from));
        words.push(setup.binary.into());
        let (program, arguments) = words.split_first().ok_or("nothing to start")?;
        let mut command = Command::new(program);
        command.args(arguments);
        command.args(options.map(OsString::from)).arg(&path).args(switches);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let child = command.spawn().map_err(|e| format!("{}: {e}", setup.binary.display()))?;
        Ok(Self { child, log, port: listener, admin, peer: None, ready: Duration::ZERO })
    }

    /// Waits until this succeeds with its port.
    pub(crate) fn wait_for(&mut self, ready: impl Fn(u16) -> Outcome<()>) -> Outcome<()> {
        self.wait_until("by itself", START_MAX, ready)
    }

    fn wait_until(
        &mut self,
        name: &str,
        limit: Duration,
        ready: impl Fn(u16) -> Outcome<()>,
    ) -> Outcome<()> {
        let begin = load::now();
        loop {
            let Err(error) = ready(self.port) else {
                self.ready = begin.elapsed();
                return Ok(());
            };
            let ended = self.child.try_wait()?;
            if ended.is_some() || load::now().duration_since(begin) > limit {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                let last = log.lines().last().unwrap_or_default();
                return Err(format!("Envoy ({name}) did not start: {error}\n{last}").into());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Processor time it has used, in microseconds, with what it asks.
    pub(crate) fn cpu_us(&self) -> Outcome<f64> {
        let beside = self.peer.as_ref().map_or(Ok(0.0), Peer::cpu_us)?;
        Ok(schedstat_us(self.child.id())? + beside)
    }

    /// Memory it holds, and what its allocator knows of it.
    pub(crate) fn memory(&self) -> Outcome<Memory> {
        let url = format!("http://127.0.0.1:{}/memory", self.admin);
        let text = ureq::get(url).call()?.into_body().read_to_string()?;
        let told: serde_json::Value = serde_json::from_str(&text)?;
        let number = |name: &str| -> Outcome<u64> {
            let digits = told.get(name).and_then(serde_json::Value::as_str);
            Ok(digits.ok_or_else(|| format!("no {name} in {text}"))?.parse()?)
        };
        Ok(Memory {
            rss: self.rss_kib()? * 1024,
            allocated: number("allocated")?,
            physical: number("total_physical_bytes")?,
            free_pages: number("pageheap_free")?,
        })
    }

    /// Memory it holds, with what it asks, in KiB.
    pub(crate) fn rss_kib(&self) -> Outcome<u64> {
        let beside = self.peer.as_ref().map_or(Ok(0), Peer::rss_kib)?;
        Ok(vm_rss_kib(self.child.id())? + beside)
    }
}

/// Memory that a process holds, in KiB.
pub(crate) fn vm_rss_kib(pid: u32) -> Outcome<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("no VmRSS in /proc")?.parse()?)
}

/// Processor time of a process in microseconds, user and system together, of all threads. By the scheduler's
/// clock, which counts nanoseconds where `utime` and `stime` count ticks.
pub(crate) fn schedstat_us(pid: u32) -> Outcome<f64> {
    let mut nanos = 0.0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += text.split(' ').next().unwrap_or_default().parse::<f64>()?;
    }
    Ok(nanos / 1000.0)
}

/// Ports that nobody listens on, below those that clients are given. All are held until all are known, so they differ.
pub(crate) fn free_ports<const N: usize>() -> Outcome<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    // Each is given once, so that two that were asked for one after the other differ too.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id() % 20_000;
    let mut free = (0..20_000).filter_map(|_| {
        let number = begin + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(12_000 + number % 20_000).ok()?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()
    });
    for port in &mut ports {
        let listener = free.next().ok_or("no port is free")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}
