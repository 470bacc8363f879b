//! What happens to Envoy, and what its trail must have afterwards.

use std::collections::BTreeSet;
use std::fmt;
use std::thread;
use std::time::Duration;

use dana_failover::cli::audit::{Kind, verify, verify_bytes};
use serde_json::{Value, json};

use crate::gateway::{self, Ledger};
use crate::hot_restart::Restarting;
use crate::load::{LINES, Load};
use crate::support::client;
use crate::support::envoy::{Envoy, quick, reference, rendered_from, with};
use crate::support::until;

/// What happens to Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// It is killed.
    Kill,
    /// It is killed, and tells its log of each payment before that goes.
    KillWithIntents,
    /// It is told to end.
    Terminate,
    /// The file is taken away and opened anew, twenty times.
    Rotate,
    /// The listener is changed while payments go on.
    Update,
    /// Another Envoy takes over.
    HotRestart,
    /// The disk is full for a while.
    DiskFull,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Account {
    scene: String,
    times: u32,
    executed: usize,
    answered: usize,
    /// Executed payments that no entry names, and no intent.
    unnamed: usize,
    /// Of those, the ones that a client was answered.
    answered_unnamed: usize,
    /// The most that one time left unnamed.
    worst: usize,
    allowed: Allowed,
}

/// What may be in no line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Allowed {
    #[default]
    Nothing,
    /// What was under way.
    UnderWay,
    /// As much as there was no room for; some of it at least.
    Gap,
}

impl Account {
    /// Envoy hands its lines to another thread, which a kill may find waiting for a processor: then an
    /// answer has left whose line has not. Six of 41,713 in 200 kills, on two busy ones.
    pub(crate) const fn is_well(&self) -> bool {
        let (unnamed, late) = match self.allowed {
            Allowed::Nothing => (0, 0),
            Allowed::UnderWay => (LINES + LINES / 4, 2 + self.answered / 1000),
            Allowed::Gap => return self.unnamed > 0 && self.executed == self.answered,
        };
        self.executed > 0 && self.worst <= unnamed && self.answered_unnamed <= late
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<16} {:>4} times: {:>7} executed, {:>7} answered; in no line: {:>4} executed (worst {:>3}), {:>3} answered",
            self.scene,
            self.times,
            self.executed,
            self.answered,
            self.unnamed,
            self.worst,
            self.answered_unnamed
        )
    }
}

impl Scene {
    pub(crate) const ALL: [Self; 7] = [
        Self::Kill,
        Self::KillWithIntents,
        Self::Terminate,
        Self::Rotate,
        Self::Update,
        Self::HotRestart,
        Self::DiskFull,
    ];

    pub(crate) const fn is_kill(self) -> bool {
        matches!(self, Self::Kill | Self::KillWithIntents)
    }
}

/// Plays it so many times.
pub(crate) fn play(scene: Scene, times: u32) -> Account {
    let allowed = match scene {
        Scene::Kill => Allowed::UnderWay,
        Scene::DiskFull => Allowed::Gap,
        Scene::KillWithIntents
        | Scene::Terminate
        | Scene::Rotate
        | Scene::Update
        | Scene::HotRestart => Allowed::Nothing,
    };
    let mut account = Account { scene: format!("{scene:?}"), times, allowed, ..Account::default() };
    for number in 0..times {
        let ledger = Ledger::default();
        let gateways = ["primary", "secondary"].map(|name| gateway::start(name, &ledger));
        let changes = json!({"audit": {"intents": scene == Scene::KillWithIntents}});
        let changes = with(quick(), &changes);
        let gateways = [gateways[0].as_str(), gateways[1].as_str()];
        let config = rendered_from(reference(), gateways, &changes);
        let (load, named) = match scene {
            Scene::HotRestart => hot_restart(&config),
            Scene::DiskFull => disk_full(&config),
            Scene::Kill
            | Scene::KillWithIntents
            | Scene::Terminate
            | Scene::Rotate
            | Scene::Update => once(scene, number, &config),
        };
        let executed: BTreeSet<String> = ledger.lines().into_keys().collect();
        let answered = load.answered();
        let unnamed: BTreeSet<&String> = executed.difference(&named).collect();
        account.executed += executed.len();
        account.answered += answered.len();
        account.unnamed += unnamed.len();
        account.worst = account.worst.max(unnamed.len());
        account.answered_unnamed +=
            unnamed.iter().filter(|reference| answered.contains(**reference)).count();
    }
    account
}

/// Envoy from its start to its end, under load; what was paid, and what its trail and intents name.
fn once(scene: Scene, number: u32, config: &Value) -> (Load, BTreeSet<String>) {
    let envoy = match scene {
        Scene::Update => Envoy::start_updatable(config),
        Scene::Kill
        | Scene::KillWithIntents
        | Scene::Terminate
        | Scene::Rotate
        | Scene::HotRestart
        | Scene::DiskFull => Envoy::start_with(config, &FLUSH),
    };
    let port: u16 = envoy.listener.rsplit_once(':').unwrap().1.parse().unwrap();
    let load = Load::default();
    let (log, trail) = thread::scope(|scope| {
        for _ in 0..LINES {
            scope.spawn(|| load.pay(port));
        }
        // At another moment each time.
        let enough = 100 + usize::try_from(number * 37 % 200).unwrap();
        let count = |count| {
            until("it is under load", Duration::from_secs(20), || {
                (load.count() >= count).then_some(())
            });
        };
        count(enough);
        let ended = match scene {
            Scene::Kill | Scene::KillWithIntents => envoy.end_with_trail("-KILL"),
            Scene::Terminate | Scene::HotRestart | Scene::DiskFull => envoy.end_with_trail("-TERM"),
            Scene::Rotate => {
                let trail = rotated(&envoy, count);
                load.end();
                let (log, last) = envoy.end_with_trail("-TERM");
                (log, [trail, last].concat())
            }
            Scene::Update => {
                for number in 0..3 {
                    let mut config = config.clone();
                    let changed = &mut config["static_resources"]["listeners"];
                    changed[0]["per_connection_buffer_limit_bytes"] = json!(100_000 + number);
                    assert!(envoy.update(&config));
                    count(load.count() + 100);
                }
                load.end();
                envoy.end_with_trail("-TERM")
            }
        };
        load.end();
        ended
    });
    check(scene, &log, &trail);
    (load, named(&log, &trail))
}

/// Each line is written at once.
const FLUSH: [&str; 2] = ["--file-flush-min-size-kb", "0"];

/// Waits until so many payments were answered.
fn await_load(load: &Load, count: usize) {
    until("it is under load", Duration::from_secs(20), || (load.count() >= count).then_some(()));
}

/// Two Envoys, one after the other, under load all the time.
fn hot_restart(config: &Value) -> (Load, BTreeSet<String>) {
    let mut envoys = Restarting::start(config);
    let (port, load) = (envoys.port, Load::default());
    thread::scope(|scope| {
        for _ in 0..LINES {
            scope.spawn(|| load.pay(port));
        }
        await_load(&load, 100);
        envoys.restart();
        await_load(&load, load.count() + 100);
        load.end();
    });
    let (log, trail) = envoys.end();
    check(Scene::HotRestart, &log, &trail);
    let starts = log.lines().filter(|line| line.contains("audit start ")).count();
    let epochs: BTreeSet<&str> = log
        .lines()
        .filter_map(|line| line.split_once("audit start ")?.1.split('.').next())
        .collect();
    assert!(starts >= 2 && epochs.len() == 2, "each of the two has written: {epochs:?}");
    (load, named(&log, &trail))
}

/// Bytes of its files that a small disk takes beyond what there is.
const ROOM: u64 = 40_000;

/// Payments go on, and what could not be written down has numbers.
fn disk_full(config: &Value) -> (Load, BTreeSet<String>) {
    let envoy = Envoy::start_on_a_small_disk(config, &FLUSH);
    let port: u16 = envoy.listener.rsplit_once(':').unwrap().1.parse().unwrap();
    let load = Load::default();
    let taken = envoy.trail().with_extension("1");
    thread::scope(|scope| {
        for _ in 0..LINES {
            scope.spawn(|| load.pay(port));
        }
        await_load(&load, 100);
        let size = |path| std::fs::metadata(path).map_or(0, |about: std::fs::Metadata| about.len());
        envoy.fill_disk(size(envoy.trail()) + ROOM);
        until("it could not write", Duration::from_secs(20), || {
            (envoy.stat("filesystem.write_failed") > 0).then_some(())
        });
        await_load(&load, load.count() + 100);
        // Somebody makes room.
        std::fs::rename(envoy.trail(), &taken).unwrap();
        assert_eq!(client::post(&envoy.admin, "/reopen_logs", &json!({})).status, 200);
        await_load(&load, load.count() + 20);
        load.end();
    });
    let later = std::fs::read(&taken).unwrap();
    let (_, last) = envoy.end_with_trail("-TERM");
    let trail = [later, last].concat();
    let verified = verify_bytes(&trail, b"", b"");
    let kinds: BTreeSet<Kind> = verified.findings().map(|(kind, _)| kind).collect();
    assert!(kinds.contains(&Kind::Missing), "the gap has a name: {kinds:?}");
    let expected = [Kind::Missing, Kind::Unreadable, Kind::Altered, Kind::Reordered];
    assert!(kinds.iter().all(|kind| expected.contains(kind)), "and nothing else: {kinds:?}");
    let named = named("", &trail);
    assert!(named.len() < load.count(), "some had no room");
    (load, named)
}

/// Takes the file away twenty times; what was in those.
fn rotated(envoy: &Envoy, count: impl Fn(usize)) -> Vec<u8> {
    let mut files = Vec::new();
    for number in 0..20 {
        let to = envoy.trail().with_extension(format!("{number}"));
        std::fs::rename(envoy.trail(), &to).unwrap();
        assert_eq!(client::post(&envoy.admin, "/reopen_logs", &json!({})).status, 200);
        files.push(to);
        count(100 + 30 * (number + 1));
    }
    assert!(!verify(&files, &[]).unwrap().is_untrue(), "the files in their order");
    files.iter().flat_map(|file| std::fs::read(file).unwrap()).collect()
}

/// The trail is as it was written; and unless Envoy was killed, up to its last head.
fn check(scene: Scene, log: &str, trail: &[u8]) {
    let heads = if scene.is_kill() { "" } else { log };
    let verified = verify_bytes(trail, heads.as_bytes(), b"");
    let found: Vec<_> = verified.findings().filter(|(kind, _)| !kind.is_harmless()).collect();
    assert!(found.is_empty(), "{scene:?}: {found:?}");
    if !scene.is_kill() {
        assert!(log.contains("audit close "), "{scene:?}: nobody says that it ends: {log}");
        assert_eq!(verified.torn(), 0);
    }
    let heads = verify_bytes(trail, log.as_bytes(), b"");
    let beyond = heads.findings().all(|(kind, _)| kind == Kind::Cut || kind.is_harmless());
    assert!(beyond, "what a kill takes is the end: {:?}", heads.findings().collect::<Vec<_>>());
}

/// The references that entries and intents name.
fn named(log: &str, trail: &[u8]) -> BTreeSet<String> {
    let trail = String::from_utf8_lossy(trail);
    let entries = trail.lines().filter(|line| line.contains("\"e\":\"charge\""));
    let intents =
        log.lines().filter_map(|line| line.split_once("audit intent ")).map(|(_, rest)| rest);
    let lines = entries.chain(intents);
    lines
        .filter_map(|line| Some(line.split_once("\"ref\":\"")?.1.split('"').next()?.to_owned()))
        .collect()
}
