//! A gateway that answers as no gateway should, and knows which payments came to it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use crate::random::Random;

/// Stands in the reference of what must be refused before it reaches any gateway.
pub(crate) const REFUSED: &str = "REFUSED";
/// Begins the references of those who pay honestly: they are answered honestly too.
pub(crate) const HONEST: &str = "HONEST-";

/// It ends with the runtime.
pub(crate) struct Gateway {
    pub(crate) address: String,
    flaps: Arc<AtomicBool>,
    payments: Arc<Mutex<BTreeSet<String>>>,
}

impl Gateway {
    /// Begins to listen. One that flaps is not there for a moment every second, so that payments
    /// move on.
    pub(crate) fn start(runtime: &Runtime, flaps: bool) -> Self {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let flaps = Arc::new(AtomicBool::new(flaps));
        let payments = Arc::<Mutex<BTreeSet<String>>>::default();
        runtime.spawn(listen(listener, Arc::clone(&flaps), Arc::clone(&payments)));
        Self { address, flaps, payments }
    }

    /// From now on it is there all the time.
    pub(crate) fn stay(&self) {
        self.flaps.store(false, Ordering::Relaxed);
    }

    /// Partner, operation and reference of each payment that came, once each.
    pub(crate) fn payments(&self) -> BTreeSet<String> {
        self.payments.lock().unwrap().clone()
    }
}

/// Status and size of the first message in `bytes`, once all of it is there.
pub(crate) fn whole(bytes: &[u8]) -> Option<(u16, usize)> {
    let end = after(bytes, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
    let size = if field("transfer-encoding:").is_some() {
        end + chunks(&bytes[end..])?
    } else {
        end + field("content-length:").and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    };
    (bytes.len() >= size).then_some((status, size))
}

/// The size of a body in chunks, its trailers included.
fn chunks(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = after(&bytes[at..], b"\r\n")?;
        let text = String::from_utf8_lossy(&bytes[at..at + line - 2]);
        let size = usize::from_str_radix(text.split(';').next()?.trim(), 16).ok()?;
        at += line;
        if size == 0 {
            break;
        }
        at += size + 2;
        bytes.get(at..)?;
    }
    loop {
        let line = after(&bytes[at..], b"\r\n")?;
        at += line;
        if line == 2 {
            return Some(at);
        }
    }
}

fn after(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, mark).map(|at| at + mark.len())
}

async fn listen(
    mut listener: TcpListener,
    flaps: Arc<AtomicBool>,
    seen: Arc<Mutex<BTreeSet<String>>>,
) {
    let address = listener.local_addr().unwrap();
    let mut number = 7;
    loop {
        let accepting = async {
            loop {
                if let Ok((socket, _)) = listener.accept().await {
                    let _ = socket.set_nodelay(true);
                    number += 1;
                    tokio::spawn(serve(socket, Arc::clone(&seen), Random::new(number)));
                }
            }
        };
        let _ = timeout(Duration::from_secs(1), accepting).await;
        if flaps.load(Ordering::Relaxed) {
            drop(listener);
            sleep(Duration::from_millis(100)).await;
            listener = TcpListener::bind(address).await.expect("the port is still ours");
        }
    }
}

async fn serve(mut socket: TcpStream, seen: Arc<Mutex<BTreeSet<String>>>, mut random: Random) {
    let mut unread = Vec::new();
    loop {
        let size = loop {
            if let Some((_, size)) = whole(&unread) {
                break size;
            }
            match socket.read_buf(&mut unread).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        };
        let request: Vec<u8> = unread.drain(..size).collect();
        let text = String::from_utf8_lossy(&request).into_owned();
        let is_heartbeat = text.starts_with("GET");
        if !is_heartbeat {
            note(&text, &seen);
        }
        let answer = match is_heartbeat || text.contains(HONEST) {
            true => Answer::Whole(honest(&text)),
            false => hostile(&text, &mut random),
        };
        let (bytes, ends) = match answer {
            Answer::Whole(bytes) => (bytes, false),
            Answer::Last(bytes) => (bytes, true),
        };
        if socket.write_all(&bytes).await.is_err() || ends {
            return;
        }
    }
}

/// What a payment is known by. Status inquiries may come to both gateways.
fn note(text: &str, seen: &Mutex<BTreeSet<String>>) {
    let path = text.split(' ').nth(1).unwrap_or_default();
    if path.contains("status") {
        return;
    }
    let lower = text.to_lowercase();
    let field = |name: &str| {
        let value = lower.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap_or_default().trim().to_owned()
    };
    // A marker of what must be refused counts wherever it stands.
    let mark = if text.contains(REFUSED) { REFUSED } else { "" };
    let name = format!("{mark} {path} {}", field("idempotency-key:"));
    seen.lock().unwrap().insert(name);
}

enum Answer {
    Whole(Vec<u8>),
    /// And then the connection is closed.
    Last(Vec<u8>),
}

fn sized(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// What an operation's answers must carry: its service, and the member that names its payment.
fn language(text: &str) -> (&'static str, &'static str) {
    let path = text.split(' ').nth(1).unwrap_or_default();
    match path.rsplit('/').next().unwrap_or_default().trim_end_matches(".htm") {
        "cancel" => ("57", "originalPartnerReferenceNo"),
        "refund" => ("58", "partnerRefundNo"),
        "topup" => ("38", "partnerReferenceNo"),
        "transfer-bank" => ("43", "partnerReferenceNo"),
        "status" => ("55", "originalPartnerReferenceNo"),
        _ => ("54", "partnerReferenceNo"),
    }
}

/// An answer with this status and case, in the words of the operation that was called.
fn spoken(text: &str, status: &str, case: &str, more: &str) -> String {
    let (service, member) = language(text);
    let name = text.split_once(&format!("\"{member}\":\"")).map_or("", |(_, rest)| rest);
    let name = name.split('"').next().unwrap_or_default();
    format!(r#"{{"responseCode":"{status}{service}{case}","{member}":"{name}"{more}}}"#)
}

fn honest(text: &str) -> Vec<u8> {
    let body = spoken(text, "200", "00", r#","latestTransactionStatus":"00""#);
    sized("200", "content-type: application/json\r\n", body.as_bytes())
}

fn hostile(text: &str, random: &mut Random) -> Answer {
    let ok = spoken(text, "200", "00", "");
    let json = "content-type: application/json\r\n";
    let coded = |status: &str, case: &str, more: &str| {
        Answer::Whole(sized(status, json, spoken(text, status, case, more).as_bytes()))
    };
    match random.below(28) {
        0..4 => Answer::Whole(honest(text)),
        4 => coded("404", "01", ""),
        5 => coded("404", "18", ""),
        6 => coded("500", "01", ""),
        7 => coded("202", "00", ""),
        8 => Answer::Whole(sized("200", json, br#"{"responseCode":"4045401"}"#)),
        24 => coded("404", "01", ""),
        25 => coded("403", "05", ""),
        26 => coded("200", "00", r#","latestTransactionStatus":"05""#),
        27 => coded("200", "00", r#","latestTransactionStatus":"\u0000""#),
        9 => Answer::Whole(sized("200", json, "[".repeat(60_000).as_bytes())),
        10 => Answer::Whole(sized("200", json, &random.bytes(300))),
        11 => Answer::Whole(sized("200", json, format!("{ok} {}", " ".repeat(70_000)).as_bytes())),
        12 => Answer::Whole(sized("200", &format!("{json}content-encoding: gzip\r\n"), ok.as_bytes())),
        13 => Answer::Whole(sized("403", "content-type: text/html\r\n", b"<html>denied</html>")),
        14 => Answer::Whole(sized("302", "location: http://evil.example/\r\n", b"")),
        15 => Answer::Whole(sized("200", &format!("{json}x: {}\r\n", "y".repeat(50_000)), ok.as_bytes())),
        16 => Answer::Whole([b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n", honest(text).as_slice()].concat()),
        17 => Answer::Whole(
            format!("HTTP/1.1 200 X\r\n{json}transfer-encoding: chunked\r\n\r\n{:x}\r\n{ok}\r\n0\r\nx-t: 1\r\n\r\n", ok.len()).into_bytes(),
        ),
        18 => Answer::Whole(sized("200", "x-envoy-upstream-service-time: 1\r\nx-dana-gateway: secondary\r\n", ok.as_bytes())),
        19 => Answer::Last(format!("HTTP/1.1 200 X\r\n{json}content-length: 900\r\n\r\n{ok}").into_bytes()),
        20 => Answer::Last(b"HTTP/1.1 2".to_vec()),
        21 => Answer::Last(random.bytes(200)),
        22 => Answer::Last(format!("HTTP/1.1 200 X\r\n{json}\r\n{ok}").into_bytes()),
        _ => Answer::Last(Vec::new()),
    }
}
