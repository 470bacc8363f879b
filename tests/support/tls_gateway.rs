//! A gateway behind TLS: terminates it and hands everything on to a sandbox gateway, and knows what
//! it received in the clear.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};

use super::tls::Identity;

/// What a TLS gateway has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Connections that ended their handshake well.
    pub(crate) handshakes: AtomicUsize,
    /// Bytes that came in the clear through such a connection.
    pub(crate) received: Mutex<Vec<u8>>,
}

/// A gateway behind TLS. It ends with the test.
pub(crate) struct TlsGateway {
    /// Where it listens.
    pub(crate) address: String,
    seen: Arc<Seen>,
    setup: Arc<Mutex<Arc<ServerConfig>>>,
    _runtime: Runtime,
}

/// How it speaks TLS.
pub(crate) struct Speaks<'a> {
    pub(crate) identity: &'a Identity,
    /// Who must have vouched for the client; nobody is asked for a certificate otherwise.
    pub(crate) clients_of: Option<&'a str>,
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
}

pub(crate) const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS12, &version::TLS13];
pub(crate) const ONLY_1_2: &[&SupportedProtocolVersion] = &[&version::TLS12];
pub(crate) const ONLY_1_3: &[&SupportedProtocolVersion] = &[&version::TLS13];

impl Speaks<'_> {
    fn config(&self) -> Arc<ServerConfig> {
        let certificate = CertificateDer::from_pem_slice(self.identity.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.identity.key.as_bytes()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(self.versions)
            .unwrap();
        let builder = match self.clients_of {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        Arc::new(builder.with_single_cert(vec![certificate.unwrap()], key).unwrap())
    }
}

impl TlsGateway {
    /// One that hands on to `upstream`.
    pub(crate) fn start(speaks: &Speaks<'_>, upstream: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let seen = Arc::new(Seen::default());
        let setup = Arc::new(Mutex::new(speaks.config()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        listener.set_nonblocking(true).unwrap();
        let (known, config) = (Arc::clone(&seen), Arc::clone(&setup));
        let upstream: SocketAddr = upstream.parse().unwrap();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = TlsAcceptor::from(Arc::clone(&config.lock().unwrap()));
                tokio::spawn(hand_on(client, acceptor, upstream, Arc::clone(&known)));
            }
        });
        Self { address, seen, setup, _runtime: runtime }
    }

    /// New connections find it speaking so.
    pub(crate) fn speak(&self, speaks: &Speaks<'_>) {
        *self.setup.lock().unwrap() = speaks.config();
    }

    /// Connections that ended their handshake well.
    pub(crate) fn handshakes(&self) -> usize {
        self.seen.handshakes.load(Ordering::SeqCst)
    }

    /// Whether it has received `text` in the clear.
    pub(crate) fn has_received(&self, text: &str) -> bool {
        let received = self.seen.received.lock().unwrap();
        received.windows(text.len()).any(|part| part == text.as_bytes())
    }
}

async fn hand_on(client: TcpStream, acceptor: TlsAcceptor, upstream: SocketAddr, seen: Arc<Seen>) {
    let Ok(client) = acceptor.accept(client).await else {
        return;
    };
    seen.handshakes.fetch_add(1, Ordering::SeqCst);
    let Ok(server) = TcpStream::connect(upstream).await else {
        return;
    };
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let there = async {
        let mut bytes = vec![0; 16 * 1024];
        while let Ok(length) = from_client.read(&mut bytes).await {
            seen.received.lock().unwrap().extend(&bytes[..length]);
            if length == 0 || to_server.write_all(&bytes[..length]).await.is_err() {
                break;
            }
        }
        let _ = to_server.shutdown().await;
    };
    let back = async {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    tokio::join!(there, back);
}

/// A server that knows nothing newer than TLS 1.1: it answers any greeting with that version. What
/// it received is nothing but greetings.
pub(crate) struct OldServer {
    pub(crate) address: String,
    received: Arc<Mutex<Vec<u8>>>,
}

impl OldServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let received = Arc::new(Mutex::new(Vec::new()));
        let known = Arc::clone(&received);
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(mut client) = client else { return };
                let known = Arc::clone(&known);
                thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    let length = client.read(&mut bytes).unwrap_or(0);
                    known.lock().unwrap().extend(&bytes[..length]);
                    let _ = client.write_all(&hello_of_1_1());
                    // What follows the answer: an alert, if anything.
                    let length = client.read(&mut bytes).unwrap_or(0);
                    known.lock().unwrap().extend(&bytes[..length]);
                });
            }
        });
        Self { address, received }
    }

    pub(crate) fn has_received(&self, text: &str) -> bool {
        let received = self.received.lock().unwrap();
        received.windows(text.len()).any(|part| part == text.as_bytes())
    }

    pub(crate) fn was_greeted(&self) -> bool {
        !self.received.lock().unwrap().is_empty()
    }
}

/// A `ServerHello` (RFC 4346 7.4.1.3): version 3.2, a random, no session, a cipher, no compression.
fn hello_of_1_1() -> Vec<u8> {
    let mut body = vec![3, 2];
    body.extend([7; 32]);
    body.extend([0, 0x00, 0x2f, 0]);
    let mut handshake = vec![2, 0, 0, u8::try_from(body.len()).unwrap()];
    handshake.extend(body);
    let mut record = vec![22, 3, 2, 0, u8::try_from(handshake.len()).unwrap()];
    record.extend(handshake);
    record
}
