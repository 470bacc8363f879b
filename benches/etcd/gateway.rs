//! A gateway that executes every payment at once, and notes when the last one came.

use std::io::Result;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use crate::http::{Wire, find};
use crate::support::now;

pub(crate) struct Gateway {
    pub(crate) address: String,
    ledger: Arc<Ledger>,
}

#[derive(Default)]
struct Ledger {
    /// Payments that came by the Envoy with claims in etcd.
    from_etcd: AtomicU64,
    last: Mutex<Option<Instant>>,
}

impl Gateway {
    /// Starts one, which ends with the process.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let ledger = Arc::new(Ledger::default());
        let shared = Arc::clone(&ledger);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let ledger = Arc::clone(&shared);
                thread::spawn(move || Wire::new(stream).and_then(|wire| serve(wire, &ledger)));
            }
        });
        Self { address, ledger }
    }

    /// When the last payment came.
    pub(crate) fn last(&self) -> Instant {
        self.ledger.last.lock().unwrap().expect("a payment has come")
    }

    /// Payments that were claimed in etcd.
    pub(crate) fn claimed_in_etcd(&self) -> u64 {
        self.ledger.from_etcd.load(Ordering::Relaxed)
    }
}

fn serve(mut wire: Wire, ledger: &Ledger) -> Result<()> {
    while let Some(request) = wire.read()? {
        let name = b"\"partnerReferenceNo\":\"";
        let at = find(request.body, name).map(|at| at + name.len());
        let reference = at.and_then(|at| request.body[at..].split(|byte| *byte == b'"').next());
        // A heartbeat has none.
        let reference = String::from_utf8_lossy(reference.unwrap_or_default()).into_owned();
        let mut body = String::new();
        if !reference.is_empty() {
            *ledger.last.lock().unwrap() = Some(now());
            ledger.from_etcd.fetch_add(u64::from(reference.starts_with("etcd")), Ordering::Relaxed);
            body = format!(
                r#"{{"responseCode":"2005400","responseMessage":"Successful","referenceNo":"2026112211121280010016627001234567","partnerReferenceNo":"{reference}","webRedirectUrl":"https://m.sandbox.dana.id/n/cashier/new/checkout?bizNo=2026112211121280010016627001234567"}}"#
            );
        }
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        wire.send(answer.as_bytes())?;
    }
    Ok(())
}
