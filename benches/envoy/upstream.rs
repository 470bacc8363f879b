//! The gateway: executes every payment at once, and says so as DANA does; unless its reference says that
//! it is still under way.

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
    let (status, body) = if request.head.starts_with(b"POST") {
        payments.fetch_add(1, Ordering::Relaxed);
        let reference = member(request.body, b"\"partnerReferenceNo\":\"");
        match member(request.body, b"\"originalPartnerReferenceNo\":\"") {
            "" if reference.starts_with("DOUBT") => ("202 Accepted", under_way(reference)),
            "" => ("200 OK", paid(reference)),
            original => ("200 OK", found(original)),
        }
    } else {
        // A heartbeat.
        ("200 OK", String::new())
    };
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n\
         x-timestamp: 2026-11-22T23:17:40+07:00\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The text after this name.
fn member<'b>(body: &'b [u8], name: &[u8]) -> &'b str {
    let rest = find(body, name).and_then(|at| body.get(at + name.len()..)).unwrap_or_default();
    let text = rest.split(|byte| *byte == b'"').next().unwrap_or_default();
    std::str::from_utf8(text).unwrap_or_default()
}

fn under_way(reference: &str) -> String {
    format!(
        r#"{{"responseCode":"2025400","responseMessage":"Request In Progress","partnerReferenceNo":"{reference}"}}"#
    )
}

fn found(reference: &str) -> String {
    format!(
        r#"{{"responseCode":"2005500","responseMessage":"Successful","originalPartnerReferenceNo":"{reference}","originalReferenceNo":"2026112211121280010016627001234567","serviceCode":"54","latestTransactionStatus":"00","transactionStatusDesc":"SUCCESS"}}"#
    )
}

fn paid(reference: &str) -> String {
    format!(
        r#"{{"responseCode":"2005400","responseMessage":"Successful","referenceNo":"2026112211121280010016627001234567","partnerReferenceNo":"{reference}","webRedirectUrl":"https://m.sandbox.dana.id/n/cashier/new/checkout?bizNo=2026112211121280010016627001234567&timestamp=1795364259403&mid=216620010016033632482&sign=Q2hlY2tvdXRTaWduYXR1cmVPZkZpeGVkTGVuZ3RoRm9yVGhlQmVuY2htYXJrT25seTEyMzQ1Njc4OTA","additionalInfo":{{"paymentCode":""}}}}"#
    )
}
