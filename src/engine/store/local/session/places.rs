//! Where the records of a request stand. A place costs a hash, and is asked for ten times.

use crate::engine::payment::PaymentRef;
use crate::engine::store::contract::Key;
use crate::engine::store::terms::Terms;

/// The buckets of the few keys that a request names.
#[derive(Debug, Default)]
pub(super) struct Places(Vec<(PaymentRef, u32)>);

impl Places {
    /// The bucket in which a key's record stands.
    pub(super) fn bucket(&mut self, key: Key, terms: &Terms<'_>) -> u32 {
        let of = key.reference();
        if let Some((_, number)) = self.0.iter().find(|(known, _)| *known == of) {
            return *number;
        }
        let number = terms.placement.bucket(of);
        self.0.push((of, number));
        number
    }
}
