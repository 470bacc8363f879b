//! A real etcd: members on loopback that a test kills, restarts and freezes.
//!
//! - `api`: reads and writes, past the filter
//! - `cluster`: how an Envoy reaches the members
//! - `tls`: certificates, and users with their rights

pub(crate) mod api;
pub(crate) mod cluster;
pub(crate) mod tls;

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::{Process, free_ports, read, root, until};
use api::Api;
use tls::Tls;

/// Longer than any election, and than a member takes to start on a busy machine, which reads all that
/// was written.
const LIMIT: Duration = Duration::from_secs(60);
/// Longer than a member that is well takes to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The etcd that is tested with: the one of `make tools`, or any other that the environment names.
pub(crate) fn program() -> PathBuf {
    let named = std::env::var_os("ETCD_BIN").map(PathBuf::from);
    found(named.unwrap_or_else(|| root().join(".tools/etcd/bin/etcd")))
}

/// Tests without etcd fail: they are never left out in silence.
pub(crate) fn found(path: PathBuf) -> PathBuf {
    let advice = "run `make tools`, or say where one is, as in ETCD_BIN=/usr/bin/etcd";
    assert!(path.exists(), "etcd is missing at {}: {advice}", path.display());
    path
}

/// How an etcd is set up.
pub(crate) struct Setup<'a> {
    /// How many members it has.
    pub(crate) members: usize,
    /// Whether each write waits for the disk. It need not for tests: what a member has written
    /// outlives its SIGKILL in any case, because the system has it. Only a crash of the machine
    /// loses it.
    pub(crate) is_synced: bool,
    /// Further flags of each member.
    pub(crate) flags: &'a [&'a str],
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self { members: 3, is_synced: false, flags: &[] }
    }
}

/// A running etcd. Its processes and its data end with it.
pub(crate) struct Etcd {
    members: Vec<Member>,
    tls: Option<Tls>,
    _dir: TempDir,
}

struct Member {
    /// Where clients call.
    address: String,
    api: Api,
    command: Mutex<Command>,
    log: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    process: Option<Process>,
    is_frozen: bool,
}

impl Etcd {
    /// Starts this many members, without TLS, and waits until each of them reads and writes.
    pub(crate) fn start(members: usize) -> Self {
        Self::start_with(&Setup { members, ..Setup::default() })
    }

    /// The same, set up in another way.
    pub(crate) fn start_with(setup: &Setup<'_>) -> Self {
        Self::start_as(setup, false)
    }

    /// The same, where clients need a certificate. Its common name is the user, who may do what
    /// [`Etcd::grant`] says and nothing else.
    pub(crate) fn start_tls(setup: &Setup<'_>) -> Self {
        let etcd = Self::start_as(setup, true);
        etcd.enable_users();
        etcd
    }

    fn start_as(setup: &Setup<'_>, is_tls: bool) -> Self {
        // Somebody else may take a port before the member does.
        for _ in 0..4 {
            if let Some(etcd) = Self::try_start(setup, is_tls) {
                etcd.wait_healthy();
                return etcd;
            }
        }
        panic!("no ports are free for {} members", setup.members);
    }

    /// `None` where a port was taken.
    fn try_start(setup: &Setup<'_>, is_tls: bool) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let tls = is_tls.then(|| Tls::new(dir.path()));
        let ports = free_ports(2 * setup.members);
        let peer = |number: usize| format!("http://127.0.0.1:{}", ports[2 * number + 1]);
        let peers: Vec<String> =
            (0..setup.members).map(|number| format!("m{number}={}", peer(number))).collect();
        let members = (0..setup.members).map(|number| {
            let address = format!("127.0.0.1:{}", ports[2 * number]);
            let scheme = if is_tls { "https" } else { "http" };
            let (client, peer) = (format!("{scheme}://{address}"), peer(number));
            let mut command = Command::new(program());
            command
                // etcd takes flags from there too.
                .env_clear()
                .arg("--data-dir")
                .arg(dir.path().join(format!("m{number}")))
                .args(["--name", &format!("m{number}")])
                .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
                .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
                .args(["--initial-cluster", &peers.join(","), "--initial-cluster-state", "new"])
                // In milliseconds, and etcd's own.
                .args(["--heartbeat-interval", "100", "--election-timeout", "1000"])
                // A password is as cheap as can be: only tests have one.
                .args(["--log-level", "warn", "--bcrypt-cost", "4"])
                .args(setup.flags)
                .args(tls.iter().flat_map(Tls::flags));
            if !setup.is_synced {
                command.arg("--unsafe-no-fsync");
            }
            let api = Api::new(&client, tls.as_ref());
            let log = dir.path().join(format!("m{number}.log"));
            let (command, state) = (Mutex::new(command), Mutex::default());
            Member { address, api, command, log, state }
        });
        let members = members.collect();
        let etcd = Self { members, tls, _dir: dir };
        etcd.members.iter().for_each(Member::spawn);
        etcd.await_serving().then_some(etcd)
    }

    /// Waits until each member that lives answers for itself; whether their ports were free.
    fn await_serving(&self) -> bool {
        until("each member serves", LIMIT, || {
            let mut all = true;
            for number in self.live() {
                match self.members[number].serves() {
                    None => return Some(false),
                    Some(serves) => all &= serves,
                }
            }
            all.then_some(true)
        })
    }

    /// Where clients call, member by member.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.members.iter().map(|member| member.address.clone()).collect()
    }

    /// What a member says itself.
    pub(crate) fn api(&self, member: usize) -> &Api {
        &self.members[member].api
    }

    /// Processor time that all members have used, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        let used = self.members.iter().map(|member| {
            let state = member.state.lock().unwrap();
            state.process.as_ref().map_or(0.0, Process::cpu_us)
        });
        used.sum()
    }

    /// Members that are neither killed nor frozen.
    fn live(&self) -> Vec<usize> {
        let is_live = |number: &usize| self.members[*number].is_live();
        (0..self.members.len()).filter(is_live).collect()
    }

    /// The leader, as soon as all members that live agree on one of them, and are a majority.
    pub(crate) fn leader(&self) -> usize {
        until("a majority agrees on a leader that lives", LIMIT, || self.leader_now())
    }

    fn leader_now(&self) -> Option<usize> {
        let live = self.live();
        if 2 * live.len() <= self.members.len() {
            return None;
        }
        let (mut leader, mut views) = (None, Vec::new());
        for number in live {
            let path = "/v3/maintenance/status";
            let status = self.api(number).post(path, &json!({}), PATIENCE).ok()?;
            if status["leader"] == status["header"]["member_id"] {
                leader = Some(number);
            }
            // Without a leader it has no such field.
            views.push((status["leader"].as_str()?.to_owned(), status["raftTerm"].clone()));
        }
        views.dedup();
        leader.filter(|_| views.len() == 1)
    }

    /// A member that is not the leader.
    pub(crate) fn follower(&self) -> usize {
        let leader = self.leader();
        self.live().into_iter().find(|number| *number != leader).expect("it has followers")
    }

    /// Stops a member at once (SIGKILL). Its data stay.
    pub(crate) fn kill(&self, member: usize) {
        let mut state = self.members[member].state.lock().unwrap();
        assert!(state.process.is_some(), "member {member} runs");
        *state = State::default();
    }

    /// Starts a member that was killed, with its data. It takes no calls before it has found a
    /// majority: see [`Etcd::wait_healthy`].
    pub(crate) fn restart(&self, member: usize) {
        let member = &self.members[member];
        assert!(member.state.lock().unwrap().process.is_none(), "{} runs", member.address);
        member.spawn();
    }

    /// Stops a member so that it goes on later (SIGSTOP). Meanwhile its system still takes
    /// connections for it.
    pub(crate) fn freeze(&self, member: usize) {
        self.signal(member, "-STOP", true);
    }

    /// Lets a frozen member go on (SIGCONT).
    pub(crate) fn thaw(&self, member: usize) {
        self.signal(member, "-CONT", false);
    }

    fn signal(&self, member: usize, signal: &str, is_frozen: bool) {
        let mut state = self.members[member].state.lock().unwrap();
        let pid = state.process.as_ref().expect("it runs").0.id();
        assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
        until("each of its threads has stopped or goes on", LIMIT, || {
            let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
            let mut states = threads.map_while(Result::ok).map(|thread| {
                let status = read(&thread.path().join("status"));
                status.lines().any(|line| line.starts_with("State:\tT"))
            });
            states.all(|is_stopped| is_stopped == is_frozen).then_some(())
        });
        state.is_frozen = is_frozen;
    }

    /// Waits until each member that lives knows the leader and reads what a majority has.
    pub(crate) fn wait_healthy(&self) {
        assert!(self.await_serving(), "somebody else has taken a port");
        self.leader();
        for number in self.live() {
            until("each member reads what a majority has", LIMIT, || {
                self.api(number).try_revision(PATIENCE).ok()
            });
        }
    }
}

impl Member {
    fn is_live(&self) -> bool {
        let state = self.state.lock().unwrap();
        state.process.is_some() && !state.is_frozen
    }

    fn spawn(&self) {
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let mut command = self.command.lock().unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.state.lock().unwrap().process = Some(Process(child));
    }

    /// Whether it answers for itself; `None` where it has ended because a port of it is taken.
    fn serves(&self) -> Option<bool> {
        let mut state = self.state.lock().unwrap();
        let ended = state.process.as_mut().unwrap().0.try_wait().unwrap();
        drop(state);
        if let Some(status) = ended {
            let log = read(&self.log);
            assert!(log.contains("address already in use"), "etcd ended, {status}: {log}");
            return None;
        }
        Some(self.api.serves(PATIENCE))
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.members.iter().for_each(|member| show_end(&read(&member.log)));
        }
    }
}

#[expect(clippy::print_stderr, reason = "what etcd said is what explains a failed test")]
fn show_end(log: &str) {
    let lines: Vec<&str> = log.lines().collect();
    for line in lines.iter().skip(lines.len().saturating_sub(5)) {
        eprintln!("etcd: {line}");
    }
}
