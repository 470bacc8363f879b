//! `dana-failover sandbox`: stand-in DANA gateways with faults on demand.
//!
//! Nothing here uses the engine: a stand-in that shares code with the thing it tests proves
//! nothing.

mod answer;
mod ask;
mod clock;
mod code;
mod control;
mod fault;
mod faults;
mod gateway;
mod help;
mod journal;
mod key;
mod ledger;
mod listing;
mod magic;
mod money;
mod notify;
mod operations;
mod payments;
mod refusal;
mod service;
mod signature;
mod spoil;
mod tls;
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use clap::{Args, ValueEnum};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime;

use control::Control;
use gateway::{Gateway, House};
use ledger::{GATEWAYS_MAX, LEDGER_MAX, Ledger};
use signature::PublicKey;
use tls::Certificates;

const NAME_BYTES_MAX: usize = 32;

/// Runs stand-in DANA gateways with faults on demand.
///
/// A playground: point an SDK or the proxy at the gateways, break one of them, and see in the
/// ledger what was paid where. It keeps everything in memory and needs no account.
#[derive(Debug, Args)]
#[command(after_long_help = help::TEXT)]
pub(crate) struct Options {
    /// A gateway and the address it listens on; repeat for more. Port 0 takes any free port.
    #[arg(
        long = "gateway",
        value_name = "NAME=ADDR",
        default_values = ["primary=127.0.0.1:18081", "secondary=127.0.0.1:18082"]
    )]
    gateways: Vec<Place>,

    /// The address of the control API, which sets faults and shows the ledger.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:18080")]
    control: SocketAddr,

    /// Whether the gateways know of each other's payments.
    #[arg(long, value_enum, default_value_t = Sharing::Separate)]
    ledger: Sharing,

    /// An RSA public key of a merchant in PEM; repeat for more. With any, requests must be signed.
    #[arg(long = "verify-key", value_name = "PUBLIC.pem")]
    verify_keys: Vec<PathBuf>,

    /// Where gateways notify of each executed order and transfer, again and again until it is confirmed.
    #[arg(long, value_name = "http://HOST:PORT", value_parser = notify::place)]
    notify: Option<hyper::Uri>,

    /// Speaks TLS with the certificates in this directory, as envoy/certs.sh makes them, and with nobody who has none.
    #[arg(long, value_name = "DIRECTORY")]
    tls: Option<PathBuf>,

    /// Prints the addresses only, and not each request.
    #[arg(long)]
    quiet: bool,
}

/// Whether each gateway has a ledger of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sharing {
    /// Each gateway has its own: a payment sent to both is made twice.
    Separate,
    /// One for all: a payment sent to both is made once.
    Shared,
}

/// A gateway's name and where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    name: String,
    address: SocketAddr,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, address) =
            text.split_once('=').ok_or("expected NAME=ADDR, like primary=127.0.0.1:18081")?;
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(fits) {
            return Err(format!(
                "expected a name of up to {NAME_BYTES_MAX} of the characters a-z, 0-9 and -"
            ));
        }
        let address =
            address.parse().map_err(|_| "expected an address like 127.0.0.1:18081".to_owned())?;
        Ok(Self { name: name.to_owned(), address })
    }
}

/// Why the sandbox could not start, or had to stop.
#[derive(Debug)]
pub(crate) enum Error {
    Gateways(String),
    Tls(String),
    Key { path: PathBuf, reason: String },
    Listen { what: String, address: SocketAddr, error: io::Error },
    Runtime(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateways(expected) => write!(f, "--gateway: {expected}"),
            Self::Tls(reason) => write!(f, "--tls: {reason}"),
            Self::Key { path, reason } => write!(f, "--verify-key {}: {reason}", path.display()),
            Self::Listen { what, address, error } => {
                write!(f, "{what} cannot listen on {address}: {error}")
            }
            Self::Runtime(error) => write!(f, "sandbox stopped: {error}"),
        }
    }
}

impl std::error::Error for Error {}

/// Runs until it is interrupted.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    check_gateways(&options.gateways)?;
    let keys = options.verify_keys.iter().map(|path| read_key(path)).collect::<Result<_, _>>()?;
    let runtime =
        runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Runtime)?;
    let outcome = runtime.block_on(play(options, keys));
    // Requests that hang on purpose must not keep it alive.
    runtime.shutdown_background();
    outcome
}

fn check_gateways(places: &[Place]) -> Result<(), Error> {
    if places.len() > GATEWAYS_MAX {
        return Err(Error::Gateways(format!("expected at most {GATEWAYS_MAX}")));
    }
    let names: BTreeMap<&str, &Place> =
        places.iter().map(|place| (place.name.as_str(), place)).collect();
    if names.len() < places.len() {
        return Err(Error::Gateways("expected names that differ".to_owned()));
    }
    Ok(())
}

fn read_key(path: &Path) -> Result<PublicKey, Error> {
    let wrong = |reason: String| Error::Key { path: path.to_owned(), reason };
    let pem = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    PublicKey::from_pem(&pem).map_err(|error| wrong(error.to_string()))
}

async fn play(options: &Options, keys: Vec<PublicKey>) -> Result<(), Error> {
    // Before anybody is told where it listens, so that an early signal ends it properly too.
    let mut stop = Stop::new().map_err(Error::Runtime)?;
    let control_listener = listen("control", options.control)?;
    let house = Arc::new(House {
        keys,
        quiet: options.quiet,
        notify: options.notify.clone(),
        seq: AtomicU64::new(0),
    });
    let shared = Arc::new(Mutex::new(Ledger::new(LEDGER_MAX)));
    let (mut gateways, mut ledgers) = (Vec::new(), vec![Arc::clone(&shared)]);
    let mut listeners = Vec::new();
    let certificates = options.tls.as_deref().map(Certificates::of);
    for (site, place) in options.gateways.iter().enumerate() {
        let listener = listen(&place.name, place.address)?;
        let address = listener.local_addr().map_err(Error::Runtime)?;
        let ledger = if options.ledger == Sharing::Shared || site == 0 {
            Arc::clone(&shared)
        } else {
            let own = Arc::new(Mutex::new(Ledger::new(LEDGER_MAX)));
            ledgers.push(Arc::clone(&own));
            own
        };
        let tls = certificates.as_ref().map(|all| all.of_gateway(&place.name)).transpose();
        let tls = tls.map_err(Error::Tls)?;
        let (name, house) = (place.name.clone(), Arc::clone(&house));
        gateways.push(Arc::new(Gateway::new(name, site, address, tls, house, ledger)));
        listeners.push(listener);
    }
    let control_address = control_listener.local_addr().map_err(Error::Runtime)?;
    announce(control_address, &gateways);
    for (gateway, listener) in gateways.iter().zip(listeners) {
        tokio::spawn(gateway::run(Arc::clone(gateway), listener));
    }
    let router = control::router(Control { gateways: gateways.into(), ledgers: ledgers.into() });
    tokio::select! {
        served = axum::serve(control_listener, router) => served.map_err(Error::Runtime),
        () = stop.wait() => Ok(()),
    }
}

fn listen(what: &str, address: SocketAddr) -> Result<TcpListener, Error> {
    gateway::listen(address).map_err(|error| Error::Listen {
        what: what.to_owned(),
        address,
        error,
    })
}

/// Says where everything listens: for people first, then in one line for machines.
fn announce(control: SocketAddr, gateways: &[Arc<Gateway>]) {
    let addresses: BTreeMap<&str, String> = gateways
        .iter()
        .map(|gateway| (gateway.name.as_str(), gateway.address.to_string()))
        .collect();
    let mut text = String::new();
    for gateway in gateways {
        let scheme = if gateway.tls.is_some() { "https" } else { "http" };
        text.push_str(&format!("gateway {:<12} {scheme}://{}\n", gateway.name, gateway.address));
    }
    text.push_str(&format!("control API          http://{control}   (GET / explains it)\n"));
    let machine = json!({ "control": control.to_string(), "gateways": addresses });
    text.push_str(&format!("{machine}\n"));
    let mut stdout = io::stdout().lock();
    // With nobody to tell there is still somebody to serve.
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}

/// The signals that end the sandbox.
struct Stop {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    #[cfg(unix)]
    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn wait(&mut self) {
        // Without a handler there is no signal to wait for, and the system ends the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_name_and_an_address() {
        let place: Place = "primary=127.0.0.1:0".parse().unwrap();
        assert_eq!((place.name.as_str(), place.address.port()), ("primary", 0));
        for wrong in
            ["primary", "=127.0.0.1:1", "Primary=127.0.0.1:1", "a=localhost", "a/b=[::1]:1"]
        {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_must_differ_and_be_few() {
        let place = |name: &str| format!("{name}=127.0.0.1:0").parse::<Place>().unwrap();
        assert!(check_gateways(&[place("a"), place("b")]).is_ok());
        assert!(check_gateways(&[place("a"), place("a")]).is_err());
        assert!(check_gateways(&["a", "b", "c", "d", "e"].map(place)).is_err());
    }
}
