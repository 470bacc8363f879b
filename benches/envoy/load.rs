//! The load: payments as DANA's SDKs send them, over a few kept connections.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Outcome;
use super::http::{Message, Wire, find};
use super::random::Random;

/// Connections of one generator.
pub(crate) const CONNECTIONS: u32 = 4;
/// A reference, before a payment gets its own.
const BLANK: &[u8] = b"BENCH000000000000000";
const DIGITS: usize = 15;
/// A partner, without the last three digits.
const PARTNER: &str = "2025021312345678901";
const AMOUNT: &[u8] = b"10000.00";
const OTHER_AMOUNT: &[u8] = b"20000.00";
/// Nothing here takes this long; whatever does is stuck.
const STUCK: Duration = Duration::from_secs(10);

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Every payment is a new one.
    Payments,
    /// The same, of a thousand partners in turns.
    Partners,
    /// Every payment is a new one, of which the gateway does not know yet how it ends.
    Doubts,
    /// Always the same one, which was made before.
    Repeats,
    /// The same one with another amount, which is refused.
    Refusals,
    /// The status of one that was made before.
    Statuses,
}

impl Load {
    /// Each request is another payment.
    const fn is_new(self) -> bool {
        match self {
            Self::Payments | Self::Partners | Self::Doubts => true,
            Self::Repeats | Self::Refusals | Self::Statuses => false,
        }
    }

    /// How many requests come to gateways, of so many that were answered.
    pub(crate) fn arrivals(self, answered: u64) -> u64 {
        let first = if self.is_new() { 0 } else { u64::from(CONNECTIONS) };
        match self {
            Self::Repeats | Self::Refusals => first,
            Self::Payments | Self::Partners | Self::Doubts | Self::Statuses => first + answered,
        }
    }

    /// How its answers begin.
    const fn status(self) -> &'static [u8] {
        match self {
            Self::Payments | Self::Partners | Self::Repeats | Self::Statuses => b"HTTP/1.1 200 ",
            Self::Doubts => b"HTTP/1.1 202 ",
            Self::Refusals => b"HTTP/1.1 404 ",
        }
    }
}

/// What was answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answered {
    pub(crate) requests: u64,
    /// How long each took, in microseconds, the quickest first.
    pub(crate) latencies_us: Vec<u32>,
}

impl Answered {
    /// What so many of a hundred took at most, in microseconds.
    pub(crate) fn percentile_us(&self, percent: usize) -> u32 {
        let place = (self.latencies_us.len() * percent / 100)
            .min(self.latencies_us.len().saturating_sub(1));
        self.latencies_us.get(place).copied().unwrap_or(0)
    }
}

/// How fast, and how long.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// So many each second, for so long.
    Rate { per_second: u32, lasts: Duration },
    /// As many as these, one after the other on each connection.
    All(u64),
    /// One after the other on each connection, for so long.
    Full { lasts: Duration },
}

/// References that were given to payments.
static REFERENCES: AtomicU64 = AtomicU64::new(1);

#[expect(clippy::disallowed_methods, reason = "a benchmark is native and needs the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Sends the load to `port`. Every answer must be as expected.
pub(crate) fn run(port: u16, load: Load, pace: Pace) -> Outcome<Answered> {
    let answered = AtomicU64::new(0);
    let ends = thread::scope(|scope| {
        let started = (0..CONNECTIONS).map(|place| {
            let connection = Connection { port, load, pace, place };
            let answered = &answered;
            scope.spawn(move || connection.run(answered))
        });
        let started: Vec<_> = started.collect();
        started.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    let mut all = Answered { requests: answered.into_inner(), latencies_us: Vec::new() };
    for end in ends {
        all.latencies_us.extend(end.map_err(|_| "the load's thread panicked")??);
    }
    all.latencies_us.sort_unstable();
    Ok(all)
}

/// Makes one payment; whether it was answered well.
pub(crate) fn try_one(port: u16) -> Outcome<()> {
    let connection = Connection { port, load: Load::Payments, pace: Pace::All(1), place: 0 };
    connection.run(&AtomicU64::new(0)).map(|_| ())
}

struct Connection {
    port: u16,
    load: Load,
    pace: Pace,
    /// Among the generator's connections.
    place: u32,
}

impl Connection {
    /// How long each request took, in microseconds.
    fn run(&self, answered: &AtomicU64) -> Outcome<Vec<u32>> {
        let mut wire = Wire::connect(self.port, STUCK)?;
        let mut payment = Payment::new(self.load);
        if !self.load.is_new() {
            payment.prepare(&mut wire)?;
        }
        let begin = now();
        let mut latencies = Vec::new();
        let mut random = Random::new(REFERENCES.fetch_add(1, Ordering::Relaxed));
        for sent in 0.. {
            let goes_on = match self.pace {
                Pace::All(wanted) => answered.load(Ordering::Relaxed) < wanted,
                Pace::Full { lasts } => begin.elapsed() < lasts,
                Pace::Rate { per_second, lasts } => {
                    let due = self.due(sent, per_second, &mut random);
                    thread::sleep(due.saturating_sub(begin.elapsed()));
                    due < lasts && begin.elapsed() < lasts
                }
            };
            if !goes_on {
                break;
            }
            if self.load.is_new() {
                payment.renew();
            }
            let asked = now();
            payment.send(&mut wire)?;
            latencies.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
            answered.fetch_add(1, Ordering::Relaxed);
        }
        Ok(latencies)
    }

    /// When the next payment is due: somewhere within the connection's turn. Two generators with
    /// the same beat would always meet in the same way, and one of the two Envoys always find the
    /// caches as the other one left them.
    fn due(&self, sent: u32, per_second: u32, random: &mut Random) -> Duration {
        let slot = Duration::from_secs(1) / per_second;
        let within = u32::try_from(random.below(1000)).unwrap_or(0);
        slot * (CONNECTIONS * sent + self.place) + slot * within / 1000
    }
}

/// A request whose reference is changed in place.
struct Payment {
    load: Load,
    bytes: Vec<u8>,
    reference: Vec<u8>,
}

impl Payment {
    fn new(load: Load) -> Self {
        let mut payment = Self { load, bytes: order().into_bytes(), reference: BLANK.to_vec() };
        payment.renew();
        payment
    }

    /// Makes it another payment.
    fn renew(&mut self) {
        let number = REFERENCES.fetch_add(1, Ordering::Relaxed);
        let kind = if self.load == Load::Doubts { "DOUBT" } else { "BENCH" };
        let reference = format!("{kind}{number:0DIGITS$}").into_bytes();
        exchange(&mut self.bytes, &self.reference, &reference);
        self.reference = reference;
        if self.load == Load::Partners {
            let partner = format!("x-partner-id: {PARTNER}{:03}", number % 1000);
            let begin = find(&self.bytes, b"x-partner-id: ").unwrap_or(0);
            if let Some(place) = self.bytes.get_mut(begin..begin + partner.len()) {
                place.copy_from_slice(partner.as_bytes());
            }
        }
    }

    /// Makes it, and is then what is asked about it.
    fn prepare(&mut self, wire: &mut Wire) -> Outcome<()> {
        let load = std::mem::replace(&mut self.load, Load::Payments);
        self.send(wire)?;
        self.load = load;
        match load {
            Load::Refusals => exchange(&mut self.bytes, AMOUNT, OTHER_AMOUNT),
            Load::Statuses => self.bytes = status(&self.reference).into_bytes(),
            Load::Payments | Load::Partners | Load::Doubts | Load::Repeats => {}
        }
        Ok(())
    }

    fn send(&self, wire: &mut Wire) -> Outcome<()> {
        wire.send(&self.bytes)?;
        let Some(Message { head, body }) = wire.read()? else {
            return Err("the connection was closed instead of an answer".into());
        };
        let is_about_it = self.load == Load::Refusals || find(body, &self.reference).is_some();
        if head.starts_with(self.load.status()) && is_about_it {
            return Ok(());
        }
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Err(format!("{:?} were answered wrongly:\n{}{}", self.load, text(head), text(body)).into())
    }
}

/// Puts `new` in the place of each `old`, which is as long.
fn exchange(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    let mut from = 0;
    while let Some(at) = bytes.get(from..).and_then(|rest| find(rest, old)) {
        if let Some(place) = bytes.get_mut(from + at..from + at + old.len()) {
            place.copy_from_slice(new);
        }
        from += at + old.len();
    }
}

/// A create order call, in the order and size of DANA's SDKs.
fn order() -> String {
    let blank = String::from_utf8_lossy(BLANK);
    request(
        "/payment-gateway/v1.0/debit/payment-host-to-host.htm",
        &blank,
        &format!(
            r#"{{"additionalInfo":{{"mcc":"5732","envInfo":{{"sourcePlatform":"IPG","terminalType":"SYSTEM","orderTerminalType":"WEB"}},"order":{{"orderTitle":"Kopi susu","scenario":"REDIRECT"}}}},"partnerReferenceNo":"{blank}","merchantId":"216620010016033632482","amount":{{"value":"10000.00","currency":"IDR"}},"externalStoreId":"store-1","validUpTo":"2026-11-22T23:43:04+07:00","urlParams":[{{"url":"https://merchant.example.id/ret","type":"PAY_RETURN","isDeeplink":"N"}},{{"url":"https://merchant.example.id/notify","type":"NOTIFICATION","isDeeplink":"N"}}]}}"#
        ),
    )
}

/// Asks for a payment's status.
fn status(reference: &[u8]) -> String {
    let reference = String::from_utf8_lossy(reference);
    request(
        "/payment-gateway/v1.0/debit/status.htm",
        &reference,
        &format!(
            r#"{{"originalPartnerReferenceNo":"{reference}","serviceCode":"54","merchantId":"216620010016033632482"}}"#
        ),
    )
}

fn request(path: &str, reference: &str, body: &str) -> String {
    let signature =
        "RGqaG3IBjAux7feTv8AdOmHYhLMf3nKTXg1UYxV7diE/".repeat(8).get(..344).map(str::to_owned);
    format!(
        "POST {path} HTTP/1.1\r\n\
         host: api.sandbox.dana.id\r\n\
         content-type: application/json\r\n\
         x-timestamp: 2026-11-22T23:17:39+07:00\r\n\
         x-signature: {}\r\n\
         origin: https://merchant.example.id\r\n\
         x-partner-id: {PARTNER}901\r\n\
         x-external-id: sdk-{reference}\r\n\
         channel-id: 95221\r\n\
         accept: */*\r\n\
         user-agent: node\r\n\
         accept-encoding: gzip, deflate\r\n\
         content-length: {}\r\n\r\n{body}",
        signature.unwrap_or_default(),
        body.len()
    )
}
