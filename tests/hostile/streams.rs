//! HTTP/2 as strangers speak it: many streams at once, trailers, resets in the middle.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use h2::Reason;
use h2::client::{SendRequest, handshake};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Siege;
use crate::random::Random;
use crate::shapes::{self, Shape};

/// Longer than Envoy waits for any gateway here.
const LIMIT: Duration = Duration::from_secs(30);

/// Sends until the siege is over.
pub(crate) async fn besiege(siege: Arc<Siege>, mut random: Random) {
    while !siege.is_over.load(Ordering::Relaxed) {
        let Ok(socket) = TcpStream::connect(&siege.address).await else {
            continue;
        };
        let _ = socket.set_nodelay(true);
        let Ok((sender, connection)) = handshake(socket).await else {
            continue;
        };
        let driver = tokio::spawn(connection);
        for _ in 0..20 {
            if !volley(&sender, &siege, &mut random).await {
                break;
            }
        }
        driver.abort();
    }
}

/// Some streams at once; whether the connection may be used again.
async fn volley(sender: &SendRequest<bytes::Bytes>, siege: &Siege, random: &mut Random) -> bool {
    let mut streams = JoinSet::new();
    for _ in 0..1 + random.below(16) {
        let shape = shapes::any(random);
        let how = How {
            trailers: random.once_in(3),
            resets: random.once_in(12),
            piece: 1 + random.below(2000),
        };
        let Ok(ready) = sender.clone().ready().await else {
            return false;
        };
        siege.sent.fetch_add(1, Ordering::Relaxed);
        streams.spawn(send(ready, shape, how));
    }
    while let Some(ended) = streams.join_next().await {
        ended.expect("a stream ends as it may");
    }
    true
}

/// How a request is sent.
struct How {
    trailers: bool,
    /// In the middle, and nobody waits for the answer.
    resets: bool,
    piece: usize,
}

async fn send(mut sender: SendRequest<bytes::Bytes>, shape: Shape, how: How) {
    let Ok(mut request) =
        Request::builder().method(shape.method).uri(format!("http://dana{}", shape.path)).body(())
    else {
        return;
    };
    for (name, value) in &shape.headers {
        // What HTTP/2 does not know stays at home.
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        if name != "connection" {
            request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
        }
    }
    let Ok((answer, mut stream)) = sender.send_request(request, false) else {
        return;
    };
    let mut pieces = shape.body.chunks(how.piece).peekable();
    while let Some(piece) = pieces.next() {
        let ends = pieces.peek().is_none() && !how.trailers;
        if stream.send_data(piece.to_vec().into(), ends).is_err() {
            return;
        }
        if how.resets {
            stream.send_reset(Reason::CANCEL);
            return;
        }
    }
    if how.trailers || shape.body.is_empty() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-partner-id", HeaderValue::from_static("another"));
        if stream.send_trailers(trailers).is_err() {
            return;
        }
    }
    let Ok(answer) = timeout(LIMIT, answer).await.expect("an answer in time") else {
        return;
    };
    let status = answer.status().as_u16();
    assert!(
        !shape.is_refused || status >= 400,
        "{status} for {}",
        String::from_utf8_lossy(&shape.body)
    );
}
