//! One payment of the table: its first answer, what comes next, and how it ends.

use std::cell::Cell as StdCell;
use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::world::{REPEAT_AFTER, SETTLE_DELAY, World};
use super::{
    BY_ENVOY, Column, IN_PROGRESS, Next, PAID, Row, STATUS_FAILED, STATUS_NOT_FOUND,
    STATUS_UNKNOWN, Then, UNKNOWN,
};
use crate::support::client::{CANCEL, CREATE, STATUS, Seen, about, order, send};
use crate::support::{now, pause, until};

const PARTNER: &str = "2025021312345678901234";
/// Longer than any delay of the table, also on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two repeats of one payment.
const POLL: Duration = Duration::from_millis(100);
/// After `REPEAT_AFTER`, a repeat that may be sent is sent.
const MARGIN: Duration = Duration::from_millis(700);

/// What an SDK mints anew for every request.
static TRANSPORT_IDS: AtomicU32 = AtomicU32::new(0);

/// What a client can tell an answer by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) code: &'static str,
    /// Of an answer of the filter; a gateway's has none.
    pub(super) outcome: &'static str,
    pub(super) safe_new_key: Option<bool>,
    /// A status inquiry's `latestTransactionStatus`.
    pub(super) says: &'static str,
}

impl Answer {
    pub(super) const fn gateways(status: u16, code: &'static str) -> Self {
        Self { status, code, outcome: "", safe_new_key: None, says: "" }
    }

    pub(super) const fn ours(
        status: u16,
        code: &'static str,
        outcome: &'static str,
        safe: bool,
    ) -> Self {
        Self { status, code, outcome, safe_new_key: Some(safe), says: "" }
    }

    fn is(&self, seen: &Seen) -> bool {
        let body: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
        let says = body["latestTransactionStatus"].as_str().unwrap_or_default();
        (seen.status, seen.code().as_str(), seen.outcome().as_str())
            == (self.status, self.code, self.outcome)
            && body["safe_new_key"].as_bool() == self.safe_new_key
            && says == self.says
    }
}

/// One payment.
pub(super) struct Cell<'a> {
    world: &'a World,
    row: &'a Row,
    column: &'a Column,
    reference: String,
    /// How many requests it has made, for their ids.
    calls: AtomicU32,
    /// When the first request was made.
    began: Mutex<Option<Instant>>,
    /// What was asked and answered, and how often in a row.
    story: Mutex<Vec<(String, u32)>>,
}

type Step<T = ()> = Result<T, String>;

impl<'a> Cell<'a> {
    pub(super) fn new(world: &'a World, row: &'a Row, column: &'a Column) -> Self {
        let reference = format!("{}.{}", row.name, column.name).replace([' ', ','], "-");
        Self {
            world,
            row,
            column,
            reference,
            calls: AtomicU32::new(0),
            began: Mutex::default(),
            story: Mutex::default(),
        }
    }

    pub(super) fn at(&self) -> &str {
        self.row.at
    }

    pub(super) fn is_refused(&self) -> bool {
        self.column.next == Next::RepeatRefused
    }

    fn then(&self) -> &Then {
        if self.row.several { &self.column.several } else { &self.column.one }
    }

    /// What went wrong, and what led there.
    pub(super) fn story(&self, what: &str) -> String {
        let mut told = format!("{} / {}: {what}\n", self.row.name, self.column.name);
        for (line, times) in self.story.lock().unwrap().iter() {
            told += &format!("    {times:>3} x {line}\n");
        }
        told
    }

    fn note(&self, path: &str, seen: &Seen) {
        let body: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
        let (mut line, operation) = (seen.status.to_string(), path.rsplit('/').next().unwrap());
        for name in
            ["responseCode", "outcome", "gateway", "gateway_code", "latestTransactionStatus"]
        {
            line += &body[name].as_str().map(|text| format!(" {text}")).unwrap_or_default();
        }
        let line = format!("{operation:<26} -> {line}");
        let mut story = self.story.lock().unwrap();
        match story.last_mut() {
            Some((last, times)) if *last == line => *times += 1,
            Some(_) | None => story.push((line, 1)),
        }
    }

    /// The payment is made, and its answer goes wrong. What comes at once comes here: it does not
    /// wait for the other cells.
    pub(super) fn first(&self) -> Step {
        let mut fault = self.row.fault.clone();
        let executes = self.column.executes;
        fault["executes"] = executes.into();
        self.fault(self.row.at, fault, "create-order");
        *self.began.lock().unwrap() = Some(now());
        let id = match self.row.first {
            Some(expected) => self.make(expected)?,
            None => self.leave()?,
        };
        if self.column.next == Next::Repeat {
            self.repeat_at_once()?;
        }
        let attempts = self.attempts(&id);
        let tried = if self.row.at == "primary" { 1 } else { 2 };
        self.check(attempts == tried, || format!("{attempts} attempts, not {tried}"))?;
        let executed = self.world.sandbox.executed_at(&self.reference);
        let right = executed == if executes { vec![self.row.at] } else { Vec::new() };
        self.check(right, || format!("executed at {executed:?} at first"))
    }

    /// The client waits for its answer.
    fn make(&self, expected: Answer) -> Step<String> {
        // Where the filter has just died, Envoy answers without it until it is back.
        let (seen, id) = self.poll("the filter is back", |seen, id| {
            let arrived = self.arrived() > 0 || !BY_ENVOY.is(seen);
            Ok(arrived.then(|| (seen.clone(), id.to_owned())))
        })?;
        self.expect(&seen, expected).map(|()| id)
    }

    /// The whole cell, where nothing else has to happen in between.
    pub(super) fn whole(&self) -> Step {
        self.first()?;
        self.next_step()?;
        self.end()
    }

    /// The client leaves while the gateway has its payment.
    fn leave(&self) -> Step<String> {
        let (id, body) = (self.fresh_id(), order(&self.reference).to_string());
        let mut socket = TcpStream::connect(&self.world.envoy.listener).unwrap();
        let head = format!(
            "POST {CREATE} HTTP/1.1\r\nhost: dana\r\nx-partner-id: {PARTNER}\r\n\
             x-request-id: {id}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all(format!("{head}{body}").as_bytes()).unwrap();
        until("the gateway has it", PATIENCE, || (self.arrived() == 1).then_some(()));
        drop(socket);
        let line = self.world.envoy.logged(&id);
        let note = line["dana"].as_str().unwrap_or_default();
        self.check(note.contains("claim=in_doubt"), || format!("the client left: {line}"))?;
        Ok(id)
    }

    fn repeat_at_once(&self) -> Step {
        let id = self.poll("the filter is back", |seen, id| {
            if self.row.at_once == IN_PROGRESS && BY_ENVOY.is(seen) {
                return Ok(None);
            }
            self.expect(seen, self.row.at_once).map(|()| Some(id.to_owned()))
        })?;
        self.sent_as(&id, self.then().sent)
    }

    /// What comes next.
    pub(super) fn next_step(&self) -> Step {
        let then = self.then();
        if self.column.next == Next::Repeat {
            return Ok(());
        }
        self.wait_for_doubt()?;
        match self.column.next {
            Next::Repeat => Ok(()),
            Next::RepeatLater => self.repeat(),
            Next::RepeatNo => {
                self.fault("primary", json!({"fault": "code", "code": "403xx14"}), "create-order");
                self.repeat()
            }
            Next::RepeatRefused => self.repeat(),
            Next::AskExecuted => self.ask(),
            Next::AskFailed => self.ask_until_believed(),
            Next::AskTooEarly => {
                for gateway in ["primary", "secondary"] {
                    let lie = json!({"fault": "tell", "says": "not-found"});
                    self.fault(gateway, lie, "order-status");
                }
                self.ask()
            }
            Next::AskUntilProven => self.ask_until_proven(),
            Next::Cancel => {
                let (seen, id) = self.call(CANCEL, &about(&self.reference))?;
                self.expect(&seen, then.answer)?;
                self.sent_as(&id, then.sent)
            }
        }
    }

    /// A claim in flight comes into doubt when its lease ends.
    fn wait_for_doubt(&self) -> Step {
        if self.row.at_once == UNKNOWN {
            return Ok(());
        }
        self.poll("its lease ends", |seen, _| {
            if UNKNOWN.is(seen) { Ok(Some(())) } else { self.allow(seen, &[IN_PROGRESS]) }
        })
    }

    /// Repeats until a repeat is sent, or until it would have been.
    fn repeat(&self) -> Step {
        let then = self.then();
        let begin = now();
        self.poll("a repeat is sent", |seen, id| {
            let tried = self.attempts(id) > 0;
            if tried || (!then.sent && begin.elapsed() > REPEAT_AFTER + MARGIN) {
                self.check(tried == then.sent, || "the repeat was sent".to_owned())?;
                return self.expect(seen, then.answer).map(Some);
            }
            self.allow(seen, &[UNKNOWN])
        })
    }

    fn ask(&self) -> Step {
        let (seen, _) = self.call(STATUS, &about(&self.reference))?;
        self.expect(&seen, self.then().answer)
    }

    /// That it failed may be said of an attempt of before, while this one still travels: it is believed once
    /// nothing travels any longer.
    fn ask_until_believed(&self) -> Step {
        let (in_doubt, is_settled) = (now(), StdCell::new(false));
        let ask = || {
            is_settled.set(in_doubt.elapsed() > SETTLE_DELAY);
            self.fault(self.row.at, json!({"fault": "tell", "says": "failed"}), "order-status");
            self.call(STATUS, &about(&self.reference))
        };
        self.poll_with("failed is believed", ask, |seen, _| {
            if !is_settled.get() && !STATUS_FAILED.is(seen) {
                return self.allow(seen, &[STATUS_UNKNOWN]);
            }
            self.expect(seen, self.then().answer).map(Some)
        })?;
        let began = self.began.lock().unwrap().ok_or("it never began")?;
        let took = began.elapsed();
        self.check(took >= SETTLE_DELAY, || format!("believed after {took:?}"))
    }

    fn ask_until_proven(&self) -> Step {
        let began = self.began.lock().unwrap().ok_or("it never began")?;
        let ask = || self.call(STATUS, &about(&self.reference));
        self.poll_with("not-found is proven", ask, |seen, _| {
            if STATUS_UNKNOWN.is(seen) {
                return Ok(None);
            }
            self.expect(seen, self.then().answer).map(Some)
        })?;
        let (took, least) = (began.elapsed(), 2 * SETTLE_DELAY);
        self.check(took >= least, || format!("proven after {took:?}, before {least:?}"))?;
        // It stays so.
        let (seen, _) = self.call(STATUS, &about(&self.reference))?;
        self.expect(&seen, STATUS_NOT_FOUND)
    }

    /// The payment is repeated until it is quiet, and was executed once at most.
    pub(super) fn end(&self) -> Step {
        let expected = self.then().end;
        if expected == UNKNOWN {
            self.stays_unknown()?;
        } else {
            self.comes_to(expected)?;
        }
        let executed = self.world.sandbox.executed_at(&self.reference);
        let wanted = usize::from(self.column.executes || expected == PAID);
        self.check(executed.len() == wanted, || format!("executed at {executed:?} in the end"))?;
        let creates = self.creates();
        let keys: Vec<_> = creates.iter().map(|r| &r["headers"]["idempotency-key"]).collect();
        let stable = keys.iter().all(|key| key.is_string() && *key == keys[0]);
        self.check(stable, || format!("keys of the attempts: {keys:?}"))?;
        let ids: BTreeSet<_> =
            creates.iter().filter_map(|r| r["headers"]["x-external-id"].as_str()).collect();
        self.check(ids.len() == creates.len(), || format!("transport ids: {ids:?}"))
    }

    fn stays_unknown(&self) -> Step {
        let (before, begin) = (self.arrived(), now());
        self.poll("it stays unknown", |seen, _| {
            let over = begin.elapsed() > REPEAT_AFTER + MARGIN;
            if UNKNOWN.is(seen) && over { Ok(Some(())) } else { self.allow(seen, IN_DOUBT) }
        })?;
        let after = self.arrived();
        self.check(before == after, || format!("{} more were sent", after - before))
    }

    fn comes_to(&self, expected: Answer) -> Step {
        let last = self.poll("it comes to its end", |seen, _| {
            if expected.is(seen) { Ok(Some(seen.clone())) } else { self.allow(seen, IN_DOUBT) }
        })?;
        let arrived = self.arrived();
        let (seen, _) = self.pay()?;
        self.expect(&seen, expected)?;
        if expected == PAID {
            let replayed = seen.header("idempotent-replayed") == Some("true");
            self.check(replayed && seen.body == last.body, || "no replay".to_owned())?;
        }
        self.check(arrived == self.arrived(), || "it was sent again".to_owned())
    }

    /// Repeats the payment until `wanted` is content with an answer.
    fn poll<T>(&self, what: &str, wanted: impl Fn(&Seen, &str) -> Step<Option<T>>) -> Step<T> {
        self.poll_with(what, || self.pay(), wanted)
    }

    fn poll_with<T>(
        &self,
        what: &str,
        ask: impl Fn() -> Step<(Seen, String)>,
        wanted: impl Fn(&Seen, &str) -> Step<Option<T>>,
    ) -> Step<T> {
        let begin = now();
        while begin.elapsed() < PATIENCE {
            let (seen, id) = ask()?;
            if let Some(found) = wanted(&seen, &id)? {
                return Ok(found);
            }
            pause(POLL);
        }
        Err(format!("not within {PATIENCE:?}: {what}"))
    }

    fn allow<T>(&self, seen: &Seen, allowed: &[Answer]) -> Step<Option<T>> {
        // Where filters die, Envoy answers whatever else was on that worker, and whoever comes
        // before the filter is back.
        let dies = self.row.at_once == IN_PROGRESS && BY_ENVOY.is(seen);
        if dies || allowed.iter().any(|answer| answer.is(seen)) {
            return Ok(None);
        }
        Err(format!("on the way: expected one of {allowed:?}"))
    }

    /// The payment, with transport ids of its own each time.
    fn pay(&self) -> Step<(Seen, String)> {
        self.call(CREATE, &order(&self.reference))
    }

    fn call(&self, path: &str, body: &Value) -> Step<(Seen, String)> {
        let id = self.fresh_id();
        let number = TRANSPORT_IDS.fetch_add(1, Ordering::Relaxed);
        let external_id = format!("{number:036}");
        let timestamp = format!("2026-11-22T23:{:02}:{:02}+07:00", number / 60 % 60, number % 60);
        let headers = [
            ("x-partner-id", PARTNER),
            ("x-request-id", id.as_str()),
            ("x-external-id", external_id.as_str()),
            ("x-timestamp", timestamp.as_str()),
        ];
        let seen = send(&self.world.envoy.listener, path, &headers, body.to_string().as_bytes());
        self.note(path, &seen);
        self.is_safe(&seen)?;
        Ok((seen, id))
    }

    /// No answer may read as "failed, pay again" while money is taken.
    fn is_safe(&self, seen: &Seen) -> Step {
        let body: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
        let code = seen.code();
        let undone = ["05", "06", "07"].iter().any(|told| body["latestTransactionStatus"] == *told);
        let reads_as_failed = (400..500).contains(&seen.status) && seen.status != 429
            || code.starts_with("500") && code.ends_with("00")
            || body["safe_new_key"] == true
            || undone;
        let charged = self.world.sandbox.is_charged(&self.reference);
        self.check(!(reads_as_failed && charged), || {
            "the last answer reads as failed while a charge exists".to_owned()
        })
    }

    fn fresh_id(&self) -> String {
        format!("{}.{}", self.reference, self.calls.fetch_add(1, Ordering::Relaxed))
    }

    /// How often Envoy tried to send a request.
    fn attempts(&self, id: &str) -> u64 {
        self.world.envoy.logged(id)["attempts"].as_u64().unwrap_or_default()
    }

    fn sent_as(&self, id: &str, sent: bool) -> Step {
        let attempts = self.attempts(id);
        self.check((attempts > 0) == sent, || format!("sent with {attempts} attempts"))
    }

    /// The requests to pay that reached a gateway.
    fn creates(&self) -> Vec<Value> {
        let at = |gateway| self.world.sandbox.requests(gateway, &self.reference);
        let both = ["primary", "secondary"].into_iter().flat_map(at);
        both.filter(|request| request["operation"] == "create-order").collect()
    }

    fn arrived(&self) -> usize {
        self.creates().len()
    }

    /// Hurts the next request of one operation on this payment.
    fn fault(&self, gateway: &str, mut fault: Value, operation: &str) {
        fault["count"] = 1.into();
        fault["operation"] = operation.into();
        fault["reference"] = self.reference.as_str().into();
        self.world.sandbox.fault(gateway, &fault);
    }

    fn expect(&self, seen: &Seen, expected: Answer) -> Step {
        self.check(expected.is(seen), || format!("expected {expected:?}"))
    }

    fn check(&self, right: bool, what: impl FnOnce() -> String) -> Step {
        if right { Ok(()) } else { Err(what()) }
    }
}

const IN_PROGRESS_UNKNOWN: Answer = Answer::ours(429, "4295400", "unknown", false);
const IN_DOUBT: &[Answer] = &[UNKNOWN, IN_PROGRESS, IN_PROGRESS_UNKNOWN];
