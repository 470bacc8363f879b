//! What a worker wants.

use crate::engine::event::TickEffect;
use crate::engine::store::CellRequest;

/// What a worker wants, before its questions are numbered.
pub(super) enum TickOutput {
    /// A value is to be read or written.
    Cell(CellRequest),
    /// Something is to be done.
    Do(TickEffect),
}
