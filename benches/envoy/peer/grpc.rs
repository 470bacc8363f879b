//! gRPC over HTTP/2 in the clear: each call is handed its messages, one after the other.

use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use h2::RecvStream;
use h2::server::{SendResponse, handshake};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};

use super::super::Outcome;
use super::claims::Claims;

/// What serves one call.
pub(super) trait Call: Send + 'static {
    /// The answer to a message, another message.
    fn hear(&mut self, claims: &Claims, message: &[u8]) -> Vec<u8>;
}

/// Serves on this port of loopback, in one thread.
pub(super) fn serve<C: Call>(port: u16, call: fn() -> C) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let claims = Arc::new(Claims::default());
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(connection(stream, Arc::clone(&claims), call));
        }
    })
}

/// One of Envoy's; whatever goes wrong with it ends it alone.
async fn connection<C: Call>(stream: TcpStream, claims: Arc<Claims>, call: fn() -> C) {
    let Ok(mut connection) = handshake(stream).await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond, Arc::clone(&claims), call()));
    }
}

async fn answer<C: Call>(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    claims: Arc<Claims>,
    mut call: C,
) -> Result<(), h2::Error> {
    let mut body = request.into_body();
    let mut head = Response::new(());
    let kind = http::HeaderValue::from_static("application/grpc");
    head.headers_mut().insert("content-type", kind);
    let mut answers = respond.send_response(head, false)?;
    let mut bytes = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        let _ = body.flow_control().release_capacity(data.len());
        bytes.extend_from_slice(&data);
        while let Some(message) = message(&mut bytes) {
            answers.send_data(framed(&call.hear(&claims, &message)), false)?;
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    answers.send_trailers(trailers)
}

/// The next whole message.
fn message(bytes: &mut BytesMut) -> Option<BytesMut> {
    let length = bytes.get(1..5)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    (bytes.len() >= 5 + length).then(|| bytes.split_to(5 + length).split_off(5))
}

/// Not compressed, and its length.
fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.extend_from_slice(message);
    frame.freeze()
}
