//! Who pays meanwhile: connections that make one payment after the other until they break.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::http::Wire;
use crate::support::client::{CREATE, bytes, order};

/// Connections.
pub(crate) const LINES: usize = 16;

/// Longer than a gateway takes.
const ANSWERED_WITHIN: Duration = Duration::from_millis(2500);

/// What was paid for.
#[derive(Default)]
pub(crate) struct Load {
    next: AtomicU32,
    ends: AtomicBool,
    /// Those that were answered.
    answered: Mutex<BTreeSet<String>>,
}

impl Load {
    /// Payments that were answered so far.
    pub(crate) fn count(&self) -> usize {
        self.answered.lock().unwrap().len()
    }

    pub(crate) fn answered(&self) -> BTreeSet<String> {
        self.answered.lock().unwrap().clone()
    }

    pub(crate) fn end(&self) {
        self.ends.store(true, Ordering::Relaxed);
    }

    /// Pays at this port over one connection, and over another one when it breaks: until it is to end, or
    /// nobody listens any longer.
    pub(crate) fn pay(&self, port: u16) {
        while !self.ends.load(Ordering::Relaxed) {
            let Ok(wire) = Wire::connect(port, ANSWERED_WITHIN) else {
                return;
            };
            let _ = self.pay_over(wire);
        }
    }

    fn pay_over(&self, mut wire: Wire) -> std::io::Result<()> {
        while !self.ends.load(Ordering::Relaxed) {
            let reference = format!("PAID-{:08}", self.next.fetch_add(1, Ordering::Relaxed));
            let request = String::from_utf8(bytes(CREATE, &order(&reference))).unwrap();
            wire.send(request.replace("connection: close\r\n", "").as_bytes())?;
            let Some(answer) = wire.read()? else {
                return Ok(());
            };
            assert!(answer.head.starts_with(b"HTTP/1.1 "));
            self.answered.lock().unwrap().insert(reference);
        }
        Ok(())
    }
}
