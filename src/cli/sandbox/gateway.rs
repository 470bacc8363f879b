//! One stand-in gateway: its state, and the accept loop that can shut its door.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::fault::Order;
use super::faults::Faults;
use super::journal::{Journal, Record};
use super::ledger::{Ledger, Site};
use super::service;
use super::signature::PublicKey;
use super::wire::{Sabotage, Stream, Wire};

/// More connections than any proxy in front of a gateway opens; what comes after is dropped.
const CONNECTIONS_MAX: usize = 10_000;
const BACKLOG: u32 = 4096;
/// Between two attempts to get a port back, or to accept when the system has no sockets left.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// A port that is not free again by then was taken by somebody else.
const DOOR_PATIENCE: Duration = Duration::from_secs(10);
/// Whoever has not ended the TLS handshake by then is dropped.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// What all gateways of one sandbox have in common.
#[derive(Debug)]
pub(super) struct House {
    /// The keys to check signatures with; without any, signatures are not checked.
    pub(super) keys: Vec<PublicKey>,
    pub(super) quiet: bool,
    /// Where executed payments are notified of.
    pub(super) notify: Option<hyper::Uri>,
    /// One sequence for all gateways, so that their request logs can be put in one order.
    pub(super) seq: AtomicU64,
}

/// Counters since the start or the last reset.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: AtomicU64,
    pub(super) heartbeats: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) connections_open: AtomicU64,
    pub(super) requests_open: AtomicU64,
    /// The most requests that were open at once.
    pub(super) requests_open_max: AtomicU64,
    pub(super) faults_served: AtomicU64,
}

impl Counts {
    fn all(&self) -> [(&'static str, &AtomicU64); 7] {
        [
            ("requests", &self.requests),
            ("heartbeats", &self.heartbeats),
            ("connections", &self.connections),
            ("connections_open", &self.connections_open),
            ("requests_open", &self.requests_open),
            ("requests_open_max", &self.requests_open_max),
            ("faults_served", &self.faults_served),
        ]
    }

    /// Counts a request, and counts it as open for as long as the guard lives.
    pub(super) fn enter(&self) -> Open<'_> {
        count(&self.requests);
        let open = self.requests_open.fetch_add(1, Ordering::Relaxed) + 1;
        self.requests_open_max.fetch_max(open, Ordering::Relaxed);
        Open(self)
    }

    /// Begins anew. What is open now is still open then.
    pub(super) fn forget(&self) {
        for (name, counter) in self.all() {
            if !["connections_open", "requests_open", "requests_open_max"].contains(&name) {
                counter.store(0, Ordering::Relaxed);
            }
        }
        let open = self.requests_open.load(Ordering::Relaxed);
        self.requests_open_max.store(open, Ordering::Relaxed);
    }
}

/// A request that is not answered yet, and whose sender has not left.
pub(super) struct Open<'g>(&'g Counts);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.requests_open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Adds one to a counter.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A stand-in gateway.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) name: String,
    pub(super) site: Site,
    pub(super) address: SocketAddr,
    /// How it speaks TLS; it speaks plain HTTP without.
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) house: Arc<House>,
    pub(super) counts: Counts,
    ledger: Arc<Mutex<Ledger>>,
    faults: Mutex<Faults>,
    journal: Mutex<Journal>,
    /// Whether the listening socket is to be open.
    wanted: watch::Sender<bool>,
    /// Whether it is.
    open: watch::Sender<bool>,
}

impl Gateway {
    pub(super) fn new(
        name: String,
        site: Site,
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        house: Arc<House>,
        ledger: Arc<Mutex<Ledger>>,
    ) -> Self {
        Self {
            name,
            site,
            address,
            tls,
            house,
            counts: Counts::default(),
            ledger,
            faults: Mutex::default(),
            journal: Mutex::default(),
            wanted: watch::Sender::new(true),
            open: watch::Sender::new(true),
        }
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    pub(super) fn journal(&self) -> MutexGuard<'_, Journal> {
        lock(&self.journal)
    }

    /// Puts a request in the log and returns its number. The number is taken under the log's lock:
    /// the log must be in the order of its numbers.
    pub(super) fn note(&self, mut record: Record) -> u64 {
        let mut journal = self.journal();
        let seq = self.house.seq.fetch_add(1, Ordering::Relaxed) + 1;
        record.seq = seq;
        journal.push(record);
        seq
    }

    /// Puts a fault in force or ends it, and returns when the gateway behaves accordingly.
    pub(super) async fn obey(&self, order: Order) -> Result<(), String> {
        let refuses = {
            let mut faults = self.faults();
            match order {
                Order::Hurt(fault) => faults.hurt(fault)?,
                Order::Heal(scope) => faults.heal(&scope),
            }
            faults.refuses()
        };
        self.wanted.send_replace(!refuses);
        let mut open = self.open.subscribe();
        match timeout(DOOR_PATIENCE, open.wait_for(|open| *open != refuses)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("expected port {} to be free again", self.address)),
        }
    }

    /// Forgets what was received and counted. Connections stay open, and are still counted as such.
    pub(super) fn forget(&self) {
        self.ledger().clear();
        self.journal().clear();
        self.counts.forget();
    }

    pub(super) fn stats(&self) -> Value {
        let mut stats = json!({ "ledger_entries": self.ledger().len() });
        if let Some(stats) = stats.as_object_mut() {
            for (name, counter) in self.counts.all() {
                stats.insert(name.to_owned(), counter.load(Ordering::Relaxed).into());
            }
        }
        stats
    }
}

/// Locks even after a panic elsewhere: a playground goes on.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens a listening socket.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    reserve(address)?.listen(BACKLOG)
}

/// Takes a port and does not listen: whoever connects is refused.
fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections that have just ended do not keep it.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// A gateway's port.
enum Door {
    Open(TcpListener),
    /// Connections are refused. The port stays taken: nobody else is given it meanwhile.
    Shut(TcpSocket),
    /// It could not be taken again.
    Lost,
}

impl Door {
    /// Opened, or shut. To shut it the listener goes, and the port is taken at once again.
    fn turned(self, open: bool, address: SocketAddr) -> Self {
        match self {
            Self::Open(listener) if !open => {
                drop(listener);
                reserve(address).map_or(Self::Lost, Self::Shut)
            }
            Self::Shut(socket) if open => socket.listen(BACKLOG).map_or(Self::Lost, Self::Open),
            Self::Lost if open => listen(address).map_or(Self::Lost, Self::Open),
            Self::Lost => reserve(address).map_or(Self::Lost, Self::Shut),
            other @ (Self::Open(_) | Self::Shut(_)) => other,
        }
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        match self {
            Self::Open(listener) => listener.accept().await.map(|(stream, _)| stream),
            Self::Shut(_) | Self::Lost => std::future::pending().await,
        }
    }
}

/// Accepts connections for ever, as long as the door is to be open.
pub(super) async fn run(gateway: Arc<Gateway>, listener: TcpListener) {
    let mut door = Door::Open(listener);
    let mut wanted = gateway.wanted.subscribe();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                let open = *wanted.borrow_and_update();
                door = door.turned(open, gateway.address);
                if !open {
                    connections.shutdown().await;
                }
                if matches!(door, Door::Lost) {
                    sleep(RETRY_PAUSE).await;
                    wanted.mark_changed();
                }
                gateway.open.send_replace(matches!(door, Door::Open(_)));
            }
            accepted = door.accept() => match accepted {
                Ok(stream) if connections.len() < CONNECTIONS_MAX => {
                    count(&gateway.counts.connections);
                    connections.spawn(converse(Arc::clone(&gateway), stream));
                }
                Ok(_) => {}
                Err(_) => sleep(RETRY_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
        let open = u64::try_from(connections.len()).unwrap_or(u64::MAX);
        gateway.counts.connections_open.store(open, Ordering::Relaxed);
    }
}

async fn converse(gateway: Arc<Gateway>, stream: TcpStream) {
    // Without it small answers would wait for the acknowledgement of earlier ones.
    let _ = stream.set_nodelay(true);
    let Some(tls) = &gateway.tls else {
        return serve(gateway, stream).await;
    };
    let handshake = TlsAcceptor::from(Arc::clone(tls)).accept(stream);
    if let Ok(Ok(stream)) = timeout(HANDSHAKE_PATIENCE, handshake).await {
        serve(gateway, stream).await;
    }
}

async fn serve(gateway: Arc<Gateway>, stream: impl Stream) {
    let sabotage = Arc::new(Sabotage::default());
    let wire = TokioIo::new(Wire::new(stream, Arc::clone(&sabotage)));
    let service = service_fn(move |request| {
        let (gateway, sabotage) = (Arc::clone(&gateway), Arc::clone(&sabotage));
        async move { service::serve(&gateway, &sabotage, request).await }
    });
    // Clients and faults end connections early as a matter of course.
    let _ = http1::Builder::new().serve_connection(wire, service).await;
}
