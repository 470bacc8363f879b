//! Stand-in gateways with a ledger each. As at DANA, a payment that comes again with its reference is
//! the same one, and gets the same answer; but every copy stands in the ledger, with the time when it
//! came.

use std::collections::BTreeMap;
use std::io::Result;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::http::{Message, Wire, find};
use crate::support::{now, pause};

/// A copy of a payment that came to a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) gateway: &'static str,
    pub(crate) at: Instant,
    /// When its answer was sent.
    pub(crate) answered_at: Option<Instant>,
}

/// Longest that a gateway takes.
const DELAY_MS_MAX: u64 = 20;

/// Longer than anybody waits for a gateway.
pub(crate) const LATE: Duration = Duration::from_millis(1300);

/// Whether the first answer to a payment comes too late: one in a hundred.
fn is_late(reference: &str) -> bool {
    reference.ends_with("37")
}

/// What came to the gateways, by reference.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<BTreeMap<String, Vec<Line>>>>);

impl Ledger {
    /// All of it, as it is now.
    pub(crate) fn lines(&self) -> BTreeMap<String, Vec<Line>> {
        self.0.lock().unwrap().clone()
    }

    /// A copy has come; its place among them.
    fn come(&self, reference: &str, gateway: &'static str) -> usize {
        let mut lines = self.0.lock().unwrap();
        let lines = lines.entry(reference.to_owned()).or_default();
        lines.push(Line { gateway, at: now(), answered_at: None });
        lines.len() - 1
    }

    fn answered(&self, reference: &str, place: usize) {
        let mut lines = self.0.lock().unwrap();
        lines.get_mut(reference).unwrap()[place].answered_at = Some(now());
    }

    fn has(&self, reference: &str, gateway: &str) -> bool {
        let lines = self.0.lock().unwrap();
        lines.get(reference).is_some_and(|lines| lines.iter().any(|line| line.gateway == gateway))
    }
}

/// Starts a gateway, which ends with the process; where it listens.
pub(crate) fn start(name: &'static str, ledger: &Ledger) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let ledger = ledger.clone();
    thread::spawn(move || {
        for (seed, stream) in (0..).zip(listener.incoming().flatten()) {
            let ledger = ledger.clone();
            thread::spawn(move || {
                Wire::new(stream).and_then(|wire| serve(wire, seed, name, &ledger))
            });
        }
    });
    address
}

fn serve(mut wire: Wire, seed: u32, name: &'static str, ledger: &Ledger) -> Result<()> {
    // Each connection has delays of its own.
    let mut delay_ms = u64::from(seed);
    while let Some(request) = wire.read()? {
        let reference = paid(&request);
        let place = reference.as_ref().map(|reference| ledger.come(reference, name));
        if place.is_some() {
            delay_ms = (delay_ms * 7 + 3) % DELAY_MS_MAX;
            let is_late = place == Some(0) && reference.as_ref().is_some_and(|one| is_late(one));
            pause(if is_late { LATE } else { Duration::from_millis(delay_ms) });
        }
        let (status, body) = match &reference {
            Some(reference) => ("200 OK", success(reference)),
            None => told(&request, name, ledger),
        };
        if let (Some(reference), Some(place)) = (&reference, place) {
            ledger.answered(reference, place);
        }
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        wire.send(answer.as_bytes())?;
    }
    Ok(())
}

/// The reference of the payment that is asked for, if one is.
fn paid(request: &Message<'_>) -> Option<String> {
    let path = b"/debit/payment-host-to-host.htm";
    find(request.head, path).map(|_| text(request.body, b"\"partnerReferenceNo\":\""))
}

fn success(reference: &str) -> String {
    format!(
        r#"{{"responseCode":"2005400","responseMessage":"Successful","referenceNo":"1-{reference}","partnerReferenceNo":"{reference}","webRedirectUrl":"https://checkout.sandbox.invalid/{reference}"}}"#
    )
}

/// The answer to anything else: a status, or a heartbeat.
fn told(request: &Message<'_>, name: &'static str, ledger: &Ledger) -> (&'static str, String) {
    if find(request.head, b"/debit/status.htm").is_none() {
        return ("200 OK", String::new());
    }
    let reference = text(request.body, b"\"originalPartnerReferenceNo\":\"");
    if !ledger.has(&reference, name) {
        return ("404 Not Found", r#"{"responseCode":"4045501"}"#.to_owned());
    }
    let body = format!(
        r#"{{"responseCode":"2005500","originalPartnerReferenceNo":"{reference}","serviceCode":"54","latestTransactionStatus":"00"}}"#
    );
    ("200 OK", body)
}

/// What follows `before`, up to a quote or the end of its line.
fn text(bytes: &[u8], before: &[u8]) -> String {
    let rest = find(bytes, before).and_then(|at| bytes.get(at + before.len()..));
    let text = rest.unwrap_or_default().split(|byte| matches!(byte, b'"' | b'\r')).next();
    String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
}
