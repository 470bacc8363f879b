//! The load: payments as DANA's SDKs send them, over a few kept connections.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
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
/// Nothing here takes this long; whatever does is stuck.
const STUCK: Duration = Duration::from_secs(10);

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Every payment is a new one.
    Payments,
    /// Always the same one, which was made before.
    Repeats,
}

/// How fast, and how long.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// So many each second, for so long.
    Rate { per_second: u32, lasts: Duration },
    /// As many as these, one after the other on each connection.
    All(u64),
}

/// References that were given to payments.
static REFERENCES: AtomicU64 = AtomicU64::new(1);

#[expect(clippy::disallowed_methods, reason = "a benchmark is native and needs the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Sends the load to `port`; how many were answered. Every answer must be as expected.
pub(crate) fn run(port: u16, load: Load, pace: Pace) -> Outcome<u64> {
    let answered = AtomicU64::new(0);
    let wrong = Mutex::new(None);
    thread::scope(|scope| {
        for place in 0..CONNECTIONS {
            let connection = Connection { port, load, pace, place };
            let (answered, wrong) = (&answered, &wrong);
            scope.spawn(move || {
                if let Err(error) = connection.run(answered)
                    && let Ok(mut first) = wrong.lock()
                {
                    first.get_or_insert(error);
                }
            });
        }
    });
    match wrong.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(answered.into_inner()),
    }
}

/// Makes one payment; whether it was answered well.
pub(crate) fn try_one(port: u16) -> Outcome<()> {
    let connection = Connection { port, load: Load::Payments, pace: Pace::All(1), place: 0 };
    connection.run(&AtomicU64::new(0))
}

struct Connection {
    port: u16,
    load: Load,
    pace: Pace,
    /// Among the generator's connections.
    place: u32,
}

impl Connection {
    fn run(&self, answered: &AtomicU64) -> Outcome<()> {
        let mut wire = Wire::connect(self.port, STUCK)?;
        let mut payment = Payment::new();
        if self.load == Load::Repeats {
            payment.pay(&mut wire)?;
        }
        let begin = now();
        let mut random = Random::new(REFERENCES.fetch_add(1, Ordering::Relaxed));
        for sent in 0.. {
            let waits = match self.pace {
                Pace::All(wanted) => answered.load(Ordering::Relaxed) < wanted,
                Pace::Rate { per_second, lasts } => {
                    let due = self.due(sent, per_second, &mut random);
                    thread::sleep(due.saturating_sub(now().duration_since(begin)));
                    due < lasts && now().duration_since(begin) < lasts
                }
            };
            if !waits {
                break;
            }
            if self.load == Load::Payments {
                payment.renew();
            }
            payment.pay(&mut wire)?;
            answered.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
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
    bytes: Vec<u8>,
    /// Where references stand.
    places: Vec<usize>,
    reference: Vec<u8>,
}

impl Payment {
    fn new() -> Self {
        let bytes = template().into_bytes();
        let mut places = Vec::new();
        let mut from = 0;
        while let Some(at) = bytes.get(from..).and_then(|rest| find(rest, BLANK)) {
            places.push(from + at);
            from += at + BLANK.len();
        }
        let mut payment = Self { bytes, places, reference: BLANK.to_vec() };
        payment.renew();
        payment
    }

    /// Makes it another payment.
    fn renew(&mut self) {
        let number = REFERENCES.fetch_add(1, Ordering::Relaxed);
        self.reference = format!("BENCH{number:0DIGITS$}").into_bytes();
        for at in &self.places {
            if let Some(place) = self.bytes.get_mut(*at..at + BLANK.len()) {
                place.copy_from_slice(&self.reference);
            }
        }
    }

    fn pay(&self, wire: &mut Wire) -> Outcome<()> {
        wire.send(&self.bytes)?;
        let Some(Message { head, body }) = wire.read()? else {
            return Err("the connection was closed instead of an answer".into());
        };
        if head.starts_with(b"HTTP/1.1 200 ") && find(body, &self.reference).is_some() {
            return Ok(());
        }
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Err(format!("a payment was answered wrongly:\n{}{}", text(head), text(body)).into())
    }
}

/// Header fields and body of a create order call, in the order and size of DANA's SDKs.
fn template() -> String {
    let blank = String::from_utf8_lossy(BLANK);
    let body = format!(
        r#"{{"additionalInfo":{{"mcc":"5732","envInfo":{{"sourcePlatform":"IPG","terminalType":"SYSTEM","orderTerminalType":"WEB"}},"order":{{"orderTitle":"Kopi susu","scenario":"REDIRECT"}}}},"partnerReferenceNo":"{blank}","merchantId":"216620010016033632482","amount":{{"value":"10000.00","currency":"IDR"}},"externalStoreId":"store-1","validUpTo":"2026-11-22T23:43:04+07:00","urlParams":[{{"url":"https://merchant.example.id/ret","type":"PAY_RETURN","isDeeplink":"N"}},{{"url":"https://merchant.example.id/notify","type":"NOTIFICATION","isDeeplink":"N"}}]}}"#
    );
    let signature =
        "RGqaG3IBjAux7feTv8AdOmHYhLMf3nKTXg1UYxV7diE/".repeat(8).get(..344).map(str::to_owned);
    format!(
        "POST /payment-gateway/v1.0/debit/payment-host-to-host.htm HTTP/1.1\r\n\
         host: api.sandbox.dana.id\r\n\
         content-type: application/json\r\n\
         x-timestamp: 2026-11-22T23:17:39+07:00\r\n\
         x-signature: {}\r\n\
         origin: https://merchant.example.id\r\n\
         x-partner-id: 2025021312345678901234\r\n\
         x-external-id: sdk-{blank}\r\n\
         channel-id: 95221\r\n\
         accept: */*\r\n\
         user-agent: node\r\n\
         accept-encoding: gzip, deflate\r\n\
         content-length: {}\r\n\r\n{body}",
        signature.unwrap_or_default(),
        body.len()
    )
}
