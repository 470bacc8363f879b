//! The hash tree of RFC 6962, section 2.1, made leaf by leaf: it keeps one hash for each bit of its size.

use sha2::{Digest as _, Sha256};

/// SHA-256 of a leaf or of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Hash(pub(in super::super) [u8; 32]);

impl Hash {
    /// Of a leaf's content. Leaves and nodes are hashed apart, so that none passes for the other.
    pub(in super::super) fn of_leaf(content: &[u8]) -> Self {
        Self(Sha256::new().chain_update([0]).chain_update(content).finalize().into())
    }

    fn of_node(left: Self, right: Self) -> Self {
        let node = Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0);
        Self(node.finalize().into())
    }

    /// Of a tree without leaves.
    fn of_nothing() -> Self {
        Self(Sha256::digest([]).into())
    }
}

/// A part of the tree that is full: its leaves are a power of two.
#[derive(Clone, Copy, Debug)]
struct Full {
    hash: Hash,
    first: u64,
    leaves: u64,
}

impl Full {
    const fn has(&self, leaf: u64) -> bool {
        self.first <= leaf && leaf - self.first < self.leaves
    }
}

/// A leaf whose way to the root is wanted: the hashes beside that way, from below.
#[derive(Clone, Debug)]
struct Followed {
    leaf: u64,
    path: Vec<Hash>,
}

/// A tree that grows.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Tree {
    size: u64,
    /// From the largest to the smallest.
    parts: Vec<Full>,
    followed: Vec<Followed>,
}

impl Tree {
    /// One that remembers the ways of these leaves.
    pub(in super::super) fn following(leaves: impl IntoIterator<Item = u64>) -> Self {
        let followed = leaves.into_iter().map(|leaf| Followed { leaf, path: Vec::new() });
        Self { followed: followed.collect(), ..Self::default() }
    }

    /// How many leaves it has.
    pub(in super::super) const fn size(&self) -> u64 {
        self.size
    }

    pub(in super::super) fn push(&mut self, leaf: Hash) {
        let mut part = Full { hash: leaf, first: self.size, leaves: 1 };
        self.size += 1;
        while let Some(left) = self.parts.pop_if(|left| left.leaves == part.leaves) {
            part = join(left, part, &mut self.followed);
        }
        self.parts.push(part);
    }

    /// Its root, and for each leaf that it follows the path to it.
    pub(in super::super) fn root(&self) -> (Hash, Vec<Vec<Hash>>) {
        let mut followed = self.followed.clone();
        let mut parts = self.parts.iter().rev().copied();
        let Some(mut part) = parts.next() else {
            return (Hash::of_nothing(), Vec::new());
        };
        for left in parts {
            part = join(left, part, &mut followed);
        }
        (part.hash, followed.into_iter().map(|followed| followed.path).collect())
    }
}

fn join(left: Full, right: Full, followed: &mut [Followed]) -> Full {
    for Followed { leaf, path } in followed {
        if left.has(*leaf) {
            path.push(right.hash);
        } else if right.has(*leaf) {
            path.push(left.hash);
        }
    }
    let hash = Hash::of_node(left.hash, right.hash);
    Full { hash, first: left.first, leaves: left.leaves + right.leaves }
}

/// The root of a tree of `size` leaves in which `leaf` is at `index` and `path` leads from it; `None` where
/// there is no such tree (RFC 9162, section 2.1.3.2).
pub(in super::super) fn root_by(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, leaf);
    for beside in path {
        if last == 0 {
            return None;
        }
        if at % 2 == 1 || at == last {
            hash = Hash::of_node(*beside, hash);
            while at % 2 == 0 && at != 0 {
                (at, last) = (at / 2, last / 2);
            }
        } else {
            hash = Hash::of_node(hash, *beside);
        }
        (at, last) = (at / 2, last / 2);
    }
    (last == 0).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6962's definition, word by word.
    fn by_definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::of_nothing(),
            [only] => *only,
            _ => {
                let half = leaves.len().next_power_of_two() / 2;
                let (left, right) = leaves.split_at(half);
                Hash::of_node(by_definition(left), by_definition(right))
            }
        }
    }

    fn path_by_definition(index: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() <= 1 {
            return Vec::new();
        }
        let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
        let (mut path, beside) = if index < left.len() {
            (path_by_definition(index, left), right)
        } else {
            (path_by_definition(index - left.len(), right), left)
        };
        path.push(by_definition(beside));
        path
    }

    #[test]
    fn roots_and_paths_are_those_of_the_definition() {
        let leaves: Vec<Hash> = (0..70_u8).map(|number| Hash::of_leaf(&[number])).collect();
        for size in 0..=leaves.len() {
            let mut tree = Tree::following(0..size as u64);
            leaves[..size].iter().for_each(|leaf| tree.push(*leaf));
            let (root, paths) = tree.root();
            assert_eq!(root, by_definition(&leaves[..size]), "{size}");
            for (index, path) in paths.iter().enumerate() {
                assert_eq!(*path, path_by_definition(index, &leaves[..size]), "{index} of {size}");
                let by = |leaf, index, size| root_by(leaf, index, size, path);
                let (at, many) = (index as u64, size as u64);
                assert_eq!(by(leaves[index], at, many), Some(root));
                assert_ne!(by(leaves[(index + 1) % 70], at, many), Some(root));
                // No other place and no other size.
                assert!(
                    (0..many)
                        .all(|other| other == at || by(leaves[index], other, many) != Some(root))
                );
                assert_eq!(by(leaves[index], many, many), None);
            }
        }
    }

    /// Roots of Certificate Transparency's own test data: leaves "", 00, 10, 2021, 3031, ...
    #[test]
    fn roots_are_those_that_others_find() {
        let leaves: [&[u8]; 4] = [b"", b"\x00", b"\x10", b"\x20\x21"];
        let mut tree = Tree::default();
        leaves.iter().for_each(|leaf| tree.push(Hash::of_leaf(leaf)));
        let text: String = tree.root().0.0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7");
    }
}
