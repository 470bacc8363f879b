//! The gateway: executes every payment at once, and says so as DANA does.

use std::io::Result;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::http::{Message, Wire, find};

/// Starts a gateway that counts the payments it gets, and tells its port.
pub(crate) fn start(payments: &Arc<AtomicU64>) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let payments = Arc::clone(payments);
    // It ends with the process.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let payments = Arc::clone(&payments);
            thread::spawn(move || Wire::new(stream).and_then(|wire| serve(wire, &payments)));
        }
    });
    Ok(port)
}

fn serve(mut wire: Wire, payments: &AtomicU64) -> Result<()> {
    while let Some(request) = wire.read()? {
        let answer = answer(&request, payments);
        wire.send(answer.as_bytes())?;
    }
    Ok(())
}

fn answer(request: &Message<'_>, payments: &AtomicU64) -> String {
    let body = if request.head.starts_with(b"POST") {
        payments.fetch_add(1, Ordering::Relaxed);
        paid(reference(request.body))
    } else {
        // A heartbeat.
        String::new()
    };
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
         x-timestamp: 2026-11-22T23:17:40+07:00\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The request's `partnerReferenceNo`.
fn reference(body: &[u8]) -> &str {
    let name = b"\"partnerReferenceNo\":\"";
    let rest = find(body, name).and_then(|at| body.get(at + name.len()..)).unwrap_or_default();
    let text = rest.split(|byte| *byte == b'"').next().unwrap_or_default();
    std::str::from_utf8(text).unwrap_or_default()
}

fn paid(reference: &str) -> String {
    format!(
        r#"{{"responseCode":"2005400","responseMessage":"Successful","referenceNo":"2026112211121280010016627001234567","partnerReferenceNo":"{reference}","webRedirectUrl":"https://m.sandbox.dana.id/n/cashier/new/checkout?bizNo=2026112211121280010016627001234567&timestamp=1795364259403&mid=216620010016033632482&sign=Q2hlY2tvdXRTaWduYXR1cmVPZkZpeGVkTGVuZ3RoRm9yVGhlQmVuY2htYXJrT25seTEyMzQ1Njc4OTA","additionalInfo":{{"paymentCode":""}}}}"#
    )
}
