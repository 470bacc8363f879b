//! An etcd in memory, which tests, benches and fuzz targets put in the place of a real one. It reads
//! the very bytes that are sent and answers as etcd 3.5 does, of which `tests/etcd/memory.rs` makes
//! sure.
//!
//! It never fails by itself and knows no time. A call that is carried out late or whose answer is
//! lost is one that its user makes late or does not tell of.

mod wire;

use std::collections::{BTreeMap, BTreeSet};

pub use self::wire::MemoryKey;
use self::wire::{
    CompareWish, Header, KeptKey, LeaseWish, OpWish, RangeWish, Selected, TxnWish, answer_delete,
    answer_lease, answer_range, answer_txn,
};
use super::value::{Value, Writer};
use crate::engine::limits::ETCD_TXN_OPS_MAX;
use crate::engine::store::backend::{RpcEvent, RpcMethod, RpcRequest};
use crate::engine::store::record::Entry;

/// An etcd of one member, in memory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemoryEtcd {
    keys: BTreeMap<Vec<u8>, MemoryKey>,
    leases: BTreeSet<u64>,
    revision: u64,
    last_lease: u64,
    is_full: bool,
}

/// gRPC's statuses, where etcd refuses a request and does nothing.
const INVALID: u32 = 3;
const NO_LEASE: u32 = 5;
const NO_SPACE: u32 = 8;
const OUT_OF_RANGE: u32 = 11;
const NOT_SUPPORTED: u32 = 12;
/// Of bytes that are no message.
const MALFORMED: u32 = 13;

/// The longest lease that etcd grants, in seconds.
const TTL_S_MAX: u64 = 9_000_000_000;

impl Default for MemoryEtcd {
    fn default() -> Self {
        // An empty store is at revision 1.
        Self {
            keys: BTreeMap::new(),
            leases: BTreeSet::new(),
            revision: 1,
            last_lease: 0,
            is_full: false,
        }
    }
}

impl MemoryEtcd {
    /// Carries a call out.
    pub fn call(&mut self, request: &RpcRequest) -> RpcEvent {
        let message = request.message.as_slice();
        let answer = match request.method {
            RpcMethod::Range => self.range(message),
            RpcMethod::Txn => self.transact(message),
            RpcMethod::LeaseGrant => self.grant(message),
        };
        answer.map_or_else(RpcEvent::Failed, RpcEvent::Answered)
    }

    /// A lease ends, and its keys with it.
    pub fn expire(&mut self, lease: u64) {
        self.leases.remove(&lease);
        let before = self.keys.len();
        self.keys.retain(|_, kept| kept.lease != lease);
        self.revision += u64::from(self.keys.len() != before);
    }

    /// The leases that have not ended.
    pub fn leases(&self) -> impl Iterator<Item = u64> + '_ {
        self.leases.iter().copied()
    }

    /// It has no space from now on, or again.
    pub const fn set_full(&mut self, is_full: bool) {
        self.is_full = is_full;
    }

    /// Somebody else writes a key.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.revision += 1;
        self.write(key, value, 0);
    }

    /// Somebody else takes a key out.
    pub fn delete(&mut self, key: &[u8]) {
        self.revision += u64::from(self.keys.remove(key).is_some());
    }

    /// A key, if it is there.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&MemoryKey> {
        self.keys.get(key)
    }

    /// All keys in their order.
    pub fn keys(&self) -> impl Iterator<Item = (&[u8], &MemoryKey)> {
        self.keys.iter().map(|(key, kept)| (key.as_slice(), kept))
    }

    /// The record under a key, by the realm's names of gateways, and who has written it: one worker's
    /// life and one of its writes. `None`: there is no such key.
    #[must_use]
    pub fn record(&self, key: &[u8]) -> Option<(Entry, Option<(u64, u64)>)> {
        let value = Value::decode(&self.keys.get(key)?.value);
        Some((value.entry, value.writer.map(|Writer { life, write }| (life, write))))
    }

    /// The revision of the last change.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    fn range(&self, message: &[u8]) -> Result<Vec<u8>, u32> {
        let wish = RangeWish::read(message).ok_or(MALFORMED)?;
        wish.check()?;
        Ok(answer_range(Header::Whole(self.revision), &self.select(&wish)))
    }

    fn grant(&mut self, message: &[u8]) -> Result<Vec<u8>, u32> {
        let wish = LeaseWish::read(message).ok_or(MALFORMED)?;
        if wish.ttl_s > TTL_S_MAX {
            return Err(OUT_OF_RANGE);
        }
        if self.is_full {
            return Err(NO_SPACE);
        }
        self.last_lease += 1;
        let id = Some(wish.id).filter(|id| *id > 0).unwrap_or(1000 + self.last_lease);
        self.leases.insert(id);
        Ok(answer_lease(Header::Whole(self.revision), id, wish.ttl_s))
    }

    fn transact(&mut self, message: &[u8]) -> Result<Vec<u8>, u32> {
        let txn = TxnWish::read(message).ok_or(MALFORMED)?;
        txn.check()?;
        let succeeded = txn.compare.iter().all(|compare| compare.holds(self.keys.get(compare.key)));
        // Whatever is written in either branch needs space.
        if self.is_full && (txn.success.iter().chain(&txn.failure)).any(OpWish::puts) {
            return Err(NO_SPACE);
        }
        let branch = if succeeded { &txn.success } else { &txn.failure };
        let is_unknown = |lease: u64| lease > 0 && !self.leases.contains(&lease);
        if branch.iter().any(|op| matches!(op, OpWish::Put { lease, .. } if is_unknown(*lease))) {
            return Err(NO_LEASE);
        }
        // All that one transaction changes is of one revision.
        let next = self.revision + 1;
        let results: Vec<Vec<u8>> = branch.iter().map(|op| self.carry_out(op, next)).collect();
        Ok(answer_txn(Header::Whole(self.revision), succeeded, &results))
    }

    /// Carries out an operation of a transaction, and gives its result.
    fn carry_out(&mut self, op: &OpWish<'_>, next: u64) -> Vec<u8> {
        match op {
            OpWish::Range(wish) => {
                let header = Header::Revision(self.revision);
                wire::result(1, &answer_range(header, &self.select(wish)))
            }
            OpWish::Put { key, value, lease } => {
                self.revision = next;
                self.write(key, value, *lease);
                wire::result(2, &Header::Revision(self.revision).bytes())
            }
            OpWish::Delete(range) => {
                let before = self.keys.len();
                self.keys.retain(|key, _| !range.covers(key));
                let deleted = before - self.keys.len();
                if deleted > 0 {
                    self.revision = next;
                }
                wire::result(3, &answer_delete(Header::Revision(self.revision), deleted))
            }
            OpWish::Txn | OpWish::Nothing => Vec::new(),
        }
    }

    fn write(&mut self, key: &[u8], value: &[u8], lease: u64) {
        let kept = self.keys.entry(key.to_vec()).or_default();
        if kept.version == 0 {
            kept.create_revision = self.revision;
        }
        kept.value = value.to_vec();
        kept.mod_revision = self.revision;
        kept.version += 1;
        kept.lease = lease;
    }

    fn select(&self, wish: &RangeWish<'_>) -> Selected<'_> {
        let all: Vec<KeptKey<'_>> = self.keys().filter(|(key, _)| wish.covers(key)).collect();
        let count = all.len();
        let most = usize::try_from(wish.limit).ok().filter(|limit| *limit > 0);
        let shown = if wish.count_only { 0 } else { most.unwrap_or(count).min(count) };
        Selected {
            kvs: all.get(..shown).unwrap_or_default().to_vec(),
            more: shown < count && !wish.count_only,
            count,
            keys_only: wish.keys_only,
        }
    }
}

impl RangeWish<'_> {
    const fn check(&self) -> Result<(), u32> {
        if self.key.is_empty() { Err(INVALID) } else { Ok(()) }
    }
}

impl CompareWish<'_> {
    fn holds(&self, kept: Option<&MemoryKey>) -> bool {
        let nothing = MemoryKey::default();
        let (is_there, kept) = (kept.is_some(), kept.unwrap_or(&nothing));
        // In the order of `Compare.CompareTarget`.
        let order = match self.target {
            0 => kept.version.cmp(&self.number_if(4)),
            1 => kept.create_revision.cmp(&self.number_if(5)),
            2 => kept.mod_revision.cmp(&self.number_if(6)),
            3 if !is_there => return false,
            3 => kept.value.as_slice().cmp(self.value),
            4 => kept.lease.cmp(&self.number_if(8)),
            _ => return true,
        };
        match self.result {
            0 => order.is_eq(),
            1 => order.is_gt(),
            2 => order.is_lt(),
            3 => order.is_ne(),
            _ => true,
        }
    }
}

impl TxnWish<'_> {
    fn check(&self) -> Result<(), u32> {
        let most = self.compare.len().max(self.success.len()).max(self.failure.len());
        if most > ETCD_TXN_OPS_MAX || self.compare.iter().any(|compare| compare.key.is_empty()) {
            return Err(INVALID);
        }
        for branch in [&self.success, &self.failure] {
            let mut puts = BTreeSet::new();
            for op in branch {
                match op {
                    OpWish::Range(range) | OpWish::Delete(range) => range.check()?,
                    OpWish::Put { key, .. } if key.is_empty() || !puts.insert(*key) => {
                        return Err(INVALID);
                    }
                    OpWish::Put { .. } => {}
                    OpWish::Txn => return Err(NOT_SUPPORTED),
                    OpWish::Nothing => return Err(INVALID),
                }
            }
            // What is put and taken out is put twice.
            let is_put = |range: &RangeWish<'_>| puts.iter().any(|key| range.covers(key));
            if branch.iter().any(|op| matches!(op, OpWish::Delete(range) if is_put(range))) {
                return Err(INVALID);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
