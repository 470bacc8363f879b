//! Who asks for payments: teams of four connections that ask for the same one at once, and ask again
//! where they are told to.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::faults::Faults;
use crate::http::{Message, Wire};
use crate::stand::{ENVOYS, Stand};
use crate::support::client::{CREATE, STATUS, about, bytes, bytes_with, order};
use crate::support::{now, pause};

const TEAMS: usize = 12;
/// Connections of a team.
const LINES: usize = 4;
/// How often a team asks for a payment at once.
const ROUNDS: u32 = 4;
/// Between two rounds.
const ROUND_PAUSE: Duration = Duration::from_millis(150);
/// Whoever has not been paid asks again later, when the lease of a claim that was lost is over.
const LATER: Duration = Duration::from_secs(6);
const LATER_ROUNDS: u32 = 4;

/// Longer than a claim and a gateway take. Whoever waits longer has an Envoy that stands still.
const ANSWERED_WITHIN: Duration = Duration::from_millis(5500);

/// What a client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// By the gateway's answer, or a copy of it.
    Paid,
    Executed,
    NotExecuted,
    InProgress,
    Unknown,
    /// The connection broke, or could not be made.
    Broken,
    /// Something else.
    Other,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) key: u32,
    pub(crate) envoy: usize,
    pub(crate) begin: Instant,
    pub(crate) end: Instant,
    pub(crate) told: Told,
}

pub(crate) struct Clients {
    keys: u32,
    next: AtomicU32,
    made: AtomicU32,
    teams_left: AtomicU32,
    later: Mutex<VecDeque<(Instant, u32)>>,
    asks: Mutex<Vec<Ask>>,
    is_done: AtomicU32,
}

/// The reference of a payment.
pub(crate) fn reference(key: u32) -> String {
    format!("RACE-{key:08}")
}

impl Clients {
    pub(crate) fn new(keys: u32) -> Self {
        Self {
            keys,
            next: AtomicU32::new(0),
            made: AtomicU32::new(0),
            teams_left: AtomicU32::new(u32::try_from(TEAMS).unwrap()),
            later: Mutex::default(),
            asks: Mutex::default(),
            is_done: AtomicU32::new(0),
        }
    }

    /// Payments that were asked for as often as is usual.
    pub(crate) fn made(&self) -> u32 {
        self.made.load(Ordering::Relaxed)
    }

    /// Payments that were begun.
    pub(crate) fn begun(&self) -> u32 {
        self.next.load(Ordering::Relaxed)
    }

    /// All requests so far.
    pub(crate) fn asks(&self) -> Vec<Ask> {
        self.asks.lock().unwrap().clone()
    }

    /// Whether the teams have made all payments that they were to make.
    pub(crate) fn has_enough(&self) -> bool {
        self.made() >= self.keys
    }

    /// Whether nobody asks any longer.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done.load(Ordering::Relaxed) != 0
    }

    /// Makes all payments, and goes on until every fault was there once.
    pub(crate) fn run(&self, stand: &Stand, faults: &Faults) {
        thread::scope(|scope| {
            for team in 0..TEAMS {
                scope.spawn(move || self.play(stand, faults, team));
            }
            for number in 0..2 {
                scope.spawn(move || self.ask_later(stand, number));
            }
        });
        self.is_done.store(1, Ordering::Relaxed);
    }

    fn play(&self, stand: &Stand, faults: &Faults, team: usize) {
        let mut lines: Vec<Line> =
            (0..LINES).map(|line| Line::new((team + line) % ENVOYS)).collect();
        let mut asks = Vec::new();
        while !(self.begun() >= self.keys && faults.were_all_there()) {
            let key = self.next.fetch_add(1, Ordering::Relaxed);
            let request = order_bytes(key);
            let mut open: Vec<usize> = (0..LINES).collect();
            let mut is_paid = false;
            for round in 0..ROUNDS {
                if round > 0 {
                    pause(ROUND_PAUSE);
                }
                let told = ask_all(stand, &mut lines, &open, key, &request, &mut asks);
                is_paid |= told.contains(&Told::Paid);
                let again = |told: &Told| matches!(told, Told::Paid | Told::Executed);
                open = open
                    .into_iter()
                    .zip(&told)
                    .filter(|(_, t)| !again(t))
                    .map(|(l, _)| l)
                    .collect();
                // The merchant has its answer. Some want it on each connection.
                if open.is_empty() || is_paid && !key.is_multiple_of(8) {
                    break;
                }
            }
            if !is_paid {
                self.later.lock().unwrap().push_back((now() + LATER, key));
            }
            self.made.fetch_add(1, Ordering::Relaxed);
            if asks.len() > 1000 {
                self.asks.lock().unwrap().append(&mut asks);
            }
        }
        self.asks.lock().unwrap().append(&mut asks);
        self.teams_left.fetch_sub(1, Ordering::Relaxed);
    }

    /// Asks what became of payments of which nobody was told that they are made, and asks for them
    /// again.
    fn ask_later(&self, stand: &Stand, number: usize) {
        let mut asks = Vec::new();
        loop {
            let next = self.later.lock().unwrap().pop_front();
            let Some((due, key)) = next else {
                if self.teams_left.load(Ordering::Relaxed) == 0 {
                    break;
                }
                pause(Duration::from_millis(20));
                continue;
            };
            pause(due.saturating_duration_since(now()));
            let status = kept(&bytes(STATUS, &about(&reference(key))));
            let request = order_bytes(key);
            for round in 0..LATER_ROUNDS {
                let mut line = [Line::new((key as usize + number + round as usize) % ENVOYS)];
                // What a status says is checked by what is paid then.
                ask_all(stand, &mut line, &[0], key, &status, &mut Vec::new());
                let told = ask_all(stand, &mut line, &[0], key, &request, &mut asks);
                if matches!(told[..], [Told::Paid | Told::Executed]) {
                    break;
                }
                pause(Duration::from_millis(600));
            }
        }
        self.asks.lock().unwrap().append(&mut asks);
    }
}

/// Sends the same over all these lines, and waits for all answers.
fn ask_all(
    stand: &Stand,
    lines: &mut [Line],
    open: &[usize],
    key: u32,
    request: &[u8],
    asks: &mut Vec<Ask>,
) -> Vec<Told> {
    let sent: Vec<(Instant, bool)> =
        open.iter().map(|line| (now(), lines[*line].send(stand, request))).collect();
    let told = open.iter().zip(sent).map(|(line, (begin, is_sent))| {
        let line = &mut lines[*line];
        let told = if is_sent { line.read() } else { Told::Broken };
        asks.push(Ask { key, envoy: line.envoy, begin, end: now(), told });
        told
    });
    told.collect()
}

/// A kept connection to one Envoy, or to the next one while that is down.
struct Line {
    preferred: usize,
    envoy: usize,
    wire: Option<Wire>,
}

impl Line {
    const fn new(preferred: usize) -> Self {
        Self { preferred, envoy: preferred, wire: None }
    }

    fn send(&mut self, stand: &Stand, request: &[u8]) -> bool {
        let envoy = stand.up(self.preferred);
        if envoy != self.envoy || self.wire.is_none() {
            self.envoy = envoy;
            self.wire = Wire::connect(stand.port(envoy), ANSWERED_WITHIN).ok();
        }
        let is_sent = self.wire.as_mut().is_some_and(|wire| wire.send(request).is_ok());
        if !is_sent {
            self.wire = None;
        }
        is_sent
    }

    fn read(&mut self) -> Told {
        let told = match self.wire.as_mut().map(Wire::read) {
            Some(Ok(Some(answer))) => told(&answer),
            Some(Ok(None) | Err(_)) | None => Told::Broken,
        };
        if told == Told::Broken {
            self.wire = None;
        }
        told
    }
}

fn told(answer: &Message<'_>) -> Told {
    let body: serde_json::Value = serde_json::from_slice(answer.body).unwrap_or_default();
    match (body["outcome"].as_str(), body["responseCode"].as_str()) {
        (Some("executed"), _) => Told::Executed,
        (Some("not_executed"), _) => Told::NotExecuted,
        (Some("in_progress"), _) => Told::InProgress,
        (Some("unknown"), _) => Told::Unknown,
        (None, Some("2005400")) => Told::Paid,
        _ => Told::Other,
    }
}

/// The payment as bytes. Some bring an `Idempotency-Key`, some the same request id on each connection,
/// as a client does that hedges.
fn order_bytes(key: u32) -> Vec<u8> {
    let reference = reference(key);
    let headers: &[(&str, &str)] = match key % 4 {
        0 => &[("idempotency-key", &reference)],
        1 => &[("x-request-id", &reference)],
        2 => &[("idempotency-key", &reference), ("x-request-id", &reference)],
        _ => &[],
    };
    kept(&bytes_with(CREATE, headers, &order(&reference)))
}

/// The same on a connection that is kept.
fn kept(bytes: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(bytes).replace("connection: close\r\n", "").into_bytes()
}
