//! What one request remembers of the records that it has read and written.

use super::EtcdSession;
use crate::engine::payment::{ClaimKey, Incarnation};
use crate::engine::store::contract::{Key, Seen};
use crate::engine::store::etcd::known::Known;
use crate::engine::store::kept_answer::KeptAnswer;

impl EtcdSession {
    pub(super) fn fresh(&self, keys: &[Key]) -> Option<Vec<Seen>> {
        let find = |key: &Key| self.known.iter().find(|one| one.seen.key == *key && one.is_fresh);
        keys.iter().map(|key| find(key).map(|one| one.seen)).collect()
    }

    pub(super) fn forget_what_is_fresh(&mut self) {
        self.known.iter_mut().for_each(|one| one.is_fresh = false);
    }

    pub(super) fn learn(&mut self, known: impl IntoIterator<Item = Known>) {
        for one in known {
            self.known.retain(|other| other.seen.key != one.seen.key);
            self.known.push(one);
        }
    }

    /// An answer that is kept with its claim comes with it.
    pub(super) fn answer_here(&self, key: &ClaimKey, of: Incarnation) -> Option<KeptAnswer> {
        let key_of = Key::Payment(key.reference());
        let known = self.known.iter().find(|one| one.seen.key == key_of)?;
        KeptAnswer::find(known.answer(), key, of)
    }
}
