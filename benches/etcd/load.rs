//! Merchants: one connection whose every payment is timed, and many at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::gateway::Gateway;
use crate::http::{Wire, find};
use crate::support::client::{CREATE, bytes, order};
use crate::support::envoy::Envoy;
use crate::support::{now, pause};

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
        let (begin, end, answer) = self.try_pay();
        assert!(answer.is_none(), "{}", answer.unwrap_or_default());
        (begin, end)
    }

    /// Makes a new payment: from when to when, and the answer if it did not succeed.
    pub(crate) fn try_pay(&mut self) -> (Instant, Instant, Option<String>) {
        let reference = format!("{}-{}", self.name, REFERENCES.fetch_add(1, Ordering::Relaxed));
        let request = String::from_utf8(bytes(CREATE, &order(&reference))).unwrap();
        let request = request.replace("connection: close\r\n", "");
        let begin = now();
        self.wire.send(request.as_bytes()).unwrap();
        let answer = self.wire.read().unwrap().expect("it is answered");
        let end = now();
        let is_paid = answer.head.starts_with(b"HTTP/1.1 200 ")
            && find(answer.body, reference.as_bytes()).is_some();
        (begin, end, (!is_paid).then(|| String::from_utf8_lossy(answer.body).into_owned()))
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

/// A steady load: each connection pays once in so long. How long each payment took, and how many were
/// refused.
pub(crate) fn steady(
    envoy: &Envoy,
    name: &'static str,
    every: Duration,
    lasts: Duration,
) -> (Vec<Duration>, usize) {
    const CONNECTIONS: usize = 16;
    let begin = now();
    let told = thread::scope(|scope| {
        let clients = (0..CONNECTIONS).map(|_| {
            scope.spawn(|| {
                let (mut client, mut told) = (Client::new(envoy, name), Vec::new());
                while begin.elapsed() < lasts {
                    let (from, to, refused) = client.try_pay();
                    told.push((to - from, refused.is_some()));
                    pause(every.saturating_sub(from.elapsed()));
                }
                told
            })
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    let refused = told.iter().filter(|(_, is_refused)| *is_refused).count();
    (told.into_iter().map(|(took, _)| took).collect(), refused)
}
