//! Just enough HTTP/1.1 for both ends of a benchmark: kept connections, bodies of known length.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// A kept connection.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// How much of the buffer the last message took.
    used: usize,
}

/// A request or an answer.
pub(crate) struct Message<'a> {
    pub(crate) head: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096), used: 0 })
    }

    /// A connection on which nothing takes longer than this.
    pub(crate) fn connect(port: u16, limit: Duration) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        Self::new(stream)
    }

    pub(crate) fn send(&mut self, message: &[u8]) -> Result<()> {
        self.stream.write_all(message)
    }

    /// The next message; `None` when the other end has closed in good order.
    pub(crate) fn read(&mut self) -> Result<Option<Message<'_>>> {
        self.buffer.drain(..self.used);
        self.used = 0;
        loop {
            if let Some((head, whole)) = measure(&self.buffer) {
                self.used = whole;
                let (message, _) = self.buffer.split_at(whole);
                let (head, body) = message.split_at(head);
                return Ok(Some(Message { head, body }));
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes)? {
                0 if self.buffer.is_empty() => return Ok(None),
                0 => return Err(Error::from(ErrorKind::UnexpectedEof)),
                size => self.buffer.extend(bytes.iter().take(size)),
            }
        }
    }
}

/// Length of the head and of the whole message, if all of it is there.
fn measure(bytes: &[u8]) -> Option<(usize, usize)> {
    let head = find(bytes, b"\r\n\r\n")? + 4;
    let length = value(bytes.get(..head)?, b"\r\ncontent-length: ").unwrap_or(0);
    let whole = head + length;
    (bytes.len() >= whole).then_some((head, whole))
}

fn value(head: &[u8], name: &[u8]) -> Option<usize> {
    let rest = head.get(find(head, name)? + name.len()..)?;
    let digits = rest.split(|byte| *byte == b'\r').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Where `part` stands in `bytes`.
pub(crate) fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
