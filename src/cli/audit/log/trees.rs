//! The trees of all writers, while the trail is read.

use std::collections::BTreeMap;

use super::{Checkpoint, Hash, Tree};
use crate::engine::AuditWriter;

/// Entries that may come before their turn, about 60 bytes each: far more than the chain waits for, so that
/// what it calls a late entry has its place in the tree too.
const WINDOW: usize = 262_144;

/// One writer's tree.
#[derive(Debug, Default)]
pub(in super::super) struct Growing {
    pub(in super::super) tree: Tree,
    /// Leaves that have come before their turn.
    early: BTreeMap<u64, Hash>,
    /// Sizes whose roots are wanted, and the roots.
    roots: BTreeMap<u64, Option<Hash>>,
}

/// The trees of all writers.
#[derive(Debug, Default)]
pub(in super::super) struct Trees {
    trees: BTreeMap<AuditWriter, Growing>,
}

impl Trees {
    /// Trees whose roots at these checkpoints are wanted.
    pub(in super::super) fn until<'c>(checkpoints: impl Iterator<Item = &'c Checkpoint>) -> Self {
        let mut trees = Self::default();
        for checkpoint in checkpoints {
            let growing = trees.trees.entry(checkpoint.writer).or_default();
            growing.roots.insert(checkpoint.size, None);
            growing.note();
        }
        trees
    }

    /// Takes in an entry's line.
    pub(in super::super) fn take(&mut self, writer: AuditWriter, number: u64, line: &[u8]) {
        self.trees.entry(writer).or_default().take(number, line);
    }

    /// The root at this size; `None` where the tree is not so large.
    pub(in super::super) fn root(&self, writer: AuditWriter, size: u64) -> Option<Hash> {
        self.trees.get(&writer)?.roots.get(&size).copied().flatten()
    }

    /// How far each writer's tree is.
    pub(in super::super) fn checkpoints(&self) -> impl Iterator<Item = Checkpoint> + '_ {
        self.trees.iter().map(|(writer, growing)| {
            let (size, root) = (growing.tree.size(), growing.tree.root().0);
            Checkpoint { writer: *writer, size, root }
        })
    }
}

impl Growing {
    /// One that remembers the ways of these leaves.
    pub(in super::super) fn following(leaves: impl IntoIterator<Item = u64>) -> Self {
        Self { tree: Tree::following(leaves), ..Self::default() }
    }

    /// Takes in an entry's line. Of two with one number the first one counts: the chain tells of both.
    pub(in super::super) fn take(&mut self, number: u64, line: &[u8]) {
        let is_first = number >= self.tree.size() && !self.early.contains_key(&number);
        if is_first && (self.early.len() < WINDOW || number == self.tree.size()) {
            self.early.insert(number, Hash::of_leaf(line));
        }
        while let Some(leaf) = self.early.remove(&self.tree.size()) {
            self.tree.push(leaf);
            self.note();
        }
    }

    fn note(&mut self) {
        if let Some(root) = self.roots.get_mut(&self.tree.size()) {
            *root = Some(self.tree.root().0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_may_come_out_of_order() {
        let writer = AuditWriter { epoch: 1, number: 1 };
        let line = |number: u64| number.to_string().into_bytes();
        let mut tree = Tree::default();
        (0..100).for_each(|number| tree.push(Hash::of_leaf(&line(number))));
        let (root, _) = tree.root();
        let expected = Checkpoint { writer, size: 100, root };
        let mut trees = Trees::until([expected, Checkpoint { size: 0, ..expected }].iter());
        for number in (0..100_u64).map(|number| number ^ 3) {
            trees.take(writer, number, &line(number));
            trees.take(writer, number, b"another of its number");
        }
        assert_eq!(trees.checkpoints().collect::<Vec<_>>(), [expected]);
        assert_eq!(trees.root(writer, 100), Some(root));
        assert_eq!(trees.root(writer, 0), Some(Tree::default().root().0));
        assert_eq!(trees.root(writer, 101), None);
    }
}
