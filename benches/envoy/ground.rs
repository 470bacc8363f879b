//! What the Envoys of a benchmark stand on: gateways, the reference configuration, a folder for their files.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use super::process::{Cores, Setup};
use super::{Options, Outcome, binary, read, upstream};

/// Two gateways, and all that an Envoy before them needs.
pub(crate) struct Ground {
    binary: PathBuf,
    reference: String,
    pub(crate) folder: TempDir,
    gateways: [u16; 2],
    /// Payments that came to each gateway.
    pub(crate) arrived: [Arc<AtomicU64>; 2],
}

impl Ground {
    pub(crate) fn new(options: &Options) -> Outcome<Self> {
        let arrived = [Arc::default(), Arc::default()];
        let [primary, secondary] = &arrived;
        Ok(Self {
            binary: binary(options)?,
            reference: read(&options.config)?,
            folder: tempfile::tempdir()?,
            gateways: [upstream::start(primary)?, upstream::start(secondary)?],
            arrived,
        })
    }

    /// An Envoy with one worker, on these cores.
    pub(crate) fn setup(&self, cores: Option<Cores>) -> Setup<'_> {
        Setup {
            under: &[],
            binary: &self.binary,
            reference: &self.reference,
            folder: self.folder.path(),
            cores,
            workers: 1,
            gateways: self.gateways,
        }
    }

    /// Payments that came to either gateway.
    pub(crate) fn paid(&self) -> u64 {
        self.arrived.iter().map(|arrived| arrived.load(Ordering::Relaxed)).sum()
    }
}
