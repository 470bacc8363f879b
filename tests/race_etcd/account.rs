//! What came of it: the gateways' ledger against what clients were told and what stands in etcd.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dana_failover::engine::{ClaimKey, Identity, dana_snap};
use serde_json::{Value, json};

use crate::clients::{Ask, Clients, Told, reference};
use crate::faults::Faults;
use crate::gateway::{Ledger, Line};
use crate::stand::Stand;
use crate::support::{now, pause};

/// By then nothing is open but what a killed Envoy had.
const RESOLVED_WITHIN: Duration = Duration::from_secs(60);
/// So long an Envoy waits for a gateway.
const RESPONSE: Duration = Duration::from_secs(1);
/// An Envoy that is killed had what was asked of it so short before: what it had not written down.
const UNWRITTEN: Duration = Duration::from_secs(15);

/// What counts.
#[derive(Debug, Default)]
pub(crate) struct Account {
    keys: u32,
    requests: usize,
    executions: usize,
    /// Of them at each gateway.
    at: [usize; 2],
    fetches: usize,
    twice: Vec<String>,
    never: usize,
    lies: Vec<String>,
    open: usize,
    open_unexplained: Vec<String>,
    resolved_after: Duration,
    misplaced: Vec<String>,
    faults: Vec<(String, u32)>,
    taken: Duration,
    told: BTreeMap<String, usize>,
    slowest: Duration,
}

pub(crate) fn take(
    stand: &Stand,
    clients: &Clients,
    faults: &Faults,
    ledger: &Ledger,
    taken: Duration,
) -> Account {
    println!("looking at what is left");
    let healed = now();
    let open = loop {
        let open = stand.etcd.list("/dana/v1/test/o/");
        let is_over = healed.elapsed() > RESOLVED_WITHIN;
        let explained = open.len() <= unresolved_by_kills(stand, clients, &open_keys(&open)).len();
        if open.is_empty() || is_over || (explained && healed.elapsed() > Duration::from_secs(8)) {
            break open_keys(&open);
        }
        pause(Duration::from_millis(250));
    };
    let resolved_after = healed.elapsed();
    let (asks, lines) = (clients.asks(), ledger.lines());
    let keys = clients.begun();
    let settled = stand.etcd.list("/dana/v1/test/s/");
    let settled: BTreeMap<String, Vec<u8>> = settled
        .into_iter()
        .map(|record| (record.key.rsplit('/').next().unwrap().to_owned(), record.value))
        .collect();
    let mut told = BTreeMap::new();
    for ask in &asks {
        *told.entry(format!("{:?}", ask.told)).or_default() += 1;
    }
    let by_kills = unresolved_by_kills(stand, clients, &open);
    let names = Names::of(keys);
    Account {
        keys,
        requests: asks.len(),
        executions: lines.len(),
        at: ["primary", "secondary"]
            .map(|gateway| lines.values().filter(|lines| lines[0].gateway == gateway).count()),
        fetches: lines.values().map(|lines| lines.len() - 1).sum(),
        twice: twice(&lines),
        never: (0..keys).filter(|key| !lines.contains_key(&reference(*key))).count(),
        lies: lies(&asks, &lines),
        open: open.len(),
        open_unexplained: open.iter().filter(|key| !by_kills.contains(key)).cloned().collect(),
        resolved_after,
        misplaced: names.misplaced(&lines, &settled, &open),
        faults: faults.counts().map(|(fault, count)| (format!("{fault:?}"), count)).into(),
        taken,
        told,
        slowest: asks.iter().map(|ask| ask.end - ask.begin).max().unwrap_or_default(),
    }
}

fn open_keys(open: &[crate::support::etcd::api::Record]) -> Vec<String> {
    open.iter().map(|record| record.key.rsplit('/').next().unwrap().to_owned()).collect()
}

/// Payments that two gateways have executed, or that were sent anew while the first copy was not
/// answered and was still waited for: two have won the same claim. After that, whoever has no answer of
/// its own may fetch it by a copy from the same gateway.
fn twice(lines: &BTreeMap<String, Vec<Line>>) -> Vec<String> {
    let is_twice = |lines: &Vec<Line>| {
        let (first, copies) = lines.split_first().unwrap();
        let is_fetch = |copy: &Line| {
            let is_over =
                first.answered_at.is_some_and(|at| at <= copy.at) || copy.at - first.at >= RESPONSE;
            copy.gateway == first.gateway && is_over
        };
        !copies.iter().all(is_fetch)
    };
    let twice = lines.iter().filter(|(_, lines)| is_twice(lines));
    twice.map(|(reference, lines)| format!("{reference}: {lines:?}")).collect()
}

/// What was told and is not so.
fn lies(asks: &[Ask], lines: &BTreeMap<String, Vec<Line>>) -> Vec<String> {
    let mut lies = Vec::new();
    for ask in asks {
        let reference = reference(ask.key);
        let first = lines.get(&reference).and_then(|lines| lines.iter().map(|line| line.at).min());
        let is_lie = match ask.told {
            Told::Paid | Told::Executed => first.is_none_or(|at| at > ask.end),
            // What is executed while it is asked for may be another one's.
            Told::NotExecuted => first.is_some_and(|at| at < ask.begin),
            Told::Other => true,
            Told::InProgress | Told::Unknown | Told::Broken => false,
        };
        if is_lie {
            lies.push(format!("{reference}: {ask:?}, first executed {first:?}"));
        }
    }
    lies
}

/// Open claims of payments that an Envoy had when it was killed, or shortly before.
fn unresolved_by_kills(stand: &Stand, clients: &Clients, open: &[String]) -> Vec<String> {
    let kills: Vec<(usize, Instant)> = stand.kills.lock().unwrap().clone();
    if kills.is_empty() || open.is_empty() {
        return Vec::new();
    }
    let names = Names::of(clients.begun());
    let asks = clients.asks();
    let had = |key: u32| {
        asks.iter().filter(|ask| ask.key == key).any(|ask| {
            let had = |(envoy, at): &(usize, Instant)| {
                *envoy == ask.envoy && ask.begin <= *at && *at <= ask.end + UNWRITTEN
            };
            kills.iter().any(had)
        })
    };
    let is_explained = |name: &&String| names.keys.get(*name).is_some_and(|key| had(*key));
    open.iter().filter(is_explained).cloned().collect()
}

/// Payments by the names of their records.
struct Names {
    keys: BTreeMap<String, u32>,
}

impl Names {
    fn of(keys: u32) -> Self {
        let operations = dana_snap();
        let create = operations.iter().find(|one| *one.name == *"create-order").unwrap();
        assert!(matches!(create.identity, Identity::Body(_)));
        let name = |key| {
            let reference = reference(key);
            let identity = ["216620010016033632482", reference.as_str()];
            let key = ClaimKey::derive("2025021312345678901234", &create.namespace, identity);
            key.reference().to_string()
        };
        Self { keys: (0..keys).map(|key| (name(key), key)).collect() }
    }

    /// Records that do not say what the ledger does.
    fn misplaced(
        &self,
        lines: &BTreeMap<String, Vec<Line>>,
        settled: &BTreeMap<String, Vec<u8>>,
        open: &[String],
    ) -> Vec<String> {
        let mut misplaced = Vec::new();
        for (name, key) in &self.keys {
            let reference = reference(*key);
            let executed = lines.get(&reference).map(|lines| lines[0].gateway);
            let stands = settled.get(name).and_then(|value| settled_at(value));
            if executed != stands && !open.contains(name) {
                misplaced
                    .push(format!("{reference} {name}: executed {executed:?}, settled {stands:?}"));
            }
        }
        misplaced
    }
}

/// Where a value says that its payment was executed; see `src/engine/store/record.rs`.
fn settled_at(value: &[u8]) -> Option<&'static str> {
    const CLAIM: u8 = 1;
    const SETTLED: u8 = 3;
    const RECORD: usize = 18;
    let (kind, state) = (value[1], value.get(RECORD + 34));
    if kind != CLAIM || state != Some(&SETTLED) {
        return None;
    }
    match value[RECORD + 38] {
        1 => Some("primary"),
        2 => Some("secondary"),
        _ => Some("several"),
    }
}

impl Account {
    /// Whether nothing was executed twice, nobody was lied to, and nothing is left that nobody knows
    /// of.
    pub(crate) fn is_well(&self, kills: bool) -> bool {
        self.twice.is_empty()
            && self.lies.is_empty()
            && self.open_unexplained.is_empty()
            && self.misplaced.is_empty()
            && (kills || (self.open == 0 && self.never == 0))
    }

    fn rate(&self) -> f64 {
        f64::from(self.keys) / self.taken.as_secs_f64()
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "keys": self.keys,
            "requests": self.requests,
            "executions": self.executions,
            "executions_by_gateway": self.at,
            "answers_fetched_by_a_copy": self.fetches,
            "executed_twice": self.twice,
            "never_executed": self.never,
            "told_wrongly": self.lies,
            "left_open": self.open,
            "left_open_and_not_of_a_killed_envoy": self.open_unexplained,
            "resolved_after_s": self.resolved_after.as_secs_f64(),
            "settled_elsewhere": self.misplaced,
            "faults": self.faults.iter().cloned().collect::<BTreeMap<_, _>>(),
            "seconds": self.taken.as_secs_f64(),
            "payments_a_second": self.rate(),
            "told": self.told,
            "slowest_answer_ms": u64::try_from(self.slowest.as_millis()).unwrap(),
        })
    }

    pub(crate) fn tell(&self, kills: bool) {
        let wrong = self
            .twice
            .iter()
            .chain(&self.lies)
            .chain(&self.open_unexplained)
            .chain(&self.misplaced);
        wrong.take(20).for_each(|one| println!("WRONG: {one}"));
        let faults: Vec<String> =
            self.faults.iter().map(|(fault, count)| format!("{count} {fault}")).collect();
        println!("keys: {}, requests: {}", self.keys, self.requests);
        println!("told: {:?}, slowest {:?}", self.told, self.slowest);
        println!("faults: {}", faults.join(", "));
        println!("took: {:.1} s, {:.0} payments a second", self.taken.as_secs_f64(), self.rate());
        println!(
            "executions: {} ({} and {}), never executed: {}, answers fetched by a copy: {}",
            self.executions, self.at[0], self.at[1], self.never, self.fetches
        );
        println!("told wrongly: {}, settled elsewhere: {}", self.lies.len(), self.misplaced.len());
        println!(
            "left open: {} ({} of no killed Envoy), after {:.1} s",
            self.open,
            self.open_unexplained.len(),
            self.resolved_after.as_secs_f64(),
        );
        if !kills {
            println!("without kills nothing may be left open, or never be executed");
        }
        println!("executed twice: {}", self.twice.len());
    }
}
