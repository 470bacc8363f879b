//! What a trail tells of a period: who took payments, what happened, and how it ended.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::cli::entry::Entry;
use crate::cli::{money, times};

/// Payments in doubt that are followed at a time. Of more the later ones are only counted.
const DOUBTS_MAX: usize = 1_000_000;

/// Things that happened, without payments: more than anybody reads.
const EVENTS_MAX: usize = 100_000;

/// A switch is put down to what was told of its gateways at most so long before it, in milliseconds.
const EVIDENCE_MS: u64 = 60_000;

/// Sums in hundredths, by currency.
pub(super) type Sums = BTreeMap<String, i128>;

/// A period. Its times are milliseconds since the Unix epoch.
#[derive(Debug, Default)]
pub(super) struct Story {
    pub(super) entries: u64,
    pub(super) begin: u64,
    pub(super) end: u64,
    pub(super) writers: BTreeSet<String>,
    pub(super) configs: BTreeSet<String>,
    /// By gateway, or several with `+` between them.
    pub(super) gateways: BTreeMap<String, Taken>,
    /// Charges that were executed in each minute since the Unix epoch, by gateway.
    pub(super) minutes: BTreeMap<u64, BTreeMap<String, u64>>,
    pub(super) events: Vec<Event>,
    pub(super) doubts: Doubts,
    /// Requests that got an answer of the filter's own, by its reason.
    pub(super) refused: BTreeMap<String, u64>,
    /// Answers that were given again.
    pub(super) replayed: u64,
    /// Events that there was no room for, here or in the filter.
    pub(super) lost: u64,
    /// Ids of events, each with its process.
    seen: BTreeSet<(String, String)>,
}

/// What a gateway took.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) executed: u64,
    pub(super) rejected: u64,
    pub(super) sums: Sums,
    /// When the first of those it has executed was, and the last.
    pub(super) first: u64,
    pub(super) last: u64,
}

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Event {
    pub(super) at: u64,
    pub(super) kind: String,
    pub(super) gateway: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) why: String,
    pub(super) who: String,
    pub(super) more: String,
}

/// Payments whose outcome was not known.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    pub(super) opened: u64,
    /// By how they ended.
    pub(super) closed: BTreeMap<String, u64>,
    /// Those that are open, by the front of their key.
    pub(super) open: HashMap<String, Doubt>,
    /// The longest that one was open that has ended, in milliseconds.
    pub(super) longest: u64,
    /// Those that there was no room for.
    pub(super) untold: u64,
}

/// A payment whose outcome is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Doubt {
    pub(super) since: u64,
    pub(super) gateway: String,
    pub(super) reference: String,
    pub(super) amount: String,
    pub(super) currency: String,
}

/// A time in which one gateway was the first to get new payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stay {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) gateway: String,
}

impl Story {
    /// Takes in an entry of this period.
    pub(super) fn take(&mut self, entry: &Entry<'_>) {
        let at = times::millis(&entry.time).unwrap_or_default();
        self.entries += 1;
        self.begin = if self.entries == 1 { at } else { self.begin.min(at) };
        self.end = self.end.max(at);
        if !self.writers.contains(&*entry.writer) {
            self.writers.insert(entry.writer.clone().into_owned());
        }
        match &*entry.kind {
            "charge" | "follow_up" | "inquiry" => self.take_request(entry, at),
            "notify" => self.take_notification(entry, at),
            "state" | "other" => self.refuse(entry),
            "start" => {
                self.configs.insert(entry.config.clone().into_owned());
                self.happened(entry, at);
            }
            "lost" => self.lost += 1,
            "resolve" if entry.decision != "unclear" => {
                self.doubts.close(&entry.key, &format!("an operator: {}", entry.claim), at);
                self.happened(entry, at);
            }
            _ => self.happened(entry, at),
        }
    }

    fn take_request(&mut self, entry: &Entry<'_>, at: u64) {
        let Entry { kind, gateways, evidence, claim, key, .. } = entry;
        if entry.decision == "replay" {
            self.replayed += 1;
            return;
        }
        match &**claim {
            "in_doubt" => self.doubts.open(entry, at),
            "settled" | "rejected" | "closed" => {
                let by = if kind == "inquiry" { "a question for it" } else { "an answer" };
                self.doubts.close(key, &format!("{by}: {claim}"), at);
            }
            _ => {}
        }
        if evidence.is_empty() && kind != "inquiry" {
            return self.refuse(entry);
        }
        if kind != "charge" || gateways.is_empty() {
            return;
        }
        let taken = self.gateways.entry(gateways.clone().into_owned()).or_default();
        if evidence == "executed" {
            taken.add(entry, at);
            let minute = self.minutes.entry(at / 60_000).or_default();
            *minute.entry(gateways.clone().into_owned()).or_default() += 1;
        } else if claim == "rejected" {
            taken.rejected += 1;
        }
    }

    fn take_notification(&mut self, entry: &Entry<'_>, at: u64) {
        if entry.key.is_empty() {
            return self.refuse(entry);
        }
        if matches!(&*entry.claim, "settled" | "closed") {
            self.doubts.close(&entry.key, &format!("a notification: {}", entry.claim), at);
        }
    }

    fn refuse(&mut self, entry: &Entry<'_>) {
        *self.refused.entry(entry.decision.clone().into_owned()).or_default() += 1;
    }

    fn happened(&mut self, entry: &Entry<'_>, at: u64) {
        // One that was handed over twice has the same id within its process.
        if !entry.id.is_empty() {
            let epoch = entry.writer.split('.').next().unwrap_or_default().to_owned();
            if !self.seen.insert((epoch, entry.id.clone().into_owned())) {
                return;
            }
        }
        if self.events.len() < EVENTS_MAX {
            self.events.push(Event::new(entry, at));
        } else {
            self.lost += 1;
        }
    }

    /// All is read: puts it in order.
    pub(super) fn end(&mut self) {
        self.events.sort();
    }

    /// What was told of its gateways shortly before something.
    pub(super) fn evidence(&self, of: &Event) -> Vec<&Event> {
        let speaks = |one: &&Event| {
            let is_told =
                ["breaker", "heartbeat", "override", "barred"].contains(&one.kind.as_str());
            let is_its = one.gateway == of.from || one.gateway == of.to;
            is_told && is_its && one.at <= of.at && of.at - one.at <= EVIDENCE_MS
        };
        self.events.iter().filter(speaks).collect()
    }

    /// The switches, in their order.
    pub(super) fn switches(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(|event| event.kind == "switch")
    }

    /// Who was first when. Before the first switch it is the one that was left by it; without any, the one
    /// that has executed most.
    pub(super) fn stays(&self) -> Vec<Stay> {
        let mut stays = Vec::new();
        let (mut from, mut gateway) = (self.begin, None);
        for switch in self.switches() {
            stays.push(Stay { from, to: switch.at, gateway: switch.from.clone() });
            (from, gateway) = (switch.at, Some(switch.to.clone()));
        }
        let most = || self.gateways.iter().max_by_key(|(_, taken)| taken.executed);
        let gateway = gateway.or_else(|| most().map(|(name, _)| name.clone()));
        stays.push(Stay { from, to: self.end, gateway: gateway.unwrap_or_default() });
        stays
    }

    /// The gateway that payments prefer: the one that failback leads to, or else the first that was left.
    pub(super) fn preferred(&self) -> String {
        let back = self.switches().find(|switch| switch.why == "failback");
        let first = || self.stays().into_iter().next().map(|stay| stay.gateway);
        back.map(|switch| switch.to.clone()).or_else(first).unwrap_or_default()
    }

    /// What was executed elsewhere than at the preferred gateway: that the reserve works is proven by it.
    pub(super) fn reserves(&self) -> impl Iterator<Item = (&String, &Taken)> {
        let preferred = self.preferred();
        self.gateways.iter().filter(move |(name, taken)| **name != preferred && taken.executed > 0)
    }
}

impl Taken {
    fn add(&mut self, entry: &Entry<'_>, at: u64) {
        self.first = if self.executed == 0 { at } else { self.first.min(at) };
        self.last = self.last.max(at);
        self.executed += 1;
        let sum = self.sums.entry(entry.currency.clone().into_owned()).or_default();
        *sum += i128::from(money::parse(&entry.amount).unwrap_or_default());
    }
}

impl Event {
    fn new(entry: &Entry<'_>, at: u64) -> Self {
        let Entry { kind, key, was, proof, gateways, says, writer, version, until, .. } = entry;
        let more = match &**kind {
            "resolve" => format!("payment {key} was {was}, evidence {proof}"),
            "anomaly" => format!("payment {key} was {was}, {gateways} says {says}"),
            "start" => format!("{writer}, version {version}"),
            "refused" => entry.decision.clone().into_owned(),
            "override" if !until.is_empty() => format!("until {until}"),
            _ => String::new(),
        };
        let to = match &**kind {
            "resolve" => &entry.claim,
            "disagree" => says,
            _ => &entry.to,
        };
        let why = if entry.why.is_empty() { &entry.rule } else { &entry.why };
        let own = |text: &str| text.to_owned();
        Self {
            at,
            kind: own(kind),
            gateway: own(gateways),
            from: own(&entry.from),
            to: own(to),
            why: own(why),
            who: own(&entry.who),
            more,
        }
    }

    /// In one line, without its time.
    pub(super) fn sentence(&self) -> String {
        let Self { kind, gateway, from, to, why, who, more, .. } = self;
        let who = if who.is_empty() { String::new() } else { format!(" by {who}") };
        let what = match kind.as_str() {
            "switch" => format!("{from} -> {to}: {why}"),
            "breaker" | "heartbeat" => format!("{kind} of {gateway}: {to}"),
            "override" => format!("override of {gateway}: {to}{who}"),
            "resolve" => format!("resolved as {to}{who}"),
            _ => [kind.as_str(), gateway, to].join(" ").trim().to_owned(),
        };
        let rest = [if kind == "switch" { "" } else { why.as_str() }, more.as_str()];
        rest.into_iter().filter(|text| !text.is_empty()).fold(what, |what, text| what + "; " + text)
    }
}

impl Doubts {
    fn open(&mut self, entry: &Entry<'_>, at: u64) {
        let Some(front) = entry.key.get(..32).filter(|front| !self.open.contains_key(*front))
        else {
            return;
        };
        self.opened += 1;
        if self.open.len() >= DOUBTS_MAX {
            self.untold += 1;
            return;
        }
        let doubt = Doubt {
            since: at,
            gateway: entry.gateways.clone().into_owned(),
            reference: entry.reference.clone().into_owned(),
            amount: entry.amount.clone().into_owned(),
            currency: entry.currency.clone().into_owned(),
        };
        self.open.insert(front.to_owned(), doubt);
    }

    fn close(&mut self, key: &str, how: &str, at: u64) {
        if let Some(doubt) = key.get(..32).and_then(|front| self.open.remove(front)) {
            *self.closed.entry(how.to_owned()).or_default() += 1;
            self.longest = self.longest.max(at.saturating_sub(doubt.since));
        }
    }
}
