//! A unary gRPC call over HTTP/2 in the clear, with nothing but what a call needs.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::handshake;
use http::{HeaderMap, Request};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// How a call ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its gRPC status; 0 is OK.
    pub(crate) status: u32,
    /// What the status says, percent-encoded.
    pub(crate) text: String,
    /// The answer's message.
    pub(crate) message: Vec<u8>,
}

/// Calls `method` with a message; panics where nobody speaks gRPC.
pub(crate) fn call(address: &str, method: &str, message: &[u8]) -> Ended {
    let called = async { timeout(Duration::from_secs(10), called(address, method, message)).await };
    Runtime::new().unwrap().block_on(called).expect("the call ends in time")
}

async fn called(address: &str, method: &str, message: &[u8]) -> Ended {
    let socket = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(format!("http://{address}{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (answer, mut body) = sender.ready().await.unwrap().send_request(request, false).unwrap();
    body.send_data(framed(message), true).unwrap();
    let (head, mut body) = answer.await.unwrap().into_parts();
    assert_eq!(head.status, 200, "{head:?}");
    let mut frames = Vec::new();
    while let Some(data) = body.data().await {
        frames.extend(data.unwrap());
    }
    // An answer without a message has its status in the head.
    let trailers = body.trailers().await.unwrap().unwrap_or(head.headers);
    let text = |name| field(&trailers, name).unwrap_or_default();
    let status = text("grpc-status").parse().unwrap();
    let message = frames.get(5..).unwrap_or_default().to_vec();
    Ended { status, text: text("grpc-message"), message }
}

fn field(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Not compressed, and its length.
fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.extend_from_slice(message);
    frame.freeze()
}
