//! The other way to have a filter: a service of its own, which Envoy asks for each request.
//!
//! ```text
//! cargo bench --bench envoy -- peer ext-authz | ext-proc --port PORT
//! ```
//!
//! Both do what the Lua filter of this benchmark does ([`claims`]), over gRPC on loopback, and keep what they
//! claim for all workers, but in the memory of one process. `ext_authz` hears of requests alone: it claims,
//! and can settle nothing. `ext_proc` hears of answers too. The messages are written by hand ([`protobuf`]):
//! a schema compiler would take longer than what is measured.

mod authz;
mod claims;
mod grpc;
mod processing;
mod protobuf;

use std::process::{Child, Command, Stdio};

use clap::{Args, ValueEnum};

use super::Outcome;
use super::process::{Cores, schedstat_us, vm_rss_kib};

/// A service to be: started by the benchmark itself.
#[derive(Clone, Debug, Args)]
pub(crate) struct Serve {
    way: Way,
    /// Where it listens, on loopback
    #[arg(long)]
    port: u16,
}

/// How Envoy asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    ExtAuthz,
    ExtProc,
}

/// Serves until it is ended.
pub(crate) fn serve(wanted: &Serve) -> Outcome<()> {
    match wanted.way {
        Way::ExtAuthz => grpc::serve(wanted.port, authz::Check::default),
        Way::ExtProc => grpc::serve(wanted.port, processing::Process::default),
    }
}

/// A service in a process of its own, which ends when this is dropped.
pub(crate) struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Peer {
    /// Starts one on the core of the Envoys; Envoy connects to it when the first request comes.
    pub(crate) fn start(way: Way, port: u16, cores: Option<Cores>) -> Outcome<Self> {
        let program = std::env::current_exe()?;
        let mut command = match cores {
            Some(cores) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &cores.of_envoys()]).arg(program);
                command
            }
            None => Command::new(program),
        };
        let way = way.to_possible_value().ok_or("a way without a name")?;
        command.args(["peer", way.get_name(), "--port", &port.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Self(command.spawn()?))
    }

    /// Memory it holds, in KiB.
    pub(crate) fn rss_kib(&self) -> Outcome<u64> {
        vm_rss_kib(self.0.id())
    }

    /// Processor time it has used, in microseconds.
    pub(crate) fn cpu_us(&self) -> Outcome<f64> {
        schedstat_us(self.0.id())
    }
}
