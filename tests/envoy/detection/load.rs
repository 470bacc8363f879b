//! Payments at a steady rate, whatever becomes of those before them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::client::{Line, Seen};
use crate::support::{now, pause};

/// What a merchant knows of a payment.
pub(super) struct Payment {
    pub(super) reference: String,
    pub(super) begun: Instant,
    pub(super) seen: Seen,
}

impl Payment {
    /// Makes one.
    pub(super) fn make(line: &Line, address: &str, reference: String) -> Self {
        let begun = now();
        let seen = line.pay(address, &reference);
        Self { reference, begun, seen }
    }
}

/// How many connections there are, and how often each of them pays. A connection that waits longer
/// than that for its answer is late with its next payment, so there must be enough of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) connections: u32,
    pub(super) each: Duration,
}

#[derive(Default)]
struct Told {
    is_over: AtomicBool,
    answered: AtomicU64,
}

/// A load that runs until it is stopped.
pub(super) struct Load {
    told: Arc<Told>,
    lines: Vec<JoinHandle<Vec<Payment>>>,
}

impl Load {
    /// Starts one against `address`.
    pub(super) fn start(address: &str, pace: Pace) -> Self {
        let told = Arc::<Told>::default();
        let begin = now();
        let line = |place: u32| {
            let (told, address) = (Arc::clone(&told), address.to_owned());
            let first = begin + pace.each * place / pace.connections;
            std::thread::spawn(move || {
                let line = Line::new();
                let mut made = Vec::new();
                for number in 0.. {
                    pause((first + pace.each * number).saturating_duration_since(now()));
                    if told.is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    made.push(Payment::make(&line, &address, format!("LOAD-{place}-{number}")));
                    told.answered.fetch_add(1, Ordering::Relaxed);
                }
                made
            })
        };
        Self { lines: (0..pace.connections).map(line).collect(), told }
    }

    /// How many payments are answered by now.
    pub(super) fn answered(&self) -> u64 {
        self.told.answered.load(Ordering::Relaxed)
    }

    /// Ends it; all that was paid.
    pub(super) fn stop(mut self) -> Vec<Payment> {
        self.told.is_over.store(true, Ordering::Relaxed);
        self.lines.drain(..).flat_map(|line| line.join().unwrap()).collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.told.is_over.store(true, Ordering::Relaxed);
    }
}
