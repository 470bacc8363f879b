//! How a worker begins: it joins its configuration to the store, and takes a number that no other
//! worker has.
//!
//! ```text
//! load the layout -> join -> [store the layout] -> load the number of workers -> store it
//!       ^                          | lost                   ^                    | lost
//!       +--------------------------+                        +--------------------+
//! ```

use std::rc::Rc;

use crate::engine::config::{Config, Policy};
use crate::engine::limits;
use crate::engine::machine::{Input, InputOf, Machine, Output, OutputOf, Tickets};
use crate::engine::store::{
    Cell, CellEvent, CellRequest, Expected, Layout, Loaded, Placement, Seed,
};
use crate::engine::time::Timestamp;

/// A worker that begins.
#[derive(Debug)]
pub struct Join {
    config: Rc<Config>,
    /// Hides where records stand, if this worker is the first one.
    noise: Vec<u8>,
    /// The joined configuration, and whether it found no store.
    joined: Option<(Rc<Policy>, bool)>,
    number: u64,
    attempts: u8,
    asked: Tickets,
}

/// How that ends.
#[derive(Clone, Debug)]
pub enum JoinEffect {
    /// It may work.
    Joined {
        /// The configuration, joined to the store.
        policy: Rc<Policy>,
        /// A number that no other worker of the process has, nor had. Workers are configured within
        /// the same millisecond, and in memories that look alike, so nothing of their own tells them
        /// apart.
        owner: u64,
        /// There was no store: what was paid before this start is not known.
        began: bool,
    },
    /// It must not, and why.
    Failed(String),
}

type JoinStep = Result<CellRequest, JoinEffect>;

impl Join {
    /// A worker of this configuration. `noise` are bytes that an outsider cannot foresee in whole.
    #[must_use]
    pub fn new(config: Rc<Config>, noise: Vec<u8>) -> Self {
        Self { config, noise, joined: None, number: 0, attempts: 0, asked: Tickets::default() }
    }

    fn cell(&mut self, event: CellEvent, now: Timestamp) -> JoinStep {
        match event {
            CellEvent::Loaded(Cell::Layout, loaded) => self.join(loaded, now),
            CellEvent::Stored(Cell::Layout) => {
                self.attempts = 0;
                Ok(CellRequest::Load(Cell::Workers))
            }
            CellEvent::Loaded(_, Loaded { bytes, version }) => {
                let last = bytes.try_into().map_or(0, u64::from_le_bytes);
                self.number = last.wrapping_add(1);
                let bytes = self.number.to_le_bytes().to_vec();
                Ok(CellRequest::Store { cell: Cell::Workers, bytes, expected: version })
            }
            CellEvent::Stored(_) => match self.joined.take() {
                Some((policy, began)) => {
                    Err(JoinEffect::Joined { policy, owner: self.number, began })
                }
                None => failed("the claim store was not joined"),
            },
            CellEvent::Conflict(cell) => {
                self.attempts = self.attempts.saturating_add(1);
                if self.attempts < limits::STORE_ATTEMPTS_MAX {
                    return Ok(CellRequest::Load(cell));
                }
                failed(if cell == Cell::Layout {
                    "the claim store could not be joined: it keeps changing"
                } else {
                    "the workers could not be numbered: they keep changing"
                })
            }
            CellEvent::Failed(_) => failed("the host does not let the claim store be used"),
        }
    }

    fn join(&mut self, loaded: Loaded, now: Timestamp) -> JoinStep {
        let Loaded { bytes, version } = loaded;
        let found = match version {
            Expected::Absent => {
                let seed = Seed::gather(&self.noise);
                let placement = Placement::new(self.config.store.claims_max, seed);
                let has_local = self.config.store.has_local();
                Ok(if has_local { Layout::new(placement) } else { Layout::unclaimed(placement) })
            }
            Expected::At(_) | Expected::Any => Layout::decode(&bytes),
        };
        let began = version == Expected::Absent;
        let joined = found.and_then(|mut layout| {
            let (policy, grew) = Policy::join(self.config.as_ref().clone(), &mut layout, now)?;
            Ok((policy, grew, layout))
        });
        let (policy, grew, layout) =
            joined.map_err(|error| JoinEffect::Failed(error.to_string()))?;
        self.joined = Some((Rc::new(policy), began));
        if began || grew {
            let bytes = layout.encode();
            return Ok(CellRequest::Store { cell: Cell::Layout, bytes, expected: version });
        }
        self.attempts = 0;
        Ok(CellRequest::Load(Cell::Workers))
    }
}

fn failed(why: &str) -> JoinStep {
    Err(JoinEffect::Failed(why.to_owned()))
}

impl Machine for Join {
    /// It begins.
    type Event<'a> = ();
    type Effect = JoinEffect;
    type Ask = CellRequest;
    type Told = CellEvent;
    type Counters = ();

    fn handle(
        &mut self,
        input: InputOf<'_, Self>,
        now: Timestamp,
        (): &mut (),
    ) -> Vec<OutputOf<Self>> {
        let step = match input {
            Input::Event(()) => Ok(CellRequest::Load(Cell::Layout)),
            Input::Told(ticket, event) if self.asked.close(ticket) => self.cell(event, now),
            Input::Told(..) => return Vec::new(),
        };
        vec![match step {
            Ok(request) => Output::Ask(self.asked.open(), request),
            Err(effect) => Output::Do(effect),
        }]
    }
}

#[cfg(test)]
mod tests;
