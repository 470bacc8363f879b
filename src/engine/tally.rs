//! Successes that a worker counts for itself and brings to the shared health on its tick.
//!
//! A failure is shared at once. A success that ends no run of failures only dilutes a rate, and a
//! write for each would make one value the busiest of the process.

use super::gateway::GatewayId;
use super::window::Tally;

/// What one worker has counted since its last tick. Counts belong to the breaker's generation in
/// which they were made, and are dropped with it.
#[derive(Debug, Default)]
pub struct Tallies(Vec<(GatewayId, u32, Tally)>);

impl Tallies {
    /// Counts calls of `gateway` under `generation` of its breaker.
    pub fn add(&mut self, gateway: GatewayId, generation: u32, tally: Tally) {
        let same = |(id, of, _): &&mut (GatewayId, u32, Tally)| *id == gateway && *of == generation;
        match self.0.iter_mut().find(same) {
            Some((_, _, counted)) => *counted = counted.plus(tally),
            None => {
                self.0.retain(|(id, ..)| *id != gateway);
                self.0.push((gateway, generation, tally));
            }
        }
    }

    /// Whether there is nothing to bring.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes everything out: gateway, generation, counts.
    pub fn take(&mut self) -> Vec<(GatewayId, u32, Tally)> {
        std::mem::take(&mut self.0)
    }

    /// Puts back what could not be brought, unless newer counts are there.
    pub fn put_back(&mut self, taken: &[(GatewayId, u32, Tally)]) {
        for (gateway, generation, tally) in taken {
            if !self.0.iter().any(|(id, of, _)| id == gateway && of != generation) {
                self.add(*gateway, *generation, *tally);
            }
        }
    }
}
