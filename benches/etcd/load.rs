//! Merchants: one connection whose every payment is timed, and many at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::gateway::Gateway;
use crate::http::{Wire, find};
use crate::support::client::{CREATE, bytes, order};
use crate::support::envoy::Envoy;
use crate::support::now;

/// Whatever takes longer is stuck.
const STUCK: Duration = Duration::from_secs(10);

/// References that were given to payments.
static REFERENCES: AtomicUsize = AtomicUsize::new(0);

/// How long a payment took: to the gateway, and until it was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    pub(crate) to_gateway: Duration,
    pub(crate) in_all: Duration,
}

/// A kept connection.
pub(crate) struct Client {
    wire: Wire,
    /// How its references begin.
    name: &'static str,
}

impl Client {
    pub(crate) fn new(envoy: &Envoy, name: &'static str) -> Self {
        let port = envoy.listener.rsplit_once(':').unwrap().1.parse().unwrap();
        Self { wire: Wire::connect(port, STUCK).unwrap(), name }
    }

    /// Makes a new payment, which must succeed.
    pub(crate) fn pay(&mut self) -> (Instant, Instant) {
        let reference = format!("{}-{}", self.name, REFERENCES.fetch_add(1, Ordering::Relaxed));
        let request = String::from_utf8(bytes(CREATE, &order(&reference))).unwrap();
        let request = request.replace("connection: close\r\n", "");
        let begin = now();
        self.wire.send(request.as_bytes()).unwrap();
        let answer = self.wire.read().unwrap().expect("it is answered");
        let end = now();
        let is_paid = answer.head.starts_with(b"HTTP/1.1 200 ")
            && find(answer.body, reference.as_bytes()).is_some();
        assert!(is_paid, "{}", String::from_utf8_lossy(answer.body));
        (begin, end)
    }

    /// The same, timed. Nobody else may pay meanwhile.
    pub(crate) fn pay_alone(&mut self, gateway: &Gateway) -> Spent {
        let (begin, end) = self.pay();
        Spent { to_gateway: gateway.last() - begin, in_all: end - begin }
    }
}

/// So many connections pay one payment after the other, for so long; how many they made.
pub(crate) fn crowd(
    envoy: &Envoy,
    name: &'static str,
    connections: usize,
    lasts: Duration,
) -> usize {
    let begin = now();
    thread::scope(|scope| {
        let clients = (0..connections).map(|_| {
            scope.spawn(|| {
                let (mut client, mut made) = (Client::new(envoy, name), 0);
                while begin.elapsed() < lasts {
                    client.pay();
                    made += 1;
                }
                made
            })
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    })
}
