//! A DNS server on loopback that says what a test wants, over UDP (RFC 1035 section 4).

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard};

/// A record that was kept for its time to live would outlast every test.
const TTL_S: u32 = 3600;
/// No question of ours is longer.
const MESSAGE_BYTES_MAX: usize = 1500;
const HEADER_BYTES: usize = 12;

/// What it says of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// These addresses, in this order.
    At(Vec<Ipv4Addr>),
    /// These addresses, each answer beginning with the next one.
    InTurn(Vec<Ipv4Addr>),
    /// That the name is there and has no address.
    NoAddress,
    /// That it has failed (SERVFAIL).
    Failure,
    /// That there is no such name (NXDOMAIN).
    NoSuchName,
    /// Nothing at all.
    Nothing,
}

#[derive(Default)]
struct Zone {
    names: BTreeMap<String, Says>,
    asked: BTreeMap<String, usize>,
    is_over: bool,
}

/// A running server.
pub(crate) struct Dns {
    zone: Arc<Mutex<Zone>>,
    /// Where it is asked.
    pub(crate) address: SocketAddr,
}

impl Dns {
    /// Starts one that knows no name.
    pub(crate) fn start() -> Self {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap()
    }

    /// As [`Dns::start`], at a place that may not be free yet.
    pub(crate) fn start_at(place: SocketAddr) -> Option<Self> {
        let socket = UdpSocket::bind(place).ok()?;
        let (zone, address) = (Arc::<Mutex<Zone>>::default(), socket.local_addr().unwrap());
        let shared = Arc::clone(&zone);
        std::thread::spawn(move || serve(&socket, &shared));
        Some(Self { zone, address })
    }

    /// Says this of a name from now on.
    pub(crate) fn say(&self, name: &str, says: Says) {
        self.zone().names.insert(name.to_owned(), says);
    }

    /// How often it was asked for a name.
    pub(crate) fn asked(&self, name: &str) -> usize {
        self.zone().asked.get(name).copied().unwrap_or_default()
    }

    fn zone(&self) -> MutexGuard<'_, Zone> {
        self.zone.lock().unwrap()
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.zone().is_over = true;
        // Any message wakes it up to see that.
        let _ = UdpSocket::bind("127.0.0.1:0").and_then(|own| own.send_to(&[], self.address));
    }
}

fn serve(socket: &UdpSocket, zone: &Mutex<Zone>) {
    let mut message = [0; MESSAGE_BYTES_MAX];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut message) else { return };
        let mut zone = zone.lock().unwrap();
        if zone.is_over {
            return;
        }
        if let Some(answer) = answer(&message[..length], &mut zone) {
            let _ = socket.send_to(&answer, from);
        }
    }
}

/// The answer to the one question in a message, if there is to be one.
fn answer(message: &[u8], zone: &mut Zone) -> Option<Vec<u8>> {
    const RESPONSE: u8 = 0x84;
    const SERVFAIL: u8 = 2;
    const NXDOMAIN: u8 = 3;
    // A pointer to the name in the question, type A, class IN.
    const SAME_NAME_A_IN: [u8; 6] = [0xc0, 12, 0, 1, 0, 1];
    let (name, question) = question(message)?;
    *zone.asked.entry(name.clone()).or_default() += 1;
    let (code, addresses) = match zone.names.get_mut(&name).unwrap_or(&mut Says::NoSuchName) {
        Says::At(addresses) => (0, addresses.clone()),
        Says::InTurn(addresses) => {
            addresses.rotate_left(1);
            (0, addresses.clone())
        }
        Says::NoAddress => (0, Vec::new()),
        Says::Failure => (SERVFAIL, Vec::new()),
        Says::NoSuchName => (NXDOMAIN, Vec::new()),
        Says::Nothing => return None,
    };
    let count = u8::try_from(addresses.len()).unwrap();
    let mut answer = message[..2].to_vec();
    answer.extend([RESPONSE, code, 0, 1, 0, count, 0, 0, 0, 0]);
    answer.extend(question);
    for address in addresses {
        answer.extend(SAME_NAME_A_IN);
        answer.extend(TTL_S.to_be_bytes());
        answer.extend([0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

/// The name that is asked for, in lower case, and the whole question as it stands.
fn question(message: &[u8]) -> Option<(String, &[u8])> {
    const TYPE_AND_CLASS_BYTES: usize = 4;
    let mut labels = Vec::new();
    let mut at = HEADER_BYTES;
    loop {
        let length = usize::from(*message.get(at)?);
        let label = message.get(at + 1..at + 1 + length)?;
        at += 1 + length;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
    }
    Some((labels.join("."), message.get(HEADER_BYTES..at + TYPE_AND_CLASS_BYTES)?))
}
