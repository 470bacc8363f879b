//! A connection whose answer can be spoilt below HTTP, where the server library cannot see it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// What is to go wrong with one connection. Set by the service before it hands over its answer.
#[derive(Debug, Default)]
pub(super) struct Sabotage(Mutex<Plan>);

#[derive(Debug, Default)]
enum Plan {
    #[default]
    Nothing,
    Replace(Vec<u8>),
    Reset,
}

impl Sabotage {
    /// Whatever the server writes next, the client gets these bytes and nothing more.
    pub(super) fn replace(&self, bytes: Vec<u8>) {
        *self.plan() = Plan::Replace(bytes);
    }

    /// The connection ends with RST instead of FIN.
    pub(super) fn reset(&self) {
        *self.plan() = Plan::Reset;
    }

    fn take_replacement(&self) -> Option<Vec<u8>> {
        let mut plan = self.plan();
        if let Plan::Replace(bytes) = &mut *plan {
            let bytes = std::mem::take(bytes);
            *plan = Plan::Nothing;
            return Some(bytes);
        }
        None
    }

    fn wants_reset(&self) -> bool {
        matches!(*self.plan(), Plan::Reset)
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a gateway speaks HTTP over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// The connection at the bottom of it.
    fn tcp(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Stream for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// A stream that obeys its [`Sabotage`].
#[derive(Debug)]
pub(super) struct Wire<S: Stream> {
    stream: S,
    sabotage: Arc<Sabotage>,
    replacement: Option<Vec<u8>>,
}

impl<S: Stream> Wire<S> {
    pub(super) fn new(stream: S, sabotage: Arc<Sabotage>) -> Self {
        Self { stream, sabotage, replacement: None }
    }

    fn poll_replacement(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(bytes) = &mut self.replacement else {
            return Poll::Ready(Ok(()));
        };
        while !bytes.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
            bytes.drain(..written.min(bytes.len()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Stream> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: Stream> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(replacement) = self.sabotage.take_replacement() {
            self.replacement = Some(replacement);
        }
        if self.replacement.is_some() {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_replacement(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_replacement(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: Stream> Drop for Wire<S> {
    fn drop(&mut self) {
        if self.sabotage.wants_reset() {
            // A socket that cannot linger is gone already; then there is nothing to reset.
            let _ = self.stream.tcp().set_zero_linger();
        }
    }
}
