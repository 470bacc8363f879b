//! HTTP/1 as strangers speak it: kept connections, pipelines, chunks, cuts, lies about lengths.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Siege;
use crate::gateway::{REFUSED, whole};
use crate::random::Random;
use crate::shapes::{self, Shape};
use crate::support::client::CREATE;

/// Longer than Envoy waits for any gateway here.
const LIMIT: Duration = Duration::from_secs(30);

/// For an answer to what is no request: Envoy may wait for the rest of it.
const PATIENCE: Duration = Duration::from_millis(100);

/// What is put on a connection at once, and what must come back.
struct Volley {
    bytes: Vec<u8>,
    /// For each answer that will come, whether it must be an error.
    refused: Vec<bool>,
    /// Envoy gives up on the connection after it, or we do.
    ends: bool,
}

/// Sends until the siege is over.
pub(crate) async fn besiege(siege: Arc<Siege>, mut random: Random) {
    while !siege.is_over.load(Ordering::Relaxed) {
        let Ok(socket) = TcpStream::connect(&siege.address).await else {
            continue;
        };
        let _ = socket.set_nodelay(true);
        let mut line = Line { socket, unread: Vec::new() };
        for _ in 0..50 {
            let volley = volley(&mut random);
            siege.sent.fetch_add(volley.refused.len() as u64, Ordering::Relaxed);
            // Envoy may close at any time: then the next connection goes on.
            if !line.fire(&volley, &mut random).await || volley.ends {
                break;
            }
        }
    }
}

/// A few connections that send a byte now and then, as long as they may.
pub(crate) async fn dawdle(siege: Arc<Siege>) {
    let head = format!(
        "POST {CREATE} HTTP/1.1\r\nhost: d\r\nx-partner-id: p\r\ncontent-length: 5000\r\n\r\n"
    );
    while !siege.is_over.load(Ordering::Relaxed) {
        let mut sockets = Vec::new();
        for _ in 0..20 {
            sockets.extend(TcpStream::connect(&siege.address).await);
        }
        for byte in head.bytes().chain(std::iter::repeat_n(b'{', 200)) {
            for socket in &mut sockets {
                // Envoy may have had enough of it.
                let _ = socket.write_all(&[byte]).await;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn volley(random: &mut Random) -> Volley {
    if random.once_in(24) {
        return broken(random);
    }
    let mut volley = Volley { bytes: Vec::new(), refused: Vec::new(), ends: false };
    for _ in 0..1 + random.below(8) {
        let shape = shapes::any(random);
        volley.refused.push(shape.is_refused);
        volley.bytes.extend(put(&shape, random));
    }
    volley
}

/// A request as bytes, framed rightly in one way or another.
fn put(shape: &Shape, random: &mut Random) -> Vec<u8> {
    let mut text = format!("{} {} HTTP/1.1\r\nhost: dana\r\n", shape.method, shape.path);
    for (name, value) in &shape.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut bytes = text.into_bytes();
    match random.below(6) {
        0 => bytes.extend(chunked(&shape.body, random)),
        1 => {
            bytes.extend(b"expect: 100-continue\r\n");
            bytes.extend(sized(&shape.body));
        }
        _ => bytes.extend(sized(&shape.body)),
    }
    bytes
}

fn sized(body: &[u8]) -> Vec<u8> {
    [format!("content-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

/// In chunks of odd sizes, with extensions, and trailers at times.
fn chunked(body: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = b"transfer-encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(1 + random.below(900)) {
        let extension = if random.once_in(4) { ";a=b" } else { "" };
        bytes.extend(format!("{:x}{extension}\r\n", chunk.len()).bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
    }
    let trailers = if random.once_in(2) { "x-partner-id: another\r\nx-sum: 1\r\n" } else { "" };
    bytes.extend(format!("0\r\n{trailers}\r\n").bytes());
    bytes
}

/// What is no HTTP, or lies about where it ends. Nothing in it may reach a gateway.
fn broken(random: &mut Random) -> Volley {
    let order = format!(
        r#"{{"merchantId":"m","partnerReferenceNo":"{REFUSED}-W","amount":{{"value":"1.00","currency":"IDR"}}}}"#
    );
    let length = order.len();
    let start = format!("POST {CREATE} HTTP/1.1\r\nhost: d\r\nx-partner-id: p\r\n");
    let inner = format!("{start}content-length: {length}\r\n\r\n{order}");
    let text = match random.below(16) {
        0 => format!(
            "{start}content-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{inner}"
        ),
        1 => format!("{start}content-length: 4\r\ncontent-length: {length}\r\n\r\n{order}"),
        2 => format!("{start}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n{inner}"),
        3 => format!("{start}transfer-encoding : chunked\r\n\r\n0\r\n\r\n{inner}"),
        4 => format!("{start}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n{inner}"),
        5 => format!("{start}content-length: -1\r\n\r\n{order}"),
        6 => format!("{start}content-length: 99999999999999999999\r\n\r\n{order}"),
        7 => format!("{start}x: \0\r\ncontent-length: {length}\r\n\r\n{order}"),
        8 => format!("{start}no colon\r\ncontent-length: {length}\r\n\r\n{order}"),
        9 => format!(
            "POST {CREATE} HTTP/1.0\r\nx-partner-id: p\r\ncontent-length: {length}\r\n\r\n{order}"
        ),
        10 => format!("POST {CREATE} HTTP/9.9\r\n\r\n{order}"),
        11 => format!("{start}transfer-encoding: chunked\r\n\r\nzz\r\n{order}\r\n0\r\n\r\n"),
        12 => format!("{start}transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n{order}"),
        13 => format!("CONNECT dana:443 HTTP/1.1\r\nhost: dana\r\n\r\n{inner}"),
        14 => format!("{start}{}\r\n\r\n", "a".repeat(70_000)),
        // A part of a request, and then the sender is gone.
        _ => inner[..random.below(inner.len())].to_owned(),
    };
    let bytes = if random.once_in(10) { random.bytes(400) } else { text.into_bytes() };
    Volley { bytes, refused: Vec::new(), ends: true }
}

/// A connection, and what of its answers was not looked at yet.
struct Line {
    socket: TcpStream,
    unread: Vec<u8>,
}

impl Line {
    /// Whether the connection may be used again.
    async fn fire(&mut self, volley: &Volley, random: &mut Random) -> bool {
        let cut = random.once_in(40).then(|| random.below(volley.bytes.len().max(1)));
        let bytes = &volley.bytes[..cut.unwrap_or(volley.bytes.len())];
        if self.socket.write_all(bytes).await.is_err() {
            return false;
        }
        if cut.is_some() {
            // Gone at once, without a word.
            let _ = self.socket.set_zero_linger();
            return false;
        }
        if volley.ends {
            // Half closed, so that Envoy knows that no more comes, and is heard to the end.
            let _ = self.socket.shutdown().await;
            let mut answer = Vec::new();
            let _ = timeout(PATIENCE, self.socket.read_to_end(&mut answer)).await;
            return false;
        }
        for refused in &volley.refused {
            let Some(status) = timeout(LIMIT, self.answer()).await.expect("an answer in time")
            else {
                return false;
            };
            assert!((200..600).contains(&status), "{status}");
            assert!(
                !refused || (400..600).contains(&status),
                "{status} for {:?}",
                String::from_utf8_lossy(bytes)
            );
        }
        true
    }

    /// The status of the next answer; `None` once the connection is closed.
    async fn answer(&mut self) -> Option<u16> {
        loop {
            if let Some((status, size)) = whole(&self.unread) {
                self.unread.drain(..size);
                // What comes before the answer is none.
                if status >= 200 {
                    return Some(status);
                }
                continue;
            }
            if self.socket.read_buf(&mut self.unread).await.ok()? == 0 {
                return None;
            }
        }
    }
}
