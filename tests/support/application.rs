//! A merchant's application that gateways notify, by itself: it keeps what it got, byte for byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// What it got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// The request line.
    pub(crate) line: String,
    /// Header fields, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// The value of a header field.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// How it answers.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    /// This status and this body.
    Answer(u16, String),
    /// The same in chunks, with trailers at its end.
    Trailed(u16, String),
    /// Nothing, until it says something else.
    Nothing,
    /// It hangs up.
    Close,
}

/// What it confirms with: its own words, by which its answer is known.
pub(crate) const CONFIRMED: &str =
    r#"{"responseCode":"2005600","responseMessage":"Successful","own":"words \u00e9"}"#;

#[derive(Debug)]
struct State {
    says: Mutex<Says>,
    said: Condvar,
    received: Mutex<Vec<Received>>,
}

/// A merchant's application. It ends with the test.
#[derive(Clone, Debug)]
pub(crate) struct Application {
    /// Where it listens.
    pub(crate) address: String,
    state: Arc<State>,
}

impl Application {
    /// One that confirms everything.
    pub(crate) fn start() -> Self {
        Self::start_at("127.0.0.1:0")
    }

    /// The same, listening there.
    pub(crate) fn start_at(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (says, received) = (Mutex::new(confirms()), Mutex::default());
        let state = Arc::new(State { says, said: Condvar::new(), received });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                thread::spawn(move || serve(&state, &stream));
            }
        });
        Self { address, state }
    }

    /// From now on it answers so.
    pub(crate) fn says(&self, says: Says) {
        *self.state.says.lock().unwrap() = says;
        self.state.said.notify_all();
    }

    /// From now on it confirms everything.
    pub(crate) fn confirms(&self) {
        self.says(confirms());
    }

    /// All that it got.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }
}

fn confirms() -> Says {
    Says::Answer(200, CONFIRMED.to_owned())
}

/// A body in chunks (RFC 9112), without trailers.
fn chunks(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut size = String::new();
        reader.read_line(&mut size).ok()?;
        let mut chunk = vec![0; usize::from_str_radix(size.trim(), 16).ok()?];
        reader.read_exact(&mut chunk).ok()?;
        reader.read_line(&mut String::new()).ok()?;
        if chunk.is_empty() {
            return Some(body);
        }
        body.extend(chunk);
    }
}

/// One request of one connection; `None` where there is none.
fn serve(state: &State, mut stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut headers = Vec::new();
    loop {
        let mut field = String::new();
        reader.read_line(&mut field).ok()?;
        let Some((name, value)) = field.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let received = Received { line: line.trim_end().to_owned(), headers, body: Vec::new() };
    let body = if received.header("transfer-encoding") == Some("chunked") {
        chunks(&mut reader)?
    } else {
        let length = received.header("content-length").and_then(|text| text.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        body
    };
    state.received.lock().unwrap().push(Received { body, ..received });
    let says =
        state.said.wait_while(state.says.lock().unwrap(), |says| matches!(says, Says::Nothing));
    let (status, rest) = match says.unwrap().clone() {
        Says::Answer(status, body) => {
            (status, format!("content-length: {}\r\n\r\n{body}", body.len()))
        }
        Says::Trailed(status, body) => {
            let chunks = format!("{:x}\r\n{body}\r\n0\r\nx-end: 1\r\n\r\n", body.len());
            (status, format!("transfer-encoding: chunked\r\n\r\n{chunks}"))
        }
        Says::Nothing | Says::Close => return None,
    };
    let head = format!(
        "HTTP/1.1 {status} Answer\r\ncontent-type: application/json\r\nconnection: close\r\n"
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(rest.as_bytes())).ok()
}
